"""The configuration of a router, as one TOML file has it: `load` reads it, these records are what comes out.

The records are the only place where keys, types, limits and defaults are declared: the reader checks a file against
them, and the reference in docs/router.md is made of them. Paths are relative to the file. Those without ``__init__``
(credentials and permissions) are never made: what they describe is passed on as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from autobahn.router.auth import Cookies
from autobahn.router.auth_limits import Attempts
from autobahn.router.config import RealmOptions
from autobahn.router.settings_kinds import INLINE, KEY, AsWritten, FileMode, Range, ReadableFile, Uri

__all__ = (
    "AdmissionSettings",
    "AuthenticationSettings",
    "GeneralSettings",
    "ListenerSettings",
    "LogSettings",
    "RealmSettings",
    "RouterSettings",
    "TlsSettings",
)

Seconds = Annotated[float, Range(0)]
Some = Annotated[float, Range(0.001)]
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]
Octets = Annotated[int, Range(0)]
ANY_REALM = "*"


# ---- authentication: what each method may be told (see `autobahn.router.auth`) -----------------------------


@dataclass(init=False, repr=False, eq=False)
class PrincipalSettings:
    """Somebody who may join.

    Args:
        role: the role of the sessions.
        roles: or several of them, the first one unless the client asks for another.
        authid: the authid of the sessions, if it is another one.
        realm: the realm the client is sent to, whichever it asked for.
        provider: what WELCOME says as authprovider.
        extra: what WELCOME says as authextra.
    """

    role: str | None = None
    roles: tuple[str, ...] | None = None
    authid: str | None = None
    realm: Annotated[str, Uri()] | None = None
    provider: str | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(init=False, repr=False, eq=False)
class TicketPrincipal(PrincipalSettings):
    """Somebody with a ticket.

    Args:
        ticket: the ticket, or several that count (while one is replaced by another).
        ticket_hash: or what `autobahn.router.auth.hash_ticket` made of it, or an Argon2 hash.
    """

    ticket: str | tuple[str, ...] | None = None
    ticket_hash: str | None = None


@dataclass(init=False, repr=False, eq=False)
class CraPrincipal(PrincipalSettings):
    """Somebody with a secret.

    Args:
        secret: the secret; when it is a derived key, the next three tell how it was derived.
        salt: the salt.
        iterations: how many iterations.
        keylen: the length of the key in octets.
    """

    secret: str | None = None
    salt: str | None = None
    iterations: AtLeastOne | None = None
    keylen: AtLeastOne | None = None


@dataclass(init=False, repr=False, eq=False)
class ScramPrincipal(PrincipalSettings):
    """Somebody with a password.

    Args:
        password: the password in plain text; or the stored form, which is made of the others:
        salt: the salt in base64.
        stored_key: the stored key in base64.
        server_key: the server key in base64.
        kdf: "pbkdf2" or "argon2id13".
        iterations: how many iterations.
        memory: for Argon2, KiB.
    """

    password: str | None = None
    salt: str | None = None
    stored_key: str | None = None
    server_key: str | None = None
    kdf: str | None = None
    iterations: AtLeastOne | None = None
    memory: AtLeastOne | None = None


@dataclass(init=False, repr=False, eq=False)
class KeyPrincipal(PrincipalSettings):
    """Somebody with a private key.

    Args:
        authorized_keys: the public keys in hex.
        pubkey: or the only one.
    """

    authorized_keys: tuple[str, ...] | str | None = None
    pubkey: str | None = None


@dataclass(init=False, repr=False, eq=False)
class CertificatePrincipal(PrincipalSettings):
    """Somebody with a client certificate; of what is given, all must fit.

    Args:
        certificate_sha256: its SHA-256 fingerprint in hex, or several.
        certificate_sha1: its SHA-1 fingerprint in hex, or several.
        common_name: the common name of its subject, or several.
    """

    certificate_sha256: str | tuple[str, ...] | None = None
    certificate_sha1: str | tuple[str, ...] | None = None
    common_name: str | tuple[str, ...] | None = None


@dataclass(init=False, repr=False, eq=False)
class MethodSettings:
    """Where the principals of a method come from: one of ``principals``, ``file``, ``sqlite``, ``authenticator``.

    Args:
        role: the role of principals for whom no other is named.
        file: a JSON or TOML file with principals by authid.
        sqlite: an SQLite file with a table of principals, read at each login.
        authenticator: the URI of a procedure ``(realm, authid, details)`` that judges.
        realm: the realm of that procedure, if it is another one.
    """

    role: str | None = None
    file: Annotated[str, ReadableFile()] | None = None
    sqlite: Annotated[str, ReadableFile()] | None = None
    authenticator: Annotated[str, Uri()] | None = None
    realm: Annotated[str, Uri()] | None = None


@dataclass(init=False, repr=False, eq=False)
class AnonymousMethod:
    """Everybody is let in.

    Args:
        role: the role.
        authenticator: the URI of a procedure ``(realm, authid, details)`` that is asked first.
        realm: the realm of that procedure, if it is another one.
    """

    role: str = "anonymous"
    authenticator: Annotated[str, Uri()] | None = None
    realm: Annotated[str, Uri()] | None = None


@dataclass(init=False, repr=False, eq=False)
class TicketMethod(MethodSettings):
    """The client shows a ticket.

    Args:
        principals: by authid.
    """

    principals: Mapping[str, TicketPrincipal] | None = None


@dataclass(init=False, repr=False, eq=False)
class CraMethod(MethodSettings):
    """The client signs with a shared secret.

    Args:
        principals: by authid.
    """

    principals: Mapping[str, CraPrincipal] | None = None


@dataclass(init=False, repr=False, eq=False)
class ScramMethod(MethodSettings):
    """The client proves that it knows a password.

    Args:
        principals: by authid.
        kdf: how plain passwords are derived: "pbkdf2" or "argon2id13".
        iterations: how many iterations.
        memory: for Argon2, KiB.
    """

    principals: Mapping[str, ScramPrincipal] | None = None
    kdf: str | None = None
    iterations: AtLeastOne | None = None
    memory: AtLeastOne | None = None


@dataclass(init=False, repr=False, eq=False)
class TrustrootSettings:
    """What whoever has a chain of certificates to this address becomes; the authid is the address of the delegate.

    Args:
        role: the role of the sessions.
        roles: or several of them, the first one unless the client asks for another.
        chain_id: the chain id that the certificates must name.
        verifying_contract: the address of the contract that they must name.
        realm: the address of the realm that they must name.
        capabilities: the bits that they must give.
        block: the current block number.
        extra: what WELCOME says as authextra.
    """

    role: str | None = None
    roles: tuple[str, ...] | None = None
    chain_id: int | None = None
    verifying_contract: str | None = None
    realm: str | None = None
    capabilities: int | None = None
    block: int | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(init=False, repr=False, eq=False)
class CryptosignMethod(MethodSettings):
    """The client signs with a private key.

    Args:
        principals: by authid.
        key: the router's own private key in hex, for clients that want the router to prove itself.
        trustroots: by address, whose certificates are taken.
    """

    principals: Mapping[str, KeyPrincipal] | None = None
    key: str | None = None
    trustroots: Mapping[str, TrustrootSettings] | None = None


@dataclass(init=False, repr=False, eq=False)
class CertificateMethod(MethodSettings):
    """The client shows a TLS certificate, for which its listener must ask (``client_certificates``).

    Args:
        principals: by authid.
    """

    principals: Mapping[str, CertificatePrincipal] | None = None


@dataclass(init=False, repr=False, eq=False)
class CookieMethod:
    """The client has a cookie of an earlier authentication; there is nothing to set."""


@dataclass(init=False, repr=False, eq=False)
class AuthSettings:
    """The methods of authentication of a realm; the first one in the client's list counts.

    Args:
        anonymous: everybody is let in.
        ticket: WAMP "Ticket-based Authentication".
        wampcra: WAMP "Challenge Response Authentication".
        scram: "Salted Challenge Response Authentication", as Crossbar and autobahn clients speak it.
        wamp_scram: the same, as the specification has it.
        cryptosign: WAMP "Cryptosign-based Authentication".
        tls: the client's TLS certificate says who it is.
        cookie: a cookie of an earlier authentication does; stands beside another method.
    """

    anonymous: AnonymousMethod | None = None
    ticket: TicketMethod | None = None
    wampcra: CraMethod | None = None
    scram: ScramMethod | None = None
    wamp_scram: ScramMethod | None = field(default=None, metadata={KEY: "wamp-scram"})
    cryptosign: CryptosignMethod | None = None
    tls: CertificateMethod | None = None
    cookie: CookieMethod | None = None


# ---- authorization (see `autobahn.router.permissions`) -----------------------------------------------------

Action = Literal["call", "register", "publish", "subscribe"]


@dataclass(init=False, repr=False, eq=False)
class DisclosureSettings:
    """Whether the receiver learns who sent.

    Args:
        caller: true: always; false: never.
        publisher: the same.
    """

    caller: bool | None = None
    publisher: bool | None = None


@dataclass(init=False, repr=False, eq=False)
class RuleSettings:
    """What a role may do with a URI or pattern; the longest one that matches decides, an exact one first.

    Args:
        uri: the URI or pattern; ``*`` at its end means prefix.
        match: how ``uri`` matches.
        allow: the actions that are allowed; true: all four.
        disclose: what the router discloses, or forbids to.
    """

    uri: str
    match: Literal["exact", "prefix", "wildcard"] | None = None
    allow: bool | tuple[Action, ...] | Mapping[Action, bool] = ()
    disclose: DisclosureSettings | None = None


@dataclass(init=False, repr=False, eq=False)
class RoleSettings:
    """What the sessions of a role may do; ``true`` in place of the table: everything.

    Args:
        permissions: what is allowed; the rest is not.
        authorizer: the URI of a procedure ``(session, uri, action, options)`` that decides what no rule matches.
        realm: the realm of that procedure, if it is another one.
        ttl: seconds for which an answer counts that says ``cache``.
        timeout: seconds it may take.
    """

    permissions: tuple[RuleSettings, ...] = ()
    authorizer: Annotated[str, Uri()] | None = None
    realm: Annotated[str, Uri()] | None = None
    ttl: Seconds | None = None
    timeout: Some | None = None


@dataclass(frozen=True, kw_only=True)
class RealmSettings:
    """One realm; the realm ``"*"`` is the model of realms that are made when a client asks for them.

    Args:
        options: how the realm behaves.
        roles: what the sessions of each role may do. A role that is not named here may not join.
        auth: the methods of authentication; without it only ``anonymous``.
    """

    options: RealmOptions = field(default_factory=RealmOptions, metadata={INLINE: True})
    roles: Mapping[str, Annotated[Literal[True] | RoleSettings, AsWritten()]]
    auth: Annotated[AuthSettings, AsWritten()] | None = None


# ---- listening ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """TLS of a listener.

    Args:
        certificate: the certificate with its chain, in PEM.
        key: the private key in PEM; without it in the same file.
        key_password: opens the private key.
        client_ca: certificates of the authorities that client certificates may come from, in PEM.
        client_certificates: whether clients must show one.
        min_version: the oldest version of TLS that is spoken.
        ciphers: the ciphers up to TLS 1.2, as OpenSSL lists them.
    """

    certificate: Annotated[str, ReadableFile()]
    key: Annotated[str, ReadableFile()] | None = None
    key_password: str | None = None
    client_ca: Annotated[str, ReadableFile()] | None = None
    client_certificates: Literal["none", "optional", "required"] = "none"
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListenerSettings:
    """Where clients connect to.

    Args:
        url: ``ws://host:port/path`` for WebSocket and RawSocket on one port, ``rs://host:port`` for RawSocket alone,
            ``http://host:port`` for the pages alone; ``wss``, ``rss``, ``https`` with TLS; ``ws://unix:/path`` and
            ``rs://unix:/path`` for Unix sockets. Port 0: any free one.
        socket: the name (``FileDescriptorName=``) of the listening socket that systemd hands over; ``url`` then only
            says what is spoken there.
        rawsocket: whether a ``ws`` listener takes RawSocket clients, too.
        serializers: what is spoken, in order of preference (the client's comes first).
        compression: permessage-deflate, when the client offers it.
        origins: pages of these origins may connect ("https://*.example.com", "same-origin", "*").
        null_origin: whether pages without an origin (files, sandboxes) may.
        pages: what answers to plain HTTP. An ``http`` listener has all three unless this says otherwise.
        tls: the certificates, for ``wss``, ``rss`` and ``https``.
        mode: permissions of a Unix socket, in octal digits.
        backlog: how many connections may wait to be accepted.
        max_connections: how many connections there may be; 0: any number.
        max_message_size: octets of a message, after inflation.
        max_hello_size: the same for a client that has no session yet.
        max_send_buffer: octets that may wait for a client that does not read; then the connection is closed.
        handshake_timeout: seconds for the first octet, for TLS, and for the opening handshake.
        ping_interval: seconds between pings; 0: none.
        ping_timeout: seconds a client has to answer one.
        forwarded_for: how many proxies in front add to X-Forwarded-For, whose word counts.
    """

    url: str
    socket: str | None = None
    rawsocket: bool = True
    serializers: tuple[Literal["json", "msgpack", "cbor", "ubjson"], ...] = ("json", "msgpack", "cbor")
    compression: Literal["none", "deflate"] = "none"
    origins: tuple[str, ...] = ("same-origin",)
    null_origin: bool = False
    pages: tuple[Literal["healthz", "readyz", "metrics"], ...] | None = None
    tls: TlsSettings | None = None
    mode: Annotated[str, FileMode()] | None = None
    backlog: AtLeastOne = 4096
    max_connections: Count = 0
    max_message_size: Annotated[int, Range(512)] = 16 * 2**20
    max_hello_size: Annotated[int, Range(512)] = 64 * 2**10
    max_send_buffer: Octets = 64 * 2**20
    handshake_timeout: Some = 5.0
    ping_interval: Seconds = 20.0
    ping_timeout: Some = 20.0
    forwarded_for: Count = 0

    @property
    def scheme(self) -> str:
        """ws, wss, rs, rss, http or https."""
        return self.url.partition(":")[0].lower()

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken here."""
        return self.scheme in {"wss", "rss", "https"}


# ---- the whole ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GeneralSettings:
    """What concerns all realms.

    Args:
        agent: what WELCOME says about the software.
        hello_timeout: seconds a connection may stay without a session.
        auth_timeout: seconds that authentication may take.
        goodbye_timeout: seconds a client has to answer GOODBYE.
        drain: seconds over which the GOODBYEs are spread when the router stops.
        max_realms_on_demand: how many realms may be made on demand.
    """

    agent: str | None = None
    hello_timeout: Some = 5.0
    auth_timeout: Some = 10.0
    goodbye_timeout: Some = 5.0
    drain: Seconds = 5.0
    max_realms_on_demand: AtLeastOne = 1000


@dataclass(frozen=True, kw_only=True)
class AdmissionSettings:
    """How many may come at a time.

    Args:
        max_pending: how many connections may be without a session, between their handshake and WELCOME. The next one
            gets 503 with Retry-After; clients come back spread over the seconds that takes.
        max_per_address: how many connections one address may have; 0: any number. Unix sockets do not count.
    """

    max_pending: AtLeastOne = 1000
    max_per_address: Count = 0


@dataclass(frozen=True, kw_only=True)
class AuthenticationSettings:
    """What concerns authentication in all realms.

    Args:
        tell_unknown: whether a client learns that it does not exist, as opposed to having shown the wrong secret.
        mock_secret: makes the salts of principals that do not exist; a text of your own keeps them over restarts.
        kdf_workers: how many key derivations run at a time.
        cookie_name: the name of the cookie by which clients are known again.
        cookie_max_age: seconds for which they are.
        free_attempts: failures of one principal from one address until it has to wait.
        free_attempts_per_address: the same for an address that tries many.
        first_wait: seconds of the first wait, which doubles with every further failure.
        longest_wait: seconds of the longest wait.
    """

    tell_unknown: bool = False
    mock_secret: str | None = None
    kdf_workers: AtLeastOne = 2
    cookie_name: str = "cbtid"
    cookie_max_age: AtLeastOne = 30 * 86400
    free_attempts: AtLeastOne = 5
    free_attempts_per_address: AtLeastOne = 200
    first_wait: Some = 1.0
    longest_wait: Some = 300.0


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """What is logged, on stderr.

    Args:
        level: from which level on.
        format: lines for people or one JSON object a line.
    """

    level: Literal["critical", "error", "warn", "info", "debug", "trace"] = "info"
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, kw_only=True)
class RouterSettings:
    """All of it.

    Args:
        realms: the realms by name.
        listeners: where clients connect to.
        router: what concerns all realms.
        admission: how many may come at a time.
        authentication: what concerns authentication in all realms.
        log: what is logged.
    """

    realms: Mapping[Annotated[str, Uri(ANY_REALM)], RealmSettings]
    listeners: tuple[ListenerSettings, ...]
    router: GeneralSettings = field(default_factory=GeneralSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    authentication: AuthenticationSettings = field(default_factory=AuthenticationSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def has_realms_on_demand(self) -> bool:
        """Whether realms are made when a client asks for them."""
        return ANY_REALM in self.realms

    def options(self) -> dict[str, RealmOptions]:
        """How each realm behaves that exists from the start."""
        return {name: realm.options for name, realm in self.realms.items() if name != ANY_REALM}

    def options_on_demand(self) -> RealmOptions:
        """How realms behave that are made on demand."""
        model = self.realms.get(ANY_REALM)
        return RealmOptions() if model is None else model.options

    def auth(self) -> dict[str, Any]:
        """What `autobahn.router.auth.Authentication` wants."""
        methods: dict[str, Any] = {name: realm.auth for name, realm in self.realms.items()}
        return {name: dict(values or {"anonymous": {}}) for name, values in methods.items()}

    def auth_options(self) -> dict[str, Any]:
        """Its keyword arguments."""
        chosen = self.authentication
        attempts = Attempts(
            free=chosen.free_attempts,
            first_wait=chosen.first_wait,
            longest_wait=chosen.longest_wait,
            free_per_host=chosen.free_attempts_per_address,
        )
        options: dict[str, Any] = {
            "tell_unknown": chosen.tell_unknown, "kdf_workers": chosen.kdf_workers, "attempts": attempts,
        }  # fmt: skip
        if chosen.mock_secret is not None:
            options["mock_secret"] = chosen.mock_secret.encode()
        if any("cookie" in methods for methods in self.auth().values()):
            options["cookies"] = Cookies(chosen.cookie_name, chosen.cookie_max_age)
        return options

    def permissions(self) -> dict[str, Any]:
        """What `autobahn.router.permissions.Permissions` wants."""
        return {name: dict(realm.roles) for name, realm in self.realms.items()}


def development(url: str, realms: tuple[str, ...] = ()) -> RouterSettings:
    """What `autobahn router` does without a file: everything is allowed, at a loopback address.

    Pages of this machine may connect, those of other sites may not.
    """
    local = ("http://localhost:*", "http://127.0.0.1:*", "https://localhost:*", "https://127.0.0.1:*")
    listener = ListenerSettings(url=url, origins=("same-origin", *local), null_origin=True, pages=("healthz", "readyz"))
    everything = RealmSettings(roles={"anonymous": True})
    settings = RouterSettings(realms=dict.fromkeys(realms or (ANY_REALM,), everything), listeners=(listener,))
    return replace(settings, router=GeneralSettings(drain=0.0))

"""The configuration of a router, as one TOML file has it: `load` reads it, these records are what comes out.

The records are the only place where keys, types, limits and defaults are declared: the reader checks a file against
them, and the reference in docs/router.md is made of them. Paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from autobahn.router.auth import Cookies
from autobahn.router.auth_limits import Attempts
from autobahn.router.config import RealmOptions
from autobahn.router.settings_auth import AuthSettings, RoleSettings
from autobahn.router.settings_kinds import (
    INLINE,
    AsWritten,
    AtLeastOne,
    Count,
    FileMode,
    Octets,
    Range,
    ReadableFile,
    Seconds,
    Some,
    Uri,
)

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

ANY_REALM = "*"


# ---- realms -------------------------------------------------------------------------------------------------


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
    listener = ListenerSettings(
        url=url, origins=("same-origin", *local), null_origin=True, pages=("healthz", "readyz", "metrics")
    )
    everything = RealmSettings(roles={"anonymous": True})
    settings = RouterSettings(realms=dict.fromkeys(realms or (ANY_REALM,), everything), listeners=(listener,))
    return replace(settings, router=GeneralSettings(drain=0.0))

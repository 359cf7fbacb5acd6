"""What a configuration file says of credentials and permissions: the records that declare their keys.

They have no ``__init__`` because they are never made: what they describe is passed on as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from autobahn.router.settings_kinds import KEY, AtLeastOne, ReadableFile, Seconds, Some, Uri

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

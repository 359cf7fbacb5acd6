"""Authentication: what answers a router's challenge, and the functions that compute and check answers.

Methods here: anonymous, ticket and wampcra. Cryptosign and scram come with a later release.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any, ClassVar

from autobahn.wamp.interfaces import IAuthenticator

__all__ = (
    "AuthAnonymous",
    "AuthTicket",
    "AuthWampCra",
    "check_totp",
    "compute_totp",
    "compute_wcs",
    "create_authenticator",
    "derive_key",
    "generate_totp_secret",
    "generate_wcs",
    "pbkdf2",
)

_WCS_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_MAX_ITERATIONS = 10_000_000  # a router may not keep us computing for minutes
_PRINCIPAL = frozenset({"authid", "authrole", "authextra"})


# ---- authenticators --------------------------------------------------------------------------------------


def create_authenticator(name: str, **kwargs: Any) -> Authenticator:
    """The authenticator for the method ``name``; raises ``ValueError`` on what is unknown or missing."""
    if name in {"cryptosign", "cryptosign-proxy", "scram"}:
        raise NotImplementedError(f'authentication method "{name}" comes with a later release')
    cls = AUTHENTICATORS.get(name)
    if cls is None:
        raise ValueError(f'expected an authentication method out of {", ".join(AUTHENTICATORS)}, got "{name}"')
    return cls(**kwargs)


class Authenticator(IAuthenticator):
    """One method with its credentials. ``authid``, ``authrole`` and ``authextra`` go into HELLO."""

    name: ClassVar[str] = ""
    REQUIRED: ClassVar[frozenset[str]] = frozenset()
    OPTIONAL: ClassVar[frozenset[str] | None] = None  # None: any

    def __init__(self, **kw: Any) -> None:
        for key in sorted(self.REQUIRED):
            if kw.get(key) is None:
                raise ValueError(f'expected "{key}" for authentication method "{self.name}", got none')
        if self.OPTIONAL is not None:
            unknown = sorted(kw.keys() - self.REQUIRED - self.OPTIONAL)
            if unknown:
                known = ", ".join(sorted(self.REQUIRED | self.OPTIONAL))
                raise ValueError(
                    f'expected keys out of {known} for authentication method "{self.name}", got "{unknown[0]}"'
                )
        for key, kind in (("authid", str), ("authrole", str), ("authextra", dict)):
            if kw.get(key) is not None and not isinstance(kw[key], kind):
                raise ValueError(f"expected {key} of type {kind.__name__}, got {type(kw[key]).__name__}")
        self._args = kw

    @property
    def authid(self) -> str | None:
        """Who we say we are."""
        return self._args.get("authid")

    @property
    def authrole(self) -> str | None:
        """The role we ask for."""
        return self._args.get("authrole")

    @property
    def authextra(self) -> dict[str, Any] | None:
        """What else the router is told."""
        return self._args.get("authextra")

    def on_challenge(self, session: Any, challenge: Any) -> str | bytes:
        """The signature."""
        raise NotImplementedError

    def on_welcome(self, session: Any, authextra: dict[str, Any] | None) -> str | None:
        """None: the router has nothing to prove in this method."""
        return None


class AuthAnonymous(Authenticator):
    """No authentication."""

    name = "anonymous"

    def on_challenge(self, session: Any, challenge: Any) -> str | bytes:
        """Never answered: there is nothing to answer with."""
        raise RuntimeError('expected no challenge for authentication method "anonymous", got one')


class AuthAnonymousProxy(AuthAnonymous):
    """No authentication, for a proxy session."""

    name = "anonymous-proxy"


class AuthTicket(Authenticator):
    """A ticket, sent as it is."""

    name = "ticket"
    REQUIRED = frozenset({"ticket"})

    def on_challenge(self, session: Any, challenge: Any) -> str | bytes:
        """The ticket."""
        if challenge.method != "ticket":
            raise RuntimeError(f'expected a challenge for "ticket", got one for "{challenge.method}"')
        return self._args["ticket"]  # type: ignore[no-any-return]


class AuthWampCra(Authenticator):
    """WAMP challenge-response with a shared secret, salted if the router says so."""

    name = "wampcra"
    REQUIRED = frozenset({"authid", "secret"})
    OPTIONAL = frozenset({"authrole", "authextra"})

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self._secret = _octets(kw["secret"])

    def on_challenge(self, session: Any, challenge: Any) -> str | bytes:
        """The signature of the challenge text."""
        extra = challenge.extra
        text = extra.get("challenge")
        if not isinstance(text, str):
            raise RuntimeError('expected a text "challenge" in the Extra of CHALLENGE, got none')
        key = self._secret
        if extra.get("salt"):
            iterations, keylen = extra.get("iterations", 1000), extra.get("keylen", 32)
            if not (isinstance(iterations, int) and 1 <= iterations <= _MAX_ITERATIONS):
                raise RuntimeError(f"expected iterations from 1 to {_MAX_ITERATIONS}, got {iterations!r}")
            if not (isinstance(keylen, int) and 1 <= keylen <= 1024):
                raise RuntimeError(f"expected a keylen from 1 to 1024, got {keylen!r}")
            key = derive_key(key, extra["salt"], iterations, keylen)
        return compute_wcs(key, text).decode("ascii")


AUTHENTICATORS: dict[str, type[Authenticator]] = {
    cls.name: cls for cls in (AuthAnonymous, AuthAnonymousProxy, AuthTicket, AuthWampCra)
}


# ---- WAMP-CRA ----------------------------------------------------------------------------------------------


def _octets(value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode("utf8")
    if isinstance(value, bytes):
        return value
    raise TypeError(f"expected str or bytes, got {type(value).__name__}")


def compute_wcs(key: str | bytes, challenge: str | bytes) -> bytes:
    """The signature of a WAMP-CRA challenge: base64 of HMAC-SHA256."""
    return base64.b64encode(hmac.digest(_octets(key), _octets(challenge), "sha256"))


def derive_key(secret: str | bytes, salt: str | bytes, iterations: int = 1000, keylen: int = 32) -> bytes:
    """The key of a salted WAMP-CRA secret: base64 of PBKDF2, which is itself the HMAC key."""
    return base64.b64encode(pbkdf2(_octets(secret), _octets(salt), iterations, keylen))


def pbkdf2(
    data: bytes,
    salt: bytes,
    iterations: int = 1000,
    keylen: int = 32,
    hashfunc: Callable[..., Any] | None = None,
) -> bytes:
    """``keylen`` octets of PBKDF2-HMAC; ``hashfunc`` is one of ``hashlib`` (default: SHA-256)."""
    algorithm = "sha256" if hashfunc is None else hashfunc().name
    return hashlib.pbkdf2_hmac(algorithm, data, salt, iterations, keylen)


def generate_wcs(length: int = 14) -> bytes:
    """A random secret of ``length`` letters and digits."""
    return "".join(secrets.choice(_WCS_CHARS) for _ in range(length)).encode("ascii")


# ---- one-time passwords (RFC 6238) -------------------------------------------------------------------------


def generate_totp_secret(length: int = 10) -> str:
    """A random secret of ``length`` octets, in base32."""
    if length < 1:
        raise ValueError(f"expected a length of 1 or more, got {length}")
    return base64.b32encode(secrets.token_bytes(length)).decode("ascii")


def compute_totp(secret: str, offset: int = 0) -> str:
    """The six digits that hold now, or ``offset`` steps of 30 seconds later."""
    key = base64.b32decode(secret)
    step = struct.pack(">Q", offset + int(time.time()) // 30)
    digest = hmac.digest(key, step, "sha1")
    at = digest[19] & 15
    number: int = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def check_totp(secret: str, ticket: str) -> bool:
    """Whether ``ticket`` holds now, or one step earlier or later."""
    return any(hmac.compare_digest(ticket.encode(), compute_totp(secret, i).encode()) for i in (0, 1, -1))

"""The cryptosign authenticator: an Ed25519 key signs the challenge."""

from __future__ import annotations

import secrets
from typing import Any

from autobahn.wamp.auth.base import Authenticator, then
from autobahn.wamp.auth.password import channel_id
from autobahn.wamp.cryptosign import CryptosignKey, bind, is_signed, parse_hex


class AuthCryptoSign(Authenticator):
    """A private key; with ``router_key`` (the router's public key in hex) the router must prove to have its own.

    ``privkey`` is 64 hex digits, 32 octets, a `CryptosignKey`, or a callable that gives one of these.
    """

    name = "cryptosign"
    REQUIRED = frozenset({"privkey"})
    OPTIONAL = frozenset({"authid", "authrole", "authextra", "router_key"})

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self._key: CryptosignKey | None = None
        self._channel: bytes | None = None
        self._router_key: bytes | None = parse_hex(kw["router_key"], "router_key") if kw.get("router_key") else None
        self._challenge = b""
        self._is_prepared = False
        self._is_verified = False
        self.verifies_router = self._router_key is not None
        if not callable(kw["privkey"]):
            self._take(kw["privkey"])

    def _take(self, value: Any) -> None:
        key = private_key(value)
        given = (self._args.get("authextra") or {}).get("pubkey")
        if given is not None and given != key.pubkey:
            raise ValueError(f"expected authextra.pubkey {key.pubkey}, the public key of privkey, got {given!r}")
        self._key = key

    @property
    def authextra(self) -> dict[str, Any] | None:
        """The public key, the channel binding, our challenge for the router, and what the program adds."""
        extra = dict(self._args.get("authextra") or {})
        if self._key is not None:
            extra["pubkey"] = self._key.pubkey
        if self._challenge:
            extra["challenge"] = self._challenge.hex()
        if self._is_prepared and self._channel is None:
            extra.pop("channel_binding", None)
        return extra or None

    def prepare(self, session: Any) -> Any:
        """The key is known, and so is the channel to bind to; a fresh challenge for the router."""
        wanted = (self._args.get("authextra") or {}).get("channel_binding")
        self._channel = None if wanted is None else channel_id(session, wanted)
        self._is_prepared = True
        self._is_verified = False
        self._challenge = secrets.token_bytes(32) if self._router_key is not None else b""
        if callable(self._args["privkey"]):
            return then(self._ask("privkey"), self._take)
        return None

    def on_challenge(self, session: Any, challenge: Any) -> Any:
        """The signature; RuntimeError when the router does not prove to have the pinned key."""
        if self._key is None:
            raise RuntimeError("expected prepare() before the challenge: privkey is a callable")
        if self._router_key is not None:
            self._check_router(challenge.extra)
        bound = (self._args.get("authextra") or {}).get("channel_binding") if self._channel is not None else None
        return self._key.sign_challenge(challenge, self._channel, bound)

    def _check_router(self, extra: dict[str, Any]) -> None:
        assert self._router_key is not None
        if extra.get("pubkey") != self._router_key.hex():
            raise RuntimeError(f"expected the router's key {self._router_key.hex()}, got {extra.get('pubkey')!r:.100}")
        if not is_signed(self._router_key, extra.get("signature"), bind(self._challenge, self._channel)):
            raise RuntimeError("expected the router's signature of our challenge, got a wrong one")
        self._is_verified = True

    def on_welcome(self, session: Any, authextra: dict[str, Any] | None) -> Any:
        """None, unless a router that had to prove itself has not been asked."""
        if self.verifies_router and not self._is_verified:
            return "expected the router to prove that it has the pinned key, got WELCOME without"
        return None


class AuthCryptoSignProxy(AuthCryptoSign):
    """Cryptosign, for a proxy session."""

    name = "cryptosign-proxy"


def private_key(value: Any) -> CryptosignKey:
    """The key for what a program gives as ``privkey``; ValueError when it is none."""
    if isinstance(value, CryptosignKey):
        key = value
    else:
        key = CryptosignKey.from_bytes(value if isinstance(value, bytes) else parse_hex(value, "privkey"))
    if not key.can_sign:
        raise ValueError("expected a private key as privkey, got a public one")
    return key

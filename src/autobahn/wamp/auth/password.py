"""SCRAM authenticators (WAMP "Salted Challenge Response Authentication Mechanism")."""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import Any, ClassVar

from autobahn.wamp import scram
from autobahn.wamp.auth.base import Authenticator, offloaded, then

log = logging.getLogger("autobahn.wamp")

TLS_UNIQUE = "tls-unique"


class _Nonce:
    """A client's nonce; one for all SCRAM dialects that a session offers, because HELLO has room for one."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.text = scram.b64(secrets.token_bytes(16))


class _Scram(Authenticator):
    """A password that never leaves us; the router proves that it knows its stored form."""

    DIALECT: ClassVar[scram.Dialect]
    REQUIRED = frozenset({"authid", "password"})
    verifies_router = True

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self._nonce = _Nonce()
        self._expected: bytes | None = None  # the router's proof
        self._binding: tuple[str | None, bytes] = (self._wanted_binding, b"")

    @property
    def authextra(self) -> dict[str, Any] | None:
        """The client's nonce, the channel binding, and what the program wants the router to know."""
        extra: dict[str, Any] = {**(self._args.get("authextra") or {}), "nonce": self._nonce.text}
        if self.DIALECT.is_spec:
            extra["channel_binding"] = self._binding[0]
        return extra

    @property
    def _wanted_binding(self) -> str | None:
        return (self._args.get("authextra") or {}).get("channel_binding") if self.DIALECT.is_spec else None

    def agree(self, other: Any) -> None:
        """Both dialects of SCRAM use one nonce; the router takes it for the one that it chooses."""
        if isinstance(other, _Scram):
            self._nonce = other._nonce

    def prepare(self, session: Any) -> Any:
        """A fresh nonce; the channel to bind to, where there is one."""
        self._nonce.renew()
        self._expected = None
        wanted = self._wanted_binding
        channel = None if wanted is None else channel_id(session, wanted)
        self._binding = (None, b"") if channel is None else (wanted, channel)

    def on_challenge(self, session: Any, challenge: Any) -> Any:
        """The proof that we know the password, with the Extra that the dialect wants."""
        self._check_method(challenge)
        dialect, extra = self.DIALECT, challenge.extra
        kdf = dialect.kdf(extra.get("kdf"))
        iterations, memory, nonce = extra.get("iterations"), extra.get("memory"), extra.get("nonce")
        scram.check_cost(kdf, iterations, memory)
        if not dialect.continues(nonce, self._nonce.text):
            raise RuntimeError("expected a nonce that continues ours, got another one: this may be a replayed answer")
        salt = scram.unb64(extra.get("salt"), "salt")
        if not salt:
            raise RuntimeError("expected a salt, got none")
        bound, cbind_data = self._binding
        asked = extra.get("channel_binding") or None
        if dialect.is_spec and asked != bound:
            raise RuntimeError(f"expected the channel binding {bound}, got {asked!r:.100}")
        binding = dialect.binding(bound, cbind_data)
        authid = dialect.authid(self._args["authid"])
        message = scram.auth_message(authid, self._nonce.text, nonce, extra["salt"], iterations, binding)

        def answer(salted: bytes) -> Any:
            self._expected = scram.server_signature(scram.stored_keys(salted)[1], message)
            proof = scram.b64(scram.client_proof(salted, message))
            if not dialect.is_spec:
                return proof
            return proof, {
                "nonce": nonce,
                "channel_binding": bound,
                "cbind_data": scram.b64(cbind_data) if bound else None,
            }

        def salted(password: Any) -> Any:
            if not isinstance(password, str | bytes):
                raise TypeError(f"expected the password as str or bytes, got {type(password).__name__}")
            return offloaded(session, lambda: dialect.salted(kdf, password, salt, iterations, memory))

        return then(then(self._ask("password"), salted), answer)

    def on_welcome(self, session: Any, authextra: dict[str, Any] | None) -> Any:
        """None when the router has proved that it knows us, else what is wrong."""
        expected, self._expected = self._expected, None
        if expected is None:
            return "expected a SCRAM challenge before WELCOME, got none"
        text = (authextra or {}).get(self.DIALECT.verifier)
        try:
            got = scram.unb64(text.removeprefix("v=") if isinstance(text, str) else text, self.DIALECT.verifier)
        except ValueError as exc:
            return str(exc)
        if not hmac.compare_digest(expected, got):
            return "expected the router's proof that it knows us, got a wrong one"
        return None


class AuthScram(_Scram):
    """SCRAM as autobahn and crossbar speak it."""

    name = "scram"
    DIALECT = scram.CROSSBAR


class AuthWampScram(_Scram):
    """SCRAM as the specification has it."""

    name = "wamp-scram"
    DIALECT = scram.SPEC


def channel_id(session: Any, binding: str) -> bytes | None:
    """The channel's data for ``binding``; None, and a warning, when the transport has none."""
    transport = getattr(session, "transport", None)
    details = getattr(transport, "transport_details", None)
    found: bytes | None = (details.channel_id or {}).get(binding) if details is not None else None
    if found is None:
        log.warning(
            "the transport offers no channel binding %r (Python's ssl has tls-unique, up to TLS 1.2): going on without",
            binding,
        )
    return found

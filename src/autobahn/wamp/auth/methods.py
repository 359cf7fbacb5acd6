"""Authenticators without machinery of their own: anonymous, tls, cookie, ticket, wampcra."""

from __future__ import annotations

import logging
from typing import Any

from autobahn.wamp.auth.base import Authenticator, octets, offloaded, then
from autobahn.wamp.auth.helpers import compute_wcs, derive_key

log = logging.getLogger("autobahn.wamp")

MAX_ITERATIONS = 10_000_000  # a router may not keep us computing for minutes
LONG = 20_000  # iterations that take longer than the loop should stand still


class AuthAnonymous(Authenticator):
    """No authentication: there is nothing to answer a challenge with."""

    name = "anonymous"


class AuthAnonymousProxy(AuthAnonymous):
    """No authentication, for a proxy session."""

    name = "anonymous-proxy"


class AuthTls(Authenticator):
    """Our certificate of the TLS connection says who we are; it is part of the transport's ``ssl.SSLContext``.

    No challenge is answered: TLS has proved all there is to prove.
    """

    name = "tls"
    OPTIONAL = frozenset({"authid", "authrole", "authextra"})


class AuthCookie(Authenticator):
    """A cookie of an earlier connection says who we are; offer another method beside it for the first time.

    No challenge is answered: the cookie went with the WebSocket handshake.

    ``jar``: a `autobahn.websocket.cookies.CookieJar` to keep cookies in; default: one of the component's own.
    """

    name = "cookie"
    OPTIONAL = frozenset({"authid", "authrole", "authextra", "jar"})

    @property
    def jar(self) -> Any:
        """Where the cookies are kept; None: wherever the connection keeps them."""
        return self._args.get("jar")


class AuthTicket(Authenticator):
    """A ticket, sent as it is; over a connection that others can read, this is said once per attempt."""

    name = "ticket"
    REQUIRED = frozenset({"ticket"})

    def on_challenge(self, session: Any, challenge: Any) -> Any:
        """The ticket."""
        self._check_method(challenge)
        if is_exposed(getattr(session, "transport", None)):
            log.warning("the ticket of %s travels unencrypted: use TLS", self.authid)
        return self._ask("ticket")


class AuthWampCra(Authenticator):
    """WAMP challenge-response with a shared secret, salted if the router says so."""

    name = "wampcra"
    REQUIRED = frozenset({"authid", "secret"})
    OPTIONAL = frozenset({"authrole", "authextra"})

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        if not callable(kw["secret"]):
            octets(kw["secret"])

    def on_challenge(self, session: Any, challenge: Any) -> Any:
        """The signature of the challenge text."""
        self._check_method(challenge)
        extra = challenge.extra
        text = extra.get("challenge")
        if not isinstance(text, str):
            raise RuntimeError('expected a text "challenge" in the Extra of CHALLENGE, got none')
        return then(self._ask("secret"), lambda secret: self._sign(session, octets(secret), extra, text))

    def _sign(self, session: Any, secret: bytes, extra: dict[str, Any], text: str) -> Any:
        salt = extra.get("salt")
        if not salt:
            return compute_wcs(secret, text).decode("ascii")
        iterations, keylen = extra.get("iterations", 1000), extra.get("keylen", 32)
        if not (type(iterations) is int and 1 <= iterations <= MAX_ITERATIONS):
            raise RuntimeError(f"expected iterations from 1 to {MAX_ITERATIONS}, got {iterations!r:.100}")
        if not (type(keylen) is int and 1 <= keylen <= 1024):
            raise RuntimeError(f"expected a keylen from 1 to 1024, got {keylen!r:.100}")
        if iterations * (keylen // 32 + 1) > 2 * MAX_ITERATIONS:
            raise RuntimeError(
                f"expected a challenge that can be answered, got {iterations} rounds for {keylen} octets"
            )

        def sign() -> str:
            return compute_wcs(derive_key(secret, salt, iterations, keylen), text).decode("ascii")

        return offloaded(session, sign) if iterations > LONG else sign()


def is_exposed(transport: Any) -> bool:
    """Whether somebody on the way could read what ``transport`` carries, as far as is known."""
    details = getattr(transport, "transport_details", None)
    if details is None or details.is_secure is not False:
        return False
    peer = details.peer or ""
    return not any(name in peer for name in ("unix", "127.0.0.1", "::1", "local"))

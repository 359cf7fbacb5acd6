"""Authentication at the router: which methods a realm has, and what each of them asks of a client.

``Router(auth={realm: {method: settings}})``; the realm ``*`` stands for all that are not named. Methods: anonymous,
ticket, wampcra, scram, wamp-scram, cryptosign, tls, cookie. ``settings`` say where principals come from:

- ``principals``: a dict by authid, each with ``role`` (or ``roles``) and what the method needs:
  ticket: ``ticket`` or ``ticket_hash`` (see `hash_ticket`); wampcra: ``secret``, and when that is a derived key its
  ``salt``, ``iterations``, ``keylen``; scram: ``salt``, ``stored_key``, ``server_key``, ``kdf``, ``iterations``,
  ``memory`` (`scram.Credential.marshal`) or a plain ``password``; cryptosign: ``authorized_keys`` in hex;
  tls: ``certificate_sha256``, ``certificate_sha1`` or ``common_name``; cookie: no settings (see `auth_links`);
- ``file``: the same in a JSON or TOML file;
- ``sqlite``: the same in a table of an SQLite file, which is read at each login (see `auth_table`);
- ``authenticator``: a function ``(realm, authid, details)`` or the URI of a procedure, on ``realm`` if given.

The first method in the client's list that the realm has and that can judge this client is taken (tls needs a client
certificate, cookie a known one). A client that fails gets
``wamp.error.authentication_denied``, whether it exists or not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from autobahn.router.auth_limits import Attempts, KdfGate
from autobahn.router.auth_links import Cookie, Cookies, Tls
from autobahn.router.auth_methods import METHODS as OTHER_METHODS
from autobahn.router.auth_methods import Method, Tools, denied, hash_ticket
from autobahn.router.auth_principals import AUTHENTICATION_DENIED
from autobahn.router.auth_sources import source_of
from autobahn.router.login import NO_MATCHING_AUTH_METHOD, Admission, Login
from autobahn.router.service import Service
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.runtime import Runtime

__all__ = ("Authentication", "Cookies", "hash_ticket")

METHODS: dict[str, type[Method]] = {**OTHER_METHODS, Tls.name: Tls, Cookie.name: Cookie}

AUTHENTICATION_REQUIRED = "wamp.error.authentication_required"
NO_SUCH_PRINCIPAL = ApplicationError.NO_SUCH_PRINCIPAL


class AuthRouter(Protocol):
    """What authentication asks of its router."""

    runtime: Runtime | None
    service: Service


class Authentication:
    """The methods of all realms.

    Args:
        config: settings by realm and method.
        router: whose sessions are authenticated.
        tell_unknown: a client that does not exist is told so (``no_such_principal``) instead of being refused as one
            with a wrong secret; this lets everybody find out who exists.
        mock_secret: makes the salts of principals that do not exist; give one to keep them stable over restarts.
        attempts: the limits on failures.
        kdf_workers: how many key derivations run at a time.
        cookies: how clients are known again by a cookie, for realms with the method ``cookie``.
    """

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]],
        router: AuthRouter,
        *,
        tell_unknown: bool = False,
        mock_secret: bytes | None = None,
        attempts: Attempts | None = None,
        kdf_workers: int = 2,
        cookies: Cookies | None = None,
    ) -> None:
        self.tell_unknown = tell_unknown
        self._attempts = attempts if attempts is not None else Attempts()
        if any(Cookie.name in methods for methods in config.values()):
            cookies = cookies if cookies is not None else Cookies()
        self.cookies = cookies  # what a WebSocket server factory needs, if it is to set cookies
        gate = KdfGate(lambda: router.runtime, kdf_workers)
        self.mock_secret = mock_secret or secrets.token_bytes(32)
        self._tools = Tools(gate, self.mock_secret, cookies)
        self._realms = {realm: self._methods(realm, methods, router) for realm, methods in config.items()}

    def inherit(self, before: Authentication) -> None:
        """Failures that ``before`` has counted count on."""
        self._attempts.inherit(before._attempts)

    def _methods(self, realm: str, methods: Any, router: AuthRouter) -> dict[str, Method]:
        if not isinstance(methods, Mapping) or not methods:
            raise ValueError(f"expected authentication methods for the realm {realm!r}, got {methods!r:.100}")
        made: dict[str, Method] = {}
        for name, settings in methods.items():
            if name not in METHODS:
                raise ValueError(f"expected methods out of {', '.join(METHODS)} for the realm {realm!r}, got {name!r}")
            settings = {} if settings is True else settings
            if not isinstance(settings, Mapping):
                raise ValueError(f'expected a dict for "{name}" of the realm {realm!r}, got {type(settings).__name__}')
            source = None
            if name not in {"anonymous", "cookie"} or "authenticator" in settings:
                source = source_of(settings, name, router.service)
            made[name] = METHODS[name](settings, source, self._tools)
        return made

    def judge(self, login: Login) -> Any:
        """The `Admission` of the client, at once or as an awaitable; ``ApplicationError`` refuses it."""
        methods = self._realms.get(login.realm) or self._realms.get("*")
        offered: list[str] = login.details.get("authmethods") or []
        if methods is None:
            raise ApplicationError(NO_MATCHING_AUTH_METHOD, f"the realm {login.realm!r} has no authentication method")
        if not offered and "anonymous" not in methods:
            raise ApplicationError(
                AUTHENTICATION_REQUIRED, f"expected one of the methods {', '.join(methods)}, got none"
            )
        known = [methods[name] for name in offered or ["anonymous"] if name in methods]
        if not known:
            raise ApplicationError(
                NO_MATCHING_AUTH_METHOD,
                f"expected one of the methods {', '.join(methods)}, got {', '.join(offered):.200}",
            )
        method = next((method for method in known if method.applies(login)), None)
        if method is None:
            raise denied()
        if method.is_open:
            return method.admit(login)
        self._attempts.check(login.host, login.authid or "")
        return self._judge(method, login)

    async def _judge(self, method: Method, login: Login) -> Admission:
        key = (login.host, login.authid or "")
        try:
            admission: Admission = await method.admit(login)
        except ApplicationError as exc:
            if exc.error not in {AUTHENTICATION_DENIED, NO_SUCH_PRINCIPAL}:
                raise
            self._attempts.failed(*key)
            if exc.error == NO_SUCH_PRINCIPAL and not self.tell_unknown:
                raise ApplicationError(AUTHENTICATION_DENIED, *exc.args, **exc.kwargs) from None
            raise
        self._attempts.succeeded(*key)
        if self.cookies is not None and Cookie.name in (self._realms.get(login.realm) or self._realms.get("*") or ()):
            self.cookies.remember(getattr(login.transport, "http_cbtid", None), login.realm, admission)
        return admission

    def logged_out(self, transport: Any, realm: str) -> None:
        """The client behind ``transport`` is not known again by its cookie."""
        details = getattr(transport, "transport_details", None)
        if self.cookies is not None:
            self.cookies.forget(getattr(details, "http_cbtid", None), realm)

"""Who may join, and what finds them: principals given at the start, or a function that is asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from autobahn.router.login import Login
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import Accept, Deny
from autobahn.wamp.uri import is_valid

AUTHENTICATION_DENIED = "wamp.error.authentication_denied"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may join: who that is, and what proves it."""

    authid: str | None
    roles: tuple[str, ...]
    realm: str | None = None
    provider: str = "static"
    extra: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: Any, authid: str | None, provider: str, role: str | None = None) -> Principal:
        """Out of a configuration, or of what a dynamic authenticator returned: a role, a dict, or ``types.Accept``.

        ValueError names what is wrong.
        """
        if isinstance(data, Accept):
            data = {
                "authid": data.authid, "role": data.authrole, "realm": data.realm, "provider": data.authprovider,
                "extra": data.authextra,
            }  # fmt: skip
        if isinstance(data, str):
            data = {"role": data}
        if not isinstance(data, Mapping):
            raise ValueError(f"expected a role, a dict or Accept for a principal, got {type(data).__name__}")
        roles = data.get("roles") or data.get("role") or role
        roles = (roles,) if isinstance(roles, str) else tuple(roles or ())
        if not roles or not all(isinstance(name, str) for name in roles):
            raise ValueError(f"expected a role for the principal {authid!r}, got {roles!r:.100}")
        values = {key: data.get(key) for key in ("authid", "realm", "provider")}
        for key, value in values.items():
            if value is not None and not isinstance(value, str):
                raise ValueError(f"expected {key} of the principal {authid!r} as a text, got {type(value).__name__}")
        extra = data.get("extra") or {}
        if not isinstance(extra, Mapping):
            raise ValueError(f"expected extra of the principal {authid!r} as a dict, got {type(extra).__name__}")
        return cls(values["authid"] or authid, roles, values["realm"], values["provider"] or provider, extra, data)

    def role_for(self, asked: str | None) -> str:
        """The role of the session; ``no_such_role`` when the client insists on another one."""
        if asked is None:
            return self.roles[0]
        if asked not in self.roles:
            raise ApplicationError(
                ApplicationError.NO_SUCH_ROLE, f"expected a role of the principal, got {asked!r:.100}"
            )
        return asked


class Source(Protocol):
    """Finds principals."""

    async def find(self, login: Login, authid: str | None, **facts: Any) -> Principal | None:
        """The principal, or None when there is none; ``facts`` are what the client has said so far."""

    def known(self) -> Mapping[str, Principal]:
        """All that can be listed."""


class Static:
    """Principals from a dict."""

    def __init__(self, principals: Mapping[str, Any], role: str | None, provider: str = "static") -> None:
        self._principals = {
            authid: Principal.parse(data, authid, provider, role) for authid, data in principals.items()
        }

    async def find(self, login: Login, authid: str | None, **facts: Any) -> Principal | None:
        return self._principals.get(authid) if authid is not None else None

    def known(self) -> Mapping[str, Principal]:
        return self._principals


class Dynamic:
    """Principals from a function ``(realm, authid, details)``, plain or ``async``.

    It returns a role, a dict with ``role`` and more, or `types.Accept`; None or `types.Deny` says no, and so does an
    ``ApplicationError``, whose URI the client gets.
    """

    def __init__(self, fn: Callable[..., Any], method: str, role: str | None) -> None:
        self._fn = fn
        self._method = method
        self._role = role

    async def find(self, login: Login, authid: str | None, **facts: Any) -> Principal | None:
        details = {
            "authmethod": self._method,
            "authid": authid,
            "authrole": login.authrole,
            "authextra": login.authextra,
            "session": login.session_id,
            "transport": login.facts(),
            **facts,
        }
        try:
            outcome = self._fn(login.realm, authid, details)
            if inspect.isawaitable(outcome):
                outcome = await outcome
        except ApplicationError as exc:
            if not is_valid(exc.error):
                raise ValueError(f"expected a URI in the error of an authenticator, got {exc.error!r:.100}") from exc
            raise ApplicationError(exc.error, *(str(arg) for arg in exc.args[:1])) from exc
        if outcome is None or outcome is False:
            return None
        if isinstance(outcome, Deny):
            raise ApplicationError(outcome.reason, *([outcome.message] if outcome.message else []))
        return Principal.parse(outcome, authid, "dynamic", self._role)

    def known(self) -> Mapping[str, Principal]:
        return {}

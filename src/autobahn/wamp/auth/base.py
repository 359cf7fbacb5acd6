"""What all authenticators of a client have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from autobahn.wamp.interfaces import IAuthenticator


class Authenticator(IAuthenticator):
    """One method with its credentials. ``authid``, ``authrole`` and ``authextra`` go into HELLO."""

    name: ClassVar[str] = ""
    REQUIRED: ClassVar[frozenset[str]] = frozenset()
    OPTIONAL: ClassVar[frozenset[str] | None] = None  # None: any
    verifies_router = False  # whether a session without the router's proof is refused

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

    def agree(self, other: Any) -> None:
        """What HELLO has once only for us and ``other``, both offered by one session, is shared with it."""

    def prepare(self, session: Any) -> Any:
        """All is ready for HELLO on the transport of ``session``; None or an awaitable. Called before each HELLO."""
        return None

    def on_challenge(self, session: Any, challenge: Any) -> Any:
        """The signature, or ``(signature, extra)`` with the Extra of AUTHENTICATE; or an awaitable of that.

        Raises ``RuntimeError`` in methods that have nothing to answer with.
        """
        raise RuntimeError(f'expected no challenge for authentication method "{self.name}", got one')

    def on_welcome(self, session: Any, authextra: dict[str, Any] | None) -> Any:
        """None: the router has nothing to prove in this method."""
        return None

    def _ask(self, key: str) -> Any:
        """The value of ``key`` as it is now: callables are called."""
        value = self._args[key]
        return value() if callable(value) else value

    def _check_method(self, challenge: Any) -> None:
        if challenge.method != self.name:
            raise RuntimeError(f'expected a challenge for "{self.name}", got one for "{challenge.method}"')


def then(value: Any, fn: Callable[[Any], Any]) -> Any:
    """``fn(value)``: now, or an awaitable of it when ``value`` is awaitable."""
    return _later(value, fn) if isinstance(value, Awaitable) else fn(value)


async def _later(value: Any, fn: Callable[[Any], Any]) -> Any:
    outcome = fn(await value)
    return await outcome if isinstance(outcome, Awaitable) else outcome


def offloaded(session: Any, fn: Callable[[], Any]) -> Any:
    """The result of ``fn``, which computes for long: an awaitable of it when the session's loop can go on meanwhile."""
    run = getattr(getattr(session, "_runtime", None), "run_blocking", None)
    return fn() if run is None else run(fn)


def octets(value: str | bytes) -> bytes:
    """``value`` in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf8")
    if isinstance(value, bytes):
        return value
    raise TypeError(f"expected str or bytes, got {type(value).__name__}")

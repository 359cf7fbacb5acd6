"""WAMP sessions for asyncio: `ApplicationSession`, `Session` and `ApplicationRunner`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from autobahn import _lazy
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.log import Log
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.session import ClientSession, settle
from autobahn.wamp.types import CloseDetails, ComponentConfig

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from autobahn.wamp.request import Publication, Registration, Subscription
    from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
    from autobahn.wamp.uri import CheckTypes

if TYPE_CHECKING:
    from autobahn.asyncio.runner import ApplicationRunner
else:  # it brings the transports
    __getattr__, __dir__ = _lazy.offer(__name__, {"autobahn.asyncio.runner": ["ApplicationRunner"]})

__all__ = ("ApplicationRunner", "ApplicationSession", "ApplicationSessionFactory", "Session")


class ApplicationSession(ClientSession):
    """A WAMP session on asyncio, with overridable camelCase callbacks.

    Callbacks run in this order: ``onConnect`` (default: join ``config.realm``), ``onChallenge`` when the router asks,
    ``onWelcome``, ``onJoin(details)``, ``onLeave(details)`` (default: disconnect), ``onDisconnect``.
    Each may be a plain or an ``async`` method.
    """

    if TYPE_CHECKING:
        # What `ClientSession` does not know, which knows no asyncio. `Any` beside a type: it depends on values.

        def call(
            self, /, procedure: str, *args: Any, options: CallOptions | None = None, **kwargs: Any
        ) -> asyncio.Future[Any]: ...
        @overload
        def publish(self, topic: str, *args: Any, options: None = None, **kwargs: Any) -> None: ...
        @overload
        def publish(
            self, topic: str, *args: Any, options: PublishOptions, **kwargs: Any
        ) -> asyncio.Future[Publication] | Any: ...
        def publish(self, topic: str, *args: Any, options: Any = None, **kwargs: Any) -> Any: ...
        @overload  # a callable is an object, too, but then it is one handler
        def subscribe(  # type: ignore[overload-overlap]
            self,
            handler: Callable[..., Any],
            topic: str | None = None,
            options: SubscribeOptions | None = None,
            check_types: CheckTypes = None,
        ) -> asyncio.Future[Subscription]: ...
        @overload
        def subscribe(
            self,
            handler: object,
            topic: None = None,
            options: SubscribeOptions | None = None,
            check_types: CheckTypes = None,
        ) -> asyncio.Future[list[Subscription | Exception]]: ...
        def subscribe(self, handler: Any, topic: Any = None, options: Any = None, check_types: Any = None) -> Any: ...
        @overload
        def register(  # type: ignore[overload-overlap]
            self,
            endpoint: Callable[..., Any],
            procedure: str | None = None,
            options: RegisterOptions | None = None,
            prefix: str | None = None,
            check_types: CheckTypes = None,
        ) -> asyncio.Future[Registration]: ...
        @overload
        def register(
            self,
            endpoint: object,
            procedure: None = None,
            options: RegisterOptions | None = None,
            prefix: str | None = None,
            check_types: CheckTypes = None,
        ) -> asyncio.Future[list[Registration | Exception]]: ...
        def register(
            self, endpoint: Any, procedure: Any = None, options: Any = None, prefix: Any = None, check_types: Any = None
        ) -> Any: ...
        def leave(self, reason: str | None = None, message: str | None = None) -> asyncio.Future[None] | Any: ...

    def onOpen(self, transport: Any) -> None:
        if self._runtime is None:
            self._runtime = AsyncioRuntime()
        super().onOpen(transport)


class ApplicationSessionFactory:
    """Makes sessions: ``session`` is the class, called with the config."""

    session: Any = ApplicationSession
    log = Log("autobahn.wamp")

    def __init__(self, config: ComponentConfig | None = None) -> None:
        self.config = config if config is not None else ComponentConfig(realm="realm1")

    def __call__(self) -> Any:
        """A new session whose ``factory`` attribute is this factory."""
        session = self.session(self.config)
        session.factory = self
        return session


class Session(ApplicationSession):
    """A WAMP session on asyncio with authenticators and snake_case callbacks; what `Component` creates."""

    def __init__(self, config: ComponentConfig | None = None, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self._authenticators: dict[str, Any] = {}

    def add_authenticator(self, authenticator: Any) -> None:
        """Offer ``authenticator`` (its ``name`` is the method) when joining.

        All authenticators of a session must agree on ``authid`` and ``authrole``, and on equal values for
        ``authextra`` keys that several of them set; ValueError otherwise.
        """
        for other in self._authenticators.values():
            if (agree := getattr(authenticator, "agree", None)) is not None:
                agree(other)
            for key in ("authid", "authrole"):
                mine, theirs = getattr(authenticator, key, None), getattr(other, key, None)
                if mine is not None and theirs is not None and mine != theirs:
                    raise ValueError(f"Inconsistent {key}: expected {theirs!r} as in {other.name}, got {mine!r}")
            for key, value in (authenticator.authextra or {}).items():
                if (other.authextra or {}).get(key, value) != value:
                    raise ValueError(f"Inconsistent authextra: {key!r} differs from that of {other.name}")
        self._authenticators[authenticator.name] = authenticator

    def onConnect(self) -> Any:
        if not self._authenticators:
            return self.on_connect()
        try:
            steps = [prepare(self) for a in self._authenticators.values() if (prepare := getattr(a, "prepare", None))]
        except Exception as exc:
            return self._cannot_authenticate(exc)
        if waiting := [step for step in steps if step is not None]:
            return self._join_prepared(waiting)
        return self._join_authenticated()

    async def _join_prepared(self, waiting: list[Any]) -> None:
        try:
            await self._runtime.gather(*waiting)
        except Exception as exc:
            self._cannot_authenticate(exc)
        else:
            self._join_authenticated()

    def _cannot_authenticate(self, exc: Exception) -> None:
        """There is no HELLO to send: a secret could not be got. The session ends as a refused one does."""
        self._user_error(exc, "Authentication failed")
        self._end(CloseDetails(ApplicationError.CANNOT_AUTHENTICATE, str(exc)))

    def _join_authenticated(self) -> None:
        """HELLO offers all authenticators."""
        authextra: dict[str, Any] = {}
        authid = authrole = None
        for authenticator in self._authenticators.values():
            authextra.update(authenticator.authextra or {})
            authid = getattr(authenticator, "authid", None) or authid
            authrole = getattr(authenticator, "authrole", None) or authrole
        self.join(
            self.config.realm or "",
            authmethods=list(self._authenticators),
            authid=authid,
            authrole=authrole,
            authextra=authextra or None,
        )

    def onChallenge(self, challenge: Any) -> Any:
        try:
            authenticator = self._authenticators[challenge.method]
        except KeyError:
            offered = ", ".join(self._authenticators) or "none"
            raise RuntimeError(
                f"expected a challenge for a method offered ({offered}), got {challenge.method}"
            ) from None
        return authenticator.on_challenge(self, challenge)

    async def onWelcome(self, msg: Any) -> Any:
        method = msg.details.get("authmethod")
        authenticator = self._authenticators.get(method)
        if authenticator is None and any(getattr(a, "verifies_router", False) for a in self._authenticators.values()):
            return f"expected a method by which the router proves itself, got {method}"
        if authenticator is not None:
            refusal = await settle(authenticator.on_welcome(self, msg.details.get("authextra")))
            if refusal is not None:
                return refusal
        return await settle(self.on_welcome(msg))

    def onJoin(self, details: Any) -> Any:
        return self.on_join(details)

    def onLeave(self, details: Any) -> Any:
        return self.on_leave(details)

    def onDisconnect(self) -> Any:
        return self.on_disconnect()

    def on_connect(self) -> Any:
        """The transport is open and no authenticator is set. Default: join ``config.realm``."""
        self.join(self.config.realm or "")

    def on_welcome(self, welcome_msg: Any) -> Any:
        """WELCOME was received; return an error text to refuse the session, or None."""

    def on_join(self, details: Any) -> Any:
        """The session is joined."""

    def on_leave(self, details: Any) -> Any:
        """The session has ended. Default: close the transport."""
        self.disconnect()

    def on_disconnect(self) -> Any:
        """The transport is gone."""

"""Components: WAMP clients that connect, join, and come back when the connection is lost.

What a component works with (transports, sessions, messages) is imported when one is made: a program may import its
components long before it runs them, or without running them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from autobahn._names import named_options
from autobahn.asyncio.loops import get_or_create_event_loop, loop_at_hand
from autobahn.asyncio.run import run
from autobahn.log import Log
from autobahn.wamp._record import expect_seconds
from autobahn.wamp.listeners import Listeners
from autobahn.wamp.types import ComponentConfig, RegisterOptions, SubscribeOptions
from autobahn.wamp.uri import CheckTypes, require_uri

if TYPE_CHECKING:
    from autobahn.asyncio.durable import Declaration
    from autobahn.asyncio.runtime import AsyncioRuntime
    from autobahn.asyncio.supervisor import Supervisor

__all__ = ("Component", "run")

F = TypeVar("F", bound=Callable[..., Any])

EVENTS = ("start", "connect", "join", "ready", "leave", "disconnect", "connectfailure")


class _DefaultSession:
    """The class attribute that is `autobahn.asyncio.wamp.Session`."""

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        from autobahn.asyncio.wamp import Session

        return Session


class Component:
    """A WAMP client that holds one session on ``realm``, over the first of ``transports`` that works.

    ``main(loop, session)`` runs after joining; the component is done when it returns. Without it the component runs
    until its session leaves or `stop` is called. A lost connection, an unreachable router or a refused session is
    retried as the transport's retry settings say, unless ``is_fatal(exception)`` returns True or the router has refused
    our credentials (`autobahn.wamp.refusal`). A server that asks for patience (HTTP ``Retry-After``, close codes
    1012 and 1013, ``retry_after`` seconds in the details of ABORT or GOODBYE) gets it, up to ``max_retry_delay``.

    What ``@component.register`` and ``@component.subscribe`` declare stands again after each join, with the same
    options, before the ``on_join`` handlers and ``main`` run. A procedure that is taken is asked for again for a
    minute, as it may be a lost session of our own that has it; a declaration that is refused fails the attempt.

    ``call_timeout``, ``request_timeout``: seconds, of each session (`Session.call_timeout`): how long a call may take
    that says nothing of that, and the router to answer a registration, a subscription, an acknowledged publication.

    All arguments are checked here: ValueError names the key and what is expected. A connection that is silent is
    noticed by pings every 20 seconds, unless the transport's options say otherwise.
    """

    session_factory: Callable[..., Any] = _DefaultSession()  # type: ignore[assignment]
    log = Log("autobahn.component")
    join_timeout = 30.0
    """Seconds the router may take to answer HELLO, AUTHENTICATE, and what is declared."""
    close_timeout = 5.0
    """Seconds for GOODBYE, the closing handshake and the last callbacks; then the connection is cut off."""

    @named_options
    def __init__(  # noqa: PLR0913 - the documented ones, and two of ours
        self,
        main: Callable[..., Any] | None = None,
        transports: Any = None,
        config: Any = None,
        realm: str = "default",
        extra: Any = None,
        authentication: dict[str, Any] | None = None,
        session_factory: Callable[..., Any] | None = None,
        is_fatal: Callable[[BaseException], bool] | None = None,
        *,
        call_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> None:
        from autobahn.asyncio.endpoints import parse_transports
        from autobahn.websocket.cookies import cookie_jar

        for name, value in (("main", main), ("is_fatal", is_fatal), ("session_factory", session_factory)):
            if value is not None and not callable(value):
                raise ValueError(f"expected {name} as a callable or None, got {type(value).__name__}")
        if not isinstance(realm, str):
            raise ValueError(f"expected realm as str, got {type(realm).__name__}")
        expect_seconds("call_timeout", call_timeout)
        expect_seconds("request_timeout", request_timeout)
        self._call_timeout = call_timeout
        self._request_timeout = request_timeout
        if authentication is not None and not isinstance(authentication, Mapping):
            raise ValueError(f"expected authentication as a dict of methods, got {type(authentication).__name__}")
        self._main = main
        self._is_fatal = is_fatal
        self._transports = parse_transports(transports)
        self._config = ComponentConfig(realm=realm, extra=extra)
        self._authentication = dict(authentication or {})
        jar = cookie_jar(self._make_authenticators())  # wrong credentials' keys show up here, not at the first attempt
        for description in self._transports:
            description.cookies = jar
        if session_factory is not None:
            self.session_factory = session_factory
        self._listeners = Listeners(EVENTS)
        self._declared: list[Declaration] = []
        self._task: asyncio.Task[None] | None = None
        self._supervisor: Supervisor | None = None
        self._listening: set[asyncio.Task[Any]] = set()  # that run a listener now

    # ---- declaring -----------------------------------------------------------------------------------------

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """Call ``handler`` (plain or ``async``) whenever ``event`` happens."""
        self._listeners.add(event, handler)

    def off(self, event: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """Remove ``handler`` (or all) from ``event`` (or from every event)."""
        self._listeners.remove(event, handler)

    def on_join(self, fn: F) -> F:
        """Decorator: ``fn(session, details)`` runs after each join."""
        return self._listener("join", fn)

    def on_leave(self, fn: F) -> F:
        """Decorator: ``fn(session, details)`` runs after the session ended."""
        return self._listener("leave", fn)

    def on_connect(self, fn: F) -> F:
        """Decorator: ``fn(session, transport)`` runs when a transport is open, before joining."""
        return self._listener("connect", fn)

    def on_disconnect(self, fn: F) -> F:
        """Decorator: ``fn(session, was_clean=bool)`` runs when the transport is gone."""
        return self._listener("disconnect", fn)

    def on_ready(self, fn: F) -> F:
        """Decorator: ``fn(session)`` runs when all join handlers have finished."""
        return self._listener("ready", fn)

    def on_connectfailure(self, fn: F) -> F:
        """Decorator: ``fn(component, exception)`` runs after each failed attempt or session."""
        return self._listener("connectfailure", fn)

    def register(
        self, uri: str, options: RegisterOptions | None = None, check_types: CheckTypes = False
    ) -> Callable[[F], F]:
        """Decorator: register the function under ``uri`` after each join; ``check_types`` as for `Session.register`."""
        if options is not None and not isinstance(options, RegisterOptions):
            raise TypeError(f"expected options of type RegisterOptions, got {type(options).__name__}")
        require_uri(uri, (options.match if options is not None else None) or "exact")

        return self._declarator("register", uri, options, check_types)

    def subscribe(
        self, topic: str, options: SubscribeOptions | None = None, check_types: CheckTypes = False
    ) -> Callable[[F], F]:
        """Decorator: subscribe the function to ``topic`` after each join."""
        if options is not None and not isinstance(options, SubscribeOptions):
            raise TypeError(f"expected options of type SubscribeOptions, got {type(options).__name__}")
        require_uri(topic, (options.match if options is not None else None) or "exact")

        return self._declarator("subscribe", topic, options, check_types)

    def _declarator(self, kind: str, uri: str, options: Any, check_types: CheckTypes) -> Callable[[F], F]:
        from autobahn.asyncio.durable import Declaration
        from autobahn.wamp.declared import prepared

        def decorate(fn: F) -> F:
            self._declared.append(Declaration(kind, uri, (prepared(fn, options, check_types), uri, options)))
            return fn

        return decorate

    def _listener(self, event: str, fn: F) -> F:
        self.on(event, fn)
        return fn

    # ---- running -------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """Start the component on ``loop`` (default: the running one); a future that is done when it has stopped.

        Its result is None after an orderly end; it raises `ComponentFailed` when all transports are given up.
        Cancelling the future does not stop the component: use `stop`. While it runs, another future of the same end.
        """
        if self._task is None or self._task.done():
            from autobahn.asyncio.supervisor import Supervisor

            loop = loop if loop is not None else get_or_create_event_loop()
            self._supervisor = Supervisor(self, self._transports, loop)
            self._task = loop.create_task(self._supervisor.run(), name="autobahn component")
            self._task.add_done_callback(_retrieve)
        shielded = asyncio.shield(self._task)
        shielded.add_done_callback(_retrieve)
        return shielded

    def stop(self) -> asyncio.Future[None]:
        """Leave the realm, close the transport and do not reconnect; a future that is done when all is closed.

        That takes `close_timeout` and two seconds at most, in whatever state the component is. Where user code of this
        component calls it (a listener, ``main``, an endpoint) the future is done at once: the end waits for that code,
        so that code cannot wait for the end. Calling it again, or when nothing runs, does no harm.
        """
        task = self._task
        future = _future(task)
        if self._supervisor is not None:
            self._supervisor.stop()
        if task is None or task.done() or self._is_inside():
            future.set_result(None)
        else:
            task.add_done_callback(lambda _: None if future.done() else future.set_result(None))
        return future

    def _is_inside(self) -> bool:
        """Whether the code that runs now is user code of this component."""
        try:
            current = asyncio.current_task()
        except RuntimeError:  # no running loop
            return False
        attempt = self._supervisor.attempt if self._supervisor is not None else None
        return current in self._listening or (attempt is not None and attempt.owns(current))

    # ---- for the supervisor (autobahn.asyncio.attempt.Client) -----------------------------------------------

    @property
    def main(self) -> Callable[..., Any] | None:
        """What runs after each join, if anything."""
        return self._main

    @property
    def declarations(self) -> list[Declaration]:
        """What is registered and subscribed after each join."""
        return self._declared

    def is_fatal(self, exc: BaseException) -> bool:
        """Whether the program says that ``exc`` makes further attempts pointless."""
        if self._is_fatal is None:
            return False
        try:
            return bool(self._is_fatal(exc))
        except Exception as error:
            self.log.error("is_fatal of a component failed", exc_info=error)
            return False

    def make_session(self, runtime: AsyncioRuntime) -> Any:
        """A session for the next attempt."""
        session = self.session_factory(self._config)
        session._runtime = runtime
        if self._call_timeout is not None:
            session.call_timeout = self._call_timeout
        if self._request_timeout is not None:
            session.request_timeout = self._request_timeout
        for authenticator in self._make_authenticators():
            session.add_authenticator(authenticator)
        return session

    async def fire(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Run all listeners of ``event`` together, as if it had happened; True when none failed."""
        return await self.announce(event, None, *args, **kwargs)

    async def announce(self, event: str, session: Any, /, *args: Any, **kwargs: Any) -> bool:
        """Run all listeners of ``event`` together; an error of one is reported once. True when none failed.

        All are called before others get a turn: plain functions have run when ``async`` ones, and ``main``, begin.
        """
        outcomes = [self._call(event, session, fn, args, kwargs) for fn in tuple(self._listeners.of(event))]
        running = [self._settle(event, session, outcome) for outcome in outcomes if not isinstance(outcome, bool)]
        try:
            settled = await asyncio.gather(*running) if running else []
        finally:
            for outcome in outcomes:
                if inspect.iscoroutine(outcome):
                    outcome.close()  # nothing to do, unless we were cancelled before it began
        return False not in outcomes and all(settled)

    def _call(self, event: str, session: Any, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What is to be awaited, or whether there was no error."""
        task = asyncio.current_task()
        assert task is not None
        self._listening.add(task)
        try:
            outcome = fn(*args, **kwargs)
        except Exception as exc:
            return self._listener_failed(event, session, exc)
        finally:
            self._listening.discard(task)
        return outcome if inspect.isawaitable(outcome) else True

    async def _settle(self, event: str, session: Any, outcome: Awaitable[Any]) -> bool:
        task = asyncio.current_task()
        assert task is not None
        self._listening.add(task)
        try:
            await outcome
        except Exception as exc:
            return self._listener_failed(event, session, exc)
        finally:
            self._listening.discard(task)
        return True

    def _listener_failed(self, event: str, session: Any, exc: Exception) -> bool:
        if session is not None:
            session._user_error(exc, f"While notifying '{event}' of a component")
        else:
            self.log.error("While notifying '{event}' of a component", event=event, exc_info=exc)
        return False

    def _make_authenticators(self) -> list[Any]:
        if not self._authentication:
            return []
        from autobahn.wamp.auth import create_authenticator  # cryptography is for those who use it

        return [
            create_authenticator(name, **settings) if isinstance(settings, dict) else settings
            for name, settings in self._authentication.items()
        ]


def _future(task: asyncio.Task[None] | None) -> asyncio.Future[None]:
    """A new one, of the loop that ``task`` is in, or of that of the thread."""
    loop = asyncio._get_running_loop() or (None if task is None else task.get_loop()) or loop_at_hand()
    if loop is None:  # the future will have its result at once: it needs no loop that runs, and none is left behind
        loop = asyncio.new_event_loop()
        loop.close()
    return loop.create_future()


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark the exception of a future as seen: the supervisor has logged it."""
    if not future.cancelled():
        future.exception()

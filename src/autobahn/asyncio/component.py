"""Components: WAMP clients that connect, join, and come back when the connection is lost."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable
from typing import Any

from autobahn.asyncio.endpoints import TransportDescription, parse_transports
from autobahn.asyncio.run import run
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.wamp import Session
from autobahn.log import Log
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.auth.refusal import is_refusal
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CloseDetails, ComponentConfig, RegisterOptions, SubscribeOptions
from autobahn.websocket.cookies import CookieJar

__all__ = ("Component", "run")

EVENTS = ("start", "connect", "join", "ready", "leave", "disconnect", "connectfailure")
CLEAN_REASONS = ("wamp.close.normal", "wamp.close.goodbye_and_out")
CLOSE_TIMEOUT = 5.0  # seconds for GOODBYE and the closing of the transport when stopping
LASTING = 5.0  # seconds a session must have been joined for its retries to start afresh

logger = logging.getLogger("autobahn.component")


class Component:
    """A WAMP client that holds one session on ``realm``, over the first of ``transports`` that works.

    ``main(loop, session)`` runs after joining; the component is done when it returns. Without it the component runs
    until its session leaves or `stop` is called. A lost connection, an unreachable router or a refused session is
    retried as the transport's retry settings say, unless ``is_fatal(exception)`` returns True or the router has refused
    our credentials (`autobahn.wamp.auth.refusal`).

    What ``@component.register`` and ``@component.subscribe`` declare is registered anew after each join, before the
    ``on_join`` handlers and ``main`` run.
    """

    session_factory = Session
    log = Log("autobahn.component")

    def __init__(
        self,
        main: Callable[..., Any] | None = None,
        transports: Any = None,
        config: Any = None,
        realm: str = "default",
        extra: Any = None,
        authentication: dict[str, Any] | None = None,
        session_factory: Callable[..., Any] | None = None,
        is_fatal: Callable[[BaseException], bool] | None = None,
    ) -> None:
        for name, value in (("main", main), ("is_fatal", is_fatal), ("session_factory", session_factory)):
            if value is not None and not callable(value):
                raise ValueError(f"expected {name} as a callable or None, got {type(value).__name__}")
        self._main = main
        self._is_fatal = is_fatal
        self._transports = parse_transports(transports)
        self._config = ComponentConfig(realm=realm, extra=extra)
        self._authentication = dict(authentication or {})
        if "cookie" in self._authentication:
            self._keep_cookies()
        self._make_authenticators()  # wrong credentials' keys show up here, not at the first attempt
        if session_factory is not None:
            self.session_factory = session_factory  # type: ignore[assignment]
        self._listeners: dict[str, list[Callable[..., Any]]] = {name: [] for name in EVENTS}
        self._declared: list[tuple[str, tuple[Any, ...]]] = []
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._runtime: AsyncioRuntime | None = None

    # ---- declaring -----------------------------------------------------------------------------------------

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """Call ``handler`` (plain or ``async``) whenever ``event`` happens."""
        if event not in self._listeners:
            raise RuntimeError(f"expected an event name out of {', '.join(EVENTS)}, got {event!r}")
        self._listeners[event].append(handler)

    def off(self, event: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """Remove ``handler`` (or all) from ``event`` (or from every event)."""
        for name in EVENTS if event is None else (event,):
            kept = [] if handler is None else [h for h in self._listeners[name] if h != handler]
            self._listeners[name][:] = kept

    def on_join(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(session, details)`` runs after each join."""
        return self._listener("join", fn)

    def on_leave(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(session, details)`` runs after the session ended."""
        return self._listener("leave", fn)

    def on_connect(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(session, transport)`` runs when a transport is open, before joining."""
        return self._listener("connect", fn)

    def on_disconnect(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(session, was_clean=bool)`` runs when the transport is gone."""
        return self._listener("disconnect", fn)

    def on_ready(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(session)`` runs when all join handlers have finished."""
        return self._listener("ready", fn)

    def on_connectfailure(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``fn(component, exception)`` runs after each failed attempt or session."""
        return self._listener("connectfailure", fn)

    def register(
        self, uri: str, options: RegisterOptions | None = None, check_types: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: register the function under ``uri`` after each join."""
        if options is not None and not isinstance(options, RegisterOptions):
            raise TypeError(f"expected options of type RegisterOptions, got {type(options).__name__}")

        def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._declared.append(("register", (fn, uri, options, None, check_types)))
            return fn

        return decorate

    def subscribe(
        self, topic: str, options: SubscribeOptions | None = None, check_types: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: subscribe the function to ``topic`` after each join."""
        if options is not None and not isinstance(options, SubscribeOptions):
            raise TypeError(f"expected options of type SubscribeOptions, got {type(options).__name__}")

        def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._declared.append(("subscribe", (fn, topic, options, check_types)))
            return fn

        return decorate

    def _listener(self, event: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        self.on(event, fn)
        return fn

    # ---- running -------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """Start the component on ``loop`` (default: the running one); a future that is done when it has stopped.

        Its result is None after an orderly end; RuntimeError when all transports are exhausted. Cancelling the
        future does not stop the component: use `stop`.
        """
        if self._task is None or self._task.done():
            loop = loop if loop is not None else asyncio.get_running_loop()
            self._stop = asyncio.Event()
            self._runtime = AsyncioRuntime(loop)
            self._task = loop.create_task(self._supervise(loop), name="autobahn component")
            self._task.add_done_callback(_retrieve)
        shielded = asyncio.shield(self._task)
        shielded.add_done_callback(_retrieve)
        return shielded

    def stop(self) -> asyncio.Future[None]:
        """Leave the realm, close the transport and do not reconnect; a future that is done when all is closed."""
        if self._task is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future
        assert self._stop is not None
        self._stop.set()
        shielded = asyncio.shield(self._task)
        shielded.add_done_callback(_retrieve)
        return shielded

    async def _supervise(self, loop: asyncio.AbstractEventLoop) -> None:
        """The whole life of the component: attempts in turn over all transports until one ends in order.

        Every attempt has one of three ends: a clean one (return), a failure (the transport's next delay, or the
        transport is given up), or the stop event.
        """
        assert self._stop is not None
        assert self._runtime is not None
        rng = random.Random()  # noqa: S311 - jitter, seeded from the system; no global generator is touched
        await self._fire("start", loop, self)
        candidates = [(description, description.retry.delays(rng)) for description in self._transports]
        last_error: BaseException | None = None
        try:
            while candidates:
                description, delays = candidates.pop(0)
                delay = next(delays, None)
                if delay is None:
                    continue
                if delay:
                    self.log.info("trying {url} again in {delay:.1f} s", url=description.url, delay=delay)
                if await _within(delay, self._stop.wait()):
                    return
                attempt = Attempt(self, description, loop)
                try:
                    if await attempt.run():
                        return
                    raise attempt.failure
                except Exception as exc:
                    last_error = exc
                if self._stop.is_set():
                    return
                self.log.warn("connection to {url} failed: {error}", url=description.url, error=_explain(last_error))
                await self._fire("connectfailure", self, last_error)
                if not attempt.was_joined and is_refusal(last_error):
                    continue  # the same credentials will not do better next time
                if self._is_fatal is not None and self._is_fatal(last_error):
                    continue
                if attempt.lasted >= LASTING:
                    delays = description.retry.delays(rng)
                    next(delays)  # not at once: everybody else lost this router, too
                candidates.append((description, delays))
            raise RuntimeError("Component failed: Exhausted all transport connect attempts") from last_error
        finally:
            await self._runtime.finish(0 if self._stop.is_set() else CLOSE_TIMEOUT)

    def _make_session(self) -> Any:
        assert self._runtime is not None
        session = self.session_factory(self._config)
        session._runtime = self._runtime
        for authenticator in self._make_authenticators():
            session.add_authenticator(authenticator)
        return session

    def _keep_cookies(self) -> None:
        """The transports remember what the servers set, for the authentication method "cookie"."""
        settings = self._authentication["cookie"]
        jar = settings.get("jar") if isinstance(settings, dict) else None
        jar = CookieJar() if jar is None else jar
        for description in self._transports:
            description.cookies = jar

    def _make_authenticators(self) -> list[Any]:
        return [
            create_authenticator(name, **settings) if isinstance(settings, dict) else settings
            for name, settings in self._authentication.items()
        ]

    async def _declare(self, session: Any) -> None:
        """Stand up everything declared, in one go."""
        requests = [getattr(session, kind)(*args) for kind, args in self._declared]
        if requests:
            await asyncio.gather(*requests)

    async def _fire(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Run all listeners of ``event`` together; an error of one is reported once. True when none failed."""
        listeners = self._listeners[event]
        if not listeners:
            return True
        return all(await asyncio.gather(*(self._call(event, fn, args, kwargs) for fn in listeners)))

    async def _call(self, event: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> bool:
        assert self._runtime is not None
        try:
            outcome = fn(*args, **kwargs)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as exc:
            self._runtime.report(f"While notifying '{event}' of a component", exc, realm=self._config.realm)
            return False
        return True


class Attempt:
    """One connection of a component: from dialling to the end of the transport."""

    def __init__(
        self, component: Component, description: TransportDescription, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._component = component
        self._description = description
        self._loop = loop
        self._ended: asyncio.Future[bool] = loop.create_future()  # True: in order, False: see failure
        self._left = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._joined_at: float | None = None
        self._main_task: asyncio.Task[Any] | None = None
        self.failure: Exception = TransportLost("the connection was lost before a session was joined")
        self.lasted = 0.0

    async def run(self) -> bool:
        """Connect and stay until the session is over and the transport closed; True for an orderly end."""
        stop = self._component._stop
        assert stop is not None
        session = self._component._make_session()
        for event in ("connect", "join", "ready", "leave", "disconnect"):
            session.on(event, getattr(self, f"_on_{event}"))
        stopping = self._loop.create_task(stop.wait(), name="autobahn component stop")
        connecting = self._loop.create_task(self._description.connect(lambda: session), name="autobahn connect")
        try:
            await asyncio.wait({stopping, connecting}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return True
            protocol = connecting.result()
            ends: list[asyncio.Future[Any]] = [stopping, self._ended]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await self._finish_main(wait=self._ended.done() and self._ended.result() and not stop.is_set())
            await self._close(session, protocol)
        finally:
            stopping.cancel()
            connecting.cancel()
            await asyncio.wait({stopping, connecting})
            if self._joined_at is not None:
                self.lasted = self._loop.time() - self._joined_at
        return stop.is_set() or self._ended.result()

    @property
    def was_joined(self) -> bool:
        """Whether the router has let us in."""
        return self._joined_at is not None

    async def _finish_main(self, wait: bool) -> None:
        """Let ``main`` run to its end after an orderly leave; end it when the session is lost or to be stopped."""
        if self._main_task is None:
            return
        if not wait:
            self._main_task.cancel()
        await asyncio.wait({self._main_task})

    async def _close(self, session: Any, protocol: Any) -> None:
        """Leave, close, and wait for the last callback; each is insisted on when it takes too long."""
        if session.is_attached():
            session.leave()
            await _within(CLOSE_TIMEOUT, self._left.wait())
        session.disconnect()
        if not await _within(CLOSE_TIMEOUT, self._disconnected.wait()):
            protocol.dropConnection(abort=True)
            await _within(CLOSE_TIMEOUT, self._disconnected.wait())
        self._finish(True)

    def _finish(self, in_order: bool) -> None:
        if not self._ended.done():
            self._ended.set_result(in_order)

    async def _on_connect(self, session: Any, transport: Any) -> None:
        await self._component._fire("connect", session, transport)

    async def _on_join(self, session: Any, details: Any) -> None:
        self._joined_at = self._loop.time()
        component = self._component
        await component._declare(session)
        if component._main is not None:
            self._main_task = self._loop.create_task(self._run_main(session), name="autobahn component main")
        if not await component._fire("join", session, details):
            raise ApplicationError("wamp.error.runtime_error", "a join handler failed")

    async def _run_main(self, session: Any) -> None:
        try:
            outcome = self._component._main(self._loop, session)  # type: ignore[misc]
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as exc:
            session._user_error(exc, "While running main")
            self.failure = exc
            self._finish(False)
        else:
            self._finish(True)

    async def _on_ready(self, session: Any) -> None:
        await self._component._fire("ready", session)

    async def _on_leave(self, session: Any, details: CloseDetails) -> None:
        await self._component._fire("leave", session, details)
        self._left.set()
        if details.reason in CLEAN_REASONS:
            self._finish(True)
        else:
            self.failure = ApplicationError(details.reason or "", details.message)
            self._finish(False)

    async def _on_disconnect(self, session: Any, was_clean: bool) -> None:
        await self._component._fire("disconnect", session, was_clean=was_clean)
        self._disconnected.set()
        self._finish(was_clean)


async def _within(seconds: float, awaitable: Any) -> bool:
    """Await for at most ``seconds``; whether it finished."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark the exception of a future as seen: the supervisor has logged it."""
    if not future.cancelled():
        future.exception()


def _explain(exc: BaseException | None) -> str:
    return f"{type(exc).__name__}: {exc}" if exc is not None else "unknown"

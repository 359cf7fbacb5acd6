"""The plain API without asyncio: for scripts, and for programs with threads.

    import autobahn.sync

    with autobahn.sync.connect("ws://localhost:8080/ws", realm="realm1") as session:
        print(session.call("com.example.add2", 2, 3))
        for event in session.events("com.example.ticks", timeout=10):
            print(event.args)

Every connection has a loop in a thread of its own; loops of the program are neither used nor disturbed. What is
returned here may be used from many threads. Handlers and endpoints are plain functions and run in threads as well:
handlers of one session one after the other, endpoints side by side.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial, wraps
from types import TracebackType
from typing import Any, Generic, TypeVar, Unpack, overload

from autobahn.asyncio.connect import ConnectOptions, close_websocket
from autobahn.asyncio.connect import connect as async_connect
from autobahn.asyncio.joining import close_session
from autobahn.asyncio.stream import WebSocket as AsyncWebSocket
from autobahn.asyncio.thread import LoopThread
from autobahn.asyncio.wamp import Session as AsyncSession
from autobahn.wamp.types import (
    Event,
    RegisterOptions,
    Registration,
    SessionDetails,
    SubscribeOptions,
    Subscription,
)

__all__ = ("Session", "Stream", "WebSocket", "connect")

T = TypeVar("T")


@overload
def connect(url: str, *, realm: None = None, **options: Unpack[ConnectOptions]) -> WebSocket: ...
@overload
def connect(
    url: str,
    *,
    realm: str,
    auth: Any = None,
    serializers: Iterable[Any] | None = None,
    extra: Any = None,
    timeout: float | None = None,
    workers: int = 8,
    **options: Unpack[ConnectOptions],
) -> Session: ...
def connect(
    url: str, *, realm: str | None = None, timeout: float | None = None, workers: int = 8, **options: Any
) -> Any:
    """An open `WebSocket`, or with `realm` a `Session` that has joined. Use it in a `with` block, or `close` it.

    Arguments and exceptions are those of `autobahn.connect`. For a session, `timeout`: seconds that each call,
    registration, subscription and acknowledged publication may take (`None`: any time), else `TimeoutError`;
    `workers`: how many endpoints may run at a time.
    """
    if realm is None and (timeout is not None or workers != 8):
        raise TypeError("expected realm with timeout or workers, got none (recv has a timeout of its own)")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"expected workers as an int from 1, got {workers!r}")
    if realm is not None:
        options["realm"] = realm
    door: Any = async_connect(url, **options)  # what is wrong shows up before there is a thread
    thread = LoopThread()
    try:
        opened = thread.run(lambda: door)
    except BaseException:
        thread.stop()
        raise
    if realm is None:
        return WebSocket(thread, opened)
    opened.blocking_threads = workers
    return Session(thread, opened, timeout)


class _Connection(Generic[T]):
    """What both kinds of connection share: the loop's thread, and the end."""

    def __init__(
        self, thread: LoopThread, opened: T, close: Callable[[T, BaseException | None], Awaitable[None]]
    ) -> None:
        self._thread = thread
        self._opened = opened
        self._close = close
        # Also when nobody holds the connection any more, or the program ends.
        self._end = weakref.finalize(self, thread.finish, partial(close, opened, None))

    def close(self) -> None:
        """Closes in order, and ends the threads; nothing happens the second time."""
        self._finish(None)

    def _finish(self, exc: BaseException | None) -> None:
        if self._end.detach() is not None:
            self._thread.finish(partial(self._close, self._opened, exc))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(exc)


class WebSocket(_Connection[AsyncWebSocket]):
    """An open WebSocket: `send`, `recv` or `for`, `ping`, `close`; see `autobahn.WebSocket`.

    `timeout`: seconds, `None` for any time, else `TimeoutError`; a message that comes later is not lost.
    """

    def __init__(self, thread: LoopThread, opened: AsyncWebSocket) -> None:
        super().__init__(thread, opened, close_websocket)

    def __enter__(self) -> WebSocket:
        return self

    @property
    def peer(self) -> str:
        """Who is at the other end."""
        return self._opened.peer

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol in use."""
        return self._opened.subprotocol

    @property
    def response(self) -> Any:
        """The `ConnectionResponse` of the server (headers, ...)."""
        return self._opened.response

    @property
    def closed(self) -> bool:
        """Whether the connection has ended; messages may still be waiting for `recv`."""
        return self._opened.closed

    @property
    def close_code(self) -> int | None:
        """How the connection ended; `None` while it has not."""
        return self._opened.close_code

    @property
    def close_reason(self) -> str | None:
        """The text that belongs to `close_code`."""
        return self._opened.close_reason

    def send(self, message: str | bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Sends a text or binary message, and waits while too much is on its way. Raises `ConnectionClosed`."""
        self._thread.run(lambda: self._opened.send(message), timeout)

    def recv(self, timeout: float | None = None) -> str | bytes:
        """The next message. Raises `ConnectionClosed` when the connection has ended and all messages are received."""
        return self._thread.run(self._opened.recv, timeout)

    def ping(self, timeout: float | None = None) -> float:
        """Seconds that a ping and its pong take. Raises `ConnectionClosed`."""
        return self._thread.run(self._opened.ping, timeout)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes in order with `code`, and ends the thread; nothing happens the second time."""
        if self._end.detach() is not None:
            self._thread.finish(lambda: self._opened.close(code, reason))

    def __iter__(self) -> Iterator[str | bytes]:
        """Message by message; ends after an orderly close, raises `ConnectionClosedError` after any other end."""
        while True:
            try:
                yield self._thread.run(self._opened.__anext__)
            except StopAsyncIteration:
                return


class Session(_Connection[AsyncSession]):
    """A WAMP session that has joined its realm. Exceptions are those of the session with asyncio.

    When the connection is lost, what waits fails with `TransportLost`, and so does what is asked of it later.
    """

    def __init__(self, thread: LoopThread, opened: AsyncSession, timeout: float | None) -> None:
        super().__init__(thread, opened, close_session)
        self.timeout = timeout
        """Seconds that each request may take; `None` for any time."""
        self._worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="autobahn-handler")

    def __enter__(self) -> Session:
        return self

    def _finish(self, exc: BaseException | None) -> None:
        super()._finish(exc)
        self._worker.shutdown(wait=False, cancel_futures=True)

    @property
    def details(self) -> SessionDetails:
        """What the session became when it joined: realm, authid, authrole, ..."""
        details = self._opened.session_details
        assert details is not None
        return details

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return not self._opened.is_attached()

    def define(self, exception: type[BaseException], error: str | None = None) -> None:
        """Errors with the URI `error` are raised as `exception`, and the other way round."""
        self._opened.define(exception, error)

    def call(self, procedure: str, /, *args: Any, **kwargs: Any) -> Any:
        """The result of `procedure`; the keyword `options` is a `CallOptions`. Raises `ApplicationError`."""
        return self._ask(lambda: self._opened.call(procedure, *args, **kwargs))

    def call_stream(self, procedure: str, /, *args: Any, **kwargs: Any) -> Stream[Any]:
        """The progressive results of `procedure`, for a `for` loop; `timeout` of the session is for each of them."""
        opened = self._ask(_soon(lambda: self._opened.call_stream(procedure, *args, **kwargs)))
        return Stream(self._thread, opened, self.timeout, _soon(opened.cancel))

    def publish(self, topic: str, /, *args: Any, **kwargs: Any) -> Any:
        """Publishes an event; the keyword `options` is a `PublishOptions`, with `acknowledge` a `Publication` returns.

        Waits while too much is on its way to the router.
        """

        async def work() -> Any:
            waiting = self._opened.publish(topic, *args, **kwargs)
            publication = None if waiting is None else await waiting
            drain = getattr(self._opened.transport, "drain", None)
            if drain is not None:
                await drain()
            return publication

        return self._ask(work)

    def events(
        self, topic: str, options: SubscribeOptions | None = None, *, timeout: float | None = None
    ) -> Stream[Event]:
        """The events of `topic` for a `for` loop, from now on; `TimeoutError` when none comes within `timeout` seconds.

        Give the subscription up with `close()`, or use a `with` block.
        """

        async def work() -> Any:
            return await self._opened.events(topic, options).__aenter__()

        opened = self._ask(work)
        return Stream(self._thread, opened, timeout, opened.aclose)

    def subscribe(
        self, handler: Callable[..., Any], topic: str, options: SubscribeOptions | None = None
    ) -> Handle[Subscription]:
        """`handler` is called with each event of `topic`, in a thread, until `unsubscribe()` of what is returned."""
        _require_plain(handler, "handler")
        options = SubscribeOptions() if options is None else copy.copy(options)
        options.mode = options.mode or "ordered"

        async def work() -> Any:
            return await self._opened.subscribe(_in_thread(handler, self._worker), topic, options)

        return Handle(self, self._ask(work))

    def register(
        self, endpoint: Callable[..., Any], procedure: str, options: RegisterOptions | None = None
    ) -> Handle[Registration]:
        """`endpoint` serves calls of `procedure`, in threads, until `unregister()` of what is returned."""
        _require_plain(endpoint, "endpoint")
        options = RegisterOptions() if options is None else copy.copy(options)
        options.blocking = True
        return Handle(self, self._ask(lambda: self._opened.register(endpoint, procedure, options)))

    def wait_closed(self, timeout: float | None = None) -> None:
        """Waits for the end of the session: for scripts that only serve. Raises `TimeoutError`."""
        self._thread.run(self._opened.wait_disconnected, timeout)

    def _ask(self, make: Callable[[], Awaitable[T]]) -> T:
        return self._thread.run(make, self.timeout)


class Handle(Generic[T]):
    """A `Subscription` or `Registration` in the loop's thread: `target`."""

    def __init__(self, session: Session, target: T) -> None:
        self._session = session
        self.target = target

    @property
    def active(self) -> bool:
        """Whether it holds."""
        return bool(getattr(self.target, "active", False))

    def unsubscribe(self) -> None:
        """The handler gets no more events."""
        target: Any = self.target
        self._session._ask(lambda: _awaited(target.unsubscribe))

    def unregister(self) -> None:
        """The endpoint serves no more calls."""
        target: Any = self.target
        self._session._ask(lambda: _awaited(target.unregister))


class Stream(Generic[T]):
    """A loop over what comes: events, or progressive results."""

    def __init__(
        self, thread: LoopThread, opened: Any, timeout: float | None, close: Callable[[], Awaitable[Any]]
    ) -> None:
        self._thread = thread
        self._opened = opened
        self._timeout = timeout
        self._close = close

    @property
    def result(self) -> Any:
        """The final result of a call, once the loop has ended."""
        return self._opened.result

    def close(self) -> None:
        """The loop is over: the subscription is given up, the call cancelled. Twice is once."""
        self._thread.run(self._close)

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._thread.run(self._opened.__anext__, self._timeout)  # type: ignore[no-any-return]
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _soon(fn: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """A function for the loop's thread that is done at once."""

    async def work() -> T:
        return fn()

    return work


async def _awaited(fn: Callable[[], Awaitable[T]]) -> T:
    return await fn()


def _in_thread(handler: Callable[..., Any], worker: concurrent.futures.Executor) -> Callable[..., Any]:
    """`handler` as the session calls it: it runs in `worker`."""

    @wraps(handler)
    async def handle(*args: Any, **kwargs: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(worker, partial(handler, *args, **kwargs))

    return handle


def _require_plain(fn: Any, name: str) -> None:
    if not callable(fn):
        raise TypeError(f"expected a callable as {name}, got {type(fn).__name__}")
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"expected a plain function as {name}, got an async one (use autobahn.connect for those)")

"""What every stream protocol of the shell needs: an outbox with batched writes, one timer, tasks that are kept.

Knows nothing of WebSocket; RawSocket uses the same.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


READ_SIZE = 262144  # octets taken from a socket at a time

_of_thread = threading.local()


def shared_read_buffer() -> memoryview:
    """The buffer into which all connections of this thread receive.

    One will do, because what is read is consumed before the next socket is read; and it saves allocating that many
    octets for every read, which costs more than parsing what is usually in them.
    """
    try:
        return _of_thread.buffer  # type: ignore[no-any-return]
    except AttributeError:
        buffer = _of_thread.buffer = memoryview(bytearray(READ_SIZE))
        return buffer


class Buffer(Protocol):
    """Octets waiting to be sent (`autobahn.websocket.frames.Writer`)."""

    @property
    def size(self) -> int: ...
    def take(self) -> bytes: ...
    def flush(self, write: Callable[[bytes], object], /) -> None: ...


class Outbox:
    """Writes a buffer to a transport: once per batch that is read, else once per turn of the loop.

    Implements `autobahn.websocket.connection.Sink`. After `close` and `abort` nothing is written any more.
    """

    __slots__ = ("_closed", "_flush_scheduled", "_loop", "_timer", "_transport", "buffer")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._flush_scheduled = False
        self._closed = False
        self.buffer: Buffer | None = None

    def wake(self) -> None:
        """The buffer is flushed in this turn of the loop or the next."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def flush(self) -> None:
        """The buffer is empty and the transport has its octets."""
        buffer = self.buffer
        if buffer is not None and buffer.size:
            if self._closed:
                buffer.take()
            else:
                buffer.flush(self._transport.write)

    def close(self) -> None:
        """Flushes, then closes the transport once it has written everything."""
        self.flush()
        self._closed = True
        self._transport.close()

    def half_close(self) -> None:
        """Flushes and sends FIN, and reading goes on; closes when the transport (TLS) cannot do that."""
        self.flush()
        self._closed = True
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def abort(self) -> None:
        """Closes the transport now; what is not written yet is lost."""
        self._closed = True
        self._transport.abort()

    def set_timeout(self, seconds: float, callback: Callable[[], None] | None) -> None:
        """Calls `callback` after `seconds`; replaces the call set before. 0 or `None`: none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds and callback is not None:
            self._timer = self._loop.call_later(seconds, callback)


ErrorHook = Callable[[BaseException, str], None]


class Tasks:
    """Runs awaitables that user callbacks returned and keeps them referenced until they are done.

    An exception goes to `report(exc, where)`, once; a cancelled task is none.
    """

    __slots__ = ("_report", "_tasks")

    def __init__(self, report: ErrorHook) -> None:
        self._report = report
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(self, value: Any, where: str, then: Callable[[Any], None] | None = None) -> None:
        """Runs `value` when it is awaitable and calls `then` with its result; other values are ignored."""
        if not inspect.isawaitable(value):
            return
        future: asyncio.Future[Any] = asyncio.ensure_future(_awaitable(value))
        self._tasks.add(future)

        def done(future: asyncio.Future[Any]) -> None:
            self._tasks.discard(future)
            if future.cancelled():
                return
            if (exc := future.exception()) is not None:
                self._report(exc, where)
            elif then is not None:
                then(future.result())

        future.add_done_callback(done)


def _awaitable(value: Awaitable[Any]) -> Any:
    """`value` as something `ensure_future` takes."""
    if asyncio.iscoroutine(value) or asyncio.isfuture(value):
        return value

    async def wait() -> Any:
        return await value

    return wait()


def peer_string(transport: asyncio.BaseTransport) -> str:
    """Who is at the other end: "tcp4:HOST:PORT", "tcp6:HOST:PORT", "unix:PATH", "pipe:..." or "unknown"."""
    sock = transport.get_extra_info("socket")
    address = transport.get_extra_info("peername")
    if sock is None:
        return "unknown" if transport.get_extra_info("pipe") is None else "pipe"
    if sock.family == socket.AF_INET and address:
        return f"tcp4:{address[0]}:{address[1]}"
    if sock.family == socket.AF_INET6 and address:
        return f"tcp6:{address[0]}:{address[1]}"
    if sock.family == getattr(socket, "AF_UNIX", None):
        path = address or transport.get_extra_info("sockname") or ""
        return f"unix:{path.decode(errors='replace') if isinstance(path, bytes) else path}"
    return "unknown"

"""What every stream protocol of the shell needs: an outbox with batched writes, one timer, tasks that are kept.

Knows nothing of WebSocket; RawSocket uses the same.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from autobahn.asyncio.deadline import Deadline
from autobahn.asyncio.direct import is_asyncios, is_plain, plain_socket
from autobahn.asyncio.timers import timers_of

HIGH_WATER = 65536
"""Octets waiting to be sent beyond which a transport is said to be above its high-water mark."""
LOW_WATER = 16384
READ_SIZE = 524288  # octets taken from a socket at a time: 64 messages of 8 KiB

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
    def flush(self, write: Callable[[bytes | bytearray | memoryview], object], /) -> None: ...


class Direct(Protocol):
    """A buffer of the compiled units, which can hand what it holds to a socket itself (`_gather.pxi`)."""

    @property
    def sent(self) -> int: ...
    def attach(self, transport: asyncio.Transport, socket: int, is_asyncios: bool, /) -> None: ...
    def detach(self) -> None: ...
    def send(self, is_last: bool = False, /) -> bool: ...


USUAL_WATER = (64 * 1024, 16 * 1024)
"""High and low water of the transports of event loops, unless they are told other."""


class Outbox:
    """Writes a buffer to a transport: once per batch that is read, else once per turn of the loop.

    Implements `autobahn.websocket.connection.Sink`. After `close` and `abort` nothing is written any more.

    Flow control, for protocols that pass on `pause_writing` (to `pause`) and `resume_writing` (to `resume`): while the
    transport is above its high-water mark, the buffer is held back until it has a worthwhile size, and `drain` waits.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_closed",
        "_direct",
        "_drainers",
        "_flush_scheduled",
        "_is_going",
        "_left",
        "_loop",
        "_taken",
        "_timer",
        "_transport",
        "above",
        "buffer",
        "paused",
        "socket",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._timer: Deadline | None = None
        self._flush_scheduled = False
        self._closed = self._is_going = False
        self._backlog: deque[bytes] | None = None  # made when needed: it takes more memory than the rest
        self._backlog_size = 0
        self._taken = 0  # octets out of the buffer so far
        self._left = -1  # octets the system had taken when `is_moving` was asked last; -1: then nothing waited
        self._drainers: list[asyncio.Future[None]] | None = None
        self._direct: Direct | None = None  # the buffer, while it may send past the transport
        self.socket = -1
        """The descriptor of the socket of a plain transport, once the buffer goes past that."""
        self.buffer: Buffer | None = None
        self.paused = False
        """Whether the transport wants no more for now."""
        self.above = False
        """Whether the high-water mark was passed and the low-water mark not reached since."""

    def wake(self) -> None:
        """The buffer is flushed in this turn of the loop or the next."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def begin(self, buffer: Any, high: int, low: int) -> None:
        """Writes `buffer`, past the transport where that can be; `high` and `low`: its water marks in octets."""
        self.buffer = buffer
        sock = plain_socket(self._transport)
        if sock is not None:
            self.go_direct(buffer, sock)
        if sock is None or (high, low) != USUAL_WATER:
            self._transport.set_write_buffer_limits(high=high, low=min(low, high))

    def go_direct(self, buffer: Any, sock: int) -> None:
        """From now on `buffer`, if it can do that, sends past the transport, to its socket (`plain_socket`)."""
        self.socket = sock
        if hasattr(buffer, "attach") and not self._closed:
            self._direct = buffer
            if not self.paused:
                buffer.attach(self._transport, sock, is_asyncios(self._transport))

    def _try_direct(self) -> None:
        sock = plain_socket(self._transport)
        if sock is not None:
            self.go_direct(self.buffer, sock)

    def _end_direct(self) -> None:
        """The socket is left alone: it is the transport's, which closes it."""
        if self._direct is not None:
            self._direct.detach()
            self._taken += self._direct.sent
            self._direct = None

    def flush(self) -> None:
        """The buffer is empty and the transport has its octets; while it is paused they wait here."""
        buffer = self.buffer
        if buffer is not None and buffer.size:
            if self._direct is not None and self._direct.send():
                return
            if not self._closed and self._transport.is_closing() and self._send_last():
                return
            self._taken += buffer.size
            if self.paused:
                if buffer.size >= HIGH_WATER:
                    # Not into the transport: its one growing buffer would be copied again and again.
                    if self._backlog is None:
                        self._backlog = deque()
                    self._backlog.append(buffer.take())
                    self._backlog_size += len(self._backlog[-1])
                else:
                    self._taken -= buffer.size
                return
            if self._closed:
                buffer.take()
            else:
                buffer.flush(self._transport.write)

    def _send_last(self) -> bool:
        """A program closed the transport, which drops what comes now, but its socket is open until the next turn."""
        assert self.buffer is not None
        if not is_plain(self._transport):
            return False
        if self._transport.get_protocol() is None:  # it is gone, and the program kept that from us
            self.buffer.take()
            return True
        if self._direct is None:
            self._try_direct()
        return self._direct is not None and self._direct.send()

    def close(self) -> None:
        """Flushes, then closes the transport once it has written everything."""
        if self._direct is None:
            self._try_direct()
        if self._direct is not None and not self.paused:
            self._direct.send(True)  # with FIN in the same segment: half the work for both ends
        self._flush_all()
        self._closed = True
        transport = self._transport
        # Then the transport is gone in the next turn of the loop, and needs no timer of ours.
        self._is_going = not transport.get_write_buffer_size() and transport.get_extra_info("ssl_object") is None
        transport.close()

    def half_close(self) -> None:
        """Flushes and sends FIN, and reading goes on; closes when the transport (TLS) cannot do that."""
        self._flush_all()
        self._closed = True
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def abort(self) -> None:
        """Closes the transport now; what is not written yet is lost."""
        self._closed = True
        self._end_direct()
        self._transport.abort()

    def _flush_all(self) -> None:
        self._end_direct()
        self.paused = False
        while self._backlog:
            self._transport.write(self._backlog.popleft())
        self._backlog_size = 0
        self.paused = False
        self.flush()

    @property
    def waiting(self) -> int:
        """Octets that the system has not taken yet."""
        size = self._transport.get_write_buffer_size() + self._backlog_size
        return size if self.buffer is None else size + self.buffer.size

    @property
    def sent(self) -> int:
        """Octets that have left the buffer so far."""
        return self._taken if self._direct is None else self._taken + self._direct.sent

    def is_moving(self) -> bool:
        """Whether octets wait, or waited when this was asked last, and the system has taken some since."""
        before = self._left
        waiting = self._transport.get_write_buffer_size() + self._backlog_size
        taken = self.sent - waiting
        self._left = taken if waiting else -1
        return taken != before if before >= 0 else waiting > 0

    def pause(self) -> bool:
        """The transport is above its high-water mark; whether that is news."""
        is_news = not self.above and not self._closed
        self.paused = self.above = True
        if self._direct is not None:
            self._direct.detach()
        return is_news

    def resume(self) -> bool:
        """The transport is at its low-water mark and gets what was held back; whether it is still there then."""
        self.paused = False
        while self._backlog:
            self._backlog_size -= len(self._backlog[0])
            self._transport.write(self._backlog.popleft())
            if self.paused:
                return False
        self.flush()
        if self.paused:
            return False
        self.above = False
        if self._direct is not None:
            self._direct.attach(self._transport, self.socket, is_asyncios(self._transport))
        self._wake_drainers(None)
        return True

    async def drain(self) -> None:
        """Returns when the transport is below its high-water mark. Raises what `lost` gives."""
        buffer = self.buffer
        if buffer is not None and buffer.size > HIGH_WATER:
            self.flush()
            if not self.paused:
                await asyncio.sleep(0)  # whoever sends without end leaves a turn to the others
        while self.paused:
            if self._drainers is None:
                self._drainers = []
            future = self._loop.create_future()
            self._drainers.append(future)
            await future

    def lost(self, make: Callable[[], Exception]) -> None:
        """The connection is gone: whoever waits in `drain` gets an exception out of `make`."""
        self._closed = True
        self._end_direct()
        self.buffer = None  # it refers to us
        self.paused = self.above = False
        self._backlog = None
        self._backlog_size = 0
        self._wake_drainers(make)

    def _wake_drainers(self, make: Callable[[], Exception] | None) -> None:
        drainers, self._drainers = self._drainers, None
        for future in drainers or ():
            if future.done():
                continue
            if make is None:
                future.set_result(None)
            else:
                future.set_exception(make())

    def set_timeout(self, seconds: float, callback: Callable[[], None] | None) -> None:
        """Calls `callback` after `seconds` (`Deadline`); replaces the call set before. 0 or `None`: none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds and callback is not None and not self._is_going:
            self._timer = Deadline(timers_of(self._loop), seconds, callback)


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
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple) and isinstance(address[0], str):  # an IP address; `family` of a socket is slow
        return f"tcp{4 if len(address) == 2 else 6}:{address[0]}:{address[1]}"
    sock = transport.get_extra_info("socket")
    if sock is None:
        return "unknown" if transport.get_extra_info("pipe") is None else "pipe"
    if sock.family == getattr(socket, "AF_UNIX", None):
        path = address or transport.get_extra_info("sockname") or ""
        return f"unix:{path.decode(errors='replace') if isinstance(path, bytes) else path}"
    return "unknown"


def gather_segments(transport: asyncio.BaseTransport) -> None:
    """Small writes wait for the peer's acknowledgement (Nagle), which event loops switch off for TCP."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, False)

"""`WebSocket`: a connection as an object to send on and receive from, over the documented protocol classes."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol
from autobahn.exception import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, Disconnected
from autobahn.wamp._record import expect_type
from autobahn.websocket.connection import State

__all__ = ("WebSocket",)

MAX_QUEUE = 64
MAX_QUEUE_SIZE = 1024 * 1024
ORDERLY = frozenset({None, 1000, 1001, 1005})
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})  # RFC 6455 7.4.1 and the IANA registry


def queue_bounds(max_queue: Any, max_queue_size: Any) -> dict[str, int]:
    """The bounds of what may wait to be received, as `WebSocket` takes them; `None` is none.

    Raises `TypeError` or `ValueError`.
    """
    bounds = {"max_queue": max_queue, "max_queue_size": max_queue_size}
    for name, value in bounds.items():
        expect_type(name, value, int)
        if value is None:
            bounds[name] = sys.maxsize
        elif value < 0:
            raise ValueError(f"expected {name} to be 0 or more, got {value}")
    return bounds


_DOCUMENTED = {
    "open_timeout": "openHandshakeTimeout",
    "close_timeout": "closeHandshakeTimeout",
    "ping_interval": "autoPingInterval",
    "ping_timeout": "autoPingTimeout",
    "max_size": "maxMessagePayloadSize",
    "max_connections": "maxConnections",
}


def limits_of(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The documented options behind those of `connect` and `serve` with these names; `None` and 0 are no limit.

    Raises `TypeError` or `ValueError`, which say the names the program used.
    """
    limits = {}
    for name in names:
        value = options[name]
        expect_type(name, value, int if name.startswith("max_") else (int, float))
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"expected {name} to be 0 or more, or None, got {value}")
        limits[_DOCUMENTED[name]] = value or 0
    return limits


class WebSocket:
    """An open WebSocket connection: `send`, `recv` or `async for`, `ping`, `close`.

    Text messages are `str`, binary ones `bytes`. Reading from the network pauses while `max_queue` messages or
    `max_queue_size` octets wait to be received, so a slow receiver slows the peer down and not this process.
    """

    __slots__ = (
        "_closing",
        "_ended",
        "_loop",
        "_max_queue",
        "_max_queue_size",
        "_paused",
        "_pings",
        "_protocol",
        "_queue",
        "_receiver",
        "_size",
        "request",
        "response",
    )

    def __init__(self, protocol: Any, *, max_queue: int = MAX_QUEUE, max_queue_size: int = MAX_QUEUE_SIZE) -> None:
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._max_queue = max_queue
        self._max_queue_size = max_queue_size
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._size = 0
        self._paused = False
        self._closing = False
        self._receiver: asyncio.Future[None] | None = None
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.request: Any = None
        """On a server: the `ConnectionRequest` (path, params, headers, origin, ...)."""
        self.response: Any = None
        """On a client: the `ConnectionResponse` (headers, protocol, extensions, ...)."""

    # -- what is known of the connection ------------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """Who is at the other end, like "tcp4:127.0.0.1:9000"; through a proxy that is the proxy."""
        peer: str | None = self._protocol.peer
        return peer or "unknown"

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol in use."""
        subprotocol: str | None = self._protocol.websocket_protocol_in_use
        return subprotocol

    @property
    def path(self) -> str:
        """On a server: the path that was asked for."""
        path: str = self.request.path if self.request is not None else self._protocol.factory.path
        return path

    @property
    def protocol(self) -> Any:
        """The protocol below, with the documented callbacks and methods."""
        return self._protocol

    @property
    def closed(self) -> bool:
        """Whether the connection has ended; messages may still be waiting for `recv`."""
        return self._ended.done()

    @property
    def is_paused(self) -> bool:
        """Whether reading from the network is paused, because too much waits to be received."""
        return self._paused

    @property
    def close_code(self) -> int | None:
        """How the connection ended (see `ConnectionClosed`); `None` while it has not."""
        return self._error().code if self.closed else None

    @property
    def close_reason(self) -> str | None:
        """The text that belongs to `close_code`."""
        return self._error().reason if self.closed else None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows: "peername", "sockname", "socket", "ssl_object", ... (see asyncio)."""
        transport = self._protocol.transport
        return default if transport is None else transport.get_extra_info(name, default)

    # -- sending ------------------------------------------------------------------------------------------------

    async def send(self, message: str | bytes | bytearray | memoryview, *, compress: bool = True) -> None:
        """Sends a text (str) or binary message and waits while too much is on its way already.

        Cancelling does not take the message back. Raises `ConnectionClosed`, `PayloadExceededError`, `TypeError`.
        """
        if isinstance(message, str):
            payload, is_binary = message.encode(), False
        elif isinstance(message, bytes | bytearray | memoryview):
            payload, is_binary = bytes(message), True
        else:
            raise TypeError(f"expected a message of type str or bytes, got {type(message).__name__}")
        try:
            self._protocol.sendMessage(payload, is_binary, doNotCompress=not compress)
        except Disconnected:
            await self.wait_closed()
            error = self._error()
            raise error from error.__cause__
        await self.drain()

    async def drain(self) -> None:
        """Waits while too much is on its way. Raises `ConnectionClosed` when the connection ends meanwhile."""
        drain = getattr(self._protocol, "drain", None)
        if drain is None:
            return
        try:
            await drain()
        except (Disconnected, ConnectionError):
            await self.wait_closed()
            error = self._error()
            raise error from error.__cause__

    async def ping(self) -> float:
        """Sends a ping and waits for its pong; the seconds between them. Raises `ConnectionClosed`.

        The pong queues up behind the messages that are not received yet.
        """
        if self._protocol.state != State.OPEN:
            await self.wait_closed()
            raise self._error()
        payload = os.urandom(8)
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pings[payload] = pong
        started = time.perf_counter()
        try:
            self._protocol.sendPing(payload)
            await pong
        finally:
            self._pings.pop(payload, None)
        return time.perf_counter() - started

    # -- receiving ----------------------------------------------------------------------------------------------

    async def recv(self) -> str | bytes:
        """The next message. Raises `ConnectionClosed` when the connection has ended and all messages are received.

        Cancelling loses no message. One task at a time may wait here: `RuntimeError`.
        """
        while not self._queue:
            if self._ended.done():
                raise self._error()
            if self._receiver is not None:
                raise RuntimeError("expected one task in recv() at a time, got another")
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        payload, is_binary = self._queue.popleft()
        self._size -= len(payload)
        if self._paused and len(self._queue) * 2 <= self._max_queue and self._size * 2 <= self._max_queue_size:
            self._resume()
        return payload if is_binary else payload.decode()

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        """The next message; ends after an orderly close, and raises `ConnectionClosedError` after any other end."""
        try:
            return await self.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    # -- closing ------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes in order and waits for the end; nothing happens when that has begun. Does not raise for the peer.

        `code`: 1000 to 1003, 1007 to 1014 or 3000 to 4999, else `ValueError`; `reason` is cut to 123 octets. The
        connection is dropped when the peer does not answer in time, and when this is cancelled.
        """
        self.start_close(code, reason)
        try:
            await self.wait_closed()
        except BaseException:
            self.abort()
            raise

    def start_close(self, code: int = 1000, reason: str = "") -> None:
        """Starts the closing handshake and does not wait."""
        if not isinstance(code, int) or isinstance(code, bool):
            raise TypeError(f"expected a close code of type int, got {type(code).__name__}")
        if code not in _SENDABLE and not 3000 <= code <= 4999:
            raise ValueError(f"expected a close code that may be sent, got {code}")
        connection = self._protocol._ws_connection
        if connection is not None:
            connection.end(code, reason or None)
        self._closing = True
        if self._paused:
            self._resume()  # the peer's close frame has to be read; what is beyond the queue is dropped

    def abort(self) -> None:
        """Drops the connection now."""
        self._protocol.dropConnection(abort=True)

    async def wait_closed(self) -> None:
        """Waits for the end of the connection."""
        if not self._ended.done():
            await asyncio.wait({self._ended})

    async def __aenter__(self) -> WebSocket:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<WebSocket {self.peer} {State(self._protocol.state).name}>"

    # -- what the protocol tells --------------------------------------------------------------------------------

    def _received(self, payload: bytes, is_binary: bool) -> None:
        full = len(self._queue) >= self._max_queue or self._size >= self._max_queue_size
        if full and self._closing:
            return
        self._queue.append((payload, is_binary))
        self._size += len(payload)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
        if self._paused or self._closing:
            return
        if len(self._queue) >= self._max_queue or self._size >= self._max_queue_size:
            self._paused = True
            transport = self._protocol.transport
            if transport is not None and not transport.is_closing():
                transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def _ponged(self, payload: bytes) -> None:
        if payload not in self._pings:
            return
        for sent, pong in list(self._pings.items()):  # a pong answers the earlier pings, too (RFC 6455 5.5.3)
            del self._pings[sent]
            if not pong.done():
                pong.set_result(None)
            if sent == payload:
                break

    def _end(self) -> None:
        """The connection is gone; everyone who waits hears of it."""
        if self._ended.done():
            return
        self._ended.set_result(None)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
        for pong in self._pings.values():
            if not pong.done():
                pong.set_exception(self._error())
        self._pings.clear()

    def _error(self) -> ConnectionClosed:
        """How the connection ended, new each time: a traceback belongs to one raise."""
        protocol = self._protocol
        codes = {protocol.localCloseCode, protocol.remoteCloseCode}
        kind = ConnectionClosedOK if protocol.wasClean and codes <= ORDERLY else ConnectionClosedError
        error = kind(
            was_clean=protocol.wasClean,
            explanation=protocol.wasNotCleanReason,
            local_code=protocol.localCloseCode,
            local_reason=protocol.localCloseReason,
            remote_code=protocol.remoteCloseCode,
            remote_reason=protocol.remoteCloseReason,
            closed_by_me=protocol.closedByMe or protocol.failedByMe,
            peer=protocol.peer,
        )
        if not protocol.wasClean:
            error.__cause__ = protocol._ws_lost_by
        return error


# -- the protocols: what those of both roles are, in place of a common base ------------------------------------------


def _on_message(self: Any, payload: bytes, isBinary: bool) -> None:
    self.stream._received(payload, isBinary)


def _on_pong(self: Any, payload: bytes) -> None:
    if self.stream is not None:
        self.stream._ponged(payload)


def _on_close(self: Any, wasClean: bool, code: int | None, reason: str | None) -> None:
    if self.stream is not None:
        self.stream._end()


class StreamClientProtocol(WebSocketClientProtocol):
    """A client's connection that feeds a `WebSocket`, in `stream` once it is open."""

    stream: WebSocket | None = None
    _response: Any = None

    def onConnect(self, response: Any) -> None:
        self._response = response

    def onOpen(self) -> None:
        self.stream = WebSocket(self, **self.factory.queue)
        self.stream.response = self._response

    onMessage = _on_message
    onPong = _on_pong
    onClose = _on_close


class StreamServerProtocol(WebSocketServerProtocol):
    """A server's connection that feeds a `WebSocket`; `factory.server_of_streams` decides and handles."""

    stream: WebSocket | None = None
    _request: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.factory.server_of_streams._made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.factory.server_of_streams._lost(self)

    def onConnect(self, request: Any) -> Any:
        self._request = request
        return self.factory.server_of_streams._decide(request)

    def onOpen(self) -> None:
        self.stream = WebSocket(self, **self.factory.queue)
        self.stream.request = self._request
        self.factory.server_of_streams._opened(self.stream)

    onMessage = _on_message
    onPong = _on_pong
    onClose = _on_close

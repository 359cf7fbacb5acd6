"""`serve`: a WebSocket server with one coroutine per connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from autobahn._names import expect_names
from autobahn.asyncio.accepting import accept_directly
from autobahn.asyncio.factory import IDENT, WebSocketServerFactory
from autobahn.asyncio.managed import Managed
from autobahn.asyncio.stream import MAX_QUEUE, MAX_QUEUE_SIZE, StreamServerProtocol, WebSocket, limits_of, queue_bounds
from autobahn.exception import ConnectionClosed
from autobahn.log import Log
from autobahn.wamp._record import expect_type
from autobahn.websocket.negotiation import accept_deflate
from autobahn.websocket.options import MAX_MESSAGE_SIZE
from autobahn.websocket.origins import SAME_ORIGIN
from autobahn.websocket.plain import HttpRequest
from autobahn.websocket.types import ConnectionRequest, HeaderValue
from autobahn.websocket.util import create_url

__all__ = ("ServeOptions", "Server", "serve")

Handler = Callable[[WebSocket], Coroutine[Any, Any, Any]]
GOING_AWAY = "the server is shutting down"
BIND_ATTEMPTS = 10

log = Log("autobahn.websocket")


class ServeOptions(TypedDict, total=False):
    """Options of `serve`; sizes in octets, times in seconds, `None` for no limit.

    Where: `ssl`: an `ssl.SSLContext` with a certificate makes it a wss server; `unix`: the path of a Unix socket, or
    `sock`: a bound socket, in place of host and port; `reuse_port`, `backlog` as for asyncio.
    Handshake: `process_request`: a hook for plain HTTP, plain or `async`: gets an `HttpRequest`, gives `None` to go on
    or an `HttpResponse` (health page, 404, 401); `origins` that pages may have (`*` is a wildcard; default:
    "same-origin", this server's own); `subprotocols` in order of preference; `headers` for every answer and
    `server_header`; `compression`: "deflate" accepts permessage-deflate.
    Limits: `max_connections`; `open_timeout` (5) of the opening handshake, `close_timeout` (10) of the closing one;
    `ping_interval` (20) and `ping_timeout` (20) of keep-alive; `max_size` of a message either way (16 MiB), and
    `max_queue` messages (64) or `max_queue_size` octets (1 MiB) that may wait before reading pauses.
    """

    ssl: ssl_module.SSLContext | None
    unix: str | None
    sock: socket.socket | None
    reuse_port: bool
    backlog: int
    process_request: Callable[[HttpRequest], Any] | None
    origins: Sequence[str] | None
    subprotocols: Sequence[str]
    headers: Mapping[str, HeaderValue]
    server_header: str | None
    compression: Literal["deflate"] | None
    max_connections: int | None
    open_timeout: float | None
    close_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    max_size: int | None
    max_queue: int | None
    max_queue_size: int | None


DEFAULTS: ServeOptions = {
    "ssl": None,
    "unix": None,
    "sock": None,
    "reuse_port": False,
    "backlog": 100,
    "process_request": None,
    "origins": None,
    "subprotocols": (),
    "headers": {},
    "server_header": IDENT,
    "compression": None,
    "max_connections": None,
    "open_timeout": 5.0,
    "close_timeout": 10.0,
    "ping_interval": 20.0,
    "ping_timeout": 20.0,
    "max_size": MAX_MESSAGE_SIZE,
    "max_queue": MAX_QUEUE,
    "max_queue_size": MAX_QUEUE_SIZE,
}


def serve(
    handler: Handler, host: str | None = "127.0.0.1", port: int = 0, **options: Unpack[ServeOptions]
) -> Managed[Server]:
    """Runs `handler(ws)` for every connection; await it, or use it as `async with`:

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async with serve(echo, "localhost", 8765) as server:
            await server.serve_forever()

    When the handler returns, the connection is closed with 1000; when it raises, that is logged once and the connection
    is closed with 1011. `host` `None` stands for all addresses of this machine. Port 0 takes any free port:
    `server.port` and `server.url` tell. Leaving the block is `server.close()`. Every `await` and every block starts a
    server of its own. Options: see `ServeOptions`.

    Raises `TypeError` and `ValueError` at the call, and `OSError` when it cannot listen.
    """
    expect_names(options, DEFAULTS)
    if not callable(handler):
        raise TypeError(f"expected a handler that is callable, got {type(handler).__name__}")
    settings: ServeOptions = {**DEFAULTS, **options}
    _expect_place(host, port, settings)
    checked: list[Server] = [Server(handler, host or "", port, settings)]  # what is wrong shows up here

    async def start() -> Server:
        server = checked.pop() if checked else Server(handler, host or "", port, settings)
        await server._start()
        return server

    async def close(server: Server, exc: BaseException | None) -> None:
        await server.close()

    return Managed(start, close)


def _expect_place(host: Any, port: Any, options: ServeOptions) -> None:
    """Where to listen is of the types it must have. Raises `TypeError` or `ValueError`."""
    expect_type("host", host, str)
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"expected port of type int, got {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"expected a port from 0 to 65535, got {port}")
    expect_type("unix", options["unix"], (str, os.PathLike))
    expect_type("sock", options["sock"], socket.socket)
    expect_type("ssl", options["ssl"], ssl_module.SSLContext)
    expect_type("backlog", options["backlog"], int)
    if (hook := options["process_request"]) is not None and not callable(hook):
        raise TypeError(f"expected process_request to be callable, got {type(hook).__name__}")


class StreamServerFactory(WebSocketServerFactory):
    """Makes connections that feed a `WebSocket`."""

    protocol = StreamServerProtocol
    queue: dict[str, int]
    server_of_streams: Server


class Server:
    """A listening server; made by `serve`."""

    def __init__(self, handler: Handler, host: str, port: int, options: ServeOptions) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._options = options
        self._factory = self._make_factory()
        self._listeners: asyncio.Server | None = None
        self._protocols: set[StreamServerProtocol] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._closed = asyncio.Event()
        self.port = 0
        """The real port; 0 for a Unix socket."""
        self.url = ""
        """Where clients connect to."""

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets."""
        return () if self._listeners is None else self._listeners.sockets

    @property
    def connections(self) -> set[WebSocket]:
        """The connections that are open now."""
        return {p.stream for p in self._protocols if p.stream is not None and not p.stream.closed}

    async def serve_forever(self) -> None:
        """Waits until the server is closed; closes it when cancelled."""
        try:
            await self._closed.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """No longer listens; every connection got 1001 and is closed, every handler has ended; idempotent.

        Handlers that still run `close_timeout` seconds later are cancelled, connections that are still open dropped.
        """
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        try:
            await self._shut_down()
        finally:
            for protocol in self._protocols:
                protocol.dropConnection(abort=True)
            self._closed.set()

    # -- starting and stopping ----------------------------------------------------------------------------------

    def _make_factory(self) -> StreamServerFactory:
        options = self._options
        expect_type("headers", options["headers"], Mapping)
        url = "ws://localhost" if options["ssl"] is None else "wss://localhost"
        factory = StreamServerFactory(
            url, options["subprotocols"], options["server_header"], headers=options["headers"]
        )
        factory.server_of_streams = self
        factory.processRequest = options["process_request"]
        factory.queue = queue_bounds(options["max_queue"], options["max_queue_size"])
        origins = options["origins"]
        if isinstance(origins, str):
            raise TypeError(f"expected origins as list of str, got {origins!r}")
        settings: dict[str, Any] = {
            "allowedOrigins": [SAME_ORIGIN] if origins is None else list(origins),
            "allowNullOrigin": origins is not None and "null" in origins,
            "webStatus": False,
            **limits_of(options, "max_connections", "open_timeout", "close_timeout"),
            **limits_of(options, "ping_interval", "ping_timeout", "max_size"),
        }
        if options["compression"] == "deflate":
            settings["perMessageCompressionAccept"] = accept_deflate
        elif options["compression"] is not None:
            raise ValueError(f"expected compression 'deflate' or None, got {options['compression']!r}")
        factory.setProtocolOptions(**settings)
        return factory

    async def _start(self) -> None:
        """The server listens. Raises `OSError`."""
        self._listeners = await self._listen()
        try:
            self._listens()
        except BaseException:
            self._listeners.close()
            raise

    def _listens(self) -> None:
        assert self._listeners is not None
        accept_directly(self._listeners, self._factory, self._options["backlog"], tls=self._options["ssl"])
        secure = self._options["ssl"] is not None
        address = self.sockets[0].getsockname()
        if isinstance(address, tuple):
            self.port = address[1]
            host = self._host if self._options["sock"] is None else address[0]
            host = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
            self.url = create_url(host, self.port, secure)
        else:
            self.url = create_url("unix", address, secure)

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        options = self._options
        common: dict[str, Any] = {"ssl": options["ssl"], "backlog": options["backlog"]}
        sock, path = options["sock"], options["unix"]
        if path is not None:
            return await loop.create_unix_server(self._factory, path, **common)
        if sock is not None:
            is_unix = sock.family == getattr(socket, "AF_UNIX", None)
            create: Any = loop.create_unix_server if is_unix else loop.create_server
            listeners: asyncio.Server = await create(self._factory, sock=sock, **common)
            return listeners
        common["reuse_port"] = options["reuse_port"] or None
        port = self._port
        for _ in range(BIND_ATTEMPTS):
            try:
                listeners = await loop.create_server(self._factory, self._host or None, port, **common)
            except OSError:
                if port == self._port:
                    raise
                port = self._port  # taken at one of the addresses: another free one
                continue
            ports = {sock.getsockname()[1] for sock in listeners.sockets}
            if len(ports) == 1:
                return listeners
            # Port 0 and a name with several addresses gave every address a port of its own.
            listeners.close()
            port = min(ports)
        raise OSError(f"found no port that is free at all addresses of {self._host}")

    async def _shut_down(self) -> None:
        if self._listeners is not None:
            self._listeners.close()
        for protocol in list(self._protocols):
            if protocol.stream is None:
                protocol.failHandshake(GOING_AWAY, 503)
            else:
                protocol.stream.start_close(1001, GOING_AWAY)
        timeout = self._options["close_timeout"]
        handlers = self._handlers - {asyncio.current_task()}
        if handlers:
            _, late = await asyncio.wait(handlers, timeout=timeout)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        for protocol in self._protocols:
            protocol.dropConnection(abort=True)
        await self._idle.wait()
        if (path := self._options["unix"]) is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)

    # -- what the protocols tell --------------------------------------------------------------------------------

    def _made(self, protocol: StreamServerProtocol) -> None:
        self._protocols.add(protocol)
        self._idle.clear()
        if self._closing:
            protocol.failHandshake(GOING_AWAY, 503)

    def _lost(self, protocol: StreamServerProtocol) -> None:
        self._protocols.discard(protocol)
        if not self._protocols:
            self._idle.set()

    def _decide(self, request: ConnectionRequest) -> str | None:
        """The subprotocol to speak."""
        return next((name for name in self._options["subprotocols"] if name in request.protocols), None)

    def _opened(self, stream: WebSocket) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(stream), name=f"autobahn handler {stream.peer}")
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, stream: WebSocket) -> None:
        """Runs the handler, and closes the connection as it ended."""
        try:
            result: Any = self._handler(stream)
            if not inspect.isawaitable(result):
                kind = type(result).__name__
                raise TypeError(f"expected a handler that is a coroutine function, got one that returned {kind}")
            await result
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, ConnectionClosed) and stream.closed:
                return  # the peer left while the handler was talking to it
            task = asyncio.current_task()
            if isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling():
                stream.start_close(1001, GOING_AWAY)
                return
            # A CancelledError of something else that the handler awaited is an error like any other.
            log.error("handler of {peer} raised {error}", peer=stream.peer, error=repr(exc), exc_info=exc)
            stream.start_close(1011, "internal error")
        else:
            stream.start_close()

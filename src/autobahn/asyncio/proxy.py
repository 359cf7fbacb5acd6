"""Going through a proxy on asyncio: runs a `Tunnel`, then hands the connection over, with TLS inside when asked for."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from typing import cast

from autobahn.exception import ProxyError
from autobahn.websocket.proxy import Tunnel


class Waiting(asyncio.Protocol):
    """Holds a connection that nobody speaks on yet; what the peer says already stays unread."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Below TLS reading cannot pause, and a peer that speaks first is no WebSocket server."""
        self.transport.abort()


class TunnelProtocol(asyncio.Protocol):
    """Speaks with the proxy until the tunnel stands, and stays in place until somebody takes the connection over."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection to the proxy stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._tunnel.start())

    def data_received(self, data: bytes) -> None:
        """The proxy says something."""
        if self.opened.done():  # the server speaks only after it was asked; whatever this is, it is no WebSocket
            self._fail(ProxyError("expected nothing through the proxy before the handshake, got octets"))
            return
        try:
            answer = self._tunnel.receive(data)
        except ProxyError as error:
            self._fail(error)
            return
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self._tunnel.done:
            self.opened.set_result(None)

    def eof_received(self) -> None:
        """The proxy hangs up."""
        self._fail(ProxyError("the proxy closed the connection"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """The proxy is gone."""
        self._fail(ProxyError("the connection to the proxy was lost"), exc)

    def _fail(self, error: ProxyError, cause: BaseException | None = None) -> None:
        if not self.opened.done():
            error.__cause__ = cause
            self.opened.set_exception(error)
            self.opened.exception()  # who waits may have been cancelled
        if self._transport is not None:
            self._transport.abort()


async def start_tls(
    transport: asyncio.Transport, context: ssl_module.SSLContext, name: str | None
) -> asyncio.Transport:
    """TLS on top of `transport`, which may be TLS already. Raises `ssl.SSLError` or `OSError`."""
    loop = asyncio.get_running_loop()
    if transport.is_closing():
        raise ConnectionResetError("the connection was lost before the TLS handshake")
    try:
        secured = await loop.start_tls(transport, transport.get_protocol(), context, server_hostname=name)
    except TypeError as exc:  # CPython 3.11.7 stumbles over the error of a handshake within TLS
        if isinstance(exc.__context__, OSError):
            raise exc.__context__ from None
        raise
    if secured is None or secured.is_closing():
        raise ConnectionResetError("the connection was lost during the TLS handshake")
    return secured


def hand_over(transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
    """`protocol` owns the connection from now on. Raises `ConnectionResetError` when it is gone already."""
    if transport.is_closing():
        raise ConnectionResetError("the connection was lost before anything was said")
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not transport.is_closing():
        transport.resume_reading()

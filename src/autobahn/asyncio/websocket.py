"""WebSocket for asyncio: protocols to subclass and factories for `loop.create_server` and `loop.create_connection`."""

from autobahn.asyncio.adapter import WebSocketAdapterProtocol as WebSocketAdapterProtocol  # noqa: PLC0414 - documented
from autobahn.asyncio.factory import WebSocketAdapterFactory as WebSocketAdapterFactory  # noqa: PLC0414 - documented
from autobahn.asyncio.factory import WebSocketClientFactory, WebSocketServerFactory
from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol
from autobahn.asyncio.wampws import (
    WampWebSocketClientFactory,
    WampWebSocketClientProtocol,
    WampWebSocketServerFactory,
    WampWebSocketServerProtocol,
)

__all__ = (
    "WampWebSocketClientFactory",
    "WampWebSocketClientProtocol",
    "WampWebSocketServerFactory",
    "WampWebSocketServerProtocol",
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
)

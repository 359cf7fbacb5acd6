"""WebSocket for asyncio: protocols to subclass and factories for `loop.create_server` and `loop.create_connection`."""

from autobahn.asyncio.factory import WebSocketClientFactory, WebSocketServerFactory
from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol

__all__ = (
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
)

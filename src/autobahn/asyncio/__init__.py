"""WebSocket and WAMP on asyncio. Inside this package ``import asyncio`` is the standard library."""

from autobahn import __version__
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

__ident__ = f"autobahn-asyncio/{__version__}"

__all__ = (
    "ApplicationSession",
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
    "__ident__",
)

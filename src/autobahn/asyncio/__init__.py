"""WebSocket and WAMP on asyncio. Inside this package ``import asyncio`` is the standard library."""

from typing import TYPE_CHECKING

from autobahn import __version__, _lazy

__ident__ = f"autobahn-asyncio/{__version__}"

if TYPE_CHECKING:
    from autobahn.asyncio.wamp import ApplicationSession
    from autobahn.asyncio.websocket import (
        WebSocketClientFactory,
        WebSocketClientProtocol,
        WebSocketServerFactory,
        WebSocketServerProtocol,
    )
else:
    __getattr__, __dir__ = _lazy.offer(
        __name__,
        {
            "autobahn.asyncio.wamp": ["ApplicationSession"],
            "autobahn.asyncio.websocket": [
                "WebSocketClientFactory",
                "WebSocketClientProtocol",
                "WebSocketServerFactory",
                "WebSocketServerProtocol",
            ],
        },
    )

__all__ = (
    "ApplicationSession",
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
    "__ident__",
)

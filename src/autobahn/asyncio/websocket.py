"""WebSocket for asyncio: protocols to subclass and factories for `loop.create_server` and `loop.create_connection`."""

from typing import TYPE_CHECKING

from autobahn import _lazy
from autobahn.asyncio.adapter import WebSocketAdapterProtocol as WebSocketAdapterProtocol  # noqa: PLC0414 - documented
from autobahn.asyncio.factory import WebSocketAdapterFactory as WebSocketAdapterFactory  # noqa: PLC0414 - documented
from autobahn.asyncio.factory import WebSocketClientFactory, WebSocketServerFactory
from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol

if TYPE_CHECKING:
    from autobahn.asyncio.wampws import (
        WampWebSocketClientFactory,
        WampWebSocketClientProtocol,
        WampWebSocketServerFactory,
        WampWebSocketServerProtocol,
    )
else:  # programs that speak plain WebSocket need no WAMP
    __getattr__, __dir__ = _lazy.offer(
        __name__,
        {
            "autobahn.asyncio.wampws": [
                "WampWebSocketClientFactory",
                "WampWebSocketClientProtocol",
                "WampWebSocketServerFactory",
                "WampWebSocketServerProtocol",
            ]
        },
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

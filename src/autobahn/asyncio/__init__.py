"""WebSocket and WAMP on asyncio. Inside this package ``import asyncio`` is the standard library."""

from contextlib import suppress
from typing import TYPE_CHECKING

from autobahn import __version__, _lazy

__ident__ = f"autobahn-asyncio/{__version__}"

with suppress(Exception):
    # Programs that use txaio beside us rely on this import to choose its asyncio side. We do not need it: whether it is
    # there, and what it says (it may be on its Twisted side already), is the program's affair.
    __import__("txaio").use_asyncio()

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

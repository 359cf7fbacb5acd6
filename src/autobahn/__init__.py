"""WebSocket and WAMP for Python asyncio, with a WAMP router inside."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
version = __version__

if TYPE_CHECKING:
    from autobahn import sync as sync
    from autobahn.asyncio.connect import connect as connect
    from autobahn.asyncio.serve import serve as serve
    from autobahn.asyncio.stream import WebSocket as WebSocket
else:
    from autobahn import _lazy

    __getattr__, __dir__ = _lazy.offer(
        __name__,
        {
            "autobahn.asyncio.connect": ["connect"],
            "autobahn.asyncio.serve": ["serve"],
            "autobahn.asyncio.stream": ["WebSocket"],
            "autobahn.sync": [],
        },
    )

__all__ = ["WebSocket", "__version__", "connect", "serve", "version"]

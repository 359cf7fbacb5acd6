"""WebSocket and WAMP for Python asyncio, with a WAMP router inside."""

__version__ = "0.1.0"
version = __version__

__all__ = ["__version__", "version"]

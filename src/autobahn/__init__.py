"""WebSocket and WAMP for Python asyncio, with a WAMP router inside."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autobahn import sync as sync
    from autobahn.asyncio.connect import connect as connect
    from autobahn.asyncio.serve import serve as serve
    from autobahn.asyncio.stream import WebSocket as WebSocket

__version__ = "0.1.0"
version = __version__

__all__ = ["WebSocket", "__version__", "connect", "serve", "version"]

_LAZY = {
    "WebSocket": "autobahn.asyncio.stream",
    "connect": "autobahn.asyncio.connect",
    "serve": "autobahn.asyncio.serve",
}


def __getattr__(name: str) -> Any:
    """The plain API, imported when it is first used (PEP 562): `import autobahn` stays light."""
    if name not in _LAZY and name != "sync":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "sync":
        return import_module("autobahn.sync")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "sync"})

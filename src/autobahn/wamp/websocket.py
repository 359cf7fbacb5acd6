"""Documented names of WAMP over WebSocket at their old place; the classes are those of `autobahn.asyncio.websocket`.

This module belongs to the asyncio layer (docs/design.md, section 2): nothing inside the package imports it.
"""

from __future__ import annotations

from autobahn.asyncio.websocket import (
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
    "parseSubprotocolIdentifier",
)


def parseSubprotocolIdentifier(subprotocol: str) -> tuple[int | None, str | None]:
    """``(version, serializer id)`` of a WebSocket subprotocol: ``wamp.2.json`` is ``(2, "json")``.

    ``(None, None)`` when it is not one of WAMP.
    """
    name, _, rest = subprotocol.partition(".")
    version, _, serializer = rest.partition(".")
    if name != "wamp" or not (version.isascii() and version.isdigit()) or not serializer:
        return None, None
    return int(version), serializer

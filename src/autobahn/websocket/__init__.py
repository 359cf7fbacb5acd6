"""WebSocket without I/O: RFC 6455 and permessage-deflate (RFC 7692)."""

from autobahn.websocket.frames import COMPILED
from autobahn.websocket.interfaces import IWebSocketChannel
from autobahn.websocket.types import (
    ConnectionAccept,
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
    IncomingMessage,
    Message,
    OutgoingMessage,
)

__all__ = (
    "HAS_NVX",
    "USES_NVX",
    "ConnectionAccept",
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "IWebSocketChannel",
    "IncomingMessage",
    "Message",
    "OutgoingMessage",
)

HAS_NVX = COMPILED
"""Whether frames are handled by compiled code."""
USES_NVX = COMPILED

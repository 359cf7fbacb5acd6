"""The frame unit: `Reader` (bytes to messages) and `Writer` (messages to bytes), RFC 6455 section 5.

Compiled when the extension is there; the Python twin otherwise or with `AUTOBAHN_PURE=1`.
`new_pump(connection, buffer, flush)` gives a `Pump`, which feeds a connection what a transport has read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autobahn._compiled import expect_compiled

if TYPE_CHECKING:
    from autobahn.websocket._frames import Pump

__all__ = [
    "BINARY", "CLOSE", "COMPILED", "CONTINUATION", "PING", "PONG", "TEXT",
    "Reader", "Writer", "new_pump", "trim_memory",
]  # fmt: skip

CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

COMPILED: bool
"""Whether `Reader` and `Writer` are the compiled ones."""

try:
    expect_compiled()
    from autobahn.websocket._frames import Pump as _Pump
    from autobahn.websocket._frames import Reader, Writer, trim_memory

    COMPILED = True
except ImportError:
    from autobahn.websocket._frames_py import Reader, Writer
    from autobahn.websocket._pump_py import Pump as _Pump

    COMPILED = False

    def trim_memory() -> None:
        """Memory that was freed goes back to the system, if the unit is compiled."""


def new_pump(connection: Any, buffer: memoryview, flush: Callable[[], object]) -> Pump:
    """What takes octets from `buffer`, or from where a long payload belongs, to the open `connection`."""
    return _Pump(connection, buffer, flush)

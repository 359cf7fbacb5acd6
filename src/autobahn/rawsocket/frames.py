"""RawSocket frames: four octets of type and length, then the payload (WAMP "RawSocket Transport").

Compiled when the extension is there; the Python twin otherwise or with `AUTOBAHN_PURE=1`. Only the compiled unit has
`new_pump(reader, writer, buffer, flush, failed)`: a `Pump` feeds a reader without a Python call between; else `None`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autobahn._compiled import expect_compiled
from autobahn.rawsocket._frames_py import MESSAGE, PING, PONG, head

if TYPE_CHECKING:
    from autobahn.rawsocket._frames import Pump

__all__ = ("COMPILED", "MESSAGE", "PING", "PONG", "Reader", "Writer", "head", "new_pump")

COMPILED: bool
"""Whether `Reader` and `Writer` are the compiled ones."""

try:
    expect_compiled()
    from autobahn.rawsocket._frames import Pump as _Pump
    from autobahn.rawsocket._frames import Reader, Writer

    COMPILED = True
except ImportError:
    from autobahn.rawsocket._frames_py import Reader, Writer

    COMPILED = False


def new_pump(
    reader: Reader,
    writer: Writer,
    buffer: memoryview,
    flush: Callable[[], object],
    failed: Callable[[Exception], object],
) -> Pump | None:
    """What takes octets from `buffer` to the reader of an open connection, if the unit is compiled."""
    return _Pump(reader, writer, buffer, flush, failed) if COMPILED else None

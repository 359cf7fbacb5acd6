"""The Python twin of the compiled unit's pump: long payloads are received where they are gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.websocket._frames_py import Reader
from autobahn.websocket.errors import FrameError


class Pump:
    """Takes octets of the peer to an open connection. All that is written meanwhile leaves in one write.

    `get_buffer` and `buffer_updated` are those of an `asyncio.BufferedProtocol`; `connection`: a `Connection`. `flush`
    is called when its writer holds octets after a read.
    """

    __slots__ = ("_buffer", "_connection", "_flush", "_reader", "_writer", "received")

    def __init__(self, connection: Any, buffer: memoryview, flush: Callable[[], object]) -> None:
        self._connection = connection
        self._writer = connection.writer
        self._buffer = buffer
        self._flush: Callable[[], object] | None = flush
        self._reader: Reader | None = None  # in whose place the next octets are put
        self.received = 0
        """Octets so far."""

    def stop(self) -> None:
        """Nothing is received any more; nothing but the buffer is referred to."""
        self._connection = self._writer = self._reader = self._flush = None

    def attach(self, transport: object, socket: int) -> bool:
        """Whether the socket is read past its transport: not from Python, where that takes as long."""
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it receives."""
        self._reader = None
        if self._connection is not None:
            reader = getattr(self._connection.receive, "__self__", None)
            if isinstance(reader, Reader) and (room := reader.room()) is not None:
                self._reader = reader
                return room
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The transport has put `nbytes` octets there."""
        connection = self._connection
        if connection is None:
            return
        reader, self._reader = self._reader, None
        if reader is None and not 0 <= nbytes <= len(self._buffer):
            raise ValueError(f"expected at most {len(self._buffer)} octets, got {nbytes}")
        self.received += nbytes
        writer = self._writer
        writer.corked = True
        try:
            if reader is not None:
                reader.arrived(nbytes)
            else:
                connection.receive(self._buffer[:nbytes])  # which copies what it keeps
        except FrameError as error:
            connection.violated(error)
        finally:
            writer.corked = False
        if writer.size and self._flush is not None and not writer.send():
            self._flush()

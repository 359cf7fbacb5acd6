"""`Intake`: messages for `async` callbacks, and reading that pauses while those lag behind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from autobahn.asyncio.handlers import Handlers
from autobahn.asyncio.transport import ErrorHook
from autobahn.websocket.connection import Connection, State

SLICE = 4096
"""Octets the reader gets at a time: what they hold may be parsed beyond the bound of the handlers (see `Options`)."""


class Intake:
    """The handlers of one connection. It stands between the transport and the reader from its first `add` on.

    While the handlers lag, `transport.pause_reading()` holds and what was read already waits as it came. A connection
    that closes reads on, so that the closing handshake can end, and drops messages beyond the bound.
    """

    __slots__ = ("_connection", "_handlers", "_held", "_protocol")

    def __init__(
        self, protocol: Any, connection: Connection, loop: asyncio.AbstractEventLoop, report: ErrorHook
    ) -> None:
        options = connection.options
        self._protocol = protocol
        self._connection = connection
        self._held = b""
        self._handlers = Handlers(
            loop,
            report,
            limit=options.maxConcurrentHandlers,
            max_calls=options.maxReceiveQueue,
            max_size=options.maxReceiveQueueSize,
            on_lag=self._hold_on,
            on_caught_up=self.read_on,
        )
        if connection.reader is not None and connection.receive == connection.reader.feed:
            connection.receive = self._receive

    @property
    def waiting(self) -> int:
        """How many calls have not begun."""
        return self._handlers.waiting

    def add(self, call: Any, where: str, size: int) -> None:
        """`call` (a function that gives an awaitable, or an awaitable) runs when its turn comes."""
        if self._handlers.lagging and self._connection.state is not State.OPEN:
            if inspect.iscoroutine(call):
                call.close()
            return
        self._handlers.add(call, where, size)

    def finish(self, end: Callable[[], None]) -> None:
        """The connection is gone: `end` is called behind what waits."""
        self._held = b""
        self._handlers.finish(end)

    def clear(self) -> None:
        """What waits is dropped."""
        self._held = b""
        self._handlers.clear()

    def read_on(self) -> None:
        """What is held back is parsed, then reading goes on, unless the handlers lag again."""
        connection, handlers = self._connection, self._handlers
        if connection.reader is None:
            return
        if connection.receive == self._receive_later:
            connection.receive = self._receive
        held, self._held = self._held, b""
        if held:
            self._protocol.data_received(held)
        if handlers.lagging and connection.state is State.OPEN:
            return
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def _hold_on(self) -> None:
        transport = self._protocol.transport
        if self._connection.state is State.OPEN and transport is not None and not transport.is_closing():
            transport.pause_reading()

    def _receive(self, data: bytes | memoryview) -> None:
        connection, handlers = self._connection, self._handlers
        size = len(data)
        for at in range(0, size, SLICE):
            reader = connection.reader
            if reader is None:
                return
            if handlers.lagging and connection.state is State.OPEN:
                self._held += bytes(data[at:])
                connection.receive = self._receive_later
                return
            reader.feed(data if size <= SLICE else data[at : at + SLICE])

    def _receive_later(self, data: bytes | memoryview) -> None:
        self._held += bytes(data)

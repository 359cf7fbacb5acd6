"""One RawSocket connection without I/O: opening handshake of both roles, then frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from enum import IntEnum
from typing import Protocol

from autobahn.exception import PayloadExceededError
from autobahn.rawsocket.errors import HandshakeError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, Reader, Writer
from autobahn.rawsocket.handshake import (
    MAGIC,
    MAX_LENGTH,
    MIN_LENGTH,
    SIZE,
    Refusal,
    opening,
    parse_reply,
    parse_request,
    refusal,
)

__all__ = ("ClientConnection", "Connection", "Handler", "ServerConnection", "State")


class State(IntEnum):
    """How far a connection is."""

    CONNECTING = 1
    OPEN = 2
    CLOSED = 3  # for what we do: nothing is received or sent any more


class Handler(Protocol):
    """Whom a connection tells."""

    def connection_opened(self) -> None:
        """The handshake is done."""

    def connection_message(self, payload: bytes) -> None:
        """A message has arrived."""

    def connection_ping(self, payload: bytes) -> None:
        """A ping has arrived; its pong is in the writer."""

    def connection_pong(self, payload: bytes) -> None:
        """A pong has arrived, asked for or not."""


class Connection(ABC):
    """What both roles share. `max_length`: the longest message we accept; `max_length_send`: the peer's limit."""

    def __init__(self, handler: Handler, wake: Callable[[], object], max_length: int) -> None:
        self._handler: Handler | None = handler  # None once it is stopped
        self._opening = b""
        self.state = State.CONNECTING
        self.serializer = 0
        self.max_length = max_length
        self.max_length_send = MAX_LENGTH
        self.writer = Writer(wake)
        self.reader = Reader(handler.connection_message, self._on_ping, handler.connection_pong, max_length)

    def receive(self, data: bytes) -> None:
        """Take octets of the peer. Raises `RawSocketError`; what the peer is told of it is in the writer."""
        if self.state is State.OPEN:
            self.reader.feed(data)
        elif self.state is State.CONNECTING:
            self._open(data)

    def stop(self) -> None:
        """Nothing is received or sent any more, except what is in the writer; the handler is not referred to."""
        self.state = State.CLOSED
        self._handler = None
        self.reader.stop()

    def send(self, payload: bytes) -> None:
        """Send a message. Raises `PayloadExceededError` when it is longer than the peer accepts; nothing is sent."""
        self._send(MESSAGE, payload)

    def ping(self, payload: bytes) -> None:
        """Send a ping. Raises `PayloadExceededError`."""
        self._send(PING, payload)

    def pong(self, payload: bytes) -> None:
        """Send a pong that nobody asked for. Raises `PayloadExceededError`."""
        self._send(PONG, payload)

    def _send(self, kind: int, payload: bytes) -> None:
        if len(payload) > self.max_length_send:
            raise PayloadExceededError(f"expected at most the peer's {self.max_length_send} octets, got {len(payload)}")
        self.writer.frame(kind, payload)

    def _on_ping(self, payload: bytes) -> None:
        self.writer.frame(PONG, payload)
        if self._handler is not None:
            self._handler.connection_ping(payload)

    def _open(self, data: bytes) -> None:
        missing = SIZE - len(self._opening)
        self._opening += data[:missing]
        octets = self._opening
        if octets[0] != MAGIC:  # "MUST close ... without sending anything": somebody speaks another protocol
            raise HandshakeError(f"expected 0x7f as the first octet, got 0x{octets[0]:02x}")
        if len(octets) < SIZE:
            return
        self._handshake(octets)
        self.state = State.OPEN
        assert self._handler is not None
        self._handler.connection_opened()
        if len(data) > missing:
            self.receive(data[missing:])

    @abstractmethod
    def _handshake(self, octets: bytes) -> None:
        """`max_length_send` and `serializer` are known."""


class ServerConnection(Connection):
    """The server's end. `serializers`: those it speaks; `is_full`: no further connection is wanted.

    `min_length`: a client that accepts only shorter messages is refused.
    """

    def __init__(
        self,
        handler: Handler,
        wake: Callable[[], object],
        max_length: int,
        *,
        serializers: Collection[int],
        min_length: int = MIN_LENGTH,
        is_full: bool = False,
    ) -> None:
        super().__init__(handler, wake, max_length)
        self._serializers = serializers
        self._min_length = min_length
        self._is_full = is_full

    def _handshake(self, octets: bytes) -> None:
        try:
            self.max_length_send, self.serializer = parse_request(octets)
            self._judge()
        except HandshakeError as error:
            self.writer.raw(error.reply)
            raise
        self.writer.raw(opening(self.max_length, self.serializer))

    def _judge(self) -> None:
        if self.serializer not in self._serializers:
            known = ", ".join(map(str, self._serializers))
            raise HandshakeError(
                f"expected a serializer out of {known}, got {self.serializer}", refusal(Refusal.SERIALIZER_UNSUPPORTED)
            )
        if self.max_length_send < self._min_length:
            raise HandshakeError(
                f"expected a client that accepts {self._min_length} octets, got {self.max_length_send}",
                refusal(Refusal.LENGTH_UNACCEPTABLE),
            )
        if self._is_full:
            raise HandshakeError("the maximum number of connections is reached", refusal(Refusal.TOO_MANY_CONNECTIONS))


class ClientConnection(Connection):
    """The client's end, which speaks `serializer`; `start` sends its opening."""

    def __init__(self, handler: Handler, wake: Callable[[], object], max_length: int, *, serializer: int) -> None:
        super().__init__(handler, wake, max_length)
        self.serializer = serializer

    def start(self) -> None:
        """The server is asked."""
        self.writer.raw(opening(self.max_length, self.serializer))

    def _handshake(self, octets: bytes) -> None:
        self.max_length_send = parse_reply(octets, self.serializer)

"""The router's end of a RawSocket link, where each side has announced how long a message may be."""

from __future__ import annotations

from typing import Any

from autobahn.asyncio.link import WampLink
from autobahn.wamp.exception import ApplicationError, SerializationError, TransportLost
from autobahn.wamp.message import Error, Message


class RouterLink(WampLink):
    """The link of a router's session: a message that is too long for its receiver does no harm to its sender."""

    __slots__ = ("_limit", "_protocol")

    def __init__(self, protocol: Any, session: Any, serializer: Any) -> None:
        super().__init__(protocol, session, serializer)
        self._protocol = protocol
        self._limit = protocol.max_length_send

    def send(self, msg: Message) -> None:
        data = self._encode(msg)
        limit = self._limit
        if len(data) <= limit:
            self._send(data, self._binary)
            return
        text = f"expected a message of at most {limit} octets, got {len(data)}"
        answers: Any = msg
        if msg.code == 8:
            self._too_long(answers.request_type, answers.request, text)
        elif msg.code == 50 and not answers.details.get("progress"):
            self._too_long(48, answers.request, text)
        elif msg.code in {50, 68}:
            raise SerializationError(text)  # the router answers the call
        else:
            self._protocol.protocol_error(f"{text}: {type(msg).__name__}")
            raise TransportLost(text)

    def send_encoded(self, data: bytes) -> None:
        """Send an EVENT; nobody is told when it is too long."""
        if len(data) <= self._limit:
            self._send(data, self._binary)

    def _too_long(self, request_type: int, request: int, text: str) -> None:
        """The call has its answer in place of the one that is too long (WAMP "RawSocket Transport")."""
        super().send(Error(request_type, request, {}, ApplicationError.PAYLOAD_SIZE_EXCEEDED, [text]))

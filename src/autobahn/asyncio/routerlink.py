"""The router's end of a link on which messages may have no more than so many octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.asyncio.link import Channel, WampLink, log
from autobahn.exception import Disconnected
from autobahn.log import printable
from autobahn.router.lane import new_lane
from autobahn.wamp.exception import ApplicationError, SerializationError, TransportLost
from autobahn.wamp.message import Error, Message


class RouterLink(WampLink):
    """The link of a router's session: a message that is too long for its receiver does no harm to its sender.

    `limit`: what a RawSocket peer announced, or what a WebSocket connection sends at most (`maxMessagePayloadSize`).
    """

    __slots__ = ("_carry", "_limit", "lane")

    def __init__(self, channel: Channel, session: Any, serializer: Any, limit: int) -> None:
        super().__init__(channel, session, serializer)
        self._limit = limit
        self._carry = self.codec.carry if self._frame is None else None
        self.lane = None  # a `Lane`: the short way of calls, if there is one
        if self._parts is None and hasattr(session, "lane"):
            self.lane = new_lane(session, super().receiver(), self._failed, self._send, self.codec, limit)

    def receiver(self) -> Callable[..., None]:
        return super().receiver() if self.lane is None else self.lane.receive

    def closed(self, was_clean: bool) -> None:
        super().closed(was_clean)
        if self.lane is not None:
            self.lane.stop()
            self.lane = None

    def send(self, msg: Message) -> None:
        data = self._encode(msg)
        if self._frame is not None:
            data = self._frame(data)
        if len(data) > self._limit:
            self._too_long(msg, len(data))
            return
        try:
            self._send(data, self._binary)
        except Disconnected as exc:
            raise TransportLost(str(exc)) from None

    def send_encoded(self, data: bytes) -> None:
        """Send an EVENT; nobody is told when it is too long."""
        if self._frame is not None:
            data = self._frame(data)
        if len(data) > self._limit:
            return
        try:
            self._send(data, self._binary)
        except Disconnected as exc:
            raise TransportLost(str(exc)) from None

    def carry(self, elements: tuple[Any, ...]) -> bool:
        """Send a message that is carried, without an object of it; False: not possible, `send` the message."""
        encode = self._carry
        if encode is None:
            return False
        data = encode(elements)
        if len(data) > self._limit:
            return False
        try:
            self._send(data, self._binary)
        except Disconnected as exc:
            raise TransportLost(str(exc)) from None
        return True

    def turn_away(self) -> None:
        """Close the transport in order; over WebSocket the client hears that it shall try again later (1013)."""
        self.channel.channel_close(1013, None)

    def paused(self) -> None:
        if self.session is not None:
            self.session.onWritingPaused()

    def resumed(self) -> None:
        if self.session is not None:
            self.session.onWritingResumed()

    def _too_long(self, msg: Message, size: int) -> None:
        """A call has an answer that says so in place of ``msg`` (WAMP "RawSocket Transport")."""
        text = f"expected a message of at most {self._limit} octets, got {size}"
        answers: Any = msg
        if msg.code == 8:
            self._answer(answers.request_type, answers.request, text)
        elif msg.code == 50 and not answers.details.get("progress"):
            self._answer(48, answers.request, text)
        elif msg.code in {50, 68}:
            raise SerializationError(text)  # the router answers the call
        else:
            text = f"{text}: {type(msg).__name__}"
            log.info("connection with %s failed: %s", printable(str(self.channel.peer)), text)
            self.channel.channel_close(1009, text)
            raise TransportLost(text)

    def _answer(self, request_type: int, request: int, text: str) -> None:
        super().send(Error(request_type, request, {}, ApplicationError.PAYLOAD_SIZE_EXCEEDED, [text]))

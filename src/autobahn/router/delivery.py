"""Carries payloads from one serializer to another, each publication encoded once per codec.

Between links of the same codec the payload passes undecoded. Otherwise it is decoded once, and encoded once
for each codec among the receivers. In-process links (codec None) get message objects with decoded payload,
by reference.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, cast

from msgspec import Raw

from autobahn.router.peer import Peer
from autobahn.wamp.exception import ProtocolError, SerializationError, TransportLost
from autobahn.wamp.message import RAW, Call, Error, Event, Invocation, Message, Publish, Result, Yield

log = logging.getLogger("autobahn.router")

# The class that carries on what came in: the payload of a RAW form travels in a RAW form.
INVOCATION_FOR = cast(dict[type[Message], type[Invocation]], {Call: Invocation, RAW[48]: RAW[68]})
RESULT_FOR = cast(dict[type[Message], type[Result]], {Yield: Result, RAW[70]: RAW[50]})
ERROR_FOR = cast(dict[type[Message], type[Error]], {Error: Error, RAW[8]: RAW[8]})
EVENT_FOR = cast(dict[type[Message], type[Event]], {Publish: Event, RAW[16]: RAW[36]})


_BARE = (bytes, str)


def decoded(msg: Any, source: Any) -> tuple[list[Any], dict[str, Any]]:
    """The payload of ``msg``, which came over a link with the codec ``source``, as objects; a bare one as it is.

    Raises ``ProtocolError`` when it is no payload.
    """
    args, kwargs = msg.args, msg.kwargs
    if type(args) is Raw:
        args = source.load(args)
    if type(kwargs) is Raw:
        kwargs = source.load(kwargs)
    if args is None:
        args = []
    if kwargs is None:
        kwargs = {}
    if type(args) in _BARE and not kwargs:  # payload transparency: the codec lets it through with enc_algo only
        return args, {}
    if type(args) is not list or type(kwargs) is not dict or not all(type(key) is str for key in kwargs):
        raise ProtocolError("expected a list of arguments and a dict of keyword arguments with string keys as payload")
    return args, kwargs


def post(peer: Peer, msg: Message) -> None:
    """``msg`` is in the queue of ``peer``, unless its link is gone: then its onClose is on the way."""
    try:
        peer.send(msg)
    except TransportLost:
        log.debug("session %d: link lost, %s not sent", peer.id, type(msg).__name__)


class Delivery:
    """Brings events to their receivers, and counts what that costs."""

    __slots__ = ("dropped", "encodings", "events", "publications", "subscription", "topic", "undeliverable")

    def __init__(self) -> None:
        self.publications = 0  # that had a subscriber, or are retained
        self.events = 0  # EVENTs handed to links
        self.encodings = 0  # of EVENTs so far: one per publication, subscription and codec
        self.undeliverable = 0  # encodings that failed, because a codec cannot represent the payload
        self.dropped = 0  # events that gave way because their receiver reads too slowly
        self.subscription = 0  # what is delivered just now: the `Backlog` of a slow receiver looks here
        self.topic = ""

    def publication(self, msg: Publish, source: Any, number: int) -> Publication:
        """``msg`` from a link with the codec ``source``, ready to be delivered as publication ``number``."""
        self.publications += 1
        return Publication(self, msg, source, number)


class Publication:
    """One publication on its way to all its receivers."""

    __slots__ = ("_delivery", "_loaded", "_msg", "_source", "number")

    def __init__(self, delivery: Delivery, msg: Publish, source: Any, number: int) -> None:
        self.number = number
        self._delivery = delivery
        self._msg = msg
        self._source = source
        self._loaded: tuple[list[Any], dict[str, Any]] | None = None

    def event(self, subscription: int, details: dict[str, Any], codec: Any) -> Event:
        """The EVENT for receivers with ``codec``."""
        msg = self._msg
        if codec is self._source:
            return EVENT_FOR[type(msg)](subscription, self.number, details, msg.args, msg.kwargs)
        loaded = self._loaded
        if loaded is None:
            loaded = self._loaded = decoded(msg, self._source)
        return Event(subscription, self.number, details, loaded[0], loaded[1])

    def deliver(self, subscription: int, details: dict[str, Any], receivers: Collection[Peer]) -> None:
        """Everybody in ``receivers`` has the event in its queue, unless its link cannot take it."""
        delivery = self._delivery
        delivery.events += len(receivers)
        delivery.subscription, delivery.topic = subscription, self._msg.topic
        encoded: dict[Any, bytes | None] = {}
        codec: Any = None
        data: bytes | None = None
        for peer in receivers:
            try:
                if peer.codec is None:
                    peer.send(self.event(subscription, details, None))
                    continue
                if peer.codec is not codec:
                    codec = peer.codec
                    if codec not in encoded:
                        encoded[codec] = self._encode(subscription, details, codec)
                    data = encoded[codec]
                if data is not None:
                    peer.send_encoded(data)
            except TransportLost:  # its onClose is on the way and clears the books
                continue

    def _encode(self, subscription: int, details: dict[str, Any], codec: Any) -> bytes | None:
        self._delivery.encodings += 1
        msg: Any = self._msg
        if codec is self._source and not details and msg.kwargs is None and type(msg.args) is Raw and codec.carry:
            return cast(bytes, codec.carry((36, subscription, self.number, details, msg.args)))
        try:
            return cast(bytes, codec.encode(self.event(subscription, details, codec)))
        except SerializationError as exc:
            self._delivery.undeliverable += 1
            log.warning(
                "publication %d on %r is not delivered over %s: %s",
                self.number,
                self._msg.topic,
                codec.name,
                exc,
            )
            return None

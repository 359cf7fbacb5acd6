"""Messages to octets and back, for each serializer: ``CODECS``."""

from __future__ import annotations

from typing import ClassVar, Protocol

from msgspec import Raw

from autobahn.wamp.message import Message


class Codec(Protocol):
    """One serialization of WAMP messages; stateless, one instance per serializer."""

    name: ClassVar[str]
    binary: ClassVar[bool]

    def decode(self, data: bytes) -> Message:
        """The message in ``data``; raises ``ProtocolError``."""

    def decode_raw(self, data: bytes) -> Message:
        """Like ``decode``, payload messages in their ``message.RAW`` form if the codec has one."""

    def encode(self, msg: Message) -> bytes:
        """The octets of ``msg``; raises ``SerializationError``."""

    def load(self, raw: Raw) -> object:
        """The value of one undecoded payload element; raises ``ProtocolError``."""


CODECS: dict[str, Codec] = {}

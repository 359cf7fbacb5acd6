"""The documented serializer classes: thin faces of the codecs, with batching.

JSON, MessagePack, CBOR, and UBJSON when it is asked for by name. FlatBuffers is left out: only autobahn and crossbar
speak it, with a schema of their own, and CBOR does the same for every peer.

Own serializers may be given to factories: a subclass of `Serializer` with an own `IObjectSerializer`, or any
`ISerializer`. What they do is slower, because messages become lists in between, but works everywhere.

A batched message is framed (WAMP "Batched Transports"): JSON is followed by a separator octet, 0x18 as autobahn
and crossbar write it or 0x1e as the specification means it, both accepted; the others are preceded by their length
in four octets, big-endian.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from autobahn.wamp.codec import CODECS, Codec
from autobahn.wamp.codec_foreign import ForeignCodec, ObjectCodec
from autobahn.wamp.codec_json import json_codec
from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.interfaces import IObjectSerializer, ISerializer
from autobahn.wamp.message import BY_CODE, Message

__all__ = (
    "CBORObjectSerializer",
    "CBORSerializer",
    "JsonObjectSerializer",
    "JsonSerializer",
    "MsgPackObjectSerializer",
    "MsgPackSerializer",
    "Serializer",
    "UBJSONObjectSerializer",
    "UBJSONSerializer",
    "create_transport_serializer",
)

_SEPARATORS = (0x18, 0x1E)


def frame(data: bytes, binary: bool, separator: bytes = b"\x18") -> bytes:
    """``data`` as one message of a batch."""
    return len(data).to_bytes(4, "big") + data if binary else data + separator


def split(data: bytes, binary: bool) -> list[bytes]:
    """The messages of a batch, one at least; raises ``ProtocolError``."""
    parts = _split_lengths(data) if binary else _split_separators(data)
    if not parts:
        raise ProtocolError("expected at least one message in a batch, got none")
    return parts


def _split_separators(data: bytes) -> list[bytes]:
    if data and data[-1] not in _SEPARATORS:
        raise ProtocolError("expected a separator (0x18 or 0x1e) after the last message of a batch, got none")
    return data.replace(b"\x1e", b"\x18").split(b"\x18")[:-1]


def _split_lengths(data: bytes) -> list[bytes]:
    parts = []
    at, end = 0, len(data)
    while at < end:
        begin = at + 4
        if begin > end:
            raise ProtocolError(f"expected a length of 4 octets in a batch, got {end - at}")
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > end:
            raise ProtocolError(f"expected a message of {at - begin} octets in a batch, got {end - begin}")
        parts.append(data[begin:at])
    return parts


class ObjectSerializer(IObjectSerializer):
    """Plain values to octets and back."""

    NAME: ClassVar[str] = ""
    BINARY: ClassVar[bool] = True

    def __init__(self, batched: bool = False) -> None:
        self.codec: Codec = CODECS[self.NAME]
        self.batched = batched

    @classmethod
    def is_own(cls) -> bool:
        """Whether ``codec`` does what this class does, that is to say, no subclass of a program does something else."""
        return cls.serialize is ObjectSerializer.serialize and cls.unserialize is ObjectSerializer.unserialize

    def serialize(self, obj: Any) -> bytes:
        """The octets of ``obj``, framed if batched; raises ``SerializationError``."""
        data = self.codec.dumps(obj)
        return frame(data, self.BINARY) if self.batched else data

    def unserialize(self, payload: bytes) -> list[Any]:
        """The values in ``payload``; raises ``ProtocolError``."""
        parts = split(payload, self.BINARY) if self.batched else [payload]
        return [self.codec.loads(part) for part in parts]


class JsonObjectSerializer(ObjectSerializer):
    """Values as JSON.

    ``use_binary_hex_encoding``: octets are "0x" and hex digits in place of NUL and base64. Decimals travel as texts;
    ``use_decimal_from_str``: texts that are numbers arrive as Decimals; ``use_decimal_from_float``: numbers with a
    fraction or exponent do. Both ends must agree.
    """

    NAME = "json"
    BINARY = False

    def __init__(
        self,
        batched: bool = False,
        use_binary_hex_encoding: bool = False,
        use_decimal_from_str: bool = False,
        use_decimal_from_float: bool = False,
    ) -> None:
        super().__init__(batched)
        self.codec = json_codec(use_binary_hex_encoding, use_decimal_from_str, use_decimal_from_float)


class MsgPackObjectSerializer(ObjectSerializer):
    """Values as MessagePack."""

    NAME = "msgpack"


class CBORObjectSerializer(ObjectSerializer):
    """Values as CBOR."""

    NAME = "cbor"


class UBJSONObjectSerializer(ObjectSerializer):
    """Values as UBJSON (in the form of BJData, as autobahn has it since 26.6)."""

    NAME = "ubjson"


class Serializer(ISerializer):
    """Messages to octets and back, framed if ``batched``; ``codec`` is what does the work.

    ``BATCH_SEPARATOR`` ends every message of a batch of JSON, until the peer has shown that it uses the other one.
    """

    SERIALIZER_ID: str = ""
    RAWSOCKET_SERIALIZER_ID: ClassVar[int] = 0
    MIME_TYPE: ClassVar[str] = ""
    PAYLOAD_SERIALIZER_ID: ClassVar[str] = ""
    MESSAGE_TYPE_MAP: ClassVar[dict[int, type[Message]]] = BY_CODE
    RATED_MESSAGE_SIZE: ClassVar[int] = 512
    BATCH_SEPARATOR: ClassVar[bytes] = b"\x18"

    def __init__(self, serializer: IObjectSerializer) -> None:
        self._serializer = serializer
        self.batched = False
        self.codec: Codec
        if isinstance(serializer, ObjectSerializer) and serializer.is_own():
            self.codec = serializer.codec
            self.batched = serializer.batched
        else:
            self.codec = ObjectCodec(serializer)
        if (self.batched or getattr(serializer, "batched", False)) and not self.SERIALIZER_ID.endswith(".batched"):
            self.SERIALIZER_ID = f"{self.SERIALIZER_ID}.batched"
        self._autoreset: tuple[int, int, Callable[[dict[str, Any]], Any]] | None = None
        self.stats_reset()

    @classmethod
    def is_own(cls) -> bool:
        """Whether ``codec`` does what this class does, that is to say, no subclass of a program does something else."""
        return cls.serialize is Serializer.serialize and cls.unserialize is Serializer.unserialize

    def serialize(self, msg: Message) -> tuple[bytes, bool]:
        """The octets of ``msg``, and whether they are not text; raises ``SerializationError``."""
        data = self.codec.encode(msg)
        if self.batched:
            data = self.batch(data)
        self._count("serialized", 1, len(data))
        return data, self.codec.binary

    def unserialize(self, payload: bytes, isBinary: bool | None = None) -> list[Message]:
        """The messages in ``payload``; raises ``ProtocolError``."""
        if isBinary is not None and isBinary != self.codec.binary:
            expected, got = ("binary", "text") if self.codec.binary else ("text", "binary")
            raise ProtocolError(f"expected a {expected} message for {self.SERIALIZER_ID}, got a {got} one")
        parts = self.split(payload) if self.batched else [payload]
        messages = [message for part in parts for message in self.codec.decode_all(part)]
        self._count("unserialized", len(messages), len(payload))
        return messages

    def serialize_payload(self, data: Any) -> bytes:
        """The octets of one value, not framed."""
        return self.codec.dumps(data)

    def batch(self, data: bytes) -> bytes:
        """An encoded message as one message of a batch."""
        return frame(data, self.codec.binary, self.BATCH_SEPARATOR)

    def split(self, data: bytes) -> list[bytes]:
        """The encoded messages of a batch; raises ``ProtocolError``."""
        return split(data, self.codec.binary)

    # ---- statistics: of what went through serialize and unserialize --------------------------------------

    def stats_reset(self) -> None:
        """All counters are zero."""
        self._stats = {
            kind: {"bytes": 0, "messages": 0, "rated_messages": 0} for kind in ("serialized", "unserialized")
        }
        self._stats_since = time.monotonic_ns()

    def set_stats_autoreset(
        self,
        rated_messages: int | None,
        duration: int | None,
        callback: Callable[[dict[str, Any]], Any],
        reset_now: bool = False,
    ) -> None:
        """``callback(stats)`` gets the counters, and they start anew, after so many rated messages or nanoseconds.

        The time is looked at when a message is counted; None: no such limit. Raises ``ValueError``.
        """
        for name, value in (("rated_messages", rated_messages), ("duration", duration)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"expected {name} as an int from 1, or None, got {value!r}")
        if rated_messages is None and duration is None:
            raise ValueError("expected rated_messages or duration, got neither")
        if not callable(callback):
            raise ValueError(f"expected a callable as callback, got {type(callback).__name__}")
        self._autoreset = (rated_messages or sys.maxsize, duration or sys.maxsize, callback)
        if reset_now:
            self.stats_reset()

    def _count(self, kind: str, messages: int, octets: int) -> None:
        stats = self._stats[kind]
        stats["bytes"] += octets
        stats["messages"] += messages
        stats["rated_messages"] += -(-octets // self.RATED_MESSAGE_SIZE)
        if self._autoreset is not None:
            most, longest, callback = self._autoreset
            if self.stats_rated_messages() >= most or time.monotonic_ns() - self._stats_since >= longest:
                callback(self.stats(details=True))

    def _total(self, name: str) -> int:
        return self._stats["serialized"][name] + self._stats["unserialized"][name]

    def stats_bytes(self) -> int:
        """Octets, both ways."""
        return self._total("bytes")

    def stats_messages(self) -> int:
        """Messages, both ways."""
        return self._total("messages")

    def stats_rated_messages(self) -> int:
        """Messages, both ways, each counted once per ``RATED_MESSAGE_SIZE`` octets begun."""
        return self._total("rated_messages")

    def stats(self, reset: bool = True, details: bool = False) -> dict[str, Any]:
        """The counters, by direction if ``details``."""
        result: dict[str, Any] = (
            {kind: dict(counters) for kind, counters in self._stats.items()}
            if details
            else {name: self._total(name) for name in ("bytes", "messages", "rated_messages")}
        )
        if reset:
            self.stats_reset()
        return result


class JsonSerializer(Serializer):
    """Messages as JSON."""

    SERIALIZER_ID = "json"
    PAYLOAD_SERIALIZER_ID = "json"
    RAWSOCKET_SERIALIZER_ID = 1
    MIME_TYPE = "application/json"

    def __init__(
        self,
        batched: bool = False,
        use_binary_hex_encoding: bool = False,
        use_decimal_from_str: bool = False,
    ) -> None:
        super().__init__(JsonObjectSerializer(batched, use_binary_hex_encoding, use_decimal_from_str))


class MsgPackSerializer(Serializer):
    """Messages as MessagePack."""

    SERIALIZER_ID = "msgpack"
    PAYLOAD_SERIALIZER_ID = "msgpack"
    RAWSOCKET_SERIALIZER_ID = 2
    MIME_TYPE = "application/x-msgpack"

    def __init__(self, batched: bool = False) -> None:
        super().__init__(MsgPackObjectSerializer(batched))


class CBORSerializer(Serializer):
    """Messages as CBOR."""

    SERIALIZER_ID = "cbor"
    PAYLOAD_SERIALIZER_ID = "cbor"
    RAWSOCKET_SERIALIZER_ID = 3
    MIME_TYPE = "application/cbor"

    def __init__(self, batched: bool = False) -> None:
        super().__init__(CBORObjectSerializer(batched))


class UBJSONSerializer(Serializer):
    """Messages as UBJSON (in the form of BJData, as autobahn has it since 26.6)."""

    SERIALIZER_ID = "ubjson"
    PAYLOAD_SERIALIZER_ID = "ubjson"
    RAWSOCKET_SERIALIZER_ID = 4
    MIME_TYPE = "application/ubjson"

    def __init__(self, batched: bool = False) -> None:
        super().__init__(UBJSONObjectSerializer(batched))


SERID_TO_OBJSER: dict[str, type[ObjectSerializer]] = {
    "msgpack": MsgPackObjectSerializer,
    "cbor": CBORObjectSerializer,
    "ubjson": UBJSONObjectSerializer,
    "json": JsonObjectSerializer,
}
SERID_TO_SER: dict[str, type[Any]] = {
    "msgpack": MsgPackSerializer,
    "cbor": CBORSerializer,
    "ubjson": UBJSONSerializer,
    "json": JsonSerializer,
}

_PREFERENCE = ("cbor", "msgpack", "json")  # UBJSON only by name: it is decoded in Python, which costs a router time


def default_serializers() -> list[Any]:
    """The serializers that are offered unless others are named, in order, each batched before plain."""
    return [SERID_TO_SER[name](batched=batched) for name in _PREFERENCE for batched in (True, False)]


def create_transport_serializer(serializer_id: str) -> Any:
    """The serializer of an id like ``cbor`` or ``json.batched``; raises ``RuntimeError``."""
    name, dot, suffix = str(serializer_id).partition(".")
    if name not in SERID_TO_SER or (dot and suffix != "batched"):
        hint = " (FlatBuffers is not supported: use cbor)" if name == "flatbuffers" else ""
        known = ", ".join(SERID_TO_SER)
        raise RuntimeError(f"expected a serializer id out of {known}, or .batched, got {serializer_id!r}{hint}")
    return SERID_TO_SER[name](batched=bool(dot))


def create_transport_serializers(serializer_ids: Iterable[str] | None = None) -> list[Any]:
    """The serializers of several ids; those offered by default, in order of preference, if None."""
    if serializer_ids is None:
        return default_serializers()
    return [create_transport_serializer(serializer_id) for serializer_id in serializer_ids]


def codec_of(serializer: Any) -> Codec:
    """What does the work of ``serializer``: its own codec, or one that calls it."""
    if isinstance(serializer, Serializer) and serializer.is_own():
        return serializer.codec
    return ForeignCodec(serializer)


def __getattr__(name: str) -> Any:
    if name in {"FlatBuffersSerializer", "FlatBuffersObjectSerializer"}:
        raise AttributeError(
            f"{name} is left out: only autobahn and crossbar speak FlatBuffers; use CBORSerializer, which all have"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

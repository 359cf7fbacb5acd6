"""Codecs around serializers that a program has written itself."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from autobahn.wamp.codec_base import Codec, RowCodec
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.interfaces import IObjectSerializer, ISerializer
from autobahn.wamp.message import Message


class ObjectCodec(RowCodec):
    """An `IObjectSerializer`: it frames batches itself, if it does."""

    name: str  # type: ignore[misc]
    binary: bool  # type: ignore[misc]
    is_foreign = True

    def __init__(self, serializer: IObjectSerializer) -> None:
        self._serializer = serializer
        self.name = str(serializer.NAME)
        self.binary = bool(serializer.BINARY)

    def decode_all(self, data: bytes) -> list[Message]:
        return [self.message(row) for row in self._values(data)]

    def encode(self, msg: Message) -> bytes:
        return self.dumps(msg.row())

    def loads(self, data: bytes | Raw) -> Any:
        found = self._values(bytes(data))
        if len(found) != 1:
            raise ProtocolError(f"expected one value, got {len(found)}")
        return found[0]

    def _values(self, data: bytes) -> list[Any]:
        try:
            return list(self._serializer.unserialize(data))
        except Exception as exc:
            raise ProtocolError(f"invalid {self.name} payload: {exc}") from exc

    def dumps(self, value: Any) -> bytes:
        try:
            return self._serializer.serialize(value)
        except Exception as exc:
            raise SerializationError(f"cannot serialize to {self.name}: {exc}") from exc


class ForeignCodec(Codec):
    """An `ISerializer`: whole messages."""

    name: str  # type: ignore[misc]
    binary: bool  # type: ignore[misc]
    is_foreign = True

    def __init__(self, serializer: ISerializer) -> None:
        self._serializer = serializer
        self.name = str(serializer.SERIALIZER_ID)
        self.binary = not self.name.startswith("json")
        codec = getattr(serializer, "codec", None)
        if isinstance(codec, Codec):
            self.binary = codec.binary

    def decode(self, data: bytes) -> Message:
        found = self.decode_all(data)
        if len(found) != 1:
            raise ProtocolError(f"expected one message, got {len(found)}")
        return found[0]

    def decode_raw(self, data: bytes) -> Message:
        return self.decode(data)

    def decode_all(self, data: bytes) -> list[Message]:
        try:
            found = list(self._serializer.unserialize(data, self.binary))
        except ProtocolError:
            raise
        except Exception as exc:
            raise ProtocolError(f"invalid {self.name} message: {exc}") from exc
        for msg in found:
            if not isinstance(msg, Message):
                raise TypeError(
                    f"expected messages of autobahn.wamp.message from {self.name}, got {type(msg).__name__}"
                )
        return [self.judged(msg) for msg in found]

    def encode(self, msg: Message) -> bytes:
        try:
            data, self.binary = self._serializer.serialize(msg)
        except SerializationError:
            raise
        except Exception as exc:
            raise SerializationError(f"cannot serialize to {self.name}: {exc}") from exc
        return data

    def loads(self, data: bytes | Raw) -> Any:
        raise ProtocolError("expected a decoded payload, got an undecoded one")

    def dumps(self, value: Any) -> bytes:
        raise SerializationError("expected a message, got a value")

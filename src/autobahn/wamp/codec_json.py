"""JSON with other conventions for octets and decimal numbers, for peers that agree on them."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from autobahn.wamp import _json_values as values
from autobahn.wamp.codec import CODECS, JsonCodec
from autobahn.wamp.codec_base import Codec
from autobahn.wamp.exception import SerializationError
from autobahn.wamp.message import BY_CODE, RAW, Message

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")


@lru_cache
def json_codec(hex_octets: bool = False, decimal_texts: bool = False, decimal_floats: bool = False) -> Codec:
    """The JSON codec with these conventions; always the same one for the same conventions."""
    if hex_octets or decimal_texts or decimal_floats:
        return JsonVariantCodec(hex_octets, decimal_texts, decimal_floats)
    return CODECS["json"]


class JsonVariantCodec(JsonCodec):
    """JSON whose payload follows other conventions; options and details are plain JSON."""

    def __init__(self, hex_octets: bool, decimal_texts: bool, decimal_floats: bool) -> None:
        self._hex = hex_octets
        self._decimals = decimal_texts
        self._floats = msgspec.json.Decoder(float_hook=Decimal if decimal_floats else None)

    def decode(self, data: bytes) -> Message:
        msg: Any = self.decode_raw(data)
        if msg.code not in RAW:
            return msg  # type: ignore[no-any-return]
        fields = msgspec.structs.asdict(msg)
        fields["args"] = [] if msg.args is None else self.load(msg.args)
        fields["kwargs"] = {} if msg.kwargs is None else self.load(msg.kwargs)
        return BY_CODE[msg.code](**fields)

    def loads(self, data: bytes | Raw) -> Any:
        value = super().loads(data)  # judges it
        return self._revived(values.from_json(self._floats.decode(data)) if self._floats.float_hook else value)

    def encode(self, msg: Message) -> bytes:
        fields = msgspec.structs.asdict(msg)
        if msg.code not in RAW or type(fields["args"]) is Raw or type(fields["kwargs"]) is Raw:
            return super().encode(msg)
        try:
            fields["args"], fields["kwargs"] = self._written(fields["args"]), self._written(fields["kwargs"])
        except Exception as exc:
            raise self._refusal(msg, exc) from None
        return super().encode(BY_CODE[msg.code](**fields))

    def dumps(self, value: Any) -> bytes:
        try:
            written = self._written(value)
        except values.Unserializable as exc:
            raise SerializationError(str(exc)) from None
        return super().dumps(written)

    def _revived(self, value: Any) -> Any:
        if isinstance(value, str):
            if self._hex and _HEX.fullmatch(value):
                return bytes.fromhex(value[2:])
            return Decimal(value) if self._decimals and _DECIMAL.fullmatch(value) else value
        if isinstance(value, list):
            return [self._revived(item) for item in value]
        if isinstance(value, dict):
            return {key: self._revived(item) for key, item in value.items()}
        return value

    def _written(self, value: Any, depth: int = 0) -> Any:
        if depth > values.MAX_DEPTH:
            raise values.too_deep()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return "0x" + bytes(value).hex() if self._hex else value
        if isinstance(value, str):
            if self._hex and _HEX.fullmatch(value):
                raise values.Unserializable(
                    f"expected a text that is no hex number, which means octets, got {value!r:.60}"
                )
            return value
        if isinstance(value, dict):
            return {key: self._written(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._written(item, depth + 1) for item in value]
        return value

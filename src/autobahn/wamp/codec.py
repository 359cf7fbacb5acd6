"""Messages to octets and back: one ``Codec`` per serializer, in ``CODECS``.

The fast path is one C call into a typed struct. What the types cannot say is judged after it: known options
(only if there are any), octets in JSON (only if the escape occurs), the undecoded payload. A slow path, taken
when the types refuse a message, accepts what peers really send: ids as floats (JavaScript), a bare payload in
place of Arguments (payload transparency), options without a value.

``decode`` gives ``args`` as a list, except for a message with ``enc_algo`` in its Options or Details and a
bare payload: there ``args`` is that payload (``bytes``, or ``str`` from a peer that sends text).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Union

import cbor2
import msgspec
from msgspec import Raw

from autobahn._compiled import expect_compiled
from autobahn.wamp import _json_values as values
from autobahn.wamp import ubjson
from autobahn.wamp.codec_base import DICT_AT, MAX_DEPTH, Codec, RowCodec, TypedCodec, violation
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.message import MESSAGES, RAW, Message
from autobahn.wamp.options import OPTIONS_OF

__all__ = ("CODECS", "CborCodec", "Codec", "JsonCodec", "MsgPackCodec", "UbjsonCodec")

_cbor: Any = None  # the compiled unit, if it is there: for the plain part of CBOR
with suppress(ImportError):
    expect_compiled()
    from autobahn.wamp import _cbor

PLAIN = values.PLAIN
_ESCAPE = b"\\u0000"  # in JSON; found with find(), which is faster than "in"
_ANY_MESSAGE: Any = Union[MESSAGES]
_ANY_RAW: Any = Union[tuple(RAW.get(cls.code, cls) for cls in MESSAGES)]


class JsonCodec(TypedCodec):
    """JSON, octets by the rule of the specification."""

    name = "json"
    binary = False
    _escape = _ESCAPE

    _encoder = msgspec.json.Encoder()
    carry = _encoder.encode
    _decoder = msgspec.json.Decoder(_ANY_MESSAGE)
    _raw_decode = msgspec.json.Decoder(_ANY_RAW).decode
    _any = msgspec.json.Decoder()
    _list_decode = msgspec.json.Decoder(list[Any]).decode
    _dict_decode = msgspec.json.Decoder(dict[str, Any]).decode

    def _may_be_deep(self, data: bytes) -> bool:
        """Whether there are enough octets that begin a container."""
        return data.count(b"[") + data.count(b"{") > MAX_DEPTH

    def _revive(self, msg: Message) -> None:
        """Octets in ``msg`` are octets."""
        for name in msg.__struct_fields__:
            value = getattr(msg, name)
            if type(value) in (dict, list):
                setattr(msg, name, values.from_json(value))

    def _check_hidden(self, payload: Any) -> None:
        values.from_json(payload)  # its base64 is good

    def encode(self, msg: Message) -> bytes:
        row = msg.row()
        if type(row[-1]) is Raw and not row[DICT_AT[msg.code]]:
            return self._encoder.encode(row)  # what a router only carries was judged when it came
        try:
            for i, value in enumerate(row):
                kind = type(value)
                if kind is list:
                    if not PLAIN.issuperset(map(type, value)):
                        row[i] = values.list_to_json(value)
                elif kind is dict:
                    if value:
                        row[i] = values.dict_to_json(value)
                elif kind not in PLAIN:
                    row[i] = values.to_json(value)
            data = self._encoder.encode(row)
        except Exception as exc:
            raise self._refusal(msg, exc) from None
        if data.find(b"\\") >= 0 and data.find(_ESCAPE) >= 0 and values.has_nul_text(msg.row()):
            raise self._refusal(msg, _nul_text())
        return data

    def dumps(self, value: Any) -> bytes:
        try:
            data = self._encoder.encode(values.to_json(value))
        except Exception as exc:
            raise SerializationError(str(exc)) from None
        if data.find(_ESCAPE) >= 0 and values.has_nul_text(value):
            raise SerializationError(str(_nul_text()))
        return data


class MsgPackCodec(TypedCodec):
    """MessagePack."""

    name = "msgpack"
    binary = True

    _encoder = msgspec.msgpack.Encoder(enc_hook=values.plain_object)
    carry = _encoder.encode
    _decoder = msgspec.msgpack.Decoder(_ANY_MESSAGE)
    _raw_decode = msgspec.msgpack.Decoder(_ANY_RAW).decode
    _any = msgspec.msgpack.Decoder()
    _list_decode = msgspec.msgpack.Decoder(list[Any]).decode
    _dict_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
    _NO_CONTAINERS = bytes(b for b in range(256) if not (0x80 <= b <= 0x9F or 0xDC <= b <= 0xDF))

    def _may_be_deep(self, data: bytes) -> bool:
        """Whether there are enough octets that begin a container."""
        return len(data.translate(None, self._NO_CONTAINERS)) > MAX_DEPTH

    def _is_undefined(self, value: Any) -> bool:
        return type(value) is msgspec.msgpack.Ext and value.code == 0

    def encode(self, msg: Message) -> bytes:
        try:
            row = msg.row()
            data = self._encoder.encode(row)
            if type(row[-1]) is Raw and not row[DICT_AT[msg.code]]:
                return data  # what a router only carries was judged when it came
            if len(data) > MAX_DEPTH and self._may_be_deep(data) and values.is_deep(row[1:]):
                raise values.too_deep()
        except Exception as exc:
            raise self._refusal(msg, exc) from None
        return data

    def dumps(self, value: Any) -> bytes:
        try:
            return self._encoder.encode(value)
        except Exception as exc:
            raise SerializationError(str(exc)) from None


class CborCodec(RowCodec):
    """CBOR: what is plain by the compiled unit, everything else by cbor2, whose errors are everybody's."""

    name = "cbor"
    binary = True

    _decoder = MsgPackCodec._decoder
    _any = MsgPackCodec._any

    # cbor2.loads ignores what follows the first value. A second value, which nobody can guess, must follow.
    _END = os.urandom(12)
    _SENTINEL = b"\x4c" + _END

    def _is_undefined(self, value: Any) -> bool:
        return value is cbor2.undefined

    def decode(self, data: bytes) -> Message:
        packed = _cbor.to_msgpack(data) if _cbor is not None else None
        if packed is not None:
            try:
                msg: Message = self._decoder.decode(packed)
            except Exception:
                return super().decode(data)  # which says what is wrong, or accepts what peers really send
            options = OPTIONS_OF[msg.code](msg)
            return self._judge(msg, options) if options or msg.code <= 2 else msg
        return super().decode(data)

    def encode(self, msg: Message) -> bytes:
        row = msg.row()
        if _cbor is not None:
            data: bytes | None = _cbor.dumps(row)
            if data is not None:
                return data
        try:
            for value in row:
                if value and type(value) in _ROW_CONTAINERS:
                    inner = value.values() if type(value) is dict else value
                    if not _CBOR_FLAT.issuperset(map(type, inner)):
                        break
            else:  # nothing that would have to be surveyed
                return cbor2.dumps(row, default=_cbor_object)
            return _cbor_dumps(row, [value for value in row if type(value) in _ROW_CONTAINERS and value])
        except Exception as exc:
            raise self._refusal(msg, exc) from None

    def loads(self, data: bytes | Raw) -> Any:
        packed = _cbor.to_msgpack(data) if _cbor is not None else None
        if packed is not None:
            try:
                return self._any.decode(packed)
            except Exception:  # noqa: S110 - a text that is not UTF-8: cbor2 says so
                pass
        try:
            value, end = cbor2.loads(
                b"\x82" + bytes(data) + self._SENTINEL,
                max_depth=MAX_DEPTH + 3,
                semantic_decoders=_CBOR_DECODERS,
            )
        except Exception as exc:
            raise violation(exc) from None
        if end != self._END:
            raise ProtocolError("expected one CBOR value, got more after it")
        return value

    def dumps(self, value: Any) -> bytes:
        if _cbor is not None:
            data: bytes | None = _cbor.dumps(value)
            if data is not None:
                return data
        try:
            return _cbor_dumps(value, [[value]])
        except Exception as exc:
            raise SerializationError(str(exc)) from None


def _cbor_dumps(value: Any, containers: list[Any]) -> bytes:
    """``value`` in CBOR; ``containers`` are those in it. Too deep a value would overflow the stack in cbor2."""
    special = False
    for container in containers:
        special = values.survey(container) or special
    if special:  # cbor2 writes a memoryview as a list of numbers, and is slow with encoders of our own
        return cbor2.dumps(value, default=_cbor_object, encoders=_CBOR_ENCODERS)
    return cbor2.dumps(value, default=_cbor_object)


def _cbor_object(encoder: Any, value: Any) -> None:
    if type(value) is Raw:
        raise TypeError("expected a decoded payload, got the undecoded payload of another serializer")
    encoder.encode(values.plain_object(value))


def _cbor_octets(encoder: Any, value: memoryview) -> None:
    encoder.encode(bytes(value))


def _refuse_tag(number: int) -> Any:
    def refuse(decoder: Any) -> Any:
        raise ValueError(f"expected no CBOR tag {number}, which is not for untrusted input")

    return refuse


_ROW_CONTAINERS = frozenset({list, dict, tuple})
_CBOR_FLAT = frozenset({int, float, bool, type(None), str, bytes})
_CBOR_ENCODERS: Any = {memoryview: _cbor_octets}

# References make small input large or endless; regular expressions and mail are parsers of their own.
_CBOR_DECODERS: Any = {number: _refuse_tag(number) for number in (25, 28, 29, 35, 36, 256)}


class UbjsonCodec(RowCodec):
    """UBJSON in the form of BJData."""

    name = "ubjson"
    binary = True

    def encode(self, msg: Message) -> bytes:
        try:
            return ubjson.dumps(msg.row())
        except Exception as exc:
            raise self._refusal(msg, exc) from None

    def loads(self, data: bytes | Raw) -> Any:
        try:
            return ubjson.loads(bytes(data))
        except Exception as exc:
            raise violation(exc) from None

    def dumps(self, value: Any) -> bytes:
        try:
            return ubjson.dumps(value)
        except Exception as exc:
            raise SerializationError(str(exc)) from None


CODECS: dict[str, Codec] = {codec.name: codec for codec in (JsonCodec(), MsgPackCodec(), CborCodec(), UbjsonCodec())}


def _nul_text() -> values.Unserializable:
    return values.Unserializable("expected a text that does not begin with NUL, which means octets in JSON")

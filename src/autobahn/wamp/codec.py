"""Messages to octets and back: one ``Codec`` per serializer, in ``CODECS``.

The fast path is one C call into a typed struct. What the types cannot say is judged after it: known options
(only if there are any), octets in JSON (only if the escape occurs), the undecoded payload. A slow path, taken
when the types refuse a message, accepts what peers really send: ids as floats (JavaScript), a bare payload in
place of Arguments (payload transparency), options without a value.

``decode`` gives ``args`` as a list, except for a message with ``enc_algo`` in its Options or Details and a
bare payload: there ``args`` is that payload (``bytes``, or ``str`` from a peer that sends text).
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, Union

import cbor2
import msgspec
from msgspec import Raw

from autobahn.wamp import _json_values as values
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.message import BY_CODE, MESSAGES, RAW, Message
from autobahn.wamp.options import DICT_FIELD, OPTIONS_OF, integral, repair, require, validate

MAX_DEPTH = values.MAX_DEPTH
PLAIN = values.PLAIN
_ESCAPE = b"\\u0000"  # in JSON; found with find(), which is faster than "in"
_ANY_MESSAGE: Any = Union[MESSAGES]
_ANY_RAW: Any = Union[tuple(RAW.get(cls.code, cls) for cls in MESSAGES)]
_INTEGERS = {
    code: [
        i
        for i, name in enumerate(cls.__struct_fields__, start=1)
        if name in {"session", "request_type", "request", "publication", "subscription", "registration"}
    ]
    for code, cls in BY_CODE.items()
}
_DICT_AT = {code: BY_CODE[code].__struct_fields__.index(DICT_FIELD[code] or "") + 1 for code in RAW}
_ARGS_AT = {code: BY_CODE[code].__struct_fields__.index("args") + 1 for code in RAW}


class Codec:
    """One serialization of WAMP messages. Stateless; one instance serves all connections."""

    name: ClassVar[str]
    binary: ClassVar[bool]

    def decode(self, data: bytes) -> Message:
        """The message in ``data``; raises ``ProtocolError``."""
        raise NotImplementedError

    def decode_raw(self, data: bytes) -> Message:
        """Like ``decode``, but payload messages come in their ``RAW`` form (except from CBOR).

        The undecoded payload is known to be well-formed, so that whoever gets it can decode it. A bare payload
        in place of Arguments is refused: a receiver could not tell it from a violation without ``enc_algo``.
        """
        raise NotImplementedError

    def encode(self, msg: Message) -> bytes:
        """The octets of ``msg`` (also of a ``RAW`` form of this codec); raises ``SerializationError``."""
        raise NotImplementedError

    def loads(self, data: bytes | Raw) -> Any:
        """Any value; raises ``ProtocolError``."""
        raise NotImplementedError

    def dumps(self, value: Any) -> bytes:
        """The octets of any value; raises ``SerializationError``."""
        raise NotImplementedError

    def load(self, raw: Raw) -> Any:
        """The value of one undecoded payload field; raises ``ProtocolError``."""
        return self.loads(raw)

    # ---- what all share --------------------------------------------------------------------------------

    def _judge(self, msg: Message, options: dict[str, Any]) -> Message:
        """The rest of a decode: known options have their types."""
        code = msg.code
        try:
            validate(code, options)
        except ProtocolError:
            if not self.binary:
                raise
            options = repair(code, options, self._is_undefined)
            validate(code, options)
            setattr(msg, DICT_FIELD[code] or "", options)
        require(code, options)
        return msg

    def _from_row(self, row: Any, refusal: Exception) -> Message:
        """The slow path: ``row``, which the types refused, if peers are known to mean something by it."""
        code = integral(row[0]) if type(row) is list and row else None
        cls = BY_CODE.get(code) if type(code) is int else None
        if cls is None or not isinstance(refusal, msgspec.ValidationError):
            raise _violation(refusal) from None
        code = cls.code
        if self.binary:
            row[0] = code
            for i in _INTEGERS[code]:
                if i < len(row):
                    row[i] = integral(row[i])
        payload = self._bare_payload(code, row)
        if payload is not None:
            row.pop()
        try:
            msg = msgspec.convert(row, cls)
        except msgspec.ValidationError as exc:
            raise _violation(exc) from None
        if payload is not None:
            setattr(msg, "args", payload)  # noqa: B010
        return msg

    def _bare_payload(self, code: int, row: list[Any]) -> bytes | str | None:
        """The payload that stands in place of Arguments in ``row``, if this is payload transparency."""
        at = _ARGS_AT.get(code)
        if at is None or len(row) != at + 1 or not isinstance(row[at], (bytes, str)):
            return None
        options = row[BY_CODE[code].__struct_fields__.index(DICT_FIELD[code] or "") + 1]
        if type(options) is not dict or options.get("enc_algo") is None:
            return None
        return row[at]  # type: ignore[no-any-return]

    def _raw_form(self, msg: Message) -> Message:
        """``msg`` in its ``RAW`` form, for messages that came the slow way."""
        cls = RAW.get(msg.code)
        if cls is None:
            return msg
        _refuse_bare_payload(msg)
        fields = msgspec.structs.asdict(msg)
        for name in ("args", "kwargs"):
            fields[name] = Raw(self.dumps(fields[name])) if fields[name] else None
        return cls(**fields)

    def _is_undefined(self, value: Any) -> bool:
        """Whether ``value`` is how JavaScript's ``undefined`` arrives."""
        return False

    def _refusal(self, msg: Message, exc: Exception) -> SerializationError:
        """The error for a message that cannot be encoded; names the place."""
        for name in ("args", "kwargs", DICT_FIELD[msg.code] or ""):
            value = getattr(msg, name, None)
            found = self._culprit(value, name, 0) if value else None
            if found is not None:
                path, cause = found
                return SerializationError(f"cannot serialize {path} to {self.name}: {cause}")
        return SerializationError(f"cannot serialize {type(msg).__name__} to {self.name}: {exc}")

    def _culprit(self, value: Any, path: str, depth: int) -> tuple[str, Exception] | None:
        """The innermost place under ``path`` that cannot be serialized, and why."""
        try:
            self.dumps(value)
        except SerializationError as exc:
            if depth < 20:
                for key, item in _items(value):
                    found = self._culprit(item, f"{path}[{key!r}]", depth + 1)
                    if found is not None:
                        return found
            return path, exc
        return None


class JsonCodec(Codec):
    """JSON, octets by the rule of the specification."""

    name = "json"
    binary = False

    _encoder = msgspec.json.Encoder()
    _decoder = msgspec.json.Decoder(_ANY_MESSAGE)
    _raw_decoder = msgspec.json.Decoder(_ANY_RAW)
    _any = msgspec.json.Decoder()
    _list = msgspec.json.Decoder(list[Any])
    _dict = msgspec.json.Decoder(dict[str, Any])

    def decode(self, data: bytes) -> Message:
        try:
            msg: Message = self._decoder.decode(data)
            if len(data) > MAX_DEPTH and self._may_be_deep(data):
                _refuse_depth(*msgspec.structs.astuple(msg))
            if data.find(_ESCAPE) >= 0:
                self._revive(msg)
        except ProtocolError:
            raise
        except Exception as exc:
            msg = self._from_row(self._rescued(data, exc), exc)
        options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg

    def decode_raw(self, data: bytes) -> Message:
        try:
            msg: Message = self._raw_decoder.decode(data)
            if msg.code in RAW:
                self._check(msg, data)
            if data.find(_ESCAPE) >= 0:
                self._revive(msg)
        except ProtocolError:
            raise
        except Exception as exc:
            msg = self._raw_form(self._from_row(self._rescued(data, exc), exc))
        options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg

    def _check(self, msg: Any, data: bytes) -> None:
        """The undecoded payload is a list and a dict of sane depth, which any receiver can decode."""
        args = None if msg.args is None else self._list.decode(msg.args)
        kwargs = None if msg.kwargs is None else self._dict.decode(msg.kwargs)
        if len(data) > MAX_DEPTH and self._may_be_deep(data):
            _refuse_depth(args, kwargs)
        if data.find(_ESCAPE) >= 0:
            values.from_json([args, kwargs])  # its base64 is good

    def _may_be_deep(self, data: bytes) -> bool:
        """Whether there are enough octets that begin a container."""
        return data.count(b"[") + data.count(b"{") > MAX_DEPTH

    def _revive(self, msg: Message) -> None:
        """Octets in ``msg`` are octets."""
        for name in msg.__struct_fields__:
            value = getattr(msg, name)
            if type(value) in (dict, list):
                setattr(msg, name, values.from_json(value))

    def _rescued(self, data: bytes, exc: Exception) -> Any:
        """``data`` as a value, if only the types were wrong; raises ``ProtocolError`` otherwise."""
        if not isinstance(exc, msgspec.ValidationError):
            raise _violation(exc) from None
        return self.loads(data)

    def encode(self, msg: Message) -> bytes:
        row = msg.row()
        if type(row[-1]) is Raw and not row[_DICT_AT[msg.code]]:
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
        if data.find(_ESCAPE) >= 0 and values.has_nul_text(msg.row()):
            raise self._refusal(msg, _nul_text())
        return data

    def loads(self, data: bytes | Raw) -> Any:
        try:
            value = self._any.decode(data)
        except Exception as exc:
            raise _violation(exc) from None
        octets = bytes(data)
        if len(octets) > MAX_DEPTH and self._may_be_deep(octets):
            _refuse_depth(value)
        return values.from_json(value) if octets.find(_ESCAPE) >= 0 else value

    def dumps(self, value: Any) -> bytes:
        try:
            data = self._encoder.encode(values.to_json(value))
        except Exception as exc:
            raise SerializationError(str(exc)) from None
        if data.find(_ESCAPE) >= 0 and values.has_nul_text(value):
            raise SerializationError(str(_nul_text()))
        return data


class MsgPackCodec(Codec):
    """MessagePack."""

    name = "msgpack"
    binary = True

    _encoder = msgspec.msgpack.Encoder(enc_hook=values.plain_object)
    _decoder = msgspec.msgpack.Decoder(_ANY_MESSAGE)
    _raw_decoder = msgspec.msgpack.Decoder(_ANY_RAW)
    _any = msgspec.msgpack.Decoder()
    _list = msgspec.msgpack.Decoder(list[Any])
    _dict = msgspec.msgpack.Decoder(dict[str, Any])
    _NO_CONTAINERS = bytes(b for b in range(256) if not (0x80 <= b <= 0x9F or 0xDC <= b <= 0xDF))

    def decode(self, data: bytes) -> Message:
        try:
            msg: Message = self._decoder.decode(data)
            if len(data) > MAX_DEPTH and self._may_be_deep(data):
                _refuse_depth(*msgspec.structs.astuple(msg))
        except ProtocolError:
            raise
        except Exception as exc:
            msg = self._from_row(self._rescued(data, exc), exc)
        options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg

    def decode_raw(self, data: bytes) -> Message:
        try:
            msg: Message = self._raw_decoder.decode(data)
            if msg.code in RAW:
                self._check(msg, data)
        except ProtocolError:
            raise
        except Exception as exc:
            msg = self._raw_form(self._from_row(self._rescued(data, exc), exc))
        options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg

    def _check(self, msg: Any, data: bytes) -> None:
        """The undecoded payload is a list and a dict of sane depth, which any receiver can decode."""
        args = None if msg.args is None else self._list.decode(msg.args)
        kwargs = None if msg.kwargs is None else self._dict.decode(msg.kwargs)
        if len(data) > MAX_DEPTH and self._may_be_deep(data):
            _refuse_depth(args, kwargs)

    def _may_be_deep(self, data: bytes) -> bool:
        """Whether there are enough octets that begin a container."""
        return len(data.translate(None, self._NO_CONTAINERS)) > MAX_DEPTH

    def _rescued(self, data: bytes, exc: Exception) -> Any:
        """``data`` as a value, if only the types were wrong; raises ``ProtocolError`` otherwise."""
        if not isinstance(exc, msgspec.ValidationError):
            raise _violation(exc) from None
        return self.loads(data)

    def _is_undefined(self, value: Any) -> bool:
        return type(value) is msgspec.msgpack.Ext and value.code == 0

    def encode(self, msg: Message) -> bytes:
        try:
            row = msg.row()
            data = self._encoder.encode(row)
            if len(data) > MAX_DEPTH and self._may_be_deep(data) and values.is_deep(row[1:]):
                raise values.too_deep()
        except Exception as exc:
            raise self._refusal(msg, exc) from None
        return data

    def loads(self, data: bytes | Raw) -> Any:
        try:
            value = self._any.decode(data)
        except Exception as exc:
            raise _violation(exc) from None
        octets = bytes(data)
        if len(octets) > MAX_DEPTH and self._may_be_deep(octets):
            _refuse_depth(value)
        return value

    def dumps(self, value: Any) -> bytes:
        try:
            return self._encoder.encode(value)
        except Exception as exc:
            raise SerializationError(str(exc)) from None


class CborCodec(Codec):
    """CBOR."""

    name = "cbor"
    binary = True

    # cbor2.loads ignores what follows the first value. A second value, which nobody can guess, must follow.
    _END = secrets.token_bytes(12)
    _SENTINEL = b"\x4c" + _END

    def decode(self, data: bytes) -> Message:
        row = self.loads(data)
        try:
            msg: Message = msgspec.convert(row, BY_CODE[row[0]])
        except Exception as exc:
            refusal = exc if isinstance(exc, msgspec.ValidationError) else _not_a_message(row)
            msg = self._from_row(row, refusal)
        options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg

    def decode_raw(self, data: bytes) -> Message:
        msg = self.decode(data)
        if msg.code in RAW:
            _refuse_bare_payload(msg)
        return msg

    def _is_undefined(self, value: Any) -> bool:
        return value is cbor2.undefined

    def encode(self, msg: Message) -> bytes:
        row = msg.row()
        try:
            return _cbor_dumps(row, [value for value in row if type(value) in _ROW_CONTAINERS and value])
        except Exception as exc:
            raise self._refusal(msg, exc) from None

    def loads(self, data: bytes | Raw) -> Any:
        try:
            value, end = cbor2.loads(
                b"\x82" + bytes(data) + self._SENTINEL,
                max_depth=MAX_DEPTH + 3,
                semantic_decoders=_CBOR_DECODERS,
            )
        except Exception as exc:
            raise _violation(exc) from None
        if end != self._END:
            raise ProtocolError("expected one CBOR value, got more after it")
        return value

    def dumps(self, value: Any) -> bytes:
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
_CBOR_ENCODERS: Any = {memoryview: _cbor_octets}

# References make small input large or endless; regular expressions and mail are parsers of their own.
_CBOR_DECODERS: Any = {number: _refuse_tag(number) for number in (25, 28, 29, 35, 36, 256)}

CODECS: dict[str, Codec] = {codec.name: codec for codec in (JsonCodec(), MsgPackCodec(), CborCodec())}


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _refuse_depth(*contents: Any) -> None:
    if any(values.is_deep(value) for value in contents if isinstance(value, (list, dict))):
        raise ProtocolError(f"expected nesting of at most {MAX_DEPTH} levels, got more")


def _refuse_bare_payload(msg: Any) -> None:
    if type(msg.args) is not list:
        raise ProtocolError("expected a list as Arguments, got a bare payload (payload transparency)")


def _nul_text() -> values.Unserializable:
    return values.Unserializable("expected a text that does not begin with NUL, which means octets in JSON")


def _not_a_message(row: Any) -> msgspec.ValidationError:
    got = f"message type {row[0]!r}" if type(row) is list and row else type(row).__name__
    return msgspec.ValidationError(f"expected a list that begins with a message type, got {got}")


def _violation(exc: Exception) -> ProtocolError:
    text = "nested too deep" if isinstance(exc, RecursionError) else str(exc) or type(exc).__name__
    return ProtocolError(f"invalid WAMP message: {text}")

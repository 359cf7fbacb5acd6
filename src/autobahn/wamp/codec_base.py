"""What all codecs share: from octets to a judged message, and what peers are known to mean by odd ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from autobahn.wamp import _json_values as values
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.message import BY_CODE, RAW, Message
from autobahn.wamp.options import DICT_FIELD, OPTIONS_OF, integral, repair, require, validate

MAX_DEPTH = values.MAX_DEPTH
_FLAT = frozenset({int, float, bool, type(None), str, bytes})
_INTEGERS = {
    code: [
        i
        for i, name in enumerate(cls.__struct_fields__, start=1)
        if name in {"session", "request_type", "request", "publication", "subscription", "registration"}
    ]
    for code, cls in BY_CODE.items()
}
DICT_AT = {code: BY_CODE[code].__struct_fields__.index(DICT_FIELD[code] or "") + 1 for code in RAW}
_CARRIED: dict[type[Message], Any] = {cls: OPTIONS_OF[code] for code, cls in RAW.items()}
_ARGS_AT = {code: BY_CODE[code].__struct_fields__.index("args") + 1 for code in RAW}


class Codec(ABC):
    """One serialization of WAMP messages. Stateless; one instance serves all connections."""

    name: ClassVar[str]
    binary: ClassVar[bool]
    carry: ClassVar[Any] = None  # makes octets of a row of judged values and `msgspec.Raw` of this codec, if it can
    is_foreign: ClassVar[bool] = False  # whether a program's own serializer does the work, and frames what it does

    @abstractmethod
    def decode(self, data: bytes) -> Message:
        """The message in ``data``; raises ``ProtocolError``."""

    def decode_all(self, data: bytes) -> list[Message]:
        """The messages in ``data``: one, unless a serializer of a program frames several."""
        return [self.decode(data)]

    @abstractmethod
    def decode_raw(self, data: bytes) -> Message:
        """Like ``decode``, but payload messages come in their ``RAW`` form (from typed codecs: JSON and MessagePack).

        The undecoded payload is known to be well-formed, so that whoever gets it can decode it.
        """

    @abstractmethod
    def encode(self, msg: Message) -> bytes:
        """The octets of ``msg`` (also of a ``RAW`` form of this codec); raises ``SerializationError``."""

    @abstractmethod
    def loads(self, data: bytes | Raw) -> Any:
        """Any value; raises ``ProtocolError``."""

    @abstractmethod
    def dumps(self, value: Any) -> bytes:
        """The octets of any value; raises ``SerializationError``."""

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

    def judged(self, msg: Message) -> Message:
        """``msg``, whose known options have their types."""
        options = OPTIONS_OF[msg.code](msg)
        return self._judge(msg, options) if options or msg.code <= 2 else msg

    def _from_row(self, row: Any, refusal: Exception) -> Message:
        """The slow path: ``row``, which the types refused, if peers are known to mean something by it."""
        code = integral(row[0]) if type(row) is list and row else None
        cls = BY_CODE.get(code) if type(code) is int else None
        if cls is None or not isinstance(refusal, msgspec.ValidationError):
            raise violation(refusal) from None
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
            raise violation(exc) from None
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


class TypedCodec(Codec):
    """A format that msgspec decodes straight into the struct of the message."""

    _decoder: ClassVar[Any]
    _raw_decode: ClassVar[Any]
    _any: ClassVar[Any]
    _list_decode: ClassVar[Any]
    _dict_decode: ClassVar[Any]
    _escape: ClassVar[bytes | None] = None  # what must be looked for, because values are hidden behind it

    def decode(self, data: bytes) -> Message:
        try:
            msg: Message = self._decoder.decode(data)
            if len(data) > MAX_DEPTH and self._may_be_deep(data):
                refuse_depth(*msgspec.structs.astuple(msg))
            if self._escape is not None and data.find(b"\\") >= 0 and data.find(self._escape) >= 0:
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
            msg: Any = self._raw_decode(data)
            options_of = _CARRIED.get(type(msg))
            args = kwargs = None
            if options_of is None:
                options_of = OPTIONS_OF[msg.code]
            else:  # the undecoded payload is a list and a dict of sane depth, which any receiver can decode
                args, kwargs = msg.args, msg.kwargs
                if args is not None:
                    args = self._list_decode(args)
                if kwargs is not None:
                    kwargs = self._dict_decode(kwargs)
                if len(data) > MAX_DEPTH and not _is_flat(args, kwargs) and self._may_be_deep(data):
                    refuse_depth(args, kwargs)
            if self._escape is not None and data.find(b"\\") >= 0 and data.find(self._escape) >= 0:
                self._check_hidden([args, kwargs])
                self._revive(msg)
            options = options_of(msg)
        except ProtocolError:
            raise
        except Exception as exc:
            msg = self._raw_form(self._from_row(self._rescued(data, exc), exc))
            options = OPTIONS_OF[msg.code](msg)
        if options or msg.code <= 2:
            return self._judge(msg, options)
        return msg  # type: ignore[no-any-return]

    def loads(self, data: bytes | Raw) -> Any:
        try:
            value = self._any.decode(data)
        except Exception as exc:
            raise violation(exc) from None
        octets = bytes(data)
        if len(octets) > MAX_DEPTH and self._may_be_deep(octets):
            refuse_depth(value)
        return values.from_json(value) if self._escape is not None and octets.find(self._escape) >= 0 else value

    @abstractmethod
    def _may_be_deep(self, data: bytes) -> bool:
        """Whether there are enough octets that begin a container."""

    def _revive(self, msg: Message) -> None:
        """What is hidden behind ``_escape`` is there."""

    def _check_hidden(self, payload: Any) -> None:
        """What is hidden behind ``_escape`` is well-formed."""

    def _rescued(self, data: bytes, exc: Exception) -> Any:
        """``data`` as a value, if only the types were wrong; raises ``ProtocolError`` otherwise."""
        if not isinstance(exc, msgspec.ValidationError):
            raise violation(exc) from None
        return self.loads(data)


class RowCodec(Codec):
    """A format that is decoded to plain values first; there is no ``RAW`` form."""

    def decode(self, data: bytes) -> Message:
        return self.message(self.loads(data))

    def message(self, row: Any) -> Message:
        """The message that the list ``row`` is."""
        try:
            msg: Message = msgspec.convert(row, BY_CODE[row[0]])
        except Exception as exc:
            refusal = exc if isinstance(exc, msgspec.ValidationError) else _not_a_message(row)
            msg = self._from_row(row, refusal)
        options = OPTIONS_OF[msg.code](msg)  # as in `judged`: on the path of every message
        return self._judge(msg, options) if options or msg.code <= 2 else msg

    def decode_raw(self, data: bytes) -> Message:
        return self.decode(data)


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _is_flat(args: Any, kwargs: Any) -> bool:
    """Whether the payload is a few values without anything in them: cheaper to see than to search its octets."""
    return not kwargs and (not args or (len(args) < 16 and _FLAT.issuperset(map(type, args))))


def refuse_depth(*contents: Any) -> None:
    """``ProtocolError`` when one of ``contents`` is nested too deep."""
    if any(values.is_deep(value) for value in contents if isinstance(value, (list, dict))):
        raise ProtocolError(f"expected nesting of at most {MAX_DEPTH} levels, got more")


def _not_a_message(row: Any) -> msgspec.ValidationError:
    got = f"message type {row[0]!r}" if type(row) is list and row else type(row).__name__
    return msgspec.ValidationError(f"expected a list that begins with a message type, got {got}")


def violation(exc: Exception) -> ProtocolError:
    """What a peer did by sending something that raised ``exc``."""
    text = "nested too deep" if isinstance(exc, RecursionError) else str(exc) or type(exc).__name__
    return ProtocolError(f"invalid WAMP message: {text}")

"""UBJSON as autobahn and crossbar speak it: BJData draft 3 (https://neurojson.org/bjdata), little-endian.

Written here because the package that autobahn uses needs numpy; nothing of that is needed for WAMP. What WAMP has no
use for (n-dimensional arrays, tables) is refused. Plain UBJSON draft 12, which is big-endian, is another format; it
cannot be told apart from this one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from autobahn.wamp import _json_values as values

_FORMATS = {"i": "b", "U": "B", "B": "B", "I": "h", "u": "H", "l": "i", "m": "I", "L": "q", "M": "Q",
            "h": "e", "d": "f", "D": "d"}  # fmt: skip
_NUMBERS = {ord(marker): struct.Struct("<" + fmt) for marker, fmt in _FORMATS.items()}
_FIXED: dict[int, Any] = {ord("Z"): None, ord("T"): True, ord("F"): False}
_INTEGERS = frozenset(map(ord, "iUIulmLMB"))
_RANGES = (  # the smallest type that fits; the order is bjdata's
    (b"U", 0, 0xFF), (b"i", -0x80, -1), (b"u", 0, 0xFFFF), (b"I", -0x8000, -1), (b"m", 0, 0xFFFF_FFFF),
    (b"l", -0x8000_0000, -1), (b"L", -(2**63), -1), (b"M", 0, 2**64 - 1),
)  # fmt: skip
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?")
_MAX_DIGITS = 1000
_NOOP, _STRING, _HIGH, _CHAR = map(ord, "NSHC")
_ARRAY, _ARRAY_END, _OBJECT, _OBJECT_END, _TYPE, _COUNT = map(ord, "[]{}$#")


class Malformed(Exception):
    """Internal: the octets are no BJData, or more than we take."""


# ---- to octets ---------------------------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """The octets of ``value``; raises ``Unserializable``."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def _write(out: bytearray, value: Any, depth: int) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer, value = _writer_of(value)
    writer(out, value, depth)


def _writer_of(value: Any) -> tuple[Callable[[bytearray, Any, int], None], Any]:
    """For what is no plain value but can become one."""
    if isinstance(value, dict):
        return _write_dict, value
    if isinstance(value, (list, tuple, set, frozenset)):
        return _write_list, value
    if type(value) is Decimal and value.is_finite():
        return _write_decimal, value
    plain = values.plain_object(value)
    writer = _WRITERS.get(type(plain))
    if writer is None:
        raise values.Unserializable(f"expected a type that WAMP can carry, got {values.kind_of(value)}")
    return writer, plain


def _write_int(out: bytearray, value: int, depth: int = 0) -> None:
    for marker, least, most in _RANGES:
        if least <= value <= most:
            out += marker
            out += _NUMBERS[marker[0]].pack(value)
            return
    try:
        text = str(value)
    except ValueError:
        text = ""
    if not 0 < len(text) <= _MAX_DIGITS:
        raise values.Unserializable(f"expected an integer of at most {_MAX_DIGITS} digits, got a longer one")
    out += b"H"
    _write_text(out, text)


def _write_decimal(out: bytearray, value: Decimal, depth: int) -> None:
    out += b"H"
    _write_text(out, str(value))


def _write_text(out: bytearray, text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError as exc:
        raise values.Unserializable(f"expected a text that has UTF-8, got one with lone surrogates ({exc})") from None
    _write_int(out, len(data))
    out += data


def _write_str(out: bytearray, value: str, depth: int) -> None:
    out += b"S"
    _write_text(out, value)


def _write_octets(out: bytearray, value: Any, depth: int) -> None:
    data = bytes(value)
    out += b"[$B#"
    _write_int(out, len(data))
    out += data


def _write_float(out: bytearray, value: float, depth: int) -> None:
    out += b"D"
    out += struct.pack("<d", value)


def _write_list(out: bytearray, value: Any, depth: int) -> None:
    if depth > values.MAX_DEPTH:
        raise values.too_deep()
    out += b"["
    for item in value:
        _write(out, item, depth + 1)
    out += b"]"


def _write_dict(out: bytearray, value: dict[Any, Any], depth: int) -> None:
    if depth > values.MAX_DEPTH:
        raise values.too_deep()
    out += b"{"
    for key, item in value.items():
        if not isinstance(key, str):
            raise values.Unserializable(f"expected dict keys of type str, got {type(key).__name__} {key!r:.100}")
        _write_text(out, key)
        _write(out, item, depth + 1)
    out += b"}"


def _fixed(marker: bytes) -> Callable[[bytearray, Any, int], None]:
    def write(out: bytearray, value: Any, depth: int) -> None:
        out += marker

    return write


def _write_bool(out: bytearray, value: bool, depth: int) -> None:
    out += b"T" if value else b"F"


_WRITERS: dict[type, Callable[[bytearray, Any, int], None]] = {
    type(None): _fixed(b"Z"), bool: _write_bool, int: _write_int, float: _write_float, str: _write_str,
    bytes: _write_octets, bytearray: _write_octets, memoryview: _write_octets,
    list: _write_list, tuple: _write_list, dict: _write_dict,
}  # fmt: skip


# ---- from octets -------------------------------------------------------------------------------------------


def loads(data: bytes) -> Any:
    """The one value in ``data``; raises ``Malformed``."""
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), 0)
    except (IndexError, struct.error):
        raise Malformed("expected more octets, got the end") from None
    except UnicodeDecodeError as exc:
        raise Malformed(f"expected UTF-8, got something else ({exc.reason})") from None
    if reader.at != len(data):
        raise Malformed("expected one value, got more after it")
    return value


class _Reader:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def marker(self) -> int:
        """The next marker that is not "no operation"."""
        data, at = self.data, self.at
        while data[at] == _NOOP:
            at += 1
        self.at = at + 1
        return data[at]

    def value(self, marker: int, depth: int) -> Any:
        number = _NUMBERS.get(marker)
        if number is not None:
            at = self.at
            self.at = at + number.size
            return number.unpack_from(self.data, at)[0]
        if marker == _STRING:
            return self.text()
        if marker in _FIXED:
            return _FIXED[marker]
        if marker == _ARRAY:
            return self.array(depth + 1)
        if marker == _OBJECT:
            return self.object(depth + 1)
        if marker == _CHAR:
            return self.octets(1).decode("ascii")
        if marker == _HIGH:
            return self.high_precision()
        raise Malformed(f"expected a type marker, got octet {marker:#04x}")

    def octets(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise Malformed(f"expected {length} octets, got {len(self.data) - self.at}")
        chunk = self.data[self.at : end]
        self.at = end
        return chunk

    def length(self, marker: int) -> int:
        """A number of octets or elements; every element takes an octet at least."""
        if marker not in _INTEGERS:
            raise Malformed(f"expected an integer as length, got type marker {marker:#04x}")
        length: int = self.value(marker, 0)
        if not 0 <= length <= len(self.data) - self.at:
            raise Malformed(f"expected a length of at most {len(self.data) - self.at}, got {length}")
        return length

    def text(self) -> str:
        return self.octets(self.length(self.marker())).decode()

    def high_precision(self) -> Any:
        text = self.text()
        if len(text) > _MAX_DIGITS + 10 or not _DECIMAL.fullmatch(text):
            raise Malformed(f"expected a number of at most {_MAX_DIGITS} digits, got {text[:40]!r}")
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)

    def header(self, depth: int) -> tuple[int | None, int | None]:
        """Type and count that a container may begin with."""
        if depth > values.MAX_DEPTH + 1:
            raise Malformed(f"expected nesting of at most {values.MAX_DEPTH} levels, got more")
        kind: int | None = None
        if self.data[self.at] == _TYPE:
            kind = self.data[self.at + 1]
            self.at += 2
            if kind not in _NUMBERS and kind != _CHAR:  # what takes no octets could be counted without end
                raise Malformed(f"expected a number type after $, got {kind:#04x}")
            if self.data[self.at] != _COUNT:
                raise Malformed("expected # after the type of a container, got something else")
        if self.data[self.at] != _COUNT:
            return None, None
        self.at += 1
        return kind, self.length(self.marker())

    def array(self, depth: int) -> Any:
        kind, count = self.header(depth)
        if kind is not None:
            assert count is not None
            return self.typed(kind, count)
        items = []
        if count is None:
            while (marker := self.marker()) != _ARRAY_END:
                items.append(self.value(marker, depth))
        else:
            for _ in range(count):
                items.append(self.value(self.marker(), depth))
        return items

    def typed(self, kind: int, count: int) -> Any:
        """The elements of an array of one type; octets for type B."""
        if kind == ord("B"):
            return self.octets(count)
        if kind == _CHAR:
            return list(self.octets(count).decode("ascii"))
        number = _NUMBERS[kind]
        chunk = self.octets(count * number.size)
        return [item for (item,) in number.iter_unpack(chunk)]

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.header(depth)
        found: dict[str, Any] = {}
        if count is None:
            while (marker := self.marker()) != _OBJECT_END:
                key = self.octets(self.length(marker)).decode()
                found[key] = self.value(self.marker(), depth)
        else:
            for _ in range(count):
                key = self.text()
                found[key] = self.value(self.marker() if kind is None else kind, depth)
        return found

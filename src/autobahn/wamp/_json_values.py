"""Values that JSON cannot carry as they are: octets, and what must be refused (WAMP "Binary Conversion").

Octets travel as a text that begins with NUL, followed by base64. ``to_json`` and ``from_json`` are inverse to
each other; both return the value itself when nothing has to change.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from enum import Enum
from math import isfinite
from typing import Any

import msgspec
from msgspec import Raw

from autobahn.wamp.exception import ProtocolError

MAX_DEPTH = 200
"""Deepest nesting of a payload; every serializer of every peer can carry that much."""

PLAIN = frozenset({int, bool, type(None), str, Raw})
"""Types that go into JSON as they are (a text that begins with NUL is found afterwards)."""

_STR = frozenset({str})
_OCTETS = (bytes, bytearray, memoryview)
_CONTAINERS = (list, dict, tuple, set, frozenset)
_SMALL = frozenset({float, bool})  # not int: isfinite fails for huge ones
_FLAT = PLAIN | {float, bytes, bytearray}


class Unserializable(Exception):
    """Internal: the value cannot be serialized; the text says why."""


def to_json(value: Any, depth: int = 0) -> Any:
    """``value`` in terms of JSON; raises ``Unserializable``."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is float:
        if not isfinite(value):
            raise Unserializable(f"expected a finite number, got {value}")
        return value
    if kind is dict:
        return dict_to_json(value, depth)
    if kind is list or kind is tuple:
        return list_to_json(value, depth)
    if kind in _OCTETS:
        return "\0" + b2a_base64(value, newline=False).decode("ascii")
    return _other_to_json(value, depth)


def list_to_json(value: Any, depth: int = 0) -> Any:
    """``to_json`` of a list or tuple."""
    if PLAIN.issuperset(map(type, value)):
        return value
    if _SMALL.issuperset(map(type, value)) and all(map(isfinite, value)):
        return value
    if depth >= MAX_DEPTH:
        raise too_deep()
    return [to_json(item, depth + 1) for item in value]


def dict_to_json(value: dict[Any, Any], depth: int = 0) -> Any:
    """``to_json`` of a dict."""
    keys_are_plain = _STR.issuperset(map(type, value))
    if keys_are_plain and PLAIN.issuperset(map(type, value.values())):
        return value
    if depth >= MAX_DEPTH:
        raise too_deep()
    if keys_are_plain:
        return {key: to_json(item, depth + 1) for key, item in value.items()}
    return {_key_to_json(key): to_json(item, depth + 1) for key, item in value.items()}


def _key_to_json(key: Any) -> str:
    if not isinstance(key, str):
        raise Unserializable(f"expected dict keys of type str, got {type(key).__name__} {key!r}")
    return str.__str__(key)


def plain_scalar(value: Any) -> Any:
    """The value of an enum member or of an instance of a scalar's subclass; ``value`` itself otherwise."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return value


def plain_object(value: Any) -> Any:
    """Dataclasses, structs, sets, dates in plain types, octets kept; raises ``Unserializable``."""
    plain = plain_scalar(value)
    if plain is not value:
        return plain
    try:
        return msgspec.to_builtins(value, builtin_types=_OCTETS)
    except (TypeError, ValueError, OverflowError):
        raise Unserializable(f"expected a type that WAMP can carry, got {kind_of(value)}") from None


def kind_of(value: Any) -> str:
    """The type of ``value`` as users know it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _other_to_json(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        raise too_deep()
    if isinstance(value, dict):
        return dict_to_json(dict(value), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list_to_json(list(value), depth)
    plain = plain_object(value)
    if has_nul_text(plain):  # found here, because the search afterwards cannot look into objects
        raise Unserializable("expected a text that does not begin with NUL, which means octets in JSON")
    return to_json(plain, depth + 1)


def has_nul_text(value: Any) -> bool:
    """Whether a text beginning with NUL is in ``value``: JSON would turn it into octets."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if item.startswith("\0"):
                return True
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting.extend(item)
    return False


def from_json(value: Any) -> Any:
    """``value`` with octets where they were before ``to_json``; raises ``ProtocolError`` on bad base64."""
    kind = type(value)
    if kind is str:
        return _octets(value) if value.startswith("\0") else value
    if kind is list:
        return [from_json(item) for item in value]
    if kind is dict:
        return {key: from_json(item) for key, item in value.items()}
    return value


def _octets(text: str) -> bytes:
    try:
        return a2b_base64(text[1:].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError) as exc:
        raise ProtocolError(f"expected base64 after NUL in a JSON text, got {text[1:40]!r} ({exc})") from None


def survey(value: Any) -> bool:
    """Whether a ``memoryview`` is in ``value``, a list or dict; raises ``Unserializable`` if nested too deep."""
    inner = value.values() if isinstance(value, dict) else value
    if _FLAT.issuperset(map(type, inner)):
        return False
    if is_deep(value):
        raise too_deep()
    return _has_memoryview(value)


def _has_memoryview(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.values()
    return any(
        isinstance(item, memoryview) or (isinstance(item, _CONTAINERS) and _has_memoryview(item)) for item in value
    )


def too_deep() -> Unserializable:
    """The error for a value that is nested too deep."""
    return Unserializable(f"expected nesting of at most {MAX_DEPTH} levels, got more")


def is_deep(value: Any) -> bool:
    """Whether ``value`` is nested deeper than ``MAX_DEPTH``; cycles are."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: dict[int, Any] = {}  # by identity: what refers to one object many times does not multiply
        for item in level:
            for inner in item.values() if isinstance(item, dict) else item:
                if isinstance(inner, _CONTAINERS):
                    below[id(inner)] = inner
        if not below:
            return False
        level = list(below.values())
    return True

"""What the plain value classes of ``autobahn.wamp.types`` share: text, equality, and judging of values."""

from __future__ import annotations

from typing import Any

MAX_ID = 2**53
"""The largest id (WAMP "IDs"): an integer that every serializer and language carries without loss."""


class Record:
    """A value with named attributes (its ``__slots__``)."""

    __slots__: tuple[str, ...] = ()

    def _given(self, *names: str) -> dict[str, Any]:
        """Those of the named attributes that are not None."""
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({values})"

    __str__ = __repr__


def expect_type(name: str, value: Any, kinds: type | tuple[type, ...]) -> None:
    """``value`` is None or of (one of) ``kinds``; a bool is not a number. Raises ``TypeError`` otherwise."""
    if value is None:
        return
    expected = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        names = " or ".join(kind.__name__ for kind in expected)
        raise TypeError(f"expected {name} of type {names}, got {type(value).__name__}")


def expect_seconds(name: str, value: Any) -> None:
    """``value`` is None or a time, more than 0; raises ``TypeError`` or ``ValueError`` otherwise."""
    expect_type(name, value, (int, float))
    if value is not None and not value > 0:
        raise ValueError(f"expected {name} in seconds, more than 0, got {value}")


PPT_SERIALIZERS = ("native", "json", "msgpack", "cbor", "ubjson")


def passthru(scheme: Any, serializer: Any, cipher: Any, keyid: Any) -> dict[str, str] | None:
    """The attributes of payload passthru mode as they go on the wire; None without a scheme."""
    given = {"ppt_scheme": scheme, "ppt_serializer": serializer, "ppt_cipher": cipher, "ppt_keyid": keyid}
    for name, value in given.items():
        expect_type(name, value, str)
    ppt = {name: value for name, value in given.items() if value is not None}
    if not ppt:
        return None
    if scheme not in {"wamp", "mqtt"} and not str(scheme).startswith("x_"):
        raise ValueError(f"expected ppt_scheme wamp, mqtt or x_..., got {scheme!r}")
    expect_one_of("ppt_serializer", serializer, PPT_SERIALIZERS)
    return ppt


def expect_one_of(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """``value`` is None or one of ``choices``; raises ``ValueError`` otherwise."""
    if value is not None and value not in choices:
        raise ValueError(f"expected {name} out of {', '.join(map(str, choices))}, got {value!r}")

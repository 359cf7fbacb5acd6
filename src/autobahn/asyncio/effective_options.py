"""Which options are in force on one WebSocket connection, and how a program sees and changes them.

Options stand in the factory. A program may also set an attribute of an option's name, on its factory, on its protocol
class or on an instance, and that goes before what the factory says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from autobahn.websocket.protocol import WebSocketProtocol

_OURS = ("autobahn.", "asyncio.", "builtins")
P = TypeVar("P", bound=WebSocketProtocol)


class _Option:
    """An option in force, under its documented name; the program may put a value of its own in its place.

    Not `__getattr__` in the class: that makes the interpreter look up every attribute of every protocol the long way.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None or instance._ws_connection is None:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r} before it is connected")
        return instance._ws_connection.options.value(self._name)


def with_options(names: frozenset[str]) -> Callable[[type[P]], type[P]]:
    """Decorates a class: its instances have the options in force as attributes."""

    def decorate(cls: type[P]) -> type[P]:
        for name in names:
            setattr(cls, name, _Option(name))
        return cls

    return decorate


def user_classes(cls: type) -> tuple[type, ...]:
    """The classes of `cls` that a program wrote: ours name no options, so only these need a look."""
    return tuple(each for each in cls.__mro__ if not each.__module__.startswith(_OURS))


def resolved_options(protocol: Any, names: frozenset[str], classes: tuple[type, ...]) -> Any:
    """The options of the protocol's factory, with attributes of the same names on factory, class and instance on top.

    `classes`: `user_classes` of the protocol. Raises `TypeError` or `ValueError` for what cannot be an option's value.
    """
    factory = protocol.factory
    if names.isdisjoint(vars(factory)) and names.isdisjoint(vars(protocol)):
        for cls in classes:
            if not names.isdisjoint(vars(cls)):
                break
        else:
            return factory.options
    own = [vars(protocol), *[vars(cls) for cls in classes]]
    changes = {name: vars(factory)[name] for name in vars(factory).keys() & names}
    changes.update({name: getattr(protocol, name) for each in own for name in each.keys() & names})
    return factory.options.updated(changes)

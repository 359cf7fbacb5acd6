"""What a user hands to ``register`` and ``subscribe``: a callable, or an object with decorated methods."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from autobahn.wamp.exception import TypeCheckError
from autobahn.wamp.typed import converting
from autobahn.wamp.uri import CheckTypes


@dataclasses.dataclass(slots=True)
class Endpoint:
    """A user's function under one URI, ready to be called with the payload of a message."""

    uri: str | None
    function: Callable[..., Any]
    options: Any
    match: str
    details_arg: str | None
    name: str


def endpoint_of(fn: Any, uri: str | None, options: Any, check_types: CheckTypes, options_class: type) -> Endpoint:
    """``fn`` under ``uri``; a URI and options given by its decorator serve when the arguments are None."""
    patterns = getattr(fn, "_wampuris", None)
    if uri is None and patterns:
        return _from_pattern(fn, patterns[0], options, check_types, options_class)
    return _endpoint(fn, uri, options, check_types)


def declared_endpoints(
    obj: Any, target: str, options: Any, check_types: CheckTypes, options_class: type
) -> list[Endpoint]:
    """All methods of ``obj`` decorated for ``target`` ("procedure" or "topic"), bound to it, in name order.

    Inherited ones count, and static and class methods too, whichever decorator stands first. A method overridden
    without decorator is none.
    """
    found = []
    cls = type(obj)
    for name in dir(cls):
        raw: Any = inspect.getattr_static(cls, name)
        patterns: Any = getattr(raw, "_wampuris", None) or getattr(getattr(raw, "__func__", None), "_wampuris", ())
        for pattern in patterns:
            if pattern.is_endpoint() if target == "procedure" else pattern.is_handler():
                binds = hasattr(raw, "__get__") and not isinstance(raw, partial)  # 3.13 warns that it will
                bound = raw.__get__(obj, cls) if binds else types.MethodType(raw, obj)
                found.append(_from_pattern(bound, pattern, options, check_types, options_class))
    return found


def _from_pattern(fn: Any, pattern: Any, options: Any, check_types: CheckTypes, options_class: type) -> Endpoint:
    options = pattern.options or options
    if options is None and pattern.match_policy != "exact":
        options = options_class(match=pattern.match_policy)
    if pattern.check_types is not None:
        check_types = pattern.check_types
    return _endpoint(fn, pattern.wire_uri(), options, check_types)


def _endpoint(fn: Any, uri: str | None, options: Any, check_types: CheckTypes) -> Endpoint:
    name = getattr(fn, "__qualname__", None) or repr(fn)
    details_arg = getattr(options, "details_arg", None)
    function = prepared(fn, options, check_types)
    return Endpoint(uri, function, options, getattr(options, "match", None) or "exact", details_arg, name)


def prepared(fn: Callable[..., Any], options: Any, check_types: CheckTypes) -> Callable[..., Any]:
    """``fn`` behind its annotations, as far as ``check_types`` says; TypeError for annotations that are of no use."""
    if check_types == "convert":
        details_arg = getattr(options, "details_arg", None)
        return converting(fn, () if details_arg is None else (details_arg,))
    if check_types in (None, False, True):
        return checked(fn) if check_types else fn
    raise ValueError(f'expected check_types True, False, None or "convert", got {check_types!r}')


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` with its arguments checked against its annotations by isinstance; `TypeCheckError` when one differs."""
    signature = inspect.signature(fn)
    hints = typing.get_type_hints(fn)

    @wraps(fn)
    def check(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeCheckError(f"expected arguments for {signature}: {exc}") from None
        for name, value in bound.arguments.items():
            expected = _runtime_types(hints.get(name))
            if expected is not None and not isinstance(value, expected):
                raise TypeCheckError(
                    f'expected argument "{name}" of type {hints[name]}, got {type(value).__name__}: {value!r}'
                )
        return fn(*args, **kwargs)

    return check


def _runtime_types(hint: Any) -> tuple[type, ...] | None:
    """The classes isinstance can check for an annotation; None when it says nothing checkable."""
    if hint is None or hint is typing.Any:
        return None
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = [_runtime_types(member) for member in typing.get_args(hint)]
        if any(member is None for member in members):
            return None
        return tuple(cls for member in members for cls in member or ())
    if isinstance(origin, type):
        return (origin,)
    return (hint,) if isinstance(hint, type) else None

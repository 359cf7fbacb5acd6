"""Functions whose annotations are a contract: arguments are converted and validated, results made fit for the wire.

``converting(fn)`` is what ``check_types="convert"`` stands for. The annotations are compiled once, into `msgspec`
types; a call costs two conversions in C. Every serializer carries the same: a dataclass or a `msgspec.Struct` travels
as a dict, `datetime`, `date`, `time`, `Decimal` and `UUID` as text, an `Enum` as its value, a set as a list; octets
travel as they are (WAMP "Binary conversion of JSON strings").
"""

from __future__ import annotations

import inspect
import re
import typing
from collections import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial, update_wrapper
from typing import Any

import msgspec

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallResult

_ABSENT = object()
_OCTETS = (bytes, bytearray, memoryview)
_AT = re.compile(r" - at (?:`key` in )?`\$(.*)`$")
_EXPECTED = re.compile(r"Expected `([^`]*)`([^,]*)(?:, got `?([^`]*)`?)?")
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|\.([^.\[]+)")

_to_builtins = partial(msgspec.to_builtins, builtin_types=_OCTETS, str_keys=True)
_convert = partial(msgspec.convert, builtin_types=_OCTETS, str_keys=True)


def converting(fn: Callable[..., Any], injected: Collection[str] = ()) -> Callable[..., Any]:
    """``fn`` behind its annotations; of the same kind (plain, ``async def``, generator of either sort) as ``fn``.

    An argument that does not fit raises `ApplicationError` ``wamp.error.invalid_argument``, a result that does not fit
    ``wamp.error.type_check_error``; both say what was expected and what came. Parameters named in ``injected`` are ours
    and not converted. Raises ``TypeError`` now for annotations that cannot be looked up or converted to.
    """
    call = _Arguments(fn, injected).converted
    inner = fn if inspect.isroutine(fn) or isinstance(fn, partial) else type(fn).__call__
    hint = _hints(fn).get("return", Any)
    converted: Callable[..., Any]
    if inspect.isasyncgenfunction(inner):
        converted = _async_generator(fn, call, _Result(_part(hint, 0)))
    elif inspect.isgeneratorfunction(inner):
        final = _part(hint, 2) if typing.get_origin(hint) is abc.Generator else Any
        converted = _generator(fn, call, _Result(_part(hint, 0)), _Result(final))
    elif inspect.iscoroutinefunction(inner):
        converted = _coroutine(fn, call, _Result(hint))
    else:
        if typing.get_origin(hint) in {abc.Awaitable, abc.Coroutine}:
            hint = _part(hint, -1)
        converted = _function(fn, call, _Result(hint))
    if inspect.isroutine(fn):
        update_wrapper(converted, fn)
    return converted


def _part(hint: Any, number: int) -> Any:
    """What a generator yields (0) or returns (2), or what an awaitable gives (-1), as far as it is annotated."""
    given = typing.get_args(hint)
    return given[number] if -1 <= number < len(given) and given else Any


def _function(fn: Any, call: Any, result: _Result) -> Callable[..., Any]:
    def converted(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = call(args, kwargs)
        outcome = fn(*args, **kwargs)
        return result.awaited(outcome) if inspect.isawaitable(outcome) else result.fit(outcome)

    return converted


def _coroutine(fn: Any, call: Any, result: _Result) -> Callable[..., Any]:
    async def converted(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = call(args, kwargs)
        return result.fit(await fn(*args, **kwargs))

    return converted


def _generator(fn: Any, call: Any, result: _Result, final: _Result) -> Callable[..., Any]:
    def converted(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = call(args, kwargs)
        items = fn(*args, **kwargs)
        with closing(items):
            while True:
                try:
                    item = next(items)
                except StopIteration as end:
                    return end.value if end.value is None else final.fit(end.value)
                yield result.fit(item)

    return converted


def _async_generator(fn: Any, call: Any, result: _Result) -> Callable[..., Any]:
    async def converted(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = call(args, kwargs)
        async with aclosing(fn(*args, **kwargs)) as items:
            async for item in items:
                yield result.fit(item)

    return converted


class _Arguments:
    """The parameters of a function as msgspec types."""

    def __init__(self, fn: Callable[..., Any], injected: Collection[str]) -> None:
        self._injected = frozenset(injected)
        found = inspect.signature(fn).parameters
        hints = _hints(fn)
        self._streams = {
            name: _judged(name, _part(hint, 0)) for name, hint in hints.items() if name in found and _is_stream(hint)
        }
        hints.update(dict.fromkeys(self._streams, Any))  # its items are converted as they come
        self._hints = {name: _judged(name, hints.get(name, Any)) for name in found if name not in self._injected}
        ours = next((i for i, name in enumerate(found) if name in self._injected), len(found))
        params = [p for p in found.values() if p.name in self._hints]
        # What stands behind a parameter of ours can only be named.
        places = [p for p in list(found.values())[:ours] if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
        named = [p for p in params if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
        self._names = tuple(p.name for p in places)
        self._known = frozenset(p.name for p in named)
        self._needed = sum(p.default is p.empty for p in places)
        self._needed_names = tuple(p.name for p in named if p.default is p.empty and p.name not in self._names)
        self._by_place = _box([(name, self._hints[name]) for name in self._names])
        self._by_name = _box([(p.name, self._hints[p.name]) for p in named], array_like=False)
        self._star: str | None = None
        self._rest = self._others = None
        for p in params:
            hint = self._hints[p.name]
            if p.kind is p.VAR_POSITIONAL:
                self._star, self._rest = p.name, _box([("values", list[hint])])  # type: ignore[valid-type]
            elif p.kind is p.VAR_KEYWORD:
                self._others = _box([("values", dict[str, hint])])  # type: ignore[valid-type]

    def converted(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``args`` and ``kwargs`` as the function wants them."""
        count, room = len(args), len(self._names)
        ours = {}
        if self._injected and kwargs:
            ours = {name: kwargs[name] for name in self._injected if name in kwargs}
            if ours:
                kwargs = {name: value for name, value in kwargs.items() if name not in ours}
        if count < self._needed or self._needed_names or kwargs or count > room:
            self._check_names(count, kwargs)
        rest: tuple[Any, ...] = ()
        if count > room:
            rest = tuple(self._box_of(self._rest, args[room:], self._star))
            args = args[:room]
        try:
            values = msgspec.structs.astuple(_convert(args, self._by_place))[: len(args)]
        except msgspec.ValidationError as exc:
            raise self._refusal(exc, dict(zip(self._names, args, strict=False)), by_place=True) from None
        if self._streams:
            values = tuple(map(self._stream, self._names, values))
            kwargs = {name: self._stream(name, value) for name, value in kwargs.items()}
        return (*values, *rest), {**self._named(kwargs), **ours} if kwargs else ours

    def _stream(self, name: str, value: Any) -> Any:
        hint = self._streams.get(name)
        if hint is None:
            return value
        if not hasattr(value, "__anext__"):
            raise _refused(name, "a stream (progressive call invocations)", type(value).__name__)
        return _Items(name, value, hint)

    def _named(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        others: dict[str, Any] = {}
        if self._others is not None:
            unknown = {name: value for name, value in kwargs.items() if name not in self._known}
            if unknown:
                others = self._box_of(self._others, unknown, None)
                kwargs = {name: value for name, value in kwargs.items() if name not in unknown}
        try:
            found = _convert(kwargs, self._by_name)
        except msgspec.ValidationError as exc:
            raise self._refusal(exc, kwargs) from None
        return {**{name: getattr(found, name) for name in kwargs}, **others}

    def _box_of(self, box: Any, values: Any, label: str | None) -> Any:
        """Further arguments: those of ``*label``, or by name when label is None."""
        try:
            return _convert([values], box).values
        except msgspec.ValidationError as exc:
            text, path = _parted(exc)
            path = path.removeprefix("[0]")
            if label is None:
                label, values = next((n, v) for n, v in values.items() if _does_not_fit(v, box))
                path = path.removeprefix("[...]")
            raise _invalid(label + path, text, _reached(values, path), None) from None

    def _check_names(self, count: int, kwargs: dict[str, Any]) -> None:
        """As many arguments as there must be, and everyone once."""
        room = len(self._names)
        if count > room and self._rest is None:
            raise _refused(None, f"at most {room} positional arguments", f"{count}")
        if kwargs:
            twice = next((name for name in self._names[:count] if name in kwargs), None)
            if twice is not None and (twice in self._known or self._others is None):
                raise _refused(twice, "one value", "two")
            if self._others is None:
                unknown = next((name for name in kwargs if name not in self._known), None)
                if unknown is not None:
                    expected = ", ".join(sorted(self._known)) or "none"
                    raise _refused(unknown, f"a keyword argument out of {expected}", unknown)
        for name in (*self._names[count : self._needed], *self._needed_names):
            if name not in kwargs:
                raise _refused(name, _text(self._hints[name]), "nothing")

    def _refusal(
        self, exc: msgspec.ValidationError, values: Mapping[str, Any], by_place: bool = False
    ) -> ApplicationError:
        text, path = _parted(exc)
        first = _STEP.match(path)
        assert first is not None
        name, path = (self._names[int(first[1])] if by_place else first[2]), path[first.end() :]
        return _invalid(name + path, text, _reached(values[name], path), None if path else self._hints[name])


def _is_stream(hint: Any) -> bool:
    return typing.get_origin(hint) in {abc.AsyncIterator, abc.AsyncIterable}


class _Items:
    """The items of a stream of arguments (WAMP "Progressive Call Invocations"), converted as they are taken."""

    def __init__(self, name: str, items: Any, hint: Any) -> None:
        self._name = name
        self._items = items
        self._hint = hint
        self._box = _box([("value", hint)])
        self._taken = 0

    def __aiter__(self) -> _Items:
        return self

    async def __anext__(self) -> Any:
        item = await self._items.__anext__()
        number, self._taken = self._taken, self._taken + 1
        try:
            return _convert([item], self._box).value
        except msgspec.ValidationError as exc:
            text, path = _parted(exc)
            path = path.removeprefix("[0]")
            hint = None if path else self._hint
            raise _invalid(f"{self._name}[{number}]{path}", text, _reached(item, path), hint) from None


class _Result:
    """What a function gives back, made fit for the wire and, where it is annotated, held to it."""

    def __init__(self, hint: Any) -> None:
        self._hint = _judged("return", hint)
        self._box = None if hint in (Any, CallResult) else _box([("value", hint)])

    async def awaited(self, outcome: Any) -> Any:
        return self.fit(await outcome)

    def fit(self, value: Any) -> Any:
        """``value`` in types that every serializer carries; raises `ApplicationError` when it is not as annotated."""
        if isinstance(value, CallResult):
            value.results = _plain(value.results)
            value.kwresults = _plain(value.kwresults)
            return value
        if self._box is None:
            return _plain(value)
        plain = _plain(value)
        try:
            _convert([plain], self._box)
        except msgspec.ValidationError as exc:
            text, path = _parted(exc)
            path = path.removeprefix("[0]")
            expected, got = _difference(text, _reached(plain, path), None if path else self._hint)
            error = ApplicationError.TYPE_CHECK_ERROR
            raise ApplicationError(error, f"expected {expected} for result{path}, got {got}") from None
        return plain


def _plain(value: Any) -> Any:
    """``value`` in plain types; unchanged when it holds something else, of which the serializer will complain."""
    try:
        return _to_builtins(value)
    except TypeError:
        return value


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of ``fn``, looked up."""
    while isinstance(fn, partial):
        fn = fn.func
    if not inspect.isroutine(fn):
        fn = type(fn).__call__
    fn = inspect.unwrap(fn, stop=lambda f: hasattr(f, "__signature__"))  # since 3.14, `wraps` may leave them behind
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except (NameError, TypeError) as exc:
        name = getattr(fn, "__qualname__", repr(fn))
        raise TypeError(f"expected annotations of {name} that can be looked up: {exc}") from exc


def _judged(name: str, hint: Any) -> Any:
    """``hint`` if values can be converted to it."""
    try:
        _convert([], _box([("value", hint)]))
    except msgspec.ValidationError:
        pass
    except TypeError as exc:
        what = "result" if name == "return" else f'parameter "{name}"'
        raise TypeError(
            f"expected an annotation of {what} that values can be converted to, got {hint!r}: {exc}"
        ) from exc
    return hint


def _box(fields: Sequence[tuple[str, Any]], array_like: bool = True) -> Any:
    """A struct with these fields, all of which may be absent."""
    return msgspec.defstruct("Arguments", [(name, hint, _ABSENT) for name, hint in fields], array_like=array_like)


def _does_not_fit(value: Any, box: Any) -> bool:
    try:
        _convert([{"": value}], box)
    except msgspec.ValidationError:
        return True
    return False


# ---- the text of a refusal ------------------------------------------------------------------------------------


def _parted(exc: Exception) -> tuple[str, str]:
    """What msgspec says, and where: ``("Expected `int`, got `str`", "[0].x")``."""
    text = str(exc)
    at = _AT.search(text)
    return (text, "") if at is None else (text[: at.start()], at[1])


def _reached(value: Any, path: str) -> Any:
    """The value at ``path`` within ``value``, or what contains it."""
    for step in _STEP.finditer(path):
        index, key = step.groups()
        try:
            value = value[int(index)] if index is not None else value[key]
        except (LookupError, TypeError, ValueError):
            break
    return value


def _invalid(where: str, text: str, value: Any, hint: Any) -> ApplicationError:
    return _refused(where, *_difference(text, value, hint))


def _difference(text: str, value: Any, hint: Any) -> tuple[str, str]:
    """What was expected and what came, in words."""
    found = _EXPECTED.match(text)
    if found is None:
        text = text.replace("`", "").rstrip(".")
        return text if hint is None else f"{_text(hint)} ({text})", _short(value)
    return f"{found[1]}{found[2]}", found[3] or _short(value)


def _refused(where: str | None, expected: str, got: str) -> ApplicationError:
    subject = "" if where is None else f' for argument "{where}"'
    return ApplicationError(
        ApplicationError.INVALID_ARGUMENT,
        f"expected {expected}{subject}, got {got}",
        parameter=where,
        expected=expected,
        got=got,
    )


def _text(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

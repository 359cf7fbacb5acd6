"""URI patterns, matched without looking at every pattern (WAMP "Pattern-based Subscriptions").

Exact URIs stand in one dict. Prefixes stand in one dict per distinct length, so a lookup costs one slice and
one dict access per length in use. Wildcard patterns stand in one dict per shape, a shape being the number of
components and the positions that are fixed; a lookup costs one dict access per shape of the URI's number of
components.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Generic, TypeVar

T = TypeVar("T")

EXACT, PREFIX, WILDCARD = "exact", "prefix", "wildcard"
MATCHES = (EXACT, PREFIX, WILDCARD)


def _nothing(_: list[str]) -> tuple[()]:
    return ()


class _Shape(Generic[T]):
    """All wildcard patterns with the same components fixed."""

    __slots__ = ("fixed", "key", "table")

    def __init__(self, fixed: tuple[bool, ...]) -> None:
        positions = [i for i, is_fixed in enumerate(fixed) if is_fixed]
        self.fixed = fixed
        self.key: Callable[[list[str]], Any] = itemgetter(*positions) if positions else _nothing
        self.table: dict[Any, T] = {}

    def __lt__(self, other: _Shape[Any]) -> bool:
        """Sorts the shape first that is fixed at the leftmost position where the two differ."""
        return self.fixed > other.fixed


class PatternMap(Generic[T]):
    """Values by (match policy, URI), found again for a concrete URI."""

    __slots__ = ("_by_component", "_lengths", "_prefixes", "_shapes", "exact", "has_patterns")

    def __init__(self, by_component: bool = False) -> None:
        """``by_component``: a prefix ends where a component ends, so that ``a.b`` does not match ``a.bc``."""
        self._by_component = by_component
        self.exact: dict[str, T] = {}
        self.has_patterns = False  # while False, `exact` alone answers
        self._prefixes: dict[int, dict[str, T]] = {}
        self._lengths: list[int] = []  # of the prefixes, as negative numbers in rising order: longest first
        self._shapes: dict[int, list[_Shape[T]]] = {}  # by number of components, most specific first

    def __len__(self) -> int:
        return sum(1 for _ in self.values())

    def get(self, match: str, uri: str) -> T | None:
        """The value stored for exactly this policy and pattern."""
        if match == EXACT:
            return self.exact.get(uri)
        if match == PREFIX:
            return self._prefixes.get(len(uri), {}).get(uri)
        parts = uri.split(".")
        for shape in self._shapes.get(len(parts), ()):
            if shape.fixed == _fixed(parts):
                return shape.table.get(shape.key(parts))
        return None

    def put(self, match: str, uri: str, value: T) -> None:
        """Store ``value`` for this policy and pattern."""
        if match == EXACT:
            self.exact[uri] = value
            return
        self.has_patterns = True
        if match == PREFIX:
            if len(uri) not in self._prefixes:
                self._prefixes[len(uri)] = {}
                insort(self._lengths, -len(uri))
            self._prefixes[len(uri)][uri] = value
            return
        parts = uri.split(".")
        shapes = self._shapes.setdefault(len(parts), [])
        for shape in shapes:
            if shape.fixed == _fixed(parts):
                break
        else:
            shape = _Shape(_fixed(parts))
            insort(shapes, shape)
        shape.table[shape.key(parts)] = value

    def remove(self, match: str, uri: str) -> None:
        """Forget this policy and pattern, which must be stored."""
        if match == EXACT:
            del self.exact[uri]
            return
        if match == PREFIX:
            del self._prefixes[len(uri)][uri]
            if not self._prefixes[len(uri)]:
                del self._prefixes[len(uri)]
                self._lengths.remove(-len(uri))
        else:
            self._remove_wildcard(uri.split("."))
        self.has_patterns = bool(self._prefixes or self._shapes)

    def _remove_wildcard(self, parts: list[str]) -> None:
        shapes = self._shapes[len(parts)]
        shape = next(s for s in shapes if s.fixed == _fixed(parts))
        del shape.table[shape.key(parts)]
        if not shape.table:
            shapes.remove(shape)
        if not shapes:
            del self._shapes[len(parts)]

    def best(self, uri: str) -> T | None:
        """The value of the one pattern that takes precedence for ``uri``.

        Exact, then the longest prefix, then the wildcard pattern with more literal components from the left.
        """
        value = self.exact.get(uri)
        if value is None and self.has_patterns:
            value = next(self._matching_patterns(uri), None)
        return value

    def every(self, uri: str) -> list[T]:
        """The values of all patterns that match ``uri``, the most specific first."""
        value = self.exact.get(uri)
        values = [] if value is None else [value]
        if self.has_patterns:
            values.extend(self._matching_patterns(uri))
        return values

    def _matching_patterns(self, uri: str) -> Iterator[T]:
        for negative in self._lengths:
            value = self._prefixes[-negative].get(uri[:-negative])
            if value is not None and (not self._by_component or _ends_component(uri, -negative)):
                yield value
        parts = uri.split(".")
        for shape in self._shapes.get(len(parts), ()):
            value = shape.table.get(shape.key(parts))
            if value is not None:
                yield value

    def values(self) -> Iterator[T]:
        """All stored values."""
        yield from self.exact.values()
        for table in self._prefixes.values():
            yield from table.values()
        for shapes in self._shapes.values():
            for shape in shapes:
                yield from shape.table.values()


def _ends_component(uri: str, length: int) -> bool:
    """Whether the first ``length`` characters of ``uri`` end with a component, or with the dot behind it."""
    return not length or uri[length - 1] == "." or uri[length : length + 1] in ("", ".")


def matches(match: str, pattern: str, uri: str, by_component: bool = False) -> bool:
    """Whether this one ``pattern`` matches ``uri``."""
    if match == EXACT:
        return pattern == uri
    if match == PREFIX:
        return uri.startswith(pattern) and (not by_component or _ends_component(uri, len(pattern)))
    mine, others = pattern.split("."), uri.split(".")
    return len(mine) == len(others) and all(p in ("", u) for p, u in zip(mine, others, strict=True))


def _fixed(parts: list[str]) -> tuple[bool, ...]:
    return tuple(part != "" for part in parts)

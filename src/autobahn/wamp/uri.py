"""WAMP URIs: what is valid, and the decorators that declare them in code (WAMP "URIs").

Three shapes: ``exact`` (no empty component), ``prefix`` (the last component may be empty) and ``wildcard``
(any component may be empty). Loose: a component is anything without whitespace, ``.``, ``#`` and NUL (which
JSON cannot carry at the start of a text). Strict: ``[0-9a-z_]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Literal, TypeVar

from autobahn.wamp.exception import InvalidPayload, InvalidUri, InvalidUriError, NotAuthorized

__all__ = ("Pattern", "convert_starred_uri", "error", "register", "subscribe")

Shape = Literal["exact", "prefix", "wildcard"]
CheckTypes = bool | Literal["convert"] | None
"""What annotations of an endpoint or handler are for.

True: arguments must be instances of them (`TypeCheckError`). "convert": arguments are converted to them and validated,
results made fit for the wire (`autobahn.wamp.typed`). False, None: nothing.
"""

_T = TypeVar("_T")
_LOOSE, _STRICT = r"[^\s.#\x00]", r"[0-9a-z_]"  # not \d and \w: they accept other scripts
_LONGEST_CACHED = 256


@cache  # and not made at import: a program rarely uses all six
def _match(shape: str, strict: bool) -> Callable[[str], object]:
    char = _STRICT if strict else _LOOSE
    texts = {
        "exact": rf"(?:{char}+\.)*{char}+",
        "prefix": rf"(?:{char}+\.)*{char}*",
        "wildcard": rf"(?:{char}*\.)*{char}*",
    }
    return re.compile(texts[shape]).fullmatch  # because $ would let a trailing newline pass


@lru_cache(maxsize=4096)
def _is_valid_cached(uri: str, shape: str, strict: bool) -> bool:
    return _match(shape, strict)(uri) is not None


def is_valid(uri: str, shape: str = "exact", strict: bool = False) -> bool:
    """Whether ``uri`` is a WAMP URI of this shape."""
    if len(uri) <= _LONGEST_CACHED:  # longer ones would let a peer fill the cache with megabytes
        return _is_valid_cached(uri, shape, strict)
    return _match(shape, strict)(uri) is not None


def require_uri(uri: str, shape: str = "exact", strict: bool = False) -> None:
    """``uri`` is a URI of this shape; raises ``InvalidUriError`` (``TypeError`` if it is not even a text)."""
    if not isinstance(uri, str):
        raise TypeError(f"expected a URI of type str, got {type(uri).__name__}")
    if not is_valid(uri, shape, strict):
        chars = "a-z, 0-9 and _" if strict else "no whitespace and no #"
        empty = {
            "exact": "none empty",
            "prefix": "only the last may be empty",
            "wildcard": "any may be empty",
        }
        raise InvalidUriError(
            f"expected a URI, that is components separated by dots ({chars}; {empty[shape]}), got {uri!r}"
        )


def convert_starred_uri(uri: str) -> tuple[str, Shape]:
    """``(uri, match)`` of a URI written with ``*``: one star at the end is a prefix, others are wildcards."""
    if "*" not in uri:
        return uri, "exact"
    if uri.endswith("*") and uri.count("*") == 1:
        return uri[:-1], "prefix"
    return uri.replace("*", ""), "wildcard"


class Pattern:
    """A URI declared in code, possibly with named components, and what it is declared for.

    Components: ``name`` (literal), ``<name>`` or ``<name:str>``, ``<name:int>``, ``<name:suffix>`` (last; any
    number of components), and the empty component (matches anything, without a name).
    """

    URI_TARGET_ENDPOINT = 1
    URI_TARGET_HANDLER = 2
    URI_TARGET_EXCEPTION = 3

    URI_TYPE_EXACT = 1
    URI_TYPE_PREFIX = 2
    URI_TYPE_WILDCARD = 3

    _COMPONENT = r"<([A-Za-z_][A-Za-z0-9_]*)(?::(str|string|int|suffix))?>"
    _LITERAL = r"[^\s.#<>\x00]+"

    def __init__(self, uri: str, target: int, options: Any = None, check_types: CheckTypes = None) -> None:
        if not isinstance(uri, str):
            raise TypeError(f"expected a URI of type str, got {type(uri).__name__}")
        if not uri:
            raise AssertionError("expected a URI, got an empty text")
        targets = (self.URI_TARGET_ENDPOINT, self.URI_TARGET_HANDLER, self.URI_TARGET_EXCEPTION)
        if target not in targets:
            raise ValueError(f"expected a target out of {targets}, got {target!r}")
        self._uri = uri
        self._target = target
        self._options = options
        self._check_types = check_types
        self._names: dict[str, type] = {}
        self._type = self.URI_TYPE_EXACT
        self._wire: list[str] = []
        components = uri.split(".")
        patterns = [self._component(c, last=i == len(components) - 1) for i, c in enumerate(components)]
        self._pattern = re.compile(r"\.".join(patterns))

    def _component(self, component: str, last: bool) -> str:
        """The regular expression of one component; notes its name, kind and its form on the wire."""
        if not component:
            self._type = self.URI_TYPE_WILDCARD
            self._wire.append("")
            return r"[^\s.#]*"
        named = re.fullmatch(self._COMPONENT, component)
        if named is None:
            if not re.fullmatch(self._LITERAL, component):
                raise TypeError(f"expected a URI component, got {component!r} in {self._uri!r}")
            self._wire.append(component)
            return re.escape(component)
        name, kind = named.groups()
        if name in self._names:
            raise TypeError(f"expected every name once, got <{name}> twice in {self._uri!r}")
        self._names[name] = int if kind == "int" else str
        self._wire.append("")
        if kind == "suffix":
            if not last:
                raise TypeError(f"expected a suffix as the last component, got {component} in {self._uri!r}")
            if self._type == self.URI_TYPE_EXACT:
                self._type = self.URI_TYPE_PREFIX
            return rf"(?P<{name}>[^\s#]*)"
        self._type = self.URI_TYPE_WILDCARD
        chars = "[0-9]+" if kind == "int" else r"[^\s.#]+"
        return f"(?P<{name}>{chars})"

    @property
    def options(self) -> Any:
        """The options given with the declaration, or None."""
        return self._options

    @property
    def uri_type(self) -> int:
        """One of ``URI_TYPE_EXACT``, ``URI_TYPE_PREFIX``, ``URI_TYPE_WILDCARD``."""
        return self._type

    @property
    def check_types(self) -> CheckTypes:
        """Whether arguments are checked against annotations, or converted; None when nothing was said."""
        return self._check_types

    @property
    def match_policy(self) -> Shape:
        """The WAMP match policy under which ``wire_uri`` means this pattern."""
        policies: dict[int, Shape] = {1: "exact", 2: "prefix", 3: "wildcard"}
        return policies[self._type]

    def uri(self) -> str:
        """The URI as declared."""
        return self._uri

    def wire_uri(self) -> str:
        """The URI as a router understands it: named components are empty."""
        return ".".join(self._wire)

    def match(self, uri: str) -> tuple[list[Any], dict[str, Any]]:
        """``([], values by name)`` of a URI that matches; raises ``ValueError`` if it does not."""
        found = self._pattern.fullmatch(uri)
        if found is None:
            raise ValueError(f"expected a URI that matches {self._uri!r}, got {uri!r}")
        return [], {name: self._names[name](value) for name, value in found.groupdict().items()}

    def is_endpoint(self) -> bool:
        """Declared for an endpoint (a procedure)."""
        return self._target == self.URI_TARGET_ENDPOINT

    def is_handler(self) -> bool:
        """Declared for an event handler."""
        return self._target == self.URI_TARGET_HANDLER

    def is_exception(self) -> bool:
        """Declared for an exception class."""
        return self._target == self.URI_TARGET_EXCEPTION


def register(uri: str | None, options: Any = None, check_types: CheckTypes = None) -> Callable[[_T], _T]:
    """Decorator: the function is an endpoint for ``uri`` (its own name if None) once its object registers.

    ``check_types``: see `CheckTypes`.
    """
    return _declare(uri, Pattern.URI_TARGET_ENDPOINT, options, check_types)


def subscribe(uri: str | None, options: Any = None, check_types: CheckTypes = None) -> Callable[[_T], _T]:
    """Decorator: the function handles events of ``uri`` (its own name if None) once its object subscribes.

    ``check_types``: see `CheckTypes`.
    """
    return _declare(uri, Pattern.URI_TARGET_HANDLER, options, check_types)


def _declare(uri: str | None, target: int, options: Any, check_types: CheckTypes) -> Callable[[_T], _T]:
    def decorate(f: Any) -> Any:
        if not callable(f) and not isinstance(f, classmethod):
            raise AssertionError(f"expected a function to decorate, got {type(f).__name__}")
        pattern = Pattern(f.__name__ if uri is None else uri, target, options, check_types)
        f._wampuris = [*f.__dict__.get("_wampuris", ()), pattern]
        return f

    return decorate


def error(uri: str) -> Callable[[_T], _T]:
    """Decorator: the exception class stands for the error ``uri``."""

    def decorate(cls: Any) -> Any:
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            raise AssertionError(f"expected an exception class to decorate, got {cls!r}")
        pattern = Pattern(uri, Pattern.URI_TARGET_EXCEPTION)
        declared = [*cls.__dict__.get("_wampuris", ()), pattern]
        cls._wampuris = declared  # type: ignore[attr-defined]
        return cls

    return decorate


def declared_error_uri(cls: type[BaseException]) -> str | None:
    """The URI that ``@error`` gave this very class (not one of its bases), or None."""
    declared = cls.__dict__.get("_wampuris")
    return declared[0].uri() if declared else None


error("wamp.error.not_authorized")(NotAuthorized)
error("wamp.error.invalid_uri")(InvalidUri)
error("wamp.error.invalid_payload")(InvalidPayload)

"""Helpers of the documented API: times, ids, tokens, observers."""

from __future__ import annotations

import inspect
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from random import SystemRandom
from typing import Any, TypeVar

__all__ = (
    "EqualityMixin",
    "IdGenerator",
    "ObservableMixin",
    "Stopwatch",
    "Tracker",
    "encode_truncate",
    "generate_activation_code",
    "generate_serial_number",
    "generate_token",
    "generate_user_password",
    "hlid",
    "hltype",
    "hlval",
    "id",
    "newid",
    "parse_activation_code",
    "parse_keyfile",
    "public",
    "rid",
    "rtime",
    "utcnow",
    "utcstr",
    "wildcards2patterns",
    "xor",
)

_T = TypeVar("_T")
_random = SystemRandom()  # the system's CSPRNG; what `secrets` stands for, without what it imports
_MAX_ID = 2**53
_NEWID_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

DEFAULT_TOKEN_CHARS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # noqa: S105 - an alphabet
"""No 0 and O, no 1 and I: tokens are read out and typed in."""

DEFAULT_ZBASE32_CHARS = "13456789abcdefghijkmnopqrstuwxyz"


def public(obj: _T) -> _T:
    """Decorator: ``obj`` belongs to the public API."""
    obj._is_public = True  # type: ignore[attr-defined]
    return obj


# ---- times -------------------------------------------------------------------------------------------------


def utcstr(ts: datetime | None = None) -> str:
    """``ts`` (now, if None) in ISO 8601, UTC, with milliseconds: ``2024-05-06T07:08:09.123Z``."""
    if ts is None:
        ts = datetime.now(UTC)
    elif ts.tzinfo is not None:
        ts = ts.astimezone(UTC)
    return f"{ts:%Y-%m-%dT%H:%M:%S}.{ts.microsecond // 1000:03d}Z"


def utcnow() -> str:
    """The present time as of ``utcstr``."""
    return utcstr()


def rtime() -> float:
    """Seconds of a clock that is good for differences only."""
    return time.perf_counter()


class Stopwatch:
    """Measures time, with pauses."""

    def __init__(self, start: bool = True) -> None:
        self._elapsed = 0.0
        self._since: float | None = rtime() if start else None

    def elapsed(self) -> float:
        """Seconds measured so far."""
        return self._elapsed + (0.0 if self._since is None else rtime() - self._since)

    def pause(self) -> float:
        """The watch stands; seconds measured so far."""
        self._elapsed, self._since = self.elapsed(), None
        return self._elapsed

    def resume(self) -> None:
        """The watch runs."""
        if self._since is None:
            self._since = rtime()

    def stop(self) -> float:
        """The watch stands at zero; the seconds it had measured."""
        measured, self._elapsed, self._since = self.elapsed(), 0.0, None
        return measured


class Tracker:
    """Named points in time."""

    def __init__(self, tracker: Any, tracked: Any) -> None:
        self.tracker = tracker
        self.tracked = tracked
        self._timings: dict[str, float] = {}
        self._offset = rtime()
        self._start = datetime.now(UTC).timestamp()

    def track(self, key: str) -> None:
        """``key`` is now."""
        self._timings[key] = rtime()

    def diff(self, start_key: str, end_key: str, formatted: bool = True) -> Any:
        """Seconds between two points, None if unknown; as a text if ``formatted``."""
        start, end = self._timings.get(start_key), self._timings.get(end_key)
        if start is None or end is None:
            return "n.a." if formatted else None
        return _duration(end - start) if formatted else end - start

    def absolute(self, key: str) -> float | None:
        """The point as seconds since 1970, None if unknown."""
        at = self._timings.get(key)
        return None if at is None else self._start + at - self._offset

    def __getitem__(self, key: str) -> float | None:
        return self._timings.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._timings)

    def __str__(self) -> str:
        return f"Tracker(tracker={self.tracker}, tracked={self.tracked}, timings={self._timings})"


def _duration(seconds: float) -> str:
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.1f} {unit}"
    return f"{seconds:.3f} seconds"


# ---- ids and tokens ----------------------------------------------------------------------------------------


def rid() -> int:
    """A random WAMP id of the global scope, 1 to 2**53, from the system's CSPRNG."""
    return _random.randrange(_MAX_ID) + 1


def id() -> int:
    """As ``rid``."""
    return rid()


def newid(length: int = 16) -> str:
    """A random text of ``length`` letters, digits, ``-`` and ``_``."""
    return "".join(_random.choice(_NEWID_CHARS) for _ in range(length))


class IdGenerator:
    """WAMP ids of the session scope: 1, 2, ..., 2**53, 1, ..."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The next id."""
        self._last = self._last + 1 if self._last < _MAX_ID else 1
        return self._last

    def __next__(self) -> int:
        return self.next()

    def __iter__(self) -> IdGenerator:
        return self


def generate_token(
    char_groups: int,
    chars_per_group: int,
    chars: str | None = None,
    sep: str | None = None,
    lower_case: bool | None = False,
) -> str:
    """A random token like ``QLMH-N5Q6``: groups of ``chars`` joined by ``sep``."""
    alphabet = chars or DEFAULT_TOKEN_CHARS
    groups = ("".join(_random.choice(alphabet) for _ in range(chars_per_group)) for _ in range(char_groups))
    token = ("-" if sep is None else sep).join(groups)
    return token.lower() if lower_case else token


def generate_activation_code() -> str:
    """A token like ``W97F-96MJ-YGJL`` (about 60 bits)."""
    return generate_token(char_groups=3, chars_per_group=4)


def parse_activation_code(code: str) -> re.Match[str] | None:
    """A match if ``code`` has the form of an activation code."""
    chars = f"[{DEFAULT_TOKEN_CHARS}]{{4}}"
    return re.fullmatch(rf"{chars}-{chars}-{chars}", code)


def generate_user_password() -> str:
    """A password like ``4q5u-gbu3-xpas-vtdg`` (about 80 bits)."""
    return generate_token(char_groups=4, chars_per_group=4, chars=DEFAULT_ZBASE32_CHARS, sep="-")


def generate_serial_number() -> str:
    """A token like ``YRAC-EL4X-FQQE-AW4T-WNUV-VN6T`` (about 120 bits)."""
    return generate_token(char_groups=6, chars_per_group=4)


def parse_keyfile(key_path: str, private: bool = True) -> OrderedDict[str, str]:
    """The ``tag: value`` lines of a key file, in their order; a heading and empty lines are left out.

    ``private=False``: a file that is to be shown around; one with a private key is refused. Raises ``ValueError`` for
    that, for a tag that stands twice, and for a line of another form; ``OSError`` when the file cannot be read.
    """
    tags: OrderedDict[str, str] = OrderedDict()
    with open(key_path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            tag, colon, value = (part.strip() for part in line.partition(":"))
            if not colon:
                if tag and tags:
                    raise ValueError(f'expected "tag: value" in line {number} of {key_path}, got {tag[:40]!r}')
                continue
            tag = tag.lower()
            if tag in tags:
                raise ValueError(f"expected every tag once in {key_path}, got {tag} twice")
            if not private and tag.startswith("private-"):
                raise ValueError(f"expected a public key in {key_path}, got {tag}")
            tags[tag] = value
    return tags


# ---- values ------------------------------------------------------------------------------------------------


def xor(d1: bytes, d2: bytes) -> bytes:
    """The octets of ``d1`` and ``d2``, which are equally long, combined by exclusive or."""
    if len(d1) != len(d2):
        raise ValueError(f"expected octets of equal length, got {len(d1)} and {len(d2)}")
    return bytes(a ^ b for a, b in zip(d1, d2, strict=True))


def encode_truncate(text: str, limit: int, encoding: str = "utf8", return_encoded: bool = True) -> str | bytes | None:
    """``text`` in at most ``limit`` octets, cut between characters; None stays None."""
    if text is None:
        return None
    data = text.encode(encoding)
    if len(data) <= limit:
        return data if return_encoded else text
    whole = data[:limit].decode(encoding, "ignore")
    return whole.encode(encoding) if return_encoded else whole


def wildcards2patterns(wildcards: list[str]) -> list[re.Pattern[str]]:
    """Regular expressions for texts in which ``*`` stands for anything."""
    return [re.compile(re.escape(wildcard).replace(r"\*", ".*") + r"\Z") for wildcard in wildcards]


class EqualityMixin:
    """Equal if of the same class with the same public attributes."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return False
        mine = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return mine == {k: v for k, v in vars(other).items() if not k.startswith("_")}

    __hash__ = None  # type: ignore[assignment]


def hlval(val: Any, color: str = "white", bold: bool = True) -> str:
    """``val`` as a text for a log; no colours are added, because it may go to a file."""
    return str(val)


def hlid(oid: Any) -> str:
    """An id as a text for a log."""
    return str(oid)


def hltype(obj: Any) -> str:
    """A type or function as a text for a log: ``<module.name>``."""
    of = obj if inspect.isclass(obj) or inspect.isroutine(obj) else type(obj)
    return f"<{of.__module__}.{of.__qualname__}>"


# ---- observers ---------------------------------------------------------------------------------------------


class ObservableMixin:
    """Handlers for named events; a parent, if set, hears every event too."""

    _parent: ObservableMixin | None = None
    _valid_events: list[str] | None = None
    _listeners: dict[str, list[Callable[..., Any]]] | None = None

    def set_valid_events(self, valid_events: list[str] | None = None) -> None:
        """Only these events may be named from now on; any, if None."""
        self._valid_events = None if valid_events is None else list(valid_events)

    def _check_event(self, event: str) -> None:
        if self._valid_events is not None and event not in self._valid_events:
            known = ", ".join(self._valid_events)
            raise RuntimeError(f'expected an event out of {known}, got "{event}"')

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """``handler`` is called when ``event`` fires."""
        self._check_event(event)
        if self._listeners is None:
            self._listeners = {}
        self._listeners.setdefault(event, []).append(handler)

    def off(self, event: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """``handler`` is not called any more; without it all of ``event``, without both all of everything."""
        if event is None:
            if handler is not None:
                raise ValueError("expected an event for the handler, got none")
            self._listeners = None
            return
        self._check_event(event)
        handlers = (self._listeners or {}).get(event, [])
        if handler is None:
            handlers.clear()
        elif handler in handlers:
            handlers.remove(handler)

    def fire(self, event: str, *args: Any, **kwargs: Any) -> Awaitable[list[Any]]:
        """All handlers have been called, then those of the parent; await it for their results.

        The handlers run before this returns; what is awaited are the coroutines among their results.
        """
        self._check_event(event)
        results = [handler(*args, **kwargs) for handler in tuple((self._listeners or {}).get(event, ()))]
        below = None if self._parent is None else self._parent.fire(event, *args, **kwargs)
        return _Results(results, below)


class _Results:
    """The results of handlers, awaitable one after another; not awaiting it is no error."""

    def __init__(self, results: list[Any], below: Awaitable[list[Any]] | None) -> None:
        self._results = results
        self._below = below

    def __await__(self) -> Any:
        return self._all().__await__()

    async def _all(self) -> list[Any]:
        done = [await result if inspect.isawaitable(result) else result for result in self._results]
        return done if self._below is None else [*done, *await self._below]

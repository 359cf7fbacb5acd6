"""Events that are kept to be asked for later (WAMP "Event History")."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from autobahn.router.config import HistoryTopic
from autobahn.router.delivery import Publication
from autobahn.router.kept import KeptEvent
from autobahn.router.options import Audience, Options
from autobahn.router.peer import Peer, timestamp
from autobahn.wamp.exception import ApplicationError


class Entry(KeptEvent):
    """One event of one subscription, and when it came."""

    __slots__ = ("time",)

    def __init__(
        self, topic: str, publication: Publication, details: Options, audience: Audience | None, passthru_feature: str
    ) -> None:
        super().__init__(topic, publication, details, audience, passthru_feature)
        self.time = time.time()

    def event(self, subscription: int) -> dict[str, Any]:
        """The entry as it is handed out."""
        msg = self.publication.event(subscription, self.details, None)
        event = {
            "timestamp": timestamp(self.time),
            "subscription": subscription,
            "publication": msg.publication,
            "details": {"topic": self.topic, **self.details},
        }
        if msg.args or msg.kwargs:
            event["args"] = msg.args
        if msg.kwargs:
            event["kwargs"] = msg.kwargs
        return event


class Shelf(Protocol):
    """Where a history is kept beyond the process."""

    def history(self, match: str, uri: str, limit: int) -> Iterable[tuple[int, Entry]]: ...
    def append(self, match: str, uri: str, entry: Entry, oldest: int | None) -> int: ...


class History:
    """The newest events of one subscription, in the order in which they came."""

    def __init__(self, topic: HistoryTopic, shelf: Shelf | None = None, before: History | None = None) -> None:
        """``before``: whose events go on in this one, which has another limit, when there is no ``shelf``."""
        self._topic = topic
        self._shelf = shelf
        self._entries: deque[Entry] = deque(maxlen=topic.limit)
        self._numbers: deque[int] = deque(maxlen=topic.limit)  # of the entries, on the shelf
        if shelf is not None:
            for number, entry in shelf.history(topic.match, topic.uri, topic.limit):
                self._numbers.append(number)
                self._entries.append(entry)
        elif before is not None:
            self._entries.extend(before._entries)

    def append(self, entry: Entry) -> None:
        """``entry`` is the newest. Events for certain sessions are not kept: their ids will mean others later.

        ApplicationError when it cannot be kept on the shelf.
        """
        if entry.audience is not None and entry.audience.names_sessions:
            return
        if self._shelf is not None:
            oldest = self._numbers[0] if len(self._numbers) == self._numbers.maxlen else None
            self._numbers.append(self._shelf.append(self._topic.match, self._topic.uri, entry, oldest))
        self._entries.append(entry)

    def find(self, peer: Peer, filters: Options) -> list[Entry]:
        """The events ``peer`` may have that pass all ``filters``; raises ``invalid_argument`` for a bad one."""
        entries = list(self._entries)
        first, last = _range(entries, filters)
        tests = [_test(key, filters[key]) for key in filters if key in _TIMES or key == "topic"]
        found = [e for e in entries[first:last] if e.is_for(peer) and all(test(e) for test in tests)]
        if filters.get("reverse"):
            found.reverse()
        return found[: filters.get("limit")]


_TIMES: dict[str, Callable[[float, float], bool]] = {
    "from_time": lambda t, bound: t >= bound,
    "after_time": lambda t, bound: t > bound,
    "before_time": lambda t, bound: t < bound,
    "until_time": lambda t, bound: t <= bound,
}
_POSITIONS = ("from_publication", "after_publication", "before_publication", "until_publication")
FILTERS = frozenset({"reverse", "limit", "topic", *_TIMES, *_POSITIONS})


def check_filters(filters: Options) -> Options:
    """The filters that are set, with values of their types."""
    filters = {key: value for key, value in filters.items() if value is not None}
    for key, value in filters.items():
        if key not in FILTERS:
            raise _invalid(f"expected filters out of {', '.join(sorted(FILTERS))}, got {key!r:.100}")
        if key == "reverse":
            ok = type(value) is bool
        elif key == "limit":
            ok = type(value) is int and value > 0
        elif key in _POSITIONS:
            ok = type(value) is int
        else:
            ok = type(value) is str
        if not ok:
            raise _invalid(f"expected another value for {key}, got {value!r:.100}")
    return filters


def _range(entries: list[Entry], filters: Options) -> tuple[int, int]:
    """The part of ``entries`` between the publications that are named."""
    first, last = 0, len(entries)
    for key in _POSITIONS:
        if key not in filters:
            continue
        number = filters[key]
        at = next((i for i, entry in enumerate(entries) if entry.publication.number == number), None)
        if at is None:
            raise _invalid(f"expected a publication in the history for {key}, got {number}")
        if key in ("from_publication", "after_publication"):
            first = max(first, at + (key == "after_publication"))
        else:
            last = min(last, at + (key == "until_publication"))
    return first, last


def _test(key: str, value: str) -> Callable[[Entry], bool]:
    if key == "topic":
        return lambda entry: entry.topic == value
    holds = _TIMES[key]
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("it names no time zone")
        bound = round(moment.timestamp(), 3)
    except (ValueError, OverflowError) as exc:
        raise _invalid(f"expected an RFC 3339 time for {key}, got {value!r:.100} ({exc})") from None
    return lambda entry: holds(round(entry.time, 3), bound)  # compared as they are shown


def _invalid(text: str) -> ApplicationError:
    return ApplicationError(ApplicationError.INVALID_ARGUMENT, text)

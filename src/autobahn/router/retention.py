"""Retained events: what a late subscriber gets at once (WAMP "Event Retention")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from autobahn.router.kept import KeptEvent
from autobahn.router.patterns import EXACT, matches
from autobahn.router.peer import Peer

MAX_PER_TOPIC = 16


class Retained(KeptEvent):
    """One publication that was published with ``retain``."""

    __slots__ = ()


class Shelf(Protocol):
    """Where retained events are kept beyond the process."""

    def retained(self) -> Iterable[Retained]: ...
    def retain(self, topic: str, events: Iterable[Retained]) -> None: ...


class Retention:
    """The retained events of a realm, by topic.

    An event for everybody replaces all before it; one for a limited audience covers those before it only for
    that audience. Of the latter, a topic keeps the last `MAX_PER_TOPIC`; too many topics push out the oldest.
    """

    def __init__(self, max_topics: int, by_component: bool, shelf: Shelf | None = None) -> None:
        self._topics: dict[str, list[Retained]] = {}  # in the order of their last event
        self._max_topics = max_topics
        self._by_component = by_component
        self._shelf: Shelf | None = None
        if shelf is not None:
            for event in shelf.retained():
                self.keep(event)
            self._shelf = shelf

    def __len__(self) -> int:
        return len(self._topics)

    def keep(self, event: Retained) -> None:
        """``event`` is the newest of its topic. ApplicationError when it cannot be kept on the shelf."""
        covers_all = event.audience is None and not event.passthru_feature
        before = [] if covers_all else self._topics.get(event.topic, [])
        events = [*before, event][-MAX_PER_TOPIC:]
        if self._shelf is not None:
            self._shelf.retain(event.topic, events)
        self._topics.pop(event.topic, None)
        self._topics[event.topic] = events
        self.limit(self._max_topics)

    def limit(self, max_topics: int) -> None:
        """So many topics may have retained events from now on; those with the oldest events go."""
        self._max_topics = max_topics
        while len(self._topics) > max_topics:
            self.clear(next(iter(self._topics)))

    def clear(self, topic: str) -> bool:
        """Nothing is retained for ``topic`` any more; returns whether there was something."""
        if self._shelf is not None:
            self._shelf.retain(topic, [])
        return self._topics.pop(topic, None) is not None

    def find(self, peer: Peer, match: str, uri: str) -> list[Retained]:
        """For each topic that ``uri`` matches, the newest event that is for ``peer``; the oldest event first."""
        if match == EXACT:
            topics = [uri]
        else:
            topics = [topic for topic in self._topics if matches(match, uri, topic, self._by_component)]
        newest = (
            next((event for event in reversed(self._topics.get(topic, ())) if event.is_for(peer)), None)
            for topic in topics
        )
        return [event for event in newest if event is not None]

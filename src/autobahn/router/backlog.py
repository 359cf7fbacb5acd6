"""Events for a client that reads too slowly: what waits is bounded, and a policy says what gives way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from autobahn.router.config import SlowPolicy


class Current(Protocol):
    """What the delivery is about to send, and what it counts."""

    subscription: int
    topic: str
    dropped: int


class Owner(Protocol):
    """The session whose client is slow."""

    def drops_events(self) -> None:
        """The first event has given way."""

    def too_slow(self, bound: int) -> None:
        """More than ``bound`` octets of events wait; the link has to be cut."""


class Backlog:
    """Stands for `Peer.send_encoded` while the client's link takes no more.

    Only events wait here; answers go past them, so that a slow client can still be called, unsubscribe and leave.
    ``bound``: octets that may wait. Beyond it, by ``policy``: the link is cut ("disconnect"), the oldest events give
    way ("drop-oldest"), or the new one does ("drop-newest"). "conflate": of each subscription and topic only the
    newest event waits, in the place of the first one, and beyond the bound the oldest give way.
    """

    __slots__ = ("_bound", "_current", "_events", "_latest", "_owner", "_policy", "dropped", "size")

    def __init__(self, owner: Owner, current: Current, policy: SlowPolicy, bound: int) -> None:
        self._owner = owner
        self._current = current
        self._policy = policy
        self._bound = bound
        self._events: deque[list[Any]] = deque()  # [subscription, topic, octets]
        self._latest: dict[tuple[int, str], list[Any]] = {}  # for "conflate"
        self.dropped = 0  # events that have given way
        self.size = 0  # octets that wait

    def put(self, data: bytes) -> None:
        """The event waits, or gives way."""
        current, policy = self._current, self._policy
        if policy == "conflate":
            waiting = self._latest.get((current.subscription, current.topic))
            if waiting is not None:
                self.size += len(data) - len(waiting[2])
                waiting[2] = data
                self._count()
                self._shrink()
                return
        elif policy == "drop-newest" and self._events and self.size + len(data) > self._bound:
            self._count()
            return
        event = [current.subscription, current.topic, data]
        if policy == "conflate":
            self._latest[current.subscription, current.topic] = event
        self._events.append(event)
        self.size += len(data)
        if policy != "disconnect":
            self._shrink()
        elif self.size > self._bound and len(self._events) > 1:
            self.clear()
            self._owner.too_slow(self._bound)

    def _shrink(self) -> None:
        while self.size > self._bound and len(self._events) > 1:  # a single one may be as long as messages may be
            self._pop()
            self._count()

    def flush(self, send: Callable[[bytes], None], is_slow: Callable[[], bool]) -> bool:
        """Events leave by ``send``, in their order, until the link takes no more; whether all have left."""
        while self._events:
            if is_slow():
                return False
            send(self._pop())
        return True

    def unsubscribed(self, subscription: int) -> None:
        """No event of ``subscription`` leaves any more."""
        for event in [event for event in self._events if event[0] == subscription]:
            self.size -= len(event[2])
            self._latest.pop((event[0], event[1]), None)
        self._events = deque(event for event in self._events if event[0] != subscription)

    def clear(self) -> None:
        """Nothing waits."""
        self._events.clear()
        self._latest.clear()
        self.size = 0

    def _pop(self) -> bytes:
        subscription, topic, data = self._events.popleft()
        self.size -= len(data)
        self._latest.pop((subscription, topic), None)
        return bytes(data)

    def _count(self) -> None:
        self._current.dropped += 1
        self.dropped += 1
        if self.dropped == 1:
            self._owner.drops_events()

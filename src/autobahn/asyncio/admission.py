"""Who may come in: limits on connections without a session, and on those of one address."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from autobahn.router.observer import RealmObserver
from autobahn.router.peer import Peer

__all__ = ("Gate", "Reception", "Refused", "Visit")

LEAST = 4
"""A part of so many of those who may be pending is asked back for each second, however few have joined in one."""
LONGEST_WAIT = 60
"""Seconds after which clients are asked to come back at the latest."""


class Refused(Exception):
    """A connection that may not come in now: why, as which HTTP status, and when to come again (seconds; 0: open)."""

    def __init__(self, status: int, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class Visit:
    """One connection that was let in, from its first octet on."""

    __slots__ = ("host", "is_pending", "protocol")

    def __init__(self, host: str | None, protocol: Any) -> None:
        self.host = host
        self.protocol = protocol
        """The protocol that has the connection now."""
        self.is_pending = True
        """Whether it has had no session yet."""


class Gone:
    """In place of a protocol whose connection is gone."""

    __slots__ = ("peer",)

    def __init__(self, peer: str | None) -> None:
        self.peer = peer


class Joins:
    """How many join in a second in which all places are taken; times are whole seconds."""

    __slots__ = ("_count", "_is_full", "_second", "_was_full", "rate")

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._is_full = False  # somebody was refused in this second
        self._was_full = False  # and in the one before
        self.rate = 0
        """As many as joined in the second before, if there was a full house in that and the one before it; else 0."""

    def count(self, now: int) -> None:
        """One more has joined."""
        if now != self._second:
            self._turn(now)
        self._count += 1

    def full(self, now: int) -> None:
        """Somebody was refused for want of a place."""
        if now != self._second:
            self._turn(now)
        self._is_full = True

    def _turn(self, now: int) -> None:
        """A new second begins."""
        is_next = now == self._second + 1
        self.rate = self._count if is_next and self._is_full and self._was_full else 0
        self._was_full = is_next and self._is_full
        self._second, self._count, self._is_full = now, 0, False


class Gate:
    """Counts the connections of a router, and refuses those that are too many.

    A router that takes in everybody who comes back after a restart serves nobody in time. So ``max_pending``
    connections may be on their way to their session; those beyond are told at once, before anything is read or
    decided, when to come again: as many in each second as may be pending, or, once that is known, as have joined in a
    second with a full house. ``max_per_address``: how many connections one address may have; 0: any number.
    """

    def __init__(
        self, max_pending: int = 1000, max_per_address: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_pending = max_pending
        self.max_per_address = max_per_address
        self.closing = False
        self.pending = 0
        self.visits: dict[Visit, None] = {}  # a set in order of arrival
        self.total = 0
        self.refusals: Counter[str] = Counter()  # by "pending", "address", "closing"
        self.on_left: Callable[[], None] = _nothing
        self._by_host: dict[str, int] = {}
        self._clock = clock
        self._returns: dict[int, int] = {}  # how many were asked to come again in a second of the clock
        self._joins = Joins()

    def enter(self, host: str | None, protocol: Any, *, reserved: bool = False) -> Visit:
        """A connection from ``host`` (None: not to be counted by address) is in. Raises `Refused`.

        ``reserved``: it takes the place that `reserve` has kept for it.
        """
        if reserved:
            self.release()
        if self.closing:
            raise self._refused("closing", Refused(503, "the router is shutting down", 1))
        self._check_room()
        self._count_host(host)
        visit = Visit(host, protocol)
        self.visits[visit] = None
        self.pending += 1
        self.total += 1
        return visit

    def reserve(self) -> None:
        """A connection is pending of which nothing is known yet, because it begins with TLS. Raises `Refused`."""
        self._check_room()
        self.pending += 1

    def release(self) -> None:
        """The place of such a connection is free."""
        self.pending -= 1

    def readdress(self, visit: Visit, host: str) -> None:
        """The client turns out to be at ``host``, behind a proxy. Raises `Refused`."""
        if visit.host is None:
            self._count_host(host)
            visit.host = host

    def joined(self, visit: Visit) -> None:
        """The connection has a session."""
        if visit.is_pending:
            visit.is_pending = False
            self.pending -= 1
            self._joins.count(int(self._clock()))

    def left(self, visit: Visit) -> None:
        """The connection is gone."""
        if self.visits.pop(visit, self) is self:
            return
        if visit.is_pending:
            visit.is_pending = False
            self.pending -= 1
        visit.protocol = Gone(getattr(visit.protocol, "peer", None))  # the two would keep each other
        host = visit.host
        if host is not None:
            count = self._by_host[host] - 1
            if count:
                self._by_host[host] = count
            else:
                del self._by_host[host]
        self.on_left()

    def _check_room(self) -> None:
        """Raises `Refused` when as many are pending as may be."""
        if self.pending >= self.max_pending:
            now = int(self._clock())
            self._joins.full(now)
            raise self._refused("pending", Refused(503, "too many clients are connecting", self._retry_after(now)))

    def _refused(self, why: str, refusal: Refused) -> Refused:
        self.refusals[why] += 1
        return refusal

    def _count_host(self, host: str | None) -> None:
        if host is None:
            return
        count = self._by_host.get(host, 0)
        if self.max_per_address and count >= self.max_per_address:
            reason = f"expected at most {self.max_per_address} connections from one address, got one more"
            raise self._refused("address", Refused(429, reason))
        self._by_host[host] = count + 1

    def _retry_after(self, now: int) -> int:
        """The first second that is not promised to as many clients as join in one, or else as may be pending."""
        rate = self._joins.rate
        each = max(rate, self.max_pending // LEAST, 1) if rate else self.max_pending
        for second in [second for second in self._returns if second <= now]:
            del self._returns[second]
        wait = 1
        while wait < LONGEST_WAIT and self._returns.get(now + wait, 0) >= each:
            wait += 1
        self._returns[now + wait] = self._returns.get(now + wait, 0) + 1
        return wait


class Reception(RealmObserver):
    """Tells the gate, and the connection, that a client has its session."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def session_joined(self, session: Peer) -> None:
        visit = visit_of(session)
        if visit is not None:
            self._gate.joined(visit)
            visit.protocol.welcomed()


def visit_of(session: Any) -> Visit | None:
    """The connection of a router's session; None in this process."""
    channel = getattr(getattr(session, "transport", None), "channel", None)
    return getattr(getattr(channel, "protocol", channel), "visit", None)


def _nothing() -> None:
    """Nobody waits."""

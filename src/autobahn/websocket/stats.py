"""`TrafficStats` and `Timings`: what a connection can count and note."""

from __future__ import annotations

import time
from collections.abc import Iterator

__all__ = ("Timings", "TrafficStats")

_COUNTS = (
    "outgoingOctetsWireLevel",
    "outgoingOctetsWebSocketLevel",
    "outgoingOctetsAppLevel",
    "outgoingWebSocketFrames",
    "outgoingWebSocketMessages",
    "incomingOctetsWireLevel",
    "incomingOctetsWebSocketLevel",
    "incomingOctetsAppLevel",
    "incomingWebSocketFrames",
    "incomingWebSocketMessages",
    "preopenOutgoingOctetsWireLevel",
    "preopenIncomingOctetsWireLevel",
)


class TrafficStats:
    """Counts of one connection; all stay 0 unless the option `countTraffic` is on, and frames are not counted.

    Wire level: octets of TCP, from the opening handshake on. App level: octets of message payloads.
    """

    outgoingOctetsWireLevel: int
    outgoingOctetsWebSocketLevel: int
    outgoingOctetsAppLevel: int
    outgoingWebSocketFrames: int
    outgoingWebSocketMessages: int
    incomingOctetsWireLevel: int
    incomingOctetsWebSocketLevel: int
    incomingOctetsAppLevel: int
    incomingWebSocketFrames: int
    incomingWebSocketMessages: int
    preopenOutgoingOctetsWireLevel: int
    preopenIncomingOctetsWireLevel: int

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """All counts are 0."""
        for name in _COUNTS:
            setattr(self, name, 0)

    def __json__(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTS}

    def __str__(self) -> str:
        return str(self.__json__())


class Timings:
    """Notes when something happened, by name, in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._times: dict[str, float] = {}

    def track(self, key: str) -> None:
        """`key` happens now."""
        self._times[key] = time.perf_counter() - self._start

    def diff(self, startKey: str, endKey: str, formatted: bool = True) -> str | float | None:
        """Seconds between two events, as number or as text with a unit; `None` when one did not happen."""
        if startKey not in self._times or endKey not in self._times:
            return "n.a." if formatted else None
        seconds = self._times[endKey] - self._times[startKey]
        if not formatted:
            return seconds
        for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
            if abs(seconds) * factor >= 1:
                return f"{seconds * factor:.1f} {unit}"
        return f"{seconds * 1e9:.0f} ns"

    def __getitem__(self, key: str) -> float | None:
        return self._times.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._times)

    def __str__(self) -> str:
        return str(self._times)

"""`Deadline`: a timer that measures others by the time in which they could act, not by our own loop's stalls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

LATE = 0.05
"""Seconds by which a timer may be late; beyond, our own loop stood still."""
SLICES = 4
STALLS = 12
"""So many slices are not counted at most: on a loop that is always late a deadline comes, too, four times as late."""


class Clock(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any: ...


def _nothing() -> None:
    """In place of a callback that is not wanted any more."""


class Deadline:
    """Calls `callback` once, when `seconds` are over in which the loop ran; `cancel` before that.

    The time is measured in slices. While the loop stands still, nothing that peers have sent is read, and what we said
    last may not have left: a slice that ends late is not counted.
    """

    __slots__ = ("_callback", "_due", "_left", "_loop", "_slice", "_stalls", "_timer")

    def __init__(self, loop: Clock, seconds: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._slice = length = seconds / SLICES
        self._left = SLICES
        self._stalls = STALLS
        self._due = loop.time() + length
        self._timer: Any = loop.call_later(length, self._next)

    def cancel(self) -> None:
        """It is not called any more."""
        self._timer.cancel()
        self._callback = _nothing  # no cycle with whom it was to call

    def _next(self) -> None:
        now = self._loop.time()
        if now > self._due + LATE and self._stalls:
            self._stalls -= 1
        else:
            self._left -= 1
            if not self._left:
                self._callback()
                return
        self._due = now + self._slice
        self._timer = self._loop.call_later(self._slice, self._next)

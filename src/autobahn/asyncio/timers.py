"""`Timers`: the timers of all connections of one loop, cheap to set and to cancel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import takewhile

_EARLY = 0.001  # seconds by which a loop that counts milliseconds may call too early

_of_thread = threading.local()


def timers_of(loop: asyncio.AbstractEventLoop) -> Timers:
    """The timers of this loop, which is the one that runs in this thread."""
    timers: Timers | None = getattr(_of_thread, "timers", None)
    if timers is None or timers.loop is not loop:
        timers = _of_thread.timers = Timers(loop)
    return timers


class Timers:
    """A `deadline.Clock` for timers of a few lengths.

    Those of one length fall due in the order they were set, so each length has a queue, and the loop itself knows one
    timer a queue. A loop's own timer costs several times as much, and nearly all of them are cancelled.
    """

    __slots__ = ("_queues", "loop", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.time = loop.time
        self._queues: dict[float, _Queue] = {}

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Calls `callback` after `delay` seconds, in the present context, unless the timer is cancelled before."""
        queue = self._queues.get(delay)
        if queue is None:
            queue = self._queues[delay] = _Queue(self.loop, self._queues, delay)
        timer = Timer()
        timer._timers = timers = queue.timers
        timer.callback = callback
        timer.context = copy_context()
        timer.due = self.time() + delay
        timers[timer] = None
        if not queue.is_scheduled:
            queue.schedule(timer.due)
        return timer


class Timer:
    """A call that waits; see `Timers.call_later`, which fills it."""

    __slots__ = ("_timers", "callback", "context", "due")

    _timers: dict[Timer, None]
    callback: Callable[[], None] | None
    context: Context | None
    due: float

    def cancel(self) -> None:
        """There will be no call."""
        if self.callback is not None:
            self.callback = self.context = None
            self._timers.pop(self, None)


class _Queue:
    """Timers of one length in the order in which they fall due; leaves `queues` when there are none."""

    __slots__ = ("_delay", "_loop", "_queues", "is_scheduled", "timers")

    def __init__(self, loop: asyncio.AbstractEventLoop, queues: dict[float, _Queue], delay: float) -> None:
        self._loop = loop
        self._queues = queues
        self._delay = delay
        self.timers: dict[Timer, None] = {}  # a set in order
        self.is_scheduled = False

    def schedule(self, due: float) -> None:
        """The loop calls when the first timer falls due."""
        self.is_scheduled = True
        self._loop.call_at(due, self._run)

    def _run(self) -> None:
        self.is_scheduled = False
        try:
            self._run_due(self._loop.time() + _EARLY)
        finally:
            if not self.timers:
                del self._queues[self._delay]
            elif not self.is_scheduled:
                self.schedule(next(iter(self.timers)).due)

    def _run_due(self, now: float) -> None:
        # Gathered first: those that come meanwhile are not due, and a dict gets slow when it is emptied from its front.
        for timer in list(takewhile(lambda timer: timer.due <= now, self.timers)):
            callback, context = timer.callback, timer.context
            if callback is None or context is None:
                continue  # cancelled by one of those before it
            timer.cancel()
            try:
                context.run(callback)
            except Exception as exc:
                self._loop.call_exception_handler({"message": f"timer {callback!r} raised", "exception": exc})

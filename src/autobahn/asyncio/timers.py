"""`Timers`: the timers of all connections of one loop, cheap to set and to cancel."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

_EARLY = 0.001  # seconds by which a loop that counts milliseconds may call too early
_MANY = 64  # cancelled timers that may wait in a queue, if they are less than half of it

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
        timer = Timer(queue, self.time() + delay, callback)
        queue.timers.append(timer)
        if not queue.is_scheduled:
            queue.schedule()
        return timer


class Timer:
    """A call that waits; see `Timers.call_later`."""

    __slots__ = ("_queue", "callback", "context", "due")

    def __init__(self, queue: _Queue, due: float, callback: Callable[[], None]) -> None:
        self._queue = queue
        self.due = due
        self.callback: Callable[[], None] | None = callback
        self.context: Context | None = copy_context()

    def cancel(self) -> None:
        """There will be no call."""
        if self.callback is not None:
            self.callback = self.context = None
            self._queue.cancelled()


class _Queue:
    """Timers of one length in the order in which they fall due; leaves `queues` when there are none."""

    __slots__ = ("_cancelled", "_delay", "_loop", "_queues", "is_scheduled", "timers")

    def __init__(self, loop: asyncio.AbstractEventLoop, queues: dict[float, _Queue], delay: float) -> None:
        self._loop = loop
        self._queues = queues
        self._delay = delay
        self._cancelled = 0
        self.timers: deque[Timer] = deque()
        self.is_scheduled = False

    def schedule(self) -> None:
        """The loop calls when the first timer falls due."""
        self.is_scheduled = True
        self._loop.call_at(self.timers[0].due, self._run)

    def cancelled(self) -> None:
        """One more of the timers is cancelled."""
        self._cancelled += 1
        timers = self.timers
        while timers and timers[0].callback is None:
            timers.popleft()
            self._cancelled -= 1
        if self._cancelled > _MANY and self._cancelled * 2 > len(self.timers):
            self.timers = deque(timer for timer in self.timers if timer.callback is not None)
            self._cancelled = 0

    def _run(self) -> None:
        self.is_scheduled = False
        try:
            self._run_due(self._loop.time() + _EARLY)
        finally:
            if not self.timers:
                del self._queues[self._delay]
            elif not self.is_scheduled:
                self.schedule()

    def _run_due(self, now: float) -> None:
        while self.timers and (self.timers[0].callback is None or self.timers[0].due <= now):
            timer = self.timers.popleft()
            callback, context, timer.callback, timer.context = timer.callback, timer.context, None, None
            if callback is None or context is None:
                self._cancelled -= 1
                continue
            try:
                context.run(callback)
            except Exception as exc:
                self._loop.call_exception_handler({"message": f"timer {callback!r} raised", "exception": exc})

"""`IdleContexts`: compression contexts of a connection that is idle are given back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from autobahn.asyncio.deadline import Clock
from autobahn.websocket.compress_base import Engine
from autobahn.websocket.frames import trim_memory

MANY = 64
"""Connections whose contexts were given back before the C library is asked to give the memory back, too."""
PAUSE = 5.0
"""Seconds between two such requests."""
SOON = 2.0
"""Seconds before the first: many connections become idle together."""

_of_thread = threading.local()


class IdleContexts:
    """Releases the contexts of `engines` after `seconds` without a message; there is a timer only while needed."""

    __slots__ = ("_engines", "_loop", "_seconds", "_timer", "_uses")

    def __init__(self, loop: Clock, engines: Sequence[Engine], seconds: float) -> None:
        self._loop = loop
        self._engines = engines
        self._seconds = seconds
        self._timer: Any = None
        self._uses = 0
        for engine in engines:
            engine.on_context = self._made

    def stop(self) -> None:
        """Nothing is released any more."""
        for engine in self._engines:
            engine.on_context = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _made(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        uses, self._uses = self._uses, sum(engine.uses for engine in self._engines)
        if self._uses != uses:
            self._made()
            return
        for engine in self._engines:
            engine.release()
        _released(self._loop)


def _released(clock: Clock) -> None:
    """Contexts lie between other blocks: without asking, glibc keeps what was freed there for good."""
    count = getattr(_of_thread, "count", 0) + 1
    if count >= MANY:
        count = 0
        now, due = clock.time(), getattr(_of_thread, "due", 0.0)
        if due <= now or due > now + 2 * PAUSE:  # the latter: the clock of another loop
            due = max(now + SOON, min(due + PAUSE, now + PAUSE))
            _of_thread.due = due
            clock.call_later(due - now, trim_memory)
    _of_thread.count = count

"""`IdleContexts`: compression contexts of a connection that is idle are given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobahn.asyncio.deadline import Clock
from autobahn.websocket.compress_base import Engine


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

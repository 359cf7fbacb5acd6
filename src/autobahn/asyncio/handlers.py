"""`Handlers`: runs the `async` message callbacks of one connection in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from autobahn.asyncio.transport import ErrorHook

GRACE = 10.0
"""Seconds that messages still waiting have to reach their handlers once the connection is gone."""

Call = Callable[[], Awaitable[Any] | None]


class Handlers:
    """A queue of calls and up to `limit` tasks that work it off; the calls start in the order of `add`.

    `lagging` is true, and `on_lag` called, from when `max_calls` calls or `max_size` octets wait until half of them do;
    then `on_caught_up` is called. There is a task only while there is work. An exception goes to `report(exc, where)`.
    """

    __slots__ = (
        "_end",
        "_limit",
        "_loop",
        "_max_calls",
        "_max_size",
        "_on_caught_up",
        "_on_lag",
        "_queue",
        "_report",
        "_size",
        "_timer",
        "_workers",
        "lagging",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        report: ErrorHook,
        *,
        limit: int,
        max_calls: int,
        max_size: int,
        on_lag: Callable[[], None],
        on_caught_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._report = report
        self._limit = limit
        self._max_calls = max_calls
        self._max_size = max_size
        self._on_lag = on_lag
        self._on_caught_up = on_caught_up
        self._queue: deque[tuple[Call | Awaitable[Any], str, int]] = deque()
        self._size = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._end: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lagging = False

    @property
    def waiting(self) -> int:
        """How many calls have not begun."""
        return len(self._queue)

    def add(self, call: Call | Awaitable[Any], where: str, size: int) -> None:
        """Calls `call` and awaits its result, or awaits it, when its turn comes. `size`: octets it keeps in memory."""
        self._queue.append((call, where, size))
        self._size += size
        if len(self._workers) < self._limit:
            task = self._loop.create_task(self._work())
            self._workers.add(task)
        elif not self.lagging and (len(self._queue) >= self._max_calls or self._size >= self._max_size):
            self.lagging = True
            self._on_lag()

    def finish(self, end: Callable[[], None]) -> None:
        """`end` is called once every call has begun, at the latest after `GRACE` seconds, when the rest is dropped."""
        if not self._queue:
            end()
            return
        self._end = end
        self._timer = self._loop.call_later(GRACE, self._give_up)

    def clear(self) -> None:
        """What waits is dropped; what runs goes on."""
        queue = self._queue
        while queue:
            call = queue.popleft()[0]
            if asyncio.iscoroutine(call):
                call.close()
        self._size = 0
        self._ended()

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._queue:
                await self._run_next(task)
        finally:
            self._workers.discard(task)  # here, not in a done callback: `add` must not count on a task that has ended

    async def _run_next(self, task: asyncio.Task[None]) -> None:
        queue = self._queue
        call, where, size = queue.popleft()
        self._size -= size
        if self.lagging and len(queue) * 2 <= self._max_calls and self._size * 2 <= self._max_size:
            self.lagging = False
            # Not in place: it feeds the reader, which is nothing for a task that runs callbacks.
            self._loop.call_soon(self._on_caught_up)
        if not queue and self._end is not None:
            self._loop.call_soon(self._ended)  # behind the first step of this call
        try:
            result = call() if callable(call) else call
            if result is not None:
                await result
        except asyncio.CancelledError:
            if task.cancelling():
                self.clear()
                raise
        except Exception as exc:
            self._report(exc, where)

    def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end, self._end = self._end, None
        if end is not None:
            end()

    def _give_up(self) -> None:
        self._report(
            TimeoutError(f"expected handlers to take all messages in {GRACE:g} s, dropped the rest"), "onMessage"
        )
        self.clear()

"""What keeps guessing slow and cheap for the router: limits on attempts, and on the work of key derivation."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.runtime import Runtime


class Attempts:
    """Counts failures by (host, authid): after ``free`` of them the next attempts must wait, ever longer.

    A principal cannot be locked out by others: only the host that failed has to wait. A host that tries many authids
    has to wait after ``free_per_host`` failures. At most ``size`` pairs are remembered, the latest.
    """

    def __init__(
        self,
        free: int = 5,
        first_wait: float = 1.0,
        longest_wait: float = 300.0,
        free_per_host: int = 200,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._free_per_host = free_per_host
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._size = size
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str | None], tuple[int, float]] = OrderedDict()  # count, not before

    def inherit(self, before: Attempts) -> None:
        """What ``before`` has counted counts on."""
        self._failures = before._failures

    def check(self, host: str, authid: str) -> None:
        """``ApplicationError`` while this host has to wait."""
        waits = (self._failures.get(key, (0, 0.0))[1] for key in ((host, authid), (host, None)))
        left = max(waits) - self._clock()
        if left > 0:
            raise ApplicationError(
                ApplicationError.AUTHENTICATION_FAILED,
                f"too many failed attempts: expected the next one in {left:.1f} seconds, got it now",
                retry_after=math.ceil(left),
            )

    def failed(self, host: str, authid: str) -> None:
        """One more attempt has failed."""
        self._count((host, authid), self._free)
        self._count((host, None), self._free_per_host)

    def _count(self, key: tuple[str, str | None], free: int) -> None:
        count, not_before = self._failures.pop(key, (0, 0.0))
        now = self._clock()
        if now - not_before > 2 * self._longest_wait and count:
            count = 0  # long ago
        count += 1
        wait = 0.0 if count < free else min(self._first_wait * 2.0 ** min(count - free, 30), self._longest_wait)
        self._failures[key] = (count, now + wait)
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)

    def succeeded(self, host: str, authid: str) -> None:
        """All is forgiven."""
        self._failures.pop((host, authid), None)


class KdfGate:
    """Runs key derivations beside the loop, ``workers`` at a time; beyond ``queue`` waiting ones it refuses.

    Who is refused is told when those who wait will have had their turn.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime | None],
        workers: int = 2,
        queue: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._workers = workers
        self._clock = clock
        self._lasts = 0.0  # seconds that the latest derivation took
        self._free = workers
        self._limit = queue
        self._waiting: deque[Any] = deque()

    async def run(self, fn: Callable[[], Any]) -> Any:
        """The result of ``fn``."""
        runtime = self._runtime()
        assert runtime is not None
        if self._free:
            self._free -= 1
        else:
            if len(self._waiting) >= self._limit:
                raise ApplicationError(
                    ApplicationError.AUTHENTICATION_FAILED,
                    "too many clients are being authenticated: try again later",
                    retry_after=max(1, math.ceil(self._lasts * len(self._waiting) / self._workers)),
                )
            turn = runtime.create_future()
            self._waiting.append(turn)
            try:
                await turn  # whoever finishes hands its place on
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.cancelled():
                    self._hand_on()
                raise
        begun = self._clock()
        try:
            return await runtime.run_blocking(fn)
        finally:
            self._lasts = self._clock() - begun
            self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

"""A loop in a thread of its own, for programs that have no loop: what `autobahn.sync` runs on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from autobahn.exception import Disconnected

T = TypeVar("T")

SLICE = 0.25 if sys.platform == "win32" else None
"""Seconds between looks at Ctrl-C where a lock cannot be interrupted."""
CLOSED = "expected an open connection, got one that is closed"


class LoopThread:
    """Runs coroutines for threads that wait for them. It ends with `stop`, and does not keep the process alive."""

    def __init__(self, name: str = "autobahn") -> None:
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._is_over = False
        self._last: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(ready,), name=name, daemon=True)
        self._thread.start()
        ready.wait()

    def _main(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        finally:
            with self._lock:
                self._is_over = True
            for future in tuple(self._waiting):
                _settle(future, error=Disconnected(CLOSED))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        ready.set()
        await self._stop.wait()

    @property
    def is_current(self) -> bool:
        """Whether this is the loop's thread."""
        return threading.current_thread() is self._thread

    def run(self, make: Callable[[], Awaitable[T]], timeout: float | None = None) -> T:
        """The result of what `make`, called in the loop, returns; the calling thread waits for it.

        Raises `TimeoutError` after `timeout` seconds; then, and on Ctrl-C, the work is cancelled. Raises `Disconnected`
        when the loop has ended, and `RuntimeError` in the loop's own thread.
        """
        if self.is_current:
            raise RuntimeError(
                "expected a call from another thread, got one from the loop, which would wait for itself"
            )
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []

        async def work() -> T:
            return await make()

        def start() -> None:
            tasks.append(self._loop.create_task(work(), name="autobahn sync"))
            tasks[0].add_done_callback(lambda task: _copy(task, future))

        with self._lock:
            if self._is_over:
                raise Disconnected(CLOSED)
            self._waiting.add(future)
            try:
                self._loop.call_soon_threadsafe(start)
            except RuntimeError:  # closed a moment ago
                self._waiting.discard(future)
                raise Disconnected(CLOSED) from None
        try:
            return _wait(future, timeout)
        except BaseException as exc:
            if future.done() and not isinstance(exc, KeyboardInterrupt):
                raise  # what the work raised
            self._cancel(tasks)
            if not isinstance(exc, TimeoutError):
                raise
            # The loop decides: what has come while we gave up is not lost.
            with contextlib.suppress(Disconnected):
                return future.result()
            raise TimeoutError(f"expected an answer within {timeout:g} seconds, got none") from None
        finally:
            self._waiting.discard(future)

    def _cancel(self, tasks: list[asyncio.Task[Any]]) -> None:
        def cancel() -> None:
            for task in tasks:
                task.cancel()

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(cancel)

    def stop(self) -> None:
        """The loop ends, and so does its thread; twice is once."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        if not self.is_current:
            self._thread.join()

    def finish(self, close: Callable[[], Awaitable[Any]]) -> None:
        """`close()` runs in the loop, then the loop ends. In the loop's own thread nobody waits for that."""
        if not self.is_current:
            try:
                with contextlib.suppress(Disconnected):
                    self.run(close)
            finally:
                self.stop()
            return

        async def work() -> None:
            try:
                with contextlib.suppress(Exception):  # there is nobody to be told
                    await close()
            finally:
                self._stop.set()

        self._last = self._loop.create_task(work(), name="autobahn sync")


def _wait(future: concurrent.futures.Future[T], timeout: float | None) -> T:
    if SLICE is None:
        return future.result(timeout)
    left = timeout
    while True:
        step = SLICE if left is None else min(SLICE, left)
        try:
            return future.result(step)
        except TimeoutError:
            left = None if left is None else left - step
            if future.done() or (left is not None and left <= 0):
                raise


def _copy(task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
    if task.cancelled():
        _settle(future, error=Disconnected("the connection was closed meanwhile"))
    elif (exc := task.exception()) is not None:
        _settle(future, error=exc)
    else:
        _settle(future, result=task.result())


def _settle(future: concurrent.futures.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

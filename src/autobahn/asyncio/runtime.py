"""The asyncio side of `autobahn.wamp.runtime.Runtime`: futures, tasks and timers of one loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from autobahn.asyncio.deadline import Deadline
from autobahn.asyncio.timers import timers_of
from autobahn.log import printable
from autobahn.wamp.exception import ApplicationError

log = logging.getLogger("autobahn.wamp")

_EAGER = sys.version_info >= (3, 12)


class CancellableFuture(asyncio.Future[Any]):
    """A future that says when its waiter gives up, without the cost of a done callback."""

    __slots__ = ("on_cancel", "subject")  # a dict for them would cost more than the rest

    on_cancel: Callable[[Any], None]
    subject: Any

    def cancel(self, msg: Any = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self.on_cancel(self.subject)
        return cancelled


class AsyncioRuntime:
    """Runs the coroutines of one session (or component) and remembers which tasks are its own."""

    __slots__ = ("_pool", "_starting", "_tasks", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop if loop is not None else asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starting = 0  # eager tasks that have not come to their first wait: they are not in the set yet
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def create_future(self, on_cancel: Callable[[Any], None] | None = None, subject: Any = None) -> asyncio.Future[Any]:
        """A pending future; ``on_cancel(subject)`` is called when its waiter cancels it."""
        if on_cancel is None:
            return self.loop.create_future()
        future = CancellableFuture(loop=self.loop)
        future.on_cancel = on_cancel
        future.subject = subject
        return future

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``coro`` as a task of ours; an error that escapes it is logged once."""
        if _EAGER and asyncio._get_running_loop() is self.loop:
            self._starting += 1
            try:
                task = asyncio.eager_task_factory(self.loop, coro, name=name)  # type: ignore[attr-defined,unused-ignore]
            finally:
                self._starting -= 1
        else:
            task = self.loop.create_task(coro, name=name)
        if task.done():
            self._finished(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return task  # type: ignore[no-any-return,unused-ignore]

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.report(f"While running {task.get_name()}", task.exception())

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Whether ``task``, the current one, was started here."""
        return task in self._tasks or self._starting > 0

    def gather(self, *awaitables: Awaitable[Any], return_exceptions: bool = False) -> asyncio.Future[list[Any]]:
        """A future of all results in order. Coroutines start before this returns, where tasks can (Python 3.12)."""
        if _EAGER and asyncio._get_running_loop() is self.loop:
            start = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
            awaitables = tuple(start(self.loop, one) if asyncio.iscoroutine(one) else one for one in awaitables)
        return asyncio.gather(*awaitables, return_exceptions=return_exceptions)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback`` in the next turn of the loop."""
        self.loop.call_soon(callback, *args)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """Call ``callback`` in ``delay`` seconds; the result has ``cancel()``."""
        return self.loop.call_later(delay, callback, *args)

    def call_within(self, delay: float, callback: Callable[[], Any]) -> Deadline:
        """The same for what a peer has to do in time: seconds in which the loop stood still do not count."""
        return Deadline(timers_of(self.loop), delay, callback)

    def call_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback`` in a turn of the loop; from any thread. RuntimeError when the loop is closed."""
        self.loop.call_soon_threadsafe(callback, *args)

    def run_in_pool(self, fn: Callable[[], Any], threads: int) -> asyncio.Future[Any]:
        """Run ``fn`` in a thread of our own pool of at most ``threads``; a future of its result.

        ``fn`` sees the context variables of the caller. Cancelling the future takes a function that has not begun off
        the queue; one that runs goes on, and nobody gets its result.
        """
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="autobahn-endpoint")
        return self.loop.run_in_executor(self._pool, contextvars.copy_context().run, fn)

    def close_pool(self) -> None:
        """Nothing waits for a thread any more; threads at work end with their function."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def run_blocking(self, fn: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``fn`` in a thread of the loop's executor; a future of its result."""
        return self.loop.run_in_executor(None, fn)

    def report(self, message: str, exc: BaseException | None = None, **context: Any) -> None:
        """Log an error of user code once, with its traceback and where it happened.

        An `ApplicationError` is an answer that the code meant to give: one line, without traceback.
        """
        where = ", ".join(f"{key}={value}" for key, value in context.items() if value is not None)
        where = f" ({where})" if where else ""
        if isinstance(exc, ApplicationError):
            log.warning("%s%s: %s", message, where, printable(exc.error_message()))
        else:
            log.error("%s%s", message, where, exc_info=exc)

    async def finish(self, grace: float = 0.0) -> None:
        """Give the tasks still running ``grace`` seconds, then cancel them and wait for their end."""
        current = asyncio.current_task()
        tasks = {task for task in self._tasks if task is not current}
        if tasks and grace:
            _, tasks = await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

"""What a session needs from the world around it: futures, tasks, time, a place for errors of user code.

The shell (``autobahn.asyncio``) gives every session one ``Runtime``; tests give a fake. WAMP code itself
knows no event loop (house plan 3.3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol


class TimerHandle(Protocol):
    """A timer that was started by ``Runtime.call_later``."""

    def cancel(self) -> None:
        """The timer does not fire any more. Calling it twice, or after it fired, does nothing."""


class Runtime(Protocol):
    """The services a session may use; all of them must be called from the thread that owns the session."""

    def create_future(self, on_cancel: Callable[[Any], None] | None = None, subject: Any = None) -> Any:
        """A pending future (``asyncio.Future`` in the asyncio shell); cancelled, it calls ``on_cancel(subject)``."""

    def gather(self, *awaitables: Any, return_exceptions: bool = False) -> Any:
        """A future of the list of all results, in order; exceptions stand in the list if asked for."""

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> Any:
        """``coro`` runs as a task that the runtime keeps alive; the task is returned."""

    def call_soon(self, fn: Callable[[], object]) -> Any:
        """``fn`` is called in the next turn of the loop."""

    def call_later(self, delay: float, fn: Callable[[], object]) -> TimerHandle:
        """``fn`` is called after ``delay`` seconds, unless the handle is cancelled."""

    def call_within(self, delay: float, fn: Callable[[], object]) -> TimerHandle:
        """The same for what a peer has to do in time: a runtime need not count what it did not run meanwhile itself."""

    def call_threadsafe(self, fn: Callable[[], object]) -> Any:
        """Like ``call_soon``, from any thread."""

    def run_in_pool(self, fn: Callable[[], Any], threads: int) -> Awaitable[Any]:
        """``fn`` runs in a thread of this runtime's own pool of at most ``threads``; an awaitable of its result."""

    def close_pool(self) -> None:
        """What waits for a thread is dropped; threads at work end with their function."""

    def run_blocking(self, fn: Callable[[], Any]) -> Awaitable[Any]:
        """``fn`` runs where the loop does not wait for it; an awaitable of its result."""

    def report(self, message: str, exc: BaseException | None = None, **context: Any) -> None:
        """An error of user code is logged once, with traceback and context."""

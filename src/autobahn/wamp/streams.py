"""Streams of values within one call: what waits to be taken, and the loop over progressive results.

Progressive call results and progressive call invocations have no flow control on the wire (WAMP), so whoever receives
keeps what was not taken yet, up to a bound; one more than that ends the call with `StreamOverflow`.
"""

from __future__ import annotations

import contextlib
import types
from collections import deque
from collections.abc import AsyncGenerator, Generator
from typing import Any

from autobahn.wamp.exception import ApplicationError, StreamOverflow
from autobahn.wamp.types import CallResult

__all__ = ("CallStream", "StreamOverflow")

STREAM_BUFFER = 4096
"""Chunks of one invocation that may wait for its endpoint."""


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Everybody else gets a turn of the loop: awaited by a task, which goes on afterwards."""
    yield


def unwrapped(args: Any, kwargs: dict[str, Any]) -> Any:
    """A payload as one value: None, the only argument, or a `CallResult`."""
    if kwargs or len(args) > 1:
        return CallResult.received(args, kwargs, {})
    return args[0] if args else None


def wrapped(value: Any) -> tuple[list[Any], dict[str, Any]]:
    """The payload of a value: what a `CallResult` holds, or one argument."""
    if isinstance(value, CallResult):
        return list(value.results), value.kwresults
    return [value], {}


class Inbox:
    """Values that have arrived, for one consumer: an async iterator that ends after `close`."""

    __slots__ = ("_items", "_limit", "_runtime", "_waiter", "is_closed")

    def __init__(self, runtime: Any, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._items: deque[Any] = deque()
        self._waiter: Any = None
        self.is_closed = False

    def put(self, item: Any) -> bool:
        """``item`` waits to be taken; False when it does not, because as many as may wait do so already."""
        if len(self._items) >= self._limit:
            return False
        self._items.append(item)
        self._wake()
        return True

    def close(self) -> None:
        """Nothing more comes; what waits can still be taken."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Any:
        while not self._items:
            if self.is_closed:
                raise StopAsyncIteration
            await self._wait()
        return self._items.popleft()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("expected one consumer of a stream, got a second that waits for the same value")
        waiter = self._waiter = self._runtime.create_future()
        try:
            await waiter  # for a wake-up, never for a value: cancelling it loses nothing
        finally:
            if self._waiter is waiter:
                self._waiter = None


class CallStream:
    """A call whose progressive results are looped over; what ``session.call_stream`` returns.

    Each value of the loop is one progressive result: None without payload, the value of a single argument, a
    `CallResult` else (or with ``CallOptions(details=True)``). The loop ends with the final result, which is in
    ``result`` then; an error of the call is raised in the loop, after the results that came before it.

    Leaving the loop early (``break``, ``return``, an exception, cancellation) cancels the call with the mode of its
    options, as soon as nobody holds the stream any more. With ``async with session.call_stream(...) as stream`` that
    happens at the end of the block; ``cancel()`` does it by hand.

    Callees differ in where their last piece goes. Our generators, and endpoints that call ``details.progress`` for all
    of it, leave nothing for the final result; others have it there. ``stream.chunks()`` is a loop that takes both.
    """

    def __init__(self, runtime: Any, inbox: Inbox, future: Any) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self._future = future
        future.add_done_callback(lambda _: inbox.close())  # knows the inbox only: a stream nobody holds can go

    @property
    def result(self) -> Any:
        """The final result. Raises the error of the call, or RuntimeError while the call has not ended."""
        if not self._future.done():
            raise RuntimeError("expected a stream that has ended, got one that goes on: loop over it first")
        if self._future.cancelled():
            raise ApplicationError(ApplicationError.CANCELED, "the call was cancelled here")
        return self._future.result()

    def cancel(self) -> None:
        """The call is over: the callee is told as the options say, and the loop ends."""
        self._future.cancel()

    async def aclose(self) -> None:
        """Like `cancel`; the name by which ``contextlib.aclosing`` and async generators know it."""
        self.cancel()

    def __aiter__(self) -> CallStream:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inbox.__anext__()
        except StopAsyncIteration:
            pass
        if not self._future.cancelled():
            self._future.result()  # raises the error of the call
        raise StopAsyncIteration

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """The progressive results, and then the final result as the last chunk, unless it is empty or None."""
        async for chunk in self:
            yield chunk
        if not self._future.cancelled() and not _is_empty(last := self.result):
            yield last

    async def __aenter__(self) -> CallStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if not self._future.done():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._runtime.call_threadsafe(self._future.cancel)


def _is_empty(result: Any) -> bool:
    """Whether a final result brings nothing: an endpoint that returns None sends no argument, or that one."""
    if isinstance(result, CallResult):
        return not result.kwresults and tuple(result.results) in ((), (None,))
    return result is None

"""`Reconnecting`: what `connect` returns, a `Managed` that can be opened again and again in a loop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from autobahn.asyncio.managed import Managed
from autobahn.asyncio.retry import Backoff, Retry, hinted_delay
from autobahn.exception import ConnectFailed, Disconnected, InvalidStatus
from autobahn.log import printable
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.refusal import is_refusal

T = TypeVar("T")
log = logging.getLogger("autobahn")

RETRY = Retry(initial_retry_delay=1.0, max_retry_delay=60.0)
LASTING = 30.0
"""Seconds after which what was opened counts as good: the next delay is a short one again."""


class Reconnecting(Managed[T]):
    """Open it with `await`, for the length of an `async with` block, or again and again with `async for`.

    ``parting(value)`` says how a value that was lost has ended, as `hinted_delay` wants it: (exception, close code).
    """

    __slots__ = ("_parting",)

    def __init__(
        self,
        open_: Callable[[], Coroutine[Any, Any, T]],
        close: Callable[[T, BaseException | None], Coroutine[Any, Any, None]],
        parting: Callable[[T], tuple[BaseException | None, int | None]],
    ) -> None:
        super().__init__(open_, close)
        self._parting = parting

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        """One after the other: the next one is opened when the body of the loop is done with the one before it.

        Each is closed at the end of the body. Delays grow to a minute, with full jitter, on top of what the server asks
        for. An error that the body lets out ends the loop; so does one of opening that would come again.
        """
        loop = asyncio.get_running_loop()
        rng = random.Random()  # noqa: S311 - jitter
        backoff = Backoff(RETRY, rng)
        while True:
            began = loop.time()
            try:
                value = await self._open()
            except (OSError, Disconnected, ApplicationError) as exc:
                if is_final(exc):
                    raise
                delay = backoff.next(hinted_delay(exc, None, rng)) or 0.0
                log.info("not connected (%s), again in %.1f s", printable(str(exc)), delay)
                await asyncio.sleep(delay)
                continue
            try:
                yield value
            except BaseException as exc:  # aclose(), after break
                await self._close(value, None if isinstance(exc, GeneratorExit) else exc)
                raise
            hint = hinted_delay(*self._parting(value), rng)
            await self._close(value, None)
            if loop.time() - began > LASTING:
                backoff.reset()
            await asyncio.sleep(backoff.next(hint) or 0.0)


def is_final(exc: BaseException) -> bool:
    """Whether opening again would end in the same way."""
    if isinstance(exc, InvalidStatus):
        return 400 <= exc.status < 500 and exc.status not in {408, 425, 429}
    if isinstance(exc, ConnectFailed):
        return exc.phase == "tls" and not isinstance(exc, TimeoutError)
    return is_refusal(exc)

"""The one coroutine that holds a component's session: attempts in turn, until one ends in order or all are given up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from autobahn.asyncio.attempt import Attempt, Client
from autobahn.asyncio.endpoints import TransportDescription
from autobahn.asyncio.retry import Backoff, hinted_delay
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.exception import ComponentFailed
from autobahn.wamp.refusal import is_refusal

LASTING = 5.0  # seconds a session must have been joined for its retries to start afresh


class Candidate:
    """A transport that may be tried, not before `due` (time of the loop)."""

    def __init__(self, description: TransportDescription, rng: random.Random) -> None:
        self.description = description
        self.backoff = Backoff(description.retry, rng)
        self.due = 0.0


class Supervisor:
    """`run` is the whole life of a component.

    Every attempt, however it ends, leads to exactly one of: the end in order; the stop that was asked for; the next
    attempt at a known time (`Candidate.due`); or its transport is given up, and with the last one `ComponentFailed`.
    """

    def __init__(
        self, client: Client, transports: Sequence[TransportDescription], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._client = client
        self._loop = loop
        self._rng = random.Random()  # noqa: S311 - jitter, seeded from the system; no global generator is touched
        self._candidates = [Candidate(description, self._rng) for description in transports]
        self._failures: dict[str, Exception] = {}
        self._runtimes: set[AsyncioRuntime] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self.stopping: asyncio.Future[None] = loop.create_future()
        self.attempt: Attempt | None = None

    def stop(self) -> None:
        """`run` comes to its end: GOODBYE, and no further attempt."""
        if not self.stopping.done():
            self.stopping.set_result(None)

    async def run(self) -> None:
        """Returns after an orderly end or `stop`. Raises `ComponentFailed` when no transport is left to try."""
        try:
            await self._grant(self._client.announce("start", None, self._loop, self._client))
            while not self.stopping.done():
                if not self._candidates:
                    raise ComponentFailed(list(self._failures.items()))
                candidate = min(self._candidates, key=lambda one: one.due)
                if not await self._wait_for(candidate):
                    return
                self.attempt = attempt = Attempt(self._client, candidate.description, self._loop, self.stopping)
                self._runtimes.add(attempt.runtime)
                in_order = await attempt.run()
                if in_order or self.stopping.done():
                    return
                self._end_later(attempt.runtime)
                await self._failed(candidate, attempt)
        finally:
            await self._settle()

    async def _wait_for(self, candidate: Candidate) -> bool:
        """It is due; False when the component is to stop."""
        delay = candidate.due - self._loop.time()
        if candidate.due and delay > 0:
            self._client.log.info("trying {url} again in {delay:.1f} s", url=candidate.description.url, delay=delay)
            await asyncio.wait({self.stopping}, timeout=delay)
        return not self.stopping.done()

    async def _failed(self, candidate: Candidate, attempt: Attempt) -> None:
        """The transport has its next time, or is given up."""
        failure, url = attempt.failure, candidate.description.url
        self._failures[url] = failure
        self._client.log.warn(
            "connection to {url} failed ({phase}): {kind}: {error}",
            url=url, phase=attempt.phase, kind=type(failure).__name__, error=failure,
        )  # fmt: skip
        await self._grant(self._client.announce("connectfailure", None, self._client, failure))
        self._candidates.remove(candidate)
        if not attempt.was_joined and is_refusal(failure):
            return  # the same credentials will not do better next time
        if self._client.is_fatal(failure):
            return
        if attempt.lasted >= LASTING:
            candidate.backoff.reset()
        delay = candidate.backoff.next(hinted_delay(failure, attempt.close_code, self._rng))
        if delay is not None:
            candidate.due = self._loop.time() + delay
            self._candidates.append(candidate)  # behind the others, when they are due at the same time

    async def _grant(self, listeners: Coroutine[Any, Any, Any]) -> None:
        """Listeners have run; once the component is to stop they get `close_timeout` for the rest."""
        task = self._loop.create_task(listeners, name="autobahn component listeners")
        try:
            await asyncio.wait({task, self.stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=self._client.close_timeout)
        finally:
            task.cancel()

    def _end_later(self, runtime: AsyncioRuntime) -> None:
        """What still runs for a session that is over gets `close_timeout` to end; the next attempt does not wait."""

        async def finish() -> None:
            await runtime.finish(self._client.close_timeout)
            self._runtimes.discard(runtime)

        task = self._loop.create_task(finish(), name="autobahn component end of session")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _settle(self) -> None:
        """No task of ours runs any more, and aborted sockets are closed."""
        grace = 0.0 if self.stopping.done() else self._client.close_timeout
        for task in self._endings:
            task.cancel()
        ends = [runtime.finish(grace) for runtime in self._runtimes]
        if ends:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace + 1.0):  # a task that ignores its cancellation is not waited for
                    await asyncio.gather(*ends)
        for _ in range(2):
            await asyncio.sleep(0)

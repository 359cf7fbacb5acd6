"""What a component declares stands again after every join, with identical options."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autobahn.log import Log
from autobahn.wamp.exception import ApplicationError

GHOST_TIMEOUT = 60.0
"""Seconds for which a procedure that somebody has already is asked for again: it may be a session of our own that the
router has not noticed is gone."""
GHOST_DELAYS = (0.1, 5.0)
"""The bound of the delays in between, at first and at last."""

log = Log("autobahn.component")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One call of ``session.register`` or ``session.subscribe`` (`kind`); `uri` is for the log."""

    kind: str
    uri: str
    args: tuple[Any, ...]


async def stand_up(
    session: Any, declarations: Sequence[Declaration], timeout: float, ghost_timeout: float = GHOST_TIMEOUT
) -> None:
    """The router has confirmed all of ``declarations``, which are sent in one go.

    ``timeout``: seconds the router has for its answers. Raises its `ApplicationError` for the first that it refuses,
    and `TimeoutError`. ``procedure_already_exists`` is a refusal only when it is still the answer after
    ``ghost_timeout`` seconds.
    """
    loop = asyncio.get_running_loop()
    patience = loop.time() + ghost_timeout
    rng = random.Random()  # noqa: S311 - jitter
    bound, last_bound = GHOST_DELAYS
    missing = list(declarations)
    while missing:
        async with asyncio.timeout(timeout):
            requests = [getattr(session, one.kind)(*one.args) for one in missing]
            outcomes = await asyncio.gather(*requests, return_exceptions=True)
        taken = []
        for one, outcome in zip(missing, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                continue
            if not _is_taken(outcome) or loop.time() >= patience:
                outcome.add_note(f"while asking for {one.kind} {one.uri}")
                raise outcome
            taken.append(one)
        missing = taken
        if taken:
            delay = rng.uniform(bound / 2, bound)
            uris = ", ".join(one.uri for one in taken[:3]) + (", ..." if len(taken) > 3 else "")
            log.warn("{n} procedures are taken ({uris}): again in {delay:.1f} s", n=len(taken), uris=uris, delay=delay)
            await asyncio.sleep(delay)
            bound = min(2 * bound, last_bound)


def _is_taken(outcome: BaseException) -> bool:
    return isinstance(outcome, ApplicationError) and outcome.error == ApplicationError.PROCEDURE_ALREADY_EXISTS

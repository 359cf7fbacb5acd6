"""When a lost or refused connection is tried again: growing delays with jitter, and what servers say about it."""

from __future__ import annotations

import dataclasses
import random
import time

from autobahn.exception import InvalidStatus
from autobahn.wamp.exception import ApplicationError

SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
HINTED: dict[int, tuple[float, float]] = {SERVICE_RESTART: (5.0, 30.0), TRY_AGAIN_LATER: (30.0, 60.0)}
"""Seconds to stay away after a WebSocket close code, from and to. 1012: as its registration at IANA asks for."""


@dataclasses.dataclass(slots=True)
class Retry:
    """When to try a transport again: the first attempt at once, later ones after a growing, jittered delay.

    Delays are drawn uniformly from zero to the current bound ("full jitter"), so that clients that lost one router
    do not come back together. With ``retry_delay_jitter`` given, they are normally distributed around the bound
    with that relative deviation instead. No delay is longer than ``max_retry_delay``, whatever a server asks for.
    """

    max_retries: int = -1
    initial_retry_delay: float = 1.5
    retry_delay_growth: float = 1.5
    retry_delay_jitter: float | None = None
    max_retry_delay: float = 300.0


class Backoff:
    """The delays of one transport, one after the other."""

    __slots__ = ("_bound", "_retry", "_rng", "retries")

    def __init__(self, retry: Retry, rng: random.Random) -> None:
        self._retry = retry
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """All retries are left, and the next delay is a short one."""
        self.retries = 0
        self._bound = min(self._retry.initial_retry_delay, self._retry.max_retry_delay)

    def next(self, hint: float = 0.0) -> float | None:
        """Seconds to wait before the next attempt; None when no retry is left.

        ``hint``: seconds a server wants us to stay away; the jitter comes on top of it.
        """
        retry = self._retry
        if 0 <= retry.max_retries <= self.retries:
            return None
        self.retries += 1
        bound = self._bound
        if retry.retry_delay_jitter is None:
            delay = self._rng.uniform(0.0, bound)
        else:
            delay = max(0.0, self._rng.gauss(bound, bound * retry.retry_delay_jitter))
        self._bound = min(bound * retry.retry_delay_growth, retry.max_retry_delay)
        return min(hint + delay, retry.max_retry_delay)


def hinted_delay(failure: BaseException | None, close_code: int | None, rng: random.Random) -> float:
    """Seconds the server wants us to stay away after ``failure``; 0 when it says nothing of that.

    ``Retry-After`` of an HTTP answer other than 101 (RFC 9110 section 10.2.3), ``retry_after`` in the details of ABORT
    or GOODBYE, or the code of its close frame.
    """
    if isinstance(failure, ApplicationError) and failure.retry_after is not None:
        return failure.retry_after
    if isinstance(failure, InvalidStatus):
        return retry_after(failure.headers.get("retry-after", ""), time.time())
    if close_code in HINTED:
        return rng.uniform(*HINTED[close_code])
    return 0.0


def retry_after(value: str, now: float) -> float:
    """Seconds that a ``Retry-After`` header asks for: a number of seconds, or an HTTP date; 0 when it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime  # heavy: only when asked

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0

"""`KeepAlive`: automatic pings, and the verdict that a peer is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class KeepAlive:
    """Pings every `interval` seconds; calls `on_dead` when the peer stays silent for `timeout` seconds after one.

    `timeout` 0: pings without a verdict. `any_traffic`: any octets of the peer count as its answer, else only the
    pong that carries the payload of the ping. `size`: octets of the payload, 12 to 125.
    """

    __slots__ = (
        "_any_traffic",
        "_heard",
        "_interval",
        "_loop",
        "_on_dead",
        "_payload",
        "_ping",
        "_sent_at",
        "_sequence",
        "_size",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ping: Callable[[bytes], None],
        on_dead: Callable[[], None],
        *,
        interval: float,
        timeout: float,
        size: int,
        any_traffic: bool,
    ) -> None:
        self._loop = loop
        self._ping = ping
        self._on_dead = on_dead
        self._interval = interval
        self._timeout = timeout
        self._size = size
        self._any_traffic = any_traffic
        self._sequence = 0
        self._payload: bytes | None = None
        self._sent_at = 0.0
        self._heard = False
        self._timer: asyncio.TimerHandle | None = loop.call_later(interval, self._send)

    def heard(self) -> None:
        """The peer sent something."""
        self._heard = True

    def pong(self, payload: bytes) -> tuple[float, int, float] | None:
        """When `payload` answers the ping: (time of the ping, its number, time of the pong), on the loop's clock."""
        if self._payload is None or payload != self._payload:
            return None
        self._payload = None
        self._schedule(self._interval, self._send)
        return self._sent_at, self._sequence, self._loop.time()

    def stop(self) -> None:
        """Nothing is called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, delay: float, callback: Callable[[], None]) -> None:
        self.stop()
        self._timer = self._loop.call_later(delay, callback)

    def _send(self) -> None:
        self._sequence += 1
        self._payload = self._sequence.to_bytes(4, "big") + os.urandom(self._size - 4)
        self._sent_at = self._loop.time()
        self._heard = False
        self._ping(self._payload)
        if self._timeout:
            self._schedule(self._timeout, self._judge)
        else:
            self._schedule(self._interval, self._send)

    def _judge(self) -> None:
        # After a stall of our own loop the timer may run before the octets that are waiting are read: look again.
        if self._loop.time() - self._sent_at > self._timeout + 0.05:
            self._sent_at = self._loop.time() - self._timeout
            self._schedule(0.01, self._judge)
        elif self._heard and self._any_traffic:
            self._payload = None
            self._schedule(self._interval, self._send)
        else:
            self._timer = None
            self._on_dead()

"""`KeepAlive`: automatic pings, and the verdict that a peer is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from autobahn.asyncio.deadline import Clock, Deadline
from autobahn.asyncio.timers import timers_of
from autobahn.websocket.options import Options


class KeepAlive:
    """Pings every `interval` seconds; calls `on_dead` when the peer stays silent for `timeout` seconds after one.

    Seconds in which our own loop stood still do not count (`Deadline`): what the peer sent meanwhile is not read yet.
    `timeout` 0: pings without a verdict. `any_traffic`: any octets of the peer count as its answer, else only the pong
    that carries the payload of the ping. `received` tells how many octets have come so far; who takes some that it does
    not know of calls `heard`. `size`: octets of the payload, 12 to 125. `is_excused`: asked before the verdict; true
    when the silence proves nothing, for another `timeout` seconds.
    """

    __slots__ = (
        "_any_traffic",
        "_had_received",
        "_interval",
        "_is_active",
        "_is_excused",
        "_loop",
        "_on_dead",
        "_payload",
        "_ping",
        "_received",
        "_sent_at",
        "_sequence",
        "_size",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        loop: Clock,
        ping: Callable[[bytes], None],
        on_dead: Callable[[], None],
        *,
        received: Callable[[], int],
        interval: float,
        timeout: float,
        size: int,
        any_traffic: bool,
        is_excused: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._ping = ping
        self._on_dead = on_dead
        self._interval = interval
        self._timeout = timeout
        self._size = size
        self._any_traffic = any_traffic
        self._is_excused = is_excused
        self._sequence = 0
        self._payload: bytes | None = None
        self._sent_at = 0.0
        self._received = received
        self._had_received = 0  # at the last ping
        self._is_active = False  # something else has come since then
        self._timer: Any = None

    def start(self, *, at_once: bool = False) -> None:
        """The first ping leaves after `interval`, or now."""
        if at_once:
            self._send()
        else:
            self._schedule(self._interval, self._send)

    def heard(self) -> None:
        """The peer sent something of which `received` does not know."""
        self._is_active = True

    def pong(self, payload: bytes) -> tuple[float, int, float] | None:
        """When `payload` answers the ping: (time of the ping, its number, time of the pong), on the loop's clock."""
        if self._payload is None or payload != self._payload:
            return None
        self.postpone()
        return self._sent_at, self._sequence, self._loop.time()

    def postpone(self) -> None:
        """There is no verdict on this ping; the next one leaves after `interval`."""
        self._payload = None
        self._schedule(self._interval, self._send)

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
        self._had_received = self._received()
        self._is_active = False
        if self._timeout:
            self._judge_later()
        else:
            self._schedule(self._interval, self._send)
        self._ping(self._payload)

    def _judge_later(self) -> None:
        self.stop()
        self._timer = Deadline(self._loop, self._timeout, self._judge)

    def _judge(self) -> None:
        if self._any_traffic and (self._is_active or self._received() != self._had_received):
            self.postpone()
        elif self._is_excused is not None and self._is_excused():
            self._judge_later()
        else:
            self._timer = None
            self._on_dead()


def websocket_keep_alive(
    options: Options,
    loop: asyncio.AbstractEventLoop,
    ping: Callable[[bytes], None],
    on_dead: Callable[[], None],
    received: Callable[[], int],
    is_excused: Callable[[], bool],
) -> KeepAlive:
    """The one of a WebSocket with these options."""
    return KeepAlive(
        timers_of(loop),
        ping,
        on_dead,
        received=received,
        interval=options.autoPingInterval,
        timeout=options.autoPingTimeout,
        size=options.autoPingSize,
        any_traffic=options.autoPingRestartOnAnyTraffic,
        is_excused=is_excused,
    )

"""One listening port for RawSocket and WebSocket clients, told apart by their first octet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from autobahn.asyncio.deadline import Deadline
from autobahn.asyncio.transport import peer_string
from autobahn.log import Log
from autobahn.rawsocket.handshake import MAGIC

__all__ = ("OnePort",)

log = Log("autobahn.router")


class OnePort:
    """A protocol factory for ``loop.create_server`` that leaves each connection to one of two others.

    The first octet 0x7F is RawSocket's (WAMP "RawSocket Transport"); everything else goes to ``websocket``, which
    answers HTTP errors to what is no WebSocket. A client that says nothing within ``timeout`` seconds is cut.
    """

    def __init__(
        self,
        websocket: Callable[[], asyncio.Protocol],
        rawsocket: Callable[[], asyncio.Protocol],
        timeout: float = 5.0,
    ) -> None:
        self.websocket = websocket
        self.rawsocket = rawsocket
        self.timeout = timeout

    def __call__(self) -> asyncio.Protocol:
        """A protocol that waits for the first octet."""
        return FirstOctet(self)


class FirstOctet(asyncio.Protocol):
    """Waits for the first octets, and hands them and the connection over to the protocol they belong to."""

    _transport: asyncio.Transport
    _timer: Deadline

    def __init__(self, port: OnePort) -> None:
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = Deadline(asyncio.get_running_loop(), self._port.timeout, self._overdue)

    def data_received(self, data: bytes) -> None:
        self._timer.cancel()
        protocol = self._port.rawsocket() if data[0] == MAGIC else self._port.websocket()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()

    def _overdue(self) -> None:
        log.info(
            "connection with {peer} failed: expected an octet within {timeout:g} seconds, got none",
            peer=peer_string(self._transport),
            timeout=self._port.timeout,
        )
        self._transport.abort()

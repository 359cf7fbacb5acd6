"""One listening port for RawSocket and WebSocket clients, told apart by their first octet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from autobahn.asyncio.admission import Gate, Refused, Visit
from autobahn.asyncio.deadline import Deadline
from autobahn.asyncio.timers import timers_of
from autobahn.asyncio.transport import peer_string, shared_read_buffer
from autobahn.log import Log
from autobahn.rawsocket.handshake import MAGIC, Refusal, refusal

__all__ = ("OnePort",)

LINGER = 1.0  # seconds for a client to read why it was refused
MAX_LINGERING = 4096  # beyond these, connections are cut without a word

log = Log("autobahn.router")


class OnePort:
    """A protocol factory for ``loop.create_server`` that leaves each connection to one of two others.

    The first octet 0x7F is RawSocket's (WAMP "RawSocket Transport"); everything else goes to ``websocket``, which
    answers HTTP errors to what is no WebSocket; where one of them is None, the other one gets everything. A client that
    says nothing within ``timeout`` seconds is cut. ``gate`` decides who comes in; whoever begins with one of ``exempt``
    does in any case (the probe of a supervisor that must not take a full house for a dead one). ``trusts_proxy``: the
    client's address is known only once its request is there. ``is_secure``: a TLS handshake comes before the first
    octet, and takes a place at the gate from its beginning.
    """

    def __init__(
        self,
        websocket: Callable[[], Any] | None,
        rawsocket: Callable[[], Any] | None,
        gate: Gate,
        *,
        timeout: float = 5.0,
        exempt: tuple[bytes, ...] = (),
        trusts_proxy: bool = False,
        is_secure: bool = False,
    ) -> None:
        self.websocket = websocket
        self.rawsocket = rawsocket
        self.gate = gate
        self.timeout = timeout
        self.exempt = exempt
        self.trusts_proxy = trusts_proxy
        self.lingering = 0
        self._first: type[FirstOctet | BehindTls] = BehindTls if is_secure else FirstOctet

    def __call__(self) -> asyncio.BaseProtocol:
        """A protocol that waits for the first octet."""
        return self._first(self)


class FirstOctet(asyncio.BufferedProtocol):
    """Waits for the first octets, and hands them and the connection over to the protocol they belong to."""

    transport: asyncio.Transport
    _buffer: memoryview
    _timer: Deadline
    _visit: Visit | None = None
    _is_answered = False

    def __init__(self, port: OnePort, *, is_reserved: bool = False, refused: Refused | None = None) -> None:
        self._port = port
        self._is_reserved = is_reserved
        self._refused = refused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._timer = Deadline(timers_of(asyncio.get_running_loop()), self._port.timeout, self._overdue)
        self._buffer = shared_read_buffer()
        try:
            if self._refused is not None:
                raise self._refused
            self._visit = self._port.gate.enter(self._host(), self, reserved=self._is_reserved)
        except Refused as exc:
            self._refused = exc.with_traceback(None)  # which would refer to us
            self._port.lingering += 1
            if self._port.lingering > MAX_LINGERING:
                self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._refused is not None and not data.startswith(self._port.exempt or b"\0"):
            self._answer(data)
            return
        self._timer.cancel()
        port = self._port
        make = port.rawsocket if (data[0] == MAGIC and port.rawsocket) or not port.websocket else port.websocket
        assert make is not None
        protocol = make()
        if self._visit is not None:
            protocol.visit = self._visit
            self._visit.protocol = protocol
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        traffic = getattr(protocol.factory, "traffic", None) if make is port.websocket else None
        if traffic is not None:
            traffic.received += len(data)  # its pump counts from the first frame on
        protocol.data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        if self._refused is not None:
            self._port.lingering -= 1
        if self._visit is not None:
            self._port.gate.left(self._visit)

    # ---- what the gate's visits offer ------------------------------------------------------------------------------

    is_for_pages = False
    waiting = 0

    def turn_away(self, reason: str) -> None:
        """The client, which has no session, is told to go."""
        self.transport.abort()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _host(self) -> str | None:
        address = self.transport.get_extra_info("peername")
        is_counted = isinstance(address, tuple) and not self._port.trusts_proxy
        return str(address[0]) if is_counted else None

    def _peer(self) -> str:
        return peer_string(self.transport)

    def _answer(self, data: bytes) -> None:
        """The client knows why it was refused, as soon as it has said what it speaks."""
        if self._is_answered:
            return
        self._is_answered = True
        assert self._refused is not None
        log.info(
            "connection with {peer} refused: {reason}", peer=self._peer(), reason=self._refused.reason,
            retry_after=self._refused.retry_after,
        )  # fmt: skip
        is_rawsocket = data[0] == MAGIC
        self.transport.write(refusal(Refusal.TOO_MANY_CONNECTIONS) if is_rawsocket else _http(self._refused))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # with unread octets a plain close would take the answer away with it
            self._timer.cancel()
            self._timer = Deadline(timers_of(asyncio.get_running_loop()), LINGER, self.transport.abort)
        else:
            self.transport.close()

    def _overdue(self) -> None:
        log.info(
            "connection with {peer} failed: expected an octet within {timeout:g} seconds, got none",
            peer=self._peer(),
            timeout=self._port.timeout,
        )
        self.transport.abort()


class BehindTls(asyncio.Protocol):
    """Stands for a `FirstOctet` during the TLS handshake, which counts among those on their way to their session.

    Event loops make the protocol when they accept, and call it when that handshake is done. Of one that failed they say
    nothing, so the place is given back when nobody needs the protocol any more.
    """

    _has_place = False

    def __init__(self, port: OnePort) -> None:
        self._port = port
        self._refused: Refused | None = None
        try:
            port.gate.reserve()
        except Refused as exc:
            self._refused = exc.with_traceback(None)
        else:
            self._has_place = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = FirstOctet(self._port, is_reserved=self._has_place, refused=self._refused)
        self._has_place = False
        cast(asyncio.Transport, transport).set_protocol(first)
        first.connection_made(transport)

    def __del__(self) -> None:
        if self._has_place:
            self._port.gate.release()


def _http(refused: Refused) -> bytes:
    phrase = {429: "Too Many Requests", 503: "Service Unavailable"}[refused.status]
    retry = f"Retry-After: {refused.retry_after}\r\n" if refused.retry_after else ""
    body = f"{refused.reason}\n"
    return (
        f"HTTP/1.1 {refused.status} {phrase}\r\n{retry}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()

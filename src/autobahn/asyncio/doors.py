"""The router's end of each connection: what it adds to the WAMP transports is admission and counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.asyncio.admission import Gate, Refused, Visit
from autobahn.asyncio.factory import WebSocketServerFactory
from autobahn.asyncio.protocol import WebSocketServerProtocol
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory, WampRawSocketServerProtocol
from autobahn.asyncio.wampws import WampWebSocketServerFactory, WampWebSocketServerProtocol
from autobahn.websocket.plain import HttpRequest, HttpResponse
from autobahn.websocket.types import ConnectionDeny

__all__ = ("PageFactory", "RawSocketDoor", "Traffic", "WebSocketDoor")


class Traffic:
    """Octets that went through one listener, without those that its open connections have counted themselves."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0


class RouterProtocol(WampWebSocketServerProtocol):
    """A client's WebSocket; only the router's own path is served."""

    is_for_pages = False
    visit: Visit | None = None

    def onConnect(self, request: Any) -> Any:
        factory = self.factory
        if request.path != factory.router_path:
            raise ConnectionDeny(
                ConnectionDeny.NOT_FOUND, f"expected the path {factory.router_path}, got {request.path}"
            )
        if self.visit is not None and factory.options.trustXForwardedFor:
            try:
                factory.gate.readdress(self.visit, self.peer)
            except Refused as exc:
                raise ConnectionDeny(exc.status, exc.reason) from exc
        return super().onConnect(request)

    def onOpen(self) -> None:
        connection = self._ws_connection
        assert connection is not None
        connection.limit_messages(self.factory.max_hello_size)
        super().onOpen()

    def welcomed(self) -> None:
        """The client has its session, and may send longer messages."""
        if self._ws_connection is not None:
            self._ws_connection.limit_messages(self.factory.options.maxMessagePayloadSize)

    def turn_away(self, reason: str) -> None:
        """A client that has no session is told to go."""
        self.failHandshake(reason, 503, {"Retry-After": "1"})  # an open connection has its session's ABORT

    @property
    def waiting(self) -> int:
        """Octets that the client has not taken yet."""
        return self._ws_outbox.waiting

    @property
    def sent(self) -> int:
        """Octets sent so far."""
        return self._ws_outbox.sent

    @property
    def received(self) -> int:
        """Octets received so far, as far as they are not in the books of the listener."""
        return 0 if self._ws_pump is None else int(self._ws_pump.received)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        _leave(self)


class WebSocketDoor(WampWebSocketServerFactory):
    """Makes `RouterProtocol`; ``router_path`` is the one path served, ``max_hello_size`` as in `ListenerSettings`."""

    protocol = RouterProtocol
    router_path = "/ws"
    max_hello_size = 64 * 1024
    gate: Gate
    traffic: Traffic


class RouterRawSocketProtocol(WampRawSocketServerProtocol):
    """A client's RawSocket."""

    is_for_pages = False
    visit: Visit | None = None

    def welcomed(self) -> None:
        """The client has its session; the limit of its messages follows by itself."""

    def turn_away(self, reason: str) -> None:
        """A client that has no session is told to go."""
        if self._link is None:
            self.protocol_error(reason)

    @property
    def waiting(self) -> int:
        """Octets that the client has not taken yet."""
        return self._outbox.waiting

    @property
    def sent(self) -> int:
        """Octets sent so far."""
        return self._outbox.sent

    @property
    def received(self) -> int:
        """Octets received so far, as far as they are not in the books of the listener."""
        return 0 if self._pump is None else int(self._pump.received)

    def _before_reading(self, size: int) -> None:
        self.factory.traffic.received += size
        super()._before_reading(size)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        _leave(self)


class RawSocketDoor(WampRawSocketServerFactory):
    """Makes `RouterRawSocketProtocol`."""

    protocol = RouterRawSocketProtocol
    gate: Gate
    traffic: Traffic


def _leave(protocol: RouterProtocol | RouterRawSocketProtocol) -> None:
    """The connection is gone: its octets are in the books of the listener, and its place is free."""
    if protocol.visit is not None:
        protocol.factory.traffic.sent += protocol.sent
        protocol.factory.traffic.received += protocol.received
        protocol.factory.gate.left(protocol.visit)


class PageProtocol(WebSocketServerProtocol):
    """A connection on which only pages are asked for."""

    is_for_pages = True
    visit: Visit | None = None
    waiting = sent = received = 0

    def turn_away(self, reason: str) -> None:
        """Supervisors are answered until the end."""

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.visit is not None:
            self.factory.gate.left(self.visit)


class PageFactory(WebSocketServerFactory):
    """Makes `PageProtocol`: no WebSocket is served, ``page`` answers or it is 404."""

    protocol = PageProtocol

    def __init__(self, page: Callable[[HttpRequest], HttpResponse | None], gate: Gate) -> None:
        super().__init__()
        self.gate = gate
        self.processRequest = lambda request: page(request) or HttpResponse(404, "there is no such page\n")
        self.setProtocolOptions(webStatus=False)

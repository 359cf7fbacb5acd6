"""WAMP over WebSocket for asyncio (WAMP "WebSocket Transport")."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from autobahn.asyncio.factory import WebSocketClientFactory, WebSocketServerFactory
from autobahn.asyncio.link import WampLink, channel_ids, peer_certificate
from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol
from autobahn.asyncio.routerlink import RouterLink
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.message import Message
from autobahn.wamp.serializer import default_serializers
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.cookies import received_cookie, set_cookie
from autobahn.websocket.options import ServerOptions
from autobahn.websocket.types import ConnectionAccept, ConnectionDeny

__all__ = (
    "WampWebSocketClientFactory",
    "WampWebSocketClientProtocol",
    "WampWebSocketServerFactory",
    "WampWebSocketServerProtocol",
)


def _link_of(protocol: Any) -> WampLink:
    link: WampLink | None = protocol._link
    if link is None:
        raise TransportLost("expected an open transport, got one that is not open")
    return link


# -- what the protocols of both roles are, in place of a common base ---------------------------------------------


def _on_open(self: Any) -> None:
    self._link = open_link(self)
    if type(self).onMessage is _on_message and "onMessage" not in self.__dict__:  # as nearly always: go there at once
        self.onMessage = self._link.receiver()


def _on_message(self: Any, payload: bytes, isBinary: bool) -> None:
    if self._link is not None:
        self._link.receive(payload, isBinary)


def _on_close(self: Any, wasClean: bool, code: int | None, reason: str | None) -> None:
    link, self._link = self._link, None  # or the two would keep each other until the garbage collector comes
    if link is not None:
        self.__dict__.pop("onMessage", None)
        link.closed(wasClean)


def _send(self: Any, msg: Message) -> None:
    """Sends a WAMP message. Raises `TransportLost`, `SerializationError`, `PayloadExceededError`."""
    _link_of(self).send(msg)


def _is_open(self: Any) -> bool:
    """Whether WAMP messages can be sent."""
    return self._link is not None and bool(self._link.isOpen())


def _close(self: Any) -> None:
    """Closes in order (1000). Raises `TransportLost` when there is no session."""
    _link_of(self).close()


def _abort(self: Any) -> None:
    """Closes at once. Raises `TransportLost` when there is no session."""
    _link_of(self).abort()


# -- the protocols ----------------------------------------------------------------------------------------------


class WampWebSocketServerProtocol(WebSocketServerProtocol):
    """A WebSocket connection that carries WAMP; the server's side."""

    STRICT_PROTOCOL_NEGOTIATION = True
    """Whether a client must offer a WAMP subprotocol; otherwise ``wamp.2.json`` is assumed."""

    _link: WampLink | None = None
    _serializer: Any = None
    _cookie: str | None = None

    def onConnect(self, request: Any) -> Any:
        """Choose the first subprotocol of the client that is served here; HTTP 400 when there is none."""
        known = self.factory._serializers
        for name in request.protocols:
            if name in known:
                self._serializer = known[name]
                return ConnectionAccept(name, self._tracking(request))
        if not self.STRICT_PROTOCOL_NEGOTIATION and "wamp.2.json" in known:
            self._serializer = known["wamp.2.json"]
            return ConnectionAccept(None, self._tracking(request))
        offered = ", ".join(request.protocols) or "none"
        raise ConnectionDeny(
            ConnectionDeny.BAD_REQUEST,
            f"This server only speaks WebSocket subprotocols {', '.join(known)}; offered: {offered}",
        )

    def pause_writing(self) -> None:
        """The peer does not read; a router's session holds events back."""
        super().pause_writing()
        if self._link is not None:
            self._link.paused()

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        if self._link is not None:
            self._link.resumed()

    def _tracking(self, request: Any) -> dict[str, str] | None:
        """The client is known by its cookie; headers that give it one when it has none."""
        cookies = self.factory.cookies
        if cookies is None:
            return None
        self._cookie = received_cookie(request.headers, cookies.name)
        if cookies.is_one(self._cookie):
            return None
        self._cookie = value = cookies.issue()
        secure = self.transport is not None and self.transport.get_extra_info("ssl_object") is not None
        return {"Set-Cookie": set_cookie(cookies.name, value, max_age=cookies.max_age, secure=secure)}

    onOpen = _on_open
    onMessage = _on_message
    onClose = _on_close
    send = _send
    isOpen = _is_open
    close = _close
    abort = _abort


class WampWebSocketClientProtocol(WebSocketClientProtocol):
    """A WebSocket connection that carries WAMP; the client's side."""

    _link: WampLink | None = None
    _serializer: Any = None
    _cookie = None

    def onConnect(self, response: Any) -> None:
        """Take the serializer the server chose; the connection fails when it chose none that was offered."""
        known = self.factory._serializers
        name = response.protocol
        if name not in known:
            raise ConnectionDeny(400, f"expected the server to choose one of {', '.join(known)}, got {name}")
        self._serializer = known[name]

    onOpen = _on_open
    onMessage = _on_message
    onClose = _on_close
    send = _send
    isOpen = _is_open
    close = _close
    abort = _abort


class WampWebSocketServerFactory(WebSocketServerFactory):
    """Makes WAMP-over-WebSocket server protocols.

    ``factory`` is called without arguments for the session of each connection: a router's ``new_session``, or
    anything that returns a session object. A session object itself may be given for a single connection.
    ``serializers``: the serializers to speak (default: all), in order of preference. ``cookies``: a router's
    `autobahn.router.auth.Cookies`, by which it knows clients again; None sets no cookies.
    """

    protocol = WampWebSocketServerProtocol
    cookies: Any = None

    def resetProtocolOptions(self) -> None:
        """All options have their default values; a client that does not read what it is sent is dropped."""
        self.options = ServerOptions(sendPolicy="close")

    def __init__(self, factory: Any, *args: Any, serializers: Iterable[Any] | None = None, **kwargs: Any) -> None:
        self._factory = factory
        self._serializers = subprotocols(serializers)
        kwargs.setdefault("protocols", list(self._serializers))
        super().__init__(*args, **kwargs)


class WampWebSocketClientFactory(WebSocketClientFactory):
    """Makes WAMP-over-WebSocket client protocols; ``factory`` and ``serializers`` as for the server."""

    protocol = WampWebSocketClientProtocol

    def __init__(self, factory: Any, *args: Any, serializers: Iterable[Any] | None = None, **kwargs: Any) -> None:
        self._factory = factory
        self._serializers = subprotocols(serializers)
        kwargs.setdefault("protocols", list(self._serializers))
        super().__init__(*args, **kwargs)


def subprotocols(serializers: Iterable[Any] | None) -> dict[str, Any]:
    """Serializer by WebSocket subprotocol, in order of preference."""
    chosen = default_serializers() if serializers is None else list(serializers)
    return {f"wamp.2.{serializer.SERIALIZER_ID}": serializer for serializer in chosen}


def open_link(protocol: Any) -> WampLink:
    """A link between ``protocol`` and the session its factory makes, open."""
    make = protocol.factory._factory
    is_session = hasattr(make, "onMessage") and not inspect.isclass(make)
    session, serializer = make if is_session else make(), protocol._serializer
    channel = WebSocketChannel(protocol, serializer)
    limit = protocol._ws_connection.options.maxMessagePayloadSize
    is_router = protocol.is_server and getattr(session, "raw_payload", False)
    link = (
        RouterLink(channel, session, serializer, limit)
        if is_router and limit
        else WampLink(channel, session, serializer)
    )
    link.open()
    return link


class WebSocketChannel:
    """What a `WampLink` needs of an open WebSocket connection."""

    __slots__ = ("_serializer", "channel_send", "protocol")

    def __init__(self, protocol: Any, serializer: Any) -> None:
        self.protocol = protocol
        self._serializer = serializer
        self.channel_send = protocol._ws_connection.send_message  # raises Disconnected once the connection ends

    @property
    def is_closed(self) -> Any:
        return self.protocol.is_closed

    @property
    def peer(self) -> Any:
        return self.protocol.peer

    async def drain(self) -> None:
        await self.protocol.drain()

    def channel_open(self) -> bool:
        return bool(self.protocol.state == self.protocol.STATE_OPEN)

    def channel_close(self, code: int, reason: str | None) -> None:
        """Close in order with 1000 or 1013, at once with 1001, or fail the connection with another code."""
        protocol = self.protocol
        if code == 1000:
            if protocol.state in (protocol.STATE_OPEN, protocol.STATE_CLOSING):
                protocol.sendClose(1000, reason)
        elif code == 1013:
            protocol.sendCloseFrame(code)
        elif code == 1001:
            protocol.dropConnection(abort=True)
        else:
            protocol.failConnection(code, reason or "")

    def channel_details(self) -> TransportDetails:
        """What is known of the connection under a WAMP transport."""
        protocol = self.protocol
        transport = protocol.transport
        secure = transport is not None and transport.get_extra_info("ssl_object") is not None
        return TransportDetails(
            channel_type=TransportDetails.CHANNEL_TYPE_TLS if secure else TransportDetails.CHANNEL_TYPE_TCP,
            channel_framing=TransportDetails.CHANNEL_FRAMING_WEBSOCKET,
            peer=protocol.peer,
            is_server=protocol.is_server,
            is_secure=secure,
            channel_id=channel_ids(transport),
            peer_cert=peer_certificate(transport),
            http_headers_received=getattr(protocol, "http_headers", None),
            http_cbtid=protocol._cookie,
            websocket_protocol=f"wamp.2.{self._serializer.SERIALIZER_ID}",
        )

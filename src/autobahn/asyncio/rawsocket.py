"""WAMP over RawSocket for asyncio (WAMP "RawSocket Transport")."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, cast

from autobahn._names import named_options
from autobahn.asyncio.rawsocket_protocol import Options, WampRawSocketProtocol
from autobahn.log import Log
from autobahn.rawsocket.connection import ClientConnection, Connection, ServerConnection
from autobahn.wamp.serializer import CBORSerializer, create_transport_serializers

__all__ = (
    "WampRawSocketClientFactory",
    "WampRawSocketClientProtocol",
    "WampRawSocketServerFactory",
    "WampRawSocketServerProtocol",
)

STRANGER_LENGTH = 1 << 16  # the longest message a server accepts from a client that has no session yet


class WampRawSocketServerProtocol(WampRawSocketProtocol):
    """A RawSocket connection that carries WAMP; the server's side.

    A client without session (`_session_id` of the session object is None) may send `STRANGER_LENGTH` octets a message.
    """

    is_server: ClassVar[bool] = True
    _is_stranger = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands; the client has to begin."""
        self.factory.countConnections += 1
        super().connection_made(transport)
        self._rs.reader.limit = min(STRANGER_LENGTH, self.max_length)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; the session hears of it."""
        if self.transport is not None:
            self.factory.countConnections -= 1
        super().connection_lost(exc)

    def _before_reading(self, size: int) -> None:
        if self._is_stranger and self._link is not None and self._has_session(self._link.session):
            self._is_stranger = False
            self._rs.reader.limit = self.max_length
            self._start_pump()

    def supports_serializer(self, ser_id: int) -> bool:
        """Whether the server speaks the serializer with this RawSocket number."""
        return ser_id in self.factory.serializers

    @staticmethod
    def _has_session(session: Any) -> bool:
        return session is not None and getattr(session, "_session_id", 0) is not None

    def _new_connection(self) -> Connection:
        options = self._options
        return ServerConnection(
            self,
            self._outbox.wake,
            self.max_length,
            serializers=self.factory.serializers,
            min_length=options.minMessagePayloadSize,
            is_full=0 < options.maxConnections < self.factory.countConnections,
        )


class WampRawSocketClientProtocol(WampRawSocketProtocol):
    """A RawSocket connection that carries WAMP; the client's side."""

    is_server: ClassVar[bool] = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands; the server is asked."""
        super().connection_made(transport)
        cast(ClientConnection, self._rs).start()

    def connection_opened(self) -> None:
        """The handshake is done."""
        super().connection_opened()
        self._start_pump()

    def _new_connection(self) -> Connection:
        (serializer,) = self.factory.serializers
        return ClientConnection(self, self._outbox.wake, self.max_length, serializer=serializer)


class WampRawSocketFactory:
    """What both factories share; asyncio calls one for every connection.

    ``factory`` is called without arguments for the session of each connection: a router's ``new_session``, or
    anything that returns a session object. A session object itself may be given for a single connection.
    """

    log: ClassVar[Log] = Log("autobahn.rawsocket")
    protocol: type[WampRawSocketProtocol]

    def __init__(self, factory: Any, serializers: Iterable[Any]) -> None:
        self._factory = factory
        self.serializers: dict[int, Any] = {}  # by RawSocket number
        for serializer in serializers:
            if getattr(serializer, "batched", False) or not serializer.RAWSOCKET_SERIALIZER_ID:
                raise ValueError(f"expected a serializer without batching, got {serializer.SERIALIZER_ID}")
            self.serializers[serializer.RAWSOCKET_SERIALIZER_ID] = serializer
        self.countConnections = 0
        self.resetProtocolOptions()

    def __call__(self) -> WampRawSocketProtocol:
        """A new protocol that knows this factory."""
        protocol = self.protocol()
        protocol.factory = self
        return protocol

    def resetProtocolOptions(self) -> None:
        """All options have their default values."""
        self.options = Options()

    @named_options
    def setProtocolOptions(
        self,
        maxMessagePayloadSize: int | None = None,
        *,
        minMessagePayloadSize: int | None = None,
        openHandshakeTimeout: float | None = None,
        closeHandshakeTimeout: float | None = None,
        autoPingInterval: float | None = None,
        autoPingTimeout: float | None = None,
        maxConnections: int | None = None,
    ) -> None:
        """Options of connections made from now on; those not named stay as they are (see `Options`)."""
        changes = {name: value for name, value in locals().items() if name != "self"}
        self.options = self.options.updated(changes)


class WampRawSocketServerFactory(WampRawSocketFactory):
    """Makes WAMP-over-RawSocket server protocols. ``serializers``: the serializers to speak (default: all)."""

    protocol = WampRawSocketServerProtocol

    @named_options
    def __init__(self, factory: Any, serializers: Iterable[Any] | None = None) -> None:
        if serializers is None:
            serializers = create_transport_serializers(("cbor", "msgpack", "json"))
        super().__init__(factory, serializers)
        if not self.serializers:
            raise ValueError("expected at least one serializer, got none")


class WampRawSocketClientFactory(WampRawSocketFactory):
    """Makes WAMP-over-RawSocket client protocols. ``serializer``: the one to speak (default: CBOR)."""

    protocol = WampRawSocketClientProtocol

    @named_options
    def __init__(self, factory: Any, serializer: Any = None) -> None:
        super().__init__(factory, [CBORSerializer() if serializer is None else serializer])

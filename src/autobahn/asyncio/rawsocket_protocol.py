"""What both roles of WAMP over RawSocket share on asyncio: options, the protocol, flow control."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
from abc import abstractmethod
from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, cast

from autobahn.asyncio.direct import plain_socket, read_directly
from autobahn.asyncio.keepalive import KeepAlive
from autobahn.asyncio.link import WampLink, channel_ids, peer_certificate
from autobahn.asyncio.routerlink import RouterLink
from autobahn.asyncio.transport import Outbox, peer_string, shared_read_buffer
from autobahn.exception import Disconnected
from autobahn.log import Log
from autobahn.rawsocket.connection import Connection, State
from autobahn.rawsocket.errors import RawSocketError
from autobahn.rawsocket.frames import Writer, new_pump
from autobahn.rawsocket.handshake import MAX_LENGTH, announced_length
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.message import Message
from autobahn.wamp.types import TransportDetails

MAX_WAITING = 1 << 26  # octets that may wait for a peer that does not read; then the connection fails
BACKLOG = 1 << 20  # octets of ours the peer has not read; beyond it its pings wait until it reads

_RECEIVING = frozenset({"get_buffer", "buffer_updated", "data_received"})
_receiving = attrgetter(*_RECEIVING)


def _refuse(data: bytes) -> None:
    """Stands for the long way of a message when the connection is gone."""
    raise TransportLost("expected an open transport, got one that is closed")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Options of both roles; `maxConnections` and `minMessagePayloadSize` matter to a server only.

    `maxMessagePayloadSize`: 512 to 2^24, rounded up to a power of two. `minMessagePayloadSize`: a client that accepts
    only shorter messages is refused. `autoPingInterval`, `autoPingTimeout`, `maxConnections` 0: none.
    """

    maxMessagePayloadSize: int = MAX_LENGTH
    minMessagePayloadSize: int = 512
    openHandshakeTimeout: float = 5.0
    closeHandshakeTimeout: float = 1.0
    autoPingInterval: float = 0.0
    autoPingTimeout: float = 0.0
    maxConnections: int = 0

    def updated(self, changes: dict[str, Any]) -> Options:
        """With those of `changes` that are not None. Raises `AssertionError` for values out of range."""
        changes = {name: value for name, value in changes.items() if value is not None}
        for name, value in changes.items():
            if name in {"maxMessagePayloadSize", "minMessagePayloadSize"}:
                if isinstance(value, bool) or not isinstance(value, int) or not 512 <= value <= MAX_LENGTH:
                    raise AssertionError(f"expected {name} from 512 to {MAX_LENGTH}, got {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise AssertionError(f"expected {name} as a number from 0, got {value!r}")
        return dataclasses.replace(self, **changes)


class WampRawSocketProtocol(asyncio.BufferedProtocol):
    """What both roles share. `peer`: who is at the other end; `max_length_send`: the longest message it accepts."""

    log: ClassVar[Log] = Log("autobahn.rawsocket")
    is_server: ClassVar[bool]

    factory: Any = None
    transport: asyncio.Transport | None = None
    peer: str | None = None
    max_length = MAX_LENGTH
    max_length_send = MAX_LENGTH
    wasNotCleanReason: str | None = None
    closedByMe = False

    _loop: asyncio.AbstractEventLoop
    _outbox: Outbox
    _rs: Connection
    _writer: Writer
    _buffer: memoryview
    _receive: Callable[[bytes], None]
    channel_send: Callable[
        [bytes, bool], None
    ]  # for the link: `_writer.message`, which takes the long way when it must
    _options: Options
    _link: WampLink | None = None
    _serializer: Any = None
    _keep_alive: KeepAlive | None = None
    _pump: Any = None
    _open_future: asyncio.Future[None] | None = None
    _closed_future: asyncio.Future[Any] | None = None
    _state = State.CONNECTING
    _write_paused = False
    _read_paused = False

    def __init__(self) -> None:
        self._pings: dict[bytes, tuple[float, asyncio.Future[float]]] = {}

    # ---- what asyncio calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands; the handshake begins."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._options = self.factory.options
        self.peer = peer_string(transport)
        self.max_length = announced_length(self._options.maxMessagePayloadSize)
        self._outbox = Outbox(self._loop, transport)
        self._rs = self._new_connection()
        self._outbox.buffer = self._writer = self._rs.writer
        self._writer.long_way, self._writer.limit = self._send_when_possible, -1
        self._receive = self._rs.receive
        self._buffer = shared_read_buffer()
        self.channel_send = self._writer.message
        self._outbox.set_timeout(self._options.openHandshakeTimeout, self._handshake_overdue)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it receives."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The transport has put ``nbytes`` octets there."""
        self.data_received(self._buffer[:nbytes].tobytes())  # a copy of them all is cheaper than one of each message

    def data_received(self, data: bytes) -> None:
        """Take octets of the peer. All that is written meanwhile leaves in one write."""
        self._before_reading(len(data))
        writer = self._writer
        writer.corked = True
        try:
            self._receive(data)
        except Exception as exc:
            self._receiving_failed(exc)
        finally:
            writer.corked = False
        if writer.size:
            self._outbox.flush()
        if self._keep_alive is not None:
            self._keep_alive.heard()

    def pause_writing(self) -> None:
        """The peer does not read what we send."""
        self._write_paused = True
        self._writer.limit = -1  # every message takes the long way
        self._outbox.pause()
        if self._link is not None:
            self._link.paused()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._write_paused = False
        if self._state is State.OPEN:
            self._writer.limit = self.max_length_send
        self._outbox.resume()
        self._resume_reading()
        if self._link is not None:
            self._link.resumed()

    async def drain(self) -> None:
        """Returns when the peer has taken enough of what was sent. Raises `TransportLost` when the connection ends."""
        if self._state is not State.OPEN:
            raise TransportLost("expected an open transport, got one that is closed or closing")
        await self._outbox.drain()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; the session hears of it."""
        if self.transport is None:
            return
        self.transport = None
        if self._state is State.CONNECTING or (
            self._state is State.OPEN and not (exc is None and self._rs.reader.is_idle)
        ):  # the peer ends it in order only between two frames
            self.wasNotCleanReason = str(exc) if exc is not None else "the peer closed the connection"
        self._stop()
        if self._pump is not None:
            self._pump.stop()
        self._outbox.set_timeout(0, None)
        self._outbox.lost(lambda: TransportLost(self.wasNotCleanReason or "the connection was closed"))
        for _, future in self._pings.values():
            future.set_exception(TransportLost("expected a pong, but the connection was closed"))
            future.exception()  # whoever awaits it gets it; nobody has to
        self._pings.clear()
        if self._open_future is not None and not self._open_future.done():
            self._open_future.set_exception(Disconnected(self.wasNotCleanReason or "closed before it was open"))
            self._open_future.exception()  # whoever awaits it gets it; nobody has to
        if self._closed_future is not None and not self._closed_future.done():
            self._closed_future.set_result(self)
        self._writer.long_way = _refuse  # or we should be kept until the garbage collector comes
        link, self._link = self._link, None
        if link is not None:
            link.closed(self.wasNotCleanReason is None)

    # ---- what a program may call ------------------------------------------------------------------------------

    def send(self, msg: Message) -> None:
        """Send a WAMP message. Raises `TransportLost`, `SerializationError`, `PayloadExceededError`."""
        self._check_open()
        assert self._link is not None
        self._link.send(msg)

    def sendString(self, data: bytes) -> None:
        """Send a serialized message. Raises `TransportLost`, `PayloadExceededError`."""
        self._check_open()
        self._rs.send(data)

    def stringReceived(self, payload: bytes) -> None:
        """A message has arrived, serialized."""
        if self._link is not None:
            self._link.receive(payload, self._link.codec.binary)

    def isOpen(self) -> bool:
        """Whether messages can be sent."""
        return self._link is not None and self._link.isOpen()

    def close(self) -> None:
        """Close in order; what has been sent arrives."""
        self.channel_close(1000, None)

    def abort(self) -> None:
        """Close at once; what is not written yet is lost."""
        self.channel_close(1001, None)

    def dropConnection(self, abort: bool = False) -> None:
        """Close, as the WebSocket protocols do; `abort`: without sending what is waiting."""
        self.channel_close(1001 if abort else 1000, None)

    def ping(self, data: bytes | None = None) -> asyncio.Future[float]:
        """Send a ping; the future's result is the seconds until its pong came (`TransportLost`: none came).

        `data` (default: random octets) tells pings apart: it must differ from those still under way. Raises
        `ValueError`, `TransportLost` and `PayloadExceededError`.
        """
        self._check_open()
        payload = os.urandom(8) if data is None else bytes(data)
        if payload in self._pings:
            raise ValueError("expected a payload that no other ping under way has, got one of them")
        self._rs.ping(payload)
        future = self._loop.create_future()
        self._pings[payload] = self._loop.time(), future
        return future

    def pong(self, data: bytes) -> None:
        """Send a pong that nobody asked for. Raises `TransportLost` and `PayloadExceededError`."""
        self._check_open()
        self._rs.pong(data)

    def protocol_error(self, msg: str) -> None:
        """Fail the connection: one line in the log, no further message, and the peer sees the end."""
        if self._state is not State.CLOSED:
            self.log.info("RawSocket connection with {peer} failed: {reason}", peer=self.peer, reason=msg)
            self._fail(msg)

    @property
    def is_open(self) -> asyncio.Future[None]:
        """Resolves when the handshake is done; `Disconnected` when the connection closes before that."""
        if self._open_future is None:
            self._open_future = asyncio.get_running_loop().create_future()
            if self._state is State.OPEN:
                self._open_future.set_result(None)
        return self._open_future

    @property
    def is_closed(self) -> asyncio.Future[Any]:
        """Resolves to this protocol when the connection is closed, before the session hears of it."""
        if self._closed_future is None:
            self._closed_future = asyncio.get_running_loop().create_future()
            if self._state is State.CLOSED and self.transport is None:
                self._closed_future.set_result(self)
        return self._closed_future

    @property
    def serializer_id(self) -> str:
        """The id of the serializer in use; `TransportLost` when the connection is not open."""
        self._check_open()
        return str(self._serializer.SERIALIZER_ID)

    @property
    def transport_details(self) -> TransportDetails | None:
        """Details of the transport; `None` before the handshake is done."""
        return None if self._serializer is None else self.channel_details()

    # ---- for the link (autobahn.asyncio.link.Channel) -----------------------------------------------------------

    def channel_open(self) -> bool:
        return self._state is State.OPEN

    def channel_close(self, code: int, reason: str | None) -> None:
        if code == 1001:
            self.wasNotCleanReason = self.wasNotCleanReason or "the connection was aborted"
            self._stop()
            if self.transport is not None:
                self._outbox.abort()
        elif self._state is not State.CLOSED:
            if code in {1000, 1013}:
                self.closedByMe = True
                self._end()
            else:  # the link has logged it
                self._fail(reason or f"code {code}")

    def channel_details(self) -> TransportDetails:
        transport = self.transport
        secure = transport is not None and transport.get_extra_info("ssl_object") is not None
        return TransportDetails(
            channel_type=TransportDetails.CHANNEL_TYPE_TLS if secure else TransportDetails.CHANNEL_TYPE_TCP,
            channel_framing=TransportDetails.CHANNEL_FRAMING_RAWSOCKET,
            channel_serializer=self._serializer.RAWSOCKET_SERIALIZER_ID,
            peer=self.peer,
            is_server=self.is_server,
            is_secure=secure,
            channel_id=channel_ids(transport),
            peer_cert=peer_certificate(transport),
        )

    # ---- what the connection tells (autobahn.rawsocket.connection.Handler) ---------------------------------------

    def connection_opened(self) -> None:
        """The handshake is done: the session gets its link."""
        self._outbox.set_timeout(0, None)
        self._state = State.OPEN
        self._writer.limit = self.max_length_send = self._rs.max_length_send
        self._receive = self._rs.reader.feed
        self._serializer = self.factory.serializers[self._rs.serializer]
        self._start_keep_alive()
        make = self.factory._factory
        try:
            session = make if hasattr(make, "onMessage") and not inspect.isclass(make) else make()
        except Exception as exc:
            self.log.error("the session factory failed (peer {peer})", peer=self.peer, exc_info=exc)
            self._fail("the session factory failed")
            return
        is_router = self.is_server and getattr(session, "raw_payload", False)
        channel = cast(Any, self)
        if is_router:
            self._link = RouterLink(channel, session, self._serializer, self.max_length_send)
        else:
            self._link = WampLink(channel, session, self._serializer)
        if type(self).stringReceived is WampRawSocketProtocol.stringReceived:  # as nearly always: go there at once
            self._rs.reader.on_message = self._link.receiver()
        self._link.open()
        if self._state is State.OPEN and self._open_future is not None and not self._open_future.done():
            self._open_future.set_result(None)

    def connection_message(self, payload: bytes) -> None:
        """A message has arrived."""
        self.stringReceived(payload)

    def connection_ping(self, payload: bytes) -> None:
        """A ping has arrived and is answered; whoever sends pings without reading the pongs has to wait."""
        if self._write_paused and self.transport is not None and self.transport.get_write_buffer_size() > BACKLOG:
            self._read_paused = True
            self.transport.pause_reading()

    def connection_pong(self, payload: bytes) -> None:
        """A pong has arrived."""
        if self._keep_alive is not None:
            self._keep_alive.pong(payload)
        sent, future = self._pings.pop(payload, (0.0, None))
        if future is not None and not future.done():
            future.set_result(self._loop.time() - sent)

    def _send_when_possible(self, data: bytes) -> None:
        """The long way of a message: it is too long, the connection is not open, or the peer reads slowly."""
        if self._state is not State.OPEN:
            raise TransportLost("expected an open transport, got one that is closed or closing")
        if self._write_paused and self._outbox.waiting + len(data) > MAX_WAITING:
            self.protocol_error(f"expected a peer that reads, got one for which {self._outbox.waiting} octets wait")
            raise TransportLost("the peer does not read what it is sent")
        self._rs.send(data)

    # ---- inside ------------------------------------------------------------------------------------------------

    @abstractmethod  # a mark for readers: with ABCMeta, metaclasses of programs would clash
    def _new_connection(self) -> Connection:
        """The connection of this role, for the transport that has just come."""

    def _check_open(self) -> None:
        if self._state is not State.OPEN:
            raise TransportLost("expected an open transport, got one that is not open")

    def _receiving_failed(self, exc: Exception) -> None:
        """What was received broke the rules, or an overridden `stringReceived` raised."""
        if isinstance(exc, RawSocketError):
            self.protocol_error(exc.reason)
        else:
            self.log.error("error while processing a message of {peer}", peer=self.peer, exc_info=exc)
            self._fail(type(exc).__name__)

    def _before_reading(self, size: int) -> None:
        """So many octets will be taken. Not called any more once there is a pump."""

    def _start_pump(self) -> None:
        """What is received goes from the transport to the reader without a Python call of ours between."""
        if (
            self.transport is None
            or self._state is not State.OPEN
            or _receiving(type(self)) != _receiving(WampRawSocketProtocol)
            or not _RECEIVING.isdisjoint(vars(self))
        ):
            return  # closed already, or somebody stands between
        self._pump = pump = new_pump(
            self._rs.reader, self._writer, self._buffer, self._outbox.flush, self._receiving_failed
        )
        if pump is not None:
            self.get_buffer = pump.get_buffer  # type: ignore[method-assign]
            self.buffer_updated = pump.buffer_updated  # type: ignore[method-assign]
            self.transport.set_protocol(self)  # some transports have noted the methods
            sock = plain_socket(self.transport)
            if sock is not None:
                self._outbox.go_direct(self._writer, sock)
                read_directly(self.transport, pump, sock)

    def _handshake_overdue(self) -> None:
        self.protocol_error(f"expected the handshake within {self._options.openHandshakeTimeout:g} seconds")

    def _start_keep_alive(self) -> None:
        options = self._options
        if options.autoPingInterval:
            self._keep_alive = KeepAlive(
                self._loop,
                self._rs.ping,
                lambda: self.protocol_error("expected the pong of an automatic ping in time, got none"),
                received=lambda: 0 if self._pump is None else self._pump.received,
                interval=options.autoPingInterval,
                timeout=options.autoPingTimeout,
                size=12,
                any_traffic=True,
            )
            self._keep_alive.start()

    def _fail(self, reason: str) -> None:
        self.wasNotCleanReason = self.wasNotCleanReason or reason
        self._end()

    def _end(self) -> None:
        """What is waiting is sent, then FIN; the peer's end is awaited for a while."""
        self._stop()
        if self.transport is not None:
            self._outbox.set_timeout(self._options.closeHandshakeTimeout, self._outbox.abort)
            self._outbox.half_close()
            self._resume_reading()  # to see the peer's end

    def _resume_reading(self) -> None:
        if self._read_paused and self.transport is not None and not self.transport.is_closing():
            self._read_paused = False
            self.transport.resume_reading()

    def _stop(self) -> None:
        self._state = State.CLOSED
        self._writer.limit = -1
        self._rs.stop()
        if self._keep_alive is not None:
            self._keep_alive.stop()
            self._keep_alive = None

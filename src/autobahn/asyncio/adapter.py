"""What the WebSocket protocols of both roles share: the `asyncio.Protocol` that owns one `Connection`."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Callable
from operator import attrgetter
from types import BuiltinMethodType
from typing import Any, ClassVar, cast

from autobahn.asyncio.direct import read_directly
from autobahn.asyncio.effective_options import user_classes
from autobahn.asyncio.idle import IdleContexts
from autobahn.asyncio.intake import Intake
from autobahn.asyncio.keepalive import KeepAlive, websocket_keep_alive
from autobahn.asyncio.observing import Meter, Observers, observed
from autobahn.asyncio.streaming import MessageStream, overrides_stream_hooks
from autobahn.asyncio.timers import Timer, timers_of
from autobahn.asyncio.transport import Outbox, Tasks, gather_segments, peer_string, shared_read_buffer
from autobahn.exception import BufferFullError, Disconnected
from autobahn.websocket.connection import Connection, State
from autobahn.websocket.errors import FrameError
from autobahn.websocket.frames import new_pump
from autobahn.websocket.interfaces import IWebSocketChannel
from autobahn.websocket.protocol import LOG, WebSocketProtocol
from autobahn.websocket.sending import FLUSH_SIZE, Sent

_RECEIVING = frozenset({"get_buffer", "buffer_updated", "data_received"})
_receiving = attrgetter(*_RECEIVING)
_CLOSE_FRAME = 0x88  # its first octet (RFC 6455 5.2)


def _is_async(callback: Callable[..., Any]) -> bool:
    """The same as `inspect.iscoroutinefunction`, faster for what callbacks usually are."""
    code = getattr(callback, "__code__", None)
    if code is not None:
        return bool(code.co_flags & inspect.CO_COROUTINE)
    return type(callback) is not BuiltinMethodType and inspect.iscoroutinefunction(callback)


@IWebSocketChannel.register
class WebSocketAdapterProtocol(WebSocketProtocol, asyncio.BufferedProtocol):
    """What both roles share: what asyncio calls, and what a program may call.

    A transport built on this (WAMP) fails a connection with `failConnection(code, reason)`.
    """

    # Defaults on the class: a program's __init__ need not call ours.
    factory: Any = None
    transport: asyncio.Transport | None = None
    droppedMessages = 0
    websocket_version: int | None = None
    http_headers: dict[str, str] | None = None
    _ws_loop: asyncio.AbstractEventLoop
    _ws_outbox: Outbox
    _ws_buffer: memoryview
    _ws_tasks: Tasks | None = None
    _ws_intake: Intake | None = None
    _ws_observers: Observers | None = None
    _ws_meter: Meter | None = None
    _ws_idle: IdleContexts | None = None
    _ws_first_ping: Timer | None = None
    _ws_keep_alive: KeepAlive | None = None
    _ws_pump: Any = None
    _ws_is_in_use = False  # something was received on the open connection
    _ws_open_future: asyncio.Future[None] | None = None
    _ws_closed_future: asyncio.Future[Any] | None = None
    _ws_lost_by: BaseException | None = None
    _ws_user_classes: ClassVar[tuple[type, ...]] = ()

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._ws_user_classes = user_classes(cls)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands; the opening handshake begins."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self._ws_loop = asyncio.get_running_loop()
        self._ws_buffer = shared_read_buffer()
        self.peer = peer_string(transport)
        self._ws_outbox = Outbox(self._ws_loop, transport)
        self._ws_connection = connection = self._ws_new_connection()
        options = connection.options
        self._ws_outbox.begin(connection.writer, options.sendHighWater, options.sendLowWater)
        if options.countTraffic:
            self._ws_meter = Meter(self, self.trafficStats)
        if not options.tcpNoDelay:
            gather_segments(transport)
        self._ws_start()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it receives."""
        return self._ws_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The transport has put `nbytes` octets there."""
        data = self._ws_buffer[:nbytes]
        connection = self._ws_connection
        if connection is None or connection.state is not State.OPEN:
            self.data_received(bytes(data))  # the opening handshake gets octets of its own
            return
        if not self._ws_is_in_use and data[0] != _CLOSE_FRAME:
            # Not before: a connection that is idle, or opened just to be closed, does not pay for it.
            self._ws_is_in_use = True
            self._ws_new_pump()
            if self._ws_pump is not None:
                self._ws_pump.buffer_updated(nbytes)
                return
        self.data_received(data)  # which copies what it keeps

    def data_received(self, data: bytes | memoryview) -> None:
        """Takes octets of the peer. All that is written meanwhile leaves in one write."""
        connection = self._ws_connection
        assert connection is not None
        writer = connection.writer
        writer.corked = True
        try:
            connection.receive(data)
        except FrameError as error:
            connection.violated(error)
        finally:
            writer.corked = False
        if writer.size:
            self._ws_outbox.flush()
        if self._ws_keep_alive is not None:
            self._ws_keep_alive.heard()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The TCP connection is gone; `onClose` is called."""
        connection = self._ws_connection
        if connection is None or connection.state is State.CLOSED:
            return
        if exc is not None:
            self._ws_lost_by = exc
        result = connection.lost()
        if self._ws_idle is not None:
            self._ws_idle.stop()
        if self._ws_first_ping is not None:
            self._ws_first_ping.cancel()
        if self._ws_keep_alive is not None:
            self._ws_keep_alive.stop()
            self._ws_keep_alive = None
        if self._ws_pump is not None:
            self._ws_pump.stop()
        if self._ws_open_future is not None and not self._ws_open_future.done():
            self._ws_never_open(self._ws_open_future)
        if self._ws_closed_future is not None and not self._ws_closed_future.done():
            self._ws_closed_future.set_result(self)
        # `transport` stays: `onClose` may ask it whom this was (`get_extra_info`).
        self._ws_outbox.lost(lambda: Disconnected(self.wasNotCleanReason or "the connection is closed"))
        if self._ws_intake is not None:
            self._ws_intake.finish(lambda: self._ws_call(self.onClose, "onClose", *result))
        else:
            self._ws_call(self.onClose, "onClose", *result)

    def pause_writing(self) -> None:
        """The peer does not read, and what waits has reached `sendHighWater`."""
        connection = self._ws_connection
        if connection is not None and connection.state is State.OPEN:
            connection.writer.limit = -1  # from now on every message is asked about
        if self._ws_outbox.pause():
            self._ws_call(self.onHighWater, "onHighWater")

    def resume_writing(self) -> None:
        """What waits is down to `sendLowWater`."""
        if not self._ws_outbox.resume():
            return
        connection = self._ws_connection
        if connection is not None and connection.state is State.OPEN:
            connection.writer.limit = FLUSH_SIZE
        self._ws_call(self.onLowWater, "onLowWater")

    # -- what a program may call ---------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Returns when the peer has taken enough: behind `sendMessage` it makes a program send as fast as it reads.

        Waits while more than `sendHighWater` octets wait to be sent. Raises `Disconnected` when the connection is not
        open or ends meanwhile.
        """
        if self.state != State.OPEN:
            raise Disconnected("expected an open WebSocket connection, got one that is not open")
        await self._ws_outbox.drain()

    @property
    def sendBufferSize(self) -> int:
        """Octets that wait to be sent."""
        return 0 if self.transport is None or self.state == State.CLOSED else self._ws_outbox.waiting

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """Starts the closing handshake; ignored when it has started or the connection is closed.

        `code`: 1000 or 3000 to 4999; `reason` needs a code and is cut to 123 octets of UTF-8. Raises `ValueError`,
        `TypeError`, and `Disconnected` before the connection is open.
        """
        if self._ws_connection is None:
            raise Disconnected("expected an open WebSocket connection, got one that is not connected")
        self._ws_connection.close(code, reason)
        if self._ws_intake is not None:
            self._ws_intake.read_on()  # the peer's close frame must not wait behind handlers that lag

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """`handler(payload, is_binary=...)` is called after `onMessage`; the one `event` is "message".

        Raises `RuntimeError` for another event.
        """
        self._ws_get_observers().on(event, handler)
        if self._ws_connection is not None:
            self._ws_connection.renew_receiver()

    def off(self, event: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """`handler` is not called any more; without it, none of `event`; without both, none at all."""
        self._ws_get_observers().off(event, handler)

    def fire(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """Calls all observers of `event`; await the result for theirs."""
        return self._ws_get_observers().fire(event, *args, **kwargs)

    def set_valid_events(self, valid_events: list[str] | None = None) -> None:
        """Only these events may be named from now on; any, if `None`."""
        self._ws_get_observers().set_valid_events(valid_events)

    def dropConnection(self, abort: bool = False) -> None:
        """Closes the TCP connection without closing handshake; `abort`: without sending what is waiting."""
        if self._ws_intake is not None:
            self._ws_intake.clear()
        if self._ws_connection is not None:
            self._ws_connection.drop(abort=abort, reason="dropConnection() was called")

    def failConnection(self, code: int, reason: str) -> None:
        """Fails the connection (RFC 6455 7.1.7): the peer gets a close frame with `code` and `reason`.

        Nothing is received any more. `failByDrop` decides whether the peer's answer is awaited. `onClose` gets
        (False, 1006, ...). During the opening handshake a server answers 500 instead.
        """
        if self._ws_intake is not None:
            self._ws_intake.clear()
        if self._ws_connection is not None:
            self._ws_connection.fail(code, reason)

    @property
    def is_open(self) -> asyncio.Future[None]:
        """Resolves (to `None`) when the connection is open; `Disconnected` when it closes before that."""
        if self._ws_open_future is None:
            self._ws_open_future = self._ws_new_future()
            if self.state == State.OPEN:
                self._ws_open_future.set_result(None)
            elif self.state == State.CLOSED:
                self._ws_never_open(self._ws_open_future)
        return self._ws_open_future

    @property
    def is_closed(self) -> asyncio.Future[Any]:
        """Resolves to this protocol when the connection is closed, before `onClose`."""
        if self._ws_closed_future is None:
            self._ws_closed_future = self._ws_new_future()
            if self.state == State.CLOSED:
                self._ws_closed_future.set_result(self)
        return self._ws_closed_future

    @property
    def transport_details(self) -> Any:
        """Details of the transport; `None` as long as there is none."""
        if self.transport is None:
            return None
        from autobahn.wamp.types import TransportDetails  # not needed without WAMP, except here

        secure = self.transport.get_extra_info("ssl_object") is not None
        return TransportDetails(
            channel_type=TransportDetails.CHANNEL_TYPE_TLS if secure else TransportDetails.CHANNEL_TYPE_TCP,
            channel_framing=TransportDetails.CHANNEL_FRAMING_WEBSOCKET,
            peer=self.peer,
            is_server=self.is_server,
            is_secure=secure,
            own_pid=None,
            websocket_protocol=self.websocket_protocol_in_use,
        )

    @property
    def websocket_extensions_in_use(self) -> list[Any]:
        """The extensions in use."""
        connection = self._ws_connection
        return [] if connection is None or connection.pmce is None else [connection.pmce]

    # -- what the connection tells (autobahn.websocket.connection.Events) -----------------------------------------

    def connection_ping(self, payload: bytes) -> None:
        """A ping has arrived."""
        self._ws_call(self.onPing, "onPing", payload)

    def connection_pong(self, payload: bytes) -> None:
        """A pong has arrived."""
        if self._ws_keep_alive is not None and (times := self._ws_keep_alive.pong(payload)) is not None:
            sent, number, received = times
            self._ws_call(self.onAutoPong, "onAutoPong", sent, number, received, received - sent, payload)
        self._ws_call(self.onPong, "onPong", payload)

    def connection_receiver(self) -> Callable[[bytes, bool], Any]:
        """Who takes whole messages: `onMessage` itself when it is a plain function and nobody watches."""
        is_async = self._ws_intake is not None or _is_async(self.onMessage)  # nothing overtakes what waits there
        receiver: Callable[[bytes, bool], Any] = self._ws_queue_message if is_async else self.onMessage
        if self._ws_meter is not None:
            receiver = self._ws_meter.received(receiver)
        if self._ws_observers is not None:
            receiver = observed(receiver, self._ws_observe)
        return receiver

    def connection_close_frame(self, code: int | None, reason: str) -> None:
        """The peer's close frame has arrived."""
        self._ws_call(self.onCloseFrame, "onCloseFrame", code, reason.encode() or None)

    def connection_timeout(self, what: str) -> None:
        """A time is over; `what` is the callback for that."""
        self._ws_call(getattr(self, what), what)

    def connection_result(self, value: Any) -> None:
        """`onMessage` returned something."""
        if inspect.isawaitable(value):
            self._ws_queue(value, "onMessage", 0)

    def connection_error(self, exc: Exception) -> None:
        """`onMessage` raised."""
        self._ws_failed(exc, "onMessage")

    def connection_room(self, what: Sent, size: int) -> bool:
        """More is to be sent while much waits, or the transport wants no more: whether it may be sent."""
        outbox, connection = self._ws_outbox, self._ws_connection
        assert connection is not None
        if connection.writer.size >= FLUSH_SIZE:
            outbox.flush()
        cap = connection.options.send_buffer_limit
        waiting = outbox.waiting if cap else 0
        if not waiting or waiting + size <= cap:
            return True
        policy = connection.options.sendPolicy
        if what is Sent.CONTROL:
            return False
        if policy == "drop" and what is Sent.MESSAGE:
            self.droppedMessages += 1
            return False
        if policy == "close":
            self.failConnection(1008, "the peer reads too slowly")
            raise Disconnected("expected a peer that reads, got one that left too much waiting; connection failed")
        raise BufferFullError(f"expected at most {cap} octets waiting to be sent, got {waiting} and {size} more", self)

    def connection_stream(self) -> MessageStream | None:
        """Who takes messages piece by piece: only when the class overrides one of the hooks for that."""
        if not overrides_stream_hooks(self, WebSocketAdapterProtocol):
            return None
        stream = self._ws_stream = MessageStream(self, self._ws_call_in_order, self._ws_observe)
        return stream

    def connection_opened(self) -> None:
        """The connection is open."""
        connection = self._ws_connection
        assert connection is not None
        options = connection.options
        if self._ws_meter is not None:
            self._ws_meter.opened()
        if connection.inflater is not None and connection.deflater is not None and options.compressionIdleTimeout:
            engines = (connection.inflater, connection.deflater)
            self._ws_idle = IdleContexts(timers_of(self._ws_loop), engines, options.compressionIdleTimeout)
        if options.autoPingInterval:
            self._ws_first_ping = timers_of(self._ws_loop).call_later(options.autoPingInterval, self._ws_keep_it_alive)
        if _is_async(self.onMessage):
            self._ws_new_intake()
        if type(self).sendMessage is WebSocketProtocol.sendMessage and "sendMessage" not in self.__dict__:
            # The same without a Python call on the way: what a program sends most goes straight to the frame unit.
            self.sendMessage = connection.send_message  # type: ignore[method-assign]
        self._ws_call(self.onOpen, "onOpen")
        connection.watch_receiver(self.__dict__)
        if self._ws_open_future is not None and not self._ws_open_future.done():
            self._ws_open_future.set_result(None)

    def connection_failed(self, reason: str) -> None:
        """The peer broke the rules or its handshake was refused: one line in the log."""
        LOG.info("WebSocket connection with {peer} failed: {reason}", peer=self.peer, reason=reason)

    # -- inside --------------------------------------------------------------------------------------------------

    @abstractmethod  # a mark for readers: with ABCMeta, metaclasses of programs would clash
    def _ws_new_connection(self) -> Connection:
        """The connection of this role, for the transport that has just come."""

    def _ws_start(self) -> None:
        """The opening handshake may begin."""

    def _ws_new_future(self) -> asyncio.Future[Any]:
        loop = getattr(self, "_ws_loop", None) or getattr(self.factory, "loop", None)
        return (loop or asyncio.get_running_loop()).create_future()

    def _ws_never_open(self, future: asyncio.Future[None]) -> None:
        future.set_exception(Disconnected(self.wasNotCleanReason or "the connection is closed"))
        future.exception()  # whoever awaits it gets it; nobody has to

    def _ws_keep_it_alive(self) -> None:
        """The first ping is due: many connections do not live to see it."""
        assert self._ws_connection is not None
        self._ws_first_ping = None
        self._ws_keep_alive = websocket_keep_alive(
            self._ws_connection.options,
            self._ws_loop,
            self.sendPing,
            self._ws_peer_is_dead,
            lambda: 0 if self._ws_pump is None else self._ws_pump.received,
            self._ws_silence_is_ours,
        )
        self._ws_keep_alive.start(at_once=True)

    def _ws_silence_is_ours(self) -> bool:
        """Whether the peer's silence proves nothing: we do not read, or it still takes what was sent before."""
        transport = self.transport
        return transport is not None and (not transport.is_reading() or self._ws_outbox.is_moving())

    def _ws_peer_is_dead(self) -> None:
        self._ws_call(self.onAutoPingTimeout, "onAutoPingTimeout")
        if self._ws_connection is not None:
            self._ws_connection.ping_timeout()

    def _ws_call(self, callback: Callable[..., Any], where: str, *args: Any) -> None:
        """Calls a callback whose result nobody waits for."""
        try:
            result = callback(*args)
        except Exception as exc:
            self._ws_failed(exc, where)
        else:
            if result is not None:
                self._ws_spawn(result, where)

    def _ws_call_in_order(self, callback: Callable[..., Any], where: str, size: int, *args: Any) -> None:
        """Calls a callback whose awaitable waits for its turn; it keeps `size` octets in memory."""
        try:
            result = callback(*args)
        except Exception as exc:
            self._ws_failed(exc, where)
        else:
            if inspect.isawaitable(result):
                self._ws_queue(result, where, size)

    def _ws_queue_message(self, payload: bytes, is_binary: bool) -> None:
        """An `async` `onMessage` waits for its turn."""
        self._ws_queue(lambda: self.onMessage(payload, is_binary), "onMessage", len(payload))

    def _ws_queue(self, call: Any, where: str, size: int) -> None:
        if self._ws_intake is None:
            self._ws_new_intake()
        assert self._ws_intake is not None
        self._ws_intake.add(call, where, size)

    def _ws_get_observers(self) -> Observers:
        if self._ws_observers is None:
            self._ws_observers = Observers()
        return self._ws_observers

    def _ws_observe(self, payload: bytes, is_binary: bool) -> None:
        if self._ws_observers is not None:
            self._ws_call(lambda: self.fire("message", payload, is_binary=is_binary), "message")

    def _ws_new_intake(self) -> None:
        assert self._ws_connection is not None
        self._ws_intake = Intake(self, self._ws_connection, self._ws_loop, self._ws_failed)

    def _ws_new_pump(self) -> None:
        """Octets go between socket and frame unit without Python between, as far as nobody stands there."""
        connection, transport = self._ws_connection, self.transport
        assert connection is not None
        if transport is None:
            return
        if _receiving(type(self)) != _OUR_RECEIVING or not _RECEIVING.isdisjoint(vars(self)):
            return
        self._ws_pump = pump = new_pump(connection, self._ws_buffer, self._ws_outbox.flush)
        self.get_buffer = pump.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = pump.buffer_updated  # type: ignore[method-assign]
        transport.set_protocol(self)  # some transports have noted the methods
        if self._ws_outbox.socket >= 0:
            read_directly(transport, pump, self._ws_outbox.socket)

    def _ws_spawn(self, value: Any, where: str, then: Callable[[Any], None] | None = None) -> None:
        if self._ws_tasks is None:
            self._ws_tasks = Tasks(self._ws_task_failed)
        self._ws_tasks.spawn(value, where, then)

    def _ws_task_failed(self, exc: BaseException, where: str) -> None:
        self._ws_failed(exc, where)

    def _ws_failed(self, exc: BaseException, where: str) -> None:
        """A callback raised."""
        self.onUserError(exc, where)
        if isinstance(exc, BufferFullError) and exc.connection is self:
            # Part of what the callback wanted to send is missing: better an end than a stream with holes.
            self.failConnection(1008, "the peer reads too slowly")


_OUR_RECEIVING = _receiving(WebSocketAdapterProtocol)

"""What the WebSocket protocols of both roles share: the `asyncio.Protocol` that owns one `Connection`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload

from autobahn.asyncio.keepalive import KeepAlive
from autobahn.asyncio.streaming import MessageStream, overrides_stream_hooks
from autobahn.asyncio.transport import Outbox, Tasks, peer_string, shared_read_buffer
from autobahn.exception import Disconnected
from autobahn.log import Log
from autobahn.websocket.connection import Connection, State
from autobahn.websocket.errors import FrameError

T = TypeVar("T")

# Not by way of `self.log`: a program may keep something of its own under that name.
LOG = Log("autobahn.websocket")


class _Detail(Generic[T]):
    """An attribute of the connection under its documented name; `default` before there is a connection."""

    __slots__ = ("_default", "_name")

    def __init__(self, name: str, default: T) -> None:
        self._name = name
        self._default = default

    @overload
    def __get__(self, instance: None, owner: object) -> _Detail[T]: ...
    @overload
    def __get__(self, instance: WebSocketAdapterProtocol, owner: object) -> T: ...
    def __get__(self, instance: WebSocketAdapterProtocol | None, owner: object) -> _Detail[T] | T:
        if instance is None:
            return self
        connection = instance._ws_connection
        if connection is None:
            return self._default
        value: T = getattr(connection, self._name)
        return value


class WebSocketAdapterProtocol(asyncio.BufferedProtocol):
    """What both roles share: callbacks to override, and what a program may call.

    Callbacks may be plain or `async`; their order is `onConnecting`/`onConnect`, `onOpen`, then `onMessage`,
    `onPing`, `onPong` in the order of arrival, and exactly one `onClose` at the end of every connection. The results
    of `onConnecting` and `onConnect` are awaited before the connection goes on; other coroutines run as tasks that
    start in order. What a callback raises goes to `onUserError` once, and the connection lives on, except that
    the opening handshake fails when `onConnecting` or `onConnect` raise.

    A transport built on this (WAMP) fails a connection with `failConnection(code, reason)`.
    """

    log: ClassVar[Log] = LOG
    is_server: ClassVar[bool]

    STATE_CLOSED = 0
    STATE_CONNECTING = 1
    STATE_CLOSING = 2
    STATE_OPEN = 3
    STATE_PROXY_CONNECTING = 4

    MESSAGE_TYPE_TEXT = 1
    MESSAGE_TYPE_BINARY = 2

    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_GOING_AWAY = 1001
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_UNSUPPORTED_DATA = 1003
    CLOSE_STATUS_CODE_NULL = 1005
    CLOSE_STATUS_CODE_ABNORMAL_CLOSE = 1006
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007
    CLOSE_STATUS_CODE_POLICY_VIOLATION = 1008
    CLOSE_STATUS_CODE_MESSAGE_TOO_BIG = 1009
    CLOSE_STATUS_CODE_MANDATORY_EXTENSION = 1010
    CLOSE_STATUS_CODE_INTERNAL_ERROR = 1011
    CLOSE_STATUS_CODES_ALLOWED = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013)

    wasClean = _Detail("was_clean", False)
    wasNotCleanReason = _Detail[str | None]("not_clean_reason", None)
    closedByMe = _Detail("closed_by_me", False)
    failedByMe = _Detail("failed_by_me", False)
    droppedByMe = _Detail("dropped_by_me", False)
    localCloseCode = _Detail[int | None]("local_close_code", None)
    localCloseReason = _Detail[str | None]("local_close_reason", None)
    remoteCloseCode = _Detail[int | None]("remote_close_code", None)
    remoteCloseReason = _Detail[str | None]("remote_close_reason", None)
    wasOpenHandshakeTimeout = _Detail("was_open_handshake_timeout", False)
    wasCloseHandshakeTimeout = _Detail("was_close_handshake_timeout", False)
    wasServerConnectionDropTimeout = _Detail("was_server_drop_timeout", False)
    wasMaxFramePayloadSizeExceeded = _Detail("was_max_frame_exceeded", False)
    wasMaxMessagePayloadSizeExceeded = _Detail("was_max_message_exceeded", False)
    state = _Detail[int]("state", State.CONNECTING)
    websocket_protocol_in_use = _Detail[str | None]("subprotocol", None)

    # Defaults on the class: a program's __init__ need not call ours.
    factory: Any = None
    transport: asyncio.Transport | None = None
    peer: str | None = None
    websocket_version: int | None = None
    http_headers: dict[str, str] | None = None
    _ws_connection: Connection | None = None
    _ws_loop: asyncio.AbstractEventLoop
    _ws_outbox: Outbox
    _ws_buffer: memoryview
    _ws_tasks: Tasks | None = None
    _ws_keep_alive: KeepAlive | None = None
    _ws_open_future: asyncio.Future[None] | None = None
    _ws_closed_future: asyncio.Future[Any] | None = None
    _ws_option_names: ClassVar[frozenset[str]]

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands; the opening handshake begins."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self._ws_loop = asyncio.get_running_loop()
        self._ws_buffer = shared_read_buffer()
        self.peer = peer_string(transport)
        self._ws_outbox = Outbox(self._ws_loop, transport)
        self._ws_connection = connection = self._ws_new_connection()
        self._ws_outbox.buffer = connection.writer
        self._ws_start()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it receives."""
        return self._ws_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The transport has put `nbytes` octets there."""
        data = self._ws_buffer[:nbytes]
        connection = self._ws_connection
        # An open connection copies what it keeps; the opening handshake gets octets of its own.
        self.data_received(data if connection is not None and connection.state is State.OPEN else bytes(data))

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
        result = connection.lost()
        if self._ws_keep_alive is not None:
            self._ws_keep_alive.stop()
            self._ws_keep_alive = None
        if self._ws_open_future is not None and not self._ws_open_future.done():
            self._ws_never_open(self._ws_open_future)
        if self._ws_closed_future is not None and not self._ws_closed_future.done():
            self._ws_closed_future.set_result(self)
        self._ws_call(self.onClose, "onClose", *result)
        self.transport = None

    # -- callbacks to override -----------------------------------------------------------------------------------

    def onOpen(self) -> Any:
        """The connection is open; messages may be sent."""

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """A message has arrived; text is UTF-8 that has been checked."""

    def onPing(self, payload: bytes) -> Any:
        """A ping has arrived. This answers with the pong (RFC 6455 5.5.3); an override has to do that itself."""
        self.sendPong(payload)

    def onPong(self, payload: bytes) -> Any:
        """A pong has arrived."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        """The connection is gone; called once, after which nothing else is called.

        `wasClean`: both ends sent their close frame; `code` and `reason` are then the peer's (`None` when it sent
        none). Otherwise `code` is 1006 and `reason` says what happened.
        """

    def onUserError(self, exc: BaseException, where: str) -> None:
        """A callback raised `exc`; `where` is its name. This logs it with traceback and peer, at level error."""
        LOG.error(
            "{where}() of {cls} raised {error} (peer {peer})",
            where=where,
            cls=type(self).__name__,
            error=repr(exc),
            peer=self.peer,
            exc_info=exc,
        )

    def onAutoPong(self, ping_sent: float, ping_seq: int, pong_received: float, pong_rtt: float, payload: bytes) -> Any:
        """The pong of an automatic ping has arrived; times in seconds on the loop's clock."""

    def onAutoPingTimeout(self) -> Any:
        """The peer did not answer an automatic ping in time; the connection is being dropped."""

    def onMessageBegin(self, isBinary: bool) -> Any:
        """A message begins."""
        self._ws_stream.message_begin_default(isBinary)

    def onMessageFrameBegin(self, length: int) -> Any:
        """A frame with `length` octets on the wire begins."""
        self._ws_stream.frame_begin_default(length)

    def onMessageFrameData(self, payload: bytes) -> Any:
        """Octets of the frame have arrived."""
        self._ws_stream.frame_data_default(payload)

    def onMessageFrameEnd(self) -> Any:
        """The frame is complete."""
        return self._ws_stream.frame_end_default()

    def onMessageFrame(self, payload: list[bytes]) -> Any:
        """A frame has arrived, in these chunks."""
        self._ws_stream.frame_default(payload)

    def onMessageEnd(self) -> Any:
        """The message is complete."""
        return self._ws_stream.message_end_default()

    # -- what a program may call ---------------------------------------------------------------------------------

    def sendMessage(
        self,
        payload: bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        """Sends a message; text must be UTF-8. `fragmentSize`: octets a frame may have.

        All that is sent in one turn of the loop leaves together (`sync` changes nothing). Raises `Disconnected` when
        the connection is not open, `PayloadExceededError` beyond `maxMessagePayloadSize` (nothing is sent),
        `AssertionError` for wrong types, `ValueError` for a `fragmentSize` below 1.
        """
        if not isinstance(payload, bytes):
            raise AssertionError(f"expected payload of type bytes, got {type(payload).__name__}")
        if isBinary is not True and isBinary is not False:
            raise AssertionError(f"expected isBinary of type bool, got {type(isBinary).__name__}")
        if self._ws_connection is None:
            raise Disconnected("expected an open WebSocket connection, got one that is not connected")
        self._ws_connection.send_message(payload, isBinary, fragmentSize, not doNotCompress)

    def sendPing(self, payload: bytes | None = None) -> None:
        """Sends a ping (at most 125 octets, else `ValueError`); ignored when the connection is not open."""
        if (sender := self._ws_sender()) is not None:
            sender.ping(payload or b"")

    def sendPong(self, payload: bytes | None = None) -> None:
        """Sends a pong (at most 125 octets, else `ValueError`); ignored when the connection is not open."""
        if (sender := self._ws_sender()) is not None:
            sender.pong(payload or b"")

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """Starts the closing handshake; ignored when it has started or the connection is closed.

        `code`: 1000 or 3000 to 4999; `reason` needs a code and is cut to 123 octets of UTF-8. Raises `ValueError`,
        `TypeError`, and `Disconnected` before the connection is open.
        """
        if self._ws_connection is None:
            raise Disconnected("expected an open WebSocket connection, got one that is not connected")
        self._ws_connection.close(code, reason)

    def dropConnection(self, abort: bool = False) -> None:
        """Closes the TCP connection without closing handshake; `abort`: without sending what is waiting."""
        if self._ws_connection is not None:
            self._ws_connection.drop(abort=abort, reason="dropConnection() was called")

    def failConnection(self, code: int, reason: str) -> None:
        """Fails the connection (RFC 6455 7.1.7): the peer gets a close frame with `code` and `reason`.

        Nothing is received any more. `failByDrop` decides whether the peer's answer is awaited. `onClose` gets
        (False, 1006, ...). During the opening handshake a server answers 500 instead.
        """
        if self._ws_connection is not None:
            self._ws_connection.fail(code, reason)

    def sendPreparedMessage(self, preparedMsg: Any) -> None:
        """Sends what `factory.prepareMessage` made; ignored when the connection is not open."""
        connection = self._ws_connection
        if connection is None or connection.sender is None:
            return
        plain = connection.is_server and connection.pmce is None and not connection.sender.in_message
        frame = preparedMsg.server_frame(connection.options) if plain else None
        if frame is not None:
            connection.writer.raw(frame)
            return
        connection.send_message(preparedMsg.payload, preparedMsg.binary, None, not preparedMsg.doNotCompress)

    def beginMessage(self, isBinary: bool = False, doNotCompress: bool = False) -> None:
        """Begins a message in pieces; this and the next four are ignored when the connection is not open."""
        if (sender := self._ws_sender()) is not None:
            sender.begin_message(isBinary, not doNotCompress)

    def beginMessageFrame(self, length: int) -> None:
        """Begins a frame of `length` octets. Raises `RuntimeError` in the wrong order."""
        if (sender := self._ws_sender()) is not None:
            sender.begin_frame(length)

    def sendMessageFrameData(self, payload: bytes, sync: bool = False) -> int | None:
        """Sends octets of the frame; returns how many are missing, 0: complete, below 0: the surplus, not sent."""
        sender = self._ws_sender()
        return None if sender is None else sender.frame_data(payload)

    def sendMessageFrame(self, payload: bytes, sync: bool = False) -> None:
        """Sends a whole frame of the message. Raises `RuntimeError` in the wrong order."""
        if (sender := self._ws_sender()) is not None:
            sender.frame(payload)

    def endMessage(self) -> None:
        """Ends the message in pieces. Raises `RuntimeError` in the wrong order."""
        if (sender := self._ws_sender()) is not None:
            sender.end_message()

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
        """Details of the transport; `None` as long as there are none."""
        return None

    @property
    def websocket_extensions_in_use(self) -> list[Any]:
        """The extensions in use."""
        connection = self._ws_connection
        return [] if connection is None or connection.pmce is None else [connection.pmce]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The options in force, by name."""
            if name in type(self)._ws_option_names and self._ws_connection is not None:
                return getattr(self._ws_connection.options, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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

    def connection_result(self, value: Any) -> None:
        """`onMessage` returned something."""
        self._ws_spawn(value, "onMessage")

    def connection_error(self, exc: Exception) -> None:
        """`onMessage` raised."""
        self.onUserError(exc, "onMessage")

    def connection_stream(self) -> MessageStream | None:
        """Who takes messages piece by piece: only when the class overrides one of the hooks for that."""
        if not overrides_stream_hooks(self, WebSocketAdapterProtocol):
            return None
        self._ws_stream = MessageStream(self, self._ws_call)
        return self._ws_stream

    def connection_handshake(self, request_or_response: Any) -> None:
        """The peer's half of the opening handshake has arrived and is in order."""
        raise NotImplementedError

    def connection_opened(self) -> None:
        """The connection is open."""
        connection = self._ws_connection
        assert connection is not None
        options = connection.options
        if options.autoPingInterval:
            self._ws_keep_alive = KeepAlive(
                self._ws_loop,
                self.sendPing,
                self._ws_peer_is_dead,
                interval=options.autoPingInterval,
                timeout=options.autoPingTimeout,
                size=options.autoPingSize,
                any_traffic=options.autoPingRestartOnAnyTraffic,
            )
        self._ws_call(self.onOpen, "onOpen")
        if self._ws_open_future is not None and not self._ws_open_future.done():
            self._ws_open_future.set_result(None)

    def connection_failed(self, reason: str) -> None:
        """The peer broke the rules or its handshake was refused: one line in the log."""
        LOG.info("WebSocket connection with {peer} failed: {reason}", peer=self.peer, reason=reason)

    # -- inside --------------------------------------------------------------------------------------------------

    _ws_stream: MessageStream

    def _ws_new_connection(self) -> Connection:
        raise NotImplementedError

    def _ws_start(self) -> None:
        """The opening handshake may begin."""

    def _ws_sender(self) -> Any:
        return None if self._ws_connection is None else self._ws_connection.sender

    def _ws_new_future(self) -> asyncio.Future[Any]:
        loop = getattr(self, "_ws_loop", None) or getattr(self.factory, "loop", None)
        return (loop or asyncio.get_running_loop()).create_future()

    def _ws_never_open(self, future: asyncio.Future[None]) -> None:
        future.set_exception(Disconnected(self.wasNotCleanReason or "the connection is closed"))
        future.exception()  # whoever awaits it gets it; nobody has to

    def _ws_peer_is_dead(self) -> None:
        self._ws_call(self.onAutoPingTimeout, "onAutoPingTimeout")
        if self._ws_connection is not None:
            self._ws_connection.ping_timeout()

    def _ws_call(self, callback: Callable[..., Any], where: str, *args: Any) -> None:
        """Calls a callback whose result nobody waits for."""
        try:
            result = callback(*args)
        except Exception as exc:
            self.onUserError(exc, where)
        else:
            if result is not None:
                self._ws_spawn(result, where)

    def _ws_spawn(self, value: Any, where: str, then: Callable[[Any], None] | None = None) -> None:
        if self._ws_tasks is None:
            self._ws_tasks = Tasks(self._ws_task_failed)
        self._ws_tasks.spawn(value, where, then)

    def _ws_task_failed(self, exc: BaseException, where: str) -> None:
        self.onUserError(exc, where)

    def _ws_resolved_options(self) -> Any:
        """The options of the factory, with attributes of the same name on factory, class and instance above them."""
        cls = type(self)
        own = {name for name in self._ws_option_names if hasattr(cls, name)} | (
            vars(self).keys() & self._ws_option_names
        )
        factory = self.factory
        changes = {name: vars(factory)[name] for name in vars(factory).keys() & self._ws_option_names}
        changes.update({name: getattr(self, name) for name in own})
        return factory.options.updated(changes) if changes else factory.options

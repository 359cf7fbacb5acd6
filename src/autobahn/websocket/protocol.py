"""`WebSocketProtocol`: the documented face of a connection that needs no network: constants, callbacks, close details.

The classes with a network under them are in `autobahn.asyncio.websocket`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from autobahn.exception import Disconnected
from autobahn.log import Log
from autobahn.websocket.connection import Connection, State
from autobahn.websocket.options import CLIENT_OPTION_NAMES, SERVER_OPTION_NAMES
from autobahn.websocket.sending import Sender, special_frame
from autobahn.websocket.stats import Timings, TrafficStats

__all__ = ("Timings", "TrafficStats", "WebSocketProtocol")

T = TypeVar("T")

# Not by way of `self.log`: a program may keep something of its own under that name.
LOG = Log("autobahn.websocket")

_OF_ASYNCIO = {
    "PreparedMessage": "PreparedMessage",
    "WebSocketClientFactory": "WebSocketClientFactory",
    "WebSocketClientProtocol": "WebSocketClientProtocol",
    "WebSocketFactory": "WebSocketAdapterFactory",
    "WebSocketServerFactory": "WebSocketServerFactory",
    "WebSocketServerProtocol": "WebSocketServerProtocol",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Documented names of classes that need a network, for programs that look for them here (PEP 562).

        They are those of `autobahn.asyncio.websocket`; nothing inside the package asks for them.
        """
        if name not in _OF_ASYNCIO:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("autobahn.asyncio.factory"), _OF_ASYNCIO[name])

else:  # a type checker knows them at their own place, and here that they may be asked for

    def __getattr__(name: str) -> Any: ...


class _Detail(Generic[T]):
    """An attribute of the connection under its documented name; `default` before there is a connection."""

    __slots__ = ("_default", "_name")

    def __init__(self, name: str, default: T) -> None:
        self._name = name
        self._default = default

    @overload
    def __get__(self, instance: None, owner: object) -> _Detail[T]: ...
    @overload
    def __get__(self, instance: WebSocketProtocol, owner: object) -> T: ...
    def __get__(self, instance: WebSocketProtocol | None, owner: object) -> _Detail[T] | T:
        if instance is None:
            return self
        connection = instance._ws_connection
        if connection is None:
            return self._default
        value: T = getattr(connection, self._name)
        return value


class WebSocketProtocol:
    """What a program may override and read.

    Callbacks may be plain or `async`; their order is `onConnecting`/`onConnect`, `onOpen`, then `onMessage`,
    `onPing`, `onPong` in the order of arrival, and exactly one `onClose` at the end of every connection. The results
    of `onConnecting` and `onConnect` are awaited before the connection goes on. An `async` `onMessage` (and
    `onMessageBegin` ... `onMessageEnd`) is run for one message after the other, or for `maxConcurrentHandlers` at once,
    started in order; meanwhile at most `maxReceiveQueue` messages of `maxReceiveQueueSize` octets wait before reading
    from the network pauses. Other coroutines run as tasks that start in order. What a callback raises goes to
    `onUserError` once, and the connection lives on, except that the opening handshake fails when `onConnecting` or
    `onConnect` raise, and that a callback from which this connection's `BufferFullError` escapes ends it with 1008.
    """

    log: ClassVar[Log] = LOG
    is_server: ClassVar[bool]

    STATE_CLOSED = 0
    STATE_CONNECTING = 1
    STATE_CLOSING = 2
    STATE_OPEN = 3
    STATE_PROXY_CONNECTING = 4

    SUPPORTED_SPEC_VERSIONS = (10, 11, 12, 13, 14, 15, 16, 17, 18)
    SUPPORTED_PROTOCOL_VERSIONS = (8, 13)
    DEFAULT_SPEC_VERSION = 18
    CONFIG_ATTRS_COMMON = tuple(sorted(CLIENT_OPTION_NAMES & SERVER_OPTION_NAMES))
    CONFIG_ATTRS_SERVER = tuple(sorted(SERVER_OPTION_NAMES - CLIENT_OPTION_NAMES))
    CONFIG_ATTRS_CLIENT = tuple(sorted(CLIENT_OPTION_NAMES - SERVER_OPTION_NAMES))
    CONFIG_ATTRS: tuple[str, ...] = CONFIG_ATTRS_COMMON

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
    peer: str | None = None
    _ws_connection: Connection | None = None
    trackTimings = False
    trackedTimings: Timings | None = None
    logOctets = False
    logFrames = False
    _ws_stream: Any
    _ws_stats: TrafficStats | None = None

    @property
    def trafficStats(self) -> TrafficStats:
        """What was counted so far (see `TrafficStats`)."""
        if self._ws_stats is None:
            self._ws_stats = TrafficStats()
        return self._ws_stats

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

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> Any:
        """The peer's close frame has arrived; `onClose` follows when the connection is gone."""

    def onOpenHandshakeTimeout(self) -> Any:
        """The opening handshake took longer than `openHandshakeTimeout`; the connection is being dropped."""

    def onCloseHandshakeTimeout(self) -> Any:
        """The peer did not answer our close frame in `closeHandshakeTimeout`; the connection is being dropped."""

    def onServerConnectionDropTimeout(self) -> Any:
        """The server did not close the TCP connection in `serverConnectionDropTimeout`; it is being dropped."""

    def setTrackTimings(self, enable: bool) -> None:
        """With `enable` there is a `trackedTimings`, for the program's own use."""
        self.trackTimings = enable
        self.trackedTimings = Timings() if enable else None

    def onHighWater(self) -> Any:
        """More than `sendHighWater` octets wait to be sent: the peer reads too slowly, better send less."""

    def onLowWater(self) -> Any:
        """After `onHighWater`: at most `sendLowWater` octets wait; the peer has caught up."""

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

    # -- what a program may call -------------------------------------------------------------------------------

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
        `BufferFullError` when `maxSendBuffer` octets wait already (see also `drain` and `sendPolicy`),
        `AssertionError` for wrong types, `ValueError` for a `fragmentSize` below 1.
        """
        if self._ws_connection is None:
            raise Disconnected("expected an open WebSocket connection, got one that is not connected")
        self._ws_connection.send_message(payload, isBinary, fragmentSize, sync, doNotCompress)

    def sendPing(self, payload: bytes | None = None) -> None:
        """Sends a ping (at most 125 octets, else `ValueError`); ignored when the connection is not open."""
        if (sender := self._ws_sender()) is not None:
            sender.ping(payload or b"")

    def sendPong(self, payload: bytes | None = None) -> None:
        """Sends a pong (at most 125 octets, else `ValueError`); ignored when the connection is not open."""
        if (sender := self._ws_sender()) is not None:
            sender.pong(payload or b"")

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """The same as `sendClose`, with any code an endpoint may send."""
        if self._ws_connection is not None:
            self._ws_connection.end(code, None if reasonUtf8 is None else reasonUtf8.decode("utf-8", "replace"))

    def sendFrame(
        self,
        opcode: int,
        payload: bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        """Sends a frame as it is, also one that breaks the rules: for tests of peers.

        `mask`: its key, by default a random one where one is due. `payload_len`: the payload is repeated to so many
        octets. `chopsize` and `sync` change nothing. Ignored when the connection is not open.
        """
        if self._ws_sender() is not None and self._ws_connection is not None:
            frame = special_frame(opcode, payload, fin, rsv, mask, payload_len, masked=not self.is_server)
            self._ws_connection.writer.raw(frame)

    def sendPreparedMessage(self, preparedMsg: Any) -> None:
        """Sends what `factory.prepareMessage` made; ignored when the connection is not open."""
        connection = self._ws_connection
        if connection is None or connection.sender is None:
            return
        plain = connection.is_server and connection.pmce is None and not connection.sender.in_message
        frame = preparedMsg.server_frame(connection.options) if plain else None
        if frame is not None:
            connection.sender.encoded(frame)
            return
        connection.send_message(preparedMsg.payload, preparedMsg.binary, None, False, preparedMsg.doNotCompress)

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

    def _ws_sender(self) -> Sender | None:
        return None if self._ws_connection is None else self._ws_connection.sender

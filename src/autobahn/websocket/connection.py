"""One WebSocket without I/O: opening handshake, open state, closing handshake, for both roles (RFC 6455).

A connection is fed through `receive`, which is the function installed for its present state, and talks to the shell
through a `Sink` and an `Events` object. It has no clock: it asks the sink for one timer at a time.

    CONNECTING --handshake done--> OPEN --close frame sent--> CLOSING --TCP gone--> CLOSED
        |                           +------------------ TCP gone ---------------------^
        +-- handshake failed --> CLOSING
"""

from __future__ import annotations

import enum
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from autobahn.exception import Disconnected
from autobahn.websocket.compress_base import Deflating, Inflating, PerMessageCompress
from autobahn.websocket.errors import FrameError, HandshakeError
from autobahn.websocket.frames import CLOSE, Reader, Writer
from autobahn.websocket.options import ClientOptions, ServerOptions
from autobahn.websocket.sending import FLUSH_SIZE, Sender, Sent, plain_size

DRAIN_TIMEOUT = 10.0
"""Seconds for the last octets to leave after an orderly close; then the TCP connection is aborted."""
LINGER_TIMEOUT = 1.0
"""Seconds for a peer that is refused or failed to take what we sent last and go."""


class State(enum.IntEnum):
    """States of a connection, with the numbers of the documented `STATE_...` constants."""

    CLOSED = 0
    CONNECTING = 1
    CLOSING = 2
    OPEN = 3


class Sink(Protocol):
    """What a connection asks of the shell. None of these calls back in place."""

    def wake(self) -> None:
        """The writer has octets: flush it soon."""

    def close(self) -> None:
        """Flush, then close the TCP connection."""

    def half_close(self) -> None:
        """Flush, then send FIN and go on reading, where the transport can do that; else `close`."""

    def abort(self) -> None:
        """Drop the TCP connection now."""

    def set_timeout(self, seconds: float, callback: Callable[[], None] | None) -> None:
        """Call back after `seconds` in place of the callback set before; 0 or `None`: no call."""


class Events(Protocol):
    """What a connection tells the shell.

    What `connection_receiver` gives is handed to the frame reader as it is: nothing of ours stands between the parser
    and the program. `connection_room` is the `room` of the `Sender`.
    """

    def connection_receiver(self) -> Callable[[bytes, bool], Any]: ...
    def connection_room(self, what: Sent, size: int) -> bool: ...
    def connection_ping(self, payload: bytes) -> None: ...
    def connection_pong(self, payload: bytes) -> None: ...
    def connection_close_frame(self, code: int | None, reason: str) -> None: ...
    def connection_timeout(self, what: str) -> None: ...
    def connection_result(self, value: Any) -> None: ...
    def connection_error(self, exc: Exception) -> None: ...
    def connection_stream(self) -> Any: ...
    def connection_handshake(self, request_or_response: Any) -> None: ...
    def connection_opened(self) -> None: ...
    def connection_failed(self, reason: str) -> None: ...


class _Nobody:
    """The sink and the events of a connection that is gone."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any) -> None:
    """Nobody is there to be told."""


_NOBODY: Any = _Nobody()


def _ignore(data: bytes) -> None:
    """The receiver of a connection that reads no more."""


def _not_open(*_: Any, **__: Any) -> NoReturn:
    raise Disconnected("expected an open WebSocket connection, got one that is not open")


def check_close(code: int | None, reason: str | None) -> None:
    """Returns when an application may close with these (RFC 6455 7.4). Raises `ValueError` or `TypeError`."""
    if code is not None:
        if not isinstance(code, int) or isinstance(code, bool):
            raise TypeError(f"expected a close code of type int, got {type(code).__name__}")
        if code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"expected close code 1000 or 3000 to 4999, got {code}")
    if reason is not None:
        if not isinstance(reason, str):
            raise TypeError(f"expected a close reason of type str, got {type(reason).__name__}")
        if code is None:
            raise ValueError("expected a close code with the close reason, got none")


def truncated(reason: str) -> bytes:
    """`reason` in UTF-8, cut between characters to the 123 octets that fit into a close frame."""
    data = reason.encode("utf-8", "replace")
    return data if len(data) <= 123 else data[:123].decode("utf-8", "ignore").encode()


class Connection(ABC):
    """What both roles share. `receive(data)` takes bytes; it raises `FrameError`, which goes to `violated`."""

    __slots__ = (
        "_masked",
        "_max_message",
        "_sender",
        "closed_by_me",
        "deflater",
        "dropped_by_me",
        "events",
        "failed_by_me",
        "inflater",
        "is_server",
        "local_close_code",
        "local_close_reason",
        "not_clean_reason",
        "options",
        "pmce",
        "reader",
        "receive",
        "remote_close_code",
        "remote_close_reason",
        "send_message",
        "sink",
        "state",
        "subprotocol",
        "was_clean",
        "was_close_handshake_timeout",
        "was_max_frame_exceeded",
        "was_max_message_exceeded",
        "was_open_handshake_timeout",
        "was_server_drop_timeout",
        "writer",
    )

    is_server: bool
    options: ServerOptions | ClientOptions

    def __init__(
        self,
        sink: Sink,
        events: Events,
        *,
        masked: bool,
        apply_mask: bool,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.sink = sink
        self.events = events
        self.writer = Writer(sink.wake, masked=masked, apply_mask=apply_mask, random=random)
        self.state = State.CONNECTING
        self.receive: Callable[[Any], None] = _ignore
        self.send_message: Callable[..., None] = _not_open
        self.reader: Reader | None = None
        self._sender: Sender | None = None
        self.pmce: PerMessageCompress | None = None
        self.inflater: Inflating | None = None
        self.deflater: Deflating | None = None
        self.subprotocol: str | None = None
        # close details
        self.was_clean = False
        self.not_clean_reason: str | None = None
        self.closed_by_me = False
        self.failed_by_me = False
        self.dropped_by_me = False
        self.local_close_code: int | None = None
        self.local_close_reason: str | None = None
        self.remote_close_code: int | None = None
        self.remote_close_reason: str | None = None
        self.was_open_handshake_timeout = False
        self.was_close_handshake_timeout = False
        self.was_server_drop_timeout = False
        self.was_max_frame_exceeded = False
        self.was_max_message_exceeded = False

    # -- open --------------------------------------------------------------------------------------------------

    def _open(self, pmce: PerMessageCompress | None, *, masked: bool | None) -> None:
        """State is OPEN: frames are read and may be sent."""
        options = self.options
        max_message = options.maxMessagePayloadSize
        if pmce is not None and pmce.max_message_size:
            max_message = min(max_message or pmce.max_message_size, pmce.max_message_size)
        self.pmce = pmce
        if pmce is not None:
            self.inflater = pmce.new_inflater(options.compressionBackend)
            self.deflater = pmce.new_deflater(options.compressionLevel, options.compressionBackend)
        self._masked = masked
        self._max_message = max_message
        self.reader = self._new_reader()
        self.writer.limit = FLUSH_SIZE
        self.writer.plain = plain_size(options, self.deflater)
        self.state = State.OPEN
        self.receive = self.reader.feed
        self.writer.long_way = self._send_long
        self.send_message = self.writer.send_message
        self.sink.set_timeout(0, None)

    def limit_messages(self, size: int) -> None:
        """Messages that begin from now on may have `size` octets, and no more than was agreed on; 0: that many."""
        if self.reader is not None:
            self.reader.limit(min(size or self._max_message, self._max_message or size))

    def _send_long(self, payload: Any, isBinary: Any, fragmentSize: Any, sync: Any, doNotCompress: Any) -> None:
        """A message that the writer does not send by itself: with wrong types, in fragments, compressed, or late."""
        if not isinstance(payload, bytes):
            raise AssertionError(f"expected payload of type bytes, got {type(payload).__name__}")
        if isBinary is not True and isBinary is not False:
            raise AssertionError(f"expected isBinary of type bool, got {type(isBinary).__name__}")
        sender = self.sender
        assert sender is not None
        sender.message(payload, isBinary, fragmentSize, not doNotCompress)

    @property
    def sender(self) -> Sender | None:
        """What sends that is no plain message; `None` unless the connection is open."""
        if self._sender is None and self.state is State.OPEN and self.reader is not None:
            self._sender = Sender(self.writer, self.options, self.deflater, self.events.connection_room)
        return self._sender

    def _new_reader(self) -> Reader:
        options, events = self.options, self.events
        return Reader(
            events.connection_receiver(),
            events.connection_ping,
            events.connection_pong,
            self._close_received,
            events.connection_result,
            events.connection_error,
            masked=self._masked,
            validate_utf8=options.utf8validateIncoming,
            apply_mask=options.applyMask,
            max_frame=options.maxFramePayloadSize,
            max_message=self._max_message,
            inflater=self.inflater,
            stream=events.connection_stream(),
        )

    def watch_receiver(self, own: dict[str, Any]) -> None:
        """`own` are the attributes of a protocol: from now on one that is put there as ``onMessage`` takes messages."""
        if self.reader is not None:
            self.reader.watch(own, self.renew_receiver)

    def renew_receiver(self) -> None:
        """Asks `connection_receiver` again who takes messages."""
        if self.reader is not None:
            self.reader.on_message = self.events.connection_receiver()

    # -- close -------------------------------------------------------------------------------------------------

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Starts the closing handshake (RFC 6455 7.1.2); nothing happens when it has started already.

        `code`: 1000 or 3000 to 4999; `reason` is cut to 123 octets. Raises `ValueError`, `TypeError`, and
        `Disconnected` before the connection is open.
        """
        check_close(code, reason)
        if self.state is State.CONNECTING:
            raise Disconnected("expected an open WebSocket connection, got one in its opening handshake")
        self.end(code, reason)

    def end(self, code: int | None, reason: str | None) -> None:
        """Starts the closing handshake with any code an endpoint may send, such as 1001 for a server that goes away.

        Nothing happens when the connection is not open; `close` is what applications may ask for.
        """
        if self.state is State.OPEN:
            self._send_close(code, reason)
            self.closed_by_me = True
            self.sink.set_timeout(self.options.closeHandshakeTimeout, self.close_timeout)

    def fail(self, code: int, reason: str) -> None:
        """Fails the connection (RFC 6455 7.1.7): close frame with `code` and `reason`, nothing is read any more.

        With `failByDrop` FIN follows at once, and the peer has a second to take the frame and go; else it gets
        `closeHandshakeTimeout` seconds to answer. Before the connection is open the opening handshake fails instead.
        """
        if self.state is State.CONNECTING:
            self.fail_opening(HandshakeError(500, reason))
            return
        if self.state is State.CLOSED or self.failed_by_me or self.was_clean:
            return
        self.failed_by_me = True
        self._stop_reading()
        if self.state is State.OPEN:
            self._send_close(code, reason)
            self.closed_by_me = True
        options = self.options
        if options.failByDrop:
            self.dropped_by_me = True
            self.not_clean_reason = f"I dropped the WebSocket TCP connection: {reason}"
            # Not close(): with unread octets that would be a reset, which takes our close frame away with it.
            self.sink.half_close()
            self.sink.set_timeout(LINGER_TIMEOUT, self.sink.abort)
            return
        self.not_clean_reason = f"I failed the WebSocket connection: {reason}"
        self.sink.set_timeout(options.closeHandshakeTimeout or LINGER_TIMEOUT, self.close_timeout)
        if self.is_server:
            # The reader is dead, so the answer is not read. FIN now: a client that answered would wait for it.
            self.sink.half_close()

    def violated(self, error: FrameError) -> None:
        """The peer broke the rules: reports it and fails the connection."""
        if error.code == 1009:
            is_frame = error.reason.startswith("expected a frame")
            self.was_max_frame_exceeded = is_frame
            self.was_max_message_exceeded = not is_frame
        self.events.connection_failed(f"{error.code}: {error.reason}")
        self.fail(error.code, error.reason)

    def drop(self, *, abort: bool, reason: str) -> None:
        """Closes the TCP connection without closing handshake; `abort`: without flushing."""
        if self.state is State.CLOSED:
            return
        self._stop_reading()
        self.state = State.CLOSING
        self.dropped_by_me = True
        if self.not_clean_reason is None:
            self.not_clean_reason = f"I dropped the WebSocket TCP connection: {reason}"
        if abort:
            self.sink.abort()
        else:
            self._finish()

    def lost(self) -> tuple[bool, int | None, str | None]:
        """The TCP connection is gone: state is CLOSED. The arguments for `onClose`: (wasClean, code, reason)."""
        if self.receive is not _ignore:
            self._stop_reading()
        self.state = State.CLOSED
        self.sink.set_timeout(0, None)
        self.sink = self.events = _NOBODY  # which refer to us; so all of it goes without the garbage collector
        if self.was_clean:
            return True, self.remote_close_code, self.remote_close_reason
        if self.not_clean_reason is None:
            self.not_clean_reason = "peer dropped the TCP connection without previous WebSocket closing handshake"
        return False, 1006, f'connection was closed uncleanly ("{self.not_clean_reason}")'

    @abstractmethod
    def fail_opening(self, error: HandshakeError) -> None:
        """The opening handshake failed; the role knows what the peer gets to see."""

    def _close_received(self, code: int | None, reason: str) -> None:
        self.remote_close_code = code
        self.remote_close_reason = reason or None
        self._stop_reading()
        self.events.connection_close_frame(code, reason)
        if self.state is State.OPEN:
            if self.options.echoCloseCodeReason:
                self._send_close(code, reason or None)
            else:
                self._send_close(1000, None)
        self.was_clean = True
        if self.is_server:  # RFC 6455 7.1.1: the server closes the TCP connection first
            self.dropped_by_me = True
            self._finish()
        else:
            assert isinstance(self.options, ClientOptions)
            self.sink.set_timeout(self.options.serverConnectionDropTimeout, self.drop_timeout)

    def _send_close(self, code: int | None, reason: str | None) -> None:
        payload = b"" if code is None else code.to_bytes(2, "big") + truncated(reason or "")
        self.writer.frame(CLOSE, payload)
        self.local_close_code = code
        self.local_close_reason = payload[2:].decode() or None
        self.state = State.CLOSING
        self.send_message = self.writer.long_way = _not_open
        self.writer.plain = -1
        self._sender = None

    def _stop_reading(self) -> None:
        self.receive = _ignore
        self.send_message = self.writer.long_way = _not_open
        self.writer.plain = -1
        self._sender = None
        if self.reader is not None:
            self.reader.stop()
            self.reader = None

    def _finish(self) -> None:
        self.sink.close()
        self.sink.set_timeout(DRAIN_TIMEOUT, self.sink.abort)

    # -- timers ------------------------------------------------------------------------------------------------

    def open_timeout(self) -> None:
        """The opening handshake took too long."""
        self.was_open_handshake_timeout = True
        self.events.connection_timeout("onOpenHandshakeTimeout")
        error = HandshakeError(
            408,
            "WebSocket opening handshake timeout (peer did not finish the opening handshake in time)",
        )
        self.fail_opening(error)

    def close_timeout(self) -> None:
        """The peer did not answer our close frame in time."""
        self.was_close_handshake_timeout = True
        self.events.connection_timeout("onCloseHandshakeTimeout")
        self._abort("WebSocket closing handshake timeout (peer did not finish the closing handshake in time)")

    def drop_timeout(self) -> None:
        """The server did not close the TCP connection after the closing handshake."""
        self.was_server_drop_timeout = True
        self.was_clean = False
        self.events.connection_timeout("onServerConnectionDropTimeout")
        self._abort("WebSocket closing handshake timeout (server did not drop TCP connection in time)")

    def ping_timeout(self) -> None:
        """The peer is silent."""
        if self.state is not State.CLOSED and not self.was_clean:
            self._abort("WebSocket ping timeout (peer did not respond with pong in time)")

    def _abort(self, reason: str) -> None:
        self.dropped_by_me = True
        if self.not_clean_reason is None:
            self.not_clean_reason = reason
        self._stop_reading()
        self.state = State.CLOSING
        self.sink.abort()

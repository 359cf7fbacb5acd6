"""A WAMP transport: one session object on one message-framing protocol (WebSocket or RawSocket)."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.log import printable
from autobahn.wamp.exception import ProtocolError, TransportLost
from autobahn.wamp.interfaces import ITransport
from autobahn.wamp.message import Message
from autobahn.wamp.serializer import codec_of

log = logging.getLogger("autobahn.wamp")

_PLAIN_TEXT = frozenset({int, str, bool, type(None)})  # values that JSON takes as they are
_PLAIN = _PLAIN_TEXT | {float, bytes}


class Channel(Protocol):
    """What a link needs of the protocol that frames its messages."""

    @property
    def is_closed(self) -> Any:
        """A future that is done when the channel is closed."""

    @property
    def peer(self) -> Any:
        """Who is at the other end."""

    def channel_send(self, data: bytes, binary: bool) -> None:
        """Send one message; Disconnected when the channel is not open."""

    def channel_open(self) -> bool:
        """Whether messages can be sent."""

    def channel_close(self, code: int, reason: str | None) -> None:
        """Close in order (1000), or because of an error."""

    def channel_details(self) -> Any:
        """The `TransportDetails`."""


def channel_ids(transport: Any) -> dict[str, bytes]:
    """What authentication can be bound to: ``tls-unique`` up to TLS 1.2 (RFC 5929), ``tls-exporter`` (RFC 9266).

    The second one needs an interpreter whose ``ssl`` offers it; CPython 3.11 to 3.14 has the first one only.
    """
    ssl_object = None if transport is None else transport.get_extra_info("ssl_object")
    if ssl_object is None:
        return {}
    names = {"tls-exporter"} if ssl_object.version() == "TLSv1.3" else {"tls-unique", "tls-exporter"}
    found = {name: ssl_object.get_channel_binding(name) for name in names.intersection(ssl.CHANNEL_BINDING_TYPES)}
    return {name: data for name, data in found.items() if data is not None}


def peer_certificate(transport: Any) -> dict[str, Any] | None:
    """What the peer's TLS certificate says, if it was asked for and checked: values that travel.

    Keys: ``sha256`` and ``sha1`` (fingerprints, "AB:CD:..."), ``subject`` and ``issuer`` (by attribute, like
    ``commonName``), ``subject_alt_names`` (pairs), ``serial``, ``not_before``, ``not_after``.
    """
    ssl_object = None if transport is None else transport.get_extra_info("ssl_object")
    encoded = None if ssl_object is None else ssl_object.getpeercert(True)
    if (
        ssl_object is None or encoded is None or not (checked := ssl_object.getpeercert())
    ):  # empty for a certificate that nobody has checked
        return None
    import hashlib

    return {
        "sha256": _colons(hashlib.sha256(encoded).hexdigest()),
        "sha1": _colons(hashlib.sha1(encoded, usedforsecurity=False).hexdigest()),
        "subject": {name: value for part in checked.get("subject", ()) for name, value in part},
        "issuer": {name: value for part in checked.get("issuer", ()) for name, value in part},
        "subject_alt_names": [[kind, str(value)] for kind, value in checked.get("subjectAltName", ())],
        "serial": checked.get("serialNumber"),
        "not_before": checked.get("notBefore"),
        "not_after": checked.get("notAfter"),
    }


def _colons(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2)).upper()


@ITransport.register
class WampLink:
    """The transport object that a session gets in ``onOpen`` and sends its messages with."""

    __slots__ = (
        "_binary", "_decode", "_encode", "_frame", "_parts", "_send", "channel", "codec", "serializer", "session",
    )  # fmt: skip

    def __init__(self, channel: Channel, session: Any, serializer: Any) -> None:
        self.channel = channel
        self.session = session
        self.serializer = serializer
        self.codec = codec_of(serializer)
        self._frame: Callable[[bytes], bytes] | None = None  # how messages are framed that travel in batches
        self._parts: Callable[[bytes], Iterable[Message]] | None = None  # the messages of a batch
        if getattr(serializer, "batched", False) and self.codec is serializer.codec:
            self._frame, self._parts = serializer.batch, self._split
        elif self.codec.is_foreign:
            self._parts = self.codec.decode_all
        self._binary: bool = self.codec.binary
        self._send = channel.channel_send
        self._encode: Callable[[Message], bytes] = self.codec.encode
        self._decode: Callable[[bytes], Message] = (
            self.codec.decode_raw if getattr(session, "raw_payload", False) else self.codec.decode
        )

    # ---- for the session --------------------------------------------------------------------------------

    def send(self, msg: Message) -> None:
        """Serialize and send ``msg``; TransportLost, SerializationError or PayloadExceededError otherwise."""
        data = self._encode(msg)
        if self._frame is not None:
            data = self._frame(data)
        try:
            self._send(data, self._binary)
        except Disconnected as exc:
            raise TransportLost(str(exc)) from None

    def send_encoded(self, data: bytes) -> None:
        """Send a message that is serialized with ``codec`` already."""
        if self._frame is not None:
            data = self._frame(data)
        try:
            self._send(data, self._binary)
        except Disconnected as exc:
            raise TransportLost(str(exc)) from None

    def carrier(self) -> Callable[[list[Any], tuple[Any, ...]], bool] | None:
        """What sends a message given by its elements and its Arguments, all values of which are plain; or None.

        It raises as `send` does, and returns False when something about the message has to be looked at: `send` it.
        """
        encode, send, binary = self.codec.carry, self._send, self._binary
        if encode is None or self._frame is not None or self._parts is not None:
            return None
        plain = _PLAIN if binary else _PLAIN_TEXT

        def carry(row: list[Any], args: tuple[Any, ...]) -> bool:
            for value in args:
                if type(value) not in plain:
                    return False
            try:
                data = encode(row)
            except Exception:
                return False  # `send` will say why not
            if not binary and data.find(b"\\") >= 0:
                return False  # it may be an escaped NUL
            try:
                send(data, binary)
            except Disconnected as exc:
                raise TransportLost(str(exc)) from None
            return True

        return carry

    async def drain(self) -> None:
        """Returns when the peer has taken enough of what was sent; TransportLost when the channel ends."""
        drain = getattr(self.channel, "drain", None)
        if drain is not None:
            try:
                await drain()
            except Disconnected as exc:
                raise TransportLost(str(exc)) from None

    def isOpen(self) -> bool:
        """Whether messages can be sent."""
        return self.session is not None and self.channel.channel_open()

    def close(self) -> None:
        """Close the transport in order; ``onClose`` of the session follows."""
        self.channel.channel_close(1000, None)

    def abort(self) -> None:
        """Close the transport without waiting for anything."""
        self.channel.channel_close(1001, None)

    @property
    def is_closed(self) -> Any:
        """A future that is done when the transport is closed."""
        return self.channel.is_closed

    @property
    def serializer_id(self) -> str:
        """The id of the serializer in use, like "cbor.batched"."""
        return str(self.serializer.SERIALIZER_ID)

    @property
    def transport_details(self) -> Any:
        """The `TransportDetails` of the connection."""
        return self.channel.channel_details()

    # ---- for the protocol ---------------------------------------------------------------------------------

    def open(self) -> None:
        """The channel is open: hand this link to the session; an error in it closes the channel (1011)."""
        try:
            self.session.onOpen(self)
        except Exception as exc:
            self._internal_error(exc)

    def receive(self, data: bytes, binary: bool | None = None) -> None:
        """One message of the channel, for the session. `binary`: None if the channel does not tell."""
        session = self.session
        if session is None:
            return
        try:
            if binary is not None and binary is not self._binary:
                expected, got = ("binary", "text") if self._binary else ("text", "binary")
                raise ProtocolError(f"expected {expected} messages for {self.codec.name}, got a {got} one")
            if self._parts is None:
                session.onMessage(self._decode(data))
            else:
                for msg in self._parts(data):
                    session.onMessage(msg)
        except Exception as exc:
            self._failed(exc)

    def receiver(self) -> Callable[..., None]:
        """What does as `receive`, with fewer calls for each message."""
        decode, expected = self._decode, self._binary
        if self._parts is not None:
            return self.receive

        def receive(data: bytes, binary: bool = expected) -> None:
            session = self.session
            if session is None:
                return
            if binary is not expected:
                self.receive(data, binary)  # refuses it
                return
            try:
                session.onMessage(decode(data))
            except Exception as exc:
                self._failed(exc)

        return receive

    def _failed(self, exc: Exception) -> None:
        """A message could not be processed."""
        if isinstance(exc, ProtocolError):
            self._violation(exc)
        elif not isinstance(exc, TransportLost):  # else closed while its last messages were processed
            self._internal_error(exc)

    def _split(self, data: bytes) -> Iterator[Message]:
        """The messages of a batch, each decoded when its turn has come; the peer is answered in its own framing."""
        if data.endswith(b"\x1e") and not self._binary:
            self._frame = self._frame_as_specified
        return map(self._decode, self.serializer.split(data))

    @staticmethod
    def _frame_as_specified(data: bytes) -> bytes:
        """The separator of the specification; autobahn and crossbar use another one."""
        return data + b"\x1e"

    def paused(self) -> None:
        """The channel takes no more for a while, because the peer reads too slowly."""

    def resumed(self) -> None:
        """The channel takes more again."""

    def closed(self, was_clean: bool) -> None:
        """The channel is gone; the session hears of it once."""
        session, self.session = self.session, None
        self._parts = None  # may be a method of this object
        if session is not None:
            session.onClose(was_clean)

    def _violation(self, exc: ProtocolError) -> None:
        """The one place where a violation of the peer becomes ABORT and the end of the transport."""
        log.warning("WAMP protocol violation by %s: %s", self.channel.peer, printable(str(exc)))
        with contextlib.suppress(TransportLost, PayloadExceededError):  # the peer may be gone already
            self.session.onProtocolError(exc)
        self.channel.channel_close(1002, f"WAMP Protocol Error ({exc})")

    def _internal_error(self, exc: Exception) -> None:
        log.error("error while processing a WAMP message of %s", self.channel.peer, exc_info=exc)
        self.channel.channel_close(1011, f"WAMP Internal Error ({type(exc).__name__})")

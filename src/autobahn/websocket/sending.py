"""What an open connection sends: whole messages, messages in pieces, pings and pongs (RFC 6455 5.4, 5.5)."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Protocol

from autobahn.exception import PayloadExceededError
from autobahn.websocket._masking import mask as xor
from autobahn.websocket.frames import BINARY, CONTINUATION, PING, PONG, TEXT, Writer
from autobahn.websocket.options import Options


class Deflating(Protocol):
    """The compressor of one direction: all of a message goes through `compress`, then `end_message`."""

    def compress(self, data: bytes, /) -> bytes: ...
    def end_message(self) -> bytes: ...


class Sent(enum.Enum):
    """What is to be sent when room is asked for."""

    MESSAGE = enum.auto()
    PIECE = enum.auto()
    CONTROL = enum.auto()


Room = Callable[[Sent, int], bool]

FLUSH_SIZE = 262144
"""Octets in the writer beyond which they are handed on before more is added: as many as one read brings."""


def special_frame(
    opcode: int, payload: bytes, fin: bool, rsv: int, mask: bytes | None, size: int | None, *, masked: bool
) -> bytes:
    """Any frame there can be, legal or not (RFC 6455 5.2). `rsv`: 0 to 7. `size`: the payload is repeated to this."""
    if not 0 <= opcode <= 15 or not 0 <= rsv <= 7:
        raise ValueError(f"expected an opcode from 0 to 15 and rsv from 0 to 7, got {opcode} and {rsv}")
    if size is not None:
        if not payload:
            raise ValueError("expected octets that fill payload_len, got none")
        payload = (payload * (size // len(payload) + 1))[:size]
    if mask is None and masked:
        mask = os.urandom(4)
    size, bit = len(payload), 0x80 if mask else 0
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + (payload if mask is None else mask + xor(payload, mask))


def plain_size(options: Options, deflater: Deflating | None) -> int:
    """Octets of a message that its writer sends at once, because there is nothing else to do about it; -1: none."""
    return -1 if deflater is not None or options.autoFragmentSize else options.maxMessagePayloadSize or 1 << 62


class Sender:
    """Sends messages through the `writer` of an open connection, compressed when there is a `deflater`.

    Of its options count `maxMessagePayloadSize` (before compression: the receiver counts the same) and
    `autoFragmentSize`. `room`: asked with what is to be sent and its size whenever the writer holds more than its
    `limit` of octets; it returns whether to send it, or raises.
    """

    __slots__ = (
        "_deflater",
        "_fragment_size",
        "_max_message",
        "_opcode",
        "_piece",
        "_plain",
        "_room",
        "_rsv1",
        "_sent",
        "_writer",
    )

    def __init__(self, writer: Writer, options: Options, deflater: Deflating | None, room: Room) -> None:
        self._writer = writer
        self._room = room
        self._plain = plain_size(options, deflater)
        self._max_message = options.maxMessagePayloadSize
        self._fragment_size = options.autoFragmentSize
        self._deflater = deflater
        # The message in pieces: opcode of its next frame (-1: there is none), octets sent of it so far,
        # octets missing in its present frame (-1: there is none).
        self._opcode = -1
        self._rsv1 = False
        self._sent = 0
        self._piece = -1

    def message(
        self, payload: bytes, is_binary: bool = False, fragment_size: int | None = None, compress: bool = True
    ) -> None:
        """Sends a whole message. Raises `PayloadExceededError`, `ValueError`, and `RuntimeError` within another."""
        size = len(payload)
        if self._max_message and size > self._max_message:
            raise PayloadExceededError(f"expected a message of at most {self._max_message} octets, got {size}")
        if self._opcode >= 0:
            raise RuntimeError("expected endMessage() before another message, got a new message")
        deflater = self._deflater if compress else None
        if fragment_size is None:
            fragment_size = self._fragment_size
        elif fragment_size < 1 and size:
            raise ValueError(f"expected fragmentSize of 1 or more octets, got {fragment_size}")
        if self._writer.size > self._writer.limit and not self._room(Sent.MESSAGE, size):
            return
        if deflater is not None:
            payload = deflater.compress(payload) + deflater.end_message()
            size = len(payload)
        frame = self._writer.frame
        opcode = BINARY if is_binary else TEXT
        if not fragment_size or size <= fragment_size:
            frame(opcode, payload, True, deflater is not None)
            return
        # RFC 7692 6.1: RSV1 is set on the first frame only
        frame(opcode, payload[:fragment_size], False, deflater is not None)
        last = (size - 1) // fragment_size * fragment_size
        for start in range(fragment_size, last, fragment_size):
            frame(CONTINUATION, payload[start : start + fragment_size], False)
        frame(CONTINUATION, payload[last:], True)

    def encoded(self, frame: bytes) -> None:
        """Sends a whole message that is a frame already."""
        if self._writer.size <= self._writer.limit or self._room(Sent.MESSAGE, len(frame)):
            self._writer.raw(frame)

    @property
    def in_message(self) -> bool:
        """Whether a message in pieces has begun and not ended."""
        return self._opcode >= 0

    def begin_message(self, is_binary: bool = False, compress: bool = True) -> None:
        """Begins a message in pieces."""
        if self._opcode >= 0:
            raise RuntimeError("expected endMessage() before another message, got beginMessage()")
        self._writer.plain = -1
        self._opcode = BINARY if is_binary else TEXT
        self._rsv1 = compress and self._deflater is not None
        self._sent = 0
        self._piece = -1

    def begin_frame(self, length: int) -> None:
        """Begins a piece of `length` octets, which `frame_data` brings."""
        self._check_between_frames("beginMessageFrame()")
        if not isinstance(length, int) or not 0 <= length < 1 << 63:
            raise ValueError(f"expected a frame length from 0 to 2**63 - 1, got {length!r}")
        self._piece = length

    def frame_data(self, payload: bytes) -> int:
        """Sends octets of the present piece; octets still missing, 0: it is complete, below 0: the surplus.

        Every call leaves as a frame of its own (RFC 6455 5.4 leaves the cutting to the sender): so nothing is
        held back, and a ping or pong may go out in the middle of a piece.
        """
        if self._opcode < 0 or self._piece < 0:
            raise RuntimeError("expected beginMessageFrame() first, got sendMessageFrameData()")
        missing = self._piece - len(payload)
        self._emit(payload if missing >= 0 else payload[: self._piece], fin=False)
        self._piece = missing if missing > 0 else -1
        return missing

    def frame(self, payload: bytes) -> None:
        """Sends a whole piece."""
        self._check_between_frames("sendMessageFrame()")
        self._emit(payload, fin=False)

    def end_message(self) -> None:
        """Ends the message in pieces."""
        self._check_between_frames("endMessage()")
        self._emit(b"", fin=True)
        self._opcode = -1
        self._writer.plain = self._plain

    def ping(self, payload: bytes = b"") -> None:
        """Sends a ping with at most 125 octets."""
        self._control(PING, payload)

    def pong(self, payload: bytes = b"") -> None:
        """Sends a pong with at most 125 octets."""
        self._control(PONG, payload)

    def _control(self, opcode: int, payload: bytes) -> None:
        if len(payload) > 125:
            raise ValueError(f"expected at most 125 octets in a ping or pong, got {len(payload)}")
        if self._writer.size <= self._writer.limit or self._room(Sent.CONTROL, len(payload)):
            self._writer.frame(opcode, payload)

    def _check_between_frames(self, call: str) -> None:
        if self._opcode < 0:
            raise RuntimeError(f"expected beginMessage() first, got {call}")
        if self._piece >= 0:
            raise RuntimeError(f"expected {self._piece} more octets of the frame first, got {call}")

    def _emit(self, payload: bytes, *, fin: bool) -> None:
        self._sent += len(payload)
        if self._max_message and self._sent > self._max_message:
            self._sent -= len(payload)
            raise PayloadExceededError(f"expected a message of at most {self._max_message} octets, got more")
        if self._writer.size > self._writer.limit:
            self._room(Sent.PIECE, len(payload))
        if self._rsv1:
            assert self._deflater is not None
            payload = self._deflater.compress(payload)
            if fin:
                payload += self._deflater.end_message()
        elif not payload and not fin:
            return
        if payload or fin:
            first = self._opcode != CONTINUATION
            self._writer.frame(self._opcode, payload, fin, self._rsv1 and first)
            self._opcode = CONTINUATION

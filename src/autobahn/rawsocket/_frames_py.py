"""The Python twin of the compiled RawSocket frames `_frames`: the same events and errors for the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from autobahn.rawsocket.errors import FrameError
from autobahn.rawsocket.handshake import MAX_LENGTH

__all__ = ("MESSAGE", "PING", "PONG", "Reader", "Writer", "head")

MESSAGE = 0
PING = 1
PONG = 2

_HEAD = struct.Struct(">I")
_pack = _HEAD.pack
_unpack_from = _HEAD.unpack_from
_NAMES = ("message", "ping", "pong")


def head(kind: int, length: int) -> bytes:
    """The head of a frame; the 25th bit of the length is for exactly 2^24 octets."""
    return _HEAD.pack(kind << 24 | length if length < MAX_LENGTH else (kind | 8) << 24)


def _ignore(payload: bytes) -> None:
    """Stands for the callbacks of a reader that is stopped."""


class Writer:
    """Gathers frames; `wake()` is called when it stops being empty while not `corked`.

    `limit`: octets of a payload that `message` takes by itself; what is longer goes to `long_way(payload)`, and with -1
    everything does. One comparison on the usual way answers whether a message may be sent at all.
    """

    __slots__ = ("_limit", "_parts", "_wake", "corked", "long_way", "size")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._parts: list[bytes] = []
        self._limit = MAX_LENGTH - 1
        self.long_way: Callable[[bytes], None] = partial(self.frame, MESSAGE)
        self.corked = False
        self.size = 0  # octets waiting

    @property
    def limit(self) -> int:
        """The longest payload of a message that takes the usual way."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = min(limit, MAX_LENGTH - 1)  # the head of a longer one is another

    def frame(self, kind: int, payload: bytes) -> None:
        """Append one frame. The caller answers for its length."""
        if type(payload) is not bytes:
            payload = bytes(memoryview(payload))  # the program may change it later
        length = len(payload)
        if not self.size and not self.corked:
            self._wake()
        self.size += 4 + length
        self._parts += (head(kind, length), payload)

    def message(self, payload: bytes, binary: bool = True) -> None:
        """Append a message, or take the long way. `binary` is for interfaces that ask: RawSocket does not know it."""
        length = len(payload)
        if length > self._limit:
            self.long_way(payload)
            return
        if not self.size and not self.corked:
            self._wake()
        self.size += 4 + length
        self._parts += (_pack(length), payload)

    def raw(self, data: bytes) -> None:
        """Append octets as they are."""
        if data and not self.size and not self.corked:
            self._wake()
        self.size += len(data)
        self._parts.append(data)

    def take(self) -> bytes:
        """All octets waiting, in one piece; nothing waits afterwards."""
        parts, self._parts = self._parts, []
        self.size = 0
        return b"".join(parts)

    def flush(self, write: Callable[[bytes], object]) -> None:
        """Hand all octets waiting to `write`."""
        if self.size:
            write(self.take())


class Reader:
    """Calls back once per complete frame, in place.

    `feed` raises `FrameError` for a frame that is not allowed, before any of its payload is kept, and `RuntimeError`
    when a callback calls it. The time it takes is proportional to the octets fed, however they are split.
    """

    __slots__ = (
        "_buffer", "_kind", "_limit", "_missing", "_on_ping", "_on_pong", "_plain", "_stopped", "_working",
        "on_message",
    )  # fmt: skip

    def __init__(
        self,
        on_message: Callable[[bytes], object],
        on_ping: Callable[[bytes], object],
        on_pong: Callable[[bytes], object],
        limit: int = MAX_LENGTH,
    ) -> None:
        self.on_message = on_message
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._buffer = bytearray()  # of a head (kind < 0) or of a payload
        self._kind = -1
        self._missing = 0  # octets of the payload that are not in the buffer
        self._stopped = False
        self._working = False
        self.limit = limit

    @property
    def limit(self) -> int:
        """The longest payload allowed."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if not self._stopped:
            self._plain = min(limit, MAX_LENGTH - 1)  # heads up to here are messages of that length

    @property
    def is_idle(self) -> bool:
        """Whether no frame has begun."""
        return self._kind < 0 and not self._buffer

    def stop(self) -> None:
        """Nothing is called any more, nor referred to, and what is fed is ignored."""
        self.on_message = self._on_ping = self._on_pong = _ignore
        self._stopped = True
        self._plain = -1
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take octets of the peer."""
        if self._stopped:
            return
        if self._working:
            raise RuntimeError("expected feed() outside of callbacks, got a call from within one")
        self._working = True
        try:
            self._take_in(data)
        finally:
            self._working = False

    def _take_in(self, data: bytes) -> None:
        at = 0 if self._kind < 0 and not self._buffer else self._resume(data)
        end = len(data)
        plain = self._plain
        while plain >= 0:
            begin = at + 4
            if begin > end:
                if at < end:
                    self._buffer += data[at:]
                return
            (length,) = _unpack_from(data, at)
            kind = MESSAGE
            if length > plain:
                kind, length = self._parse(length)
            at = begin + length
            if at > end:
                self._buffer += data[begin:]
                self._kind = kind
                self._missing = at - end
                return
            if kind == MESSAGE:
                self.on_message(data[begin:at])
            else:
                self._call(kind, data[begin:at])
            plain = self._plain  # a callback may have changed the limit, or stopped us

    def _resume(self, data: bytes) -> int:
        """Go on with the frame that has begun; how many octets of ``data`` it took."""
        buffer = self._buffer
        at = 0
        if self._kind < 0:
            at = 4 - len(buffer)
            buffer += data[:at]
            if len(buffer) < 4:
                return len(data)
            (word,) = _HEAD.unpack(buffer)
            buffer.clear()
            self._kind, self._missing = self._parse(word)
        missing = self._missing
        if len(data) - at < missing:
            buffer += data[at:] if at else data
            self._missing = missing - (len(data) - at)
            return len(data)
        buffer += data[at : at + missing]
        kind, self._kind = self._kind, -1
        self._buffer = bytearray()
        self._call(kind, bytes(buffer))
        return at + missing

    def _parse(self, word: int) -> tuple[int, int]:
        """Type and length of the frame with this head."""
        octet, length = word >> 24, word & 0xFFFFFF
        kind = octet & 7
        if octet & 0xF0 or kind > PONG:
            raise FrameError(f"expected a frame of type 0, 1 or 2 without reserved bits, got the octet 0x{octet:02x}")
        if octet & 8:
            if length:
                raise FrameError(f"expected length 0 beside the 25th bit, got {length}")
            length = MAX_LENGTH
        if length > self._limit:
            raise FrameError(f"expected a {_NAMES[kind]} of at most {self._limit} octets, got {length}")
        return kind, length

    def _call(self, kind: int, payload: bytes) -> None:
        if kind == MESSAGE:
            self.on_message(payload)
        elif kind == PING:
            self._on_ping(payload)
        else:
            self._on_pong(payload)

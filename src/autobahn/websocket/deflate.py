"""The permessage-deflate engine (RFC 7692 section 7.2): what happens to the octets once both ends agreed.

Contexts are made when the first message needs them. `no_context_takeover` drops them after each message.
"""

import zlib
from typing import Protocol

from autobahn.websocket.errors import FrameError

__all__ = ["Deflater", "Inflater"]

_FLUSH_TAIL = b"\x00\x00\xff\xff"
_SLICE = 8192  # zlib copies what it did not consume, so it gets no more than this at once
_BAD_DATA = "expected deflate data, got octets that zlib refuses"
_MAX_STREAMS = 64  # deflate streams in one message: each costs a new context


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int = ..., /) -> bytes: ...


class _Compressor(Protocol):
    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


def _raw_bits(window_bits: int) -> int:
    """zlib's `wbits` for a raw deflate stream within a window of 2**window_bits octets."""
    if not 8 <= window_bits <= 15:
        raise ValueError(f"expected window bits from 8 to 15, got {window_bits}")
    # zlib refuses a raw window of 8 bits. With 9 it refers back at most 512 - 262 = 250 octets, which a
    # window of 8 bits holds; and what was made with 8 can be read with 9.
    return -max(window_bits, 9)


class Inflater:
    """Inflates the messages of one direction in bounded steps (the `inflater` of a `Reader`)."""

    __slots__ = ("_context", "_no_context_takeover", "_rest", "_streams", "_unfinished", "_wbits")

    def __init__(self, *, window_bits: int = 15, no_context_takeover: bool = False) -> None:
        self._wbits = _raw_bits(window_bits)
        self._no_context_takeover = no_context_takeover
        self._context: _Decompressor | None = None
        self._rest = memoryview(b"")  # given to us, not yet to zlib
        self._unfinished = False  # the present stream got octets of the present message
        self._streams = 0  # that ended in the present message

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """The next octets, at most `max_length` (more than 0).

        A result of exactly `max_length` octets means there may be more: ask again with `b""`; only after a
        shorter one may new `data` be given.
        """
        if data:
            self._rest = memoryview(data)
        try:
            out = self._inflate(max_length)
            if not self._rest or len(out) == max_length:
                return out
            parts = [out]
            room = max_length - len(out)
            while room and self._rest:
                out = self._inflate(room)
                room -= len(out)
                parts.append(out)
        except zlib.error as exc:
            raise FrameError(1007, _BAD_DATA) from exc
        return b"".join(parts)

    def end_message(self, max_length: int) -> bytes:
        """The last octets of the message, at most `max_length`; the next message may begin."""
        out = b""
        context = self._context
        if self._unfinished and context is not None:  # else nothing came, or its last block said it was final
            try:
                out = context.decompress(_FLUSH_TAIL, max_length)
            except zlib.error as exc:
                raise FrameError(1007, _BAD_DATA) from exc
            if context.eof:
                self._context = None
        self._unfinished = False
        self._streams = 0
        if self._no_context_takeover:
            self._context = None
        return out

    def _inflate(self, room: int) -> bytes:
        """What one call of zlib gives."""
        context = self._context
        if context is None:
            if not self._rest:
                return b""
            context = self._context = zlib.decompressobj(self._wbits)
        data: bytes | memoryview = context.unconsumed_tail
        if not data and self._rest:
            data = self._rest[:_SLICE]
            self._rest = self._rest[_SLICE:]
            self._unfinished = True
        out = context.decompress(data, room)  # without input it gives what it held back for want of room
        if context.eof:
            self._end_stream(context.unused_data)
        return out

    def _end_stream(self, unused: bytes) -> None:
        """A block with BFINAL came (RFC 7692 7.2.3.4): what follows is a new stream."""
        self._context = None
        self._unfinished = False
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise FrameError(1007, f"expected at most {_MAX_STREAMS} final deflate blocks in a message, got more")
        if unused:
            self._rest = memoryview(b"".join((unused, self._rest)))


class Deflater:
    """Deflates the messages of one direction."""

    __slots__ = ("_context", "_level", "_mem_level", "_no_context_takeover", "_wbits")

    def __init__(
        self,
        *,
        window_bits: int = 15,
        no_context_takeover: bool = False,
        level: int = zlib.Z_DEFAULT_COMPRESSION,
        mem_level: int = 8,
    ) -> None:
        self._wbits = _raw_bits(window_bits)
        self._no_context_takeover = no_context_takeover
        if not -1 <= level <= 9:
            raise ValueError(f"expected a compression level from -1 to 9, got {level}")
        if not 1 <= mem_level <= 9:
            raise ValueError(f"expected a memory level from 1 to 9, got {mem_level}")
        self._level = level
        self._mem_level = mem_level
        self._context: _Compressor | None = None

    def message(self, data: bytes | bytearray | memoryview) -> bytes:
        """The payload of one whole message."""
        out = self.compress(data)
        end = self.end_message()
        return out + end if out else end

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """What can be sent of the message so far; may be empty."""
        context = self._context
        if context is None:
            context = self._context = zlib.compressobj(self._level, zlib.DEFLATED, self._wbits, self._mem_level)
        return context.compress(data)

    def end_message(self) -> bytes:
        """The last octets of the message; the next message may begin."""
        out = b"" if self._context is None else self._context.flush(zlib.Z_SYNC_FLUSH)
        if self._no_context_takeover:
            self._context = None
        # RFC 7692 7.2.1: the tail goes. zlib flushes nothing after a flush: 7.2.3.6 says how nothing looks.
        return out[:-4] if out else b"\x00"

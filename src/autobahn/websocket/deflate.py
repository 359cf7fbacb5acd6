"""The permessage-deflate engine (RFC 7692 section 7.2): what happens to the octets once both ends agreed.

Contexts are made when a message needs them. `no_context_takeover` drops them after each message; `release` gives them
back between messages: a compressor may forget what it sent, and what a decompressor has to remember is kept instead.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from autobahn.websocket.errors import FrameError

__all__ = ["AUTO", "BACKENDS", "Deflater", "Inflater", "backend_name", "load_backend"]

BACKENDS = {"zlib": "zlib", "isal": "isal.isal_zlib", "zlib-ng": "zlib_ng.zlib_ng"}
"""Modules with the interface of `zlib` by name."""
AUTO = "auto"
"""In place of a name: isal when it is installed, else zlib.

100 KiB of JSON at our defaults: isal takes 135 µs for 28 KB, zlib 750 µs for 30 KB. zlib-ng is taken only when it is
named: its level 1 takes 210 µs for 42 KB, its level 2 about what zlib takes, and a context of it 150 KiB (zlib 33; isal
31, and up to 140 after long messages).
"""
_SLACK = 4096  # octets of history beyond the window before the oldest are dropped
_PACKED = 4096  # from so many octets on, the history of an idle decompressor is kept compressed


@cache
def _fastest() -> str:
    try:
        importlib.import_module(BACKENDS["isal"])
    except ImportError:
        return "zlib"
    return "isal"


def backend_name(name: str) -> str:
    """`name`, or what `AUTO` stands for here."""
    return _fastest() if name == AUTO else name


def load_backend(name: str) -> Any:
    """The module of this name. Raises `ImportError` when it is not installed, `ValueError` for another name."""
    name = backend_name(name)
    if name not in BACKENDS:
        raise ValueError(f"expected a backend out of {', '.join((AUTO, *BACKENDS))}, got {name!r}")
    try:
        return importlib.import_module(BACKENDS[name])
    except ImportError:
        raise ImportError(f"expected the package {name!r} to be installed for compression with it") from None


_FLUSH_TAIL = b"\x00\x00\xff\xff"
_SLICE = 8192  # zlib copies what it did not consume, so it gets no more than this at once
_BAD_DATA = "expected deflate data, got octets that zlib refuses"
_NOTHING = memoryview(b"")
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

    __slots__ = (
        "_context",
        "_history",
        "_no_context_takeover",
        "_packed",
        "_rest",
        "_streams",
        "_unfinished",
        "_wbits",
        "_zlib",
        "on_context",
        "uses",
    )

    def __init__(self, *, window_bits: int = 15, no_context_takeover: bool = False, backend: str = "zlib") -> None:
        self._zlib = load_backend(backend)
        self._history: bytearray | None = None  # what came out last, a window of it: what the peer may refer to
        self._packed: bytes | None = None  # that in place of the context, compressed
        self.on_context: Callable[[], None] | None = None
        """Called when a context is made."""
        self.uses = 0
        """Messages so far."""
        self._wbits = _raw_bits(window_bits)
        self._no_context_takeover = no_context_takeover
        self._context: _Decompressor | None = None
        self._rest = _NOTHING  # given to us, not yet to zlib
        self._unfinished = False  # the present stream got octets of the present message
        self._streams = 0  # that ended in the present message

    def decompress(self, data: bytes | bytearray, max_length: int) -> bytes:
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
        except self._zlib.error as exc:
            raise FrameError(1007, _BAD_DATA) from exc
        return b"".join(parts)

    def release(self) -> bool:
        """Gives the context back, if it is between two messages; whether there is none."""
        if self._unfinished or self._rest:
            return self._context is None
        self._context = None
        history = self._history
        if history is not None and len(history) >= _PACKED:
            del history[: -(1 << -self._wbits)]
            packed = zlib.compress(history, 1)
            if len(packed) < len(history):
                self._packed = packed
                self._history = None
        return True

    def end_message(self, max_length: int) -> bytes:
        """The last octets of the message, at most `max_length`; the next message may begin."""
        out = b""
        context = self._context
        if self._unfinished and context is not None:  # else nothing came, or its last block said it was final
            try:
                out = context.decompress(_FLUSH_TAIL, max_length)
            except self._zlib.error as exc:
                raise FrameError(1007, _BAD_DATA) from exc
            self._remember(out)
            if context.eof:
                self._context = None
                self._history = None
        self._unfinished = False
        self._streams = 0
        self.uses += 1
        if self._no_context_takeover:
            self._context = None
            self._history = None
        return out

    def _remember(self, out: bytes) -> None:
        if self._no_context_takeover or not out:
            return
        window = 1 << -self._wbits
        history = self._history
        if history is None or len(out) >= window:
            self._history = bytearray(memoryview(out)[-window:])
            return
        if (size := len(history) + len(out)) > window + _SLACK:
            del history[: size - window]
        history += out

    def _new_context(self) -> _Decompressor:
        if self._packed is not None:
            self._history = bytearray(zlib.decompress(self._packed))
            self._packed = None
        history = self._history
        context: _Decompressor
        if history:  # a context was given back
            context = self._zlib.decompressobj(self._wbits, zdict=bytes(history[-(1 << -self._wbits) :]))
        else:
            context = self._zlib.decompressobj(self._wbits)
        if self.on_context is not None:
            self.on_context()
        return context

    def _inflate(self, room: int) -> bytes:
        """What one call of zlib gives."""
        context = self._context
        if context is None:
            if not self._rest:
                return b""
            context = self._context = self._new_context()
        data: bytes | memoryview = context.unconsumed_tail
        if not data and self._rest:
            data = self._rest[:_SLICE]
            self._rest = self._rest[_SLICE:] if len(self._rest) > _SLICE else _NOTHING  # a view keeps all of its data
            self._unfinished = True
        out = context.decompress(data, room)  # without input it gives what it held back for want of room
        self._remember(out)
        if context.eof:
            self._end_stream(context.unused_data)
        return out

    def _end_stream(self, unused: bytes) -> None:
        """A block with BFINAL came (RFC 7692 7.2.3.4): what follows is a new stream."""
        self._context = None
        self._history = None  # the window ends with the stream
        self._unfinished = False
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise FrameError(1007, f"expected at most {_MAX_STREAMS} final deflate blocks in a message, got more")
        if unused:
            self._rest = memoryview(b"".join((unused, self._rest)))


class Deflater:
    """Deflates the messages of one direction."""

    __slots__ = (
        "_context",
        "_in_message",
        "_level",
        "_mem_level",
        "_no_context_takeover",
        "_wbits",
        "_zlib",
        "on_context",
        "uses",
    )

    def __init__(
        self,
        *,
        window_bits: int = 15,
        no_context_takeover: bool = False,
        level: int = zlib.Z_DEFAULT_COMPRESSION,
        mem_level: int = 8,
        backend: str = "zlib",
    ) -> None:
        backend = backend_name(backend)
        self._zlib = load_backend(backend)
        self._in_message = False
        self.on_context: Callable[[], None] | None = None
        """Called when a context is made."""
        self.uses = 0
        """Messages so far."""
        self._wbits = _raw_bits(window_bits)
        self._no_context_takeover = no_context_takeover
        if not -1 <= level <= 9:
            raise ValueError(f"expected a compression level from -1 to 9, got {level}")
        if not 1 <= mem_level <= 9:
            raise ValueError(f"expected a memory level from 1 to 9, got {mem_level}")
        self._level = min(level, 3) if backend == "isal" else level
        if backend == "isal" and level < 0:
            self._level = 2
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
            context = self._context = self._zlib.compressobj(self._level, zlib.DEFLATED, self._wbits, self._mem_level)
            if self.on_context is not None:
                self.on_context()
        self._in_message = True
        return context.compress(data)

    def release(self) -> bool:
        """Gives the context back, if it is between two messages; whether there is none."""
        if not self._in_message:
            self._context = None
        return self._context is None

    def end_message(self) -> bytes:
        """The last octets of the message; the next message may begin."""
        out = b"" if self._context is None else self._context.flush(zlib.Z_SYNC_FLUSH)
        self._in_message = False
        self.uses += 1
        if self._no_context_takeover:
            self._context = None
        # RFC 7692 7.2.1: the tail goes. zlib flushes nothing after a flush: 7.2.3.6 says how nothing looks.
        return out[:-4] if out else b"\x00"

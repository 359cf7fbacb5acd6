"""Where the Python twin gathers a long payload as it comes, so that one pass makes of it what the program gets."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from autobahn.websocket._masking import Octets, Xor, mask_in_place

MOST = 1048576
"""Octets that one place holds."""

_AHEAD = 8  # times the octets that are here: what a peer can make us keep for those that it has only announced
_LEAST = 4096
_READ = 65536  # octets that are worth a read of their own

# A place that nobody is using. A fresh one costs a page fault for every 4 KiB.
_spare: list[bytearray] = []


class Place:
    """Holds what has arrived of one payload, up to `MOST` octets.

    With `xor` it stays masked until it is asked for; otherwise it is unmasked here. `key`: none if it is empty.
    `proven`: octets that the peer has sent in one payload before.
    """

    __slots__ = ("_buffer", "_is_clear", "_key", "_proven", "_xor", "size")

    def __init__(self, key: bytes, xor: Xor | None, proven: int = 0) -> None:
        self._buffer = bytearray()
        self._key = key
        self._proven = proven
        self._xor = xor
        self._is_clear = xor is None or not key
        self.size = 0
        """Octets that are here."""

    def add(self, data: Octets, missing: int) -> None:
        """Take `data`, the first of `missing` octets; all fits into `MOST`."""
        start = self.size
        end = start + len(data)
        if end > len(self._buffer):
            self._grow(end, end, start + missing)
        self._buffer[start:end] = data
        self.come(len(data))

    def room(self, missing: int) -> memoryview | None:
        """Where the next of `missing` octets may be received (then they have to `come`); None: not worth it."""
        size = self.size
        if missing < _READ or MOST - size < _READ or max(_AHEAD * size, self._proven) < _READ:
            return None
        if len(self._buffer) - size < _READ:
            self._grow(size, size + _READ, size + missing)
        return memoryview(self._buffer)[size : size + missing]

    def come(self, count: int) -> None:
        """The next `count` octets are here."""
        start = self.size
        self.size = start + count
        if self._key and self._is_clear:
            mask_in_place(self._buffer, start, start + count, self._key)

    def since(self, start: int) -> bytes:
        """What is here from octet `start` on, unmasked."""
        with memoryview(self._buffer) as whole, whole[start : self.size] as part:
            if self._is_clear:
                return bytes(part)
            assert self._xor is not None
            turn = start & 3
            return self._xor(part, self._key[turn:] + self._key[:turn])

    def leave(self) -> None:
        """Nothing is kept here any more."""
        buffer, self._buffer = self._buffer, bytearray()
        self.size = 0
        if len(buffer) >= _READ:
            _teach()
            if not _spare or len(_spare[0]) < len(buffer):
                _spare[:] = [buffer]

    def _grow(self, here: int, least: int, most: int) -> None:
        """Room for `least` octets, and for as many of `most` as those that are `here` allow."""
        allowed = max(_AHEAD * here, self._proven, _LEAST)
        want = max(least, min(allowed, most, MOST))
        buffer = None
        if _spare and least <= len(_spare[0]) <= allowed:
            with suppress(IndexError):  # another thread was faster
                buffer = _spare.pop()
        if buffer is None or len(buffer) < least:
            buffer = bytearray(want)
        # Not resized: whoever receives into it may still hold a view.
        with memoryview(self._buffer) as old:
            buffer[: self.size] = old[: self.size]
        self._buffer = buffer


@cache
def _teach() -> None:
    """What is freed stays with the process, up to twice this size.

    The C library of GNU systems learns that from the first large block that is freed. Until then it gives back, after
    every batch of messages, the pages that the next batch needs.
    """
    bytearray(MOST)

"""Masking without the compiled unit (RFC 6455 5.3): numbers for few octets, lanes for many, C where it is at hand."""

import contextlib
import importlib
from collections.abc import Callable
from functools import cache

Octets = bytes | bytearray | memoryview
Xor = Callable[[Octets, bytes], bytes]

LANES = 1024
"""Octets from which on lanes are faster than numbers of many digits."""
PIECE = 65536
"""Octets masked at a time."""


def mask(data: Octets, key: bytes) -> bytes:
    """`data` XOR the repeated 4-octet `key`."""
    xor = speedups()
    if xor is not None:
        return xor(data, key)
    return mask_number(data, key) if len(data) < LANES else mask_lanes(data, key)


def mask_number(data: Octets, key: bytes) -> bytes:
    """The same, as one number of many digits: fast up to about `LANES` octets."""
    size = len(data)
    keys = (key * ((size + 3) >> 2))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


def mask_lanes(data: Octets, key: bytes) -> bytes:
    """The same, octets with the same octet of the key at once: about 1 ns an octet, the least that Python can do."""
    out = bytearray(data)
    for lane in range(4):
        if octet := key[lane]:
            out[lane::4] = out[lane::4].translate(_xor_table(octet))
    return bytes(out)


def mask_in_place(buffer: bytearray, start: int, end: int, key: bytes) -> None:
    """XOR the octets from `start` to `end`, of a payload that begins at 0: in pieces that the cache holds."""
    for begin in range(start, end, PIECE):
        stop = min(begin + PIECE, end)
        for at in range(begin, begin + 4):
            if octet := key[at & 3]:
                buffer[at:stop:4] = buffer[at:stop:4].translate(_xor_table(octet))


@cache
def _xor_table(octet: int) -> bytes:
    return bytes(value ^ octet for value in range(256))


@cache
def speedups() -> Xor | None:
    """What masks in C, when the package `websockets` is installed and has that.

    NumPy would do it as well, from 512 octets on, but an import of 0.1 s and 25 MiB for that is not ours to decide.
    """
    with contextlib.suppress(Exception):  # not installed, without its compiled part, or changed: it is optional
        module = importlib.import_module("websockets.speedups")
        xor: Xor = module.apply_mask
        if xor(memoryview(b"\x00\x01\x02\x03\x04"), b"\x80\x40\x20\x10") == b"\x80\x41\x22\x13\x84":
            return xor
    return None

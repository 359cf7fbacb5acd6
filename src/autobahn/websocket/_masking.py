"""Masking without the compiled unit (RFC 6455 5.3): numbers for few octets, lanes for many, C where it is at hand."""

import contextlib
import importlib
from collections.abc import Callable
from functools import cache

Octets = bytes | bytearray | memoryview
Xor = Callable[[Octets, bytes], bytes]

LANES = 640
"""Octets from which on lanes are faster than numbers of many digits."""
PIECE = 65536
"""Octets masked at a time."""

_from_bytes = int.from_bytes
_tables: list[bytes] = []  # what each octet becomes, for each octet of a key


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
    return (_from_bytes(data, "little") ^ _from_bytes(keys, "little")).to_bytes(size, "little")


def mask_lanes(data: Octets, key: bytes) -> bytes:
    """The same, octets with the same octet of the key at once: about 1 ns an octet, the least that Python can do."""
    out = bytearray(data)
    if len(out) > PIECE:
        mask_in_place(out, 0, len(out), key)
        return bytes(out)
    tables = _tables or _make_tables()
    a, b, c, d = key  # written out: a loop costs as much as the lanes of 100 octets
    out[0::4] = out[0::4].translate(tables[a])
    out[1::4] = out[1::4].translate(tables[b])
    out[2::4] = out[2::4].translate(tables[c])
    out[3::4] = out[3::4].translate(tables[d])
    return bytes(out)


def mask_in_place(buffer: bytearray, start: int, end: int, key: bytes) -> None:
    """XOR the octets from `start` to `end`, of a payload that begins at 0: in pieces that the cache holds."""
    tables = _tables or _make_tables()
    for begin in range(start, end, PIECE):
        stop = min(begin + PIECE, end)
        for at in range(begin, begin + 4):
            buffer[at:stop:4] = buffer[at:stop:4].translate(tables[key[at & 3]])


def _make_tables() -> list[bytes]:
    _tables[:] = [mask_number(bytes(range(256)), bytes((octet,)) * 4) for octet in range(256)]
    return _tables


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

"""The four octets each side of a RawSocket connection begins with (WAMP "RawSocket Transport", "Handshake")."""

from __future__ import annotations

from enum import IntEnum

from autobahn.rawsocket.errors import HandshakeError

__all__ = (
    "MAGIC", "MAX_LENGTH", "MIN_LENGTH", "Refusal", "announced_length", "opening", "parse_reply", "parse_request",
    "refusal",
)  # fmt: skip

MAGIC = 0x7F
SIZE = 4
MIN_LENGTH = 1 << 9
MAX_LENGTH = 1 << 24


class Refusal(IntEnum):
    """Why a server refuses a client."""

    SERIALIZER_UNSUPPORTED = 1
    LENGTH_UNACCEPTABLE = 2
    RESERVED_BITS = 3
    TOO_MANY_CONNECTIONS = 4


_MEANINGS = {
    Refusal.SERIALIZER_UNSUPPORTED: "it does not support the serializer",
    Refusal.LENGTH_UNACCEPTABLE: "the maximum message length is not acceptable",
    Refusal.RESERVED_BITS: "reserved bits are in use",
    Refusal.TOO_MANY_CONNECTIONS: "it has reached its maximum number of connections",
}


def announced_length(size: int) -> int:
    """The smallest limit that can be announced and is not below `size`: a power of two. Raises `ValueError`."""
    if isinstance(size, bool) or not isinstance(size, int) or not MIN_LENGTH <= size <= MAX_LENGTH:
        raise ValueError(f"expected a maximum message length from {MIN_LENGTH} to {MAX_LENGTH}, got {size!r}")
    return 1 << (size - 1).bit_length()


def opening(max_length: int, serializer: int) -> bytes:
    """What a client says, and a server that agrees: the longest message it accepts, and the serializer."""
    return bytes((MAGIC, (max_length.bit_length() - 10) << 4 | serializer, 0, 0))


def refusal(error: int) -> bytes:
    """What a server says that does not agree."""
    return bytes((MAGIC, error << 4, 0, 0))


def parse_request(octets: bytes) -> tuple[int, int]:
    """The longest message the client accepts, and its serializer; `octets` begin with the magic octet."""
    if octets[2] or octets[3]:
        raise HandshakeError(
            f"expected reserved octets 0, got {octets[2]} and {octets[3]}", refusal(Refusal.RESERVED_BITS)
        )
    return 1 << ((octets[1] >> 4) + 9), octets[1] & 0x0F


def parse_reply(octets: bytes, serializer: int) -> int:
    """The longest message the server accepts; it agreed to `serializer`."""
    if octets[2] or octets[3]:
        raise HandshakeError(f"expected reserved octets 0, got {octets[2]} and {octets[3]}")
    high, low = octets[1] >> 4, octets[1] & 0x0F
    if low == 0:
        meaning = _MEANINGS[Refusal(high)] if high in _MEANINGS else "no reason known"
        raise HandshakeError(f"the server refused the connection with error {high}: {meaning}")
    if low != serializer:
        raise HandshakeError(f"expected the server to agree to serializer {serializer}, got {low}")
    return 1 << (high + 9)

"""Maskers: XOR of payloads with the 4 octets of a frame's key (RFC 6455 5.3), piece by piece."""

from __future__ import annotations

from autobahn.websocket._masking import mask as xor

__all__ = ("XorMasker", "XorMaskerNull", "create_xor_masker")


class XorMaskerNull:
    """Counts octets and leaves them as they are."""

    __slots__ = ("_pointer",)

    def __init__(self, mask: bytes | None = None) -> None:
        self._pointer = 0

    def pointer(self) -> int:
        """How many octets were processed."""
        return self._pointer

    def reset(self) -> None:
        """The next octet is the first one again."""
        self._pointer = 0

    def process(self, data: bytes) -> bytes:
        """The same octets."""
        self._pointer += len(data)
        return data


class XorMasker(XorMaskerNull):
    """Masks octets, or unmasks them, which is the same."""

    __slots__ = ("_mask",)

    def __init__(self, mask: bytes | None = None) -> None:
        super().__init__(mask)
        if not isinstance(mask, bytes | bytearray) or len(mask) != 4:
            raise ValueError(f"expected a mask of 4 octets, got {mask!r}")
        self._mask = bytes(mask)

    def process(self, data: bytes) -> bytes:
        """The octets XOR the key."""
        turn = self._pointer & 3
        self._pointer += len(data)
        return bytes(xor(bytes(data), self._mask[turn:] + self._mask[:turn]))


def create_xor_masker(mask: bytes, length: int | None = None) -> XorMasker:
    """A masker for this key; `length` (of the data to come) makes no difference."""
    return XorMasker(mask)

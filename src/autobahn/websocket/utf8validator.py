"""`Utf8Validator`: checks UTF-8 that arrives in pieces."""

from __future__ import annotations

import codecs

__all__ = ("Utf8Validator",)


class Utf8Validator:
    """Checks octets for UTF-8 (RFC 3629), piece by piece; `reset` begins anew."""

    __slots__ = ("_is_valid", "_tail", "_total")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new text begins."""
        self._tail = b""
        self._total = 0
        self._is_valid = True

    def validate(self, ba: bytes | bytearray | memoryview) -> tuple[bool, bool, int, int]:
        """Whether all is valid so far, whether it may end here, the index of the first octet that is not valid (or the
        size) in this piece, and in all of the text. After an octet that is not valid the text stays invalid."""
        if not self._is_valid:
            return False, False, 0, self._total
        data = self._tail + bytes(ba)
        try:
            _, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as exc:
            bad = exc.start if exc.reason == "invalid start byte" else exc.end
            return self._invalid(bad)
        rest = data[used:]
        if len(rest) >= 2 and rest[0] == 0xED and rest[1] >= 0xA0:  # half a surrogate
            return self._invalid(used + 1)
        size = len(data) - len(self._tail)
        self._tail = rest
        self._total += size
        return True, not rest, size, self._total

    def _invalid(self, bad: int) -> tuple[bool, bool, int, int]:
        self._is_valid = False
        index = max(bad - len(self._tail), 0)
        self._total += index
        return False, False, index, self._total

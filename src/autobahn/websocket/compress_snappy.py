"""permessage-snappy: messages in the framing format of snappy; needs the package `python-snappy`.

Nobody but autobahn speaks it (it is not registered, RFC 6455 11.4): use permessage-deflate with anybody else.
"""

from __future__ import annotations

from typing import Any, ClassVar

from autobahn.websocket.compress_streams import StreamDeflater, StreamInflater, package
from autobahn.websocket.compress_takeover import (
    Takeover,
    TakeoverOffer,
    TakeoverOfferAccept,
    TakeoverResponse,
    TakeoverResponseAccept,
)

__all__ = (
    "PerMessageSnappy",
    "PerMessageSnappyMixin",
    "PerMessageSnappyOffer",
    "PerMessageSnappyOfferAccept",
    "PerMessageSnappyResponse",
    "PerMessageSnappyResponseAccept",
)


snappy = package("snappy", "python-snappy", "StreamDecompressor.decompress")

_SLICE = 1024  # of what a decompressor gets at once: at most one chunk, of 64 KiB, comes out
_MAX_CHUNK = 76_490  # what 64 KiB can grow to, with a checksum


class _Decoder:
    """The stream of one direction. Chunks are followed here, so that half a one is noticed."""

    __slots__ = ("_context", "_head", "_left", "_out", "_rest")

    def __init__(self) -> None:
        self._context: Any = snappy.StreamDecompressor()
        self._rest = b""  # not yet decompressed
        self._out = b""  # decompressed beyond what there was room for
        self._head = b""  # of a chunk, as far as it has come
        self._left = 0  # octets of the present chunk to come

    def feed(self, data: bytes, room: int) -> bytes:
        self._rest += data
        while self._rest and len(self._out) < room:
            piece, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
            self._follow(piece)
            self._out += self._context.decompress(piece)
        out, self._out = self._out[:room], self._out[room:]
        return out

    def is_complete(self) -> bool:
        return not (self._left or self._head or self._out or self._rest)

    def _follow(self, piece: bytes) -> None:
        while piece:
            if self._left:
                taken = min(self._left, len(piece))
                self._left -= taken
                piece = piece[taken:]
                continue
            missing = 4 - len(self._head)
            self._head, piece = self._head + piece[:missing], piece[missing:]
            if len(self._head) == 4:
                kind, self._left, self._head = self._head[0], int.from_bytes(self._head[1:], "little"), b""
                if kind not in {0x00, 0x01, 0xFF} or self._left > _MAX_CHUNK:
                    raise ValueError(f"expected chunks of snappy data, got one of kind {kind} and size {self._left}")


class _Encoder:
    """The stream of one direction."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context: Any = snappy.StreamCompressor()

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._context.add_chunk(data)
        return out

    def finish(self) -> bytes:
        return b""


class PerMessageSnappyMixin:
    """The name of the extension."""

    EXTENSION_NAME: ClassVar[str] = "permessage-snappy"


class PerMessageSnappyOffer(PerMessageSnappyMixin, TakeoverOffer):
    """A client's offer."""


class PerMessageSnappyOfferAccept(PerMessageSnappyMixin, TakeoverOfferAccept):
    """A server's yes to an offer."""

    of = PerMessageSnappyOffer


class PerMessageSnappyResponse(PerMessageSnappyMixin, TakeoverResponse):
    """A server's response."""


class PerMessageSnappyResponseAccept(PerMessageSnappyMixin, TakeoverResponseAccept):
    """A client's yes to a response."""

    of = PerMessageSnappyResponse


class PerMessageSnappy(PerMessageSnappyMixin, Takeover):
    """permessage-snappy in use on one connection."""

    def new_inflater(self, backend: str = "zlib") -> StreamInflater:
        """The engine for what the other end sends."""
        return StreamInflater(_Decoder, "snappy", keeps=self.peer_keeps)

    def new_deflater(self, level: int = -1, backend: str = "zlib") -> StreamDeflater:
        """The engine for what this end sends."""
        return StreamDeflater(_Encoder, keeps=self.keeps)

"""permessage-brotli: every message is a brotli stream (RFC 7932); needs the package `brotli`, 1.2 or newer.

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
    "PerMessageBrotli",
    "PerMessageBrotliMixin",
    "PerMessageBrotliOffer",
    "PerMessageBrotliOfferAccept",
    "PerMessageBrotliResponse",
    "PerMessageBrotliResponseAccept",
)

brotli = package(
    "brotli", "brotli, 1.2 or newer,", "Decompressor.can_accept_more_data"
)  # older: inflates without bound


class _Decoder:
    """One message."""

    __slots__ = ("_context", "_out")

    def __init__(self) -> None:
        self._context: Any = brotli.Decompressor()
        self._out = b""

    def feed(self, data: bytes, room: int) -> bytes:
        context = self._context
        if context.is_finished() and data:
            raise ValueError("expected nothing behind the end of the stream, got octets")
        while len(self._out) < room and not context.is_finished():
            step = context.process(data, output_buffer_limit=room)  # up to 32 KiB, and more when asked again
            if not step and not data:
                break
            self._out += step
            data = b""
        out, self._out = self._out[:room], self._out[room:]
        return out

    def is_complete(self) -> bool:
        return bool(self._context.is_finished()) and not self._out


class _Encoder:
    """One message. `level`: 0 to 11."""

    __slots__ = ("_context",)

    def __init__(self, level: int) -> None:
        self._context: Any = brotli.Compressor(quality=level)

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._context.process(data)
        return out

    def finish(self) -> bytes:
        out: bytes = self._context.finish()
        return out


class PerMessageBrotliMixin:
    """The name of the extension."""

    EXTENSION_NAME: ClassVar[str] = "permessage-brotli"


class PerMessageBrotliOffer(PerMessageBrotliMixin, TakeoverOffer):
    """A client's offer."""


class PerMessageBrotliOfferAccept(PerMessageBrotliMixin, TakeoverOfferAccept):
    """A server's yes to an offer."""

    of = PerMessageBrotliOffer


class PerMessageBrotliResponse(PerMessageBrotliMixin, TakeoverResponse):
    """A server's response."""


class PerMessageBrotliResponseAccept(PerMessageBrotliMixin, TakeoverResponseAccept):
    """A client's yes to a response."""

    of = PerMessageBrotliResponse


class PerMessageBrotli(PerMessageBrotliMixin, Takeover):
    """permessage-brotli in use on one connection."""

    def new_inflater(self, backend: str = "zlib") -> StreamInflater:
        """The engine for what the other end sends."""
        return StreamInflater(_Decoder, "brotli")

    def new_deflater(self, level: int = -1, backend: str = "zlib") -> StreamDeflater:
        """The engine for what this end sends."""
        return StreamDeflater(lambda: _Encoder(4 if level < 0 else level))

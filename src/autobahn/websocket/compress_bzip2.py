"""permessage-bzip2: every message is a bzip2 stream. A context takes megabytes, and longer than deflate.

Nobody but autobahn speaks it (it is not registered, RFC 6455 11.4): use permessage-deflate with anybody else.
"""

from __future__ import annotations

import bz2
import re
from typing import Any, ClassVar

from autobahn.websocket.compress_base import (
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
    check_bool,
    check_in,
    check_may_request,
    check_names,
    check_type,
    flag,
)
from autobahn.websocket.compress_streams import StreamDeflater, StreamInflater
from autobahn.websocket.extensions import Params

__all__ = (
    "PerMessageBzip2",
    "PerMessageBzip2Mixin",
    "PerMessageBzip2Offer",
    "PerMessageBzip2OfferAccept",
    "PerMessageBzip2Response",
    "PerMessageBzip2ResponseAccept",
)

CLIENT, SERVER = "client_max_compress_level", "server_max_compress_level"
_PARAMETERS = frozenset({CLIENT, SERVER})
_LEVEL = re.compile(r"[1-9]")
LEVELS = (1, 2, 3, 4, 5, 6, 7, 8, 9)


def _level(params: Params, name: str) -> int:
    """The level of a parameter, 0 when it is absent. Raises `ValueError`."""
    values = params.get(name, [])
    if not values:
        return 0
    value = values[0]
    if len(values) > 1 or not isinstance(value, str) or _LEVEL.fullmatch(value) is None:
        raise ValueError(f"expected {name} once, from 1 to 9, got {values!r}")
    return int(value)


def _check_own(compress_level: int | None, limit: int) -> None:
    """Refuses bad values for this end's own level, and one above the `limit` that the other end set (0: none)."""
    if compress_level is not None:
        check_in("compress_level", compress_level, LEVELS)
        if 0 < limit < compress_level:
            raise ValueError(f"expected compress_level up to {limit}, as requested")


class _Decoder:
    """One message."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context = bz2.BZ2Decompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        context = self._context
        if context.eof:
            if data:
                raise ValueError("expected nothing behind the end of the stream, got octets")
            return b""
        out = context.decompress(data, room)
        if context.unused_data:
            raise ValueError("expected nothing behind the end of the stream, got octets")
        return out

    def is_complete(self) -> bool:
        return self._context.eof


class _Encoder:
    """One message."""

    __slots__ = ("_context",)

    def __init__(self, level: int) -> None:
        self._context = bz2.BZ2Compressor(level)

    def feed(self, data: bytes) -> bytes:
        return self._context.compress(data)

    def finish(self) -> bytes:
        return self._context.flush()


class PerMessageBzip2Mixin:
    """Constants of permessage-bzip2."""

    EXTENSION_NAME: ClassVar[str] = "permessage-bzip2"
    COMPRESS_LEVEL_PERMISSIBLE_VALUES: ClassVar[tuple[int, ...]] = LEVELS


class PerMessageBzip2Offer(PerMessageBzip2Mixin, PerMessageCompressOffer):
    """A client's offer. `accept_...`: the server may limit the client's level; `request_...`: limits the server's."""

    def __init__(self, accept_max_compress_level: bool = True, request_max_compress_level: int = 0) -> None:
        check_bool("accept_max_compress_level", accept_max_compress_level)
        check_in("request_max_compress_level", request_max_compress_level, (0, *LEVELS))
        self.accept_max_compress_level = accept_max_compress_level
        self.request_max_compress_level = request_max_compress_level

    @classmethod
    def parse(cls, params: Params) -> PerMessageBzip2Offer:
        """The offer of these parameters. Raises `ValueError` for one that has to be declined."""
        check_names(params, _PARAMETERS, cls.EXTENSION_NAME)
        return cls(flag(params, CLIENT), _level(params, SERVER))

    def get_extension_string(self) -> str:
        """The offer as it stands in the header."""
        parts = [self.EXTENSION_NAME]
        if self.accept_max_compress_level:
            parts.append(CLIENT)
        if self.request_max_compress_level:
            parts.append(f"{SERVER}={self.request_max_compress_level}")
        return "; ".join(parts)


class PerMessageBzip2OfferAccept(PerMessageBzip2Mixin, PerMessageCompressOfferAccept):
    """A server's yes. `request_...`: limits the client's level; `compress_level`: the server's own."""

    def __init__(
        self, offer: PerMessageBzip2Offer, request_max_compress_level: int = 0, compress_level: int | None = None
    ) -> None:
        check_type("offer", offer, PerMessageBzip2Offer)
        check_in("request_max_compress_level", request_max_compress_level, (0, *LEVELS))
        check_may_request("request_max_compress_level", request_max_compress_level, offer.accept_max_compress_level)
        _check_own(compress_level, offer.request_max_compress_level)
        self.offer = offer
        self.request_max_compress_level = request_max_compress_level
        self.compress_level = compress_level

    def get_extension_string(self) -> str:
        """The response as it stands in the header."""
        parts = [self.EXTENSION_NAME]
        if self.offer.request_max_compress_level:
            parts.append(f"{SERVER}={self.compress_level or self.offer.request_max_compress_level}")
        if self.request_max_compress_level:
            parts.append(f"{CLIENT}={self.request_max_compress_level}")
        return "; ".join(parts)


class PerMessageBzip2Response(PerMessageBzip2Mixin, PerMessageCompressResponse):
    """A server's response; levels are 0 when it did not name them."""

    def __init__(self, client_max_compress_level: int, server_max_compress_level: int) -> None:
        self.client_max_compress_level = client_max_compress_level
        self.server_max_compress_level = server_max_compress_level

    @classmethod
    def parse(cls, params: Params) -> PerMessageBzip2Response:
        """The response of these parameters. Raises `ValueError`: the connection has to be failed."""
        check_names(params, _PARAMETERS, cls.EXTENSION_NAME)
        return cls(_level(params, CLIENT), _level(params, SERVER))

    def answers(self, offer: PerMessageBzip2Offer) -> bool:
        """Whether this is a legal answer to `offer`."""
        if self.client_max_compress_level and not offer.accept_max_compress_level:
            return False
        limit = offer.request_max_compress_level
        return not limit or 0 < self.server_max_compress_level <= limit


class PerMessageBzip2ResponseAccept(PerMessageBzip2Mixin, PerMessageCompressResponseAccept):
    """A client's yes to a response; `compress_level`: the client's own."""

    def __init__(self, response: PerMessageBzip2Response, compress_level: int | None = None) -> None:
        check_type("response", response, PerMessageBzip2Response)
        _check_own(compress_level, response.client_max_compress_level)
        self.response = response
        self.compress_level = compress_level


class PerMessageBzip2(PerMessageBzip2Mixin, PerMessageCompress):
    """permessage-bzip2 in use on one connection."""

    DEFAULT_COMPRESS_LEVEL: ClassVar[int] = 9

    def __init__(self, is_server: bool, server_max_compress_level: int, client_max_compress_level: int) -> None:
        self.is_server = is_server
        self.server_max_compress_level = server_max_compress_level or self.DEFAULT_COMPRESS_LEVEL
        self.client_max_compress_level = client_max_compress_level or self.DEFAULT_COMPRESS_LEVEL

    @classmethod
    def create_from_offer_accept(cls, is_server: bool, accept: Any) -> PerMessageBzip2:
        """The server's binding for what it accepted."""
        own = accept.compress_level or accept.offer.request_max_compress_level
        return cls(is_server, own, accept.request_max_compress_level)

    @classmethod
    def create_from_response_accept(cls, is_server: bool, accept: Any) -> PerMessageBzip2:
        """The client's binding for what it accepted."""
        response = accept.response
        own = accept.compress_level or response.client_max_compress_level
        return cls(is_server, response.server_max_compress_level, own)

    def new_inflater(self, backend: str = "zlib") -> StreamInflater:
        """The engine for what the other end sends."""
        return StreamInflater(_Decoder, "bzip2")

    def new_deflater(self, level: int = -1, backend: str = "zlib") -> StreamDeflater:
        """The engine for what this end sends."""
        own = self.server_max_compress_level if self.is_server else self.client_max_compress_level
        return StreamDeflater(lambda: _Encoder(own))

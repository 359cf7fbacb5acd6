"""permessage-deflate: what two ends offer and agree to, and the binding to the engine (RFC 7692).

A client lists offers. The server's `perMessageCompressionAccept` gets the offers that are valid and returns a
`...OfferAccept` for one of them, or `None`. The client's one gets the response and returns a `...ResponseAccept`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

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
    check_own_takeover,
    check_type,
    flag,
)
from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.extensions import Params

__all__ = (
    "PerMessageDeflate",
    "PerMessageDeflateMixin",
    "PerMessageDeflateOffer",
    "PerMessageDeflateOfferAccept",
    "PerMessageDeflateResponse",
    "PerMessageDeflateResponseAccept",
)

_WINDOW_BITS = re.compile(r"8|9|1[0-5]")


def _bits(params: Params, name: str, *, may_be_bare: bool) -> int | bool:
    """The window bits of a parameter: 0 when absent, `True` without value, else 8 to 15 (RFC 7692 7.1.2)."""
    values = params.get(name)
    if values is None:
        return 0
    if len(values) > 1:
        raise ValueError(f"expected {name} once, got it {len(values)} times")
    value = values[0]
    if value is True and may_be_bare:
        return True
    if not isinstance(value, str) or _WINDOW_BITS.fullmatch(value) is None:
        raise ValueError(f"expected {name} from 8 to 15, got {value!r}")
    return int(value)


_PARAMETERS: Final = frozenset(
    {
        "client_no_context_takeover",
        "server_no_context_takeover",
        "client_max_window_bits",
        "server_max_window_bits",
    }
)


class PerMessageDeflateMixin:
    """Constants of permessage-deflate."""

    EXTENSION_NAME: ClassVar[str] = "permessage-deflate"
    WINDOW_SIZE_PERMISSIBLE_VALUES: ClassVar[Sequence[int]] = (9, 10, 11, 12, 13, 14, 15)
    MEM_LEVEL_PERMISSIBLE_VALUES: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5, 6, 7, 8, 9)


EXTENSION_NAME: Final = "permessage-deflate"
WINDOW_BITS: Final = (9, 10, 11, 12, 13, 14, 15)
"""Window sizes zlib can compress with; RFC 7692 allows 8 as well, which is declined."""
MEM_LEVELS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9)


OWN_WINDOW_BITS: Final = 12
"""Window of our compressor when nothing else is asked for. No peer notices: what a small window gave fits a large one.
With memory level 5 a context takes 29 KiB, with 15 and 8 it takes 91, for output that is 1 % larger (100 KiB of JSON).
"""
OWN_MEM_LEVEL: Final = 5
DEFAULT_LEVEL: Final = 1
"""Compression level: three times as fast as zlib's own default (6), for output that is 11 % larger."""


def _check_own(
    window_bits: int | None,
    mem_level: int | None,
    max_message_size: int | None,
) -> None:
    """Refuses bad values for this end's own compressor and limit."""
    if window_bits is not None:
        check_in("window_bits", window_bits, WINDOW_BITS)
    if mem_level is not None:
        check_in("mem_level", mem_level, MEM_LEVELS)
    if max_message_size is not None and (not isinstance(max_message_size, int) or max_message_size < 0):
        raise ValueError(f"expected max_message_size in octets or None, got {max_message_size!r}")


# -- permessage-deflate ----------------------------------------------------------------------------------------


class PerMessageDeflateOffer(PerMessageCompressOffer, PerMessageDeflateMixin):
    """A client's offer (RFC 7692 7.1).

    `accept_...`: the client can do this when the server asks for it. `request_...`: the server must do it;
    `request_max_window_bits` 0 or 9 to 15.
    """

    def __init__(
        self,
        accept_no_context_takeover: bool = True,
        accept_max_window_bits: bool = True,
        request_no_context_takeover: bool = False,
        request_max_window_bits: int = 0,
    ) -> None:
        check_bool("accept_no_context_takeover", accept_no_context_takeover)
        check_bool("accept_max_window_bits", accept_max_window_bits)
        check_bool("request_no_context_takeover", request_no_context_takeover)
        check_in("request_max_window_bits", request_max_window_bits, (0, *WINDOW_BITS))
        self.accept_no_context_takeover = accept_no_context_takeover
        self.accept_max_window_bits = accept_max_window_bits
        self.request_no_context_takeover = request_no_context_takeover
        self.request_max_window_bits = request_max_window_bits

    @classmethod
    def parse(cls, params: Params) -> PerMessageDeflateOffer:
        """The offer of these parameters. Raises `ValueError` for one that has to be declined (RFC 7692 7.1)."""
        check_names(params, _PARAMETERS, EXTENSION_NAME)
        flag(params, "client_no_context_takeover")  # a hint; a client can always be asked for it (RFC 7692 7.1.1.2)
        bits = _bits(params, "server_max_window_bits", may_be_bare=False)
        return cls(
            accept_no_context_takeover=True,
            accept_max_window_bits=_bits(params, "client_max_window_bits", may_be_bare=True) != 0,
            request_no_context_takeover=flag(params, "server_no_context_takeover"),
            request_max_window_bits=int(bits),
        )

    def get_extension_string(self) -> str:
        """The offer as it stands in the header."""
        parts = [EXTENSION_NAME]
        if self.accept_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.accept_max_window_bits:
            parts.append("client_max_window_bits")
        if self.request_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.request_max_window_bits:
            parts.append(f"server_max_window_bits={self.request_max_window_bits}")
        return "; ".join(parts)


class PerMessageDeflateOfferAccept(PerMessageCompressOfferAccept, PerMessageDeflateMixin):
    """A server's yes to an offer.

    `request_...`: the client must do this. The others are about the server's own compressor: `no_context_takeover`
    and `window_bits` (`None`: as the offer asks), `mem_level` (1 to 9), and `max_message_size`, the limit of an
    inflated message in octets.
    """

    def __init__(
        self,
        offer: PerMessageDeflateOffer,
        request_no_context_takeover: bool = False,
        request_max_window_bits: int = 0,
        no_context_takeover: bool | None = None,
        window_bits: int | None = None,
        mem_level: int | None = None,
        max_message_size: int | None = None,
    ) -> None:
        check_type("offer", offer, PerMessageDeflateOffer)
        check_bool("request_no_context_takeover", request_no_context_takeover)
        check_may_request("request_no_context_takeover", request_no_context_takeover, offer.accept_no_context_takeover)
        check_in("request_max_window_bits", request_max_window_bits, (0, *WINDOW_BITS))
        check_may_request("request_max_window_bits", request_max_window_bits, offer.accept_max_window_bits)
        check_own_takeover(no_context_takeover, offer.request_no_context_takeover, "client")
        _check_own(window_bits, mem_level, max_message_size)
        if offer.request_max_window_bits and (window_bits or 0) > offer.request_max_window_bits:
            raise ValueError(f"expected window_bits up to {offer.request_max_window_bits}, got {window_bits}")
        self.offer = offer
        self.request_no_context_takeover = request_no_context_takeover
        self.request_max_window_bits = request_max_window_bits
        self.no_context_takeover = no_context_takeover
        self.window_bits = window_bits
        self.mem_level = mem_level
        self.max_message_size = max_message_size

    def get_extension_string(self) -> str:
        """The response as it stands in the header."""
        parts = [EXTENSION_NAME]
        if self.offer.request_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.offer.request_max_window_bits:
            parts.append(f"server_max_window_bits={self.window_bits or self.offer.request_max_window_bits}")
        if self.request_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.request_max_window_bits:
            parts.append(f"client_max_window_bits={self.request_max_window_bits}")
        return "; ".join(parts)


class PerMessageDeflateResponse(PerMessageCompressResponse, PerMessageDeflateMixin):
    """A server's response; window bits are 0 when it did not name them."""

    def __init__(
        self,
        client_max_window_bits: int,
        client_no_context_takeover: bool,
        server_max_window_bits: int,
        server_no_context_takeover: bool,
    ) -> None:
        self.client_max_window_bits = client_max_window_bits
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.server_no_context_takeover = server_no_context_takeover

    @classmethod
    def parse(cls, params: Params) -> PerMessageDeflateResponse:
        """The response of these parameters. Raises `ValueError`: the connection has to be failed (RFC 7692 7.1)."""
        check_names(params, _PARAMETERS, EXTENSION_NAME)
        return cls(
            client_max_window_bits=int(_bits(params, "client_max_window_bits", may_be_bare=False)),
            client_no_context_takeover=flag(params, "client_no_context_takeover"),
            server_max_window_bits=int(_bits(params, "server_max_window_bits", may_be_bare=False)),
            server_no_context_takeover=flag(params, "server_no_context_takeover"),
        )

    def answers(self, offer: PerMessageDeflateOffer) -> bool:
        """Whether this is a legal answer to `offer`."""
        if self.client_max_window_bits and not offer.accept_max_window_bits:
            return False
        if offer.request_no_context_takeover and not self.server_no_context_takeover:
            return False
        limit = offer.request_max_window_bits
        return not limit or 0 < self.server_max_window_bits <= limit


class PerMessageDeflateResponseAccept(PerMessageCompressResponseAccept, PerMessageDeflateMixin):
    """A client's yes to a response; the other arguments are about the client's own compressor, and the limit."""

    def __init__(
        self,
        response: PerMessageDeflateResponse,
        no_context_takeover: bool | None = None,
        window_bits: int | None = None,
        mem_level: int | None = None,
        max_message_size: int | None = None,
    ) -> None:
        check_type("response", response, PerMessageDeflateResponse)
        check_own_takeover(no_context_takeover, response.client_no_context_takeover, "server")
        _check_own(window_bits, mem_level, max_message_size)
        if response.client_max_window_bits:
            # zlib cannot compress with a window of 8 bits
            check_in("client_max_window_bits", response.client_max_window_bits, WINDOW_BITS)
            if (window_bits or 0) > response.client_max_window_bits:
                raise ValueError(f"expected window_bits up to {response.client_max_window_bits}, got {window_bits}")
        self.response = response
        self.no_context_takeover = no_context_takeover
        self.window_bits = window_bits
        self.mem_level = mem_level
        self.max_message_size = max_message_size


class PerMessageDeflate(PerMessageCompress, PerMessageDeflateMixin):
    """permessage-deflate in use on one connection; window bits are 9 to 15, `mem_level` 1 to 9."""

    DEFAULT_WINDOW_BITS: ClassVar[int] = 15
    DEFAULT_MEM_LEVEL: ClassVar[int] = 8

    def __init__(
        self,
        is_server: bool,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits: int,
        client_max_window_bits: int,
        mem_level: int | None,
        max_message_size: int | None = None,
    ) -> None:
        self.is_server = is_server
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits or self.DEFAULT_WINDOW_BITS
        self.client_max_window_bits = client_max_window_bits or self.DEFAULT_WINDOW_BITS
        self.mem_level = mem_level or self.DEFAULT_MEM_LEVEL
        self.max_message_size = max_message_size
        asked = server_max_window_bits if is_server else client_max_window_bits
        self._own_window_bits = asked or OWN_WINDOW_BITS
        self._own_mem_level = mem_level or OWN_MEM_LEVEL

    @classmethod
    def create_from_offer_accept(cls, is_server: bool, accept: PerMessageDeflateOfferAccept) -> PerMessageDeflate:
        """The server's binding for what it accepted."""
        offer = accept.offer
        return cls(
            is_server,
            accept.no_context_takeover or offer.request_no_context_takeover,
            accept.request_no_context_takeover,
            accept.window_bits or offer.request_max_window_bits,
            accept.request_max_window_bits,
            accept.mem_level,
            accept.max_message_size,
        )

    @classmethod
    def create_from_response_accept(cls, is_server: bool, accept: PerMessageDeflateResponseAccept) -> PerMessageDeflate:
        """The client's binding for what it accepted."""
        response = accept.response
        return cls(
            is_server,
            response.server_no_context_takeover,
            accept.no_context_takeover or response.client_no_context_takeover,
            response.server_max_window_bits,
            accept.window_bits or response.client_max_window_bits,
            accept.mem_level,
            accept.max_message_size,
        )

    def new_inflater(self, backend: str = "zlib") -> Inflater:
        """The engine for what the other end sends."""
        if self.is_server:
            bits, no_context_takeover = self.client_max_window_bits, self.client_no_context_takeover
        else:
            bits, no_context_takeover = self.server_max_window_bits, self.server_no_context_takeover
        return Inflater(window_bits=bits, no_context_takeover=no_context_takeover, backend=backend)

    def new_deflater(self, level: int = DEFAULT_LEVEL, backend: str = "zlib") -> Deflater:
        """The engine for what this end sends; where nothing else was asked for, with a small window."""
        return Deflater(
            window_bits=self._own_window_bits,
            no_context_takeover=self.server_no_context_takeover if self.is_server else self.client_no_context_takeover,
            level=level,
            mem_level=self._own_mem_level,
            backend=backend,
        )

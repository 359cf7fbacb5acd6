"""Negotiation of extensions whose one parameter is whether contexts are kept from message to message."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from autobahn.websocket.compress_base import (
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
    check_bool,
    check_may_request,
    check_names,
    check_own_takeover,
    check_type,
    flag,
)
from autobahn.websocket.extensions import Params

T = TypeVar("T", bound="Takeover")
CLIENT, SERVER = "client_no_context_takeover", "server_no_context_takeover"
_PARAMETERS = frozenset({CLIENT, SERVER})


def _text(*parts: str | bool) -> str:
    return "; ".join(part for part in parts if isinstance(part, str))


class TakeoverOffer(PerMessageCompressOffer):
    """A client's offer. `accept_...`: it can do this when asked; `request_...`: the server must do it."""

    def __init__(self, accept_no_context_takeover: bool = True, request_no_context_takeover: bool = False) -> None:
        check_bool("accept_no_context_takeover", accept_no_context_takeover)
        check_bool("request_no_context_takeover", request_no_context_takeover)
        self.accept_no_context_takeover = accept_no_context_takeover
        self.request_no_context_takeover = request_no_context_takeover

    @classmethod
    def parse(cls, params: Params) -> TakeoverOffer:
        """The offer of these parameters. Raises `ValueError` for one that has to be declined."""
        check_names(params, _PARAMETERS, cls.EXTENSION_NAME)
        return cls(flag(params, CLIENT), flag(params, SERVER))

    def get_extension_string(self) -> str:
        """The offer as it stands in the header."""
        accepts, requests = self.accept_no_context_takeover, self.request_no_context_takeover
        return _text(self.EXTENSION_NAME, accepts and CLIENT, requests and SERVER)


class TakeoverOfferAccept(PerMessageCompressOfferAccept):
    """A server's yes. `request_...`: the client must do this; `no_context_takeover`: the server does it itself."""

    of: ClassVar[type[TakeoverOffer]]

    def __init__(
        self, offer: TakeoverOffer, request_no_context_takeover: bool = False, no_context_takeover: bool | None = None
    ) -> None:
        check_type("offer", offer, self.of)
        check_bool("request_no_context_takeover", request_no_context_takeover)
        check_may_request("request_no_context_takeover", request_no_context_takeover, offer.accept_no_context_takeover)
        check_own_takeover(no_context_takeover, offer.request_no_context_takeover, "client")
        self.offer = offer
        self.request_no_context_takeover = request_no_context_takeover
        self.no_context_takeover = no_context_takeover

    def get_extension_string(self) -> str:
        """The response as it stands in the header."""
        own, requests = self.offer.request_no_context_takeover, self.request_no_context_takeover
        return _text(self.EXTENSION_NAME, own and SERVER, requests and CLIENT)


class TakeoverResponse(PerMessageCompressResponse):
    """A server's response."""

    def __init__(self, client_no_context_takeover: bool, server_no_context_takeover: bool) -> None:
        self.client_no_context_takeover = client_no_context_takeover
        self.server_no_context_takeover = server_no_context_takeover

    @classmethod
    def parse(cls, params: Params) -> TakeoverResponse:
        """The response of these parameters. Raises `ValueError`: the connection has to be failed."""
        check_names(params, _PARAMETERS, cls.EXTENSION_NAME)
        return cls(flag(params, CLIENT), flag(params, SERVER))

    def answers(self, offer: Any) -> bool:
        """Whether this is a legal answer to `offer`."""
        if self.client_no_context_takeover and not offer.accept_no_context_takeover:
            return False
        return self.server_no_context_takeover or not offer.request_no_context_takeover


class TakeoverResponseAccept(PerMessageCompressResponseAccept):
    """A client's yes to a response; `no_context_takeover`: the client does so of its own accord."""

    of: ClassVar[type[TakeoverResponse]]

    def __init__(self, response: TakeoverResponse, no_context_takeover: bool | None = None) -> None:
        check_type("response", response, self.of)
        check_own_takeover(no_context_takeover, response.client_no_context_takeover, "server")
        self.response = response
        self.no_context_takeover = no_context_takeover


class Takeover(PerMessageCompress):
    """Such an extension in use on one connection."""

    def __init__(self, is_server: bool, server_no_context_takeover: bool, client_no_context_takeover: bool) -> None:
        self.is_server = is_server
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover

    @classmethod
    def create_from_offer_accept(cls: type[T], is_server: bool, accept: Any) -> T:
        """The server's binding for what it accepted."""
        own = accept.no_context_takeover or accept.offer.request_no_context_takeover
        return cls(is_server, own, accept.request_no_context_takeover)

    @classmethod
    def create_from_response_accept(cls: type[T], is_server: bool, accept: Any) -> T:
        """The client's binding for what it accepted."""
        response = accept.response
        own = accept.no_context_takeover or response.client_no_context_takeover
        return cls(is_server, response.server_no_context_takeover, own)

    @property
    def keeps(self) -> bool:
        """Whether this end keeps its context from message to message."""
        return not (self.server_no_context_takeover if self.is_server else self.client_no_context_takeover)

    @property
    def peer_keeps(self) -> bool:
        """Whether the other end does."""
        return not (self.client_no_context_takeover if self.is_server else self.server_no_context_takeover)

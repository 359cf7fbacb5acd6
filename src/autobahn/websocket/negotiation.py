"""The server's choice among offers of compression, and the client's check of it (RFC 7692 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autobahn.websocket.compress import (
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    classes_of,
)
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.extensions import Extensions

Accept = Callable[[Any], Any]


def accept_deflate(offers: Sequence[Any]) -> PerMessageDeflateOfferAccept | None:
    """A `perMessageCompressionAccept` of servers: the client's first offer of permessage-deflate, as it is."""
    offer = next((offer for offer in offers if isinstance(offer, PerMessageDeflateOffer)), None)
    return None if offer is None else PerMessageDeflateOfferAccept(offer)


def negotiate_server(extensions: Extensions, accept: Accept | None) -> tuple[PerMessageCompress, str] | None:
    """What the server takes of the client's extensions, and the text of its answer; `None`: no compression.

    Offers that are not valid are declined by passing over them (RFC 7692 7.1). `accept` is the program's; what it
    raises passes through, and a wrong result is a `TypeError`.
    """
    if accept is None:
        return None
    offers = []
    for name, params in extensions:
        if (classes := classes_of(name)) is not None:
            try:
                offers.append(classes["Offer"].parse(params))
            except ValueError:
                continue
    if not offers:
        return None
    accepted = accept(offers)
    if accepted is None:
        return None
    if not isinstance(accepted, PerMessageCompressOfferAccept):
        raise TypeError(
            "expected perMessageCompressionAccept to return a PerMessageDeflateOfferAccept (or its like) or None, "
            f"got {type(accepted).__name__}"
        )
    chosen = classes_of(accepted.EXTENSION_NAME)
    assert chosen is not None
    pmce: PerMessageCompress = chosen["PMCE"].create_from_offer_accept(True, accepted)
    return pmce, accepted.get_extension_string()


def negotiate_client(
    extensions: Extensions, offers: Sequence[PerMessageCompressOffer], accept: Accept | None
) -> PerMessageCompress | None:
    """What the server chose, checked against the offers. Raises `HandshakeError` when it may not choose that.

    Without `accept` every legal response is accepted; what `accept` raises passes through.
    """
    if not extensions:
        return None
    name, params = extensions[0]
    classes = classes_of(name)
    if len(extensions) > 1 or classes is None:
        raise HandshakeError(400, f"expected at most one extension that was offered, got {[e[0] for e in extensions]}")
    try:
        response = classes["Response"].parse(params)
        response.check_answers(offers)
        accepted = classes["ResponseAccept"](response) if accept is None else accept(response)
    except ValueError as exc:
        raise HandshakeError(400, str(exc)) from None
    if accepted is None:
        raise HandshakeError(400, f"expected no compression, got {response!r}")
    if not isinstance(accepted, classes["ResponseAccept"]):
        raise TypeError(
            f"expected perMessageCompressionAccept to return a {classes['ResponseAccept'].__name__} or None, "
            f"got {type(accepted).__name__}"
        )
    pmce: PerMessageCompress = classes["PMCE"].create_from_response_accept(False, accepted)
    return pmce

"""Compression of messages: the classes of all extensions, and which there are.

A client lists offers. The server's `perMessageCompressionAccept` gets the offers that are valid and returns a
`...OfferAccept` for one of them, or `None`. The client's one gets the response and returns a `...ResponseAccept`.

permessage-deflate (RFC 7692) is what others speak. The three others are autobahn's own, and are there when what they
compress with is: the standard library's `bz2`, and the packages `brotli` and `python-snappy`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from autobahn.websocket.compress_base import (
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
)
from autobahn.websocket.compress_deflate import (
    DEFAULT_LEVEL,
    EXTENSION_NAME,
    OWN_MEM_LEVEL,
    OWN_WINDOW_BITS,
    PerMessageDeflate,
    PerMessageDeflateMixin,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)

__all__ = (
    "DEFAULT_LEVEL",
    "EXTENSION_NAME",
    "OWN_MEM_LEVEL",
    "OWN_WINDOW_BITS",
    "PERMESSAGE_COMPRESSION_EXTENSION",
    "PerMessageBzip2",
    "PerMessageBzip2Offer",
    "PerMessageBzip2OfferAccept",
    "PerMessageBzip2Response",
    "PerMessageBzip2ResponseAccept",
    "PerMessageCompress",
    "PerMessageCompressOffer",
    "PerMessageCompressOfferAccept",
    "PerMessageCompressResponse",
    "PerMessageCompressResponseAccept",
    "PerMessageDeflate",
    "PerMessageDeflateMixin",
    "PerMessageDeflateOffer",
    "PerMessageDeflateOfferAccept",
    "PerMessageDeflateResponse",
    "PerMessageDeflateResponseAccept",
)

PERMESSAGE_COMPRESSION_EXTENSION: dict[str, dict[str, Any]]
"""The classes of every extension that can be spoken here, by its name."""

_KINDS: Final = {
    "permessage-deflate": "Deflate",
    "permessage-bzip2": "Bzip2",
    "permessage-snappy": "Snappy",
    "permessage-brotli": "Brotli",
}


@cache
def classes_of(extension: str) -> dict[str, Any] | None:
    """The classes of an extension by what they are; `None` when it is unknown or needs what is not installed."""
    kind = _KINDS.get(extension)
    if kind is None:
        return None
    try:
        module = import_module(f"autobahn.websocket.compress_{kind.lower()}")
    except ImportError:
        return None
    parts = ("Offer", "OfferAccept", "Response", "ResponseAccept", "")
    return {part or "PMCE": getattr(module, f"PerMessage{kind}{part}") for part in parts}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What may need a package that is not installed is imported when a program asks for it (PEP 562)."""
        if name == "PERMESSAGE_COMPRESSION_EXTENSION":
            found = {extension: classes for extension in _KINDS if (classes := classes_of(extension)) is not None}
            return globals().setdefault(name, found)
        kind = next((kind for kind in _KINDS.values() if name.startswith(f"PerMessage{kind}")), None)
        if kind is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"autobahn.websocket.compress_{kind.lower()}"), name)

else:
    from autobahn.websocket.compress_brotli import *  # noqa: F403
    from autobahn.websocket.compress_bzip2 import (
        PerMessageBzip2,
        PerMessageBzip2Offer,
        PerMessageBzip2OfferAccept,
        PerMessageBzip2Response,
        PerMessageBzip2ResponseAccept,
    )
    from autobahn.websocket.compress_snappy import *  # noqa: F403

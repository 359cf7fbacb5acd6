"""What every compression extension has: offers, accepts, responses, a binding, and engines for both directions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from autobahn.exception import PayloadExceededError
from autobahn.websocket.extensions import Params

__all__ = (
    "PerMessageCompress",
    "PerMessageCompressOffer",
    "PerMessageCompressOfferAccept",
    "PerMessageCompressResponse",
    "PerMessageCompressResponseAccept",
)


class Engine(Protocol):
    """What can be idle: it gives its context back with `release`; `uses` counts messages."""

    on_context: Callable[[], None] | None
    uses: int

    def release(self) -> bool: ...


class Inflating(Engine, Protocol):
    """Takes compressed octets and gives at most `max_length` at a time (the `inflater` of a frame `Reader`)."""

    def decompress(self, data: bytes | bytearray, max_length: int, /) -> bytes: ...
    def end_message(self, max_length: int, /) -> bytes: ...


class Deflating(Engine, Protocol):
    """Takes the octets of a message and gives compressed ones."""

    def compress(self, data: bytes, /) -> bytes: ...
    def end_message(self) -> bytes: ...


def flag(params: Params, name: str) -> bool:
    """Whether a parameter without value is there. Raises `ValueError`."""
    values = params.get(name, [])
    if len(values) > 1 or values not in ([], [True]):
        raise ValueError(f"expected {name} once and without value, got {values!r}")
    return bool(values)


def check_names(params: Params, allowed: frozenset[str], extension: str) -> None:
    """Raises `ValueError` when there is another parameter than these."""
    if unknown := params.keys() - allowed:
        raise ValueError(f"expected parameters of {extension}, got {sorted(unknown)[0]!r}")


def check_bool(name: str, value: object) -> None:
    """Raises `TypeError` for anything but a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"expected {name} of type bool, got {type(value).__name__}")


def check_in(name: str, value: object, allowed: Sequence[int]) -> None:
    """Raises `ValueError` for another value."""
    if isinstance(value, bool) or value not in allowed:
        raise ValueError(f"expected {name} to be one of {list(allowed)}, got {value!r}")


def check_type(name: str, value: object, wanted: type) -> None:
    """Raises `TypeError` for an object of another class."""
    if not isinstance(value, wanted):
        raise TypeError(f"expected {name} of type {wanted.__name__}, got {type(value).__name__}")


def check_own_takeover(value: object, is_requested: bool, by: str) -> None:
    """Raises `TypeError` for what is neither a bool nor `None`, `ValueError` for a no where `by` requests a yes."""
    if value is not None:
        check_bool("no_context_takeover", value)
    if is_requested and value is False:
        raise ValueError(f"expected no_context_takeover to be True or None: the {by} requests it")


def check_may_request(name: str, value: object, is_accepted: bool) -> None:
    """Raises `ValueError` when a server requests of a client what that does not accept."""
    if value and not is_accepted:
        nothing = False if isinstance(value, bool) else 0
        raise ValueError(f"expected {name} to be {nothing}: the client does not accept it")


# What the classes below are, in place of a common base.


def _json(self: Any) -> dict[str, Any]:
    public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
    plain = {name: value.__json__() if hasattr(value, "__json__") else value for name, value in public.items()}
    return {"extension": self.EXTENSION_NAME, **plain}


def _repr(self: object) -> str:
    public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in public.items())})"


def _eq(self: object, other: object) -> bool:
    return type(other) is type(self) and vars(other) == vars(self)


class PerMessageCompressOffer(ABC):
    """Base of client offers; shows its attributes, and is equal to another one that has the same.

    A server makes one with the class method `parse(params)`, which raises `ValueError` for an offer that has to be
    declined.
    """

    EXTENSION_NAME: ClassVar[str]
    __json__ = _json
    __repr__ = _repr
    __eq__ = _eq
    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def get_extension_string(self) -> str:
        """The offer as it stands in the header."""


class PerMessageCompressOfferAccept(ABC):
    """Base of a server's accepts."""

    EXTENSION_NAME: ClassVar[str]
    __json__ = _json
    __repr__ = _repr
    __eq__ = _eq
    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def get_extension_string(self) -> str:
        """The response as it stands in the header."""


class PerMessageCompressResponse(ABC):
    """Base of server responses.

    A client makes one with the class method `parse(params)`, which raises `ValueError` when the connection has to be
    failed.
    """

    EXTENSION_NAME: ClassVar[str]
    __json__ = _json
    __repr__ = _repr
    __eq__ = _eq
    __hash__ = None  # type: ignore[assignment]

    def check_answers(self, offers: Sequence[PerMessageCompressOffer]) -> None:
        """Returns when this is a legal answer to one of `offers`. Raises `ValueError`."""
        mine = [offer for offer in offers if offer.EXTENSION_NAME == self.EXTENSION_NAME]
        if not any(self.answers(offer) for offer in mine):
            raise ValueError("expected an answer to one of the compression offers, got something not offered")

    @abstractmethod
    def answers(self, offer: Any) -> bool:
        """Whether this is a legal answer to `offer`, which is of the same extension."""


class PerMessageCompressResponseAccept:
    """Base of a client's accepts."""

    EXTENSION_NAME: ClassVar[str]
    __json__ = _json
    __repr__ = _repr
    __eq__ = _eq
    __hash__ = None  # type: ignore[assignment]


class PerMessageCompress(ABC):
    """Base of extensions in use on one connection.

    Class methods make one of what was accepted: `create_from_offer_accept(is_server, accept)` for a server,
    `create_from_response_accept(is_server, accept)` for a client.
    """

    EXTENSION_NAME: ClassVar[str]
    max_message_size: int | None = None
    _deflater: Deflating | None = None
    _inflater: Inflating | None = None
    __json__ = _json
    __repr__ = _repr

    @abstractmethod
    def new_inflater(self, backend: str = "zlib") -> Inflating:
        """The engine for what the other end sends."""

    @abstractmethod
    def new_deflater(self, level: int = -1, backend: str = "zlib") -> Deflating:
        """The engine for what this end sends."""

    # For programs that compress by hand, message by message.

    def start_compress_message(self) -> None:
        """A message to compress begins."""
        if self._deflater is None:
            self._deflater = self.new_deflater()

    def compress_message_data(self, data: bytes) -> bytes:
        """What can be sent of it so far; may be empty."""
        assert self._deflater is not None, "expected start_compress_message() first"
        return self._deflater.compress(data)

    def end_compress_message(self) -> bytes:
        """The last octets of it."""
        assert self._deflater is not None, "expected start_compress_message() first"
        return self._deflater.end_message()

    def start_decompress_message(self) -> None:
        """A compressed message begins."""
        if self._inflater is None:
            self._inflater = self.new_inflater()

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Its next octets. Raises `PayloadExceededError` for more than `max_output_len`, `FrameError` for bad data."""
        assert self._inflater is not None, "expected start_decompress_message() first"
        limit = max_output_len or self.max_message_size or 1 << 62
        out = bytearray()
        while len(piece := self._inflater.decompress(data, 65536)) == 65536:
            out += piece
            data = b""
            if len(out) > limit:
                break
        out += piece
        if len(out) > limit:
            raise PayloadExceededError(f"expected at most {limit} octets once inflated, got more")
        return bytes(out)

    def end_decompress_message(self) -> None:
        """The message is complete."""
        assert self._inflater is not None, "expected start_decompress_message() first"
        self._inflater.end_message(65536)

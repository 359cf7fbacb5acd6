"""Protocol options: one frozen record per role, checked when made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from autobahn._names import expect_names
from autobahn.websocket.compress import DEFAULT_LEVEL, PerMessageCompressOffer
from autobahn.websocket.deflate import AUTO, load_backend
from autobahn.websocket.http import MAX_HEAD_SIZE, MAX_HEADERS
from autobahn.websocket.origins import is_for_everybody

O = TypeVar("O", bound="Options")  # noqa: E741

MAX_MESSAGE_SIZE = 16 * 1024 * 1024
"""Default limit of a message in octets, after inflation."""
MIN_SEND_BUFFER = 16 * 1024 * 1024
"""What `maxSendBuffer` is at least when it is not set."""

_FLAGS = frozenset(
    {
        "utf8validateIncoming",
        "applyMask",
        "failByDrop",
        "echoCloseCodeReason",
        "tcpNoDelay",
        "autoPingRestartOnAnyTraffic",
        "webStatus",
        "requireMaskedClientFrames",
        "maskServerFrames",
        "serveFlashSocketPolicy",
        "acceptMaskedServerFrames",
        "maskClientFrames",
        "countTraffic",
    }
)
_COUNTS = frozenset(
    {
        "maxFramePayloadSize",
        "maxMessagePayloadSize",
        "autoFragmentSize",
        "maxConnections",
        "trustXForwardedFor",
        "maxHandshakeSize",
        "maxHandshakeHeaders",
        "sendHighWater",
        "sendLowWater",
    }
)
_SECONDS = frozenset(
    {
        "openHandshakeTimeout",
        "closeHandshakeTimeout",
        "autoPingInterval",
        "autoPingTimeout",
        "compressionIdleTimeout",
        "serverConnectionDropTimeout",
    }
)


class Options:
    """Options of both roles. Sizes are in octets and times in seconds; 0 switches a limit or timer off."""

    utf8validateIncoming: bool = True
    applyMask: bool = True
    maxFramePayloadSize: int = 0
    maxMessagePayloadSize: int = MAX_MESSAGE_SIZE
    autoFragmentSize: int = 0
    failByDrop: bool = True
    echoCloseCodeReason: bool = False
    openHandshakeTimeout: float = 5
    closeHandshakeTimeout: float = 1
    tcpNoDelay: bool = True
    autoPingInterval: float = 20
    """Seconds between automatic pings."""
    autoPingTimeout: float = 20
    """Seconds after a ping in which the peer has to send something, else the connection is dropped."""
    autoPingSize: int = 12
    autoPingRestartOnAnyTraffic: bool = True
    perMessageCompressionAccept: Callable[[Any], Any] | None = None
    maxHandshakeSize: int = MAX_HEAD_SIZE
    maxHandshakeHeaders: int = MAX_HEADERS
    sendHighWater: int = 64 * 1024
    """Octets waiting to be sent at which `drain` begins to wait and `onHighWater` is called."""
    sendLowWater: int = 16 * 1024
    """Octets waiting to be sent at which `drain` returns and `onLowWater` is called."""
    maxSendBuffer: int | None = None
    """Octets that may wait to be sent; the message that would go beyond meets `sendPolicy`, unless nothing waits.
    Unless set: as much as a peer may make us hold by what it sends, `maxMessagePayloadSize`, and 16 MiB at least."""
    sendPolicy: str = "exception"
    """"exception": `BufferFullError` at the caller; "close": the connection fails with 1008; "drop": not sent."""
    maxConcurrentHandlers: int = 1
    """How many `async` message callbacks of one connection may run at once; 1: one after the other."""
    maxReceiveQueue: int = 64
    """Messages that may wait for `async` callbacks before reading from the network pauses."""
    maxReceiveQueueSize: int = 1024 * 1024
    """Octets that may wait for `async` callbacks before reading from the network pauses."""
    compressionLevel: int = DEFAULT_LEVEL
    """0 (none) to 9 (small and slow), -1: what the backend takes for a good balance."""
    compressionBackend: str = AUTO
    """"zlib", or, when the package of that name is installed, "isal" (fast) or "zlib-ng"; "auto": isal or else zlib."""
    compressionIdleTimeout: float = 5
    """Seconds without a message after which the memory of compression contexts is given back."""
    countTraffic: bool = False
    """Whether `trafficStats` is kept up to date, which costs time with every message."""

    # No dataclass: that compiles code for forty fields, three times, in every program that imports us.

    def __init__(self, **values: Any) -> None:
        """All options as they are above, except for those given."""
        cls = type(self)
        names = cls.names()
        expect_names(values, names, "protocol options")
        for name, value in values.items():
            _check(name, value)
        self.__dict__.update({name: getattr(cls, name) for name in names})
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"expected options to be left as they are (see `updated`), got a new {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        changed = (f"{name}={value!r}" for name, value in vars(self).items() if value != getattr(type(self), name))
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    @cache
    def names(cls) -> frozenset[str]:
        """Of all options."""
        return frozenset(name for base in cls.__mro__ for name in inspect.get_annotations(base))

    def updated(self: O, changes: dict[str, Any]) -> O:
        """These options with `changes`; `None` leaves an option as it is. Raises `TypeError` or `ValueError`."""
        expect_names(changes, self.names(), "protocol options")
        wanted = {name: value for name, value in changes.items() if value is not None}
        return type(self)(**{**vars(self), **wanted}) if wanted else self

    def value(self, name: str) -> Any:
        """The value in force of an option."""
        return self.send_buffer_limit if name == "maxSendBuffer" else getattr(self, name)

    @property
    def send_buffer_limit(self) -> int:
        """What `maxSendBuffer` comes to."""
        return max(MIN_SEND_BUFFER, self.maxMessagePayloadSize) if self.maxSendBuffer is None else self.maxSendBuffer


class ServerOptions(Options):
    """Options of a server. Flash policy files are not served; their two options are accepted and do nothing."""

    versions: Sequence[int] = (8, 13)
    webStatus: bool = True
    requireMaskedClientFrames: bool = True
    maskServerFrames: bool = False
    allowedOrigins: Sequence[str] = ("*",)
    """Origins of pages that may connect; `*` stands for any characters, "same-origin" for pages of this server."""
    allowNullOrigin: bool | None = None
    """Whether `Origin: null` and `file:` may; unless set, only while pages of any origin may."""
    maxConnections: int = 0
    trustXForwardedFor: int = 0
    serveFlashSocketPolicy: bool = False
    flashSocketPolicy: str | None = None

    def value(self, name: str) -> Any:
        """The value in force of an option."""
        return self.null_origin_allowed if name == "allowNullOrigin" else Options.value(self, name)

    @property
    def null_origin_allowed(self) -> bool:
        """What `allowNullOrigin` comes to."""
        return is_for_everybody(self.allowedOrigins) if self.allowNullOrigin is None else self.allowNullOrigin


class ClientOptions(Options):
    """Options of a client. `version` is the number of a protocol draft; 18 is RFC 6455."""

    version: int = 18
    acceptMaskedServerFrames: bool = False
    maskClientFrames: bool = True
    serverConnectionDropTimeout: float = 1
    perMessageCompressionOffers: Sequence[PerMessageCompressOffer] = ()


SERVER_OPTION_NAMES = ServerOptions.names()
CLIENT_OPTION_NAMES = ClientOptions.names()


def _check(name: str, value: Any) -> None:
    """Refuses a value that the option cannot have."""
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise TypeError(f"expected {name} of type bool, got {type(value).__name__}")
    elif name in _COUNTS:
        _check_count(name, value)
    elif name in _SECONDS:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise TypeError(f"expected {name} as number of seconds, got {type(value).__name__}")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"expected {name} to be 0 or more seconds, got {value}")
    elif (check := _CHECKS.get(name)) is not None:
        check(name, value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_count(name: str, value: Any) -> None:
    if not _is_int(value):
        raise TypeError(f"expected {name} of type int, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"expected {name} to be 0 or more, got {value}")


def _check_ping_size(name: str, value: Any) -> None:
    if not _is_int(value) or not 12 <= value <= 125:
        raise ValueError(f"expected {name} from 12 to 125, got {value!r}")


def _check_accept(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"expected {name} to be callable, got {type(value).__name__}")


def _check_offers(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, PerMessageCompressOffer) for v in value):
        raise TypeError(f"expected {name} as list of PerMessageCompressOffer, got {value!r}")


def _check_origins(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise TypeError(f"expected {name} as list of str, got {value!r}")


def _check_versions(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not value or not all(_is_int(v) and v in {8, 13} for v in value):
        raise ValueError(f"expected {name} as list of 8 and 13, got {value!r}")


def _check_version(name: str, value: Any) -> None:
    if not _is_int(value) or not 10 <= value <= 18:
        raise ValueError(f"expected {name} from 10 to 18, got {value!r}")


def _check_null_origin(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"expected {name} of type bool, got {type(value).__name__}")


def _check_policy(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected {name} of type str, got {type(value).__name__}")


def _check_positive(name: str, value: Any) -> None:
    if not _is_int(value):
        raise TypeError(f"expected {name} of type int, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"expected {name} to be 1 or more, got {value}")


def _check_level(name: str, value: Any) -> None:
    if not _is_int(value) or not -1 <= value <= 9:
        raise ValueError(f"expected {name} from -1 to 9, got {value!r}")


def _check_backend(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"expected {name} of type str, got {type(value).__name__}")
    load_backend(value)


def _check_send_policy(name: str, value: Any) -> None:
    if value not in {"exception", "close", "drop"}:
        raise ValueError(f"expected {name} to be 'exception', 'close' or 'drop', got {value!r}")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "autoPingSize": _check_ping_size,
    "perMessageCompressionAccept": _check_accept,
    "perMessageCompressionOffers": _check_offers,
    "allowNullOrigin": _check_null_origin,
    "allowedOrigins": _check_origins,
    "maxSendBuffer": lambda name, value: None if value is None else _check_count(name, value),
    "maxConcurrentHandlers": _check_positive,
    "maxReceiveQueue": _check_positive,
    "maxReceiveQueueSize": _check_positive,
    "compressionBackend": _check_backend,
    "compressionLevel": _check_level,
    "sendPolicy": _check_send_policy,
    "versions": _check_versions,
    "version": _check_version,
    "flashSocketPolicy": _check_policy,
}

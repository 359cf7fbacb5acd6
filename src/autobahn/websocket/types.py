"""The values a program meets in the callbacks of the opening handshake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Union

__all__ = (
    "ConnectingRequest",
    "ConnectionAccept",
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "IncomingMessage",
    "Message",
    "OutgoingMessage",
    "Ping",
)

HeaderValue = Union[str, Sequence[str]]
"""One value, or several for as many header lines."""


class _Record:
    """Shows its slots as a dict."""

    __slots__: tuple[str, ...] = ()

    def __json__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        from pprint import pformat

        return pformat(self.__json__())

    __repr__ = __str__


class ConnectionRequest(_Record):
    """What a client asked for; the argument of a server's `onConnect`.

    `headers`: values by lower-case name, those of a repeated header joined with ", ". `host`: without port. `path`:
    as sent. `params`: lists of query values by name. `version`: of the protocol (13, or 8 for Hybi-10 clients).
    `origin`: "" when the client sent none. `extensions`: pairs of name and parameters.
    """

    __slots__ = ("extensions", "headers", "host", "origin", "params", "path", "peer", "protocols", "version")

    def __init__(
        self,
        peer: str,
        headers: dict[str, str],
        host: str,
        path: str,
        params: dict[str, list[str]],
        version: int,
        origin: str,
        protocols: list[str],
        extensions: list[tuple[str, dict[str, list[str | bool]]]],
    ) -> None:
        self.peer = peer
        self.headers = headers
        self.host = host
        self.path = path
        self.params = params
        self.version = version
        self.origin = origin
        self.protocols = protocols
        self.extensions = extensions


class ConnectionResponse(_Record):
    """What a server answered; the argument of a client's `onConnect`.

    `protocol`: the subprotocol in use or `None`. `extensions`: the extensions in use (`PerMessageDeflate` objects).
    """

    __slots__ = ("extensions", "headers", "peer", "protocol", "version")

    def __init__(
        self, peer: str, headers: dict[str, str], version: int, protocol: str | None, extensions: list[Any]
    ) -> None:
        self.peer = peer
        self.headers = headers
        self.version = version
        self.protocol = protocol
        self.extensions = extensions


class ConnectingRequest(_Record):
    """What a client is going to ask for; a client's `onConnecting` may return one.

    `None` takes the value of the factory, except for `useragent`, where it leaves the header out. So do `headers` and
    `protocols` that are empty: without an argument they are a dict and a list of their own, to be filled.
    """

    __slots__ = ("headers", "host", "origin", "port", "protocols", "resource", "useragent")

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        resource: str | None = None,
        headers: Mapping[str, HeaderValue] | None = None,
        useragent: str | None = None,
        origin: str | None = None,
        protocols: list[str] | None = None,
    ) -> None:
        for name, value in (
            ("host", host),
            ("resource", resource),
            ("useragent", useragent),
            ("origin", origin),
        ):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"expected {name} of type str or None, got {type(value).__name__}")
        if port is not None and (not isinstance(port, int) or not 1 <= port <= 65535):
            raise ValueError(f"expected port from 1 to 65535 or None, got {port!r}")
        if protocols is not None and not all(isinstance(p, str) for p in protocols):
            raise TypeError(f"expected protocols as list of str or None, got {protocols!r}")
        self.host = host
        self.port = port
        self.resource = resource
        self.headers: Mapping[str, HeaderValue] | dict[str, HeaderValue] = {} if headers is None else headers
        self.useragent = useragent
        self.origin = origin
        self.protocols: list[str] = [] if protocols is None else protocols


class ConnectionAccept:
    """A server's `onConnect` may return one: the subprotocol to speak and headers for the answer."""

    __slots__ = ("headers", "subprotocol")

    def __init__(self, subprotocol: str | None = None, headers: Mapping[str, HeaderValue] | None = None) -> None:
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise TypeError(f"expected subprotocol of type str or None, got {type(subprotocol).__name__}")
        if headers is not None and not isinstance(headers, Mapping):
            raise TypeError(f"expected headers of type dict or None, got {type(headers).__name__}")
        self.subprotocol = subprotocol
        self.headers = headers


class ConnectionDeny(Exception):
    """Raised in a server's `onConnect`: the client gets this HTTP status and reason and is disconnected."""

    BAD_REQUEST: Final = 400
    FORBIDDEN: Final = 403
    NOT_FOUND: Final = 404
    NOT_ACCEPTABLE: Final = 406
    REQUEST_TIMEOUT: Final = 408
    INTERNAL_SERVER_ERROR: Final = 500
    NOT_IMPLEMENTED: Final = 501
    SERVICE_UNAVAILABLE: Final = 503

    def __init__(self, code: int, reason: str | None = None) -> None:
        if not isinstance(code, int) or not 400 <= code <= 599:
            raise ValueError(f"expected an HTTP status from 400 to 599, got {code!r}")
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"expected reason of type str or None, got {type(reason).__name__}")
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Message:
    """Base of the message records."""

    __slots__ = ()


class IncomingMessage(Message):
    """A received message."""

    __slots__ = ("is_binary", "payload")

    def __init__(self, payload: bytes, is_binary: bool = False) -> None:
        _check_payload(payload)
        self.payload = payload
        self.is_binary = is_binary


class OutgoingMessage(Message):
    """A message to be sent."""

    __slots__ = ("is_binary", "payload", "skip_compress")

    def __init__(self, payload: bytes, is_binary: bool = False, skip_compress: bool = False) -> None:
        _check_payload(payload)
        self.payload = payload
        self.is_binary = is_binary
        self.skip_compress = skip_compress


class Ping:
    """A ping with an optional payload of at most 125 octets."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes | None = None) -> None:
        if payload is not None:
            _check_payload(payload)
            if len(payload) > 125:
                raise ValueError(f"expected a ping payload of at most 125 octets, got {len(payload)}")
        self.payload = payload


def _check_payload(payload: bytes) -> None:
    if not isinstance(payload, bytes):
        raise TypeError(f"expected payload of type bytes, got {type(payload).__name__}")

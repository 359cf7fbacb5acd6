"""Errors of the transport layer.

ConnectFailed (ConnectionError)     `connect` gave no open connection; says url, peer and phase
├── ConnectTimeout (TimeoutError)   ... in time
├── ProxyError                      the proxy refused, or does not speak its protocol
└── InvalidHandshake                the server's answer is not what RFC 6455 asks for
    └── InvalidStatus               it is an HTTP status other than 101
Disconnected (RuntimeError)         the call needs an open connection
└── ConnectionClosed                says how the connection ended, at both ends
    ├── ConnectionClosedOK          in order: 1000, 1001 or no code, closing handshake done
    └── ConnectionClosedError       every other end
ComponentFailed (RuntimeError)      a `Component` has given all its transports up
InvalidURI (ValueError)             not a URL that can be connected to
PayloadExceededError, PayloadCorruptError (RuntimeError)
BufferFullError (RuntimeError)      the peer reads too slowly and too much waits to be sent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = (
    "BufferFullError",
    "ComponentFailed",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "Disconnected",
    "InvalidHandshake",
    "InvalidStatus",
    "InvalidURI",
    "PayloadCorruptError",
    "PayloadExceededError",
    "ProxyError",
)


class Disconnected(RuntimeError):
    """The call needs an open connection, and the connection is not open (any more)."""


class PayloadExceededError(RuntimeError):
    """The payload is larger than the limit in force; nothing was sent and the connection stays usable."""


class PayloadCorruptError(RuntimeError):
    """The payload does not have the form it must have."""


class BufferFullError(RuntimeError):
    """The peer reads too slowly: `maxSendBuffer` octets wait already; nothing was sent and the connection stays usable.

    `connection`: the protocol object whose buffer is full.
    """

    def __init__(self, message: str, connection: Any = None) -> None:
        super().__init__(message)
        self.connection = connection


class ComponentFailed(RuntimeError):
    """A component has given up: no transport is left to be tried.

    `failures`: (url, exception) for every transport that was tried, what it failed with last. The last of all is
    `__cause__`, too.
    """

    def __init__(self, failures: Sequence[tuple[str, Exception]] = ()) -> None:
        super().__init__("Component failed: Exhausted all transport connect attempts")
        self.failures = tuple(failures)
        self.__cause__ = failures[-1][1] if failures else None


class InvalidURI(ValueError):
    """The text is not a URL that can be connected to."""


class ConnectFailed(ConnectionError):
    """There is no connection.

    `phase`: how far it came: "resolve" (names), "connect" (TCP or Unix socket), "proxy", "tls", "handshake"
    (WebSocket), "join" (WAMP). `peer`: the address spoken to last, `None` before there was one. `url`: what was asked
    for. The error of the system or of TLS, when there is one, is `__cause__`, and `errno` is its number.
    """

    def __init__(self, message: str, *, url: str = "", peer: str | None = None, phase: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.peer = peer
        self.phase = phase

    def __str__(self) -> str:
        where = [text for text in (self.url, self.peer and f"peer {self.peer}", self.phase) if text]
        return f"{self.message} ({', '.join(where)})" if where else self.message


class ConnectTimeout(ConnectFailed, TimeoutError):
    """The time for opening the connection was over."""


class ProxyError(ConnectFailed):
    """The proxy did not make the connection.

    `status`: its HTTP status (407: it wants other credentials) or its SOCKS reply, `None` when it gave none.
    """

    def __init__(self, message: str, *, status: int | None = None, **where: Any) -> None:
        super().__init__(message, **{"phase": "proxy", **where})
        self.status = status


class InvalidHandshake(ConnectFailed):
    """The peer did not answer as a WebSocket server does."""


class InvalidStatus(InvalidHandshake):
    """The server answered with an HTTP status other than 101.

    `status` and `reason` of the status line; `headers` by lower-case name; `body`: its first octets, as they were sent.
    """

    def __init__(
        self, message: str, *, status: int, reason: str, headers: Mapping[str, str], body: bytes, **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.status = status
        self.reason = reason
        self.headers = dict(headers)
        self.body = body


class ConnectionClosed(Disconnected):
    """The connection is closed.

    `code` and `reason`: how it ended, seen from here: those of the peer's close frame, 1005 when that had none, 1006
    and an explanation when the connection ended without. `local_code`, `local_reason`: of the close frame sent here;
    `remote_code`, `remote_reason`: of the peer's; `None` where there was none. `was_clean`: both were exchanged.
    `closed_by_me`: the closing began here. `peer`: who it was. The error of the system that ended the connection, when
    there is one, is `__cause__`.
    """

    def __init__(
        self,
        *,
        was_clean: bool,
        explanation: str | None = None,
        local_code: int | None = None,
        local_reason: str | None = None,
        remote_code: int | None = None,
        remote_reason: str | None = None,
        closed_by_me: bool = False,
        peer: str | None = None,
    ) -> None:
        self.was_clean = was_clean
        self.local_code = local_code
        self.local_reason = local_reason
        self.remote_code = remote_code
        self.remote_reason = remote_reason
        self.closed_by_me = closed_by_me
        self.peer = peer
        self.code = remote_code if remote_code is not None else 1005 if was_clean else 1006
        self.reason = (remote_reason if was_clean or remote_code is not None else explanation) or ""
        ended = "closed" if was_clean else "lost"
        by = "this end" if closed_by_me else "the peer"
        sent = "" if local_code is None else f", sent {local_code} {local_reason or ''}".rstrip()
        text = f"connection {ended} by {by}: {self.code} {self.reason}".rstrip() + sent
        super().__init__(f"{text} (peer {peer})" if peer else text)


class ConnectionClosedOK(ConnectionClosed):
    """The connection was closed in order."""


class ConnectionClosedError(ConnectionClosed):
    """The connection was lost, or closed because of an error."""

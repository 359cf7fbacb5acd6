"""The opening handshake on parsed heads, both roles (RFC 6455 section 4).

Server: `check_request` judges a request, `accept_response` builds the 101, `error_response` any other answer.
Client: `ClientRequest` is built and sent, `check_response` judges what comes back.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from autobahn.websocket import http
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.extensions import Extensions, parse_extensions
from autobahn.websocket.origins import is_allowed_origin
from autobahn.websocket.types import ConnectionRequest, HeaderValue

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_HOST = re.compile(r"([A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_UPGRADE_ANSWER = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))

_STATUS_PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>WebSocket</title></head>
<body><h1>WebSocket</h1><p>This address speaks WebSocket (RFC 6455). Connect with a WebSocket client.</p></body></html>
"""


@cache
def _sha1() -> Callable[..., Any]:
    """The function, looked up once; imported late, for programs that start quickly."""
    from hashlib import sha1

    return sha1


def _accept(key: bytes) -> bytes:
    digest: bytes = _sha1()(key + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def accept_value(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 4.2.2)."""
    return _accept(key.encode("ascii")).decode("ascii")


def flat(headers: Mapping[str, HeaderValue] | None) -> Iterator[tuple[str, str]]:
    """Header lines of a dict whose values are texts, or lists of texts for repeated headers."""
    for name, value in (headers or {}).items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield name, item
        else:
            raise TypeError(f"expected header {name!r} as str or list of str, got {type(value).__name__}")


# -- server ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerRules:
    """What a server asks of requests. `external_port`: the port that a Host header must name, 0 = any.

    `known`: of `autobahn.websocket.heads`.
    """

    versions: Sequence[int] = (8, 13)
    allowed_origins: Sequence[str] = ("*",)
    allow_null_origin: bool = True
    external_port: int = 0
    is_secure: bool = False
    web_status: bool = True
    known: dict[bytes, Any] = field(default_factory=dict, compare=False, repr=False)


class Upgrade(NamedTuple):
    """A request that asks properly for a WebSocket."""

    request: ConnectionRequest
    key: str
    target: str


def check_request(request: http.Request, rules: ServerRules, peer: str) -> Upgrade:
    """The upgrade that `request` asks for. Raises `HandshakeError` with the HTTP status of the answer."""
    if request.version != "1.1":
        raise HandshakeError(505, f"expected HTTP/1.1, got HTTP/{request.version}")
    if request.method != "GET":
        raise HandshakeError(405, f"expected method GET, got {request.method}", (("Allow", "GET"),))
    headers = request.headers
    host = _check_host(headers, rules)
    path, params = _check_target(request.target)
    _check_no_body(headers)
    _check_upgrade(headers)
    version = _check_version(headers, rules)
    protocols = _check_protocols(headers)
    origin = _check_origin(headers, version, rules)
    key = _check_key(headers)
    extensions = _check_extensions(headers)
    return Upgrade(
        ConnectionRequest(peer, http.joined(headers), host, path, params, version, origin, protocols, extensions),
        key,
        request.target,
    )


def _one(headers: http.Headers, name: str) -> str | None:
    """The value of a header that must not be repeated."""
    values = headers.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise HandshakeError(400, f"expected one {name} header, got {len(values)}")
    return values[0]


def _check_host(headers: http.Headers, rules: ServerRules) -> str:
    value = _one(headers, "host")
    if value is None:
        raise HandshakeError(400, "expected a Host header, got none")
    match = _HOST.fullmatch(value)
    if match is None or int(match[2] or 0) > 65535:
        raise HandshakeError(400, "expected a Host header 'HOST' or 'HOST:PORT', got something else")
    port = int(match[2]) if match[2] else 443 if rules.is_secure else 80
    if rules.external_port and port != rules.external_port:
        raise HandshakeError(400, f"expected port {rules.external_port} in the Host header, got {port}")
    return match[1]


def _check_target(target: str) -> tuple[str, dict[str, list[str]]]:
    if "#" in target:
        raise HandshakeError(400, "expected a target without fragment (RFC 6455 section 3), got one with")
    if target.startswith("/"):
        path, _, query = target.partition("?")
    else:
        path, query = _split_absolute(target)
    if not query:
        return path, {}
    from urllib.parse import parse_qs

    try:
        return path, parse_qs(query, max_num_fields=1000)
    except ValueError:
        raise HandshakeError(400, "expected at most 1000 query parameters, got more") from None


def _split_absolute(target: str) -> tuple[str, str]:
    """Path and query of a target in absolute form (RFC 9112 3.2.2)."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(target)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc:
            return parts.path or "/", parts.query
    except ValueError:
        pass
    raise HandshakeError(400, "expected a path as target, got something else")


def _check_no_body(headers: http.Headers) -> None:
    # A body would be read as frames here and as something else by a proxy on the way: request smuggling.
    if "transfer-encoding" in headers or headers.get("content-length", ["0"]) != ["0"]:
        raise HandshakeError(400, "expected a request without body, got one with")


def _check_upgrade(headers: http.Headers) -> None:
    if "upgrade" not in headers:
        raise HandshakeError(426, "expected a WebSocket upgrade (RFC 6455), got a plain request", _UPGRADE_ANSWER)
    upgrade, connection = headers["upgrade"], headers.get("connection", [])
    if upgrade != ["websocket"] and "websocket" not in http.lower_tokens(upgrade):
        raise HandshakeError(400, "expected 'websocket' in the Upgrade header, got something else")
    if connection != ["Upgrade"] and "upgrade" not in http.lower_tokens(connection):
        raise HandshakeError(400, "expected 'Upgrade' in the Connection header, got something else")


def _check_version(headers: http.Headers, rules: ServerRules) -> int:
    value = _one(headers, "sec-websocket-version")
    if value == "13" and 13 in rules.versions:  # as nearly always
        return 13
    for version in rules.versions:
        if value == str(version):
            return version
    supported = (("Sec-WebSocket-Version", ",".join(str(v) for v in sorted(rules.versions, reverse=True))),)
    if value is None:
        raise HandshakeError(400, "expected a Sec-WebSocket-Version header, got none", supported)
    raise HandshakeError(400, "expected a supported Sec-WebSocket-Version, got another", supported)


def _check_protocols(headers: http.Headers) -> list[str]:
    values = headers.get("sec-websocket-protocol")
    if values is None:
        return []
    protocols = [part.strip(" \t") for value in values for part in value.split(",")]
    if not all(http.is_token(protocol) for protocol in protocols):
        raise HandshakeError(400, "expected a list of tokens in Sec-WebSocket-Protocol, got something else")
    if len(set(protocols)) != len(protocols):
        raise HandshakeError(400, "expected every subprotocol once in Sec-WebSocket-Protocol, got a duplicate")
    return protocols


def _check_origin(headers: http.Headers, version: int, rules: ServerRules) -> str:
    name = "origin" if version >= 13 else "sec-websocket-origin"
    value = _one(headers, name)
    if value is None:
        return ""  # not a browser
    host = headers["host"][0]
    if not is_allowed_origin(
        value, rules.allowed_origins, rules.allow_null_origin, host=host, is_secure=rules.is_secure
    ):
        raise HandshakeError(403, "expected an allowed Origin, got another")  # RFC 6455 4.2.2 names this status
    return value


def _check_key(headers: http.Headers) -> str:
    key = _one(headers, "sec-websocket-key")
    if key is None:
        raise HandshakeError(400, "expected a Sec-WebSocket-Key header, got none")
    try:
        valid = len(key) == 24 and len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise HandshakeError(400, "expected 16 octets in base64 as Sec-WebSocket-Key, got something else")
    return key


def _check_extensions(headers: http.Headers) -> Extensions:
    # RFC 6455 11.3.2: in a request the header may be spread over several lines
    values = headers.get("sec-websocket-extensions")
    return parse_extensions(", ".join(values)) if values else []


def accept_response(
    upgrade: Upgrade,
    *,
    server: str | None,
    headers: Iterable[tuple[str, str]],
    subprotocol: str | None,
    extensions: Sequence[str],
) -> bytes:
    """The 101 answer. Raises `ValueError` (unoffered subprotocol, text that cannot be in a header)."""
    if subprotocol is not None and subprotocol not in upgrade.request.protocols:
        raise ValueError(f"expected one of the offered subprotocols {upgrade.request.protocols}, got {subprotocol!r}")
    fields = [*headers]
    if fields and subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", subprotocol))
    return b"%b%bSec-WebSocket-Accept: %b\r\n%b\r\n" % (
        _start_of_101(server, None if fields else subprotocol),
        http.build_fields(fields) if fields else b"",
        _accept(upgrade.key.encode("ascii")),
        http.build_fields([("Sec-WebSocket-Extensions", ", ".join(extensions))]) if extensions else b"",
    )


@lru_cache(maxsize=64)
def _start_of_101(server: str | None, subprotocol: str | None) -> bytes:
    """The lines with which a 101 of a server begins. Built once for each."""
    lines = [("Server", server)] if server else []
    lines += [("Upgrade", "WebSocket"), ("Connection", "Upgrade")]
    if subprotocol is not None:
        lines.append(("Sec-WebSocket-Protocol", subprotocol))
    return http.build_response(101, None, lines)[:-2]


def error_response(error: HandshakeError, *, server: str | None, web_status: bool = False) -> bytes:
    """The answer to a request that is refused. The connection is closed after it.

    Text that cannot be in a status line (control or non-ASCII characters) is replaced there by "?".
    """
    reason = "".join(c if " " <= c <= "~" else "?" for c in error.reason) or http.phrase(error.status)
    if web_status and error.status == 426:
        content, body = "text/html; charset=utf-8", _STATUS_PAGE
    else:
        content, body = "text/plain; charset=utf-8", f"{error.status} {reason}\n".encode("ascii")
    lines = [("Server", server)] if server else []
    lines += error.headers
    lines += [
        ("Content-Type", content),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "Upgrade, close" if error.status == 426 else "close"),
    ]
    return http.build_response(error.status, reason, lines, body)


def plain_response(
    method: str, status: int, headers: Iterable[tuple[str, str]], body: bytes, *, server: str | None
) -> bytes:
    """An answer of the program to a plain HTTP request; the connection is closed after it. Raises `ValueError`."""
    if not isinstance(body, bytes):
        raise TypeError(f"expected a body of type bytes, got {type(body).__name__}")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"expected an HTTP status from 200 to 599, got {status!r}")
    fields = list(headers)
    names = {name.lower() for name, _ in fields}
    if wrong := names & {"connection", "content-length", "transfer-encoding", "upgrade"}:
        raise ValueError(f"expected headers without {sorted(wrong)[0]!r}, which is set here, got one with")
    lines = [("Server", server)] if server and "server" not in names else []
    lines += fields
    if "content-type" not in names and body:
        lines.append(("Content-Type", "text/plain; charset=utf-8"))
    if status not in {204, 304}:  # RFC 9110 8.6
        lines.append(("Content-Length", str(len(body))))
    lines += [("X-Content-Type-Options", "nosniff"), ("Connection", "close")]
    sent = b"" if method == "HEAD" or status in {204, 304} else body
    return http.build_response(status, None, lines, sent)


# -- client ----------------------------------------------------------------------------------------------------


def new_key() -> str:
    """A fresh Sec-WebSocket-Key: 16 octets from the system's CSPRNG in base64."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """The request of a client. `version`: 13, or 8 for Hybi-10. `extensions`: offers as texts."""

    host: str
    port: int | str
    resource: str
    is_secure: bool = False
    useragent: str | None = None
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    origin: str | None = None
    protocols: Sequence[str] = ()
    extensions: Sequence[str] = ()
    version: int = 13
    key: str = field(default_factory=new_key)

    def build(self) -> bytes:
        """The bytes to send. Raises `ValueError` for values that cannot be in a request head."""
        for protocol in self.protocols:
            if not http.is_token(protocol):
                raise ValueError(f"expected a subprotocol made of token characters, got {protocol!r}")
        if len(set(self.protocols)) != len(self.protocols):
            raise ValueError(f"expected every subprotocol once, got {list(self.protocols)!r}")
        lines = [("User-Agent", self.useragent)] if self.useragent else []
        lines += [
            ("Host", self._host()),
            ("Upgrade", "WebSocket"),
            ("Connection", "Upgrade"),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            *flat(self.headers),
            ("Sec-WebSocket-Key", self.key),
        ]
        if self.origin:
            lines.append(("Origin" if self.version >= 13 else "Sec-WebSocket-Origin", self.origin))
        if self.protocols:
            lines.append(("Sec-WebSocket-Protocol", ",".join(self.protocols)))
        if self.extensions:
            lines.append(("Sec-WebSocket-Extensions", ", ".join(self.extensions)))
        lines.append(("Sec-WebSocket-Version", str(self.version)))
        return http.build_request("GET", self.resource, lines)

    def _host(self) -> str:
        if isinstance(self.port, str):  # a Unix socket has no port (host "unix")
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        if _HOST.fullmatch(host) is None:
            raise ValueError(f"expected a host name or address, got {self.host!r}")
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Switched:
    """What a server agreed to."""

    subprotocol: str | None
    extensions: Extensions


def check_response(response: http.Response, request: ClientRequest) -> Switched:
    """What the server agreed to (RFC 6455 4.1). Raises `HandshakeError` when it did not or not properly."""
    if response.version != "1.1":
        raise HandshakeError(505, f"expected HTTP/1.1, got HTTP/{response.version}")
    if response.status != 101:
        raise HandshakeError(
            response.status, f"WebSocket connection upgrade failed [{response.status}]: {response.reason}"
        )
    headers = response.headers
    upgrade, connection = headers.get("upgrade", []), headers.get("connection", [])
    if upgrade != ["websocket"] and http.lower_tokens(upgrade) != ["websocket"]:
        raise HandshakeError(400, "expected 'Upgrade: websocket' in the answer, got something else")
    if connection != ["Upgrade"] and "upgrade" not in http.lower_tokens(connection):
        raise HandshakeError(400, "expected 'Connection: Upgrade' in the answer, got something else")
    accept = _one(headers, "sec-websocket-accept")
    if accept != accept_value(request.key):
        raise HandshakeError(400, "expected the Sec-WebSocket-Accept that belongs to our key, got something else")
    subprotocol = _one(headers, "sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in request.protocols:
        raise HandshakeError(400, f"expected one of the subprotocols {list(request.protocols)}, got {subprotocol!r}")
    extensions = _one(headers, "sec-websocket-extensions")
    return Switched(subprotocol, parse_extensions(extensions) if extensions is not None else [])

"""Request heads that were judged before: clients of one kind send the same head again and again, but for its key.

What `check_request` says depends on the head and the rules alone, and not on cookies, so it is said once for all heads
that differ in nothing but the 24 octets of the key and a line with cookies. What is remembered is bounded, and is
nothing that belongs to one client: heads with other headers than those that all clients of a kind send alike, or with a
query, are judged anew each time.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from autobahn.websocket import http
from autobahn.websocket.extensions import parse_extensions
from autobahn.websocket.handshake import ServerRules, Upgrade
from autobahn.websocket.types import ConnectionRequest

MAX_KNOWN = 64
"""Heads remembered with one set of rules; one more takes the place of the oldest."""
MAX_SIZE = 1024  # octets of a head that is remembered
MAX_PROTOCOL = 64  # octets of a subprotocol: some programs send a token as one

_FIELD = b"\r\nSec-WebSocket-Key: "
_KEY_SIZE = 24
_COOKIE = b"\r\nCookie: "
_VALUE = re.compile(rb"[\t\x20-\x7e]*")
_SHARED = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "cache-control", "connection", "host", "origin", "pragma",
        "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-websocket-extensions", "sec-websocket-key",
        "sec-websocket-protocol", "sec-websocket-version", "upgrade", "user-agent",
    }
)  # fmt: skip


class Known(NamedTuple):
    """A head that was judged: what was made of it, without what is the connection's own."""

    request: http.Request
    headers: dict[str, str]
    host: str
    path: str
    version: int
    origin: str
    protocols: tuple[str, ...]
    extensions: str


def recall(data: bytes, rules: ServerRules, peer: str, max_headers: int) -> tuple[http.Request, Upgrade] | None:
    """What `parse_request` and `check_request` would make of ``data``, if that is a whole head known from before.

    The first occurrence of the key's field splits a head in one way only, and both parts have to be as they were; so
    all of ``data`` is judged once the key is, and the line with cookies that was taken out before.
    """
    cookie = None
    if _COOKIE in data:
        if data.find(b"\r\n\r\n") != len(data) - 4:  # what is behind a head is no line of it
            return None
        data, cookie = _without_cookie(data)
        if _VALUE.fullmatch(cookie) is None:
            return None
        max_headers -= 1
    start = data.find(_FIELD)
    if start < 0:
        return None
    start += len(_FIELD)
    end = start + _KEY_SIZE
    known = rules.known.get(data[:start] + data[end:])
    if known is None or len(known.headers) > max_headers:
        return None
    try:
        if len(binascii.a2b_base64(data[start:end], strict_mode=True)) != 16:  # RFC 6455 4.1
            return None
    except binascii.Error:
        return None
    key = data[start:end].decode("ascii")
    headers = known.headers.copy()
    headers["sec-websocket-key"] = key
    if cookie is not None:
        headers["cookie"] = cookie.decode("ascii").strip(" \t")
    request = ConnectionRequest(
        peer,
        headers,
        known.host,
        known.path,
        {},
        known.version,
        known.origin,
        [*known.protocols],
        parse_extensions(known.extensions) if known.extensions else [],
    )
    return known.request, Upgrade(request, key, known.request.target)


def _without_cookie(head: bytes) -> tuple[bytes, bytes]:
    """``head`` without its first line with cookies, and the value of that."""
    start = head.index(_COOKIE)
    end = head.index(b"\r\n", start + len(_COOKIE))
    return head[:start] + head[end:], head[start + len(_COOKIE) : end]


def remember(head: bytes, request: http.Request, upgrade: Upgrade, rules: ServerRules) -> None:
    """``head`` was found to be ``request`` and ``upgrade``, and may be recalled if it is of a kind."""
    lines = request.headers
    if _COOKIE in head:
        head = _without_cookie(head)[0]
        lines = {name: values for name, values in lines.items() if name != "cookie" or len(values) > 1}
    if len(head) > MAX_SIZE or not _SHARED.issuperset(lines) or upgrade.request.params:
        return
    if any(len(values) > 1 for values in lines.values()):
        return
    asked = upgrade.request
    if any(len(protocol) > MAX_PROTOCOL for protocol in asked.protocols):
        return
    start = head.find(_FIELD) + len(_FIELD)
    end = start + _KEY_SIZE
    if head[start:end] != upgrade.key.encode("ascii"):  # written in another way
        return
    known = rules.known
    if len(known) >= MAX_KNOWN:
        del known[next(iter(known))]
    known[head[:start] + head[end:]] = Known(
        http.Request(request.method, request.target, request.version, {}),
        http.joined(lines),
        asked.host,
        asked.path,
        asked.version,
        asked.origin,
        tuple(asked.protocols),
        ", ".join(request.headers.get("sec-websocket-extensions", ())),
    )

"""Heads of HTTP/1.1 messages: collected within limits, parsed strictly, built without a way to smuggle (RFC 9112).

Only what a WebSocket opening handshake needs. A head is bytes up to and including the empty line; bodies are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from autobahn.websocket.errors import HandshakeError

MAX_HEAD_SIZE: Final = 16 * 1024
"""Octets a head may have, start line and empty line included."""
MAX_HEADERS: Final = 100
"""Header lines a head may have."""

Headers = dict[str, list[str]]
"""Header values by lower-case name, in the order of arrival."""

# Bare CR, bare LF and control octets are refused (RFC 9112 2.2, RFC 9110 5.5); a CR that ends the bytes so far may
# still get its LF. A request head is ASCII; a response may carry octets from 0x80 (obs-text).
_NOT_IN_REQUEST = re.compile(rb"[^\t\r\n\x20-\x7e]|(?<!\r)\n|\r(?!\n|\Z)")
_NOT_IN_RESPONSE = re.compile(rb"[^\t\r\n\x20-\x7e\x80-\xff]|(?<!\r)\n|\r(?!\n|\Z)")
# The octets that both let through wherever they stand; CR and LF are counted (see _is_clean).
_PLAIN = bytes((9, 10, 13, *range(0x20, 0x7F)))

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9]\.[0-9])")
_STATUS_LINE = re.compile(r"HTTP/([0-9]\.[0-9]) ([1-5][0-9][0-9])(?: (.*))?")
_REQUEST_START = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9]\.[0-9]")
_RESPONSE_START = re.compile(rb"HTTP/[0-9]\.[0-9] ")
_BUILDABLE = re.compile(r"[\t\x20-\x7e]*")

# What handshakes are made of, as it is usually written: these names need no check and no lower-casing.
_KNOWN = {
    name: name.lower()
    for usual in (
        "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection",
        "Content-Length", "Cookie", "Date", "Host", "Origin", "Pragma", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
        "Sec-Fetch-Site", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol", "Sec-WebSocket-Version", "Server", "Upgrade", "User-Agent", "X-Forwarded-For",
    )
    for name in (usual, usual.lower())
}  # fmt: skip


class Request(NamedTuple):
    """A parsed request head."""

    method: str
    target: str
    version: str
    headers: Headers


class Response(NamedTuple):
    """A parsed response head."""

    version: str
    status: int
    reason: str
    headers: Headers


def _is_clean(data: bytes) -> bool:
    """Whether no octet of a whole head is forbidden: the ordinary case, without a search."""
    lines = data.count(b"\r\n")
    return data.count(b"\r") == lines and data.count(b"\n") == lines and not data.translate(None, _PLAIN)


class HeadReader:
    """Collects bytes until a head is whole; work is linear in the bytes, however they are cut.

    Bytes that cannot be part of a head are refused as soon as they are seen, so that a peer speaking another protocol
    (a TLS hello on a plain port) is answered at once and not at the timeout.
    """

    __slots__ = ("_buffer", "_checked", "_first_line", "_forbidden", "_max_size", "rest")

    def __init__(self, *, request: bool, max_size: int = MAX_HEAD_SIZE) -> None:
        self._buffer = bytearray()
        self._checked = 0
        self._first_line: re.Pattern[bytes] | None = _REQUEST_START if request else _RESPONSE_START
        self._forbidden = _NOT_IN_REQUEST if request else _NOT_IN_RESPONSE
        self._max_size = max_size
        self.rest = b""
        """Once the head is whole: the bytes that came after it."""

    def feed(self, data: bytes) -> bytes | None:
        """The head once it is whole, else `None`. Raises `HandshakeError` (400 or 431)."""
        buffer = self._buffer
        if not buffer and len(data) <= self._max_size and data.endswith(b"\r\n\r\n") and _is_clean(data):
            end = data.find(b"\r\n\r\n") + 4
            self.rest = data[end:]
            return data if end == len(data) else data[:end]
        buffer += data
        end = buffer.find(b"\r\n\r\n", max(0, self._checked - 3))
        stop = len(buffer) if end < 0 else end + 4
        if (wrong := self._forbidden.search(buffer, max(0, self._checked - 1), stop)) is not None:
            raise HandshakeError(400, f"expected HTTP, got octet 0x{buffer[wrong.start()]:02x} at {wrong.start()}")
        if stop > self._max_size:
            raise HandshakeError(431, f"expected a head of at most {self._max_size} octets, got more")
        if end < 0:
            self._check_first_line()
            self._checked = stop
            return None
        self.rest = bytes(buffer[stop:])
        del buffer[stop:]
        return bytes(buffer)

    def _check_first_line(self) -> None:
        if self._first_line is None or (end := self._buffer.find(b"\r\n", max(0, self._checked - 1))) < 0:
            return
        if self._first_line.match(self._buffer, 0, end) is None:
            raise HandshakeError(400, "expected HTTP, got a first line of something else")
        self._first_line = None


def parse_request(head: bytes, *, max_headers: int = MAX_HEADERS) -> Request:
    """The request of a head from `HeadReader`. Raises `HandshakeError` (400, 431)."""
    line, headers = _split(head.decode("ascii"), max_headers)
    if (match := _REQUEST_LINE.fullmatch(line)) is None:
        raise HandshakeError(400, "expected a request line 'METHOD TARGET HTTP/1.1', got something else")
    return Request(match[1], match[2], match[3], headers)


def parse_response(head: bytes, *, max_headers: int = MAX_HEADERS) -> Response:
    """The response of a head from `HeadReader`. Raises `HandshakeError`."""
    line, headers = _split(head.decode("utf-8", "backslashreplace"), max_headers)
    if (match := _STATUS_LINE.fullmatch(line)) is None:
        raise HandshakeError(400, "expected a status line 'HTTP/1.1 STATUS REASON', got something else")
    return Response(match[1], int(match[2]), match[3] or "", headers)


def _split(head: str, max_headers: int) -> tuple[str, Headers]:
    # split("\r\n"), never splitlines(): that one also breaks lines at \x0b, \x0c, \x1c-\x1e and \x85
    line, *fields = head[:-4].split("\r\n")
    if len(fields) > max_headers:
        raise HandshakeError(431, f"expected at most {max_headers} headers, got {len(fields)}")
    headers: Headers = {}
    for field in fields:
        name, colon, value = field.partition(":")
        key = _KNOWN.get(name)
        if key is None or not colon:
            # no white space around the name (RFC 9112 5.1), which refuses folded lines (5.2) as well
            if not colon or _TOKEN.fullmatch(name) is None:
                raise HandshakeError(400, "expected a header 'Name: value', got something else")
            key = name.lower()
        if key in headers:
            headers[key].append(value.strip(" \t"))
        else:
            headers[key] = [value.strip(" \t")]
    return line, headers


def joined(headers: Headers) -> dict[str, str]:
    """Header values by lower-case name; those of a repeated header are joined with ", " (RFC 9110 5.3)."""
    return {name: values[0] if len(values) == 1 else ", ".join(values) for name, values in headers.items()}


def tokens(values: Iterable[str]) -> list[str]:
    """The elements of a comma separated list that may be spread over several header lines; empty ones are left out."""
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t"))]


def lower_tokens(values: Iterable[str]) -> list[str]:
    """The same in lower case, letters of ASCII only: U+212A, which `str.lower` makes a "k", is none."""
    return [item.lower() if item.isascii() else item for item in tokens(values)]


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def check_field(name: str, value: str) -> None:
    """Returns when the header can be sent as it is. Raises `ValueError` (control or non-ASCII characters, no token)."""
    if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
        raise ValueError(f"expected a header name made of token characters, got {name!r}")
    if not isinstance(value, str) or _BUILDABLE.fullmatch(value) is None:
        raise ValueError(f"expected printable ASCII text as value of header {name!r}, got {value!r}")


def build_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a request head. Raises `ValueError` for text that is not printable ASCII."""
    line = f"{method} {target} HTTP/1.1"
    if _REQUEST_LINE.fullmatch(line) is None:
        raise ValueError(f"expected a method and a target without white space, got {method!r} and {target!r}")
    return _build(line, headers)


def build_response(status: int, reason: str | None, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """The bytes of a response; `reason=None` takes the standard phrase. Raises `ValueError`."""
    if not isinstance(status, int) or not 100 <= status <= 599:
        raise ValueError(f"expected an HTTP status from 100 to 599, got {status!r}")
    text = phrase(status) if reason is None else reason
    if _BUILDABLE.fullmatch(text) is None:
        raise ValueError(f"expected printable ASCII text as reason, got {text!r}")
    return _build(f"HTTP/1.1 {status} {text}", headers) + body


def phrase(status: int) -> str:
    """The standard reason phrase of a status, "Error" when there is none."""
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def build_fields(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines as they are sent. Raises `ValueError` for text that cannot be in them."""
    lines = []
    for name, value in headers:
        check_field(name, value)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")


def _build(line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    return b"%b\r\n%b\r\n" % (line.encode("ascii"), build_fields(headers))

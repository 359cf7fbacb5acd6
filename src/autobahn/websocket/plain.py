"""Plain HTTP beside WebSocket: what a program's `processRequest` hook sees, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping

from autobahn.websocket import http
from autobahn.websocket.types import HeaderValue

__all__ = ("HttpRequest", "HttpResponse")


class HttpRequest:
    """The head of any HTTP request, before it is judged as one for a WebSocket. A body is not read.

    `method`, `target` as sent; `path` decoded and `params` of the query; `headers` by lower-case name, those of a
    repeated header joined with ", "; `peer` as in the callbacks; `is_upgrade`: it asks for a WebSocket.
    """

    __slots__ = ("headers", "is_upgrade", "method", "params", "path", "peer", "target")

    def __init__(self, request: http.Request, peer: str) -> None:
        from urllib.parse import parse_qs, unquote

        path, _, query = request.target.partition("?")
        self.method = request.method
        self.target = request.target
        self.path = unquote(path)
        try:
            self.params = parse_qs(query, max_num_fields=1000)
        except ValueError:
            self.params = {}
        self.headers = http.joined(request.headers)
        self.peer = peer
        self.is_upgrade = "websocket" in (item.lower() for item in http.tokens(request.headers.get("upgrade", [])))

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.target} from {self.peer})"


class HttpResponse:
    """An answer: the hook returns one instead of `None`, and the connection is closed behind it.

    A `body` of type str is sent in UTF-8; `Content-Length` and `Connection` are set, and `Content-Type` is text/plain
    when `headers` name none.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int = 200, body: bytes | str = b"", headers: Mapping[str, HeaderValue] | None = None
    ) -> None:
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"expected an HTTP status from 200 to 599, got {status!r}")
        if not isinstance(body, bytes | str):
            raise TypeError(f"expected a body of type bytes or str, got {type(body).__name__}")
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = dict(headers or {})

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, {len(self.body)} octets)"

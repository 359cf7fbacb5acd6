"""Errors of the WebSocket core; every one is a `WebSocketError`."""


class WebSocketError(Exception):
    """Base of all errors the WebSocket core raises."""


class FrameError(WebSocketError):
    """The peer broke the framing rules; `code` is the close code it gets, `reason` the text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


class HandshakeError(WebSocketError):
    """The opening handshake failed (RFC 6455 section 4).

    On a server `status`, `reason` and `headers` become the HTTP answer; on a client `reason` says what was wrong with
    the server's answer.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.reason} [{self.status}]"

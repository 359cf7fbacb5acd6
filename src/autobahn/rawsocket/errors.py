"""What the peer of a RawSocket connection did wrong."""

__all__ = ("FrameError", "HandshakeError", "RawSocketError")


class RawSocketError(Exception):
    """The peer broke the rules of RawSocket; the connection has to be closed. `reason` says how."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HandshakeError(RawSocketError):
    """The opening octets are not what they must be; `reply` is what the peer is told, empty for nothing."""

    def __init__(self, reason: str, reply: bytes = b"") -> None:
        super().__init__(reason)
        self.reply = reply


class FrameError(RawSocketError):
    """A frame has a form or a length that is not allowed."""

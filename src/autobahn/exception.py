"""Errors of the transport layer that the documented API raises at the caller."""

__all__ = ("Disconnected", "PayloadCorruptError", "PayloadExceededError")


class Disconnected(RuntimeError):
    """The call needs an open connection, and the connection is not open (any more)."""


class PayloadExceededError(RuntimeError):
    """The payload is larger than the limit in force; nothing was sent and the connection stays usable."""


class PayloadCorruptError(RuntimeError):
    """The payload does not have the form it must have."""

"""Why a server did not open a connection, as an exception."""

from __future__ import annotations

from typing import Any

from autobahn.exception import InvalidHandshake, InvalidStatus
from autobahn.websocket import http


def handshake_failure(protocol: Any, **where: Any) -> InvalidHandshake:
    """Why the opening handshake of ``protocol`` failed; ``where``: url, peer and phase, as far as known."""
    connection = getattr(protocol, "_ws_connection", None)
    if connection is None:  # RawSocket
        reason = protocol.wasNotCleanReason or "the connection was closed during the handshake"
        return InvalidHandshake(reason, **where)
    refusal = connection.refusal
    if refusal is None:
        failure = InvalidHandshake(connection.not_clean_reason or "the opening handshake failed", **where)
        failure.__cause__ = cause = protocol._ws_lost_by
        failure.errno = getattr(cause, "errno", None)
        return failure
    return InvalidStatus(
        f"the server answered with HTTP status {refusal.status}",
        status=refusal.status,
        reason=refusal.reason,
        headers=http.joined(refusal.headers),
        body=connection.refusal_body,
        **where,
    )

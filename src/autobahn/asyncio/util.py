"""Documented helpers for asyncio programs: which loop, who is at the other end, what can be bound to."""

from __future__ import annotations

from asyncio import sleep
from typing import Any

from autobahn.asyncio.link import channel_ids
from autobahn.asyncio.loops import get_or_create_event_loop
from autobahn.asyncio.transport import peer_string as peer2str

__all__ = ("get_or_create_event_loop", "peer2str", "sleep", "transport_channel_id")


def transport_channel_id(transport: Any, is_server: bool, channel_id_type: str | None = None) -> bytes:
    """The channel id of a TLS connection that authentication can be bound to (RFC 5929).

    ``channel_id_type``: "tls-unique", or None for it too. Python's ssl offers it up to TLS 1.2; where there is none the
    result is 32 zero octets. ``is_server`` says at which end; both ends get the same value. Raises ``ValueError`` for
    another type.
    """
    if channel_id_type not in {None, "tls-unique"}:
        raise ValueError(f'expected channel_id_type "tls-unique" or None, got {channel_id_type!r}')
    return channel_ids(transport).get("tls-unique", bytes(32))

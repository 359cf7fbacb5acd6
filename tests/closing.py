"""Waits for the end of connections, so that no test leaves a socket to the garbage collector."""

from __future__ import annotations

import asyncio


async def closed(*factories) -> None:
    """No connection made by ``factories`` (of servers) is open."""
    while any(factory.countConnections for factory in factories):
        await asyncio.sleep(0.001)
    for _ in range(3):  # the socket is closed in a turn after connection_lost
        await asyncio.sleep(0)

"""Past the transport: compiled units send to, and receive from, the socket of an event loop's plain transport.

Only where nobody can tell: the transport is one that would do the same system calls with the same octets, just with
more Python around them. TLS, pipes, transports of programs and unknown loops are left alone.
"""

from __future__ import annotations

import asyncio
import asyncio.selector_events
from typing import Any

_SelectorTransport: Any = getattr(asyncio.selector_events, "_SelectorSocketTransport", None)
_PLAIN = {
    ("asyncio.selector_events", "_SelectorSocketTransport"),
    ("uvloop.loop", "TCPTransport"),
    ("uvloop.loop", "UnixTransport"),
}
_INSIDES = (
    "_add_reader",
    "_buffer",
    "_closing",
    "_fatal_error",
    "_read_ready",
    "_read_ready__get_buffer",
    "_read_ready_cb",
)

ENOUGH = 8
"""Connections of one uvloop loop that receive again and again: from so many on, reading them together pays."""

CALM = 16
"""Reads after which a connection is one of them. It costs a few system calls, so not for a short one."""


def is_plain(transport: asyncio.BaseTransport) -> bool:
    """Whether this is a loop's own transport for a plain socket."""
    kind = type(transport)
    return (kind.__module__, kind.__qualname__) in _PLAIN


def plain_socket(transport: asyncio.BaseTransport) -> int | None:
    """The descriptor of the socket to which `transport` writes what it gets and nothing else; `None`: not known.

    These transports try to send at once when they hold nothing, and hold what the socket does not take. So octets that
    are sent past one that is open and holds nothing arrive as if it had sent them.
    """
    if not is_plain(transport):
        return None
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else int(sock.fileno())
    return None if number < 0 else number


def is_asyncios(transport: Any) -> bool:
    """Whether this is the transport of asyncio's selector loop for plain sockets, with the insides we know."""
    kind = type(transport)
    if kind is not _SelectorTransport:
        return False
    if kind not in _is_known:
        _is_known[kind] = all(hasattr(transport, name) for name in _INSIDES)
    return _is_known[kind]


_is_known: dict[type, bool] = {}


def read_directly(transport: Any, pump: Any, sock: int) -> None:
    """From now on the compiled `pump` reads the socket, if that can be. `sock`: what `plain_socket` gave.

    asyncio's selector loop calls it in place of the transport's own function for a `BufferedProtocol`. With uvloop it
    is one of many that are read together (`Poller` of the compiled units). `set_protocol` ends both.
    """
    if is_asyncios(transport):
        if transport._read_ready_cb == transport._read_ready__get_buffer and pump.attach(transport, sock):
            transport._read_ready_cb = pump.reading = pump.read
            transport._add_reader(sock, pump.reading)  # does nothing while reading is paused
    elif type(transport).__module__ == "uvloop.loop" and hasattr(pump, "share"):
        poller = _poller_of(asyncio.get_running_loop(), type(pump))
        if poller is not None:
            pump.share(poller, transport, sock)


def _poller_of(loop: Any, pumps: Any) -> Any:
    """The poller of this loop for pumps of this type, or `None`. It lives as long as the loop."""
    backend = getattr(loop, "_get_backend_id", None)
    if backend is None or not hasattr(loop, "__dict__"):
        return None
    pollers = loop.__dict__.setdefault("_autobahn_pollers", {})
    if pumps not in pollers:
        pollers[pumps] = pumps.new_poller(loop, backend(), ENOUGH, CALM)
    return pollers[pumps]

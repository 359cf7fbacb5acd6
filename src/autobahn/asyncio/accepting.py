"""Accepting connections for servers of ours with less work than the loop's own way, where the loop allows that."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ("accept_directly",)

PAUSE = 1.0
"""Seconds without accepting after the system had no room for one more connection."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MAKERS = ("_make_socket_transport", "_make_ssl_transport")


def accept_directly(
    server: asyncio.Server,
    factory: Callable[[], Any],
    at_once: int,
    *,
    tls: ssl.SSLContext | None = None,
    handshake_timeout: float | None = None,
) -> bool:
    """``server`` takes up to ``at_once`` connections in a turn of the loop, without a task for each.

    The event loops of asyncio make a task and a future for every connection, which wait for nothing but the next turn,
    and keep the protocol of a TLS handshake that has failed until the garbage collector comes. Here the loop's own
    transport is made at once; all else remains the server's. False on loops where that cannot be done: then the server
    accepts as it did.
    """
    loop: Any = server.get_loop()
    if not isinstance(loop, BaseSelectorEventLoop) or any(
        getattr(type(loop), name, None) is not getattr(BaseSelectorEventLoop, name, loop) for name in _MAKERS
    ):
        return False
    if tls is None:
        make = partial(_plain, loop, server, factory)
    else:
        make = partial(_with_tls, loop, server, factory, tls, handshake_timeout)
    sockets: list[Any] = [getattr(listening, "_sock", None) for listening in server.sockets]
    if None in sockets:
        return False
    for sock in sockets:
        loop.add_reader(sock.fileno(), _accept, loop, server, sock, make, at_once)
    return True


def _plain(
    loop: Any, server: asyncio.Server, factory: Callable[[], Any], connection: socket.socket, extra: dict[str, Any]
) -> None:
    loop._make_socket_transport(connection, factory(), extra=extra, server=server)


def _with_tls(
    loop: Any,
    server: asyncio.Server,
    factory: Callable[[], Any],
    tls: ssl.SSLContext,
    timeout: float | None,
    connection: socket.socket,
    extra: dict[str, Any],
) -> None:
    done = loop.create_future()
    transport = loop._make_ssl_transport(
        connection,
        factory(),
        tls,
        done,
        server_side=True,
        extra=extra,
        server=server,
        ssl_handshake_timeout=timeout,
    )
    done.add_done_callback(partial(_tls_done, transport))


def _tls_done(transport: asyncio.Transport, done: asyncio.Future[None]) -> None:
    """A handshake that failed is nobody's business but its peer's."""
    if done.cancelled() or done.exception() is not None:
        transport.close()


def _accept(loop: Any, server: asyncio.Server, sock: Any, make: Callable[..., None], at_once: int) -> None:
    for _ in range(at_once):
        try:
            connection, address = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as exc:
            if exc.errno not in _EXHAUSTED:
                raise  # the loop reports it
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": exc})
            loop.remove_reader(sock.fileno())  # which would be called again and again
            loop.call_later(PAUSE, _resume, loop, server, sock, make, at_once)
            return
        try:
            connection.setblocking(False)
            make(connection, {"peername": address})
        except Exception as exc:
            connection.close()
            loop.call_exception_handler({"message": "expected a transport for a new connection", "exception": exc})


def _resume(loop: Any, server: asyncio.Server, sock: Any, make: Callable[..., None], at_once: int) -> None:
    if server.is_serving():
        loop.add_reader(sock.fileno(), _accept, loop, server, sock, make, at_once)

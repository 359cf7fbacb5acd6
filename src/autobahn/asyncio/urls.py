"""URLs of both transports, where a program may name either."""

from __future__ import annotations

from autobahn.rawsocket.util import parse_url as parse_rawsocket_url
from autobahn.websocket.util import parse_url as parse_websocket_url


def parse_any_url(url: str) -> tuple[bool, bool, str, int | str]:
    """The parts of a URL: (is it RawSocket, is it secure, host, port), or "unix" and the path of the socket.

    Raises `ValueError` for what is no ``ws://``, ``wss://``, ``rs://`` or ``rss://`` URL.
    """
    if not isinstance(url, str):
        raise TypeError(f"expected a URL of type str, got {type(url).__name__}")
    scheme, _, _ = url.lower().partition("://")
    if scheme in {"rs", "rss"}:
        return True, *parse_rawsocket_url(url)
    if scheme in {"ws", "wss"}:
        return False, *parse_websocket_url(url)[:3]
    hint = " (ws://unix:/path or rs://unix:/path for a Unix socket)" if "unix:" in url.lower() else ""
    raise ValueError(f"expected a ws://, wss://, rs:// or rss:// URL{hint}, got {url!r}")

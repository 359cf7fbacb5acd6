"""WebSocket URLs (RFC 6455 section 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ("create_url", "parse_url")

_URL_CHARACTERS = re.compile(r"[!-~]*")
_HOST = re.compile(r"[A-Za-z0-9\-._~%!$&'()*+,;=]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


def parse_url(url: str) -> tuple[bool, str, int | str, str, str, dict[str, list[str]]]:
    """The parts of a `ws:` or `wss:` URL: (isSecure, host, port, resource, path, params).

    `port` is 80 or 443 when the URL names none. `resource` is what a client asks for: path and query, as written.
    `path` is percent-decoded; `params` holds lists of query values by name. `ws://unix:/path/of/socket` gives the host
    "unix" and the path of the socket in place of the port. Raises `ValueError`.
    """
    from urllib.parse import parse_qs, unquote, urlsplit

    if not isinstance(url, str):
        raise TypeError(f"expected a URL of type str, got {type(url).__name__}")
    if _URL_CHARACTERS.fullmatch(url) is None:
        raise ValueError(f"expected a URL of printable ASCII characters without spaces, got {url!r}")
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() not in {"ws", "wss"}:
        raise ValueError(f"expected a URL that starts with ws:// or wss://, got {url!r}")
    is_secure = scheme.lower() == "wss"
    if "#" in url:
        raise ValueError(f"expected a WebSocket URL without fragment (RFC 6455 section 3), got {url!r}")
    if rest.startswith("unix:"):
        return is_secure, "unix", _socket_path(url, rest[5:]), "/", "/", {}
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"expected an IPv6 address in brackets, like ws://[::1]:8080/, got {url!r}") from None
    if "@" in parts.netloc:
        raise ValueError("expected a URL without user name and password, got one with")
    if not parts.hostname or _HOST.fullmatch(parts.hostname) is None:
        raise ValueError(f"expected a URL with a host name or address, got {url!r}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        port = 443 if is_secure else 80
    if port == 0 and not parts.netloc.endswith(":0"):
        raise ValueError(f"expected a port from 1 to 65535 in the URL, got {url!r}")
    path = parts.path or "/"
    resource = f"{path}?{parts.query}" if parts.query else path
    return is_secure, parts.hostname, port, resource, unquote(path), parse_qs(parts.query)


def _socket_path(url: str, path: str) -> str:
    from urllib.parse import unquote

    if not path.startswith("/"):
        raise ValueError(f"expected ws://unix:/path/of/socket, got {url!r}")
    return unquote(path)


def create_url(
    hostname: str,
    port: int | str | None = None,
    isSecure: bool = False,
    path: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> str:
    """The WebSocket URL of these parts; `path` and `params` get percent-encoded. Raises `ValueError`, `TypeError`.

    With the host name "unix" `port` is the path of a Unix socket.
    """
    from urllib.parse import quote, urlencode

    if not isinstance(hostname, str) or not hostname:
        raise TypeError(f"expected hostname as non-empty str, got {hostname!r}")
    scheme = "wss" if isSecure else "ws"
    if hostname == "unix":
        if not isinstance(port, str) or not port.startswith("/"):
            raise ValueError(f"expected the absolute path of a socket as port, got {port!r}")
        return f"{scheme}://unix:{quote(port)}"
    if port is None:
        port = 443 if isSecure else 80
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"expected port from 0 to 65535 or None, got {port!r}")
    host = f"[{hostname}]" if ":" in hostname and not hostname.startswith("[") else hostname
    location = quote(path) if path else "/"
    if not location.startswith("/"):
        location = "/" + location
    query = "?" + urlencode(params, doseq=True) if params else ""
    url = f"{scheme}://{host}:{port}{location}{query}"
    parse_url(url)
    return url

"""RawSocket URLs: ``rs://host:port``, with TLS ``rss://host:port``, and ``rs://unix:/path/of/socket``."""

from __future__ import annotations

import re

__all__ = ("create_url", "parse_url")

_URL_CHARACTERS = re.compile(r"[!-~]*")
_DEFAULT_PORTS = {False: 80, True: 443}


def parse_url(url: str) -> tuple[bool, str, int | str]:
    """The parts of a RawSocket URL: (isSecure, host, port), or (isSecure, "unix", path of the socket).

    `port` is 80 or 443 when the URL names none. Raises `ValueError`.
    """
    from urllib.parse import unquote, urlsplit

    if not isinstance(url, str):
        raise TypeError(f"expected a URL of type str, got {type(url).__name__}")
    if _URL_CHARACTERS.fullmatch(url) is None:
        raise ValueError(f"expected a URL of printable ASCII characters without spaces, got {url!r}")
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() not in {"rs", "rss"}:
        raise ValueError(f"expected a URL that starts with rs:// or rss://, got {url!r}")
    is_secure = scheme.lower() == "rss"
    if rest.startswith("unix:"):
        path = unquote(rest[5:])
        if not path.startswith("/") or "?" in rest or "#" in rest:
            raise ValueError(f"expected rs://unix:/path/of/socket, got {url!r}")
        return is_secure, "unix", path
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"expected an IPv6 address in brackets, like rs://[::1]:8080, got {url!r}") from None
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise ValueError(f"expected a URL of host and port, like rs://localhost:8080, got {url!r}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if port is None:
        port = _DEFAULT_PORTS[is_secure]
    if port < 0 or parts.netloc.endswith(":"):
        raise ValueError(f"expected a port from 0 to 65535 in the URL, got {url!r}")
    return is_secure, parts.hostname, port


def create_url(hostname: str, port: int | str | None = None, isSecure: bool = False) -> str:
    """The RawSocket URL of these parts; with the host name "unix" `port` is the path of a socket."""
    from urllib.parse import quote

    if not isinstance(hostname, str) or not hostname:
        raise TypeError(f"expected hostname as non-empty str, got {hostname!r}")
    if not isinstance(isSecure, bool):
        raise TypeError(f"expected isSecure as bool, got {isSecure!r}")
    scheme = "rss" if isSecure else "rs"
    if hostname == "unix":
        if not isinstance(port, str) or not port.startswith("/"):
            raise ValueError(f"expected the absolute path of a socket as port, got {port!r}")
        return f"{scheme}://unix:{quote(port)}"
    if port is None:
        port = _DEFAULT_PORTS[isSecure]
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"expected port from 0 to 65535 or None, got {port!r}")
    host = f"[{hostname}]" if ":" in hostname and not hostname.startswith("[") else hostname
    url = f"{scheme}://{host}:{port}"
    parse_url(url)
    return url

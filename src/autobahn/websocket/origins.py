"""Which pages may connect: judging the Origin of a request (RFC 6454, RFC 6455 10.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SAME_ORIGIN: Final = "same-origin"
"""Stands in a list of origins for pages that come from the host and port the request went to."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.\-]*)://([a-z0-9\-._~]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_HOST = re.compile(r"(.+?)(?::([0-9]+))?")  # of a Host header that has been checked
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def is_allowed_origin(
    origin: str, patterns: Iterable[str], allow_null: bool, *, host: str = "", is_secure: bool = False
) -> bool:
    """Whether a page of this origin may connect.

    A pattern is matched whole and without regard to case against "scheme://host:port", with the default port of the
    scheme filled in, or against "scheme://host" when that is the port; `*` stands for any characters. "same-origin" is
    the origin that `host`, the request's Host header, names. `is_secure`: this server speaks TLS itself.
    """
    origin = origin.lower()
    if origin == "null" or origin.startswith("file:"):
        return allow_null
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return False
    scheme, name, port = match[1], match[2], match[3]
    default = _DEFAULT_PORTS.get(scheme)
    candidates = [f"{scheme}://{name}:{port or default}"]
    if port is None or port == default:
        candidates.append(f"{scheme}://{name}")
    for pattern in patterns:
        if pattern == SAME_ORIGIN:
            # Behind a front that speaks TLS for us the page may be of either scheme.
            if scheme in ({"https"} if is_secure else {"http", "https"}) and candidates[0] == _page(scheme, host):
                return True
        elif any(_matches(pattern.lower(), text) for text in candidates):
            return True
    return False


def is_for_everybody(patterns: Iterable[str]) -> bool:
    """Whether pages of any origin may connect."""
    return "*" in patterns


def _page(scheme: str, host: str) -> str | None:
    """The origin, with port, of pages that a server reached as `host` serves."""
    match = _HOST.fullmatch(host.lower())
    return None if match is None else f"{scheme}://{match[1]}:{int(match[2]) if match[2] else _DEFAULT_PORTS[scheme]}"


def _matches(pattern: str, text: str) -> bool:
    """Glob match with `*` only, in linear time per piece: the leftmost place of every piece is as good as any."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    for piece in pieces[:-1]:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(text) - position >= len(pieces[-1]) and text.endswith(pieces[-1])

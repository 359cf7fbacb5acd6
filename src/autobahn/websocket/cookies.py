"""HTTP cookies at the WebSocket handshake (RFC 6265): what a client keeps, what a server sets and finds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autobahn.websocket.types import HeaderValue
from autobahn.websocket.util import parse_url

__all__ = ("CookieJar", "cookie_jar", "received_cookie", "set_cookie", "with_cookies")

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_NEXT = re.compile(r",\s*(?=[!#$%&'*+\-.^_`|~0-9A-Za-z]+=)")  # between two Set-Cookie; a date has a comma, too
_MAX_COOKIES = 50  # of one host
_MAX_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class _Cookie:
    value: str
    path: str
    secure: bool
    expires: float | None


class CookieJar:
    """Cookies by host, in memory. A cookie goes back to the very host that set it; ``Domain`` does not widen that.

    Give one jar to several connections (`connect(cookies=jar)`, authentication method ``cookie``) to be known again.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._hosts: dict[str, dict[tuple[str, str], _Cookie]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._hosts.values()))

    def clear(self) -> None:
        """All cookies are forgotten."""
        self._hosts.clear()

    def header(self, url: str) -> str | None:
        """The value of the Cookie header for a ``ws://`` or ``wss://`` URL; None when there is nothing to send."""
        secure, host, path = _place(url)
        now = self._clock()
        cookies = self._hosts.get(host, {})
        for key in [key for key, cookie in cookies.items() if cookie.expires is not None and cookie.expires <= now]:
            del cookies[key]
        found = [
            (len(cookie.path), f"{name}={cookie.value}")
            for (name, _), cookie in cookies.items()
            if (secure or not cookie.secure) and _covers(cookie.path, path)
        ]
        found.sort(key=lambda item: -item[0])  # RFC 6265 5.4: longer paths first
        return "; ".join(text for _, text in found) or None

    def store(self, url: str, set_cookie: str | None) -> None:
        """What a server said in Set-Cookie (several headers joined by commas) is kept; what is malformed is ignored."""
        secure, host, path = _place(url)
        for text in _NEXT.split(set_cookie or ""):
            head, *attributes = text.split(";")
            name, equals, value = (part.strip() for part in head.partition("="))
            value = value.removeprefix('"').removesuffix('"')
            if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or len(text) > _MAX_LENGTH:
                continue
            given = {k.strip().lower(): v.strip() for k, _, v in (item.partition("=") for item in attributes)}
            if "secure" in given and not secure:
                continue
            where = given.get("path", "")
            where = where if where.startswith("/") else path.rpartition("/")[0] or "/"
            cookie = _Cookie(value, where, "secure" in given, self._expiry(given))
            cookies = self._hosts.setdefault(host, {})
            cookies.pop((name, where), None)
            if cookie.expires is None or cookie.expires > self._clock():
                cookies[name, where] = cookie
            while len(cookies) > _MAX_COOKIES:
                del cookies[next(iter(cookies))]

    def _expiry(self, given: Mapping[str, str]) -> float | None:
        age = given.get("max-age")
        if age is not None and re.fullmatch(r"-?[0-9]{1,12}", age):
            return self._clock() + int(age) if int(age) > 0 else 0.0
        from email.utils import parsedate_to_datetime  # heavy: only when asked

        try:
            return parsedate_to_datetime(given["expires"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return None


def cookie_jar(authenticators: Iterable[Any]) -> CookieJar | None:
    """Where the authentication method ``cookie`` keeps its cookies; None when it is not among ``authenticators``."""
    for one in authenticators:
        if getattr(one, "name", None) == "cookie":
            jar: CookieJar | None = getattr(one, "jar", None)
            return CookieJar() if jar is None else jar
    return None


def with_cookies(headers: Mapping[str, HeaderValue], jar: CookieJar | None, url: str) -> dict[str, HeaderValue]:
    """``headers`` and the Cookie header for ``url``; a Cookie header of the program comes first (RFC 6265 5.4: one)."""
    text = None if jar is None else jar.header(url)
    if text is None:
        return dict(headers)
    own = [value for name, value in headers.items() if name.lower() == "cookie"]
    rest = {name: value for name, value in headers.items() if name.lower() != "cookie"}
    texts = [item for value in own for item in ([value] if isinstance(value, str) else value)]
    return {**rest, "Cookie": "; ".join([*texts, text])}


def received_cookie(headers: Mapping[str, str], name: str) -> str | None:
    """The value of the cookie ``name`` in a request; None when it is not there, or twice with different values."""
    values = {
        value.strip().removeprefix('"').removesuffix('"')
        for key, _, value in (part.partition("=") for part in headers.get("cookie", "").replace(",", ";").split(";"))
        if key.strip() == name
    }
    return values.pop() if len(values) == 1 else None


def set_cookie(name: str, value: str, *, max_age: int, secure: bool, path: str = "/", same_site: str = "Strict") -> str:
    """The value of a Set-Cookie header, hidden from scripts. ``ValueError`` for what cannot be sent."""
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"expected name and value of a cookie without separators, got {name!r:.100}={value!r:.100}")
    text = f"{name}={value}; Max-Age={max_age}; Path={path}; HttpOnly; SameSite={same_site}"
    return f"{text}; Secure" if secure else text


def _place(url: str) -> tuple[bool, str, str]:
    secure, host, port, _, path, _ = parse_url(url)
    if isinstance(port, str):
        host = f"unix:{port}"
    return secure, host.lower(), path or "/"


def _covers(cookie_path: str, path: str) -> bool:
    return path == cookie_path or path.startswith(cookie_path if cookie_path.endswith("/") else cookie_path + "/")

"""What `connect` connects to, and the way there: options, URL, redirects, one open protocol in the end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, TypeVar
from urllib.parse import urljoin

from autobahn.asyncio.dial import Dialer, client_context
from autobahn.asyncio.factory import IDENT
from autobahn.asyncio.refused import handshake_failure
from autobahn.asyncio.stream import MAX_QUEUE, MAX_QUEUE_SIZE
from autobahn.asyncio.urls import parse_any_url
from autobahn.exception import ConnectFailed, ConnectTimeout, InvalidStatus, InvalidURI
from autobahn.wamp._record import expect_seconds, expect_type
from autobahn.websocket.cookies import CookieJar
from autobahn.websocket.options import MAX_MESSAGE_SIZE
from autobahn.websocket.proxy import Proxy, environment_proxy, parse_proxy
from autobahn.websocket.types import HeaderValue

T = TypeVar("T")
FactoryMaker = Callable[["Target"], Callable[[], Any]]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


class ConnectOptions(TypedDict, total=False):
    """Options of `connect`; sizes in octets, times in seconds, `None` for no limit.

    Handshake: `subprotocols` offered; `headers` to send, `origin` and `user_agent` (`None`: not sent); `cookies`: a
    `CookieJar` whose cookies are sent, and that keeps those the server sets; `compression`: "deflate" offers
    permessage-deflate (default: none, as it costs CPU and memory on every message).
    TLS: `ssl`: an `ssl.SSLContext` with own CAs, client certificate, ...; default: the system's CAs, names checked.
    `server_hostname`: the name the server must prove and gets by SNI, when it is not the URL's.
    Way: `proxy`: URL or dict of a proxy, `None` for none; default: what `WSS_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
    `NO_PROXY` say (`WS_PROXY`, `HTTP_PROXY` for ws), never for this machine itself. `proxy_ssl`: the context for an
    https proxy. `unix`: the path of a Unix socket, or `sock`: a connected socket, to use in place of the URL's host and
    port. `local_addr`: (host, port) to come from. `max_redirects`: how many HTTP redirects are followed (5);
    credentials stay with their origin.
    Limits: `open_timeout` (10) for everything up to the open connection, `close_timeout` (10) for the closing
    handshake, `ping_interval` (20) and `ping_timeout` (20) of keep-alive, `max_size` of a message either way
    (16 MiB), and `max_queue` messages (64) or `max_queue_size` octets (1 MiB) that may wait before reading pauses.
    """

    subprotocols: Sequence[str]
    headers: Mapping[str, HeaderValue]
    origin: str | None
    user_agent: str | None
    compression: Literal["deflate"] | None
    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | None
    proxy: str | Mapping[str, Any] | Proxy | bool | None
    proxy_ssl: ssl_module.SSLContext | None
    unix: str | None
    sock: socket.socket | None
    local_addr: tuple[str, int] | None
    max_redirects: int
    open_timeout: float | None
    close_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    max_size: int | None
    max_queue: int | None
    max_queue_size: int | None
    cookies: CookieJar | None


DEFAULTS: ConnectOptions = {
    "subprotocols": (),
    "headers": {},
    "origin": None,
    "user_agent": IDENT,
    "compression": None,
    "ssl": None,
    "server_hostname": None,
    "proxy": True,
    "proxy_ssl": None,
    "unix": None,
    "sock": None,
    "local_addr": None,
    "max_redirects": 5,
    "open_timeout": 10.0,
    "close_timeout": 10.0,
    "ping_interval": 20.0,
    "ping_timeout": 20.0,
    "max_size": MAX_MESSAGE_SIZE,
    "max_queue": MAX_QUEUE,
    "max_queue_size": MAX_QUEUE_SIZE,
    "cookies": None,
}
OF_WEBSOCKET = frozenset({
    "subprotocols", "headers", "origin", "user_agent", "compression", "max_redirects", "max_queue", "max_queue_size",
    "cookies",
})  # fmt: skip
"""Options that mean nothing to RawSocket."""


def expect_options(settings: ConnectOptions) -> None:
    """What is used as it was given is of the type it must have. Raises `TypeError` or `ValueError`."""
    expect_seconds("open_timeout", settings["open_timeout"])
    if not isinstance(settings["headers"], Mapping):
        raise TypeError(f"expected headers as dict, got {type(settings['headers']).__name__}")
    for name, kind in _KINDS.items():
        expect_type(name, settings.get(name), kind)
    if own := next((name for name in settings["headers"] if str(name).lower() in _OWN_HEADERS), None):
        raise ValueError(f"expected headers that the handshake does not send itself, got {own!r}")
    redirects = settings["max_redirects"]
    if not isinstance(redirects, int) or redirects < 0:
        raise TypeError(f"expected max_redirects as int, 0 or more, got {redirects!r}")
    local = settings["local_addr"]
    if local is not None and (not isinstance(local, tuple | list) or len(local) != 2):
        raise TypeError(f"expected local_addr as (host, port), got {local!r}")


_OWN_HEADERS = frozenset({
    "host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
    "sec-websocket-extensions",
})  # fmt: skip
_KINDS: dict[str, type | tuple[type, ...]] = {
    "server_hostname": str,
    "unix": (str, os.PathLike),
    "sock": socket.socket,
    "cookies": CookieJar,
}


@dataclass(frozen=True, slots=True)
class Target:
    """One URL with what belongs to it; a redirect makes another. `rawsocket`: it is an `rs://` or `rss://` URL."""

    url: str
    rawsocket: bool
    secure: bool
    host: str
    port: int
    path: str | None
    headers: Mapping[str, HeaderValue]
    server_hostname: str | None

    @classmethod
    def of(cls, url: str, settings: ConnectOptions) -> Target:
        """The target of a URL. Raises `InvalidURI` or `TypeError`."""
        try:
            rawsocket, secure, host, port = parse_any_url(url)
        except ValueError as exc:
            raise InvalidURI(str(exc)) from None
        headers, name = settings["headers"], settings["server_hostname"]
        if isinstance(port, str):  # ws://unix:/path/of/socket
            return cls(url, rawsocket, secure, "localhost", 0, port, headers, name)
        return cls(url, rawsocket, secure, host, port, settings["unix"], headers, name)

    def dialer(self, settings: ConnectOptions) -> Dialer:
        """How to get there."""
        local = self.path is not None or settings["sock"] is not None
        return Dialer(
            host=self.host,
            port=self.port,
            path=self.path,
            sock=settings["sock"],
            tls=_tls(self.secure, settings["ssl"]),
            server_hostname=self.server_hostname,
            proxy=None if local else self._proxy(settings["proxy"]),
            proxy_tls=settings["proxy_ssl"],
            local_addr=settings["local_addr"],
        )

    def _proxy(self, proxy: Any) -> Proxy | None:
        if proxy is True:
            return environment_proxy(self.secure, self.host, self.port)
        return parse_proxy(proxy) if proxy else None

    def redirected(self, refusal: InvalidStatus, settings: ConnectOptions) -> Target:
        """Where an HTTP redirect leads. Raises `refusal` when it must not be followed."""
        location = refusal.headers.get("location")
        if refusal.status not in REDIRECTS or not location or self.path is not None or settings["sock"] is not None:
            raise refusal
        url = urljoin("http" + self.url[2:], location).partition("#")[0]
        if url.startswith("http"):
            url = "ws" + url[4:]
        try:
            there = Target.of(url, settings)
        except InvalidURI as exc:
            refusal.add_note(f"not followed: {exc}")
            raise refusal from None
        if self.secure and not there.secure:
            refusal.add_note("not followed: it leads from wss to ws")
            raise refusal
        if (self.secure, self.host, self.port) == (there.secure, there.host, there.port):
            return replace(there, headers=self.headers, server_hostname=self.server_hostname)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in CREDENTIALS}
        return replace(there, headers=kept, server_hostname=None)


def _tls(secure: bool, ssl: ssl_module.SSLContext | bool | None) -> ssl_module.SSLContext | None:
    if not secure:
        if ssl:
            raise ValueError("expected a wss:// or rss:// URL with ssl, got one without TLS")
        return None
    if ssl is False:
        raise ValueError("expected ssl for a wss:// or rss:// URL, got False")
    return ssl if isinstance(ssl, ssl_module.SSLContext) else client_context()


class Opening:
    """One way from a target to an open protocol, with redirects, within `open_timeout`."""

    def __init__(self, target: Target, settings: ConnectOptions, make: FactoryMaker) -> None:
        self._target = target
        self._settings = settings
        self._make = make
        self._dialer: Dialer | None = None
        self._phase = ""

    async def run(self, then: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """What `then` makes of the open protocol. Raises `ConnectFailed` and what `then` raises."""
        try:
            async with asyncio.timeout(self._settings["open_timeout"]) as scope:
                protocol = await self._follow()
                self._phase = "join"
                return await then(protocol)
        except ConnectFailed as exc:
            exc.url, exc.peer = exc.url or self._target.url, exc.peer or self._peer
            raise
        except TimeoutError:
            if not scope.expired():
                raise
            seconds = self._settings["open_timeout"]
            raise ConnectTimeout(f"no connection after {seconds:g} s", **self._where()) from None

    @property
    def _peer(self) -> str | None:
        return None if self._dialer is None else self._dialer.peer

    def _where(self) -> dict[str, Any]:
        phase = self._phase or ("" if self._dialer is None else self._dialer.phase)
        return {"url": self._target.url, "peer": self._peer, "phase": phase}

    async def _follow(self) -> Any:
        """An open protocol; redirects are followed."""
        for _ in range(self._settings["max_redirects"]):
            try:
                return await self._open()
            except InvalidStatus as refusal:
                self._target = self._target.redirected(refusal, self._settings)
        return await self._open()

    async def _open(self) -> Any:
        target, settings = self._target, self._settings
        factory = self._make(target)
        self._dialer = dialer = target.dialer(settings)
        try:
            _, protocol = await dialer.connect(factory)
        except ConnectFailed:
            raise
        except OSError as exc:
            text = str(exc) or type(exc).__name__
            failed = ConnectFailed(text, **self._where())
            failed.errno = exc.errno
            raise failed from exc
        try:
            await asyncio.wait({protocol.is_open})
        except BaseException:
            protocol.dropConnection(abort=True)
            raise
        if protocol.is_open.exception() is not None:
            raise handshake_failure(protocol, **self._where())
        if settings["cookies"] is not None:
            settings["cookies"].store(target.url, protocol.http_headers.get("set-cookie"))
        return protocol

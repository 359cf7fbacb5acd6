"""`connect`: a WebSocket connection, or a WAMP session, in one line.

One front door for both: `realm=` is what makes a session of a connection, and everything before that (TLS, proxies,
timeouts, headers) is the same and has the same names. The type checker knows which of the two comes out.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urljoin

from autobahn.asyncio.dial import Dialer, client_context
from autobahn.asyncio.factory import IDENT, WebSocketClientFactory
from autobahn.asyncio.joining import Joining, close_session
from autobahn.asyncio.managed import Managed
from autobahn.asyncio.refused import handshake_failure
from autobahn.asyncio.stream import MAX_QUEUE, MAX_QUEUE_SIZE, StreamClientProtocol, WebSocket
from autobahn.asyncio.wamp import Session
from autobahn.asyncio.wampws import WampWebSocketClientFactory
from autobahn.exception import (
    ConnectFailed,
    ConnectionClosed,
    ConnectTimeout,
    InvalidStatus,
    InvalidURI,
)
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.options import MAX_MESSAGE_SIZE
from autobahn.websocket.proxy import Proxy, environment_proxy, parse_proxy
from autobahn.websocket.types import HeaderValue
from autobahn.websocket.util import parse_url

__all__ = ("ConnectOptions", "connect")

T = TypeVar("T")
FactoryMaker = Callable[..., WebSocketClientFactory]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


class ConnectOptions(TypedDict, total=False):
    """Options of `connect`; sizes in octets, times in seconds, `None` for no limit.

    Handshake: `subprotocols` offered; `headers` to send, `origin` and `user_agent` (`None`: not sent); `compression`:
    "deflate" offers permessage-deflate (default: none, as it costs CPU and memory on every message).
    TLS: `ssl`: an `ssl.SSLContext` with own CAs, client certificate, ...; default: the system's CAs, names checked.
    `server_hostname`: the name the server must prove and gets by SNI, when it is not the URL's.
    Way: `proxy`: URL or dict of a proxy, `None` for none; default: what `WSS_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
    `NO_PROXY` say (`WS_PROXY`, `HTTP_PROXY` for ws). `proxy_ssl`: the context for an https proxy. `unix`: the path
    of a Unix socket, or `sock`: a connected socket, to use in place of the URL's host and port. `local_addr`: (host,
    port) to come from. `max_redirects`: how many HTTP redirects are followed (5); credentials stay with their origin.
    Limits: `open_timeout` (10) for everything up to the open connection, `close_timeout` (10) for the closing
    handshake, `ping_interval` (20) and `ping_timeout` (20) of keep-alive, `max_size` of a message (16 MiB), and
    `max_queue` messages (64) or `max_queue_size` octets (1 MiB) that may wait before reading pauses.
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
    max_queue: int
    max_queue_size: int


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
}


@overload
def connect(url: str, *, realm: None = None, **options: Unpack[ConnectOptions]) -> Managed[WebSocket]: ...
@overload
def connect(
    url: str,
    *,
    realm: str,
    authentication: Mapping[str, Mapping[str, Any]] | None = None,
    serializers: Iterable[Any] | None = None,
    extra: Any = None,
    **options: Unpack[ConnectOptions],
) -> Managed[Session]: ...
def connect(
    url: str,
    *,
    realm: str | None = None,
    authentication: Mapping[str, Mapping[str, Any]] | None = None,
    serializers: Iterable[Any] | None = None,
    extra: Any = None,
    **options: Unpack[ConnectOptions],
) -> Any:
    """Connects to a `ws://` or `wss://` URL (or `ws://unix:/path`); await it, or use it as `async with`:

        async with connect("ws://localhost:8765/") as ws:
            await ws.send("hello")
            async for message in ws:
                print(message)

    With `realm` it is a WAMP `Session` that has joined; leaving the block leaves the realm and closes:

        async with connect("ws://localhost:8080/ws", realm="realm1") as session:
            print(await session.call("com.example.add2", 2, 3))

    `authentication`: a dict for every method, as for `Component`; `serializers`: by preference, default all; `extra`:
    for the session's `config`. All other options: see `ConnectOptions`.

    Raises `InvalidURI`, `ConnectFailed` with its subclasses `ConnectTimeout`, `ProxyError`, `InvalidHandshake` and
    `InvalidStatus`, and `ApplicationError` when the router does not let the session join. Cancelling leaves nothing
    open.
    """
    if unknown := options.keys() - DEFAULTS.keys():
        raise TypeError(f"expected options out of {', '.join(DEFAULTS)}, got {sorted(unknown)[0]!r}")
    settings: ConnectOptions = {**DEFAULTS, **options}
    target = Target.of(url, settings)
    _protocol_options(settings)
    target.dialer(settings)  # what is wrong shows up here and not at the first attempt
    if realm is not None:
        return _session(
            target,
            settings,
            ComponentConfig(realm=realm, extra=extra),
            [create_authenticator(name, **dict(values)) for name, values in (authentication or {}).items()],
            serializers,
        )
    if authentication is not None or serializers is not None or extra is not None:
        raise TypeError("expected realm with authentication, serializers or extra, got none")
    return _websocket(target, settings)


# -- what to connect to ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """One URL with what belongs to it; a redirect makes another."""

    url: str
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
            secure, host, port, *_ = parse_url(url)
        except ValueError as exc:
            raise InvalidURI(str(exc)) from None
        headers, name = settings["headers"], settings["server_hostname"]
        if isinstance(port, str):  # ws://unix:/path/of/socket
            return cls(url, secure, "localhost", 0, port, headers, name)
        return cls(url, secure, host, port, settings["unix"], headers, name)

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
            raise ValueError("expected a wss:// URL with ssl, got ws://")
        return None
    if ssl is False:
        raise ValueError("expected ssl for a wss:// URL, got False")
    return ssl if isinstance(ssl, ssl_module.SSLContext) else client_context()


# -- connecting --------------------------------------------------------------------------------------------------


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
        factory = self._make(
            target.url, headers=target.headers, origin=settings["origin"], useragent=settings["user_agent"]
        )
        factory.setProtocolOptions(**_protocol_options(settings))
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
        return protocol


class StreamClientFactory(WebSocketClientFactory):
    """Makes connections that feed a `WebSocket`."""

    protocol = StreamClientProtocol
    queue: dict[str, int]


def _websocket(target: Target, settings: ConnectOptions) -> Managed[WebSocket]:
    def make(url: str, **kwargs: Any) -> StreamClientFactory:
        factory = StreamClientFactory(url, protocols=settings["subprotocols"], **kwargs)
        factory.queue = {"max_queue": settings["max_queue"], "max_queue_size": settings["max_queue_size"]}
        return factory

    async def stream(protocol: Any) -> WebSocket:
        opened: WebSocket = protocol.stream
        return opened

    return Managed(lambda: Opening(target, settings, make).run(stream), close_websocket)


async def close_websocket(stream: WebSocket, exc: BaseException | None) -> None:
    """Closes at the end of a block: 1000, or 1001 when it was cancelled, 1011 when it raised."""
    in_order = exc is None or isinstance(exc, ConnectionClosed)
    await stream.close(1000 if in_order else 1001 if isinstance(exc, asyncio.CancelledError) else 1011)


def _session(
    target: Target, settings: ConnectOptions, config: ComponentConfig, authenticators: list[Any], serializers: Any
) -> Managed[Session]:
    async def open_session() -> Session:
        session = Session(config)
        for authenticator in authenticators:
            session.add_authenticator(authenticator)
        joining = Joining(session)

        def make(url: str, **kwargs: Any) -> WampWebSocketClientFactory:
            return WampWebSocketClientFactory(session, url, serializers=serializers, **kwargs)

        return await Opening(target, settings, make).run(joining.wait)

    return Managed(open_session, close_session)


def _protocol_options(settings: ConnectOptions) -> dict[str, Any]:
    """The documented options behind ours; `open_timeout` is kept here and not there."""
    options: dict[str, Any] = {
        "openHandshakeTimeout": 0,
        "closeHandshakeTimeout": settings["close_timeout"] or 0,
        "autoPingInterval": settings["ping_interval"] or 0,
        "autoPingTimeout": settings["ping_timeout"] or 0,
        "maxMessagePayloadSize": settings["max_size"] or 0,
    }
    if settings["compression"] == "deflate":
        options["perMessageCompressionOffers"] = [PerMessageDeflateOffer()]
        options["perMessageCompressionAccept"] = _accept_deflate
    elif settings["compression"] is not None:
        raise ValueError(f"expected compression 'deflate' or None, got {settings['compression']!r}")
    return options


def _accept_deflate(response: Any) -> PerMessageDeflateResponseAccept | None:
    return PerMessageDeflateResponseAccept(response) if isinstance(response, PerMessageDeflateResponse) else None

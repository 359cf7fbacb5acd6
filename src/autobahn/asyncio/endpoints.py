"""Where a component connects to: one validated transport description, and the act of connecting it.

All keys are checked when the description is made, so that a typing error shows up before the first attempt.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import socket
import ssl as ssl_module
from collections.abc import Callable, Mapping
from typing import Any

from autobahn.asyncio.dial import Dialer, client_context
from autobahn.asyncio.refused import handshake_failure
from autobahn.asyncio.retry import Retry
from autobahn.asyncio.urls import parse_any_url
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.exception import ConnectTimeout
from autobahn.log import Log
from autobahn.rawsocket.util import create_url as create_rawsocket_url
from autobahn.wamp.interfaces import ISerializer
from autobahn.wamp.serializer import SERID_TO_SER, create_transport_serializer
from autobahn.wamp.session import settle
from autobahn.websocket.cookies import CookieJar, with_cookies
from autobahn.websocket.proxy import Proxy, parse_proxy
from autobahn.websocket.util import parse_url

log = Log("autobahn.component")

DEFAULT_URL = "ws://127.0.0.1:8080/ws"
DEFAULT_SERIALIZERS = ("cbor", "json")
DEFAULT_RAWSOCKET_SERIALIZER = "cbor"
PING_INTERVAL = 20.0
PING_TIMEOUT = 20.0

_TRANSPORT_KEYS = {
    "type", "url", "endpoint", "serializers", "serializer", "options", "proxy", "headers", "max_retries",
    "initial_retry_delay", "retry_delay_growth", "retry_delay_jitter", "max_retry_delay",
}  # fmt: skip
_ENDPOINT_KEYS = {"type", "host", "port", "path", "tls", "timeout", "version"}
_TLS_KEYS = {"hostname", "trust_root", "certificate", "key"}


@dataclasses.dataclass(slots=True)
class Endpoint:
    """A socket address: TCP ``host`` and ``port``, or a Unix ``path``; ``ssl`` as asyncio takes it.

    ``version``: 4 or 6 for one kind of addresses only. ``proxy``: what to go through.
    """

    type: str = "tcp"
    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    ssl: bool | ssl_module.SSLContext | None = None
    server_hostname: str | None = None
    timeout: float = 10.0
    version: int = 0
    proxy: Proxy | None = None

    def dialer(self) -> Dialer:
        """For one attempt; it knows afterwards how far that came."""
        return Dialer(
            host=self.host,
            port=self.port,
            path=self.path if self.type == "unix" else None,
            tls=client_context() if self.ssl is True else self.ssl or None,
            server_hostname=self.server_hostname,
            proxy=self.proxy,
            family={4: socket.AF_INET, 6: socket.AF_INET6}.get(self.version, 0),
        )

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], dialer: Dialer | None = None
    ) -> tuple[Any, Any]:
        """Open the connection within ``timeout`` seconds: OSError, which ssl.SSLError and ConnectTimeout are, too."""
        dialer = dialer or self.dialer()
        try:
            async with asyncio.timeout(self.timeout) as scope:
                return await dialer.connect(factory)
        except TimeoutError:
            if not scope.expired():
                raise  # of the system
            raise ConnectTimeout(
                f"no connection to {self} after {self.timeout:g} s", peer=dialer.peer, phase=dialer.phase
            ) from None

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.type == "unix" else f"{self.host}:{self.port}"


@dataclasses.dataclass(slots=True)
class TransportDescription:
    """One way to reach the router; a ``type`` "rawsocket" has one serializer. ``cookies``: those of the server."""

    url: str
    endpoint: Endpoint
    type: str = "websocket"
    serializers: tuple[Any, ...] = DEFAULT_SERIALIZERS  # ids, or serializers
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    headers: Any = dataclasses.field(default_factory=dict)
    retry: Retry = dataclasses.field(default_factory=Retry)
    cookies: CookieJar | None = None
    factory: Callable[[Callable[[], Any]], Any] | None = None

    async def connect(self, session_factory: Callable[[], Any], dialer: Dialer | None = None) -> Any:
        """Connect, and return the protocol once it is open and drives the session.

        OSError when the server cannot be reached: ssl.SSLError, ConnectTimeout, ProxyError are kinds of it;
        InvalidHandshake, or InvalidStatus, when it refuses the handshake of WebSocket or RawSocket.
        """
        factory: Any
        serializers = [create_transport_serializer(s) if isinstance(s, str) else s for s in self.serializers]
        if self.factory is not None:
            factory = self.factory(session_factory)
        elif self.type == "rawsocket":
            factory = _rawsocket_factory(session_factory, serializers[0])
        else:
            headers = with_cookies(await self._own_headers(), self.cookies, self.url)
            factory = WampWebSocketClientFactory(
                session_factory, url=self.url, serializers=serializers, headers=headers or None
            )
        if self.options:
            factory.setProtocolOptions(**self.options)
        _, protocol = await self.endpoint.connect(factory, dialer)
        try:
            await asyncio.wait({protocol.is_open, protocol.is_closed}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            protocol.dropConnection(abort=True)
            await asyncio.wait({protocol.is_closed}, timeout=1.0)
            raise
        if not protocol.is_open.done() or protocol.is_open.exception() is not None:
            raise handshake_failure(protocol, url=self.url, peer=protocol.peer, phase="handshake")
        if self.cookies is not None and self.type == "websocket":
            self.cookies.store(self.url, protocol.http_headers.get("set-cookie"))
        return protocol

    async def _own_headers(self) -> Any:
        """What the program wants to be sent with this attempt."""
        try:
            return await settle(self.headers() if callable(self.headers) else self.headers)
        except Exception as exc:
            log.error("headers of {url} failed", url=self.url, exc_info=exc)
            raise


def parse_transports(transports: Any) -> list[TransportDescription]:
    """The descriptions for a `Component`'s ``transports`` argument; ValueError names what is wrong."""
    if transports is None:
        transports = [DEFAULT_URL]
    elif isinstance(transports, str | Mapping):
        transports = [transports]
    elif not isinstance(transports, list | tuple):
        raise ValueError(f"expected transports as a URL, a dict or a list of them, got {type(transports).__name__}")
    if not transports:
        raise ValueError("expected at least one transport, got an empty list")
    return [_parse_transport(index, item) for index, item in enumerate(transports)]


def _parse_transport(index: int, item: Any) -> TransportDescription:
    where = f"transport {index}"
    if isinstance(item, str):
        item = {"url": item}
    if not isinstance(item, Mapping):
        raise ValueError(f"{where}: expected a URL or a dict, got {type(item).__name__}")
    _known(where, item, _TRANSPORT_KEYS)
    url = item.get("url")
    kind = item["type"] if "type" in item else _kind_of(where, url)
    if kind == "rawsocket":
        return _parse_rawsocket(where, item, url)
    if item.get("serializer") is not None:
        raise ValueError(f"{where}: expected 'serializers' (a list) for type 'websocket', got 'serializer'")
    if kind != "websocket":
        raise ValueError(f"{where}: expected type 'websocket' or 'rawsocket', got {kind!r}")
    if not isinstance(url, str):
        raise ValueError(f"{where}: expected 'url' as a ws:// or wss:// URL, got {url!r}")
    try:
        secure, host, port, *_ = parse_url(url)
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None
    endpoint = _parse_endpoint(where, item.get("endpoint"), secure, host, port)
    endpoint.proxy = _parse_proxy(where, item.get("proxy"), endpoint)
    return TransportDescription(
        url=url,
        endpoint=endpoint,
        serializers=_parse_serializers(where, item.get("serializers")),
        options=_parse_options(where, item.get("options"), WampWebSocketClientFactory(lambda: None)),
        headers=_parse_headers(where, item.get("headers")),
        retry=_parse_retry(where, item),
    )


def _kind_of(where: str, url: Any) -> str:
    """The type of a transport that does not name it."""
    if not isinstance(url, str):
        return "websocket"  # as documented; that the URL is missing is said there
    try:
        return "rawsocket" if parse_any_url(url)[0] else "websocket"
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None


def _rawsocket_factory(session_factory: Callable[[], Any], serializer: Any = None) -> Any:
    from autobahn.asyncio.rawsocket import WampRawSocketClientFactory  # for those who use it

    return WampRawSocketClientFactory(session_factory, serializer)


def _parse_rawsocket(where: str, item: Mapping[str, Any], url: Any) -> TransportDescription:
    for key in ("headers", "serializers"):
        if item.get(key):
            hint = ", use 'serializer'" if key == "serializers" else ""
            raise ValueError(f"{where}: expected no {key!r} for type 'rawsocket', got {item[key]!r}{hint}")
    secure, host = False, "localhost"
    port: int | str = 0
    if url is not None or item.get("endpoint") is None:
        if not isinstance(url, str):
            raise ValueError(f"{where}: expected 'url' as an rs:// or rss:// URL, or an 'endpoint', got {url!r}")
        try:
            _, secure, host, port = parse_any_url(url)
        except ValueError as exc:
            raise ValueError(f"{where}: {exc}") from None
    endpoint = _parse_endpoint(where, item.get("endpoint"), secure, host, port)
    endpoint.proxy = _parse_proxy(where, item.get("proxy"), endpoint)
    name = item.get("serializer") or DEFAULT_RAWSOCKET_SERIALIZER
    if not (isinstance(name, ISerializer) or (isinstance(name, str) and name in SERID_TO_SER)):
        raise ValueError(f"{where}: expected 'serializer' out of {_serializer_names(name)}, got {name!r}")
    return TransportDescription(
        url=url or _url_of(endpoint),
        endpoint=endpoint,
        type="rawsocket",
        serializers=(name,),
        options=_parse_options(where, item.get("options"), _rawsocket_factory(lambda: None)),
        retry=_parse_retry(where, item),
    )


def _url_of(endpoint: Endpoint) -> str:
    """How the log calls an endpoint that was given without URL."""
    if endpoint.type == "unix":
        return create_rawsocket_url("unix", endpoint.path, bool(endpoint.ssl))
    return create_rawsocket_url(endpoint.host, endpoint.port, bool(endpoint.ssl))


def _parse_endpoint(where: str, item: Any, secure: bool, host: str, port: int | str) -> Endpoint:
    where = f"{where}, endpoint"
    if item is None:
        if isinstance(port, str):  # ws://unix:/path/of/socket
            return Endpoint("unix", path=port, ssl=secure or None, server_hostname="localhost" if secure else None)
        return Endpoint(host=host, port=port, ssl=secure or None, server_hostname=host if secure else None)
    _typed(where, "endpoint", item, Mapping)
    _known(where, item, _ENDPOINT_KEYS)
    tls, name = _parse_tls(where, item.get("tls", secure or None))
    if secure and not tls:
        raise ValueError(f"{where}: expected 'tls' for a wss:// or rss:// URL, got {item['tls']!r}")
    timeout = _number(where, "timeout", item.get("timeout", 10), 0)
    version = item.get("version", 0)
    if version not in (0, 4, 6) or isinstance(version, bool):
        raise ValueError(f"{where}: expected 'version' 4 or 6, got {version!r}")
    if item.get("type") != "tcp" and version:
        raise ValueError(f"{where}: expected 'version' for type 'tcp' only, got {version!r}")
    kind = item.get("type")
    if kind == "unix":
        if "host" in item or "port" in item:
            raise ValueError(f"{where}: expected 'path' for type 'unix', got 'host' or 'port'")
        path = _typed(where, "path", item.get("path"), str)
        return Endpoint("unix", path=path, ssl=tls, server_hostname=name or host, timeout=timeout)
    if kind != "tcp":
        raise ValueError(f"{where}: expected type 'tcp' or 'unix', got {kind!r}")
    if "path" in item:
        raise ValueError(f"{where}: expected 'host' and 'port' for type 'tcp', got 'path'")
    tcp_host = _typed(where, "host", item.get("host"), str)
    tcp_port = _typed(where, "port", item.get("port"), int)
    if not 0 < tcp_port < 65536:
        raise ValueError(f"{where}: expected 'port' from 1 to 65535, got {tcp_port}")
    return Endpoint(
        "tcp", tcp_host, tcp_port, ssl=tls, server_hostname=name or tcp_host, timeout=timeout, version=version
    )


def _parse_proxy(where: str, proxy: Any, endpoint: Endpoint) -> Proxy | None:
    """A dict with ``host`` and ``port`` (and ``type``, ``username``, ``password``), or a URL."""
    if proxy is None:
        return None
    if endpoint.type == "unix":
        raise ValueError(f"{where}: expected no 'proxy' for a Unix socket, got one")
    try:
        return parse_proxy(proxy)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{where}, proxy: {exc}") from None


def _parse_tls(where: str, tls: Any) -> tuple[bool | ssl_module.SSLContext | None, str | None]:
    if tls is None or isinstance(tls, bool):
        return tls or None, None
    if isinstance(tls, ssl_module.SSLContext):
        return tls, None
    if not isinstance(tls, Mapping):
        raise ValueError(f"{where}: expected 'tls' as bool, ssl.SSLContext or dict, got {type(tls).__name__}")
    where = f"{where}, tls"
    _known(where, tls, _TLS_KEYS)
    for key, value in tls.items():
        if value is not None:
            _typed(where, key, value, str)
    context = client_context()
    if tls.get("trust_root") is not None:
        context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_verify_locations(cafile=tls["trust_root"])
        except OSError as exc:
            raise ValueError(f"{where}: expected 'trust_root' as a file of CA certificates, got {exc}") from None
    if tls.get("certificate") is not None:
        try:
            context.load_cert_chain(tls["certificate"], tls.get("key"))
        except OSError as exc:
            raise ValueError(f"{where}: expected 'certificate' and 'key' as PEM files, got {exc}") from None
    elif tls.get("key") is not None:
        raise ValueError(f"{where}: expected 'certificate' with 'key', got none")
    return context, tls.get("hostname")


def _parse_serializers(where: str, names: Any) -> tuple[Any, ...]:
    """Ids like "cbor" or "json.batched", or serializers."""
    if names is None:
        return DEFAULT_SERIALIZERS
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"{where}: expected 'serializers' as a list of ids, got {names!r}")
    for name in names:
        if not isinstance(name, ISerializer) and str(name).removesuffix(".batched") not in SERID_TO_SER:
            raise ValueError(f"{where}: expected 'serializers' out of {_serializer_names(name)}, got {name!r}")
    return tuple(names)


def _serializer_names(wanted: Any) -> str:
    """Those there are, for who asks for another one."""
    hint = " (FlatBuffers is left out: use cbor)" if str(wanted).startswith("flatbuffers") else ""
    return ", ".join(SERID_TO_SER) + hint


def _parse_headers(where: str, headers: Any) -> Any:
    """A dict of str (or lists of str, for several lines), or a callable that gives one."""
    if headers is None or callable(headers):
        return headers or {}
    for name, value in _typed(where, "headers", headers, Mapping).items():
        lines = value if isinstance(value, list | tuple) else [value]
        if not isinstance(name, str) or not all(isinstance(line, str) for line in lines):
            raise ValueError(f"{where}: expected 'headers' as a dict of str, got {name!r}: {value!r}")
    return dict(headers)


def _parse_options(where: str, options: Any, factory: Any) -> dict[str, Any]:
    """Protocol options in camelCase; snake_case names are accepted. ``factory`` knows the names and the types.

    A component pings by itself: it has to notice that its router is gone, even when it has nothing to say.
    """
    camel: dict[str, Any] = {"autoPingInterval": PING_INTERVAL, "autoPingTimeout": PING_TIMEOUT}
    if options is None:
        return camel
    _typed(where, "options", options, Mapping)
    for key, value in options.items():
        head, *rest = str(key).split("_")
        camel[head + "".join(part.capitalize() for part in rest)] = value
    try:
        factory.setProtocolOptions(**camel)
    except (TypeError, ValueError, AssertionError) as exc:
        raise ValueError(f"{where}, options: {exc}") from None
    return camel


def _parse_retry(where: str, item: Mapping[str, Any]) -> Retry:
    retry = Retry()
    for field in dataclasses.fields(Retry):
        value = item.get(field.name)
        if value is None:
            continue
        minimum = {"max_retries": -1, "retry_delay_growth": 1}.get(field.name, 0)
        _number(where, field.name, value, minimum)
        if field.name == "max_retries" and not isinstance(value, int):
            raise ValueError(f"{where}: expected 'max_retries' as int, got {value!r}")
        setattr(retry, field.name, value)
    return retry


def _known(where: str, item: Mapping[str, Any], allowed: set[str]) -> None:
    for key in item:
        if key not in allowed:
            raise ValueError(f"{where}: expected keys out of {', '.join(sorted(allowed))}, got {key!r}")


def _typed(where: str, key: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: expected {key!r} as {kind.__name__}, got {value!r}")
    return value


def _number(where: str, key: str, value: Any, minimum: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value < math.inf:
        raise ValueError(f"{where}: expected {key!r} as a number >= {minimum}, got {value!r}")
    return value

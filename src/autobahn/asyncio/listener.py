"""Listening for the router's clients, as one `ListenerSettings` says."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from autobahn.asyncio.accepting import accept_directly
from autobahn.asyncio.admission import Gate
from autobahn.asyncio.doors import PageFactory, RawSocketDoor, Traffic, WebSocketDoor
from autobahn.asyncio.sniff import OnePort
from autobahn.rawsocket.handshake import MAX_LENGTH
from autobahn.rawsocket.util import parse_url as parse_rawsocket_url
from autobahn.router.settings import ListenerSettings, TlsSettings
from autobahn.wamp.serializer import create_transport_serializers
from autobahn.websocket.negotiation import accept_deflate
from autobahn.websocket.plain import HttpRequest, HttpResponse
from autobahn.websocket.util import parse_url

__all__ = ("Address", "House", "Listener", "problems_of", "tls_context")

ACCEPT_AT_ONCE = 100  # connections accepted in one turn of the loop; more can wait in the system's queue
BIND_ATTEMPTS = 10  # for one free port at several addresses
ALL_PAGES = ("healthz", "readyz", "metrics")
Page = Callable[[HttpRequest], HttpResponse | None]


class House:
    """What the listeners of a router have in common."""

    def __init__(self, new_session: Callable[[], Any], gate: Gate, page: Page, cookies: Callable[[], Any]) -> None:
        self.new_session = new_session
        self.gate = gate
        self.page = page
        self.cookies = cookies


class Address:
    """Where a listener is bound: (kind, host, port or path)."""

    def __init__(self, settings: ListenerSettings) -> None:
        """ValueError for a URL that is none to listen at."""
        self.scheme = scheme = settings.scheme
        url, self.path = settings.url, ""
        self.port: int | str
        if scheme in {"rs", "rss"}:
            _, self.host, self.port = parse_rawsocket_url(url)
        elif scheme in {"ws", "wss", "http", "https"}:
            as_websocket = url.replace("http", "ws", 1) if scheme.startswith("http") else url
            _, self.host, self.port, resource, self.path, _ = parse_url(as_websocket)
            if "?" in resource or (scheme.startswith("http") and self.path != "/"):
                raise ValueError(
                    f"expected a URL to listen at without {'query' if '?' in resource else 'path'}, got {url}"
                )
        else:
            raise ValueError(f"expected a URL that starts with ws://, wss://, rs://, rss:// or http://, got {url!r}")
        self.key = ("socket", settings.socket) if settings.socket else (self.host, self.port)

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket."""
        return self.host == "unix"

    def url(self, port: int | None) -> str:
        """The URL with the real port; None: the one that was given."""
        if self.is_unix:
            return f"{self.scheme}://unix:{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = self.path if self.scheme in {"ws", "wss"} else ""
        return f"{self.scheme}://{host}:{self.port if port is None else port}{path}"


def problems_of(settings: ListenerSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with it, as (key, text)."""
    try:
        address = Address(settings)
    except (ValueError, TypeError) as exc:
        yield "url", str(exc)
        return
    if settings.is_secure and settings.tls is None:
        yield "url", f"expected tls for {settings.scheme}, got none"
    if settings.tls is not None:
        if not settings.is_secure:
            yield "tls", f"expected wss, rss or https with tls, got {settings.scheme}"
        try:
            tls_context(settings.tls)
        except ValueError as exc:
            yield "tls", str(exc)
    if settings.mode is not None and not address.is_unix:
        yield "mode", f"expected a Unix socket with mode, got {settings.url}"
    if not settings.serializers:
        yield "serializers", "expected at least one serializer, got none"
    for name in settings.serializers:
        try:
            create_transport_serializers([name])
        except (ImportError, RuntimeError) as exc:
            yield "serializers", str(exc)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """A server's context. ValueError says which file is not as expected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if settings.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key, settings.key_password or "")
    except (OSError, ssl.SSLError) as exc:
        named = f"{settings.certificate} and {settings.key}" if settings.key else settings.certificate
        raise ValueError(f"expected a certificate and its private key in {named}, got an error: {exc}") from exc
    if settings.client_certificates != "none":
        if settings.client_ca is None:
            raise ValueError("expected client_ca with client_certificates, got none")
        required = settings.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    try:
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)
        if settings.ciphers is not None:
            context.set_ciphers(settings.ciphers)
    except (OSError, ssl.SSLError) as exc:
        raise ValueError(f"expected certificates in client_ca and known ciphers, got an error: {exc}") from exc
    return context


class Listener:
    """One listening address. ``tls``: the context to use in place of the one that the settings describe."""

    def __init__(self, settings: ListenerSettings, house: House, tls: ssl.SSLContext | None = None) -> None:
        self.settings = settings
        self.address = Address(settings)
        if settings.is_secure and tls is None:
            if settings.tls is None:
                raise ValueError(f"expected ssl or tls for {settings.url}, got none")
            tls = tls_context(settings.tls)
        elif tls is not None and not settings.is_secure:
            raise ValueError(f"expected a wss:// or rss:// URL with TLS, got {settings.url}")
        self.url = ""
        self.traffic = Traffic()
        self._house = house
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._made: os.stat_result | None = None  # the Unix socket that is ours to remove
        self._port = self._new_port()

    # ---- the sockets ---------------------------------------------------------------------------------------------

    async def bind(self, given: Mapping[str, Sequence[socket.socket]] | None = None) -> None:
        """It has its sockets, out of ``given`` if the settings name them. Raises OSError."""
        name = self.settings.socket
        if name is not None:
            if not (given or {}).get(name):
                known = ", ".join(given or {}) or "none"
                raise OSError(f"expected a socket named {name!r} from systemd, got {known}")
            for sock in (given or {})[name]:
                sock.setblocking(False)
            self._sockets = [sock.dup() for sock in (given or {})[name]]
        elif self.address.is_unix:
            self._sockets = [self._bind_unix(str(self.address.port))]
        else:
            self._sockets = await _bind(self.address.host, int(self.address.port))
        for sock in self._sockets:
            sock.setblocking(False)  # before any is duplicated: they share the flag, and `dup` sets it anew
        name_of = self._sockets[0].getsockname()
        self.url = self.address.url(int(name_of[1]) if isinstance(name_of, tuple) else None)

    def _bind_unix(self, path: str) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                _check_stale(path)
                os.unlink(path)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.bind(path)
            if self.settings.mode is not None:
                os.chmod(path, int(self.settings.mode, 8))
        except OSError as exc:
            sock.close()
            raise OSError(exc.errno, f"{exc.strerror} ({path})") from exc
        self._made = os.stat(path)
        return sock

    def take_over(self, other: Listener) -> None:
        """It has the sockets of ``other``, which may then be closed: nobody who connects meanwhile is lost."""
        self._sockets = [sock.dup() for sock in other._sockets]
        self._made, other._made = other._made, None
        self.traffic = other.traffic
        self._port = self._new_port()
        self.url = self.address.url(None)
        name_of = self._sockets[0].getsockname()
        if isinstance(name_of, tuple):
            self.url = self.address.url(int(name_of[1]))

    def give_back(self, other: Listener | None) -> None:
        """Undoes `take_over`, or `bind`."""
        if other is not None:
            other._made, self._made = self._made, None
        self.close()

    async def listen(self) -> None:
        """Clients may connect."""
        for sock in self._sockets:
            self._servers.append(await self._serve(sock.dup()))
            sock.listen(self.settings.backlog)

    async def _serve(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"sock": sock, "ssl": self._tls, "backlog": ACCEPT_AT_ONCE}
        if self._tls is not None:
            options["ssl_handshake_timeout"] = self.settings.handshake_timeout
        if sock.family != getattr(socket, "AF_UNIX", None):
            server = await loop.create_server(self._port, **options)
            self._accept_directly(server)
            return server
        if "cleanup_socket" in inspect.signature(loop.create_unix_server).parameters:  # Python 3.13, uvloop 0.22
            options["cleanup_socket"] = False  # another listener may have the path by then
        server = await loop.create_unix_server(self._port, **options)
        self._accept_directly(server)
        return server

    def _accept_directly(self, server: asyncio.Server) -> None:
        timeout = None if self._tls is None else self.settings.handshake_timeout
        accept_directly(server, self._port, ACCEPT_AT_ONCE, tls=self._tls, handshake_timeout=timeout)

    async def retire(self) -> None:
        """As `close`, and whoever was accepted before is served: asyncio drops those it has just accepted."""
        loop = asyncio.get_running_loop()
        for sock in (sock for server in self._servers for sock in server.sockets):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # loops that watch in another way
                loop.remove_reader(sock.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self.close()

    def close(self) -> None:
        """Nobody may connect any more; connections stay."""
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        self._servers, self._sockets = [], []
        made, self._made = self._made, None
        if made is not None:
            path = str(self.address.port)
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == made.st_ino:
                    os.unlink(path)

    # ---- what is spoken --------------------------------------------------------------------------------------------

    def refresh_cookies(self) -> None:
        """Cookies are those of the authentication in force."""
        if isinstance(self._port.websocket, WebSocketDoor):
            self._port.websocket.cookies = self._house.cookies()

    @property
    def pages(self) -> tuple[str, ...]:
        """The pages that are served."""
        default = ALL_PAGES if self.address.scheme.startswith("http") else ()
        return default if self.settings.pages is None else self.settings.pages

    def _new_port(self) -> OnePort:
        settings, house, scheme = self.settings, self._house, self.address.scheme
        websocket: Any = None
        rawsocket = None
        if scheme.startswith("http"):
            websocket = PageFactory(self._page, house.gate)
        elif scheme.startswith("ws"):
            websocket = self._websocket()
        if scheme.startswith("rs") or (scheme.startswith("ws") and settings.rawsocket):
            rawsocket = self._rawsocket()
        return OnePort(
            websocket,
            rawsocket,
            house.gate,
            timeout=settings.handshake_timeout,
            exempt=tuple(f"GET /{name}".encode() for name in self.pages),
            trusts_proxy=settings.forwarded_for > 0,
            is_secure=settings.is_secure,
        )

    def _page(self, request: HttpRequest) -> HttpResponse | None:
        return self._house.page(request) if request.path[1:] in self.pages else None

    def _websocket(self) -> WebSocketDoor:
        settings, house = self.settings, self._house
        names = [f"{name}{suffix}" for name in settings.serializers for suffix in (".batched", "")]
        door = WebSocketDoor(house.new_session, serializers=create_transport_serializers(names))
        door.isSecure = settings.is_secure
        door.router_path = self.address.path
        door.gate, door.traffic = house.gate, self.traffic
        door.cookies = house.cookies()
        door.max_hello_size = min(settings.max_hello_size, settings.max_message_size)
        if self.pages:
            door.processRequest = self._page
        door.setProtocolOptions(
            allowedOrigins=list(settings.origins),
            allowNullOrigin=settings.null_origin,
            maxConnections=settings.max_connections,
            maxMessagePayloadSize=settings.max_message_size,
            maxSendBuffer=settings.max_send_buffer,
            openHandshakeTimeout=settings.handshake_timeout,
            autoPingInterval=settings.ping_interval,
            autoPingTimeout=settings.ping_timeout,
            trustXForwardedFor=settings.forwarded_for,
        )
        if settings.compression == "deflate":
            door.setProtocolOptions(perMessageCompressionAccept=accept_deflate)
        return door

    def _rawsocket(self) -> RawSocketDoor:
        settings, house = self.settings, self._house
        door = RawSocketDoor(house.new_session, create_transport_serializers(settings.serializers))
        door.gate, door.traffic = house.gate, self.traffic
        door.setProtocolOptions(
            min(settings.max_message_size, MAX_LENGTH),
            openHandshakeTimeout=settings.handshake_timeout,
            maxConnections=settings.max_connections,
        )
        return door


def _check_stale(path: str) -> None:
    """OSError when somebody listens at the Unix socket ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)} ({path})")


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets at all addresses of ``host``, with one port."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((info[0], info[4]) for info in infos))
    for attempt in range(BIND_ATTEMPTS):
        sockets: list[socket.socket] = []
        try:
            for family, address in addresses:
                real = sockets[0].getsockname()[1] if sockets and not port else port
                sockets.append(_bound(family, (address[0], real, *address[2:])))
        except OSError as exc:
            for sock in sockets:
                sock.close()
            if port or not sockets or attempt == BIND_ATTEMPTS - 1:  # else: taken at one of the addresses
                raise OSError(exc.errno, f"{exc.strerror} ({host}:{port})") from exc
        else:
            return sockets
    raise AssertionError("the last attempt raises or returns")


def _bound(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock

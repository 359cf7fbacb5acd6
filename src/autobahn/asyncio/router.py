"""The WAMP router on asyncio: listening, in-process sessions, orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from autobahn.asyncio.loops import signals_call
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.sniff import OnePort
from autobahn.asyncio.websocket import WampWebSocketServerFactory, WampWebSocketServerProtocol
from autobahn.rawsocket.util import create_url as create_rawsocket_url
from autobahn.rawsocket.util import parse_url as parse_rawsocket_url
from autobahn.router import RealmOptions
from autobahn.router import Router as RouterCore
from autobahn.router.ids import random_authid
from autobahn.router.local import connect_local
from autobahn.router.session import Admission
from autobahn.websocket.types import ConnectionDeny
from autobahn.websocket.util import create_url, parse_url

__all__ = ("Router", "serve")

DEFAULT_URL = "ws://127.0.0.1:8080/ws"
CLOSE_TIMEOUT = 1.0  # seconds for the links to close after the time for the answer to GOODBYE

log = logging.getLogger("autobahn.router")


class RouterProtocol(WampWebSocketServerProtocol):
    """A client's WebSocket; only the router's own path is served."""

    def onConnect(self, request: Any) -> Any:
        path = self.factory.router_path
        if request.path != path:
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND, f"expected the path {path}, got {request.path}")
        return super().onConnect(request)


class RouterFactory(WampWebSocketServerFactory):
    """Makes `RouterProtocol`; ``router_path`` is the one path served."""

    protocol = RouterProtocol
    router_path = "/ws"


class Router:
    """A WAMP router: ``async with Router() as router:`` listens at ``router.url`` until the block ends.

    ``url``: where to listen (port 0: any free port), several of them, or None for in-process sessions only. At a
    ``ws://`` URL RawSocket clients are served, too; an ``rs://`` URL is for them alone; ``ws://unix:/path`` and
    ``rs://unix:/path`` are Unix sockets. ``realms``: their names; with ``auto_realms`` any realm a client asks for is
    made; ``realm_options`` (`autobahn.router.RealmOptions`): how realms behave.
    ``hello_timeout``: seconds a connection may stay without a session; ``goodbye_timeout``: seconds a client has
    to answer GOODBYE. Leaving the block says GOODBYE (``wamp.close.system_shutdown``) to all sessions and closes all
    connections.

    ``auth``: who may join (`autobahn.router.auth`), within ``auth_timeout`` seconds; ``auth_options``: arguments of
    `Authentication`; ``permissions``: what the roles may do (`autobahn.router.permissions`). Without them everybody may
    do everything.
    """

    def __init__(  # noqa: PLR0913 (keywords of the public API)
        self,
        url: str | Sequence[str] | None = "ws://127.0.0.1:0/ws",
        *,
        realms: Iterable[str] = ("realm1",),
        auto_realms: bool = False,
        realm_options: RealmOptions | None = None,
        hello_timeout: float = 5.0,
        goodbye_timeout: float = 5.0,
        auth: Mapping[str, Any] | None = None,
        auth_options: Mapping[str, Any] | None = None,
        auth_timeout: float = 10.0,
        permissions: Mapping[str, Any] | None = None,
    ) -> None:
        self._listen_urls = () if url is None else (url,) if isinstance(url, str) else tuple(url)
        self._realms = tuple(realms)
        self._auto_realms = auto_realms
        self._realm_options = realm_options
        self._hello_timeout = hello_timeout
        self._goodbye_timeout = goodbye_timeout
        self._security: dict[str, Any] = {
            "auth": auth, "auth_options": auth_options, "auth_timeout": auth_timeout, "permissions": permissions,
        }  # fmt: skip
        self._core: RouterCore | None = None
        self._servers: list[asyncio.Server] = []
        self._locals: list[Any] = []
        self.urls: list[str] = []  # where it listens, with the real ports; set by start()

    @property
    def url(self) -> str | None:
        """Where it listens, with the real port; None before `start`, and when it does not listen."""
        return self.urls[0] if self.urls else None

    @property
    def core(self) -> RouterCore:
        """The router without I/O; RuntimeError before `start`."""
        if self._core is None:
            raise RuntimeError("expected a started router, got one that is not running")
        return self._core

    def new_session(self) -> Any:
        """A session object for one more client link: the session factory of any WAMP transport."""
        return self.core.new_session()

    def attach(self, session: Any, *, authid: str | None = None, authrole: str | None = None) -> None:
        """Connect a client session in this process, without socket and serialization; it joins its realm.

        It is not asked for credentials: with ``authrole``, or when the router has ``auth``, it joins in that role
        (default: ``trusted``, which may do everything) as ``authid``.
        """
        loop = asyncio.get_running_loop()
        granted = None
        if authrole is not None or self.core.auth is not None:
            granted = Admission(authid or random_authid(), authrole or "trusted", "internal", "router")
        connect_local(self.core, session, loop.call_soon, granted)
        self._locals.append(session)

    async def start(self) -> None:
        """The router listens; OSError when it cannot, ValueError for a URL that is none to listen at."""
        loop = asyncio.get_running_loop()
        self._core = RouterCore(
            realms=self._realms,
            auto_realms=self._auto_realms,
            realm_options=self._realm_options,
            hello_timeout=self._hello_timeout,
            goodbye_timeout=self._goodbye_timeout,
            **self._security,
            runtime=AsyncioRuntime(loop),
        )
        self.urls = []
        try:
            for url in self._listen_urls:
                self.urls.append(await self._listen(self._core, url))
        except BaseException:
            for server in self._servers:
                server.close()
            self._servers = []
            self._core = None
            raise

    async def _listen(self, core: RouterCore, url: str) -> str:
        """There is a server at ``url``; the URL with the real port."""
        rawsocket = WampRawSocketServerFactory(core.new_session)
        if url.lower().startswith(("rs://", "rss://")):
            secure, host, port = parse_rawsocket_url(url)
            _not_secure(url, secure)
            real_port = await self._serve(rawsocket, host, port)
            return url if host == "unix" else create_rawsocket_url(host, real_port)
        secure, host, port, _, path, _ = parse_url(url)
        _not_secure(url, secure)
        websocket = RouterFactory(core.new_session, url=url)
        websocket.router_path = path
        websocket.cookies = core.auth.cookies if core.auth is not None else None
        real_port = await self._serve(OnePort(websocket, rawsocket), host, port)
        if host == "unix":
            return url
        websocket.externalPort = real_port
        return create_url(host, real_port, path=path)

    async def _serve(self, factory: Any, host: str, port: int | str) -> int:
        """There is a server; its real port, 0 for a Unix socket."""
        loop = asyncio.get_running_loop()
        if host == "unix":
            self._servers.append(await loop.create_unix_server(factory, str(port)))
            return 0
        server = await loop.create_server(factory, host, int(port))
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Every session got GOODBYE and every connection is closed; idempotent.

        Order: no new connections; GOODBYE to all; wait ``goodbye_timeout`` for their answers; close what is left.
        """
        if self._core is None:
            return
        core, servers = self._core, self._servers
        for server in servers:
            server.close()
        core.shutdown()
        try:
            async with asyncio.timeout(self._goodbye_timeout + CLOSE_TIMEOUT):
                while core.links:  # noqa: ASYNC110 - a set, and nobody else waits for it
                    await asyncio.sleep(0.005)
        except TimeoutError:
            for link in list(core.links):
                link.abort()
        for server in servers:
            await server.wait_closed()
        self._core = None
        self._servers = []

    async def __aenter__(self) -> Router:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _not_secure(url: str, secure: bool) -> None:
    if secure:
        raise ValueError(f"expected a ws:// or rs:// URL to listen at, got {url}")


async def serve(router: Router, announce: Any = None) -> None:
    """Run ``router`` until SIGINT or SIGTERM; ``announce(router)`` is called when it listens."""
    stop = asyncio.Event()

    def stopping(number: signal.Signals) -> None:
        log.info("stopping on %s: GOODBYE to %d sessions", number.name, router.core.sessions)
        stop.set()

    with signals_call(asyncio.get_running_loop(), stopping):
        async with router:
            if announce is not None:
                announce(router)
            await stop.wait()

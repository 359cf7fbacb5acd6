"""`ApplicationRunner`: host one session over WAMP-over-WebSocket or WAMP-over-RawSocket."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Coroutine
from typing import Any

from autobahn.asyncio.dial import Dialer, client_context
from autobahn.asyncio.loops import get_or_create_event_loop, signals_call, start_logging
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.log import Log
from autobahn.rawsocket.util import parse_url as parse_rawsocket_url
from autobahn.wamp.session import ClientSession
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.proxy import parse_proxy
from autobahn.websocket.util import parse_url

LEAVE_TIMEOUT = 5.0  # seconds for the session to leave when the runner is told to stop


class ApplicationRunner:
    """Connects one session to the router at ``url`` and runs it until the connection is closed.

    ``url``: a ``ws://``, ``wss://``, ``rs://`` or ``rss://`` URL. ``ssl``: True, False or an `ssl.SSLContext`; default
    by the URL. ``headers``: additional HTTP headers for the opening handshake. ``serializers``: default all; RawSocket
    takes the first, and CBOR by default.
    """

    log = Log("autobahn.runner")

    def __init__(
        self,
        url: str,
        realm: str | None = None,
        extra: Any = None,
        serializers: Any = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        proxy: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        for name, value, kinds in (
            ("url", url, str),
            ("realm", realm, str),
            ("proxy", proxy, dict),
            ("headers", headers, dict),
        ):
            if not isinstance(value, kinds) and not (value is None and name != "url"):
                raise TypeError(f"expected {name} of type {kinds.__name__}, got {type(value).__name__}")
        self.url = url
        self.realm = realm
        self.extra = extra if extra is not None else {}
        self.serializers = serializers
        self.ssl = ssl
        self.proxy = proxy
        self._through = None if proxy is None else parse_proxy(proxy)
        self.headers = headers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Any = None
        self._protocol: Any = None

    def stop(self) -> None:
        """Leave the realm and close the connection; `run` returns then. Does nothing when not running."""
        if self._loop is not None and self._protocol is not None:
            self._leaving = self._loop.create_task(self._leave(), name="autobahn runner stop")

    def run(self, make: Any, start_loop: bool = True, log_level: str | None = "info") -> Any:
        """Connect, and run ``make(ComponentConfig(realm, extra))`` (or ``make`` itself if not callable) as session.

        Returns None when the connection is closed, after SIGINT or SIGTERM (the session leaves in order), or when the
        session stops the loop. OSError when the router cannot be reached. With ``start_loop=False`` returns a coroutine
        that connects and gives ``(transport, protocol)``.
        """
        is_rawsocket = self.url.lower().startswith(("rs://", "rss://"))
        secure, host, port = parse_rawsocket_url(self.url) if is_rawsocket else parse_url(self.url)[:3]
        ssl = self._ssl(secure)

        def session_factory() -> Any:
            config = ComponentConfig(self.realm, self.extra)
            self._session = make(config) if callable(make) else make
            return self._session

        factory = (self._rawsocket_factory if is_rawsocket else self._websocket_factory)(session_factory)
        loop = get_or_create_event_loop()
        is_unix = host == "unix"
        connecting = Dialer(
            host="localhost" if is_unix else host,
            port=0 if is_unix else int(port),
            path=str(port) if is_unix else None,
            tls=client_context() if ssl is True else ssl or None,
            proxy=self._through,
        ).connect(factory)
        if not start_loop:
            return connecting
        start_logging(log_level)
        self._run(loop, connecting)
        return None

    def _run(self, loop: asyncio.AbstractEventLoop, connecting: Any) -> None:
        self._loop = loop
        try:
            _, self._protocol = loop.run_until_complete(connecting)
            watching = loop.create_task(self._closed(), name="autobahn runner")
            watching.add_done_callback(lambda _: loop.stop())
            with signals_call(loop, lambda _: self.stop()):
                loop.run_forever()
            watching.cancel()
            run_through(loop, self._leave())  # the session may have stopped the loop itself
        finally:
            self._loop = self._protocol = None
            run_through(loop, loop.shutdown_asyncgens())
            loop.close()

    async def _closed(self) -> None:
        """The connection is closed and the session has run its last callback."""
        await asyncio.wait({self._protocol.is_closed})
        if isinstance(self._session, ClientSession):
            await self._session.wait_disconnected()

    async def _leave(self) -> None:
        """Leave the realm if joined, close the connection, let the last callbacks run, end what still runs."""
        protocol, session = self._protocol, self._session
        if protocol is None:
            return
        if session is not None and session.is_attached():
            session.leave()
        elif session is not None:
            session.disconnect()
        else:
            protocol.dropConnection()
        await asyncio.wait({protocol.is_closed}, timeout=LEAVE_TIMEOUT)
        if not protocol.is_closed.done():
            protocol.dropConnection(abort=True)
        runtime = getattr(session, "_runtime", None)
        if runtime is not None:
            await runtime.finish(1.0)

    def _ssl(self, secure: bool) -> ssl_module.SSLContext | bool:
        if self.ssl is None:
            return secure
        if self.ssl and not secure:
            raise RuntimeError(
                'ssl argument value passed to ApplicationRunner conflicts with the "{0}:" prefix of the url argument. '
                'Did you mean to use "{0}s:"?'.format(self.url.partition(":")[0])
            )
        return self.ssl

    def _rawsocket_factory(self, session_factory: Any) -> Any:
        from autobahn.asyncio.rawsocket import WampRawSocketClientFactory  # for those who use it

        return WampRawSocketClientFactory(session_factory, next(iter(self.serializers or ()), None))

    def _websocket_factory(self, session_factory: Any) -> Any:
        factory = WampWebSocketClientFactory(
            session_factory, url=self.url, serializers=self.serializers, headers=self.headers
        )

        def accept(response: Any) -> Any:
            return (
                PerMessageDeflateResponseAccept(response) if isinstance(response, PerMessageDeflateResponse) else None
            )

        factory.setProtocolOptions(
            maxFramePayloadSize=1048576,
            maxMessagePayloadSize=1048576,
            autoFragmentSize=65536,
            failByDrop=False,
            openHandshakeTimeout=2.5,
            closeHandshakeTimeout=1.0,
            tcpNoDelay=True,
            autoPingInterval=10.0,
            autoPingTimeout=5.0,
            autoPingSize=12,
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=accept,
        )
        return factory


def run_through(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any]) -> None:
    """Run ``coro`` to its end, even when somebody stops the loop meanwhile."""
    task = loop.create_task(coro)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        loop.run_forever()
    task.result()

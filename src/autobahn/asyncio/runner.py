"""`ApplicationRunner`: host one session over WAMP-over-WebSocket or WAMP-over-RawSocket."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Coroutine
from typing import Any

from autobahn._names import named_options
from autobahn.asyncio.dial import client_context
from autobahn.asyncio.endpoints import Endpoint, TransportDescription
from autobahn.asyncio.loops import loop_at_hand, signals_call, start_logging
from autobahn.asyncio.retry import Retry
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.supervisor import Supervisor
from autobahn.asyncio.urls import parse_any_url
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.log import Log
from autobahn.wamp.session import ClientSession
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.proxy import parse_proxy

LEAVE_TIMEOUT = 5.0  # seconds for the session to leave when the runner is told to stop
CONNECT_TIMEOUT = 10.0  # seconds for an attempt of a runner that reconnects


class ApplicationRunner:
    """Connects one session to the router at ``url`` and runs it until the connection is closed.

    ``url``: a ``ws://``, ``wss://``, ``rs://`` or ``rss://`` URL. ``ssl``: True, False or an `ssl.SSLContext`; default
    by the URL. ``headers``: additional HTTP headers for the opening handshake. ``serializers``: default all; RawSocket
    takes the first, and CBOR by default. ``proxy``: what to go through, as for `Component`.
    """

    log = Log("autobahn.runner")

    @named_options
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
        self._supervisor: Supervisor | None = None

    def stop(self) -> None:
        """Leave the realm, close the connection, and do not reconnect; `run` returns then. Else it does nothing."""
        if self._supervisor is not None:
            self._supervisor.stop()
        elif self._loop is not None and self._protocol is not None:
            self._leaving = self._loop.create_task(self._leave(), name="autobahn runner stop")

    def run(
        self, make: Any, start_loop: bool = True, log_level: str | None = "info", *, auto_reconnect: bool = False
    ) -> Any:
        """Connect, and run ``make(ComponentConfig(realm, extra))`` (or ``make`` itself if not callable) as session.

        Returns None when the connection is closed, after SIGINT or SIGTERM (the session leaves in order), or when the
        session stops the loop. OSError when the router cannot be reached. With ``start_loop=False`` returns a coroutine
        that connects and gives ``(transport, protocol)``; RuntimeError for anything else in a running loop.

        ``auto_reconnect``: a connection that fails or is lost is tried again, with growing, jittered delays, until the
        session leaves in order or `stop` is called; ``make`` is called for each. Then nothing is raised, except
        `ComponentFailed` when the router has refused the credentials.

        The loop is that of the thread, which stays open, or a new one, which is closed.
        """
        description = self._description()
        if not start_loop:
            return self._reconnecting(make, description) if auto_reconnect else self._connect(make, description)
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("expected no running event loop, got one: await runner.run(make, start_loop=False)")
        start_logging(log_level)
        found = loop_at_hand()
        loop = found if found is not None else asyncio.new_event_loop()
        self._loop = loop
        try:
            if auto_reconnect:
                self._run_again(loop, make, description)
            else:
                self._run_once(loop, self._connect(make, description))
        finally:
            self._loop = self._protocol = self._supervisor = None
            if found is None:
                run_through(loop, loop.shutdown_asyncgens())
                run_through(loop, loop.shutdown_default_executor())
                loop.close()
        return None

    def _sessions(self, make: Any) -> Any:
        """The session factory of a transport."""

        def session_factory() -> Any:
            self._session = make(ComponentConfig(self.realm, self.extra)) if callable(make) else make
            return self._session

        return session_factory

    def _connect(self, make: Any, description: TransportDescription) -> Coroutine[Any, Any, tuple[Any, Any]]:
        """One connection; the factory is made here, so that wrong arguments show up at once."""
        assert description.factory is not None
        return description.endpoint.dialer().connect(description.factory(self._sessions(make)))

    def _description(self) -> TransportDescription:
        """How to get to the router. Raises ValueError for a URL that is none, RuntimeError when ``ssl`` contradicts."""
        is_rawsocket, secure, host, port = parse_any_url(self.url)
        ssl = self._ssl(secure)
        is_unix = host == "unix"
        endpoint = Endpoint(
            "unix" if is_unix else "tcp",
            host="localhost" if is_unix else host,
            port=0 if is_unix else int(port),
            path=str(port) if is_unix else "",
            ssl=client_context() if ssl is True else ssl or None,
            server_hostname="localhost" if is_unix else host,
            timeout=CONNECT_TIMEOUT,
            proxy=self._through,
        )
        make_factory = self._rawsocket_factory if is_rawsocket else self._websocket_factory
        return TransportDescription(self.url, endpoint, retry=Retry(), factory=make_factory)

    def _run_once(self, loop: asyncio.AbstractEventLoop, connecting: Any) -> None:
        _, self._protocol = loop.run_until_complete(connecting)
        watching = loop.create_task(self._closed(), name="autobahn runner")
        watching.add_done_callback(lambda _: loop.stop())
        with signals_call(loop, lambda _: self.stop(), once=True):
            loop.run_forever()
        watching.cancel()
        run_through(loop, self._leave())  # the session may have stopped the loop itself

    def _run_again(self, loop: asyncio.AbstractEventLoop, make: Any, description: TransportDescription) -> None:
        self._supervisor = supervisor = Supervisor(Hosted(self._sessions(make)), [description], loop)
        task = loop.create_task(supervisor.run(), name="autobahn runner")
        task.add_done_callback(lambda _: loop.stop())
        with signals_call(loop, lambda _: self.stop(), once=True):
            loop.run_forever()
            supervisor.stop()  # the session may have stopped the loop itself
            while not task.done():
                loop.run_forever()
        task.result()

    async def _reconnecting(self, make: Any, description: TransportDescription) -> tuple[Any, Any]:
        """The first connection; the supervisor goes on in the background."""
        loop = asyncio.get_running_loop()
        hosted = Hosted(self._sessions(make))
        self._supervisor = supervisor = Supervisor(hosted, [description], loop)
        self._running = running = loop.create_task(supervisor.run(), name="autobahn runner")
        opened = loop.create_task(hosted.opened.wait())
        try:
            await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            supervisor.stop()
            await asyncio.wait({running})
            raise
        finally:
            opened.cancel()
        while not running.done() and (attempt := supervisor.attempt) is not None:
            if attempt.protocol is not None:
                return attempt.protocol.transport, attempt.protocol
            await asyncio.sleep(0)
        running.result()
        raise ConnectionError("the runner was stopped before it was connected")

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


class Hosted:
    """What the supervisor holds for a runner: the sessions it makes, and nothing else."""

    log = ApplicationRunner.log
    join_timeout = 30.0
    close_timeout = LEAVE_TIMEOUT
    declarations = ()
    main = None

    def __init__(self, make: Any) -> None:
        self._make = make
        self.opened = asyncio.Event()

    def is_fatal(self, exc: BaseException) -> bool:
        """Nothing is."""
        return False

    def make_session(self, runtime: AsyncioRuntime) -> Any:
        """A session for the next attempt."""
        session = self._make()
        session._runtime = runtime
        return session

    async def announce(self, event: str, session: Any, /, *args: Any, **kwargs: Any) -> bool:
        """Nobody listens."""
        if event == "connect":
            self.opened.set()
        return True


def run_through(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any]) -> None:
    """Run ``coro`` to its end, even when somebody stops the loop meanwhile."""
    task = loop.create_task(coro)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        loop.run_forever()
    task.result()

"""`connect`: a WebSocket connection, or a WAMP session, in one line.

One front door for both: `realm=` is what makes a session of a connection, and everything before that (TLS, proxies,
timeouts, headers) is the same and has the same names. The type checker knows which of the two comes out.

What comes out lives as long as its connection. `async for` over what `connect` returns makes a new one when it is lost,
but what was registered and subscribed is gone with the old one; a `Component` declares such things once and keeps them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Unpack, overload

from autobahn._names import expect_names
from autobahn.asyncio.factory import WebSocketClientFactory
from autobahn.asyncio.joining import Joining, close_session
from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.reconnecting import Reconnecting
from autobahn.asyncio.stream import StreamClientProtocol, WebSocket, limits_of, queue_bounds
from autobahn.asyncio.target import DEFAULTS, OF_WEBSOCKET, ConnectOptions, Opening, Target, expect_options
from autobahn.asyncio.wamp import Session
from autobahn.asyncio.wampws import WampWebSocketClientFactory
from autobahn.exception import ConnectionClosed
from autobahn.wamp._record import expect_seconds
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.serializer import create_transport_serializer
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.cookies import cookie_jar, with_cookies

__all__ = ("ConnectOptions", "connect")

MAX_RAWSOCKET = 1 << 24


@overload
def connect(url: str, *, realm: None = None, **options: Unpack[ConnectOptions]) -> Reconnecting[WebSocket]: ...
@overload
def connect(
    url: str,
    *,
    realm: str,
    auth: Any = None,
    serializers: Iterable[Any] | None = None,
    extra: Any = None,
    call_timeout: float | None = None,
    request_timeout: float | None = None,
    **options: Unpack[ConnectOptions],
) -> Reconnecting[Session]: ...
def connect(
    url: str,
    *,
    realm: str | None = None,
    auth: Any = None,
    serializers: Iterable[Any] | None = None,
    extra: Any = None,
    call_timeout: float | None = None,
    request_timeout: float | None = None,
    **options: Unpack[ConnectOptions],
) -> Any:
    """Connects to a `ws://` or `wss://` URL (or `ws://unix:/path`); await it, or use it as `async with`:

        async with connect("ws://localhost:8765/") as ws:
            await ws.send("hello")
            async for message in ws:
                print(message)

    With `realm` it is a WAMP `Session` that has joined, over WebSocket or RawSocket (`rs://`, `rss://`); leaving the
    block leaves the realm and closes:

        async with connect("ws://localhost:8080/ws", realm="realm1") as session:
            print(await session.call("com.example.add2", 2, 3))

    `auth`: a dict of settings for every method, `{"ticket": {"authid": "joe", "ticket": "secret"}}`, as for
    `Component`, or authenticators. `serializers`: ids like "cbor" or "json.batched", or serializers, by preference;
    default all (RawSocket takes one, by default CBOR). `extra`: for the session's `config`. All other options: see
    `ConnectOptions`. `call_timeout`: seconds a call may take that says nothing of that, `request_timeout`: seconds the
    router may take to answer a registration, a subscription, or an acknowledged publication; default: any time.

    `async for session in connect(...)` connects again whenever the body of the loop has ended, until `break`; attempts
    that fail are repeated after a growing time with jitter. What will not get better is raised: an answer of the
    server that refuses us (HTTP 4xx), credentials that the router refuses, a URL that is none.

    Raises `InvalidURI`, `ConnectFailed` with its subclasses `ConnectTimeout`, `ProxyError`, `InvalidHandshake` and
    `InvalidStatus`, and `ApplicationError` when the router does not let the session join. Cancelling leaves nothing
    open.
    """
    expect_names(options, DEFAULTS)
    settings: ConnectOptions = {**DEFAULTS, **options}
    expect_options(settings)
    target = Target.of(url, settings)
    if target.rawsocket and (unfit := sorted(options.keys() & OF_WEBSOCKET)):
        raise TypeError(f"expected options that RawSocket has, got {unfit[0]!r}")
    if realm is None:
        if any(given is not None for given in (auth, serializers, extra, call_timeout, request_timeout)):
            names = "auth, serializers, extra, call_timeout or request_timeout"
            raise TypeError(f"expected realm with {names}, got none")
        if target.rawsocket:
            raise TypeError("expected realm with a RawSocket URL, got none")
    _protocol_options(settings)
    target.dialer(settings)  # what is wrong shows up here and not at the first attempt
    if realm is None:
        return _websocket(target, settings)
    sessions = Sessions(realm, extra, Authenticators(auth), call_timeout, request_timeout)
    return _session(target, settings, sessions, serializers)


# -- WebSocket ---------------------------------------------------------------------------------------------------


class StreamClientFactory(WebSocketClientFactory):
    """Makes connections that feed a `WebSocket`."""

    protocol = StreamClientProtocol
    queue: dict[str, int]


def _websocket(target: Target, settings: ConnectOptions) -> Reconnecting[WebSocket]:
    queue = queue_bounds(settings["max_queue"], settings["max_queue_size"])

    def make(target: Target) -> StreamClientFactory:
        factory = StreamClientFactory(protocols=settings["subprotocols"], **_request(target, settings))
        factory.queue = queue
        factory.setProtocolOptions(**_protocol_options(settings))
        return factory

    make(target)  # what is wrong shows up here and not at the first attempt

    async def stream(protocol: Any) -> WebSocket:
        opened: WebSocket = protocol.stream
        return opened

    return Reconnecting(
        lambda: Opening(target, settings, make).run(stream), close_websocket, lambda ws: (None, ws.close_code)
    )


async def close_websocket(stream: WebSocket, exc: BaseException | None) -> None:
    """Closes at the end of a block: 1000, or 1001 when it was cancelled, 1011 when it raised."""
    in_order = exc is None or isinstance(exc, ConnectionClosed)
    await stream.close(1000 if in_order else 1001 if isinstance(exc, asyncio.CancelledError) else 1011)


def _request(target: Target, settings: ConnectOptions) -> dict[str, Any]:
    """What is asked of a WebSocket server."""
    return {
        "url": target.url,
        "headers": with_cookies(target.headers, settings["cookies"], target.url),
        "origin": settings["origin"],
        "useragent": settings["user_agent"],
    }


def _protocol_options(settings: ConnectOptions) -> dict[str, Any]:
    """The documented options behind ours; `open_timeout` is kept here and not there."""
    options: dict[str, Any] = {
        "openHandshakeTimeout": 0,
        **limits_of(settings, "close_timeout", "ping_interval", "ping_timeout", "max_size"),
    }
    if settings["compression"] == "deflate":
        options["perMessageCompressionOffers"] = [PerMessageDeflateOffer()]
        options["perMessageCompressionAccept"] = _accept_deflate
    elif settings["compression"] is not None:
        raise ValueError(f"expected compression 'deflate' or None, got {settings['compression']!r}")
    return options


def _accept_deflate(response: Any) -> PerMessageDeflateResponseAccept | None:
    return PerMessageDeflateResponseAccept(response) if isinstance(response, PerMessageDeflateResponse) else None


# -- WAMP --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sessions:
    """Makes the sessions of one `connect`. Raises `TypeError` or `ValueError` for what is no time."""

    realm: str
    extra: Any
    authenticators: Authenticators
    call_timeout: float | None
    request_timeout: float | None

    def __post_init__(self) -> None:
        expect_seconds("call_timeout", self.call_timeout)
        expect_seconds("request_timeout", self.request_timeout)

    def make(self) -> Session:
        """A new one, with authenticators of its own."""
        session = Session(ComponentConfig(realm=self.realm, extra=self.extra))
        session.call_timeout, session.request_timeout = self.call_timeout, self.request_timeout
        for authenticator in self.authenticators.make():
            session.add_authenticator(authenticator)
        return session


def _session(
    target: Target, settings: ConnectOptions, sessions: Sessions, serializers: Iterable[Any] | None
) -> Reconnecting[Session]:
    chosen = None if serializers is None else _serializers(serializers, target.rawsocket)
    jar = cookie_jar(sessions.authenticators.make())  # what is wrong with them shows up here as well
    if not target.rawsocket and settings["cookies"] is None:
        settings["cookies"] = jar
    last: dict[str, Any] = {}  # the protocol of the session opened last, and how that session has ended

    async def open_session() -> Session:
        last.clear()
        session = sessions.make()
        session.on("leave", lambda _, details: last.update(failure=details.exception()))
        joining = Joining(session)

        def make(target: Target) -> Any:
            factory: Any
            if target.rawsocket:
                factory = WampRawSocketClientFactory(session, chosen[0] if chosen else None)
                factory.setProtocolOptions(**_rawsocket_options(settings))
            else:
                factory = WampWebSocketClientFactory(session, serializers=chosen, **_request(target, settings))
                factory.setProtocolOptions(**_protocol_options(settings))
            return factory

        async def joined(protocol: Any) -> Session:
            last["protocol"] = protocol
            return await joining.wait(protocol)

        return await Opening(target, settings, make).run(joined)

    def parting(session: Session) -> tuple[BaseException | None, int | None]:
        return last.get("failure"), getattr(last.get("protocol"), "remoteCloseCode", None)

    return Reconnecting(open_session, close_session, parting)


def _rawsocket_options(settings: ConnectOptions) -> dict[str, Any]:
    """The documented options behind ours."""
    limits = limits_of(settings, "close_timeout", "ping_interval", "ping_timeout", "max_size")
    size = min(limits["maxMessagePayloadSize"] or MAX_RAWSOCKET, MAX_RAWSOCKET)
    return limits | {"openHandshakeTimeout": 0, "maxMessagePayloadSize": size}


def _serializers(given: Iterable[Any], rawsocket: bool) -> list[Any]:
    """The serializers for ids and serializers. Raises `ValueError`."""
    try:
        chosen = [create_transport_serializer(one) if isinstance(one, str) else one for one in given]
    except RuntimeError as exc:
        raise ValueError(str(exc)) from None
    if not chosen or (rawsocket and len(chosen) > 1):
        expected = "one serializer for RawSocket" if rawsocket else "one serializer or more"
        raise ValueError(f"expected {expected}, got {len(chosen)}")
    if rawsocket:
        WampRawSocketClientFactory(lambda: None, chosen[0])
    return chosen


class Authenticators:
    """What `auth=` stands for: settings by method, one authenticator, or several."""

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def make(self) -> list[Any]:
        """The authenticators for one session; those that settings stand for are new ones. Raises `ValueError`."""
        auth = self._auth
        if auth is None:
            return []
        if isinstance(auth, Mapping):
            return [
                create_authenticator(name, **settings) if isinstance(settings, Mapping) else settings
                for name, settings in auth.items()
            ]
        found = list(auth) if isinstance(auth, list | tuple) else [auth]
        for one in found:
            if not hasattr(one, "on_challenge"):
                raise ValueError(f"expected auth as a dict by method, or authenticators, got {type(one).__name__}")
        return found

"""WebSocket programs and the plain API, as users write them. Type-checked, not run."""

from __future__ import annotations

import asyncio
from typing import Any

import autobahn
from autobahn.asyncio import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.asyncio.connect import ConnectOptions, connect
from autobahn.asyncio.router import Router, load_settings
from autobahn.asyncio.router import serve as serve_router
from autobahn.asyncio.serve import ServeOptions, Server, serve
from autobahn.asyncio.stream import WebSocket
from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.asyncio.websocket import (
    WampWebSocketClientFactory,
    WampWebSocketClientProtocol,
    WampWebSocketServerFactory,
    WampWebSocketServerProtocol,
)
from autobahn.exception import ConnectFailed, ConnectionClosed
from autobahn.router import HistoryTopic, RealmObserver, RealmOptions, connect_local
from autobahn.router import Router as CoreRouter
from autobahn.websocket import (
    HAS_NVX,
    USES_NVX,
    compress,
    compress_base,
    compress_deflate,
    interfaces,
    plain,
    utf8validator,
    xormasker,
)
from autobahn.websocket import util as websocket_util
from autobahn.websocket.protocol import Timings, TrafficStats, WebSocketProtocol
from autobahn.websocket.types import (
    ConnectingRequest,
    ConnectionAccept,
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
    IncomingMessage,
    Message,
    OutgoingMessage,
    Ping,
)


class EchoServer(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> str | None:
        if "chat" not in request.protocols:
            raise ConnectionDeny(403, "only chat")
        print(request.peer, request.headers, request.path, request.params, request.origin)
        return "chat"

    def onOpen(self) -> None:
        print(self.peer, self.transport_details)

    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)
        await self.drain()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(wasClean, code, reason)


class Client(WebSocketClientProtocol):
    def onConnecting(self, transport_details: Any) -> ConnectingRequest:
        return ConnectingRequest(host="localhost", port=80, resource="/", headers={"X-A": "b"})

    def onConnect(self, response: ConnectionResponse) -> None:
        print(response.protocol, response.extensions)

    def onOpen(self) -> None:
        self.sendMessage(b"hello")
        self.sendPing(b"ping")
        self.sendClose(1000, "done")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode() if not isBinary else payload)


async def classic() -> None:
    loop = asyncio.get_running_loop()
    server_factory = WebSocketServerFactory("ws://127.0.0.1:9000")
    server_factory.protocol = EchoServer
    server_factory.setProtocolOptions(autoPingInterval=10, maxConnections=100)
    client_factory = WebSocketClientFactory("ws://127.0.0.1:9000", protocols=["chat"])
    client_factory.protocol = Client
    client_factory.setProtocolOptions(
        perMessageCompressionOffers=[compress.PerMessageDeflateOffer()],
        perMessageCompressionAccept=lambda response: compress.PerMessageDeflateResponseAccept(response),
    )
    await loop.create_server(server_factory, "127.0.0.1", 9000)
    await loop.create_connection(client_factory, "127.0.0.1", 9000)
    wamp_client = WampWebSocketClientFactory(ApplicationSession, url="ws://127.0.0.1:9000")
    wamp_server = WampWebSocketServerFactory(ApplicationSession, url="ws://127.0.0.1:9000")
    assert issubclass(wamp_client.protocol, WampWebSocketClientProtocol)
    assert issubclass(wamp_server.protocol, WampWebSocketServerProtocol)


async def handler(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def plain_api() -> None:
    options: ConnectOptions = {"open_timeout": 5}
    serving: ServeOptions = {"subprotocols": ["chat"]}
    async with serve(handler, "localhost", 0, **serving) as server:
        running: Server = server
        try:
            async with connect(running.url, **options) as ws:
                await ws.send("hello")
                received: str | bytes = await ws.recv()
                print(received)
        except ConnectionClosed as exc:
            print(exc)
        except ConnectFailed as exc:
            print(exc.phase, exc.url, exc.peer)
    async with autobahn.connect("ws://localhost:8080/ws", realm="realm1") as session:
        joined: Session = session
        print(await joined.call("com.example.add2", 2, 3))
        async for event in joined.events("com.example.topic"):
            print(event.args)
    print(autobahn.serve, autobahn.WebSocket)


class Watching(RealmObserver):
    pass


async def routers() -> None:
    async with Router(realms={"realm1": RealmOptions(history=(HistoryTopic("com.", match="prefix"),))}) as router:
        print(router.url)
        core: CoreRouter = router.core
        print(core, Watching())
    print(load_settings, serve_router, connect_local)


def parts(request: plain.HttpRequest) -> plain.HttpResponse:
    print(request.path, websocket_util.parse_url("ws://localhost/"), websocket_util.create_url("localhost", 80))
    print(ConnectionAccept("chat"), Message, IncomingMessage(b"a"), OutgoingMessage(b"a", is_binary=True), Ping(b"a"))
    print(HAS_NVX, USES_NVX, Timings(), TrafficStats().__json__(), WebSocketProtocol.CLOSE_STATUS_CODE_NORMAL)
    print(interfaces.IWebSocketChannel, interfaces.IWebSocketChannelFrameApi, interfaces.IWebSocketChannelStreamingApi)
    print(interfaces.IWebSocketClientChannelFactory, interfaces.IWebSocketServerChannelFactory)
    valid, ends, current, total = utf8validator.Utf8Validator().validate(b"abc")
    masker = xormasker.create_xor_masker(b"abcd", 100)
    print(valid, ends, current, total, masker.process(b"abc"), xormasker.XorMasker, xormasker.XorMaskerNull)
    return plain.HttpResponse(200, "ok", {"X-A": "b"})


def compression(offers: list[compress.PerMessageCompressOffer]) -> compress.PerMessageCompressOfferAccept | None:
    for offer in offers:
        if isinstance(offer, compress.PerMessageDeflateOffer):
            return compress.PerMessageDeflateOfferAccept(offer)
        if isinstance(offer, compress.PerMessageBzip2Offer):
            return compress.PerMessageBzip2OfferAccept(offer)
    print(compress.PERMESSAGE_COMPRESSION_EXTENSION, compress.PerMessageDeflateResponse, compress.PerMessageDeflate)
    print(compress.PerMessageBzip2Response, compress.PerMessageBzip2ResponseAccept, compress.PerMessageBzip2)
    print(compress.PerMessageCompress, compress.PerMessageCompressResponse, compress.PerMessageCompressResponseAccept)
    print(compress.PerMessageDeflateMixin, compress_base.PerMessageCompress, compress_deflate.PerMessageDeflate)
    return None


def blocking() -> None:
    with autobahn.sync.connect("ws://localhost:8080/ws", realm="realm1") as session:
        print(session.call("com.example.add2", 2, 3))

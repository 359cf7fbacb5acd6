"""A router and clients over every kind of link: in-process, WebSocket and RawSocket with each serializer."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import ComponentConfig
from scripted import RecordingSession

LINKS = {
    "local": None,
    "ws-json": JsonSerializer,
    "ws-msgpack": MsgPackSerializer,
    "ws-cbor": CBORSerializer,
    "rs-json": JsonSerializer,
    "rs-msgpack": MsgPackSerializer,
    "rs-cbor": CBORSerializer,
}


class Client(RecordingSession):
    """Notes the RPC messages it receives, as (code, options)."""

    def __init__(self):
        super().__init__(ComponentConfig("realm1"))
        self.heard = []
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.on("ready", lambda _: self.ready.set())
        self.on("disconnect", lambda *_args, **_kwargs: self.gone.set())

    def onMessage(self, msg):
        if msg.code in (50, 68, 69):
            options = getattr(msg, "options", None)
            self.heard.append((msg.code, dict(options if options is not None else msg.details)))
        elif msg.code == 8:
            self.heard.append((8, msg.error))
        super().onMessage(msg)


@contextlib.asynccontextmanager
async def world(kind="local", count=2, clients=None, **options):
    """A router and ``count`` joined sessions; when it closes, no call and no invocation is left in any book."""
    clients = clients or [Client() for _ in range(count)]
    async with Router(None if kind == "local" else "ws://127.0.0.1:0/ws", **options) as router:
        for client in clients:
            await linked(kind, router, client)
        yield (router, *clients)
        for client in clients:
            if client.is_attached():
                async with asyncio.timeout(10):
                    while client._callee._servant._serving:  # INTERRUPTs are under way
                        await asyncio.sleep(0)
                assert len(client._requests) == 0
                client.leave()
        for client in clients:
            await client.gone.wait()


async def linked(kind, router, client):
    """``client`` has joined over a link of that kind."""
    if kind == "local":
        router.attach(client)
    else:
        url, serializer = urlsplit(router.url), LINKS[kind]()
        if kind.startswith("rs"):
            factory = WampRawSocketClientFactory(lambda: client, serializer)
        else:
            factory = WampWebSocketClientFactory(lambda: client, url=router.url, serializers=[serializer])
        await asyncio.get_running_loop().create_connection(factory, url.hostname, url.port)
    await client.ready.wait()
    return client

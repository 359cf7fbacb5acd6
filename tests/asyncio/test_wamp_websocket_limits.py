"""WAMP over WebSocket: a message that is too long for its receiver hurts neither its sender nor the connection."""

import asyncio

import pytest

from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketClientFactory, WampWebSocketServerFactory
from autobahn.exception import PayloadExceededError
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import PublishOptions
from scripted import RecordingSession

LIMIT = 2048
FITS_ONCE = bytes(1700)
"""Fits in MessagePack; its base64 in JSON does not."""


class Served:
    """A router at a WebSocket server whose messages have at most `LIMIT` octets."""

    async def __aenter__(self):
        self.router = Router(None)
        await self.router.start()
        self.factory = WampWebSocketServerFactory(self.router.new_session)
        self.factory.setProtocolOptions(maxMessagePayloadSize=LIMIT)
        self.server = await asyncio.get_running_loop().create_server(self.factory, "127.0.0.1", 0)
        self.protocols = []
        return self

    async def session(self, serializer):
        session, ready = RecordingSession(), asyncio.Event()
        session.on("ready", lambda _: ready.set())
        factory = WampWebSocketClientFactory(session, serializers=[serializer])
        port = self.server.sockets[0].getsockname()[1]
        _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
        self.protocols.append(protocol)
        await ready.wait()
        return session

    async def __aexit__(self, *_):
        self.server.close()
        await self.router.close()
        for protocol in self.protocols:
            await asyncio.wait_for(protocol.is_closed, 5)


@pytest.mark.parametrize("batched", [False, True])
async def test_what_is_too_long_for_its_receiver_does_no_harm_to_its_sender(batched, loop_name):
    async with Served() as world:
        small = await world.session(JsonSerializer(batched=batched))
        large = await world.session(MsgPackSerializer(batched=batched))
        events = asyncio.Queue()

        def give(n):
            return bytes(n)

        def fail(n):
            raise ApplicationError("com.error.mine", bytes(n))

        await large.register(give, "com.give")
        await large.register(fail, "com.fail")
        await small.register(len, "com.small.len")
        await small.subscribe(events.put_nowait, "com.topic")
        assert await small.call("com.give", 100) == bytes(100)
        for procedure in ("com.give", "com.fail"):
            with pytest.raises((PayloadExceededError, ApplicationError), match=f"at most {LIMIT} octets"):
                await small.call(procedure, len(FITS_ONCE))
        with pytest.raises((PayloadExceededError, ApplicationError), match=f"at most {LIMIT} octets"):
            await large.call("com.small.len", FITS_ONCE)
        assert await large.call("com.small.len", b"abc") == 3
        for payload in (FITS_ONCE, b"short"):
            await large.publish("com.topic", payload, options=PublishOptions(acknowledge=True))
        assert await events.get() == b"short"
        assert events.empty()
        assert small.is_attached() and large.is_attached()
        assert world.factory.countConnections == 2


async def test_without_a_limit_everything_is_sent():
    async with Served() as world:
        world.factory.setProtocolOptions(maxMessagePayloadSize=0)
        small, large = await world.session(JsonSerializer()), await world.session(MsgPackSerializer())
        await large.register(lambda n: bytes(n), "com.give")
        assert await small.call("com.give", 100_000) == bytes(100_000)

"""The way of a message through the client: from its bytes to a plain handler in few Python calls and no loop turn."""

import asyncio
import sys
from urllib.parse import urlsplit

import pytest

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp import message as m
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.websocket import frames
from scripted import RecordingSession

LIMIT = 12
SERIALIZERS = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}


def arrival(protocol, data):
    """What a loop calls with bytes that have arrived, and its argument."""
    if not hasattr(protocol, "get_buffer"):
        return protocol.data_received, data
    protocol.get_buffer(len(data))[: len(data)] = data
    return protocol.buffer_updated, len(data)


def python_calls(arrived, argument):
    """The names of the Python functions that are called, up to ``handler``."""
    names = []

    def profile(frame, event, _arg):
        if event == "call" and "handler" not in names:
            names.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        arrived(argument)
    finally:
        sys.setprofile(None)
    return names


@pytest.mark.skipif(not frames.COMPILED, reason="the pure Python frames have calls of their own")
@pytest.mark.parametrize("framing", ["websocket", "rawsocket"])
@pytest.mark.parametrize("name", SERIALIZERS)
async def test_from_bytes_to_a_plain_handler(name, framing):
    serializer, ready = SERIALIZERS[name](), asyncio.Event()
    session = RecordingSession()
    session.on("ready", lambda _: ready.set())
    seen = []

    def handler(*args):
        seen.append(args)

    async with Router() as router:
        url = urlsplit(router.url)
        if framing == "websocket":
            factory = WampWebSocketClientFactory(lambda: session, url=router.url, serializers=[serializer])
        else:
            factory = WampRawSocketClientFactory(lambda: session, serializer)
        _, protocol = await asyncio.get_running_loop().create_connection(factory, url.hostname, url.port)
        await ready.wait()
        subscription = await session.subscribe(handler, "com.t")
        registration = await session.register(handler, "com.p")
        await session.call("com.p", 0)  # so that there is an invocation 1, whose late answer the router ignores
        seen.clear()
        for msg in (m.Event(subscription.id, 1, {}, [5]), m.Invocation(1, registration.id, {}, [5])):
            payload = serializer.codec.encode(msg)
            assert len(payload) < 126
            if framing == "websocket":
                head = bytes((0x82 if serializer.codec.binary else 0x81, len(payload)))
            else:
                head = bytes((0, 0, 0, len(payload)))
            arrived, argument = arrival(protocol, head + payload)
            arrived(argument)  # whatever is made at the first time is made
            arrived, argument = arrival(protocol, head + payload)
            calls = python_calls(arrived, argument)
            assert seen == [(5,), (5,)], "called at once, without a turn of the loop"
            assert calls[-1] == "handler" and len(calls) <= LIMIT, calls
            seen.clear()
        session.leave()
        await session.wait_disconnected()
    assert session.errors == []

"""Serializers over real links: T-WS-4, T-WS-5, batches both ways, UBJSON, serializers of the program's own."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

import autobahn
from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.wamp import PublishOptions
from autobahn.wamp.codec import CODECS
from autobahn.wamp.interfaces import IObjectSerializer
from autobahn.wamp.serializer import (
    JsonSerializer,
    Serializer,
    create_transport_serializer,
    create_transport_serializers,
)
from closing import closed

HELLO = [1, "realm1", {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}]
OCTETS = bytes(range(256))


class Upside(IObjectSerializer):
    """JSON from back to front."""

    NAME = "upside"
    BINARY = True

    def serialize(self, obj):
        return CODECS["json"].dumps(obj)[::-1]

    def unserialize(self, payload):
        return [CODECS["json"].loads(payload[::-1])]


class UpsideSerializer(Serializer):
    SERIALIZER_ID = "upside"
    RAWSOCKET_SERIALIZER_ID = 11
    MIME_TYPE = "application/upside"

    def __init__(self):
        super().__init__(Upside())


class Served:
    """A router at a WebSocket and a RawSocket port, with the serializers given."""

    def __init__(self, *serializers):
        self.serializers = [create_transport_serializer(s) if isinstance(s, str) else s for s in serializers]
        self.router = Router(None)
        self.servers = []

    async def __aenter__(self):
        await self.router.start()
        plain = [s for s in self.serializers if not s.batched]
        loop = asyncio.get_running_loop()
        self.factories = (
            WampWebSocketServerFactory(self.router.new_session, serializers=self.serializers),
            WampRawSocketServerFactory(self.router.new_session, plain or None),
        )
        for factory in self.factories:
            self.servers.append(await loop.create_server(factory, "127.0.0.1", 0))
        self.ws, self.rs = (
            f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for scheme, server in zip(("ws", "rs"), self.servers, strict=True)
        )
        return self

    async def __aexit__(self, *_):
        for server in self.servers:
            server.close()
        await self.router.close()
        await closed(*self.factories)


async def talk(one, two):
    """Calls and events between two sessions arrive as they were sent."""
    value = [1, 2.5, "ü", None, True, OCTETS, {"k": [b"", {"n": -1}]}]
    await two.register(lambda *args, **kwargs: [list(args), kwargs], "com.echo")
    assert await one.call("com.echo", *value, k=value) == [value, {"k": value}]
    async with two.events("com.t") as events:
        await one.publish("com.t", *value, k=value, options=PublishOptions(acknowledge=True))
        event = await anext(events)
        assert (event.args, event.kwargs) == (value, {"k": value})


ALL = ("json", "json.batched", "msgpack", "msgpack.batched", "cbor", "cbor.batched", "ubjson", "ubjson.batched")


@pytest.mark.parametrize("name", ["ubjson", "ubjson.batched", "json.batched"])
async def test_T_WS_1_between_all_serializers(name, loop_name):
    async with Served(*ALL) as there:
        for other in ("json", "msgpack.batched", "cbor", "ubjson"):
            async with (
                autobahn.connect(there.ws, realm="realm1", serializers=[name]) as one,
                autobahn.connect(there.ws, realm="realm1", serializers=[other]) as two,
            ):
                assert (one.session_details.serializer, two.session_details.serializer) == (name, other)
                await talk(one, two)


@pytest.mark.parametrize("scheme", ["ws", "rs"])
async def test_a_serializer_of_the_program_s_own(scheme, loop_name):
    async with Served(UpsideSerializer(), "cbor", "json") as there:
        url = getattr(there, scheme)
        async with (
            autobahn.connect(url, realm="realm1", serializers=[UpsideSerializer()]) as one,
            autobahn.connect(url, realm="realm1", serializers=["cbor"]) as two,
            autobahn.connect(url, realm="realm1", serializers=[UpsideSerializer()]) as three,
        ):
            assert one.session_details.serializer == "upside"
            await talk(one, two)
            two.leave()
            await two.wait_disconnected()
            await talk(one, three)


async def test_other_conventions_of_json_by_agreement():
    agreed = JsonSerializer(use_binary_hex_encoding=True, use_decimal_from_str=True)
    async with Served(agreed) as there:
        async with (
            autobahn.connect(there.ws, realm="realm1", serializers=[agreed]) as one,
            autobahn.connect(there.ws, realm="realm1", serializers=[agreed]) as two,
        ):
            await talk(one, two)
            async with two.events("com.price") as events:
                await one.publish("com.price", Decimal("1.10"), options=PublishOptions(acknowledge=True))
                assert (await anext(events)).args == [Decimal("1.10")]


@pytest.mark.parametrize("scheme", ["ws", "rs"])
@pytest.mark.parametrize("given", ["ubjson", "json.batched", UpsideSerializer()])
async def test_a_component_may_name_or_give_serializers(scheme, given):
    if scheme == "rs" and given == "json.batched":
        with pytest.raises(ValueError, match="expected 'serializer' out of"):
            Component(transports=[{"url": "rs://localhost:1", "serializer": given}])
        return
    async with Served("cbor", "ubjson", "json.batched", UpsideSerializer()) as there:
        seen = []

        async def main(_, session):
            seen.append(session.session_details.serializer)
            await session.register(lambda x: x, "com.echo")
            assert await session.call("com.echo", OCTETS) == OCTETS

        key = {"serializers": [given]} if scheme == "ws" else {"serializer": given}
        await Component(main=main, transports=[{"url": getattr(there, scheme), **key}], realm="realm1").start()
        assert seen == [given if isinstance(given, str) else "upside"]


# ---- by hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\x18", "\x1e"])
async def test_T_WSB_3_a_batched_client_is_answered_in_its_own_framing(separator):
    async with Served(*create_transport_serializers(["json.batched"])) as there:
        async with autobahn.connect(there.ws, subprotocols=["wamp.2.json.batched"]) as ws:
            await ws.send(json.dumps(HELLO) + separator)
            welcome = await ws.recv()
            assert (json.loads(welcome[:-1])[0], welcome[-1]) == (2, separator)
            batch = [[32, 1, {}, "com.a"], [32, 2, {}, "com.b"], [64, 3, {}, "com.c"]]
            await ws.send("".join(json.dumps(row) + separator for row in batch))
            answers = ""
            while answers.count(separator) < 3:
                answers += await ws.recv()
            assert [json.loads(row)[:2] for row in answers.split(separator)[:-1]] == [[33, 1], [33, 2], [65, 3]]


async def test_T_WS_4_a_text_message_for_a_binary_serializer_and_the_other_way_round():
    async with Served("cbor", "json") as there:
        for name, wrong in (("cbor", "text"), ("json", b"octets")):
            async with autobahn.connect(there.ws, subprotocols=[f"wamp.2.{name}"]) as ws:
                await ws.send(wrong)
                answer = await ws.recv()
                assert CODECS[name].loads(answer.encode() if name == "json" else answer)[2] == (
                    "wamp.error.protocol_violation"
                )
                await ws.wait_closed()
                assert ws.close_code == 1002


async def test_T_WS_5_a_message_in_fragments():
    async with Served("json") as there:
        async with autobahn.connect(there.ws, subprotocols=["wamp.2.json"]) as ws:
            data = json.dumps(HELLO).encode()
            ws.protocol.beginMessage(isBinary=False)
            for i in range(0, len(data), 7):
                ws.protocol.sendMessageFrame(data[i : i + 7])
            ws.protocol.endMessage()
            assert json.loads(await ws.recv())[0] == 2

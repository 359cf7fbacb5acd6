"""A router that breaks the rules on the wire: the client says ABORT, closes, and tells its program."""

import asyncio
import json

import pytest

from autobahn.asyncio.connect import connect
from autobahn.asyncio.serve import serve
from autobahn.exception import ConnectFailed, ConnectionClosed
from autobahn.wamp import ApplicationError
from autobahn.wamp.exception import SessionNotReady, TransportLost

WELCOME = json.dumps([2, 7, {"roles": {"broker": {}, "dealer": {}}}])
BAD = [
    "[]", "{}", '"x"', "null", "5", "[999]", "[1]", '["36"]', "[36.0, 1, 1, {}]", "[36, 1, 1, {}", "",
    '[36, 0, 1, {}]', '[36, 1, true, {}]', '[36, 1, 1, []]', '[50, 1, {"progress": 1}]', '[36, 1, 1, {}, {}]',
    '[36, 1, 1, {}, [], []]', '[36, 1, 1, {}, [], {}, 0]', "\x00", '[36, 1, 1, {"topic": 5}]',
]  # fmt: skip


class BadRouter:
    """Welcomes everybody, then sends what it should not, and notes the answers."""

    def __init__(self, *frames):
        self.frames = frames
        self.answers = []
        self.code = None
        self.over = asyncio.Event()

    async def __call__(self, ws):
        await ws.recv()
        await ws.send(WELCOME)
        for frame in self.frames:
            await ws.send(frame)
        try:
            async for message in ws:
                self.answers.append(json.loads(message))
        except ConnectionClosed as exc:
            self.code = exc.remote_code
        finally:
            self.over.set()


@pytest.mark.parametrize("octets", BAD)
async def test_T_PV_8_what_cannot_be_understood(octets):
    router = BadRouter(octets)
    async with serve(router, subprotocols=["wamp.2.json"]) as server:
        with pytest.raises((ApplicationError, TransportLost, ConnectFailed, SessionNotReady)) as caught:
            async with connect(server.url, realm="realm1", serializers=["json"]) as session:
                left = asyncio.Event()
                session.on("disconnect", lambda *a, **k: left.set())
                pending = session.call("com.a")
                await left.wait()
                await pending
        async with asyncio.timeout(10):
            await router.over.wait()
    if isinstance(caught.value, ApplicationError):
        assert caught.value.error == "wamp.error.protocol_violation"
    aborts = [answer for answer in router.answers if answer[0] == 3]
    assert [abort[2] for abort in aborts] == ["wamp.error.protocol_violation"]
    assert aborts[0][1]["message"]
    assert router.code == 1002


async def test_T_PV_8_a_binary_frame_where_text_was_agreed_on():
    router = BadRouter(b"[36, 1, 1, {}]")
    async with serve(router, subprotocols=["wamp.2.json"]) as server:
        with pytest.raises((ApplicationError, TransportLost, ConnectFailed, SessionNotReady)):
            async with connect(server.url, realm="realm1", serializers=["json"]) as session:
                await session.call("com.a")
        async with asyncio.timeout(10):
            await router.over.wait()
    assert [answer[2] for answer in router.answers if answer[0] == 3] == ["wamp.error.protocol_violation"]

"""S30, S31, S34, S37, S38: what WAMP clients can do to a running router and to each other."""

import asyncio
import json
import logging
import random

import cbor2
import msgspec
import pytest

from attacks.world import PATIENCE, allocations
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.wamp import ApplicationError
from scripted import RecordingSession

SERIALIZERS = ["json", "msgpack", "cbor"]
ROLES = {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}
ENCODE = {"json": lambda row: json.dumps(row).encode(), "msgpack": msgspec.msgpack.encode, "cbor": cbor2.dumps}
DECODE = {"json": json.loads, "msgpack": msgspec.msgpack.decode, "cbor": cbor2.loads}


class Wire(WebSocketClientProtocol):
    """A client that speaks WAMP by hand: sends octets, collects rows."""

    def onConnect(self, response):
        self.codec = response.protocol.split(".")[-1]
        self.rows = asyncio.Queue()

    def onMessage(self, payload, isBinary):
        try:
            self.rows.put_nowait(DECODE[self.codec](payload))
        except (ValueError, RecursionError):  # our own attack came back
            self.rows.put_nowait(None)

    def onClose(self, wasClean, code, reason):
        if hasattr(self, "rows"):
            self.rows.put_nowait([])

    def octets(self, data):
        self.sendMessage(data, self.codec != "json")

    def say(self, *row):
        self.octets(ENCODE[self.codec](list(row)))

    async def hear(self):
        """The next row, `[]` when the connection is gone."""
        return await asyncio.wait_for(self.rows.get(), PATIENCE)


async def wire(router, codec="json", *, join=True):
    factory = WebSocketClientFactory(router.url, protocols=[f"wamp.2.{codec}"])
    factory.protocol = Wire
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", factory.port)
    await client.is_open
    if join:
        client.say(1, "realm1", ROLES)
        client.welcome = await client.hear()
        assert client.welcome[0] == 2
    return client


async def gone(client):
    client.dropConnection(abort=True)
    await client.is_closed


class Honest:
    """A router with a session that answers calls and gets events, and that must live through everything."""

    def __init__(self, caplog, **options):
        caplog.set_level(logging.INFO)
        self.caplog = caplog
        self.router = Router(goodbye_timeout=1, **options)

    async def __aenter__(self):
        await self.router.start()
        self.session = RecordingSession()
        ready = asyncio.Event()
        self.session.on("ready", lambda _: ready.set())
        self.router.attach(self.session)
        await ready.wait()
        self.events = []
        await self.session.register(lambda *args, **kwargs: len(args), "com.count")
        await self.session.subscribe(lambda *args, **kwargs: self.events.append(args), "com.topic")
        self.callee = await wire(self.router, "json")
        self.callee.say(64, 1, {}, "com.callee")
        self.callee.say(32, 2, {}, "com.topic")
        assert {(await self.callee.hear())[0] for _ in range(2)} == {65, 33}
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            assert await self.session.call("com.count", 1, 2) == 2
            client = await wire(self.router)
            client.say(48, 1, {}, "com.count", [1, 2, 3])
            assert (await client.hear())[3] == [3]
            await gone(client)
        await gone(self.callee)
        await self.session.leave()
        await self.router.close()
        if kind is None:
            assert all(record.exc_info is None for record in self.caplog.records)


def deep(codec, depth):
    """A payload that is nothing but nesting."""
    if codec == "json":
        return b"[" * depth + b"]" * depth
    return {"msgpack": b"\x91", "cbor": b"\x81"}[codec] * depth + {"msgpack": b"\xc0", "cbor": b"\xf6"}[codec]


def deep_map(codec, depth):
    if codec == "json":
        return b'{"a":' * depth + b"1" + b"}" * depth
    return {"msgpack": b"\x81\xa1a", "cbor": b"\xa1\x61a"}[codec] * depth + b"\x01"


def with_hole(codec, row, filling):
    """`row` with `filling` in place of its element "HOLE"."""
    data = ENCODE[codec](row)
    hole = ENCODE[codec]("HOLE")
    assert data.count(hole) == 1
    return data.replace(hole, filling)


ROWS = {
    "details": [1, "realm1", "HOLE"],
    "call": [48, 7, {}, "com.count", "HOLE"],
    "call of a wire": [48, 7, {}, "com.callee", ["HOLE"]],
    "keywords": [48, 7, {}, "com.count", [], "HOLE"],
    "publish": [16, 7, {"acknowledge": True}, "com.topic", ["HOLE"]],
    "options": [32, 7, "HOLE", "com.topic"],
    "row": "HOLE",
}


async def attack(honest, codec, name, filling):
    """What a client gets that sends `filling` where `ROWS[name]` has its hole."""
    client = await wire(honest.router, codec, join=name != "details")
    with allocations() as meter:
        client.octets(with_hole(codec, ROWS[name], filling))
        if name != "row":
            client.say(48, 8, {}, "com.count", [])
        heard = await client.hear()
        assert meter.peak() < 16 * len(filling) + 4 * 2**20
    await gone(client)
    while not honest.callee.rows.empty():
        honest.callee.rows.get_nowait()
    return heard


@pytest.mark.parametrize("codec", SERIALIZERS)
@pytest.mark.parametrize("depth", [600, 1_000_000])
async def test_S30_nesting_kills_nobody(codec, depth, caplog):
    async with Honest(caplog) as honest:
        for name in ROWS:
            for make in (deep, deep_map):
                heard = await attack(honest, codec, name, make(codec, depth))
                # ABORT, the end, an answer to this or to the call behind it; but an answer there is
                assert heard is None or not heard or heard[0] in (3, 8, 17, 33, 50, 68), heard


JSON_BOMBS = {
    "big number": b"9" * 300_000,
    "big exponent": b"1e999999999",
    "big negative": b"-" + b"9" * 300_000,
    "long fraction": b"0." + b"1" * 300_000,
    "lone surrogate": b'"\\ud800"',
    "nan": b"NaN",
    "nul": b'"\\u0000"',
    "repeated keys": b"{" + b",".join([b'"a":1'] * 10_000) + b"}",
    "unclosed": b'["',
}
MSGPACK_BOMBS = {
    "array 32": b"\xdd\xff\xff\xff\xff" + bytes(10),
    "map 32": b"\xdf\xff\xff\xff\xff" + bytes(10),
    "str 32": b"\xdb\xff\xff\xff\xff" + bytes(10),
    "bin 32": b"\xc6\xff\xff\xff\xff" + bytes(10),
    "ext 32": b"\xc9\xff\xff\xff\xff\x01" + bytes(10),
    "never used": b"\xc1",
    "timestamp": b"\xc7\x0c\xff" + b"\xff" * 12,
    "nested arrays 32": b"\xdd\xff\xff\xff\xff" * 50,
}
CBOR_BOMBS = {
    "array 64": b"\x9b" + b"\xff" * 8 + bytes(10),
    "array 40": b"\x9b\x00\x00\x01\x00\x00\x00\x00\x00" + bytes(10),
    "array 32": b"\x9a\xff\xff\xff\xff" + bytes(10),
    "map 64": b"\xbb" + b"\xff" * 8 + bytes(10),
    "text 64": b"\x7b" + b"\xff" * 8 + bytes(10),
    "octets 63": b"\x5b\x7f" + b"\xff" * 7 + bytes(10),
    "big number": b"\xc2\x5a\x00\x04\x93\xe0" + b"\xff" * 300_000,
    "big decimal": b"\xc4\x82\x1a\x7f\xff\xff\xff\x01",
    "big float": b"\xc5\x82\x1a\x7f\xff\xff\xff\x01",
    "shared": b"\xd8\x1c\x81\xd8\x1d\x00",
    "shared beyond": b"\xd8\x1d\x1a\xff\xff\xff\xff",
    "string reference": b"\xd9\x01\x00\xd8\x19\x1a\xff\xff\xff\xff",
    "rational": b"\xd8\x1e\x82\x01\x00",
    "regular expression": b"\xd8\x23\x78\x0e(a+)+(b+)+$$$$!",
    "date": b"\xc0\x61x",
    "epoch": b"\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    "address": b"\xd9\x01\x04\x41x",
    "unknown tag": b"\xdb" + b"\xff" * 8 + b"\x01",
    "indefinite": b"\x9f" * 500,
    "break": b"\xff",
    "reserved": b"\x1c",
    "not utf-8": b"\x61\xff",
}
BOMBS = [("json", name, octets) for name, octets in JSON_BOMBS.items()]
BOMBS += [("msgpack", name, octets) for name, octets in MSGPACK_BOMBS.items()]
BOMBS += [("cbor", name, octets) for name, octets in CBOR_BOMBS.items()]


@pytest.mark.parametrize(("codec", "name", "octets"), BOMBS, ids=[f"{codec} {name}" for codec, name, _ in BOMBS])
async def test_S31_declared_sizes_and_odd_values_kill_nobody(codec, name, octets, caplog):
    async with Honest(caplog) as honest:
        for row in ("details", "call", "publish", "options"):
            heard = await attack(honest, codec, row, octets)
            assert heard is None or not heard or heard[0] in (3, 8, 17, 33, 50, 68), heard


async def test_S34_a_client_that_never_says_HELLO_is_sent_away(caplog):
    async with Honest(caplog, hello_timeout=0.2) as honest:
        silent = await wire(honest.router, join=False)
        heard = await silent.hear()
        assert not heard or heard[0] == 3
        await asyncio.wait_for(silent.is_closed, PATIENCE)


async def test_S34_pings_do_not_stand_for_HELLO(caplog):
    async with Honest(caplog, hello_timeout=0.2) as honest:
        silent = await wire(honest.router, join=False)
        async with asyncio.timeout(PATIENCE):
            while not silent.is_closed.done():
                silent.sendPing(b"x")
                await asyncio.sleep(0.01)


async def test_S37_answers_reach_those_who_asked(caplog):
    rng = random.Random(37)
    async with Router(goodbye_timeout=1) as router:
        callees = [await wire(router, rng.choice(SERIALIZERS)) for _ in range(3)]
        callers = [await wire(router, rng.choice(SERIALIZERS)) for _ in range(8)]
        for at, callee in enumerate(callees):
            callee.say(64, 1, {}, f"com.callee{at}")
            assert (await callee.hear())[0] == 65
        asked = {}
        for number in range(400):
            caller = rng.randrange(len(callers))
            request = number // 8 + 1  # the same ids are in use everywhere
            while (caller, request) in asked:
                caller = (caller + 1) % len(callers)
            asked[caller, request] = number
            callers[caller].say(48, request, {}, f"com.callee{rng.randrange(len(callees))}", [number])
        pending = []
        while len(pending) < 400:
            for callee in callees:
                while not callee.rows.empty():
                    row = callee.rows.get_nowait()
                    assert row[0] == 68
                    pending.append((callee, row))
            await asyncio.sleep(0.001)
        rng.shuffle(pending)
        for callee, (_, request, _, _, arguments) in pending:
            if rng.random() < 0.3:
                callee.say(8, 68, request, {}, "com.no", arguments)
            else:
                callee.say(70, request, {}, arguments)
        for at, caller in enumerate(callers):
            mine = {request: number for (who, request), number in asked.items() if who == at}
            while mine:
                row = await caller.hear()
                request, arguments = (row[1], row[3]) if row[0] == 50 else (row[2], row[5])
                assert arguments == [mine.pop(request)]
            assert caller.rows.empty()
        for client in callees + callers:
            await gone(client)


async def test_S38_ids_cannot_be_guessed_or_borrowed(caplog):
    async with Router(goodbye_timeout=1) as router:
        random.seed(1)
        first = [await wire(router) for _ in range(8)]
        random.seed(1)
        second = [await wire(router) for _ in range(8)]
        ids = [client.welcome[1] for client in first + second]
        assert len(set(ids)) == 16
        assert all(1 <= number <= 2**53 for number in ids)
        assert sum(number > 2**44 for number in ids) > 12  # spread over the whole range
        callee, caller, thief = first[:3]
        callee.say(64, 1, {}, "com.mine")
        registration = (await callee.hear())[2]
        caller.say(48, 1, {}, "com.mine", ["secret"])
        invocation = (await callee.hear())[1]
        thief.say(66, 1, registration)
        assert (await thief.hear())[:5] == [8, 66, 1, {}, ApplicationError.NO_SUCH_REGISTRATION]
        thief.say(49, 1, {})  # CANCEL of a call that is somebody else's
        thief.say(70, invocation, {}, ["forged"])
        thief.say(8, 68, invocation, {}, "com.forged")
        other = second[0]
        other.say(48, 1, {}, "com.none")
        assert (await other.hear())[0] == 8  # the router has read what the thief said
        callee.say(70, invocation, {}, ["real"])
        assert (await caller.hear()) == [50, 1, {}, ["real"]]
        for client in first + second:
            await gone(client)

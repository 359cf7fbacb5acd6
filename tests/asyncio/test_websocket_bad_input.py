"""Hostile and broken peers: the documented status or close code, one log line, nobody else touched."""

import asyncio
import contextlib
import gc
import logging
import random
import tracemalloc

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.deflate import Deflater
from autobahn.websocket.frames import Writer

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Echo(WebSocketServerProtocol):
    connects = 0
    closes = ()

    def onConnect(self, request):
        type(self).connects += 1

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        self.factory.closes.append((wasClean, code, reason))


class Bystander(WebSocketClientProtocol):
    """An honest client that must not notice anything."""

    def __init__(self):
        super().__init__()
        self.messages = asyncio.Queue()
        self.closed = False

    def onMessage(self, payload, isBinary):
        self.messages.put_nowait(payload)

    def onClose(self, wasClean, code, reason):
        self.closed = True


class World:
    def __init__(self, caplog, **options):
        self.caplog = caplog
        caplog.set_level(logging.INFO, "autobahn")
        self.factory = WebSocketServerFactory()
        self.factory.protocol = Echo
        self.factory.closes = []
        self.factory.setProtocolOptions(**options)

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(self.factory, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        factory = WebSocketClientFactory()
        factory.protocol = Bystander
        _, self.bystander = await loop.create_connection(factory, "127.0.0.1", self.port)
        await self.bystander.is_open
        self.connects = Echo.connects
        return self

    async def attack(self, *pieces, pause=False):
        """All that the server answers until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await self.only_bystander()
        return received

    async def attack_open(self, *pieces, extra=b""):
        """The frames that the server answers on an open connection until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(UPGRADE + extra + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        received = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await self.only_bystander()
        return received

    async def only_bystander(self, count=1):
        """Returns once the server has only so many connections left."""
        async with asyncio.timeout(5):
            while self.factory.countConnections > count:
                await asyncio.sleep(0.001)

    async def __aexit__(self, kind, *_):
        if kind is None:
            # The other connection lives.
            self.bystander.sendMessage(b"alive")
            assert await asyncio.wait_for(self.bystander.messages.get(), 5) == b"alive"
            assert not self.bystander.closed
        self.bystander.dropConnection(abort=True)
        await self.bystander.is_closed
        self.listener.close()
        await self.only_bystander(0)

    def lines(self):
        """What was logged; no traceback among it."""
        assert all(record.exc_info is None for record in self.caplog.records)
        return [record.getMessage() for record in self.caplog.records]


BAD_REQUESTS = {
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
    "nul": (b"\x00" * 100, 400),
    "flash": (b"<policy-file-request/>\x00", 400),
    "rawsocket": (b"\x7f\xf1\x00\x00", 400),
    "plain": (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426),
    "post": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 405),
    "http10": (b"GET / HTTP/1.0\r\n\r\n", 505),
    "bare lf": (UPGRADE.replace(b"\r\n", b"\n") + b"\n", 400),
    "header count": (UPGRADE + b"A: b\r\n" * 5000 + b"\r\n", 431),
    "split header": (UPGRADE + b"X: a\x85Origin: http://evil\r\n\r\n", 400),
    "two hosts": (UPGRADE + b"Host: other\r\n\r\n", 400),
    "body": (UPGRADE + b"Content-Length: 5\r\n\r\nhello", 400),
    "smuggled": (UPGRADE + b"\r\nGET /admin HTTP/1.1\r\n\r\n", 400),
    "extensions": (UPGRADE + b'Sec-WebSocket-Extensions: a; b="' + rb"\c" * 1000 + b"\r\n\r\n", 400),
    "redirect": (b"GET /?redirect=http://evil&after=1 HTTP/1.1\r\nHost: h\r\n\r\n", 426),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_bad_requests(name, bytewise, caplog):
    if name == "smuggled" and bytewise:
        pytest.skip("what comes after the answer is a bad frame")
    data, status = BAD_REQUESTS[name]
    if bytewise:
        data = data[:3000]
    if bytewise and status == 431:
        data = UPGRADE + b"A: b\r\n" * 101 + b"\r\n"
    async with World(caplog) as world:
        if bytewise:
            answer = await world.attack(*(data[i : i + 1] for i in range(len(data))), pause=True)
        else:
            answer = await world.attack(data)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"evil" not in answer
        assert Echo.connects == world.connects
        assert len(world.lines()) == 1
        assert world.factory.closes[-1][:2] == (False, 1006)
    assert len(world.lines()) == 1


async def test_s7_endless_head_is_cut_off(caplog, loop_name):
    async with World(caplog) as world:
        answer = await world.attack(b"GET / HTTP/1.1\r\nX: ", *([b"a" * 8192] * 500))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
        assert len(world.lines()) == 1
        assert "431" in world.lines()[0]


async def test_a_port_scanner_that_says_nothing_and_goes(caplog):
    async with World(caplog) as world:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.close()
        await writer.wait_closed()
    assert world.lines() == []


async def test_s35_random_octets(caplog):
    rng = random.Random(7)
    async with World(caplog) as world:
        for _ in range(50):
            answer = await world.attack(b"\xff" + rng.randbytes(rng.randrange(1, 2000)))
            assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
        assert len(world.lines()) == 50


def frame(opcode, payload=b"", fin=True, rsv1=False, masked=True):
    writer = Writer(lambda: None, masked=masked)
    writer.frame(opcode, payload, fin, rsv1)
    return writer.take()


BAD_FRAMES = {
    "unmasked": (b"\x81\x02hi", 1002),
    "opcode": (frame(0x3), 1002),
    "rsv1": (frame(1, b"x", rsv1=True), 1002),
    "rsv2": (b"\xa1\x80\0\0\0\0", 1002),
    "continuation": (frame(0, b"x"), 1002),
    "interleaved": (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    "fragmented ping": (frame(9, fin=False), 1002),
    "utf-8": (frame(1, b"a\xc0\xaf"), 1007),
    "too big": (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), 1009),
    "top bit": (b"\x82\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), 1002),
    "not minimal": (b"\x82\xfe\x00\x05" + bytes(9), 1002),
    "close code": (frame(8, b"\x03\xed"), 1002),
    "close length": (frame(8, b"\x03"), 1002),
    "close text": (frame(8, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
@pytest.mark.parametrize("by_drop", [True, False])
async def test_bad_frames(name, by_drop, caplog):
    data, code = BAD_FRAMES[name]
    async with World(caplog, failByDrop=by_drop) as world:
        answer = await world.attack_open(frame(2, b"before"), data, frame(2, b"after"))
        assert answer[:8] == b"\x82\x06before"
        assert answer[8] == 0x88
        assert int.from_bytes(answer[10:12], "big") == code
        assert len(answer) == 10 + answer[9]
        assert len(world.lines()) == 1
        assert str(code) in world.lines()[0]
        assert len(world.factory.closes) == 1
        assert world.factory.closes[0][:2] == (False, 1006)


async def test_the_close_frame_survives_what_is_still_being_sent(caplog, loop_name):
    async with World(caplog, maxMessagePayloadSize=1000) as world:
        answer = await world.attack_open(frame(2, bytes(5_000_000)))
        assert answer[0] == 0x88
        assert int.from_bytes(answer[2:4], "big") == 1009


async def test_s2_nothing_is_allocated_for_an_announced_length(caplog):
    async with World(caplog, maxMessagePayloadSize=0, closeHandshakeTimeout=0.1) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(UPGRADE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        gc.collect()
        tracemalloc.start()
        try:
            writer.write(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4) + b"x" * 1000)
            await asyncio.sleep(0.05)
            assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
        finally:
            tracemalloc.stop()
        writer.close()
        await writer.wait_closed()


async def test_s3_s4_bombs(caplog):
    def accept(offers):
        return PerMessageDeflateOfferAccept(offers[0])

    deflater = Deflater()
    bomb = deflater.compress(bytes(50_000_000)) + deflater.end_message()
    assert len(bomb) < 60_000
    options = {"maxMessagePayloadSize": 100_000, "perMessageCompressionAccept": accept}
    async with World(caplog, **options) as world:
        tracemalloc.start()
        try:
            answer = await world.attack_open(
                frame(2, bomb, rsv1=True), extra=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
            )
            assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
        finally:
            tracemalloc.stop()
        assert int.from_bytes(answer[2:4], "big") == 1009


async def test_corrupt_deflate_data(caplog):
    def accept(offers):
        return PerMessageDeflateOfferAccept(offers[0])

    async with World(caplog, perMessageCompressionAccept=accept) as world:
        answer = await world.attack_open(
            frame(2, b"\xff" * 100, rsv1=True), extra=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
        )
        assert int.from_bytes(answer[2:4], "big") == 1007
        assert len(world.lines()) == 1


async def test_a_peer_that_vanishes_in_the_middle(caplog, loop_name):
    async with World(caplog) as world:
        for data in (b"GET / HT", UPGRADE + b"\r\n", UPGRADE + b"\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(data)
            if data.endswith(b"\r\n\r\n"):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(frame(2, b"half of a message")[:10])
                await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(5):
            while len(world.factory.closes) < 3:
                await asyncio.sleep(0.005)
        assert all(not clean and code == 1006 for clean, code, _ in world.factory.closes)
        assert "peer dropped the TCP connection without" in world.factory.closes[-1][2]
    assert world.lines() == []


BAD_ANSWERS = [
    b"\x00\x01",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 403 nope\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n",
    b"HTTP/1.1 101 OK\r\n\r\n",
    b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000,
    b"HTTP/1.1 101 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"",
]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=range(len(BAD_ANSWERS)))
async def test_bad_answers_of_a_server(answer, caplog):
    caplog.set_level(logging.INFO, "autobahn")
    closes = []
    done = asyncio.Event()

    class Client(WebSocketClientProtocol):
        def onConnect(self, response):
            closes.append("connected")

        def onClose(self, wasClean, code, reason):
            closes.append((wasClean, code))
            done.set()

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = Client
    factory.setProtocolOptions(perMessageCompressionOffers=[PerMessageDeflateOffer()])
    await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
    await asyncio.wait_for(done.wait(), 5)
    server.close()
    await server.wait_closed()
    assert closes == [(False, 1006)]
    assert len(caplog.records) == (1 if answer else 0)
    assert all(record.exc_info is None for record in caplog.records)


async def test_s29_log_lines_have_no_control_characters(caplog):
    from autobahn.log import Log

    caplog.set_level(logging.INFO, "autobahn")
    log = Log("autobahn.test")
    log.info("{a} and {b}", a="x\x1b[31m\r\n\x85", b=5)
    log.warn("{missing}", a=1)
    log.debug("{boom}")
    log.error("failed", exc_info=ValueError("x"))
    log.critical(format="{a}", a="old style")
    log.trace("hidden")
    assert caplog.records[0].getMessage() == r"x\x1b[31m\x0d\x0a\x85 and 5"
    assert caplog.records[1].getMessage() == "{missing} {'a': 1}"
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    assert caplog.records[3].getMessage() == "old style"

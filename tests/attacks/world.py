"""What the attack tests share: a server with an honest bystander, raw peers of both roles, frames by hand, costs."""

import asyncio
import base64
import contextlib
import gc
import hashlib
import logging
import struct
import time
import tracemalloc

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import PerMessageDeflateOfferAccept

PATIENCE = 20
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def request(*headers, without=()):
    """A request that asks properly for a WebSocket, less the headers `without`, plus `headers`."""
    lines = UPGRADE.split(b"\r\n")[:-1]
    kept = [line for line in lines if line.partition(b":")[0].lower() not in without]
    return b"".join(line + b"\r\n" for line in (*kept, *headers, b""))


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=b"\x01\x02\x03\x04", size=None):
    """A frame; `key=None`: not masked; `size`: what the head announces in place of the length of `payload`."""
    announced = len(payload) if size is None else size
    b0 = (0x80 if fin else 0) | rsv << 4 | opcode
    mask = 0 if key is None else 0x80
    if announced < 126:
        head = bytes((b0, mask | announced))
    elif announced < 65536:
        head = bytes((b0, mask | 126)) + announced.to_bytes(2, "big")
    else:
        head = bytes((b0, mask | 127)) + announced.to_bytes(8, "big")
    if key is None:
        return head + payload
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")
    return head + key + masked


def frames(data):
    """The unmasked frames in `data` as (opcode, payload); an unfinished one is not there."""
    found = []
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at + size:
            break
        found.append((data[0] & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return found


def close_code(data):
    """The code of the close frame at the end of `data`; `None` without one."""
    found = frames(data)
    if not found or found[-1][0] != 8 or len(found[-1][1]) < 2:
        return None
    return struct.unpack(">H", found[-1][1][:2])[0]


def accept_deflate(offers):
    return PerMessageDeflateOfferAccept(offers[0])


class EchoServer(WebSocketServerProtocol):
    def onConnect(self, request):
        self.factory.requests.append(request)
        return request.protocols[0] if request.protocols else None

    def onMessage(self, payload, isBinary):
        self.factory.messages.append((payload, isBinary))
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


class RawPeer:
    """A TCP connection by hand."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces):
        """Sends as far as the other end lets us; it may read every piece by itself."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                if self.writer.is_closing():
                    return
                self.writer.write(piece)
                await self.writer.drain()
                await asyncio.sleep(0)

    async def rest(self):
        """All that comes until the other end closes; then this end is closed, too."""
        data = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while chunk := await self.reader.read(65536):
                    data += chunk
        await self.close()
        return data

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Target:
    """A server under attack, and an honest connection to it that has to survive."""

    def __init__(self, caplog, *, allow=(), **options):
        self.caplog = caplog
        self.allow = allow
        caplog.set_level(logging.INFO)
        self.factory = WebSocketServerFactory()
        self.factory.protocol = EchoServer
        self.factory.requests = []
        self.factory.messages = []
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
        self.factory.requests.clear()
        return self

    async def connect(self):
        return RawPeer(*await asyncio.open_connection("127.0.0.1", self.port))

    async def attack(self, *pieces):
        """All that the server answers to `pieces` until it closes."""
        peer = await self.connect()
        await peer.send(*pieces)
        answer = await peer.rest()
        await self.alone()
        return answer

    async def open(self, *headers):
        """A raw peer with an open WebSocket."""
        peer = await self.connect()
        await peer.send(request(*headers))
        head = await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return peer

    async def attack_open(self, *pieces, headers=()):
        """What the server answers to `pieces` on an open WebSocket until it closes."""
        peer = await self.open(*headers)
        await peer.send(*pieces)
        answer = await peer.rest()
        await self.alone()
        return answer

    async def alone(self, count=1):
        """Returns once the server has `count` connections left."""
        async with asyncio.timeout(PATIENCE):
            while self.factory.countConnections > count:
                await asyncio.sleep(0.002)

    async def bystander_lives(self):
        self.bystander.sendMessage(b"alive")
        assert await asyncio.wait_for(self.bystander.messages.get(), PATIENCE) == b"alive"
        assert not self.bystander.closed

    async def __aexit__(self, kind, *_):
        if kind is None:
            await self.bystander_lives()
        self.bystander.dropConnection(abort=True)
        await self.bystander.is_closed
        self.listener.close()
        await self.alone(0)
        if kind is None:
            errors = [record.exc_info[1] for record in self.caplog.records if record.exc_info]
            assert all(isinstance(error, self.allow) for error in errors), errors

    def lines(self):
        return [record.getMessage() for record in self.caplog.records]


def status(answer):
    """The status of an HTTP answer, whose framing must be right."""
    head, end, body = answer.partition(b"\r\n\r\n")
    assert end, answer
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    return int(head[9:12])


class Client(WebSocketClientProtocol):
    """A client that meets an evil server."""

    def __init__(self):
        super().__init__()
        self.done = asyncio.get_running_loop().create_future()
        self.messages = []
        self.opened = False

    def onOpen(self):
        self.opened = True

    def onMessage(self, payload, isBinary):
        self.messages.append(payload)

    def onClose(self, wasClean, code, reason):
        self.done.set_result((wasClean, code, reason))


def upgrade_answer(head, *headers):
    """The 101 that belongs to the request `head`, with `headers` added."""
    key = next(
        line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    )
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = (
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        *headers,
        b"",
        b"",
    )
    return b"\r\n".join(lines)


async def meet(serve, *, url="ws://127.0.0.1:{port}", protocol=Client, factory_options=None, **options):
    """Our client after it met a server that does `serve(peer, head)` with every request head; and the heads."""
    heads = []

    async def on_connection(reader, writer):
        peer = RawPeer(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await serve(peer, heads[-1])
        await peer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    factory = WebSocketClientFactory(url.format(port=port), **(factory_options or {}))
    factory.protocol = protocol
    factory.setProtocolOptions(**options)
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
    try:
        await asyncio.wait_for(asyncio.shield(client.done), PATIENCE)
    finally:
        server.close()
        await server.wait_closed()
    return client, heads


def measures_memory(test):
    """Runs a test of `allocations` again that fails: a table of the interpreter may have grown just then."""
    return pytest.mark.flaky(reruns=1, only_rerun="AssertionError")(test)


@contextlib.contextmanager
def allocations():
    """`.peak()`: octets allocated at most since the beginning of the block, by anybody in the process."""

    class Meter:
        @staticmethod
        def peak():
            return tracemalloc.get_traced_memory()[1] - before

    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield Meter()
    finally:
        tracemalloc.stop()


def cpu(work, size, rounds=3):
    """The least CPU seconds that `work(size)` took."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        work(size)
        best = min(best, time.process_time() - begin)
    return best


def assert_linear(work, size):
    """`work(n)` grows no more than linearly from `size` to 8 `size`: 8 would be exact, a square gives 64."""
    small, large = cpu(work, size), cpu(work, 8 * size)
    assert large < 24 * max(small, 0.0005), f"{small:.6f} s for {size}, {large:.6f} s for {8 * size}"

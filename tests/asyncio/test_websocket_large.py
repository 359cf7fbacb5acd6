"""A message far larger than memory should hold streams through, both ways, plain and compressed (issue 3).

256 MiB in a few seconds; `AUTOBAHN_TEST_BIG_MIB=1024` for the gibibyte. The bound holds for the whole process, which is
sender and receiver in one.
"""

import asyncio
import gc
import os

import pytest

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websocket_world import Client, Server, World

MIB = 1024 * 1024
BIG = int(os.environ.get("AUTOBAHN_TEST_BIG_MIB", "256"))
EXTRA = 32 * MIB
PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK = os.urandom(1024) * 1024  # one MiB that deflate makes a few KiB of


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * PAGE


class Pieces:
    """Takes messages piece by piece and watches the memory of the process."""

    def __init__(self):
        super().__init__()
        self.octets = self.frames = self.most = self.wrong = 0
        self.began = self.done = False
        self.ended = asyncio.Event()

    def onMessageBegin(self, isBinary):
        self.began = isBinary

    def onMessageFrameBegin(self, length):
        self.frames += 1

    def onMessageFrameData(self, payload):
        at = self.octets % 1024
        self.wrong += payload[:64] != BLOCK[at : at + min(64, len(payload))]
        before, self.octets = self.octets // MIB, self.octets + len(payload)
        if self.octets // MIB != before:
            self.most = max(self.most, rss())

    def onMessageFrameEnd(self):
        pass

    def onMessageEnd(self):
        self.ended.set()


class PiecesServer(Pieces, Server):
    pass


class PiecesClient(Pieces, Client):
    pass


def accept(offers):
    return PerMessageDeflateOfferAccept(offers[0])


async def in_frames(sender, size):
    for _ in range(size):
        sender.sendMessageFrame(BLOCK)
        await sender.drain()


async def in_one_frame(sender, size):
    sender.beginMessageFrame(size * MIB)
    for left in range(size - 1, -1, -1):
        assert sender.sendMessageFrameData(BLOCK) == left * MIB
        await sender.drain()


@pytest.mark.parametrize("way", [in_frames, in_one_frame])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("towards", ["server", "client"])
async def test_a_huge_message_streams_through(towards, compressed, way):
    size = BIG if way is in_frames else BIG // 4
    options = {"maxMessagePayloadSize": 0, "maxFramePayloadSize": 0}
    server_options = {"perMessageCompressionAccept": accept} if compressed else {}
    client_options = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]} if compressed else {}
    async with World(PiecesServer, **options, **server_options) as world:
        client = await world.open(PiecesClient, **options, **client_options)
        await world.server.is_open
        sender, receiver = (client, world.server) if towards == "server" else (world.server, client)
        assert bool(sender.websocket_extensions_in_use) is compressed
        gc.collect()
        begin = rss()
        sender.beginMessage(isBinary=True)
        await way(sender, size)
        sender.endMessage()
        async with asyncio.timeout(50 if BIG <= 256 else 600):
            await receiver.ended.wait()
        assert (receiver.octets, receiver.began, receiver.wrong) == (size * MIB, True, 0)
        assert receiver.most - begin < EXTRA
        if way is in_frames and not compressed:
            assert receiver.frames == size + 1  # the last one is empty


async def test_a_huge_frame_streams_in():
    """One frame on the wire, as other libraries send it."""
    async with World(PiecesServer, maxMessagePayloadSize=0) as world:
        reader, writer = await world.raw()
        writer.write(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        begin = rss()
        writer.write(b"\x82\xff" + (BIG * MIB).to_bytes(8, "big") + bytes(4))
        for _ in range(BIG):
            writer.write(BLOCK)
            await writer.drain()
        async with asyncio.timeout(50 if BIG <= 256 else 600):
            await world.server.ended.wait()
        writer.close()
        assert (world.server.octets, world.server.frames, world.server.wrong) == (BIG * MIB, 1, 0)
        assert world.server.most - begin < EXTRA

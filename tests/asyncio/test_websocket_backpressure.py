"""Flow control of what is sent (needs N4, N21): a peer that does not read, policies at the cap; on TCP and on TLS."""

import asyncio
import gc
import os

import pytest

from autobahn.exception import BufferFullError, Disconnected
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websocket_world import Client, Server, World, until

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


def rss():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * PAGE


def accept(offers):
    return PerMessageDeflateOfferAccept(offers[0])


class Marks(Server):
    def __init__(self):
        super().__init__()
        self.marks = []

    def onHighWater(self):
        self.marks.append("high")

    def onLowWater(self):
        self.marks.append("low")


@pytest.fixture(params=["tcp", "tls"])
def over(request, tls):
    """What a `World` needs to be on TCP, and on TLS."""
    return {"tls": tls} if request.param == "tls" else {}


async def stalled(world, **options):
    """A client that is open and reads nothing; the server's end."""
    client = await world.open(**options)
    await world.server.is_open
    client.transport.pause_reading()
    return client, world.server


@pytest.mark.parametrize("size", [100, 60_000])
async def test_a_tight_sender_stays_below_the_cap(size, loop_name, over):
    cap = 16 * MIB
    async with World(Marks, maxSendBuffer=cap, **over) as world:
        client, server = await stalled(world)
        payload = os.urandom(size)
        before = rss()
        sent = 0
        with pytest.raises(BufferFullError, match="expected at most 16777216 octets waiting"):
            while sent < 10 * cap:
                server.sendMessage(payload, True)
                sent += size
                if sent % (size * 64) == 0:
                    await asyncio.sleep(0)
        assert sent > cap * 0.8
        assert server.sendBufferSize <= cap
        assert rss() - before < cap * 1.1 + 6 * MIB
        assert server.marks[-1] == "high"
        assert server.state == server.STATE_OPEN  # nothing is lost: the program knows what was sent
        client.transport.resume_reading()
        server.sendPing()  # a control frame at the cap is dropped, which no peer can tell
        received = 0
        while received < sent:
            received += len((await client.messages.get())[0])
        assert received == sent
        await until(lambda: server.marks[-1] == "low")
        assert server.marks == ["high", "low"] * (len(server.marks) // 2)
        server.sendMessage(b"on")
        assert await client.messages.get() == (b"on", False)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 16 * MIB),
        ({"maxMessagePayloadSize": MIB}, 16 * MIB),
        ({"maxMessagePayloadSize": 0}, 16 * MIB),
        ({"maxMessagePayloadSize": 40 * MIB}, 40 * MIB),
        ({"maxMessagePayloadSize": 40 * MIB, "maxSendBuffer": 5}, 5),
        ({"maxSendBuffer": 0}, 0),
    ],
)
async def test_the_cap_unless_it_is_set(options, limit):
    async with World(Marks, **options) as world:
        assert world.factory.maxSendBuffer == limit
        await world.open()
        assert world.server.maxSendBuffer == limit


async def test_the_default_cap(loop_name, over):
    async with World(Marks, **over) as world:
        _, server = await stalled(world)
        with pytest.raises(BufferFullError, match="expected at most 16777216 octets waiting"):
            for _ in range(100):
                server.sendMessage(bytes(MIB), True)


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_sender_that_never_gives_a_turn(compressed, loop_name, over):
    options = {"perMessageCompressionAccept": accept} if compressed else {}
    offers = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]} if compressed else {}
    async with World(Marks, maxSendBuffer=4 * MIB, **options, **over) as world:
        _, server = await stalled(world, **offers)
        with pytest.raises(BufferFullError):
            for _ in range(10_000):
                server.sendMessage(os.urandom(10_000), True)
        assert 3 * MIB < server.sendBufferSize <= 4 * MIB + 20_000


async def test_policy_close(loop_name, over):
    async with World(Marks, maxSendBuffer=MIB, sendPolicy="close", **over) as world:
        client, server = await stalled(world)
        with pytest.raises(Disconnected, match="connection failed"):
            while True:
                server.sendMessage(bytes(50_000), True)
        with pytest.raises(Disconnected):
            server.sendMessage(b"x")
        client.transport.resume_reading()
        await world.ended()
        assert client.log[-1] == ("close", True, 1008, "the peer reads too slowly")
        assert "the peer reads too slowly" in server.wasNotCleanReason


async def test_policy_drop(loop_name, over):
    async with World(Marks, maxSendBuffer=4 * MIB, sendPolicy="drop", **over) as world:
        client, server = await stalled(world)
        for number in range(400):
            server.sendMessage(b"%06d" % number + bytes(50_000), True)
        assert server.droppedMessages > 200
        client.transport.resume_reading()
        got = [int((await client.messages.get())[0][:6]) for _ in range(400 - server.droppedMessages)]
        assert got == sorted(got)
        prepared = world.factory.prepareMessage(b"last")
        await server.drain()
        server.sendPreparedMessage(prepared)
        assert (await client.messages.get())[0] == b"last"


async def test_all_ways_of_sending_end_at_the_cap(over):
    async with World(Marks, maxSendBuffer=MIB, sendPolicy="drop", **over) as world:
        _, server = await stalled(world)
        prepared = world.factory.prepareMessage(bytes(50_000), isBinary=True)
        for _ in range(400):
            server.sendPreparedMessage(prepared)
        assert server.droppedMessages > 0
        for _ in range(50_000):
            server.sendPing(bytes(100))
            server.sendPong(bytes(100))
        assert server.sendBufferSize <= MIB
        server.beginMessage(isBinary=True)
        with pytest.raises(BufferFullError):  # part of a message cannot be dropped
            for _ in range(100):
                server.sendMessageFrame(bytes(50_000))


async def test_a_message_above_the_cap_is_sent_when_nothing_waits(loop_name, over):
    async with World(Marks, maxSendBuffer=1000, **over) as world:
        client = await world.open()
        await world.server.is_open
        world.server.sendMessage(bytes(5 * MIB), True)
        assert len((await client.messages.get())[0]) == 5 * MIB


async def test_a_callback_that_does_not_cope_ends_the_connection(over):
    class Careless(Marks):
        def onMessage(self, payload, isBinary):
            for _ in range(400):
                self.sendMessage(bytes(50_000), True)

    async with World(Careless, maxSendBuffer=MIB, **over) as world:
        client, server = await stalled(world)
        client.sendMessage(b"go")
        await until(lambda: server.errors)
        assert server.errors[0][0] == "onMessage"
        assert "BufferFullError" in server.errors[0][1]
        client.transport.resume_reading()
        await world.ended()
        assert client.log[-1][1:3] == (True, 1008)
        assert len(server.errors) == 1


async def test_drain_makes_a_sender_as_slow_as_its_peer(loop_name, over):
    async with World(Marks, sendHighWater=100_000, sendLowWater=10_000, **over) as world:
        client, server = await stalled(world)
        most = sent = 0

        async def produce():
            nonlocal most, sent
            for number in range(600):
                server.sendMessage(b"%06d" % number + bytes(20_000), True)
                most = max(most, server.sendBufferSize)
                sent += 1
                await server.drain()

        task = asyncio.create_task(produce())
        await until(lambda: server.marks)
        waiting = sent
        for _ in range(20):
            await asyncio.sleep(0)
        assert sent == waiting < 600
        client.transport.resume_reading()
        for number in range(600):
            assert (await client.messages.get())[0][:6] == b"%06d" % number
        await task
        assert most < 100_000 + 2 * 65536 + 20_020
        assert server.marks[:2] == ["high", "low"]
        assert all(a != b for a, b in zip(server.marks, server.marks[1:], strict=False))


async def test_everyone_who_drains_is_freed_when_the_connection_ends(loop_name, over):
    async with World(Marks, **over) as world:
        client = await world.open()
        with pytest.raises(Disconnected):
            await Client().drain()
        server = world.server
        await server.is_open
        await server.drain()  # nothing to wait for
        client.transport.pause_reading()
        while not server.marks:
            server.sendMessage(bytes(100_000), True)
            await asyncio.sleep(0)
        tasks = [asyncio.create_task(server.drain()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert not tasks[1].done()
        server.dropConnection(abort=True)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(result, Disconnected) for result in results[1:])
        with pytest.raises(Disconnected):
            await server.drain()


async def test_a_loop_of_sends_and_drains_leaves_turns_to_others(over):
    async with World(Server, **over) as world:
        client = await world.open()
        server = world.server
        await server.is_open
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(200):
            server.sendMessage(bytes(10_000), True)
            await server.drain()
        task.cancel()
        assert turns > 10
        for _ in range(200):
            await client.messages.get()


async def test_wrong_values_of_the_options():
    async with World() as world:
        for name, value, error in [
            ("maxConcurrentHandlers", 0, ValueError),
            ("maxConcurrentHandlers", "2", TypeError),
            ("maxReceiveQueue", 0, ValueError),
            ("maxSendBuffer", -1, ValueError),
            ("sendHighWater", 1.5, TypeError),
            ("sendPolicy", "explode", ValueError),
        ]:
            with pytest.raises(error, match=f"expected {name} .*, got"):
                world.factory.setProtocolOptions(**{name: value})

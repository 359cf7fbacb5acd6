"""Flow control both ways (needs N4, N21; S32): a peer that does not read, handlers that lag, bounds that hold."""

import asyncio
import gc
import os
import random

import pytest

from autobahn.asyncio import handlers as handlers_module
from autobahn.asyncio.handlers import Handlers
from autobahn.exception import BufferFullError, Disconnected
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websocket_world import Client, Echo, Server, World, until

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


async def stalled(world, **options):
    """A client that is open and reads nothing; the server's end."""
    client = await world.open(**options)
    await world.server.is_open
    client.transport.pause_reading()
    return client, world.server


# -- sending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 60_000])
async def test_a_tight_sender_stays_below_the_cap(size, loop_name):
    cap = 32 * MIB
    async with World(Marks, maxSendBuffer=cap) as world:
        client, server = await stalled(world)
        payload = os.urandom(size)
        before = rss()
        sent = 0
        with pytest.raises(BufferFullError, match="expected at most 33554432 octets waiting"):
            while sent < 10 * cap:
                server.sendMessage(payload, True)
                sent += size
                if sent % (size * 64) == 0:
                    await asyncio.sleep(0)
        assert sent > cap * 0.8
        assert server.sendBufferSize <= cap
        assert rss() - before < cap * 1.1 + 6 * MIB
        assert server.marks == ["high"]
        assert server.state == server.STATE_OPEN  # nothing is lost: the program knows what was sent
        client.transport.resume_reading()
        server.sendPing()  # a control frame at the cap is dropped, which no peer can tell
        received = 0
        while received < sent:
            received += len((await client.messages.get())[0])
        assert received == sent
        await until(lambda: server.marks == ["high", "low"])
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


async def test_the_default_cap(loop_name):
    async with World(Marks) as world:
        _, server = await stalled(world)
        with pytest.raises(BufferFullError, match="expected at most 16777216 octets waiting"):
            for _ in range(100):
                server.sendMessage(bytes(MIB), True)


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_sender_that_never_gives_a_turn(compressed, loop_name):
    options = {"perMessageCompressionAccept": accept} if compressed else {}
    offers = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]} if compressed else {}
    async with World(Marks, maxSendBuffer=4 * MIB, **options) as world:
        _, server = await stalled(world, **offers)
        with pytest.raises(BufferFullError):
            for _ in range(10_000):
                server.sendMessage(os.urandom(10_000), True)
        assert 3 * MIB < server.sendBufferSize <= 4 * MIB + 20_000


async def test_policy_close(loop_name):
    async with World(Marks, maxSendBuffer=MIB, sendPolicy="close") as world:
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


async def test_policy_drop(loop_name):
    async with World(Marks, maxSendBuffer=4 * MIB, sendPolicy="drop") as world:
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


async def test_all_ways_of_sending_end_at_the_cap():
    async with World(Marks, maxSendBuffer=MIB, sendPolicy="drop") as world:
        _, server = await stalled(world)
        prepared = world.factory.prepareMessage(bytes(50_000), isBinary=True)
        for _ in range(100):
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


async def test_a_message_above_the_cap_is_sent_when_nothing_waits(loop_name):
    async with World(Marks, maxSendBuffer=1000) as world:
        client = await world.open()
        await world.server.is_open
        world.server.sendMessage(bytes(5 * MIB), True)
        assert len((await client.messages.get())[0]) == 5 * MIB


async def test_a_callback_that_does_not_cope_ends_the_connection():
    class Careless(Marks):
        def onMessage(self, payload, isBinary):
            for _ in range(100):
                self.sendMessage(bytes(50_000), True)

    async with World(Careless, maxSendBuffer=MIB) as world:
        client, server = await stalled(world)
        client.sendMessage(b"go")
        await until(lambda: server.errors)
        assert server.errors[0][0] == "onMessage"
        assert "BufferFullError" in server.errors[0][1]
        client.transport.resume_reading()
        await world.ended()
        assert client.log[-1][1:3] == (True, 1008)
        assert len(server.errors) == 1


async def test_drain_makes_a_sender_as_slow_as_its_peer(loop_name):
    async with World(Marks, sendHighWater=100_000, sendLowWater=10_000) as world:
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


async def test_everyone_who_drains_is_freed_when_the_connection_ends(loop_name):
    async with World(Marks) as world:
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


async def test_a_loop_of_sends_and_drains_leaves_turns_to_others():
    async with World(Server) as world:
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


# -- receiving -----------------------------------------------------------------------------------------------------


class Slow(Server):
    """Handles messages in random time and notes how many handlers run at once."""

    def __init__(self):
        super().__init__()
        self.started = []
        self.ended = []
        self.running = self.most = self.tasks = 0
        self.random = random.Random(7)

    async def onMessage(self, payload, isBinary):
        self.started.append(int(payload))
        self.running += 1
        self.most = max(self.most, self.running)
        self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
        self.running -= 1
        self.ended.append(int(payload))


@pytest.mark.parametrize("limit", [1, 5])
async def test_handlers_start_in_order_and_their_number_is_bounded(limit, loop_name):
    async with World(Slow, maxConcurrentHandlers=limit) as world:
        client = await world.open()
        before = len(asyncio.all_tasks())
        for number in range(2000):
            client.sendMessage(b"%d" % number)
        server = world.server
        await until(lambda: len(server.ended) == 2000)
        assert server.started == list(range(2000))
        assert server.most == limit
        assert server.tasks <= before + limit
        assert (server.ended == server.started) is (limit == 1)
        assert len(asyncio.all_tasks()) <= before + limit


class Gated(Server):
    """Handlers wait until they may go on."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()
        self.got = []

    async def onMessage(self, payload, isBinary):
        self.got.append(payload)
        await self.gate.wait()


@pytest.mark.parametrize("compressed", [False, True])
async def test_reading_pauses_while_handlers_lag(compressed, loop_name):
    options = {"perMessageCompressionAccept": accept} if compressed else {}
    offers = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]} if compressed else {}
    async with World(Gated, maxReceiveQueue=10, **options) as world:
        client = await world.open(**offers)
        server = world.server
        payloads = [b"%06d" % number + bytes(2000) for number in range(5000)]
        for payload in payloads:
            client.sendMessage(payload, True)
        await until(lambda: server._ws_intake is not None and not server.transport.is_reading())
        for _ in range(50):
            await asyncio.sleep(0)
        most = 10 + 4096 // 15 if compressed else 13
        assert 9 <= server._ws_intake.waiting <= most
        assert len(server.got) == 1
        if not compressed:
            assert client.sendBufferSize > 0  # the peer feels it
        server.gate.set()
        await until(lambda: len(server.got) == 5000)
        assert server.got == payloads
        await until(server.transport.is_reading)
        assert server.state == server.STATE_OPEN


async def test_the_bound_counts_octets_too():
    async with World(Gated, maxReceiveQueue=1000, maxReceiveQueueSize=100_000) as world:
        client = await world.open()
        for _ in range(100):
            client.sendMessage(bytes(30_000), True)
        await until(lambda: world.server._ws_intake is not None and not world.server.transport.is_reading())
        assert world.server._ws_intake.waiting in {3, 4}
        world.server.gate.set()
        await until(lambda: len(world.server.got) == 100)


async def test_plain_functions_that_return_awaitables_are_ordered_too():
    class Returning(Slow):
        def onMessage(self, payload, isBinary):
            return Slow.onMessage(self, payload, isBinary)

    async with World(Returning, maxReceiveQueue=20) as world:
        client = await world.open()
        for number in range(500):
            client.sendMessage(b"%d" % number)
        await until(lambda: len(world.server.ended) == 500)
        assert world.server.ended == list(range(500))
        assert world.server.most == 1


async def test_streaming_hooks_that_are_async_run_in_order():
    class Pieces(Server):
        async def onMessageBegin(self, isBinary):
            await asyncio.sleep(0)
            self.log.append("begin")

        async def onMessageFrameData(self, payload):
            await asyncio.sleep(random.random() / 1000)
            self.log.append(payload)

        async def onMessageEnd(self):
            self.log.append("end")

    async with World(Pieces) as world:
        client = await world.open()
        await world.server.is_open
        for _ in range(3):
            client.beginMessage()
            for number in range(10):
                client.sendMessageFrame(b"%d" % number)
            client.endMessage()
        await until(lambda: world.server.log.count("end") == 3)
        assert world.server.log[2:] == ["begin", *(b"%d" % n for n in range(10)), "end"] * 3


async def test_closing_does_not_wait_behind_handlers_that_lag(loop_name):
    class Leaving(Gated):
        async def onMessage(self, payload, isBinary):
            await super().onMessage(payload, isBinary)
            self.sendClose(1000, "enough")

    async with World(Leaving, maxReceiveQueue=5) as world:
        client = await world.open()
        server = world.server
        for _ in range(3000):
            client.sendMessage(bytes(2000), True)
        await until(lambda: server._ws_intake is not None and not server.transport.is_reading())
        server.gate.set()
        await world.ended()
        assert client.log[-1] == ("close", True, 1000, "enough")
        await until(lambda: server.log[-1][0] == "close")
        assert server.log[-1] == ("close", True, 1000, None)


async def test_on_close_comes_behind_the_messages_that_arrived(loop_name):
    class Last(Gated):
        def onClose(self, wasClean, code, reason):
            self.got.append("close")

    async with World(Last) as world:
        client = await world.open()
        server = world.server
        for number in range(20):
            client.sendMessage(b"%d" % number)
        client.sendClose()
        await asyncio.wait_for(client.is_closed, 5)
        await asyncio.wait_for(server.is_closed, 5)
        assert "close" not in server.got
        server.gate.set()
        await until(lambda: "close" in server.got)
        assert server.got == [*(b"%d" % number for number in range(20)), "close"]


async def test_on_close_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(handlers_module, "GRACE", 0.02)
    async with World(Gated) as world:
        client = await world.open()
        server = world.server
        for _ in range(20):
            client.sendMessage(b"x")
        client.sendClose()
        await until(lambda: server.log[-1:] == [("close", True, 1000, None)] or server.log[-1][0] == "close")
        assert server.errors[0][0] == "onMessage"
        assert "dropped the rest" in server.errors[0][1]
        server.gate.set()


async def test_a_dropped_connection_delivers_nothing_more():
    async with World(Gated) as world:
        client = await world.open()
        server = world.server
        for _ in range(20):
            client.sendMessage(b"x")
        await until(lambda: server._ws_intake is not None and server._ws_intake.waiting)
        server.dropConnection(abort=True)
        server.gate.set()
        await world.ended()
        assert server.got == [b"x"]
        assert server.log[-1][0] == "close"


async def test_cancelling_inside_a_handler_hurts_only_that_one():
    class Cancelling(Server):
        async def onMessage(self, payload, isBinary):
            if payload == b"cancel":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            if payload == b"timeout":
                async with asyncio.timeout(0):
                    await asyncio.sleep(1)
            self.messages.put_nowait((payload, isBinary))

    async with World(Cancelling) as world:
        client = await world.open()
        for payload in (b"a", b"cancel", b"timeout", b"b"):
            client.sendMessage(payload)
        assert (await world.server.messages.get())[0] == b"a"
        assert (await world.server.messages.get())[0] == b"b"
        assert world.server.errors == [("onMessage", "TimeoutError()")]


async def test_handlers_are_dropped_with_their_worker():
    loop = asyncio.get_running_loop()
    errors = []
    handlers = Handlers(
        loop,
        lambda exc, where: errors.append(exc),
        limit=1,
        max_calls=5,
        max_size=5,
        on_lag=lambda: None,
        on_caught_up=lambda: None,
    )
    handlers.add(asyncio.sleep(60), "one", 0)
    handlers.add(asyncio.sleep(60), "two", 0)  # closed, or the interpreter would warn
    await asyncio.sleep(0)
    (worker,) = handlers._workers
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert handlers.waiting == 0
    assert errors == []


def test_the_plain_fast_path_has_nothing_in_between():
    protocol = Echo()
    assert protocol.connection_receiver() == protocol.onMessage
    assert Gated.onMessage is not Server.onMessage

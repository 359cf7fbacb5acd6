"""Flow control of what is received (needs N4, N21; S32): handlers that lag, order, bounds that hold."""

import asyncio
import random

import pytest

from autobahn.asyncio import handlers as handlers_module
from autobahn.asyncio.handlers import Handlers
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websocket_world import Echo, Server, World, until


def accept(offers):
    return PerMessageDeflateOfferAccept(offers[0])


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
@pytest.mark.parametrize("over", ["tcp", "tls"])
async def test_reading_pauses_while_handlers_lag(compressed, over, tls, loop_name):
    options = {"perMessageCompressionAccept": accept} if compressed else {}
    offers = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]} if compressed else {}
    tls = tls if over == "tls" else (None, None)
    async with World(Gated, maxReceiveQueue=10, tls=tls, **options) as world:
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

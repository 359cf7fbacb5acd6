"""`Pump`: octets from a transport's buffer to the connection, in both twins."""

import pytest

from autobahn.asyncio.adapter import WebSocketAdapterProtocol
from autobahn.websocket import _frames_py, _pump_py
from autobahn.websocket.errors import FrameError
from frames_world import frame
from websocket_world import Client, Echo, Server, World, until


class Connection:
    """What a pump needs of a connection, with a real reader and writer."""

    def __init__(self, frames, on_message=None):
        self.events = []
        self.violations = []
        self.writer = frames.Writer(lambda: self.events.append("wake"), masked=False)
        note = self.events.append
        self.reader = frames.Reader(
            on_message or (lambda payload, is_binary: note((payload, is_binary))),
            *(note,) * 5,
            masked=True,
        )
        self.receive = self.reader.feed

    def violated(self, error):
        self.violations.append(error.code)


class World1:
    def __init__(self, frames, on_message=None):
        self.connection = Connection(frames, on_message)
        self.memory = bytearray(1000)
        self.flushed = []
        pump = _pump_py.Pump if frames is _frames_py else frames.Pump
        self.pump = pump(self.connection, memoryview(self.memory), self.flush)

    def flush(self):
        self.flushed.append(self.connection.writer.take())

    def put(self, data):
        view = self.pump.get_buffer(-1)
        view[: len(data)] = data
        self.pump.buffer_updated(len(data))


def test_messages_whole_and_in_pieces(twin):
    data = b"".join(frame(2, b"x" * size) for size in (0, 1, 125, 126, 300)) + frame(1, "ä".encode())
    expected = [(b"x" * size, True) for size in (0, 1, 125, 126, 300)] + [("ä".encode(), False)]
    for size in (1, 2, 3, 7, 150, 999):
        world = World1(twin)
        for start in range(0, len(data), size):
            world.put(data[start : start + size])
            world.memory[:] = b"\xff" * len(world.memory)  # the next read of another connection
        assert world.connection.events == expected
        assert not world.flushed


def test_what_a_read_writes_is_flushed_once(twin):
    world = World1(twin, lambda payload, is_binary: world.connection.writer.frame(2, payload))
    world.put(frame(2, b"one") + frame(2, b"two"))
    assert world.flushed == [frame(2, b"one", key=None) + frame(2, b"two", key=None)]
    assert world.connection.events == []  # nobody was woken
    world.connection.writer.frame(2, b"later")
    assert world.connection.events == ["wake"]


def test_a_violation_goes_to_the_connection(twin):
    world = World1(twin)
    world.put(frame(2, b"fine") + frame(3, b"bad"))
    assert world.connection.events == [(b"fine", True)]
    assert world.connection.violations == [1002]
    assert not world.connection.writer.corked


def test_other_exceptions_pass_through(twin):
    def fail(data):
        raise ZeroDivisionError

    world = World1(twin)
    world.connection.receive = fail
    with pytest.raises(ZeroDivisionError):
        world.put(b"x")
    assert not world.connection.writer.corked
    with pytest.raises(ValueError, match="expected at most 1000 octets, got 1001"):
        world.connection.receive = world.connection.reader.feed
        world.pump.buffer_updated(1001)


def test_whatever_the_connection_installs_receives(twin):
    world, got = World1(twin), []
    world.put(frame(2, b"one"))
    world.connection.receive = lambda data: got.append(bytes(data))
    world.put(b"two")
    world.connection.receive = world.connection.reader.feed
    world.put(frame(2, b"three"))
    other = Connection(twin)
    world.connection.receive = other.reader.feed
    world.put(frame(2, b"four"))
    world.connection.receive = world.connection.reader.stop  # of a reader, but not its feed
    with pytest.raises(TypeError):
        world.put(frame(2, b"five"))
    assert world.connection.events == [(b"one", True), (b"three", True)]
    assert got == [b"two"]
    assert other.events == [(b"four", True)]


def test_a_read_within_a_callback_is_refused(twin):
    def again(payload, is_binary):
        with pytest.raises(RuntimeError):
            world.pump.buffer_updated(3)

    world = World1(twin, again)
    world.put(frame(2, b"one"))
    assert not world.connection.violations


def test_octets_of_every_read_are_counted(twin):
    world = World1(twin)
    for count in (1, 2):
        world.put(frame(2, b"x"))
        assert world.pump.received == count * len(frame(2, b"x"))


def test_after_stop_nothing_is_received(twin):
    def stop(payload, is_binary):
        world.pump.stop()
        world.connection.writer.frame(2, payload)

    world = World1(twin, stop)
    world.put(frame(2, b"one") + frame(2, b"two"))
    world.put(frame(2, b"three"))
    world.pump.stop()
    assert not world.flushed
    with pytest.raises(FrameError):
        world.connection.reader.feed(frame(3, b""))


async def test_a_connection_that_is_used_has_a_pump_until_it_is_gone(loop_name):
    async with World(Echo) as world:
        client = await world.open(Client)
        assert client._ws_pump is None and world.server._ws_pump is None
        client.sendMessage(b"x" * 100_000, True)
        assert await client.messages.get() == (b"x" * 100_000, True)
        pumps = [client._ws_pump, world.server._ws_pump]
        assert all(pump is not None for pump in pumps)
        assert all(pump.received > 100_000 for pump in pumps)
        client.sendClose(1000)
        await world.ended()
        for pump in pumps:
            pump.buffer_updated(1)


async def test_a_connection_that_is_opened_just_to_be_closed_has_no_pump(loop_name):
    async with World(Echo) as world:
        client = await world.open(Client)
        client.sendClose(1000, "enough")
        await world.ended()
        assert world.server._ws_pump is None
        assert world.server.log[-1] == ("close", True, 1000, "enough")


@pytest.mark.parametrize("name", ["data_received", "buffer_updated", "get_buffer"])
async def test_a_program_that_overrides_how_octets_come_sees_them_all(loop_name, name):
    calls = []

    class Watching(Server):
        def onMessage(self, payload, isBinary):
            self.sendMessage(payload, isBinary)

    def override(self, *args):
        calls.append(args)
        return getattr(WebSocketAdapterProtocol, name)(self, *args)

    setattr(Watching, name, override)
    async with World(Watching) as world:
        client = await world.open(Client)
        before = len(calls)
        client.sendMessage(b"hello")
        assert await client.messages.get() == (b"hello", False)
        assert len(calls) > before
        assert world.server._ws_pump is None


async def test_async_handlers_that_lag_stop_the_pump(loop_name):
    class Slow(Server):
        def __init__(self):
            super().__init__()
            self.go_on = None
            self.count = 0

        async def onMessage(self, payload, isBinary):
            self.count += 1
            if self.go_on is not None:
                await self.go_on.wait()

    import asyncio

    async with World(Slow, maxReceiveQueue=4) as world:
        client = await world.open(Client)
        await until(lambda: world.made and "open" in world.server.log)
        world.server.go_on = asyncio.Event()
        for _ in range(2000):
            client.sendMessage(b"x" * 1000, True)
        await until(lambda: not world.server.transport.is_reading())
        assert world.server.count == 1
        world.server.go_on.set()
        assert world.server._ws_pump is not None
        await until(lambda: world.server.count == 2000)

"""`Pump`: octets from a transport's buffer to the reader, in the compiled unit alone."""

import pytest

from autobahn.rawsocket import frames
from autobahn.rawsocket.errors import FrameError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, head

pytestmark = pytest.mark.skipif(not frames.COMPILED, reason="the pump is part of the compiled unit")


class World:
    """A pump with a reader and a writer, and a transport's buffer of 1000 octets."""

    def __init__(self, on_message=None):
        self.events, self.flushed, self.failures = [], [], []
        note = self.events.append
        self.writer = frames.Writer(lambda: note("wake"))
        self.reader = frames.Reader(on_message or note, self.pong, note)
        self.memory = bytearray(1000)
        self.pump = frames.new_pump(self.reader, self.writer, memoryview(self.memory), self.flush, self.failures.append)

    def pong(self, payload):
        self.writer.frame(PONG, payload)

    def flush(self):
        self.flushed.append(self.writer.take())

    def put(self, data):
        view = self.pump.get_buffer(-1)
        view[: len(data)] = data
        self.pump.buffer_updated(len(data))
        self.memory[:] = b"\xff" * len(self.memory)  # the next read of another connection


def frame(payload, kind=MESSAGE):
    return head(kind, len(payload)) + payload


def test_messages_whole_and_in_pieces():
    payloads = [bytes((size % 251,)) * size for size in (0, 1, 3, 125, 300, 5000)]
    data = b"".join(map(frame, payloads))
    for size in (1, 2, 3, 4, 5, 7, 150, 999, 1000):
        world = World()
        for start in range(0, len(data), size):
            world.put(data[start : start + size])
        assert world.events == payloads
        assert not world.flushed and not world.failures
        assert world.pump.received == len(data)


def test_what_a_read_writes_is_flushed_once():
    world = World(lambda payload: world.writer.message(payload))
    world.put(frame(b"one") + frame(b"?", PING) + frame(b"two"))
    assert world.flushed == [frame(b"one") + frame(b"?", PONG) + frame(b"two")]
    assert world.events == []  # nobody was woken
    world.writer.message(b"later")
    assert world.events == ["wake"]


def test_what_goes_wrong_is_told_and_nothing_is_raised():
    world = World()
    world.put(frame(b"fine") + b"\x03\0\0\0")
    assert world.events == [b"fine"]
    (failure,) = world.failures
    assert isinstance(failure, FrameError) and "0x03" in failure.reason
    assert not world.writer.corked

    def fail(payload):
        world.writer.message(b"sent before")
        raise ZeroDivisionError

    world.reader.on_message = fail
    world.put(frame(b"one"))
    assert isinstance(world.failures[-1], ZeroDivisionError)
    assert world.flushed == [frame(b"sent before")]
    with pytest.raises(ValueError, match="expected at most 1000 octets, got 1001"):
        world.pump.buffer_updated(1001)
    assert not world.writer.corked


def test_a_read_within_a_callback_is_refused():
    world = World(lambda payload: world.pump.buffer_updated(3))
    world.put(frame(b"one"))
    assert isinstance(world.failures[0], RuntimeError)


@pytest.mark.parametrize("within", [False, True])
def test_after_stop_nothing_is_received(within):
    seen = []

    def stop(payload):
        seen.append(payload)
        world.writer.message(b"answer")
        world.reader.stop()
        world.pump.stop()

    world = World(stop)
    if within:
        world.put(frame(b"one") + frame(b"two"))
    else:
        world.pump.stop()
    world.put(frame(b"three"))
    assert seen == ([b"one"] if within else [])
    assert world.flushed == [] and not world.writer.corked

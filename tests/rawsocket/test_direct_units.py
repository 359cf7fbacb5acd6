"""Past the transport, with a pair of sockets: `attach`, `send` of `Writer` and `attach`, `read` of `Pump`."""

import contextlib
import os
import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobahn.rawsocket import _frames_py, frames
from autobahn.rawsocket.errors import FrameError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, head
from direct_world import SKIP, as_uvloop_reads, drained, fill, pair, play

pytestmark = pytest.mark.skipif(not frames.COMPILED, reason=SKIP)


def frame(payload, kind=MESSAGE):
    return head(kind, len(payload)) + payload


class Trace:
    """What a reader gives, in order, and what it ends with."""

    def __init__(self, twin, limit=1 << 24):
        self.events, self.failures = [], []
        self.reader = twin.Reader(self.on(MESSAGE), self.on(PING), self.on(PONG), limit)

    def on(self, kind):
        return lambda payload: self.events.append((kind, payload))

    def failed(self, error):
        self.failures.append(error)
        self.reader.stop()

    def feed(self, octets):
        try:
            self.reader.feed(octets)
        except FrameError as error:
            self.failed(error)
        return self.result()

    def result(self):
        return self.events, [(type(error), str(error)) for error in self.failures]


class World(Trace):
    """A pump on one end of a pair of sockets."""

    def __init__(self, transport, other, memory=524_288, limit=1 << 24):
        super().__init__(frames, limit)
        self.transport, self.other = transport, other
        self.writer = frames.Writer(lambda: self.events.append("wake"))
        self.flushed = []
        self.pump = frames.new_pump(
            self.reader, self.writer, memoryview(bytearray(memory)), self.flush, lambda error: self.failed(error)
        )
        assert self.pump.attach(transport, transport.sock.fileno())

    def flush(self):
        self.flushed.append(self.writer.take())

    def play(self, pieces, past):
        """`past`: by no buffer of the transport's."""
        read = self.pump.read if past else as_uvloop_reads(self.pump, self.transport)
        play(self.pump, self.transport, self.other, pieces, read)

    def put(self, data):
        """The other end sends octets of which there are not too many."""
        assert self.other.send(data) == len(data)


@contextlib.contextmanager
def world_of(**options):
    with pair() as (transport, other):
        yield World(transport, other, **options)


@pytest.fixture
def world():
    with world_of() as world:
        yield world


# -- sending -----------------------------------------------------------------------------------------------------


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["message", "message", "frame", "raw"]),
        st.sampled_from([0, 1, 3000, 16_384, 65_536, 200_000]),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=20,
)


def call(writer, name, size, octet):
    payload = bytes([octet]) * size
    if name == "frame":
        writer.frame(PING, payload)
    else:
        getattr(writer, name)(payload)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CALLS, st.booleans(), st.integers(1, 400_000))
def test_all_octets_come_in_order_however_many_the_socket_takes(calls, is_full, room):
    twin = _frames_py.Writer(lambda: None)
    for each in calls:
        call(twin, *each)
    expected = twin.take()
    with pair() as (transport, other):
        writer = frames.Writer(lambda: None)
        writer.attach(transport, transport.sock.fileno())
        if is_full:
            fill(transport.sock)
            other.recv(room)
        for each in calls:
            call(writer, *each)
        assert writer.send()
        assert (writer.size, writer.sent) == (0, len(expected))
        given_on = b"".join(transport.given)
        sent = expected[: len(expected) - len(given_on)]
        came = drained(other)
        assert came == bytes(len(came) - len(sent)) + sent
        assert expected.endswith(given_on)


@pytest.mark.parametrize(("name", "value"), [("waiting", 1), ("closed", True)])
def test_a_transport_in_another_state_gets_the_octets_itself(name, value):
    with pair() as (transport, other):
        setattr(transport, name, value)
        writer = frames.Writer(lambda: None)
        writer.attach(transport, transport.sock.fileno())
        writer.message(b"abc")
        assert not writer.send()
        writer.flush(transport.write)
        assert transport.given == [frame(b"abc")]
        setattr(transport, name, 0)
        writer.message(b"def")
        writer.detach()
        assert not writer.send()
        assert drained(other) == b""
        assert writer.take() == frame(b"def")


# -- receiving ---------------------------------------------------------------------------------------------------

SIZES = [0, 1, 1000, 32_767, 32_768, 32_769, 65_536, 131_071, 131_072, 300_000, 400_000]


@st.composite
def parts(draw):
    """A frame, seldom one that breaks the rules."""
    payload = bytes([draw(st.integers(0, 255))]) * draw(st.sampled_from(SIZES))
    kind = draw(st.sampled_from([MESSAGE] * 6 + [PING, PONG, 3, 0x10]))
    return bytes([kind]) + head(MESSAGE, len(payload))[1:] + payload


@pytest.mark.parametrize("past", [True, False])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_same_events_and_errors_as_the_twins_for_the_same_octets(past, data):
    octets = b"".join(data.draw(st.lists(parts(), min_size=1, max_size=5)))
    limit = data.draw(st.sampled_from([1 << 24, 1 << 24, 310_000]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    pieces = [(octets[a:b], data.draw(st.booleans())) for a, b in pairwise([0, *cuts, len(octets)])]
    with world_of(memory=data.draw(st.sampled_from([1000, 20_000, 524_288])), limit=limit) as world:
        world.play(pieces, past)
        found = world.result()
    assert found == Trace(frames, limit).feed(octets)
    assert found == Trace(_frames_py, limit).feed(octets)
    assert all(type(payload) is bytes for _, payload in found[0])


@pytest.mark.parametrize("size", [32_768, 100_000, 1_500_000, (1 << 24) - 1, 1 << 24])
@pytest.mark.parametrize("past", [True, False])
def test_a_large_payload_in_pieces(size, past):
    payload = random.Random(size).randbytes(1000) * (size // 1000 + 1)
    payload = payload[:size]
    octets = frame(payload) + frame(b"?", PING) + frame(payload[:50_000])
    with world_of() as world:
        world.play([(octets[at : at + 50_001], True) for at in range(0, len(octets), 50_001)], past)
        assert world.events == [(MESSAGE, payload), (PING, b"?"), (MESSAGE, payload[:50_000])]
        assert not world.failures


def test_nothing_there_the_end_and_a_reset(world):
    world.pump.read()
    world.put(frame(b"x" * 50_000)[:40_000])
    world.pump.read()
    world.pump.read()
    assert (world.pump.received, world.transport.ends) == (40_000, 0)
    world.other.close()
    world.pump.read()
    assert world.transport.ends == 1
    assert not world.transport.failures
    with world_of() as other:
        other.transport.sock.send(b"never read")
        other.other.close()
        other.pump.read()
        ((error, _),) = other.transport.failures
        assert type(error) is ConnectionResetError


@pytest.mark.parametrize("size", [10, 50_000])
def test_what_a_callback_raises_is_told(world, size):
    def fail(payload):
        world.writer.message(b"sent before")
        raise ZeroDivisionError

    world.reader.on_message = fail
    world.put(frame(b"x" * size))
    for _ in range(3):
        world.pump.read()
    assert [type(error) for error in world.failures] == [ZeroDivisionError]
    assert world.flushed == [frame(b"sent before")]
    assert not world.transport.failures
    assert not world.writer.corked


@pytest.mark.parametrize("size", [10, 50_000])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_passes_through(world, size, kind):
    def fail(payload):
        raise kind

    world.reader.on_message = fail
    world.put(frame(b"x" * size))
    with pytest.raises(kind):
        for _ in range(3):
            world.pump.read()
    assert not world.failures
    assert not world.transport.failures


def test_what_nobody_takes_ends_the_connection_as_the_transport_would(world):
    def failed(error):
        raise error

    world.failed = failed
    world.put(b"\x03\0\0\0")
    world.pump.read()
    ((error, message),) = world.transport.failures
    assert type(error) is FrameError
    assert message == "Fatal error: protocol.buffer_updated() call failed."
    assert not world.writer.corked


@pytest.mark.parametrize("size", [10, 50_000])
@pytest.mark.parametrize("which", ["pump", "reader", "both"])
def test_stop_within_the_callback_of_a_payload(world, size, which):
    seen = []

    def stop(payload):
        seen.append(payload)
        world.writer.message(b"answer")
        if which != "pump":
            world.reader.stop()
        if which != "reader":
            world.pump.stop()
            world.reader = None

    world.reader.on_message = stop
    world.put(frame(b"x" * size) + frame(b"second")[:6])
    for _ in range(4):
        world.pump.read()
    world.put(frame(b"second")[6:])
    world.pump.read()
    assert seen == [b"x" * size]
    assert not world.failures
    assert not world.transport.failures


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("size", [10, 50_000])
def test_what_a_read_writes_goes_to_the_socket_at_once(world, size, attached):
    world.reader.on_message = world.writer.message
    if attached:
        world.writer.attach(world.transport, world.transport.sock.fileno())
    octets = frame(b"x" * size) + frame(b"y")
    world.put(octets)
    while world.pump.received < len(octets):
        world.pump.read()
    assert b"".join(world.flushed) == (b"" if attached else octets)
    assert drained(world.other) == (octets if attached else b"")
    assert world.events == []  # nobody was woken


def test_pausing_within_a_callback_ends_the_reads_of_this_turn():
    octets = frame(b"a" * 100) + frame(b"b" * 150_000)
    counts = []
    for pauses in (False, True):
        with world_of(memory=1000) as world:

            def on_message(payload, world=world, pauses=pauses):
                world.transport.reading = not pauses

            world.reader.on_message = on_message
            world.put(octets[:100_000])
            world.pump.read()
            counts.append(world.pump.received)
    assert counts[1] == 1000 < counts[0]


def test_a_head_makes_nobody_allocate_what_it_announces(world):
    chunk = os.urandom(65_536)
    world.put(frame(b"warm"))
    world.pump.read()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        world.put(head(MESSAGE, 1 << 24))
        for _ in range(5):
            world.pump.read()
        for _ in range(50):  # a trickle
            world.put(b"x")
            world.pump.read()
        assert tracemalloc.get_traced_memory()[1] - base < 300_000
        came = 12 + 50
        for _ in range(60):
            world.put(chunk)
            came += len(chunk)
            while world.pump.received < came:
                world.pump.read()
            assert tracemalloc.get_traced_memory()[0] - base < 5 * came + 300_000
    finally:
        tracemalloc.stop()
    assert world.events == [(MESSAGE, b"warm")]


def test_a_limit_refuses_before_anything_is_allocated():
    with world_of(limit=1 << 20) as world:
        world.put(frame(b"warm"))
        world.pump.read()
        tracemalloc.start()
        try:
            base = tracemalloc.get_traced_memory()[0]
            world.put(head(MESSAGE, 1 << 24) + bytes(100))
            world.pump.read()
            world.pump.read()
            assert tracemalloc.get_traced_memory()[1] - base < 50_000
        finally:
            tracemalloc.stop()
        (error,) = world.failures
        assert "16777216" in str(error)

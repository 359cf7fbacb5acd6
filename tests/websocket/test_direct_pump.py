"""Past the transport, with a pair of sockets: `attach` and `read` of `Pump`."""

import errno
import os
import random
import tracemalloc
import weakref
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobahn.websocket import _frames_py
from autobahn.websocket.deflate import Inflater
from direct_world import Connection, drained, pair
from direct_world import large_frame as frame
from frames_world import KEY, _frames, deflated, head, trace
from pump_world import World, compiled, every_way, every_world, world_of


@pytest.fixture
def world(request):
    with pair() as (transport, other):
        yield World(transport, other, getattr(request, "param", "directly"))


SIZES = [0, 1, 125, 126, 1000, 16_383, 32_767, 32_768, 32_769, 65_535, 65_536, 100_001, 262_144, 262_145, 400_000]
WORDS = ["a", "aé€𝄞", "𝄞", "€b", "é"]


@st.composite
def parts(draw):
    """Frames of a message, or what breaks the rules."""
    key = draw(st.sampled_from([KEY, None]))
    size = draw(st.sampled_from(SIZES))
    what = draw(
        st.sampled_from(["binary", "text", "text", "fragments", "fragments", "control", "bad", "late", "close"])
    )
    word = draw(st.sampled_from(WORDS)).encode()
    payload = (word * (size // len(word) + 1))[:size]
    opcode = 2
    if what != "binary":
        opcode, payload = 1, payload.decode(errors="ignore").encode()
    if what == "control":
        return frame(draw(st.sampled_from([9, 10])), b"p" * draw(st.integers(0, 125)), key=key)
    if what == "close":
        return frame(8, b"\x03\xe8bye", key=key)
    if what == "late":
        return frame(0, payload, key=key)
    if what == "bad" and payload:
        at = draw(st.integers(0, len(payload) - 1))
        payload = payload[:at] + bytes([draw(st.sampled_from([0xFF, 0x80, 0xE2, 0xC0]))]) + payload[at + 1 :]
    if what != "fragments":
        return frame(opcode, payload, key=key)
    found, at = [], 0
    for cut in sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))):
        found.append(frame(0 if found else opcode, payload[at:cut], fin=False, key=key))
        at = cut
        if draw(st.booleans()):
            found.append(frame(9, b"between", key=key))
    return b"".join([*found, frame(0 if found else opcode, payload[at:], key=key)])


@st.composite
def pieces_of(draw, data):
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    bounds = [0, *cuts, len(data)]
    return [(data[a:b], draw(st.booleans())) for a, b in pairwise(bounds)]


@every_way
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_same_events_and_errors_as_the_twins_for_the_same_octets(way, data):
    octets = b"".join(data.draw(st.lists(parts(), min_size=1, max_size=4)))
    pieces = data.draw(pieces_of(octets))
    options = {
        "masked": None,
        "stream": data.draw(st.sampled_from([False, False, True])),
        "max_message": data.draw(st.sampled_from([0, 0, 300_000])),
        "max_frame": data.draw(st.sampled_from([0, 0, 262_144])),
        "validate_utf8": data.draw(st.sampled_from([True, True, False])),
        "apply_mask": data.draw(st.sampled_from([True, True, False])),
    }
    with world_of(way, memory=data.draw(st.sampled_from([1000, 20_000, 524_288])), **options) as world:
        world.play(pieces)
        found = world.events + world.connection.violations
    assert found == trace(_frames or _frames_py, [octets], **options)
    assert found == trace(_frames_py, [octets], **options)
    for event in found:
        if event[0] == "message":
            assert type(event[1]) is bytes


@every_way
@pytest.mark.parametrize("size", [32_768, 100_000, 262_145, 1_500_000])
@pytest.mark.parametrize("step", [1448, 16_384, 50_001, 200_000])
def test_a_large_payload_in_pieces_of_any_size(way, size, step):
    payload = random.Random(size).randbytes(size)
    octets = frame(2, payload) + frame(1, "ä".encode()) + frame(2, payload[:-7], fin=False) + frame(0, payload)
    with world_of(way) as world:
        world.play([(octets[at : at + step], True) for at in range(0, len(octets), step)])
        expected = [(payload, True), ("ä".encode(), False), (payload[:-7] + payload, True)]
        assert world.events == [("message", *event) for event in expected]
        assert not world.flushed


@every_way
def test_compressed_messages_are_received_as_ever(way):
    messages = [random.Random(n).randbytes(size) for n, size in enumerate([100, 100_000, 300_000])]
    octets = b"".join(frame(2, payload, rsv=4) for payload in deflated(*messages))
    with world_of(way, inflater=Inflater()) as world:
        world.play([(octets, False)])
        assert world.events == [("message", message, True) for message in messages]


@every_world
def test_nothing_there_is_no_event(world):
    for _ in range(3):
        world.read()
    world.put(frame(2, b"x" * 50_000)[:100])
    world.read()
    world.read()
    assert world.pump.received == 100
    assert not world.events
    assert not world.transport.ends
    assert not world.transport.failures


@compiled
@pytest.mark.parametrize("before", [b"", frame(2, b"x" * 50_000)[:40_000]])
def test_the_end_is_the_transports(world, before):
    world.other.send(before)
    world.other.close()
    if before:
        world.read()  # brings these octets, and room for more
    world.read()
    assert world.pump.received == len(before)
    assert world.transport.ends == 1
    assert not world.transport.failures


@compiled
def test_a_reset_is_told_to_the_transport(world):
    world.transport.sock.send(b"never read")
    world.other.close()
    world.read()
    ((error, message),) = world.transport.failures
    assert type(error) is ConnectionResetError
    assert error.strerror == "Connection reset by peer"
    assert message == "Fatal read error on socket transport"
    assert not world.transport.ends


@compiled
def test_a_descriptor_that_is_none_is_an_error_of_the_socket():
    with world_of() as world:
        os.close(world.transport.sock.detach())
        world.read()
        ((error, _),) = world.transport.failures
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF


@compiled
@pytest.mark.parametrize("size", [10, 50_000])
def test_what_a_callback_raises(world, size):
    """`on_message` is guarded; what still comes out ends the connection as the transport would end it."""

    def fail(*_):
        raise ZeroDivisionError("of the callback")

    world.recorder.reader.on_message = fail
    world.put(frame(2, b"x" * size))
    for _ in range(3):
        world.read()
    ((kind, error),) = world.events
    assert kind == "error"
    assert type(error) is ZeroDivisionError
    assert not world.transport.failures
    world.connection.receive = fail
    world.put(b"x")
    world.read()
    ((error, message),) = world.transport.failures
    assert type(error) is ZeroDivisionError
    assert message == "Fatal error: protocol.buffer_updated() call failed."
    assert not world.connection.writer.corked


@compiled
@pytest.mark.parametrize("size", [10, 50_000])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_passes_through(world, size, kind):
    def fail(*_):
        raise kind

    world.recorder.reader.on_message = fail
    world.put(frame(2, b"x" * size))
    with pytest.raises(kind):
        for _ in range(3):
            world.read()
    assert not world.transport.failures
    assert not world.connection.writer.corked


@every_world
@pytest.mark.parametrize("size", [10, 50_000])
def test_a_violation_goes_to_the_connection(world, size):
    world.put(frame(1, b"x" * size) + frame(1, b"y" * size + b"\xff") + frame(2, b"never"))
    for _ in range(6):
        world.read()
    assert world.events == [("message", b"x" * size, False)]
    ((_, code, _),) = world.connection.violations
    assert code == 1007
    assert not world.transport.failures


@every_world
@pytest.mark.parametrize("size", [10, 50_000])
def test_what_a_read_writes_goes_to_the_socket_at_once(world, size):
    """Straight to the socket when the writer is attached, else through what the pump was made with; nobody is woken."""
    writer = world.connection.writer
    world.recorder.reader.on_message = lambda payload, is_binary: writer.frame(2, payload)
    for attached in (False, True):
        if attached:
            writer.attach(world.transport, world.transport.sock.fileno())
        octets = frame(2, b"x" * size) + frame(2, b"y")
        world.put(octets)
        while world.pump.received < len(octets) * (1 + attached):
            world.read()
        expected = frame(2, b"x" * size, key=None) + frame(2, b"y", key=None)
        assert b"".join(world.flushed) == (b"" if attached else expected)
        assert drained(world.other) == (expected if attached else b"")
        world.flushed.clear()
    assert world.events == []
    writer.detach()
    writer.frame(2, b"later")
    assert world.events == ["wake"]


@every_world
def test_octets_of_every_read_are_counted(world):
    world.read()
    assert world.pump.received == 0  # nothing came
    begun = frame(2, b"x" * 50_000)[:40_000]
    world.put(begun)
    world.read()
    for more in (1, 2):
        world.put(b"x")
        world.read()
        assert world.pump.received == len(begun) + more


@every_world
@pytest.mark.parametrize("size", [10, 50_000])
@pytest.mark.parametrize("which", ["pump", "reader", "both"])
def test_stop_within_the_callback_of_a_payload(world, size, which):
    seen = []

    def stop(payload, is_binary):
        seen.append(payload)
        if which != "reader":
            world.pump.stop()
        if which != "pump":
            world.recorder.reader.stop()

    world.recorder.reader.on_message = stop
    octets = frame(2, b"x" * size)
    world.put(octets + frame(2, b"second")[:8])
    for _ in range(4):
        world.read()
    assert seen == [b"x" * size]
    world.put(frame(2, b"second")[8:])
    world.read()
    assert seen == [b"x" * size]
    assert not world.transport.failures
    assert not world.transport.ends


@compiled
@pytest.mark.parametrize("size", [10, 50_000])
def test_a_reader_that_nobody_knows_any_more_ends_its_read_first(size):
    """Of the connection, the pump and the program nothing refers to it, while it calls back."""

    class Callback:
        def __call__(self, payload):
            pass

    with pair() as (transport, other):
        on_ping = Callback()
        alive = weakref.ref(on_ping)
        seen = []

        def on_message(payload, is_binary):
            seen.append(len(payload))
            connection.receive = connection.reader = None
            pump.stop()
            assert alive() is not None

        reader = _frames.Reader(on_message, on_ping, *[lambda *_: None] * 4, masked=None)
        connection = Connection(reader, _frames.Writer(lambda: None, masked=False))
        pump = _frames.Pump(connection, memoryview(bytearray(100_000)), lambda: None)
        pump.attach(transport, transport.sock.fileno())
        del reader, on_ping
        other.send(frame(2, b"x" * size)[:100])
        pump.read()
        other.send(frame(2, b"x" * size)[100:] + frame(2, b"y"))
        pump.read()
        pump.read()
        assert seen[0] == size
        assert not transport.failures
        connection.receive = connection.reader = None
        on_message = None
        assert alive() is None


@compiled
def test_pausing_within_a_callback_ends_the_reads_of_this_turn():
    """A turn reads more than once while a large payload comes; the second message begins it."""
    octets = frame(2, b"a" * 100) + frame(2, b"b" * 150_000)
    counts = []
    for pauses in (False, True):
        with world_of(memory=1000) as world:

            def on_message(payload, is_binary, world=world, pauses=pauses):
                world.transport.reading = not pauses

            world.recorder.reader.on_message = on_message
            world.put(octets[:100_000])
            world.read()
            counts.append(world.pump.received)
    assert counts[1] == 1000 < counts[0]


@compiled
def test_a_read_within_a_callback_is_refused(world):
    errors = []

    def again(payload, is_binary):
        world.put(b"more")
        world.read()
        errors.extend(world.transport.failures)

    world.recorder.reader.on_message = again
    world.put(frame(2, b"x"))
    world.read()
    assert [type(error) for error, _ in errors] == [RuntimeError]


@compiled
def test_a_read_of_what_was_never_attached_or_was_stopped_does_nothing(world):
    other = _frames.Pump(world.connection, memoryview(bytearray(10)), None)
    world.put(frame(2, b"x"))
    other.read()
    world.pump.stop()
    world.read()
    assert not world.events
    assert not world.transport.failures
    assert drained(world.transport.sock) == frame(2, b"x")


# -- memory ------------------------------------------------------------------------------------------------------


@every_world
def test_a_head_makes_nobody_allocate_what_it_announces(world):
    start = head(0x82, 16 << 20, True) + KEY
    chunk = bytes(65_536)
    world.put(frame(2, b"warm"))
    world.read()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        world.put(start)
        for _ in range(5):
            world.read()
        assert tracemalloc.get_traced_memory()[1] - base < 300_000
        for _ in range(50):  # a trickle
            world.put(b"x")
            world.read()
        assert tracemalloc.get_traced_memory()[1] - base < 300_000
        came = 50
        for _ in range(60):
            world.put(chunk)
            came += len(chunk)
            while world.pump.received < came + len(start) + len(frame(2, b"warm")):
                world.read()
            assert tracemalloc.get_traced_memory()[0] - base < 5 * came + 300_000
    finally:
        tracemalloc.stop()
    assert len(world.events) == 1


@every_way
def test_a_limit_refuses_before_anything_is_allocated(way):
    with world_of(way, max_message=1 << 20) as world:
        world.put(frame(2, b"warm"))
        world.read()
        tracemalloc.start()
        try:
            base = tracemalloc.get_traced_memory()[0]
            world.put(head(0x82, 16 << 20, True) + KEY + bytes(100))
            world.read()
            world.read()
            assert tracemalloc.get_traced_memory()[1] - base < 50_000
        finally:
            tracemalloc.stop()
        assert [code for _, code, _ in world.connection.violations] == [1009]


# -- places that are lent ----------------------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("meanwhile", ["nothing came", "another receives", "a dead reader", "stop"])
def test_a_place_that_is_given_up_before_its_octets_come(meanwhile):
    """Event loops let nothing happen between `get_buffer` and `buffer_updated`; if it does, octets are octets."""
    octets, got = frame(2, b"abcd" * 25_000), []
    with world_of("through buffers", memory=1000) as world:
        world.put(octets[:100])
        world.read()
        lent = world.pump.get_buffer(-1)
        assert len(lent) > 1000  # no part of the memory above
        if meanwhile == "nothing came":
            lent = world.pump.get_buffer(-1)
        elif meanwhile == "stop":
            world.pump.stop()
        else:
            world.connection.receive = lambda data: got.append(bytes(data))
        if meanwhile == "a dead reader":
            world.recorder.reader.stop()
        lent[:2000] = octets[100:2100]
        world.pump.buffer_updated(2000)
        if meanwhile == "nothing came":
            world.play([(octets[2100:], False)], before=2100)
            assert world.events == [("message", b"abcd" * 25_000, True)]
        else:
            assert world.events == []
            assert got == ([] if meanwhile == "stop" else [octets[100:2100]])


@compiled
def test_a_place_is_the_payloads_and_outlives_it():
    """Whoever keeps the view has memory that is there; a reader that needs more goes elsewhere."""
    octets = frame(2, b"abcd" * 200_000)
    with world_of("through buffers") as world:
        world.put(octets[:100])
        world.read()
        with pytest.raises(ValueError, match=r"expected at most \d+ octets, got"):
            world.pump.buffer_updated(len(world.pump.get_buffer(-1)) + 1)
        views = []
        at = 100
        while at < len(octets):
            views.append(world.pump.get_buffer(-1))
            size = min(len(views[-1]), len(octets) - at)
            views[-1][:size] = octets[at : at + size]
            world.pump.buffer_updated(size)
            at += size
        assert world.events == [("message", b"abcd" * 200_000, True)]
        world.events.clear()
        assert sum(map(len, views)) > 700_000
        del world.pump, world.connection, world.recorder
        for view in views:
            view[:] = bytes(len(view))

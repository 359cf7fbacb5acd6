"""Past the transport, with a pair of sockets: `attach`, `detach` and `send` of `Writer`."""

import contextlib
import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobahn.websocket import _frames_py
from direct_world import drained, fill, pair
from direct_world import large_frame as frame
from frames_world import KEY, TWINS

pytestmark = pytest.mark.parametrize("unit", TWINS, ids=["python", "compiled"][: len(TWINS)])


def writer_of(unit, transport, **options):
    writer = unit.Writer(lambda: None, masked=False, **options)
    writer.attach(transport, transport.sock.fileno())
    return writer


def twin_of(calls, **options):
    """What the Python twin writes."""
    writer = _frames_py.Writer(lambda: None, masked=False, **options)
    for name, *arguments in calls:
        getattr(writer, name)(*arguments)
    return writer.take()


@st.composite
def written(draw):
    """Calls of a writer's methods."""
    calls = []
    for _ in range(draw(st.integers(1, 30))):
        size = draw(st.sampled_from([0, 1, 125, 126, 3000, 16_383, 16_384, 16_385, 65_536, 200_000]))
        payload = bytes([draw(st.integers(0, 255))]) * size
        kind = draw(st.sampled_from(["frame", "frame", "fragment", "view", "raw"]))
        if kind == "raw":
            calls.append(("raw", payload))
        elif kind == "view":
            calls.append(("frame", 2, bytearray(payload)))
        else:
            calls.append(("frame", 2, payload, kind == "frame"))
    return calls


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(written(), st.sampled_from(["send", "send to little room", "take", "flush"]), st.integers(1, 400_000))
def test_all_octets_come_in_order_however_many_the_socket_takes(unit, calls, way, room):
    expected = twin_of(calls)
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        if way == "send to little room":
            fill(transport.sock)
            other.recv(room)
        for name, *arguments in calls:
            getattr(writer, name)(*arguments)
        assert writer.size == len(expected)
        if way == "take":
            assert writer.take() == expected
        elif way == "flush":
            writer.flush(transport.write)
        else:
            assert writer.send()
        assert (writer.size, writer.sent) == (0, len(expected) if way.startswith("send") else 0)
        given_on = b"".join(transport.given)
        if way.startswith("send"):
            sent = expected[: len(expected) - len(given_on)]
            came = drained(other)
            assert came == bytes(len(came) - len(sent)) + sent
        assert expected.endswith(given_on)


@pytest.mark.parametrize("kind", ["frames", "raw"])
@pytest.mark.parametrize("size", [10, 20_000, 65_536, 3_000_000])
def test_what_the_system_does_not_take_goes_to_the_transport(unit, size, kind):
    payload = random.Random(size).randbytes(size)
    expected = payload if kind == "raw" else frame(2, payload, key=None)
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        for turn in range(1, 4):
            writer.raw(payload) if kind == "raw" else writer.frame(2, payload)
            assert writer.send()
            assert drained(other) + b"".join(transport.given) == expected
            assert bool(transport.given) == (size == 3_000_000)
            assert (writer.size, writer.sent) == (0, turn * len(expected))
            transport.given.clear()


def test_raw_octets_and_then_frames(unit):
    calls = [("raw", b"GET"), ("frame", 2, b"a" * 20_000), ("raw", b"raw"), ("frame", 1, b"b"), ("raw", b"c" * 70_000)]
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        for n in range(1, len(calls) + 1):
            for name, *arguments in calls[:n]:
                getattr(writer, name)(*arguments)
            assert writer.send()
            assert drained(other) + b"".join(transport.given) == twin_of(calls[:n])


@pytest.mark.parametrize(("name", "value"), [("waiting", 1), ("closed", True)])
def test_a_transport_in_another_state_gets_the_octets_itself(unit, name, value):
    with pair() as (transport, other):
        setattr(transport, name, value)
        writer = writer_of(unit, transport)
        writer.frame(2, b"abc")
        writer.frame(2, b"d" * 20_000)
        assert not writer.send()
        assert writer.size == 5 + 20_004
        assert writer.sent == 0
        writer.flush(transport.write)
        assert b"".join(transport.given) == twin_of([("frame", 2, b"abc"), ("frame", 2, b"d" * 20_000)])
        assert drained(other) == b""


def test_a_full_or_broken_socket_leaves_everything_to_the_transport(unit):
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        fill(transport.sock)
        writer.frame(2, b"full")
        assert writer.send()
        other.close()
        writer.frame(2, b"gone")
        writer.frame(2, b"x" * 20_000)
        assert writer.send()
        assert transport.given[:1] == [b"\x82\x04full"]
        assert b"".join(transport.given[1:]) == b"\x82\x04gone" + frame(2, b"x" * 20_000, key=None)


def test_a_transport_that_has_met_an_error_is_told_nothing_more(unit):
    with pair() as (transport, other):
        other.close()
        writer = writer_of(unit, transport)

        def write(data):
            transport.given.append(bytes(data))
            transport.closing = True

        transport.write = write
        writer.frame(2, b"a" * 20_000)
        writer.frame(2, b"b" * 20_000)
        assert writer.send()
        assert len(transport.given) == 1
        writer.frame(2, b"c")
        assert writer.send()
        assert (len(transport.given), writer.size) == (1, 0)


def test_while_a_transport_is_closing_its_socket_takes_what_it_can(unit):
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        transport.closing = True
        writer.frame(2, b"abc")
        assert writer.send()
        assert drained(other) == b"\x82\x03abc"
        fill(transport.sock)
        writer.frame(2, b"lost")
        assert writer.send()
        assert (transport.given, writer.size) == ([], 0)


def test_nothing_is_sent_before_attach_and_after_detach(unit):
    with pair() as (transport, other):
        writer = unit.Writer(lambda: None, masked=False)
        assert not writer.send()
        writer.frame(2, b"a" * 20_000)
        assert not writer.send()
        writer.attach(transport, transport.sock.fileno())
        writer.frame(2, b"b" * 20_000)
        writer.detach()
        assert not writer.send()
        assert drained(other) == b""
        assert writer.take() == twin_of([("frame", 2, b"a" * 20_000), ("frame", 2, b"b" * 20_000)])
        assert not writer.send()
        writer.attach(transport, transport.sock.fileno())
        assert writer.send()  # nothing waits
        assert writer.sent == 0


def test_what_is_written_while_the_transport_takes_the_rest_waits(unit):
    """`transport.write` may say that it is full, and a program may send then."""
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        fill(transport.sock)

        def write(data):
            transport.given.append(bytes(data))
            writer.frame(2, b"late " * 5000)
            writer.detach()

        transport.write = write
        writer.frame(2, b"first")
        writer.frame(2, b"a" * 20_000)
        assert writer.send()
        late = frame(2, b"late " * 5000, key=None)
        assert writer.size == len(late) * len(transport.given)
        assert writer.take() == late * len(transport.given)
        expected = b"\x82\x05first" + frame(2, b"a" * 20_000, key=None)
        assert b"".join(transport.given) == expected
        assert writer.sent == len(expected)
        assert drained(other)


def test_an_exception_of_the_transport_passes_through_and_leaves_nothing(unit):
    with pair() as (transport, _):
        writer = writer_of(unit, transport)
        fill(transport.sock)

        def write(data):
            raise ZeroDivisionError

        transport.write = write
        payload = b"a" * 20_000
        before = sys.getrefcount(payload)
        writer.frame(2, payload)
        with pytest.raises(ZeroDivisionError):
            writer.send()
        assert writer.size == 0
        assert sys.getrefcount(payload) == before


@pytest.mark.parametrize("way", ["send", "partly", "take", "flush", "detach", "delete"])
def test_a_large_payload_lives_until_it_is_sent_and_no_longer(unit, way):
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        payload = random.Random(1).randbytes(20_000)
        before = sys.getrefcount(payload)
        if way == "partly":
            fill(transport.sock)
        for _ in range(20):
            writer.frame(2, payload)
        assert before < sys.getrefcount(payload) <= before + 20  # those beyond what one call sends are copied
        copy = bytes(bytearray(payload))
        expected = frame(2, copy, key=None) * 20
        if way in {"send", "partly"}:
            assert writer.send()
            came = b"".join(transport.given)
            assert came == expected if way == "partly" else drained(other) + came == expected
        elif way == "take":
            assert writer.take() == expected
        elif way == "flush":
            writer.flush(transport.write)
            assert b"".join(transport.given) == expected
        elif way == "detach":
            writer.detach()
            writer.frame(2, payload)
            assert sys.getrefcount(payload) > before
            assert writer.take() == expected + frame(2, copy, key=None)
        else:
            del writer
        transport.given.clear()
        assert sys.getrefcount(payload) == before


def test_small_and_masked_payloads_are_copied(unit):
    with pair() as (transport, other):
        small, large = b"s" * 1000, b"l" * 20_000
        counts = sys.getrefcount(small), sys.getrefcount(large)
        writer = writer_of(unit, transport)
        masked = unit.Writer(lambda: None, masked=True, random=lambda size: (KEY * size)[:size])
        masked.attach(transport, transport.sock.fileno())
        writer.frame(2, small)
        masked.frame(2, large)
        assert (sys.getrefcount(small), sys.getrefcount(large)) == counts
        assert writer.send()
        assert masked.send()
        assert drained(other) + b"".join(transport.given) == frame(2, small, key=None) + frame(2, large)


def test_a_payload_that_is_no_bytes_belongs_to_the_program_again_at_once(unit):
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        buffer = bytearray(b"a" * 40_000)
        writer.frame(2, buffer)
        buffer[:] = b"b" * 40_000
        writer.frame(2, memoryview(buffer))
        buffer.clear()
        assert writer.send()
        came = drained(other) + b"".join(transport.given)
        assert came == frame(2, b"a" * 40_000, key=None) + frame(2, b"b" * 40_000, key=None)


def test_connections_share_spare_buffers_and_do_not_mix_them(unit):
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(pair()) for _ in range(3)]
        writers = [writer_of(unit, transport) for transport, _ in pairs]
        for turn in range(1, 6):
            for corked in (True, False):
                for n, writer in enumerate(writers):
                    writer.corked = corked
                    writer.frame(2, bytes([65 + n]) * turn * 3000)
                    writer.frame(2, bytes([97 + n]) * turn * 9000)
                for n, writer in enumerate(writers):
                    transport, other = pairs[n]
                    sent = writer.send() if n != 1 or turn % 2 else writer.flush(transport.write)
                    assert sent in {True, None}
                    expected = [frame(2, bytes([at + n]) * turn * of, key=None) for at, of in ((65, 3000), (97, 9000))]
                    assert drained(other) + b"".join(transport.given) == b"".join(expected)
                    transport.given.clear()


@pytest.mark.parametrize("is_full", [False, True])
def test_what_is_sent_last_has_fin_behind_it_when_all_of_it_went(unit, is_full):
    with pair() as (transport, other):
        writer = writer_of(unit, transport)
        before = fill(transport.sock) if is_full else 0
        writer.frame(8, b"\x03\xe8")
        assert writer.send(True)
        seen = b""
        while len(seen) < before:
            seen += drained(other)
        assert transport.given == ([frame(8, b"\x03\xe8", key=None)] if is_full else [])
        if is_full:
            transport.sock.send(b"the transport goes on")  # so there is no FIN
            assert drained(other) == b"the transport goes on"
        else:
            assert drained(other) == frame(8, b"\x03\xe8", key=None)
            if unit is not _frames_py:  # which leaves FIN to the transport
                assert other.recv(1) == b""

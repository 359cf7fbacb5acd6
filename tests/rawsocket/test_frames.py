"""`Reader` and `Writer`: whole, split at every octet, with trailing octets, by Hypothesis; T-RS-4 to T-RS-7, T-RS-9."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahn.rawsocket.errors import FrameError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, Reader, Writer, head

MIB = 1 << 20
FULL = 1 << 24


class Recorder:
    """A reader that notes what it reads."""

    def __init__(self, limit=FULL):
        self.seen = []
        self.reader = Reader(
            lambda data: self.seen.append((MESSAGE, data)),
            lambda data: self.seen.append((PING, data)),
            lambda data: self.seen.append((PONG, data)),
            limit,
        )

    def feed(self, *pieces):
        """What was read, and the error that ended it."""
        try:
            for piece in pieces:
                self.reader.feed(piece)
        except FrameError as error:
            return self.seen, error.reason
        return self.seen, None


def wire(*frames):
    writer = Writer(lambda: None)
    for kind, payload in frames:
        writer.frame(kind, payload)
    return writer.take()


FRAMES = [
    (MESSAGE, b"[1]"), (PING, b""), (MESSAGE, b""), (PONG, b"abc"), (PING, b"\x00" * 9), (MESSAGE, b"x" * 700),
]  # fmt: skip


def test_frames_as_the_specification_has_them():
    assert wire((MESSAGE, b"abc")) == b"\x00\x00\x00\x03abc"
    assert wire((PING, b"")) == b"\x01\x00\x00\x00"
    assert wire((PONG, b"p" * 258)) == b"\x02\x00\x01\x02" + b"p" * 258
    assert head(MESSAGE, FULL - 1) == b"\x00\xff\xff\xff"
    assert head(MESSAGE, FULL) == b"\x08\x00\x00\x00"
    assert head(PING, FULL) == b"\x09\x00\x00\x00"
    for payload in (b"", b"abc", bytes(FULL - 1), bytes(FULL)):
        writer = Writer(lambda: None)
        writer.message(payload)
        assert writer.take() == wire((MESSAGE, payload))


def test_T_RS_4_whole_and_split_at_every_octet():
    data = wire(*FRAMES)
    assert Recorder().feed(data) == (FRAMES, None)
    assert Recorder().feed(*(data[i : i + 1] for i in range(len(data)))) == (FRAMES, None)
    for at in range(len(data) + 1):
        assert Recorder().feed(data[:at], data[at:]) == (FRAMES, None)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x02a", b"\x01\x00\x00\x01"])
def test_what_is_not_complete_waits(tail):
    recorder = Recorder()
    assert recorder.feed(wire(*FRAMES) + tail) == (FRAMES, None)
    assert not recorder.reader.is_idle
    assert Recorder().feed(wire(*FRAMES), tail) == (FRAMES, None)


@given(
    frames=st.lists(st.tuples(st.sampled_from([MESSAGE, PING, PONG]), st.binary(max_size=300)), max_size=8),
    cuts=st.lists(st.integers(0, 2500), max_size=12),
    tail=st.binary(max_size=3),
)
def test_any_frames_in_any_pieces(frames, cuts, tail):
    data = wire(*frames) + tail
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    recorder = Recorder()
    assert recorder.feed(*pieces) == (frames, None)
    assert recorder.reader.is_idle is (not tail)


@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_octets_give_the_same_however_they_are_split(data, cut):
    whole = Recorder(limit=4096).feed(data)
    assert Recorder(limit=4096).feed(data[:cut], data[cut:]) == whole
    assert Recorder(limit=4096).feed(*(data[i : i + 1] for i in range(len(data)))) == whole


@pytest.mark.parametrize("octet", [o for o in range(256) if o & 0xF0 or o & 7 > 2])
def test_T_RS_6_reserved_types_and_bits(octet):
    for length in (b"\x00\x00\x00", b"\x00\x00\x01"):
        seen, reason = Recorder().feed(wire((MESSAGE, b"a")) + bytes((octet,)) + length + b"b")
        assert seen == [(MESSAGE, b"a")]
        assert reason == f"expected a frame of type 0, 1 or 2 without reserved bits, got the octet 0x{octet:02x}"


@pytest.mark.parametrize("kind", [MESSAGE, PING, PONG])
@pytest.mark.parametrize("limit", [512, 1024, 1 << 16])
def test_T_RS_7_the_limit_and_one_more(kind, limit):
    assert Recorder(limit).feed(wire((kind, b"a" * limit))) == ([(kind, b"a" * limit)], None)
    for cut in range(5):  # the head is enough
        octets = head(kind, limit + 1)
        seen, reason = Recorder(limit).feed(octets[:cut], octets[cut:])
        assert seen == [] and reason.endswith(f"of at most {limit} octets, got {limit + 1}")


def test_the_limit_may_change_between_two_frames():
    seen = []

    def on_message(data):
        seen.append(len(data))
        reader.limit = 600

    reader = Reader(on_message, seen.append, seen.append, 512)
    with pytest.raises(FrameError, match="at most 600 octets, got 700"):
        reader.feed(wire((MESSAGE, b"a"), (MESSAGE, b"a" * 600), (MESSAGE, b"a" * 700)))
    assert seen == [1, 600]


@pytest.mark.parametrize("kind", [MESSAGE, PING, PONG])
def test_T_RS_9_sixteen_mebibytes_with_the_25th_bit(kind):
    payload = bytes(FULL)
    data = wire((kind, payload), (MESSAGE, b"after"))
    assert data[:4] == bytes((kind | 8, 0, 0, 0))
    for pieces in ([data], [data[:3], data[3:1000], data[1000:]]):
        recorder = Recorder()
        assert recorder.feed(*pieces)[1] is None
        assert [(k, len(p)) for k, p in recorder.seen] == [(kind, FULL), (MESSAGE, 5)]
    assert Recorder(FULL >> 1).feed(data[:4])[1].endswith("octets, got 16777216")


@pytest.mark.parametrize("length", [b"\x00\x00\x01", b"\xff\xff\xff"])
def test_T_RS_9_the_25th_bit_is_for_nothing_else(length):
    assert "25th bit" in Recorder().feed(b"\x08" + length)[1]


def test_stop_within_a_callback():
    seen = []

    def on_message(data):
        seen.append(data)
        reader.stop()

    reader = Reader(on_message, seen.append, seen.append)
    reader.feed(wire((MESSAGE, b"a"), (MESSAGE, b"b"), (PING, b"c")) + b"\xff")
    reader.feed(b"\xff\xff\xff\xff")
    assert seen == [b"a"]
    halves = wire((MESSAGE, b"abc"), (MESSAGE, b"b"))
    seen.clear()
    reader = Reader(on_message, seen.append, seen.append)
    reader.feed(halves[:5])
    reader.feed(halves[5:])
    assert seen == [b"abc"]
    reader = Reader(on_message, seen.append, seen.append)
    reader.feed(halves[:6])
    reader.stop()
    reader.feed(halves[6:])
    assert seen == [b"abc"]


def test_the_writer_wakes_once_and_joins_everything():
    wakes = []
    writer = Writer(lambda: wakes.append(1))
    writer.frame(MESSAGE, b"a")
    writer.frame(PONG, b"")
    assert (len(wakes), writer.size) == (1, 9)
    assert writer.take() == b"\x00\x00\x00\x01a\x02\x00\x00\x00"
    assert (writer.size, writer.take()) == (0, b"")
    writer.corked = True
    writer.raw(b"\x7f")
    writer.raw(b"")
    assert (len(wakes), writer.size, writer.take()) == (1, 1, b"\x7f")
    writer.corked = False
    writer.raw(b"\x7f")
    assert len(wakes) == 2


def seconds_for(size, segment):
    """CPU seconds for one frame in segments; the least of three."""
    data = bytes(size)
    pieces = [head(MESSAGE, size), *(data[i : i + segment] for i in range(0, size, segment))]
    best = 1e9
    for _ in range(3):
        recorder = Recorder()
        begin = time.process_time()
        recorder.feed(*pieces)
        best = min(best, time.process_time() - begin)
        assert len(recorder.seen[0][1]) == size
    return best


@pytest.mark.parametrize("segment", [1024, 1460])
def test_S33_N50_a_long_frame_in_short_segments_costs_linear_time(segment):
    small, large = seconds_for(4 * MIB, segment), seconds_for(16 * MIB, segment)
    assert large < 1.0
    assert large < 4 * 2.2 * small + 0.05  # a quadratic reader needs 16 times as long


def test_S33_a_claimed_length_reserves_nothing():
    recorder = Recorder()
    recorder.feed(head(MESSAGE, FULL) + b"abc")
    assert recorder.reader._buffer.__sizeof__() < 1000

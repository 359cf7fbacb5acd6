"""`Reader` and `Writer` of both twins: whole, split anywhere, with trailing octets; T-RS-4 to T-RS-7, T-RS-9."""

import gc
import random
import time
import tracemalloc
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahn.rawsocket import _frames_py
from autobahn.rawsocket.errors import FrameError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, head

try:
    from autobahn.rawsocket import _frames
except ImportError:
    _frames = None

TWINS = [_frames_py] if _frames is None else [_frames_py, _frames]
MIB = 1 << 20
FULL = 1 << 24


@pytest.fixture(params=["python", "compiled"])
def twin(request):
    if request.param == "compiled" and _frames is None:
        pytest.skip("the extension autobahn.rawsocket._frames is not built (python setup.py build_ext --inplace)")
    return _frames_py if request.param == "python" else _frames


class Recorder:
    """A reader that notes what it reads."""

    def __init__(self, twin, limit=FULL):
        self.seen = []
        self.reader = twin.Reader(
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
    writer = _frames_py.Writer(lambda: None)
    for kind, payload in frames:
        writer.frame(kind, payload)
    return writer.take()


FRAMES = [
    (MESSAGE, b"[1]"), (PING, b""), (MESSAGE, b""), (PONG, b"abc"), (PING, b"\x00" * 9), (MESSAGE, b"x" * 700),
]  # fmt: skip


def test_frames_as_the_specification_has_them(twin):
    assert wire((MESSAGE, b"abc")) == b"\x00\x00\x00\x03abc"
    assert wire((PING, b"")) == b"\x01\x00\x00\x00"
    assert wire((PONG, b"p" * 258)) == b"\x02\x00\x01\x02" + b"p" * 258
    assert head(MESSAGE, FULL - 1) == b"\x00\xff\xff\xff"
    assert head(MESSAGE, FULL) == b"\x08\x00\x00\x00"
    assert head(PING, FULL) == b"\x09\x00\x00\x00"
    for payload in (b"", b"abc", bytes(FULL - 1), bytes(FULL)):
        writer = twin.Writer(lambda: None)
        writer.message(payload)
        assert writer.take() == wire((MESSAGE, payload))


def test_T_RS_4_whole_and_split_at_every_octet(twin):
    data = wire(*FRAMES)
    assert Recorder(twin).feed(data) == (FRAMES, None)
    assert Recorder(twin).feed(*(data[i : i + 1] for i in range(len(data)))) == (FRAMES, None)
    for at in range(len(data) + 1):
        assert Recorder(twin).feed(data[:at], data[at:]) == (FRAMES, None)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x02a", b"\x01\x00\x00\x01"])
def test_what_is_not_complete_waits(twin, tail):
    recorder = Recorder(twin)
    assert recorder.feed(wire(*FRAMES) + tail) == (FRAMES, None)
    assert not recorder.reader.is_idle
    assert Recorder(twin).feed(wire(*FRAMES), tail) == (FRAMES, None)


@given(
    frames=st.lists(st.tuples(st.sampled_from([MESSAGE, PING, PONG]), st.binary(max_size=300)), max_size=8),
    cuts=st.lists(st.integers(0, 2500), max_size=12),
    tail=st.binary(max_size=3),
)
def test_any_frames_in_any_pieces(frames, cuts, tail):
    data = wire(*frames) + tail
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    for twin in TWINS:
        recorder = Recorder(twin)
        assert recorder.feed(*pieces) == (frames, None)
        assert recorder.reader.is_idle is (not tail)


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 2, 8, 3, 16]), st.integers(0, 60), st.binary(max_size=60))).map(
            lambda frames: b"".join(bytes((kind, 0, 0, size)) + payload for kind, size, payload in frames)
        ),
    ),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    limit=st.sampled_from([0, 20, 4096, FULL]),
)
def test_any_octets_give_the_same_however_they_are_split(data, cuts, limit):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = Recorder(_frames_py, limit).feed(data)
    for twin in TWINS:
        assert Recorder(twin, limit).feed(data) == whole
        assert Recorder(twin, limit).feed(*(data[a:b] for a, b in pairwise(edges))) == whole
        assert Recorder(twin, limit).feed(*(data[i : i + 1] for i in range(len(data)))) == whole


class Meddling(Recorder):
    """Its callbacks do what `acts` says: stop, change the limit, raise, put another in place of `on_message`."""

    def __init__(self, twin, acts):
        super().__init__(twin)
        self.acts = acts
        self.reader = twin.Reader(self.note, self.note, self.note, 100)

    def note(self, data):
        self.seen.append((data, self.reader.limit, self.reader.is_idle))
        act = self.acts.pop() if self.acts else None
        if act == "stop":
            self.reader.stop()
        elif act == "raise":
            raise ZeroDivisionError
        elif act == "feed":
            with pytest.raises(RuntimeError, match="outside of callbacks"):
                self.reader.feed(b"\0\0\0\0")
        elif act == "replace":
            self.reader.on_message = lambda data: self.seen.append(("replaced", data))
        elif act is not None:
            self.reader.limit = act

    def outcome(self, pieces):
        for piece in pieces:
            try:
                self.reader.feed(piece)
            except (FrameError, ZeroDivisionError) as exc:
                self.seen.append(repr(exc))
            self.seen.append((self.reader.limit, self.reader.is_idle))
        return self.seen


@given(
    sizes=st.lists(st.tuples(st.sampled_from([MESSAGE, MESSAGE, PING, PONG]), st.integers(0, 90)), max_size=12),
    acts=st.lists(st.sampled_from([None, None, None, "stop", "raise", "feed", "replace", 0, 50, 80]), max_size=12),
    cuts=st.lists(st.integers(0, 700), max_size=6),
)
def test_the_twins_agree_whatever_their_callbacks_do(sizes, acts, cuts):
    data = wire(*((kind, bytes(size)) for kind, size in sizes))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    outcomes = [Meddling(twin, acts.copy()).outcome(pieces) for twin in TWINS]
    assert all(outcome == outcomes[0] for outcome in outcomes)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("frame"), st.sampled_from([MESSAGE, PING, PONG]), st.binary(max_size=300)),
            st.tuples(st.just("message"), st.binary(max_size=300)),
            st.tuples(st.just("raw"), st.binary(max_size=300)),
            st.tuples(st.sampled_from(["take", "flush"])),
            st.tuples(st.just("corked"), st.booleans()),
            st.tuples(st.just("limit"), st.sampled_from([-1, 0, 100, FULL, 2 * FULL])),
        ),
        max_size=20,
    )
)
def test_the_writers_agree_whatever_is_done(steps):
    traces = []
    for twin in TWINS:
        trace = []
        writer = twin.Writer(lambda trace=trace: trace.append("wake"))
        writer.long_way = lambda payload, trace=trace: trace.append(("long way", payload))
        for name, *values in steps:
            if name in {"corked", "limit"}:
                setattr(writer, name, *values)
            elif name == "flush":
                writer.flush(lambda data, trace=trace: trace.append(bytes(data)))
            else:
                trace.append(getattr(writer, name)(*values))
            trace.append((writer.size, writer.corked, writer.limit))
        traces.append([*trace, writer.take()])
    assert all(trace == traces[0] for trace in traces)


@pytest.mark.parametrize("octet", [o for o in range(256) if o & 0xF0 or o & 7 > 2])
def test_T_RS_6_reserved_types_and_bits(twin, octet):
    for length in (b"\x00\x00\x00", b"\x00\x00\x01"):
        seen, reason = Recorder(twin).feed(wire((MESSAGE, b"a")) + bytes((octet,)) + length + b"b")
        assert seen == [(MESSAGE, b"a")]
        assert reason == f"expected a frame of type 0, 1 or 2 without reserved bits, got the octet 0x{octet:02x}"


@pytest.mark.parametrize("kind", [MESSAGE, PING, PONG])
@pytest.mark.parametrize("limit", [512, 1024, 1 << 16])
def test_T_RS_7_the_limit_and_one_more(twin, kind, limit):
    assert Recorder(twin, limit).feed(wire((kind, b"a" * limit))) == ([(kind, b"a" * limit)], None)
    for cut in range(5):  # the head is enough
        octets = head(kind, limit + 1)
        seen, reason = Recorder(twin, limit).feed(octets[:cut], octets[cut:])
        assert seen == [] and reason.endswith(f"of at most {limit} octets, got {limit + 1}")


def test_the_limit_may_change_between_two_frames(twin):
    seen = []

    def on_message(data):
        seen.append(len(data))
        reader.limit = 600

    reader = twin.Reader(on_message, seen.append, seen.append, 512)
    with pytest.raises(FrameError, match="at most 600 octets, got 700"):
        reader.feed(wire((MESSAGE, b"a"), (MESSAGE, b"a" * 600), (MESSAGE, b"a" * 700)))
    assert seen == [1, 600]


@pytest.mark.parametrize("kind", [MESSAGE, PING, PONG])
def test_T_RS_9_sixteen_mebibytes_with_the_25th_bit(twin, kind):
    payload = bytes(FULL)
    data = wire((kind, payload), (MESSAGE, b"after"))
    assert data[:4] == bytes((kind | 8, 0, 0, 0))
    for pieces in ([data], [data[:3], data[3:1000], data[1000:]]):
        recorder = Recorder(twin)
        assert recorder.feed(*pieces)[1] is None
        assert [(k, len(p)) for k, p in recorder.seen] == [(kind, FULL), (MESSAGE, 5)]
    assert Recorder(twin, FULL >> 1).feed(data[:4])[1].endswith("octets, got 16777216")


@pytest.mark.parametrize("length", [b"\x00\x00\x01", b"\xff\xff\xff"])
def test_T_RS_9_the_25th_bit_is_for_nothing_else(twin, length):
    assert "25th bit" in Recorder(twin).feed(b"\x08" + length)[1]


def test_stop_within_a_callback(twin):
    seen = []

    def on_message(data):
        seen.append(data)
        reader.stop()

    reader = twin.Reader(on_message, seen.append, seen.append)
    reader.feed(wire((MESSAGE, b"a"), (MESSAGE, b"b"), (PING, b"c")) + b"\xff")
    reader.feed(b"\xff\xff\xff\xff")
    assert seen == [b"a"]
    halves = wire((MESSAGE, b"abc"), (MESSAGE, b"b"))
    seen.clear()
    reader = twin.Reader(on_message, seen.append, seen.append)
    reader.feed(halves[:5])
    reader.feed(halves[5:])
    assert seen == [b"abc"]
    reader = twin.Reader(on_message, seen.append, seen.append)
    reader.feed(halves[:6])
    reader.stop()
    reader.feed(halves[6:])
    assert seen == [b"abc"]


def test_the_writer_wakes_once_and_joins_everything(twin):
    wakes = []
    writer = twin.Writer(lambda: wakes.append(1))
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


def seconds_for(twin, size, segment):
    """CPU seconds for one frame in segments; the least of three."""
    data = bytes(size)
    pieces = [head(MESSAGE, size), *(data[i : i + segment] for i in range(0, size, segment))]
    best = 1e9
    for _ in range(3):
        recorder = Recorder(twin)
        begin = time.process_time()
        recorder.feed(*pieces)
        best = min(best, time.process_time() - begin)
        assert len(recorder.seen[0][1]) == size
    return best


@pytest.mark.parametrize("segment", [1024, 1460])
def test_S33_N50_a_long_frame_in_short_segments_costs_linear_time(twin, segment):
    small, large = seconds_for(twin, 4 * MIB, segment), seconds_for(twin, 16 * MIB, segment)
    assert large < 1.0
    assert large < 4 * 2.2 * small + 0.25  # fresh pages; a quadratic reader copies 90 GB


def test_S33_a_claimed_length_reserves_nothing(twin):
    recorder, data = Recorder(twin), head(MESSAGE, FULL) + b"abc"
    tracemalloc.start()
    try:
        recorder.feed(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_the_long_way_is_a_frame_unless_somebody_says_otherwise(twin):
    writer = twin.Writer(lambda: None)
    writer.limit = 2
    writer.message(b"abc", True)
    assert writer.take() == b"\0\0\0\3abc"
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            writer.frame(MESSAGE, wrong)
    assert writer.size == 0


def test_what_a_program_changes_afterwards_is_sent_as_it_was(twin):
    writer, payload = twin.Writer(lambda: None), bytearray(b"abc")
    writer.frame(MESSAGE, payload)
    writer.frame(PING, memoryview(payload)[1:])
    payload[:] = b"xyz"
    assert writer.take() == b"\0\0\0\3abc\1\0\0\2bc"


def test_a_wake_that_fails_leaves_nothing_behind(twin):
    def fail():
        raise ZeroDivisionError

    writer = twin.Writer(fail)
    for send in (lambda: writer.message(b"a"), lambda: writer.frame(PING, b"a")):
        with pytest.raises(ZeroDivisionError):
            send()
        assert writer.size == 0


def test_views_that_a_transport_keeps_stay_as_they_were(twin):
    rng = random.Random(7)
    writers = [twin.Writer(lambda: None) for _ in range(3)]
    kept, sent = [], [b""] * 3
    for _ in range(200):
        at = rng.randrange(3)
        payload = rng.randbytes(rng.choice([1, 500, 70_000, 200_000]))
        writers[at].message(payload)
        sent[at] += head(MESSAGE, len(payload)) + payload
        if rng.random() < 0.5:
            taken = []
            writers[at].flush(taken.append)
            assert taken[0] == sent[at]
            if rng.random() < 0.3:
                kept.append((taken[0], sent[at]))
            sent[at] = b""
    assert len(kept) > 10
    assert all(view == data for view, data in kept)


def test_a_stopped_reader_refers_to_nobody(twin):
    class Callee:
        def __init__(self):
            self.reader = twin.Reader(self.hear, self.hear, self.hear)

        def hear(self, data):
            self.reader.stop()

    callee = Callee()
    reader, is_there = callee.reader, weakref.ref(callee)
    gc.collect()
    gc.disable()
    try:
        reader.feed(wire((MESSAGE, b"a"), (MESSAGE, b"b")))
        del callee
        assert is_there() is None
    finally:
        gc.enable()
    reader.feed(wire((PING, b"a")))

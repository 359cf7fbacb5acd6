"""Long payloads of the Python twin: gathered in one place as they come, however much that is, and given back."""

import contextlib
import random
import tracemalloc
from itertools import pairwise

import pytest

from autobahn.websocket import _frames_py, _place_py
from autobahn.websocket._masking import mask_in_place, speedups
from autobahn.websocket._place_py import MOST, Place
from direct_world import large_frame as frame
from frames_world import KEY, Recorder, head, xor

WORD = "aé€𝄞".encode()
SIZES = [16_384, 40_000, 65_536, MOST - 1, MOST, MOST + 1, MOST + 40_000, 5 * MOST // 2]


@pytest.fixture(autouse=True)
def no_spare():
    _place_py._spare.clear()
    yield
    _place_py._spare.clear()


@pytest.fixture(params=["here", "in C"])
def xors(request, monkeypatch):
    """Who masks: the lanes of this package, or something that gives a copy, as `websockets` does."""

    def apply_mask(data, key):
        out = bytearray(data)
        mask_in_place(out, 0, len(out), key)
        return bytes(out)

    monkeypatch.setattr(_frames_py, "speedups", lambda: apply_mask if request.param == "in C" else None)
    return request.param


def pieces_of(data, seed):
    rng = random.Random(seed)
    sizes, at = [0], 0
    while at < len(data):
        at = min(len(data), at + rng.choice((1, 3, 1448, 16_384, 65_536, 70_000, 262_143, 524_288)))
        sizes.append(at)
    return [data[start:end] for start, end in pairwise(sizes)]


def receive(reader, data, memory):
    """A transport that asks where it may receive, as `Pump` does."""
    at = 0
    while at < len(data):
        room = reader.room()
        target = memory if room is None else room
        size = min(len(target), len(data) - at)
        target[:size] = data[at : at + size]
        at += size
        reader.feed(target[:size]) if room is None else reader.arrived(size)


def test_masking_in_place():
    data = random.Random(1).randbytes(200_001)
    for start, end in [(0, 0), (0, 1), (3, 4), (1, 70_000), (65_535, 200_001), (2, 200_000)]:
        buffer = bytearray(data)
        mask_in_place(buffer, start, end, KEY)
        assert buffer[:start] == data[:start]
        assert buffer[start:end] == xor(data, KEY)[start:end]
        assert buffer[end:] == data[end:]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("way", ["fed", "received"])
def test_payloads_of_every_size_in_pieces(xors, size, key, way):
    text = (WORD * (size // len(WORD) + 1))[:size].decode(errors="ignore").encode()
    noise = random.Random(size).randbytes(size)
    middle = len(noise) // 3
    data = b"".join(
        [
            frame(2, noise, key=key),
            frame(1, text, key=key),
            frame(2, noise[:middle], fin=False, key=key),
            frame(9, b"between", key=key),
            frame(0, noise[middle:], key=key),
            frame(1, b"last", key=key),
        ]
    )
    recorder = Recorder(_frames_py, masked=None)
    if way == "fed":
        for piece in pieces_of(data, size):
            recorder.reader.feed(memoryview(piece))
    else:
        receive(recorder.reader, data, memoryview(bytearray(100_000)))
    assert recorder.events == [
        ("message", noise, True),
        ("message", text, False),
        ("ping", b"between"),
        ("message", noise, True),
        ("message", b"last", False),
    ]


@pytest.mark.parametrize("at", [50_000, MOST - 1, MOST, MOST + 1])
def test_the_first_bad_octet_ends_it_wherever_it_comes(xors, at):
    good = (b"a" * 7 + WORD) * ((MOST + 100_000) // 17)
    while good[at] & 0xC0 == 0x80:
        at += 1
    data = frame(1, good[:at] + b"\xff" + good[at + 1 :])
    start = len(data) - len(good)
    for cut in (start + 20_000, start + at, start + at - 1):
        recorder = Recorder(_frames_py)
        recorder.reader.feed(memoryview(data[:cut]))
        recorder.reader.feed(memoryview(data[cut : start + at]))  # all is well so far
        with pytest.raises(_frames_py.FrameError) as error:
            recorder.reader.feed(data[start + at : start + at + 1])
        assert error.value.code == 1007
        assert recorder.reader.room() is None
        recorder.reader.feed(data[start + at + 1 :])
        assert recorder.events == []


@pytest.mark.parametrize("here", [1, 1000, 30_000])
def test_what_is_only_announced_takes_little_memory(xors, here):
    """Neither a fresh buffer nor the spare one, which somebody else has filled."""
    payload = bytes(MOST)
    recorder = Recorder(_frames_py)
    recorder.reader.feed(memoryview(frame(2, payload))[: MOST // 2])
    recorder.reader.feed(memoryview(frame(2, payload))[MOST // 2 :])
    assert len(_place_py._spare[0]) == MOST
    octets = head(0x82, 1 << 30, True) + KEY + bytes(here)
    readers = [Recorder(_frames_py).reader for _ in range(20)]
    tracemalloc.start()
    try:
        for reader in readers:
            reader.feed(octets)
            reader.room()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * (10 * here + 10_000)
    assert len(_place_py._spare) == 1


def test_who_has_sent_much_need_not_prove_it_again():
    reader = Recorder(_frames_py).reader
    data = memoryview(frame(2, bytes(MOST)))
    reader.feed(data[:70_000])
    first = reader.room()
    assert len(first) < len(data) - 70_000
    first.release()
    reader.feed(data[70_000:])
    reader.feed(data[:20_000])
    assert len(reader.room()) == len(data) - 20_000


@pytest.mark.parametrize("how", ["whole", "stopped"])
def test_a_place_is_used_again_and_by_one_at_a_time(how):
    first, second = Recorder(_frames_py), Recorder(_frames_py)
    data = memoryview(frame(2, b"x" * MOST))
    for recorder in (first, second):
        recorder.reader.feed(data[:600_000])
    rooms = [recorder.reader.room() for recorder in (first, second)]
    assert rooms[0].obj is not rooms[1].obj
    kept = rooms[0].obj
    if how == "whole":
        first.reader.feed(data[600_000:])
        assert first.events == [("message", b"x" * MOST, True)]
    else:
        first.reader.stop()
    assert _place_py._spare == [kept]
    assert _place_py._spare[0] is kept
    second.reader.feed(data[600_000:])
    assert second.events == [("message", b"x" * MOST, True)]
    assert len(_place_py._spare) == 1


def test_a_view_that_a_transport_still_holds_does_not_hinder():
    recorder = Recorder(_frames_py)
    data = memoryview(frame(2, b"x" * MOST))
    recorder.reader.feed(data[:20_000])
    with contextlib.ExitStack() as stack:
        for start in range(20_000, len(data), 70_000):
            room = recorder.reader.room()
            if room is not None:
                stack.enter_context(room)
            recorder.reader.feed(data[start : start + 70_000])
    assert recorder.events == [("message", b"x" * MOST, True)]


def test_nowhere_to_receive_but_in_a_long_frame_that_misses_much():
    recorder = Recorder(_frames_py)
    reader = recorder.reader
    assert reader.room() is None
    data = frame(2, b"x" * 200_000)
    reader.feed(data[:8])
    assert reader.room() is None
    reader.feed(data[8:1000])
    assert reader.room() is None  # too little is here
    reader.feed(data[1000:10_000])
    assert len(reader.room()) >= 65_536
    reader.feed(data[10_000:190_000])
    assert reader.room() is None
    reader.feed(data[190_000:])
    assert recorder.events == [("message", b"x" * 200_000, True)]
    streaming = Recorder(_frames_py, stream=True)
    streaming.reader.feed(data[:10_000])
    assert streaming.reader.room() is None


def test_what_comes_after_the_end_is_ignored():
    recorder = Recorder(_frames_py)
    recorder.reader.feed(frame(2, b"x" * 200_000)[:10_000])
    assert recorder.reader.room() is not None
    recorder.reader.stop()
    recorder.reader.arrived(5000)
    assert recorder.events == []


def test_the_place_gives_what_it_holds():
    for xor_ in (None, speedups()):
        place = Place(b"", xor_)
        place.add(b"abc", 10)
        place.add(b"defg", 7)
        assert (place.size, place.since(0), place.since(5)) == (7, b"abcdefg", b"fg")

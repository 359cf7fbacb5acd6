"""`Writer.flush`: what the transport keeps is never written over, whatever it keeps and whenever."""

import random

import pytest

from autobahn.websocket import _frames_py, _writer_py
from autobahn.websocket.frames import BINARY

try:
    from autobahn.websocket import _frames
except ImportError:
    _frames = None


@pytest.fixture(params=["python", "compiled"])
def twin(request):
    if request.param == "compiled" and _frames is None:
        pytest.skip("the extension autobahn.websocket._frames is not built")
    return _frames_py if request.param == "python" else _frames


def test_flush_empties_and_hands_everything_over(twin):
    writer = twin.Writer(lambda: None, masked=False)
    got = []
    writer.flush(got.append)
    assert got == []
    for size in (0, 5, 70_000, 300_000, 5, 5_000_000):
        writer.frame(BINARY, bytes(size))
        writer.frame(BINARY, b"x")
        expected = writer.size
        writer.flush(lambda data: got.append(bytes(data)))
        assert sum(map(len, got)) == expected and writer.size == 0
        got.clear()


def test_views_that_are_kept_stay_as_they_were(twin):
    rng = random.Random(5)
    writers = [twin.Writer(lambda: None, masked=False) for _ in range(3)]
    kept, kept_ever = [], 0
    for round_ in range(300):
        writer = rng.choice(writers)
        for _ in range(rng.randrange(1, 5)):
            writer.frame(BINARY, bytes([round_ % 256]) * rng.choice((10, 3_000, 65_536, 200_000)))

        def write(data, round_=round_):
            if rng.random() < 0.3:
                kept.append((round_ % 256, data, bytes(data)))  # as a transport does that cannot send at once

        writer.flush(write)
        assert all(bytes(data) == copy for _, data, copy in kept)
        if rng.random() < 0.2:
            kept_ever += len(kept)
            kept.clear()
    assert kept_ever


def test_a_write_that_raises_or_sends_more_leaves_a_working_writer(twin):
    writer = twin.Writer(lambda: None, masked=False)
    writer.frame(BINARY, bytes(100_000))
    with pytest.raises(ZeroDivisionError):
        writer.flush(lambda data: 1 / 0)
    assert writer.size == 0
    got = []

    def write(data):
        if not got:
            writer.frame(BINARY, b"more")  # a callback of the transport, as pause_writing
        got.append(bytes(data))

    writer.frame(BINARY, bytes(100_000))
    writer.flush(write)
    writer.flush(write)
    assert got[1] == b"\x82\x04more"


def test_a_buffer_that_another_thread_takes_first_is_not_missed(monkeypatch):
    class Emptied(list):
        """Was not empty when it was asked."""

        def __bool__(self):
            return True

    monkeypatch.setattr(_writer_py, "_spare", Emptied())
    writer = _frames_py.Writer(lambda: None, masked=False)
    writer.frame(BINARY, bytes(100_000))
    got = []
    writer.flush(lambda data: got.append(bytes(data)))
    assert sum(map(len, got)) == 100_010


def test_send_message_takes_the_long_way_for_everything_that_is_not_plain(twin):
    writer = twin.Writer(lambda: None, masked=False)
    long_way = []
    writer.long_way = lambda *arguments: long_way.append(arguments)
    writer.send_message(b"closed")
    writer.plain, writer.limit = 5, 10
    writer.send_message(b"abc", True)
    writer.send_message(b"", sync=True)
    writer.send_message(payload=b"x", doNotCompress=True)
    assert writer.take() == b"\x82\x03abc\x81\x00\x81\x01x"
    writer.send_message(b"too long")
    writer.send_message("text", 1)
    writer.send_message(b"a", False, 1)
    writer.send_message(bytearray(b"b"))
    writer.raw(bytes(11))
    writer.send_message(b"late")
    assert long_way == [
        (b"closed", False, None, False, False),
        (b"too long", False, None, False, False),
        ("text", 1, None, False, False),
        (b"a", False, 1, False, False),
        (bytearray(b"b"), False, None, False, False),
        (b"late", False, None, False, False),
    ]
    assert writer.take() == bytes(11)

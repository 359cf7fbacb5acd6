"""The frame unit: limits, compressed messages, callbacks."""

import tracemalloc
from types import SimpleNamespace

import pytest

from autobahn.websocket.deflate import Inflater
from autobahn.websocket.errors import FrameError

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

from frames_world import KEY, Recorder, check, check_error, deflated, frame, head, trace

# -- limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 50, 125, 126, 1000])
def test_limits(twin, limit):
    fits, over = b"x" * limit, b"x" * (limit + 1)
    for option in ("max_frame", "max_message"):
        check(twin, frame(2, fits) * 2, [("message", fits, True)] * 2, **{option: limit})
        check_error(twin, frame(1, over), 1009, f"at most {limit} octets, got", **{option: limit})
        assert trace(twin, [frame(2, over)[: -limit - 1]], **{option: limit})[-1][1] == 1009
    fragments = frame(2, fits[:1], fin=False) + frame(0, fits[1:], fin=False) + frame(0)
    check(twin, fragments, [("message", fits, True)], max_message=limit)
    check_error(
        twin,
        frame(2, fits, fin=False) + frame(9, b"p" * 125) + frame(0, b"x"),
        1009,
        f"got at least {limit + 1}",
        [("ping", b"p" * 125)],
        max_message=limit,
    )
    check(twin, frame(2, fits, fin=False) + frame(0, fits), [("message", fits * 2, True)], max_frame=limit)


@pytest.mark.parametrize("size", [2**31, 2**32, 2**32 + 1, 2**40, 2**63 - 1])
def test_giant_announcements(twin, size):
    for data in (head(0x82, size, True, 8), frame(2, b"ab", fin=False) + head(0x80, size, True, 8)):
        assert trace(twin, [data], max_frame=65536)[-1][:2] == ("FrameError", 1009)
        assert trace(twin, [data], max_message=2**24)[-1][:2] == ("FrameError", 1009)
        tracemalloc.start()
        try:
            reader = Recorder(twin).reader
            reader.feed(data + KEY)
            for _ in range(10):
                reader.feed(b"trickle")
            assert tracemalloc.get_traced_memory()[1] < 1_200_000
        finally:
            tracemalloc.stop()


def test_tiny_fragments_pin_no_memory(twin):
    count = 50_000
    events = []
    reader = twin.Reader(lambda payload, is_binary: events.append(payload), *[lambda *args: None] * 5, masked=None)
    empty = frame(0, fin=False, key=None) * 100
    full = frame(0, b"x", fin=False, key=None) * 100
    reader.feed(frame(2, b"", fin=False))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count // 100):
            reader.feed(empty)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
        for _ in range(count // 100):
            reader.feed(full)
        assert tracemalloc.get_traced_memory()[0] - before < 2 * count + 20_000
    finally:
        tracemalloc.stop()
    reader.feed(frame(0, b"y"))
    assert events == [b"x" * count + b"y"]


def test_tiny_segments_pin_no_memory(twin):
    recorder = Recorder(twin)
    data = frame(2, b"z" * 60_000)
    tracemalloc.start()
    try:
        for at in range(len(data) - 1):
            recorder.reader.feed(data[at : at + 1])
        assert tracemalloc.get_traced_memory()[1] < 150_000
    finally:
        tracemalloc.stop()
    recorder.reader.feed(data[-1:])
    assert recorder.events == [("message", b"z" * 60_000, True)]


# -- compressed messages -------------------------------------------------------------------------------------


def test_compressed_messages(twin):
    texts = [b"Hello", b"Hello", b"", "größer 😀".encode() * 40, b"Hello"]
    packed = deflated(*texts)
    data = b"".join(frame(1, payload, rsv=4) for payload in packed)
    check(twin, data, [("message", text, False) for text in texts], compressed=True)
    # plain messages in between, fragments, control frames
    a, b = packed[0], packed[3]
    data = (
        frame(2, a[:2], rsv=4, fin=False)
        + frame(9, b"p")
        + frame(0, a[2:], fin=False)
        + frame(0)
        + frame(2, b"plain")
        + frame(1, deflated(texts[0], texts[3])[1], rsv=4)
    )
    expected = [("ping", b"p"), ("message", texts[0], True), ("message", b"plain", True)]
    check(twin, data, [*expected, ("message", texts[3], False)], compressed=True)
    assert b


def test_compressed_stream(twin):
    (packed,) = deflated(b"Hello " * 1000)
    data = frame(1, packed[:5], rsv=4, fin=False) + frame(0, packed[5:])
    found = trace(twin, [data], compressed=True, stream=True)
    assert [event for event in found if event[0] != "data"] == [
        ("message_begin", False),
        ("frame_begin", 5),
        ("frame_end",),
        ("frame_begin", len(packed) - 5),
        ("frame_end",),
        ("message_end",),
    ]
    assert b"".join(event[1] for event in found if event[0] == "data") == b"Hello " * 1000


def test_compressed_text_is_checked(twin):
    for text, word in ((b"ok" * 30 + b"\xff", "invalid octet"), (b"ok\xc3", "unfinished")):
        (packed,) = deflated(text)
        check_error(twin, frame(1, packed, rsv=4), 1007, word, compressed=True)
        check(twin, frame(2, packed, rsv=4), [("message", text, True)], compressed=True)


def test_compressed_rubbish(twin):
    check_error(twin, frame(2, b"\x07\xff\xff", rsv=4), 1007, "expected deflate data", compressed=True)
    good = frame(2, deflated(b"Hello")[0], rsv=4)
    data = good + frame(2, b"\xff" * 9, rsv=4)
    check_error(twin, data, 1007, "deflate", [("message", b"Hello", True)], compressed=True)


@pytest.mark.parametrize("limit", [1, 128, 5000, 16384, 100_000])
def test_limit_counts_inflated_octets(twin, limit):
    fits, over = deflated(b"x" * limit, b"x" * (limit + 1), no_context_takeover=True)
    data = frame(1, fits, rsv=4)
    check(twin, data, [("message", b"x" * limit, False)], compressed=True, max_message=limit)
    data = frame(1, over, rsv=4)
    check_error(twin, data, 1009, "once inflated", compressed=True, max_message=limit)
    data = frame(1, over[:3], rsv=4, fin=False) + frame(0, over[3:])
    check_error(twin, data, 1009, "once inflated", compressed=True, max_message=limit)
    # invalid text comes first when it is first
    (bad,) = deflated(b"\xff" + b"x" * limit)
    check_error(twin, frame(1, bad, rsv=4), 1007, "invalid octet", compressed=True, max_message=limit)


@pytest.mark.parametrize("limit", [1, 4096, 1 << 20])
@pytest.mark.parametrize("stream", [False, True])
def test_bombs_stay_within_the_limit(twin, limit, stream):
    (bomb,) = deflated(bytes(1 << 24))
    data = frame(2, bomb, rsv=4)
    seen = []
    hooks = SimpleNamespace(
        message_begin=lambda is_binary: None,
        frame_begin=lambda length: None,
        frame_data=lambda piece: seen.append(len(piece)),
        frame_end=lambda: None,
        message_end=lambda: None,
    )
    inflater = Inflater()
    (warm,) = deflated(b"warm up")
    inflater.decompress(warm, 100)
    inflater.end_message(100)
    reader = twin.Reader(
        lambda payload, is_binary: seen.append(len(payload)),
        *[print] * 5,
        masked=True,
        max_message=limit,
        inflater=inflater,
        stream=hooks if stream else None,
    )
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(FrameError) as caught:
            for at in range(0, len(data), 1448):
                reader.feed(data[at : at + 1448])
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert caught.value.code == 1009
    assert sum(seen) == (limit if stream else 0)
    assert peak <= (0 if stream else limit) + 131072  # a step, and the window that is kept


def test_inflater_results_are_checked(twin):
    class Wrong:
        def decompress(self, data, max_length):
            raise FrameError(1009, "mine")

    found = trace(twin, [frame(2, b"x", rsv=4)], inflater=Wrong())
    assert found == [("FrameError", 1009, "mine")]


# -- callbacks -----------------------------------------------------------------------------------------------


def make(twin, **callbacks):
    def nothing(*args):
        return None

    stream = callbacks.pop("stream", None)
    names = ["on_message", "on_ping", "on_pong", "on_close", "on_result", "on_error"]
    return twin.Reader(*[callbacks.get(name, nothing) for name in names], masked=True, stream=stream)


def test_results(twin):
    results = []
    marker = object()
    reader = make(twin, on_message=lambda p, b: marker if p == b"x" else None, on_result=results.append)
    reader.feed(frame(2, b"x") + frame(2, b"y") + frame(1, b"x", fin=False) + frame(0))
    assert results == [marker, marker]


def test_errors_in_callbacks_are_reported_and_parsing_goes_on(twin):
    calls, errors = [], []

    def failing(name):
        def callback(*args):
            calls.append(name)
            raise ValueError(name)

        return callback

    reader = make(
        twin,
        on_message=failing("message"),
        on_ping=failing("ping"),
        on_pong=failing("pong"),
        on_close=failing("close"),
        on_error=errors.append,
    )
    reader.feed(frame(2, b"a") + frame(9) + frame(10) + frame(1, b"a", fin=False) + frame(0) + frame(8))
    assert calls == ["message", "ping", "pong", "message", "close"]
    assert [str(error) for error in errors] == calls
    reader = make(twin, on_message=lambda p, b: 1, on_result=failing("result"), on_error=errors.append)
    reader.feed(frame(2, b"a"))
    assert str(errors[-1]) == "result"


def test_a_frame_error_of_a_callback_is_not_the_peers(twin):
    errors = []

    def callback(payload, is_binary):
        raise FrameError(1002, "from elsewhere")

    reader = make(twin, on_message=callback, on_error=errors.append)
    reader.feed(frame(2, b"a") * 2)
    assert len(errors) == 2


def test_errors_in_stream_hooks(twin):
    errors = []

    class Hooks:
        def __getattr__(self, name):
            def hook(*args):
                raise ValueError(name)

            return hook

    reader = make(twin, stream=Hooks(), on_error=lambda exc: errors.append(str(exc)))
    reader.feed(frame(1, b"a"))
    assert errors == ["message_begin", "frame_begin", "frame_data", "frame_end", "message_end"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_other_exceptions_come_out_and_end_the_reader(twin, error):
    calls = []

    def callback(payload, is_binary):
        calls.append(payload)
        raise error

    reader = make(twin, on_message=callback)
    with pytest.raises(error):
        reader.feed(frame(2, b"a") * 2)
    reader.feed(frame(2, b"a"))
    assert calls == [b"a"]


def test_error_of_on_error_comes_out(twin):
    def failing(*args):
        raise ValueError

    reader = make(twin, on_message=failing, on_error=failing)
    with pytest.raises(ValueError):
        reader.feed(frame(2, b"a"))
    reader.feed(frame(2, b"a"))


def test_feed_is_not_reentrant(twin):
    errors = []
    reader = make(twin, on_ping=lambda p: reader.feed(b""), on_error=errors.append)
    reader.feed(frame(9) + frame(9))
    assert [type(error) for error in errors] == [RuntimeError, RuntimeError]


HOOKS = ["message_begin", "frame_begin", "frame_data", "frame_end", "message_end"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("compressed", [False, True])
def test_stop_in_stream_hooks(twin, hook, compressed):
    calls = []

    class Hooks:
        def __getattr__(self, name):
            def run(*args):
                calls.append(name)
                if name == hook:
                    reader.stop()

            return run

    reader = twin.Reader(*[print] * 6, masked=True, stream=Hooks(), inflater=Inflater())
    payload = deflated(b"abcdef")[0] if compressed else b"abcdef"
    reader.feed(frame(1, payload, rsv=4 if compressed else 0) + frame(2, b"more"))
    reader.feed(frame(2, b"more"))
    assert calls == HOOKS[: HOOKS.index(hook) + 1]


@pytest.mark.parametrize("name", ["on_message", "on_ping", "on_pong", "on_result", "on_error"])
def test_stop_in_callbacks(twin, name):
    calls = []

    def stopping(*args):
        calls.append(args)
        reader.stop()

    def message(*args):
        if name == "on_error":
            raise ValueError
        return 1

    callbacks = {"on_message": message, name: stopping}
    reader = make(twin, **callbacks)
    good = frame(1, b"a") if name in {"on_message", "on_result", "on_error"} else b""
    good = good or frame(9 if name == "on_ping" else 10)
    reader.feed(good * 3 + b"\xff\xff")
    reader.feed(good)
    assert len(calls) == 1


def test_stop_before_and_between(twin):
    recorder = Recorder(twin)
    recorder.reader.feed(frame(2, b"abc")[:-1])
    recorder.reader.stop()
    recorder.reader.feed(frame(2, b"abc"))
    assert recorder.events == []
    assert recorder.reader.in_message is False


def test_writing_from_a_callback(twin):
    writer = twin.Writer(lambda: None, masked=False)
    reader = make(twin, on_message=lambda payload, is_binary: writer.frame(2, payload))
    reader.feed(b"".join(frame(2, bytes((at,)) * at) for at in range(200)))
    expected = b"".join(frame(2, bytes((at,)) * at, key=None) for at in range(200))
    assert writer.take() == expected

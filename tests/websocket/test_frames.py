"""The frame unit: both twins, whole input, split at every byte, random splits, trailing bytes."""

import os
import random
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.websocket import _frames_py
from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.errors import FrameError

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

MISSING = "the extension autobahn.websocket._frames is not built (python setup.py build_ext --inplace)"
KEY = b"\x11\xa2\x03\xf4"
TWINS = [_frames_py] if _frames is None else [_frames_py, _frames]


@pytest.fixture(params=["python", "compiled"])
def twin(request):
    if request.param == "python":
        return _frames_py
    if _frames is None:
        pytest.skip(MISSING)
    return _frames


def xor(data, key):
    return bytes(octet ^ key[at % 4] for at, octet in enumerate(data))


def head(b0, size, masked, form=None):
    """A frame head; `form` forces the number of extended length octets (0, 2, 8)."""
    if form is None:
        form = 0 if size < 126 else 2 if size < 65536 else 8
    mask = 0x80 if masked else 0
    if form == 0:
        return bytes((b0, mask | size))
    return bytes((b0, mask | (126 if form == 2 else 127))) + size.to_bytes(form, "big")


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=KEY, form=None):
    b0 = (0x80 if fin else 0) | rsv << 4 | opcode
    if key is None:
        return head(b0, len(payload), False, form) + payload
    return head(b0, len(payload), True, form) + key + xor(payload, key)


class Recorder:
    """Takes every callback of a Reader into one list."""

    def __init__(self, twin, *, stream=False, masked=True, inflater=None, **options):
        self.events = []
        self.reader = twin.Reader(
            lambda payload, is_binary: self.events.append(("message", payload, is_binary)),
            lambda payload: self.events.append(("ping", payload)),
            lambda payload: self.events.append(("pong", payload)),
            lambda code, reason: self.events.append(("close", code, reason)),
            lambda value: self.events.append(("result", value)),
            lambda exc: self.events.append(("error", exc)),
            masked=masked,
            inflater=inflater,
            stream=self if stream else None,
            **options,
        )

    def message_begin(self, is_binary):
        self.events.append(("message_begin", is_binary))

    def frame_begin(self, length):
        self.events.append(("frame_begin", length))

    def frame_data(self, data):
        assert data
        assert type(data) is bytes
        if self.joined and self.events[-1][0] == "data":
            data = self.events.pop()[1] + data
        self.events.append(("data", data))

    def frame_end(self):
        self.events.append(("frame_end",))

    def message_end(self):
        self.events.append(("message_end",))

    joined = True

    def feed(self, chunks):
        """Feed all; the events, with the FrameError as the last one if there was any."""
        error = None
        for chunk in chunks:
            before = len(self.events)
            try:
                self.reader.feed(chunk)
            except FrameError as exc:
                assert error is None
                error = ("FrameError", exc.code, exc.reason)
                continue
            if error is not None:
                assert len(self.events) == before, "a dead reader called back"
        if error is None:
            return self.events
        assert len(error[2].encode()) <= 123  # it has to fit into a close frame
        return [*self.events, error]


def trace(twin, chunks, **options):
    if options.pop("compressed", False):
        options["inflater"] = Inflater()
    return Recorder(twin, **options).feed(chunks)


def cut(data, at):
    bounds = [0, *sorted(at), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def random_cuts(data, seed):
    rng = random.Random(seed)
    return cut(data, [rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 9))])


def check(twin, data, expected, **options):
    """`data` gives `expected` whole, byte by byte, at every single cut, at random cuts."""
    assert trace(twin, [data], **options) == expected
    assert trace(twin, [bytearray(data)], **options) == expected
    assert trace(twin, [data[at : at + 1] for at in range(len(data))], **options) == expected
    step = max(1, len(data) // 300)
    for at in range(1, len(data), step):
        assert trace(twin, [data[:at], data[at:]], **options) == expected
    for seed in range(5):
        assert trace(twin, random_cuts(data, seed), **options) == expected


def check_error(twin, data, code, text, before=(), **options):
    """`data` is refused with `code`; what follows it changes nothing."""
    found = trace(twin, [data], **options)
    assert found[:-1] == list(before)
    assert found[-1][:2] == ("FrameError", code)
    assert text in found[-1][2]
    check(twin, data, found, **options)
    check(twin, data + frame(2, b"more") + b"\xff" * 5, found, **options)


# -- messages and control frames -----------------------------------------------------------------------------

LENGTHS = [0, 1, 2, 7, 8, 9, 124, 125, 126, 127, 128, 1000]


@pytest.mark.parametrize("size", LENGTHS)
@pytest.mark.parametrize("key", [KEY, None])
def test_single_frames(twin, size, key):
    payload = bytes((7 * at) % 128 for at in range(size))
    masked = key is not None
    check(twin, frame(2, payload, key=key), [("message", payload, True)], masked=masked)
    check(twin, frame(1, payload, key=key), [("message", payload, False)], masked=masked)
    expected = [("message", payload, True)] * 2
    check(twin, frame(2, payload, key=key) * 2 + b"\x82", expected, masked=masked)


@pytest.mark.parametrize("size", [65535, 65536, 70001, 300_000])
def test_long_frames(twin, size):
    payload = random.Random(size).randbytes(size)
    data = frame(2, payload) + frame(1, b"after")
    expected = [("message", payload, True), ("message", b"after", False)]
    assert trace(twin, [data]) == expected
    for seed in range(8):
        assert trace(twin, random_cuts(data, seed)) == expected
    segments = [data[at : at + 1448] for at in range(0, len(data), 1448)]
    assert trace(twin, segments) == expected
    assert trace(twin, segments, stream=True) == [
        ("message_begin", True),
        ("frame_begin", size),
        ("data", payload),
        ("frame_end",),
        ("message_end",),
        ("message_begin", False),
        ("frame_begin", 5),
        ("data", b"after"),
        ("frame_end",),
        ("message_end",),
    ]


def test_payload_is_fresh_bytes(twin):
    source = bytearray(frame(2, b"abc", key=None))
    events = trace(twin, [memoryview(source)], masked=None)
    source[:] = bytes(len(source))
    assert events == [("message", b"abc", True)]
    assert type(events[0][1]) is bytes


def test_feed_takes_any_buffer(twin):
    data = frame(2, b"abcdef") + frame(9, b"p")
    spread = bytearray(2 * len(data))
    spread[::2] = data
    expected = [("message", b"abcdef", True), ("ping", b"p")]
    assert trace(twin, [memoryview(data)]) == expected
    assert trace(twin, [memoryview(data)[:3], memoryview(data)[3:]]) == expected
    assert trace(twin, [memoryview(spread)[::2]]) == expected
    assert trace(twin, [b"", data, b""]) == expected
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            twin.Reader(*[None] * 6, masked=True).feed(wrong)


def test_fragments_with_control_frames_between(twin):
    data = (
        frame(1, b"one ", fin=False)
        + frame(9, b"ping")
        + frame(0, b"", fin=False)
        + frame(10, b"")
        + frame(0, "zwö".encode()[:3], fin=False)
        + frame(9, b"q")
        + frame(0, "zwö".encode()[3:] + b"!")
        + frame(2, b"", fin=False)
        + frame(0)
    )
    expected = [
        ("ping", b"ping"),
        ("pong", b""),
        ("ping", b"q"),
        ("message", "one zwö!".encode(), False),
        ("message", b"", True),
    ]
    check(twin, data, expected)


@pytest.mark.parametrize("size", [0, 1, 124, 125])
def test_control_payloads(twin, size):
    payload = bytes(range(100, 100 + size % 100)) + b"x" * (size - size % 100)
    check(twin, frame(9, payload) + frame(10, payload), [("ping", payload), ("pong", payload)])


def test_in_message(twin):
    reader = Recorder(twin).reader
    assert reader.in_message is False
    reader.feed(frame(1, b"a", fin=False))
    assert reader.in_message is True
    reader.feed(frame(0, b"a"))
    assert reader.in_message is False
    reader.feed(frame(2, b"abc")[:7])
    assert reader.in_message is True


def test_stream_mode(twin):
    data = frame(1, b"ab", fin=False) + frame(9, b"p") + frame(0, b"", fin=False) + frame(0, "é".encode())
    expected = [
        ("message_begin", False),
        ("frame_begin", 2),
        ("data", b"ab"),
        ("frame_end",),
        ("ping", b"p"),
        ("frame_begin", 0),
        ("frame_end",),
        ("frame_begin", 2),
        ("data", "é".encode()),
        ("frame_end",),
        ("message_end",),
    ]
    check(twin, data, expected, stream=True)


def test_stream_mode_hands_over_what_has_come(twin):
    recorder = Recorder(twin, stream=True)
    recorder.joined = False
    data = frame(2, b"abcdefgh")
    recorder.feed([data[:8], data[8:11], data[11:]])
    datas = [event[1] for event in recorder.events if event[0] == "data"]
    assert datas == [b"ab", b"cde", b"fgh"]


@pytest.mark.parametrize("stream", [False, True])
def test_masked_may_be_either(twin, stream):
    data = frame(2, b"abc", key=None) + frame(2, b"abc")
    events = trace(twin, [data], masked=None, stream=stream)
    assert [event[1] for event in events if event[0] in {"message", "data"}] == [b"abc", b"abc"]


def test_apply_mask_off(twin):
    expected = [("message", b"abc", True), ("ping", b"pp"), ("message", b"y" * 300, True)]
    data = b"".join(
        head(0x80 | opcode, len(text), True) + KEY + text for opcode, text in ((2, b"abc"), (9, b"pp"), (2, b"y" * 300))
    )
    check(twin, data, expected, apply_mask=False)


# -- violations ----------------------------------------------------------------------------------------------

VIOLATIONS = {
    "opcode 3": (frame(3), "expected a defined opcode, got reserved opcode 3"),
    "opcode 7": (frame(7, b"x"), "reserved opcode 7"),
    "opcode 11": (frame(11), "reserved opcode 11"),
    "opcode 15": (frame(15), "reserved opcode 15"),
    "rsv1": (frame(1, b"x", rsv=4), "without negotiated compression"),
    "rsv2": (frame(1, b"x", rsv=2), "got RSV bits 010"),
    "rsv3": (frame(2, b"x", rsv=1), "got RSV bits 001"),
    "rsv all": (frame(2, b"x", rsv=7), "got RSV bits 111"),
    "rsv1 on ping": (frame(9, b"x", rsv=4), "on a control frame"),
    "rsv2 on close": (frame(8, rsv=2), "got RSV bits 010"),
    "fragmented ping": (frame(9, b"x", fin=False), "got a fragment"),
    "fragmented close": (frame(8, fin=False), "got a fragment"),
    "long ping": (frame(9, b"x" * 126), "at most 125 octets"),
    "long pong": (frame(10, b"x" * 70000), "at most 125 octets"),
    "ping in a long form": (frame(9, b"x", form=2), "at most 125 octets"),
    "stray continuation": (frame(0, b"x"), "without a message to continue"),
    "stray open continuation": (frame(0, b"x", fin=False), "without a message to continue"),
    "unmasked": (frame(2, b"x", key=None), "expected a masked frame"),
    "unmasked ping": (frame(9, b"", key=None), "expected a masked frame"),
    "125 in 16 bits": (frame(2, b"x" * 125, form=2), "shortest length encoding, got 125 in 16 bits"),
    "0 in 16 bits": (frame(2, b"", form=2), "got 0 in 16 bits"),
    "0 in 64 bits": (frame(1, b"", form=8), "got 0 in 64 bits"),
    "125 in 64 bits": (frame(1, b"x" * 125, form=8), "got 125 in 64 bits"),
    "65535 in 64 bits": (frame(1, b"x" * 65535, form=8)[:50], "got 65535 in 64 bits"),
    "2**63": (head(0x82, 2**63, True, 8) + KEY, "63 bits"),
    "2**64-1": (head(0x82, 2**64 - 1, True, 8) + KEY, "63 bits"),
    "close of 1 octet": (frame(8, b"x"), "in a close frame, got 1"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_protocol_violations(twin, name):
    data, text = VIOLATIONS[name]
    data = data[:400]
    check_error(twin, data, 1002, text)
    good = [("message", b"first", False), ("ping", b"second")]
    check_error(twin, frame(1, b"first") + frame(9, b"second") + data, 1002, text, good)


def test_violations_inside_a_fragmented_message(twin):
    begun = frame(1, b"a", fin=False)
    check_error(twin, begun + frame(2, b"b"), 1002, "got opcode 2 inside a fragmented message")
    check_error(twin, begun + frame(1, b"b", fin=False), 1002, "got opcode 1 inside")
    check_error(twin, begun + frame(9, b"p") + frame(1), 1002, "inside", [("ping", b"p")])
    check_error(twin, begun + frame(0, b"b") + frame(0), 1002, "to continue", [("message", b"ab", False)])


def test_masked_frame_to_a_client(twin):
    check_error(twin, frame(2, b"x"), 1002, "expected an unmasked frame, got a masked one", masked=False)


def test_rsv1_with_compression(twin):
    begun = frame(1, b"\x02", fin=False, rsv=4)
    check_error(twin, begun + frame(0, b"x", rsv=4), 1002, "on a continuation frame", compressed=True)
    check_error(twin, begun + frame(9, rsv=4), 1002, "on a control frame", compressed=True)
    check_error(twin, frame(1, b"x", rsv=6), 1002, "RSV2", compressed=True)


# -- close frames --------------------------------------------------------------------------------------------


def test_close(twin):
    check(twin, frame(8) + frame(2, b"late"), [("close", None, "")])
    for code in [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]:
        data = code.to_bytes(2, "big")
        assert trace(twin, [frame(8, data) + b"garbage"]) == [("close", code, "")]
    reason = "Ende gut 😀" * 7
    check(
        twin,
        frame(8, b"\x03\xe8" + reason.encode()) + b"\xff\xff\xff",
        [("close", 1000, reason)],
    )


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_close_codes_refused(twin, code):
    check_error(twin, frame(8, code.to_bytes(2, "big")), 1002, f"got {code}")


def test_close_reason_refused(twin):
    check_error(twin, frame(8, b"\x03\xe8ab\xff"), 1007, "close reason")
    check_error(twin, frame(8, b"\x03\xe8ab\xf0\x9f"), 1007, "close reason")
    check_error(twin, frame(8, b"\x00\x00\xff"), 1002, "got 0")


def test_close_between_fragments(twin):
    check(twin, frame(1, b"a", fin=False) + frame(8) + frame(0, b"b"), [("close", None, "")])


# -- UTF-8 ---------------------------------------------------------------------------------------------------

EDGES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED]
EDGES += [0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFE, 0xFF]


def continues(text):
    """Whether some valid UTF-8 begins with `text`, found by trying all completions of up to three octets."""
    tails = [b""]
    for _ in range(3):
        tails += [tail + bytes((octet,)) for tail in tails for octet in (0x80, 0x8F, 0x90, 0xA0, 0xBF)]
    for tail in dict.fromkeys(tails):
        try:
            (text + tail).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def refused(twin, text, **options):
    """Whether octets that begin an unfinished text frame are refused at once."""
    found = trace(twin, [head(1, 100, True) + bytes(4) + text], **options)
    return found[-1:] == [("FrameError", 1007, "expected UTF-8 in a text message, got an invalid octet")]


def test_utf8_fails_at_the_first_wrong_octet(twin):
    for first in range(256):
        assert refused(twin, bytes((first,))) is not continues(bytes((first,)))
    leads = [octet for octet in EDGES if continues(bytes((octet,)))]
    pairs = [bytes((a, b)) for a in leads for b in range(256)]
    alive = {}
    for pair in pairs:
        alive[pair] = continues(pair)
        assert refused(twin, pair) is not alive[pair], pair
    for pair in [pair for pair in pairs if alive[pair] and pair[1] in EDGES and pair[0] >= 0xC2]:
        for third in EDGES:
            triple = pair + bytes((third,))
            assert refused(twin, triple) is not continues(triple), triple
    for lead in (b"\xf0\x90\x80", b"\xf4\x8f\xbf", b"\xf1\xbf\x80"):
        for fourth in EDGES:
            assert refused(twin, lead + bytes((fourth,))) is not continues(lead + bytes((fourth,)))


def test_utf8_position_in_ascii(twin):
    for at in range(80):
        for wrong in (b"\x80", b"\xc3A", b"\xff", b"\xed\xa0", b"\xe2\x82A"):
            text = b"a" * at + wrong
            assert refused(twin, text + b"b" * 20)
            assert trace(twin, [frame(1, text + b"b" * 40)])[-1][1] == 1007
        text = (b"a" * at + "äöü€😀".encode() * 3 + b"b" * 40)[:150]
        text = text.decode(errors="ignore").encode()
        assert trace(twin, [frame(1, text)]) == [("message", text, False)]


TEXT = "κόσμε 😀 日本語 plain ascii text, long enough for words ÿ\U0010ffff\ud7ff\ue000".encode()


def test_utf8_split_everywhere(twin):
    check(twin, frame(1, TEXT), [("message", TEXT, False)])
    for at in range(len(TEXT) + 1):
        data = frame(1, TEXT[:at], fin=False) + frame(9) + frame(0, TEXT[at:])
        assert trace(twin, [data]) == [("ping", b""), ("message", TEXT, False)]


@pytest.mark.parametrize("stream", [False, True])
def test_utf8_unfinished_at_the_end(twin, stream):
    for tail in (b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"):
        for data in (frame(1, b"ab" + tail), frame(1, b"ab" + tail[:1], fin=False) + frame(0, tail[1:])):
            found = trace(twin, [data], stream=stream)
            assert found[-1][:2] == ("FrameError", 1007)
            assert "unfinished" in found[-1][2]
            check(twin, data, found, stream=stream)
    # the next message starts anew
    check(twin, frame(1, b"\xc3\xa9") + frame(2, b"\xa9\xff"), [
        ("message", b"\xc3\xa9", False), ("message", b"\xa9\xff", True)
    ])  # fmt: skip


def test_utf8_stream_gets_what_is_valid(twin):
    data = frame(1, b"ab", fin=False) + frame(0, b"cd\xe2\x82Azz")
    found = trace(twin, [data], stream=True)
    assert found[-2:] == [
        ("data", b"cd\xe2\x82"),
        ("FrameError", 1007, "expected UTF-8 in a text message, got an invalid octet"),
    ]
    check(twin, data, found, stream=True)


def test_utf8_not_validated(twin):
    data = frame(1, b"\xff\xfe") + frame(1, b"\xc3", fin=False) + frame(0, b"")
    check(twin, data, [("message", b"\xff\xfe", False), ("message", b"\xc3", False)], validate_utf8=False)


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


def deflated(*messages, **options):
    deflater = Deflater(**options)
    return [deflater.message(message) for message in messages]


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
    assert peak <= (0 if stream else limit) + 65536


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


# -- masking -------------------------------------------------------------------------------------------------


def test_masking_lengths_and_alignments(twin):
    noise = os.urandom(400)
    for size in range(301):
        payload = noise[:size]
        key = noise[size : size + 4]
        data = frame(2, payload, key=key)
        assert trace(twin, [data]) == [("message", payload, True)]
        writer = twin.Writer(lambda: None, masked=True, random=lambda count, key=key: key)
        writer.frame(2, payload)
        assert writer.take() == data
        for shift in range(1, 9):
            padded = memoryview(bytes(shift) + data)[shift:]
            found = trace(twin, [padded[: 6 + shift], padded[6 + shift :]])
            assert found == [("message", payload, True)]
            writer.raw(b"." * shift)
            writer.frame(2, memoryview(bytes(shift) + payload)[shift:])
            assert writer.take() == b"." * shift + data


@pytest.mark.parametrize("size", [4095, 4096, 16383, 16384, 16385, 16389, 70003])
def test_masking_long(twin, size):
    payload = random.Random(size).randbytes(size)
    writer = twin.Writer(lambda: None, masked=True, random=lambda count: KEY)
    writer.frame(2, payload)
    assert writer.take() == frame(2, payload)


# -- Writer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4095, 4096, 16384, 65535, 65536, 1_000_000])
@pytest.mark.parametrize("masked", [False, True])
def test_round_trip(twin, size, masked):
    payload = random.Random(size).randbytes(size)
    writer = twin.Writer(lambda: None, masked=masked)
    writer.frame(2, payload)
    writer.frame(1, b"text", fin=False)
    writer.frame(9, b"ping")
    writer.frame(0, bytearray(b" more"))
    writer.frame(8, b"")
    size = writer.size
    data = writer.take()
    assert len(data) == size
    assert writer.size == 0
    assert writer.take() == b""
    assert trace(twin, [data], masked=masked) == [
        ("message", payload, True),
        ("ping", b"ping"),
        ("message", b"text more", False),
        ("close", None, ""),
    ]


def test_heads(twin):
    writer = twin.Writer(lambda: None, masked=False)
    for opcode in (0, 1, 2, 8, 9, 10):
        for fin in (True, False):
            for rsv1 in (True, False):
                for size in (0, 125, 126, 65535, 65536):
                    writer.frame(opcode, bytes(size), fin, rsv1)
                    expected = frame(opcode, bytes(size), fin=fin, rsv=4 if rsv1 else 0, key=None)
                    assert writer.take() == expected
    writer.frame(1, b"x", fin=False, rsv1=True)
    assert writer.take() == b"\x41\x01x"


def test_wake(twin):
    wakes = []
    writer = twin.Writer(lambda: wakes.append(writer.size), masked=False)
    writer.raw(b"")
    assert wakes == []
    writer.frame(2, b"abc")
    assert wakes == [5]
    writer.frame(2, b"abc")
    writer.raw(b"x")
    assert wakes == [5]
    writer.take()
    writer.raw(b"xyz")
    assert wakes == [5, 3]
    writer.take()
    assert writer.corked is False
    writer.corked = True
    writer.frame(9, b"")
    writer.corked = False
    writer.raw(b"z")
    assert wakes == [5, 3]
    assert writer.take() == b"\x89\x00z"
    writer.frame(9, b"")
    assert wakes == [5, 3, 2]


def test_wake_may_take(twin):
    taken = []
    writer = twin.Writer(lambda: taken.append(writer.take()), masked=False)
    for payload in (b"a", b"b" * 20_000):
        writer.frame(2, payload)
        assert taken.pop() == frame(2, payload, key=None)
        writer.raw(payload)
        assert taken.pop() == payload


def test_wake_errors_come_out_and_nothing_is_lost(twin):
    def wake():
        raise ValueError

    writer = twin.Writer(wake, masked=False)
    with pytest.raises(ValueError):
        writer.frame(2, b"abc")
    assert writer.take() == b"\x82\x03abc"
    with pytest.raises(ValueError):
        writer.raw(b"raw")
    assert writer.take() == b"raw"


def test_raw_takes_one_chunk_without_a_copy(twin):
    writer = twin.Writer(lambda: None, masked=True)
    chunk = b"y" * 100_000
    writer.raw(chunk)
    assert writer.take() is chunk
    writer.raw(chunk)
    writer.raw(b"z")
    writer.raw(chunk)
    writer.raw(bytearray(b"w"))
    assert writer.size == 200_002
    assert writer.take() == chunk + b"z" + chunk + b"w"


def test_writer_copies_what_may_change(twin):
    writer = twin.Writer(lambda: None, masked=False)
    for size in (10, 100_000):
        source = bytearray(b"a" * size)
        writer.frame(2, source)
        writer.raw(memoryview(source))
        source[:] = b"b" * size
        source.append(1)  # no export is left behind
        assert writer.take() == frame(2, b"a" * size, key=None) + b"a" * size
    writer.frame(2, memoryview(b"a.b.c.")[::2])
    writer.raw(memoryview(b"a.b.c.")[::2])
    assert writer.take() == frame(2, b"abc", key=None) + b"abc"
    writer.frame(2, memoryview(b"abcd").cast("H"))
    assert writer.take() == frame(2, b"abcd", key=None)


def test_writer_refuses_what_is_no_buffer(twin):
    writer = twin.Writer(lambda: None, masked=True)
    for wrong in ("text", 5, None, [1]):
        with pytest.raises(TypeError):
            writer.frame(1, wrong)
        with pytest.raises(TypeError):
            writer.raw(wrong)
    assert writer.size == 0


def test_mask_keys_come_in_batches(twin):
    asked = []

    def source(count):
        asked.append(count)
        return bytes(range(12))

    writer = twin.Writer(lambda: None, masked=True, random=source)
    for _ in range(4):
        writer.frame(9, b"\0\0\0\0")
    keys = [bytes(range(start, start + 4)) for start in (0, 4, 8, 0)]
    assert writer.take() == b"".join(b"\x89\x84" + key * 2 for key in keys)
    assert len(asked) == 2
    assert asked[0] % 4 == 0
    with pytest.raises(ValueError):
        twin.Writer(lambda: None, masked=True, random=lambda count: b"abc").frame(9, b"")


def test_mask_keys_differ(twin):
    writer = twin.Writer(lambda: None, masked=True)
    keys = set()
    for _ in range(1000):
        writer.frame(9, b"")
        keys.add(writer.take()[2:])
    assert len(keys) > 990


def test_writer_apply_mask_off(twin):
    writer = twin.Writer(lambda: None, masked=True, apply_mask=False)
    writer.frame(2, b"plain")
    assert writer.take() == frame(2, b"plain", key=bytes(4))


def test_many_frames_in_one_take(twin):
    rng = random.Random(5)
    writer = twin.Writer(lambda: None, masked=False)
    expected = []
    for _ in range(300):
        payload = rng.randbytes(rng.choice((0, 3, 50, 200, 5000, 20_000)))
        if rng.random() < 0.8:
            writer.frame(2, payload)
            expected.append(frame(2, payload, key=None))
        else:
            writer.raw(payload)
            expected.append(payload)
        if rng.random() < 0.02:
            assert writer.take() == b"".join(expected)
            expected.clear()
    assert writer.take() == b"".join(expected)


# -- the two twins agree -------------------------------------------------------------------------------------

TEXTS = st.text(max_size=20).map(str.encode)
PAYLOADS = st.one_of(
    st.binary(max_size=20),
    TEXTS,
    TEXTS.flatmap(lambda text: st.integers(0, len(text)).map(lambda at: text[:at])),
    st.sampled_from([b"x" * 125, b"x" * 126, "é".encode() * 70, b"\x03\xe8bye", b"\x03\xed", b"\xff"]),
)


@st.composite
def frames(draw, packing):
    """A frame, mostly valid; and whether it is a data frame that may have begun a message."""
    opcode = draw(st.sampled_from([0, 0, 1, 1, 1, 2, 2, 9, 10, 8, 3, 11]))
    payload = draw(PAYLOADS)
    rsv = draw(st.sampled_from([0] * 12 + [4, 2]))
    if packing and opcode in {1, 2} and draw(st.booleans()):
        payload = Deflater(no_context_takeover=True).message(payload * 3)
        rsv = 4
    odd = draw(st.integers(0, 30))
    fin = draw(st.booleans()) if opcode < 8 else odd != 1
    key = None if odd == 2 else draw(st.binary(min_size=4, max_size=4))
    form = {3: 2, 4: 8}.get(odd)
    return frame(opcode, payload, fin=fin, rsv=rsv, key=key, form=form)


@st.composite
def inputs(draw, packing=False):
    data = b"".join(draw(st.lists(frames(packing), max_size=8)))
    if draw(st.integers(0, 4)) == 0:
        data += draw(st.binary(max_size=30))
    return data, cut(data, draw(st.lists(st.integers(0, len(data)), max_size=12)))


OPTIONS = st.fixed_dictionaries(
    {
        "stream": st.booleans(),
        "masked": st.sampled_from([True, True, True, None, False]),
        "validate_utf8": st.sampled_from([True, True, False]),
        "apply_mask": st.sampled_from([True, True, False]),
        "max_frame": st.sampled_from([0, 0, 7, 126]),
        "max_message": st.sampled_from([0, 0, 20, 130]),
    }
)


@settings(max_examples=400, deadline=None)
@given(inputs(), OPTIONS)
def test_twins_agree(case, options):
    """Both twins and every split give the same events and the same error."""
    data, chunks = case
    whole = trace(_frames_py, [data], **options)
    for one in TWINS:
        assert trace(one, [data], **options) == whole
        assert trace(one, chunks, **options) == whole
        assert trace(one, [data[at : at + 1] for at in range(len(data))], **options) == whole


@settings(max_examples=400, deadline=None)
@given(inputs(packing=True), OPTIONS)
def test_twins_agree_with_compression(case, options):
    """The twins agree to the letter on any compressed input, piece by piece."""
    data, chunks = case
    for pieces in ([data], chunks):
        found = [trace(one, pieces, compressed=True, **options) for one in TWINS]
        assert found[-1] == found[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS | st.binary(max_size=60), min_size=1, max_size=4), st.data())
def test_splits_of_compressed_messages(messages, data):
    packed = deflated(*[message * 3 for message in messages])
    octets = b"".join(frame(data.draw(st.sampled_from([1, 2])), payload, rsv=4) for payload in packed)
    options = data.draw(OPTIONS) | {"apply_mask": True, "masked": True, "compressed": True}
    chunks = cut(octets, data.draw(st.lists(st.integers(0, len(octets)), max_size=12)))
    whole = trace(_frames_py, [octets], **options)
    for one in TWINS:
        assert trace(one, [octets], **options) == whole
        assert trace(one, chunks, **options) == whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5), OPTIONS, st.booleans())
def test_twins_agree_on_noise(data, at, options, compressed):
    chunks = cut(data, [min(place, len(data)) for place in at])
    found = [trace(one, chunks, compressed=compressed, **options) for one in TWINS]
    assert found[-1] == found[0]


# -- the choice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "compiled"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_choice_of_twin(value, compiled):
    if compiled and _frames is None:
        pytest.skip(MISSING)
    program = "from autobahn.websocket import frames as f; print(f.COMPILED, f.Reader.__module__)"
    environment = {**os.environ, "AUTOBAHN_PURE": value}
    out = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    name = "_frames" if compiled else "_frames_py"
    assert out.stdout.decode().split() == [str(compiled), f"autobahn.websocket.{name}"]


def test_constants():
    from autobahn.websocket import frames as module

    assert (module.CONTINUATION, module.TEXT, module.BINARY) == (0, 1, 2)
    assert (module.CLOSE, module.PING, module.PONG) == (8, 9, 10)

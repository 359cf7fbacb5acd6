"""The frame unit: both twins, whole input, split at every byte, random splits, trailing bytes."""

import random

import pytest

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

from frames_world import KEY, Recorder, check, check_error, frame, head, random_cuts, trace

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


KEEPERS = {
    "itself": lambda payload: payload,
    "in a view": memoryview,
    "in a generator": lambda payload: (octet for octet in payload),
    "as a key": lambda payload: {payload: payload},
    "in a traceback": lambda payload: raised(payload),
}


def raised(payload):
    try:
        raise ValueError
    except ValueError as exc:
        return exc.__traceback__


def kept_value(kept):
    if isinstance(kept, dict):
        ((key, value),) = kept.items()
        assert key is value
        assert kept[bytes(bytearray(key))] == key  # found by its hash, too
        return key
    return kept.tb_frame.f_locals["payload"] if hasattr(kept, "tb_frame") else bytes(kept)


@pytest.mark.parametrize("way", KEEPERS)
@pytest.mark.parametrize("size", [1, 8, 256, 5000])
def test_payloads_of_one_read_are_values_of_their_own(twin, size, way):
    """Whatever is kept of some of them, and however: the memory of those that nobody kept may serve again."""
    payloads = [bytes([n]) * size for n in range(60)]
    hashes, kept = [], []

    def on_message(payload, is_binary):
        hashes.append(hash(payload))
        if payload[0] % 3:
            kept.append(KEEPERS[way](payload))

    def nothing(*args):
        raise AssertionError(args)

    reader = twin.Reader(on_message, nothing, nothing, nothing, nothing, nothing, masked=True)
    reader.feed(b"".join(frame(2, payload) for payload in payloads))
    assert hashes == [hash(payload) for payload in payloads]
    assert [kept_value(each) for each in kept] == [payload for payload in payloads if payload[0] % 3]


def test_who_gets_messages_is_looked_up_after_every_change(twin):
    """Changes that leave the number of attributes as it was count as well as any."""
    got, own = [], {"other": 0}

    def taker(name):
        def take(payload, is_binary):
            got.append(name)
            own["count"] = own.get("count", 0) + 1
            if "other" in own:
                del own["other"]
            else:
                own.pop("onMessage", None)
            if len(got) % 3:
                own["onMessage"] = taker(f"taker {len(got)}")
            else:
                own["other"] = 0

        return take

    recorder = Recorder(twin)
    first = recorder.reader.on_message = taker("first")

    def renew():
        recorder.reader.on_message = own.get("onMessage", first)

    recorder.reader.watch(own, renew)
    recorder.reader.feed(frame(2, b"x") * 8)
    assert got == ["first", "taker 1", "taker 2", "first", "taker 4", "taker 5", "first", "taker 7"]
    assert recorder.events == []


def test_a_receiver_that_cannot_be_renewed_costs_its_message(twin):
    own = {}
    recorder = Recorder(twin)

    def renew():
        raise LookupError("no receiver")

    recorder.reader.watch(own, renew)
    recorder.reader.feed(frame(2, b"1"))
    own["onMessage"] = print
    recorder.reader.feed(frame(2, b"2") * 2)
    kinds = [event[0] for event in recorder.events]
    assert kinds == ["message", "error", "message"]  # once told, it is known
    assert str(recorder.events[1][1]) == "no receiver"


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

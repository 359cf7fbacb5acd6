"""The frame unit: masking, the writer, and that both twins agree on everything."""

import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.websocket import _frames_py
from autobahn.websocket.deflate import Deflater

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

from frames_world import KEY, MISSING, TWINS, cut, deflated, frame, trace

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

"""The permessage-deflate engine: round trips, RFC 7692 examples, windows, bounded steps."""

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.errors import FrameError

STEP = 16384


def inflate(inflater, payload, step=STEP, pieces=1):
    """One message, as a Reader does it."""
    out = []
    size = max(1, -(-len(payload) // pieces))
    for at in range(0, len(payload), size):
        chunk = payload[at : at + size]
        while True:
            some = inflater.decompress(chunk, step)
            assert len(some) <= step
            out.append(some)
            if len(some) < step:
                break
            chunk = b""
    out.append(inflater.end_message(STEP))
    return b"".join(out)


def words(size, seed=0):
    rng = random.Random(seed)
    return b" ".join(rng.choice((b"alpha", b"beta", b"gamma", rng.randbytes(3))) for _ in range(size))


# -- RFC 7692 7.2.3 ------------------------------------------------------------------------------------------

EXAMPLES = {
    "one block": "f248cdc9c90700",
    "no compression": "000500faff48656c6c6f00",
    "final block": "f348cdc9c90700",
    "final block without its empty follower": "f348cdc9c907",
    "two blocks": "f248050000 00ffffcac9c90700",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    payload = bytes.fromhex(EXAMPLES[name])
    inflater = Inflater()
    for pieces in (1, 2, len(payload)):
        for step in (STEP, 100, 1, 2, 5, 6):
            assert inflate(inflater, payload, step, pieces) == b"Hello"


def test_context_takeover_example():
    deflater = Deflater()
    assert deflater.message(b"Hello").hex() == "f248cdc9c90700"
    assert deflater.message(b"Hello").hex() == "f200110000"
    inflater = Inflater()
    assert inflate(inflater, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    assert inflate(inflater, bytes.fromhex("f200110000")) == b"Hello"


def test_no_context_takeover():
    deflater = Deflater(no_context_takeover=True)
    assert deflater.message(b"Hello") == deflater.message(b"Hello") == bytes.fromhex("f248cdc9c90700")
    inflater = Inflater(no_context_takeover=True)
    assert inflate(inflater, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    with pytest.raises(FrameError) as caught:  # refers to what was forgotten
        inflate(inflater, bytes.fromhex("f200110000"))
    assert caught.value.code == 1007


@pytest.mark.parametrize("no_context_takeover", [False, True])
def test_empty_messages(no_context_takeover):
    deflater = Deflater(no_context_takeover=no_context_takeover)
    inflater = Inflater(no_context_takeover=no_context_takeover)
    for text in (b"", b"", b"abc", b"", b"", b"abc"):
        payload = deflater.message(text)
        assert payload
        if not text:
            assert payload == b"\0"
        assert inflate(inflater, payload) == text
    # a payload of no octets at all spoils nothing
    assert inflate(inflater, b"") == b""
    assert inflate(inflater, deflater.message(b"abc")) == b"abc"


def test_deflating_in_pieces():
    deflater, inflater = Deflater(), Inflater()
    for pieces in ([b"abc", b"", b"def" * 1000], [], [b""], [words(50_000), b"x"]):
        payload = b"".join(deflater.compress(piece) for piece in pieces) + deflater.end_message()
        assert inflate(inflater, payload) == b"".join(pieces)


def test_buffers():
    deflater, inflater = Deflater(), Inflater()
    for kind in (bytes, bytearray, memoryview):
        assert inflate(inflater, deflater.message(kind(b"some text"))) == b"some text"


# -- windows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window_bits", range(8, 16))
@pytest.mark.parametrize("no_context_takeover", [False, True])
def test_windows(window_bits, no_context_takeover):
    options = {"window_bits": window_bits, "no_context_takeover": no_context_takeover}
    deflater, inflater = Deflater(**options), Inflater(**options)
    for seed, size in enumerate((1, 100, 5000, 20_000)):
        text = words(size, seed)
        for pieces in (1, 7):
            assert inflate(inflater, deflater.message(text), pieces=pieces) == text


def farthest(payload, window_bits):
    """Inflate one octet at a time within a true window of that many bits; zlib refuses to look back farther."""
    context = zlib.decompressobj(-window_bits)
    out = bytearray()
    pending = payload + b"\0\0\xff\xff"
    while True:
        some = context.decompress(pending, 1)
        pending = context.unconsumed_tail
        out += some
        if not some and not pending:
            return bytes(out)


@pytest.mark.parametrize("window_bits", [8, 9, 10])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_deflater_stays_in_its_window(window_bits, level):
    """Even 8 bits, which zlib has no raw deflate for."""
    block = random.Random(1).randbytes(200)
    near = b"".join(block[:cut] + bytes((cut,)) for cut in range(60, 200)) + words(3000)
    text = near + b"".join(random.Random(size).randbytes(size) * 2 for size in range(240, 270))
    payload = Deflater(window_bits=window_bits, level=level).message(text)
    assert len(payload) < len(text)
    assert farthest(payload, window_bits) == text
    with pytest.raises(zlib.error):  # the judge is awake
        farthest(Deflater(window_bits=15, level=level).message(text), window_bits)


def test_a_small_window_is_kept_by_the_inflater():
    text = random.Random(3).randbytes(5000) * 2
    payload = Deflater(window_bits=15).message(text)
    with pytest.raises(FrameError):
        inflate(Inflater(window_bits=9), payload, step=100)


@pytest.mark.parametrize("wrong", [0, 7, 16, -15, 10**9])
def test_window_bits_are_checked(wrong):
    for kind in (Inflater, Deflater):
        with pytest.raises(ValueError, match="window bits from 8 to 15"):
            kind(window_bits=wrong)


def test_levels_are_checked():
    for options in ({"level": 10}, {"level": -2}, {"mem_level": 0}, {"mem_level": 10}):
        with pytest.raises(ValueError, match="expected a"):
            Deflater(**options)
    assert Inflater().decompress(Deflater(level=0, mem_level=1).message(b"abc"), 100) == b"abc"


# -- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 100, 16384])
@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 16383, 16384, 16385, 100_000])
def test_steps(step, size):
    if size // step > 2000:
        size = 2000 * step
    for text in (bytes(size), words(size)[:size]):
        for pieces in (1, 3):
            assert inflate(Inflater(), Deflater().message(text), step, pieces) == text


def test_bomb_is_never_inflated_at_once():
    bomb = Deflater().message(bytes(1 << 24))
    inflater = Inflater()
    inflate(inflater, Deflater().message(b"warm up"))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        out = inflater.decompress(bomb, 1)
        assert out == b"\0"
        for _ in range(100):
            assert len(inflater.decompress(b"", STEP)) == STEP
        assert tracemalloc.get_traced_memory()[1] - before < 131072
    finally:
        tracemalloc.stop()


def test_stored_block_bomb():
    """Blocks within blocks: each layer is data to the one outside."""
    inner = Deflater().message(bytes(1 << 22))
    outer = Deflater(level=0).message(inner * 50)
    assert inflate(Inflater(), outer, 1000) == inner * 50


def test_endless_empty_blocks_cost_nothing():
    inflater = Inflater()
    payload = b"\x00\x00\x00\xff\xff" * 20_000
    tracemalloc.start()
    try:
        inflater.decompress(b"\x00\x00\x00\xff\xff", STEP)
        before = tracemalloc.get_traced_memory()[0]
        assert inflater.decompress(payload, STEP) == b""
        assert tracemalloc.get_traced_memory()[1] - before < 65536
    finally:
        tracemalloc.stop()
    assert inflater.end_message(STEP) == b""


def test_final_blocks_are_counted():
    """Each ends its stream, and a new one costs a context."""
    final = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = final.compress(b"ab") + final.flush()
    for pieces in (1, 10, 1000):
        inflater = Inflater()
        assert inflate(inflater, stream * 60, pieces=pieces) == b"ab" * 60
        assert inflate(inflater, stream * 60, pieces=pieces) == b"ab" * 60
        assert inflate(inflater, stream * 60, step=1, pieces=pieces) == b"ab" * 60
        with pytest.raises(FrameError, match="final deflate blocks") as caught:
            inflate(inflater, stream * 100, pieces=pieces)
        assert caught.value.code == 1007


@pytest.mark.parametrize("payload", [b"\x07", b"\xff" * 5, b"\x00\x05\x00\x00\x00abc", b"\x04\xff\xff\xff\xff\xff"])
def test_rubbish(payload):
    for pieces in (1, len(payload)):
        with pytest.raises(FrameError, match="expected deflate data") as caught:
            inflate(Inflater(), payload, pieces=pieces)
        assert caught.value.code == 1007


def test_truncated_data_is_noticed_or_harmless():
    payload = Deflater().message(words(300))
    for at in range(len(payload)):
        try:
            out = inflate(Inflater(), payload[:at])
        except FrameError as exc:
            out = exc.code
        assert out == 1007 or len(out) <= len(words(300)) + 2000


def test_contexts_are_made_when_needed():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [(Inflater(), Deflater()) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] - before < 100 * 700
        one = [(Inflater(no_context_takeover=True), Deflater(no_context_takeover=True)) for _ in range(10)]
        for inflater, deflater in one:
            assert inflate(inflater, deflater.message(b"abc")) == b"abc"
        assert tracemalloc.get_traced_memory()[0] - before < 110 * 700
    finally:
        tracemalloc.stop()
    assert len(kept) == 100


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=300).map(lambda text: text * 3), max_size=5),
    st.integers(8, 15),
    st.booleans(),
    st.booleans(),
    st.integers(1, 700),
    st.integers(1, 5),
)
def test_round_trips(messages, bits, forgetful_deflater, forgetful_inflater, step, pieces):
    deflater = Deflater(window_bits=bits, no_context_takeover=forgetful_deflater or forgetful_inflater)
    inflater = Inflater(window_bits=bits, no_context_takeover=forgetful_inflater)
    for message in messages:
        assert inflate(inflater, deflater.message(message), step, pieces) == message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 400), st.integers(1, 60))
def test_noise(data, step, pieces):
    """Rubbish gives the same whole and in pieces, and only ever a FrameError."""
    results = []
    for count in (1, pieces):
        try:
            results.append(inflate(Inflater(), data, step, count))
        except FrameError as exc:
            results.append((exc.code, exc.reason))
    assert results[0] == results[1]

"""The fuzz targets under hypothesis: likely and mutated input, no growth, linear time."""

import gc
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.world import allocations, assert_linear, measures_memory
from fuzz.direct import MOST, Line
from fuzz.targets import KEY, RAW_TWINS, TARGETS, TWINS, Trace, frame, frames, rawsocket, seeds

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
WORDS = st.sampled_from(
    (
        "websocket|Upgrade|keep-alive|permessage-deflate|client_max_window_bits|server_max_window_bits|a|b|13|8|10|16|0|"
        "server_no_context_takeover|client_no_context_takeover|null|http://example.com|http://x.example.com|example.com|"
        'https://evil.com|[::1]:80|"|\\|,|;|=|="|, |; | |\t|\r|\n|\x0b|\x85|\u212a|²|' + KEY
    ).split("|")
)
TEXT = st.lists(WORDS | PRINTABLE, max_size=8).map("".join)
NAMES = st.sampled_from(
    [
        "Host",
        "Upgrade",
        "Connection",
        "Origin",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Content-Length",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Transfer-Encoding",
        " X",
        "X:",
    ]
)


@st.composite
def mutated(draw, name):
    """A seed of the target `name` with some octets replaced, removed, doubled or put in."""
    data = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        kind = draw(st.integers(0, 2))
        piece = bytes(data[at:end]) * 2 if kind == 0 else draw(st.binary(max_size=12)) if kind == 1 else b""
        data[at:end] = piece
    return bytes(data)


@st.composite
def heads(draw, start):
    lines = [start]
    for name in draw(st.lists(NAMES, max_size=12)):
        lines.append(f"{name}: {draw(TEXT)}")
    end = draw(st.sampled_from(["\r\n\r\n", "\r\n", "\n\n", "\r\n\r\nX"]))
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + end.encode()


SIZES = st.sampled_from([0, 1, 2, 60, 125, 126, 127, 300])
FRAMES = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 8, 9, 10, 0, 1, 2, 3]),
    st.binary(max_size=20) | st.text(max_size=10).map(str.encode) | st.sampled_from([b"", b"\x03\xe8", b"\x62\0"]),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 4, 2]),
    key=st.sampled_from([b"\1\2\3\4", b"\0\0\0\0"]),
)
STREAMS = st.tuples(st.integers(0, 255), st.lists(FRAMES, max_size=8)).map(lambda x: bytes((x[0],)) + b"".join(x[1]))
LIKELY = {
    "http_request": heads("GET / HTTP/1.1"),
    "http_response": heads("HTTP/1.1 101 OK") | heads("HTTP/1.1 404 no"),
    "extensions": TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    "url": TEXT.map(lambda text: b"ws://" + text.encode("utf-8", "surrogatepass")),
    "frames": STREAMS,
    "close": st.tuples(st.integers(0, 65535), st.text(max_size=40)).map(
        lambda x: x[0].to_bytes(2, "big") + x[1].encode("utf-8", "surrogatepass")[:123]
    ),
    "rawsocket": st.tuples(
        st.integers(0, 31),
        st.lists(
            st.tuples(st.sampled_from([0, 0, 1, 2, 8, 3]), st.integers(0, 40), st.binary(max_size=40)), max_size=9
        ),
    ).map(lambda x: bytes((x[0],)) + b"".join(bytes((kind, 0, 0, size)) + rest for kind, size, rest in x[1])),
    "direct": st.tuples(st.integers(0, 63), st.lists(st.binary(min_size=4, max_size=4), max_size=12)).map(
        lambda x: bytes((x[0],)) + b"".join(x[1])
    ),
    "deflate": st.binary(max_size=300),
    "server": STREAMS.map(lambda data: data[1:]) | heads("GET / HTTP/1.1"),
    "client": STREAMS.map(lambda data: data[1:]) | heads("HTTP/1.1 101 OK") | heads("HTTP/1.1 500 no"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_exceptions(name):
    target = TARGETS[name]

    @QUICK
    @given(LIKELY[name] | mutated(name) | st.binary(max_size=200))
    def check(data):
        target(data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_taken(name):
    for data in seeds(name):
        TARGETS[name](data)
        for at in range(0, len(data), 7):
            TARGETS[name](data[:at])
            TARGETS[name](data[at:])


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 400), max_size=12), st.integers(0, 255))
@QUICK
def test_twins_agree_on_random_splits(parts, cuts, setting):
    data = b"".join(parts)
    options = {"masked": None, "stream": bool(setting & 1), "max_message": 100 if setting & 2 else 0}
    found = []
    for twin in TWINS:
        bounds = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
        pieces = [data[a:b] for a, b in pairwise(bounds)]
        found += [Trace(twin, **options).feed(pieces), Trace(twin, **options).feed([data])]
    assert all(events == found[0] for events in found)


@measures_memory
@pytest.mark.parametrize("name", TARGETS)
def test_no_growth(name):
    """What comes a hundred times leaves no more than what comes once."""
    target = TARGETS[name]
    for data in seeds(name):
        target(data)
    with allocations() as meter:
        for _ in range(20):
            for data in seeds(name):
                target(data)
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
        kept = (
            2 * MOST if name == "direct" else 0
        )  # each unit keeps an output buffer, now of this and then of that size
        assert left < kept + 100_000, meter.peak()


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in {"close", "url"}])
def test_time_is_linear(name):
    seed = max(seeds(name), key=len)

    def work(size):
        data = (seed * (size // len(seed) + 1))[:size]
        TARGETS[name](data)

    assert_linear(work, 2000)


def test_the_rawsocket_target_can_fail():
    class Forgetful:
        Writer = RAW_TWINS[0].Writer

        def Reader(self, on_message, on_ping, on_pong, limit):
            return RAW_TWINS[0].Reader(on_message, on_ping, on_pong)

    original = RAW_TWINS[:]
    RAW_TWINS[1:] = [Forgetful()]
    try:
        with pytest.raises(AssertionError):
            rawsocket(b"\1\0\0\0\x15" + bytes(21))
    finally:
        RAW_TWINS[:] = original


def test_the_targets_can_fail():
    """A reader that forgets a limit would be caught."""

    class Forgetful:
        def Reader(self, *arguments, **options):
            return TWINS[0].Reader(*arguments, **{**options, "max_message": 0})

    original = TWINS[:]
    TWINS.append(Forgetful())
    try:
        with pytest.raises(AssertionError):
            frames(b"\x10" + b"\x82\x7e\x01\x90" + bytes(400))
    finally:
        TWINS[:] = original


@pytest.mark.skipif(len(TWINS) < 2, reason="only the compiled units read and send by themselves")
def test_the_direct_target_can_fail(monkeypatch):
    """An echo that loses octets would be caught."""
    monkeypatch.setattr(Line, "sent", lambda self: b"")
    with pytest.raises(AssertionError):
        TARGETS["direct"](seeds("direct")[0])

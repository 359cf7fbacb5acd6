"""permessage-deflate with every zlib there is (S4): each understands the others, keeps the window, and stops bombs."""

import zlib

import pytest

from autobahn.asyncio.websocket import WebSocketServerFactory
from autobahn.websocket.deflate import BACKENDS, Deflater, Inflater, load_backend
from autobahn.websocket.errors import FrameError
from frames_world import TWINS, Recorder, frame
from streams_world import inflate, words
from websocket_world import Echo, World

MIB = 1024 * 1024


def available(name):
    try:
        load_backend(name)
    except ImportError:
        pytest.skip(f"the package {name} is not installed")
    return name


@pytest.fixture(params=BACKENDS)
def backend(request):
    return available(request.param)


@pytest.fixture(params=BACKENDS)
def other(request):
    return available(request.param)


@pytest.mark.parametrize("no_context_takeover", [False, True])
def test_backends_understand_each_other(backend, other, no_context_takeover):
    for window_bits in range(8, 16):
        options = {"window_bits": window_bits, "no_context_takeover": no_context_takeover}
        deflater, inflater = Deflater(**options, backend=backend), Inflater(**options, backend=other)
        for size in (0, 1, 100, 0, 5000, 40_000):
            text = words(size, size)
            for step, pieces in ((1 << 30, 1), (1000, 7)):
                assert inflate(inflater, deflater.message(text), step, pieces) == text


def farthest(payload, window_bits):
    """Inflate within a true window of that many bits, an octet at a time; zlib refuses to look back farther."""
    context = zlib.decompressobj(-window_bits)
    out, pending = bytearray(), payload + b"\0\0\xff\xff"
    while True:
        some = context.decompress(pending, 1)
        pending = context.unconsumed_tail
        out += some
        if not some and not pending:
            return bytes(out)


@pytest.mark.parametrize("level", [-1, 0, 1, 6, 9])
@pytest.mark.parametrize("window_bits", [9, 10, 12, 15])
def test_the_window_is_kept(backend, level, window_bits):
    text = words(12_000)
    payload = Deflater(window_bits=window_bits, level=level, backend=backend).message(text)
    assert farthest(payload, window_bits) == text


def test_contexts_are_given_back(backend, other):
    deflater, inflater = Deflater(backend=backend), Inflater(backend=other)
    for number in range(5):
        text = b"message number %d, much like the one before" % number
        assert inflate(inflater, deflater.message(text)) == text
        assert deflater.release()
        assert inflater.release()
    for number in range(5):  # the sender remembers, the receiver has to
        text = b"message number %d, much like the one before" % number
        assert inflate(inflater, deflater.message(text)) == text
        assert inflater.release()


@pytest.mark.parametrize("bad", [b"\x07\xff\xff", b"\xff" * 20])
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__.rpartition("_")[2])
def test_what_is_no_deflate_data_is_refused(backend, twin, bad):
    events = Recorder(twin, inflater=Inflater(backend=backend)).feed([frame(2, bad, rsv=4)])
    assert events[-1][:2] == ("FrameError", 1007)


def nested(size):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = b"".join(
        deflater.compress(bytes(100_000)) + deflater.flush(zlib.Z_FULL_FLUSH) for _ in range(size // 100_000)
    )
    return out[:-4]


BOMBS = {
    "1000 to 1": Deflater(level=9).message(bytes(4 * MIB)),
    "nested": nested(4 * MIB),
    "many streams": b"".join(zlib.compress(bytes(100_000), 9, -15) for _ in range(40)),
}


@pytest.mark.parametrize("limit", [1, 128, 16 * 1024, 100_000, MIB])
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__.rpartition("_")[2])
def test_S4_bombs_stop_at_the_limit(backend, twin, bomb, limit):
    inflater = Inflater(backend=backend)
    asked = []

    class Watched:
        def decompress(self, data, max_length):
            out = inflater.decompress(data, max_length)
            asked.append((max_length, len(out)))
            return out

        end_message = staticmethod(inflater.end_message)

    recorder = Recorder(twin, inflater=Watched(), stream=True, max_message=limit)
    events = recorder.feed([frame(2, BOMBS[bomb], rsv=4)])
    assert events[-1][:2] == ("FrameError", 1009)
    assert sum(len(event[1]) for event in events if event[0] == "data") <= limit
    assert all(got <= wanted <= 16 * 1024 for wanted, got in asked)
    assert sum(got for _, got in asked) <= limit + 16 * 1024


def test_streams_in_a_message_are_counted(backend):
    one = zlib.compress(b"a", 9, -15)
    assert inflate(Inflater(backend=backend), one * 60) == b"a" * 60
    with pytest.raises(FrameError, match="final deflate blocks"):
        inflate(Inflater(backend=backend), one * 200)


async def test_the_option_selects_the_backend(backend, other):
    from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

    accept = {"perMessageCompressionAccept": lambda offers: PerMessageDeflateOfferAccept(offers[0])}
    offer = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]}
    async with World(Echo, compressionBackend=backend, **accept) as world:
        client = await world.open(compressionBackend=other, **offer)
        for size in (10, 100_000):
            client.sendMessage(words(size))
            assert await client.messages.get() == (words(size), False)
        expected = load_backend(backend).compressobj(1, zlib.DEFLATED, -15, 8)
        assert type(world.server._ws_connection.deflater._context) is type(expected)


def test_a_backend_that_is_missing_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    with pytest.raises(ImportError, match="expected the package 'isal' to be installed"):
        WebSocketServerFactory().setProtocolOptions(compressionBackend="isal")

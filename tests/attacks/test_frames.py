"""S2 to S6, S15 to S17, S19, S21: what frames can do, on the wire and to both twins of the frame unit."""

import random
import zlib

import pytest

from attacks.world import (
    DEFLATE,
    Client,
    Target,
    accept_deflate,
    allocations,
    assert_linear,
    close_code,
    frame,
    frames,
    measures_memory,
    meet,
    upgrade_answer,
)
from autobahn.websocket import _frames_py
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.errors import FrameError

try:
    from autobahn.websocket import _frames
except ImportError:
    _frames = None

KIB = 1024
CLOSE = frame(8, b"\x03\xe8")


@pytest.fixture(params=["python", "compiled"])
def twin(request):
    if request.param == "compiled" and _frames is None:
        pytest.skip("the compiled unit is not built")
    return _frames_py if request.param == "python" else _frames


class Sink:
    """Counts what a reader gives, and keeps nothing."""

    def __init__(self, twin, *, stream=False, **options):
        self.octets = 0
        self.messages = 0
        self.reader = twin.Reader(
            self.on_message,
            lambda payload: None,
            lambda payload: None,
            lambda code, reason: None,
            lambda value: None,
            self.on_error,
            masked=None,
            stream=self if stream else None,
            **options,
        )

    def on_message(self, payload, is_binary):
        self.messages += 1
        self.octets += len(payload)

    def on_error(self, exc):
        raise exc

    def message_begin(self, is_binary):
        pass

    def frame_begin(self, size):
        pass

    def frame_data(self, data):
        self.octets += len(data)

    def frame_end(self):
        pass

    def message_end(self):
        self.messages += 1

    def refusal(self, data, step=65536):
        """The close code that `data` ends in."""
        try:
            for at in range(0, len(data), step):
                self.reader.feed(data[at : at + step])
        except FrameError as error:
            return error.code
        return None


# -- announced sizes --------------------------------------------------------------------------------------------


@measures_memory
@pytest.mark.parametrize("size", [16 * KIB * KIB + 1, 2**31, 2**32, 2**40, 2**63 - 1])
async def test_S2_defaults_refuse_an_announced_giant(size, caplog):
    async with Target(caplog) as target:
        with allocations() as meter:
            answer = await target.attack_open(frame(2, b"x" * 1000, size=size))
            assert meter.peak() < 2 * 2**20
        assert close_code(answer) == 1009
        assert target.factory.messages == []


@measures_memory
@pytest.mark.parametrize("size", [2**30, 2**40, 2**62])
def test_S2_without_a_limit_nothing_is_allocated_ahead(twin, size):
    with allocations() as meter:
        assert Sink(twin).refusal(frame(2, b"x" * 1000, size=size)) is None
        assert meter.peak() < 512 * KIB


async def test_S5_a_giant_that_trickles_is_refused_at_its_head(caplog):
    async with Target(caplog, maxMessagePayloadSize=1000) as target:
        # The payload never comes: the head alone decides.
        answer = await target.attack_open(frame(2, b"", size=1001))
        assert close_code(answer) == 1009
        # Nor is the sum of fragments waited for.
        answer = await target.attack_open(frame(2, b"x" * 600, fin=False) + frame(0, b"", size=401))
        assert close_code(answer) == 1009
        assert target.factory.messages == []
    async with Target(caplog, maxFramePayloadSize=1000) as target:
        assert close_code(await target.attack_open(frame(2, b"", size=1001))) == 1009


@pytest.mark.parametrize("size", [2**31, 2**32, 2**63 - 1])
@pytest.mark.parametrize("first", [0, 1, 2**20])
def test_S21_lengths_do_not_overflow(twin, size, first):
    limit = 2**21
    data = frame(2, bytes(first), fin=False) + frame(0, b"x", size=size)
    assert Sink(twin, max_message=limit).refusal(data) == 1009
    sink = Sink(twin)
    assert sink.refusal(data) is None
    assert sink.messages == 0


@pytest.mark.parametrize("size", [2**63, 2**63 + 1, 2**64 - 1])
def test_S21_the_top_bit_is_refused(twin, size):
    assert Sink(twin).refusal(frame(2, b"x", size=size)) == 1002


@pytest.mark.parametrize("size", [0, 1, 125])
@pytest.mark.parametrize("octets", [2, 8])
def test_S21_lengths_in_more_octets_than_needed(twin, size, octets):
    head = bytes((0x82, 126 if octets == 2 else 127)) + size.to_bytes(octets, "big")
    assert Sink(twin).refusal(head + bytes(size)) == 1002
    assert Sink(twin).refusal(head + bytes(size), step=1) == 1002
    assert Sink(twin).refusal(b"\x82\x7f" + (65535).to_bytes(8, "big")) == 1002


# -- bombs ------------------------------------------------------------------------------------------------------


def zeros(size):
    return Deflater(level=9).message(bytes(size))


def stored_blocks(count):
    """`count` empty stored blocks, which inflate to nothing."""
    return b"\x00\x00\x00\xff\xff" * count + b"\x00"


def nested(size):
    """A bomb whose blocks alternate between stored and compressed."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = b""
    for _ in range(max(1, size // 100_000)):
        out += deflater.compress(bytes(100_000)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return out[:-4]


BOMBS = {
    "1000 to 1": zeros(4_000_000),
    "nested": nested(4_000_000),
    "many streams": b"".join(zlib.compress(bytes(100_000), 9, -15) for _ in range(40)),
}


@measures_memory
@pytest.mark.parametrize("limit", [1, 128, 1000, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 100_000])
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("stream", [False, True])
def test_S3_S4_bombs_stop_at_the_limit(twin, limit, bomb, stream):
    payload = BOMBS[bomb]
    tiny = [payload[at : at + 1] for at in range(1, min(len(payload), 5000))]
    for data in (  # in one frame, and in a frame for every octet
        frame(2, payload, rsv=4),
        frame(2, payload[:1], rsv=4, fin=False) + b"".join(frame(0, octet, fin=False) for octet in tiny),
    ):
        sink = Sink(twin, stream=stream, inflater=Inflater(), max_message=limit)
        with allocations() as meter:
            code = sink.refusal(data)
            peak = meter.peak()
        assert code == 1009
        assert sink.messages == 0
        assert sink.octets <= limit
        assert peak < limit + 192 * KIB  # what was fed, a step of 16 KiB and zlib's window come on top


def test_S3_a_limit_above_the_message_is_no_obstacle(twin):
    for size in (0, 1, 127, 128):
        sink = Sink(twin, inflater=Inflater(), max_message=128)
        assert sink.refusal(frame(2, zeros(size), rsv=4)) is None
        assert (sink.messages, sink.octets) == (1, size)
    assert Sink(twin, inflater=Inflater(), max_message=128).refusal(frame(2, zeros(129), rsv=4)) == 1009


@pytest.mark.parametrize("limit", [128, 100_000])
async def test_S3_S4_a_server_survives_bombs(limit, caplog):
    options = {"maxMessagePayloadSize": limit, "perMessageCompressionAccept": accept_deflate}
    async with Target(caplog, **options) as target:
        for bomb in BOMBS.values():
            answer = await target.attack_open(frame(2, bomb, rsv=4), headers=[DEFLATE[:-2]])
            assert close_code(answer) == 1009
            # the next connection is not affected
            peer = await target.open(DEFLATE[:-2])
            await peer.send(frame(2, zeros(100), rsv=4) + CLOSE)
            assert frames(await peer.rest())[-1][0] == 8
        assert {payload for payload, _ in target.factory.messages} == {bytes(100)}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_S4_a_client_survives_bombs(bomb, caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head, DEFLATE[:-2]) + frame(2, BOMBS[bomb], rsv=4, key=None))
        await peer.reader.read()

    options = {"perMessageCompressionOffers": [PerMessageDeflateOffer()], "maxMessagePayloadSize": 100_000}
    client, _ = await meet(serve, **options)
    assert client.opened
    assert client.messages == []
    assert client.wasMaxMessagePayloadSizeExceeded
    assert client.localCloseCode == 1009


@measures_memory
def test_S4_blocks_that_inflate_to_nothing_are_linear(twin):
    def work(count):
        sink = Sink(twin, inflater=Inflater(), max_message=1000)
        assert sink.refusal(frame(2, stored_blocks(count), rsv=4)) is None
        assert sink.octets == 0

    assert_linear(work, 5000)
    with allocations() as meter:
        work(50_000)
    assert meter.peak() < 3 * 5 * 50_000


# -- tiny pieces ------------------------------------------------------------------------------------------------


def fragments(count, payload):
    """A message of `count` frames with `payload` each, in blocks as they come from a socket."""
    middle = frame(0, payload, fin=False)
    yield frame(2, payload, fin=False)
    block = middle * 5000
    for _ in range((count - 2) // 5000):
        yield block
    yield middle * ((count - 2) % 5000)
    yield frame(0, payload)


@measures_memory
@pytest.mark.parametrize("payload", [b"", b"x", b"xy"], ids=["empty", "1 octet", "2 octets"])
@pytest.mark.parametrize("compressed", [False, True])
def test_S6_tiny_fragments_cost_no_memory(twin, payload, compressed):
    count = 20_000 if twin is _frames_py else 100_000
    sink = Sink(twin, inflater=Inflater() if compressed else None)
    blocks = list(fragments(count, payload))
    with allocations() as meter:
        for block in blocks:
            sink.reader.feed(block)
        peak = meter.peak()
    assert (sink.messages, sink.octets) == (1, count * len(payload))
    assert peak < 3 * count * len(payload) + 256 * KIB


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "1 octet"])
def test_S6_tiny_fragments_are_linear(twin, payload):
    def work(count):
        sink = Sink(twin)
        for block in fragments(count, payload):
            sink.reader.feed(block)
        assert sink.messages == 1

    assert_linear(work, 1000 if twin is _frames_py else 4000)


@measures_memory
@pytest.mark.parametrize("kind", [1, 2], ids=["text", "binary"])
def test_S6_tiny_segments_are_linear_and_cost_no_memory(twin, kind):
    def work(size):
        data = frame(kind, b"a" * size)
        sink = Sink(twin)
        feed = sink.reader.feed
        for at in range(len(data)):
            feed(data[at : at + 1])
        assert (sink.messages, sink.octets) == (1, size)

    assert_linear(work, 2000 if twin is _frames_py else 20_000)
    with allocations() as meter:
        work(20_000)
    assert meter.peak() < 200_000


def test_S6_segments_of_a_large_frame_are_linear(twin):
    def work(size):
        data = frame(2, bytes(size))
        sink = Sink(twin)
        for at in range(0, len(data), 1448):
            sink.reader.feed(data[at : at + 1448])
        assert sink.octets == size

    assert_linear(work, 250_000)


@measures_memory
async def test_S6_tiny_fragments_on_the_wire(caplog):
    async with Target(caplog) as target:
        with allocations() as meter:
            answer = await target.attack_open(*fragments(100_000, b"x"), CLOSE)
            assert meter.peak() < 3 * 2**20
        assert [opcode for opcode, _ in frames(answer)] == [2, 8]
        assert target.factory.messages == [(b"x" * 100_000, True)]
        answer = await target.attack_open(*fragments(100_000, b""), CLOSE)
        assert target.factory.messages[1] == (b"", True)


@measures_memory
@pytest.mark.parametrize("size", [2, 20])
async def test_S6_tiny_fragments_to_a_program_that_overrides_a_hook(size, caplog):
    """The hooks that are not overridden gather the message; they keep no object per fragment."""
    count = 30_000
    async with Target(caplog) as target:

        class Hooked(target.factory.protocol):
            def onMessageBegin(self, isBinary):
                super().onMessageBegin(isBinary)

        target.factory.protocol = Hooked
        peer = await target.open()
        with allocations() as meter:
            *most, last = fragments(count, b"x" * size)
            await peer.send(*most)
            await target.bystander_lives()
            await peer.send(last, CLOSE)
            answer = await peer.rest()
            peak = meter.peak()
        assert close_code(answer) == 1000
        assert target.factory.messages[-1] == (b"x" * size * count, True)
        assert peak < 8 * count * size + 3 * 2**20
        await target.alone()


# -- what was not agreed on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [1, 2, 8, 9, 10])
async def test_S15_rsv_bits_without_negotiation(rsv, opcode, caplog):
    async with Target(caplog) as target:
        assert close_code(await target.attack_open(frame(opcode, b"\x03\xe8", rsv=rsv))) == 1002
        assert target.factory.messages == []


@pytest.mark.parametrize("rsv", [4, 2, 1])
@pytest.mark.parametrize("offered", [False, True])
async def test_S15_rsv_bits_to_a_client(rsv, offered, caplog):
    async def serve(peer, head):
        payload = Deflater().message(b"hello")
        await peer.send(upgrade_answer(head) + frame(1, payload, rsv=rsv, key=None))
        await peer.reader.read()

    offers = [PerMessageDeflateOffer()] if offered else []  # offered, and not accepted
    client, _ = await meet(serve, perMessageCompressionOffers=offers)
    assert client.opened
    assert client.localCloseCode == 1002
    assert client.messages == []


@pytest.mark.parametrize("opcode", [9, 10])
async def test_S16_control_frames_between_compressed_fragments(opcode, caplog):
    text = random.Random(1).randbytes(300) * 3
    payload = Deflater().message(text)
    parts = [payload[at : at + 50] for at in range(0, len(payload), 50)]
    data = frame(2, parts[0], rsv=4, fin=False)
    for part in parts[1:]:
        data += frame(opcode, b"between") + frame(0, part, fin=False)
    data += frame(opcode, b"between") + frame(0)
    async with Target(caplog, perMessageCompressionAccept=accept_deflate) as target:
        answer = await target.attack_open(data, frame(2, zeros(10), rsv=4), CLOSE, headers=[DEFLATE[:-2]])
        assert target.factory.messages == [(text, True), (bytes(10), True)]
        pongs = [payload for kind, payload in frames(answer) if kind == 10]
        assert pongs == ([b"between"] * len(parts) if opcode == 9 else [])


async def test_S16_close_between_fragments(caplog):
    async with Target(caplog) as target:
        answer = await target.attack_open(frame(1, b"a", fin=False) + frame(8, b"\x03\xe8bye") + frame(0, b"b"))
        assert close_code(answer) == 1000
        assert target.factory.messages == []
        assert target.factory.closes == [(True, 1000, "bye")]


@pytest.mark.parametrize("fin", [False, True])
async def test_S16_rsv1_on_a_continuation(fin, caplog):
    payload = zeros(100)
    async with Target(caplog, perMessageCompressionAccept=accept_deflate) as target:
        data = frame(2, payload[:2], rsv=4, fin=False) + frame(0, payload[2:], rsv=4, fin=fin)
        assert close_code(await target.attack_open(data, headers=[DEFLATE[:-2]])) == 1002
        data = frame(2, b"plain", fin=False) + frame(0, payload, rsv=4, fin=fin)
        assert close_code(await target.attack_open(data, headers=[DEFLATE[:-2]])) == 1002
        assert close_code(await target.attack_open(frame(9, b"", rsv=4), headers=[DEFLATE[:-2]])) == 1002


@pytest.mark.parametrize("opcode", [1, 2, 9, 10, 8])
async def test_S17_unmasked_to_a_server(opcode, caplog):
    async with Target(caplog) as target:
        assert close_code(await target.attack_open(frame(opcode, b"\x03\xe8", key=None))) == 1002
        # nor after a masked one, nor as a continuation
        data = frame(2, b"a") + frame(2, b"b", fin=False) + frame(0, b"c", key=None)
        assert close_code(await target.attack_open(data)) == 1002
        assert target.factory.messages == [(b"a", True)]


@pytest.mark.parametrize("opcode", [1, 2, 9, 10, 8])
async def test_S17_masked_to_a_client(opcode, caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head) + frame(opcode, b"\x03\xe8"))
        await peer.reader.read()

    client, _ = await meet(serve)
    assert client.opened
    assert client.localCloseCode == 1002
    assert client.messages == []


# -- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 50, 122, 123])
async def test_S19_close_and_pong_carry_what_was_set(size, caplog):
    reason = "".join(chr(0x21 + at % 90) for at in range(size))
    async with Target(caplog, echoCloseCodeReason=True) as target:
        ping = bytes(range(size + 2))
        data = frame(9, ping) + frame(10, ping) + frame(8, b"\x0b\xb8" + reason.encode())
        answer = await target.attack_open(data)
        assert frames(answer) == [(10, ping), (8, b"\x0b\xb8" + reason.encode())]
        assert target.factory.closes == [(True, 3000, reason or None)]


async def test_S19_a_long_reason_is_cut_between_characters(caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head))
        header = await peer.reader.readexactly(2)
        key = await peer.reader.readexactly(4)
        masked = await peer.reader.readexactly(header[1] & 0x7F)
        sent.append(bytes(octet ^ key[at % 4] for at, octet in enumerate(masked)))

    class Closing(Client):
        def onOpen(self):
            self.sendClose(3000, "é" * 100)

    sent = []
    await meet(serve, protocol=Closing)
    assert sent == [b"\x0b\xb8" + ("é" * 61).encode()]

"""permessage-deflate in use (need N27): contexts given back, levels and backends, their memory."""

import gc
import os
import random
import sys
import tracemalloc
import types
import zlib

import pytest

from autobahn.asyncio import idle
from autobahn.websocket import deflate
from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.deflate import Deflater, Inflater, load_backend
from autobahn.websocket.options import ClientOptions, ServerOptions
from clock import Clock
from websocket_world import Echo, World, until

OFFERS = {"perMessageCompressionOffers": [PerMessageDeflateOffer()]}
MIB = 1024 * 1024


def accept(offers):
    return PerMessageDeflateOfferAccept(offers[0])


def inflate(inflater, data):
    return inflater.decompress(data, 1 << 30) + inflater.end_message(1 << 30)


def test_contexts_may_be_given_back_between_any_two_messages():
    rng = random.Random(3)
    messages = [b"%d some text that repeats %d" % (n % 7, n % 11) * rng.randrange(12) for n in range(200)]
    for bits in (9, 12, 15):
        ours, peer = Deflater(window_bits=bits), Inflater(window_bits=bits)
        theirs = zlib.compressobj(6, zlib.DEFLATED, -bits)  # a peer that never forgets
        for message in messages:
            assert inflate(peer, ours.message(message)) == message
            if rng.random() < 0.3:
                assert ours.release()
        reader = Inflater(window_bits=bits)
        for number, message in enumerate(messages):
            sent = theirs.compress(message) + theirs.flush(zlib.Z_SYNC_FLUSH)
            assert inflate(reader, sent[:-4]) == message
            if number % 3:
                assert reader.release()


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_what_a_peer_refers_to_is_kept_in_place_of_a_context(bits):
    rng = random.Random(bits)
    words = [bytes(rng.randrange(97, 123) for _ in range(rng.randrange(3, 9))) for _ in range(300)]
    messages = [b" ".join(rng.choices(words, k=k)) for k in (5, 3000, 1, 700, 20_000, 0, 50, 900, 2)]
    messages += [rng.randbytes(size) for size in (600, 40_000, 3, 5000)]
    messages.append(messages[-1])
    theirs, reader = zlib.compressobj(9, zlib.DEFLATED, -bits, 9), Inflater(window_bits=bits)
    for message in messages:
        sent = theirs.compress(message) + theirs.flush(zlib.Z_SYNC_FLUSH)
        got = b""
        for start in range(0, len(sent) - 4, 1000):
            piece = sent[:-4][start : start + 1000]
            out = reader.decompress(piece, 777)
            got += out
            while len(out) == 777:
                out = reader.decompress(b"", 777)
                got += out
        assert got + reader.end_message(1 << 30) == message
        assert reader.release()


def test_an_idle_decompressor_keeps_little():
    inflater, deflater = Inflater(), Deflater(window_bits=15)
    text = b"".join(b'{"id": %d, "name": "somebody", "tags": ["red", "green"]}, ' % n for n in range(2000))
    inflate(inflater, deflater.message(text))
    tracemalloc.start()
    try:
        inflate(inflater, deflater.message(text))
        assert inflater.release()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 8192
    finally:
        tracemalloc.stop()
    assert inflate(inflater, deflater.message(text)) == text


def test_nothing_is_given_back_within_a_message():
    deflater, inflater = Deflater(), Inflater()
    first = deflater.compress(os.urandom(100_000))
    assert not deflater.release()
    rest = deflater.end_message()
    assert deflater.release()
    inflater.decompress(first, 1 << 30)
    assert not inflater.release()
    inflater.decompress(rest, 1 << 30)
    inflater.end_message(1 << 30)
    assert inflater.release()
    assert deflater.uses == inflater.uses == 1


def test_a_small_window_by_default_that_no_peer_notices():
    pmce = PerMessageDeflate(True, False, False, 0, 0, None)
    assert (pmce.server_max_window_bits, pmce.mem_level) == (15, 8)
    deflater = pmce.new_deflater()
    assert (deflater._wbits, deflater._mem_level, deflater._level) == (-12, 5, 1)
    asked = PerMessageDeflate(True, False, False, 15, 0, 9).new_deflater(9)
    assert (asked._wbits, asked._mem_level, asked._level) == (-15, 9, 9)
    text = b"".join(b'{"id": %d, "value": "%d"}' % (n, n * n % 97) for n in range(5000))
    assert inflate(Inflater(window_bits=15), deflater.message(text)) == text


def test_backends(monkeypatch):
    assert load_backend("zlib") is zlib
    with pytest.raises(ValueError, match="expected a backend out of auto, zlib, isal, zlib-ng, got 'x'"):
        load_backend("x")
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    with pytest.raises(ImportError, match="expected the package 'zlib-ng' to be installed"):
        load_backend("zlib-ng")
    seen = []

    def compressobj(level, *args):
        seen.append(level)
        return zlib.compressobj(level, *args)

    fake = types.SimpleNamespace(compressobj=compressobj, decompressobj=zlib.decompressobj, error=zlib.error)
    monkeypatch.setattr(deflate.importlib, "import_module", lambda name: fake)
    for level in (-1, 1, 9):
        sent = Deflater(level=level, backend="isal").message(b"abc")
        assert inflate(Inflater(backend="isal"), sent) == b"abc"
    assert seen == [2, 1, 3]


def test_the_fastest_backend_that_compresses_well_is_the_default(monkeypatch):
    assert ServerOptions().compressionBackend == ClientOptions().compressionBackend == "auto"
    monkeypatch.setattr(deflate, "_fastest", deflate._fastest.__wrapped__)
    monkeypatch.setattr(deflate.importlib, "import_module", lambda name: types.SimpleNamespace(name=name))
    assert load_backend("auto").name == "isal.isal_zlib"

    def only_zlib(name):
        if name != "zlib":
            raise ImportError(name)
        return zlib

    monkeypatch.setattr(deflate.importlib, "import_module", only_zlib)
    assert load_backend("auto") is zlib
    assert inflate(Inflater(backend="auto"), Deflater(level=9, backend="auto").message(b"abc")) == b"abc"


async def test_wrong_values():
    async with World() as world:
        for name, value, error in [
            ("compressionLevel", 10, ValueError),
            ("compressionBackend", 3, TypeError),
            ("compressionBackend", "lzma", ValueError),
            ("compressionIdleTimeout", -1, ValueError),
        ]:
            with pytest.raises(error, match=r"expected .*, got"):
                world.factory.setProtocolOptions(**{name: value})


async def test_idle_connections_give_their_contexts_back(loop_name):
    options = {"compressionIdleTimeout": 0.05}
    async with World(Echo, perMessageCompressionAccept=accept, **options) as world:
        client = await world.open(**OFFERS, **options)
        for _ in range(3):
            for _ in range(3):
                client.sendMessage(b"hello " * 20)
                assert (await client.messages.get())[0] == b"hello " * 20
            connection = world.server._ws_connection
            assert connection.deflater._context is not None
            await until(lambda: connection.deflater._context is None)
            await until(lambda: connection.inflater._context is None)
            assert world.server._ws_idle._timer is None


async def test_messages_that_are_not_to_be_compressed():
    async with World(Echo, perMessageCompressionAccept=accept) as world:
        client = await world.open(**OFFERS)
        payload = b"x" * 10_000
        client.sendMessage(payload, doNotCompress=True)
        assert client._ws_connection.writer.size > 10_000
        assert (await client.messages.get())[0] == payload
        assert client._ws_connection.deflater._context is None
        client.sendMessage(payload)
        assert client._ws_connection.writer.size < 200
        assert (await client.messages.get())[0] == payload


async def test_memory_of_an_idle_connection_after_one_message():
    """What is left of compression between messages is little (measured: the engines, without sockets)."""
    engines = []
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(100):
            pmce = PerMessageDeflate(True, False, False, 0, 0, None)
            deflater, inflater = pmce.new_deflater(), pmce.new_inflater()
            inflate(inflater, deflater.message(b"hello " * 50))
            deflater.release()
            inflater.release()
            engines.append((pmce, deflater, inflater))
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / 100 < 4096


def test_a_finished_message_leaves_none_of_its_octets_behind():
    inflater = Inflater()
    sent = Deflater().message(os.urandom(100_000))
    tracemalloc.start()
    try:
        data = bytes(bytearray(sent))
        inflate(inflater, data)
        inflater.release()
        del data
        assert tracemalloc.get_traced_memory()[0] < 50_000  # the window of random octets, which does not shrink
    finally:
        tracemalloc.stop()


def test_memory_goes_back_to_the_system_when_many_connections_became_idle(monkeypatch):
    class Unused:
        uses = 0
        on_context = None

        def release(self):
            return True

    clock, trimmed = Clock(), []
    monkeypatch.setattr(idle, "trim_memory", lambda: trimmed.append(clock.now))
    monkeypatch.setattr(idle, "_of_thread", types.SimpleNamespace())

    def become_idle(count):
        for _ in range(count):
            engine = Unused()
            idle.IdleContexts(clock, [engine], 1)
            engine.on_context()
        clock.run(1)

    become_idle(idle.MANY - 1)
    clock.run(100)
    assert not trimmed
    start = clock.now
    become_idle(10 * idle.MANY)
    clock.run(100)
    assert trimmed == [start + 1 + idle.SOON]
    become_idle(idle.MANY)
    clock.run(idle.SOON)
    become_idle(idle.MANY)
    clock.run(100)
    assert len(trimmed) == 3
    assert trimmed[2] - trimmed[1] >= idle.PAUSE - idle.SOON

"""permessage-bzip2, -brotli and -snappy: optional, negotiated like deflate, bounded like deflate (S3, S4)."""

import importlib
import subprocess
import sys

import pytest

from autobahn.websocket import compress
from autobahn.websocket.errors import FrameError, HandshakeError
from autobahn.websocket.extensions import parse_extensions
from autobahn.websocket.negotiation import negotiate_client, negotiate_server
from frames_world import TWINS, Recorder, frame
from streams_world import inflate, words
from websocket_world import Client, Echo, World

PACKAGES = {"Bzip2": "bz2", "Brotli": "brotli", "Snappy": "snappy"}
MIB = 1024 * 1024


@pytest.fixture(params=PACKAGES)
def kind(request):
    pytest.importorskip(PACKAGES[request.param], reason=f"the package {PACKAGES[request.param]} is not installed")
    return request.param


def classes(kind):
    return compress.classes_of(f"permessage-{kind.lower()}")


def pair(kind, limited=False):
    """Both ends in use, by way of the texts in the headers."""
    own = classes(kind)
    argument = {"Bzip2": 2}.get(kind, True)
    offer = own["Offer"](True, argument) if limited else own["Offer"]()
    accept = (lambda offers: own["OfferAccept"](offers[0], argument)) if limited else lambda o: own["OfferAccept"](o[0])
    server, text = negotiate_server(parse_extensions(offer.get_extension_string()), accept)
    client = negotiate_client(parse_extensions(text), [offer], None)
    assert vars(server) == {**vars(client), "is_server": True}
    return server, client


@pytest.mark.parametrize("limited", [False, True])
def test_messages_go_both_ways(kind, limited):
    for sender, receiver in (pair(kind, limited), pair(kind, limited)[::-1]):
        deflater, inflater = sender.new_deflater(), receiver.new_inflater()
        for size in (0, 1, 100, 0, 100_000, 5):
            text = words(size)
            for step, pieces in ((1 << 30, 1), (1000, 7), (70_000, 100)):
                cut = size // 3
                payload = deflater.compress(text[:cut]) + deflater.compress(text[cut:]) + deflater.end_message()
                assert size < 1000 or len(payload) < size
                assert inflate(inflater, payload, step, pieces) == text
        assert deflater.uses == inflater.uses == 18
        assert deflater.release()


def test_by_hand(kind):
    server, client = pair(kind)
    for sender, receiver in ((server, client), (client, server)):
        for text in (b"hello hello", b"", words(100_000)):
            sender.start_compress_message()
            payload = sender.compress_message_data(text) + sender.end_compress_message()
            receiver.start_decompress_message()
            assert receiver.decompress_message_data(payload) == text
            receiver.end_decompress_message()


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__.rpartition("_")[2])
@pytest.mark.parametrize("limit", [1, 100_000, MIB])
def test_S4_bombs_stop_at_the_limit(kind, twin, limit):
    server, client = pair(kind)
    deflater, inflater = client.new_deflater(), server.new_inflater()
    bomb = deflater.compress(bytes(8 * MIB)) + deflater.end_message()
    asked = []

    class Watched:
        def decompress(self, data, max_length):
            out = inflater.decompress(data, max_length)
            asked.append((max_length, len(out)))
            return out

        end_message = staticmethod(inflater.end_message)

    events = Recorder(twin, inflater=Watched(), stream=True, max_message=limit).feed([frame(2, bomb, rsv=4)])
    assert events[-1][:2] == ("FrameError", 1009)
    assert all(got <= wanted <= 16 * 1024 for wanted, got in asked)
    assert sum(got for _, got in asked) <= limit + 16 * 1024
    assert not hasattr(inflater._decoder, "_out") or len(inflater._decoder._out) <= 128 * 1024


def test_what_is_not_such_data_is_refused(kind):
    server, client = pair(kind)
    deflater = client.new_deflater()
    good = deflater.compress(words(5000)) + deflater.end_message()
    for bad in (b"\x42" * 50, good[: len(good) // 2], good[:20] + bytes(50), good + b"BZ"):
        with pytest.raises(FrameError) as caught:
            inflate(server.new_inflater(), bad)
        assert caught.value.code == 1007
        assert len(caught.value.reason.encode()) <= 123


@pytest.mark.parametrize(
    ("kind_", "offer"),
    [
        ("Bzip2", "permessage-bzip2; x=1"),
        ("Bzip2", "permessage-bzip2; client_max_compress_level=3"),
        ("Bzip2", "permessage-bzip2; server_max_compress_level"),
        ("Bzip2", "permessage-bzip2; server_max_compress_level=0"),
        ("Bzip2", "permessage-bzip2; server_max_compress_level=10"),
        ("Bzip2", "permessage-bzip2; server_max_compress_level=1; server_max_compress_level=1"),
        ("Snappy", "permessage-snappy; client_no_context_takeover=1"),
        ("Brotli", "permessage-brotli; nonsense"),
        ("Bzip2", "permessage-lzma"),
    ],
)
def test_S14_offers_that_are_declined(kind_, offer):
    pytest.importorskip(PACKAGES[kind_])
    assert negotiate_server(parse_extensions(offer), lambda offers: pytest.fail("offered")) is None


@pytest.mark.parametrize(
    ("kind_", "answer"),
    [
        ("Bzip2", "permessage-bzip2; client_max_compress_level"),
        ("Bzip2", "permessage-bzip2; client_max_compress_level=3"),  # not accepted by the offer below
        ("Bzip2", "permessage-bzip2; server_max_compress_level=7"),
        ("Bzip2", "permessage-bzip2"),
        ("Snappy", "permessage-snappy; client_no_context_takeover; server_no_context_takeover"),
        ("Brotli", "permessage-brotli"),
        ("Bzip2", "permessage-deflate"),
    ],
)
def test_S14_answers_that_are_refused(kind_, answer):
    pytest.importorskip(PACKAGES[kind_])
    offer = classes(kind_)["Offer"](False, 5 if kind_ == "Bzip2" else True)
    with pytest.raises(HandshakeError):
        negotiate_client(parse_extensions(answer), [offer], None)


def test_wrong_arguments(kind):
    own = classes(kind)
    level = {"Bzip2": 3}.get(kind, True)
    for call in (
        lambda: own["Offer"](1),
        lambda: own["Offer"](True, "3"),
        lambda: own["OfferAccept"]("x"),
        lambda: own["OfferAccept"](own["Offer"](False), level),
        lambda: (
            own["OfferAccept"](own["Offer"](True, level), compress_level=9)
            if kind == "Bzip2"
            else own["OfferAccept"](own["Offer"](True, level), no_context_takeover=False)
        ),
        lambda: own["ResponseAccept"]("x"),
        lambda: own["ResponseAccept"](own["Response"](level, level), 9 if kind == "Bzip2" else False),
    ):
        with pytest.raises((TypeError, ValueError), match="expected"):
            call()
    assert own["Offer"]() == own["Offer"]()
    assert own["Offer"]().__json__()["extension"] == f"permessage-{kind.lower()}"
    assert repr(own["Offer"]()).startswith(f"PerMessage{kind}Offer(accept_")


async def test_on_the_wire(kind, loop_name):
    own = classes(kind)
    async with World(Echo, perMessageCompressionAccept=lambda offers: own["OfferAccept"](offers[0])) as world:
        client = await world.open(Client, perMessageCompressionOffers=[own["Offer"]()])
        assert f"permessage-{kind.lower()}" == client.websocket_extensions_in_use[0].EXTENSION_NAME
        for size in (5, 50_000, 0, 5):
            client.sendMessage(words(size))
            assert await client.messages.get() == (words(size), False)
        client.sendMessage(words(9000), fragmentSize=100, isBinary=True)
        assert await client.messages.get() == (words(9000), True)
        client.beginMessage()
        for number in range(10):
            client.sendMessageFrame(b"%d" % number * 100)
        client.endMessage()
        assert (await client.messages.get())[0] == b"".join(b"%d" % number * 100 for number in range(10))


async def test_a_server_chooses_among_extensions():
    offers = [compress.classes_of("permessage-bzip2")["Offer"](), compress.PerMessageDeflateOffer()]
    seen = []

    def accept(found):
        seen.extend(type(offer).__name__ for offer in found)
        return compress.PerMessageDeflateOfferAccept(found[1])

    async with World(Echo, perMessageCompressionAccept=accept) as world:
        client = await world.open(perMessageCompressionOffers=offers)
        assert seen == ["PerMessageBzip2Offer", "PerMessageDeflateOffer"]
        assert client.websocket_extensions_in_use[0].EXTENSION_NAME == "permessage-deflate"


@pytest.mark.parametrize("kind_", ["Brotli", "Snappy"])
def test_without_its_package_an_extension_is_not_there(kind_, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[kind_], None)
    monkeypatch.delitem(sys.modules, f"autobahn.websocket.compress_{kind_.lower()}", raising=False)
    with pytest.raises(ImportError, match=f"expected the package .*{kind_.lower()}.* to be installed"):
        importlib.import_module(f"autobahn.websocket.compress_{kind_.lower()}")
    compress.classes_of.cache_clear()
    try:
        assert compress.classes_of(f"permessage-{kind_.lower()}") is None
    finally:
        compress.classes_of.cache_clear()


def test_nothing_optional_is_imported_unasked():
    code = (
        "import sys, autobahn.asyncio.websocket, autobahn.websocket.compress as c; "
        "assert not {'brotli', 'snappy', 'bz2'} & sys.modules.keys(); "
        "assert list(c.PERMESSAGE_COMPRESSION_EXTENSION)[0] == 'permessage-deflate'; "
        "assert c.PERMESSAGE_COMPRESSION_EXTENSION is c.PERMESSAGE_COMPRESSION_EXTENSION"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    with pytest.raises(AttributeError, match="no attribute"):
        compress.nonsense

"""The less used documented methods and hooks, as a program sees them."""

import asyncio
import json

import pytest

from autobahn.asyncio.rawsocket import WampRawSocketClientProtocol, WampRawSocketServerProtocol
from autobahn.websocket.compress import (
    PerMessageCompressOffer,
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)
from autobahn.websocket.interfaces import IWebSocketChannel
from autobahn.websocket.protocol import Timings, WebSocketProtocol
from autobahn.websocket.types import ConnectingRequest, ConnectionDeny
from autobahn.websocket.utf8validator import Utf8Validator
from autobahn.websocket.xormasker import XorMaskerNull, create_xor_masker
from websocket_world import Client, Echo, Server, World, until


def observing(base, when):
    class Observed(base):
        def __init__(self):
            super().__init__()
            self.seen = []
            if when == "init":
                self.on("message", self.see)

        def see(self, payload, is_binary):
            self.seen.append((payload, is_binary))

        def onOpen(self):
            super().onOpen()
            if when == "open":
                self.on("message", self.see)

    return Observed


class Quiet(Server):
    async def onMessage(self, payload, isBinary):
        self.messages.put_nowait((payload, isBinary))


@pytest.mark.parametrize("when", ["init", "open", "later"])
@pytest.mark.parametrize("base", [Echo, Quiet])
async def test_observers_see_messages(when, base):
    async with World(observing(base, when)) as world:
        client = await world.open()
        server = world.server
        await server.is_open
        if when == "later":
            server.on("message", server.see)
        client.sendMessage(b"a")
        client.sendMessage(b"b", True)
        await until(lambda: len(server.seen) == 2)
        assert server.seen == [(b"a", False), (b"b", True)]
        server.off("message", server.see)
        client.sendMessage(b"c")
        await (client if base is Echo else server).messages.get()
        assert len(server.seen) == 2
        with pytest.raises(RuntimeError, match="expected an event out of message"):
            server.on("nonsense", print)


@pytest.mark.parametrize("base", [Echo, Quiet])
async def test_observers_come_and_go_at_any_time(base, loop_name):
    async with World(observing(base, "never")) as world:
        client = await world.open()
        server = world.server
        for number in range(4):
            client.sendMessage(b"unseen")
            await (client if base is Echo else server).messages.get()
            server.on("message", server.see)
            client.sendMessage(b"%d" % number)
            await until(lambda: len(server.seen) == number + 1)
            await (client if base is Echo else server).messages.get()
            server.off("message", server.see)
        assert server.seen == [(b"%d" % number, False) for number in range(4)]


async def test_an_observer_added_by_a_message_sees_the_next_one():
    class Adds(observing(Server, "never")):
        def onMessage(self, payload, isBinary):
            if payload == b"add":
                self.on("message", self.see)

    async with World(Adds) as world:
        client = await world.open()
        for payload in (b"a", b"add", b"b", b"c"):
            client.sendMessage(payload)
        await until(lambda: len(world.server.seen) == 2)
        assert world.server.seen == [(b"b", False), (b"c", False)]


async def test_observers_see_messages_that_came_in_pieces():
    class Pieces(observing(Server, "never")):
        pieces = 0

        def onMessageFrameData(self, payload):
            self.pieces += 1
            super().onMessageFrameData(payload)

    async with World(Pieces) as world:
        client = await world.open()
        await world.server.is_open
        world.server.on("message", world.server.see)
        client.sendMessage(b"abcd", fragmentSize=1)
        await until(lambda: world.server.seen)
        assert (world.server.seen, world.server.pieces) == ([(b"abcd", False)], 4)
        assert await world.server.messages.get() == (b"abcd", False)


@pytest.mark.parametrize("where", ["onConnect", "onOpen"])
async def test_a_callback_put_on_the_instance(where):
    class Late(Server):
        def onConnect(self, request):
            if where == "onConnect":
                self.onMessage = self.take

        def onOpen(self):
            if where == "onOpen":
                self.onMessage = self.take

        def take(self, payload, isBinary):
            self.messages.put_nowait(("taken", payload))

    async with World(Late) as world:
        client = await world.open()
        client.sendMessage(b"a")
        await until(lambda: not world.server.messages.empty())
        assert await world.server.messages.get() == ("taken", b"a")


async def test_an_observer_that_raises_is_reported():
    class Bad(observing(Echo, "init")):
        def see(self, payload, is_binary):
            raise ValueError("boom")

    async with World(Bad) as world:
        client = await world.open()
        client.sendMessage(b"a")
        assert (await client.messages.get())[0] == b"a"
        await until(lambda: world.server.errors)
        assert world.server.errors == [("message", "ValueError('boom')")]


async def test_hooks_for_close_frames_and_timeouts(loop_name):
    class Hooks(Client):
        def onCloseFrame(self, code, reasonRaw):
            self.log.append(("frame", code, reasonRaw))

        def onCloseHandshakeTimeout(self):
            self.log.append("close timeout")

        def onServerConnectionDropTimeout(self):
            self.log.append("drop timeout")

        def onOpenHandshakeTimeout(self):
            self.log.append("open timeout")

    async with World() as world:
        client = await world.open(Hooks)
        await world.server.is_open
        world.server.sendClose(3001, "bye")
        await world.ended()
        assert client.log[-2:] == [("frame", 3001, b"bye"), ("close", True, 3001, "bye")]

    async def mute(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with World() as world:
        world.port = server.sockets[0].getsockname()[1]
        client = await world.connect(Hooks, openHandshakeTimeout=0.02)
        await asyncio.wait_for(client.is_closed, 5)
        assert "open timeout" in client.log
    server.close()
    async with World() as world:
        client = await world.open(Hooks, closeHandshakeTimeout=0.02)
        await world.server.is_open
        world.server.transport.pause_reading()
        client.sendClose()
        await asyncio.wait_for(client.is_closed, 5)
        assert "close timeout" in client.log


@pytest.mark.parametrize(
    ("call", "status", "contains"),
    [
        (lambda s: s.sendHtml("<p>hé"), b"200 OK", ["<p>hé".encode(), b"text/html"]),
        (lambda s: s.sendRedirect("https://example.org/x?y=1"), b"303 See Other", [b"Location: https://example.org/x"]),
        (lambda s: s.sendServerStatus(), b"200 OK", [b"speaks WebSocket"]),
        (lambda s: s.sendServerStatus('/a"b<', 3), b"200 OK", [b'content="3;URL=/a&quot;b&lt;"']),
    ],
)
async def test_http_answers_in_place_of_a_websocket(call, status, contains):
    class Answers(Server):
        def onConnect(self, request):
            self.line = self.http_status_line
            call(self)

    async with World(Answers) as world:
        reader, writer = await world.raw()
        writer.write(
            b"GET /p HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
        assert answer.split(b"\r\n")[0].endswith(status)
        for text in contains:
            assert text in answer
        assert world.server.line == "GET /p HTTP/1.1"
        await world.ended()


@pytest.mark.parametrize("call", ["sendRedirect", "sendServerStatus"])
@pytest.mark.parametrize("url", ["/a\r\nSet-Cookie: x=1", "/a\nb", "/a\0"])
def test_s13_control_characters_are_not_reflected(call, url):
    class Loopless(Server):
        class _Connection:
            def respond(self, status, headers, body):
                from autobahn.websocket.handshake import plain_response

                self.sent = plain_response("GET", status, headers, body, server=None)

    server = Loopless()
    server._ws_connection = Loopless._Connection()
    with pytest.raises(ValueError, match="expected"):
        getattr(server, call)(url)
    assert not hasattr(server._ws_connection, "sent")


async def test_frames_by_hand():
    async with World(Echo) as world:
        client = await world.open()
        client.sendFrame(1, b"ab", payload_len=5)
        assert await client.messages.get() == (b"ababa", False)
        client.sendFrame(2, b"x" * 70_000, mask=b"\1\2\3\4", fin=False)
        client.sendFrame(0, b"y" * 200)
        assert await client.messages.get() == (b"x" * 70_000 + b"y" * 200, True)
        with pytest.raises(ValueError, match="expected an opcode"):
            client.sendFrame(16)
        with pytest.raises(ValueError, match="expected octets that fill"):
            client.sendFrame(1, payload_len=3)
        client.sendFrame(1, b"x", rsv=4)
        await world.ended()
        assert world.server.wasNotCleanReason.startswith("I dropped")
        client.sendFrame(1, b"x")
    async with World(Echo) as world:
        client = await world.open()
        client.sendCloseFrame(1001, b"away")
        await world.ended()
        assert world.server.log[-1] == ("close", True, 1001, "away")


async def test_traffic_is_counted_when_asked_for():
    async with World(Echo, countTraffic=True) as world:
        client = await world.open(countTraffic=True)
        for _ in range(3):
            client.sendMessage(b"x" * 100)
            await client.messages.get()
        for stats in (client.trafficStats, world.server.trafficStats):
            assert stats.incomingWebSocketMessages == stats.outgoingWebSocketMessages == 3
            assert stats.incomingOctetsAppLevel == stats.outgoingOctetsAppLevel == 300
            assert stats.incomingOctetsWireLevel >= 306
            assert stats.preopenIncomingOctetsWireLevel > 100
            assert stats.__json__()["outgoingWebSocketMessages"] == 3
        stats.reset()
        assert "'outgoingWebSocketMessages': 0" in str(stats)
    async with World(Echo) as world:
        client = await world.open()
        client.sendMessage(b"x")
        await client.messages.get()
        assert client.trafficStats.outgoingWebSocketMessages == 0


async def test_transport_details_and_constants():
    async with World() as world:
        client = await world.open()
        assert Client().transport_details is None
        details = client.transport_details
        assert (details.peer, details.is_server, details.is_secure) == (f"tcp4:127.0.0.1:{world.port}", False, False)
        assert isinstance(client, WebSocketProtocol)
        assert isinstance(client, IWebSocketChannel)
        assert client.state == WebSocketProtocol.STATE_OPEN
        assert WebSocketProtocol().state == WebSocketProtocol.STATE_CONNECTING
        client.setTrackTimings(True)
        client.trackedTimings.track("a")
        assert list(client.trackedTimings) == ["a"]
        client.setTrackTimings(False)
        assert client.trackedTimings is None


def test_timings():
    timings = Timings()
    timings.track("a")
    timings.track("b")
    assert timings["b"] >= timings["a"]
    assert timings["c"] is None
    assert timings.diff("a", "b", formatted=False) == timings["b"] - timings["a"]
    assert timings.diff("a", "b")[-1] == "s"
    assert (timings.diff("a", "c"), timings.diff("a", "c", False)) == ("n.a.", None)
    assert "'a'" in str(timings)


def test_utf8_validator():
    validator = Utf8Validator()
    text = "aé€😀".encode()
    assert validator.validate(text) == (True, True, 10, 10)
    assert validator.validate(text[:2]) == (True, False, 2, 12)
    assert validator.validate(text[2:]) == (True, True, 8, 20)
    assert validator.validate(b"ab\xff") == (False, False, 2, 22)
    assert validator.validate(b"ab")[:2] == (False, False)
    validator.reset()
    for bad in (b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xf8"):
        for split in range(len(bad) + 1):
            validator.reset()
            first = validator.validate(bad[:split])
            assert not (first[0] and validator.validate(bad[split:])[0]), (bad, split)


def test_maskers():
    masker, back = create_xor_masker(b"\1\2\3\4", 10), create_xor_masker(b"\1\2\3\4")
    data = bytes(range(50))
    masked = masker.process(data[:7]) + masker.process(data[7:])
    assert masked != data
    assert back.process(masked) == data
    assert masker.pointer() == 50
    masker.reset()
    assert masker.process(b"\0\0\0\0\0") == b"\1\2\3\4\1"
    null = XorMaskerNull()
    assert (null.process(b"ab"), null.pointer()) == (b"ab", 2)
    with pytest.raises(ValueError, match="expected a mask of 4 octets"):
        create_xor_masker(b"abc")


def test_compression_by_hand():
    from autobahn.exception import PayloadExceededError

    ours, theirs = (PerMessageDeflate(side, False, False, 15, 15, None) for side in (True, False))
    for payload in (b"x" * 200_000, b"", b"abc"):
        ours.start_compress_message()
        sent = ours.compress_message_data(payload) + ours.end_compress_message()
        theirs.start_decompress_message()
        received = theirs.decompress_message_data(sent)
        theirs.end_decompress_message()
        assert received == payload
    assert "_deflater" not in repr(ours)
    ours.start_compress_message()
    sent = ours.compress_message_data(bytes(100_000)) + ours.end_compress_message()
    theirs.start_decompress_message()
    with pytest.raises(PayloadExceededError):
        theirs.decompress_message_data(sent, 1000)


class OwnOffer(PerMessageCompressOffer):
    """All that a client asks of an offer."""

    EXTENSION_NAME = "x-own"

    def get_extension_string(self):
        return f"{self.EXTENSION_NAME}; level=3"


async def test_a_client_may_offer_an_extension_of_its_own():
    async with World() as world:
        client = await world.open(perMessageCompressionOffers=[OwnOffer(), PerMessageDeflateOffer()])
        assert world.server.request.headers["sec-websocket-extensions"].startswith("x-own; level=3,")
        client.sendMessage(b"abc", isBinary=True)
        assert await client.messages.get() == (b"abc", True)


@pytest.mark.parametrize("base", [Client, Server, WampRawSocketClientProtocol, WampRawSocketServerProtocol])
def test_protocol_classes_of_programs_may_have_any_metaclass(base):
    class Registering(type):
        known = []

        def __init__(cls, name, bases, namespace):
            super().__init__(name, bases, namespace)
            cls.known.append(cls)

    class Own(base, metaclass=Registering):
        pass

    assert Registering.known == [Own]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_client_knows_the_first_line_of_the_answer(fails):
    class Refusing(Server):
        def onConnect(self, request):
            if fails:
                raise ConnectionDeny(403, "not today")

    async with World(Refusing) as world:
        client = await world.connect()
        assert client.http_status_line is None
        await (client.is_closed if fails else client.is_open)
        expected = "HTTP/1.1 403 not today" if fails else "HTTP/1.1 101 Switching Protocols"
        assert client.http_status_line == expected


async def test_a_connecting_request_can_be_filled_later():
    class Asking(Client):
        def onConnecting(self, transport_details):
            self.factory.headers = {"X-Factory": "2"}
            request = ConnectingRequest()
            if filled:
                request.headers["X-Own"] = "1"
                request.protocols.append("p")
                request.resource = "/r"
            return request

    async with World() as world:
        for filled in (True, False):
            await world.open(Asking)
            request = world.server.request
            seen = request.headers.get("x-own"), request.headers.get("x-factory"), request.protocols, request.path
            assert seen == (("1", None, ["p"], "/r") if filled else (None, "2", [], "/path"))


async def test_on_close_may_ask_the_transport(loop_name):
    class Asking(Echo):
        async def onClose(self, wasClean, code, reason):
            self.asked = self.transport.get_extra_info("peername"), self.transport_details.peer, self.sendBufferSize
            super().onClose(wasClean, code, reason)

    async with World(Asking) as world:
        client = await world.open()
        host, port = client.transport.get_extra_info("sockname")
        client.sendClose()
        await until(lambda: hasattr(world.server, "asked"))
        assert world.server.asked == ((host, port), f"tcp4:{host}:{port}", 0)


def test_all_of_compression_that_needs_no_package_comes_with_a_star():
    namespace = {}
    exec("from autobahn.websocket.compress import *", namespace)
    assert namespace["PerMessageBzip2Offer"]().get_extension_string() == "permessage-bzip2; client_max_compress_level"


def test_what_compression_shows_of_itself_is_json():
    accept = PerMessageDeflateOfferAccept(PerMessageDeflateOffer())
    shown = json.loads(json.dumps(accept.__json__()))
    assert shown["offer"]["extension"] == "permessage-deflate"
    assert shown["offer"]["accept_max_window_bits"] is True

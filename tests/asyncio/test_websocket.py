"""The documented WebSocket classes over real sockets, on asyncio and uvloop."""

import asyncio
import contextlib
import logging
import socket
import time

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectingRequest, ConnectionAccept, ConnectionDeny
from websocket_world import Client, Echo, Server, World, until

UNCLEAN = 'connection was closed uncleanly ("{}")'


async def test_echo_and_order_of_callbacks(loop_name):
    async with World() as world:
        client = await world.open()
        client.sendMessage("hé".encode())
        client.sendMessage(bytes(range(256)) * 1000, isBinary=True)
        assert await client.messages.get() == ("hé".encode(), False)
        assert await client.messages.get() == (bytes(range(256)) * 1000, True)
        client.sendPing(b"x")
        assert await client.messages.get() == ("pong", b"x")
        client.sendClose(3000, "bye")
        await world.ended()
        assert client.log == ["connecting", "connect", "open", ("close", True, 1000, None)]
        assert world.server.log == ["connect", "open", ("close", True, 3000, "bye")]
        assert client.is_closed.result() is client
        assert (client.wasClean, client.closedByMe, client.localCloseCode) == (True, True, 3000)
        assert client.remoteCloseCode == 1000
        assert client.state == client.STATE_CLOSED


async def test_what_both_sides_know_of_each_other(loop_name):
    async with World() as world:
        client = await world.open()
        server = world.server
        await server.is_open
        request = server.request
        assert (request.path, request.params, request.version) == ("/path", {"a": ["1"]}, 13)
        assert request.host == "127.0.0.1"
        assert server.peer == request.peer == f"tcp4:127.0.0.1:{client.transport.get_extra_info('sockname')[1]}"
        assert client.peer == client.response.peer == f"tcp4:127.0.0.1:{world.port}"
        assert server.http_request_uri == "/path?a=1"
        assert (server.http_request_path, server.http_request_params) == ("/path", {"a": ["1"]})
        assert server.websocket_version == 13
        assert client.http_headers["upgrade"] == "WebSocket"
        assert server.factory is world.factory
        assert server.state == server.STATE_OPEN == 3
        assert world.factory.getConnectionCount() == 1


async def test_server_closes(loop_name):
    async with World() as world:
        client = await world.open()
        world.server.sendClose(1000, "done")
        await world.ended()
        assert client.log[-1] == ("close", True, 1000, "done")
        assert world.server.log[-1] == ("close", True, 1000, None)


async def test_every_ending_calls_on_close_once(loop_name):
    async with World() as world:
        for end in (
            lambda c, s: c.dropConnection(abort=True),
            lambda c, s: s.dropConnection(),
            lambda c, s: c.transport.abort(),
            lambda c, s: c.failConnection(1011, "x"),
            lambda c, s: s.failConnection(1008, "policy"),
            lambda c, s: (c.sendClose(), c.sendClose(), s.sendClose()),
            lambda c, s: (c.sendClose(1000), c.dropConnection(abort=True)),
            lambda c, s: (s.dropConnection(), s.dropConnection(abort=True)),
        ):
            client = await world.open()
            server = world.server
            await server.is_open
            end(client, server)
            await world.ended()
            for protocol in (client, server):
                assert [e[0] for e in protocol.log if isinstance(e, tuple)] == ["close"]
        assert client.log[-1] == ("close", False, 1006, client.log[-1][3])


async def test_the_peer_learns_why_a_connection_failed(loop_name):
    async with World() as world:
        client = await world.open()
        await world.server.is_open
        world.server.failConnection(1008, "policy")
        await world.ended()
        assert client.log[-1] == ("close", True, 1008, "policy")
        assert world.server.log[-1] == (
            "close",
            False,
            1006,
            UNCLEAN.format("I dropped the WebSocket TCP connection: policy"),
        )
        assert world.server.failedByMe


async def test_async_callbacks(loop_name):
    class AsyncServer(Server):
        async def onConnect(self, request):
            await asyncio.sleep(0.001)
            self.log.append("connect")

        async def onOpen(self):
            await asyncio.sleep(0)
            self.log.append("open")

        async def onMessage(self, payload, isBinary):
            self.log.append(payload)
            await asyncio.sleep(0)
            self.sendMessage(payload)

        async def onClose(self, wasClean, code, reason):
            await asyncio.sleep(0)
            self.log.append("close")

    class AsyncClient(Client):
        async def onConnecting(self, transport_details):
            await asyncio.sleep(0.001)
            self.log.append("connecting")

        async def onConnect(self, response):
            await asyncio.sleep(0.02)
            self.log.append("connect")

    class Greeter(AsyncServer):
        async def onOpen(self):
            self.sendMessage(b"greeting")

    async with World(Greeter) as world:
        client = await world.open(AsyncClient)
        assert client.log == ["connecting", "connect", "open"]
        assert await client.messages.get() == (b"greeting", False)
        for number in range(10):
            client.sendMessage(b"%d" % number)
        for number in range(10):
            assert await client.messages.get() == (b"%d" % number, False)
        assert world.server.log == ["connect", *(b"%d" % n for n in range(10))]
        client.sendClose()
        await world.ended()
        await until(lambda: "close" in world.server.log)


@pytest.mark.parametrize(
    ("answer", "protocol", "header"),
    [
        (None, None, None),
        ("b", "b", None),
        (("a", {"X-Test": "1"}), "a", "1"),
        ((None, {"X-Test": ["1", "2"]}), None, "1, 2"),
        (ConnectionAccept("b", {"X-Test": "3"}), "b", "3"),
    ],
)
async def test_results_of_on_connect(answer, protocol, header):
    class Choosing(Server):
        def onConnect(self, request):
            self.offered = request.protocols
            return answer

    async with World(Choosing) as world:
        client = WebSocketClientFactory(f"ws://127.0.0.1:{world.port}", protocols=["a", "b"])
        client.protocol = Client
        _, client = await asyncio.get_running_loop().create_connection(client, "127.0.0.1", world.port)
        world.clients.append(client)
        await client.is_open
        assert world.server.offered == ["a", "b"]
        assert client.response.protocol == client.websocket_protocol_in_use == protocol
        assert client.response.headers.get("x-test") == header


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("outcome", "status", "reported"),
    [
        (ConnectionDeny(403, "nope"), "[403]: nope", False),
        (ConnectionDeny(404), "[404]: Not Found", False),
        (ValueError("secret"), "[500]: Internal server error", True),
        ("unoffered", "[500]: Internal server error", True),
        ((None, {"X": "a\r\nb"}), "[500]: Internal server error", True),
        (5, "[500]: Internal server error", True),
    ],
)
async def test_refusals_of_on_connect(is_async, outcome, status, reported, caplog):
    class Refusing(Server):
        def decide(self):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def onConnect(self, request):
            return self.decide()

    class AsyncRefusing(Refusing):
        async def onConnect(self, request):
            await asyncio.sleep(0)
            return self.decide()

    caplog.set_level(logging.INFO)
    async with World(AsyncRefusing if is_async else Refusing) as world:
        client = await world.connect()
        await world.ended()
        assert client.log == ["connecting", ("close", False, 1006, client.log[-1][3])]
        assert client.log[-1][3] == UNCLEAN.format(f"WebSocket connection upgrade failed {status}")
        assert world.server.log == [("close", False, 1006, world.server.log[-1][3])]
        assert [where for where, _ in world.server.errors] == (["onConnect"] if reported else [])
        with pytest.raises(Disconnected):
            await client.is_open
    assert "secret" not in client.log[-1][3]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("where", ["onConnecting", "onConnect"])
async def test_errors_in_the_client_while_opening(is_async, where):
    def fail(self, _):
        raise ValueError("x")

    async def fail_later(self, _):
        await asyncio.sleep(0)
        raise ValueError("x")

    protocol = type("Failing", (Client,), {where: fail_later if is_async else fail})
    async with World() as world:
        client = await world.connect(protocol)
        await world.ended()
        assert client.errors == [(where, "ValueError('x')")]
        assert "open" not in client.log
        assert client.log[-1][:3] == ("close", False, 1006)
        if where == "onConnect":
            assert world.server.log[-1] == ("close", True, 1011, "onConnect failed")


@pytest.mark.parametrize("outcome", [None, ValueError("late")])
async def test_the_client_goes_while_on_connect_decides(outcome, loop_name):
    class Slow(Server):
        async def onConnect(self, request):
            self.log.append("connect")
            await self.is_closed
            if outcome is not None:
                raise outcome

    async with World(Slow) as world:
        client = await world.connect()
        await until(lambda: world.made and world.server.log)
        client.dropConnection(abort=True)
        await world.ended()
        await asyncio.sleep(0)
        assert [e if isinstance(e, str) else e[:3] for e in world.server.log] == ["connect", ("close", False, 1006)]
        assert len(world.server.errors) == (0 if outcome is None else 1)


async def test_the_connection_ends_while_the_client_decides(loop_name):
    class Slow(Client):
        async def onConnect(self, response):
            self.dropConnection(abort=True)
            await asyncio.sleep(0.01)

    class Closing(Client):
        async def onConnect(self, response):
            self.sendClose(3000)

    async with World() as world:
        client = await world.connect(Slow)
        await world.ended()
        await asyncio.sleep(0.02)
        assert [e if isinstance(e, str) else e[:3] for e in client.log] == ["connecting", ("close", False, 1006)]
        client = await world.connect(Closing)
        await world.ended()
        assert client.log == ["connecting", ("close", True, 1000, None)]


async def test_a_client_may_refuse_the_answer(caplog):
    class Refusing(Client):
        def onConnect(self, response):
            raise ConnectionDeny(403, "not this one")

    caplog.set_level(logging.INFO)
    async with World() as world:
        client = await world.connect(Refusing)
        await world.ended()
        assert client.errors == []
        assert world.server.log[-1] == ("close", True, 1008, "not this one")
        assert len(caplog.records) == 1


async def test_connecting_request():
    class Asking(Client):
        def onConnecting(self, transport_details):
            return ConnectingRequest(host="other", port=81, resource="/r", headers={"X": "1"}, protocols=["p"])

    async with World() as world:
        await world.open(Asking)
        request = world.server.request
        assert (request.host, request.path, request.protocols) == ("other", "/r", ["p"])
        assert request.headers["x"] == "1"
        assert "user-agent" not in request.headers
        await world.open()
        assert world.server.request.headers["user-agent"].startswith("autobahn-asyncio/")


@pytest.mark.parametrize("is_async", [False, True])
async def test_errors_of_user_callbacks_are_reported_once_and_the_connection_lives(is_async, loop_name):
    def fail(self, *_):
        raise ValueError("boom")

    async def fail_later(self, *_):
        await asyncio.sleep(0)
        raise ValueError("boom")

    names = ["onOpen", "onMessage", "onPing", "onPong", "onClose"]
    protocol = type("Failing", (Server,), {name: fail_later if is_async else fail for name in names})
    async with World(protocol) as world:
        client = await world.open()
        client.sendMessage(b"a")
        client.sendPing()
        client.sendPong()
        client.sendMessage(b"b")
        await until(lambda: len(world.server.errors) == 5)
        world.server.sendMessage(b"alive")
        assert await client.messages.get() == (b"alive", False)
        client.sendClose()
        await world.ended()
        await until(lambda: len(world.server.errors) == 6)
        found = [where for where, text in world.server.errors if text == "ValueError('boom')"]
        expected = ["onOpen", "onMessage", "onPing", "onPong", "onMessage", "onClose"]
        assert (sorted(found) == sorted(expected)) if is_async else found == expected


async def test_user_errors_are_logged_with_traceback_and_peer(caplog):
    class Failing(WebSocketServerProtocol):
        def onMessage(self, payload, isBinary):
            raise ValueError("boom")

    async with World(Failing) as world:
        client = await world.open()
        client.sendMessage(b"x")
        await until(lambda: caplog.records)
        record = caplog.records[0]
        assert (record.name, record.levelname) == ("autobahn.websocket", "ERROR")
        assert "onMessage" in record.message
        assert "tcp4:127.0.0.1" in record.message
        assert record.exc_info[1].args == ("boom",)


async def test_sending_needs_an_open_connection():
    protocol = WebSocketServerProtocol()
    with pytest.raises(Disconnected):
        protocol.sendMessage(b"x")
    with pytest.raises(Disconnected):
        protocol.sendClose()
    protocol.sendPing()
    protocol.beginMessage()
    protocol.dropConnection()
    assert protocol.state == protocol.STATE_CONNECTING
    assert protocol.peer is None
    async with World() as world:
        client = await world.connect()
        with pytest.raises(Disconnected):
            client.sendMessage(b"x")
        await client.is_open
        for payload, binary in (("x", False), (bytearray(b"x"), False), (b"x", 1)):
            with pytest.raises(AssertionError, match="expected"):
                client.sendMessage(payload, binary)
        client.sendClose()
        with pytest.raises(Disconnected):
            client.sendMessage(b"x")
        client.sendPing()
        client.endMessage()
        await world.ended()
        with pytest.raises(Disconnected):
            client.sendMessage(b"x")
        client.sendClose()


class CountingTransport:
    """Counts writes of the transport below."""

    def __init__(self, transport):
        self._transport = transport
        self.writes = []

    def write(self, data):
        self.writes.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name):
        return getattr(self._transport, name)


class CountedServer(Echo):
    def connection_made(self, transport):
        self.counter = CountingTransport(transport)
        super().connection_made(self.counter)


class CountedClient(Client):
    def connection_made(self, transport):
        self.counter = CountingTransport(transport)
        super().connection_made(self.counter)


async def test_one_write_per_batch(loop_name):
    async with World(CountedServer) as world:
        client = await world.open(CountedClient)
        assert len(client.counter.writes) == 1
        assert len(world.server.counter.writes) == 1
        for number in range(50):
            client.sendMessage(b"%d" % number)
        assert len(client.counter.writes) == 1
        for number in range(50):
            assert await client.messages.get() == (b"%d" % number, False)
        assert len(client.counter.writes) == 2
        assert len(world.server.counter.writes) == 2
        client.sendMessage(b"last")
        client.sendClose(1000)
        await world.ended()
        assert len(client.counter.writes) == 3


async def test_nothing_is_left_unsent_at_a_close(loop_name):
    class Burst(Server):
        def onOpen(self):
            for _ in range(100):
                self.sendMessage(b"x" * 10_000)
            self.dropConnection()

    async with World(Burst) as world:
        client = await world.open()
        await world.ended()
        assert client.messages.qsize() == 100


async def test_compression_negotiated(loop_name):
    def accept(offers):
        return PerMessageDeflateOfferAccept(offers[0])

    async with World(CountedServer, perMessageCompressionAccept=accept) as world:
        client = await world.open(perMessageCompressionOffers=[PerMessageDeflateOffer()])
        assert client.websocket_extensions_in_use[0].EXTENSION_NAME == "permessage-deflate"
        client.sendMessage(b"hello " * 1000)
        assert await client.messages.get() == (b"hello " * 1000, False)
        assert len(world.server.counter.writes[-1]) < 100
        client.sendMessage(b"hello " * 1000, doNotCompress=True)
        assert await client.messages.get() == (b"hello " * 1000, False)


async def test_options_by_factory_class_and_instance():
    class Small(Echo):
        maxMessagePayloadSize = 5

        def __init__(self):
            super().__init__()
            self.autoPingSize = 20

    async with World(Small, maxConnections=7) as world:
        world.factory.webStatus = False
        client = await world.open()
        server = world.server
        assert (server.maxMessagePayloadSize, server.autoPingSize) == (5, 20)
        assert (server.maxConnections, server.webStatus, server.failByDrop) == (7, False, True)
        assert (world.factory.maxConnections, world.factory.maxMessagePayloadSize) == (7, 16 * 2**20)
        with pytest.raises(AttributeError):
            server.nonsense
        client.sendMessage(b"12345")
        assert await client.messages.get() == (b"12345", False)
        client.sendMessage(b"123456")
        await world.ended()
        assert client.log[-1][:3] == ("close", True, 1009)
        assert server.wasMaxMessagePayloadSizeExceeded


def test_factory_arguments():
    factory = WebSocketServerFactory()
    assert (factory.url, factory.host, factory.port, factory.isSecure) == ("ws://localhost", "localhost", 80, False)
    assert factory.isServer
    assert isinstance(factory(), WebSocketServerProtocol)
    assert isinstance(WebSocketClientFactory()(), WebSocketClientProtocol)
    for make in (
        lambda: WebSocketServerFactory("ws://h/?x=1"),
        lambda: WebSocketServerFactory("http://h"),
        lambda: WebSocketServerFactory(protocols=["a b"]),
        lambda: WebSocketServerFactory(protocols="abc"),
        lambda: WebSocketServerFactory(headers={"X": "a\r\nb"}),
        lambda: WebSocketServerFactory(server="a\nb"),
        lambda: WebSocketServerFactory(externalPort=70000),
        lambda: WebSocketClientFactory(origin="ä"),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
    factory.setProtocolOptions(maxConnections=5)
    factory.setProtocolOptions(webStatus=False)
    assert (factory.maxConnections, factory.webStatus, factory.allowNullOrigin) == (5, False, True)
    factory.resetProtocolOptions()
    assert factory.maxConnections == 0
    with pytest.raises(TypeError):
        factory.setProtocolOptions(nonsense=1)
    with pytest.raises(TypeError, match="expected maxConnections of type int, got str"):
        factory.setProtocolOptions(maxConnections="5")


def test_factories_may_be_built_before_the_loop_runs():
    server, client = WebSocketServerFactory(), WebSocketClientFactory()
    server.protocol = Echo
    client.protocol = Client

    async def main():
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, "127.0.0.1", 0)
        _, proto = await loop.create_connection(client, *listener.sockets[0].getsockname())
        await proto.is_open
        proto.sendMessage(b"x")
        assert await proto.messages.get() == (b"x", False)
        proto.sendClose()
        await proto.is_closed
        listener.close()

    for _ in range(2):
        asyncio.run(main())


async def test_sending_and_receiving_in_pieces(loop_name):
    class Pieces(Server):
        def onMessageBegin(self, isBinary):
            self.log.append(("begin", isBinary))
            super().onMessageBegin(isBinary)

        def onMessageFrameData(self, payload):
            self.log.append(payload)
            super().onMessageFrameData(payload)

        async def onMessageEnd(self):
            self.log.append("end")
            result = super().onMessageEnd()
            assert result is None

    async with World(Pieces) as world:
        client = await world.open()
        client.beginMessage(isBinary=True)
        client.beginMessageFrame(4)
        assert client.sendMessageFrameData(b"ab") == 2
        assert client.sendMessageFrameData(b"cdef") == -2
        client.sendMessageFrame(b"gh")
        client.endMessage()
        assert await world.server.messages.get() == (b"abcdgh", True)
        pieces = world.server.log[2:]
        assert pieces[0] == ("begin", True)
        assert b"".join(pieces[1:-1]) == b"abcdgh"
        assert pieces[-1] == "end"


async def test_prepared_messages():
    def accept(offers):
        return PerMessageDeflateOfferAccept(offers[0])

    async with World(perMessageCompressionAccept=accept) as world:
        prepared = world.factory.prepareMessage(b"news", isBinary=True)
        plain = await world.open()
        await world.server.is_open
        deflated = await world.open(perMessageCompressionOffers=[PerMessageDeflateOffer()])
        await world.server.is_open
        for _ in range(2):
            for server in world.made:
                server.sendPreparedMessage(prepared)
            for client in (plain, deflated):
                assert await client.messages.get() == (b"news", True)
        world.server.sendClose()
        world.server.sendPreparedMessage(prepared)


async def test_too_large_a_message_is_not_sent():
    async with World() as world:
        client = await world.open(maxMessagePayloadSize=10)
        with pytest.raises(PayloadExceededError):
            client.sendMessage(b"x" * 11)
        client.sendMessage(b"x" * 10)
        assert await client.messages.get() == (b"x" * 10, False)


async def test_opening_timeout_is_exact(loop_name):
    loop = asyncio.get_running_loop()
    async with World(openHandshakeTimeout=0.2) as world:
        start = loop.time()
        reader, writer = await world.raw()
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert 0.15 < loop.time() - start < 1.0
        writer.close()
        await world.ended()
        assert world.server.wasOpenHandshakeTimeout
        assert "opening handshake timeout" in world.server.log[-1][3]


@contextlib.asynccontextmanager
async def mute_server():
    """A server that opens WebSockets and then neither reads nor writes."""
    from autobahn.websocket.handshake import accept_value

    writers = []

    async def handle(reader, writer):
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")).split()[1]
        accept = accept_value(key.decode())
        writer.write(
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            await reader.read()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("options", "act", "why"),
    [
        ({"closeHandshakeTimeout": 0.05}, lambda c: c.sendClose(), "peer did not finish the closing handshake"),
        ({"autoPingInterval": 0.05, "autoPingTimeout": 0.05}, lambda c: None, "peer did not respond with pong"),
    ],
)
async def test_a_dead_peer_is_dropped(options, act, why, loop_name):
    async with mute_server() as port:
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}")
        factory.protocol = Client
        factory.setProtocolOptions(**options)
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
        await client.is_open
        act(client)
        await asyncio.wait_for(client.is_closed, 2)
        await asyncio.sleep(0)
        assert client.log[-1][:3] == ("close", False, 1006)
        assert why in client.log[-1][3]


async def test_automatic_pings(loop_name):
    pongs = []

    class Pinged(Echo):
        def onAutoPong(self, ping_sent, ping_seq, pong_received, pong_rtt, payload):
            pongs.append((ping_seq, len(payload)))
            assert ping_sent <= pong_received

    async with World(Pinged, autoPingInterval=0.02, autoPingTimeout=1, autoPingSize=16) as world:
        client = await world.open()
        await until(lambda: len(pongs) >= 3)
        assert pongs[:3] == [(1, 16), (2, 16), (3, 16)]
        client.sendMessage(b"x")
        assert await client.messages.get() == (b"x", False)


async def test_traffic_counts_as_an_answer_to_an_automatic_ping(loop_name):
    class Silent(Client):
        def onPing(self, payload):
            self.sendMessage(b"no pong, but alive")

    async with World(Server, autoPingInterval=0.01, autoPingTimeout=0.05) as world:
        client = await world.open(Silent)
        for _ in range(3):
            await world.server.messages.get()
        assert client.state == client.STATE_OPEN
    async with World(Server, autoPingInterval=0.01, autoPingTimeout=0.03, autoPingRestartOnAnyTraffic=False) as world:
        await world.open(Silent)
        await world.ended()
        assert "ping timeout" in world.server.wasNotCleanReason


async def test_a_stall_of_our_own_loop_is_not_the_peers_silence(loop_name):
    async with World(Echo, autoPingInterval=0.02, autoPingTimeout=0.05) as world:
        client = await world.open()
        await until(lambda: world.server._ws_keep_alive._payload)
        time.sleep(0.3)
        await asyncio.sleep(0.1)
        client.sendMessage(b"x")
        assert await client.messages.get() == (b"x", False)


async def test_refusing_by_hand():
    class Refusing(Server):
        def onConnect(self, request):
            self.seen = (self.http_request_host, self.websocket_protocols, self.websocket_origin)
            self.seen += (self.websocket_extensions,)
            self.sendHttpErrorResponse(410, "gone", {"X": "y"})

    async with World(Refusing) as world:
        client = await world.connect()
        await world.ended()
        assert "[410]: gone" in client.wasNotCleanReason
        assert world.server.seen == ("127.0.0.1", [], "", [])

    class Failing(Client):
        def onConnecting(self, transport_details):
            self.failHandshake("not today")

    async with World() as world:
        client = await world.connect(Failing)
        await world.ended()
        assert client.wasNotCleanReason == "not today"


async def test_limit_of_connections_and_forwarded_peer():
    async with World(maxConnections=1, trustXForwardedFor=2) as world:
        factory = WebSocketClientFactory(
            f"ws://127.0.0.1:{world.port}", headers={"X-Forwarded-For": "6.6.6.6, 1.2.3.4, 10.0.0.1"}
        )
        factory.protocol = Client
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", world.port)
        world.clients.append(client)
        await client.is_open
        assert world.server.peer == world.server.request.peer == "1.2.3.4"
        second = await world.connect()
        await asyncio.wait_for(second.is_closed, 2)
        assert "[503]" in second.wasNotCleanReason
        client.sendMessage(b"x")
        assert await client.messages.get() == (b"x", False)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
async def test_unix_socket(tmp_path, loop_name):
    path = str(tmp_path / "s")
    loop = asyncio.get_running_loop()
    server, client = WebSocketServerFactory(), WebSocketClientFactory(f"ws://unix:{path}")
    server.protocol = Echo
    client.protocol = Client
    listener = await loop.create_unix_server(server, path)
    _, proto = await loop.create_unix_connection(client, path)
    await proto.is_open
    assert proto.peer.startswith("unix:")
    proto.sendMessage(b"x")
    assert await proto.messages.get() == (b"x", False)
    proto.sendClose()
    await proto.is_closed
    listener.close()
    await until(lambda: server.countConnections == 0)

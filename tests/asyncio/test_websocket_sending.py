"""The documented WebSocket classes: what is written when, messages in pieces, timeouts, odd uses."""

import asyncio
import contextlib
import socket
import time

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.exception import PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websocket_world import Client, Echo, Server, World, until


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
        await until(lambda: world.server._ws_keep_alive is not None and world.server._ws_keep_alive._payload)
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

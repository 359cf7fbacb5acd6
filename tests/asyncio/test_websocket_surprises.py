"""Where the documented API is known for surprises: what a program gets here instead, one test for each.

The surprise is named in each docstring as a program meets it elsewhere.
"""

import asyncio
import contextlib

import pytest

from attacks.world import DEFLATE, accept_deflate, meet, upgrade_answer
from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectionAccept
from websocket_world import Client, Echo, Server, World, until


def test_a_factory_made_before_any_loop_serves_every_loop():
    """A factory is bound to the loop of the moment it was made; its connections then never process any data."""
    server_factory, client_factory = WebSocketServerFactory(), WebSocketClientFactory()
    server_factory.protocol, client_factory.protocol = Echo, Client

    async def talk():
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server_factory, "127.0.0.1", 0)
        _, client = await loop.create_connection(client_factory, *listener.sockets[0].getsockname())
        await client.is_open
        client.sendMessage(b"hello")
        assert await client.messages.get() == (b"hello", False)
        client.sendClose()
        await client.is_closed
        listener.close()

    for _ in range(2):  # and not only the first loop
        asyncio.run(talk())


async def test_the_client_factory_has_a_protocol():
    """Connecting without `factory.protocol = ...` is an AttributeError."""
    async with World() as world:
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{world.port}")
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", world.port)
        assert isinstance(client, WebSocketClientProtocol)
        await client.is_open
        client.sendClose()
        await client.is_closed
    assert isinstance(WebSocketServerFactory()(), WebSocketServerProtocol)


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_connect_may_return_a_connection_accept(is_async):
    """A ConnectionAccept ends in HTTP 500."""

    class Accepts(Server):
        def onConnect(self, request):
            answer = ConnectionAccept(subprotocol="b", headers={"X-A": "1", "X-B": ["2", "3"]})
            return self.later(answer) if is_async else answer

        async def later(self, answer):
            await asyncio.sleep(0)
            return answer

    async with World(Accepts) as world:
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{world.port}", protocols=["a", "b"])
        factory.protocol = Client
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", world.port)
        await client.is_open
        assert client.response.protocol == "b"
        assert (client.response.headers["x-a"], client.response.headers["x-b"]) == ("1", "2, 3")
        client.sendClose()
        await client.is_closed


async def test_an_async_on_connect_of_a_client_comes_before_on_open(loop_name):
    """The coroutine runs as a task beside onOpen and the first messages."""

    class Looks(Client):
        async def onConnect(self, response):
            self.log.append("begin")
            for _ in range(10):
                await asyncio.sleep(0.001)
            self.log.append("end")

        def onMessage(self, payload, isBinary):
            self.log.append(payload)

    class Greets(Server):
        def onOpen(self):
            self.sendMessage(b"welcome")

    async with World(Greets) as world:
        client = await world.open(Looks)
        await until(lambda: b"welcome" in client.log)
        assert client.log == ["connecting", "begin", "end", "open", b"welcome"]


async def test_an_error_in_on_connect_of_a_client_is_no_normal_close():
    """The connection is closed with 1000 and the text of the exception as reason."""

    class Fails(Client):
        def onConnect(self, response):
            raise KeyError("secret")

    async with World() as world:
        client = await world.connect(Fails)
        await world.ended()
        assert client.errors == [("onConnect", "KeyError('secret')")]
        assert client.log[-1][:3] == ("close", False, 1006)
        assert world.server.log[-1][:3] == ("close", True, 1011)
        assert "secret" not in world.server.log[-1][3]


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_in_on_open_of_a_server_writes_no_http(is_async):
    """An HTTP 500 is written onto the open WebSocket, which the client takes for a protocol violation."""

    class Fails(Echo):
        def onOpen(self):
            if is_async:
                return self.later()
            raise KeyError("x")

        async def later(self):
            raise KeyError("x")

    async with World(Fails) as world:
        client = await world.open()
        client.sendMessage(b"a")
        assert await client.messages.get() == (b"a", False)
        assert world.server.errors == [("onOpen", "KeyError('x')")]


async def test_a_message_handler_that_raises_is_reported_and_the_connection_lives():
    """Sync: TCP is aborted. Async: "Task exception was never retrieved"."""
    for is_async in (False, True):

        class Fails(Server):
            def onMessage(self, payload, isBinary):
                raise KeyError(payload)

        class FailsLater(Server):
            async def onMessage(self, payload, isBinary):
                raise KeyError(payload)

        async with World(FailsLater if is_async else Fails) as world:
            client = await world.open()
            for payload in (b"a", b"b"):
                client.sendMessage(payload)
            await until(lambda: len(world.server.errors) == 2)
            assert world.server.errors == [("onMessage", "KeyError(b'a')"), ("onMessage", "KeyError(b'b')")]
            assert client.state == client.STATE_OPEN


async def test_what_a_client_learns_of_the_answer():
    """`version` is the draft's number, 18, and `extensions` are objects: as documented programs know them."""
    async with World(Echo, perMessageCompressionAccept=accept_deflate) as world:
        client = await world.open(perMessageCompressionOffers=[PerMessageDeflateOffer()])
        assert client.response.version == 18
        assert [extension.EXTENSION_NAME for extension in client.response.extensions] == ["permessage-deflate"]
        assert world.server.request.version == 13
        assert "permessage-deflate" in str(client.response)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.endMessage(),
        lambda p: p.beginMessageFrame(5),
        lambda p: p.sendMessageFrame(b"x"),
        lambda p: p.sendMessageFrameData(b"x"),
    ],
)
async def test_streaming_in_the_wrong_order_says_what_was_expected(call):
    """An AttributeError of the library's own insides when no message was ever begun."""
    async with World(Echo) as world:
        client = await world.open()
        with pytest.raises(RuntimeError, match=r"expected beginMessage(Frame)?\(\) first"):
            call(client)
        client.sendMessage(b"on")
        assert await client.messages.get() == (b"on", False)


def test_set_protocol_options_changes_what_it_names_only():
    """Every call that does not name `allowNullOrigin` turns it off."""
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(allowNullOrigin=True)
    factory.setProtocolOptions(failByDrop=False)
    assert factory.allowNullOrigin is True
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(failByDrop=False)
    assert factory.allowNullOrigin is True


async def test_who_offers_compression_need_not_accept_it_as_well():
    """An offer without `perMessageCompressionAccept` fails the handshake as soon as the server accepts."""

    async def serve(peer, head):
        await peer.send(upgrade_answer(head, DEFLATE[:-2]))
        await peer.reader.read(100)

    class Leaves(Client):
        def __init__(self):
            super().__init__()
            self.done = asyncio.get_running_loop().create_future()

        def onOpen(self):
            super().onOpen()
            self.dropConnection()

        def onClose(self, wasClean, code, reason):
            self.done.set_result(None)

    client, _ = await meet(serve, protocol=Leaves, perMessageCompressionOffers=[PerMessageDeflateOffer()])
    assert "open" in client.log


@pytest.mark.parametrize("seconds", [0.06, 0.3])
async def test_timers_of_less_than_a_second_are_exact(seconds, loop_name):
    """They fire at a whole second at or before their time: 0.5 is anything from 0.0 to 0.5."""
    loop = asyncio.get_running_loop()
    async with World(Server, openHandshakeTimeout=seconds) as world:
        begin = loop.time()
        reader, writer = await world.raw()
        with contextlib.suppress(ConnectionError):
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 408 ")
        assert loop.time() - begin >= seconds * 0.95
        writer.close()
        await world.ended()
        assert world.server.wasOpenHandshakeTimeout

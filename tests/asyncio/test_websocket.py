"""The documented WebSocket classes over real sockets, on asyncio and uvloop."""

import asyncio
import logging

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketServerProtocol,
)
from autobahn.exception import Disconnected
from autobahn.websocket.types import ConnectingRequest, ConnectionAccept, ConnectionDeny
from websocket_world import Client, Server, World, until

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

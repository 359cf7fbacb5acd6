"""A program closes the transport itself: what it sent in the same turn still leaves."""

import asyncio
import contextlib
import os

import pytest

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketServerFactory, WebSocketServerProtocol
from direct_world import Client
from websocket_world import until

ENDS = ["close", "abort"]


class Server(WebSocketServerProtocol):
    def onOpen(self):
        self.factory.made.append(self)


@contextlib.asynccontextmanager
async def ends(server_class):
    """The ends of one connection that has carried nothing yet: (server's, client's)."""
    loop = asyncio.get_running_loop()
    factory = WebSocketServerFactory()
    factory.protocol, factory.made = server_class, []
    server = await loop.create_server(factory, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    clients = WebSocketClientFactory(f"ws://localhost:{port}/")
    clients.protocol = Client
    _, client = await loop.create_connection(clients, "localhost", port)
    await client.is_open
    await until(lambda: factory.made)
    try:
        yield factory.made[0], client
        await client.is_closed
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("end", ENDS)
async def test_sent_and_closed_in_a_callback(loop_name, end):
    large = os.urandom(20_000)

    class Leaving(Server):
        def onMessage(self, payload, isBinary):
            self.sendMessage(b"bye", True)
            self.sendMessage(large, True)
            getattr(self.transport, end)()

    async with ends(Leaving) as (_, client):
        client.sendMessage(b"x")
        await client.is_closed
        assert client.seen == [b"bye", large]


@pytest.mark.parametrize("end", ENDS)
async def test_sent_and_closed_by_a_task(loop_name, end):
    async with ends(Server) as (server, client):
        server.sendMessage(b"bye", True)
        getattr(server.transport, end)()
        await client.is_closed
        assert client.seen == [b"bye"]


async def test_sent_and_closed_when_it_opens(loop_name):
    class Brief(Server):
        def onOpen(self):
            super().onOpen()
            self.sendMessage(b"bye", True)
            self.transport.close()

    async with ends(Brief) as (_, client):
        await client.is_closed
        assert client.seen == [b"bye"]


async def test_nothing_is_sent_behind_the_end(loop_name):
    """The socket's number may be another's by then, even if the program kept the end from our class."""

    class Deaf(Server):
        has_ended = False

        def onMessage(self, payload, isBinary):
            self.sendMessage(payload, isBinary)

        def connection_lost(self, exc):
            self.has_ended = True

    async with ends(Deaf) as (server, client):
        client.sendMessage(b"x", True)
        await until(lambda: client.seen)
        number = server.transport.get_extra_info("socket").fileno()
        server.transport.close()
        await until(lambda: server.has_ended)
        await client.is_closed
        reading, writing = os.pipe()
        heirs = {reading, writing}
        if number not in heirs:
            os.dup2(writing, number)
            heirs.add(number)
        try:
            server.sendMessage(b"not for you", True)
            for _ in range(3):
                await asyncio.sleep(0)
            os.set_blocking(reading, False)
            with pytest.raises(BlockingIOError):
                os.read(reading, 100)
        finally:
            for heir in heirs:
                os.close(heir)
        super(Deaf, server).connection_lost(None)

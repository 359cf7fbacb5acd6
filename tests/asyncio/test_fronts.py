"""Behind a front that speaks TLS on another port: the Host header names the front's port, and that is right."""

import asyncio
import contextlib

import pytest

import autobahn
from autobahn.asyncio.router import Router
from autobahn.exception import InvalidStatus
from websocket_world import Echo, World


class Front:
    """Takes TLS off and passes on what is inside."""

    def __init__(self, tls, port):
        self.tls = tls
        self.target = port
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def accept(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))

    async def __aexit__(self, *_):
        self.server.close()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=5)


async def relay(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def test_serve_behind_a_front(tls, loop_name):
    server_tls, client_tls = tls
    async with autobahn.serve(echo) as server, Front(server_tls, server.port) as front:
        url = f"wss://localhost:{front.port}/"
        for origin in (None, f"https://localhost:{front.port}"):  # S12: a page that the front serves
            async with autobahn.connect(url, ssl=client_tls, origin=origin) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
        for origin in (f"https://localhost:{server.port}", "https://localhost"):
            with pytest.raises(InvalidStatus) as caught:
                await autobahn.connect(url, ssl=client_tls, origin=origin)
            assert caught.value.status == 403


async def test_a_router_behind_a_front(tls, loop_name):
    server_tls, client_tls = tls
    async with Router() as router:
        port = int(router.url.rpartition(":")[2].partition("/")[0])
        async with Front(server_tls, port) as front:
            url = f"wss://localhost:{front.port}/ws"
            async with autobahn.connect(url, ssl=client_tls, realm="realm1") as session:
                await session.register(lambda x: x + 1, "com.inc")
                assert await session.call("com.inc", 1) == 2


@pytest.mark.parametrize("right", [True, False])
async def test_an_external_port_is_insisted_on(right, tls):
    server_tls, client_tls = tls
    async with World(Echo) as world, Front(server_tls, world.port) as front:
        world.factory.setSessionParameters("ws://localhost", externalPort=front.port if right else front.port ^ 1)
        connecting = autobahn.connect(f"wss://localhost:{front.port}/", ssl=client_tls)
        if right:
            async with connecting as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
        else:
            with pytest.raises(InvalidStatus) as caught:
                await connecting
            assert caught.value.status == 400

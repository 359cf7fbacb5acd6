"""A peer that is gone without a word (N14, N15): aborted in time, and whoever waits for anything is freed."""

import asyncio

import pytest

import autobahn
from attacks.world import upgrade_answer
from autobahn.exception import ConnectionClosedError, Disconnected
from websocket_world import Client, World, until

INTERVAL, TIMEOUT = 0.05, 0.2
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Mute:
    """A server that agrees to a WebSocket and then neither reads nor writes."""

    def __init__(self, tls=None):
        self.tls = tls

    async def __aenter__(self):
        self.writers = []
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=self.tls, limit=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def accept(self, reader, writer):
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(upgrade_answer(head))
        await writer.drain()
        writer.transport.pause_reading()

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()


async def fill(ws):
    """Sends until it has to wait, and then waits."""
    while True:
        await ws.send(bytes(500_000))


async def everyone(ws):
    """All that can wait for a connection, as tasks."""
    tasks = [asyncio.create_task(coroutine) for coroutine in (ws.recv(), fill(ws), fill(ws), ws.ping(), ws.ping())]
    tasks.append(asyncio.create_task(ws.wait_closed()))
    await until(lambda: ws.protocol.sendBufferSize > 0)
    return tasks


async def freed(tasks, ws):
    begin = asyncio.get_running_loop().time()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results[:-1]] == [ConnectionClosedError] * 5
    assert results[-1] is None
    assert all("ping timeout" in str(result) for result in results[:-1])
    assert asyncio.get_running_loop().time() - begin < 3
    assert ws.closed
    assert ws.close_code == 1006
    with pytest.raises(ConnectionClosedError):
        await ws.recv()
    with pytest.raises(ConnectionClosedError):
        await ws.send("x")


@pytest.mark.parametrize("over", ["tcp", "tls"])
async def test_a_client_of_a_dead_server(over, tls, loop_name):
    server_tls, client_tls = tls if over == "tls" else (None, None)
    async with Mute(server_tls) as mute:
        url = f"{'wss' if server_tls else 'ws'}://localhost:{mute.port}/"
        ws = await autobahn.connect(url, ssl=client_tls, ping_interval=INTERVAL, ping_timeout=TIMEOUT)
        await freed(await everyone(ws), ws)


@pytest.mark.parametrize("over", ["tcp", "tls"])
async def test_a_server_of_a_dead_client(over, tls, loop_name):
    server_tls, client_tls = tls if over == "tls" else (None, None)
    done = asyncio.get_running_loop().create_future()

    async def handler(ws):
        try:
            await freed(await everyone(ws), ws)
        except BaseException as exc:
            done.set_exception(exc)
        else:
            done.set_result(None)

    options = {"ping_interval": INTERVAL, "ping_timeout": TIMEOUT, "ssl": server_tls}
    async with autobahn.serve(handler, "localhost", **options) as server:
        name = "localhost" if client_tls else None
        reader, writer = await asyncio.open_connection(
            "localhost", server.port, ssl=client_tls, server_hostname=name, limit=1024
        )
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.wait_for(done, 10)
        await until(lambda: not server.connections)
        writer.transport.abort()


async def test_closing_does_not_wait_for_a_dead_peer(loop_name):
    async with Mute() as mute:
        url = f"ws://127.0.0.1:{mute.port}/"
        ws = await autobahn.connect(url, close_timeout=0.1, ping_interval=None)
        waiting = asyncio.create_task(fill(ws))
        await until(lambda: ws.protocol.sendBufferSize > 0)
        await asyncio.wait_for(ws.close(), 5)
        assert ws.closed
        with pytest.raises(ConnectionClosedError):
            await waiting


async def test_the_documented_classes_free_everyone_too(loop_name):
    async with Mute() as mute, World() as world:
        world.port = mute.port
        client = await world.open(Client, autoPingInterval=INTERVAL, autoPingTimeout=TIMEOUT)
        while client.sendBufferSize < 200_000:
            client.sendMessage(bytes(500_000), True)
            await asyncio.sleep(0)
        drains = [asyncio.create_task(client.drain()) for _ in range(3)]
        assert await asyncio.wait_for(asyncio.shield(client.is_closed), 5) is client
        results = await asyncio.gather(*drains, return_exceptions=True)
        assert [type(result) for result in results] == [Disconnected] * 3
        await until(lambda: client.log[-1][0] == "close")
        assert client.log[-1][1:3] == (False, 1006)
        assert "ping timeout" in client.log[-1][3]
        assert client.transport.is_closing()

"""Servers of ours accept without a task for each connection, and are an `asyncio.Server` in all else."""

import asyncio
import errno
import socket
import sys
from functools import partial

import pytest

from autobahn import serve
from autobahn.asyncio import accepting
from autobahn.asyncio.accepting import accept_directly
from websocket_world import until


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def __init__(self, made):
        made.append(self)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Listening:
    """A server whose connections are in `made`; `is_direct`: what `accept_directly` said."""

    def __init__(self, factory=Echo):
        self.made = []
        self.factory = lambda: factory(self.made)

    async def __aenter__(self):
        self.server = await asyncio.get_running_loop().create_server(self.factory, "127.0.0.1", 0)
        self.is_direct = accept_directly(self.server, lambda: self.factory(), 10)
        self.make = partial(accepting._plain, self.server.get_loop(), self.server, self.factory)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        for each in self.made:
            each.transport.abort()
        await self.server.wait_closed()

    async def echo(self, data=b"hello"):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await reader.readexactly(len(data))
        finally:
            writer.close()
            await writer.wait_closed()


async def test_connections_are_served_on_every_loop(loop_name):
    async with Listening() as listening:
        assert listening.is_direct is (loop_name == "asyncio")
        assert await asyncio.gather(*(listening.echo() for _ in range(25))) == [b"hello"] * 25
        assert listening.made[0].transport.get_extra_info("peername")[0] == "127.0.0.1"


async def test_no_task_is_made_for_a_connection():
    loop, names = asyncio.get_running_loop(), []
    async with Listening() as listening:
        sock = socket.create_connection(("127.0.0.1", listening.port))
        sock.setblocking(False)

        def factory(loop, coro, **kwargs):
            names.append(coro.__qualname__)
            return asyncio.Task(coro, loop=loop, **kwargs)

        loop.set_task_factory(factory)
        try:
            await until(lambda: listening.made)
        finally:
            loop.set_task_factory(None)
        sock.close()
    assert names == []


async def test_a_closed_server_accepts_no_more_and_its_connections_stay(loop_name):
    async with Listening() as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        await until(lambda: listening.made)
        listening.server.close()
        assert not listening.server.is_serving()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        await writer.wait_closed()


@pytest.mark.skipif(sys.version_info < (3, 12, 1), reason="wait_closed waits for connections from there on")
async def test_the_server_knows_its_connections():
    async with Listening() as listening:
        _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        await until(lambda: listening.made)
        listening.server.close()
        closed = asyncio.ensure_future(listening.server.wait_closed())
        await asyncio.sleep(0)
        assert not closed.done()
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(closed, 5)


async def test_a_factory_that_raises_costs_one_connection():
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["exception"]))
    async with Listening() as listening:
        good = listening.factory
        listening.factory = lambda: 1 / 0
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        listening.factory = good
        assert await listening.echo() == b"hello"
    assert [type(exc) for exc in reports] == [ZeroDivisionError]


class Exhausted:
    """A listening socket in a process that has no descriptor left, for a while."""

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number
        self.asked = 0

    def fileno(self):
        return self.sock.fileno()

    def accept(self):
        self.asked += 1
        if self.number:
            raise OSError(self.number, "no room")
        return self.sock.accept()


async def test_without_descriptors_it_pauses_and_goes_on(monkeypatch):
    monkeypatch.setattr(accepting, "PAUSE", 0.01)
    loop, reports = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"].errno))
    async with Listening() as listening:
        sock = Exhausted(listening.server.sockets[0]._sock, errno.EMFILE)
        loop.add_reader(sock.fileno(), accepting._accept, loop, listening.server, sock, listening.make, 10)
        waiting = asyncio.ensure_future(listening.echo())
        await until(lambda: len(reports) >= 2)
        assert set(reports) == {errno.EMFILE}
        assert sock.asked == len(reports)  # once each time, not as long as the socket is readable
        sock.number = 0
        assert await waiting == b"hello"


async def test_a_server_that_was_closed_meanwhile_is_not_resumed(monkeypatch):
    monkeypatch.setattr(accepting, "PAUSE", 0.01)
    loop, reports, over = asyncio.get_running_loop(), [], asyncio.Event()
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"].errno))
    async with Listening() as listening:
        sock = Exhausted(listening.server.sockets[0]._sock, errno.EMFILE)
        accepting._accept(loop, listening.server, sock, listening.make, 10)
        listening.server.close()
        loop.call_later(0.02, over.set)
        await over.wait()
        assert sock.asked == len(reports) == 1


async def test_other_errors_of_accept_are_the_loops():
    loop, reports = asyncio.get_running_loop(), []
    async with Listening() as listening:
        sock = Exhausted(listening.server.sockets[0]._sock, errno.EINVAL)
        with pytest.raises(OSError, match="no room"):
            accepting._accept(loop, listening.server, sock, listening.make, 10)
    assert reports == []


async def test_the_plain_api_is_served_so(monkeypatch, loop_name):
    asked = []

    def spy(server, factory, at_once, **options):
        asked.append(at_once)
        return accept_directly(server, factory, at_once, **options)

    monkeypatch.setattr("autobahn.asyncio.serve.accept_directly", spy)

    async def handler(ws):
        async for message in ws:
            await ws.send(message)

    from autobahn import connect

    async with serve(handler, backlog=7) as server, connect(server.url) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
    assert asked == [7]

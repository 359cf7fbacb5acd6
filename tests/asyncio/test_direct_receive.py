"""On asyncio's selector loop the pump reads plain sockets itself, and only where nobody can tell from outside."""

import asyncio
import random
import socket
import struct
from asyncio.selector_events import _SelectorSocketTransport

import pytest

from autobahn.asyncio.adapter import WebSocketAdapterProtocol
from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.rawsocket.frames import COMPILED as RAW_COMPILED
from autobahn.wamp.serializer import JsonSerializer
from autobahn.websocket.frames import COMPILED
from direct_world import SKIP, DirectWorld, gathering
from direct_world import Server as DirectServer
from rawsocket_world import JSON, Recorder, port_of, serve
from websocket_world import Client, Echo, Server, World, until

compiled = pytest.mark.skipif(not (COMPILED and RAW_COMPILED), reason=SKIP)


def reads_directly(protocol):
    """Whether the pump is what the loop calls when the socket is readable."""
    pump = protocol._ws_pump
    return COMPILED and pump is not None and getattr(protocol.transport, "_read_ready_cb", None) == pump.read


# -- which connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
async def test_plain_sockets_of_asyncio_are_read_directly_and_nothing_else_is(loop_name, kind, tmp_path, tls):
    path = str(tmp_path / "s") if kind == "unix" else None
    async with DirectWorld(path, tls if kind == "tls" else (None, None)) as world:
        payloads = [bytes([n]) * size for n, size in enumerate([0, 1, 126, 70_000, 1_000_000, 3])]
        for payload in payloads:
            world.client.sendMessage(payload, True)
        await until(lambda: len(world.client.seen) == len(payloads))
        assert world.client.seen == payloads
        for end in (world.client, world.peer):
            assert end._ws_pump.received > 1_000_000
            assert reads_directly(end) == (COMPILED and loop_name == "asyncio" and kind != "tls")


async def test_a_transport_that_somebody_derived_reads_itself():
    class Derived(_SelectorSocketTransport):
        pass

    def make(*args, **kwargs):
        return Derived(loop, *args, **kwargs)

    loop = asyncio.get_running_loop()
    loop._make_socket_transport = make
    async with DirectWorld() as world:
        world.client.sendMessage(b"x" * 100_000, True)
        await until(lambda: world.client.seen)
        for end in (world.client, world.peer):
            assert type(end.transport) is Derived
            assert not reads_directly(end)
            assert end._ws_outbox._direct is None


@pytest.mark.parametrize("name", ["data_received", "buffer_updated", "get_buffer"])
@pytest.mark.parametrize("where", ["class", "instance"])
async def test_a_program_that_overrides_how_octets_come_sees_them_all(name, where):
    calls = []

    class Watching(DirectServer):
        def __init__(self):
            super().__init__()
            if where == "instance":
                setattr(self, name, lambda *args: override(self, *args))

    def override(self, *args):
        calls.append(args)
        return getattr(WebSocketAdapterProtocol, name)(self, *args)

    if where == "class":
        setattr(Watching, name, override)
    async with DirectWorld(server=Watching) as world:
        before = len(calls)
        world.client.sendMessage(b"x" * 100_000, True)
        await until(lambda: world.client.seen)
        assert len(calls) > before
        assert world.peer._ws_pump is None
        assert world.peer.transport._read_ready_cb == world.peer.transport._read_ready__get_buffer
        assert reads_directly(world.client) == COMPILED


@compiled
@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("kind", [asyncio.Protocol, asyncio.BufferedProtocol])
async def test_set_protocol_of_somebody_else_leads_back(kind, is_told):
    async with DirectWorld() as world:
        assert reads_directly(world.peer)
        before = world.peer._ws_pump.received
        other = gathering(kind)
        transport = world.peer.transport
        transport.set_protocol(other)
        if is_told:
            world.peer.connection_lost(None)  # for this one it is over
        world.client.transport.write(b"for somebody else" * 20)
        await until(lambda: other.got == b"for somebody else" * 20)
        assert world.peer._ws_pump.received == before
        if is_told:
            transport.abort()
            return
        transport.set_protocol(world.peer)  # the usual way, from now on
        assert not reads_directly(world.peer)
        world.client.sendMessage(b"x" * 100_000, True)
        await until(lambda: world.client.seen)
        assert world.client.seen == [b"x" * 100_000]


async def test_a_loop_in_debug_mode():
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 5
    async with DirectWorld() as world:
        payloads = [bytes([n]) * 200_000 for n in range(10)]
        for payload in payloads:
            world.client.sendMessage(payload, True)
        await until(lambda: len(world.client.seen) == 10)
        assert world.client.seen == payloads
        assert reads_directly(world.peer) == COMPILED
    loop.set_debug(False)


# -- messages of all sizes ---------------------------------------------------------------------------------------

SIZES = [0, 1, 125, 126, 127, 32_754, 32_768, 65_535, 65_536, 300_000, 524_274, 524_288, 1 << 20, 3 << 20]


class EchoClient(Client):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


def messages(kind):
    """One of each size, as text or binary."""
    for n, size in enumerate(SIZES):
        word = b"" if kind == "binary" else "aé€𝄞".encode()
        word = word or bytes([n, 255 - n, 0, 255])
        payload = word * (size // len(word) + 1)
        yield payload[:size] if kind == "binary" else payload[:size].decode(errors="ignore").encode()


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("towards", ["server", "client"])
async def test_messages_of_all_sizes_come_back_unchanged(loop_name, kind, towards):
    """One by one, and then all at once."""
    server, client = (Echo, Client) if towards == "server" else (Server, EchoClient)
    async with World(server) as world:
        end = await world.open(client)
        await until(lambda: world.made and "open" in world.server.log)
        sender = end if towards == "server" else world.server
        for payload in messages(kind):
            sender.sendMessage(payload, kind == "binary")
            assert await sender.messages.get() == (payload, kind == "binary")
        for payload in messages(kind):
            sender.sendMessage(payload, kind == "binary")
        for payload in messages(kind):
            assert await sender.messages.get() == (payload, kind == "binary")
        assert reads_directly(end) == reads_directly(world.server) == (COMPILED and loop_name == "asyncio")
        assert not end.errors
        assert not world.server.errors


@pytest.mark.parametrize("towards", ["server", "client"])
async def test_many_messages_at_once_come_back_in_order(loop_name, towards):
    server, client = (Echo, Client) if towards == "server" else (Server, EchoClient)
    rng = random.Random(3)
    sizes = [rng.choice([rng.randrange(200), rng.randrange(30_000), rng.randrange(300_000)]) for _ in range(64)]
    async with World(server) as world:
        end = await world.open(client)
        await until(lambda: world.made and "open" in world.server.log)
        sender = end if towards == "server" else world.server
        sent = [rng.randbytes(4) * (size // 4 + 1) for size in sizes]
        for n, payload in enumerate(sent):
            sender.sendMessage(payload, True)
            if n % 8 == 0:
                sender.sendPing(b"%d" % n)
        got = [await sender.messages.get() for _ in range(64 + 8)]
        assert [payload for payload, is_binary in got if payload != "pong"] == sent
        assert [rest for what, rest in got if what == "pong"] == [b"%d" % n for n in range(0, 64, 8)]


# -- pauses ------------------------------------------------------------------------------------------------------


async def test_a_program_that_pauses_reading_gets_no_more_until_it_resumes(loop_name):
    async with DirectWorld() as world:
        seen = []

        def on_message(server, payload):
            seen.append(payload)
            server.transport.pause_reading()

        world.factory.on_message = on_message
        sent = [bytes([n]) * 1_500_000 for n in range(6)]
        for payload in sent:
            world.client.sendMessage(payload, True)
        for n in range(6):
            await until(lambda count=n + 1: len(seen) == count)
            for _ in range(5):
                await asyncio.sleep(0)
            assert seen == sent[: n + 1]
            assert not world.peer.transport.is_reading()
            world.peer.transport.resume_reading()
        assert seen == sent


@pytest.mark.parametrize("size", [10, 100_000])
async def test_async_handlers_that_lag_stop_the_reading(loop_name, size):
    class Slow(Server):
        def __init__(self):
            super().__init__()
            self.go_on = asyncio.Event()
            self.seen = []

        async def onMessage(self, payload, isBinary):
            self.seen.append(payload)
            await self.go_on.wait()

    async with World(Slow, maxReceiveQueue=4) as world:
        client = await world.open(Client)
        sent = [b"%d" % n * size for n in range(100)]
        for payload in sent:
            client.sendMessage(payload, True)
        await until(lambda: world.made and world.server.transport is not None and world.server.seen)
        await until(lambda: not world.server.transport.is_reading())
        assert len(world.server.seen) == 1
        world.server.go_on.set()
        await until(lambda: len(world.server.seen) == 100)
        assert world.server.seen == sent
        await until(world.server.transport.is_reading)


# -- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("begun", [b"", b"\x82\x7f\0\0\0\0\0\1\0\0half"])
async def test_a_peer_that_goes_ends_the_connection_without_noise(loop_name, how, begun, caplog):
    async with DirectWorld() as world:
        if how == "reset":
            sock = world.client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        before = world.peer._ws_pump.received
        if begun:
            world.client.transport.write(begun[:1] + bytes([begun[1] | 0x80]) + begun[2:])
            await until(lambda: world.peer._ws_pump.received > before)
        world.client.dropConnection(abort=how == "reset")
        await asyncio.gather(world.client.is_closed, world.peer.is_closed)
        assert not world.peer.wasClean
        assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


@pytest.mark.parametrize("how", ["close", "abort", "sendClose"])
async def test_the_end_in_the_callback_of_a_large_message_is_the_last_of_it(loop_name, how):
    async with DirectWorld() as world:
        seen = []

        def on_message(server, payload):
            seen.append(len(payload))
            if how == "sendClose":
                server.sendClose(1000)
            else:
                server.dropConnection(abort=how == "abort")

        world.factory.on_message = on_message
        world.client.sendMessage(b"x" * 1_000_000, True)
        if how != "sendClose":
            world.client.sendMessage(b"y" * 100, True)
        await asyncio.gather(world.client.is_closed, world.peer.is_closed)
        assert seen == [1_000_000]
        assert world.peer.wasClean == (how == "sendClose")


async def test_bad_text_in_a_large_message_ends_in_1007(loop_name):
    async with DirectWorld() as world:
        world.client.sendMessage(b"x" * 400_000 + b"\xff" + b"x" * 400_000, False)
        await asyncio.gather(world.client.is_closed, world.peer.is_closed)
        assert world.client.remoteCloseCode == 1007


# -- RawSocket ---------------------------------------------------------------------------------------------------


@compiled
async def test_rawsocket_is_read_directly_where_websocket_is(loop_name):
    sessions = []
    server = await serve(lambda: sessions.append(Recorder()) or sessions[-1])
    factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await client.is_open
    rows = [[36, n, 2, {}, ["x" * size]] for n, size in enumerate([0, 40_000, 3, 1_000_000, 70_000] * 4, 1)]
    for row in rows:
        client.sendString(JSON.dumps(row))
    await client.ping()
    (session,) = sessions
    assert session.seen[1:] == rows
    other = session.transport.channel
    for row in rows:
        other.sendString(JSON.dumps(row))
    await until(lambda: len(client._link.session.seen) == 1 + len(rows))
    assert client._link.session.seen[1:] == rows
    for end in (client, other):
        reads = getattr(end.transport, "_read_ready_cb", None)
        assert (reads == end._pump.read) == (loop_name == "asyncio")
        assert end._pump.received > 4_000_000
    client.close()
    await asyncio.gather(client.is_closed, other.is_closed)
    server.close()
    await server.wait_closed()

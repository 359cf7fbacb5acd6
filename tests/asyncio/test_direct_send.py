"""Octets go from the frame unit to a plain socket directly, and only where nothing else can be told from outside."""

import asyncio
import os
import random
import socket
import struct

import pytest

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.exception import Disconnected
from autobahn.rawsocket.frames import COMPILED as RAW_COMPILED
from autobahn.wamp.serializer import JsonSerializer
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from direct_world import SKIP, DirectWorld, Server, drained, is_open, there
from rawsocket_world import JSON, Recorder, port_of, serve
from websocket_world import until

compiled = pytest.mark.skipif(not RAW_COMPILED, reason=SKIP)

DEFLATE = (
    PerMessageDeflateOffer(),
    lambda offers: PerMessageDeflateOfferAccept(offers[0]),
)


def outbox(protocol):
    return protocol._ws_outbox


def sent_directly(protocol):
    """Octets that went to the socket past the transport's `write`, or began to; `None`: everything goes through it."""
    direct = outbox(protocol)._direct
    return None if direct is None else direct.sent


def send_now(protocol, payload, binary=True):
    protocol.sendMessage(payload, binary)
    outbox(protocol).flush()


def shrink(protocol):
    """The socket soon takes no more."""
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


# -- which transports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
async def test_plain_sockets_are_sent_to_directly_and_nothing_else_is(loop_name, kind, tmp_path, tls):
    path = str(tmp_path / "s") if kind == "unix" else None
    async with DirectWorld(path, tls if kind == "tls" else (None, None)) as world:
        sizes = [0, 1, 125, 126, 16_383, 16_384, 70_000, 1_000_000, 3]
        payloads = [os.urandom(1) * size for size in sizes]
        for payload in payloads:
            world.client.sendMessage(payload, True)
        await until(lambda: len(world.client.seen) == len(sizes))
        assert world.client.seen == payloads
        for end in (world.client, world.peer):
            if kind == "tls":
                assert sent_directly(end) is None
            else:
                assert sent_directly(end) > 0
            assert outbox(end).sent > sum(sizes)


async def test_a_program_that_writes_itself_keeps_its_place_between_messages(loop_name):
    """`transport.write` before and behind our frames, in one turn."""
    async with DirectWorld() as world:
        world.peer.sendMessage(b"one", True)
        outbox(world.peer).flush()
        world.peer.transport.write(b"\x82\x03two")
        send_now(world.peer, b"three")
        world.peer.transport.write(b"\x82\x04four")
        world.peer.sendMessage(b"five", True)
        await until(lambda: len(world.client.seen) == 5)
        assert world.client.seen == [b"one", b"two", b"three", b"four", b"five"]


# -- nothing overtakes -------------------------------------------------------------------------------------------


async def test_nothing_overtakes_what_the_transport_still_holds(loop_name):
    """A full socket, octets of the program in the transport, then our frames: partial sends, EAGAIN and drain."""
    async with DirectWorld() as world:
        shrink(world.peer)
        world.client.transport.pause_reading()
        count = 0
        while not world.peer.transport.get_write_buffer_size():
            send_now(world.peer, count.to_bytes(4, "big") * 25_000)  # a part, at last
            count += 1
        assert sent_directly(world.peer) >= count * 100_000
        world.peer.transport.write(b"\x82\x04mine")
        before = sent_directly(world.peer)
        send_now(world.peer, b"ours")
        assert sent_directly(world.peer) == before
        world.client.transport.resume_reading()
        await world.peer.drain()
        world.peer.sendMessage(b"last", True)
        await until(lambda: world.client.seen[-1:] == [b"last"])
        expected = [n.to_bytes(4, "big") * 25_000 for n in range(count)] + [b"mine", b"ours", b"last"]
        assert world.client.seen == expected


async def test_large_messages_with_drain_arrive_whole(loop_name):
    async with DirectWorld() as world:
        sent = [bytes([n]) * 1_000_000 for n in range(12)]
        opening = outbox(world.peer).sent
        for payload in sent:
            world.peer.sendMessage(payload, True)
            await world.peer.drain()
        await until(lambda: len(world.client.seen) == len(sent))
        assert world.client.seen == sent
        before = outbox(world.peer).sent
        assert before == opening + 12 * 1_000_010
        world.client.dropConnection(abort=True)
        await world.peer.is_closed
        assert outbox(world.peer).sent == before


async def test_the_marks_are_told_as_ever(loop_name):
    class Watched(Server):
        def __init__(self):
            super().__init__()
            self.marks = []

        def onHighWater(self):
            self.marks.append("high")

        def onLowWater(self):
            self.marks.append("low")

    async with DirectWorld(server=Watched) as world:
        for turn in range(1, 3):
            world.client.transport.pause_reading()
            count = 0
            while len(world.peer.marks) < 2 * turn - 1:
                send_now(world.peer, bytes([turn]) * 50_000)
                count += 1
            assert world.peer.sendBufferSize > 65_536
            for n in range(100):  # held back meanwhile
                world.peer.sendMessage(b"%d" % n, True)
            world.client.transport.resume_reading()
            await until(lambda total=count + 100: len(world.client.seen) == total)
            await until(lambda marks=2 * turn: len(world.peer.marks) == marks)
            assert world.peer.marks == ["high", "low"] * turn
            assert world.client.seen == [bytes([turn]) * 50_000] * count + [b"%d" % n for n in range(100)]
            world.client.seen.clear()
            before = sent_directly(world.peer)
            send_now(world.peer, b"directly again")
            assert sent_directly(world.peer) == before + 16
            await until(lambda: world.client.seen)
            world.client.seen.clear()


async def test_what_is_sent_is_counted_and_moves_whichever_way_it_goes(loop_name):
    async with DirectWorld() as world:
        box, total = outbox(world.peer), outbox(world.peer).sent
        send_now(world.peer, b"x" * 100)
        total += 102
        assert box.sent == total
        assert not box.is_moving()  # nothing waits
        world.client.transport.pause_reading()
        shrink(world.peer)
        while not box.waiting:
            send_now(world.peer, b"y" * 60_000)
            total += 60_004
        assert box.sent == total
        assert box.is_moving()  # nobody knows better yet
        assert not box.is_moving()
        send_now(world.peer, b"z" * 20_000)  # more waits, but none went
        total += 20_004
        assert box.sent == total
        assert not box.is_moving()
        world.client.transport.resume_reading()
        await until(lambda: not box.waiting)
        assert box.is_moving()
        assert not box.is_moving()
        send_now(world.peer, b"directly")
        assert box.sent == total + 10
        await until(lambda: world.client.seen[-1:] == [b"directly"])


async def test_two_flushes_of_a_turn_and_one_within_a_read_keep_the_order(loop_name):
    async with DirectWorld() as world:

        def on_message(server, payload):
            for n in range(200):
                server.sendMessage(b"%d" % n + b"." * (n * 131 % 3000), True)
                if n % 37 == 0:
                    outbox(server).flush()

        world.factory.on_message = on_message
        world.client.sendMessage(b"a")
        world.client.sendMessage(b"b")
        await until(lambda: len(world.client.seen) == 400)
        assert world.client.seen == [b"%d" % n + b"." * (n * 131 % 3000) for n in range(200)] * 2


async def test_a_connection_that_is_first_used_while_much_waits_keeps_the_order(loop_name):
    """What is sent on opening fills the transport; the first frame of the peer comes then."""

    class Eager(Server):
        def onOpen(self):
            super().onOpen()
            for n in range(50):
                send_now(self, bytes([n]) * 100_000)

    async with DirectWorld(server=Eager) as world:  # pings first
        for n in range(50, 60):
            send_now(world.peer, bytes([n]) * 100_000)
        await until(lambda: len(world.client.seen) == 60)
        assert world.client.seen == [bytes([n]) * 100_000 for n in range(60)]
        before = sent_directly(world.peer)
        send_now(world.peer, b"directly")
        assert sent_directly(world.peer) == before + 10


# -- large payloads, which are not copied ------------------------------------------------------------------------


def mixed(world, send):
    """`send` gets everything that a program can send, large and small, more than one `sendmsg` takes; what arrives."""
    expected, rng = [], random.Random(7)
    for n in range(40):
        size = rng.choice([16_384, 16_385, 40_000, 65_535, 65_536, 150_000])
        payload = rng.randbytes(8) * (size // 8 + 1)
        payload = payload[:size]
        if n % 5 == 3:
            prepared = world.factory.prepareMessage(payload, True)
            send(lambda end, prepared=prepared: end.sendPreparedMessage(prepared))
        elif n % 5 == 4:
            send(lambda end, payload=payload: end.sendMessage(payload, True, fragmentSize=20_000))
        else:
            send(lambda end, payload=payload: end.sendMessage(payload, True))
        expected.append(payload)
        if n % 3 == 0:
            send(lambda end, n=n: end.sendMessage(b"small %d" % n, True))
            expected.append(b"small %d" % n)
        if n % 4 == 0:
            send(lambda end, n=n: end.sendPing(b"%d" % n))
            expected.append((b"ping", b"%d" % n))
    return expected


@pytest.mark.parametrize("compressed", [None, DEFLATE])
@pytest.mark.parametrize("within", ["a read", "a turn", "turns of their own"])
async def test_many_large_payloads_between_small_ones_keep_their_order(loop_name, within, compressed):
    async with DirectWorld(compressed=compressed) as world:
        calls = []
        expected = mixed(world, calls.append)
        assert (world.peer.websocket_extensions_in_use != []) == (compressed is not None)

        def on_message(server, payload):
            for call in calls:
                call(server)

        if within == "a read":
            world.factory.on_message = on_message
            world.client.sendMessage(b"go")
        elif within == "a turn":
            on_message(world.peer, b"")
        else:
            for call in calls:
                call(world.peer)
                await asyncio.sleep(0)
        await until(lambda: len(world.client.seen) == len(expected))
        assert world.client.seen == expected
        assert sent_directly(world.peer) > 0


# -- the end -----------------------------------------------------------------------------------------------------


def too_late(protocol, how):
    """Nothing can be sent any more."""
    if how == "half_close":  # of the outbox, of which the connection knows nothing
        protocol.sendMessage(b"after", True)
    else:
        with pytest.raises(Disconnected):
            protocol.sendMessage(b"after", True)


@pytest.mark.parametrize("size", [6, 50_000])
@pytest.mark.parametrize("how", ["close", "abort", "half_close", "sendClose"])
async def test_the_end_in_a_callback_keeps_what_was_sent_before_it(loop_name, how, size):
    async with DirectWorld() as world:

        def on_message(server, payload):
            server.sendMessage(b"b" * size, True)
            if how == "sendClose":
                server.sendClose(1000)
            elif how == "abort":
                server.dropConnection(abort=True)
            elif how == "close":
                server.dropConnection()
            else:
                outbox(server).half_close()
            too_late(server, how)

        world.factory.on_message = on_message
        world.client.sendMessage(b"go", True)
        if how == "half_close":
            await until(lambda: world.client.seen)
            world.client.dropConnection(abort=True)
        await asyncio.gather(world.client.is_closed, world.peer.is_closed)
        assert world.client.seen == ([] if how == "abort" else [b"b" * size])
        assert world.client.wasClean == (how == "sendClose")


@pytest.mark.parametrize("how", ["close", "half_close", "sendClose"])
async def test_the_end_waits_for_what_the_socket_has_not_taken(loop_name, how):
    async with DirectWorld() as world:
        shrink(world.peer)
        world.client.transport.pause_reading()
        payloads = []
        while not world.peer.transport.get_write_buffer_size():
            payloads.append(bytes([len(payloads) % 256]) * 80_000)
            send_now(world.peer, payloads[-1])
        world.peer.sendMessage(b"the last", True)
        if how == "sendClose":
            world.peer.sendClose(1000)
        elif how == "close":
            world.peer.dropConnection()
        else:
            outbox(world.peer).half_close()
        too_late(world.peer, how)
        world.client.transport.resume_reading()
        await until(lambda: world.client.seen[-1:] == [b"the last"])
        assert world.client.seen == [*payloads, b"the last"]
        if how == "half_close":
            world.client.dropConnection(abort=True)
        await asyncio.gather(world.client.is_closed, world.peer.is_closed)
        assert world.client.seen == [*payloads, b"the last"]


@pytest.mark.parametrize("size", [100, 50_000])
async def test_a_peer_that_is_gone_ends_the_connection_without_noise(loop_name, size, caplog):
    async with DirectWorld() as world:
        sock = world.client.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        world.peer.transport.pause_reading()  # only sending will tell
        world.client.dropConnection(abort=True)
        await world.client.is_closed
        async with asyncio.timeout(5):
            while world.peer.state == Server.STATE_OPEN:
                send_now(world.peer, b"x" * size)
                await asyncio.sleep(0)
        await world.peer.is_closed
        assert not world.peer.wasClean
        assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


@pytest.mark.parametrize("how", ["abort", "peer"])
async def test_the_number_of_a_lost_socket_may_be_anybodys(loop_name, how):
    mine, other = socket.socketpair()
    with mine, other:
        async with DirectWorld() as world:
            writer, box = world.peer._ws_connection.writer, outbox(world.peer)
            transport, number = world.peer.transport, world.peer.transport.get_extra_info("socket").fileno()
            (world.peer if how == "abort" else world.client).dropConnection(abort=True)
            await world.peer.is_closed
            assert box._direct is None
            await until(lambda: not is_open(number))
            os.dup2(mine.fileno(), number)
            try:
                writer.raw(b"stray")
                box.flush()
                assert not writer.send()
                writer.attach(transport, number)  # even if somebody forgot
                assert not writer.send()
                with pytest.raises(Disconnected):
                    world.peer.sendMessage(b"stray", True)
                await asyncio.sleep(0)
                assert there(other) == 0
                mine.send(b"awake")
                assert drained(other) == b"awake"
            finally:
                os.close(number)


# -- RawSocket ---------------------------------------------------------------------------------------------------


async def raw_pair():
    """A server, the session there, the protocol of a client; `session.transport.channel` is the server's protocol."""
    sessions = []
    server = await serve(lambda: sessions.append(Recorder()) or sessions[-1])
    factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await client.is_open
    await until(lambda: sessions and sessions[0].seen)
    return server, sessions[0], client


@compiled
async def test_rawsocket_keeps_the_order_of_large_and_small_messages(loop_name):
    server, session, client = await raw_pair()
    rows = [[36, n, 2, {}, ["x" * size]] for n, size in enumerate([0, 20_000, 5, 70_000, 16_384, 300_000, 1] * 6, 1)]
    for row in rows:
        client.sendString(JSON.dumps(row))
    await client.ping()
    assert client._outbox._direct is not None and client._outbox._direct.sent > 0
    assert session.seen[1:] == rows
    other = session.transport.channel
    for row in rows:
        other.sendString(JSON.dumps(row))
    await until(lambda: len(client._link.session.seen) == len(rows) + 1)
    assert client._link.session.seen[1:] == rows
    client.close()
    await asyncio.gather(client.is_closed, other.is_closed)
    server.close()
    await server.wait_closed()


@compiled
async def test_rawsocket_sends_nothing_past_what_waits(loop_name):
    server, session, client = await raw_pair()
    shrink(client)
    other = session.transport.channel
    other.transport.pause_reading()
    rows = []
    while not client._outbox.waiting:
        rows.append([36, len(rows) + 1, 2, {}, ["y" * 50_000]])
        client.sendString(JSON.dumps(rows[-1]))
        client._outbox.flush()
    before = client._outbox._direct.sent
    for _ in range(3):
        rows.append([36, len(rows) + 1, 2, {}, ["small"]])
        client.sendString(JSON.dumps(rows[-1]))
        client._outbox.flush()
    assert client._outbox._direct.sent == before
    other.transport.resume_reading()
    await client.drain()
    await client.ping()
    assert session.seen[1:] == rows
    client.close()
    await asyncio.gather(client.is_closed, other.is_closed)
    server.close()
    await server.wait_closed()

"""RawSocket: what waits for a peer that does not read is bounded, and `drain` waits until it reads."""

import asyncio
import json

import pytest

from autobahn.asyncio import rawsocket, rawsocket_protocol
from autobahn.asyncio.router import Router
from autobahn.wamp import TransportLost
from scripted import RecordingSession

MESSAGE = b"\x00"


def row(*message):
    data = json.dumps(message).encode()
    return MESSAGE + len(data).to_bytes(3, "big") + data


async def received(reader):
    head = await reader.readexactly(4)
    return json.loads(await reader.readexactly(int.from_bytes(head[1:], "big")))


async def subscriber(router, topic):
    """A client by hand that has subscribed to ``topic``."""
    port = int(router.url.rpartition(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x7f\xf1\x00\x00" + row(1, "realm1", {"roles": {"subscriber": {}}}))
    await reader.readexactly(4)
    assert (await received(reader))[0] == 2
    writer.write(row(32, 1, {}, topic))
    assert (await received(reader))[0] == 33
    return reader, writer


async def test_S33_a_subscriber_that_never_reads_is_dropped_and_nobody_else_notices(loop_name, monkeypatch):
    monkeypatch.setattr(rawsocket_protocol, "MAX_WAITING", 4 << 20)
    async with Router("rs://127.0.0.1:0") as router:
        publisher, ready = RecordingSession(), asyncio.Event()
        publisher.on("ready", lambda _: ready.set())
        router.attach(publisher)
        await ready.wait()
        _, stalled_writer = await subscriber(router, "com.topic")
        stalled_writer.transport.pause_reading()
        before = router.core.sessions
        (protocol,) = (link._transport.channel for link in router.core.links if link.codec is not None)
        for number in range(60):
            publisher.publish("com.topic", number, "x" * 500_000)
            await asyncio.sleep(0)
            assert protocol._outbox.waiting <= 5 << 20
        while router.core.sessions == before:  # the end of its connection has a timeout
            await asyncio.sleep(0.01)
        reading, reading_writer = await subscriber(router, "com.topic")
        publisher.publish("com.topic", "alive")
        assert (await received(reading))[4] == ["alive"]
        for writer in (stalled_writer, reading_writer):
            writer.close()
        await publisher.leave()
        assert publisher.errors == []


async def test_drain_returns_when_the_peer_reads_and_raises_when_it_goes():
    links = []

    class Session(RecordingSession):
        def onOpen(self, transport):
            links.append(transport)
            super().onOpen(transport)

    factory = rawsocket.WampRawSocketServerFactory(Session)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"\x7f\xf1\x00\x00")
    await reader.readexactly(4)
    (link,) = links
    await link.drain()
    writer.transport.pause_reading()
    for _ in range(20):
        link.send_encoded(b"[" + b" " * 1_000_000 + b"]")
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(link.drain())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    writer.transport.resume_reading()
    reading = asyncio.ensure_future(reader.read(-1))
    await waiting
    waiting = asyncio.ensure_future(link.drain())
    await waiting
    link.abort()
    await reading
    with pytest.raises(TransportLost):
        await link.drain()
    writer.close()
    server.close()

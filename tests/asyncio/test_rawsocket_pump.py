"""RawSocket on asyncio: octets go from the transport to the reader without a Python call between."""

import asyncio

import pytest

from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketClientProtocol,
    WampRawSocketServerFactory,
    WampRawSocketServerProtocol,
)
from autobahn.asyncio.rawsocket_protocol import WampRawSocketProtocol
from autobahn.asyncio.router import Router
from autobahn.rawsocket.frames import COMPILED
from autobahn.wamp.serializer import JsonSerializer
from rawsocket_world import JSON, RS, Recorder, port_of, serve, session_at
from websocket_world import until


@pytest.mark.skipif(not COMPILED, reason="the pump is part of the compiled unit")
@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_both_ends_have_a_pump_as_soon_as_there_is_a_session(loop_name, kind, tls):
    made = []

    class Protocol(WampRawSocketServerProtocol):
        def __init__(self):
            super().__init__()
            made.append(self)

    factory = WampRawSocketServerFactory(Recorder)
    factory.protocol = Protocol
    loop = asyncio.get_running_loop()
    secure, trusted = tls if kind == "tls" else (None, None)
    server = await loop.create_server(factory, "localhost", 0, ssl=secure)
    client_factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    _, client = await loop.create_connection(client_factory, "localhost", port_of(server), ssl=trusted)
    await client.is_open
    assert client._pump is not None and made[0]._pump is None
    for size in (5, 200_000, 1_000_000):
        client.sendString(JSON.dumps([36, 1, 2, {}, ["x" * size]]))
    await until(lambda: len(made[0]._link.session.seen) == 4)
    assert made[0]._pump is not None
    made[0].sendString(JSON.dumps([36, 1, 2, {}, ["y" * 300_000]]))
    await client.ping()
    await until(lambda: len(client._link.session.seen) == 2)
    pumps = [client._pump, made[0]._pump]
    assert pumps[1].received > 1_000_000
    client.close()
    await asyncio.gather(client.is_closed, made[0].is_closed)
    for pump in pumps:
        pump.buffer_updated(1)  # nobody is there any more
    assert pumps[0].received > 300_000
    server.close()


@pytest.mark.parametrize("name", ["data_received", "buffer_updated", "get_buffer"])
async def test_a_program_that_overrides_how_octets_come_sees_them_all(loop_name, name):
    calls = []

    class Watching(WampRawSocketClientProtocol):
        pass

    def override(self, *args):
        calls.append(args)
        return getattr(WampRawSocketProtocol, name)(self, *args)

    setattr(Watching, name, override)
    server = await serve(Recorder)
    factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    factory.protocol = Watching
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await client.is_open
    before = len(calls)
    await client.ping()
    assert len(calls) > before and client._pump is None
    client.close()
    await client.is_closed
    server.close()


async def test_what_a_program_raises_ends_the_connection_however_octets_come(loop_name):
    class Failing(WampRawSocketClientProtocol):
        def stringReceived(self, payload):
            raise ZeroDivisionError

    sessions = []
    server = await serve(lambda: sessions.append(Recorder()) or sessions[-1])
    factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    factory.protocol = Failing
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await client.is_open
    sessions[0].transport.channel.sendString(b"[]")
    await client.is_closed
    assert client.wasNotCleanReason == "ZeroDivisionError"
    server.close()


async def test_a_router_counts_all_octets_once(loop_name):
    async with Router(RS) as router:
        (listener,) = router.listeners
        session, protocol = await session_at(router.url, JsonSerializer())
        (visit,) = router.gate.visits
        before = listener.traffic.received + visit.protocol.received
        await session.call("wamp.session.count")
        between = listener.traffic.received + visit.protocol.received
        assert (visit.protocol._pump is not None) is COMPILED
        await session.call("wamp.session.count")
        counts = [before, between, listener.traffic.received + visit.protocol.received]
        assert 20 < counts[1] - counts[0] == counts[2] - counts[1] < 100
        protocol.close()
        await until(lambda: not router.gate.visits)
        assert listener.traffic.received >= counts[2]
        assert listener.traffic.sent > 100

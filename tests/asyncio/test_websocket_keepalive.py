"""Keep-alive (needs N14, N15): the peer's silence is judged, not ours. Time jumps."""

import asyncio
import socket

import pytest

from autobahn.asyncio.keepalive import KeepAlive
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketServerFactory
from autobahn.exception import Disconnected
from clock import Clock
from websocket_world import Client, Echo, Server, World, until


class Watch:
    def __init__(self, timeout=5, any_traffic=True, excuse=None):
        self.clock = Clock()
        self.pings = []
        self.dead = []
        self.received = 0
        self.keep_alive = KeepAlive(
            self.clock,
            self.pings.append,
            lambda: self.dead.append(self.clock.now),
            received=lambda: self.received,
            interval=10,
            timeout=timeout,
            size=12,
            any_traffic=any_traffic,
            is_excused=excuse,
        )
        self.keep_alive.start()


def test_a_silent_peer_is_dead_after_interval_and_timeout():
    watch = Watch()
    watch.clock.run(14.9)
    assert (len(watch.pings), watch.dead) == (1, [])
    watch.clock.run(1)
    assert watch.dead == [1015.0]
    watch.clock.run(100)
    assert len(watch.pings) == len(watch.dead) == 1


def test_the_pong_starts_a_new_interval():
    watch = Watch(any_traffic=False)
    for number in range(1, 4):
        watch.clock.run(10)
        assert len(watch.pings) == number
        watch.clock.run(2)
        assert watch.keep_alive.pong(b"something else") is None
        sent, sequence, received = watch.keep_alive.pong(watch.pings[-1])
        assert (received - sent, sequence) == (2, number)
        assert watch.keep_alive.pong(watch.pings[-1]) is None
    assert len(set(watch.pings)) == 3
    watch.keep_alive.stop()
    watch.clock.run(100)
    assert len(watch.pings) == 3


def hear(watch):
    watch.keep_alive.heard()


def count(watch):
    watch.received += 1


@pytest.mark.parametrize("any_traffic", [True, False])
@pytest.mark.parametrize("come", [hear, count])
def test_traffic_counts_when_it_is_to_count(any_traffic, come):
    watch = Watch(any_traffic=any_traffic)
    watch.clock.run(9)
    come(watch)  # before the ping: proves nothing
    watch.clock.run(2)
    come(watch)
    watch.clock.run(5)
    assert watch.dead == ([] if any_traffic else [1015.0])
    watch.clock.run(20)
    assert len(watch.dead) == 1


@pytest.mark.parametrize("come", [hear, count])
def test_traffic_before_the_ping_proves_nothing(come):
    watch = Watch()
    watch.clock.run(9)
    come(watch)
    watch.clock.run(7)
    assert watch.dead == [1015.0]


@pytest.mark.parametrize("stall", [5.1, 30, 3600])
def test_a_stall_of_our_own_loop_is_not_the_peers_silence(stall):
    watch = Watch()
    watch.clock.run(10)
    watch.clock.stall(stall)
    watch.clock.run(0)  # the timer runs late, before anything is read
    assert watch.dead == []
    watch.keep_alive.heard()
    watch.clock.run(1)
    assert watch.dead == []
    watch.clock.run(30)  # now it is silent while our loop runs
    assert len(watch.dead) == 1


def test_a_peer_that_is_silent_during_a_stall_and_after_it_is_dead():
    watch = Watch()
    watch.clock.run(10)
    watch.clock.stall(60)
    watch.clock.run(4.9)
    assert watch.dead == []
    watch.clock.run(0.2)
    assert len(watch.dead) == 1


def test_an_excuse_gives_another_timeout():
    excuses = [True, True, False]
    watch = Watch(excuse=lambda: excuses.pop(0))
    watch.clock.run(24.9)
    assert watch.dead == []
    watch.clock.run(1)
    assert watch.dead == [1025.0]
    assert len(watch.pings) == 1


def test_no_timeout_means_no_verdict():
    watch = Watch(timeout=0)
    watch.clock.run(100)
    assert (len(watch.pings), watch.dead) == (10, [])


def test_keep_alive_is_on_by_default():
    for factory in (WebSocketServerFactory(), WebSocketClientFactory()):
        assert (factory.autoPingInterval, factory.autoPingTimeout) == (20, 20)
        factory.setProtocolOptions(autoPingInterval=0)
        assert factory.autoPingInterval == 0


async def test_a_dead_peer_frees_everyone_who_waits(loop_name):
    async with World(Server, autoPingInterval=0.05, autoPingTimeout=0.1) as world:
        client = await world.open(Client)
        server = world.server
        await server.is_open
        client.transport.pause_reading()  # as good as dead: it neither reads nor answers
        while not server._ws_outbox.paused:
            server.sendMessage(bytes(100_000), True)
            await asyncio.sleep(0)
        drains = [asyncio.create_task(server.drain()) for _ in range(2)]
        await asyncio.wait_for(server.is_closed, 5)
        results = await asyncio.gather(*drains, return_exceptions=True)
        assert [type(result) for result in results] == [Disconnected] * 2
        assert "ping timeout" in str(results[0])
        await until(lambda: server.log[-1][0] == "close")
        assert server.log[-1][:3] == ("close", False, 1006)
        assert server.transport.is_closing()


async def test_we_do_not_blame_the_peer_while_we_do_not_read(loop_name):
    class Busy(Server):
        def __init__(self):
            super().__init__()
            self.gate = asyncio.Event()

        async def onMessage(self, payload, isBinary):
            await self.gate.wait()

    options = {"autoPingInterval": 0.01, "autoPingTimeout": 0.02, "autoPingRestartOnAnyTraffic": False}
    async with World(Busy, maxReceiveQueue=2, **options) as world:
        client = await world.open()
        server = world.server
        for _ in range(100):
            client.sendMessage(bytes(1000))
        await until(lambda: server._ws_intake is not None and not server.transport.is_reading())
        await until(lambda: server._ws_keep_alive is not None)
        excused = 0
        ours = server._ws_silence_is_ours

        def count():
            nonlocal excused
            excused += 1
            return ours()

        server._ws_keep_alive._is_excused = count
        await until(lambda: excused > 3)
        assert server.state == server.STATE_OPEN
        server.gate.set()
        await until(lambda: server._ws_keep_alive is not None and server.transport.is_reading())


async def test_a_slow_reader_is_not_dead(loop_name):
    """A ping behind megabytes of data is not answered in time, but the peer takes octets."""
    async with World(Server, autoPingInterval=0.05, autoPingTimeout=0.3, autoPingRestartOnAnyTraffic=False) as world:
        client = await world.open(Client)
        server = world.server
        await server.is_open
        assert not server._ws_outbox.is_moving()
        # Small buffers: every spoonful that is taken lets the other end send.
        server.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.transport.pause_reading()
        for _ in range(60):
            server.sendMessage(bytes(200_000), True)
        end = asyncio.get_running_loop().time() + 0.8
        while asyncio.get_running_loop().time() < end:  # a spoonful from time to time
            client.transport.resume_reading()
            await asyncio.sleep(0.001)
            client.transport.pause_reading()
            await asyncio.sleep(0.01)
        assert server.state == server.STATE_OPEN
        client.transport.resume_reading()
        for _ in range(60):
            await client.messages.get()


async def test_pings_pass_an_echo_that_is_busy():
    async with World(Echo, autoPingInterval=0.01, autoPingTimeout=1) as world:
        client = await world.open(autoPingInterval=0.01, autoPingTimeout=1)
        for _ in range(200):
            client.sendMessage(bytes(50_000), True)
            await client.drain()
        received = []
        while len(received) < 200:
            message = await client.messages.get()
            if message[0] != "pong":
                received.append(message)
        assert {len(payload) for payload, _ in received} == {50_000}

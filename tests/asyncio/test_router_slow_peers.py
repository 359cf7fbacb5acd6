"""A subscriber that does not read: its events give way, the others and the router's memory do not notice."""

import asyncio

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.router import RealmOptions

TOPIC = "com.example.topic"
COUNT = 3000
TEXT = "x" * 8000


async def joined(url):
    """A component that has joined, its session, and what it was told."""
    kind = "rawsocket" if url.startswith("rs") else "websocket"
    component = Component(transports=[{"url": url, "type": kind}], realm="realm1")
    joining = asyncio.get_running_loop().create_future()
    component.on_join(lambda session, details: joining.set_result(session))
    running = asyncio.ensure_future(component.start(asyncio.get_running_loop()))
    return component, await joining, running


@pytest.mark.parametrize("scheme", ["ws", "rs"])
@pytest.mark.parametrize("policy", ["drop-oldest", "conflate", "disconnect"])
async def test_one_that_does_not_read(scheme, policy):
    options = RealmOptions(slow_policy=policy, slow_queue=200_000)
    async with Router(realm_options=options) as router:
        url = router.url if scheme == "ws" else router.url.replace("ws://", "rs://").removesuffix("/ws")
        parties = [await joined(url) for _ in range(3)]
        (_, publisher, _), (_, slow, _), (_, quick, _) = parties
        got, seen, arrived = [], [], asyncio.Event()

        def last(number, text):
            seen.append(number)
            if number % 7 == 6 or number == COUNT - 1:
                arrived.set()

        await slow.subscribe(lambda number, text: got.append(number), TOPIC)
        await quick.subscribe(last, TOPIC)
        channel = slow._transport.channel
        transport = (channel if scheme == "rs" else channel.protocol).transport
        transport.pause_reading()
        for number in range(COUNT):
            publisher.publish(TOPIC, number, TEXT)
            if number % 7 == 6 or number == COUNT - 1:  # never more than a transport holds: the quick one stays quick
                arrived.clear()
                await arrived.wait()
        assert seen == list(range(COUNT))

        realm = router.core.find_realm("realm1")
        if policy == "disconnect":
            while len(realm.sessions) > 2:
                await asyncio.sleep(0.01)
            transport.resume_reading()
        else:
            assert realm.delivery.dropped > 0
            assert sum(peer.backlog.size for peer in realm.sessions.values() if peer.backlog) <= 200_000
            transport.resume_reading()
            while not got or got[-1] != COUNT - 1:
                await asyncio.sleep(0.01)
            assert len(got) == COUNT - realm.delivery.dropped
            assert got == sorted(got)
        for component, _, _ in parties:
            await component.stop()
        await asyncio.gather(*(running for *_, running in parties))

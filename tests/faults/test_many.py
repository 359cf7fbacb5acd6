"""Much to declare, many restarts; callees and routers that die while somebody waits for them."""

import asyncio
import time

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.wamp import ApplicationError, CallOptions, RegisterOptions, SubscribeOptions, TransportLost
from component_world import free_port, router, scripted, transport
from scripted import RecordingSession

MANY = 1000
RESTARTS = 20


async def crash(served):
    """The router is gone without a word, and what it knew with it."""
    for link in list(served.core.links):
        link.abort()
    await served.close()


async def test_a_thousand_of_each_come_back_every_time(record_property):
    port = free_port()
    url = f"ws://127.0.0.1:{port}/ws"
    component = Component(transports=transport(url, options={"autoPingInterval": 0}), realm="realm1")
    for number in range(MANY):
        options = RegisterOptions(invoke="roundrobin") if number % 2 else None
        component.register(f"com.many.p{number}", options=options)(lambda number=number: number)
        match = "prefix" if number % 2 else "wildcard"
        topic = f"com.many.t{number}." if number % 2 else f"com..many{number}"
        component.subscribe(topic, options=SubscribeOptions(match=match))(lambda *_: None)
    joined, ready = [], asyncio.Queue()
    component.on_connect(lambda session, t: joined.append(time.perf_counter()))
    component.on_ready(lambda session: ready.put_nowait(time.perf_counter()))
    component.start()
    took = []
    for _ in range(RESTARTS):
        served = Router(url)
        await served.start()
        took.append(await ready.get() - joined[-1])
        realm = served.core.realms["realm1"]
        mine = [r for r in realm.dealer.registrations.values() if r.procedure.startswith("com.many.")]
        assert len(mine) == MANY
        caller = RecordingSession()
        up = asyncio.Event()
        caller.on("ready", lambda _, up=up: up.set())
        served.attach(caller)
        await up.wait()
        assert await caller.call(f"com.many.p{MANY - 1}") == MANY - 1
        found = await asyncio.gather(
            caller.call("wamp.subscription.match", f"com.many.t{MANY - 1}.x"),
            caller.call("wamp.subscription.match", f"com.any.many{MANY - 2}"),
        )
        assert all(len(ids) == 1 for ids in found)
        await crash(served)
    await component.stop()
    took.sort()
    record_property("seconds from connecting to ready", took)
    print(f"\n{MANY} registrations and {MANY} subscriptions: median {took[10]:.3f} s, longest {took[-1]:.3f} s")
    assert took[len(took) // 2] < 5.0  # far below one second on a machine of one's own


# ---- whoever waits for an answer has one, in time -----------------------------------------------------------------


async def joined(url, **kwargs):
    component = Component(transports=transport(url), realm="realm1", **kwargs)
    sessions = asyncio.Queue()
    component.on_ready(sessions.put_nowait)
    component.start()
    return component, await sessions.get()


@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_a_callee_that_hangs_costs_its_caller_no_more_than_the_timeout(kind):
    async with Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"]) as served:
        url = served.urls[kind == "rs"]
        callee, session = await joined(url)
        await session.register(asyncio.Event().wait, "com.hang")
        caller, session = await joined(url)
        begun = time.monotonic()
        with pytest.raises(ApplicationError) as caught:
            await session.call("com.hang", options=CallOptions(timeout=0.1))
        assert caught.value.error in {ApplicationError.TIMEOUT, ApplicationError.CANCELED}
        assert time.monotonic() - begun < 5
        await callee.stop()
        await caller.stop()


@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_a_callee_that_dies_costs_its_caller_nothing(kind):
    async with Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"]) as served:
        url = served.urls[kind == "rs"]
        callee, theirs = await joined(url)
        invoked = asyncio.Event()

        async def hang():
            invoked.set()
            await asyncio.Event().wait()

        await theirs.register(hang, "com.hang")
        caller, session = await joined(url)
        call = session.call("com.hang", options=CallOptions(timeout=30))
        await invoked.wait()
        theirs.transport.abort()
        with pytest.raises(ApplicationError) as caught:
            await asyncio.wait_for(call, 5)
        assert caught.value.error == ApplicationError.CANCELED
        await callee.stop()
        await caller.stop()


DEATHS = {
    "rst": lambda peer: peer.rst(),
    "fin": lambda peer: peer.fin(),
    "silence": lambda peer: None,
}


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_a_router_that_dies_fails_everything_that_waits_for_it(kind, how):
    def call(peer, msg):
        DEATHS[how](peer)

    async with scripted(router(call=call, publish=None), kind) as (url, _):
        described = transport(url, options={"autoPingInterval": 0})
        component = Component(transports=described, realm="realm1")
        sessions = asyncio.Queue()
        component.on_ready(sessions.put_nowait)
        component.start()
        session = await sessions.get()
        begun = time.monotonic()
        with pytest.raises((TransportLost, ApplicationError)) as caught:
            await session.call("com.a", options=CallOptions(timeout=0.2))
        if how == "silence":
            assert caught.value.error == ApplicationError.TIMEOUT
        assert time.monotonic() - begun < 5
        await component.stop()

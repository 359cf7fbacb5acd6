"""What a component declares stands again after every join."""

import asyncio

import pytest

from autobahn.asyncio import durable
from autobahn.asyncio.component import Component
from autobahn.asyncio.durable import Declaration, stand_up
from autobahn.asyncio.router import Router
from autobahn.exception import ComponentFailed
from autobahn.wamp import ApplicationError, RegisterOptions, SubscribeOptions
from autobahn.wamp import message as m
from component_world import router, scripted, transport

TAKEN = ApplicationError.PROCEDURE_ALREADY_EXISTS


def declare(component):
    """Every option there is; the rows that are asked for on the wire."""
    component.register("com.a")(lambda: None)
    component.register("com.b", options=RegisterOptions(match="prefix", invoke="roundrobin", concurrency=3))(print)
    component.register("com.c", options=RegisterOptions(force_reregister=True, details=True))(print)
    component.register("com..d", options=RegisterOptions(match="wildcard", invoke="random"))(print)
    component.subscribe("com.e")(print)
    component.subscribe("com.f", options=SubscribeOptions(match="prefix", get_retained=True))(print)
    component.subscribe("com..g", options=SubscribeOptions(match="wildcard", details=True))(print)
    return [
        [64, {}, "com.a"],
        [64, {"match": "prefix", "invoke": "roundrobin", "concurrency": 3}, "com.b"],
        [64, {"force_reregister": True}, "com.c"],
        [64, {"match": "wildcard", "invoke": "random"}, "com..d"],
        [32, {}, "com.e"],
        [32, {"match": "prefix", "get_retained": True}, "com.f"],
        [32, {"match": "wildcard"}, "com..g"],
    ]


def asked(rows):
    return [[row[0], *row[2:]] for row in rows if row[0] in {32, 64}]


@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_after_every_reconnect_everything_stands_again_with_the_same_options(kind):
    peers = []

    def hello(peer, msg):
        peers.append(peer)
        return m.Welcome(len(peers), {"roles": {"broker": {}, "dealer": {}}})

    async with scripted(router(hello=hello), kind) as (url, seen):
        component = Component(transports=transport(url), realm="realm1")
        expected = declare(component)
        ready = asyncio.Queue()
        component.on_ready(lambda session: ready.put_nowait(session))
        component.start()
        for _ in range(5):
            await ready.get()
            assert asked(seen) == expected
            seen.clear()
            peers[-1].rst()
        await component.stop()


async def test_user_code_goes_on_when_all_stands():
    trace = []

    def registered(peer, msg):
        asyncio.get_running_loop().call_later(0.05, answer, peer, msg)

    def answer(peer, msg):
        trace.append(msg.procedure)
        peer.say(m.Registered(msg.request, msg.request))

    async def main(loop, session):
        trace.append("main")

    async with scripted(router(register=registered)) as (url, _):
        component = Component(main=main, transports=transport(url), realm="realm1")
        component.register("com.a")(print)
        component.register("com.b")(print)
        component.on_join(lambda session, details: trace.append("join"))
        component.on_ready(lambda session: trace.append("ready"))
        await component.start()
    assert trace[:2] == ["com.a", "com.b"] and set(trace[2:]) == {"main", "join", "ready"}


async def test_a_ghost_of_our_own_session_does_not_cost_the_registration(monkeypatch, caplog):
    monkeypatch.setattr(durable, "GHOST_DELAYS", (0.01, 0.02))
    refusals = {"com.a": 3, "com.b": 1}

    def register(peer, msg):
        if refusals.get(msg.procedure, 0):
            refusals[msg.procedure] -= 1
            return m.Error(64, msg.request, {}, TAKEN)
        return m.Registered(msg.request, msg.request)

    async with scripted(router(register=register)) as (url, seen):
        component = Component(transports=transport(url), realm="realm1")
        expected = declare(component)
        component.on_ready(lambda session: session.leave())
        await component.start()
    rows = asked(seen)
    assert rows[: len(expected)] == expected
    assert [row[2] for row in rows[len(expected) :]] == ["com.a", "com.b", "com.a", "com.a"]
    assert [row for row in rows if row[2] == "com.b"] == [expected[1]] * 2  # with the same options
    assert sum("taken" in r.message for r in caplog.records) == 3


async def test_a_procedure_that_somebody_else_keeps_fails_the_attempt_at_last(monkeypatch):
    monkeypatch.setattr(durable, "GHOST_DELAYS", (0.01, 0.02))
    monkeypatch.setattr(stand_up, "__defaults__", (0.1,))
    failures = []
    async with scripted(router(register=lambda p, msg: m.Error(64, msg.request, {}, TAKEN))) as (url, seen):
        component = Component(transports=transport(url, max_retries=0), realm="realm1")
        component.register("com.a")(print)
        component.on_connectfailure(lambda c, exc: failures.append(exc))
        with pytest.raises(ComponentFailed):
            await component.start()
    assert [exc.error for exc in failures] == [TAKEN]
    assert failures[0].__notes__ == ["while asking for register com.a"]
    assert len(asked(seen)) > 3


async def test_a_real_ghost():
    """A session of ours that the router holds on to until it is gone."""
    async with Router() as served:
        first = Component(transports=transport(served.url), realm="realm1")
        first.register("com.a")(lambda: 1)
        second = Component(transports=transport(served.url), realm="realm1")
        second.register("com.a")(lambda: 2)
        ready = [asyncio.Event(), asyncio.Event()]
        first.on_ready(lambda session: ready[0].set())
        second.on_ready(lambda session: ready[1].set())
        first.start()
        await ready[0].wait()
        joined = asyncio.Event()
        second.on_connect(lambda *_: joined.set())
        second.start()
        await joined.wait()
        await first.stop()
        await ready[1].wait()
        await second.stop()


async def test_a_session_that_is_lost_while_declaring_asks_no_more():
    class Session:
        def register(self, *args):
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await stand_up(Session(), [Declaration("register", "com.a", ())], 1)

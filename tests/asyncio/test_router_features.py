"""What the Advanced Profile does for a program: our client at our router, on a real loop."""

import asyncio

import pytest

from autobahn.asyncio.router import Router
from autobahn.router import HistoryTopic, RealmOptions
from autobahn.wamp import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from scripted import RecordingSession


async def joined(router):
    session = RecordingSession()
    ready = asyncio.Event()
    session.on("ready", lambda _: ready.set())
    router.attach(session)
    await ready.wait()
    return session


async def test_T_TMO_1_timeout_on_a_real_clock(loop_name):
    async with Router(None) as router:
        callee, caller = await joined(router), await joined(router)
        canceled = asyncio.Event()

        async def sleepy():
            try:
                await asyncio.Event().wait()
            finally:
                canceled.set()

        await callee.register(sleepy, "com.sleepy")
        started = asyncio.get_running_loop().time()
        with pytest.raises(ApplicationError) as caught:
            await caller.call("com.sleepy", options=CallOptions(timeout=0.05))
        assert caught.value.error == "wamp.error.timeout"
        assert asyncio.get_running_loop().time() - started >= 0.045
        await canceled.wait()  # INTERRUPT arrived


async def test_T_SHR_3_T_CONC_1_shared_and_limited(loop_name):
    async with Router(None, realm_options=RealmOptions(call_queue=10)) as router:
        callees, caller = [await joined(router) for _ in range(2)], await joined(router)
        running, peak = 0, 0

        async def work(name):
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0)
            running -= 1
            return name

        for i, callee in enumerate(callees):
            options = RegisterOptions(invoke="roundrobin", concurrency=1)
            await callee.register(lambda i=i: work(i), "com.work", options=options)
        assert sorted(await asyncio.gather(*(caller.call("com.work") for _ in range(8)))) == [0] * 4 + [1] * 4
        assert peak == 2


async def test_T_SM_meta_api_history_and_retention(loop_name):
    options = RealmOptions(history=(HistoryTopic("com.t"),))
    async with Router(None, realm_options=options) as router:
        one = await joined(router)
        seen = asyncio.Queue()
        await one.subscribe(lambda details: seen.put_nowait(details["session"]), "wamp.session.on_join")
        two = await joined(router)
        assert await seen.get() in await two.call("wamp.session.list")
        await two.publish("com.t", 1, options=PublishOptions(acknowledge=True, retain=True))
        late = asyncio.Queue()
        await one.subscribe(late.put_nowait, "com.t", options=SubscribeOptions(get_retained=True))
        assert await late.get() == 1
        number = await two.call("wamp.subscription.lookup", "com.t")
        event = await two.call("wamp.subscription.get_events", number)
        assert event["args"] == [1]
        with pytest.raises(ApplicationError, match="not_authorized"):
            await two.call("wamp.session.kill_all")

"""Deadlines of a whole session: `call_timeout` for calls, `request_timeout` for what the router answers itself."""

import asyncio
import math

import pytest

from autobahn.wamp import ApplicationError, CallOptions, PublishOptions
from autobahn.wamp import message as m
from scripted import RecordingSession, joined, registered, settle, subscribed

SOON = 0.02


class Hurried(RecordingSession):
    """A program may say it once, for all its sessions."""

    call_timeout = SOON
    request_timeout = SOON


async def failing(future, text):
    async with asyncio.timeout(10):
        with pytest.raises(ApplicationError, match=text) as caught:
            await future
    assert caught.value.error == "wamp.error.timeout"


async def gone(transport):
    transport.close()
    await settle()


@pytest.mark.parametrize("options", [None, CallOptions(), CallOptions(details=True), CallOptions(cancel_mode="kill")])
async def test_a_call_has_the_deadline_of_its_session(options):
    session, transport = await joined(Hurried())
    future = session.call("com.slow", 1, options=options)
    assert transport.take() == [[48, 1, {"timeout": 20}, "com.slow", [1]]]
    await failing(future, f"no result of com.slow within {SOON} s")
    mode = {"mode": "kill"} if options is not None and options.cancel_mode else {}
    assert transport.take() == [[49, 1, mode]] and len(session._requests) == 0
    await gone(transport)


async def test_the_deadline_of_a_call_wins():
    session, transport = await joined()
    session.call_timeout = 60
    future = session.call("com.slow", options=CallOptions(timeout=SOON))
    assert transport.take()[0][2] == {"timeout": 20}
    await failing(future, f"within {SOON} s")
    session.call_timeout = SOON
    future, anytime = (session.call("com.slow", options=CallOptions(timeout=t)) for t in (60, math.inf))
    assert [row[2] for row in transport.take()[1:]] == [{"timeout": 60_000}, {}]
    await failing(session.call("com.other"), "com.other")
    assert not future.done() and not anytime.done()
    transport.play(m.Result(2, {}, [2]), m.Result(3, {}, [3]))
    assert (await future, await anytime) == (2, 3)
    await gone(transport)


async def test_without_a_deadline_nothing_is_said_and_none_is_kept():
    session, transport = await joined()
    future = session.call("com.slow")
    assert transport.take()[0][2] == {}
    assert next(iter(session._requests)).timer is None
    session.call_timeout = math.inf
    other = session.call("com.slow")
    assert transport.take()[0][2] == {} and [r.timer for r in session._requests] == [None, None]
    transport.play(m.Result(1, {}), m.Result(2, {}))
    assert (await future, await other) == (None, None)
    await gone(transport)


async def test_streams_have_the_deadline_too_and_each_value_starts_it_anew():
    session, transport = await joined(Hurried())
    session.call_timeout = 0.1
    stream = session.call_stream("com.slow")
    assert transport.take()[0][2] == {"timeout": 100, "receive_progress": True}
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(3):
        await asyncio.wait([stream._future], timeout=0.05)
        transport.play(m.Result(1, {"progress": True}, [number]))
    got = []
    with pytest.raises(ApplicationError, match=r"no result of com\.slow"):
        async for chunk in stream:
            got.append(chunk)
    assert got == [0, 1, 2] and loop.time() - started > 0.2
    await gone(transport)


@pytest.mark.parametrize("value", ["5", 0, -1, math.nan, True])
async def test_what_is_no_time_is_refused_at_the_call(value):
    session, transport = await joined()
    session.call_timeout = value
    with pytest.raises((TypeError, ValueError), match="expected timeout"):
        session.call("com.a")
    assert transport.take() == [] and len(session._requests) == 0
    await gone(transport)


REQUESTS = {
    "SUBSCRIBE": lambda session: session.subscribe(print, "com.t"),
    "REGISTER": lambda session: session.register(print, "com.p"),
    "PUBLISH": lambda session: session.publish("com.t", options=PublishOptions(acknowledge=True)),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_router_that_does_not_answer_in_time(name):
    session, transport = await joined(Hurried())
    await failing(REQUESTS[name](session), rf"the router did not answer {name} \(\d+\) within {SOON} s")
    await gone(transport)
    assert len(session._requests) == 0 and session.errors == []


async def test_the_end_of_what_stands_has_the_deadline_too():
    session, transport = await joined()
    registration = await registered(session, transport, print)
    subscription = await subscribed(session, transport, print)
    session.request_timeout = SOON
    await failing(registration.unregister(), "UNREGISTER")
    await failing(subscription.unsubscribe(), "UNSUBSCRIBE")
    await gone(transport)


@pytest.mark.parametrize("how", ["given up", "cancelled"])
async def test_what_an_answer_brings_too_late_is_given_up(how):
    session, transport = await joined(Hurried())
    futures = [session.subscribe(print, "com.t"), session.register(print, "com.p")]
    if how == "cancelled":
        for future in futures:
            future.cancel()
        await settle()
    else:
        for future, text in zip(futures, ("SUBSCRIBE", "REGISTER"), strict=True):
            await failing(future, text)
    transport.take()
    transport.play(m.Subscribed(1, 21), m.Registered(2, 11))
    assert transport.take() == [[34, 3, 21], [66, 4, 11]]
    transport.play(m.Event(21, 1, {}, [1]), m.Unsubscribed(3), m.Unregistered(4))  # an event that was under way
    await settle()
    assert session.is_attached() and session.errors == [] and len(session._requests) == 0
    await gone(transport)


async def test_an_answer_in_time_leaves_no_timer():
    session, transport = await joined(Hurried())
    await registered(session, transport, print)
    future = session.call("com.a")
    request = next(iter(session._requests))
    transport.play(m.Result(request.id, {}, [1]))
    assert await future == 1 and request.timer.cancelled()
    await gone(transport)

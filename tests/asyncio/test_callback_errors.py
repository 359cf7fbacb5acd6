"""An error in a callback of a component: one log record with the user's frame, and nothing is left over."""

import asyncio
import gc
import logging

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import Session
from autobahn.wamp import PublishOptions

FAST = {"initial_retry_delay": 0.01, "max_retry_delay": 0.02, "max_retries": 1}
EVENTS = ("start", "connect", "join", "ready", "leave", "disconnect")


def boom(*args, **kwargs):
    raise ZeroDivisionError("boom")


async def async_boom(*args, **kwargs):
    await asyncio.sleep(0)
    raise ZeroDivisionError("boom")


def component(router, **kwargs):
    return Component(transports=[{"url": router.url, **FAST}], realm="realm1", **kwargs)


async def run_once(one):
    """The component joins, leaves again, and has stopped."""
    seen = asyncio.Event()

    async def left(session, details):
        seen.set()

    one.on("join", lambda session, details: session.leave())
    one.on("leave", left)
    await one.start()
    assert seen.is_set()


async def at_event(event, router, fails):
    one = component(router)
    one.on(event, fails)
    await run_once(one)


async def at_connectfailure(router, fails):
    one = Component(transports=[{"url": "ws://127.0.0.1:1/", **FAST, "max_retries": 0}])
    one.on("connectfailure", fails)
    with pytest.raises(RuntimeError):
        await one.start()


async def in_main(router, fails):
    one = component(router, main=fails, is_fatal=lambda exc: True)
    with pytest.raises(RuntimeError):
        await one.start()


async def in_is_fatal(router, fails):
    one = Component(transports=[{"url": "ws://127.0.0.1:1/", **FAST, "max_retries": 0}], is_fatal=fails)
    with pytest.raises(RuntimeError):
        await one.start()


async def in_endpoint(router, fails):
    one = component(router)
    one.register("com.fails")(fails)
    joined = asyncio.get_running_loop().create_future()
    one.on("ready", joined.set_result)
    done = one.start()
    session = await joined
    with pytest.raises(Exception, match="boom"):
        await session.call("com.fails")
    session.leave()
    await done


async def in_handler(router, fails):
    one = component(router)
    one.subscribe("com.fails")(fails)
    seen = asyncio.Event()
    one.subscribe("com.fails")(lambda: seen.set())
    joined = asyncio.get_running_loop().create_future()
    one.on("ready", joined.set_result)
    done = one.start()
    session = await joined
    session.publish("com.fails", options=PublishOptions(exclude_me=False))
    await seen.wait()
    session.leave()
    await done


async def in_ticket(router, fails):
    one = component(router, authentication={"ticket": {"authid": "joe", "ticket": fails}}, is_fatal=lambda exc: True)
    with pytest.raises(RuntimeError):
        await one.start()


async def in_headers(router, fails):
    one = Component(transports=[{"url": router.url, **FAST, "headers": fails}], is_fatal=lambda exc: True)
    with pytest.raises(RuntimeError):
        await one.start()


async def in_own_session(router, fails):
    class Own(Session):
        def on_join(self, details):
            return fails()

    await run_once(component(router, session_factory=Own))


async def in_session_factory(router, fails):
    one = component(router, session_factory=fails, is_fatal=lambda exc: True)
    with pytest.raises(RuntimeError):
        await one.start()


CASES = [
    *((f"listener {event}", lambda r, f, e=event: at_event(e, r, f), fails)
      for event in EVENTS for fails in (boom, async_boom)),
    *((scenario.__name__, scenario, fails)
      for scenario in (at_connectfailure, in_main, in_endpoint, in_handler, in_ticket, in_headers, in_own_session)
      for fails in (boom, async_boom)),
    ("in_is_fatal", in_is_fatal, boom),
    ("in_session_factory", in_session_factory, boom),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "fails"), [case[1:] for case in CASES], ids=[f"{name}-{f.__name__}" for name, _, f in CASES]
)
async def test_an_error_is_logged_once_with_the_users_frame(scenario, fails, caplog):
    caplog.set_level(logging.WARNING, "autobahn")
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    ticket = {"ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}}}
    auth = {"realm1": ticket if scenario is in_ticket else {"anonymous": True}}
    async with Router(auth=auth) as router:
        await scenario(router, fails)
    found = [record for record in caplog.records if record.exc_info]
    (record,) = found
    assert type(record.exc_info[1]) is ZeroDivisionError
    frames = []
    trace = record.exc_info[2]
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] in {"boom", "async_boom"}
    del record, found, trace
    caplog.clear()
    gc.collect()
    await asyncio.sleep(0)
    assert lost == []

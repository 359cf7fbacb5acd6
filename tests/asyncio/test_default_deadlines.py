"""Deadlines for all sessions of a component, or of `connect`: a router or callee that says nothing costs no more."""

import asyncio
import contextlib

import pytest

import autobahn
from autobahn.asyncio.component import Component
from autobahn.wamp import ApplicationError, CallOptions
from component_world import router, scripted, transport

DEADLINES = {"call_timeout": 0.02, "request_timeout": 0.03}


@contextlib.asynccontextmanager
async def of_a_component(url):
    joined = asyncio.get_running_loop().create_future()
    component = Component(transports=transport(url), realm="realm1", **DEADLINES)
    component.on_ready(joined.set_result)
    component.start()
    yield await joined
    await component.stop()


def of_connect(url):
    return autobahn.connect(url, realm="realm1", **DEADLINES)


@pytest.mark.parametrize("kind", ["ws", "rs"])
@pytest.mark.parametrize("session_of", [of_a_component, of_connect])
async def test_a_silent_router_costs_no_more_than_the_deadline(session_of, kind, loop_name):
    async with scripted(router(register=None, subscribe=None), kind) as (url, seen), session_of(url) as session:
        for request, text in (
            (session.call("com.slow"), "no result of com.slow within 0.02 s"),
            (session.call("com.slow", options=CallOptions(timeout=0.01)), "no result of com.slow within 0.01 s"),
            (session.register(print, "com.p"), "did not answer REGISTER .* within 0.03 s"),
            (session.subscribe(print, "com.t"), "did not answer SUBSCRIBE .* within 0.03 s"),
        ):
            async with asyncio.timeout(10):
                with pytest.raises(ApplicationError, match=text) as caught:
                    await request
            assert caught.value.error == "wamp.error.timeout"
        assert [row[2] for row in seen if row[0] == 48] == [{"timeout": 20}, {"timeout": 10}]


@pytest.mark.parametrize("name", DEADLINES)
def test_what_is_no_deadline_is_refused_at_the_call(name):
    with pytest.raises(ValueError, match=f"expected {name} in seconds, more than 0, got 0"):
        autobahn.connect("ws://localhost/", realm="realm1", **{name: 0})
    with pytest.raises(TypeError, match=f"expected {name} of type int or float, got str"):
        Component(**{name: "5"})
    with pytest.raises(TypeError, match=f"expected realm with .*{name}.*, got none"):
        autobahn.connect("ws://localhost/", **{name: 5})

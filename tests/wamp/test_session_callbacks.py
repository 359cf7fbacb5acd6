"""Callbacks of sessions: their documented order, each awaited before the next; listeners come and go."""

import asyncio

import pytest

from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.wamp import message as m
from autobahn.wamp.types import CloseDetails, ComponentConfig, SessionDetails
from scripted import ROLES, opened, settle

LISTENED = ("connect", "join", "ready", "leave", "disconnect")


async def whole_life(session):
    """Connect, a challenge, join, GOODBYE of the router, the end of the transport."""
    transport = await opened(session)
    if session.offers:
        transport.play(m.Challenge("ticket", {}))
        await settle()
    transport.play(m.Welcome(7, {"roles": ROLES, "authmethod": "ticket"}))
    await settle(20)
    transport.play(m.Goodbye({}, "wamp.close.normal"))
    await settle(20)
    assert not transport.open  # onLeave disconnects
    return [msg.code for msg in transport.sent]


def traced(trace, is_async):
    def note(name, answer=None):
        def plain(self, *args):
            trace.append(name)
            base = getattr(super(type(self), self), name)
            return base(*args) if answer is None else answer

        async def later(self, *args):
            trace.append(f"{name}+")
            await asyncio.sleep(0)
            base = getattr(super(type(self), self), name)
            outcome = base(*args) if answer is None else answer
            trace.append(name)
            return outcome

        return later if is_async else plain

    return note


@pytest.mark.parametrize("is_async", [False, True])
async def test_application_session_in_documented_order(is_async):
    trace = []
    note = traced(trace, is_async)
    names = ("onConnect", "onWelcome", "onJoin", "onLeave", "onDisconnect")
    cls = type("Traced", (ApplicationSession,), {name: note(name) for name in names})
    cls.onChallenge = note("onChallenge", "ticket")
    cls.offers = True
    session = cls(ComponentConfig("realm1"))
    for event in LISTENED:
        session.on(event, lambda *a, _event=event, **k: trace.append(f"on {_event}"))
    codes = await whole_life(session)
    assert codes == [1, 5, 6]  # HELLO, AUTHENTICATE, GOODBYE
    order = [name for name in trace if not name.endswith("+")]
    assert order == [
        "on connect",
        "onConnect",
        "onChallenge",
        "onWelcome",
        "on join",
        *(
            ["on ready", "onJoin"] if is_async else ["onJoin", "on ready"]
        ),  # "ready" waits for listeners, not for onJoin
        "onLeave",
        "on leave",
        "onDisconnect",
        "on disconnect",
    ]


class Ticket:
    name = "ticket"
    authextra = {"a": 1}
    authid = "joe"

    def __init__(self, trace):
        self._trace = trace

    async def on_challenge(self, session, challenge):
        self._trace.append("on_challenge")
        return "ticket"

    async def on_welcome(self, session, authextra):
        self._trace.append("authenticator.on_welcome")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("authenticated", [False, True])
async def test_session_in_documented_order(is_async, authenticated):
    trace = []
    note = traced(trace, is_async)
    names = ("on_connect", "on_welcome", "on_join", "on_leave", "on_disconnect")
    cls = type("Traced", (Session,), {name: note(name) for name in names})
    cls.offers = authenticated
    session = cls(ComponentConfig("realm1"))
    if authenticated:
        session.add_authenticator(Ticket(trace))
    await whole_life(session)
    first = ["on_challenge", "authenticator.on_welcome"] if authenticated else ["on_connect"]
    assert [name for name in trace if not name.endswith("+")] == [
        *first,
        "on_welcome",
        "on_join",
        "on_leave",
        "on_disconnect",
    ]


async def test_listeners_get_their_arguments_and_can_be_removed():
    session = ApplicationSession(ComponentConfig("realm1"))
    session.offers = False
    seen = []

    def kept(*args, **kwargs):
        seen.append((args, kwargs))

    def removed(*args, **kwargs):
        raise AssertionError

    for event in LISTENED:
        session.on(event, removed)
        session.on(event, kept)
        session.off(event, removed)
    session.off("join", kept)
    session.on("join", kept)
    await whole_life(session)
    (connect, join, ready, leave, disconnect) = seen
    assert connect[0][0] is session and connect[0][1].isOpen.__self__ is connect[0][1]
    assert join[0][0] is session and isinstance(join[0][1], SessionDetails)
    assert ready == ((session,), {})
    assert leave[0][0] is session and isinstance(leave[0][1], CloseDetails)
    assert disconnect == ((session,), {"was_clean": True})
    seen.clear()
    session.off("connect")
    session.off(handler=kept)
    await whole_life(session)
    assert seen == []


async def test_join_listeners_are_all_awaited_before_onJoin():
    trace = []

    class Own(ApplicationSession):
        offers = False

        def onJoin(self, details):
            trace.append("onJoin")

    async def slow(session, details):
        for _ in range(5):
            await asyncio.sleep(0)
        trace.append("slow")

    session = Own(ComponentConfig("realm1"))
    session.on("join", slow)
    session.on("join", lambda *a: trace.append("fast"))
    await whole_life(session)
    assert trace == ["fast", "slow", "onJoin"]

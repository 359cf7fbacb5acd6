"""An error in any callback of a program is one log record with its frame in it, and one call of the hook."""

import asyncio
import gc
import logging

import pytest

from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.wamp import CallOptions, ComponentConfig, RegisterOptions
from autobahn.wamp import message as m
from scripted import joined, opened, registered, settle, subscribed

ROLES = {"dealer": {"features": {"progressive_call_invocations": True}}, "broker": {}}
METHODS = ("onConnect", "onChallenge", "onWelcome", "onJoin", "onLeave", "onDisconnect")
SNAKE = ("on_connect", "on_welcome", "on_join", "on_leave", "on_disconnect")
LISTENERS = ("connect", "join", "ready", "leave", "disconnect")


def failing(asynchronous):
    """A callback of the program that raises."""
    if asynchronous:

        async def of_the_user(*_args, **_kwargs):
            await asyncio.sleep(0)
            raise ValueError("mine")
    else:

        def of_the_user(*_args, **_kwargs):
            raise ValueError("mine")

    return of_the_user


def hooked(cls):
    """A subclass that counts calls of the hook, and logs as the default one does."""

    class Hooked(cls):
        def __init__(self):
            super().__init__(ComponentConfig("realm1"))
            self.hooked = []

        def onUserError(self, fail, msg):
            self.hooked.append(fail.value)
            super().onUserError(fail, msg)

    return Hooked


async def whole_life(session):
    """A session is challenged, joins, leaves and loses its transport."""
    transport = await opened(session)
    if transport.open and any(row[0] == 1 for row in transport.take()):
        transport.play(m.Challenge("ticket", {}))
        await settle()
        if transport.open:
            transport.play(m.Welcome(1, {"roles": ROLES}))
            await settle()
            if transport.open:
                transport.play(m.Goodbye({}, "wamp.close.normal"))
                await settle()
    transport.close()
    await settle(12)


def expect_one(session, caplog):
    gc.collect()  # a task whose exception nobody took would tell the loop now
    assert [type(exc) for exc in session.hooked] == [ValueError]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    names, traceback = [], record.exc_info[2]
    while traceback:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "of_the_user" in names


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("name", METHODS)
async def test_methods(name, asynchronous, caplog):
    fail = failing(asynchronous)

    class Mine(hooked(ApplicationSession)):
        def onChallenge(self, challenge):
            return "answer"

    setattr(Mine, name, lambda self, *args: fail(*args))
    session = Mine()
    await whole_life(session)
    expect_one(session, caplog)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("name", SNAKE)
async def test_methods_in_snake_case(name, asynchronous, caplog):
    fail = failing(asynchronous)

    class Mine(hooked(Session)):
        def onChallenge(self, challenge):
            return "answer"

    setattr(Mine, name, lambda self, *args: fail(*args))
    session = Mine()
    await whole_life(session)
    expect_one(session, caplog)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("event", LISTENERS)
async def test_listeners(event, asynchronous, caplog):
    class Mine(hooked(ApplicationSession)):
        def onChallenge(self, challenge):
            return "answer"

    session = Mine()
    session.on(event, failing(asynchronous))
    await whole_life(session)
    expect_one(session, caplog)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("where", ["event", "endpoint", "progress"])
async def test_callbacks_of_a_joined_session(where, asynchronous, caplog):
    session, transport = await joined(hooked(ApplicationSession)(), roles=ROLES)
    if where == "event":
        await subscribed(session, transport, failing(asynchronous))
        transport.play(m.Event(21, 1, {}, [1]))
    elif where == "endpoint":
        await registered(session, transport, failing(asynchronous))
        transport.play(m.Invocation(1, 11, {}))
    else:
        future = session.call("com.a", options=CallOptions(on_progress=failing(asynchronous)))
        transport.play(m.Result(1, {"progress": True}, [1]), m.Result(1, {}))
        await future
    await settle()
    assert session.is_attached()
    transport.close()
    await settle()
    expect_one(session, caplog)


async def test_a_generator_and_a_thread(caplog):
    for options in (None, RegisterOptions(blocking=True)):
        caplog.clear()
        session, transport = await joined(hooked(ApplicationSession)(), roles=ROLES)

        def of_the_user():
            yield 1
            raise ValueError("mine")

        await registered(session, transport, of_the_user, options=options)
        transport.play(m.Invocation(1, 11, {}))
        async with asyncio.timeout(10):
            while not transport.sent:
                await asyncio.sleep(0.001)
        transport.close()
        await settle()
        expect_one(session, caplog)


async def test_closing_an_iterator_of_arguments(caplog):
    session, transport = await joined(hooked(ApplicationSession)(), roles=ROLES)

    async def of_the_user():
        try:
            while True:
                yield 1
        finally:
            raise ValueError("mine")

    future = session.call("com.a", of_the_user())
    await settle()
    transport.play(m.Result(1, {}, ["enough"]))
    assert await future == "enough"
    await settle()
    transport.close()
    await settle()
    expect_one(session, caplog)


async def test_an_error_inside_the_hook_is_logged(caplog):
    class Broken(ApplicationSession):
        def onUserError(self, fail, msg):
            raise KeyError("hook")

    session, transport = await joined(Broken(), roles=ROLES)
    await registered(session, transport, failing(False))
    transport.play(m.Invocation(1, 11, {}))
    assert transport.take()[0][4] == "wamp.error.runtime_error"
    (record,) = caplog.records
    assert "onUserError" in record.getMessage() and record.exc_info[0] is KeyError
    transport.close()
    await settle()

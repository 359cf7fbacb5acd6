"""An error in a user's callback: one log record with the user's frame, the hook called once, nothing is left over."""

import asyncio
import gc
import logging

import pytest

from autobahn import wamp
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.wamp import CallOptions, RegisterOptions, SubscribeOptions
from autobahn.wamp import message as m
from autobahn.wamp.types import ComponentConfig
from scripted import ROLES, joined, opened, registered, settle, subscribed


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """What was there before is not looked at by the collector, which these tests call more than a hundred times."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Hooked:
    """Counts what onUserError is told; the default of the session goes on after that."""

    hooked = ()

    def onUserError(self, fail, msg):
        self.hooked = (*self.hooked, (fail.value, msg))
        super().onUserError(fail, msg)


class HookedSession(Hooked, ApplicationSession):
    pass


class HookedNewSession(Hooked, Session):
    pass


def boom(*args, **kwargs):
    raise ZeroDivisionError("boom")


async def async_boom(*args, **kwargs):
    await asyncio.sleep(0)
    raise ZeroDivisionError("boom")


def generator_boom(*args):
    yield 1
    boom()


async def async_generator_boom(*args):
    yield 1
    boom()


async def end(session, transport):
    transport.close()
    await settle()


async def through(session, challenge=False):
    """A whole life: connect, perhaps a challenge, join, leave, disconnect."""
    transport = await opened(session)
    if challenge:
        transport.play(m.Challenge("ticket", {}))
        await settle()
    if transport.open:
        transport.play(m.Welcome(7, {"roles": ROLES, "authmethod": "ticket"}))
        await settle()
    if session.is_attached():
        transport.play(m.Goodbye({}, "wamp.close.normal"))
        await settle()
    await end(session, transport)
    return session


def overridden(name, **options):
    async def scenario(fails, base):
        cls = type("Failing", (base,), {name: lambda self, *args: fails(*args)})
        return await through(cls(ComponentConfig("realm1")), **options)

    return scenario


def listened(event):
    async def scenario(fails, base):
        session = base()
        session.on(event, fails)
        return await through(session)

    return scenario


def served(options=None, details=None):
    async def scenario(fails, base):
        session, transport = await joined(base())
        await registered(session, transport, fails, options=options)
        transport.play(m.Invocation(1, 11, details or {}))
        await until(lambda: any(msg.code == 8 for msg in transport.sent))
        await end(session, transport)
        return session

    return scenario


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def handled(**options):
    async def scenario(fails, base):
        session, transport = await joined(base())
        await subscribed(session, transport, fails, options=SubscribeOptions(**options))
        transport.play(m.Event(21, 1, {}, [], {}))
        await settle()
        await end(session, transport)
        return session

    return scenario


def decorated(kind):
    """A method of an object, declared by a decorator."""

    async def scenario(fails, base):
        declare = wamp.register if kind == "register" else wamp.subscribe
        thing = type("Thing", (), {"method": declare("com.a")(lambda self: fails())})()
        session, transport = await joined(base())
        future = getattr(session, kind)(thing)
        if kind == "register":
            transport.play(m.Registered(1, 11), m.Invocation(1, 11, {}))
        else:
            transport.play(m.Subscribed(1, 21), m.Event(21, 1, {}, [], {}))
        assert len(await future) == 1
        await settle()
        await end(session, transport)
        return session

    return scenario


async def progress(fails, base):
    session, transport = await joined(base())
    future = session.call("com.a", options=CallOptions(on_progress=fails))
    transport.play(m.Result(1, {"progress": True}, [1]))
    await settle()
    transport.play(m.Result(1, {}, [2]))
    assert await future == 2
    await end(session, transport)
    return session


class Chunks:
    """A stream of arguments that cannot be closed."""

    def __init__(self, fails):
        self.aclose = fails

    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration


async def closing_arguments(fails, base):
    roles = {"dealer": {"features": {"progressive_call_invocations": True}}}
    session, transport = await joined(base(), roles=roles)
    future = session.call("com.a", Chunks(fails))
    await settle()
    transport.play(m.Result(1, {}, [2]))
    assert await future == 2
    await end(session, transport)
    return session


class Authenticator:
    name = "ticket"
    authextra = None

    def on_challenge(self, session, challenge):
        return "ticket"

    def on_welcome(self, session, authextra):
        return None


def authenticating(name):
    async def scenario(fails, base):
        session = base(ComponentConfig("realm1"))
        authenticator = Authenticator()
        setattr(authenticator, name, fails)
        session.add_authenticator(authenticator)
        return await through(session, challenge=True)

    return scenario


async def reconstructed(fails, base):
    class Failing(Exception):
        def __init__(self, *args):
            boom()

    session, transport = await joined(base())
    session.define(Failing, "com.error")
    future = session.call("com.a")
    transport.play(m.Error(48, 1, {}, "com.error"))
    assert future.exception().error == "com.error"
    await end(session, transport)
    return session


KINDS = {"ApplicationSession": HookedSession, "Session": HookedNewSession}
BOTH = {
    **{name: overridden(name) for name in ("onConnect", "onWelcome", "onJoin", "onLeave", "onDisconnect")},
    "onChallenge": overridden("onChallenge", challenge=True),
    **{f"listener {event}": listened(event) for event in ("connect", "join", "ready", "leave", "disconnect")},
    "endpoint": served(),
    "endpoint with details": served(RegisterOptions(details=True)),
    "endpoint with concurrency": served(RegisterOptions(concurrency=1)),
    "endpoint that takes a stream": served(RegisterOptions(stream=True)),
    "decorated endpoint": decorated("register"),
    "handler": handled(),
    "handler with details": handled(details=True),
    "handler ordered": handled(mode="ordered"),
    "handler concurrent": handled(concurrency=3),
    "handler latest": handled(mode="latest"),
    "decorated handler": decorated("subscribe"),
    "on_progress": progress,
    "closing a stream of arguments": closing_arguments,
}
NEWER = {
    **{name: overridden(name) for name in ("on_connect", "on_welcome", "on_join", "on_leave", "on_disconnect")},
    "authenticator on_challenge": authenticating("on_challenge"),
    "authenticator on_welcome": authenticating("on_welcome"),
    "authenticator prepare": authenticating("prepare"),
}
OF_ONE_FORM = [
    ("generator endpoint", served(), generator_boom),
    ("generator endpoint with progress", served(details={"receive_progress": True}), generator_boom),
    ("async generator endpoint", served(details={"receive_progress": True}), async_generator_boom),
    ("blocking endpoint", served(RegisterOptions(blocking=True)), boom),
    ("constructor of a defined exception", reconstructed, boom),
]
CASES = [(name, scenario, fails) for name, scenario in BOTH.items() for fails in (boom, async_boom)] + OF_ONE_FORM
CASES = [(kind, *case) for kind in KINDS for case in CASES]
CASES += [("Session", name, scenario, fails) for name, scenario in NEWER.items() for fails in (boom, async_boom)]


@pytest.mark.parametrize(
    ("kind", "scenario", "fails"),
    [(kind, scenario, fails) for kind, _, scenario, fails in CASES],
    ids=[f"{kind}-{name}-{fails.__name__}" for kind, name, _, fails in CASES],
)
async def test_an_error_is_logged_once_with_the_users_frame(kind, scenario, fails, caplog):
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    session = await scenario(fails, KINDS[kind])
    await settle()
    ((exc, text),) = session.hooked
    assert type(exc) is ZeroDivisionError
    assert text
    (record,) = caplog.records
    assert record.name.startswith("autobahn.")
    assert record.levelno == logging.ERROR
    assert record.exc_info[1] is exc
    frames = []
    trace = record.exc_info[2]
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] in {"boom", "async_boom"}
    del session, exc, trace, record
    caplog.clear()
    gc.collect()
    await settle()
    assert lost == []


@pytest.mark.parametrize("base", [ApplicationSession, Session])
@pytest.mark.parametrize("where", ["onJoin", "handler", "listener"])
async def test_an_error_in_the_hook_itself_is_logged_too(where, base, caplog):
    class Failing(base):
        def onUserError(self, fail, msg):
            raise KeyError("hook")

        def onJoin(self, details):
            if where == "onJoin":
                boom()

    session = Failing()
    if where == "listener":
        session.on("join", boom)
    session, transport = await joined(session)
    if where == "handler":
        await subscribed(session, transport, boom)
        transport.play(m.Event(21, 1, {}, [], {}))
    await settle()
    (record,) = caplog.records
    assert "While firing onUserError" in record.getMessage()
    assert isinstance(record.exc_info[1], KeyError)
    assert isinstance(record.exc_info[1].__context__, ZeroDivisionError)
    await end(session, transport)
    caplog.clear()


async def test_the_default_hook_logs_an_answer_without_a_traceback(caplog):
    """An ApplicationError is meant for the caller: one line."""
    from autobahn.wamp import ApplicationError

    def endpoint():
        raise ApplicationError("com.error", "\x1b[31mtext")

    session, transport = await joined(ApplicationSession())
    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}))
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert record.getMessage().endswith("com.error: \\x1b[31mtext")
    assert session._runtime.__class__ is AsyncioRuntime
    await end(session, transport)
    caplog.clear()

"""The supervisor of a component: every way an attempt can end, in every phase, and what follows from it."""

import asyncio
import contextlib
import email.utils
import os
import socket
import ssl
import time

import pytest

import autobahn
from autobahn.asyncio import supervisor
from autobahn.asyncio.component import Component
from autobahn.asyncio.wamp import ApplicationRunner, Session
from autobahn.exception import ComponentFailed, ConnectTimeout, InvalidHandshake, InvalidStatus, ProxyError
from autobahn.wamp import message as m
from autobahn.wamp.exception import ApplicationError, TransportLost
from component_world import ROLES, free_port, octets, router, scripted, transport
from proxies import HttpProxy

SHORT = {"openHandshakeTimeout": 0.1, "closeHandshakeTimeout": 0.1}
ENDED = b"\r\n\r\n"


class Run:
    """A component with one retry, whatever it does; everything that can be seen of its end."""

    def __init__(self, transports, **kwargs):
        self.failures, self.joins, self.log = [], 0, []
        self.component = Component(transports=transports, realm="realm1", **kwargs)
        self.component.join_timeout = self.component.close_timeout = 0.1
        self.component.register("com.a")(lambda: None)
        self.component.on_connectfailure(lambda c, exc: self.failures.append(exc))
        self.component.on_ready(self._ready)

    def _ready(self, session):
        self.joins += 1
        self.session = session
        if session.is_connected():  # another listener may have closed it
            session.publish("com.ready")

    async def end(self):
        try:
            await self.component.start()
        except ComponentFailed as exc:
            return exc
        return None


@contextlib.asynccontextmanager
async def at(port, scheme="ws", **extra):
    yield transport(f"{scheme}://localhost:{port}/ws" if "ws" in scheme else f"{scheme}://localhost:{port}", **extra)


@contextlib.asynccontextmanager
async def saying(answer, scheme="ws", until=b"", wait=True, **extra):
    async with octets(answer, until=until, wait=wait) as port, at(port, scheme, options=SHORT, **extra) as described:
        yield described


@contextlib.asynccontextmanager
async def via(proxy_answer, **extra):
    async with octets(proxy_answer, until=ENDED, **extra) as port:
        yield transport("ws://localhost:9/ws", proxy={"host": "localhost", "port": port}, endpoint=short(9))


def short(port, **extra):
    return {"type": "tcp", "host": "localhost", "port": port, "timeout": 0.5, **extra}


@contextlib.asynccontextmanager
async def routed(kind="ws", **answers):
    async with scripted(router(**answers), kind) as (url, _seen):
        yield transport(url, options=SHORT)


def answer(status, *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]).encode()


def untrusted():
    return octets_with_tls(ssl.create_default_context())


@contextlib.asynccontextmanager
async def octets_with_tls(client):
    import trustme

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server)
    async with octets(b"", ssl=server) as port:
        yield transport(f"wss://localhost:{port}/ws", endpoint=short(port, tls=client))


@contextlib.asynccontextmanager
async def tls_to(answer_, wait=True):
    async with octets(answer_, until=b"\x16" if not wait or answer_ else b"", wait=wait) as port:
        yield transport(f"wss://localhost:{port}/ws", endpoint=short(port, tls=True))


def ready(action):
    """What the router does when the component is ready, which says so by an event."""
    return lambda peer, msg: action(peer)


def soon(action):
    asyncio.get_running_loop().call_soon(action)


def refused(uri, text="no"):
    return m.Abort({"message": text}, uri)


# name: (the phase it ends in, how to get there, the exception, attempts made when one retry is allowed)
FAILURES = {
    "no such host": ("resolve", lambda: at(9, endpoint={**short(9), "host": "nobody.invalid"}), socket.gaierror, 2),
    "refused": ("connect", lambda: at(free_port()), ConnectionRefusedError, 2),
    "no unix socket": (
        "connect", lambda: at(9, endpoint={"type": "unix", "path": "/nowhere.sock"}), FileNotFoundError, 2,
    ),
    "proxy refuses": ("proxy", lambda: via(answer("407 Proxy Authentication Required")), ProxyError, 2),
    "proxy says nonsense": ("proxy", lambda: via(b"\0\1\2" + ENDED), ProxyError, 2),
    "proxy hangs up": ("proxy", lambda: via(b"", wait=False), ProxyError, 2),
    "proxy is silent": ("proxy", lambda: via(b""), ConnectTimeout, 2),
    "tls: hangs up": ("tls", lambda: tls_to(b"", wait=False), OSError, 2),
    "tls: silence": ("tls", lambda: tls_to(b""), ConnectTimeout, 2),
    "tls: nonsense": ("tls", lambda: tls_to(b"HTTP/1.1 400 Bad Request" + ENDED), ssl.SSLError, 2),
    "tls: unknown issuer": ("tls", untrusted, ssl.SSLCertVerificationError, 2),
    "http 404": ("handshake", lambda: saying(answer("404 Not Found"), until=ENDED), InvalidStatus, 2),
    "http 503": ("handshake", lambda: saying(answer("503 Busy"), until=ENDED), InvalidStatus, 2),
    "http: hangs up": ("handshake", lambda: saying(b"", until=ENDED, wait=False), InvalidHandshake, 2),
    "http: half an answer": (
        "handshake", lambda: saying(b"HTTP/1.1 101 Switch", until=ENDED, wait=False), InvalidHandshake, 2,
    ),
    "http: silence": ("handshake", lambda: saying(b""), InvalidHandshake, 2),
    "http: nonsense": ("handshake", lambda: saying(b"\xff" * 99 + ENDED, until=ENDED), InvalidHandshake, 2),
    "rawsocket: refused": (
        "handshake", lambda: saying(b"\x7f\x10\0\0", "rs", until=b"\x7f"), InvalidHandshake, 2,
    ),
    "rawsocket: hangs up": ("handshake", lambda: saying(b"\x7f", "rs", wait=False), InvalidHandshake, 2),
    "rawsocket: silence": ("handshake", lambda: saying(b"", "rs"), InvalidHandshake, 2),
    "rawsocket: nonsense": ("handshake", lambda: saying(b"HTTP/1.1 400 no", "rs"), InvalidHandshake, 2),
    "hello: silence": ("join", lambda: routed(hello=None), ConnectTimeout, 2),
    "hello: silence, rawsocket": ("join", lambda: routed("rs", hello=None), ConnectTimeout, 2),
    "hello: no such realm": ("join", lambda: routed(hello=refused("wamp.error.no_such_realm")), ApplicationError, 2),
    "hello: authenticator away": (
        "join", lambda: routed(hello=refused("wamp.error.authentication_failed")), ApplicationError, 2,
    ),
    "hello: wrong credentials": (
        "join", lambda: routed(hello=refused("wamp.error.authentication_denied")), ApplicationError, 1,
    ),
    "hello: fin": ("join", lambda: routed(hello=lambda p, _: p.fin()), ApplicationError, 2),
    "hello: fin, rawsocket": ("join", lambda: routed("rs", hello=lambda p, _: p.fin()), ApplicationError, 2),
    "hello: rst": ("join", lambda: routed(hello=lambda p, _: p.rst()), ApplicationError, 2),
    "before hello: closed in order": (
        "join", lambda: routed(open=lambda p, _: p.protocol.sendClose(1000)), Exception, 2,
    ),
    "before hello: fin, rawsocket": ("join", lambda: routed("rs", open=lambda p, _: soon(p.fin)), Exception, 2),
    "hello: nonsense": ("join", lambda: routed(hello=m.Result(1, {})), ApplicationError, 2),
    "challenge: not ours": ("join", lambda: routed(hello=m.Challenge("magic", {})), ApplicationError, 2),
    "register: refused": (
        "declare", lambda: routed(register=lambda p, msg: m.Error(64, msg.request, {}, "wamp.error.not_authorized")),
        ApplicationError, 2,
    ),
    "register: silence": ("declare", lambda: routed(register=None), ConnectTimeout, 2),
    "register: rst": ("declare", lambda: routed(register=lambda p, _: p.rst()), ApplicationError, 2),
    "register: fin, rawsocket": ("declare", lambda: routed("rs", register=lambda p, _: p.fin()), ApplicationError, 2),
    "joined: rst": ("joined", lambda: routed(publish=ready(lambda p: p.rst())), ApplicationError, 2),
    "joined: fin": ("joined", lambda: routed(publish=ready(lambda p: p.fin())), ApplicationError, 2),
    "joined: fin, rawsocket": ("joined", lambda: routed("rs", publish=ready(lambda p: p.fin())),
                               ApplicationError, 2),
    "joined: closed": ("joined", lambda: routed(publish=ready(lambda p: p.close(1011))), ApplicationError, 2),
    "joined: nonsense": (
        "joined", lambda: routed(publish=ready(lambda p: p.say(m.Welcome(2, ROLES)))), ApplicationError, 2,
    ),
    "joined: goodbye of the router": (
        "joined",
        lambda: routed(publish=ready(lambda p: p.say(m.Goodbye({}, "wamp.close.system_shutdown")))),
        ApplicationError, 2,
    ),
    "joined: abort of the router": (
        "joined", lambda: routed(publish=ready(lambda p: p.say(refused("wamp.error.not_authorized")))),
        ApplicationError, 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
async def test_every_failure_in_every_phase_is_retried_or_final(case, monkeypatch):
    phase, world, kind, attempts = FAILURES[case]
    phases = []
    failed = supervisor.Supervisor._failed

    async def noted(self, candidate, attempt):
        phases.append(attempt.phase)
        await failed(self, candidate, attempt)

    monkeypatch.setattr(supervisor.Supervisor, "_failed", noted)
    async with world() as described:
        run = Run({**described, "max_retries": 1})
        end = await run.end()
    assert isinstance(end, ComponentFailed)
    assert end.failures == ((described["url"], run.failures[-1]),)
    assert end.__cause__ is run.failures[-1]
    assert len(run.failures) == attempts
    for exc in run.failures:
        assert isinstance(exc, kind), repr(exc)
        assert isinstance(exc, (OSError, ApplicationError, TransportLost))
    assert set(phases) == {phase}


async def test_the_exception_says_where_it_happened():
    async with octets(answer("503 Busy", "X-Why: tired"), until=ENDED) as port:
        run = Run(transport(f"ws://localhost:{port}/ws", max_retries=0))
        end = await run.end()
    cause = end.__cause__
    assert (cause.status, cause.reason, cause.headers["x-why"]) == (503, "Busy", "tired")
    assert (cause.url, cause.phase) == (f"ws://localhost:{port}/ws", "handshake")
    assert cause.peer.endswith(f":{port}")


# ---- ends in order ------------------------------------------------------------------------------------------------

ORDERLY = {
    "goodbye of the router": {"publish": ready(lambda p: p.say(m.Goodbye({}, "wamp.close.normal")))},
    "goodbye and out": {"publish": ready(lambda p: p.say(m.Goodbye({}, "wamp.close.goodbye_and_out")))},
}


@pytest.mark.parametrize("kind", ["ws", "rs"])
@pytest.mark.parametrize("case", ORDERLY)
async def test_a_goodbye_in_order_ends_the_component(case, kind):
    async with routed(kind, **ORDERLY[case]) as described:
        run = Run(described)
        assert await run.end() is None
    assert (run.joins, run.failures) == (1, [])


@pytest.mark.parametrize("kind", ["ws", "rs"])
@pytest.mark.parametrize("how", ["main", "leave", "disconnect", "async main"])
async def test_ends_from_our_side(how, kind):
    async def main(loop, session):
        await asyncio.sleep(0)

    async with scripted(router(), kind) as (url, seen):
        run = Run(transport(url), main={"main": lambda *_: None, "async main": main}.get(how))
        if how in {"leave", "disconnect"}:
            run.component.on_ready(lambda session: getattr(session, how)())
        if how == "disconnect":  # without GOODBYE the session was lost, and that is tried again
            run.component.on_connectfailure(lambda c, exc: c.stop())
        assert await run.end() is None
    assert [row[0] for row in seen].count(1) == 1


async def test_a_disconnect_of_ours_before_joining_ends_the_component():
    async with scripted(router(hello=None)) as (url, _):
        run = Run(transport(url))
        run.component.on_connect(lambda session, t: session.disconnect())
        assert await run.end() is None
        assert run.failures == []


# ---- stop in every state -------------------------------------------------------------------------------------------

SILENT = {
    "resolve": lambda: at(9),  # getaddrinfo is held up below
    "proxy": lambda: via(b""),
    "tls": lambda: tls_to(b""),
    "handshake": lambda: saying(b""),
    "rawsocket handshake": lambda: saying(b"", "rs"),
    "hello": lambda: routed(hello=None),
    "challenge": lambda: routed(hello=m.Challenge("ticket", {})),
    "authenticate": lambda: routed(hello=m.Challenge("ticket", {}), authenticate=None),
    "register": lambda: routed(register=None),
    "joined": lambda: routed(),
    "joined, rawsocket": lambda: routed("rs"),
    "goodbye unanswered": lambda: routed(goodbye=None),
    "goodbye unanswered, rawsocket": lambda: routed("rs", goodbye=None),
    "waiting": lambda: at(free_port(), initial_retry_delay=60, max_retry_delay=60, retry_delay_jitter=0),
}


def sockets():
    """How many are open in this process; -1 where that cannot be seen."""
    if not os.path.isdir("/proc/self/fd"):
        return -1
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.parametrize("state", SILENT)
async def test_stop_in_every_state(state, loop_name, monkeypatch):
    loop = asyncio.get_running_loop()
    if state == "resolve" and loop_name == "asyncio":
        monkeypatch.setattr(loop, "getaddrinfo", lambda *_, **__: asyncio.Event().wait())
    before, files = asyncio.all_tasks(), sockets()
    async with SILENT[state]() as described:
        asked = asyncio.Event()

        async def ticket():
            asked.set()
            await asyncio.Event().wait() if state == "challenge" else None
            return "x"

        run = Run(described, authentication={"ticket": {"ticket": ticket, "authid": "joe"}})
        run.component.join_timeout = 60
        stopped = run.component.start()
        if state == "waiting":
            while not run.failures:
                await asyncio.sleep(0.005)
        elif state.startswith(("joined", "goodbye")):
            while not run.joins:
                await asyncio.sleep(0.005)
        elif state in {"challenge", "authenticate"}:
            await asked.wait()
        else:
            await asyncio.sleep(0.05)
        begun = loop.time()
        assert await run.component.stop() is None
        assert loop.time() - begun < run.component.close_timeout + 2
        assert stopped.done() and stopped.result() is None
        assert asyncio.all_tasks() - before <= {t for t in asyncio.all_tasks() if "serve" in repr(t.get_coro())}
        await run.component.stop()  # again: does no harm
    for _ in range(100):  # the servers close theirs a little later
        if sockets() <= files:
            break
        await asyncio.sleep(0.01)
    assert sockets() <= files


async def test_stop_before_start_and_without_a_loop():
    await Component().stop()
    await asyncio.to_thread(lambda: Component().stop())


STOPPING = ["start", "connect", "join", "ready", "leave", "disconnect", "connectfailure"]


@pytest.mark.parametrize("how", ["returned", "awaited", "awaited later"])
@pytest.mark.parametrize("event", STOPPING)
async def test_a_listener_may_stop_its_component(event, how):
    called = []

    async def world():
        async with routed() as described:
            if event == "connectfailure":
                described["url"] = f"ws://127.0.0.1:{free_port()}/ws"
            run = Run(described)
            run.component.close_timeout = 60  # nothing may wait for it

            def returned(*_, **__):
                called.append(event)
                return run.component.stop()

            async def awaited(*_, **__):
                called.append(event)
                await run.component.stop()
                called.append("after")

            async def later(*_, **__):
                called.append(event)
                await asyncio.wait_for(asyncio.shield(run.component.stop()), 30)

            run.component.on(event, {"returned": returned, "awaited": awaited, "awaited later": later}[how])
            if event in {"leave", "disconnect"}:
                run.component.on_ready(lambda session: session.leave())
            assert await run.end() is None

    await asyncio.wait_for(world(), 20)
    assert called == ([event, "after"] if how == "awaited" else [event])


async def test_main_and_endpoints_may_stop_their_component():
    trace = []
    async with routed() as described:

        async def main(loop, session):
            await run.component.stop()
            trace.append("main goes on")

        run = Run(described, main=main)
        assert await run.end() is None

    def called(peer):
        peer.say(m.Invocation(1, 1, {}))

    async with routed(publish=ready(called)) as described:
        run = Run(described)

        async def endpoint():
            await run.component.stop()
            trace.append("endpoint goes on")

        run.component._declared.clear()
        run.component.register("com.a")(endpoint)
        assert await run.end() is None
    assert trace == ["main goes on", "endpoint goes on"]


@pytest.mark.parametrize("event", STOPPING)
async def test_a_listener_that_hangs_does_not_hold_up_stop(event):
    entered, cancelled = asyncio.Event(), []
    async with routed() as described:
        if event == "connectfailure":
            described["url"] = f"ws://127.0.0.1:{free_port()}/ws"
        run = Run(described)

        async def hang(*_, **__):
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(event)
                raise

        run.component.on(event, hang)
        run.component.start()
        if event in {"leave", "disconnect"}:
            while not run.joins:
                await asyncio.sleep(0.005)
        else:
            await entered.wait()
        begun = time.monotonic()
        await run.component.stop()
        assert time.monotonic() - begun < 2.5
    assert cancelled == [event]


async def test_a_main_that_ignores_its_cancellation_does_not_hold_up_stop():
    release = asyncio.Event()

    async def main(loop, session):
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with routed() as described:
        run = Run(described, main=main)
        run.component.start()
        while not run.joins:
            await asyncio.sleep(0.005)
        begun = time.monotonic()
        await run.component.stop()
        assert time.monotonic() - begun < 2.5
    release.set()


async def test_cancelling_everything_says_goodbye_and_leaves_nothing():
    """As `asyncio.run` does at its end."""
    async with scripted(router()) as (url, seen):
        run = Run(transport(url))
        before = asyncio.all_tasks()
        future = run.component.start()
        while not run.joins:
            await asyncio.sleep(0.005)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        while not any(row[0] == 6 for row in seen):
            await asyncio.sleep(0.005)


# ---- what servers ask for ------------------------------------------------------------------------------------------

HINTS = {
    "503": (lambda: saying(answer("503 Busy", "Retry-After: 40"), until=ENDED), 40, 40.1),
    "503 date": (
        lambda: saying(
            answer("503 Busy", "Retry-After: " + email.utils.formatdate(time.time() + 40, usegmt=True)), until=ENDED
        ),
        37, 41,
    ),
    "1012": (lambda: routed(publish=ready(lambda p: p.close(1012))), 5, 30.1),
    "1013": (lambda: routed(publish=ready(lambda p: p.close(1013))), 30, 60.1),
    "1013 before joining": (lambda: routed(hello=lambda p, _: p.close(1013)), 30, 60.1),
    "ABORT": (lambda: routed(hello=m.Abort({"retry_after": 40}, "wamp.error.unavailable")), 40, 40.1),
    "ABORT of credentials": (
        lambda: routed(hello=m.Abort({"retry_after": 2.5}, "wamp.error.authentication_denied")), 2.5, 2.6
    ),
    "ABORT too long": (lambda: routed(hello=m.Abort({"retry_after": 4000}, "wamp.error.unavailable")), 299.9, 300),
    "ABORT without a time": (lambda: routed(hello=m.Abort({"retry_after": "soon"}, "wamp.error.unavailable")), 0, 0.1),
    "GOODBYE": (
        lambda: routed(publish=ready(lambda p: p.say(m.Goodbye({"retry_after": 7}, "wamp.close.system_shutdown")))),
        7, 7.1,
    ),
    "GOODBYE without a time": (
        lambda: routed(publish=ready(lambda p: p.say(m.Goodbye({}, "wamp.close.system_shutdown")))), 0, 0.1
    ),
    "nothing": (lambda: routed(publish=ready(lambda p: p.close(1011))), 0, 0.1),
}  # fmt: skip


@pytest.mark.parametrize("case", HINTS)
async def test_the_next_attempt_is_when_the_server_wants_it(case, monkeypatch):
    world, least, most = HINTS[case]
    due = asyncio.get_running_loop().create_future()
    wait_for = supervisor.Supervisor._wait_for

    async def noted(self, candidate):
        if candidate.due and not due.done():
            due.set_result(candidate.due - asyncio.get_running_loop().time())
        return await wait_for(self, candidate)

    monkeypatch.setattr(supervisor.Supervisor, "_wait_for", noted)
    async with world() as described:
        run = Run({**described, "initial_retry_delay": 0.05, "max_retry_delay": 300})
        run.component.start()
        assert least - 0.1 <= await due <= most
        await run.component.stop()


async def test_a_transport_that_asks_for_patience_does_not_hold_up_the_others():
    async with saying(answer("503 Busy", "Retry-After: 40"), until=ENDED) as busy, routed() as good:
        run = Run([{**busy, "max_retry_delay": 300}, good])
        run.component.on_ready(lambda session: session.leave())
        assert await run.end() is None
    assert len(run.failures) == 1


async def test_retries_start_afresh_after_a_session_that_lasted(monkeypatch):
    monkeypatch.setattr(supervisor, "LASTING", 0.0)
    async with routed(publish=ready(lambda p: p.rst())) as described:
        run = Run({**described, "max_retries": 1})

        @run.component.on_connectfailure
        def enough(c, exc):
            if run.joins == 4:
                c.stop()

        assert await run.end() is None
    assert len(run.failures) == 4


async def test_retries_do_not_start_afresh_after_a_session_that_did_not_last():
    async with routed(publish=ready(lambda p: p.rst())) as described:
        run = Run({**described, "max_retries": 2})
        assert isinstance(await run.end(), ComponentFailed)
    assert run.joins == 3


async def test_transports_take_turns():
    tried = []
    run = Run([transport(f"ws://127.0.0.1:{free_port()}/{n}", max_retries=1) for n in range(3)])
    run.component.log = Noting(tried)
    end = await run.end()
    assert [url[-1] for url, _ in end.failures] == ["0", "1", "2"]
    assert tried[:3] == ["0", "1", "2"] and sorted(tried[3:]) == ["0", "1", "2"]


class Noting:
    """A log that keeps which URLs failed."""

    def __init__(self, tried):
        self.tried = tried

    def info(self, template, **values):
        pass

    def warn(self, template, **values):
        self.tried.append(values["url"][-1])


async def test_is_fatal_is_about_one_transport_and_its_own_errors_are_logged(caplog):
    async with routed() as good:
        run = Run([transport(f"ws://127.0.0.1:{free_port()}/ws"), good], is_fatal=lambda exc: isinstance(exc, OSError))
        run.component.on_ready(lambda session: session.leave())
        assert await run.end() is None
        assert len(run.failures) == 1

    def broken(exc):
        raise ValueError("in is_fatal")

    run = Run(transport(f"ws://127.0.0.1:{free_port()}/ws", max_retries=1), is_fatal=broken)
    assert isinstance(await run.end(), ComponentFailed)
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ValueError, ValueError]


async def test_each_user_error_is_reported_once_with_its_frame(caplog):
    errors = []

    def raising(name):
        def listener(*_, **__):
            raise ValueError(name)

        return listener

    for event in ("start", "connect", "join", "ready", "leave", "disconnect", "connectfailure"):
        caplog.clear()
        async with routed() as described:
            if event == "connectfailure":
                described = transport(f"ws://127.0.0.1:{free_port()}/ws", max_retries=0)
            run = Run(described)
            run.component.on(event, raising(event))
            if event == "join":
                run.component.on_join(lambda session, details: session.leave())
            run.component.on_ready(lambda session: session.leave())
            await run.end()
        found = [r for r in caplog.records if r.exc_info]
        assert [str(r.exc_info[1]) for r in found] == [event]
        frames = []
        trace = found[0].exc_info[2]
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert frames[-1] == "listener"
        errors.append(event)
    assert len(errors) == 7


async def test_a_session_that_cannot_be_made_is_a_failed_attempt():
    def factory(config):
        raise ValueError("no session")

    run = Run(transport("ws://localhost:9/ws", max_retries=1), session_factory=factory)
    end = await run.end()
    assert isinstance(end.__cause__, ValueError) and len(run.failures) == 2


async def test_a_proxy_to_the_router_and_headers_that_are_asked_for():
    from autobahn.asyncio.router import Router

    asked = []

    async def headers():
        asked.append(1)
        return {"X-Token": str(len(asked))}

    async with Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"]) as served, HttpProxy() as proxy:
        for url in served.urls:
            extra = {"headers": headers} if url.startswith("ws") else {}
            described = transport(url, proxy={"host": "127.0.0.1", "port": proxy.port}, **extra)
            run = Run(described)
            run.component.on_ready(lambda session: session.leave())
            assert await run.end() is None
    assert len(proxy.asked) == 2 and asked == [1]


@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_ipv6(kind):
    from autobahn.asyncio.router import Router

    try:
        served = Router(f"{kind}://[::1]:0" + ("/ws" if kind == "ws" else ""))
        await served.start()
    except OSError:
        pytest.skip("no IPv6 here")
    port = int(served.url.rpartition(":")[2].partition("/")[0])
    endpoint = {"type": "tcp", "host": "::1", "port": port, "version": 6}
    for described in (transport(served.url), transport(served.url, endpoint=endpoint)):
        run = Run({**described, "max_retries": 0})
        run.component.on_ready(lambda session: session.leave())
        assert await run.end() is None and run.joins == 1
    async with autobahn.connect(served.url, realm="realm1") as session:
        assert session.transport.transport_details.peer.startswith("tcp6:::1:")
    runner = ApplicationRunner(served.url, "realm1")
    _, protocol = await runner.run(session_that_leaves, start_loop=False)
    await protocol.is_closed
    await served.close()


def session_that_leaves(config):
    session = Session(config)
    session.on("ready", lambda session: session.leave())
    return session

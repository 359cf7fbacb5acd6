"""The plain API without asyncio: `autobahn.sync`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time

import pytest

import autobahn
import autobahn.sync
from autobahn.asyncio.router import Router
from autobahn.asyncio.thread import LoopThread
from autobahn.exception import ConnectFailed, ConnectionClosed, ConnectionClosedError, Disconnected
from autobahn.wamp import ApplicationError, CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from autobahn.wamp.exception import TransportLost

OWN = PublishOptions(exclude_me=False, acknowledge=True)


@contextlib.contextmanager
def running(make):
    """What `make` gives, started in a thread of its own."""
    thread = LoopThread("autobahn-test")
    opened = None
    try:
        opened = thread.run(make)
        yield thread, opened
    finally:
        if opened is not None:
            thread.run(opened.close)
        thread.stop()


@contextlib.contextmanager
def routing(*args, **kwargs):
    async def start():
        router = Router(*args, **kwargs)
        await router.start()
        return router

    with running(start) as (thread, router):
        yield thread, router


@pytest.fixture
def url():
    with routing() as (_, router):
        yield router.url


@pytest.fixture(autouse=True)
def no_threads_left():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.005)  # a pool's threads end a moment after it
    assert not left


def session_of(url, **kwargs):
    return autobahn.sync.connect(url, realm="realm1", **kwargs)


# ---- sessions -----------------------------------------------------------------------------------------------------


def test_calls_and_endpoints(url):
    with session_of(url) as backend, session_of(url) as session:
        assert session.details.realm == "realm1"
        where = []

        def add2(x, y):
            where.append(threading.current_thread().name)
            return x + y

        handle = backend.register(add2, "com.add2")
        assert session.call("com.add2", 2, y=3) == 5
        assert where[0].startswith("autobahn-endpoint")
        with pytest.raises(ApplicationError) as caught:
            session.call("com.add2", 2)
        assert caught.value.error == "wamp.error.runtime_error"
        assert handle.active
        handle.unregister()
        assert not handle.active
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            session.call("com.add2", 2, 3)
    assert session.closed
    with pytest.raises(Disconnected):
        session.call("com.add2", 2, 3)
    session.close()


def test_endpoints_may_call_and_run_side_by_side(url):
    with session_of(url) as session:
        met = threading.Barrier(2, timeout=20)
        session.register(lambda: met.wait() >= 0, "com.meet")
        session.register(lambda x: session.call("com.inner", x) + 1, "com.outer", RegisterOptions(concurrency=1))
        session.register(lambda x: 10 * x, "com.inner")
        assert session.call("com.outer", 2) == 21
        results = []
        threads = [threading.Thread(target=lambda: results.append(session.call("com.meet"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True, True]


def test_many_threads_share_a_session(url):
    with session_of(url) as session:
        session.register(lambda x: x, "com.echo")
        found = [[] for _ in range(8)]

        def work(i):
            found[i] = [session.call("com.echo", (i, n)) for n in range(20)]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[[i, n] for n in range(20)] for i in range(8)]


def test_handlers_run_in_a_thread_in_order(url):
    with session_of(url) as session:
        seen, done = [], threading.Event()

        def handler(n, details=None):
            seen.append((n, details.topic, threading.current_thread().name))
            if n == 49:
                done.set()

        handle = session.subscribe(handler, "com.t", SubscribeOptions(details=True))
        for n in range(50):
            session.publish("com.t", n, options=OWN)
        assert done.wait(20)
        assert [n for n, _, _ in seen] == list(range(50))
        assert {(topic, name[:16]) for _, topic, name in seen} == {("com.t", "autobahn-handler")}
        handle.unsubscribe()
        assert session.publish("com.t", 50, options=OWN).id
        session.publish("com.t", 51)
        assert len(seen) == 50


def test_a_handler_that_fails_is_reported_and_may_close(url, caplog):
    session = session_of(url)
    done = threading.Event()

    def handler(n):
        if n == 0:
            raise ValueError("no zero")
        session.close()
        done.set()

    session.subscribe(handler, "com.t")
    session.publish("com.t", 0, options=OWN)
    session.publish("com.t", 1, options=PublishOptions(exclude_me=False))
    assert done.wait(20)
    assert session.closed
    assert caplog.text.count("ValueError: no zero") == 1


def test_events_in_a_loop(url):
    with session_of(url) as session, session.events("com.t", timeout=20) as events:
        for n in range(3):
            session.publish("com.t", n, k=n, options=OWN)
        assert [(event.args, event.kwargs) for _, event in zip(range(3), events)] == [
            ([0], {"k": 0}), ([1], {"k": 1}), ([2], {"k": 2}),
        ]  # fmt: skip
        quiet = session.events("com.quiet", timeout=0.01)
        with pytest.raises(TimeoutError, match=r"within 0\.01 seconds"):
            next(quiet)
        session.publish("com.quiet", 1, options=OWN)
        quiet._timeout = 20
        assert next(quiet).args == [1]
        quiet.close()
        quiet.close()
        assert list(quiet) == []


def test_progressive_results(url):
    with session_of(url) as session:

        def count(n):
            yield from range(n)
            return "done"

        session.register(count, "com.count")
        stream = session.call_stream("com.count", 4)
        assert list(stream) == [0, 1, 2, 3]
        assert stream.result == "done"
        with session.call_stream("com.count", 10_000) as stream:
            assert next(stream) == 0


def test_timeouts(url):
    with session_of(url, timeout=0.05) as session:
        release = threading.Event()
        session.register(lambda: release.wait(20), "com.wait")
        with pytest.raises(TimeoutError):
            session.call("com.wait")
        release.set()
        session.timeout = 20
        assert session.call("com.wait") is True
        with pytest.raises(ApplicationError, match="timeout"):
            release.clear()
            session.call("com.wait", options=CallOptions(timeout=0.02))
        release.set()
        with pytest.raises(TimeoutError):
            session.wait_closed(timeout=0.01)


def test_a_lost_router():
    with contextlib.ExitStack() as stack:
        _, router = stack.enter_context(routing())
        session = stack.enter_context(session_of(router.url))
        session.register(lambda: None, "com.p")
        events = session.events("com.t")
        for link in tuple(router.core.links):
            router.core.runtime.call_threadsafe(link.abort)
        session.wait_closed(20)
        assert session.closed
        for ask in (lambda: session.call("com.p"), lambda: session.publish("com.t"), lambda: next(events)):
            with pytest.raises((TransportLost, ApplicationError)):
                ask()


def test_what_cannot_be_reached_leaves_no_thread(url):
    with pytest.raises(ConnectFailed):
        autobahn.sync.connect("ws://127.0.0.1:1/", realm="realm1")
    with pytest.raises(ApplicationError, match="no_such_realm"):
        autobahn.sync.connect(url, realm="com.nowhere")


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"timeout": 3}, "realm with timeout"),
        ({"realm": "r", "workers": 0}, "workers as an int"),
        ({"realm": "r", "nonsense": 1}, "expected options"),
        ({"url": "nonsense", "realm": "r"}, "expected a ws://, wss://, rs:// or rss:// URL"),
    ],
)
def test_wrong_arguments(kwargs, text):
    with pytest.raises((TypeError, ValueError), match=text):
        autobahn.sync.connect(**{"url": "ws://127.0.0.1:1/", **kwargs})


def test_functions_must_be_plain(url):
    async def handler():
        pass

    with session_of(url) as session:
        for ask in (session.subscribe, session.register):
            with pytest.raises(TypeError, match="a plain function"):
                ask(handler, "com.x")
            with pytest.raises(TypeError, match="a callable"):
                ask(5, "com.x")


def test_errors_as_exceptions(url):
    class Wrong(Exception):
        pass

    def fail():
        raise Wrong("so")

    with session_of(url) as session:
        session.define(Wrong, "com.error.wrong")
        session.register(fail, "com.fail")
        with pytest.raises(Wrong, match="so"):
            session.call("com.fail")


def test_rawsocket_and_authentication():
    auth = {"realm1": {"ticket": {"principals": {"joe": {"ticket": "x", "role": "user"}}}}}
    with routing(["rs://127.0.0.1:0"], auth=auth) as (_, router):
        with session_of(router.url, auth={"ticket": {"authid": "joe", "ticket": "x"}}, serializers=["json"]) as session:
            assert (session.details.authid, session.details.serializer) == ("joe", "json")


# ---- WebSocket ----------------------------------------------------------------------------------------------------


@pytest.fixture
def echo():
    async def handle(ws):
        async for message in ws:
            if message == "bye":
                await ws.close(1000, "so long")
            elif message == "die":
                ws.abort()
            else:
                await ws.send(message)

    async def start():
        return await autobahn.serve(handle)

    with running(start) as (_, server):
        yield server.url


def test_a_websocket(echo):
    with autobahn.sync.connect(echo) as ws:
        for message in ("text", b"\x00\xff", "x" * 100_000):
            ws.send(message)
            assert ws.recv(timeout=20) == message
        assert ws.ping(timeout=20) < 20
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.01)
        assert ws.peer.startswith("tcp4:127.0.0.1")
        assert (ws.subprotocol, ws.closed, ws.close_code) == (None, False, None)
        assert ws.response.headers["upgrade"]
        ws.send("one")
        ws.send("bye")
        assert list(ws) == ["one"]
        assert (ws.closed, ws.close_code, ws.close_reason) == (True, 1000, "so long")
        with pytest.raises(ConnectionClosed):
            ws.send("x")
    ws.close()
    with pytest.raises(Disconnected):
        ws.recv()


def test_a_websocket_that_is_lost(echo):
    with autobahn.sync.connect(echo) as ws:
        ws.send("die")
        with pytest.raises(ConnectionClosedError):
            for _ in ws:
                pass
    other = autobahn.sync.connect(echo)
    other.close(4000, "enough")
    assert other.closed


# ---- loops, threads, signals ----------------------------------------------------------------------------------------


async def test_from_within_a_running_loop(loop_name):
    """The caller's loop stands still meanwhile, as with any blocking call, and is not touched."""
    loop = asyncio.get_running_loop()
    with routing() as (_, router), session_of(router.url) as session:
        session.register(lambda x: x + 1, "com.inc")
        assert session.call("com.inc", 1) == 2
        assert asyncio.get_running_loop() is loop
        assert await asyncio.to_thread(session.call, "com.inc", 2) == 3


def test_a_session_nobody_holds_is_closed():
    with routing() as (_, router):
        session = session_of(router.url)
        assert session.call("wamp.session.count") == 1
        del session
        gc.collect()
        with session_of(router.url) as session:
            assert session.call("wamp.session.count") == 1


def test_waiting_in_the_loops_own_thread_is_refused(url):
    with session_of(url) as session:

        async def inside():
            session.call("com.x")

        with pytest.raises(RuntimeError, match="from another thread"):
            session._thread.run(inside)


def test_a_loop_thread_ends_from_within():
    thread = LoopThread("autobahn-test")
    closed = threading.Event()

    async def close():
        closed.set()
        raise ValueError("nobody hears this")

    async def inside():
        assert thread.is_current
        thread.finish(close)

    thread.run(inside)
    assert closed.wait(20)
    thread._thread.join(20)
    with pytest.raises(Disconnected):
        thread.run(inside)
    thread.stop()


def test_what_waits_when_the_loop_ends_is_told():
    thread = LoopThread("autobahn-test")
    caught = []

    def wait():
        with pytest.raises(Disconnected) as found:
            thread.run(asyncio.Event().wait)
        caught.append(found.value)

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    while len(thread._waiting) < 3:
        time.sleep(0.001)
    thread.stop()
    for waiter in waiters:
        waiter.join(20)
    assert len(caught) == 3


SCRIPT = """
import sys, threading, autobahn.sync
session = autobahn.sync.connect(sys.argv[1], realm="realm1")
session.register(lambda: threading.Event().wait(0.3) or 5, "com.slow")
if sys.argv[2] == "interrupt":
    try:
        print("ready", flush=True)
        session.wait_closed()
    except KeyboardInterrupt:
        print("interrupted", session.call("com.slow"), flush=True)
        session.close()
        print(threading.active_count(), flush=True)
else:
    print(session.call("com.slow"), flush=True)  # and the program ends without close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_while_waiting(url):
    with subprocess.Popen([sys.executable, "-c", SCRIPT, url, "interrupt"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=30)[0].split()[:2] == ["interrupted", "5"]
        assert child.returncode == 0


def test_a_program_that_ends_without_close(url):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, url, "end"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("5\n", "")
    with session_of(url) as session:  # it has said GOODBYE
        assert session.call("wamp.session.count") == 1

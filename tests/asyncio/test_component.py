"""`Component` and `run` against our own router over real WebSockets."""

import asyncio
import os
import signal
import socket
import sys
import textwrap

import pytest

from autobahn.asyncio.component import Component, run
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.wamp import ApplicationError, CallOptions, PublishOptions, SubscribeOptions
from autobahn.wamp.exception import InvalidUriError

FAST = {"initial_retry_delay": 0.01, "max_retry_delay": 0.05}


def transport(url, **extra):
    return {"type": "websocket", "url": url, **FAST, **extra}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("serializer", ["json", "msgpack", "cbor"])
async def test_two_components_talk(loop_name, serializer):
    done = asyncio.Event()
    trace = []
    async with Router() as router:
        backend = Component(transports=[transport(router.url, serializers=[serializer])], realm="realm1")

        @backend.register("com.example.add2")
        def add2(x, y):
            return x + y

        @backend.register("com.example.fail")
        async def fail():
            raise ApplicationError("com.example.error", "text", key=b"\x00\xff")

        @backend.subscribe("com.example.topic", options=SubscribeOptions(details=True))
        def topic(value, details=None):
            trace.append((value, details.topic))
            done.set()

        ready = asyncio.Event()
        backend.on("ready", lambda session: ready.set())
        backend_stopped = backend.start()
        await ready.wait()

        async def main(loop, session):
            assert loop is asyncio.get_running_loop()
            assert await session.call("com.example.add2", 2, 3) == 5
            with pytest.raises(ApplicationError) as caught:
                await session.call("com.example.fail")
            assert caught.value.error == "com.example.error"
            assert (caught.value.args, caught.value.kwargs) == (("text",), {"key": b"\x00\xff"})
            with pytest.raises(ApplicationError, match="no_such_procedure"):
                await session.call("com.example.nobody")
            publication = await session.publish(
                "com.example.topic", {"a": [1, None, 2.5, "ü"]}, options=PublishOptions(acknowledge=True)
            )
            assert publication.id > 0
            await done.wait()
            trace.append("main")

        frontend = Component(main=main, transports=[transport(router.url, serializers=[serializer])], realm="realm1")
        await frontend.start()
        assert trace == [({"a": [1, None, 2.5, "ü"]}, "com.example.topic"), "main"]
        await backend.stop()
        await backend_stopped
        assert router.core.sessions == 0


async def test_listeners_fire_in_order_with_their_arguments():
    seen = []
    async with Router() as router:
        component = Component(transports=router.url, realm="realm1", extra={"k": 1})
        component.on("start", lambda loop, c: seen.append(("start", c is component)))
        component.on_connect(lambda session, transport: seen.append(("connect", transport.isOpen())))
        component.on_disconnect(lambda session, was_clean: seen.append(("disconnect", was_clean)))

        @component.on_ready
        def ready(session):
            seen.append(("ready", session.is_attached()))
            session.leave()

        @component.on_leave
        async def left(session, details):
            await asyncio.sleep(0)
            seen.append(("leave", details.reason))

        @component.on_join
        async def joined(session, details):
            seen.append(("join", details.realm, session.config.extra))

        await component.start()
    assert seen == [
        ("start", True), ("connect", True), ("join", "realm1", {"k": 1}), ("ready", True),
        ("leave", "wamp.close.goodbye_and_out"), ("disconnect", True),
    ]  # fmt: skip


async def test_it_comes_back_when_the_router_does_with_everything_declared():
    port = free_port()
    url = f"ws://127.0.0.1:{port}/ws"
    joins, failures = asyncio.Queue(), []
    component = Component(transports=[transport(url)], realm="realm1")
    component.register("com.example.echo")(lambda x: x)
    component.on("ready", joins.put_nowait)
    component.on_connectfailure(lambda c, exc: failures.append(exc))
    stopped = component.start()
    for _ in range(3):
        async with Router(url) as router:
            session = await joins.get()
            assert await session.call("com.example.echo", 1) == 1
            assert sum(r.id < 10**9 for r in router.core.realms["realm1"].dealer.registrations.values()) == 1
    await component.stop()
    await stopped
    assert len(failures) >= 2
    reasons = {exc.error for exc in failures if isinstance(exc, ApplicationError)}
    assert reasons == {"wamp.close.system_shutdown"}


async def test_a_refused_realm_is_a_failed_attempt_and_attempts_run_out():
    failures = []
    async with Router() as router:
        component = Component(transports=[transport(router.url, max_retries=2)], realm="com.nobody")
        component.on_connectfailure(lambda c, exc: failures.append(exc.error))
        with pytest.raises(RuntimeError, match="Exhausted all transport connect attempts"):
            await component.start()
    assert failures == ["wamp.error.no_such_realm"] * 3


async def test_is_fatal_gives_a_transport_up():
    component = Component(
        transports=[transport(f"ws://127.0.0.1:{free_port()}/ws")],
        is_fatal=lambda exc: isinstance(exc, OSError),
    )
    with pytest.raises(RuntimeError, match="Exhausted") as caught:
        await component.start()
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_several_transports_in_turn():
    async with Router() as router:
        dead = transport(f"ws://127.0.0.1:{free_port()}/ws", max_retries=0)
        results = []

        async def main(loop, session):
            results.append(session.session_id)

        await Component(main=main, transports=[dead, transport(router.url)], realm="realm1").start()
    assert len(results) == 1


@pytest.mark.parametrize("register", [False, True])
async def test_plain_join_listeners_have_run_when_main_begins(register):
    """Then `async` ones begin: what a listener has kept of the session is there."""
    trace = []

    async def main(loop, session):
        trace.append("main")
        await session.call("wamp.session.count")
        trace.append("main ends")

    async def slow(session, details):
        trace.append("async join")

    async with Router() as router:
        component = Component(main=main, transports=[transport(router.url)], realm="realm1")
        component.on_join(slow)
        component.on_join(lambda session, details: trace.append("join"))
        component.on_ready(lambda session: trace.append("ready"))
        if register:
            component.register("com.example.one")(lambda: 1)
        await component.start()
    assert trace[:3] == ["join", "main", "async join"] and set(trace[3:]) == {"ready", "main ends"}


async def test_listeners_that_fail_are_reported_and_the_others_run():
    """Plain or not, in any order; an error at join keeps "ready" away."""
    trace = []

    def fails(session, details):
        raise ValueError("plain")

    async def fails_later(session, details):
        raise ValueError("async")

    async def joined(session, details):
        trace.append("join")
        session.onUserError = lambda failure, text: trace.append(str(failure.value))
        await asyncio.sleep(0)
        session.leave()

    async with Router() as router:
        component = Component(transports=[transport(router.url)], realm="realm1")
        component.on_connect(
            lambda session, _: setattr(session, "onUserError", lambda f, _: trace.append(str(f.value)))
        )
        for listener in (fails, joined, fails_later):
            component.on_join(listener)
        component.on_ready(lambda session: trace.append("ready"))
        await component.start()
    assert trace == ["plain", "join", "async"]


async def test_a_failing_main_is_retried_then_given_up():
    runs = []

    async def main(loop, session):
        runs.append(session.session_id)
        raise ValueError("no")

    async with Router() as router:
        component = Component(main=main, transports=[transport(router.url, max_retries=2)], realm="realm1")
        with pytest.raises(RuntimeError, match="Exhausted") as caught:
            await component.start()
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(set(runs)) == 3


async def test_a_stopped_component_can_be_started_again():
    joins = asyncio.Queue()
    async with Router() as router:
        component = Component(transports=router.url, realm="realm1")
        component.on("ready", joins.put_nowait)
        for _ in range(2):
            component.start()
            await joins.get()
            await component.stop()
            assert router.core.sessions == 0


async def test_session_factory_and_application_session():
    seen = []

    class Mine(ApplicationSession):
        async def onJoin(self, details):
            seen.append(
                (
                    self.config.realm,
                    self.config.extra,
                    await self.call("com.a", 4, options=CallOptions(timeout=5)),
                )
            )
            self.leave()

    async with Router() as router:
        backend = Component(transports=router.url, realm="realm1")
        backend.register("com.a")(lambda x: x + 1)
        ready = asyncio.Event()
        backend.on_ready(lambda s: ready.set())
        backend.start()
        await ready.wait()
        await Component(transports=router.url, realm="realm1", extra=5, session_factory=Mine).start()
        await backend.stop()
    assert seen == [("realm1", 5, 5)]


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"main": 5}, "expected main as a callable or None, got int"),
        ({"is_fatal": "x"}, "expected is_fatal as a callable"),
        ({"transports": 5}, "expected transports as a URL, a dict or a list"),
        ({"transports": []}, "at least one transport"),
        (
            {"transports": {"url": "ws://a", "serializers": ["flatbuffers"]}},
            "'serializers' out of msgpack, cbor, ubjson, json (FlatBuffers is left out: use cbor), got 'flatbuffers'",
        ),
        (
            {"transports": {"url": "rs://a:1", "serializer": "flatbuffers"}},
            "'serializer' out of msgpack, cbor, ubjson, json (FlatBuffers is left out: use cbor), got 'flatbuffers'",
        ),
        ({"transports": "http://a"}, "transport 0: expected a ws://, wss://, rs:// or rss:// URL, got 'http://a'"),
        ({"transports": "unix:/tmp/s"}, "URL (ws://unix:/path or rs://unix:/path for a Unix socket), got"),
        ({"transports": "rs://[::1"}, "transport 0: expected an IPv6 address in brackets, like rs://\\[::1]:8080"),
        ({"transports": "ws://[zz]/"}, "transport 0: expected an IPv6 address in brackets, like ws://\\[::1]:8080/"),
        ({"transports": {"type": "websocket", "url": "http://a"}}, "expected a URL that starts with ws:// or wss://"),
        ({"transports": {"url": "ws://a", "typ": "x"}}, "got 'typ'"),
        ({"transports": {"type": "websocket"}}, "expected 'url'"),
        ({"transports": {"type": "carrier", "url": "ws://a"}}, "expected type 'websocket' or 'rawsocket'"),
        ({"transports": {"type": "websocket", "url": "rs://a:1"}}, "expected a URL that starts with ws:// or wss://"),
        ({"transports": {"url": "ws://a", "serializers": ["xml"]}}, "got 'xml'"),
        ({"transports": {"url": "ws://a", "options": {"open_timeout": 1}}}, "openTimeout"),
        ({"transports": {"url": "ws://a", "max_retries": "many"}}, "'max_retries'"),
        ({"transports": {"url": "ws://a", "max_retries": 1.5}}, "'max_retries' as int"),
        ({"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a"}}}, "'port'"),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a", "port": "80"}}},
            "'port' as int",
        ),
        ({"transports": {"url": "ws://a", "endpoint": {"type": "unix"}}}, "'path'"),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "unix", "path": "/x", "port": 1}}},
            "'path' for type 'unix'",
        ),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "tls": 5}}},
            "'tls'",
        ),
        ({"transports": {"url": "ws://a", "initial_retry_delay": -1}}, "'initial_retry_delay' as a number >= 0"),
        ({"transports": {"url": "ws://a", "initial_retry_delay": float("nan")}}, "'initial_retry_delay' as a number"),
        ({"transports": {"url": "ws://a", "max_retry_delay": float("inf")}}, "'max_retry_delay' as a number"),
        ({"transports": {"url": "ws://a", "max_retry_delay": True}}, "'max_retry_delay' as a number"),
        ({"transports": {"url": "ws://a", "retry_delay_growth": 0.5}}, "'retry_delay_growth' as a number >= 1"),
        ({"transports": {"url": "ws://a", "retry_delay_jitter": "x"}}, "'retry_delay_jitter' as a number"),
        ({"transports": {"url": "ws://a", "max_retries": -2}}, "'max_retries' as a number >= -1"),
        ({"transports": {"url": "ws://a", "headers": ["X: y"]}}, "'headers' as Mapping"),
        ({"transports": {"url": "ws://a", "headers": {"X": 5}}}, "'headers' as a dict of str, got 'X': 5"),
        ({"transports": {"url": "ws://a", "serializer": "json"}}, "expected 'serializers' (a list)"),
        ({"transports": {"url": "ws://a", "serializers": "json"}}, "'serializers' as a list of ids"),
        ({"transports": {"url": "ws://a", "serializers": []}}, "'serializers' as a list of ids"),
        ({"transports": {"url": "ws://a", "options": {"autoPingInterval": "often"}}}, "transport 0, options:"),
        ({"transports": {"url": "ws://a", "options": 5}}, "'options' as Mapping"),
        ({"transports": {"url": "ws://a", "proxy": {"host": "p"}}}, "transport 0, proxy:"),
        ({"transports": {"url": "ws://a", "proxy": {"host": "p", "port": 1, "kind": 5}}}, "transport 0, proxy:"),
        ({"transports": ["ws://a", {"url": "ws://a", "color": 1}]}, "transport 1: expected keys out of endpoint,"),
        ({"transports": {"url": "rs://a:1", "serializers": ["json"]}}, "'serializers' for type 'rawsocket'"),
        ({"transports": {"url": "rs://a:1", "serializer": "xml"}}, "'serializer' out of"),
        ({"transports": {"url": "rs://a:1", "headers": {"a": "b"}}}, "no 'headers' for type 'rawsocket'"),
        ({"transports": {"url": "rs://a:1", "options": {"maxMessagePayloadSize": 5}}}, "from 512 to 16777216"),
        ({"transports": {"type": "rawsocket"}}, "'url' as an rs:// or rss:// URL, or an 'endpoint'"),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "version": 5}}},
            "'version' 4 or 6, got 5",
        ),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "unix", "path": "/x", "version": 4}}},
            "'version' for type 'tcp' only",
        ),
        ({"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a", "port": 70000}}}, "from 1 to 65535"),
        (
            {"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "timeout": "5"}}},
            "'timeout' as a number",
        ),
        ({"transports": {"url": "ws://a", "endpoint": {"type": "pipe"}}}, "expected type 'tcp' or 'unix', got 'pipe'"),
        ({"transports": {"url": "ws://a", "endpoint": {"type": "tcp", "color": 1}}}, "got 'color'"),
        (
            {"transports": {"url": "wss://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "tls": False}}},
            "'tls' for a wss:// or rss:// URL, got False",
        ),
        (
            {"transports": {"url": "wss://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "tls": {"ca": 1}}}},
            "tls: expected keys out of certificate, hostname, key, trust_root, got 'ca'",
        ),
        (
            {
                "transports": {
                    "url": "wss://a",
                    "endpoint": {"type": "tcp", "host": "a", "port": 1, "tls": {"trust_root": "/nowhere.pem"}},
                }
            },
            "'trust_root' as a file of CA certificates",
        ),
        ({"realm": 5}, "expected realm as str, got int"),
        ({"realm": None}, "expected realm as str, got NoneType"),
        ({"call_timeout": 0}, "expected call_timeout in seconds, more than 0, got 0"),
        ({"request_timeout": -1}, "expected request_timeout in seconds, more than 0, got -1"),
        ({"session_factory": 5}, "expected session_factory as a callable or None, got int"),
        ({"authentication": "ticket"}, "expected authentication as a dict of methods, got str"),
        ({"authentication": {"wampcra": {"authid": "joe", "secret": "x", "salt": 1}}}, 'authextra.*got "salt"'),
        ({"authentication": {"magic": {}}}, "magic"),
        ({"authentication": {"ticket": {}}}, "ticket"),
    ],
)
def test_wrong_configuration_is_refused_when_the_component_is_made(kwargs, text):
    with pytest.raises(ValueError, match=text.replace("(", r"\(").replace(")", r"\)")):
        Component(**kwargs)


def test_wrong_listeners_are_refused():
    for wrong in (lambda: Component().on("joined", print), lambda: Component().off("joined")):
        with pytest.raises(RuntimeError, match="connectfailure, got 'joined'"):
            wrong()
    with pytest.raises(TypeError, match="RegisterOptions"):
        Component().register("com.a", options=5)
    with pytest.raises(InvalidUriError):
        Component().register("com..a")
    with pytest.raises(InvalidUriError):
        Component().subscribe("com a")
    Component().subscribe("com..a", options=SubscribeOptions(match="wildcard"))


async def test_unix_socket(tmp_path):
    path = str(tmp_path / "router.sock")
    async with Router(f"ws://unix:{path}"):
        component = Component(
            transports={"url": "ws://localhost/", "endpoint": {"type": "unix", "path": path}}, realm="realm1"
        )
        component.on_join(lambda session, details: session.leave())
        await component.start()


# ---- run() -----------------------------------------------------------------------------------------------


def script(text):
    prelude = """
        import asyncio, sys
        from autobahn.asyncio.component import Component, run
        from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
        url = sys.argv[1]
    """
    return textwrap.dedent(prelude) + textwrap.dedent(text)


async def run_script(text, url, *, signal_after=None):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script(text), url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    out = b""
    if signal_after is not None:
        while signal_after not in out:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            out += line
        process.send_signal(signal.SIGINT)
    rest, err = await asyncio.wait_for(process.communicate(), 20)
    return (out + rest).decode(), err.decode(), process.returncode


async def test_run_returns_when_all_have_stopped():
    async with Router() as router:
        out, err, status = await run_script(
            """
            async def main(loop, session):
                await asyncio.sleep(0.1)
                print("main done")
            failing = Component(transports={"url": "ws://127.0.0.1:1/ws", "max_retries": 0})
            print(run([failing, Component(main=main, transports=url, realm="realm1")]))
            """,
            router.url,
        )
    assert out == "main done\nNone\n" and status == 0
    assert "Exhausted all transport connect attempts" in err and "Traceback" not in err


async def test_run_with_start_loop_false():
    async with Router() as router:
        out, err, status = await run_script(
            """
            async def main(loop, session):
                print("main")
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            run([Component(main=main, transports=url, realm="realm1")], False)
            print("scheduled")
            loop.run_forever()
            loop.close()
            """,
            router.url,
        )
    assert (out, status) == ("scheduled\nmain\n", 0), err


def test_run_refuses_what_is_not_a_component():
    with pytest.raises(ValueError, match="expected a Component"):
        run([5])
    with pytest.raises(RuntimeError, match="log level"):
        run([Component()], log_level="loud")


# ---- ApplicationRunner -------------------------------------------------------------------------------------

RUNNER = """
class Mine(ApplicationSession):
    async def onJoin(self, details):
        print("joined", details.realm, self.config.extra)
        {body}
    def onLeave(self, details):
        print("left", details.reason)
        self.disconnect()
    def onDisconnect(self):
        print("disconnected")
        {disconnect}
print(ApplicationRunner(url, "realm1", extra=dict(a=1)).run(Mine, log_level=None))
"""


@pytest.mark.parametrize("disconnect", ["pass", "asyncio.get_event_loop().stop()"])
async def test_runner_ends_with_the_session(disconnect):
    async with Router() as router:
        out, err, status = await run_script(RUNNER.format(body="self.leave()", disconnect=disconnect), router.url)
    assert out == "joined realm1 {'a': 1}\nleft wamp.close.goodbye_and_out\ndisconnected\nNone\n", err
    assert (err, status) == ("", 0)


async def test_runner_leaves_on_ctrl_c():
    async with Router() as router:
        out, err, status = await run_script(
            RUNNER.format(body="pass", disconnect="pass"), router.url, signal_after=b"joined"
        )
    assert out.endswith("left wamp.close.goodbye_and_out\ndisconnected\nNone\n") and (err, status) == ("", 0)


async def test_runner_raises_when_the_router_cannot_be_reached():
    _, err, status = await run_script(RUNNER.format(body="pass", disconnect="pass"), "ws://127.0.0.1:1/ws")
    assert status == 1 and "ConnectionRefusedError" in err


async def test_runner_start_loop_false_gives_transport_and_protocol():
    from autobahn.asyncio.wamp import ApplicationRunner

    async with Router() as router:
        transport_, protocol = await ApplicationRunner(router.url, "realm1").run(ApplicationSession, start_loop=False)
        await protocol.is_open
        assert transport_ is protocol.transport
        protocol.sendClose(1000)
        await protocol.is_closed

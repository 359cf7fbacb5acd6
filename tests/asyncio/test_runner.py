"""`ApplicationRunner`: all arguments, stop, reconnecting, its coroutine."""

import asyncio
import ssl

import pytest
import trustme

from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.exception import ComponentFailed
from autobahn.wamp import message as m
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer
from component_world import ROLES, free_port, router, scripted
from proxies import HttpProxy


def recording(trace, then=lambda session: session.leave()):
    class Mine(ApplicationSession):
        def onJoin(self, details):
            trace.append((self.config.realm, self.config.extra, details.serializer))
            then(self)

        def onDisconnect(self):
            trace.append("disconnected")

    return Mine


def in_thread(runner, *args, **kwargs):
    return asyncio.to_thread(runner.run, *args, log_level=None, **kwargs)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["ws", "rs"])
async def test_it_runs_the_session_to_its_end(kind, again):
    trace = []
    async with Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"]) as served:
        url = served.urls[kind == "rs"]
        runner = ApplicationRunner(url, "realm1", extra={"a": 1}, serializers=[JsonSerializer()])
        assert await in_thread(runner, recording(trace), auto_reconnect=again) is None
        assert trace == [("realm1", {"a": 1}, "json"), "disconnected"]
        assert served.core.sessions == 0


async def test_headers_are_sent_and_the_proxy_is_gone_through():
    trace, seen = [], []

    class Factory(WampWebSocketServerFactory):
        def __call__(self):
            protocol = super().__call__()
            on_connect = protocol.onConnect

            def noted(request):
                seen.append(request.headers["x-token"])
                return on_connect(request)

            protocol.onConnect = noted
            return protocol

    async with Router(None) as served, HttpProxy() as proxy:
        factory = Factory(served.new_session)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        runner = ApplicationRunner(
            f"ws://127.0.0.1:{port}/ws", "realm1", headers={"X-Token": "abc"},
            proxy={"host": "127.0.0.1", "port": proxy.port},
        )  # fmt: skip
        await in_thread(runner, recording(trace))
        server.close()
        assert seen == ["abc"] and proxy.asked == [("127.0.0.1", port)] and len(trace) == 2


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["wss", "rss"])
async def test_tls_with_a_context_of_ones_own(kind, again):
    authority = trustme.CA()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(secure)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    trace = []
    make = WampWebSocketServerFactory if kind == "wss" else WampRawSocketServerFactory
    async with Router(None) as served:
        factory = make(served.new_session)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=secure)
        url = f"{kind}://localhost:{server.sockets[0].getsockname()[1]}"
        runner = ApplicationRunner(url, "realm1", ssl=client, serializers=[CBORSerializer()])
        await in_thread(runner, recording(trace), auto_reconnect=again)
        server.close()
    assert len(trace) == 2


async def test_a_session_object_in_place_of_a_function():
    trace = []
    async with Router() as served:
        session = recording(trace)()
        await in_thread(ApplicationRunner(served.url, "realm1"), session)
    assert len(trace) == 2


@pytest.mark.parametrize("again", [False, True])
async def test_stop_leaves_and_ends_run(again):
    trace = []
    async with Router() as served:
        runner = ApplicationRunner(served.url, "realm1")
        runner.stop()  # nothing runs: no harm
        session = recording(trace, lambda _: runner.stop())
        assert await in_thread(runner, session, auto_reconnect=again) is None
        assert served.core.sessions == 0
    assert trace[1:] == ["disconnected"]


async def test_it_reconnects_until_it_is_stopped(monkeypatch):
    trace, losses = [], 3

    def hello(peer, msg):
        peer.say(m.Welcome(1, ROLES))
        if len(trace) < 2 * losses:
            asyncio.get_running_loop().call_later(0.01, peer.rst)

    def then(session):
        if len(trace) > 2 * losses:
            runner.stop()

    async with scripted(router(hello=hello)) as (url, _):
        runner = ApplicationRunner(url, "realm1")
        described = runner._description()
        described.retry.initial_retry_delay = described.retry.max_retry_delay = 0.01
        monkeypatch.setattr(runner, "_description", lambda: described)
        assert await in_thread(runner, recording(trace, then), auto_reconnect=True) is None
    assert len(trace) == 2 * (losses + 1)


async def test_reconnecting_begins_before_the_router_does(monkeypatch):
    trace, port = [], free_port()
    runner = ApplicationRunner(f"ws://127.0.0.1:{port}/ws", "realm1")
    described = runner._description()
    described.retry.initial_retry_delay = described.retry.max_retry_delay = 0.02
    monkeypatch.setattr(runner, "_description", lambda: described)
    running = asyncio.create_task(in_thread(runner, recording(trace), auto_reconnect=True))
    await asyncio.sleep(0.1)
    async with Router(f"ws://127.0.0.1:{port}/ws"):
        await running
    assert len(trace) == 2


async def test_refused_credentials_end_it():
    async with scripted(router(hello=m.Abort({}, "wamp.error.not_authorized"))) as (url, _):
        with pytest.raises(ComponentFailed):
            await in_thread(ApplicationRunner(url, "realm1"), recording([]), auto_reconnect=True)


@pytest.mark.parametrize("again", [False, True])
async def test_start_loop_false_gives_transport_and_protocol(again):
    trace = []
    async with Router() as served:
        runner = ApplicationRunner(served.url, "realm1")
        coroutine = runner.run(recording(trace, lambda _: None), start_loop=False, auto_reconnect=again)
        transport, protocol = await coroutine
        assert transport is protocol.transport
        await protocol.is_open
        while not trace:
            await asyncio.sleep(0.005)
        if again:
            runner.stop()
        else:
            protocol._link.session.leave()
        while "disconnected" not in trace:
            await asyncio.sleep(0.005)
        await protocol.is_closed


async def test_in_a_running_loop_it_says_what_to_do():
    with pytest.raises(RuntimeError, match="start_loop=False"):
        ApplicationRunner("ws://127.0.0.1:1/ws", "realm1").run(ApplicationSession)


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"url": 5}, TypeError), ({"url": "ws://a", "realm": 5}, TypeError),
        ({"url": "ws://a", "proxy": "p"}, TypeError), ({"url": "ws://a", "headers": []}, TypeError),
        ({"url": "ws://a", "proxy": {"host": "p"}}, ValueError),
    ],
)  # fmt: skip
def test_wrong_arguments(kwargs, error):
    with pytest.raises(error):
        ApplicationRunner(**kwargs)


def test_a_context_for_a_url_without_tls():
    with pytest.raises(RuntimeError, match='conflicts with the "ws:" prefix'):
        ApplicationRunner("ws://a", "realm1", ssl=True).run(ApplicationSession)

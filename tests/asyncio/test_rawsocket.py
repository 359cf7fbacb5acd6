"""WAMP over RawSocket on asyncio: components, application runner, the one port."""

import asyncio
import ssl

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketServerFactory,
)
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationRunner
from autobahn.router.settings import ListenerSettings
from autobahn.wamp import ApplicationError, PublishOptions
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer
from autobahn.wamp.types import TransportDetails
from rawsocket_world import FAST, RS, dial, port_of, session_at
from scripted import RecordingSession

# ---- components --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("serializer", ["json", "msgpack", "cbor"])
async def test_T_UDS_1_two_components_talk(loop_name, serializer, kind, tmp_path, tls):
    path = str(tmp_path / "router.sock")
    where = {"tcp": RS, "unix": f"rs://unix:{path}", "tls": None}[kind]
    done = asyncio.Event()
    trace = []
    async with Router(where) as router:
        transport = {"type": "rawsocket", "url": router.url, "serializer": serializer, **FAST}
        if kind == "tls":
            factory = WampRawSocketServerFactory(router.new_session)
            server = await asyncio.get_running_loop().create_server(factory, "localhost", 0, ssl=tls[0])
            port = port_of(server)
            endpoint = {"type": "tcp", "host": "localhost", "port": port, "tls": tls[1]}
            transport.update(url=f"rss://localhost:{port}", endpoint=endpoint)
        backend = Component(transports=transport, realm="realm1")
        backend.register("com.example.add2")(lambda x, y: x + y)

        @backend.subscribe("com.example.topic")
        def topic(value):
            trace.append(value)
            done.set()

        ready = asyncio.Event()
        backend.on_ready(lambda session: ready.set())
        stopped = backend.start()
        await ready.wait()

        async def main(loop, session):
            details = session.session_details
            assert (details.serializer, details.transport.is_secure) == (serializer, kind == "tls")
            assert details.transport.channel_framing == TransportDetails.CHANNEL_FRAMING_RAWSOCKET
            assert details.transport.channel_typeid == f"{'tls' if kind == 'tls' else 'tcp'}-rawsocket-{serializer}"
            assert await session.call("com.example.add2", 2, 3) == 5
            big = "ü" * 300_000
            assert await session.call("com.example.add2", big, "") == big
            with pytest.raises(ApplicationError, match="no_such_procedure"):
                await session.call("com.example.nobody")
            value = {"a": [1, None, 2.5, "ü"], "b": b"\x00\xff"}
            await session.publish("com.example.topic", value, options=PublishOptions(acknowledge=True))
            await done.wait()
            assert trace == [value]

        await Component(main=main, transports=transport, realm="realm1").start()
        await backend.stop()
        await stopped
        assert router.core.sessions == 0
        if kind == "tls":
            server.close()
            await server.wait_closed()


async def test_a_finished_component_ends_and_does_not_come_back(loop_name):
    seen, ends = [], []
    async with Router(RS) as router:

        async def main(loop, session):
            seen.append(session.session_id)

        component = Component(main=main, transports={"type": "rawsocket", "url": router.url, **FAST}, realm="realm1")
        component.on_leave(lambda session, details: ends.append(details.reason))
        component.on_disconnect(lambda session, was_clean: ends.append(was_clean))
        assert await component.start() is None
        without_main = Component(transports=router.url, realm="realm1")
        without_main.on_join(lambda session, details: session.leave())
        assert await without_main.start() is None
    assert len(seen) == 1
    assert ends == ["wamp.close.goodbye_and_out", True]


async def test_a_component_comes_back_when_the_router_does(tmp_path):
    url = f"rs://unix:{tmp_path}/router.sock"
    joins = asyncio.Queue()
    component = Component(transports={"url": url, **FAST}, realm="realm1")
    component.register("com.example.echo")(lambda x: x)
    component.on("ready", joins.put_nowait)
    stopped = component.start()
    for _ in range(3):
        async with Router(url):
            session = await joins.get()
            assert await session.call("com.example.echo", 1) == 1
    await component.stop()
    await stopped


async def test_a_component_whose_connection_is_cut_comes_back():
    joins, ends = asyncio.Queue(), []
    async with Router(RS) as router:
        component = Component(transports={"url": router.url, **FAST}, realm="realm1")
        component.on("ready", joins.put_nowait)
        component.on_leave(lambda session, details: ends.append(details.reason))
        component.start()
        await joins.get()
        for link in router.core.links:
            link.abort()
        await joins.get()
        assert ends == ["wamp.close.transport_lost"]
        await component.stop()


async def test_T_TLS_2_another_host_name_is_refused(tls):
    async with Router(None) as router:
        factory = WampRawSocketServerFactory(router.new_session)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=tls[0])
        endpoint = {"type": "tcp", "host": "127.0.0.1", "port": port_of(server), "tls": tls[1]}
        transport = {"type": "rawsocket", "endpoint": endpoint, "max_retries": 0}
        failures = []
        component = Component(transports=transport, realm="realm1")
        component.on_connectfailure(lambda c, exc: failures.append(exc))
        with pytest.raises(RuntimeError, match="Exhausted"):
            await component.start()
        assert isinstance(failures[0], ssl.SSLCertVerificationError)
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("reply", "text"),
    [(b"\x7f\x10\x00\x00", "error 1: it does not support the serializer"), (b"\x7f\x40\x00\x00", "error 4: "),
     (b"\x7f\xf1\x00\x00", "agree to serializer 3, got 1"), (b"\x7f\xf3\x00\x01", "reserved octets"),
     (b"HTTP/1.1 400 Bad Request\r\n\r\n", "0x7f as the first octet, got 0x48"), (b"", "closed the connection")],
)  # fmt: skip
async def test_T_RS_2_a_client_that_is_refused_says_why(reply, text, lines):
    async def answer(reader, writer):
        assert await reader.readexactly(4) == b"\x7f\xf3\x00\x00"
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    failures = []
    component = Component(transports={"url": f"rs://127.0.0.1:{port_of(server)}", "max_retries": 0})
    component.on_connectfailure(lambda c, exc: failures.append(exc))
    with pytest.raises(RuntimeError, match="Exhausted"):
        await component.start()
    assert isinstance(failures[0], ConnectionError) and text in str(failures[0])
    assert all(record.exc_info is None for record in lines)
    server.close()


async def test_a_client_whose_server_says_nothing():
    writers = []
    server = await asyncio.start_server(lambda r, w: writers.append(w), "127.0.0.1", 0)
    transport = {
        "type": "rawsocket", "url": f"ws://127.0.0.1:{port_of(server)}/ignored", "max_retries": 0,
        "options": {"open_handshake_timeout": 0.05},
    }  # fmt: skip
    failures = []
    component = Component(transports=transport)
    component.on_connectfailure(lambda c, exc: failures.append(exc.message))
    with pytest.raises(RuntimeError, match="Exhausted"):
        await component.start()
    assert failures == ["expected the handshake within 0.05 seconds"]
    server.close()
    for writer in writers:
        writer.close()


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        ({"type": "rawsocket"}, "expected 'url' as an rs:// or rss:// URL, or an 'endpoint', got None"),
        ({"type": "rawsocket", "url": "http://a"}, "expected a ws://, wss://, rs:// or rss:// URL, got"),
        ({"url": "rs://a/path"}, "host and port"),
        ("rs://a:x", "expected a port"),
        ({"url": "rs://a", "serializer": "xml"}, "expected 'serializer' out of msgpack, cbor, ubjson, json, got 'xml'"),
        ({"url": "rs://a", "serializer": 5}, "expected 'serializer'"),
        ({"url": "rs://a", "serializers": ["cbor"]}, "use 'serializer'"),
        ({"url": "rs://a", "headers": {"a": "b"}}, "expected no 'headers' for type 'rawsocket'"),
        ({"url": "rs://a", "proxy": {"host": "a"}}, "transport 0, proxy:"),
        ({"url": "rs://unix:/a", "proxy": {"host": "a", "port": 1}}, "expected no 'proxy' for a Unix socket"),
        ({"url": "rs://a", "options": {"auto_fragment_size": 5}}, "autoFragmentSize"),
        ({"url": "rs://a", "options": {"max_message_payload_size": 511}}, "from 512 to 16777216, got 511"),
        ({"url": "rs://a", "options": {"autoPingInterval": "x"}}, "as a number from 0"),
        ({"url": "rs://a", "endpoint": {"type": "unix"}}, "'path'"),
        ({"type": "rawsocket", "endpoint": {"type": "tcp", "host": "a"}}, "'port'"),
    ],
)
def test_wrong_configuration_is_refused_when_the_component_is_made(transport, text):
    with pytest.raises(ValueError, match=text):
        Component(transports=transport)


def test_wrong_factories_are_refused():
    with pytest.raises(ValueError, match=r"without batching, got cbor\.batched"):
        WampRawSocketClientFactory(None, CBORSerializer(batched=True))
    with pytest.raises(ValueError, match="at least one serializer"):
        WampRawSocketServerFactory(None, [])
    factory = WampRawSocketServerFactory(None)
    assert sorted(factory.serializers) == [1, 2, 3]
    for bad in (511, (1 << 24) + 1, "x", True):
        with pytest.raises(AssertionError, match="from 512 to 16777216"):
            factory.setProtocolOptions(maxMessagePayloadSize=bad)
    factory.setProtocolOptions(1000)
    factory.setProtocolOptions(openHandshakeTimeout=1)
    assert (factory.options.maxMessagePayloadSize, factory.options.openHandshakeTimeout) == (1000, 1)
    factory.resetProtocolOptions()
    assert factory.options.maxMessagePayloadSize == 1 << 24


async def test_application_runner():
    seen = []

    class Mine(RecordingSession):
        async def onJoin(self, details):
            seen.append((details.serializer, await self.call("com.a", 4)))
            self.leave()

    async with Router(RS) as router:
        local, _ = await session_at(router.url)
        await local.register(lambda x: x + 1, "com.a")
        for serializers, name in ((None, "cbor"), ([JsonSerializer(), CBORSerializer()], "json")):
            runner = ApplicationRunner(router.url, "realm1", serializers=serializers)
            _, protocol = await runner.run(Mine, start_loop=False)
            await protocol.is_closed
            assert seen.pop() == (name, 5)
        local.leave()
    with pytest.raises(RuntimeError, match=r'conflicts with the "rs:" prefix.*"rss:"'):
        ApplicationRunner("rs://a:1", "realm1", ssl=True).run(Mine)


# ---- one port ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_websocket_and_rawsocket_on_one_port(loop_name, kind, tmp_path):
    path = str(tmp_path / "one.sock")
    async with Router("ws://127.0.0.1:0/ws" if kind == "tcp" else f"ws://unix:{path}") as router:
        endpoint = {"type": "unix", "path": path} if kind == "unix" else None
        url = router.url if kind == "tcp" else "ws://localhost/"
        results = []

        async def main(loop, session):
            results.append(session.session_details.transport.channel_framing)

        for name in ("websocket", "rawsocket"):
            transport = {"type": name, "url": url, "endpoint": endpoint, "max_retries": 0}
            await Component(main=main, transports=transport, realm="realm1").start()
        assert results == [2, 3]


async def test_several_listeners_and_urls(tmp_path):
    router = Router(["ws://127.0.0.1:0/ws", RS, f"rs://unix:{tmp_path}/s"])
    assert router.url is None
    async with router:
        assert router.url == router.urls[0] and len(router.urls) == 3

        async def main(loop, session):
            await session.register(lambda: 1, f"com.p{session.session_id}")

        for url in router.urls:
            await Component(main=main, transports={"url": url, "max_retries": 0}, realm="realm1").start()
    for urls, text in (([RS, "rss://127.0.0.1:0"], "expected ssl or tls for rss://"), (["rs://a/b"], "host and port")):
        router = Router(urls)
        with pytest.raises(ValueError, match=text):
            await router.start()
        await router.close()


async def test_silence_and_leaving_before_the_first_octet(lines):
    async with Router(ListenerSettings(url="ws://127.0.0.1:0/ws", handshake_timeout=0.02)) as router:
        wire = await dial(router.url, b"")
        wire.writer.close()
        await wire.writer.wait_closed()
        silent = await dial(router.url, b"")
        assert await silent.reader.read() == b""
        silent.writer.close()
    assert [record.getMessage().partition("failed: ")[2] for record in lines if "octet" in record.getMessage()] == [
        "expected an octet within 0.02 seconds, got none"
    ]

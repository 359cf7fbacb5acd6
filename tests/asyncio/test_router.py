"""The router on asyncio: listening, in-process sessions, bad input, orderly shutdown, the command."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.cli import main
from autobahn.wamp import ApplicationError, ComponentConfig, PublishOptions
from scripted import RecordingSession


class WampWire(WebSocketClientProtocol):
    """A client that speaks WAMP by hand: sends rows, collects rows."""

    def onOpen(self):
        self.rows = asyncio.Queue()

    def onMessage(self, payload, isBinary):
        self.rows.put_nowait(json.loads(payload))

    def say(self, *row):
        self.sendMessage(json.dumps(row).encode())


async def wire(router, protocols=("wamp.2.json",), path=None):
    url = router.url if path is None else router.url.replace("/ws", path)
    factory = WebSocketClientFactory(url, protocols=list(protocols))
    factory.protocol = WampWire
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", factory.port)
    await asyncio.wait({client.is_open, client.is_closed}, return_when=asyncio.FIRST_COMPLETED)
    return client


HELLO = (1, "realm1", {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}})


async def joined_wire(router):
    client = await wire(router)
    client.say(*HELLO)
    welcome = await client.rows.get()
    assert welcome[0] == 2
    return client


async def in_process(router, session=None):
    """A session in this process, joined."""
    session = session or RecordingSession()
    ready = asyncio.Event()
    session.on("ready", lambda _: ready.set())
    router.attach(session)
    await ready.wait()
    return session


async def left(session):
    await session.leave()


# ---- in-process sessions -----------------------------------------------------------------------------------


async def test_T_LOCAL_1_sessions_in_one_process_without_a_socket(loop_name):
    async with Router(None) as router:
        assert router.url is None
        backend, frontend = await in_process(router), await in_process(router)
        await backend.register(lambda x, y: x + y, "com.add2")
        events = asyncio.Queue()
        await backend.subscribe(lambda *a, **k: events.put_nowait((a, k)), "com.topic")
        assert await frontend.call("com.add2", 2, 3) == 5
        publication = await frontend.publish("com.topic", 1, k=b"\x00", options=PublishOptions(acknowledge=True))
        assert publication.id
        assert await events.get() == ((1,), {"k": b"\x00"})
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await frontend.call("com.nobody")
        await left(backend)
        await left(frontend)
        assert router.core.realms["realm1"].is_empty()


async def test_in_process_and_remote_sessions_share_the_realm():
    async with Router() as router:
        local = await in_process(router)
        await local.register(lambda data: {"got": data}, "com.local")
        results = []

        async def client(loop, session):
            results.append(await session.call("com.local", {"bytes": b"\x00\xff", "n": [1, 2.5, None]}))

        for serializer in ("json", "msgpack", "cbor"):
            transport = {"url": router.url, "serializers": [serializer], "max_retries": 0}
            await Component(main=client, transports=transport, realm="realm1").start()
        assert results == [{"got": {"bytes": b"\x00\xff", "n": [1, 2.5, None]}}] * 3
        await left(local)


async def test_shutdown_says_goodbye_to_everybody_and_waits_for_nobody_for_ever():
    async with Router(goodbye_timeout=0.05) as router:
        local = await in_process(router)
        client = await joined_wire(router)
        assert client.rows.empty()
    assert (await client.rows.get())[::2] == [6, "wamp.close.system_shutdown"]
    await client.is_closed
    assert ("leave", "wamp.close.system_shutdown") in local.trace


async def test_T_SES_10_shutdown_waits_for_the_answers():
    router = Router()
    await router.start()
    client = await joined_wire(router)
    closing = asyncio.ensure_future(router.close())
    goodbye = await client.rows.get()
    assert goodbye[0] == 6 and goodbye[2] == "wamp.close.system_shutdown"
    assert not closing.done()
    client.say(6, {}, "wamp.close.goodbye_and_out")
    await closing
    await client.is_closed


async def test_auto_realms():
    async with Router(None, realms=(), auto_realms=True) as router:
        session = await in_process(router, RecordingSession(ComponentConfig("com.made.on.demand")))
        assert session.realm == "com.made.on.demand"
        await left(session)


# ---- bad input: each has its documented end, one log line, and no effect on anybody else -----------------------


@pytest.fixture
def warnings_logged(caplog):
    caplog.set_level(logging.INFO, "autobahn")
    return caplog


async def test_T_SES_2_unknown_realm():
    async with Router() as router:
        client = await wire(router)
        client.say(1, "com.nobody", HELLO[2])
        abort = await client.rows.get()
        assert abort[0] == 3 and abort[2] == "wamp.error.no_such_realm"
        await client.is_closed


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '"x"', "[999]", "[48]", '["1"]', "[1.5, 1]", "not json", '[48, 1, {}, "com.a", null]',
     '[48, true, {}, "com.a"]', '[48, 0, {}, "com.a"]', '[16, 1, {"acknowledge": 1}, "com.a"]',
     '[48, 1, {}, "com.a", ["\\u0000!"]]', "[" * 5000, '[70, 77, {}]', '[8, 48, 1, {}, "com.e"]',
     '[1, "realm1", {"roles": {"caller": {}}}]', '[2, 5, {}]', '[5, "x", {}]'],
    ids=lambda text: text[:30],
)  # fmt: skip
async def test_T_MSG_4_and_T_PV_a_violation_ends_that_session_and_no_other(text, warnings_logged):
    async with Router() as router:
        other = await in_process(router)
        await other.register(lambda: "alive", "com.alive")
        client = await joined_wire(router)
        client.say(64, 1, {}, "com.mine")
        await client.rows.get()
        warnings_logged.clear()
        client.sendMessage(text.encode())
        abort = await client.rows.get()
        assert abort[0] == 3 and abort[2] == "wamp.error.protocol_violation", abort
        await client.is_closed
        lines = [r for r in warnings_logged.records if r.name != "autobahn.router.sessions"]
        assert len(lines) == 1 and lines[0].exc_info is None
        assert sum(r.id < 10**9 for r in router.core.realms["realm1"].dealer.registrations.values()) == 1
        assert await other.call("com.alive") == "alive"
        await left(other)


async def test_a_binary_message_on_a_json_connection_is_a_violation():
    async with Router() as router:
        client = await joined_wire(router)
        client.sendMessage(b"[48]", isBinary=True)
        abort = await client.rows.get()
        assert abort[2] == "wamp.error.protocol_violation" and "text" in abort[1]["message"]
        await client.is_closed
        assert (client.remoteCloseCode, client.wasClean) == (1002, True)


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01\x02\x03" * 10 + b"\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
     b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b"\x7e\xf1\x00\x00"],
    ids=lambda data: repr(data[:16]),
)  # fmt: skip
async def test_bytes_that_are_not_a_websocket_handshake(data, warnings_logged):
    async with Router(hello_timeout=0.3) as router:
        other = await in_process(router)
        host, port = re.search(r"//(.*):(\d+)/", router.url).groups()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        if data.startswith(b"\x7e"):
            writer.write_eof()
        answer = await reader.read(4096)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
        writer.close()
        await asyncio.sleep(0)
        assert all(record.exc_info is None for record in warnings_logged.records)
        assert other.is_attached()
        await left(other)


async def test_T_WS_3_no_common_subprotocol_and_wrong_path():
    async with Router() as router:
        for kwargs, status in (
            ({"protocols": ("wamp.2.xml",)}, "400"),
            ({"protocols": ()}, "400"),
            ({"path": "/x"}, "404"),
        ):
            client = await wire(router, **kwargs)
            await client.is_closed
            assert status in client.wasNotCleanReason


async def test_T_SES_9_silence_after_connecting_is_ended():
    async with Router(hello_timeout=0.05) as router:
        client = await wire(router)
        abort = await client.rows.get()
        assert abort[0] == 3 and "HELLO" in abort[1]["message"]
        await client.is_closed
        assert not router.core.links


@pytest.mark.parametrize("name", ["json", "msgpack", "cbor"])
@pytest.mark.parametrize("batched", [False, True])
async def test_T_WS_1_every_subprotocol(name, batched):
    from autobahn.asyncio.endpoints import parse_transports
    from autobahn.asyncio.websocket import WampWebSocketClientFactory
    from autobahn.wamp.serializer import SERID_TO_SER

    async with Router() as router:
        session = RecordingSession()
        ready = asyncio.Event()
        session.on("ready", lambda _: ready.set())
        factory = WampWebSocketClientFactory(
            lambda: session, url=router.url, serializers=[SERID_TO_SER[name](batched=batched)]
        )
        _, protocol = await parse_transports(router.url)[0].endpoint.connect(factory)
        await ready.wait()
        assert session.session_details.serializer == (f"{name}.batched" if batched else name)
        await session.register(lambda x: x, "com.echo")
        assert await asyncio.gather(*(session.call("com.echo", n) for n in range(50))) == list(range(50))
        await left(session)
        assert protocol.wasClean


async def test_T_WS_2_the_client_order_decides():
    async with Router() as router:
        client = await wire(router, protocols=("wamp.2.xml", "wamp.2.msgpack", "wamp.2.json"))
        assert client.websocket_protocol_in_use == "wamp.2.msgpack"
        client.sendClose()
        await client.is_closed


async def test_raw_payload_is_encoded_once_per_codec():
    async with Router() as router:
        realm = router.core.realms["realm1"]
        clients = [await joined_wire(router) for _ in range(5)]
        for client in clients:
            client.say(32, 1, {}, "com.topic")
            assert (await client.rows.get())[0] == 33
        before = realm.delivery.encodings
        clients[0].say(16, 2, {"exclude_me": False}, "com.topic", [1, {"a": "b"}])
        events = [await client.rows.get() for client in clients]
        assert {(event[0], json.dumps(event[4])) for event in events} == {(36, '[1, {"a": "b"}]')}
        assert realm.delivery.encodings - before == 1
        for client in clients:
            client.sendClose()
            await client.is_closed


# ---- the command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_listens_says_so_and_stops_cleanly(number):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "autobahn", "router", "--url", "ws://127.0.0.1:0/ws", "--realm", "com.a"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    line, mode, pages = (process.stdout.readline() for _ in range(3))
    assert mode.startswith("development mode: ")
    assert pages.startswith("pages: ")
    url = re.match(r"router listening at (ws://127\.0\.0\.1:\d+/ws) for realm com\.a - connect with ", line)[1]
    goodbyes = []

    async def client():
        component = Component(transports={"url": url, "max_retries": 0}, realm="com.a", is_fatal=lambda exc: True)
        component.on_ready(lambda session: process.send_signal(number))
        component.on_leave(lambda session, details: goodbyes.append(details.reason))
        with pytest.raises(RuntimeError, match="Exhausted"):
            await component.start()

    asyncio.run(client())
    out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("", "", 0)
    assert goodbyes == ["wamp.close.system_shutdown"]


def test_the_command_refuses_what_it_cannot_do(capsys):
    assert main(["router", "--url", "http://127.0.0.1:1/"]) == 1
    assert "expected a URL that starts with ws:// or rs:// in development mode" in capsys.readouterr().err
    assert main(["router", "--url", "ws://0.0.0.0:0/ws"]) == 1
    assert "expected a loopback address in development mode" in capsys.readouterr().err
    assert main(["router", "--url", "ws://127.0.0.1:0/ws", "--realm", "not a uri"]) == 1
    assert "not a uri" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0 and "autobahn 0." in capsys.readouterr().out

"""WAMP over RawSocket on asyncio: components, the one port, bad input, limits, pings, endings."""

import asyncio
import logging
import ssl

import pytest
import trustme

from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketServerFactory,
    WampRawSocketServerProtocol,
)
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationRunner
from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, head
from autobahn.wamp import ApplicationError, PublishOptions
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import SerializationError, TransportLost
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import TransportDetails
from scripted import RecordingSession

FAST = {"initial_retry_delay": 0.01, "max_retry_delay": 0.05}
RS = "rs://127.0.0.1:0"
JSON = CODECS["json"]


def port_of(server):
    return server.sockets[0].getsockname()[1]


@pytest.fixture(scope="module")
def tls():
    """(the server's context, the client's)."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def lines(caplog):
    """The list of what was logged from level info on."""
    caplog.set_level(logging.INFO, "autobahn")
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("autobahn").addHandler(handler)
    yield records
    logging.getLogger("autobahn").removeHandler(handler)


class Wire:
    """The client's end by hand."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, kind, payload):
        self.writer.write(head(kind, len(payload)) + payload)

    async def hear(self):
        octets = await self.reader.readexactly(4)
        return octets[0], await self.reader.readexactly(int.from_bytes(octets[1:], "big"))

    async def row(self):
        kind, payload = await self.hear()
        assert kind == MESSAGE
        return JSON.loads(payload)

    async def end(self):
        """What still comes, until the server closes."""
        data = await self.reader.read()
        self.writer.close()
        return data


async def dial(url_or_server, opening=b"\x7f\xf1\x00\x00"):
    """A wire to a router or server, after ``opening`` was sent and answered (if it is one)."""
    if isinstance(url_or_server, str):
        port = int(url_or_server.rpartition(":")[2].partition("/")[0])
    else:
        port = port_of(url_or_server)
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    wire.writer.write(opening)
    if opening == b"\x7f\xf1\x00\x00":
        assert await wire.reader.readexactly(4) == b"\x7f\xf1\x00\x00"
    return wire


HELLO = JSON.dumps([1, "realm1", {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}])


async def joined_wire(url):
    wire = await dial(url)
    wire.say(MESSAGE, HELLO)
    assert (await wire.row())[0] == 2
    return wire


async def session_at(url, serializer=None, session=None, **options):
    """A joined session, and its protocol."""
    session = session or RecordingSession()
    ready = asyncio.Event()
    session.on("ready", lambda _: ready.set())
    factory = WampRawSocketClientFactory(session, serializer)
    factory.setProtocolOptions(**options)
    port = int(url.rpartition(":")[2].partition("/")[0])
    _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
    await ready.wait()
    return session, protocol


async def serve(session_factory, serializers=None, **options):
    factory = WampRawSocketServerFactory(session_factory, serializers)
    factory.setProtocolOptions(**options)
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)


class Recorder:
    """A session object of a server that notes its callbacks."""

    def __init__(self):
        self.seen = []
        self.transport = None
        self.closed = asyncio.Event()

    def onOpen(self, transport):
        self.transport = transport
        self.seen.append("open")

    def onMessage(self, msg):
        self.seen.append(msg.row())

    def onProtocolError(self, exc):
        self.seen.append("violation")

    def onClose(self, was_clean):
        self.seen.append(was_clean)
        self.closed.set()


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
    component.on_connectfailure(lambda c, exc: failures.append(str(exc)))
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
        ({"type": "rawsocket", "url": "http://a"}, "starts with rs:// or rss://"),
        ({"url": "rs://a/path"}, "host and port"),
        ("rs://a:x", "expected a port"),
        ({"url": "rs://a", "serializer": "xml"}, "expected 'serializer' out of msgpack, cbor, json, got 'xml'"),
        ({"url": "rs://a", "serializer": 5}, "expected 'serializer'"),
        ({"url": "rs://a", "serializers": ["cbor"]}, "use 'serializer'"),
        ({"url": "rs://a", "headers": {"a": "b"}}, "expected no 'headers' for type 'rawsocket'"),
        ({"url": "rs://a", "proxy": {"host": "a", "port": 1}}, "expected no 'proxy' for type 'rawsocket'"),
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
    for urls, text in (([RS, "rss://127.0.0.1:0"], "expected a ws:// or rs:// URL"), (["rs://a/b"], "host and port")):
        router = Router(urls)
        with pytest.raises(ValueError, match=text):
            await router.start()
        await router.close()


async def test_silence_and_leaving_before_the_first_octet(lines, monkeypatch):
    from autobahn.asyncio import router as module

    monkeypatch.setattr(module, "OnePort", lambda a, b, original=module.OnePort: original(a, b, timeout=0.02))
    async with Router() as router:
        wire = await dial(router.url, b"")
        wire.writer.close()
        await wire.writer.wait_closed()
        silent = await dial(router.url, b"")
        assert await silent.reader.read() == b""
        silent.writer.close()
    assert [record.getMessage().partition("failed: ")[2] for record in lines if "octet" in record.getMessage()] == [
        "expected an octet within 0.02 seconds, got none"
    ]


# ---- bad input: each has its documented end, one log line, and no effect on anybody else -------------------------


REFUSALS = {
    "T-RS-2 serializer 0": (b"\x7f\xf0\x00\x00", b"\x7f\x10\x00\x00", "serializer"),
    "T-RS-2 serializer 5": (b"\x7f\xf5\x00\x00", b"\x7f\x10\x00\x00", "serializer"),
    "T-RS-3 reserved": (b"\x7f\xf1\x00\x01", b"\x7f\x30\x00\x00", "reserved octets"),
    "scanner zeros": (b"\x00" * 40, b"", "first octet"),
    "scanner tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"", "first octet"),
    "scanner http": (b"GET / HTTP/1.0\r\n\r\n", b"", "first octet"),
    "scanner ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", b"", "first octet"),
    "scanner 7f then junk": (b"\x7f" * 64, b"\x7f\x30\x00\x00", "reserved octets"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refused_openings(name, lines, loop_name):
    opening, reply, text = REFUSALS[name]
    async with Router(RS) as router:
        other, _ = await session_at(router.url)
        lines.clear()
        wire = await dial(router.url, opening)
        assert await wire.end() == reply
        assert len(lines) == 1 and text in lines[0].getMessage() and lines[0].exc_info is None
        assert other.is_attached() and len(router.core.links) == 1
        other.leave()


async def test_T_RS_2_length_and_number_of_connections():
    server = await serve(Recorder, minMessagePayloadSize=1 << 16)
    assert await (await dial(server, b"\x7f\x61\x00\x00")).end() == b"\x7f\x20\x00\x00"
    server.close()
    server = await serve(Recorder, maxConnections=1)
    first = await dial(server)
    assert await (await dial(server, b"\x7f\xf1\x00\x00\x00\x00")).end() == b"\x7f\x40\x00\x00"
    first.writer.write_eof()
    assert await first.end() == b""
    second = await dial(server)
    second.writer.close()
    server.close()


@pytest.mark.parametrize("opening", [b"", b"\x7f", b"\x7f\xf1\x00"])
async def test_T_RS_8_handshake_timeout(opening, lines):
    server = await serve(Recorder, openHandshakeTimeout=0.03)
    assert await (await dial(server, opening)).end() == b""
    assert [record.getMessage().partition("failed: ")[2] for record in lines] == [
        "expected the handshake within 0.03 seconds"
    ]
    server.close()


BAD_FRAMES = {
    "T-RS-6 type": b"\x03\x00\x00\x00",
    "T-RS-6 reserved bit": b"\x80\x00\x00\x01a",
    "T-RS-9 X with a length": b"\x08\x00\x00\x01",
    "ping over the limit": b"\x01\xff\xff\xff",
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
@pytest.mark.parametrize("joined", [False, True])
async def test_frames_that_are_not_allowed(frame, joined, lines):
    limit = {"maxMessagePayloadSize": 1 << 20}
    async with Router(None) as router:
        server = await serve(router.new_session, **limit)
        other, _ = await session_at(f"rs://127.0.0.1:{port_of(server)}")
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port_of(server)))
        wire.writer.write(b"\x7f\xf1\x00\x00")
        assert await wire.reader.readexactly(4) == b"\x7f\xb1\x00\x00"
        if joined:
            wire.say(MESSAGE, HELLO)
            await wire.row()
        lines.clear()
        wire.writer.write(frame + b"trailing")
        assert await wire.end() == b""
        assert (
            len(lines) == 1 and lines[0].exc_info is None and "RawSocket connection with tcp4" in lines[0].getMessage()
        )
        assert other.is_attached()
        other.leave()
        await other.wait_disconnected()
        server.close()


@pytest.mark.parametrize("text", [b"not json", b"[999]", b"[5]", b"[]"])
async def test_messages_that_are_not_wamp_get_abort(text, lines):
    async with Router(RS) as router:
        wire = await joined_wire(router.url)
        lines.clear()
        wire.say(MESSAGE, text)
        abort = await wire.row()
        assert abort[0] == 3 and abort[2] == "wamp.error.protocol_violation"
        assert await wire.end() == b""
        assert len(lines) == 1 and lines[0].exc_info is None


async def test_S33b_every_frame_head_in_every_state():
    async with Router(RS) as router:
        wires = []
        for octet in range(256):
            for length in (0, 1, 1 << 16):
                wire = await dial(router.url, b"\x7f\xf1\x00\x00")
                wire.writer.write(bytes((octet,)) + length.to_bytes(3, "big") + b"a" * length)
                wires.append((octet, length, wire))
            for octet_, length, wire in wires:
                wire.writer.write_eof()
                answer = await wire.end()
                if octet_ == PING:
                    assert answer == head(PONG, length) + b"a" * length
                elif octet_ == MESSAGE:
                    assert JSON.loads(answer[4:])[0] == 3
                else:
                    assert answer == b""
            wires.clear()
        while router.core.links:  # until the last connection is seen to be gone
            await asyncio.sleep(0)


async def test_S33_until_WELCOME_messages_are_short(lines):
    async with Router(RS) as router:
        wire = await dial(router.url)
        wire.say(PING, b"a" * 65536)
        assert await wire.hear() == (PONG, b"a" * 65536)
        lines.clear()
        wire.writer.write(head(MESSAGE, 65537))
        assert await wire.end() == b""
        assert [record.getMessage().partition("failed: ")[2] for record in lines] == [
            "expected a message of at most 65536 octets, got 65537"
        ]
        wire = await joined_wire(router.url)
        wire.say(PING, b"a" * (1 << 20))
        assert len((await wire.hear())[1]) == 1 << 20
        call = JSON.dumps([48, 1, {}, "com.nobody", ["x" * 200_000]])
        wire.say(MESSAGE, call)
        assert (await wire.row())[4] == "wamp.error.no_such_procedure"
        wire.writer.write_eof()
        await wire.end()


async def test_T_RS_7_sending_exactly_the_limit_and_one_more():
    limit = 1 << 12
    async with Router(None) as router:
        server = await serve(router.new_session, maxMessagePayloadSize=limit)
        session, protocol = await session_at(f"rs://127.0.0.1:{port_of(server)}")
        assert (protocol.max_length, protocol.max_length_send) == (1 << 24, limit)
        await session.register(len, "com.len")
        frame_ = len(CODECS["cbor"].dumps([48, 2, {}, "com.len", [b"x" * 1000]])) - 1000
        # INVOCATION is shorter than CALL, so both directions are tried with the call alone.
        assert await session.call("com.len", b"x" * (limit - frame_ - 20)) == limit - frame_ - 20
        with pytest.raises(PayloadExceededError, match=f"at most the peer's {limit} octets"):
            session.call("com.len", b"x" * limit)
        with pytest.raises(PayloadExceededError):
            session.publish("com.topic", b"x" * limit)
        assert protocol.sendString(b"") is None  # an empty message is one, and no WAMP
        await session.wait_disconnected()
        assert ("leave", "wamp.error.protocol_violation") in session.trace
        server.close()


async def test_what_is_too_long_for_its_receiver_does_no_harm_to_its_sender(lines):
    async with Router(RS) as router:
        large, _ = await session_at(router.url, MsgPackSerializer())
        small, _ = await session_at(router.url, CBORSerializer(), maxMessagePayloadSize=1024)
        same, _ = await session_at(router.url, MsgPackSerializer(), maxMessagePayloadSize=1024)
        events = asyncio.Queue()

        async def progressive(n, details=None):
            return "x" * n

        def failing(n):
            raise ApplicationError("com.error.mine", "x" * n)

        await large.register(progressive, "com.give")
        await large.register(failing, "com.fail")
        await small.register(len, "com.small.len")
        await small.subscribe(events.put_nowait, "com.topic")
        await same.subscribe(events.put_nowait, "com.topic")
        for caller in (small, same):
            assert len(await caller.call("com.give", 500)) == 500
            with pytest.raises(PayloadExceededError, match="at most 1024 octets"):
                await caller.call("com.give", 2000)
            with pytest.raises(PayloadExceededError):
                await caller.call("com.fail", 2000)
        with pytest.raises(ApplicationError, match="at most 1024 octets"):
            await large.call("com.small.len", "x" * 2000)
        assert await large.call("com.small.len", "x" * 200) == 200
        for text in ("x" * 2000, "short"):
            await large.publish("com.topic", text, options=PublishOptions(acknowledge=True))
        assert [await events.get(), await events.get()] == ["short", "short"]
        with pytest.raises(PayloadExceededError):
            await small.call("com." + "x" * 2000)  # nobody has registered it, which the ERROR says at length
        # What cannot be shortened ends the connection of the receiver alone: an ABORT longer than 512 octets.
        lines.clear()
        tiny = await dial(router.url, b"\x7f\x01\x00\x00")
        tiny.say(MESSAGE, HELLO.replace(b"realm1", "😀".encode() * 300))
        assert await tiny.end() == b"\x7f\xf1\x00\x00"
        lines[:] = [line for line in lines if "HELLO refused" not in line.getMessage()]
        assert len(lines) == 1 and "failed: expected a message of at most 512 octets" in lines[0].getMessage()
        assert router.core.sessions == 3
        assert large.is_attached() and same.is_attached()
        for session in (large, small, same):
            session.leave()


# ---- pings ---------------------------------------------------------------------------------------------------


async def test_T_RS_5_pings_are_answered_and_timed(loop_name):
    sessions = []

    def make():
        sessions.append(Recorder())
        return sessions[-1]

    server = await serve(make)
    session = Recorder()
    factory = WampRawSocketClientFactory(lambda: session)
    _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    with pytest.raises(TransportLost):
        protocol.ping()
    with pytest.raises(TransportLost):
        protocol.pong(b"")
    await protocol.is_open
    for data in (None, b"", b"a" * 60_000):
        assert 0 <= await protocol.ping(data) < 5
    protocol.pong(b"nobody asked")
    assert await sessions[0].transport.channel.ping() >= 0
    first = protocol.ping(b"x")
    with pytest.raises(ValueError, match="no other ping"):
        protocol.ping(b"x")
    protocol.abort()
    with pytest.raises(TransportLost, match="pong"):
        await first
    await protocol.is_closed
    await sessions[0].closed.wait()
    server.close()


async def test_automatic_pings_notice_a_dead_peer_and_keep_a_living_one(lines):
    sessions = [Recorder(), Recorder()]
    made = iter(sessions)
    server = await serve(lambda: next(made), autoPingInterval=0.02, autoPingTimeout=0.04)
    dead = await dial(server)
    factory = WampRawSocketClientFactory(RecordingSession(), JsonSerializer())
    _, alive = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await dead.reader.readexactly(4 + 12)  # the ping, which is not answered
    assert await dead.end() == b""
    await sessions[0].closed.wait()
    assert sessions[0].seen == ["open", False]
    assert "pong of an automatic ping" in lines[-1].getMessage()
    assert alive.channel_open()
    alive.close()
    await sessions[1].closed.wait()
    server.close()


class FakeTransport(asyncio.Transport):
    """Notes the writes."""

    def __init__(self):
        super().__init__()
        self.writes, self.backlog, self.paused, self.closing = [], 0, 0, False

    def write(self, data):
        self.writes.append(bytes(data))

    def get_write_buffer_size(self):
        return self.backlog

    def pause_reading(self):
        self.paused += 1

    def resume_reading(self):
        self.paused -= 1

    def is_closing(self):
        return self.closing

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.writes.append("eof")

    def close(self):
        self.closing = True

    abort = close


async def opened_server():
    protocol = WampRawSocketServerFactory(Recorder)()
    transport = FakeTransport()
    protocol.connection_made(transport)
    protocol.data_received(b"\x7f\xf1\x00\x00")
    assert transport.writes == [b"\x7f\xf1\x00\x00"]
    transport.writes.clear()
    return protocol, transport


async def test_everything_written_during_one_read_or_one_turn_leaves_in_one_write():
    protocol, transport = await opened_server()
    assert protocol.supports_serializer(1) and not protocol.supports_serializer(4)
    protocol.data_received(head(PING, 1) + b"a" + head(PING, 0) + head(PING, 2) + b"bc")
    assert transport.writes == [head(PONG, 1) + b"a" + head(PONG, 0) + head(PONG, 2) + b"bc"]
    transport.writes.clear()
    for text in (b"a", b"bc"):
        protocol.sendString(text)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"\x00\x00\x00\x01a\x00\x00\x00\x02bc"]
    protocol.close()
    assert transport.writes[1:] == ["eof"]
    protocol.connection_lost(None)
    protocol.connection_lost(None)
    assert protocol._link.session is None


async def test_whoever_sends_pings_and_reads_no_pongs_has_to_wait():
    protocol, transport = await opened_server()
    transport.backlog = (1 << 20) + 1
    protocol.pause_writing()
    protocol.data_received(head(PING, 0))
    assert transport.paused == 1
    protocol.resume_writing()
    protocol.resume_writing()
    assert transport.paused == 0
    protocol.connection_lost(None)


# ---- endings ---------------------------------------------------------------------------------------------------


async def ended(act, *, cut=False):
    """What the session of a server sees when ``act(protocol of the server, wire)`` ends the connection."""
    session = Recorder()
    server = await serve(lambda: session, closeHandshakeTimeout=0.05)
    wire = await dial(server)
    result = act(session.transport.channel, wire)
    if result is not None:
        await result
    rest = b"" if cut else await wire.end()
    await session.closed.wait()
    with pytest.raises(TransportLost):
        session.transport.send_encoded(b"[]")
    assert not session.transport.isOpen()
    server.close()
    return session.seen, rest


async def test_onClose_tells_whether_the_end_was_in_order(loop_name):
    def last_words(protocol, wire):
        protocol.sendString(b"last words")
        protocol.close()
        protocol.close()

    assert await ended(last_words) == (["open", True], head(MESSAGE, 10) + b"last words")
    assert await ended(lambda protocol, wire: wire.writer.write_eof()) == (["open", True], b"")
    assert (await ended(lambda protocol, wire: protocol.dropConnection()))[0] == ["open", True]
    assert (await ended(lambda protocol, wire: wire.writer.transport.abort(), cut=True))[0][0] == "open"

    def half_a_frame(protocol, wire):
        wire.writer.write(head(MESSAGE, 10) + b"abc")
        wire.writer.write_eof()

    assert await ended(half_a_frame) == (["open", False], b"")
    assert await ended(lambda protocol, wire: wire.writer.write(b"\xff\xff\xff\xff")) == (["open", False], b"")
    assert (await ended(lambda protocol, wire: wire.say(MESSAGE, b"[1")))[0] == ["open", "violation", False]


async def test_abort_sends_nothing_more():
    def abort(protocol, wire):
        protocol.sendString(b"never seen")
        protocol.abort()

    seen, rest = await ended(abort)
    assert (seen, rest) == (["open", False], b"")


async def test_a_peer_that_does_not_close_is_cut(loop_name):
    session = Recorder()
    server = await serve(lambda: session, closeHandshakeTimeout=0.05)
    wire = await dial(server)
    session.transport.close()
    await session.closed.wait()
    assert session.seen == ["open", True]
    wire.writer.close()
    server.close()


async def test_errors_of_the_program_close_the_connection_and_are_logged_once(lines):
    def failing():
        raise ValueError("no session today")

    server = await serve(failing)
    wire = await dial(server)
    assert await wire.end() == b""
    server.close()

    class Overridden(WampRawSocketServerProtocol):
        def stringReceived(self, payload):
            raise KeyError("mine")

    factory = WampRawSocketServerFactory(Recorder)
    factory.protocol = Overridden
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    wire = await dial(server)
    wire.say(MESSAGE, b"[]")
    assert await wire.end() == b""
    server.close()
    assert [str(record.exc_info[1]) for record in lines] == ["no session today", "'mine'"]


async def test_calls_on_a_protocol_that_is_not_open():
    protocol = WampRawSocketClientFactory(Recorder)()
    opening, closing = protocol.is_open, protocol.is_closed
    for act in (lambda: protocol.send(None), lambda: protocol.sendString(b""), lambda: protocol.serializer_id):
        with pytest.raises(TransportLost):
            act()
    assert (protocol.transport_details, protocol.isOpen()) == (None, False)
    protocol.stringReceived(b"[]")  # for nobody
    protocol.connection_made(FakeTransport())
    protocol.connection_lost(None)
    with pytest.raises(Disconnected, match="closed the connection"):
        await opening
    assert await closing is protocol
    with pytest.raises(SerializationError):
        raise SerializationError

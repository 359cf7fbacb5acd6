"""RawSocket on asyncio: bad input, limits, pings, writes, endings."""

import asyncio

import pytest

from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketServerFactory,
    WampRawSocketServerProtocol,
)
from autobahn.asyncio.router import Router
from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.rawsocket.frames import MESSAGE, PING, PONG, head
from autobahn.wamp import ApplicationError, PublishOptions
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import SerializationError, TransportLost
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from rawsocket_world import HELLO, JSON, RS, Recorder, Wire, dial, joined_wire, port_of, serve, session_at
from scripted import RecordingSession

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

    def set_protocol(self, protocol):
        pass

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
    assert protocol._link is None


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

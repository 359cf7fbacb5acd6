"""On uvloop the sockets of connections that receive again and again are read together, and nobody can tell."""

import asyncio
import contextlib
import contextvars
import gc
import os
import socket
import struct
import sys
import time
import weakref

import pytest

from autobahn.asyncio import direct
from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.rawsocket.frames import COMPILED as RAW_COMPILED
from autobahn.wamp.serializer import JsonSerializer
from autobahn.websocket.frames import COMPILED
from direct_world import SKIP, Client, Server, drained, gathering, is_open
from direct_world import DirectWorld as OneClient
from frames_world import KEY
from rawsocket_world import JSON, Recorder, port_of, serve
from websocket_world import until

pytestmark = [
    pytest.mark.skipif(not (COMPILED and RAW_COMPILED), reason=SKIP),
    pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's"),
]
NAME = contextvars.ContextVar("NAME", default="nobody")


@pytest.fixture
def loop_name():
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    return "uvloop"


@pytest.fixture
def at_once(monkeypatch):
    """The second read of a connection is past libuv, whatever the others do."""
    monkeypatch.setattr(direct, "ENOUGH", 1)
    monkeypatch.setattr(direct, "CALM", 1)


def poller():
    """The one of the running loop for WebSockets."""
    (found,) = asyncio.get_running_loop()._autobahn_pollers.values()
    return found


def epolls():
    """How many epoll descriptors the process has."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventpoll]"
    return count


def text(payload):
    """A masked frame of a short text message."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload)]) + KEY + bytes(octet ^ KEY[at % 4] for at, octet in enumerate(payload))


class World(OneClient):
    """A server with the clients of a test, which write and read octets as they like; `ends` are the server's."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.factory, "127.0.0.1", 0)
        self.socks, self.ends = [], []
        for _ in range(self.count):
            self.ask()
            await self.opened()
        return self

    def ask(self):
        """A client connects and says what it wants."""
        sock = socket.create_connection(self.server.sockets[0].getsockname())
        self.socks.append(sock)
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    async def opened(self):
        """It is connected."""
        await until(lambda: len(self.factory.made) == len(self.socks))
        self.ends.append(self.factory.made[-1])
        await self.got(len(self.socks) - 1, b"\r\n\r\n", whole=False)

    async def got(self, number, expected, whole=True):
        """The client has received that."""
        data = b""
        async with asyncio.timeout(5):
            while data != expected if whole else not data.endswith(expected):
                await asyncio.sleep(0.001)
                data += drained(self.socks[number])
                assert data == expected[: len(data)] or not whole

    async def used(self):
        """Every connection has been used so often that it is read with the others."""
        for _ in range(direct.CALM + 1):
            for number, sock in enumerate(self.socks):
                sock.sendall(text(b"?"))
                await self.got(number, b"\x82\x01?")
        assert poller().count == self.count

    def send(self, *messages):
        """The clients send these, all before the server reads any."""
        for sock, message in zip(self.socks, messages, strict=True):
            sock.sendall(text(message))

    async def __aexit__(self, *exc):
        for end in self.ends:
            if end.transport is not None:
                end.dropConnection(abort=True)
        await asyncio.gather(*(end.is_closed for end in self.ends))
        pollers = getattr(asyncio.get_running_loop(), "_autobahn_pollers", {}).values()
        assert not any(found.count for found in pollers)
        for sock in self.socks:
            sock.close()
        self.server.close()
        await self.server.wait_closed()


# -- which connections, and when ---------------------------------------------------------------------------------


async def test_enough_connections_that_receive_again_and_again(loop_name):
    before = epolls()
    async with World(direct.ENOUGH) as world:
        for number, sock in enumerate(world.socks[:-1]):
            for _ in range(direct.CALM + 5):
                sock.sendall(text(b"?"))
                await world.got(number, b"\x82\x01?")
        assert poller().count == 0  # the last one is new
        for _ in range(direct.CALM + 1):
            world.socks[-1].sendall(text(b"?"))
            await world.got(-1, b"\x82\x01?")
        assert poller().count == direct.ENOUGH
        world.send(*(b"%d" % number for number in range(direct.ENOUGH)))
        for number in range(direct.ENOUGH):
            await world.got(number, b"\x82\x01%d" % number)
        for count in range(direct.ENOUGH - 1, direct.ENOUGH // 2 - 1, -1):
            world.ends[count].dropConnection(abort=True)
            await until(lambda count=count: poller().count == count)
        world.ends[count - 1].dropConnection(abort=True)
        await until(lambda: poller().count == 0)  # too few: all are uvloop's again
        world.socks[0].sendall(text(b"still here"))
        await world.got(0, b"\x82\x0astill here")
    await asyncio.sleep(0.01)
    assert epolls() == before


async def test_nothing_is_lost_where_epoll_or_libuvs_descriptor_is_missing(loop_name, at_once):
    loop = asyncio.get_running_loop()
    number = os.open("/dev/null", os.O_RDONLY)
    loop._get_backend_id = lambda: number  # no epoll at all
    async with World(2) as world:
        for _ in range(5):
            world.send(b"a", b"b")
            await world.got(0, b"\x82\x01a")
            await world.got(1, b"\x82\x01b")
        assert poller().count == 0
    os.close(number)


@pytest.mark.filterwarnings("ignore:unclosed resource:ResourceWarning")  # uvloop's close hangs when that is an error
@pytest.mark.parametrize("left", ["open", "closed"])
def test_a_loop_that_ends_is_forgotten(loop_name, at_once, left):
    import uvloop

    async def main():
        world = World(3)
        await world.__aenter__()
        await world.used()
        if left == "closed":
            await world.__aexit__()
        return weakref.ref(world.factory), [sock.detach() for sock in world.socks]

    before = epolls()
    seen = []
    for _ in range(3):  # what belongs to a thread's last loop goes with the next one
        loop = uvloop.new_event_loop()
        found, numbers = loop.run_until_complete(main())
        loop.close()
        assert is_open(numbers[0]) == (left == "open")
        for number in numbers:
            if is_open(number):
                os.close(number)
        seen.append(found)
    del loop
    gc.collect()
    assert [found() is None for found in seen[:2]] == [True, True]
    assert epolls() <= before + 1  # of the last loop


# -- what programs do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_a_handler", [False, True])
async def test_reading_that_a_program_pauses_and_resumes(loop_name, at_once, in_a_handler):
    async with World(3) as world:
        await world.used()
        end = world.ends[1]
        seen = []

        def on_message(server, payload):
            seen.append((world.ends.index(server), payload))
            if in_a_handler and server is world.ends[0]:
                end.transport.pause_reading()

        world.factory.on_message = on_message
        if not in_a_handler:
            end.transport.pause_reading()
        for word in (b"one", b"two"):
            world.send(word, word, word)
            await until(lambda word=word: (2, word) in seen)
        await asyncio.sleep(0.02)
        assert not end.transport.is_reading()
        seen_meanwhile = [payload for number, payload in seen if number == 1]
        assert seen_meanwhile in ([], [b"one"]) if in_a_handler else not seen_meanwhile
        assert poller().count == 2
        in_a_handler = False
        end.transport.resume_reading()
        await until(lambda: (1, b"two") in seen)
        assert [payload for number, payload in seen if number == 1] == [b"one", b"two"]
        world.send(b"three", b"three", b"three")
        await until(lambda: len(seen) == 9)
        assert poller().count == 3  # it is back


@pytest.mark.parametrize("kind", [asyncio.Protocol, asyncio.BufferedProtocol])
@pytest.mark.parametrize("is_told", [False, True])
async def test_another_protocol_gets_what_comes(loop_name, at_once, kind, is_told):
    async with World(2) as world:
        await world.used()
        end, other = world.ends[0], gathering(kind)
        received = end._ws_pump.received
        transport = end.transport
        transport.set_protocol(other)
        if is_told:
            end.connection_lost(None)  # for this one it is over
        world.socks[0].sendall(b"for somebody else" * 20)
        await until(lambda: other.got == b"for somebody else" * 20)
        assert end._ws_pump.received == received
        assert poller().count == 1
        if is_told:
            transport.abort()
            return
        transport.set_protocol(end)
        for _ in range(3):
            world.socks[0].sendall(text(b"back"))
            await world.got(0, b"\x82\x04back")


async def test_a_peer_that_does_not_read_is_read_on(loop_name, at_once):
    """libuv wants to know when the socket takes more, and from then on also hears of octets, until it is muted."""
    async with World(2) as world:
        await world.used()
        seen = []
        large = os.urandom(1 << 20)

        def on_message(server, payload):
            seen.append(payload)
            server.sendMessage(large, True)

        world.factory.on_message = on_message
        for number in range(8):
            world.socks[0].sendall(text(b"%d" % number))
            await until(lambda count=number + 1: len(seen) == count)
        assert world.ends[0].transport.get_write_buffer_size()
        expected = (b"\x82\x7f" + (1 << 20).to_bytes(8, "big") + large) * 8
        got = bytearray()
        async with asyncio.timeout(10):
            while len(got) < len(expected):
                await asyncio.sleep(0)
                got += drained(world.socks[0])
        assert got == expected
        assert seen == [b"%d" % number for number in range(8)]
        world.factory.on_message = lambda server, payload: server.sendMessage(payload, True)
        for _ in range(3):
            world.send(b"again", b"again")
            await world.got(0, b"\x82\x05again")
            await world.got(1, b"\x82\x05again")
        assert poller().count == 2


@pytest.mark.parametrize("how", ["close", "abort", "sendClose"])
async def test_what_is_sent_before_an_end_leaves(loop_name, at_once, how):
    async with World(3) as world:
        await world.used()

        def on_message(server, payload):
            server.sendMessage(b"last", True)
            if server is not world.ends[2]:
                if how == "sendClose":
                    server.sendClose(1000)
                else:
                    getattr(server.transport, how)()

        world.factory.on_message = on_message
        world.send(b"1", b"2", b"3")
        goodbye = b"\x88\x02\x03\xe8" if how == "sendClose" else b""
        for number in range(3):
            await world.got(number, b"\x82\x04last" + (goodbye if number < 2 else b""))
        if how != "sendClose":
            await asyncio.gather(world.ends[0].is_closed, world.ends[1].is_closed)
            assert poller().count == 1


@pytest.mark.parametrize("how", ["abort", "sendMessage"])
async def test_a_handler_that_concerns_another_connection_of_the_batch(loop_name, at_once, how):
    async with World(3) as world:
        await world.used()
        first = []

        def on_message(server, payload):
            others = [end for end in world.ends if end is not server]
            if not first:
                first.append(server)
                for other in others:
                    if how == "abort":
                        other.dropConnection(abort=True)
                    else:
                        other.sendMessage(b"from a neighbour", True)
            server.sendMessage(payload, True)

        world.factory.on_message = on_message
        world.send(b"1", b"2", b"3")
        await until(lambda: first)
        number = world.ends.index(first[0])
        await world.got(number, b"\x82\x01%d" % (number + 1))
        for other in {0, 1, 2} - {number}:
            if how == "abort":
                await world.ends[other].is_closed
            else:
                await world.got(other, b"\x82\x10from a neighbour\x82\x01%d" % (other + 1))


# -- ends and errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_a_peer_that_goes(loop_name, at_once, how, caplog):
    async with World(3) as world:
        await world.used()
        sock, end = world.socks[1], world.ends[1]
        sock.sendall(text(b"last words"))
        if how == "half":
            sock.shutdown(socket.SHUT_WR)
            await world.got(1, b"\x82\x0alast words")
        elif how == "reset":
            await world.got(1, b"\x82\x0alast words")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how != "half":
            sock.close()
        await end.is_closed
        assert not end.wasClean
        assert poller().count == 2
        world.socks[0].sendall(text(b"still here"))
        await world.got(0, b"\x82\x0astill here")
        assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_a_peer_that_breaks_the_rules_is_the_only_one_to_go(loop_name, at_once):
    async with World(3) as world:
        await world.used()
        world.socks[0].sendall(text(b"1"))
        world.socks[1].sendall(b"\x81\x01a")
        world.socks[2].sendall(text(b"3"))
        await world.got(0, b"\x82\x011")
        await world.got(2, b"\x82\x013")
        reason = b"expected a masked frame, got an unmasked one"
        await world.got(1, bytes([0x88, 2 + len(reason), *(1002).to_bytes(2, "big")]) + reason)


class Odd(BaseException):
    """Neither an error nor the end of the program."""


async def test_what_is_no_exception_ends_one_connection_and_reaches_the_loop(loop_name, at_once):
    loop = asyncio.get_running_loop()
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    async with World(3) as world:
        await world.used()

        def on_message(server, payload):
            server.sendMessage(payload, True)
            if server is world.ends[1]:
                raise Odd

        world.factory.on_message = on_message
        world.send(b"1", b"2", b"3")
        await world.got(0, b"\x82\x011")
        await world.got(2, b"\x82\x013")
        await world.ends[1].is_closed
        assert isinstance(told[0]["exception"], Odd)
        assert told[0]["transport"] is world.ends[1].transport
        assert len(told) == 1
        assert poller().count == 2


def test_an_interrupt_stops_the_loop_and_the_others_are_read_afterwards(loop_name, at_once):
    import uvloop

    loop = uvloop.new_event_loop()
    world = World(3)
    loop.run_until_complete(world.__aenter__())
    loop.run_until_complete(world.used())
    seen = []

    def on_message(server, payload):
        seen.append(payload)
        server.sendMessage(payload, True)
        if len(seen) == 2:
            raise KeyboardInterrupt

    world.factory.on_message = on_message
    world.send(b"1", b"2", b"3")
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(5))
    assert len(seen) >= 2

    async def rest():
        for number in range(3):
            await world.got(number, b"\x82\x01%d" % (number + 1))

    loop.run_until_complete(rest())
    loop.run_until_complete(world.__aexit__())
    loop.close()


async def test_a_program_that_keeps_an_end_from_us(loop_name, at_once):
    """The number of its socket is soon another's, which then is not mistaken for it."""

    class Silent(Server):
        def connection_lost(self, exc):
            if self not in silent:
                super().connection_lost(exc)

    silent = []
    async with World(2, server=Silent) as world:
        await world.used()
        end = world.ends[0]
        silent.append(end)
        number = end.transport.get_extra_info("socket").fileno()
        end.transport.abort()
        await until(lambda: not is_open(number))
        taken = [os.open(os.devnull, os.O_RDONLY)]
        while number not in taken:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        world.ask()
        os.close(number)  # for the server's next socket
        await world.opened()
        assert world.ends[2].transport.get_extra_info("socket").fileno() == number
        for _ in range(3):
            world.socks[2].sendall(text(b"?"))
            await world.got(2, b"\x82\x01?")
        assert poller().count == 2
        silent.clear()
        end.connection_lost(None)  # late
        for at in (1, 2):
            world.socks[at].sendall(text(b"still here"))
            await world.got(at, b"\x82\x0astill here")
        assert poller().count == 2
        for other in set(taken) - {number}:
            os.close(other)


# -- as with uvloop alone ----------------------------------------------------------------------------------------


async def test_context_variables_are_seen_as_with_uvloop_alone(loop_name, monkeypatch):
    class Named(Server):
        def onOpen(self):
            super().onOpen()
            NAME.set(NAME.get() + f" {len(self.factory.made)}")

        def onClose(self, *_):
            seen.append(NAME.get())

    def on_message(server, payload):
        server.sendMessage(payload, True)
        seen.append(NAME.get())
        NAME.set(NAME.get() + payload.decode())

    rounds = []
    for enough in (100, 1):
        monkeypatch.setattr(direct, "ENOUGH", enough)
        monkeypatch.setattr(direct, "CALM", 1)
        vars(asyncio.get_running_loop()).pop("_autobahn_pollers", None)
        seen = []
        async with World(3, server=Named) as world:
            world.factory.on_message = on_message
            for word in (b"a", b"b", b"c"):
                for number, sock in enumerate(world.socks):
                    sock.sendall(text(word))
                    await world.got(number, b"\x82\x01" + word)
            assert poller().count == (3 if enough == 1 else 0)
        rounds.append(seen)
    assert len(rounds[0]) == 12
    assert rounds[0] == rounds[1]
    assert NAME.get() == "nobody"


async def test_answers_do_not_wait_for_slow_neighbours(loop_name, at_once):
    async with World(4) as world:
        await world.used()
        answered = []

        def on_message(server, payload):
            answered.append([bool(drained(sock)) for sock in world.socks])
            server.sendMessage(payload, True)
            time.sleep(0.03)

        world.factory.on_message = on_message
        world.send(b"1", b"2", b"3", b"4")
        await until(lambda: len(answered) == 4)
        assert [sum(each) for each in answered] == [0, 1, 1, 1]


@pytest.mark.parametrize("size", [100, 40_000, 3_000_000])
async def test_messages_in_pieces_and_of_any_size(loop_name, at_once, size):
    async with OneClient() as world:
        payloads = [bytes([n]) * (size + n) for n in range(5)]
        for payload in payloads:
            world.client.sendMessage(payload, True, fragmentSize=size // 3)
        await until(lambda: len(world.client.seen) == 5)
        assert world.client.seen == payloads
        assert poller().count == 2  # both ends


async def test_unix_sockets(loop_name, at_once, tmp_path):
    async with OneClient(str(tmp_path / "s")) as world:
        for number in range(10):
            world.client.sendMessage(b"%d" % number, True)
            await until(lambda count=number + 1: len(world.client.seen) == count)
        assert poller().count == 2


async def test_tls_is_left_alone(loop_name, at_once, tls):
    async with OneClient(tls=tls, client=Client) as world:
        for number in range(10):
            world.client.sendMessage(b"%d" % number, True)
            await until(lambda count=number + 1: len(world.client.seen) == count)
        assert not hasattr(asyncio.get_running_loop(), "_autobahn_pollers")


async def test_rawsocket(loop_name, at_once):
    sessions = []
    server = await serve(lambda: sessions.append(Recorder()) or sessions[-1])
    factory = WampRawSocketClientFactory(Recorder, JsonSerializer())
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port_of(server))
    await client.is_open
    rows = [[36, n, 2, {}, ["x" * size]] for n, size in enumerate([0, 40_000, 3, 1_000_000, 70_000] * 4, 1)]
    for row in rows:
        client.sendString(JSON.dumps(row))
        await client.ping()
    (session,) = sessions
    assert session.seen[1:] == rows
    assert poller().count == 2
    client.close()
    await asyncio.gather(client.is_closed, session.transport.channel.is_closed)
    assert poller().count == 0
    server.close()

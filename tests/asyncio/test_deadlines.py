"""Deadlines measure the peer's silence and not our own loop's stalls: every timer of a connection on such a loop."""

import asyncio
import socket
import threading
import time

import pytest

from attacks.world import upgrade_answer
from autobahn.asyncio.deadline import SLICES, STALLS, Deadline
from clock import Clock
from websocket_world import Client, Server, World, until

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
SHORT = 0.2
"""Seconds that a peer has; in real time, because real loops stall."""


def started(seconds=8):
    clock, calls = Clock(), []
    deadline = Deadline(clock, seconds, lambda: calls.append(clock.now))
    return clock, calls, deadline


def test_a_deadline_is_exact_while_the_loop_runs():
    clock, calls, _ = started()
    clock.run(7.99)
    assert calls == []
    clock.run(100)
    assert calls == [1008.0]


def test_a_cancelled_deadline_never_comes():
    for after in (0, 3, 7):
        clock, calls, deadline = started()
        clock.run(after)
        deadline.cancel()
        clock.run(100)
        assert calls == []


@pytest.mark.parametrize("before", [0, 1, 3, 5, 7.9])
@pytest.mark.parametrize("stall", [2.5, 8, 1000])
def test_a_stall_is_not_counted(before, stall):
    clock, calls, _ = started()
    clock.run(before)
    clock.stall(stall)
    clock.run(8 - before - 0.1)  # the slice in which it happened does not count
    assert calls == []
    clock.run(8 / SLICES + 0.2)
    assert len(calls) == 1


def test_a_loop_that_is_always_late_reaches_it_as_well():
    clock, calls, _ = started(seconds=4)
    for _ in range(SLICES + STALLS):
        assert calls == []
        clock.stall(1.1)
        clock.run(0)
    assert len(calls) == 1


class Peer(threading.Thread):
    """A peer of its own thread, which acts while our loop stands still."""

    def __init__(self, sock):
        super().__init__()
        self.sock = sock
        self.received = b""

    def until(self, mark):
        while mark not in self.received:
            data = self.sock.recv(65536)
            if not data:
                return
            self.received += data


async def stalled(peer, seconds=3 * SHORT):
    """Our loop stands still while the peer acts."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    peer.start()
    time.sleep(seconds)


def joined(peer):
    return asyncio.to_thread(peer.join, 5)


async def test_the_answer_to_our_close_frame_is_read_after_a_stall(loop_name):
    class Answers(Peer):
        def run(self):
            self.sock.sendall(UPGRADE)
            self.until(b"\x88\x02\x03\xe8")
            self.sock.sendall(CLOSE)

    class Closes(Server):
        def onOpen(self):
            super().onOpen()
            self.sendClose(1000)
            time.sleep(3 * SHORT)  # the close frame has not even left

    async with World(Closes, closeHandshakeTimeout=SHORT) as world:
        with socket.create_connection(("127.0.0.1", world.port)) as sock:
            peer = Answers(sock)
            peer.start()
            await until(lambda: world.made and world.server.log[-1:] and world.server.log[-1][0] == "close")
            await joined(peer)
    assert world.server.log[-1] == ("close", True, 1000, None)


async def test_a_request_is_read_after_a_stall(loop_name):
    class Asks(Peer):
        def run(self):
            self.sock.sendall(UPGRADE)
            self.until(b"\r\n\r\n")
            self.sock.sendall(CLOSE)

    async with World(Server, openHandshakeTimeout=SHORT) as world:
        with socket.create_connection(("127.0.0.1", world.port)) as sock:
            await until(lambda: world.made)
            peer = Asks(sock)
            await stalled(peer)
            await until(lambda: world.server.log[-1:] and world.server.log[-1][0] == "close")
            await joined(peer)
    assert peer.received.startswith(b"HTTP/1.1 101 ")
    assert world.server.log[-1] == ("close", True, 1000, None)


async def test_a_pong_is_read_after_a_stall(loop_name):
    class Pongs(Peer):
        def run(self):
            self.sock.sendall(UPGRADE)
            self.until(b"\x89\x0c")
            at = self.received.index(b"\x89\x0c") + 2
            self.sock.sendall(b"\x8a\x8c\0\0\0\0" + self.received[at : at + 12] + CLOSE)

    class Stalls(Server):
        def sendPing(self, payload=None):
            super().sendPing(payload)
            time.sleep(3 * SHORT)

    options = {"autoPingInterval": 0.01, "autoPingTimeout": SHORT, "autoPingRestartOnAnyTraffic": False}
    async with World(Stalls, **options) as world:
        with socket.create_connection(("127.0.0.1", world.port)) as sock:
            peer = Pongs(sock)
            peer.start()
            await until(lambda: world.made and world.server.log[-1:] and world.server.log[-1][0] == "close")
            await joined(peer)
    assert world.server.log[-1] == ("close", True, 1000, None)


async def test_the_end_of_the_server_is_seen_after_a_stall(loop_name):
    """serverConnectionDropTimeout, with a server that closes while the client's loop stands still."""
    listener = socket.create_server(("127.0.0.1", 0))

    class Drops(threading.Thread):
        def run(self):
            sock, _ = listener.accept()
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(65536)
                sock.sendall(upgrade_answer(head) + b"\x88\x02\x03\xe8")
                while sock.recv(65536)[:1] != b"\x88":
                    pass
                stalls.wait(5)

    stalls = threading.Event()

    class Stalls(Client):
        def onCloseFrame(self, code, reasonRaw):
            asyncio.get_running_loop().call_later(0.01, self.stall)

        def stall(self):
            stalls.set()
            time.sleep(3 * SHORT)

    peer = Drops()
    peer.start()
    async with World() as world:
        world.port = listener.getsockname()[1]
        client = await world.connect(Stalls, serverConnectionDropTimeout=SHORT)
        await asyncio.wait_for(client.is_closed, 5)
        assert client.log[-1] == ("close", True, 1000, None)
    await joined(peer)
    listener.close()


@pytest.mark.parametrize("option", ["openHandshakeTimeout", "closeHandshakeTimeout", "autoPingTimeout"])
async def test_a_silent_peer_is_cut_in_time_all_the_same(option, loop_name):
    options = {option: SHORT, **({"autoPingInterval": 0.01} if option == "autoPingTimeout" else {})}
    loop = asyncio.get_running_loop()
    async with World(Server, **options) as world:
        begin = loop.time()
        reader, writer = await world.raw()
        if option != "openHandshakeTimeout":
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
        if option == "closeHandshakeTimeout":
            world.server.sendClose()
        await asyncio.wait_for(reader.read(), 5)
        assert loop.time() - begin > SHORT * 0.95
        writer.close()
        await world.ended()
        assert world.server.log[-1][1] is False

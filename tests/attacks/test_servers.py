"""S20, S29, S32, S34, S35: reading beyond buffers, logs, floods, silence and noise."""

import asyncio
import contextlib
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attacks.world import (
    PATIENCE,
    RawPeer,
    Target,
    allocations,
    close_code,
    frame,
    measures_memory,
    meet,
    request,
    status,
)
from autobahn.asyncio.router import Router
from autobahn.exception import Disconnected
from autobahn.websocket.types import ConnectionDeny

GUARDED = Path(__file__).parents[1] / "sanitizers" / "guarded.py"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ESCAPES = ["\x1b[31m", "\x9b31m", "\x07", "\r\n2026 fake line", "\x1b]0;title\x07", "\x00", "\x7f", "\x85"]


@pytest.mark.parametrize("pure", ["", "1"])
def test_S20_nothing_is_read_or_written_beyond_a_buffer(pure):
    command = [sys.executable, str(GUARDED), "--quick"]
    done = subprocess.run(command, env={"AUTOBAHN_PURE": pure}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "all sizes" in done.stdout


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
async def test_S29_what_a_client_says_reaches_no_terminal(text, caplog):
    async with Target(caplog) as target:
        octets = text.encode()
        for data in (
            b"GET /" + octets + b" HTTP/1.1\r\n\r\n",
            octets + request(),
            request(b"Origin: " + octets),
            request(b"Sec-WebSocket-Protocol: " + octets),
            request(b"X-Forwarded-For: " + octets),
        ):
            await target.attack(data)
        await target.attack_open(frame(8, b"\x0b\xb8" + octets))
        await target.attack_open(frame(8, b"\x03\xed" + octets))
        assert len(target.lines()) >= 5
        assert not any(CONTROL.search(line) for line in target.lines())


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
async def test_S29_what_a_server_says_reaches_no_terminal(text, caplog):
    caplog.set_level("INFO")
    for answer in (
        b"HTTP/1.1 403 " + text.encode() + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: " + text.encode() + b"\r\n\r\n",
        text.encode() + b"\r\n\r\n",
    ):

        async def serve(peer, head, answer=answer):
            await peer.send(answer)

        await meet(serve)
    assert len(caplog.records) == 3
    assert not any(CONTROL.search(record.getMessage()) for record in caplog.records)


async def test_S29_what_a_program_refuses_with(caplog):
    async with Target(caplog) as target:

        def deny(protocol, request):
            raise ConnectionDeny(403, "".join(ESCAPES))

        target.factory.protocol = type("Denying", (target.factory.protocol,), {"onConnect": deny})
        assert status(await target.attack(request())) == 403
        assert not any(CONTROL.search(line) for line in target.lines())


def test_S29_the_command_prints_no_control_characters():
    command = [sys.executable, "-m", "autobahn", "router", "--url", "ws://127.0.0.1:0/\x1b[31m"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "expected a URL" in done.stderr
    assert not CONTROL.search((done.stdout + done.stderr).replace("\n", ""))


# -- floods ------------------------------------------------------------------------------------------------------


async def test_S32_messages_to_a_plain_handler_make_no_tasks(caplog):
    async with Target(caplog) as target:
        before = len(asyncio.all_tasks())
        most = 0

        def onMessage(protocol, payload, isBinary):
            nonlocal most
            most = max(most, len(asyncio.all_tasks()))

        target.factory.protocol = type("Plain", (target.factory.protocol,), {"onMessage": onMessage})
        assert close_code(await target.attack_open(frame(2, b"x") * 20_000, frame(8, b"\x03\xe8"))) == 1000
        assert most <= before + 1


@measures_memory
async def test_S32_a_flood_of_pings_is_answered_in_bounded_memory(caplog):
    async with Target(caplog) as target:
        flood = frame(9, b"x" * 125) * 500
        peer = await target.open()

        async def drain():
            while await peer.reader.read(65536):
                pass

        draining = asyncio.ensure_future(drain())
        with allocations() as meter:
            await peer.send(*[flood] * 100)
            await peer.send(frame(8, b"\x03\xe8"))
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(draining, PATIENCE)
            assert meter.peak() < 4 * 2**20
        await peer.close()
        await target.alone()


@measures_memory
async def test_S32_async_handlers_are_bounded_and_reading_waits_for_them(caplog):
    async with Target(caplog) as target:
        before = len(asyncio.all_tasks())
        gate, seen, most = asyncio.Event(), [], 0

        async def onMessage(protocol, payload, isBinary):
            nonlocal most
            most = max(most, len(asyncio.all_tasks()))
            await gate.wait()
            seen.append(payload)

        target.factory.protocol = type("Slow", (target.factory.protocol,), {"onMessage": onMessage})
        peer = await target.open()
        flood = [frame(2, b"%08d" % number + bytes(5000)) for number in range(2000)]
        with allocations() as meter:
            sending = asyncio.ensure_future(peer.send(*flood, frame(8, b"\x03\xe8")))
            for _ in range(200):  # as long as it likes to read on
                await asyncio.sleep(0.001)
            assert meter.peak() < 5 * 2**20
        assert seen == []
        assert len(asyncio.all_tasks()) < before + 20
        gate.set()
        answer = await peer.rest()
        await sending
        assert close_code(answer) == 1000
        assert [int(payload[:8]) for payload in seen] == list(range(2000))
        assert most < before + 20
        await target.alone()


@measures_memory
@pytest.mark.parametrize("what", ["pings", "messages"])
async def test_S32_a_peer_that_never_reads_fills_no_memory(what, caplog):
    options = {"maxSendBuffer": 256 * 1024, "sendPolicy": "close", "closeHandshakeTimeout": 0.2}
    async with Target(caplog, allow=Disconnected, **options) as target:
        peer = await target.open()
        peer.writer.transport.pause_reading()
        flood = frame(9, b"x" * 125) * 500 if what == "pings" else frame(2, bytes(65_000))
        with allocations() as meter:
            for _ in range(500):
                peer.writer.write(flood)
                try:
                    await asyncio.wait_for(peer.writer.drain(), 0.3)
                except (ConnectionError, TimeoutError):
                    break  # it is cut off, or nobody reads it any more
            assert meter.peak() < 8 * 2**20
        peer.writer.transport.abort()
        await peer.close()
        await target.alone()


# -- silence and noise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trickle", [False, True])
async def test_S34_a_slow_handshake_ends_in_time(trickle, caplog, loop_name):
    async with Target(caplog, openHandshakeTimeout=0.2) as target:
        began = time.monotonic()
        peer = await target.connect()

        async def slowly():
            for octet in request(b"X: " + b"a" * 5000):
                await peer.send(bytes([octet]))
                await asyncio.sleep(0.005)

        sending = asyncio.ensure_future(slowly()) if trickle else None
        data = await asyncio.wait_for(peer.reader.read(100_000), PATIENCE)
        assert data.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began >= 0.15
        if sending is not None:
            sending.cancel()
        await peer.close()
        await target.alone()
        assert target.factory.requests == []


async def test_S34_an_answer_that_never_comes(caplog):
    async def serve(peer, head):
        await peer.reader.read()

    client, _ = await meet(serve, openHandshakeTimeout=0.1)
    assert client.wasOpenHandshakeTimeout
    assert client.done.result()[:2] == (False, 1006)


async def test_S34_connections_in_their_handshake_count(caplog):
    async with Target(caplog, maxConnections=3) as target:
        idle = [await target.connect() for _ in range(2)]
        for peer in idle:
            await peer.send(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(PATIENCE):
            while target.factory.countConnections < 3:
                await asyncio.sleep(0.002)
        peer = await target.connect()
        await peer.send(request())
        assert status(await peer.rest()) == 503
        for peer in idle:
            await peer.close()
        await target.alone()


STARTS = [b"", b"\x7f", b"\x7f\xf1\x00\x00", b"\x16\x03\x01\x02\x00", b"GET ", b"\x00", b"\xff\xff", b"SSH-2.0-"]


@pytest.mark.parametrize("listener", ["websocket", "router", "rawsocket"])
async def test_S35_noise_on_every_listener(listener, caplog):
    rng = random.Random(35)
    noises = [rng.choice(STARTS) + rng.randbytes(rng.choice([1, 10, 100, 3000])) for _ in range(60)]

    async def shout(port):
        for noise in noises:
            peer = RawPeer(*await asyncio.open_connection("127.0.0.1", port))
            await peer.send(noise)
            with contextlib.suppress(OSError):
                peer.writer.write_eof()
            await peer.rest()

    if listener == "websocket":
        async with Target(caplog) as target:
            await shout(target.port)
            await target.alone()
    else:
        pytest.importorskip("autobahn.asyncio.sniff")  # the router listens for RawSocket clients
        caplog.set_level("INFO")
        url = "rs://127.0.0.1:0" if listener == "rawsocket" else "ws://127.0.0.1:0/ws"
        async with Router(url, hello_timeout=0.5, goodbye_timeout=1) as router:
            await shout(int(re.search(r":(\d+)", router.url[4:])[1]))
            async with asyncio.timeout(PATIENCE):
                while router.core.links:
                    await asyncio.sleep(0.005)
    lines = [record for record in caplog.records if record.name.startswith(("autobahn", "asyncio"))]
    assert all(record.exc_info is None for record in lines)
    assert not any(CONTROL.search(record.getMessage()) for record in lines)
    assert len(lines) <= len(noises)

"""Hostile and broken peers: the documented status or close code, one log line, nobody else touched."""

import asyncio
import zlib

import pytest

from attacks.world import DEFLATE, PATIENCE, Target, accept_deflate, close_code, frame, frames, meet, request, status

BAD_REQUESTS = {
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
    "nul": (b"\x00" * 100, 400),
    "rawsocket": (b"\x7f\xf1\x00\x00", 400),
    "plain": (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426),
    "post": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 405),
    "http10": (b"GET / HTTP/1.0\r\n\r\n", 505),
    "bare lf": (request().replace(b"\r\n", b"\n"), 400),
    "header count": (request(*[b"A: b"] * 101), 431),
    "split header": (request(b"X: a\x85Origin: http://evil"), 400),
    "two hosts": (request(b"Host: other"), 400),
    "body": (request(b"Content-Length: 5") + b"hello", 400),
    "extensions": (request(b'Sec-WebSocket-Extensions: a; b="' + rb"\c" * 1000), 400),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_bad_requests(name, bytewise, caplog):
    data, expected = BAD_REQUESTS[name]
    async with Target(caplog) as target:
        answer = await target.attack(*(data[at : at + 1] for at in range(len(data))) if bytewise else [data])
        assert status(answer) == expected
        assert b"evil" not in answer
        assert target.factory.requests == []
        assert target.factory.closes[-1][:2] == (False, 1006)
    assert len(target.lines()) == 1


async def test_an_endless_head_is_cut_off(caplog, loop_name):
    async with Target(caplog) as target:
        answer = await target.attack(b"GET / HTTP/1.1\r\nX: ", *([b"a" * 8192] * 500))
        assert answer == b"" or status(answer) == 431
    assert len(target.lines()) == 1
    assert "431" in target.lines()[0]


async def test_a_port_scanner_that_says_nothing_and_goes(caplog):
    async with Target(caplog) as target:
        peer = await target.connect()
        await peer.close()
    assert target.lines() == []


BAD_FRAMES = {
    "unmasked": (frame(1, b"hi", key=None), 1002),
    "opcode": (frame(0x3), 1002),
    "rsv1": (frame(1, b"x", rsv=4), 1002),
    "rsv2": (frame(1, rsv=2), 1002),
    "continuation": (frame(0, b"x"), 1002),
    "interleaved": (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    "fragmented ping": (frame(9, fin=False), 1002),
    "utf-8": (frame(1, b"a\xc0\xaf"), 1007),
    "too big": (frame(2, size=1 << 40), 1009),
    "top bit": (frame(2, size=1 << 63), 1002),
    "not minimal": (b"\x82\xfe\x00\x05" + bytes(9), 1002),
    "close code": (frame(8, b"\x03\xed"), 1002),
    "close length": (frame(8, b"\x03"), 1002),
    "close text": (frame(8, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
@pytest.mark.parametrize("by_drop", [True, False])
async def test_bad_frames(name, by_drop, caplog):
    data, code = BAD_FRAMES[name]
    async with Target(caplog, failByDrop=by_drop) as target:
        answer = await target.attack_open(frame(2, b"before"), data, frame(2, b"after"))
        assert [opcode for opcode, _ in frames(answer)] == [2, 8]
        assert close_code(answer) == code
        assert len(target.lines()) == 1
        assert str(code) in target.lines()[0]
        assert [close[:2] for close in target.factory.closes] == [(False, 1006)]


async def test_the_close_frame_survives_what_is_still_being_sent(caplog, loop_name):
    async with Target(caplog, maxMessagePayloadSize=1000) as target:
        assert close_code(await target.attack_open(frame(2, bytes(5_000_000)))) == 1009


@pytest.mark.parametrize("data", [b"\xff" * 100, b"\x07", zlib.compress(b"a" * 100)])
async def test_octets_that_are_no_deflate_data(data, caplog):
    async with Target(caplog, perMessageCompressionAccept=accept_deflate) as target:
        answer = await target.attack_open(frame(2, data, rsv=4), headers=[DEFLATE[:-2]])
        assert close_code(answer) == 1007
    assert len(target.lines()) == 1


async def test_a_peer_that_vanishes_in_the_middle(caplog, loop_name):
    async with Target(caplog) as target:
        peer = await target.connect()
        await peer.send(b"GET / HT")
        others = [await target.open(), await target.open()]
        await others[0].send(frame(2, b"half of a message")[:10])
        for each in (peer, *others):
            each.writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while len(target.factory.closes) < 3:
                await asyncio.sleep(0.005)
        assert all(not clean and code == 1006 for clean, code, _ in target.factory.closes)
        assert "peer dropped the TCP connection without" in target.factory.closes[-1][2]
    assert target.lines() == []


@pytest.mark.parametrize("answer", [b"\x00\x01", b"SSH-2.0-x\r\n", b"HTTP/1.1 101 OK\r\n\r\n", b""], ids=range(4))
async def test_servers_of_another_kind(answer, caplog):
    """More answers: tests/attacks/test_clients.py."""
    caplog.set_level("INFO")

    async def serve(peer, head):
        await peer.send(answer)

    client, _ = await meet(serve)
    assert not client.opened
    assert client.done.result()[:2] == (False, 1006)
    assert len(caplog.records) == (1 if answer else 0)
    assert all(record.exc_info is None for record in caplog.records)

"""Compression, opening handshakes, and memory of idle connections of echo servers side by side."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import tempfile
import time

import harness
import tables
import ws_server

REQUEST = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
)
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
SIZE = 100 * 1024
SETTLED = 18.0  # seconds until idle contexts of ours are given back: 5 to 10 s, and up to 7 until malloc is trimmed


# -- compression --

DEFLATE_NOTE = (
    "CPU µs of the server per message of 100 KiB JSON text which is inflated, given to the program and deflated again; "
    "each library with what it negotiates by default (ratio to ours, which takes isal if installed, else zlib)."
)


def backends() -> list[str]:
    """Ours with other implementations of deflate, if they can be installed."""
    try:
        harness.environment("backends")
    except subprocess.CalledProcessError as exc:
        print(f"without other backends: {exc}", flush=True)
        return []
    return ["ours zlib", "ours zlib-ng"]


def deflate(options: tables.Options) -> tables.Table:
    """Echo of compressed text."""
    rounds, seconds = options.sized(6, 0.25)
    generator = harness.build("wsbench")
    known = ["ours", *backends(), "picows", "aiohttp", "websockets", "autobahn"]
    names = options.wanted(known, "ours")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        started = {who: ws_server.start(who, folder, "deflate") for who in names}
        frame = folder / "frame"
        frame.write_bytes(harness.masked_frame(harness.deflated(harness.json_text(SIZE)), True, True))
        with harness.serving(started) as servers:
            tables.require(names, list(servers))
            for inflight in (1, 16):

                def measure(who: str, inflight: int = inflight) -> harness.Sample | None:
                    server = servers[who]
                    numbers = [str(inflight), "1", str(seconds / 3), str(seconds)]
                    command = [str(server.port), "deflate", str(frame), *numbers, server.pids()]
                    return harness.load([generator, "load", *command])

                samples = tables.interleave(list(servers), rounds, measure)
                label = f"100 KiB JSON, {inflight} in flight"
                rows.append(tables.Row(label, "≤ 400 µs", tables.summarize(samples, "ours")))
                print(f"measured: deflate, {label}", flush=True)
    title = "permessage-deflate: CPU µs per echoed message"
    return tables.Table(title, names, rows, "ours", DEFLATE_NOTE)


# -- handshakes --

HANDSHAKE_NOTE = (
    "CPU µs of the server for one connection that is opened, upgraded, closed by close frames and gone (ratio to the C "
    "server). One at a time every step wakes the loop; the goal is for a loop that has work. Requests differ in their "
    "keys, as those of clients of one kind do, or in a cookie as well: ours judges a request that differs from a known "
    "one in nothing but the key and cookies by these alone."
)


VISITORS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("32 at a time", "≤ 120 µs", "32", ()),
    ("32 at a time, a cookie each", "", "32", ("cookies",)),
    ("1 at a time", "", "1", ()),
]


def handshakes(options: tables.Options) -> tables.Table:
    """Opening and closing."""
    rounds, seconds = options.sized(7, 0.3)
    generator = harness.build("wsbench")
    same = (*ws_server.OCTETS, "ours pure + speedups")  # no handshake of its own, no frames
    names = options.wanted(["C", *(name for name in ws_server.competitors() if name not in same)], "C")
    rows = []
    for loop in ("asyncio", "uvloop"):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            started = {who: ws_server.start(who, folder, *([loop] if loop == "uvloop" else [])) for who in names}
            with harness.serving(started) as servers:
                tables.require(names, list(servers))

                for label, goal, parallel, more in VISITORS:

                    def measure(
                        who: str, servers: dict = servers, parallel: str = parallel, more: tuple[str, ...] = more
                    ) -> harness.Sample | None:
                        server = servers[who]
                        numbers = [str(server.port), parallel, str(seconds)]
                        return harness.load([generator, "handshakes", *numbers, server.pids(), *more])

                    samples = tables.interleave(list(servers), rounds, measure)
                    rows.append(tables.Row(f"{loop}, {label}", goal, tables.summarize(samples, "C")))
                    print(f"measured: handshakes, {loop}, {label}", flush=True)
    return tables.Table("Handshake: CPU µs per connection", names, rows, "C", HANDSHAKE_NOTE)


# -- memory --

MEMORY_NOTE = (
    "KiB of memory of the server (PSS) per open connection beyond the first hundred, each library in a process of its "
    "own; the kernel's socket buffers do not count. *After one message*: each has echoed 1 KiB of compressed text, and "
    "eighteen seconds have passed; ours gives contexts back after five to ten (`compressionIdleTimeout`), and trims."
)


def opened(port: int, extra: str = "") -> socket.socket:
    """A socket with a WebSocket on it; ConnectionError when the server refuses, or `extra` has no answer."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(REQUEST.format(port=port, extra=extra).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError(f"expected 101, got {answer[:60]!r} and the end")
        answer += data
    if extra and b"permessage-deflate" not in answer:
        raise ConnectionError("expected permessage-deflate, got no extension")
    return sock


def echo(sock: socket.socket, frame: bytes) -> None:
    """One message there and back."""
    sock.sendall(frame)
    have = sock.recv(65536)
    need = 2 + (have[1] & 127) if have[1] & 127 < 126 else 4 + int.from_bytes(have[2:4], "big")
    while len(have) < need:
        have += sock.recv(65536)


def grown(server: harness.Server, before: int, count: int) -> tables.Cell:
    """KiB per connection since then."""
    return tables.Cell(value=(harness.resident(server.family()) - before) / count / 1024)


def idle(options: tables.Options) -> tables.Table:
    """Memory per connection: plain, with deflate negotiated, with deflate used once."""
    count = 300 if options.quick else 1500
    labels = ("plain", "deflate negotiated", "deflate, after one message")
    goals = ("≤ 8 KiB", "≤ 16 KiB", "≤ 16 KiB")
    rows = [tables.Row(label, goal, {}) for label, goal in zip(labels, goals, strict=True)]
    names = options.wanted(["ours", "ours pure", "picows", "aiohttp", "websockets", "autobahn"])
    message = harness.masked_frame(harness.deflated(harness.json_text(1024)), True, True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for deflated in (False, True):
            started = {who: ws_server.start(who, folder, *(["deflate"] if deflated else [])) for who in names}
            with harness.serving(started) as servers:
                crowds, before = {}, {}
                for who, server in servers.items():
                    crowds[who] = [opened(server.port, OFFER if deflated else "") for _ in range(100)]
                    if deflated:
                        echo(crowds[who][0], message)  # what is imported or allocated once
                for who, server in servers.items():
                    before[who] = harness.resident(server.family())
                    crowds[who] += [opened(server.port, OFFER if deflated else "") for _ in range(count)]
                time.sleep(0.5)
                for who, server in servers.items():
                    rows[deflated].cells[who] = grown(server, before[who], count)
                if deflated:
                    for crowd in crowds.values():
                        for sock in crowd[100:]:
                            echo(sock, message)
                    time.sleep(SETTLED)
                    for who, server in servers.items():
                        rows[2].cells[who] = grown(server, before[who], count)
                for crowd in crowds.values():
                    for sock in crowd:
                        sock.close()
            print(f"measured: memory, {'deflate' if deflated else 'plain'}", flush=True)
    return tables.Table("Memory: KiB per idle connection", names, rows, note=MEMORY_NOTE)

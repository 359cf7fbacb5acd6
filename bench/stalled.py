"""One subscriber of many stops reading: do the others notice, and does the router's memory grow?

`python bench/stalled.py [--subscribers 1000] [--rounds 60] [--phases 6]` starts a router in a process of its own
(`slow_policy = "drop-oldest"`) and subscribes that many RawSocket clients to one topic. A round is one event that all
have to have before the next one is published. In every other phase one of the clients does not read, and so much has
been sent to it that no buffer of the system has room left. Printed for each phase: milliseconds from the publication
to the arrival at each of the others (median, 99th percentile), and the router's memory; lost is an event that one of
the others did not get.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
[realms.realm1]
slow_policy = "drop-oldest"
slow_queue = 1000000
roles.anonymous = true
[admission]
max_pending = 5000
[[listeners]]
url = "rs://127.0.0.1:0"
[log]
level = "error"
"""
FILLER = 300  # events of 60 kB: more than the system keeps for a connection


class Client(asyncio.Protocol):
    """A subscriber; `arrived(client)` is called for each event of the topic."""

    def __init__(self, arrived) -> None:
        self.arrived = arrived
        self.data = bytearray()
        self.is_up = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(b"\x7f\xf1\x00\x00")

    def say(self, *message) -> None:
        payload = json.dumps(message).encode()
        self.transport.write(len(payload).to_bytes(4) + payload)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.is_up and len(self.data) >= 4:
            self.is_up = True
            del self.data[:4]
            self.say(1, "realm1", {"roles": {"subscriber": {}, "publisher": {}}})
        while self.is_up and len(self.data) >= 4:
            size = int.from_bytes(self.data[1:4])
            if len(self.data) < 4 + size:
                return
            self.message(bytes(self.data[4 : 4 + size]))
            del self.data[: 4 + size]

    def message(self, payload: bytes) -> None:
        if payload.startswith(b"[36,"):
            if b'"fill"' not in payload[:100]:
                self.arrived(self)
        elif payload.startswith(b"[2,"):
            self.say(32, 1, {}, "com.all")
        elif payload.startswith(b"[33,") and not self.ready.done():
            self.ready.set_result(None)


class Rounds:
    """The rounds of all phases."""

    def __init__(self, host: str, port: int, count: int) -> None:
        self.address, self.count = (host, port), count
        self.delays: list[float] = []
        self.begun = 0.0
        self.missing: set[Client] = set()
        self.complete = asyncio.Event()

    async def connect(self, narrow: bool = False) -> Client:
        sock = socket.socket()
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self.address)
        _, client = await loop.create_connection(lambda: Client(self.arrived), sock=sock)
        await client.ready
        return client

    async def join(self) -> None:
        self.clients = [await self.connect() for _ in range(self.count - 1)]
        self.slow = await self.connect(narrow=True)
        self.slow.say(32, 2, {}, "com.fill")
        self.publisher = await self.connect()

    def arrived(self, client: Client) -> None:
        if client in self.missing:
            self.delays.append(time.perf_counter() - self.begun)
            self.missing.discard(client)
            if not self.missing:
                self.complete.set()

    async def phase(self, rounds: int, stalls: bool) -> tuple[float, float, int]:
        """Median and 99th percentile in milliseconds, and how many events were lost."""
        if stalls:
            self.slow.transport.pause_reading()
            for _ in range(FILLER):
                self.publisher.say(16, 1, {}, "com.fill", ["fill", "x" * 60_000])
                await asyncio.sleep(0)
        else:
            self.slow.transport.resume_reading()
        await asyncio.sleep(1)
        self.delays, lost = [], 0
        for _ in range(rounds):
            self.missing = set(self.clients)
            self.complete.clear()
            self.begun = time.perf_counter()
            self.publisher.say(16, 1, {}, "com.all", ["x" * 1000])
            try:
                async with asyncio.timeout(10):
                    await self.complete.wait()
            except TimeoutError:
                lost += len(self.missing)
        return statistics.median(self.delays) * 1e3, statistics.quantiles(self.delays, n=100)[98] * 1e3, lost


def memory(pid: int) -> float:
    """Resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def run(arguments: argparse.Namespace, host: str, port: int, pid: int) -> int:
    rounds = Rounds(host, port, arguments.subscribers)
    await rounds.join()
    print(f"{arguments.subscribers} subscribers, memory {memory(pid):.1f} MB")
    await rounds.phase(arguments.rounds, False)  # warm
    total = 0
    for number in range(arguments.phases):
        stalls = number % 2 == 1
        median, high, lost = await rounds.phase(arguments.rounds, stalls)
        total += lost
        name = "one stalled" if stalls else "all read   "
        print(f"{name}  median {median:6.2f} ms  p99 {high:6.2f} ms  lost {lost}  memory {memory(pid):6.1f} MB")
    return 1 if total else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--phases", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIG)
        file.flush()
        command = [sys.executable, "-m", "autobahn", "router", "--config", file.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as router:
            try:
                host, port = re.search(r"rs://([\d.]+):(\d+)", router.stdout.readline()).groups()
                return asyncio.run(run(arguments, host, int(port), router.pid))
            finally:
                router.terminate()


if __name__ == "__main__":
    sys.exit(main())

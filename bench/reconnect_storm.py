"""Many clients that lost their router come back at once: how long until all have a session, and does any time out?

`python bench/reconnect_storm.py [--clients 5000] [--max-pending 1000]` starts a router in a process of its own and
connects all clients at once from this one (and from `--processes` others). A client that is refused comes back after
the seconds it is told, at a moment of that second drawn at random, as reconnecting clients should. Counted are
refusals (503), handshakes that timed out, and the seconds until WELCOME; all have to be in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
[realms.realm1.roles]
anonymous = true
[admission]
max_pending = {max_pending}
[[listeners]]
url = "ws://127.0.0.1:0/ws"
[log]
level = "warn"
"""
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
)
HELLO = json.dumps([1, "realm1", {"roles": {"caller": {}}}]).encode()


def masked(payload: bytes) -> bytes:
    """A text frame with a key of zeros."""
    head = bytes((0x81, 0x80 | len(payload))) if len(payload) < 126 else bytes((0x81, 0xFE)) + len(payload).to_bytes(2)
    return head + bytes(4) + payload


class Client(asyncio.Protocol):
    """Joins as soon as it may; `done` gets "joined", the seconds to wait, or what went wrong."""

    def __init__(self, done: asyncio.Future) -> None:
        self.done = done
        self.data = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.done.done():
            return
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"HTTP/1.1 101"):
            if not rest and not getattr(self, "asked", False):
                self.asked = True
                self.transport.write(masked(HELLO))
            elif b"[2," in rest[:8]:
                self.done.set_result("joined")
            elif rest:
                self.done.set_result(f"refused: {rest!r:.100}")
        elif match := re.search(rb"Retry-After: (\d+)", head):
            self.done.set_result(int(match[1]))
        else:
            self.done.set_result(head.decode())

    def connection_lost(self, exc) -> None:
        if not self.done.done():
            self.done.set_result(f"lost: {exc}")


async def join(port: int, patience: float, keep: list, tally: dict) -> float:
    """Seconds until this client has a session."""
    loop, start = asyncio.get_running_loop(), time.monotonic()
    while True:
        done, begun = loop.create_future(), time.monotonic()
        try:
            async with asyncio.timeout(patience):
                transport, _ = await loop.create_connection(lambda done=done: Client(done), "127.0.0.1", port)
                outcome = await done
        except TimeoutError:
            outcome = "timed out"
        except OSError as exc:
            outcome = f"not connected: {exc.strerror}"
        if outcome == "joined":
            keep.append(transport)
            longest = "longest handshake (ms)"
            tally[longest] = max(tally.get(longest, 0), round((time.monotonic() - begun) * 1000))
            return time.monotonic() - start
        if isinstance(outcome, int):
            tally["refused"] = tally.get("refused", 0) + 1
            transport.close()
            await asyncio.sleep(outcome - random.random())
        else:
            tally[outcome] = tally.get(outcome, 0) + 1
            await asyncio.sleep(random.random())


def worker(port: int, count: int, patience: float, go, results, over) -> None:
    """One process of clients; they stay until all are in."""

    async def main() -> None:
        keep: list = []
        tally: dict = {}
        await asyncio.to_thread(go.wait)
        times = await asyncio.gather(*(join(port, patience, keep, tally) for _ in range(count)))
        results.put((times, tally))
        await asyncio.to_thread(over.wait)

    asyncio.run(main())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--max-pending", type=int, default=1000)
    parser.add_argument(
        "--patience", type=float, default=5.0, help="seconds a client waits for its handshake and WELCOME"
    )
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIG.format(max_pending=args.max_pending))
        file.flush()
        router = subprocess.Popen(
            [sys.executable, "-m", "autobahn", "router", "--config", file.name], stdout=subprocess.PIPE, text=True
        )
        port = int(re.search(r":(\d+)/ws", router.stdout.readline())[1])
        go, over, results = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
        share = args.clients // args.processes
        workers = [
            multiprocessing.Process(target=worker, args=(port, share, args.patience, go, results, over))
            for _ in range(args.processes)
        ]
        for process in workers:
            process.start()
        time.sleep(1.0)
        go.set()
        times: list[float] = []
        tally: dict = {}
        for _ in workers:
            part, counts = results.get()
            times += part
            for name, count in counts.items():
                merge = max if "longest" in name else int.__add__
                tally[name] = merge(tally.get(name, 0), count)
        used = resource_of(router.pid)
        over.set()
        for process in workers:
            process.join()
        router.send_signal(signal.SIGTERM)
        router.send_signal(signal.SIGTERM)
        router.wait(30)
    times.sort()
    half, most = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"{len(times)} clients in: half after {half:.2f} s, 99 % after {most:.2f} s, all after {times[-1]:.2f} s")
    print(f"{tally or 'nobody refused'}; router: {used}")


def resource_of(pid: int) -> str:
    """CPU seconds and memory of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    rss = next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return f"{seconds:.2f} s CPU, {int(rss) // 1024} MiB"


if __name__ == "__main__":
    main()

"""Thousands of connections for minutes, with random messages and random ends: no error, no leak.

    python bench/soak.py                                       # 10,000 connections, 10 minutes
    python bench/soak.py --connections 2000 --minutes 2        # an impression
    python bench/soak.py --uvloop

The server is this process, the clients another; all traffic is on loopback. A client connects, sends messages and
compares the echoes, and ends in one of many ways: in order, at the server's wish, by FIN or RST, in the middle of the
handshake or of a frame, by breaking the protocol. Then it begins anew. Exit status 0 when in the end nothing was
logged and no exception reached the loop; no echo was wrong; every connection got its one `onClose`; connections,
tasks, sockets and protocol objects are back where they began; and memory was flat once all connections stood.

Memory is what the process holds after `malloc_trim`: what the allocator keeps back follows the busiest moment so far,
which on a shared machine comes at any time. For the same reason the lowest samples of a quarter count, not its mean.
"""

import argparse
import asyncio
import collections
import contextlib
import ctypes
import gc
import json
import logging
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import time

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.frames import COMPILED

SIZES = [0, 1, 10, 100, 125, 126, 1000, 1000, 5000, 70_000]
PATIENCE = 60  # seconds; also for the closing handshake: a crowd that ends at once waits for its turn
ALLOWED_GROWTH = 0.02  # of the memory at the beginning of the measured time, and 2 MiB
AT_THE_DOOR = 100  # connections that open at a time, so that a slow machine does not keep the server waiting
C = ctypes.CDLL(None)


class Problems(logging.Handler):
    """Every warning, error and traceback."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.seen = []
        logging.getLogger().addHandler(self)

    def emit(self, record):
        self.seen.append(record.getMessage())

    def reached_the_loop(self, _loop, context):
        self.seen.append(repr(context))


def allow_sockets(count):
    """This process may have so many; SystemExit when the system says no."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
        except (ValueError, OSError):
            sys.exit(f"soak: expected leave for {count} open files, got {hard} (ulimit -Hn)")


def memory():
    """Resident KiB of this process, without what its allocator keeps back for later."""
    if hasattr(C, "malloc_trim"):
        C.malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def sockets():
    """How many sockets this process has."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


# -- server ------------------------------------------------------------------------------------------------------


class Server(WebSocketServerProtocol):
    def onOpen(self):
        self.factory.counts["opened"] += 1

    def onMessage(self, payload, isBinary):
        self.factory.counts["messages"] += 1
        if payload == b"close me":
            self.sendClose(3001, "as you like")
        else:
            self.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        self.factory.counts["closed"] += 1
        self.factory.counts[f"closed with {code}"] += 1


async def serve(arguments, problems):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(problems.reached_the_loop)
    factory = WebSocketServerFactory()
    factory.protocol = Server
    factory.counts = collections.Counter()
    factory.setProtocolOptions(
        perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0]),
        closeHandshakeTimeout=PATIENCE,
        openHandshakeTimeout=PATIENCE,
    )
    sockets_before, tasks_before = sockets(), len(asyncio.all_tasks())
    server = await loop.create_server(factory, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, __file__, "--clients", str(port), f"--connections={arguments.connections}"]
    command += [f"--minutes={arguments.minutes}", f"--rate={arguments.rate}", f"--seed={arguments.seed}"]
    command += [f"--deflate={arguments.deflate}"]
    clients = await asyncio.create_subprocess_exec(*command, *["--uvloop"] * arguments.uvloop, stdout=subprocess.PIPE)
    begin, samples = time.monotonic(), []
    waiting = asyncio.ensure_future(clients.communicate())
    while not waiting.done():
        await asyncio.wait({waiting}, timeout=2)
        now, most = time.monotonic() - begin, factory.countConnections
        samples.append((now, memory(), most))
        if len(samples) % 10 == 0:
            print(f"{now:5.0f} s  {most:6} connections  {memory() / 1024:7.1f} MiB  {dict(factory.counts)}", flush=True)
    output, _ = waiting.result()
    deadline = time.monotonic() + PATIENCE
    while factory.countConnections and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.1)
    gc.collect()
    wrong = account(factory, sockets_before, tasks_before)
    wrong += flat(samples, arguments)
    if clients.returncode:
        wrong.append(f"the clients ended with status {clients.returncode}")
    else:
        report = json.loads(output)
        print("clients:", json.dumps(report["counts"]))
        wrong += report["wrong"]
        if report["counts"].get("sent", 0) < arguments.connections:
            wrong.append(f"expected at least a message per connection, got {report['counts'].get('sent')}")
    print("server: ", json.dumps(factory.counts))
    return wrong


def account(factory, sockets_before, tasks_before):
    """What is not back where it was."""
    wrong = []
    left = sum(isinstance(item, Server) for item in gc.get_objects())
    for what, before, now in (
        ("connections", 0, factory.countConnections),
        ("sockets", sockets_before, sockets()),
        ("tasks", tasks_before, len(asyncio.all_tasks())),
        ("protocol objects", 0, left),
    ):
        print(f"{what}: {before} before, {now} after")
        if before != now:
            wrong.append(f"{what}: {before} before, {now} after")
    if factory.counts["closed"] < factory.counts["opened"]:
        wrong.append(f"{factory.counts['opened']} connections were opened, {factory.counts['closed']} closed")
    return wrong


def lowest(samples):
    """KiB: the mean of the lowest quarter."""
    sizes = sorted(kib for _, kib, _ in samples)[: max(1, len(samples) // 4)]
    return sum(sizes) / len(sizes)


def flat(samples, arguments, share=0.9):
    """Whether memory grew between the time when that share of all connections stood and the end."""
    stood = [sample for sample in samples if sample[2] > share * arguments.connections]
    stood = stood[len(stood) // 2 :]  # until all have compressed something once, more contexts are no leak
    if len(stood) < 8:
        return [f"expected {arguments.connections} connections for some time, got {max(s[2] for s in samples)} at most"]
    quarter = len(stood) // 4
    first, last = lowest(stood[:quarter]), lowest(stood[-quarter:])
    minutes = (stood[-1][0] - stood[0][0]) / 60
    mean_time, mean = sum(s[0] for s in stood) / len(stood), sum(s[1] for s in stood) / len(stood)
    slope = sum((t - mean_time) * (k - mean) for t, k, _ in stood) / sum((t - mean_time) ** 2 for t, _, _ in stood)
    print(
        f"memory: {first / 1024:.1f} MiB, {minutes:.1f} minutes later {last / 1024:.1f} MiB; {slope * 60:+.0f} KiB/min"
    )
    if last - first > ALLOWED_GROWTH * first + 2048:
        return [f"memory grew from {first / 1024:.1f} to {last / 1024:.1f} MiB"]
    return []


# -- clients -----------------------------------------------------------------------------------------------------


class Client(WebSocketClientProtocol):
    def __init__(self):
        super().__init__()
        self.echoes = asyncio.Queue()
        self.finished = asyncio.get_running_loop().create_future()

    def onMessage(self, payload, isBinary):
        self.echoes.put_nowait((payload, isBinary))

    def onClose(self, wasClean, code, reason):
        self.finished.set_result((wasClean, code))


class Crowd:
    """All clients."""

    def __init__(self, arguments):
        self.port, self.seconds = arguments.clients, arguments.minutes * 60
        self.size, self.pause = arguments.connections, arguments.connections / arguments.rate
        self.deflate = arguments.deflate
        self.rng = random.Random(arguments.seed)
        self.noise = self.rng.randbytes(200_000)
        self.counts = collections.Counter()
        self.wrong = []
        self.over = asyncio.Event()
        self.door = asyncio.Semaphore(AT_THE_DOOR)
        self.endings = [
            *(self.in_order, self.in_order, self.in_order, self.servers_wish, self.by_fin, self.by_reset),
            *(self.in_a_frame, self.in_a_message, self.in_the_handshake, self.by_violation, self.in_order),
        ]

    async def run(self):
        ramp = max(1.0, self.size / 400)
        workers = [asyncio.ensure_future(self.work(number, ramp * number / self.size)) for number in range(self.size)]
        await asyncio.sleep(self.seconds)
        self.over.set()
        await asyncio.wait_for(asyncio.gather(*workers), 2 * PATIENCE)
        return {"counts": self.counts, "wrong": self.wrong[:20]}

    async def idle(self, seconds):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    async def work(self, number, delay):
        await self.idle(delay)
        while not self.over.is_set():
            try:
                await self.live(number)
            except Exception as exc:
                self.wrong.append(repr(exc))
                await self.idle(1)

    async def live(self, number):
        rng = self.rng
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{self.port}")
        factory.protocol = Client
        factory.setProtocolOptions(
            closeHandshakeTimeout=PATIENCE, serverConnectionDropTimeout=PATIENCE, openHandshakeTimeout=PATIENCE
        )
        if rng.random() < self.deflate:
            factory.setProtocolOptions(perMessageCompressionOffers=[PerMessageDeflateOffer()])
        address = f"127.0.{1 + number // 250 % 250}.{1 + number % 250}", 0
        make = asyncio.get_running_loop().create_connection
        async with self.door:
            _, client = await make(factory, "127.0.0.1", self.port, local_addr=address)
            await asyncio.wait_for(client.is_open, PATIENCE)
        self.counts["connections"] += 1
        for _ in range(1 + int(rng.expovariate(1 / 10))):
            for sent in [self.message() for _ in range(rng.choice([1, 1, 1, 5]))]:
                self.counts["sent"] += 1
                client.sendMessage(*sent, fragmentSize=rng.choice([None, None, None, 500]))
                if await asyncio.wait_for(client.echoes.get(), PATIENCE) != sent:
                    self.wrong.append(f"an echo of {len(sent[0])} octets was wrong")
            if self.over.is_set():
                break
            await self.idle(rng.expovariate(1 / self.pause))
        ending = rng.choice(self.endings)
        self.counts[ending.__name__] += 1
        expected = ending(client)
        result = await asyncio.wait_for(client.finished, PATIENCE)
        if expected is not None and result != expected:
            self.wrong.append(f"{ending.__name__}: expected {expected}, got {result}")

    def message(self):
        size = self.rng.choice(SIZES)
        at = self.rng.randrange(len(self.noise) - size)
        if self.rng.random() < 0.5:
            return self.noise[at : at + size], True
        return self.noise[at : at + size // 2].hex().encode(), False

    # Each ends the connection and says with what, as far as that is certain.

    def in_order(self, client):
        client.sendClose(1000, "done")
        return True, 1000

    def servers_wish(self, client):
        client.sendMessage(b"close me")
        return True, 3001

    def by_fin(self, client):
        client.transport.close()

    def by_reset(self, client):
        sock = client.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()

    def in_a_frame(self, client):
        client.transport.write(b"\x82\xfe\x10\x00abcd" + self.noise[: self.rng.randrange(4000)])
        self.rng.choice((self.by_fin, self.by_reset))(client)

    def in_a_message(self, client):
        client.beginMessage(True)
        client.sendMessageFrame(b"the first of two")
        self.rng.choice((self.by_fin, self.by_reset))(client)

    def by_violation(self, client):
        client.transport.write(self.rng.choice((b"\x81\x01a", b"\xff\x80abcd", b"\x83\x80abcd", b"\x88\x81abcda")))

    def in_the_handshake(self, client):
        """Ends this one in order; and another one comes that never gets that far."""
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self.port))
            with contextlib.suppress(BlockingIOError):
                sock.send(b"GET / HTTP/1.1\r\nHost: h\r\n"[: self.rng.randrange(24)])
            if self.rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self.in_order(client)


async def crowd(arguments, problems):
    asyncio.get_running_loop().set_exception_handler(problems.reached_the_loop)
    people = Crowd(arguments)
    report = await people.run()
    gc.collect()
    left = sum(isinstance(item, Client) for item in gc.get_objects())
    if left:
        report["wrong"].append(f"expected no client protocols in the end, got {left}")
    report["wrong"] += [f"clients logged: {line}" for line in problems.seen[:20]]
    print(json.dumps(report))


def main():
    parser = argparse.ArgumentParser(description="Many connections with random messages and ends.")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=600, help="rounds of messages per second, of all connections")
    parser.add_argument("--deflate", type=float, default=0.3, help="how many of the connections compress")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--clients", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    allow_sockets(arguments.connections + 200)
    problems = Problems()
    loop_factory = None
    if arguments.uvloop:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        if arguments.clients:
            runner.run(crowd(arguments, problems))
            return 0
        print(
            f"{arguments.connections} connections, {arguments.minutes:g} minutes, compiled unit: {COMPILED}", flush=True
        )
        wrong = runner.run(serve(arguments, problems))
    wrong += [f"server logged: {line}" for line in problems.seen[:20]]
    print("\n".join(wrong) or "no error, no leak")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

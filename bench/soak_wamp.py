"""Thousands of churning WAMP sessions on one router for minutes: every call answered, no error, no leak.

    python bench/soak_wamp.py                                   # 2,000 sessions, 30 minutes
    python bench/soak_wamp.py --sessions 300 --minutes 1        # an impression

The router is this process, the clients are several others; all traffic is on loopback, over WebSocket and RawSocket
with json, msgpack and cbor. A session joins, calls, serves calls (some slowly), subscribes, publishes, leaves
testaments, stops reading for a while; and it ends in one of many ways, with calls in flight at either end: GOODBYE,
FIN, RST, in the middle of a message, by breaking the protocol. Then another one joins. Exit status 0 when in the end
nothing was logged and no exception reached the loop; every call had its result or an error that fits, within minutes;
no book of the realm holds anything; sessions, sockets, tasks and objects are back where they began; and memory was
flat.

The router is judged, not the machine: a client process that is late itself (its own loop lags) pauses longer and keeps
its sessions longer, by the factor printed as `slowest pace`, and has patience for minutes. The default load (50 joins
and 300 acts a second) is what client processes on two cores can do beside the router without being late.
"""

import argparse
import asyncio
import collections
import contextlib
import gc
import json
import random
import socket
import struct
import subprocess
import sys
import time

import soak

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.router.peer import PendingCall
from autobahn.router.session import RouterSession
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import ComponentConfig, PublishOptions, RegisterOptions, SubscribeOptions

REALM = "realm1"
SERIALIZERS = [JsonSerializer, MsgPackSerializer, CBORSerializer]
TOPICS, PROCEDURES = 40, 20
PATIENCE = 300  # seconds for whatever is asked of the router; a minute was too little for starved clients
LOOK = 0.25  # seconds between two looks at the lag of a client's loop
LATE = 0.05  # seconds of lag that double its pauses
# A callee may be gone before or while it is called, a session may end while its own call is under way.
EXPECTED = {"wamp.error.no_such_procedure", "wamp.error.canceled", "wamp.error.unavailable", "wamp.error.callee_gone"}


# -- router ------------------------------------------------------------------------------------------------------


def books(router):
    """What the router remembers of its clients, as numbers."""
    realm = router.core.realms[REALM]
    broker, dealer = realm.broker, realm.dealer
    return {
        "links": len(router.core.links),
        "sessions": len(realm.sessions),
        "subscriptions": len(broker.by_id),
        "subscribed topics": len(list(broker.subscriptions.values())),
        "registrations": len(dealer.registrar.by_id),
        "registered procedures": len(list(dealer.registrations.values())),
        "testaments": len(realm.testaments._books),
        "sockets": soak.sockets(),
        "tasks": len(asyncio.all_tasks()),
        "session objects": count_objects(RouterSession),
        "calls": count_objects(PendingCall),
    }


def count_objects(kind):
    """How many objects of that class are alive."""
    return sum(isinstance(item, kind) for item in gc.get_objects())


async def serve(arguments, problems):
    """Router and clients until the time is over; what was wrong."""
    asyncio.get_running_loop().set_exception_handler(problems.reached_the_loop)
    wrong, samples = [], []
    async with Router("ws://127.0.0.1:0/ws", realms=[REALM], hello_timeout=PATIENCE) as router:
        before = books(router)
        realm, port = router.core.realms[REALM], int(router.url.rpartition(":")[2].partition("/")[0])
        begin, garbage = time.monotonic(), sum(generation["collected"] for generation in gc.get_stats())
        clients = [await start_clients(arguments, port, number) for number in range(arguments.processes)]
        waiting = asyncio.gather(*(process.communicate() for process in clients))
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=2)
            now = time.monotonic() - begin
            samples.append((now, soak.memory(), len(realm.sessions)))
            if len(samples) % 10 == 0:
                mib = soak.memory() / 1024
                shown = f"{len(realm.sessions):6} sessions {len(realm.broker.by_id):5} subscriptions"
                print(
                    f"{now:5.0f} s {shown} {len(realm.dealer.registrar.by_id):4} registrations {mib:7.1f} MiB",
                    flush=True,
                )
        garbage = sum(generation["collected"] for generation in gc.get_stats()) - garbage
        after = await settled(router, before)
        for what, number in before.items():
            print(f"{what}: {number} before, {after[what]} after")
            if after[what] != number:
                wrong.append(f"{what}: {number} before, {after[what]} after")
        if not realm.is_empty():
            wrong.append("the realm is not empty")
        wrong += soak.flat(samples, arguments, 0.75)  # the others are about to join
    counts = collections.Counter()
    for process, (output, _) in zip(clients, waiting.result(), strict=True):
        if process.returncode:
            wrong.append(f"clients ended with status {process.returncode}")
            continue
        report = json.loads(output)
        for what, number in report["counts"].items():
            counts[what] = max(counts[what], number) if what.startswith("slowest") else counts[what] + number
        wrong += report["wrong"]
    print("clients:", json.dumps(counts))
    print(f"cyclic garbage: {garbage / max(1, counts['sessions']):.1f} objects a session")
    return wrong + too_little(counts, arguments)


async def start_clients(arguments, port, number):
    """A process of clients, with its share of the sessions and of the load."""
    sessions = arguments.connections // arguments.processes + (number < arguments.connections % arguments.processes)
    command = [sys.executable, __file__, "--clients", str(port), f"--sessions={sessions}"]
    command += [f"--minutes={arguments.minutes}", f"--rate={arguments.rate / arguments.processes}"]
    command += [f"--life={arguments.life}", f"--seed={arguments.seed + number}", *["--uvloop"] * arguments.uvloop]
    command += [f"--processes={arguments.processes}"]
    return await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)


def too_little(counts, arguments):
    """What clients did not do often enough for a soak, because they were starved or for whatever reason."""
    wanted = dict.fromkeys(("results", "events", "calls canceled or without a callee", "stalled"), 1)
    wanted |= {"sessions": 2 * arguments.connections, "results": arguments.connections}
    return [
        f"expected at least {least} {what}, got {counts[what]}"
        for what, least in wanted.items()
        if counts[what] < least
    ]


async def settled(router, before):
    """The books, once they are as before, or after some seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        after = books(router)
        if after == before or time.monotonic() > deadline:
            return after
        await asyncio.sleep(0.2)


# -- clients -----------------------------------------------------------------------------------------------------


class Session(ApplicationSession):
    """Tells when it has joined, and when its link is gone."""

    def onJoin(self, details):
        self.config.extra["joined"].set_result(None)

    def onLeave(self, details):
        if not self.config.extra["joined"].done():
            self.config.extra["joined"].set_exception(RuntimeError(f"not joined: {details}"))
        self.disconnect()

    def onDisconnect(self):
        if not self.config.extra["joined"].done():
            self.config.extra["joined"].set_exception(RuntimeError("not joined: the link was lost"))
        self.config.extra["over"].set_result(None)


class Crowd:
    """All clients."""

    def __init__(self, arguments):
        self.port, self.seconds = arguments.clients, arguments.minutes * 60
        self.size, self.life = arguments.connections, arguments.life
        self.pause = arguments.connections / arguments.rate
        self.rng = random.Random(arguments.seed)
        self.counts = collections.Counter()
        self.wrong = []
        self.over = asyncio.Event()
        self.door = asyncio.Semaphore(max(1, soak.AT_THE_DOOR // arguments.processes))
        self.pace = 1.0  # how many times longer everything takes because this process is late itself
        self.endings = [self.goodbye, self.goodbye, self.by_fin, self.by_reset, self.in_a_message, self.by_violation]
        self.acts = [self.call] * 6 + [self.publish] * 3 + [self.subscribe, self.register, self.stall, self.testament]

    async def run(self):
        """Everybody, until the time is over."""
        ramp = max(1.0, self.size / 100)
        watch = asyncio.ensure_future(self.watch_lag())
        workers = [asyncio.ensure_future(self.work(ramp * number / self.size)) for number in range(self.size)]
        await asyncio.sleep(self.seconds)
        self.over.set()
        await asyncio.wait_for(asyncio.gather(*workers), 3 * PATIENCE)
        watch.cancel()
        return {"counts": self.counts, "wrong": self.wrong[:20]}

    async def watch_lag(self):
        """Sets the pace by how late this process is."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK
            await asyncio.sleep(LOOK)
            self.pace += 0.2 * (1 + (loop.time() - due) / LATE - self.pace)
            self.counts["slowest pace"] = max(self.counts["slowest pace"], round(self.pace, 1))

    async def idle(self, seconds):
        """So long, or until the time is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    async def work(self, delay):
        """One session after the other."""
        await self.idle(delay)
        while not self.over.is_set():
            try:
                await self.live()
            except Exception as exc:
                self.wrong.append(repr(exc))
                await self.idle(1)

    async def live(self):
        """One session from its beginning to its end."""
        loop, rng = asyncio.get_running_loop(), self.rng
        extra = {"joined": loop.create_future(), "over": loop.create_future()}
        session = Session(ComponentConfig(REALM, extra))
        serializer = rng.choice(SERIALIZERS)()
        if rng.random() < 0.6:
            url = f"ws://127.0.0.1:{self.port}/ws"
            factory = WampWebSocketClientFactory(lambda: session, url, serializers=[serializer])
            factory.setProtocolOptions(openHandshakeTimeout=PATIENCE, closeHandshakeTimeout=PATIENCE)
        else:
            factory = WampRawSocketClientFactory(lambda: session, serializer=serializer)
            factory.setProtocolOptions(openHandshakeTimeout=PATIENCE, closeHandshakeTimeout=PATIENCE)
        async with self.door:
            transport, protocol = await loop.create_connection(factory, "127.0.0.1", self.port)
            await asyncio.wait_for(extra["joined"], PATIENCE)
        self.counts["sessions"] += 1
        ends, calls = loop.time() + rng.expovariate(1 / (self.life * self.pace)), set()
        while loop.time() < ends and not self.over.is_set() and not extra["over"].done():
            act = asyncio.ensure_future(rng.choice(self.acts)(session, transport))
            calls.add(act)
            act.add_done_callback(calls.discard)
            await self.idle(rng.expovariate(1 / (self.pause * self.pace)))
        ended = "the router's wish"
        if not extra["over"].done():
            ending = rng.choice(self.endings)
            ended = ending.__name__
            self.counts[ending.__name__] += 1
            ending(session, transport, protocol)
        await asyncio.wait({extra["over"]}, timeout=PATIENCE)
        if not extra["over"].done():
            self.wrong.append(f"{ended}: the link of {protocol} was not gone after {PATIENCE} seconds")
            transport.abort()
        if calls:
            self.counts["acts under way at the end"] += len(calls)
            await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)

    async def answered(self, waiting, session):
        """The answer to a request; None when it ended as it may."""
        begin = time.monotonic()
        try:
            answer = await asyncio.wait_for(waiting, PATIENCE)
            taken = round(time.monotonic() - begin, 1)
            self.counts["slowest answer (s)"] = max(self.counts["slowest answer (s)"], taken)
            return answer
        except ApplicationError as exc:
            if exc.error.startswith("wamp.close."):  # its own GOODBYE overtook it
                self.counts["requests of a session that ended"] += 1
            elif exc.error not in EXPECTED and not session.config.extra["over"].done():
                self.wrong.append(f"unexpected error {exc.error}: {exc.args}")
            self.counts["calls canceled or without a callee"] += exc.error in EXPECTED
        except TransportLost:
            self.counts["requests of a session that ended"] += 1
        except TimeoutError:
            self.wrong.append(f"a request had no answer within {PATIENCE} seconds")
        return None

    # What a session does.

    async def call(self, session, transport):
        sent = self.rng.randbytes(self.rng.choice([1, 10, 100, 5000])).hex()
        name = f"com.soak.echo.{self.rng.randrange(PROCEDURES)}"
        got = await self.answered(session.call(name, sent), session)
        if got is not None:
            self.counts["results"] += 1
            if got != sent:
                self.wrong.append(f"expected {sent[:40]} as the result, got {got!r:.60}")

    async def register(self, session, transport):
        invoke = self.rng.choice(["roundrobin", "random", "first", "last"])
        number = self.rng.randrange(PROCEDURES // 4) * 4 + ["roundrobin", "random", "first", "last"].index(invoke)
        delay = self.rng.choice([0, 0, 0.05, 3])

        async def echo(value):
            if delay:
                await asyncio.sleep(delay)
            return value

        if not session.config.extra.setdefault(f"callee {number}", False):
            session.config.extra[f"callee {number}"] = True
            options = RegisterOptions(invoke=invoke)
            await self.answered(session.register(echo, f"com.soak.echo.{number}", options), session)

    async def subscribe(self, session, transport):
        topic, match = self.rng.choice(
            [("com.soak.topic.{}", "exact"), ("com.soak.topic", "prefix"), ("com..topic.{}", "wildcard")]
        )

        def on_event(*args):
            self.counts["events"] += 1

        name = topic.format(self.rng.randrange(TOPICS))
        if match == "prefix" and self.rng.random() < 0.9:
            return
        subscription = await self.answered(session.subscribe(on_event, name, SubscribeOptions(match=match)), session)
        if subscription is not None and self.rng.random() < 0.3:
            ended = session.config.extra["over"]
            await asyncio.wait({ended}, timeout=self.rng.expovariate(1 / self.life))
            if subscription.active:
                with contextlib.suppress(TransportLost):
                    await self.answered(subscription.unsubscribe(), session)

    async def publish(self, session, transport):
        acknowledge, retain = self.rng.random() < 0.5, self.rng.random() < 0.1
        options = PublishOptions(acknowledge=acknowledge, retain=retain, exclude_me=self.rng.random() < 0.5)
        name = f"com.soak.topic.{self.rng.randrange(TOPICS)}"
        try:
            waiting = session.publish(name, self.rng.randrange(1 << 30), "x" * 200, options=options)
        except TransportLost:
            return
        if acknowledge and await self.answered(waiting, session) is not None:
            self.counts["acknowledged publications"] += 1

    async def stall(self, session, transport):
        """Does not read for a while."""
        if self.rng.random() < 0.3 and not transport.is_closing():
            self.counts["stalled"] += 1
            with contextlib.suppress(RuntimeError):
                transport.pause_reading()
            await self.idle(self.rng.uniform(1, 5))
            if not transport.is_closing():
                with contextlib.suppress(RuntimeError):
                    transport.resume_reading()

    async def testament(self, session, transport):
        topic = f"com.soak.topic.{self.rng.randrange(TOPICS)}"
        scope = self.rng.choice(["destroyed", "detached"])
        waiting = session.call("wamp.session.add_testament", topic, ["gone"], {}, scope=scope)
        if await self.answered(waiting, session) is not None:
            self.counts["testaments"] += 1

    # How a session ends.

    def goodbye(self, session, transport, protocol):
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()
        with contextlib.suppress(TransportLost, ApplicationError):
            session.leave()

    def by_fin(self, session, transport, protocol):
        transport.close()

    def by_reset(self, session, transport, protocol):
        sock = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def in_a_message(self, session, transport, protocol):
        is_websocket = hasattr(protocol, "sendMessageFrame")
        transport.write(b"\x82\xfe\x10\x00abcd[48,1" if is_websocket else b"\x00\x00\x10\x00[48,1")
        self.rng.choice((self.by_fin, self.by_reset))(session, transport, protocol)

    def by_violation(self, session, transport, protocol):
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()
        transport.write(b"\x83\x80abcd" if hasattr(protocol, "sendMessageFrame") else b"\x07\x00\x00\x01a")


async def crowd(arguments, problems):
    """The process of the clients."""
    asyncio.get_running_loop().set_exception_handler(problems.reached_the_loop)
    people = Crowd(arguments)
    report = await people.run()
    report["wrong"] += [f"clients logged: {line}" for line in problems.seen[:20]]
    print(json.dumps(report))


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="Churning WAMP sessions on one router.")
    add = parser.add_argument
    add("--sessions", type=int, default=2000, dest="connections")
    add("--minutes", type=float, default=30)
    add("--rate", type=float, default=300, help="acts per second, of all sessions")
    add("--life", type=float, default=40, help="seconds a session lasts, on average")
    add("--processes", type=int, default=4, help="of clients: one alone is slower than the router")
    add("--seed", type=int, default=1)
    add("--uvloop", action="store_true")
    add("--clients", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    soak.allow_sockets(arguments.connections + 500)
    problems, loop_factory = soak.Problems(), None
    if arguments.uvloop:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        if arguments.clients:
            runner.run(crowd(arguments, problems))
            return 0
        print(f"{arguments.connections} sessions, {arguments.minutes:g} minutes", flush=True)
        wrong = runner.run(serve(arguments, problems))
    wrong += [f"router logged: {line}" for line in problems.seen[:20]]
    print("\n".join(wrong) or "every call answered, all books empty, no error, no leak")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

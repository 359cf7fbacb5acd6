"""WAMP routers side by side: CPU of the router per call and per event, joins, memory, start."""

from __future__ import annotations

import json
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time

import harness
import msgspec
import tables

BASE = "ours"


# -- the routers --


def nexus() -> str | None:
    """The program of nexus, if somebody has built it (it is written in Go)."""
    ours = harness.PEERS / "nexus" / "bin" / "nexusd"
    return str(ours) if ours.exists() else shutil.which("nexusd")


def competitors() -> list[str]:
    """Their names; nexus only where it is."""
    return [BASE, "ours uvloop", "ours pure", "crossbar", *(["nexus"] if nexus() else [])]


def versions() -> dict[str, str]:
    """Of the peers."""
    found = {"crossbar": harness.versions(harness.environment("crossbar")).get("crossbar", "")}
    program = nexus()
    if program:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        found["nexus"] = done.stdout.strip().removeprefix("version").strip() or "3.3"
    return found


def crossbar_config(port: int, rawsocket_port: int) -> dict:
    """One worker, one realm, anonymous clients may do everything."""
    allow = {"call": True, "register": True, "publish": True, "subscribe": True}
    anybody = {"uri": "", "match": "prefix", "allow": allow, "cache": True}
    common = {
        "serializers": ["json", "msgpack", "cbor"],
        "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
    }
    transports = [
        {"type": kind, "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": number}, **common}
        for kind, number in (("websocket", port), ("rawsocket", rawsocket_port))
    ]
    realm = {"name": "realm1", "roles": [{"name": "anonymous", "permissions": [anybody]}]}
    worker = {"type": "router", "realms": [realm], "transports": transports}
    return {"version": 2, "controller": {"id": "bench"}, "workers": [worker]}


class Running:
    """A router process on core 0 with realm1 at /ws, and RawSocket."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        folder = folder / name.replace(" ", "-")
        folder.mkdir()
        self.port = self.rawsocket_port = harness.free_port()
        self.counters = folder / "counters"
        log, env = folder / "log", harness.our_env()
        if name == "crossbar":
            self.rawsocket_port = harness.free_port()
            node = folder / ".crossbar"
            node.mkdir()
            (node / "config.json").write_text(json.dumps(crossbar_config(self.port, self.rawsocket_port)))
            program = pathlib.Path(harness.environment("crossbar")).with_name("crossbar")
            command, env = [str(program), "start", "--cbdir", str(node)], {"HOME": str(folder)}
        elif name == "nexus":
            self.rawsocket_port = harness.free_port()
            addresses = ["--ws", f"127.0.0.1:{self.port}", "--tcp", f"127.0.0.1:{self.rawsocket_port}"]
            command, env = [nexus() or "", *addresses, "--realm", "realm1"], {"GOMAXPROCS": "1"}
        elif name == "ours, command":
            program = pathlib.Path(harness.OUR_PYTHON).with_name("autobahn")
            command = [str(program), "router", "--url", f"ws://127.0.0.1:{self.port}/ws", "--realm", "realm1"]
        else:
            script = harness.HERE / "servers" / "router_autobahn.py"
            command = [harness.OUR_PYTHON, str(script), str(self.port), str(self.counters)]
            command += ["uvloop"] if name.endswith("uvloop") else []
            env = harness.our_env(**({"AUTOBAHN_PURE": "1"} if name.endswith("pure") else {}))
        self.server = harness.Server(command, self.port, log, stdin=subprocess.PIPE, **env)

    def at(self, transport: str) -> int:
        """The port of `ws` or `rs`."""
        return self.port if transport == "ws" else self.rawsocket_port

    def encodings(self) -> int | None:
        """How many EVENTs ours has encoded; `None` for the others."""
        if not self.counters.parent.name.startswith("ours"):
            return None
        self.counters.unlink(missing_ok=True)
        assert self.server.process.stdin is not None
        self.server.process.stdin.write(b"\n")
        self.server.process.stdin.flush()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if self.counters.exists() and (text := self.counters.read_text()).endswith("\n"):
                return int(text)
            time.sleep(0.01)
        raise RuntimeError("expected a count from the router, got none within 5 s")


# -- calls and events --


class Work(msgspec.Struct):
    """What the load generator does; `number`: callers, or subscribers."""

    label: str
    goal: str
    what: str = "rpc"
    transport: str = "ws"
    serializer: str = "json"
    inflight: int = 64
    number: int = 1
    size: int = 0  # octets of the payload; 0: one small integer
    patterns: int = 0  # pattern subscriptions of another session, none of which matches
    is_quick: bool = True  # part of a first impression


WORKS = [
    Work("routed call, json, WebSocket, 64 in flight", "≤ 8 µs (pure ≤ 15)"),
    Work("routed call, msgpack, WebSocket, 64 in flight", "", serializer="msgpack", is_quick=False),
    Work("routed call, cbor, WebSocket, 64 in flight", "", serializer="cbor", is_quick=False),
    Work("routed call, msgpack, RawSocket, 64 in flight", "≤ 5 µs (pure ≤ 8)", transport="rs", serializer="msgpack"),
    Work("the same, 8 KiB payload", "≤ 10 µs", transport="rs", serializer="msgpack", size=8192),
    Work("32 callers, 1 call each, json, WebSocket", "≤ 30 µs", inflight=1, number=32),
    Work("event to each of 10 subscribers, json, WebSocket", "≤ 1.5 µs", "events", number=10),
    Work("event to each of 100 subscribers, json, WebSocket", "≤ 1 µs", "events", number=100),
    Work("publish, 1 subscriber, 10 pattern subscriptions", "", "events", patterns=10),
    Work("publish, 1 subscriber, 10,000 pattern subscriptions", "≤ 1.5 × the row above", "events", patterns=10_000),
]

NOTE = (
    "CPU µs of the router (all its processes) per routed call or per event delivered; median of the slices (median of "
    "the ratios to ours, round by round). One process on one core: crossbar with one worker, nexus with GOMAXPROCS=1. "
    "Caller, callee, publisher and subscribers are one C program on the other core. Publications are 64 in flight; a "
    "counter asserts that ours encodes each once, however many subscribe. The pattern subscriptions are half prefixes, "
    "half wildcards, and match nothing."
)


class Crowd:
    """A session over a plain socket which subscribes to many patterns, and stays."""

    def __init__(self, port: int, patterns: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.rest = b""
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp.2.json\r\n"
        self.sock.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{upgrade}{key}\r\n".encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self._received()
        self.rest = self.rest.partition(b"\r\n\r\n")[2]
        self._send([1, "realm1", {"roles": {"subscriber": {"features": {"pattern_based_subscription": True}}}}])
        self._expect(2)
        rng, waiting = random.Random(3), 0
        for number in range(1, patterns + 1):
            word, other = f"w{rng.randrange(1 << 30):x}", f"v{rng.randrange(1 << 30):x}"
            uri, match = (f"com.bench.{word}", "prefix") if number % 2 else (f"com..{other}", "wildcard")
            self._send([32, number, {"match": match}, uri])
            waiting += 1
            while waiting and (waiting == 16 or number == patterns):  # nexus drops answers when more wait
                self._expect(33)
                waiting -= 1

    def _received(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("expected an answer of the router, got the end")
        return data

    def _send(self, message: list) -> None:
        self.sock.sendall(harness.masked_frame(msgspec.json.encode(message), True))

    def _expect(self, code: int) -> None:
        while True:
            while len(self.rest) < 2 or len(self.rest) < self._size():
                self.rest += self._received()
            size = self._size()
            head, payload, self.rest = self.rest[0], self.rest[4 if self.rest[1] == 126 else 2 : size], self.rest[size:]
            if head & 15 == 9:  # a ping, which nobody has to answer for these seconds
                continue
            message = msgspec.json.decode(payload)
            if message[0] != code:
                raise ConnectionError(f"expected {code}, got {message}")
            return

    def _size(self) -> int:
        short = self.rest[1] & 127
        if short < 126:
            return 2 + short
        return 4 + int.from_bytes(self.rest[2:4], "big") if len(self.rest) >= 4 else 4

    def close(self) -> None:
        """It is gone."""
        self.sock.close()


def crowded(running: dict[str, Running], names: list[str], patterns: int) -> dict[str, Crowd]:
    """A crowd at each router that takes it."""
    crowds = {}
    for who in names:
        begin = time.monotonic()
        try:
            crowds[who] = Crowd(running[who].port, patterns)
        except OSError as exc:
            print(f"  {who}: no {patterns} subscriptions after {time.monotonic() - begin:.0f} s: {exc}", flush=True)
    return crowds


def routing(options: tables.Options) -> list[tables.Table]:
    """Calls and events."""
    rounds, seconds = options.sized(5, 0.3)
    generator = harness.build("wampbench")
    names = options.wanted(competitors(), BASE)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        running = {who: Running(who, folder) for who in names}
        with harness.serving({who: router.server for who, router in running.items()}) as servers:
            tables.require(names, list(servers))
            for work in [work for work in WORKS if work.is_quick or not options.quick]:
                args = ["x" * work.size] if work.size else [42]
                templates = harness.wamp_templates(folder / "templates", work.serializer, args)
                crowds = crowded(running, list(servers), work.patterns) if work.patterns else {}
                ready = [who for who in servers if who in crowds or not work.patterns]

                def measure(who: str, work: Work = work, templates: str = templates) -> harness.Sample | None:
                    router, before = running[who], running[who].encodings()
                    numbers = [work.inflight, work.number, seconds / 3, seconds]
                    command = [str(router.at(work.transport)), work.transport, templates, *map(str, numbers)]
                    sample = harness.load([generator, work.what, *command, router.server.pids()])
                    if before is not None and sample and work.what == "events":
                        check_encodings(who, work, sample, (router.encodings() or 0) - before)
                    return sample

                samples = tables.interleave(ready, rounds, measure)
                rows.append(tables.Row(work.label, work.goal, tables.summarize(samples, BASE)))
                for crowd in crowds.values():
                    crowd.close()
                print(f"measured: router, {work.label}", flush=True)
    table = tables.Table("Router: CPU µs per routed call or delivered event", names, rows, BASE, NOTE)
    return [table, *patterns(table)]


def check_encodings(who: str, work: Work, sample: harness.Sample, encodings: int) -> None:
    """One encoding per publication, however many subscribers: SystemExit otherwise."""
    most = sample.total / work.number + 2 * work.inflight  # what was under way in the end
    if encodings > most:
        raise SystemExit(f"{who}: {encodings} encodings for {sample.total} events to {work.number} subscribers")


def patterns(table: tables.Table) -> list[tables.Table]:
    """How much more a publication costs with 10,000 pattern subscriptions, by the smallest samples."""
    few, many = table.rows[-2], table.rows[-1]
    cells = {
        name: tables.Cell(value=(many.cells[name].least or 0.0) / (few.cells[name].least or 1.0))
        for name in table.names
        if name in few.cells and name in many.cells
    }
    row = tables.Row("cost with 10,000 ÷ cost with 10", "≤ 1.5", cells)
    return [tables.Table("Router: 10,000 pattern subscriptions", table.names, [row])]


# -- joins, memory, start --

SIZE_NOTE = (
    "Joins: TCP, WebSocket (or RawSocket), HELLO, WELCOME, GOODBYE and the end of the connection, 32 at a time; per "
    "second of wall clock, which the router's core limits, and CPU µs. Memory of all its processes: per session beyond "
    "the first hundred (PSS, json over WebSocket), and at rest (RSS). Start: from the command until it accepts "
    "connections, the best of several; ours is the `autobahn router` command."
)


def hello(port: int) -> socket.socket:
    """A session that does nothing."""
    crowd = Crowd(port, 0)
    return crowd.sock


def sizes(options: tables.Options) -> tables.Table:
    """What a router needs before it does anything."""
    rounds, seconds = options.sized(5, 0.5)
    generator = harness.build("wampbench")
    names = options.wanted(competitors(), BASE)
    count = 300 if options.quick else 1500
    rows = {label: tables.Row(label, goal, {}) for label, goal in GOALS.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        running = {who: Running(who, folder) for who in names}
        templates = harness.wamp_templates(folder / "templates", "json", [42])
        with harness.serving({who: router.server for who, router in running.items()}) as servers:
            for who, server in servers.items():
                sessions = [hello(server.port) for _ in range(100)]
                before = harness.resident(server.family())
                sessions += [hello(server.port) for _ in range(count)]
                time.sleep(0.3)
                grown = (harness.resident(server.family()) - before) / count / 1024
                rows["memory of an idle session, KiB"].cells[who] = tables.Cell(value=grown)
                for sock in sessions:
                    sock.close()
            print("measured: router, memory", flush=True)

            for transport, suffix in (("ws", ""), ("rs", ", RawSocket")):

                def measure(who: str, transport: str = transport) -> harness.Sample | None:
                    numbers = ["32", str(seconds / 5), str(seconds)]
                    command = [str(running[who].at(transport)), transport, templates, *numbers, servers[who].pids()]
                    return harness.load([generator, "joins", *command])

                cells = tables.summarize(tables.interleave(list(servers), rounds, measure), BASE)
                rows[f"CPU µs per join{suffix}"].cells = cells
                rates = {who: tables.Cell(value=cell.rate or 0) for who, cell in cells.items()}
                rows[f"joins per second{suffix}"].cells = rates
            print("measured: router, joins", flush=True)
        started(rows, names, folder, 2 if options.quick else 4)
    return tables.Table("Router: joins, memory, start", names, list(rows.values()), BASE, SIZE_NOTE)


GOALS = {
    "joins per second": "≥ 4,000",
    "CPU µs per join": "≤ 250",
    "joins per second, RawSocket": "",
    "CPU µs per join, RawSocket": "",
    "memory of an idle session, KiB": "≤ 12 KiB",
    "start to listening, s": "≤ 0.3 s",
    "memory at rest, MiB": "≤ 35 MiB",
}


def started(rows: dict[str, tables.Row], names: list[str], folder: pathlib.Path, times: int) -> None:
    """Seconds from the command until connections are accepted, and the memory then."""
    for who in names:
        if who in ("ours uvloop", "ours pure"):
            continue
        seconds, memory = [], []
        for number in range(times if who != "crossbar" else 1):  # which takes its time
            (folder / str(number)).mkdir(exist_ok=True)
            router = Running("ours, command" if who == BASE else who, folder / str(number))
            try:
                seconds.append(router.server.wait_listening(0.005))
                time.sleep(0.2)
                memory.append(harness.resident(router.server.family(), "Rss") / 1024**2)
            except RuntimeError as exc:
                print(f"without {who}: {exc}", flush=True)
            finally:
                router.server.stop()
        if seconds:
            rows["start to listening, s"].cells[who] = tables.Cell(value=min(seconds))
            rows["memory at rest, MiB"].cells[who] = tables.Cell(value=min(memory))
    print("measured: router, start", flush=True)

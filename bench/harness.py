"""What every section needs: peers in environments of their own, pinned processes, the load generators, the payloads."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator

import cbor2
import msgspec

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".peers"
BIN = HERE / "bin"
OUR_PYTHON = sys.executable
SOURCE = ""  # another copy of this package's `src` to measure instead of the installed one

PACKAGES = {
    "bench": ["websockets", "picows", "aiohttp", "uvloop"],
    "autobahn": ["autobahn[serialization]", "numpy<2", "uvloop"],
    "crossbar": ["crossbar"],
    "xconn": ["xconn", "uvloop"],
    "backends": ["isal", "zlib-ng", "msgspec", "cbor2"],  # ours with other implementations of deflate
    "speedups": ["websockets", "uvloop", "msgspec", "cbor2"],  # ours pure, masking by websockets
}
OPEN_LIMIT = 60.0
LOAD_CORE, SERVER_CORE = 1, 0


# -- peers --


@functools.cache
def environment(name: str) -> str:
    """Python of a peer's own environment, which is set up when missing."""
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / name)], check=True)
    if not set(wanted(name)) <= set(versions.__wrapped__(str(python))):
        print(f"installing {', '.join(wanted(name))} into .peers/{name} ...", flush=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    return str(python)


def wanted(name: str) -> list[str]:
    """The distributions that must be in a peer's environment."""
    return [package.partition("[")[0].partition("<")[0] for package in PACKAGES[name]]


@functools.cache
def versions(python: str) -> dict[str, str]:
    """The distributions that a Python sees."""
    command = [python, "-m", "pip", "list", "--format", "json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_env())
    return {d["name"].lower(): d["version"] for d in json.loads(found.stdout)}


def machine() -> str:
    """One line on where this runs."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {model}, {system}, Python {platform.python_version()}"


# -- processes --


def clean_env(**extra: str) -> dict[str, str]:
    """An environment in which each Python finds only its own packages."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AUTOBAHN"))}
    return env | {"PYTHONUNBUFFERED": "1"} | extra


def our_env(**extra: str) -> dict[str, str]:
    """What processes of ours need beside `clean_env`."""
    return extra | ({"PYTHONPATH": SOURCE} if SOURCE else {})


def core_number(core: int) -> int:
    """The system's number of the first, second, … core that this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[core % len(cores)]


def pinned(core: int) -> Callable[[], None]:
    """To be called in the child: it and its children stay on this core."""
    number = core_number(core)

    def pin() -> None:
        os.sched_setaffinity(0, {number})

    return pin


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, from the kernel's process clock."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pids: list[int], kind: str = "Pss") -> int:
    """Octets of memory of all these processes: proportionally theirs, or resident in each of them (`Rss`)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024
    return total


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


class Server:
    """A server process on a core of its own: the one that is measured on core 0, one that gives load on core 1."""

    def __init__(
        self,
        command: list[str],
        port: int,
        log: pathlib.Path,
        core: int = SERVER_CORE,
        stdin: int = subprocess.DEVNULL,
        **env: str,
    ) -> None:
        self.port = port
        self.log = log
        self.begun = time.monotonic()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=clean_env(**env),
                preexec_fn=pinned(core),
                cwd=log.parent,
            )

    def wait_listening(self, pause: float = 0.05) -> float:
        """Returns once it accepts connections: after how many seconds."""
        deadline = time.monotonic() + OPEN_LIMIT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} ended: {self.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return time.monotonic() - self.begun
            time.sleep(pause)
        raise RuntimeError(f"{self.process.args} does not listen: {self.log.read_text()[-2000:]}")

    def family(self) -> list[int]:
        """All its processes."""
        return family(self.process.pid)

    def pids(self) -> str:
        """All its processes, as the load generators want them."""
        return ",".join(str(pid) for pid in self.family())

    def stop(self) -> None:
        """The process is gone afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in self.family():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextlib.contextmanager
def serving(servers: dict[str, Server]) -> Iterator[dict[str, Server]]:
    """Those that listen; all are stopped at the end."""
    try:
        ready = {}
        for name, server in servers.items():
            try:
                server.wait_listening()
                ready[name] = server
            except RuntimeError as exc:
                print(f"without {name}: {exc}", flush=True)
        yield ready
    finally:
        for server in servers.values():
            server.stop()


class Client:
    """A client process that is measured: it gets jobs, one JSON line each, and answers each with a sample.

    Once it has failed it is not asked again.
    """

    def __init__(self, command: list[str], log: pathlib.Path, **env: str) -> None:
        self.log = log
        self.is_lost = False
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=clean_env(**env),
                preexec_fn=pinned(SERVER_CORE),
                cwd=log.parent,
            )

    def measure(self, job: dict[str, object], counterpart: Server) -> Sample | None:
        """One slice; `None` when it failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.is_lost:
            return None
        begin, cpu = time.monotonic(), cpu_seconds(counterpart.process.pid)
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.startswith(b'{"'):
            print(f"  {self.process.args}: {line!r} {self.log.read_text().strip()[-300:]}", flush=True)
            self.is_lost = True
            return None
        sample = decode_sample(line.decode())
        if sample:
            busy = (cpu_seconds(counterpart.process.pid) - cpu) / (time.monotonic() - begin)
            sample.load_cpu = busy * sample.elapsed
        return sample

    def stop(self) -> None:
        """The process is gone afterwards."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


# -- load --


def build(name: str) -> str:
    """Path of a load generator, compiled when it is older than its source; SystemExit without a C compiler."""
    source, target = HERE / "loadgen" / f"{name}.c", BIN / name
    newest = max(path.stat().st_mtime for path in (HERE / "loadgen").iterdir())
    if not target.exists() or target.stat().st_mtime < newest:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise SystemExit("the benchmarks need a C compiler: load generators and the floor of the tables are C")
        BIN.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(target), str(source)], check=True)
    return str(target)


class Sample(msgspec.Struct):
    """One slice of load, as the load generator tells it."""

    messages: int
    elapsed: float
    load_cpu: float
    server_cpu: float
    total: int = 0  # messages, with those of the time of warming up

    @property
    def cost(self) -> float:
        """CPU microseconds of the measured process per message."""
        return self.server_cpu / self.messages * 1e6

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.elapsed


def load(command: list[str], limit: float = 60.0) -> Sample | None:
    """One slice of load from core 1; `None` when it failed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=clean_env(BENCH_CORE=str(core_number(LOAD_CORE))),
        timeout=limit,
    )
    if done.returncode:
        print(f"  {' '.join(command[:3])}: {done.stderr.strip()[:300]}", flush=True)
        return None
    return decode_sample(done.stdout)


def decode_sample(line: str) -> Sample | None:
    """A sample from its JSON; `None` when nothing went through."""
    sample = msgspec.json.decode(line, type=Sample)
    return sample if sample.messages else None


# -- what is sent --


def masked_frame(payload: bytes, text: bool = False, compressed: bool = False) -> bytes:
    """One complete client frame."""
    mask = b"\x5a\x13\xc7\x2e"
    size, first = len(payload), (0x81 if text else 0x82) | (0x40 if compressed else 0)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def json_text(size: int) -> bytes:
    """Exactly so many octets of JSON as programs send it: records with names, numbers and words."""
    rng, words = random.Random(7), ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    records: list[dict[str, object]] = []
    while (text := msgspec.json.encode(records)) and len(text) < size:
        for _ in range(64):
            name, price = f"{rng.choice(words)}-{rng.randrange(10_000)}", round(rng.uniform(1, 500), 2)
            records.append({"id": rng.randrange(1 << 40), "name": name, "price": price, "tags": rng.sample(words, 3)})
    return text[:size]


def deflated(text: bytes) -> bytes:
    """A message of permessage-deflate that fits every window from 2^12, whatever came before it."""
    engine = zlib.compressobj(6, zlib.DEFLATED, -12, 8)
    return (engine.compress(text) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


ENCODERS: dict[str, Callable[[object], bytes]] = {
    "json": msgspec.json.encode,
    "msgpack": msgspec.msgpack.encode,
    "cbor": cbor2.dumps,
}
URI, TOPIC = "com.bench.echo", "com.bench.topic"
MARK = 0x112233445566 | 1 << 50  # stands for the id until the load generator fills it in


def wamp_templates(path: pathlib.Path, serializer: str, args: list) -> str:
    """The file of message templates for wampbench."""
    encode = ENCODERS[serializer]
    mark = encode(MARK)
    roles = {role: {"features": {}} for role in ("caller", "callee", "publisher", "subscriber")}
    welcome = {
        "realm": "realm1",
        "authid": "bench",
        "authrole": "anonymous",
        "authmethod": "anonymous",
        "authprovider": "static",
        "roles": {"broker": {"features": {}}, "dealer": {"features": {}}},
    }
    messages = {
        "HELLO": [1, "realm1", {"roles": roles}],
        "WELCOME": [2, 9129137332, welcome],
        "GOODBYE": [6, {}, "wamp.close.goodbye_and_out"],
        "REGISTER": [64, MARK, {}, URI],
        "CALL": [48, MARK, {}, URI, args],
        "YIELD": [70, MARK, {}, args],
        "RESULT": [50, MARK, {}, args],
        "SUBSCRIBE": [32, MARK, {}, TOPIC],
        "SUBSCRIBED": [33, MARK, 77],
        "PUBLISH": [16, MARK, {}, TOPIC, args],
        "EVENT": [36, 77, 4429313566, {}, args],
    }
    lines = [serializer]
    for key, message in messages.items():
        parts = [part.hex() or "-" for part in encode(message).split(mark)]
        lines.append(" ".join([key, *parts]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)

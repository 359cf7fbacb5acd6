"""What every benchmark needs: peers, pinned processes, the load generators, interleaved rounds, medians."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import cbor2
import msgspec

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".peers"
BIN = HERE / "bin"
OUR_PYTHON = sys.executable

PACKAGES = {
    "bench": ["websockets", "picows", "aiohttp", "uvloop"],
    "autobahn": ["autobahn[serialization]", "numpy<2", "uvloop"],
    "crossbar": ["crossbar"],
}
OPEN_LIMIT = 60.0


# -- peers --


def environment(name: str) -> str:
    """Python of a peer's own environment, which is set up when missing."""
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / name)], check=True)
    if not set(wanted(name)) <= set(versions(str(python))):
        print(f"installing {', '.join(wanted(name))} into .peers/{name} ...", flush=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    return str(python)


def wanted(name: str) -> list[str]:
    """The distributions that must be in a peer's environment."""
    return [package.partition("[")[0].partition("<")[0] for package in PACKAGES[name]]


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


def pinned(core: int) -> Callable[[], None]:
    """To be called in the child: it and its children stay on this core."""
    cores = sorted(os.sched_getaffinity(0))

    def pin() -> None:
        os.sched_setaffinity(0, {cores[core % len(cores)]})

    return pin


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


class Server:
    """A server process on core 0."""

    def __init__(self, command: list[str], port: int, log: pathlib.Path, **env: str) -> None:
        self.port = port
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=clean_env(**env),
                preexec_fn=pinned(0),
                cwd=log.parent,
            )

    def wait_listening(self) -> None:
        """Returns once it accepts connections."""
        deadline = time.monotonic() + OPEN_LIMIT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} ended: {self.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.process.args} does not listen: {self.log.read_text()[-2000:]}")

    def pids(self) -> str:
        """All its processes, as the load generators want them."""
        return ",".join(str(pid) for pid in family(self.process.pid))

    def stop(self) -> None:
        """The process is gone afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


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


# -- load --


def build(name: str) -> str:
    """Path of a load generator, compiled when it is older than its source."""
    source, target = HERE / "loadgen" / f"{name}.c", BIN / name
    newest = max(path.stat().st_mtime for path in (HERE / "loadgen").iterdir())
    if not target.exists() or target.stat().st_mtime < newest:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise SystemExit("the benchmarks need a C compiler for their load generator")
        BIN.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(target), str(source)], check=True)
    return str(target)


class Sample(msgspec.Struct):
    """One slice of load, as the load generator tells it."""

    messages: int
    elapsed: float
    load_cpu: float
    server_cpu: float

    @property
    def cost(self) -> float:
        """CPU microseconds of the server per message."""
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
        preexec_fn=pinned(1),
        env=clean_env(),
        timeout=limit,
    )
    if done.returncode:
        print(f"  {' '.join(command[:2])}: {done.stderr.strip()[:300]}", flush=True)
        return None
    return decode_sample(done.stdout)


def decode_sample(line: str) -> Sample | None:
    """A sample from its JSON; `None` when nothing went through."""
    sample = msgspec.json.decode(line, type=Sample)
    return sample if sample.messages else None


def interleave(
    names: list[str], rounds: int, measure: Callable[[str], Sample | None]
) -> dict[str, list[Sample | None]]:
    """Samples of each, taken A B C … C B A so that a slow phase of the machine meets all alike."""
    samples: dict[str, list[Sample | None]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(measure(name))
    return samples


class Line(msgspec.Struct):
    """What came out for one competitor in one cell."""

    cost: float  # median CPU microseconds per message
    rate: float  # median messages per second
    ratio: float  # median of the ratios to the base in the same round
    load_busy: float  # how much of its core the load generator needed
    rounds: int


def require(wanted: list[str], ready: list[str]) -> None:
    """Ends the program with a message when our own side did not run; a missing peer was already told."""
    missing = [name for name in wanted if name.startswith("ours") and name not in ready]
    if missing:
        raise SystemExit(f"did not run: {', '.join(missing)}")


def summarize(samples: dict[str, list[Sample | None]], base: str) -> dict[str, Line]:
    """Medians; the ratio is cost of this to cost of the base, round by round."""
    lines = {}
    for name, taken in samples.items():
        good = [s for s in taken if s]
        pairs = [s.cost / b.cost for s, b in zip(taken, samples.get(base, []), strict=False) if s and b]
        if good:
            lines[name] = Line(
                cost=statistics.median(s.cost for s in good),
                rate=statistics.median(s.rate for s in good),
                ratio=statistics.median(pairs) if pairs else float("nan"),
                load_busy=statistics.median(s.load_cpu / s.elapsed for s in good),
                rounds=len(good),
            )
    return lines


def print_table(title: str, cells: dict[str, dict[str, Line]], base: str, names: list[str]) -> None:
    """CPU microseconds per message and the ratio to the base, one row a cell."""
    print(f"\n### {title}\n\n| cell | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for cell, lines in cells.items():
        shown = []
        for name in names:
            line = lines.get(name)
            if not line:
                shown.append("–")
            elif name == base or line.ratio != line.ratio:
                shown.append(f"{line.cost:.1f}")
            else:
                shown.append(f"{line.cost:.1f} ({line.ratio:.2f}×)")
        print(f"| {cell} | {' | '.join(shown)} |", flush=True)


def save(name: str, data: dict) -> None:
    """The numbers behind the tables, in `bench/NAME.out`."""
    path = HERE / f"{name}.out"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=1))
    print(f"\nnumbers: {path.relative_to(ROOT)}")


# -- what is sent --


def masked_frame(payload: bytes, text: bool = False) -> bytes:
    """One complete client frame."""
    mask = b"\x5a\x13\xc7\x2e"
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x81 if text else 0x82, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x81 if text else 0x82, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x81 if text else 0x82, 0x80 | 127, size)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


ENCODERS: dict[str, Callable[[object], bytes]] = {
    "json": msgspec.json.encode,
    "msgpack": msgspec.msgpack.encode,
    "cbor": cbor2.dumps,
}
URI = "com.bench.echo"
MARK = 0x112233445566 | 1 << 50  # stands for the id until the load generator fills it in


def wamp_templates(path: pathlib.Path, serializer: str, args: list) -> str:
    """The file of message templates for wampbench."""
    encode = ENCODERS[serializer]
    mark = encode(MARK)
    roles = {role: {"features": {}} for role in ("caller", "callee", "publisher", "subscriber")}
    welcome = {"realm": "realm1", "authid": "bench", "authrole": "anonymous", "authmethod": "anonymous"}
    messages = {
        "HELLO": [1, "realm1", {"roles": roles}],
        "WELCOME": [
            2,
            9129137332,
            welcome | {"roles": {"broker": {"features": {}}, "dealer": {"features": {}}}},
        ],
        "GOODBYE": [6, {}, "wamp.close.goodbye_and_out"],
        "REGISTER": [64, MARK, {}, URI],
        "CALL": [48, MARK, {}, URI, args],
        "YIELD": [70, MARK, {}, args],
        "RESULT": [50, MARK, {}, args],
    }
    lines = [serializer]
    for key, message in messages.items():
        parts = [part.hex() or "-" for part in encode(message).split(mark)]
        lines.append(" ".join([key, *parts]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)

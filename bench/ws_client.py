"""Echo clients side by side: CPU of the client per message, against an echo server in C."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import harness
import tables
from ws_server import BASE, HANDLER, KIB, OCTETS, Shape

SHAPES = [
    Shape("256 B, 64 in flight", 256, 64, goal="≤ 1.3×"),
    Shape("8 KiB, 64 in flight", 8 * KIB, 64, goal="≤ 1.5×"),
    Shape("256 B, 1 in flight", 256, goal="≤ 1.05×"),
    Shape("8 KiB, 1 in flight", 8 * KIB, goal="≤ 1.05×"),
    Shape("100 KiB, 16 in flight", 100 * KIB, 16, goal="≤ 1.2×"),
]

NOTE = (
    "CPU µs of the client per message it sends and gets back; medians as above. `raw` keeps as many octets under way "
    "without a protocol; `raw + handler` calls the program's function for each message besides. The kernel counts, so "
    "that clients only send back what they get. The server is the C program, on the other core."
)


def competitors() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Name: Python, script, extra environment."""
    peers, autobahn = harness.environment("bench"), harness.environment("autobahn")
    return {
        BASE: (harness.OUR_PYTHON, "echo_raw.py", {}),
        HANDLER: (harness.OUR_PYTHON, "echo_raw.py", {"WITH_HANDLER": "1"}),
        "ours": (harness.OUR_PYTHON, "echo_autobahn.py", harness.our_env()),
        "ours pure": (harness.OUR_PYTHON, "echo_autobahn.py", harness.our_env(AUTOBAHN_PURE="1")),
        "picows": (peers, "echo_picows.py", {}),
        "aiohttp": (peers, "echo_aiohttp.py", {}),
        "websockets": (peers, "echo_websockets.py", {}),
        "autobahn": (autobahn, "echo_autobahn.py", {}),
    }


@contextlib.contextmanager
def clients(
    commands: dict[str, tuple[str, str, dict[str, str]]], folder: pathlib.Path, *options: str
) -> Iterator[dict]:
    """A process for each, waiting for jobs."""
    started: dict[str, harness.Client] = {}
    try:
        for who, (python, script, env) in commands.items():
            command = [python, str(harness.HERE / "clients" / script), *options]
            started[who] = harness.Client(command, folder / f"{who}.log", **env)
        yield started
    finally:
        for client in started.values():
            client.stop()


def bench(options: tables.Options, uvloop: bool) -> tables.Table:
    """The table for one loop."""
    rounds, seconds = options.sized(9, 0.18)
    generator = harness.build("wsbench")
    names = options.wanted(list(competitors()), BASE)
    chosen = {name: command for name, command in competitors().items() if name in names}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, ports = pathlib.Path(name), {mode: harness.free_port() for mode in ("raw", "ws")}
        echo = {
            mode: harness.Server([generator, "serve", str(port), mode], port, folder / f"{mode}.log", harness.LOAD_CORE)
            for mode, port in ports.items()
        }
        loop = ["uvloop"] if uvloop else []
        with harness.serving(echo) as servers, clients(chosen, folder, *loop) as started:
            for shape in SHAPES:
                job = {"size": shape.size, "inflight": shape.inflight, "warm": seconds / 3, "seconds": seconds}

                def measure(who: str, job: dict = job) -> harness.Sample | None:
                    server = servers["raw" if who in OCTETS else "ws"]
                    return started[who].measure(job | {"port": server.port}, server)

                samples = tables.interleave(list(started), rounds, measure)
                rows.append(tables.Row(shape.label, shape.goal, tables.summarize(samples, BASE)))
                print(f"measured: client, {shape.label}", flush=True)
    return tables.Table(f"Echo client on {'uvloop' if uvloop else 'asyncio'}", names, rows, BASE, NOTE)

"""Echo servers side by side: CPU of the server per message, as a ratio to a raw `asyncio.Protocol` echo."""

from __future__ import annotations

import pathlib
import random
import tempfile

import harness
import msgspec
import tables

BASE = "raw"
HANDLER = "raw + handler"
OCTETS = (BASE, HANDLER)
"""What knows no frames."""
KIB, MIB = 1024, 1024 * 1024


class Shape(msgspec.Struct):
    """What is sent, and how."""

    label: str
    size: int
    inflight: int = 1
    connections: int = 1
    text: bool = False
    goal: str = ""
    is_quick: bool = True  # part of a first impression


SHAPES = [
    Shape("8 B, 64 in flight", 8, 64, goal="≤ 1.3×", is_quick=False),
    Shape("256 B, 64 in flight", 256, 64, goal="≤ 1.3×"),
    Shape("8 KiB, 64 in flight", 8 * KIB, 64, goal="≤ 1.5×"),
    Shape("256 B, 1 in flight", 256, goal="≤ 1.05×"),
    Shape("8 KiB, 1 in flight", 8 * KIB, goal="≤ 1.05×"),
    Shape("256 B, 32 connections", 256, 1, 32, goal="≤ 0.95×"),
    Shape("100 KiB, 1 in flight", 100 * KIB, goal="≤ 1.2×", is_quick=False),
    Shape("100 KiB, 16 in flight", 100 * KIB, 16, goal="≤ 1.2×"),
    Shape("1 MiB, 1 in flight", MIB, goal="≤ 1.5×", is_quick=False),
    Shape("1 MiB, 4 in flight", MIB, 4, goal="≤ 1.5×"),
    Shape("100 KiB text, 16 in flight", 100 * KIB, 16, text=True, goal="≤ 1.3×"),
    Shape("1 MiB text, 4 in flight", MIB, 4, text=True, goal="≤ 1.3×"),
]

NOTE = (
    "CPU µs of the server per message: median of the slices; in brackets the median of the ratios to `raw`, round by "
    "round. `raw` is an `asyncio.Protocol` that echoes octets on the same loop, `C` an epoll program that echoes "
    "WebSocket messages. `raw + handler` calls the program's function for each message besides, from a loop in C: no "
    "library that calls Python back can do with less. Binary unless it says text. `+ speedups`: with what masks in C "
    "in the package `websockets`."
)


def competitors() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Name: Python, script, extra environment."""
    peers, autobahn = harness.environment("bench"), harness.environment("autobahn")
    speedups, source = harness.environment("speedups"), harness.SOURCE or str(harness.ROOT / "src")
    return {
        BASE: (harness.OUR_PYTHON, "echo_raw.py", {}),
        HANDLER: (harness.OUR_PYTHON, "echo_raw.py", {"WITH_HANDLER": "1"}),
        "ours": (harness.OUR_PYTHON, "echo_autobahn.py", harness.our_env()),
        "ours pure": (harness.OUR_PYTHON, "echo_autobahn.py", harness.our_env(AUTOBAHN_PURE="1")),
        "ours pure + speedups": (speedups, "echo_autobahn.py", {"PYTHONPATH": source, "AUTOBAHN_PURE": "1"}),
        "picows": (peers, "echo_picows.py", {}),
        "aiohttp": (peers, "echo_aiohttp.py", {}),
        "websockets": (peers, "echo_websockets.py", {}),
        "autobahn": (autobahn, "echo_autobahn.py", {}),
    }


def start(name: str, folder: pathlib.Path, *options: str) -> harness.Server:
    """The echo server of that name on core 0, with options like `uvloop` and `deflate`."""
    port, log = harness.free_port(), folder / f"{name}.log"
    if name == "C":
        return harness.Server([harness.build("wsbench"), "serve", str(port), "ws"], port, log)
    if name in ("ours zlib", "ours zlib-ng"):
        python, script = harness.environment("backends"), "echo_autobahn.py"
        env = {"PYTHONPATH": harness.SOURCE or str(harness.ROOT / "src")}
        options = (*options, f"backend={name.removeprefix('ours ')}")
    else:
        python, script, env = competitors()[name]
    if "deflate" in options and name == "picows":
        script = "echo_picowsws.py"  # the core of picows does not compress, its face of websockets does
    return harness.Server([python, str(harness.HERE / "servers" / script), str(port), *options], port, log, **env)


def versions() -> dict[str, str]:
    """Of the peers."""
    found = harness.versions(harness.environment("bench")) | harness.versions(harness.environment("autobahn"))
    return {name: found.get(name, "") for name in ("picows", "aiohttp", "websockets", "autobahn", "uvloop")}


def payload(size: int, text: bool) -> bytes:
    """What is echoed: JSON, or noise."""
    return harness.json_text(size) if text else random.Random(size).randbytes(size)


def bench(options: tables.Options, uvloop: bool) -> tables.Table:
    """The table for one loop. Every server is up the whole time; one at a time gets load."""
    rounds, seconds = options.sized(15, 0.16)
    generator = harness.build("wsbench")
    names = options.wanted(["C", *competitors()], BASE)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        started = {who: start(who, folder, *(["uvloop"] if uvloop else [])) for who in names}
        with harness.serving(started) as servers:
            tables.require(names, list(servers))
            for shape in [shape for shape in SHAPES if shape.is_quick or not options.quick]:
                frame = folder / "frame"
                frame.write_bytes(harness.masked_frame(payload(shape.size, shape.text), shape.text))

                def measure(who: str, shape: Shape = shape, frame: pathlib.Path = frame) -> harness.Sample | None:
                    server = servers[who]
                    numbers = [shape.inflight, shape.connections, seconds / 3, seconds]
                    mode = "raw" if who in OCTETS else "ws"
                    command = [str(server.port), mode, str(frame), *map(str, numbers), server.pids()]
                    return harness.load([generator, "load", *command])

                samples = tables.interleave(list(servers), rounds, measure)
                rows.append(tables.Row(shape.label, shape.goal, tables.summarize(samples, BASE)))
                print(f"measured: server, {shape.label}", flush=True)
    loop = "uvloop" if uvloop else "asyncio"
    return tables.Table(f"Echo server on {loop}", names, rows, BASE, NOTE)

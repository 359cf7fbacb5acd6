"""Echo servers side by side: CPU of the server per message, as a ratio to a raw `asyncio.Protocol` echo."""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile

import harness

BASE = "raw"

# name: (octets, in flight on each connection, connections)
CELLS = {
    "8 B, 64 in flight": (8, 64, 1),
    "256 B, 1 in flight": (256, 1, 1),
    "8 KiB, 64 in flight": (8192, 64, 1),
    "100 KiB, 1 in flight": (102400, 1, 1),
    "100 KiB, 16 in flight": (102400, 16, 1),
    "8 B, 32 connections": (8, 1, 32),
}


def competitors() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Name: Python, script, extra environment."""
    peers, autobahn = harness.environment("bench"), harness.environment("autobahn")
    return {
        BASE: (harness.OUR_PYTHON, "echo_raw.py", {}),
        "ours": (harness.OUR_PYTHON, "echo_autobahn.py", {}),
        "ours pure": (harness.OUR_PYTHON, "echo_autobahn.py", {"AUTOBAHN_PURE": "1"}),
        "picows": (peers, "echo_picows.py", {}),
        "aiohttp": (peers, "echo_aiohttp.py", {}),
        "websockets": (peers, "echo_websockets.py", {}),
        "autobahn": (autobahn, "echo_autobahn.py", {}),
    }


def start(wanted: list[str], uvloop: bool, folder: pathlib.Path) -> dict[str, harness.Server]:
    """A server of each kind, all on core 0; only the one under load does anything."""
    servers = {}
    for name, (python, script, env) in competitors().items():
        if name not in wanted:
            continue
        port = harness.free_port()
        command = [python, str(harness.HERE / "servers" / script), str(port), *(["uvloop"] if uvloop else [])]
        servers[name] = harness.Server(command, port, folder / f"{name}.log", **env)
    return servers


def run(wanted: list[str], cells: list[str], rounds: int, seconds: float, uvloop: bool) -> None:
    """Measures, prints the table and saves the numbers."""
    generator = harness.build("wsbench")
    results: dict[str, dict[str, harness.Line]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with harness.serving(start(wanted, uvloop, folder)) as servers:
            for cell in cells:
                size, inflight, connections = CELLS[cell]
                frame = folder / "frame"
                frame.write_bytes(harness.masked_frame(os.urandom(size)))

                def measure(who: str, frame=frame, inflight=inflight, connections=connections):
                    server = servers[who]
                    mode = "raw" if who == BASE else "ws"
                    numbers = [inflight, connections, seconds / 3, seconds]
                    options = [str(server.port), mode, str(frame), *map(str, numbers), server.pids()]
                    return harness.load([generator, *options])

                samples = harness.interleave(list(servers), rounds, measure)
                results[cell] = harness.summarize(samples, BASE)
                print(f"measured: {cell}", flush=True)
            names = list(servers)
    loop = "uvloop" if uvloop else "asyncio"
    harness.print_table(f"Echo server on {loop}: CPU µs per message (ratio to {BASE})", results, BASE, names)
    peers = harness.versions(harness.environment("bench")) | harness.versions(harness.environment("autobahn"))
    versions = {name: peers.get(name, "") for name in ("picows", "aiohttp", "websockets", "autobahn", "uvloop")}
    print(f"\n{harness.machine()}; {', '.join(f'{k} {v}' for k, v in versions.items() if v)}")
    data = {"machine": harness.machine(), "versions": versions, "loop": loop, "base": BASE, "cells": results}
    harness.save(f"echo-{loop}", data)
    harness.require(wanted, names)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter slices: a first impression")
    add("--rounds", type=int, help="slices of each competitor in a cell (10; quick: 3)")
    add("--seconds", type=float, help="length of a slice (0.3; quick: 0.15)")
    add("--only", action="append", metavar="NAME", help="only this competitor beside the base (repeatable)")
    add("--cell", action="append", choices=list(CELLS), help="only this cell (repeatable)")
    add("--uvloop", action="store_true", help="every server on uvloop")
    args = parser.parse_args(argv)
    wanted = [BASE, *args.only] if args.only else list(competitors())
    rounds = args.rounds or (3 if args.quick else 10)
    seconds = args.seconds or (0.15 if args.quick else 0.3)
    run(wanted, args.cell or list(CELLS), rounds, seconds, args.uvloop)


if __name__ == "__main__":
    main()

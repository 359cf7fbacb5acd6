"""Routed calls: CPU of the router per call beside crossbar, of the client per call beside the peer."""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import tempfile

import harness

BASE = "ours"
ARGUMENTS = [42]

# name: (serializer, calls in flight)
CELLS = {
    "json, 64 in flight": ("json", 64),
    "json, 1 in flight": ("json", 1),
    "msgpack, 64 in flight": ("msgpack", 64),
    "cbor, 64 in flight": ("cbor", 64),
}


def crossbar_config(port: int) -> dict:
    """One worker, one realm, anonymous clients may do everything."""
    allow = {"call": True, "register": True, "publish": True, "subscribe": True}
    anybody = {"uri": "", "match": "prefix", "allow": allow, "cache": True}
    transport = {
        "type": "websocket",
        "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": port},
        "serializers": ["json", "msgpack", "cbor"],
        "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
    }
    realm = {"name": "realm1", "roles": [{"name": "anonymous", "permissions": [anybody]}]}
    worker = {"type": "router", "realms": [realm], "transports": [transport]}
    return {"version": 2, "controller": {"id": "bench"}, "workers": [worker]}


def start_router(name: str, folder: pathlib.Path) -> harness.Server:
    """A router on core 0 with realm1 at /ws."""
    port, log = harness.free_port(), folder / f"{name}.log"
    if name == "crossbar":
        node = folder / "node" / ".crossbar"
        node.mkdir(parents=True)
        (node / "config.json").write_text(json.dumps(crossbar_config(port)))
        program = pathlib.Path(harness.environment("crossbar")).with_name("crossbar")
        return harness.Server([str(program), "start", "--cbdir", str(node)], port, log, HOME=str(folder))
    url = f"ws://127.0.0.1:{port}/ws"
    autobahn = str(pathlib.Path(harness.OUR_PYTHON).with_name("autobahn"))
    command = [autobahn, "router", "--url", url, "--realm", "realm1"]
    return harness.Server(command, port, log, **({"AUTOBAHN_PURE": "1"} if name.endswith("pure") else {}))


def bench_routers(names: list[str], cells: list[str], rounds: int, seconds: float) -> dict:
    """A callee and a caller in one C program on core 1 load each router in turn."""
    generator = harness.build("wampbench")
    results: dict[str, dict[str, harness.Line]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with harness.serving({who: start_router(who, folder) for who in names}) as servers:
            for cell in cells:
                serializer, inflight = CELLS[cell]
                templates = harness.wamp_templates(folder / "templates", serializer, ARGUMENTS)

                def measure(who: str, templates=templates, inflight=inflight):
                    server = servers[who]
                    numbers = [inflight, seconds / 3, seconds]
                    options = [str(server.port), templates, *map(str, numbers), server.pids()]
                    return harness.load([generator, "rpc", *options])

                samples = harness.interleave(list(servers), rounds, measure)
                results[cell] = harness.summarize(samples, BASE)
                print(f"measured: router, {cell}", flush=True)
            listening = list(servers)
    title = f"Router, routed call over WebSocket: CPU µs per call (ratio to {BASE})"
    harness.print_table(title, results, BASE, listening)
    harness.require(names, listening)
    return {"base": BASE, "cells": results}


def bench_clients(names: list[str], cells: list[str], rounds: int, calls: int) -> dict:
    """Each client on core 1 calls a C program on core 0 that answers at once."""
    generator = harness.build("wampbench")
    pythons = {"autobahn": harness.environment("autobahn")} if "autobahn" in names else {}
    results: dict[str, dict[str, harness.Line]] = {}
    script = str(harness.HERE / "clients" / "rpc_client.py")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for cell in cells:
            serializer, inflight = CELLS[cell]
            templates = harness.wamp_templates(folder / "templates", serializer, ARGUMENTS)
            port = harness.free_port()
            answering = harness.Server([generator, "serve", str(port), templates], port, folder / "serve.log")
            with harness.serving({"answering": answering}):
                number = calls if inflight > 1 else calls // 5

                def measure(who: str, port=port, serializer=serializer, number=number, inflight=inflight):
                    options = ["--url", f"ws://127.0.0.1:{port}/ws", "--serializer", serializer]
                    options += ["--calls", str(number), "--inflight", str(inflight)]
                    env = {"AUTOBAHN_PURE": "1"} if who.endswith("pure") else {}
                    return run_client([pythons.get(who, harness.OUR_PYTHON), script, *options], env)

                samples = harness.interleave(names, rounds, measure)
            results[cell] = harness.summarize(samples, BASE)
            print(f"measured: client, {cell}", flush=True)
    title = f"Client, call over WebSocket: CPU µs per call (ratio to {BASE})"
    harness.print_table(title, results, BASE, names)
    harness.require(names, [name for name in names if all(name in lines for lines in results.values())])
    return {"base": BASE, "cells": results}


def run_client(command: list[str], env: dict[str, str]) -> harness.Sample | None:
    """One run of a client program; `None` when it failed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=harness.pinned(1),
        env=harness.clean_env(**env),
        timeout=90,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    if done.returncode or not lines:
        print(f"  {command[0]}: {done.stderr.strip()[-300:]}", flush=True)
        return None
    return harness.decode_sample(lines[-1])


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter slices: a first impression")
    add("--rounds", type=int, help="slices of each competitor in a cell (6; quick: 2)")
    add("--seconds", type=float, help="length of a slice of router load (0.6; quick: 0.3)")
    add("--calls", type=int, default=5000, help="calls in a slice of client load (1 in flight: a fifth)")
    add("--cell", action="append", choices=list(CELLS), help="only this cell (repeatable)")
    add("--part", choices=["router", "client"], help="only this part")
    add("--peers-only", action="store_true", help="without our own package")
    args = parser.parse_args(argv)
    rounds = args.rounds or (2 if args.quick else 6)
    seconds = args.seconds or (0.3 if args.quick else 0.6)
    cells = args.cell or list(CELLS)
    ours = [] if args.peers_only else ["ours", "ours pure"]
    data: dict = {"machine": harness.machine()}
    if args.part != "client":
        data["router"] = bench_routers([*ours, "crossbar"], cells, rounds, seconds)
    if args.part != "router":
        data["client"] = bench_clients([*ours, "autobahn"], cells, rounds, args.calls)
    peers = ("crossbar", "autobahn")
    found = {name: harness.versions(harness.environment(name)).get(name, "") for name in peers}
    data["versions"] = found
    print(f"\n{harness.machine()}; {', '.join(f'{name} {version}' for name, version in found.items())}")
    harness.save("rpc", data)


if __name__ == "__main__":
    main()

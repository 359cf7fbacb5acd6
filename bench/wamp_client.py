"""WAMP clients side by side: CPU of the client per call and per event, against a router stub in C."""

from __future__ import annotations

import pathlib
import tempfile

import harness
import tables
from ws_client import clients

BASE = "ours"
TRANSPORTS = {"ws": "WebSocket", "rs": "RawSocket"}
NOTE = (
    "CPU µs of the client per call (its result awaited) or per event (given to a plain `def`; `async def` with xconn, "
    "which takes no other), against a C program that answers every call at once and sends events by the 64; median of "
    "the slices (median of the ratios to ours, round by round). The goal is a fifth of autobahn's cost at 64 in flight."
)


def competitors() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Name: Python, script, extra environment."""
    return {
        BASE: (harness.OUR_PYTHON, "wamp_autobahn.py", harness.our_env()),
        "ours pure": (harness.OUR_PYTHON, "wamp_autobahn.py", harness.our_env(AUTOBAHN_PURE="1")),
        "autobahn": (harness.environment("autobahn"), "wamp_autobahn.py", {}),
        "xconn": (harness.environment("xconn"), "wamp_xconn.py", {}),
    }


def versions() -> dict[str, str]:
    """Of the peers."""
    found = harness.versions(harness.environment("autobahn")) | harness.versions(harness.environment("xconn"))
    return {name: found.get(name, "") for name in ("autobahn", "xconn")}


def bench(options: tables.Options) -> list[tables.Table]:
    """A table for calls with 64 in flight, with one, and for events."""
    rounds, seconds = options.sized(4, 0.2)
    generator = harness.build("wampbench")
    names = options.wanted(list(competitors()), BASE)
    chosen = {name: command for name, command in competitors().items() if name in names}
    kinds = [("calls", 64), ("calls", 1), ("events", 64)]
    rows: dict[tuple[str, int], list[tables.Row]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with clients(chosen, folder) as started:
            for serializer in ("json", "msgpack", "cbor"):
                templates = harness.wamp_templates(folder / serializer, serializer, [42])
                port = harness.free_port()
                command = [generator, "serve", str(port), templates]
                stub = harness.Server(command, port, folder / "stub.log", harness.LOAD_CORE)
                with harness.serving({"stub": stub}):
                    for transport, shown in TRANSPORTS.items():
                        for what, inflight in kinds:
                            job = {"port": port, "transport": transport, "serializer": serializer, "what": what}
                            job |= {"inflight": inflight, "warm": seconds / 3, "seconds": seconds}
                            samples = tables.interleave(
                                list(started), rounds, lambda who, job=job, stub=stub: started[who].measure(job, stub)
                            )
                            cells = tables.summarize(samples, BASE)
                            goal = f"≤ {cells['autobahn'].value / 5:.1f} µs" if "autobahn" in cells else ""
                            goal = "" if (what, inflight) == ("calls", 1) else goal
                            rows[what, inflight].append(tables.Row(f"{serializer}, {shown}", goal, cells))
                            print(f"measured: WAMP client, {serializer}, {shown}, {what} × {inflight}", flush=True)
    titles = {
        ("calls", 64): "WAMP client: CPU µs per call, 64 in flight",
        ("calls", 1): "WAMP client: CPU µs per call, 1 in flight",
        ("events", 64): "WAMP client: CPU µs per event",
    }
    found = [tables.Table(titles[kind], names, rows[kind], BASE) for kind in kinds]
    found[-1].note = NOTE
    return found

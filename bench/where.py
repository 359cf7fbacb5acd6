"""Where the time goes: our echo server and our router under load, seen by `perf` (if there) and by cProfile.

    python bench/where.py [echo|router|events|rawsocket ...] [--publish]

`perf` samples the running process by shared object. cProfile slows Python calls and not what C code does, so its shares
are a hint, and its calls per message are exact. What waits for work is left out.
"""

from __future__ import annotations

import argparse
import pathlib
import pstats
import shutil
import signal
import subprocess
import tempfile

import harness
import msgspec
import tables

SECONDS = 1.5
GROUPS = {
    "kernel: send": ("method 'send' of '_socket", "method 'sendmsg' of '_socket"),
    "kernel: receive": ("method 'recv",),
    "event loop": (
        "/asyncio/base_events",
        "/asyncio/selector_events",
        "/asyncio/events",
        "selectors.py",
    ),
    # The loop runs callbacks through this one; what they do in C, system calls and all, is counted as its own.
    "callbacks in C: receive, frames, send": ("_contextvars",),
    "codec (msgspec, cbor2)": ("msgspec", "cbor2", "_cbor.", "/wamp/codec"),
    "compiled units (frames, lane)": ("_frames.", "_lane."),
    "autobahn.websocket": ("autobahn/websocket/",),
    "the program": ("/bench/",),
    "autobahn.rawsocket": ("autobahn/rawsocket/", "autobahn/asyncio/rawsocket"),
    "autobahn.router": ("autobahn/router/",),
    "autobahn.wamp": ("autobahn/wamp/",),
    "autobahn.asyncio": ("autobahn/asyncio/",),
}


OBJECTS = {
    "kernel": "kernel: sockets, epoll",
    "_frames": "compiled units (frames, lane)",
    "_lane": "compiled units (frames, lane)",
    "_cbor.": "compiled units (frames, lane)",
    "msgspec": "msgspec",
    "_core": "msgspec",
    "cbor2": "cbor2",
    "uvloop": "uvloop",
    "python": "interpreter",
    "lib": "C library",
}


class Subject(msgspec.Struct):
    """What is profiled."""

    title: str
    script: str
    work: list[str]  # of the load generator, after the port
    serializer: str = ""
    size: int = 256


SUBJECTS = {
    "echo": Subject("Echo server: 256 B, 64 in flight", "echo_autobahn.py", ["64", "1"]),
    "echo-1": Subject("Echo server: 256 B, 1 in flight", "echo_autobahn.py", ["1", "1"]),
    "router": Subject(
        "Router: call, json, WebSocket, 64 in flight", "router_autobahn.py", ["rpc", "ws", "64", "1"], "json"
    ),
    "rawsocket": Subject(
        "Router: call, msgpack, RawSocket, 8 KiB, 64 in flight",
        "router_autobahn.py",
        ["rpc", "rs", "64", "1"],
        "msgpack",
        8192,
    ),
    "events": Subject(
        "Router: event, json, WebSocket, 100 subscribers", "router_autobahn.py", ["events", "ws", "64", "100"], "json"
    ),
    "joins": Subject(
        "Router: join and leave, json, WebSocket, 32 at a time", "router_autobahn.py", ["joins", "ws", "32"], "json"
    ),
}


def short_path(path: str) -> str:
    """``path`` as it is on every machine: below src, lib or bench, else the file's name alone."""
    for folder, prefix in (("/src/", ""), ("/lib/", ""), ("/bench/", "bench/")):
        if folder in path:
            return prefix + path.rpartition(folder)[2]
    return pathlib.PurePath(path).name


def sampled(pid: int, folder: pathlib.Path) -> subprocess.Popen:
    """`perf` at work on that process."""
    command = ["perf", "record", "-q", "-F", "1999", "-e", "cpu-clock", "-p", str(pid), "-o", str(folder / "perf")]
    return subprocess.Popen([*command, "--", "sleep", str(SECONDS)], stderr=subprocess.DEVNULL)


def shared_objects(path: pathlib.Path) -> dict[str, float]:
    """Shares of what `perf` has seen, in percent."""
    command = ["perf", "report", "-q", "--stdio", "--sort", "dso", "-i", str(path)]
    found: dict[str, float] = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        share, _, name = line.strip().partition("%")
        if name:
            names = (shown for part, shown in OBJECTS.items() if part in name)
            shown = next(names, "the rest")
            found[shown] = found.get(shown, 0.0) + float(share)
    return found


def loaded(subject: Subject, folder: pathlib.Path, mode: str = "") -> tuple[harness.Sample, pathlib.Path]:
    """One slice of load, and where statistics are, if `mode` is "calls" (cProfile) or "perf"."""
    port, stats = harness.free_port(), folder / "stats"
    script = str(harness.HERE / "servers" / subject.script)
    prefix = [str(harness.HERE / "servers" / "profiled.py"), str(stats)] if mode == "calls" else []
    arguments = [str(port), *([str(folder / "counters")] if subject.serializer else [])]
    run = [harness.OUR_PYTHON, *prefix, script, *arguments]
    server = harness.Server(run, port, folder / "log", stdin=subprocess.PIPE, **harness.our_env())
    times = [str(SECONDS / 5), str(SECONDS * 2 if mode == "perf" else SECONDS)]
    with harness.serving({"ours": server}) as ready:
        pids = ready["ours"].pids()
        if mode == "calls":
            server.process.send_signal(signal.SIGUSR1)
        if subject.serializer:
            payload = [42] if subject.size < 1024 else ["x" * subject.size]
            templates = harness.wamp_templates(folder / "templates", subject.serializer, payload)
            what, transport, *numbers = subject.work
            command = [harness.build("wampbench"), what, str(port), transport, templates, *numbers, *times, pids]
        else:
            frame = folder / "frame"
            frame.write_bytes(harness.masked_frame(b"x" * subject.size))
            command = [harness.build("wsbench"), "load", str(port), "ws", str(frame), *subject.work, *times, pids]
        perf = sampled(server.process.pid, folder) if mode == "perf" else None
        sample = harness.load(command)
        if perf is not None:
            perf.wait(30)
    if sample is None:
        raise SystemExit("expected a sample, got none")
    return sample, stats


def group_of(name: str) -> str:
    """The group a function belongs to."""
    for group, parts in GROUPS.items():
        if any(part in name for part in parts):
            return group
    return "other"


def profile(subject: Subject, wanted: int) -> str:
    """The text on one subject."""
    with tempfile.TemporaryDirectory() as name:
        plain, _ = loaded(subject, pathlib.Path(name))
        objects = {}
        if shutil.which("perf"):
            loaded(subject, pathlib.Path(name), "perf")
            objects = shared_objects(pathlib.Path(name) / "perf")
        sample, stats = loaded(subject, pathlib.Path(name), "calls")
        found = pstats.Stats(str(stats)).stats  # type: ignore[attr-defined]
    messages = sample.messages * (1 + 1 / 5)  # warming up is in the profile, too
    functions = []
    for (path, line, function), (_, calls, own, _, _) in found.items():
        if "'poll'" in function:
            continue
        short = short_path(path)
        functions.append(
            (own, calls / messages, f"{path}:{function}", f"{short}:{line} {function}" if line else function)
        )
    total = sum(own for own, *_ in functions)
    groups: dict[str, list[float]] = {}
    for own, calls, key, _ in functions:
        entry = groups.setdefault(group_of(key), [0.0, 0.0])
        entry[0] += own
        entry[1] += calls
    lines = [f"### {subject.title}", "", f"{plain.cost:.1f} µs per message without a profiler.", ""]
    shares = sorted(objects.items(), key=lambda item: -item[1])
    if shares:
        shown = " · ".join(f"{what} {share:.0f} %" for what, share in shares if share >= 0.5)
        lines += [f"By shared object (`perf`): {shown}.", ""]
    lines += ["By Python function (`cProfile`):", "", "| part | share | calls per message |", "|---|---|---|"]
    for group, (own, calls) in sorted(groups.items(), key=lambda item: -item[1][0]):
        if own / total >= 0.005:
            lines.append(f"| {group} | {own / total:.0%} | {calls:.2f} |")
    lines += ["", "| function | share | calls per message |", "|---|---|---|"]
    for own, calls, _, shown in sorted(functions, reverse=True)[:wanted]:
        lines.append(f"| `{shown}` | {own / total:.0%} | {calls:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"out of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--functions", type=int, default=8, help="how many functions are shown of each")
    parser.add_argument("--source", default="", metavar="DIR", help="another copy of this package's src")
    parser.add_argument("--publish", action="store_true", help="into docs/benchmarks")
    args = parser.parse_args()
    harness.SOURCE = str(pathlib.Path(args.source).resolve()) if args.source else ""
    texts = []
    for name in args.subject or SUBJECTS:
        texts.append(profile(SUBJECTS[name], args.functions))
        print(f"\n{texts[-1]}", flush=True)
    if args.publish:
        tables.put(tables.PAGE, "where", "\n\n".join(texts))


if __name__ == "__main__":
    main()

"""Run the cases of the Autobahn TestSuite against our WebSocket server and client.

`kosoku` drives the cases, from an environment of its own under `.peers/`. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / ".peers" / "kosoku"
AGENT = "autobahn"

ALL_CASES = 517
SLOW_CASES = [f"{major}.*.{minor}" for major in (12, 13) for minor in range(6, 19)]  # big compressed messages
QUICK_CASES = ALL_CASES - 156

GOOD = {"OK", "INFORMATIONAL"}
START_LIMIT = 30.0  # seconds until the testee or the fuzzing server must listen
END_LIMIT = 30.0  # seconds from the end of the client until the results must be there
RUN_LIMIT = 45 * 60.0


class HarnessError(Exception):
    """The run could not be carried out: nothing is known about the cases."""


# -- the runner: executed by the Python of kosoku's own environment --


def finish_run(port: int) -> None:
    """The fuzzing server ends its run and hands out what it has, as if the client had asked it to."""
    request = (
        f"GET /updateReports?agent={AGENT} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.settimeout(5)
        sock.sendall(request.encode())
        with contextlib.suppress(TimeoutError):
            while sock.recv(4096):
                pass


def entry_of(result) -> dict:
    """One case as plain data; everything needed to understand it when it is not good."""
    entry = {
        "behavior": result.behavior.value,
        "behaviorClose": result.behavior_close.value,
        "duration_ms": result.duration,
        "remoteCloseCode": result.remote_close_code,
    }
    if entry["behavior"] not in GOOD or entry["behaviorClose"] not in GOOD:
        entry |= {
            "description": result.description,
            "expectation": result.expectation,
            "result": result.result,
            "resultClose": result.result_close,
            "wasNotCleanReason": result.was_not_clean_reason,
            "expected": repr(result.expected)[:600],
            "expectedClose": repr(result.expected_close)[:600],
            "received": repr(result.received)[:600],
            "wirelog": [str(line)[:200] for line in (result.wirelog or [])[:40]],
        }
    return entry


async def drive(args: argparse.Namespace) -> list:
    """The result of every case that was run."""
    import kosoku  # only there in the runner's environment

    cases, exclude = args.case or None, args.exclude or None
    try:
        if args.role == "server":
            return await kosoku.run_fuzzingclient(
                f"ws://127.0.0.1:{args.port}", cases, exclude, concurrency=args.parallel
            )
        async with kosoku.run_fuzzingserver(cases, exclude, host="127.0.0.1", port=args.port) as server:
            return await server.get_result()
    except kosoku.FailureError as failure:
        return failure.results


def runner_main(argv: list[str]) -> int:
    """Entry of the runner process: results go to a JSON file."""
    import asyncio

    parser = argparse.ArgumentParser()
    parser.add_argument("--role", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--case", action="append")
    parser.add_argument("--exclude", action="append")
    parser.add_argument("--out", required=True)
    args = parser.parse_args(argv)
    results = asyncio.run(drive(args))
    data = {
        "agent": next((r.agent for r in results if r.agent), ""),
        "cases": {r.case_id: entry_of(r) for r in results},
    }
    pathlib.Path(args.out).write_text(json.dumps(data))
    return 0


# -- the harness --


def runner_python() -> str:
    """The Python of kosoku's environment, which is there afterwards."""
    python = VENV / "bin" / "python" if os.name != "nt" else VENV / "Scripts" / "python.exe"
    probe = [str(python), "-c", "import kosoku"]
    if python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return str(python)
    print(f"setting up {VENV.relative_to(ROOT)} ...", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "kosoku"], check=True)
    except subprocess.CalledProcessError as exc:
        raise HarnessError(f"cannot set up the runner: {exc}") from None
    return str(python)


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_listening(port: int, process: subprocess.Popen) -> None:
    """Returns once somebody listens on the port; raises when the process ended or the time is up."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise HarnessError(f"process ended with {process.returncode} before it listened: {process.args}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise HarnessError(f"nobody listens on port {port} after {START_LIMIT:.0f} s: {process.args}")


@contextlib.contextmanager
def running(command: list[str], log: pathlib.Path, env: dict[str, str]):
    """A process that is gone at the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=ROOT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def await_exit(process: subprocess.Popen, limit: float) -> None:
    """Returns once the process has ended well."""
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"no end after {limit:.0f} s: {process.args}") from None
    if code:
        raise HarnessError(f"exit status {code}: {process.args}")


def await_client(client: subprocess.Popen, runner: subprocess.Popen, port: int) -> None:
    """The run is over: also when the client died before it had driven every case."""
    deadline = time.monotonic() + RUN_LIMIT
    while runner.poll() is None and client.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if runner.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(3)
    if runner.poll() is None:
        print(f"the client ended ({client.poll()}) without asking for the report", flush=True)
        with contextlib.suppress(OSError):
            finish_run(port)
    await_exit(runner, END_LIMIT)


def run_role(role: str, args: argparse.Namespace, folder: pathlib.Path) -> dict:
    """The raw results of one role."""
    port = free_port()
    out = folder / f"{role}.raw.json"
    runner = [runner_python(), str(pathlib.Path(__file__).resolve()), "--runner", "--role", role]
    runner += ["--port", str(port), "--out", str(out), "--parallel", str(args.parallel)]
    for case in args.case or []:
        runner += ["--case", case]
    for case in [] if args.full or args.case else SLOW_CASES:
        runner += ["--exclude", case]
    testee = shlex.split(args.testee) if args.testee else [sys.executable, str(HERE / "testee.py")]
    if role == "server":
        testee += ["server", "--port", str(port)]
    else:
        testee += ["client", "--url", f"ws://127.0.0.1:{port}", "--agent", AGENT]
    if args.uvloop:
        testee.append("--uvloop")
    env = dict(os.environ)
    env.pop("PYTHONPATH", None)
    testee_env = env | {"AUTOBAHN_PURE": "1"} if args.pure else env
    testee_log, runner_log = folder / f"{role}.testee.log", folder / f"{role}.runner.log"
    try:
        if role == "server":
            with running(testee, testee_log, testee_env) as server:
                wait_listening(port, server)
                with running(runner, runner_log, env) as fuzzer:
                    await_exit(fuzzer, RUN_LIMIT)
        else:
            with running(runner, runner_log, env) as fuzzer:
                wait_listening(port, fuzzer)
                with running(testee, testee_log, testee_env) as client:
                    await_client(client, fuzzer, port)
    except HarnessError as exc:
        logs = [log for log in (testee_log, runner_log) if log.exists()]
        tails = [f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs]
        raise HarnessError("\n".join([str(exc), *tails])) from None
    return json.loads(out.read_text())


def case_key(case_id: str) -> list[int]:
    """Orders case ids as numbers."""
    return [int(part) for part in case_id.split(".")]


def judge(role: str, label: str, raw: dict, expected: int, seconds: float) -> dict:
    """The verdict over one role."""
    cases = {case: raw["cases"][case] for case in sorted(raw["cases"], key=case_key)}
    bad = [c for c, e in cases.items() if e["behavior"] not in GOOD or e["behaviorClose"] not in GOOD]
    expected = max(expected, len(cases))
    missing = expected - len(cases)
    return {
        "role": role,
        "flavour": label,
        "agent": raw["agent"],
        "seconds": round(seconds, 1),
        "expected": expected,
        "run": len(cases),
        "missing": missing,
        "behavior": dict(collections.Counter(e["behavior"] for e in cases.values())),
        "behaviorClose": dict(collections.Counter(e["behaviorClose"] for e in cases.values())),
        "passed": not bad and not missing,
        "bad": bad,
        "cases": cases,
    }


def counts(table: dict[str, int]) -> str:
    """`3 INFORMATIONAL, 358 OK`."""
    return ", ".join(f"{number} {name}" for name, number in sorted(table.items())) or "none"


def markdown(verdict: dict) -> str:
    """The verdict as a page for people."""
    state = "passed" if verdict["passed"] else "NOT passed"
    lines = [
        f"# Autobahn TestSuite: our {verdict['role']}, {verdict['flavour']}: {state}",
        "",
        f"- cases run: {verdict['run']} of {verdict['expected']} in {verdict['seconds']} s",
        f"- behaviour: {counts(verdict['behavior'])}",
        f"- closing behaviour: {counts(verdict['behaviorClose'])}",
    ]
    if verdict["missing"]:
        lines.append(f"- MISSING: {verdict['missing']} cases gave no result")
    ok = ("OK", "OK")
    others = {c: e for c, e in verdict["cases"].items() if (e["behavior"], e["behaviorClose"]) != ok}
    if others:
        lines += ["", "Every case that is not OK on both counts:", "", "| case | behaviour | closing | why |"]
        lines.append("|---|---|---|---|")
    for case, entry in others.items():
        why = " ".join(f"{entry.get('result', '')} {entry.get('resultClose', '')}".split()).replace("|", "/")
        lines.append(f"| {case} | {entry['behavior']} | {entry['behaviorClose']} | {why} |")
    for case in verdict["bad"]:
        entry = verdict["cases"][case]
        lines += ["", f"## {case}", "", " ".join(entry["description"].split()), ""]
        lines.append(f"- should: {' '.join(entry['expectation'].split())}")
        lines.append(f"- expected events: `{entry['expected']}`; expected close: `{entry['expectedClose']}`")
        lines.append(f"- received: `{entry['received']}`; close code {entry['remoteCloseCode']}")
        if entry["wasNotCleanReason"]:
            lines.append(f"- not clean: {entry['wasNotCleanReason']}")
    return "\n".join(lines) + "\n"


def flavour(args: argparse.Namespace) -> str:
    """What is tested: `compiled`, `pure`, or the testee's own name."""
    if args.label:
        return str(args.label)
    if args.testee:
        return "foreign"
    if args.pure:
        kind = "pure"
    else:
        probe = "from autobahn.websocket.frames import COMPILED; print('compiled' if COMPILED else 'pure')"
        found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
        kind = found.stdout.strip() or "unknown"
    return kind + ("-uvloop" if args.uvloop else "")


def expected_count(args: argparse.Namespace) -> int:
    """How many cases must come back; 1 at least for a hand-picked selection."""
    if args.case:
        return sum(1 for case in args.case if not any(c in case for c in "*?[")) or 1
    return ALL_CASES if args.full else QUICK_CASES


def parse_args(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--role", choices=["server", "client", "both"], default="both", help="which of our ends to test")
    add("--full", action="store_true", help=f"all {ALL_CASES} cases instead of {QUICK_CASES}")
    add("--case", action="append", metavar="ID", help="only these cases; globs as in 9.* (repeatable)")
    add("--pure", action="store_true", help="test the pure Python frame unit (AUTOBAHN_PURE=1)")
    add("--uvloop", action="store_true", help="run the testee on uvloop")
    add("--parallel", type=int, default=1, help="cases at a time (server role)")
    add("--report", metavar="DIR", default=str(ROOT / "reports" / "conformance"), help="where to write")
    add("--setup", action="store_true", help="only install the runner")
    add("--testee", metavar="COMMAND", help="test this program instead of testee.py")
    add("--label", help="what the report calls the tested program (compiled, pure, …-uvloop, foreign)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Exit status 0 when every case of every asked role is there and good."""
    args = parse_args(argv)
    try:
        runner_python()
    except HarnessError as exc:
        print(exc)
        return 2
    if args.setup:
        return 0
    label, report = flavour(args), pathlib.Path(args.report)
    report.mkdir(parents=True, exist_ok=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for role in ["server", "client"] if args.role == "both" else [args.role]:
            print(f"{role}, {label}: running {'all' if args.full else 'quick'} cases ...", flush=True)
            started = time.monotonic()
            try:
                raw = run_role(role, args, pathlib.Path(folder))
            except HarnessError as exc:
                print(exc)
                good = False
                continue
            verdict = judge(role, label, raw, expected_count(args), time.monotonic() - started)
            (report / f"{role}-{label}.json").write_text(json.dumps(verdict, indent=1))
            (report / f"{role}-{label}.md").write_text(markdown(verdict))
            print(markdown(verdict))
            good = good and verdict["passed"]
    print(f"reports: {report}")
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--runner"]:
        code = runner_main(sys.argv[2:])
        os._exit(code)  # the native runner aborts when the interpreter is taken down under its threads
    sys.exit(main(sys.argv[1:]))

"""Check that clients of the peer package work on our router, and our clients on crossbar.

Peers are installed from PyPI into environments of their own under `.peers/`. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import metadata

import world

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".peers"
EXAMPLES = ROOT / "examples"

PACKAGES = {
    # The peer's UBJSON module prints a warning under NumPy 2.
    "autobahn": ["autobahn[serialization,encryption]==26.10.2", "numpy<2"],
    "crossbar": ["crossbar==26.10.1"],
}
SERIALIZERS = ["json", "msgpack", "cbor"]
REALM = "realm1"
OPEN_LIMIT = 60.0  # crossbar takes seconds to listen
CHECK_LIMIT = 90.0
STOP_LIMIT = 15.0


CHECKED: dict[str, list[str]] = {}
"""The names of what a script has checked."""


class HarnessError(Exception):
    """A peer could not be installed, started or stopped."""


# -- peers --


def peer_bin(name: str, program: str) -> str:
    """Path of a program in a peer's environment."""
    return str(PEERS / name / "bin" / program)


def installed(name: str) -> dict[str, str]:
    """The versions in a peer's environment, by distribution."""
    command = [peer_bin(name, "python"), "-m", "pip", "list", "--format", "json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return {d["name"].lower(): d["version"] for d in json.loads(found.stdout or "[]")}


def set_up(name: str) -> str:
    """The peer's environment is there; returns the peer's version."""
    if not pathlib.Path(peer_bin(name, "python")).exists():
        print(f"installing {name} into .peers/{name} (minutes) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / name)], check=True)
    if name not in installed(name):
        pip = [peer_bin(name, "python"), "-m", "pip", "install", "-q"]
        if subprocess.run([*pip, *PACKAGES[name]], check=False).returncode:
            newest = [package.split("==")[0] for package in PACKAGES[name]]
            print(f"{PACKAGES[name]} cannot be had, taking {newest}", flush=True)
            if subprocess.run([*pip, *newest], check=False).returncode:
                raise HarnessError(f"cannot install {newest}")
    return installed(name)[name]


# -- processes --


def clean_env(home: pathlib.Path | None = None) -> dict[str, str]:
    """An environment in which each Python finds only its own packages."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AUTOBAHN"))}
    env["PYTHONUNBUFFERED"] = "1"
    return env | ({"HOME": str(home)} if home else {})


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def stop(process: subprocess.Popen) -> int:
    """Asks the process to end by SIGINT; returns its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -signal.SIGKILL
    return process.returncode


class Started:
    """A process that has been started; `status` is there once it was stopped."""

    def __init__(self, process: subprocess.Popen, log: pathlib.Path) -> None:
        self.process = process
        self.log = log
        self.status: int | None = None

    def tail(self, size: int = 1500) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-size:]


@contextlib.contextmanager
def running(command: list[str], log: pathlib.Path, env: dict[str, str], cwd: pathlib.Path):
    """A process that is gone at the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd)
        started = Started(process, log)
        try:
            yield started
        finally:
            started.status = stop(process)


def wait_listening(port: int, started: Started) -> float:
    """Returns the seconds it took until somebody listened."""
    begin = time.monotonic()
    while time.monotonic() - begin < OPEN_LIMIT:
        if started.process.poll() is not None:
            raise HarnessError(f"ended with {started.process.returncode}: {started.tail()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return time.monotonic() - begin
        time.sleep(0.05)
    raise HarnessError(f"nobody listens on port {port} after {OPEN_LIMIT:.0f} s: {started.tail()}")


# -- routers --


def crossbar_config(port: int) -> dict:
    """A node with a realm where anonymous clients may do everything, and one behind each authentication method."""
    everything = {
        "uri": "",
        "match": "prefix",
        "allow": {"call": True, "register": True, "publish": True, "subscribe": True},
        "disclose": {"caller": True, "publisher": True},
        "cache": True,
    }
    user = {"role": "user", "secret": "secret"}
    principals = {"ticket-user": {"role": "user", "ticket": "secret"}}
    users = {"cra-user": user, "salted-user": {**user, **world.SALT}}  # crossbar 26 derives the key itself
    keys = {"key-user": {"role": "user", "realm": "secure", "authorized_keys": [world.PUBLIC_KEY]}}
    auth = {
        "anonymous": {"type": "static", "role": "anonymous"},
        "ticket": {"type": "static", "principals": principals},
        "wampcra": {"type": "static", "users": users},
        "cryptosign": {"type": "static", "principals": keys},
    }
    transport = {
        "type": "universal",
        "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": port},
        "rawsocket": {"serializers": SERIALIZERS, "auth": auth},
        "websocket": {"ws": {"type": "websocket", "serializers": SERIALIZERS, "auth": auth}},
    }
    history = {"type": "memory", "event-history": [{"uri": "com.example.history", "limit": 100}]}
    roles = [{"name": name, "permissions": [everything]} for name in ("anonymous", "user")]
    realms = [{"name": REALM, "roles": roles, "store": history}, {"name": "secure", "roles": roles}]
    worker = {"type": "router", "realms": realms, "transports": [transport]}
    return {"version": 2, "controller": {"id": "interop"}, "workers": [worker]}


@contextlib.contextmanager
def crossbar(folder: pathlib.Path):
    """A crossbar node; gives the URL and the process."""
    port = free_port()
    node = folder / "node" / ".crossbar"
    node.mkdir(parents=True)
    (node / "config.json").write_text(json.dumps(crossbar_config(port), indent=2))
    command = [peer_bin("crossbar", "crossbar"), "start", "--cbdir", str(node), "--color", "false"]
    with running(command, folder / "crossbar.log", clean_env(home=folder), folder) as started:
        print(f"crossbar listens after {wait_listening(port, started):.1f} s", flush=True)
        yield f"ws://127.0.0.1:{port}/ws", started


@contextlib.contextmanager
def our_router(folder: pathlib.Path):
    """Our router, started by its command; gives the URL and the process."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}/ws"
    autobahn = str(pathlib.Path(sys.executable).with_name("autobahn"))
    command = [autobahn, "router", "--url", url, "--realm", REALM]
    with running(command, folder / "router.log", clean_env(), folder) as started:
        print(f"our router listens after {wait_listening(port, started):.1f} s", flush=True)
        yield url, started


# -- checks --


def run_limited(command: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """What a program printed and how it ended, within the limit."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=CHECK_LIMIT,
        env=clean_env(),
        cwd=folder,
    )


@contextlib.contextmanager
def our_world():
    """Our router with what `feature_check.py` needs, in a process of its own; gives the URL."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "world.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_env(),
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=STOP_LIMIT)


def check_script(
    script: str, python: str, url: str, serializer: str, folder: pathlib.Path, *role: str
) -> tuple[bool, str]:
    """A script of checks under one Python against one router."""
    command = [python, str(HERE / script), *role, "--url", url]
    try:
        done = run_limited([*command, "--serializer", serializer], folder)
    except subprocess.TimeoutExpired:
        return False, f"no end after {CHECK_LIMIT:.0f} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return False, f"exit status {done.returncode}, no result: {done.stderr[-800:]}"
    result = json.loads(lines[-1])
    distribution = "autobahn-asyncio" if python == sys.executable else "autobahn"
    if result["client"].split()[0] != distribution:
        return False, f"expected {distribution} under test, got {result['client']}"
    bad = "; ".join(f"{name}: {outcome}" for name, outcome in result["bad"].items())
    CHECKED.setdefault(script, result.get("names", []))
    return result["passed"], bad or f"{result['checks']} checks"


def check_mixed(serving: str, using: str, url: str, serializer: str, folder: pathlib.Path) -> tuple[bool, str]:
    """One package serves, the other calls."""
    command = [serving, str(HERE / "mixed_check.py"), "serve", "--url", url, "--serializer", serializer]
    with running(command, folder / "serving.log", clean_env(), folder) as server:
        outcome = check_script("mixed_check.py", using, url, serializer, folder, "use")
    if server.status != 0:
        return False, f"{outcome[1]}; the serving end: exit status {server.status}: {server.tail(600)}"
    return outcome


def check_demo(python: str, url: str, serializer: str, folder: pathlib.Path) -> tuple[bool, str]:
    """The demo's own programs, unchanged: the frontend ends well while the backend serves it."""
    arguments = ["--url", url, "--realm", REALM, "--serializer", serializer]
    log = folder / "backend.log"
    with running([python, str(EXAMPLES / "backend.py"), *arguments], log, clean_env(), folder) as backend:
        command = [python, str(EXAMPLES / "frontend.py"), *arguments]
        try:
            done = run_limited(command, folder)
        except subprocess.TimeoutExpired as exc:
            shown = (exc.stdout or b"").decode(errors="replace")[-400:]
            return False, f"frontend: no end after {CHECK_LIMIT:.0f} s: {shown}; backend: {backend.tail(600)}"
        alive = backend.process.poll() is None
    if done.returncode:
        return False, f"frontend: exit status {done.returncode}: {(done.stdout + done.stderr)[-800:]}"
    if "com.example.error.division_by_zero" not in done.stdout:
        return False, f"the frontend does not show the error: {done.stdout[-600:]}"
    if not alive:
        return False, f"backend ended early: {backend.tail(600)}"
    if backend.status != 0:
        return False, f"backend: exit status {backend.status} after SIGINT: {backend.tail(600)}"
    return True, f"{len(done.stdout.splitlines())} lines shown"


def check_pair(client: str, python: str, router: str, rows: list[dict], serializers: list[str]) -> None:
    """All checks of one client on one router; adds a row for each."""
    start = our_router if router == "ours" else crossbar

    def row(what: str, outcome: tuple[bool, str]) -> None:
        passed, detail = outcome
        rows.append({"client": client, "router": router, "check": what, "passed": passed, "detail": detail})
        print(f"  {'ok ' if passed else 'BAD'} {client} on {router}: {what}: {detail[:300]}", flush=True)

    other = sys.executable if python != sys.executable else peer_bin("autobahn", "python")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            with start(folder) as (url, started):
                for serializer in serializers:
                    row(f"calls the other package, {serializer}", check_mixed(other, python, url, serializer, folder))
                    row(f"serves the other package, {serializer}", check_mixed(python, other, url, serializer, folder))
                    row(serializer, check_script("client_check.py", python, url, serializer, folder))
                    row(f"demo, {serializer}", check_demo(python, url, serializer, folder))
                with contextlib.nullcontext(url) if router == "crossbar" else our_world() as url:
                    urls = {"WebSocket": url}
                    if python == sys.executable:  # the peer's components never end over RawSocket
                        urls["RawSocket"] = url.replace("ws://", "rs://").removesuffix("/ws")
                    for name, each in urls.items():
                        for serializer in serializers:
                            outcome = check_script("feature_check.py", python, each, serializer, folder)
                            row(f"features, {name}, {serializer}", outcome)
            row("stop", (started.status == 0, f"exit status {started.status}"))
        except HarnessError as exc:
            row("start", (False, str(exc)))


def table(rows: list[dict], versions: dict[str, str]) -> str:
    """The rows as a Markdown table."""
    lines = [", ".join(f"{name} {version}" for name, version in versions.items()), ""]
    lines += ["| client | router | check | outcome |", "|---|---|---|---|"]
    for row in rows:
        outcome = "ok" if row["passed"] else "NOT ok"
        detail = " ".join(row["detail"].split()).replace("|", "/")[:200]
        lines.append(f"| {row['client']} | {row['router']} | {row['check']} | {outcome}: {detail} |")
    return "\n".join(lines)


def page(rows: list[dict], versions: dict[str, str]) -> str:
    """`docs/interop.md`: what was run, and how it ended."""
    failed = sum(not row["passed"] for row in rows)
    features = "\n".join(f"- {name}" for name in CHECKED.get("feature_check.py", []))
    mixed = ", ".join(CHECKED.get("mixed_check.py", []))
    return PAGE_TEXT.format(
        day=time.strftime("%Y-%m-%d"), python=platform.python_version(), ours=metadata.version("autobahn-asyncio"),
        summary=f"{len(rows)} rows, {failed or 'none'} not ok", table=table(rows, versions), features=features,
        mixed=mixed,
    )  # fmt: skip


PAGE_TEXT = """# Interop with autobahn and crossbar

Written by `python tests/interop/run.py --page` on {day}, under Python {python}: {summary}.

Both packages have the same import name, so the same programs run under either: `tests/interop/client_check.py` (calls,
errors, publications and subscriptions with every type of payload), `tests/interop/feature_check.py` (below), and the
demo of the peer package, unchanged. "ours" is this package, {ours}. In the rows "calls" and "serves the other package"
one package is at each end of the same router.

{table}

## What "features" are

{features}

## What is called across packages

{mixed}.
"""


def main() -> int:
    """Exit status 0 when every check passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs = ["peer-on-ours", "ours-on-crossbar", "peer-on-crossbar", "ours-on-ours"]
    add = parser.add_argument
    add("--pair", action="append", choices=pairs, help="only this pair (repeatable); default: the first two")
    add("--serializer", action="append", choices=SERIALIZERS, help="only this serializer (repeatable)")
    add("--page", action="store_true", help="write docs/interop.md")
    args = parser.parse_args()
    versions = {name: set_up(name) for name in PACKAGES}
    pythons = {"peer": peer_bin("autobahn", "python"), "ours": sys.executable}
    names = {"peer": f"autobahn {versions['autobahn']}", "ours": "ours"}
    rows: list[dict] = []
    for pair in args.pair or pairs[:2]:
        client, router = pair.split("-on-")
        check_pair(names[client], pythons[client], router, rows, args.serializer or SERIALIZERS)
    (PEERS / "interop.json").write_text(json.dumps({"versions": versions, "rows": rows}, indent=1))
    if args.page:
        path = ROOT / "docs" / "interop.md"
        _, mark, others = path.read_text().partition("## Other clients")  # what other_clients.py wrote
        path.write_text(page(rows, versions) + (f"\n{mark}{others}" if mark else ""))
    print()
    print(table(rows, versions))
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

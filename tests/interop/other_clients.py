"""Other WAMP clients on our router: AutobahnJS (Node.js and Chromium), wampy.js, xconn and swampyer.

    python tests/interop/other_clients.py     # installs the clients below .peers/ first; part of `make interop`

Exit status 0 when every check passed; what cannot be installed is named, and its exit status is 2.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parent.parent / ".peers"
NODE = PEERS / "js"
SCRIPTS = {  # client: its script; JavaScript runs in .peers/js, Python in an environment of the client's own
    "AutobahnJS": "check_autobahnjs.cjs",
    "wampy.js": "check_wampy.mjs",
    "xconn": "check_xconn.py",
    "swampyer": "check_swampyer.py",
}
PACKAGES = {"xconn": ["xconn"], "swampyer": ["swampyer", "msgpack", "cbor2"]}
RAWSOCKET = {"xconn"}  # speak RawSocket, too
SERIALIZERS = ["json", "msgpack", "cbor"]
INSTALL_LIMIT = 300
CHECK_LIMIT = 90
MARK = "## Other clients"
GROUPS = {  # features of one name
    **dict.fromkeys(("positional", "keyword", "Python callee"), "values of calls"),
    "error": "values of errors", "event": "values of events", "progress": "progressive results",
    "register": "registrations", "subscribe": "publish", "call fails": "errors", "unregister": "registrations",
}  # fmt: skip

PAGE = """<!DOCTYPE html><meta charset="utf-8"><script src="autobahn.min.js"></script><script>
const connection = new autobahn.Connection({url: "%URL%", realm: "realm1", max_retries: 0});
connection.onopen = async (session) => {
  const seen = {};
  try {
    await session.register("com.example.page.add2", (args) => args[0] + args[1]);
    seen.add2 = await session.call("com.example.page.add2", [2, 3]);
    seen.echo = await session.call("com.example.python.echo", ["\\u00e4\\u20ac"]);
    seen.progress = [];
    seen.end = await new Promise((resolve, reject) => session
      .call("com.example.python.counts", [3], {}, {receive_progress: true})
      .then(resolve, reject, (chunk) => seen.progress.push(chunk)));
    seen.error = await session.call("com.example.python.fails").then(() => null, (e) => [e.error, e.args]);
    const event = new Promise((resolve) => session.subscribe("com.example.page.topic", (args) => resolve(args))
      .then(() => session.publish("com.example.page.topic", [1, "two"], {}, {exclude_me: false})));
    seen.event = await event;
  } catch (error) {
    seen.failed = String(error.error || error);
  }
  await session.call("com.example.page.report", [seen]);
};
connection.onclose = () => true;
connection.open();
</script>"""
EXPECTED = {
    "add2": 5,
    "echo": "ä€",
    "progress": [0, 1, 2],
    "end": 3,
    "error": ["com.example.python.error", ["bad", 1]],
    "event": [1, "two"],
}


def set_up(client: str) -> str | None:
    """The client is installed; returns why not, or None."""
    return _set_up_python(client) if client in PACKAGES else _set_up_node()


def _set_up_node() -> str | None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt-get install nodejs npm)"
    NODE.mkdir(parents=True, exist_ok=True)
    for path in (HERE / "js").iterdir():
        shutil.copy(path, NODE)
    if (NODE / "node_modules" / "wampy").exists():
        return None
    return _install(["npm", "install", "--ignore-scripts", "--no-fund", "--no-audit"], NODE)


def _set_up_python(client: str) -> str | None:
    folder = PEERS / client
    if (folder / ".installed").exists():
        return None
    PEERS.mkdir(exist_ok=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES[client]]
    failed = _install([sys.executable, "-m", "venv", str(folder)], PEERS) or _install(pip, PEERS)
    if failed is None:
        (folder / ".installed").touch()
    return failed


def _install(command: list[str], folder: pathlib.Path) -> str | None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"not installed within {INSTALL_LIMIT} s: {' '.join(command)}"
    return f"cannot be installed: {done.stderr[-300:]}" if done.returncode else None


async def world() -> tuple[asyncio.subprocess.Process, str]:
    """The router of `world.py`, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "world.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), CHECK_LIMIT)
    return process, line.decode().strip()


async def run_client(client: str, url: str, serializer: str) -> dict:
    """What one client found with one serializer: the line its script prints."""
    if client in PACKAGES:
        command = [str(PEERS / client / "bin" / "python"), str(HERE / "python" / SCRIPTS[client])]
    else:
        command = ["node", str(NODE / SCRIPTS[client])]
    row = {"client": client, "url": url.partition(":")[0], "serializer": serializer}
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    process = await asyncio.create_subprocess_exec(
        *command, url, serializer, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), CHECK_LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {**row, "checks": 0, "passed": False, "bad": {"all": f"no end after {CHECK_LIMIT} s"}, "outcomes": {}}
    return {**row, **outcome_of(out.decode(), err.decode())}


def outcome_of(out: str, err: str) -> dict:
    """What the lines of a script say, those of its own log left out."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith(('{"check"', '{"client"'))]
    if not lines or "client" not in lines[-1]:
        return {"checks": 0, "passed": False, "bad": {"all": err[-500:]}, "outcomes": {}}
    outcomes = {line["check"]: line["outcome"] for line in lines[:-1]}
    bad = {check: outcome for check, outcome in outcomes.items() if outcome != "ok"}
    return {**lines[-1], "passed": bool(outcomes) and not bad, "bad": bad, "outcomes": outcomes}


def group_of(check: str) -> str:
    """The feature a check belongs to: what stands before its colon."""
    group = check.partition(":")[0]
    return GROUPS.get(group, group)


def table(rows: Iterable[dict]) -> list[str]:
    """The rows as a Markdown table: what passed of how many checks of each feature."""
    lines = ["| client | transport | serializer | all | by feature |", "|---|---|---|---|---|"]
    for row in rows:
        checks, bad = (collections.Counter(map(group_of, row[key])) for key in ("outcomes", "bad"))
        features = ", ".join(f"{name} {count - bad[name]}/{count}" for name, count in sorted(checks.items()))
        passed = row["checks"] - sum(bad.values())
        lines.append(
            f"| {row['client']} | {row['url']} | {row['serializer']} | {passed}/{row['checks']} | {features} |"
        )
    total = sum(row["checks"] for row in rows)
    return [*lines, "", f"{total} checks, {sum(len(row['bad']) for row in rows) or 'none'} not ok."]


def write_page(lines: list[str]) -> None:
    """The part of docs/interop.md that follows its mark is what was seen now."""
    page = HERE.parent.parent / "docs" / "interop.md"
    kept = page.read_text().partition(MARK)[0].rstrip()
    text = "Written by `python tests/interop/other_clients.py --page`: our router, checks that passed of those made."
    page.write_text("\n".join([kept, "", MARK, "", text, "", *lines, ""]))


async def check(clients: Iterable[str]) -> list[dict]:
    """A row for each client, transport and serializer: a router for each serializer, all three at once."""
    clients = list(clients)
    found = await asyncio.gather(*(_check(clients, serializer) for serializer in SERIALIZERS))
    return [row for rows in zip(*found, strict=True) for row in rows]


async def _check(clients: list[str], serializer: str) -> list[dict]:
    process, url = await world()
    rows = []
    try:
        for client in clients:
            urls = [url, url.replace("ws:", "rs:", 1)] if client in RAWSOCKET else [url]
            rows += [await run_client(client, each, serializer) for each in urls]
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    return rows


async def check_chromium(program: str) -> dict:
    """What AutobahnJS in a browser found."""
    from world import PythonCallee

    from autobahn.asyncio.router import Router
    from autobahn.asyncio.wamp import ApplicationSession
    from autobahn.asyncio.websocket import WebSocketServerFactory
    from autobahn.wamp.types import ComponentConfig
    from autobahn.websocket.plain import HttpResponse

    loop = asyncio.get_running_loop()
    report = loop.create_future()

    class Reporter(ApplicationSession):
        async def onJoin(self, details):
            await self.register(report.set_result, "com.example.page.report")
            self.config.extra.set_result(None)

    async with Router() as router:
        for callee in (PythonCallee, Reporter):
            ready = loop.create_future()
            router.attach(callee(ComponentConfig("realm1", ready)))
            await ready
        script = (NODE / "node_modules" / "autobahn-browser" / "autobahn.min.js").read_text()
        pages = {"/": (PAGE.replace("%URL%", router.url), "text/html"), "/autobahn.min.js": (script, "text/javascript")}

        def serve(request):
            text, kind = pages.get(request.path, ("", None))
            if kind is None:
                return HttpResponse(404, "there is nothing here")
            return HttpResponse(200, text, {"Content-Type": f"{kind}; charset=utf-8"})

        factory = WebSocketServerFactory()
        factory.processRequest = serve
        server = await loop.create_server(factory, "127.0.0.1", 0)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = await asyncio.create_subprocess_exec(
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
                *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
                *(f"--user-data-dir={profile}", "--remote-debugging-port=0"),
                f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                seen = await asyncio.wait_for(report, CHECK_LIMIT)
            except TimeoutError:
                seen = {"failed": f"no report after {CHECK_LIMIT} s"}
            finally:
                process.terminate()
                await process.wait()
                server.close()
    wrong = {key: f"expected {value}, got {seen.get(key)}" for key, value in EXPECTED.items() if seen.get(key) != value}
    if "failed" in seen:
        wrong["failed"] = seen["failed"]
    return {
        "client": "AutobahnJS in Chromium", "url": "ws", "serializer": "json", "checks": len(EXPECTED), "bad": wrong,
        "passed": not wrong, "outcomes": {f"in Chromium: {key}": wrong.get(key, "ok") for key in EXPECTED},
    }  # fmt: skip


async def main() -> int:
    """Exit status 0 when every check passed, 1 when one failed, 2 when something could not be run."""
    absent = {client: reason for client in SCRIPTS if (reason := set_up(client))}
    rows = await check(client for client in SCRIPTS if client not in absent)
    program = chromium.browser()
    if program is None:
        absent["Chromium"] = "not installed (Debian: apt-get install chromium)"
    elif "AutobahnJS" not in absent:
        rows.append(await check_chromium(program))
    lines = table(rows)
    print("\n".join(lines))
    for row in rows:
        for name, outcome in row["bad"].items():
            print(f"NOT ok: {row['client']}, {row['url']}, {row['serializer']}: {name}: {outcome}")
    if "--page" in sys.argv:
        write_page(lines)
    for client, reason in absent.items():
        print(f"{client}: not run: {reason}")
    return 1 if not all(row["passed"] for row in rows) else 2 if absent else 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import chromium

    sys.exit(asyncio.run(main()))

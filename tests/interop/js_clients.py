"""WAMP clients in JavaScript on our router: AutobahnJS and wampy.js under Node, AutobahnJS in a headless Chromium.

    python tests/interop/js_clients.py        # installs the npm packages into .peers/js first; part of `make interop`

Exit status 0 when every check passed; without Node.js or Chromium the rows say what is missing.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / ".peers" / "js"
SCRIPTS = {"AutobahnJS": "check_autobahnjs.cjs", "wampy.js": "check_wampy.mjs"}
SERIALIZERS = ["json", "msgpack", "cbor"]
INSTALL_LIMIT = 300
CHECK_LIMIT = 90

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


def missing() -> str | None:
    """What keeps the checks from running, or None."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt-get install nodejs npm)"
    return None


def set_up() -> str | None:
    """The npm packages are installed; returns why not, or None."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in (HERE / "js").iterdir():
        shutil.copy(path, FOLDER)
    if (FOLDER / "node_modules" / "wampy").exists():
        return None
    command = ["npm", "install", "--ignore-scripts", "--no-fund", "--no-audit"]
    try:
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"npm has not installed the packages within {INSTALL_LIMIT} s"
    return f"npm cannot install the packages: {done.stderr[-300:]}" if done.returncode else None


async def world() -> tuple[asyncio.subprocess.Process, str]:
    """The router of `js_world.py`, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "js_world.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), CHECK_LIMIT)
    return process, line.decode().strip()


async def run_client(script: str, url: str, serializer: str) -> dict:
    """What one client found with one serializer: the line its script prints."""
    process = await asyncio.create_subprocess_exec(
        *("node", script, url, serializer), cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), CHECK_LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {"client": script, "checks": 0, "passed": False, "bad": {"all": f"no end after {CHECK_LIMIT} s"}}
    for line in out.decode().splitlines():
        if line.startswith('{"client"'):  # it logs to the same place
            return json.loads(line)
    return {"client": script, "checks": 0, "passed": False, "bad": {"all": err.decode()[-500:]}}


async def check_node(clients: dict[str, str], serializers: list[str]) -> list[dict]:
    """A row for each client and serializer, on one router."""
    process, url = await world()
    rows = []
    try:
        for script in clients.values():
            for serializer in serializers:
                rows.append({**await run_client(script, url, serializer), "serializer": serializer})
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    return rows


async def check_chromium(program: str) -> dict:
    """What AutobahnJS in a browser found."""
    from js_world import PythonCallee

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
        script = (FOLDER / "node_modules" / "autobahn-browser" / "autobahn.min.js").read_text()
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
        "client": "AutobahnJS in Chromium", "serializer": "json", "checks": len(EXPECTED), "bad": wrong,
        "passed": not wrong,
    }  # fmt: skip


async def main() -> int:
    """Exit status 0 when every check passed that could be run."""
    reason = missing() or set_up()
    if reason:
        print(f"JavaScript clients: nothing was run: {reason}")
        return 2
    rows = await check_node(SCRIPTS, SERIALIZERS)
    import chromium

    program = chromium.browser()
    if program is None:
        print("Chromium is not installed: not run (Debian: apt-get install chromium)")
    else:
        rows.append(await check_chromium(program))
    print("| client | serializer | checks | outcome |\n|---|---|---|---|")
    for row in rows:
        outcome = "ok" if row["passed"] else f"NOT ok: {row['bad']}"
        print(f"| {row['client']} | {row['serializer']} | {row['checks']} | {outcome} |")
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""A real Chromium opens a page that our server serves, and talks to it: `make interop`.

The page reports over WebSocket what it saw. With Debian: `apt-get install -y chromium`. Exit status: 0 when all was
right, 1 when not, 2 when there is no Chromium.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.plain import HttpResponse

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>waiting</title><script>
const base = location.href.replace("http", "ws");
const results = {};
function open(path, protocols, steps) {
  return new Promise((resolve) => {
    const ws = new WebSocket(base + path, protocols);
    ws.binaryType = "arraybuffer";
    const waiting = [];
    ws.onmessage = (event) => waiting.shift()(event.data);
    ws.onerror = () => {};
    ws.onclose = (event) => resolve({code: event.code, reason: event.reason, clean: event.wasClean});
    ws.onopen = () => steps(ws, (data) => new Promise((got) => { waiting.push(got); ws.send(data); }));
  });
}
function same(a, b) {
  a = new Uint8Array(a); b = new Uint8Array(b);
  return a.length === b.length && a.every((octet, at) => octet === b[at]);
}
async function all() {
  const text = "hell\\u00f6 \\u20ac\\ud834\\udd1e", long = "\\u00e9".repeat(524288);
  const small = new Uint8Array(256).map((_, at) => at).buffer;
  const large = new Uint8Array(1048576).map((_, at) => (at * 7 + (at >> 8)) & 255).buffer;
  results.echo = await open("echo", ["other", "chat"], async (ws, ask) => {
    results.protocol = ws.protocol;
    results.extensions = ws.extensions;
    results.text = (await ask(text)) === text;
    results.empty = (await ask("")) === "";
    results.longText = (await ask(long)) === long;
    results.binary = same(await ask(small), small);
    results.emptyBinary = same(await ask(new ArrayBuffer(0)), new ArrayBuffer(0));
    results.mebibyte = same(await ask(large), large);
    const many = await Promise.all([...Array(500).keys()].map((n) => ask("n" + n)));
    results.order = many.every((answer, n) => answer === "n" + n);
    ws.close(4000, "goodbye");
  });
  results.closing = await open("echo", "chat", (ws) => ws.send("close"));
  results.ping = await open("echo", "chat", async (ws, ask) => { results.pong = await ask("ping"); ws.close(); });
  results.refused = await open("refused", "chat", () => {});
  results.failed = await open("echo", "chat", (ws) => ws.send("x".repeat(3000000)));
  document.title = "done";
  await open("report", "chat", (ws) => ws.send(JSON.stringify(results)));
}
all();
</script>"""
PATIENCE = 60


class Server(WebSocketServerProtocol):
    path = None

    def onConnect(self, request):
        self.path = request.path
        if request.path == "/refused":
            raise ConnectionRefusedError
        self.factory.origins.add(request.origin)
        return "chat"

    def onMessage(self, payload, isBinary):
        if self.path == "/report":
            self.factory.report.set_result(json.loads(payload))
        elif payload == b"close":
            self.sendClose(3456, "bye €")
        elif payload == b"ping":
            self.sendPing(b"from the server")
        else:
            self.sendMessage(payload, isBinary)

    def onPong(self, payload):
        self.sendMessage(b"pong " + payload)

    def onClose(self, wasClean, code, reason):
        self.factory.closes.append((self.path, wasClean, code, reason))

    def onUserError(self, exc, where):
        if not isinstance(exc, ConnectionRefusedError):
            super().onUserError(exc, where)


def browser():
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


async def talk(program, **options):
    """What the page reports, and what the server saw."""
    factory = WebSocketServerFactory()
    factory.protocol = Server
    factory.closes, factory.origins = [], set()
    factory.report = asyncio.get_running_loop().create_future()
    factory.processRequest = lambda request: None if request.is_upgrade else page(request)
    factory.setProtocolOptions(maxMessagePayloadSize=2 * 2**20, **options)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-dev-shm-usage", f"--user-data-dir={profile}", "--remote-debugging-port=0", url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            report = await asyncio.wait_for(factory.report, PATIENCE)
        finally:
            process.terminate()
            await process.wait()
            server.close()
    return report, factory, url


def page(request):
    if request.path == "/":
        return HttpResponse(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
    return HttpResponse(404, "there is nothing here")


def judge(report, factory, url, *, deflate):
    """What was not as it should be."""
    echoes = factory.options.echoCloseCodeReason
    answer = (
        {"code": 4000, "reason": "goodbye", "clean": True} if echoes else {"code": 1000, "reason": "", "clean": True}
    )
    flags = ["text", "empty", "longText", "binary", "emptyBinary", "mebibyte", "order"]
    expected = {
        **dict.fromkeys(flags, True),
        "protocol": "chat",
        "pong": "pong from the server",
        "echo": answer,
        "closing": {"code": 3456, "reason": "bye €", "clean": True},
        "refused": {"code": 1006, "reason": "", "clean": False},
    }
    wrong = [
        f"{key}: expected {value}, got {report.get(key)}" for key, value in expected.items() if report.get(key) != value
    ]
    if report["extensions"].startswith("permessage-deflate") is not deflate:
        wrong.append(f"extensions: got {report['extensions']!r}")
    if report["failed"]["code"] != 1009:
        wrong.append(f"a message beyond the limit: expected close 1009, got {report['failed']}")
    if factory.origins != {url[:-1]}:
        wrong.append(f"origins: got {factory.origins}")
    seen = factory.closes
    if ("/echo", True, 4000, "goodbye") not in seen or not any(close[1:3] == (True, 3456) for close in seen):
        wrong.append(f"closes: got {seen}")
    return wrong


async def main():
    program = browser()
    if program is None:
        print("chromium: not installed, nothing was run (Debian: apt-get install -y chromium)")
        return 2
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    status = 0
    for name, options in (
        ("plain", {}),
        ("deflate", {"perMessageCompressionAccept": lambda offers: PerMessageDeflateOfferAccept(offers[0])}),
        ("fragments", {"autoFragmentSize": 1000, "echoCloseCodeReason": True}),
    ):
        try:
            wrong = judge(*await talk(program, **options), deflate=name == "deflate")
        except TimeoutError:
            wrong = [f"the page did not report within {PATIENCE} seconds"]
        print(f"{version}, {name}: {'; '.join(wrong) or 'all right'}", flush=True)
        status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

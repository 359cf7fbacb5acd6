"""Every snippet of the README runs as printed (on a free port)."""

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

README = (Path(__file__).parent.parent / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def started(*command, stop=signal.SIGINT):
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def snippet(tmp_path, number, old, port):
    path = tmp_path / f"snippet{number}.py"
    assert number < len(SNIPPETS) and (not old or old in SNIPPETS[number])
    path.write_text(
        SNIPPETS[number].replace(old, f"127.0.0.1:{port}" if ":" in old else str(port)) if old else SNIPPETS[number]
    )
    return str(path)


def test_there_are_seven_snippets():
    assert len(SNIPPETS) == 7


@pytest.fixture
def router():
    port = free_port()
    with started("-m", "autobahn", "router", "--url", f"ws://127.0.0.1:{port}/ws") as process:
        line = process.stdout.readline()
        assert f"listening at ws://127.0.0.1:{port}/ws" in line and "realm1" in line
        yield port
    assert process.returncode == 0


def test_backend_and_frontend(router, tmp_path):
    with started(snippet(tmp_path, 0, "127.0.0.1:8080", router)) as backend:
        frontend = snippet(tmp_path, 1, "127.0.0.1:8080", router)
        for _ in range(20):  # the backend may not have registered yet
            done = subprocess.run([sys.executable, frontend], capture_output=True, text=True, timeout=60)
            if done.stdout:
                break
        assert done.stdout == "5\n" and done.returncode == 0
    assert backend.returncode == 0


@pytest.mark.parametrize(
    ("number", "output"),
    [(2, "5\n"), (3, "hello\n"), (5, "1.5\n0\n1\nhello\n")],
    ids=["embedded router", "connect and serve", "types, streams, loops"],
)
def test_snippets_that_run_alone(tmp_path, number, output):
    program = snippet(tmp_path, number, "", 0)
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_without_asyncio(router, tmp_path):
    program = snippet(tmp_path, 6, "127.0.0.1:8080", router)
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("hello you\n", "", 0)


async def test_plain_websocket(tmp_path):
    port = free_port()
    got = asyncio.get_running_loop().create_future()

    class Client(WebSocketClientProtocol):
        def onOpen(self):
            self.sendMessage(b"hello")

        def onMessage(self, payload, isBinary):
            got.set_result((payload, isBinary))
            self.sendClose()

    # Nothing in this program handles signals, and SIGINT may be ignored where the tests run in the background.
    with started(snippet(tmp_path, 4, "9000", port), stop=signal.SIGTERM):
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}")
        factory.protocol = Client
        for _ in range(100):
            try:
                _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
        assert await got == (b"hello", False)
        await client.is_closed

"""`websockets` and `aiohttp`: their clients on our server, our client on their servers.

They live in `.peers/ws-peers`, which the first run makes. Without a package index the tests are skipped.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".peers" / "ws-peers"
PROGRAM = str(HERE / "ws_peers.py")
PACKAGES = ["websockets>=15", "aiohttp>=3.12"]
LIBRARIES = ["websockets", "aiohttp"]
TEXTS = [b"", b"a", "hellö €𝄞".encode(), b"x" * 125, b"x" * 126, b"y" * 65536]
BINARIES = [b"", b"\0", bytes(range(256)) * 4, bytes(1_000_000)]
PATIENCE = 25


@pytest.fixture(scope="module")
def python():
    """The Python of the environment in which the peers are."""
    path = VENV / "bin" / "python"
    done = VENV / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [
            str(path),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--timeout=5",
            *PACKAGES,
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if result.returncode:
            pytest.skip(f"the environment {VENV} is missing and cannot be made: {result.stderr.strip()[-300:]}")
        done.touch()
    return str(path)


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}


class Echo(WebSocketServerProtocol):
    def onConnect(self, request):
        return "chat" if "chat" in request.protocols else None

    def onMessage(self, payload, isBinary):
        if payload == b"close" and not isBinary:
            self.sendClose(3456, "bye")
        else:
            self.sendMessage(payload, isBinary)

    def onPing(self, payload):
        self.factory.pings.append(payload)
        super().onPing(payload)

    def onClose(self, wasClean, code, reason):
        self.factory.closes.append((wasClean, code, reason))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("fragmentSize", [0, 1000])
async def test_their_client_on_our_server(python, library, fragmentSize):
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    factory.pings, factory.closes = [], []
    factory.setProtocolOptions(
        perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0]),
        autoFragmentSize=fragmentSize,
    )
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    peer = await asyncio.create_subprocess_exec(
        *(python, PROGRAM, "client", library, url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    out, err = await asyncio.wait_for(peer.communicate(), PATIENCE)
    assert peer.returncode == 0, err.decode()
    assert out.startswith(b"ok "), out
    async with asyncio.timeout(PATIENCE):
        while factory.countConnections:
            await asyncio.sleep(0.005)
    server.close()
    await server.wait_closed()
    assert set(factory.pings) == {b"pingpong"}
    answer = (True, 3456, "bye") if library == "websockets" else (True, 1000, None)  # aiohttp does not echo the code
    assert factory.closes == [(True, 4000, "goodbye"), answer] * (len(factory.closes) // 2)


class Client(WebSocketClientProtocol):
    def __init__(self):
        super().__init__()
        self.messages = asyncio.Queue()
        self.pings, self.pongs = [], asyncio.Queue()

    def onMessage(self, payload, isBinary):
        self.messages.put_nowait((payload, isBinary))

    def onPing(self, payload):
        self.pings.append(payload)
        super().onPing(payload)

    def onPong(self, payload):
        self.pongs.put_nowait(payload)

    def onClose(self, wasClean, code, reason):
        self.end = wasClean, code, reason


class Peer:
    """Their echo server."""

    def __init__(self, python, library):
        self.command = python, PROGRAM, "server", library

    async def __aenter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = await asyncio.create_subprocess_exec(*self.command, **pipes, env=environment())
        self.port = int(await asyncio.wait_for(self.process.stdout.readline(), PATIENCE))
        return self

    async def connect(self, **options):
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{self.port}/", protocols=["other", "chat"])
        factory.protocol = Client
        factory.setProtocolOptions(**options)
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", self.port)
        await asyncio.wait_for(client.is_open, PATIENCE)
        return client

    async def __aexit__(self, *_):
        _, err = await asyncio.wait_for(self.process.communicate(b""), PATIENCE)
        assert b"Traceback" not in err, err.decode()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_our_client_on_their_server(python, library):
    async with Peer(python, library) as peer:
        for options in (
            {},
            {"autoFragmentSize": 1000},
            {"perMessageCompressionOffers": [PerMessageDeflateOffer()]},
            {"perMessageCompressionOffers": [PerMessageDeflateOffer(True, True, True, 10)], "autoFragmentSize": 100},
        ):
            client = await peer.connect(**options)
            assert client.websocket_protocol_in_use == "chat"
            assert bool(client.websocket_extensions_in_use) is ("perMessageCompressionOffers" in options)
            sent = [(text, False) for text in TEXTS] + [(data, True) for data in BINARIES]
            for payload, is_binary in sent:
                client.sendMessage(payload, is_binary)
            for expected in sent:
                assert await asyncio.wait_for(client.messages.get(), PATIENCE) == expected
            client.sendPing(b"are you there?")
            assert await asyncio.wait_for(client.pongs.get(), PATIENCE) == b"are you there?"
            client.sendMessage(b"ping")
            assert await asyncio.wait_for(client.messages.get(), PATIENCE) == (b"pong", False)
            assert client.pings == [b"from the server"]
            if library == "websockets":  # aiohttp has no way to send fragments
                client.sendMessage(b"fragments")
                assert await asyncio.wait_for(client.messages.get(), PATIENCE) == ("one twö three".encode(), False)
            client.sendClose(4000, "goodbye")
            await asyncio.wait_for(client.is_closed, PATIENCE)
            assert client.end[:2] in {(True, 4000), (True, 1000)}
            client = await peer.connect(**options)
            client.sendMessage(b"close")
            await asyncio.wait_for(client.is_closed, PATIENCE)
            assert client.end == (True, 3456, "bye")

"""Other WAMP clients talk to our router, to a Python callee and to each other: every check of theirs passes."""

import asyncio
import socket
import subprocess
import sys

import pytest

from interop import other_clients


@pytest.mark.parametrize("client", other_clients.SCRIPTS)
@pytest.mark.skipif(sys.platform == "win32", reason="environments have their programs elsewhere on Windows")
async def test_client(client):
    reason = other_clients.set_up(client)
    if reason:
        pytest.skip(reason)
    rows = await other_clients.check([client])
    assert {row["serializer"] for row in rows} == set(other_clients.SERIALIZERS)
    assert all(row["checks"] > 30 for row in rows), rows
    assert [row["bad"] for row in rows] == [{}] * len(rows)


@pytest.mark.skipif(sys.platform == "win32", reason="environments have their programs elsewhere on Windows")
async def test_the_first_example_of_autobahnjs_with_the_command(unused_port):
    """As a new user has it: `autobahn router`, and the example with no option changed but the port."""
    reason = other_clients.set_up("AutobahnJS")
    if reason:
        pytest.skip(reason)
    url = f"ws://127.0.0.1:{unused_port}/ws"
    command = [sys.executable, "-m", "autobahn", "router", "--url", url, "--realm", "realm1"]
    router = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        example = await asyncio.create_subprocess_exec(
            "node", str(other_clients.NODE / "first_example.cjs"), url, stdout=subprocess.PIPE
        )  # it tries again until the router listens
        out, _ = await asyncio.wait_for(example.communicate(), 30)
    finally:
        router.terminate()
        await router.wait()
    assert out.decode().splitlines()[-1] == "Result: 5"
    assert example.returncode == 0


@pytest.fixture
def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]

"""The demo: a router, a backend and a frontend, three processes talking WAMP over WebSocket.

Run it with ``make demo``. Every line shows which process printed it.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
COLOURS = {"router": "36", "backend": "33", "frontend": "32", "demo": "1"}


def show(name, text):
    label = f"{name:>8} |"
    if sys.stdout.isatty():
        label = f"\x1b[{COLOURS[name]}m{label}\x1b[0m"
    print(f"{label} {text}", flush=True)


async def start(name, *command):
    """Start a process whose lines are shown under ``name``; returns it and the task that reads them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    first_line = asyncio.get_running_loop().create_future()

    async def read():
        async for line in process.stdout:
            text = line.decode().rstrip()
            show(name, text)
            if not first_line.done():
                first_line.set_result(text)
        if not first_line.done():
            first_line.set_exception(RuntimeError(f"{name} ended without a word"))

    return process, asyncio.create_task(read()), first_line


async def stop(process, reading):
    """Ask a process to stop, and wait for its last line."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), 10)
    await reading
    return process.returncode


async def main():
    began = time.perf_counter()
    show("demo", "starting a router, a backend and a frontend")
    router, reading_router, listening = await start(
        "router", "-m", "autobahn", "router", "--url", "ws://127.0.0.1:0/ws"
    )
    url = (await listening).split()[3]
    backend, reading_backend, _ = await start("backend", str(HERE / "backend.py"), "--url", url)
    frontend, reading_frontend, _ = await start("frontend", str(HERE / "frontend.py"), "--url", url)
    statuses = {"frontend": await asyncio.wait_for(frontend.wait(), 30)}
    await reading_frontend
    statuses["backend"] = await stop(backend, reading_backend)
    statuses["router"] = await stop(router, reading_router)
    failed = [f"{name} ended with status {status}" for name, status in statuses.items() if status]
    show("demo", "; ".join(failed) or f"all three stopped cleanly after {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

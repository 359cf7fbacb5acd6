"""Echo client on `websockets`."""

import asyncio

import worker
from websockets.asyncio.client import connect


async def echo(connection):
    """Sends what it gets."""
    while True:
        await connection.send(await connection.recv())


async def measure(job):
    """One connection."""
    connection = await connect(f"ws://127.0.0.1:{job['port']}/", compression=None, max_size=None)
    meter = worker.Echoes(job, connection.transport)
    for _ in range(job["inflight"]):
        await connection.send(worker.payload(job["size"]))
    echoing = asyncio.ensure_future(echo(connection))
    await meter.over.wait()
    connection.transport.abort()
    await asyncio.gather(echoing, return_exceptions=True)
    return meter


if __name__ == "__main__":
    worker.run(measure)

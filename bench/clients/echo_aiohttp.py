"""Echo client on `aiohttp`."""

import asyncio

import aiohttp
import worker


async def echo(connection):
    """Sends what it gets."""
    async for message in connection:
        await connection.send_bytes(message.data)


async def measure(job):
    """One connection."""
    url = f"http://127.0.0.1:{job['port']}/"
    async with aiohttp.ClientSession() as session:
        connection = await session.ws_connect(url, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1))
        transport = connection._response.connection.transport
        meter = worker.Echoes(job, transport)
        for _ in range(job["inflight"]):
            await connection.send_bytes(worker.payload(job["size"]))
        echoing = asyncio.ensure_future(echo(connection))
        await meter.over.wait()
        transport.abort()
        await asyncio.wait({echoing}, timeout=1)
        echoing.cancel()
    return meter


if __name__ == "__main__":
    worker.run(measure)

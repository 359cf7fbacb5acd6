"""Keeps as many octets under way as the others: what the event loop itself costs."""

import asyncio

import worker


class Client(asyncio.Protocol):
    """Sends what it gets."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.octets += len(data)
        self.meter.count = self.octets // self.frame
        if self.meter.running:
            self.transport.write(data)


async def measure(job):
    """One connection."""
    transport, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", job["port"])
    head = 6 if job["size"] < 126 else 8 if job["size"] < 65536 else 14
    client.octets, client.frame, client.meter = 0, job["size"] + head, worker.Meter(job)
    for _ in range(job["inflight"]):
        transport.write(worker.payload(client.frame))
    await client.meter.over.wait()
    transport.abort()
    return client.meter


if __name__ == "__main__":
    worker.run(measure)

"""Echo client on the documented classes; runs on this package and on the peer."""

import asyncio

import worker

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol


class Client(WebSocketClientProtocol):
    """Sends what it gets."""

    def onOpen(self):
        self.factory.opened.set_result(self)

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def measure(job):
    """One connection."""
    loop = asyncio.get_running_loop()
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{job['port']}/")
    factory.protocol = Client
    factory.opened = loop.create_future()
    await loop.create_connection(factory, "127.0.0.1", job["port"])
    client = await factory.opened
    meter = worker.Echoes(job, client.transport)
    for _ in range(job["inflight"]):
        client.sendMessage(worker.payload(job["size"]), True)
    await meter.over.wait()
    client.transport.abort()
    await asyncio.sleep(0.02)
    return meter


if __name__ == "__main__":
    worker.run(measure)

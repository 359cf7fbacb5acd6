"""Keeps as many octets under way as the others: what the event loop itself costs.

With WITH_HANDLER in the environment a function of Python is called for each message, as every library has to do.
"""

import asyncio
import collections
import itertools
import operator
import os

import worker


class Client(asyncio.Protocol):
    """Sends what it gets."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Handled(Client):
    """The same, and the program's function called as often as there are messages."""

    sendMessage = operator.is_  # something in C that takes two arguments and does nothing

    def data_received(self, data):
        count, self.octets = divmod(self.octets + len(data), self.frame)
        collections.deque(map(self.onMessage, itertools.repeat(data, count), itertools.repeat(True)), maxlen=0)
        self.transport.write(data)

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def measure(job):
    """One connection."""
    protocol = Handled if "WITH_HANDLER" in os.environ else Client
    transport, client = await asyncio.get_running_loop().create_connection(protocol, "127.0.0.1", job["port"])
    head = 6 if job["size"] < 126 else 8 if job["size"] < 65536 else 14
    client.octets, client.frame = 0, job["size"] + head
    meter = worker.Echoes(job, transport, client.frame)
    for _ in range(job["inflight"]):
        transport.write(worker.payload(client.frame))
    await meter.over.wait()
    transport.abort()
    return meter


if __name__ == "__main__":
    worker.run(measure)

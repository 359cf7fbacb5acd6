"""Echo of bytes without any protocol: what the event loop itself costs. Arguments: PORT [uvloop].

With WITH_HANDLER in the environment a function of Python is called for each message, as every library has to do.
"""

import asyncio
import collections
import itertools
import operator
import os
import sys


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def size_of(head):
    """Octets of the masked WebSocket frame that begins so, head and all (RFC 6455 5.2)."""
    length = head[1] & 0x7F
    if length < 126:
        return 6 + length
    octets = 2 if length == 126 else 8
    return 6 + octets + int.from_bytes(head[2 : 2 + octets], "big")


class Handled(Echo):
    """The same, and the program's function called as often as there are messages."""

    frame = 0
    sendMessage = operator.is_  # something in C that takes two arguments and does nothing

    def data_received(self, data):
        if not self.frame:
            self.frame, self.octets = size_of(data), 0
        self.octets += len(data)
        count, self.octets = divmod(self.octets, self.frame)
        collections.deque(map(self.onMessage, itertools.repeat(data, count), itertools.repeat(True)), maxlen=0)
        self.transport.write(data)

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def main():
    """Serves until it is interrupted."""
    protocol = Handled if "WITH_HANDLER" in os.environ else Echo
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

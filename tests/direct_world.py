"""What the tests of going past the transport share: a pretended transport, a pair of sockets, a world."""

import asyncio
import contextlib
import fcntl
import os
import socket
import termios

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket._masking import mask
from frames_world import KEY, head
from socket_line import read_until
from websocket_world import until

SKIP = "only the compiled unit does it"


class Pretended:
    """What the compiled units ask of a transport, with the socket of a test."""

    def __init__(self, sock=None):
        self.sock = sock
        self.given = []  # what was written, in order
        self.waiting = 0
        self.closing = False
        self.closed = False
        self.reading = True
        self.ends = 0  # how often the end was met
        self.failures = []

    def write(self, data):
        self.given.append(bytes(data))

    def is_closing(self):
        return self.closing or self.closed

    def get_protocol(self):
        return None if self.closed else self

    def is_reading(self):
        return self.reading and not self.closing

    def get_write_buffer_size(self):
        return self.waiting

    def _read_ready__get_buffer(self):
        self.ends += 1

    def _fatal_error(self, error, message):
        self.failures.append((error, message))
        self.closing = True


@contextlib.contextmanager
def pair():
    """A pretended transport on one end of a pair of sockets that do not wait, and the other end."""
    mine, other = socket.socketpair()
    with mine, other:
        mine.setblocking(False)
        other.setblocking(False)
        yield Pretended(mine), other


def there(sock):
    """How many octets can be read."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), "little")


def drained(sock):
    """All that can be read."""
    data = bytearray()
    while (size := there(sock)) > 0:
        data += sock.recv(size)
    return bytes(data)


def fill(sock):
    """As many octets as the socket takes; how many these are."""
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += sock.send(bytes(100_000))
    return size


def is_open(number):
    """Whether a descriptor of this number is open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def gathering(kind):
    """Another protocol for a transport, of this kind of asyncio's: `got` is what it has received."""

    class Other(kind):
        def __init__(self):
            self.got = b""
            self.buffer = bytearray(100)

        def data_received(self, data):
            self.got += data

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            self.got += self.buffer[:nbytes]

    return Other()


class Client(WebSocketClientProtocol):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.pongs = 0

    def onMessage(self, payload, isBinary):
        self.seen.append(payload)

    def onPing(self, payload):
        self.seen.append((b"ping", payload))

    def onPong(self, payload):
        self.pongs += 1


class Server(WebSocketServerProtocol):
    def onOpen(self):
        self.factory.made.append(self)

    def onMessage(self, payload, isBinary):
        self.factory.on_message(self, payload)


class DirectWorld:
    """A server and one client of it, on a TCP or Unix socket. The server echoes until `on_message` is replaced."""

    def __init__(self, path=None, tls=(None, None), server=Server, client=Client, compressed=None, **options):
        self.path = path
        self.server_tls, self.client_tls = tls
        self.factory = WebSocketServerFactory()
        self.factory.protocol, self.factory.made = server, []
        self.factory.on_message = lambda end, payload: end.sendMessage(payload, True)
        self.factory.setProtocolOptions(**options)
        self.clients = WebSocketClientFactory("ws://localhost/")
        self.clients.protocol = client
        if compressed is not None:
            offer, accept = compressed
            self.clients.setProtocolOptions(perMessageCompressionOffers=[offer])
            self.factory.setProtocolOptions(perMessageCompressionAccept=accept)

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        if self.path:
            self.server = await loop.create_unix_server(self.factory, self.path)
            _, self.client = await loop.create_unix_connection(self.clients, self.path)
        else:
            self.server = await loop.create_server(self.factory, "localhost", 0, ssl=self.server_tls)
            port = self.server.sockets[0].getsockname()[1]
            _, self.client = await loop.create_connection(self.clients, "localhost", port, ssl=self.client_tls)
        await self.client.is_open
        await until(lambda: self.factory.made)
        self.peer = self.factory.made[0]
        self.client.sendPing(b"both ends are in use")
        await until(lambda: self.client.pongs)
        return self

    async def __aexit__(self, *exc):
        for end in (self.client, self.peer):
            if end.transport is not None:
                end.dropConnection(abort=True)
        await asyncio.gather(self.client.is_closed, self.peer.is_closed)
        self.server.close()
        await self.server.wait_closed()


class Connection:
    """What a WebSocket's pump needs of a connection, around a reader and a writer."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.receive = reader.feed
        self.violations = []

    def violated(self, error):
        self.violations.append(("FrameError", error.code, error.reason))


def play(pump, transport, other, pieces, read, before=0):
    """The other end sends `pieces`, each as `(octets, whether to read then)`; all of it is read.

    `read`: what the event loop does when the socket is readable. `before`: how many octets came before.
    """
    total = before
    for data, then_read in pieces:
        total += len(data)
        data = memoryview(data)
        while data:
            try:
                data = data[other.send(data) :]
            except BlockingIOError:
                before = pump.received
                read()
                assert pump.received > before
        if then_read:
            read()
    read_until(total, pump, read)
    read()  # nothing is there
    assert pump.received == total
    assert not transport.ends
    assert not transport.failures


def as_uvloop_reads(pump, transport):
    """How other event loops bring octets: through the buffers that they are given."""

    def read():
        with contextlib.suppress(BlockingIOError):
            pump.buffer_updated(transport.sock.recv_into(pump.get_buffer(65_536)))

    return read


def large_frame(opcode, payload=b"", *, fin=True, rsv=0, key=KEY):
    """`frames_world.frame`, quick with large payloads."""
    start = head((0x80 if fin else 0) | rsv << 4 | opcode, len(payload), key is not None)
    return start + (payload if key is None else key + mask(payload, key))

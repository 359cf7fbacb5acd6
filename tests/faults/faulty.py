"""A proxy between a client and a router that knows what passes through it, and breaks the connection on command."""

import asyncio
import contextlib
import json
import random
import socket
import ssl
import struct

from autobahn.wamp.message import BY_CODE

KINDS = ("rst", "fin", "silence", "garbage")
BEFORE, MID, AFTER = "before", "mid", "after"


class Octets:
    """One direction of a WebSocket or RawSocket connection, cut into units: (name, octets, row of WAMP or None)."""

    def __init__(self, kind, of_client):
        self.is_rawsocket = kind == "rs"
        self.of_client = of_client
        self.buffer = b""
        self.is_open = False

    def feed(self, data):
        self.buffer += data
        while (unit := self._next()) is not None:
            name, size, row = unit
            octets, self.buffer = self.buffer[:size], self.buffer[size:]
            yield name, octets, row

    def _next(self):
        if not self.is_open:
            return self._opening()
        if self.is_rawsocket:
            if len(self.buffer) < 4:
                return None
            kind, size = self.buffer[0] & 7, 4 + int.from_bytes(self.buffer[1:4], "big")
            if len(self.buffer) < size:
                return None
            return self._named(("message", "ping", "pong")[kind], size, self.buffer[4:size])
        return self._frame()

    def _opening(self):
        who = "request" if self.of_client else "answer"
        size = 4 if self.is_rawsocket else self.buffer.find(b"\r\n\r\n") + 4
        if len(self.buffer) < 4 or size < 4:
            return None
        self.is_open = True
        return who, size, None

    def _frame(self):
        if len(self.buffer) < 2:
            return None
        opcode, length = self.buffer[0] & 15, self.buffer[1] & 127
        at = {126: 4, 127: 10}.get(length, 2)
        if length > 125:
            length = int.from_bytes(self.buffer[2:at], "big")
        masked = self.buffer[1] & 128
        begin = at + (4 if masked else 0)
        if len(self.buffer) < begin + length:
            return None
        payload = self.buffer[begin : begin + length]
        if masked:
            key = self.buffer[at:begin]
            payload = bytes(octet ^ key[i & 3] for i, octet in enumerate(payload))
        name = {8: "close", 9: "ping", 10: "pong"}.get(opcode, "message")
        return self._named(name, begin + length, payload)

    def _named(self, name, size, payload):
        row = None
        if name == "message":
            row = json.loads(payload)
            name = BY_CODE[row[0]].__name__.lower()
        return name, size, row


class Fault:
    """Where and how the connection breaks: at ``point`` = (unit, place), or when `strike` is called."""

    def __init__(self, point, kind):
        self.point = point
        self.kind = kind
        self.struck = asyncio.Event()


class FaultyProxy:
    """`async with FaultyProxy(port_of_router, ...)`: clients connect to `port`.

    The first connection breaks at the fault's point; from then on every connection breaks when it is accepted, until
    `lift`. What the router has of a broken connection stays as it was (a ghost) with "silence" and "garbage".
    """

    def __init__(self, upstream, fault, kind, tls=None):
        self.upstream = upstream
        self.fault = fault
        self.kind = kind
        self.tls = tls
        self.lifted = True
        self.links = []
        self.accepted = 0  # since the fault was lifted
        self.random = random.Random(repr(fault.point) + fault.kind)

    async def __aenter__(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: Link(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        for link in self.links:
            link.cut()
        await asyncio.gather(*(link.task for link in self.links if link.task is not None), return_exceptions=True)

    def strike(self):
        """Every connection breaks now."""
        self.lifted = False
        self.fault.struck.set()
        for link in self.links:
            link.strike()

    def lift(self, ghosts=0.0):
        """Connections made from now on work; the router's ends of broken ones are gone after ``ghosts`` seconds."""
        self.lifted = True
        self.accepted = 0
        for link in self.links:
            asyncio.get_running_loop().call_later(ghosts, link.cut)

    @property
    def rows(self):
        """What the client has asked for in its last session."""
        return self.links[-1].rows


class Link(asyncio.Protocol):
    """One client of the proxy."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.transport = self.upstream = self.task = self.tls = None
        self.is_broken = False
        self.rows = []
        self.waiting = []  # plaintext for the router, until there is a connection to it
        self.of_client = Octets(proxy.kind, True)
        self.of_router = Octets(proxy.kind, False)
        if proxy.tls is not None:
            self.cipher_in, self.cipher_out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = proxy.tls.wrap_bio(self.cipher_in, self.cipher_out, server_side=True)
            self.is_secured = False

    # ---- the client's side ----

    def connection_made(self, transport):
        self.transport = transport
        self.proxy.links.append(self)
        self.proxy.accepted += 1
        if not self.proxy.lifted or self.reached("accept", BEFORE):
            self.strike()
            return
        self.task = asyncio.create_task(self.open_upstream())

    async def open_upstream(self):
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            transport, _ = await loop.create_connection(lambda: Upstream(self), "127.0.0.1", self.proxy.upstream)
            self.upstream = transport
            if self.is_broken or self.transport.is_closing():
                transport.abort()
            for data in self.waiting:
                transport.write(data)
            self.waiting.clear()

    def data_received(self, data):
        if self.is_broken:
            return
        if self.tls is None:
            self.plain_received(data)
            return
        if not self.is_secured and self.reached("tls hello", BEFORE):
            self.strike()
            return
        self.cipher_in.write(data)
        try:
            if not self.is_secured:
                self.tls.do_handshake()
                self.is_secured = True
            while not self.is_broken:
                plain = self.tls.read(65536)
                if not plain:  # the client has said that it ends
                    self.transport.close()
                    break
                self.plain_received(plain)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLError):
            self.transport.close()
        self.send_cipher()

    def send_cipher(self):
        data = self.cipher_out.read()
        if data and not self.is_broken:
            if self.reached("tls answer", MID):
                self.transport.write(data[: len(data) // 2])
                self.strike()
            else:
                self.transport.write(data)

    def plain_received(self, data):
        for name, octets, row in self.of_client.feed(data):
            if row is not None:
                self.rows.append(row)
            self.passing(name, octets, self.to_router)
            if self.is_broken:
                return

    def to_client(self, data):
        if self.tls is None:
            self.transport.write(data)
        else:
            self.tls.write(data)
            self.send_cipher()

    def connection_lost(self, exc):
        if not self.is_broken and self.upstream is not None:
            self.upstream.close()

    def eof_received(self):
        return self.is_broken  # a broken link stays half open

    # ---- the router's side ----

    def to_router(self, data):
        if self.upstream is None:
            self.waiting.append(data)
        else:
            self.upstream.write(data)

    def router_received(self, data):
        for name, octets, _ in self.of_router.feed(data):
            self.passing(name, octets, self.to_client)
            if self.is_broken:
                return

    def cut(self):
        """Nothing is left of a broken link."""
        if self.is_broken or not self.proxy.server.is_serving():
            for transport in (self.transport, self.upstream):
                if transport is not None:
                    transport.abort()

    # ---- faults ----

    def reached(self, name, place):
        fault = self.proxy.fault
        return not fault.struck.is_set() and fault.point == (name, place)

    def passing(self, name, octets, forward):
        """One unit passes, unless the link breaks before it, in its middle or behind it."""
        if self.is_broken:
            return
        if self.reached(name, BEFORE):
            self.proxy.strike()
        elif self.reached(name, MID):
            forward(octets[: len(octets) // 2])
            self.proxy.strike()
        else:
            forward(octets)
            if self.reached(name, AFTER):
                self.proxy.strike()

    def strike(self):
        if self.is_broken:
            return
        if not self.proxy.fault.struck.is_set():
            self.proxy.lifted = False
            self.proxy.fault.struck.set()
        self.is_broken = True
        kind = self.proxy.fault.kind
        if kind == "rst":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.cut()
        elif self.transport.is_closing():
            pass  # the client was faster
        elif kind == "fin":
            self.transport.write_eof()
            if self.upstream is not None:
                self.upstream.close()
        elif kind == "garbage":
            self.transport.write(self.proxy.random.randbytes(200))


class Upstream(asyncio.Protocol):
    """The proxy's connection to the router for one client."""

    def __init__(self, link):
        self.link = link

    def data_received(self, data):
        self.link.router_received(data)

    def connection_lost(self, exc):
        link = self.link
        if not link.is_broken and link.transport is not None:
            link.transport.close()

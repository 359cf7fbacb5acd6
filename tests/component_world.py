"""Servers of every bad kind, for the tests of components."""

import asyncio
import contextlib
import socket
import struct

from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.wamp import message as m

FAST = {"initial_retry_delay": 0.01, "max_retry_delay": 0.02}
ROLES = {"roles": {"broker": {}, "dealer": {}}}


def transport(url, **extra):
    return {"url": url, **FAST, **extra}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def reset(transport_):
    """The peer gets RST."""
    sock = transport_.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport_.abort()


@contextlib.asynccontextmanager
async def octets(answer, *, until=b"", wait=True, ssl=None):
    """A server that reads until it has seen ``until``, says ``answer``, and closes (``wait``: when the client does)."""
    writers = set()

    async def serve(reader, writer):
        writers.add(writer)
        with contextlib.suppress(OSError, EOFError):
            if until:
                await reader.readuntil(until)
            writer.write(answer)
            await writer.drain()
            if wait:
                await reader.read()
        writer.transport.abort() if wait else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


class Peer:
    """The router's end of a session, by hand: ``script(peer, msg)`` is called for every message of the client."""

    raw_payload = False

    def __init__(self, script, seen):
        self.script = script
        self.seen = seen
        self.transport = None

    def onOpen(self, transport_):
        self.transport = transport_
        self.script(self, None)

    def onMessage(self, msg):
        self.seen.append(msg.row())
        self.script(self, msg)

    def onProtocolError(self, exc):
        raise exc

    def onClose(self, was_clean):
        self.transport = None

    def say(self, msg):
        self.transport.send(msg)

    @property
    def protocol(self):
        channel = self.transport.channel
        return getattr(channel, "protocol", None) or getattr(channel, "_protocol", channel)

    def close(self, code):
        self.protocol.failConnection(code, "scripted")

    def fin(self):
        self.protocol.transport.close()

    def rst(self):
        reset(self.protocol.transport)


@contextlib.asynccontextmanager
async def scripted(script, kind="ws"):
    """A router that follows ``script``; the URL, and the list of all rows it has seen."""
    seen, made = [], []

    def session():
        made.append(Peer(script, seen))
        return made[-1]

    factory = (WampWebSocketServerFactory if kind == "ws" else WampRawSocketServerFactory)(session)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield f"{kind}://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        for peer in made:
            if peer.transport is not None:
                peer.protocol.transport.abort()
        await asyncio.sleep(0)


def router(**answers):
    """A script: what to do by the name of the client's message, lower case; ``None`` for silence.

    Without an answer of its own it behaves like a router. An answer is a message, or a function of (peer, msg).
    """

    def script(peer, msg):
        name = "open" if msg is None else type(msg).__name__.lower()
        answer = answers[name] if name in answers else DEFAULT.get(name)
        if callable(answer) and not isinstance(answer, m.Message):
            answer = answer(peer, msg)
        if isinstance(answer, m.Message):
            peer.say(answer)

    return script


DEFAULT = {
    "hello": lambda peer, msg: m.Welcome(1, ROLES),
    "register": lambda peer, msg: m.Registered(msg.request, msg.request),
    "subscribe": lambda peer, msg: m.Subscribed(msg.request, msg.request),
    "goodbye": lambda peer, msg: m.Goodbye({}, "wamp.close.goodbye_and_out"),
}

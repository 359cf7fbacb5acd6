"""What the tests of RawSocket on asyncio share: clients by hand, servers, recorders."""

import asyncio

from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketServerFactory,
)
from autobahn.rawsocket.frames import MESSAGE, head
from autobahn.wamp.codec import CODECS
from scripted import RecordingSession

FAST = {"initial_retry_delay": 0.01, "max_retry_delay": 0.05}
RS = "rs://127.0.0.1:0"
JSON = CODECS["json"]


def port_of(server):
    return server.sockets[0].getsockname()[1]


class Wire:
    """The client's end by hand."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, kind, payload):
        self.writer.write(head(kind, len(payload)) + payload)

    async def hear(self):
        octets = await self.reader.readexactly(4)
        return octets[0], await self.reader.readexactly(int.from_bytes(octets[1:], "big"))

    async def row(self):
        kind, payload = await self.hear()
        assert kind == MESSAGE
        return JSON.loads(payload)

    async def end(self):
        """What still comes, until the server closes."""
        data = await self.reader.read()
        self.writer.close()
        return data


async def dial(url_or_server, opening=b"\x7f\xf1\x00\x00"):
    """A wire to a router or server, after ``opening`` was sent and answered (if it is one)."""
    if isinstance(url_or_server, str):
        port = int(url_or_server.rpartition(":")[2].partition("/")[0])
    else:
        port = port_of(url_or_server)
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    wire.writer.write(opening)
    if opening == b"\x7f\xf1\x00\x00":
        assert await wire.reader.readexactly(4) == b"\x7f\xf1\x00\x00"
    return wire


HELLO = JSON.dumps([1, "realm1", {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}])


async def joined_wire(url):
    wire = await dial(url)
    wire.say(MESSAGE, HELLO)
    assert (await wire.row())[0] == 2
    return wire


async def session_at(url, serializer=None, session=None, **options):
    """A joined session, and its protocol."""
    session = session or RecordingSession()
    ready = asyncio.Event()
    session.on("ready", lambda _: ready.set())
    factory = WampRawSocketClientFactory(session, serializer)
    factory.setProtocolOptions(**options)
    port = int(url.rpartition(":")[2].partition("/")[0])
    _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
    await ready.wait()
    return session, protocol


async def serve(session_factory, serializers=None, **options):
    factory = WampRawSocketServerFactory(session_factory, serializers)
    factory.setProtocolOptions(**options)
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)


class Recorder:
    """A session object of a server that notes its callbacks."""

    def __init__(self):
        self.seen = []
        self.transport = None
        self.closed = asyncio.Event()

    def onOpen(self, transport):
        self.transport = transport
        self.seen.append("open")

    def onMessage(self, msg):
        self.seen.append(msg.row())

    def onProtocolError(self, exc):
        self.seen.append("violation")

    def onClose(self, was_clean):
        self.seen.append(was_clean)
        self.closed.set()

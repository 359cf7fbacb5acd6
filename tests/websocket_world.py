"""Recording WebSocket protocols, and a server with clients over real sockets."""

import asyncio

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)


class Recorder:
    """Notes every callback in `log`; the protocols under test are made from it."""

    def __init__(self):
        super().__init__()
        self.log = []
        self.messages = asyncio.Queue()
        self.errors = []

    def onOpen(self):
        self.log.append("open")

    def onMessage(self, payload, isBinary):
        self.messages.put_nowait((payload, isBinary))

    def onPong(self, payload):
        self.messages.put_nowait(("pong", payload))

    def onClose(self, wasClean, code, reason):
        self.log.append(("close", wasClean, code, reason))

    def onUserError(self, exc, where):
        self.errors.append((where, repr(exc)))


class Server(Recorder, WebSocketServerProtocol):
    def onConnect(self, request):
        self.log.append("connect")
        self.request = request


class Client(Recorder, WebSocketClientProtocol):
    def onConnecting(self, transport_details):
        self.log.append("connecting")

    def onConnect(self, response):
        self.log.append("connect")
        self.response = response


class Echo(Server):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


class World:
    """A server and clients that are gone at the end of the block."""

    def __init__(self, protocol=Echo, *, tls=(None, None), **options):
        self.server_tls, self.client_tls = tls
        self.scheme = "wss" if self.server_tls else "ws"
        self.factory = WebSocketServerFactory(f"{self.scheme}://127.0.0.1:9000")
        self.made = []

        def make():
            self.made.append(protocol())
            return self.made[-1]

        self.factory.protocol = make
        self.factory.setProtocolOptions(**options)
        self.clients = []

    async def __aenter__(self):
        self.listener = await asyncio.get_running_loop().create_server(
            self.factory, "127.0.0.1", 0, ssl=self.server_tls
        )
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def connect(self, protocol=Client, url="", **options):
        """A client whose TCP connection stands."""
        factory = WebSocketClientFactory(url or f"{self.scheme}://127.0.0.1:{self.port}/path?a=1")
        factory.protocol = protocol
        factory.setProtocolOptions(**options)
        loop = asyncio.get_running_loop()
        name = "localhost" if self.client_tls else None
        _, client = await loop.create_connection(
            factory, "127.0.0.1", self.port, ssl=self.client_tls, server_hostname=name
        )
        self.clients.append(client)
        return client

    async def open(self, protocol=Client, **options):
        """A client that is open."""
        client = await self.connect(protocol, **options)
        await client.is_open
        return client

    async def raw(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    @property
    def server(self):
        return self.made[-1]

    async def ended(self):
        """Both ends of every connection are closed."""
        for protocol in [*self.clients, *self.made]:
            await asyncio.wait_for(protocol.is_closed, 5)
        await asyncio.sleep(0)

    async def __aexit__(self, *_):
        self.listener.close()
        for protocol in [*self.clients, *self.made]:
            protocol.dropConnection(abort=True)
        for protocol in [*self.clients, *self.made]:
            if protocol.transport is not None:
                await asyncio.wait_for(protocol.is_closed, 5)
        assert self.factory.countConnections == 0


async def until(condition):
    """Returns once `condition()` holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)

"""Echo server on the documented classes; runs on this package and on the peer. Arguments: PORT [uvloop]."""

import asyncio
import sys

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol


class Echo(WebSocketServerProtocol):
    """Sends back what it gets."""

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def main():
    """Serves until it is interrupted."""
    port = int(sys.argv[1])
    factory = WebSocketServerFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = Echo
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[2:] == ["uvloop"]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

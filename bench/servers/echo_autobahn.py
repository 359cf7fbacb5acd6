"""Echo server on the documented classes; runs on this package and on the peer.

Arguments: PORT [uvloop] [deflate] [backend=NAME of ours].
"""

import asyncio
import sys

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept


def accept(offers):
    """Takes permessage-deflate with default parameters."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


class Echo(WebSocketServerProtocol):
    """Sends back what it gets."""

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def main():
    """Serves until it is interrupted."""
    port = int(sys.argv[1])
    factory = WebSocketServerFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = Echo
    if "deflate" in sys.argv:
        factory.setProtocolOptions(perMessageCompressionAccept=accept)
    for option in sys.argv:
        if option.startswith("backend="):
            factory.setProtocolOptions(compressionBackend=option.removeprefix("backend="))
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

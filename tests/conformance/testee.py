"""The testee of the Autobahn TestSuite: an echo server or client over the public API of this package."""

from __future__ import annotations

import argparse
import asyncio
import signal
from urllib.parse import quote, urlsplit

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponseAccept,
)

LIMIT = 64 * 1024 * 1024
OPTIONS = {
    "failByDrop": False,
    "maxFramePayloadSize": LIMIT,
    "maxMessagePayloadSize": LIMIT,
    "openHandshakeTimeout": 10,
    "autoPingInterval": 0,  # on a slow machine a case may last longer than the interval, and a ping then fails it
}


class EchoServerProtocol(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class EchoClientProtocol(WebSocketClientProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class CountProtocol(WebSocketClientProtocol):
    """Takes the one message with the number of cases."""

    count = 0

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.count = int(payload)


def accept_offer(offers):
    """The first offer, with what it asks for."""
    return PerMessageDeflateOfferAccept(offers[0])


async def serve(port: int) -> None:
    factory = WebSocketServerFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = EchoServerProtocol
    factory.setProtocolOptions(perMessageCompressionAccept=accept_offer, **OPTIONS)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(factory, "127.0.0.1", port)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()


async def run_one(url: str, protocol, timeout: float = 120):
    """The protocol, after its connection has ended."""
    factory = WebSocketClientFactory(url)
    factory.protocol = protocol
    factory.setProtocolOptions(
        perMessageCompressionOffers=[PerMessageDeflateOffer()],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
        serverConnectionDropTimeout=5,
        **OPTIONS,
    )
    parts = urlsplit(url)
    _, proto = await asyncio.get_running_loop().create_connection(factory, parts.hostname, parts.port or 80)
    return await asyncio.wait_for(proto.is_closed, timeout)


async def run_client(url: str, agent: str) -> None:
    url = url.rstrip("/")
    count = (await run_one(f"{url}/getCaseCount", CountProtocol)).count
    print(f"{count} cases", flush=True)
    for case in range(1, count + 1):
        await run_one(f"{url}/runCase?case={case}&agent={quote(agent)}", EchoClientProtocol, 600)
    await run_one(f"{url}/updateReports?agent={quote(agent)}", CountProtocol)
    print("done", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uvloop", action="store_true")
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server")
    server.add_argument("--port", type=int, required=True)
    client = roles.add_parser("client")
    client.add_argument("--url", required=True)
    client.add_argument("--agent", default="autobahn")
    for role in (server, client):
        role.add_argument("--uvloop", action="store_true", default=argparse.SUPPRESS)
    args = parser.parse_args()
    loop_factory = None
    if args.uvloop:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        if args.role == "server":
            runner.run(serve(args.port))
        else:
            runner.run(run_client(args.url, args.agent))


if __name__ == "__main__":
    main()

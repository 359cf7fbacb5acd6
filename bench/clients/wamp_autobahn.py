"""WAMP client that calls, or receives events, on the documented API of both packages."""

import asyncio

import worker

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import ComponentConfig

URI, TOPIC = "com.bench.echo", "com.bench.topic"
SERIALIZERS = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}


class Session(ApplicationSession):
    """Tells when it has joined and when its link is gone."""

    def onJoin(self, details):
        self.config.extra["joined"].set_result(self)

    def onDisconnect(self):
        self.config.extra["over"].set_result(None)


async def calling(session, meter):
    """One call after the other."""
    while meter.running:
        await session.call(URI, 42)
        meter.count += 1


async def work(session, job, meter):
    """Until the time is over."""
    if job["what"] == "calls":
        await asyncio.gather(*(calling(session, meter) for _ in range(job["inflight"])))
        return

    def on_event(number):
        meter.count += 1
        if meter.count % 64 == 0 and meter.running:
            session.publish(TOPIC)  # the stub answers with 64 events

    await session.subscribe(on_event, TOPIC)
    await meter.over.wait()


async def measure(job):
    """One session."""
    loop = asyncio.get_running_loop()
    extra = {"joined": loop.create_future(), "over": loop.create_future()}
    serializer = SERIALIZERS[job["serializer"]]()
    session = Session(ComponentConfig("realm1", extra))
    if job["transport"] == "ws":
        url = f"ws://127.0.0.1:{job['port']}/ws"
        factory = WampWebSocketClientFactory(lambda: session, url, serializers=[serializer])
    else:
        factory = WampRawSocketClientFactory(lambda: session, serializer=serializer)
    await loop.create_connection(factory, "127.0.0.1", job["port"])
    await extra["joined"]
    meter = worker.Meter(job)
    await work(session, job, meter)
    session.leave()
    await extra["over"]
    return meter


if __name__ == "__main__":
    worker.run(measure)

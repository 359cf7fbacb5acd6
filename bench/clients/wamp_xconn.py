"""WAMP client that calls, or receives events, on `xconn`."""

import asyncio

import worker
from wampproto import auth, serializers
from xconn.async_client import connect

URI, TOPIC = "com.bench.echo", "com.bench.topic"
SERIALIZERS = {
    "json": serializers.JSONSerializer,
    "msgpack": serializers.MsgPackSerializer,
    "cbor": serializers.CBORSerializer,
}


async def calling(session, meter):
    """One call after the other."""
    while meter.running:
        await session.call(URI, [42])
        meter.count += 1


async def measure(job):
    """One session."""
    url = f"{job['transport']}://127.0.0.1:{job['port']}" + ("/ws" if job["transport"] == "ws" else "")
    session = await connect(url, "realm1", auth.AnonymousAuthenticator(""), SERIALIZERS[job["serializer"]]())
    meter = worker.Meter(job)
    if job["what"] == "calls":
        await asyncio.gather(*(calling(session, meter) for _ in range(job["inflight"])))
    else:

        async def on_event(event):
            meter.count += 1
            if meter.count % 64 == 0 and meter.running:
                await session.publish(TOPIC)  # the stub answers with 64 events

        await session.subscribe(TOPIC, on_event)
        await meter.over.wait()
    await session.leave()
    return meter


if __name__ == "__main__":
    worker.run(measure)

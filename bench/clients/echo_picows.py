"""Echo client on `picows`, payload as bytes like every other library gives it."""

import worker
from picows import WSListener, WSMsgType, ws_connect


class Client(WSListener):
    """Sends what it gets."""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.BINARY:
            payload = frame.get_payload_as_bytes()
            self.meter.count += 1
            if self.meter.running:
                transport.send(WSMsgType.BINARY, payload)


async def measure(job):
    """One connection."""
    transport, client = await ws_connect(Client, f"ws://127.0.0.1:{job['port']}/", max_frame_size=1 << 26)
    client.meter = worker.Meter(job)
    for _ in range(job["inflight"]):
        transport.send(WSMsgType.BINARY, worker.payload(job["size"]))
    await client.meter.over.wait()
    transport.disconnect(False)
    await transport.wait_disconnected()
    return client.meter


if __name__ == "__main__":
    worker.run(measure)

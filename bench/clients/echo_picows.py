"""Echo client on `picows`, payload as bytes like every other library gives it."""

import worker
from picows import WSListener, WSMsgType, ws_connect


class Client(WSListener):
    """Sends what it gets."""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.BINARY:
            transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())


async def measure(job):
    """One connection."""
    transport, _ = await ws_connect(Client, f"ws://127.0.0.1:{job['port']}/", max_frame_size=1 << 26)
    meter = worker.Echoes(job, transport.underlying_transport)
    for _ in range(job["inflight"]):
        transport.send(WSMsgType.BINARY, worker.payload(job["size"]))
    await meter.over.wait()
    transport.disconnect(False)
    await transport.wait_disconnected()
    return meter


if __name__ == "__main__":
    worker.run(measure)

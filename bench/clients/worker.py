"""A process that is measured: for each JSON line of stdin one slice of work, its sample as a JSON line of stdout."""

import asyncio
import json
import os
import socket
import struct
import sys
import time


class Meter:
    """What happens between `warm` and `warm + seconds` from now on, by `count`, the messages so far.

    `running` is false at the end, when `over` is set.
    """

    count = 0

    def __init__(self, job):
        self.running = True
        self.over = asyncio.Event()
        self._job = job
        asyncio.get_running_loop().call_later(job["warm"], self._begin)

    def _begin(self):
        self._base, self._time, self._cpu = self.count, time.perf_counter(), time.process_time()
        asyncio.get_running_loop().call_later(self._job["seconds"], self._end)

    def _end(self):
        self.sample = {
            "messages": self.count - self._base,
            "elapsed": time.perf_counter() - self._time,
            "server_cpu": time.process_time() - self._cpu,
            "load_cpu": 0.0,
        }
        self.running = False
        self.over.set()


class Echoes(Meter):
    """For an echo client: the kernel counts, so that a client does nothing but what it is measured for."""

    def __init__(self, job, transport, frame=None):
        super().__init__(job)
        size = job["size"]
        self._frame = frame or size + (2 if size < 126 else 4 if size < 65536 else 10)  # as the server sends it
        self._socket = transport.get_extra_info("socket")

    @property
    def count(self):
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
        (octets,) = struct.unpack_from("Q", info, 128)  # tcpi_bytes_received
        return octets // self._frame


async def slice_of(measure, job):
    """Runs `measure(job)`, which returns a `Meter`; the sample."""
    return (await asyncio.wait_for(measure(job), 15)).sample


def payload(size):
    """What is sent."""
    return os.urandom(size)


def run(measure):
    """Entry of a client program; the one argument `uvloop` chooses the loop."""
    factory = None
    if sys.argv[1:] == ["uvloop"]:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(slice_of(measure, json.loads(line)))), flush=True)

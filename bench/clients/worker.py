"""A process that is measured: for each JSON line of stdin one slice of work, its sample as a JSON line of stdout."""

import asyncio
import json
import os
import sys
import time


class Meter:
    """Counts messages between `warm` and `warm + seconds` from now on; `over` is set at the end."""

    def __init__(self, job):
        self.count = 0
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

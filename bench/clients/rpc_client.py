"""CPU of a WAMP client per call, on the documented API of both packages. Prints one JSON line."""

import argparse
import asyncio
import json
import time

from autobahn.asyncio.component import Component

URI = "com.bench.echo"


async def calls(session, number, inflight):
    """That many calls, so many of them at a time."""

    async def caller(share):
        for _ in range(share):
            await session.call(URI, 42)

    await asyncio.gather(*(caller(number // inflight) for _ in range(inflight)))


async def measure(args):
    """One sample, in the form of the load generators."""
    sample = {}

    async def main(loop, session):
        await calls(session, max(args.inflight, args.calls // 5), args.inflight)
        begin, cpu = time.perf_counter(), time.process_time()
        await calls(session, args.calls, args.inflight)
        sample["server_cpu"] = time.process_time() - cpu
        sample["elapsed"] = time.perf_counter() - begin
        sample["messages"] = args.calls // args.inflight * args.inflight
        sample["load_cpu"] = 0.0

    transport = {"type": "websocket", "url": args.url, "serializers": [args.serializer], "max_retries": 0}
    component = Component(main=main, transports=[transport], realm="realm1")
    await component.start(asyncio.get_running_loop())
    return sample


def run():
    """Entry of the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--serializer", default="json")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--inflight", type=int, default=64)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(asyncio.wait_for(measure(args), 60))))


if __name__ == "__main__":
    run()

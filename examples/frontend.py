"""A frontend: calls the backend's procedures, watches its counter, and times 2,000 calls.

python examples/frontend.py --url ws://127.0.0.1:8080/ws --realm realm1
"""

import argparse
import asyncio
import time

from autobahn.asyncio.component import Component, run
from autobahn.wamp.exception import ApplicationError

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
parser.add_argument("--realm", default="realm1")
parser.add_argument("--serializer", default="cbor", choices=["json", "msgpack", "cbor"])
args = parser.parse_args()

CALLS, IN_FLIGHT = 2000, 50
finished = []


def say(text):
    print(text, flush=True)


async def main(loop, session):
    say(f"joined as session {session.session_id}")

    for _ in range(50):  # the backend may still be starting
        try:
            result = await session.call("com.example.add2", 2, 3)
            break
        except ApplicationError as error:
            if error.error != ApplicationError.NO_SUCH_PROCEDURE:
                raise
            await asyncio.sleep(0.1)
    say(f"call      com.example.add2(2, 3)       -> {result}")

    try:
        await session.call("com.example.divide", 1, 0)
    except ApplicationError as error:
        say(f"call      com.example.divide(1, 0)     -> {error.error}: {error.args[0]}")

    events = asyncio.Queue()
    subscription = await session.subscribe(events.put_nowait, "com.example.counter")
    for _ in range(5):
        say(f"event     com.example.counter          -> {await events.get()}")
    await subscription.unsubscribe()

    started = time.perf_counter()
    for first in range(0, CALLS, IN_FLIGHT):
        results = await asyncio.gather(
            *(session.call("com.example.add2", n, 1) for n in range(first, first + IN_FLIGHT))
        )
        assert results == [n + 1 for n in range(first, first + IN_FLIGHT)]
    seconds = time.perf_counter() - started
    say(f"timed     {CALLS:,} calls, {IN_FLIGHT} in flight      -> {seconds:.2f} s, {CALLS / seconds:,.0f} calls/s")
    finished.append(True)


component = Component(
    main=main,
    transports=[{"type": "websocket", "url": args.url, "serializers": [args.serializer], "max_retries": 5}],
    realm=args.realm,
)

if __name__ == "__main__":
    run([component], log_level="warn")
    if not finished:
        raise SystemExit("the frontend did not finish")

"""A backend: registers two procedures and publishes a counter ten times a second.

python examples/backend.py --url ws://127.0.0.1:8080/ws --realm realm1
"""

import argparse
import asyncio

from autobahn.asyncio.component import Component, run
from autobahn.wamp.exception import ApplicationError

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
parser.add_argument("--realm", default="realm1")
parser.add_argument("--serializer", default="cbor", choices=["json", "msgpack", "cbor"])
args = parser.parse_args()

component = Component(
    transports=[{"type": "websocket", "url": args.url, "serializers": [args.serializer]}],
    realm=args.realm,
)


@component.register("com.example.add2")
def add2(x, y):
    return x + y


@component.register("com.example.divide")
def divide(x, y):
    if y == 0:
        raise ApplicationError("com.example.error.division_by_zero", f"cannot divide {x} by zero", dividend=x)
    return x / y


@component.on_join
async def joined(session, details):
    print(
        f"joined realm {details.realm!r} as session {details.session}, publishing com.example.counter",
        flush=True,
    )
    counter = 0
    while session.is_attached():
        session.publish("com.example.counter", counter)
        counter += 1
        await asyncio.sleep(0.1)


@component.on_leave
async def left(session, details):
    print(f"left the realm: {details.reason}", flush=True)


if __name__ == "__main__":
    run([component], log_level="warn")

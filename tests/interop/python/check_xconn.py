"""xconn against a WAMP router: python check_xconn.py URL SERIALIZER. Runs in an environment of its own."""

import asyncio
import importlib.metadata
import sys

from checks import PREFIX, VALUES, Checks
from wampproto import auth, serializers
from xconn import async_client
from xconn.exception import ApplicationError
from xconn.types import Result

LIMIT = 10
SERIALIZERS = {
    "json": serializers.JSONSerializer,
    "msgpack": serializers.MsgPackSerializer,
    "cbor": serializers.CBORSerializer,
}
url, serializer = sys.argv[1:]
checks = Checks(f"xconn {importlib.metadata.version('xconn')}")


async def join(realm, authenticator=None):
    joining = async_client.connect(url, realm, authenticator, SERIALIZERS[serializer]())
    return await asyncio.wait_for(joining, LIMIT)


async def calls(caller, callee):
    async def echo(invocation):
        return Result(invocation.args, invocation.kwargs)

    async def fails(invocation):
        raise ApplicationError("com.example.error.custom", "why", 7)

    async def procedure(invocation):
        return Result([invocation.details.get("procedure")])

    await callee.register(f"{PREFIX}.echo", echo)
    await callee.register(f"{PREFIX}.fails", fails)
    await callee.register(f"{PREFIX}.prefix", procedure, {"match": "prefix"})
    await callee.register(f"{PREFIX}..wild", procedure, {"match": "wildcard"})
    values = VALUES if serializer == "json" else VALUES | {"bytes": bytes(range(256))}
    for name, value in values.items():
        result = await caller.call(f"{PREFIX}.echo", [value], {"k": value})
        checks.equal(f"call: {name}", (result.args, result.kwargs), ([value], {"k": value}))
        result = await caller.call("com.example.python.echo", [value])
        checks.equal(f"Python callee: {name}", result.args, [value])
    many = await asyncio.gather(*(caller.call(f"{PREFIX}.echo", [i]) for i in range(500)))
    checks.equal("call: 500 at once", [result.args for result in many], [[i] for i in range(500)])
    for name, called, expected in (
        ("error", f"{PREFIX}.fails", "com.example.error.custom"),
        ("nobody there", f"{PREFIX}.nobody", "wamp.error.no_such_procedure"),
        ("error of a Python callee", "com.example.python.fails", "com.example.python.error"),
    ):
        try:
            got = await caller.call(called)
        except ApplicationError as error:
            got = error.message
        checks.equal(f"call: {name}", got, expected)
    for name in ("prefix.a.b", "any.wild"):
        result = await caller.call(f"{PREFIX}.{name}")
        checks.equal(f"call: pattern {name}", result.args, [f"{PREFIX}.{name}"])
    registration = await callee.register(f"{PREFIX}.shared", echo, {"invoke": "roundrobin"})
    await caller.register(f"{PREFIX}.shared", fails, {"invoke": "roundrobin"})
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append((await caller.call(f"{PREFIX}.shared", [1])).args)
        except ApplicationError:
            outcomes.append("failed")
    checks.equal("call: shared", sorted(map(str, outcomes)), ["[1]", "[1]", "failed", "failed"])
    await registration.unregister()
    try:
        got = await caller.call(f"{PREFIX}.shared", [1])
    except ApplicationError as error:
        got = error.message
    checks.equal("call: after unregister", got, "com.example.error.custom")


async def events(publisher, subscriber):
    queue = asyncio.Queue()

    async def heard(event):
        queue.put_nowait((event.args, event.kwargs))

    async def heard_topic(event):
        queue.put_nowait(event.details.get("topic"))

    async def one():
        return await asyncio.wait_for(queue.get(), LIMIT)

    await subscriber.subscribe(f"{PREFIX}.topic", heard)
    for name, value in VALUES.items():
        await publisher.publish(f"{PREFIX}.topic", [value], {"k": value}, {"acknowledge": True})
        checks.equal(f"event: {name}", await one(), ([value], {"k": value}))
    for match, pattern in (("prefix", f"{PREFIX}.pat"), ("wildcard", f"{PREFIX}..end")):
        subscription = await subscriber.subscribe(pattern, heard_topic, {"match": match})
        await publisher.publish(f"{PREFIX}.pattern.end", [1], None, {"acknowledge": True})
        checks.equal(f"event: {match}", await one(), f"{PREFIX}.pattern.end")
        await subscription.unsubscribe()
    await subscriber.subscribe("com.example.python.kept", heard, {"get_retained": True})
    checks.equal("event: retained", (await one())[0], ["kept"])


async def authentication():
    seed = bytes(range(32)).hex()
    for name, authid, authenticator in (
        ("ticket", "ticket-user", auth.TicketAuthenticator("ticket-user", "secret")),
        ("wampcra", "cra-user", auth.WAMPCRAAuthenticator("cra-user", "secret")),
        ("wampcra, salted", "salted-user", auth.WAMPCRAAuthenticator("salted-user", "secret")),
        ("cryptosign", "key-user", auth.CryptoSignAuthenticator("key-user", seed)),
    ):
        try:
            session = await join("secure", authenticator)
            got = (session._base_session.authid, session._base_session.authrole)
            await session.leave()
        except Exception as exc:
            got = repr(exc)
        checks.equal(f"authentication: {name}", got, (authid, "user"))


async def main():
    first, second = await join("realm1"), await join("realm1")
    await calls(first, second)
    await events(first, second)
    await authentication()
    await first.leave()
    await second.leave()
    checks.print()


asyncio.run(main())

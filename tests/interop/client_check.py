"""Two WAMP sessions check call, error, publish and subscribe over one router, and print one line of JSON.

Only the documented API is used, so the same file runs under this package and under the peer `autobahn`.
"""

import argparse
import asyncio
import importlib.metadata
import json
import sys

from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import (
    CallResult,
    EventDetails,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)

PREFIX = "com.example.interop"

VALUES = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -1,
    "int 2**31": 2**31,
    "int 2**53-1": 2**53 - 1,
    "int -(2**53-1)": -(2**53 - 1),
    "float": 3.141592653589793,
    "float tiny": 5e-324,
    "float big": 1.7976931348623157e308,
    "float whole": 2.5,
    "empty text": "",
    "text": "plain",
    "unicode": 'Grüße, 世界, 🚗, \u0001"\\/',
    "bytes": bytes(range(256)),
    "empty bytes": b"",
    "empty list": [],
    "list": [1, "two", None, [3.5, [False]]],
    "empty dict": {},
    "nested dict": {"a": {"b": {"c": [1, {"d": "e"}]}}, "ключ": None, "n": {"bytes": b"\x00\xff"}},
    "long text": "x" * 100_000,
}


class Checks:
    """Collects outcomes by name."""

    def __init__(self):
        self.outcomes = {}

    def equal(self, name, got, expected):
        """Records whether both value and type are as expected."""
        same = got == expected and type(got) is type(expected)
        self.outcomes[name] = "ok" if same else f"expected {expected!r:.120}, got {got!r:.120}"

    async def error(self, name, awaitable, uri, args=None, kwargs=None):
        """Records whether this fails with that ApplicationError."""
        try:
            got = await awaitable
        except ApplicationError as exc:
            self.equal(f"{name}: uri", exc.error, uri)
            if args is not None:
                self.equal(f"{name}: args", list(exc.args), args)
            if kwargs is not None:
                self.equal(f"{name}: kwargs", dict(exc.kwargs or {}), kwargs)
        except Exception as exc:
            self.outcomes[name] = f"expected ApplicationError({uri}), got {exc!r:.200}"
        else:
            self.outcomes[name] = f"expected ApplicationError({uri}), got the result {got!r:.120}"


class Callee:
    """The session that registers and subscribes."""

    def __init__(self, component):
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self.events = asyncio.Queue()
        self.session = None
        self.registrations = []
        self.subscriptions = []
        component.on_join(self.joined)

    async def joined(self, session, details):
        """Everything is registered and subscribed, then `ready` is set."""
        self.session = session

        def echo(value):
            return value

        async def echo_later(value):
            await asyncio.sleep(0)
            return value

        def many(*args, **kwargs):
            return CallResult(*args, **kwargs)

        def refuse():
            uri = f"{PREFIX}.error.refused"
            raise ApplicationError(uri, 1, "two", None, detail={"a": [1]}, why="because")

        def crash():
            raise ValueError("broken on purpose", 7)

        def detailed(value, details=None):
            return [value, details.registration.id]

        def sent(*args, **kwargs):
            details = kwargs.pop("details")
            self.events.put_nowait((list(args), kwargs, details))

        async def sent_async(*args):
            await asyncio.sleep(0)
            self.events.put_nowait((list(args), {}, None))

        for procedure in (echo, echo_later, many, refuse, crash):
            uri = f"{PREFIX}.{procedure.__name__}"
            self.registrations.append(await session.register(procedure, uri))
        options = RegisterOptions(details_arg="details")
        self.registrations.append(await session.register(detailed, f"{PREFIX}.detailed", options=options))
        options = SubscribeOptions(details_arg="details")
        self.subscriptions.append(await session.subscribe(sent, f"{PREFIX}.topic", options=options))
        self.subscriptions.append(await session.subscribe(sent_async, f"{PREFIX}.topic_async"))
        self.ready.set()

    async def next_event(self):
        """The next event, or an error after a while."""
        return await asyncio.wait_for(self.events.get(), 5)


async def check_calls(session, callee, checks):
    """Results of every shape."""
    for name, value in VALUES.items():
        checks.equal(f"call {name}", await session.call(f"{PREFIX}.echo", value), value)
    checks.equal("call coroutine", await session.call(f"{PREFIX}.echo_later", value="by name"), "by name")
    got = await session.call(f"{PREFIX}.many", 1, "two", three=3, four=[4])
    checks.equal("call many: results", list(got.results), [1, "two"])
    checks.equal("call many: kwresults", dict(got.kwresults), {"three": 3, "four": [4]})
    checks.equal("call nothing", await session.call(f"{PREFIX}.many"), None)
    registration = callee.registrations[-1]
    got = await session.call(f"{PREFIX}.detailed", "x")
    checks.equal("call details", got, ["x", registration.id])
    numbers = await asyncio.gather(*(session.call(f"{PREFIX}.echo_later", n) for n in range(200)))
    checks.equal("200 calls at once", list(numbers), list(range(200)))
    checks.equal("registration active", registration.active, True)


async def check_errors(session, callee, checks):
    """Errors of the user, of the router and of nobody in charge."""
    await checks.error(
        "refused",
        session.call(f"{PREFIX}.refuse"),
        f"{PREFIX}.error.refused",
        [1, "two", None],
        {"detail": {"a": [1]}, "why": "because"},
    )
    crash = session.call(f"{PREFIX}.crash")
    await checks.error("crash", crash, "wamp.error.runtime_error", ["broken on purpose", 7])
    missing = session.call(f"{PREFIX}.missing")
    await checks.error("no such procedure", missing, "wamp.error.no_such_procedure")
    again = session.register(lambda: None, f"{PREFIX}.echo")
    await checks.error("already registered", again, "wamp.error.procedure_already_exists")


async def check_events(session, callee, checks):
    """Acknowledged events with every payload, in order; also to the publisher itself when asked."""
    acknowledge = PublishOptions(acknowledge=True)
    for name, value in VALUES.items():
        publication = await session.publish(f"{PREFIX}.topic", value, kw=value, options=acknowledge)
        args, kwargs, details = await callee.next_event()
        checks.equal(f"event {name}", args, [value])
        checks.equal(f"event kw {name}", kwargs, {"kw": value})
        if name == "none":
            checks.equal("publication id", details.publication, publication.id)
            checks.equal("event details", type(details) is EventDetails, True)
            checks.equal("event topic", details.topic, f"{PREFIX}.topic")
    for number in range(100):
        session.publish(f"{PREFIX}.topic", number)
    order = [(await callee.next_event())[0] for _ in range(100)]
    checks.equal("100 events in order", order, [[n] for n in range(100)])
    await session.publish(f"{PREFIX}.topic_async", "later", options=acknowledge)
    checks.equal("coroutine handler", (await callee.next_event())[0], ["later"])

    own = asyncio.Queue()
    subscription = await session.subscribe(lambda value: own.put_nowait(value), f"{PREFIX}.own")
    await session.publish(f"{PREFIX}.own", 1, options=acknowledge)
    include = PublishOptions(acknowledge=True, exclude_me=False)
    await session.publish(f"{PREFIX}.own", 2, options=include)
    checks.equal("not to myself unless asked", await asyncio.wait_for(own.get(), 5), 2)
    await subscription.unsubscribe()
    await session.publish(f"{PREFIX}.own", 3, options=include)
    await asyncio.sleep(0.1)
    checks.equal("nothing after unsubscribe", own.empty(), True)


async def check_end(session, callee, checks):
    """A procedure is gone after unregister."""
    await callee.registrations[0].unregister()
    await checks.error("unregistered", session.call(f"{PREFIX}.echo", 1), "wamp.error.no_such_procedure")


async def run(url, realm, serializer):
    """The outcomes by name."""
    transport = {"type": "websocket", "url": url, "serializers": [serializer], "max_retries": 2}
    checks = Checks()
    answering = Component(transports=[transport], realm=realm)
    callee = Callee(answering)

    async def ask(loop, session):
        try:
            await asyncio.wait_for(callee.ready.wait(), 10)
            for check in (check_calls, check_errors, check_events, check_end):
                try:
                    await check(session, callee, checks)
                except Exception as exc:
                    checks.outcomes[check.__name__] = f"stopped by {exc!r:.300}"
        finally:
            if callee.session is not None:
                callee.session.leave()

    asking = Component(main=ask, transports=[transport], realm=realm)
    loop = asyncio.get_running_loop()
    await asyncio.gather(answering.start(loop), asking.start(loop))
    await asyncio.sleep(0.1)
    return checks.outcomes


def package():
    """Name and version of the package under test."""
    for name in ("autobahn-asyncio", "autobahn"):
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def main():
    """Exit status 0 when every check is ok."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--realm", default="realm1")
    parser.add_argument("--serializer", default="json", choices=["json", "msgpack", "cbor"])
    parser.add_argument("--timeout", type=float, default=40.0)
    args = parser.parse_args()
    outcomes = {}
    try:
        outcomes = asyncio.run(asyncio.wait_for(run(args.url, args.realm, args.serializer), args.timeout))
    except Exception as exc:
        outcomes["run"] = f"{type(exc).__name__}: {exc}"
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
    passed = bool(outcomes) and not bad
    result = {"client": package(), "serializer": args.serializer, "checks": len(outcomes), "bad": bad}
    print(json.dumps(result | {"passed": passed}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""The features of the Advanced Profile over one router, and one line of JSON with what was seen.

Only the documented API is used, so the same file runs under this package and under the peer `autobahn`. What a router
is known not to have is told with --without NAME.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import traceback

from client_check import Checks, package

from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions

PREFIX = "com.example.features"
HISTORY = "com.example.history"
PATIENCE = 5
SEED = bytes(range(32)).hex()
METHODS = {
    "ticket": {"ticket": {"authid": "ticket-user", "ticket": "secret"}},
    "wampcra": {"wampcra": {"authid": "cra-user", "secret": "secret"}},
    "wampcra, salted": {"wampcra": {"authid": "salted-user", "secret": "secret"}},
    "cryptosign": {"cryptosign": {"authid": "key-user", "privkey": SEED}},
}
ACK = {"acknowledge": True}


class World:
    """Joins sessions on the router under test."""

    def __init__(self, url, serializer, checks):
        self.url = url
        self.serializer = serializer
        self.checks = checks

    @contextlib.asynccontextmanager
    async def session(self, realm="realm1", authentication=None):
        """A joined session and its SessionDetails; it leaves at the end of the block."""
        loop = asyncio.get_running_loop()
        joined, left = loop.create_future(), loop.create_future()
        if self.url.startswith("rs:"):
            host, port = self.url.removeprefix("rs://").split("/")[0].split(":")
            endpoint = {"type": "tcp", "host": host, "port": int(port)}
            transport = {
                "type": "rawsocket",
                "url": f"rs://{host}:{port}",
                "endpoint": endpoint,
                "serializer": self.serializer,
            }
        else:
            transport = {"type": "websocket", "url": self.url, "serializers": [self.serializer]}

        async def main(_, session):
            await left

        def on_join(session, details):
            joined.set_result((session, details))

        kwargs = {"authentication": authentication} if authentication else {}
        component = Component(
            main=main, transports=[{"url": self.url, "max_retries": 0, **transport}], realm=realm, **kwargs
        )
        component.on_join(on_join)
        running = asyncio.ensure_future(component.start(loop))
        await asyncio.wait([joined, running], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not joined.done():
            joined.cancel()
            raise RuntimeError(f"not joined: {running.exception() if running.done() else 'no answer'!r}")
        try:
            yield joined.result()
        finally:
            left.set_result(None)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(running, PATIENCE)

    async def error(self, awaitable):
        """The URI of the error, or the result."""
        try:
            return await asyncio.wait_for(awaitable, PATIENCE)
        except ApplicationError as exc:
            return exc.error


async def progress(world, one, two, mine, theirs):
    """Progressive results arrive in order before the final one; who did not ask gets none."""

    async def counts(n, details=None):
        for i in range(n):
            if details.progress:
                details.progress(i)
        return "end"

    await two.register(counts, f"{PREFIX}.counts", options=RegisterOptions(details_arg="details"))
    got = []
    end = await one.call(f"{PREFIX}.counts", 5, options=CallOptions(on_progress=got.append))
    world.checks.equal("progressive results", (got, end), ([0, 1, 2, 3, 4], "end"))
    world.checks.equal("not asked for progress", await one.call(f"{PREFIX}.counts", 5), "end")


async def cancel(world, one, two, mine, theirs):
    """A canceled call is canceled at the callee, too."""
    canceled = asyncio.Event()
    started = asyncio.Event()

    async def hangs():
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            canceled.set()
            raise

    await two.register(hangs, f"{PREFIX}.hangs")
    call = asyncio.ensure_future(one.call(f"{PREFIX}.hangs"))
    await asyncio.wait_for(started.wait(), PATIENCE)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError, ApplicationError):
        await call
    await asyncio.wait_for(canceled.wait(), PATIENCE)
    world.checks.equal("cancel reaches the callee", canceled.is_set(), True)


async def timeout(world, one, two, mine, theirs):
    async def slow():
        await asyncio.sleep(60)

    await two.register(slow, f"{PREFIX}.slow")
    got = await world.error(one.call(f"{PREFIX}.slow", options=CallOptions(timeout=1)))
    world.checks.equal("timeout", got in ("wamp.error.timeout", "wamp.error.canceled"), True)


async def patterns(world, one, two, mine, theirs):
    def procedure(details=None):
        return details.procedure

    def event(*args, details=None):
        topics.put_nowait(details.topic)

    topics = asyncio.Queue()
    for match, uri, called in (("prefix", f"{PREFIX}.pre", "pre.a.b"), ("wildcard", f"{PREFIX}..wild", "any.wild")):
        options = RegisterOptions(match=match, details_arg="details")
        await two.register(procedure, uri, options=options)
        world.checks.equal(f"{match} registration", await one.call(f"{PREFIX}.{called}"), f"{PREFIX}.{called}")
        options = SubscribeOptions(match=match, details_arg="details")
        subscription = await two.subscribe(event, uri, options=options)
        await one.publish(f"{PREFIX}.{called}", 1, options=PublishOptions(**ACK))
        got = await asyncio.wait_for(topics.get(), PATIENCE)
        world.checks.equal(f"{match} subscription", got, f"{PREFIX}.{called}")
        await subscription.unsubscribe()


async def shared(world, one, two, mine, theirs):
    for invoke, expected in (
        ("roundrobin", ["one", "one", "two", "two"]),
        ("first", ["one"] * 4),
        ("last", ["two"] * 4),
        ("random", None),
    ):
        uri = f"{PREFIX}.shared.{invoke}"
        for name, session in (("one", one), ("two", two)):
            await session.register(lambda name=name: name, uri, options=RegisterOptions(invoke=invoke))
        got = sorted([await one.call(uri) for _ in range(4)])
        world.checks.equal(f"shared, {invoke}", got if expected else set(got) <= {"one", "two"}, expected or True)
    got = await world.error(two.register(lambda: 0, f"{PREFIX}.shared.first", options=RegisterOptions(invoke="last")))
    refused = ("wamp.error.procedure_already_exists", "wamp.error.procedure_exists_with_different_invocation_policy")
    world.checks.equal("shared by another policy", got in refused, True)


async def identification(world, one, two, mine, theirs):
    async def who(details=None):
        return [details.caller, details.caller_authrole]

    await two.register(who, f"{PREFIX}.who", options=RegisterOptions(details_arg="details"))
    world.checks.equal("caller", await one.call(f"{PREFIX}.who"), [mine.session, "anonymous"])
    seen = asyncio.Queue()
    handler = lambda details=None: seen.put_nowait(details.publisher)
    await two.subscribe(handler, f"{PREFIX}.published", options=SubscribeOptions(details_arg="details"))
    await one.publish(f"{PREFIX}.published", options=PublishOptions(**ACK))
    world.checks.equal("publisher", await asyncio.wait_for(seen.get(), PATIENCE), mine.session)


async def lists(world, one, two, mine, theirs):
    topic = f"{PREFIX}.lists"
    seen = []
    end = asyncio.Event()

    def heard(text):
        seen.append(text)
        if text == "end":
            end.set()

    await two.subscribe(heard, topic)
    for text, options in (
        ("all", {}),
        ("excluded", {"exclude": [theirs.session]}),
        ("excluded role", {"exclude_authrole": ["anonymous"]}),
        ("excluded id", {"exclude_authid": [theirs.authid]}),
        ("eligible", {"eligible": [theirs.session]}),
        ("not eligible", {"eligible": [mine.session]}),
        ("eligible role", {"eligible_authrole": ["anonymous"]}),
        ("no eligible role", {"eligible_authrole": ["nobody"]}),
        ("eligible id", {"eligible_authid": [theirs.authid]}),
        ("end", {"exclude": [mine.session]}),
    ):
        await one.publish(topic, text, options=PublishOptions(**ACK, **options))
    await asyncio.wait_for(end.wait(), PATIENCE)
    world.checks.equal("black- and whitelists", seen, ["all", "eligible", "eligible role", "eligible id", "end"])


async def retained(world, one, two, mine, theirs):
    await one.publish(f"{PREFIX}.kept", "kept", options=PublishOptions(retain=True, **ACK))
    seen = asyncio.Queue()
    handler = lambda text, details=None: seen.put_nowait((text, details.retained))
    options = SubscribeOptions(get_retained=True, details_arg="details")
    await two.subscribe(handler, f"{PREFIX}.kept", options=options)
    world.checks.equal("retained event", await asyncio.wait_for(seen.get(), PATIENCE), ("kept", True))


async def history(world, one, two, mine, theirs):
    subscription = await two.subscribe(lambda *args: None, HISTORY)
    for i in range(5):
        await one.publish(HISTORY, i, options=PublishOptions(**ACK))
    events = await one.call("wamp.subscription.get_events", subscription.id, 3)
    events = getattr(events, "results", events)  # spread over the results, as the specification has it, or one list
    world.checks.equal("event history", sorted(event["args"][0] for event in events), [2, 3, 4])


async def meta(world, one, two, mine, theirs):
    equal = world.checks.equal
    equal("session count", await one.call("wamp.session.count") >= 2, True)
    equal("session list", theirs.session in await one.call("wamp.session.list"), True)
    got = await one.call("wamp.session.get", theirs.session)
    equal("session get", (got["session"], got["authrole"]), (theirs.session, "anonymous"))
    joined = asyncio.Queue()
    await one.subscribe(lambda details: joined.put_nowait(details["session"]), "wamp.session.on_join")
    left = asyncio.Queue()
    await one.subscribe(lambda session, *rest: left.put_nowait(session), "wamp.session.on_leave")
    async with world.session() as (_, third):
        equal("session on_join", await asyncio.wait_for(joined.get(), PATIENCE), third.session)
    equal("session on_leave", await asyncio.wait_for(left.get(), PATIENCE), third.session)

    registration = await two.register(lambda: 0, f"{PREFIX}.looked_up")
    equal("registration lookup", await one.call("wamp.registration.lookup", f"{PREFIX}.looked_up"), registration.id)
    equal("registration match", await one.call("wamp.registration.match", f"{PREFIX}.looked_up"), registration.id)
    got = await one.call("wamp.registration.get", registration.id)
    equal("registration get", (got["uri"], got["match"]), (f"{PREFIX}.looked_up", "exact"))
    equal("callees", await one.call("wamp.registration.list_callees", registration.id), [theirs.session])
    equal("callee count", await one.call("wamp.registration.count_callees", registration.id), 1)
    listed = await one.call("wamp.registration.list")
    equal("registration list", registration.id in listed["exact"], True)

    subscription = await two.subscribe(lambda: 0, f"{PREFIX}.looked_up")
    equal("subscription lookup", await one.call("wamp.subscription.lookup", f"{PREFIX}.looked_up"), subscription.id)
    got = await one.call("wamp.subscription.match", f"{PREFIX}.looked_up")
    equal("subscription match", got, [subscription.id])
    got = await one.call("wamp.subscription.list_subscribers", subscription.id)
    equal("subscribers", got, [theirs.session])
    equal("subscriber count", await one.call("wamp.subscription.count_subscribers", subscription.id), 1)


async def testament(world, one, two, mine, theirs):
    seen = asyncio.Queue()
    await one.subscribe(seen.put_nowait, f"{PREFIX}.testament")
    async with world.session() as (third, _):
        await third.call("wamp.session.add_testament", f"{PREFIX}.testament", ["gone"], {})
    world.checks.equal("testament", await asyncio.wait_for(seen.get(), PATIENCE), "gone")


async def takeover(world, one, two, mine, theirs):
    uri = f"{PREFIX}.taken_over"
    await two.register(lambda: "two", uri)
    await one.register(lambda: "one", uri, options=RegisterOptions(force_reregister=True))
    world.checks.equal("force_reregister", await two.call(uri), "one")


async def authentication(world, one, two, mine, theirs):
    for name, config in METHODS.items():
        authid = next(iter(config.values()))["authid"]
        try:
            async with world.session("secure", config) as (_, details):
                got = (details.authid, details.authrole)
        except Exception as exc:
            got = repr(exc)
        world.checks.equal(f"authentication: {name}", got, (authid, "user"))


async def objects(world, one, two, mine, theirs):
    """Kwargs, big payloads and many at once, both ways."""
    await two.register(lambda *args, **kwargs: len(args) + len(kwargs), f"{PREFIX}.many")
    got = await one.call(f"{PREFIX}.many", *range(100), **{f"k{i}": i for i in range(100)})
    world.checks.equal("many arguments", got, 200)
    await two.register(len, f"{PREFIX}.len")
    world.checks.equal("a mebibyte", await one.call(f"{PREFIX}.len", "x" * 2**20), 2**20)


FEATURES = {
    function.__name__: function
    for function in (
        progress, cancel, timeout, patterns, shared, identification, lists, retained, history, meta, testament,
        takeover, authentication, objects,
    )
}  # fmt: skip


async def run(url, serializer, without):
    """The outcomes by name."""
    checks = Checks()
    world = World(url, serializer, checks)
    for name, feature in FEATURES.items():
        if name in without:
            continue
        try:
            async with world.session() as (one, mine), world.session() as (two, theirs):
                await feature(world, one, two, mine, theirs)
        except Exception as exc:
            place = traceback.extract_tb(exc.__traceback__)[-1]
            checks.outcomes[name] = f"stopped by {exc!r:.300} at {place.name}:{place.lineno}"
    return checks.outcomes


def main():
    """Exit status 0 when every check is ok."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--serializer", default="json", choices=["json", "msgpack", "cbor"])
    parser.add_argument("--without", action="append", default=[], choices=list(FEATURES))
    args = parser.parse_args()
    outcomes = asyncio.run(run(args.url, args.serializer, args.without))
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
    passed = bool(outcomes) and not bad
    result = {"client": package(), "serializer": args.serializer, "checks": len(outcomes), "bad": bad}
    print(json.dumps(result | {"names": list(outcomes), "passed": passed}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Two packages on one router: one serves, the other calls. Uses only the documented API, so both can be either.

python mixed_check.py serve --url ws://127.0.0.1:8080/ws    # under one package; until SIGINT
python mixed_check.py use --url ws://127.0.0.1:8080/ws      # under the other; prints the outcomes
"""

import argparse
import asyncio
import json
import sys

from client_check import package

from autobahn.asyncio.component import Component, run
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, CallResult, PublishOptions, RegisterOptions, SubscribeOptions

PREFIX = "com.example.mixed"
PATIENCE = 20.0
VALUES = [0, -1, 2**53, 1.5, True, None, "", "gr\u00fc\u00df \U0001f600", b"\x00\xff", [1, [2]], {"a": {"b": [None]}}]


def serve(component):
    """What is called and heard."""

    @component.register(f"{PREFIX}.echo")
    async def echo(*args, **kwargs):
        return CallResult(*args, **kwargs)

    @component.register(f"{PREFIX}.counts", options=RegisterOptions(details_arg="details"))
    async def counts(n, last, details=None):
        for i in range(n):
            if details.progress:
                details.progress(i)
        return last

    @component.register(f"{PREFIX}.fails")
    async def fails():
        raise ApplicationError(f"{PREFIX}.error", "text", number=5)

    @component.register(f"{PREFIX}.sleeps")
    async def sleeps():
        await asyncio.sleep(PATIENCE)

    @component.on_join
    async def joined(session, details):
        async def hear(*args, details=None, **kwargs):
            echoed = PublishOptions(acknowledge=True)
            await session.publish(f"{PREFIX}.heard", *args, of=details.topic, options=echoed, **kwargs)

        options = SubscribeOptions(match="prefix", details_arg="details")
        await session.subscribe(hear, f"{PREFIX}.say", options=options)
        await session.register(lambda: True, f"{PREFIX}.ready")


async def error_of(awaitable):
    """What went wrong, or the result."""
    try:
        return await asyncio.wait_for(awaitable, PATIENCE)
    except ApplicationError as exc:
        return [exc.error, list(exc.args), exc.kwargs]


async def check(session, outcomes):
    """Every outcome is "ok", or says what was expected."""

    def equal(name, got, expected):
        outcomes[name] = "ok" if got == expected else f"expected {expected!r}, got {got!r}"

    while (await error_of(session.call(f"{PREFIX}.ready"))) is not True:
        await asyncio.sleep(0.1)
    for value in VALUES:
        equal(f"echo of {value!r}", await session.call(f"{PREFIX}.echo", value), value)
    both = await session.call(f"{PREFIX}.echo", 1, 2, key="value")
    equal("several values", (list(both.results), both.kwresults), ([1, 2], {"key": "value"}))
    equal("no value", await session.call(f"{PREFIX}.echo"), None)
    equal("error", await error_of(session.call(f"{PREFIX}.fails")), [f"{PREFIX}.error", ["text"], {"number": 5}])
    for last in ("last", None):
        got = []
        result = await session.call(f"{PREFIX}.counts", 3, last, options=CallOptions(on_progress=got.append))
        equal(f"progressive results, then {last!r}", (got, result), ([0, 1, 2], last))
        if hasattr(session, "call_stream"):
            stream = session.call_stream(f"{PREFIX}.counts", 3, last)
            chunks = [chunk async for chunk in stream.chunks()]
            equal(f"loop over all chunks, {last!r}", chunks, [0, 1, 2, *([] if last is None else [last])])
    waiting = asyncio.ensure_future(session.call(f"{PREFIX}.sleeps"))
    await asyncio.sleep(0.1)
    waiting.cancel()
    equal("a call after a canceled one", await session.call(f"{PREFIX}.echo", 1), 1)
    heard = asyncio.Queue()
    await session.subscribe(lambda *args, **kwargs: heard.put_nowait((args, kwargs)), f"{PREFIX}.heard")
    await session.publish(f"{PREFIX}.say.it", 1, "a", k=[2], options=PublishOptions(acknowledge=True))
    got = await asyncio.wait_for(heard.get(), PATIENCE)
    equal("events there and back", got, ((1, "a"), {"k": [2], "of": f"{PREFIX}.say.it"}))


def main():
    """Exit status 0 when every check is ok."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["serve", "use"])
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--serializer", default="json", choices=["json", "msgpack", "cbor"])
    args = parser.parse_args()
    outcomes = {}

    async def use(loop, session):
        try:
            await asyncio.wait_for(check(session, outcomes), 3 * PATIENCE)
        except Exception as exc:
            outcomes["all"] = f"stopped by {exc!r:.300}"

    component = Component(
        main=use if args.role == "use" else None,
        transports=[{"url": args.url, "serializers": [args.serializer]}],
        realm="realm1",
    )
    if args.role == "serve":
        serve(component)
    run([component], log_level="warn")
    if args.role == "serve":
        return 0
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
    result = {"client": package(), "serializer": args.serializer, "checks": len(outcomes), "bad": bad}
    print(json.dumps(result | {"names": list(outcomes), "passed": bool(outcomes) and not bad}))
    return 0 if outcomes and not bad else 1


if __name__ == "__main__":
    sys.exit(main())

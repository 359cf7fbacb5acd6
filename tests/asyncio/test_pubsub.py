"""Publish & subscribe from program to program: client sessions on our router over real WebSockets."""

import asyncio
import contextlib
import dataclasses
import datetime

import pytest

from autobahn import wamp
from autobahn.asyncio.component import Component
from autobahn.asyncio.connect import connect
from autobahn.asyncio.router import Router
from autobahn.router import HistoryTopic, RealmOptions
from autobahn.wamp import ApplicationError, PublishOptions, SubscribeOptions
from autobahn.wamp.exception import InvalidUriError

ACK = {"acknowledge": True}
HISTORY = RealmOptions(history=(HistoryTopic("com.kept", match="exact"),))


@dataclasses.dataclass
class Reading:
    sensor: str
    values: list[float]


class Probe:
    """A subscriber that notes what it gets."""

    def __init__(self):
        self.seen = []
        self._news = asyncio.Event()

    def __call__(self, *args, details=None, **kwargs):
        self.seen.append((args, kwargs, details))
        self._news.set()

    async def has(self, number):
        async with asyncio.timeout(10):
            while len(self.seen) < number:
                self._news.clear()
                await self._news.wait()
        return self.seen


@contextlib.asynccontextmanager
async def sessions(count, serializers=("cbor",), **router_options):
    """A router and so many joined sessions; the serializers in turn."""
    async with contextlib.AsyncExitStack() as stack:
        router = await stack.enter_async_context(Router(**router_options))
        yield [
            await stack.enter_async_context(
                connect(router.url, realm="realm1", serializers=[serializers[i % len(serializers)]])
            )
            for i in range(count)
        ]


async def publish(session, topic, *args, **kwargs):
    """The publication id; all events of it are on their way."""
    options = PublishOptions(**{**ACK, **kwargs.pop("options", {})})
    return (await session.publish(topic, *args, options=options, **kwargs)).id


async def fence(*everybody):
    """What was sent to these sessions before has arrived."""
    for session in everybody:
        await session.call("wamp.session.count")


@pytest.mark.parametrize("source", ["json", "msgpack", "cbor"])
@pytest.mark.parametrize("target", ["json", "msgpack", "cbor"])
async def test_T_PS_1_payload_arrives_as_it_was_given(source, target):
    async with sessions(2, (source, target)) as (publisher, subscriber):
        probe = Probe()
        await subscriber.subscribe(probe, "com.t")
        payload = [1, 2.5, "ü", None, True, b"\x00\xff", {"a": [1, {"b": b""}]}, 2**53]
        await publish(publisher, "com.t", *payload, key={"x": [b"\x01"]})
        await publish(publisher, "com.t", Reading("a", [1.5]))
        await probe.has(2)
        assert probe.seen[0][:2] == (tuple(payload), {"key": {"x": [b"\x01"]}})
        assert probe.seen[1][0] == ({"sensor": "a", "values": [1.5]},)


async def test_T_PEX_1_to_3_the_publisher_and_its_own_events():
    async with sessions(2) as (publisher, other):
        mine, theirs = Probe(), Probe()
        await publisher.subscribe(mine, "com.t")
        await other.subscribe(theirs, "com.t")
        await publish(publisher, "com.t", 1)
        await publish(publisher, "com.t", 2, options={"exclude_me": False})
        await publish(publisher, "com.t", 3, options={"exclude_me": False, "exclude": publisher.session_id})
        await fence(publisher, other)
        assert [args[0] for args, _, _ in mine.seen] == [2]
        assert [args[0] for args, _, _ in theirs.seen] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "receivers"),
    [
        (lambda ids: {"exclude": ids[0]}, {1, 2}),
        (lambda ids: {"exclude": [ids[0], ids[1]]}, {2}),
        (lambda ids: {"eligible": [ids[1], 999]}, {1}),
        (lambda ids: {"eligible": [ids[0], ids[1]], "exclude": [ids[0]]}, {1}),
        (lambda ids: {"eligible": []}, set()),
        (lambda ids: {"exclude_authrole": "anonymous"}, set()),
        (lambda ids: {"eligible_authrole": ["anonymous"]}, {0, 1, 2}),
        (lambda ids: {"exclude_authid": ["nobody"]}, {0, 1, 2}),
        (lambda ids: {"eligible_authid": ["nobody"]}, set()),
        (lambda ids: {"eligible": ids, "eligible_authrole": ["other"]}, set()),
    ],
)
async def test_T_BWL_1_to_10_who_gets_an_event(options, receivers):
    async with sessions(4) as (publisher, *others):
        probes = [Probe() for _ in others]
        for session, probe in zip(others, probes, strict=True):
            await session.subscribe(probe, "com.t")
        await publish(publisher, "com.t", options=options([session.session_id for session in others]))
        await fence(*others)
        assert {number for number, probe in enumerate(probes) if probe.seen} == receivers


async def test_T_PS_5_T_PBS_1_to_3_patterns_and_their_details():
    async with sessions(2) as (publisher, subscriber):
        probes = {}
        for match, topic in (("exact", "com.a.b"), ("prefix", "com.a"), ("wildcard", "com..b"), ("wildcard", "com.")):
            probes[match, topic] = Probe()
            await subscriber.subscribe(probes[match, topic], topic, SubscribeOptions(match=match, details=True))
        publication = await publish(publisher, "com.a.b", 1)
        await fence(subscriber)
        got = {key: [details for _, _, details in probe.seen] for key, probe in probes.items()}
        assert [len(details) for details in got.values()] == [1, 1, 1, 0]
        for (_, topic), found in got.items():
            for details in found:
                assert (details.publication, details.topic) == (publication, "com.a.b")
                assert details.subscription.topic == topic
                assert (details.publisher, details.retained) == (None, None)


async def test_T_PBS_4_the_empty_prefix_matches_everything():
    async with sessions(2) as (publisher, subscriber):
        probe = Probe()
        await subscriber.subscribe(probe, "", SubscribeOptions(match="prefix", details=True))
        await publish(publisher, "com.a")
        await publish(publisher, "org.b.c")
        await probe.has(2)
        assert {"com.a", "org.b.c"} <= {details.topic for _, _, details in probe.seen}


async def test_T_PID_1_a_publisher_that_discloses_itself():
    async with sessions(2) as (publisher, subscriber):
        probe = Probe()
        await subscriber.subscribe(probe, "com.t", SubscribeOptions(details=True))
        await publish(publisher, "com.t", options={"disclose_me": True})
        await publish(publisher, "com.t")
        await probe.has(2)
        first, second = (details for _, _, details in probe.seen)
        assert (first.publisher, first.publisher_authid, first.publisher_authrole) == (
            publisher.session_id,
            publisher.authid,
            "anonymous",
        )
        assert (second.publisher, second.publisher_authid) == (None, None)


async def test_T_PTL_1_how_much_a_publisher_is_trusted():
    options = RealmOptions(trustlevels={"anonymous": 3})
    async with sessions(2, realms={"realm1": options}) as (publisher, subscriber):
        probe = Probe()
        await subscriber.subscribe(probe, "com.t", SubscribeOptions(details=True))
        await publish(publisher, "com.t")
        assert (await probe.has(1))[0][2].trustlevel == 3


async def test_T_RET_1_and_4_and_5_what_was_published_before():
    async with sessions(2) as (publisher, subscriber):
        publication = await publish(publisher, "com.t", "old", options={"retain": True})
        late, without = Probe(), Probe()
        await subscriber.subscribe(without, "com.t", SubscribeOptions(details=True))
        await subscriber.subscribe(late, "com.", SubscribeOptions(details=True, get_retained=True, match="prefix"))
        await publish(publisher, "com.t", "new")
        await late.has(2)
        await fence(subscriber)
        assert [(args, d.retained) for args, _, d in late.seen] == [(("old",), True), (("new",), None)]
        assert late.seen[0][2].publication == publication
        assert [args for args, _, _ in without.seen] == [("new",)]


async def test_T_HIS_1_to_3_what_the_router_has_kept():
    async with sessions(2, realms={"realm1": HISTORY}) as (publisher, subscriber):
        subscription = await subscriber.subscribe(Probe(), "com.kept")
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
        ids = [await publish(publisher, "com.kept", number, k=number) for number in range(5)]
        found = await subscriber.event_history(subscription)
        assert [(e.args, e.kwargs, e.details.publication) for e in found] == [([n], {"k": n}, ids[n]) for n in range(5)]
        assert {event.topic for event in found} == {"com.kept"}
        assert datetime.datetime.fromisoformat(found[0].timestamp) > before
        newest = await subscriber.event_history(subscription.id, reverse=True, limit=2)
        assert [event.args for event in newest] == [[4], [3]]
        assert len(await subscriber.event_history(subscription, after_time=before, after_publication=ids[2])) == 2
        assert await subscriber.event_history(subscription, until_time=before) == []
        other = await subscriber.subscribe(Probe(), "com.other")
        await other.unsubscribe()
        with pytest.raises(ApplicationError, match="no_such_subscription"):
            await subscriber.event_history(other)


async def test_T_TST_5_a_testament_is_executed_when_the_session_leaves():
    async with sessions(2) as (leaving, subscriber):
        probe = Probe()
        await subscriber.subscribe(probe, "com.t")
        await leaving.call("wamp.session.add_testament", "com.t", ["gone"], {"k": 1})
        await leaving.leave()
        assert (await probe.has(1))[0][:2] == (("gone",), {"k": 1})


async def test_T_SREV_1_a_subscription_taken_away():
    options = RealmOptions(meta_kill_roles=frozenset({"anonymous"}))
    async with sessions(2, realms={"realm1": options}) as (administrator, subscriber):
        subscription = await subscriber.subscribe(Probe(), "com.t")
        stream = subscriber.events("com.t")
        await administrator.call(
            "wamp.subscription.remove_subscriber", subscription.id, subscriber.session_id, reason="com.because"
        )
        with pytest.raises(ApplicationError, match=r"no_such_subscription.*com\.because"):
            await anext(stream)
        assert not subscription.active
        with pytest.raises(RuntimeError, match="no longer active"):
            subscription.unsubscribe()


async def test_T_URI_2_a_bad_topic_is_refused_here():
    async with sessions(1) as (session,):
        for topic in ("a b", "com..t", "com.t\n", "#"):
            with pytest.raises(InvalidUriError):
                session.publish(topic)
            with pytest.raises(InvalidUriError):
                session.subscribe(Probe(), topic)
        with pytest.raises(ApplicationError, match="invalid_uri"):
            await publish(session, "wamp.mine")


async def test_T_ORD_1_events_of_one_publisher_keep_their_order_in_every_mode():
    async with sessions(2) as (publisher, subscriber):
        seen = {mode: [] for mode in ("plain", "side by side", "ordered", "concurrent")}
        options = {"ordered": SubscribeOptions(mode="ordered"), "concurrent": SubscribeOptions(concurrency=3)}

        def handler_of(mode):
            async def handler(number):
                seen[mode].append(number)
                await asyncio.sleep(0)

            return seen[mode].append if mode == "plain" else handler

        for mode in seen:
            await subscriber.subscribe(handler_of(mode), f"com.{mode.replace(' ', '_')}", options.get(mode))
        for number in range(200):
            for mode in seen:
                publisher.publish(f"com.{mode.replace(' ', '_')}", number)
        await fence(publisher)
        await fence(subscriber)
        async with asyncio.timeout(10):
            while any(len(numbers) < 200 for numbers in seen.values()):
                await asyncio.sleep(0)
        assert all(numbers == list(range(200)) for numbers in seen.values())


async def test_loops_over_events_from_program_to_program():
    async with sessions(2) as (publisher, subscriber):
        numbers = []
        async with subscriber.events("com.t") as stream:
            for number in range(3):
                publisher.publish("com.t", number)
            async for event in stream:
                numbers.append(event.args[0])
                if len(numbers) == 3:
                    break
        assert numbers == [0, 1, 2]
        assert await publisher.call("wamp.subscription.match", "com.t") in (None, [])


async def test_typed_handlers_from_program_to_program():
    async with sessions(2, ("json", "cbor")) as (publisher, subscriber):
        seen = asyncio.get_running_loop().create_future()

        @wamp.subscribe("com.reading", check_types="convert")
        def reading(value: Reading, at: datetime.datetime) -> None:
            seen.set_result((value, at))

        await subscriber.subscribe(reading)
        moment = datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC)
        publisher.publish("com.reading", Reading("a", [1.0]), at=moment)
        assert await seen == (Reading("a", [1.0]), moment)


async def test_annotations_of_a_component_are_judged_when_it_is_made():
    component = Component()

    def odd(a: "Nonsense"):  # noqa: F821
        pass

    for decorate in (component.register, component.subscribe):
        with pytest.raises(TypeError, match=r"expected annotations of .*odd that can be looked up"):
            decorate("com.odd", check_types="convert")(odd)
        with pytest.raises(ValueError, match="expected check_types"):
            decorate("com.odd", check_types="strict")(odd)


async def test_a_component_with_typed_functions():
    seen = asyncio.get_running_loop().create_future()
    async with Router() as router:
        component = Component(transports=[{"url": router.url}], realm="realm1")

        @component.register("com.sum", check_types="convert")
        async def total(reading: Reading) -> Reading:
            return Reading(reading.sensor, [sum(reading.values)])

        @component.subscribe("com.reading", check_types="convert")
        def on_reading(reading: Reading) -> None:
            seen.set_result(reading)

        ready = asyncio.Event()
        component.on("ready", lambda session: ready.set())
        done = component.start()
        await ready.wait()
        async with connect(router.url, realm="realm1") as session:
            assert await session.call("com.sum", Reading("a", [1.5, 2])) == {"sensor": "a", "values": [3.5]}
            with pytest.raises(ApplicationError, match=r"expected float for argument \"reading.values\[0\]\", got str"):
                await session.call("com.sum", {"sensor": "a", "values": ["x"]})
            session.publish("com.reading", {"sensor": "b", "values": []})
            assert await seen == Reading("b", [])
        await component.stop()
        await done

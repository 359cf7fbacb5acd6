"""T-ORD-1 to 3 over every kind of link and under load: what WAMP promises about order, while an authorizer thinks."""

import asyncio

import pytest

from autobahn.wamp.types import PublishOptions, SubscribeOptions
from links import LINKS, Client, world

EVENTS = 10_000
TOPICS = 5
CALLS = 1000


@pytest.fixture(params=LINKS)
def kind(request):
    return request.param


async def slowly(session, uri, action, options):
    """Thinks about whatever is called slow, each time."""
    is_slow = "slow" in uri
    if is_slow:
        for _ in range(3):
            await asyncio.sleep(0)
    return {"allow": True, "cache": not is_slow}


PERMISSIONS = {"permissions": {"realm1": {"anonymous": {"authorizer": slowly, "timeout": 60}}}}


async def test_T_ORD_1_events_of_a_publisher_arrive_in_their_order_across_topics(kind):
    topics = ["com.slow", *(f"com.t{number}" for number in range(1, TOPICS))]
    async with world(kind, 4, **PERMISSIONS) as (_, *publishers, by_pattern, by_topic):
        seen = {by_pattern: {0: [], 1: []}, by_topic: {0: [], 1: []}}

        async def listen(session, topic, match):
            await session.subscribe(
                lambda who, number: seen[session][who].append(number), topic, SubscribeOptions(match=match)
            )

        await listen(by_pattern, "com.", "prefix")
        for topic in topics:
            await listen(by_topic, topic, "exact")

        async def publish_all(who, publisher):
            for number in range(EVENTS // 2):
                is_fence = number % 500 == 499
                topic = topics[0 if number % 50 == 0 else 1 + number % (TOPICS - 1)]
                done = publisher.publish(topic, who, number, options=PublishOptions(acknowledge=is_fence))
                if is_fence:
                    await done

        await asyncio.gather(*(publish_all(who, publisher) for who, publisher in enumerate(publishers)))
        for session, streams in seen.items():
            await session.call("wamp.session.count")
            for numbers in streams.values():
                assert numbers == list(range(EVENTS // 2))


async def test_T_ORD_2_invocations_of_one_caller_arrive_in_the_order_of_its_calls(kind):
    async with world(kind, 3, **PERMISSIONS) as (_, callee, *callers):
        seen = {0: [], 1: []}
        for procedure in ("com.quick", "com.slow"):
            await callee.register(lambda who, number: seen[who].append(number), procedure)
        procedures = ["com.slow" if number % 10 == 0 else "com.quick" for number in range(CALLS)]
        calls = [
            caller.call(procedure, who, number)
            for number, procedure in enumerate(procedures)
            for who, caller in enumerate(callers)
        ]
        await asyncio.gather(*calls)
        assert seen == {0: list(range(CALLS)), 1: list(range(CALLS))}


class Recorder(Client):
    """Notes code and ids of what arrives about subscriptions and registrations."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def onMessage(self, msg):
        if msg.code in (33, 35, 36, 65, 67, 68):
            self.rows.append(msg)
        super().onMessage(msg)


@pytest.mark.parametrize("name", ["com.slow", "com.quick"])
async def test_T_ORD_3_subscribed_and_registered_come_first(kind, name):
    recorder = Recorder()
    async with world(kind, clients=[recorder, Client()], **PERMISSIONS) as (_, recorder, other):
        is_racing = True

        async def race():
            while is_racing:
                for _ in range(5):
                    other.publish(name)
                await asyncio.gather(*(other.call(name) for _ in range(5)), return_exceptions=True)

        racing = asyncio.ensure_future(race())
        for _ in range(10):
            subscription = await recorder.subscribe(lambda: None, name)
            registration = await recorder.register(lambda: None, name)
            await recorder.call("wamp.session.count")
            await subscription.unsubscribe()
            await registration.unregister()
        is_racing = False
        await racing
        events = invocations = 0
        subscribed, registered = set(), set()
        for msg in recorder.rows:
            if msg.code == 33:
                subscribed.add(msg.subscription)
            elif msg.code == 65:
                registered.add(msg.registration)
            elif msg.code == 35:
                subscribed.clear()
            elif msg.code == 67:
                registered.clear()
            elif msg.code == 36:
                events += 1
                assert msg.subscription in subscribed
            else:
                invocations += 1
                assert msg.registration in registered
        assert events
        assert invocations

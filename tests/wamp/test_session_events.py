"""The subscriber and publisher of a client session: modes of handlers, loops over events, history, options."""

import asyncio
import datetime
import gc

import pytest

from autobahn.wamp import ApplicationError, TransportLost
from autobahn.wamp import message as m
from autobahn.wamp.eventstream import EventStream
from autobahn.wamp.exception import InvalidUriError, StreamOverflow
from autobahn.wamp.types import Event, EventDetails, PublishOptions, SubscribeOptions
from scripted import joined, settle, subscribed

TOPIC = "com.t"
HOPS = [{"session": 1, "authid": None, "authrole": "x"}]


class Gate:
    """An async handler that notes its starts and ends, and holds every event until it is let go."""

    def __init__(self):
        self.trace = []
        self.held = {}
        self.most = 0

    async def __call__(self, number, **_):
        self.trace.append(f"+{number}")
        self.held[number] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.held))
        try:
            await self.held[number]
        finally:
            del self.held[number]
            self.trace.append(f"-{number}")

    async def let(self, *numbers):
        for number in numbers:
            self.held[number].set_result(None)
            await settle()


def events(*numbers, subscription=21):
    return [m.Event(subscription, 1000 + n, {}, [n], {}) for n in numbers]


# ---- modes ---------------------------------------------------------------------------------------------------


async def test_without_a_mode_async_handlers_start_at_once_and_in_order():
    session, transport = await joined()
    gate = Gate()
    await subscribed(session, transport, gate)
    transport.play(*events(1, 2, 3))
    await settle()
    assert gate.trace == ["+1", "+2", "+3"]
    await gate.let(2, 1, 3)
    assert gate.trace[3:] == ["-2", "-1", "-3"]


async def test_ordered_is_one_after_the_other():
    session, transport = await joined()
    gate = Gate()
    await subscribed(session, transport, gate, options=SubscribeOptions(mode="ordered"))
    transport.play(*events(1, 2, 3))
    await settle()
    assert gate.trace == ["+1"]
    await gate.let(1)
    transport.play(*events(4))
    await gate.let(2)
    await gate.let(3)
    await gate.let(4)
    assert gate.trace == ["+1", "-1", "+2", "-2", "+3", "-3", "+4", "-4"]
    transport.play(*events(5))  # nothing runs: at once
    await settle()
    await gate.let(5)
    assert gate.trace[-2:] == ["+5", "-5"]


async def test_concurrent_is_so_many_side_by_side():
    session, transport = await joined()
    gate = Gate()
    await subscribed(session, transport, gate, options=SubscribeOptions(concurrency=2))
    transport.play(*events(1, 2, 3, 4, 5))
    await settle()
    assert gate.trace == ["+1", "+2"]
    await gate.let(2)
    assert gate.trace == ["+1", "+2", "-2", "+3"]
    await gate.let(1, 3, 4, 5)
    assert [t for t in gate.trace if t[0] == "+"] == ["+1", "+2", "+3", "+4", "+5"]
    assert gate.most == 2
    assert session.errors == []


async def test_latest_keeps_the_newest_only():
    session, transport = await joined()
    gate = Gate()
    subscription = await subscribed(session, transport, gate, options=SubscribeOptions(mode="latest"))
    transport.play(*events(1, 2, 3, 4))
    await settle()
    await gate.let(1)
    await gate.let(4)
    assert gate.trace == ["+1", "-1", "+4", "-4"]
    assert subscription.dropped == 2
    assert session.errors == []  # that is what was asked for


async def test_a_full_buffer_drops_the_oldest_and_says_so_once():
    session, transport = await joined()
    gate = Gate()
    options = SubscribeOptions(mode="ordered", buffer=2)
    subscription = await subscribed(session, transport, gate, options=options)
    transport.play(*events(1, 2, 3, 4, 5))
    await settle()
    for number in (1, 4, 5):
        await gate.let(number)
    assert gate.trace == ["+1", "-1", "+4", "-4", "+5", "-5"]
    assert subscription.dropped == 2
    assert session.errors == [(StreamOverflow, f"While receiving for {gate!r}")]
    transport.play(*events(6, 7, 8, 9))  # it was empty in between: a new occasion
    await settle()
    assert len(session.errors) == 2 and subscription.dropped == 3
    for number in (6, 8, 9):
        await gate.let(number)


async def test_plain_handlers_run_at_once_in_every_mode():
    session, transport = await joined()
    for mode in ("ordered", "latest"):
        seen = []
        await subscribed(
            session, transport, seen.append, f"com.{mode}", 30 + len(mode), options=SubscribeOptions(mode=mode)
        )
        transport.play(*events(1, 2, 3, subscription=30 + len(mode)))
        assert seen == [1, 2, 3]


async def test_events_that_arrive_while_a_plain_handler_runs_keep_their_order():
    """An in-process router may deliver what a handler publishes before the handler has returned."""
    session, transport = await joined()
    seen = []

    def handler(number):
        seen.append(f"+{number}")
        if number < 3:
            transport.play(*events(number + 1))
        seen.append(f"-{number}")

    await subscribed(session, transport, handler, options=SubscribeOptions(mode="ordered"))
    transport.play(*events(1))
    assert seen == ["+1", "-1", "+2", "-2", "+3", "-3"]


@pytest.mark.parametrize("mode", ["ordered", "latest"])
async def test_a_handler_that_raises_or_is_cancelled_does_not_stop_its_lane(mode):
    session, transport = await joined()
    seen = []

    async def handler(number):
        seen.append(number)
        await asyncio.sleep(0)
        if number == 1:
            raise ValueError("no")
        if number == 2:
            raise asyncio.CancelledError

    await subscribed(session, transport, handler, options=SubscribeOptions(mode=mode))
    for number in (1, 2, 3):
        transport.play(*events(number))
        await settle()
    assert seen == [1, 2, 3]
    transport.play(*events(2, 3))
    await settle()
    assert seen == [1, 2, 3, 2, 3]
    assert [kind for kind, _ in session.errors] == [ValueError]


@pytest.mark.parametrize("options", [None, SubscribeOptions(mode="ordered"), SubscribeOptions(details=True)])
async def test_a_plain_handler_that_is_cancelled_harms_nobody(options):
    session, transport = await joined()

    def cancelled(*args, **kwargs):
        raise asyncio.CancelledError

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    await subscribed(session, transport, cancelled, options=options)
    transport.play(*events(1, 2))
    assert transport.open and session.errors == []
    await subscribed(session, transport, interrupted, "com.other", 22, options=options)
    with pytest.raises(KeyboardInterrupt):
        transport.play(*events(1, subscription=22))


async def test_nothing_waiting_is_delivered_after_unsubscribing_or_leaving():
    session, transport = await joined()
    for end in ("unsubscribe", "leave"):
        gate = Gate()
        options = SubscribeOptions(mode="ordered")
        subscription = await subscribed(session, transport, gate, f"com.{end}", 21, options=options)
        transport.play(*events(1, 2))
        await settle()
        getattr(subscription if end == "unsubscribe" else session, end)()
        await gate.let(1)
        assert gate.trace == ["+1", "-1"]
        if end == "unsubscribe":
            transport.play(m.Unsubscribed(transport.take()[-1][1]))
            await settle()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"mode": "fifo"}, "expected mode out of ordered, concurrent, latest, got 'fifo'"),
        ({"mode": "concurrent"}, "expected concurrency"),
        ({"mode": "ordered", "concurrency": 2}, 'with mode "concurrent" only, got it with "ordered"'),
        ({"concurrency": 0}, "concurrency of 1 or more, got 0"),
        ({"buffer": 0}, "expected buffer to be a number of events, 1 or more, got 0"),
    ],
)
def test_modes_are_judged_where_they_are_given(wrong, text):
    with pytest.raises(ValueError, match=text):
        SubscribeOptions(**wrong)
    with pytest.raises(TypeError, match="expected buffer of type int, got str"):
        SubscribeOptions(buffer="5")


# ---- details, acknowledgement, late events ---------------------------------------------------------------------


async def test_T_PS_9_events_in_flight_during_and_after_unsubscribe_do_not_raise():
    session, transport = await joined()
    seen = []
    subscription = await subscribed(session, transport, seen.append)
    future = subscription.unsubscribe()
    request = transport.take()[-1]
    assert request[0] == 34
    transport.play(*events(1))
    transport.play(m.Unsubscribed(request[1]))
    assert await future == 0
    transport.play(*events(2))
    assert seen == [] and transport.take() == [] and session.errors == []
    transport.play(m.Event(99, 1, {}, [], {}))  # never held: a violation
    assert transport.take()[0][2] == "wamp.error.protocol_violation"


async def test_what_is_remembered_of_former_subscriptions_is_bounded():
    session, transport = await joined()
    for number in range(1, 400):
        subscription = await subscribed(session, transport, print, "com.t", number)
        future = subscription.unsubscribe()
        transport.play(m.Unsubscribed(transport.take()[-1][1]))
        assert await future == 0
    assert len(session._pubsub._subscriptions) <= 256
    transport.play(m.Event(399, 1, {}, [], {}))
    assert transport.open


async def test_a_subscription_nobody_waits_for_any_more_is_given_up():
    session, transport = await joined()
    future = session.subscribe(print, "com.t")
    request = transport.take()[-1][1]
    future.cancel()
    transport.play(m.Subscribed(request, 21))
    assert transport.take() == [[34, request + 1, 21]]


async def test_T_PBS_2_pattern_subscribers_are_told_the_topic():
    session, transport = await joined()
    seen = []
    options = SubscribeOptions(match="prefix", details=True)
    await subscribed(session, transport, lambda *a, details: seen.append(details), "com.", 21, options=options)
    transport.play(m.Event(21, 5, {"topic": "com.a.b"}, [], {}))
    assert seen[0].topic == "com.a.b"


@pytest.mark.parametrize(
    ("test_id", "wire", "expected"),
    [
        (
            "T-PID-1",
            {"publisher": 9, "publisher_authid": "joe", "publisher_authrole": "user"},
            {"publisher": 9, "publisher_authid": "joe", "publisher_authrole": "user"},
        ),
        ("T-PTL-1", {"trustlevel": 3}, {"trustlevel": 3}),
        ("T-RET-1", {"retained": True}, {"retained": True}),
        ("T-RET-5", {}, {"retained": None}),
        ("T-R2R-1", {"forward_for": HOPS}, {"forward_for": HOPS}),
        ("transaction_hash", {"transaction_hash": "0x1"}, {"transaction_hash": "0x1"}),
    ],
)  # fmt: skip
async def test_T_event_details(test_id, wire, expected):
    session, transport = await joined()
    seen = []
    await subscribed(
        session, transport, lambda *a, d: seen.append(d), options=SubscribeOptions(details_arg="d", get_retained=True)
    )
    transport.play(m.Event(21, 5, wire, [], {}))
    (details,) = seen
    assert isinstance(details, EventDetails)
    assert (details.publication, details.topic) == (5, "com.t")
    assert {name: getattr(details, name) for name in expected} == expected


async def test_T_EACK_1_an_event_is_acknowledged_when_asked_and_handled():
    session, transport = await joined()
    gate = Gate()
    fails = []

    def plain(number, **_):
        if number in fails:
            raise ValueError

    await subscribed(session, transport, gate)
    await subscribed(session, transport, plain)
    asked = {"x_acknowledged_delivery": True}
    transport.play(m.Event(21, 500, {}, [1], {}), m.Event(21, 501, asked, [2], {}))
    await settle()
    assert transport.take() == []
    await gate.let(1, 2)
    assert transport.take() == [[337, 501]]
    fails.append(3)
    transport.play(m.Event(21, 502, asked, [3], {}))
    await settle()
    await gate.let(3)
    assert transport.take() == []
    assert session._pubsub._owed == {}


@pytest.mark.parametrize(
    ("options", "wire"),
    [
        (PublishOptions(acknowledge=True), {"acknowledge": True}),
        (PublishOptions(exclude_me=False), {"exclude_me": False}),
        (PublishOptions(exclude=5), {"exclude": [5]}),
        (PublishOptions(exclude=[5, 6], eligible=(7,)), {"exclude": [5, 6], "eligible": [7]}),
        (PublishOptions(exclude_authid="a"), {"exclude_authid": ["a"]}),
        (PublishOptions(eligible_authid=["b"]), {"eligible_authid": ["b"]}),
        (PublishOptions(exclude_authrole="a"), {"exclude_authrole": ["a"]}),
        (PublishOptions(eligible_authrole=[]), {"eligible_authrole": []}),
        (PublishOptions(forward_for=HOPS), {"forward_for": HOPS}),
        (PublishOptions(retain=True, disclose_me=True), {"retain": True, "disclose_me": True}),
        (PublishOptions(rkey="k"), {"rkey": "k"}),
        (PublishOptions(transaction_hash="h"), {"transaction_hash": "h"}),
        (PublishOptions(correlation_id="c", correlation_uri="u", correlation_is_anchor=True), {}),
    ],
)  # fmt: skip
async def test_T_BWL_publish_options_on_the_wire(options, wire):
    session, transport = await joined()
    session.publish("com.t", 1, options=options)
    assert transport.take() == [[16, 1, wire, "com.t", [1]]]


async def test_T_SHD_the_key_of_a_subscriber_is_sent():
    session, transport = await joined()
    session.subscribe(print, "com.t", SubscribeOptions(nkey="k", get_retained=True, match="prefix"))
    assert transport.take() == [[32, 1, {"match": "prefix", "get_retained": True, "nkey": "k"}, "com.t"]]


# ---- loops over events -----------------------------------------------------------------------------------------


async def opened_stream(session, transport, options=None, subscription=21):
    stream = session.events(TOPIC, options)
    assert isinstance(stream, EventStream)
    transport.play(m.Subscribed(transport.take()[-1][1], subscription))
    await settle()
    return stream


async def test_a_loop_gets_events_in_order_and_leaving_it_unsubscribes():
    session, transport = await joined()
    seen = []

    async def loop():
        async for event in session.events(TOPIC):
            seen.append(event)
            if event.args == [2]:
                break

    task = asyncio.ensure_future(loop())
    await settle()
    assert transport.take() == [[32, 1, {}, TOPIC]]
    transport.play(m.Subscribed(1, 21), m.Event(21, 5, {"publisher": 9}, [1], {"k": "v"}), *events(2, 3))
    await task
    await settle()
    assert [event.args for event in seen] == [[1], [2]]
    assert isinstance(seen[0], Event)
    assert (seen[0].kwargs, seen[0].topic, seen[0].details.publisher) == ({"k": "v"}, TOPIC, 9)
    assert transport.take() == [[34, 2, 21]]
    assert session.errors == []


async def test_a_loop_that_is_cancelled_loses_nothing_and_unsubscribes():
    session, transport = await joined()
    stream = await opened_stream(session, transport)
    waiting = asyncio.ensure_future(anext(stream))
    await settle()
    transport.play(*events(1))
    waiting.cancel()  # woken already, and cancelled before it took the event
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await anext(stream)).args == [1]

    async def loop(own):
        async for _ in own:
            pass

    task = asyncio.ensure_future(loop(stream))
    del stream
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await settle()
    assert transport.take() == [[34, 2, 21]]


async def test_async_with_waits_for_the_router_and_unsubscribes_at_its_end():
    session, transport = await joined()
    asyncio.get_running_loop().call_soon(transport.play, m.Subscribed(1, 21))
    async with session.events(TOPIC) as stream:
        assert stream.subscription.id == 21
        transport.play(*events(1))
        assert (await anext(stream)).args == [1]
        transport.take()
    assert transport.take() == [[34, 2, 21]]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.aclose()
    assert transport.take() == []


async def test_a_refused_subscription_is_raised_in_the_loop():
    session, transport = await joined()
    stream = session.events(TOPIC)
    transport.play(m.Error(32, 1, {}, "wamp.error.not_authorized", ["no"], {}))
    with pytest.raises(ApplicationError, match="not_authorized"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    asyncio.get_running_loop().call_soon(transport.play, m.Error(32, 2, {}, "wamp.error.not_authorized", [], {}))
    with pytest.raises(ApplicationError, match="not_authorized"):
        async with session.events(TOPIC):
            raise AssertionError


async def test_a_loop_left_before_the_router_answers_is_unsubscribed_then():
    session, transport = await joined()
    stream = session.events(TOPIC)
    await stream.aclose()
    transport.play(m.Subscribed(1, 21), *events(1))
    await settle()
    assert transport.take() == [[32, 1, {}, TOPIC], [34, 2, 21]]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_more_events_than_may_wait_end_the_loop_after_those_that_wait():
    session, transport = await joined()
    stream = await opened_stream(session, transport, SubscribeOptions(buffer=2))
    transport.play(*events(1, 2, 3, 4))
    assert transport.take() == [[34, 2, 21]]
    assert [(await anext(stream)).args, (await anext(stream)).args] == [[1], [2]]
    with pytest.raises(StreamOverflow, match=r"2 events of com\.t wait to be taken"):
        await anext(stream)
    assert stream.subscription.dropped == 1


async def test_a_loop_over_the_latest_event():
    session, transport = await joined()
    stream = await opened_stream(session, transport, SubscribeOptions(mode="latest"))
    transport.play(*events(1, 2, 3))
    assert (await anext(stream)).args == [3]
    assert stream.subscription.dropped == 2


async def test_a_loop_ends_with_its_session():
    session, transport = await joined()
    stream = await opened_stream(session, transport)
    transport.play(*events(1))
    session.leave()
    assert [event.args async for event in stream] == [[1]]  # in order: no error

    session, transport = await joined()
    stream = await opened_stream(session, transport)
    transport.play(*events(1))
    transport.close(was_clean=False)
    await settle()
    assert (await anext(stream)).args == [1]
    with pytest.raises(TransportLost):
        await anext(stream)

    session, transport = await joined()
    stream = await opened_stream(session, transport)
    transport.play(m.Goodbye({}, "wamp.close.killed"))
    with pytest.raises(ApplicationError, match=r"wamp\.close\.killed"):
        await anext(stream)


async def test_T_SREV_3_a_revoked_subscription_ends_its_loop(caplog):
    session, transport = await joined()
    stream = await opened_stream(session, transport)
    handler_subscription = await subscribed(session, transport, print)
    transport.play(m.Unsubscribed(0, {"subscription": 21, "reason": "com.gone"}))
    with pytest.raises(ApplicationError, match=r"no_such_subscription.*com\.gone"):
        await anext(stream)
    assert not stream.subscription.active and not handler_subscription.active
    assert [record.getMessage() for record in caplog.records] == [
        "The router has revoked the subscription of com.t: com.gone (session=7)"
    ]
    transport.play(*events(1))
    assert transport.take() == []


async def test_misuse_of_loops():
    session, transport = await joined()
    with pytest.raises(InvalidUriError):
        session.events("a..b")
    with pytest.raises(TypeError, match="expected options of type SubscribeOptions, got dict"):
        session.events(TOPIC, {})
    stream = await opened_stream(session, transport)
    first = asyncio.ensure_future(anext(stream))
    await settle()
    with pytest.raises(RuntimeError, match="expected one consumer"):
        await anext(stream)
    transport.play(*events(1))
    assert (await first).args == [1]


# ---- history -----------------------------------------------------------------------------------------------------


async def test_T_HIS_event_history():
    session, transport = await joined()
    subscription = await subscribed(session, transport, print)
    entry = {"timestamp": "2024-05-06T07:08:09.000Z", "subscription": 21, "publication": 5,
             "details": {"topic": "com.t.x", "publisher": 9}, "args": [1], "kwargs": {"k": 2}}  # fmt: skip
    bare = {"publication": 6, "args": None}
    for answer in ([entry, bare], [[entry, bare]]):  # the specification's form, crossbar's
        after = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)
        task = asyncio.ensure_future(session.event_history(subscription, limit=2, reverse=True, after_time=after))
        await settle()
        (call,) = transport.take()
        assert call[0] == 48 and call[3:] == [
            "wamp.subscription.get_events",
            [21],
            {"limit": 2, "reverse": True, "after_time": "2024-05-06T00:00:00.000Z"},
        ]
        transport.play(m.Result(call[1], {}, answer, {}))
        first, second = await task
        assert (first.args, first.kwargs, first.timestamp) == ([1], {"k": 2}, "2024-05-06T07:08:09.000Z")
        assert (first.topic, first.details.publisher, first.details.publication) == ("com.t.x", 9, 5)
        assert (second.args, second.kwargs, second.topic, second.timestamp) == ([], {}, "com.t", None)


async def test_T_HIS_7_empty_and_strange_histories():
    session, transport = await joined()
    for answer, expected in (([], []), ([[]], [])):
        task = asyncio.ensure_future(session.event_history(5))
        await settle()
        transport.play(m.Result(transport.take()[0][1], {}, answer, {}))
        assert await task == expected
    task = asyncio.ensure_future(session.event_history(5))
    await settle()
    transport.play(m.Result(transport.take()[0][1], {}, ["x"], {}))
    with pytest.raises(ApplicationError, match="invalid_payload"):
        await task
    with pytest.raises(TypeError, match=r"expected filters out of .*, got since"):
        await session.event_history(5, since=1)
    with pytest.raises(ValueError, match="expected from_time with a time zone"):
        await session.event_history(5, from_time=datetime.datetime(2024, 5, 6))

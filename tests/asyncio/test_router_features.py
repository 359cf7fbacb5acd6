"""What the Advanced Profile does for a program: our client at our router, over every kind of link."""

import asyncio

import pytest

from autobahn.router import HistoryTopic, RealmOptions
from autobahn.wamp import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from links import LINKS, Client, linked, world

KILLING = {"realm_options": RealmOptions(meta_kill_roles=frozenset({"anonymous"}))}
ACK = {"acknowledge": True}


@pytest.fixture(params=LINKS)
def kind(request):
    return request.param


async def fence(*sessions):
    """What was sent to these sessions before has arrived."""
    for session in sessions:
        await session.call("wamp.session.count")


async def publish(session, topic, *args, **options):
    """The publication id; all events of it are on their way."""
    return (await session.publish(topic, *args, options=PublishOptions(**ACK, **options))).id


async def listening(session, topic, **options):
    """A list that grows by what arrives: (args, details)."""
    seen = []
    options = SubscribeOptions(details=True, **options)
    await session.subscribe(lambda *args, details: seen.append((args, details)), topic, options)
    return seen


def values(seen):
    """The first argument of each event, taken."""
    taken = [args[0] for args, _ in seen]
    seen.clear()
    return taken


# ---- events --------------------------------------------------------------------------------------------------------


async def test_T_PEX_1_to_3_T_BWL_1_to_10_lists(kind):
    async with world(kind, 3) as (_, *sessions):
        publisher = sessions[0]
        ids, authids = [s.session_id for s in sessions], [s.authid for s in sessions]
        seen = [await listening(session, "com.t") for session in sessions]
        table = [
            ({}, {1, 2}),
            ({"exclude_me": False}, {0, 1, 2}),
            ({"exclude_me": False, "exclude": ids[0]}, {1, 2}),
            ({"exclude": ids[1]}, {2}),
            ({"exclude_authid": [authids[1], "nobody"]}, {2}),
            ({"exclude_authrole": "anonymous"}, set()),
            ({"eligible": [ids[0], ids[1], 999]}, {1}),
            ({"eligible_authid": authids[2]}, {2}),
            ({"eligible_authrole": ["anonymous"]}, {1, 2}),
            ({"eligible": ids, "exclude": [ids[2]]}, {1}),
            ({"eligible": []}, set()),
            ({"eligible": ids, "eligible_authid": [authids[1]]}, {1}),
            ({"eligible": ids, "eligible_authrole": ["other"]}, set()),
        ]
        for number, (options, _) in enumerate(table):
            await publish(publisher, "com.t", number, **options)
        await fence(*sessions)
        for who, events in enumerate(seen):
            assert values(events) == [number for number, (_, whom) in enumerate(table) if who in whom]


async def test_T_PBS_1_to_4_T_PID_1_patterns_and_details(kind):
    async with world(kind) as (_, publisher, subscriber):
        patterns = [
            ("exact", "com.a.b"),
            ("prefix", "com.a"),
            ("wildcard", "com..b"),
            ("wildcard", "com."),
            ("prefix", ""),
        ]
        seen = [await listening(subscriber, topic, match=match) for match, topic in patterns]
        first = await publish(publisher, "com.a.b", 1, disclose_me=True)
        second = await publish(publisher, "com.ab", 2)
        await fence(subscriber)
        got = [[(args[0], d.topic, d.publication) for args, d in events] for events in seen]
        one, two = (1, "com.a.b", first), (2, "com.ab", second)
        assert got == [[one], [one, two], [one], [two], [one, two]]
        for details in (events[0][1] for events in (*seen[:3], seen[4])):
            assert (details.publisher, details.publisher_authid) == (publisher.session_id, publisher.authid)
        assert seen[3][0][1].publisher is None


async def test_T_RET_1_to_6_retention(kind):
    async with world(kind) as (_, publisher, subscriber):
        assert await listening(subscriber, "com.a") == []
        live = await listening(subscriber, "com.live")
        await publish(publisher, "com.a", "old", retain=True)
        newest = await publish(publisher, "com.a", "new", b"\x00", retain=True)
        await publish(publisher, "com.b", "for you", retain=True)
        await publish(publisher, "com.b", "for others", retain=True, eligible_authid="nobody")
        await publish(publisher, "com.live", "now", retain=True)
        without = await listening(subscriber, "com", match="prefix")
        exact = await listening(subscriber, "com.a", get_retained=True)
        wildcard = await listening(subscriber, "com.", match="wildcard", get_retained=True)
        await fence(subscriber)
        assert values(without) == []
        ((args, details),) = exact
        assert (args, details.retained, details.publication) == (("new", b"\x00"), True, newest)
        assert [(d.topic, d.retained) for _, d in wildcard] == [
            ("com.a", True), ("com.b", True), ("com.live", True),
        ]  # fmt: skip
        assert values(wildcard) == ["new", "for you", "now"]
        ((args, details),) = live
        assert (args, details.retained) == (("now",), None)


async def test_T_HIS_1_to_3_history(kind):
    options = RealmOptions(history=(HistoryTopic("com.kept"), HistoryTopic("com.all.", "prefix", limit=3)))
    async with world(kind, realm_options=options) as (_, publisher, reader):
        ids = [await publish(publisher, "com.kept", number, b"\x00") for number in range(4)]
        for number in range(5):
            await publish(publisher, f"com.all.t{number % 2}", number)
        await publish(publisher, "com.other", 0)
        kept = await reader.call("wamp.subscription.lookup", "com.kept")
        found = await reader.event_history(kept)
        assert [(e.args, e.details.publication) for e in found] == [([n, b"\x00"], ids[n]) for n in range(4)]
        newest = await reader.event_history(kept, reverse=True, limit=2)
        assert [event.args[0] for event in newest] == [3, 2]
        between = await reader.event_history(kept, after_publication=ids[0], until_publication=ids[2])
        assert [event.args[0] for event in between] == [1, 2]
        by_prefix = await reader.call("wamp.subscription.lookup", "com.all.", {"match": "prefix"})
        assert [event.args[0] for event in await reader.event_history(by_prefix)] == [2, 3, 4]
        assert [event.args[0] for event in await reader.event_history(by_prefix, topic="com.all.t1")] == [3]
        with pytest.raises(ApplicationError, match="no_such_subscription"):
            await reader.event_history(4711)


@pytest.mark.parametrize("how", ["leaves", "is cut off"])
async def test_T_TST_1_to_6_testaments(kind, how):
    async with world(kind) as (_, leaving, subscriber):
        seen = await listening(subscriber, "com.t")
        for scope in ("destroyed", "detached"):
            await leaving.call("wamp.session.add_testament", "com.t", ["flushed"], {}, scope=scope)
            assert await leaving.call("wamp.session.flush_testaments", scope) == 1
        await leaving.call("wamp.session.add_testament", "com.t", ["destroyed", b"\x00"], {}, scope="destroyed")
        await leaving.call("wamp.session.add_testament", "com.t", ["detached"], {}, scope="detached")
        with pytest.raises(ApplicationError, match="invalid_argument"):
            await leaving.call("wamp.session.add_testament", "com.t", [], {}, scope="whenever")
        await fence(subscriber)
        assert seen == []
        if how == "leaves":
            await leaving.leave()
        else:
            leaving.transport.abort()
        async with asyncio.timeout(10):
            while len(seen) < 2:
                await asyncio.sleep(0)
        assert [args for args, _ in seen] == [("detached",), ("destroyed", b"\x00")]


# ---- calls ---------------------------------------------------------------------------------------------------------


async def test_T_TMO_1_timeout_on_a_real_clock(kind, loop_name):
    async with world(kind) as (_, callee, caller):
        canceled = asyncio.Event()

        async def sleepy():
            try:
                await asyncio.Event().wait()
            finally:
                canceled.set()

        await callee.register(sleepy, "com.sleepy")
        started = asyncio.get_running_loop().time()
        with pytest.raises(ApplicationError) as caught:
            await caller.call("com.sleepy", options=CallOptions(timeout=0.05))
        assert caught.value.error == "wamp.error.timeout"
        assert asyncio.get_running_loop().time() - started >= 0.045
        await canceled.wait()  # INTERRUPT arrived


async def test_T_SHR_3_T_CONC_1_shared_and_limited(kind):
    async with world(kind, 3, realm_options=RealmOptions(call_queue=10)) as (_, caller, *callees):
        running, peak = [0, 0], [0, 0]

        async def work(name):
            running[name] += 1
            peak[name] = max(peak[name], running[name])
            await asyncio.sleep(0)
            running[name] -= 1
            return name

        for i, callee in enumerate(callees):
            options = RegisterOptions(invoke="roundrobin", concurrency=1)
            await callee.register(lambda i=i: work(i), "com.work", options=options)
        answers = await asyncio.gather(*(caller.call("com.work") for _ in range(8)))
        assert len(answers) == 8
        assert set(answers) == {0, 1}
        assert peak == [1, 1]


async def test_T_SHR_1_to_6_policies(kind):
    async with world(kind, 4) as (_, caller, *callees):
        for policy in ("single", "first", "last", "roundrobin", "random"):
            options, held = RegisterOptions(invoke=policy), []
            for i, callee in enumerate(callees):
                if policy == "single" and held:
                    with pytest.raises(ApplicationError, match="procedure_already_exists"):
                        await callee.register(lambda: -1, f"com.{policy}", options=options)
                else:
                    held.append(await callee.register(lambda i=i: i, f"com.{policy}", options=options))
            with pytest.raises(ApplicationError, match=r"procedure_exists_with_different|procedure_already_exists"):
                other = RegisterOptions(invoke="random" if policy == "first" else "first")
                await caller.register(lambda: -1, f"com.{policy}", options=other)
            answers = [await caller.call(f"com.{policy}") for _ in range(6)]
            if policy == "random":
                assert set(answers) <= {0, 1, 2}
                continue
            expected = {"single": [0] * 6, "first": [0] * 6, "last": [2] * 6, "roundrobin": [0, 1, 2] * 2}
            assert answers == expected[policy]
            await held[0].unregister()
            if policy == "single":
                with pytest.raises(ApplicationError, match="no_such_procedure"):
                    await caller.call("com.single")
            else:
                left = [await caller.call(f"com.{policy}") for _ in range(4)]
                assert left == {"first": [1] * 4, "last": [2] * 4, "roundrobin": [1, 2] * 2}[policy]


async def test_T_PBR_1_to_11_patterns(kind):
    async with world(kind) as (_, callee, caller):
        table = [
            ("a1.b2.c3.d4.e55", "exact"), ("a1.b2.c3", "prefix"), ("a1.b2.c3.d4", "prefix"),
            ("a1.b2..d4.e5", "wildcard"),
            ("a1.b2.c33..e5", "wildcard"), ("a1.b2..d4.e5..g7", "wildcard"), ("a1.b2..d4..f6.g7", "wildcard"),
        ]  # fmt: skip
        held = {}
        for number, (uri, match) in enumerate(table, 1):
            options = RegisterOptions(match=match, details_arg="details")
            held[number] = await callee.register(
                lambda details, number=number: [number, details.procedure], uri, options=options
            )
        for uri, expected in [
            ("a1.b2.c3.d4.e55", 1), ("a1.b2.c3.d98.e74", 2), ("a1.b2.c3.d4.e325", 3), ("a1.b2.c55.d4.e5", 4),
            ("a1.b2.c33.d4.e5", 2), ("a1.b2.c88.d4.e5.f6.g7", 6),
        ]:  # fmt: skip
            assert await caller.call(uri) == [expected, uri]
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await caller.call("a2.b2.c2.d2.e2")
        for expected in (3, 2):
            await held[1 if expected == 3 else 3].unregister()
            assert (await caller.call("a1.b2.c3.d4.e55"))[0] == expected


# ---- the meta API --------------------------------------------------------------------------------------------------


async def test_T_SM_1_and_2_and_14_sessions_come_and_go(kind):
    async with world(kind, 1) as (router, watcher):
        joined = await listening(watcher, "wamp.session.on_join")
        left = await listening(watcher, "wamp.session.on_leave")
        other, cut = [await linked(kind, router, Client()) for _ in range(2)]
        await fence(watcher)
        ids = [other.session_id, cut.session_id]
        assert [args[0]["session"] for args, _ in joined] == ids
        assert [args[0]["authid"] for args, _ in joined] == [other.authid, cut.authid]
        assert set(ids) < set(await watcher.call("wamp.session.list"))
        assert (await watcher.call("wamp.session.get", ids[0]))["authrole"] == "anonymous"
        await other.leave()
        cut.transport.abort()
        await cut.gone.wait()
        async with asyncio.timeout(10):
            while len(left) < 2:
                await asyncio.sleep(0)
        assert values(left) == ids
        with pytest.raises(ApplicationError, match="not_authorized"):
            await watcher.call("wamp.session.kill_all")


async def test_T_RM_1_to_10_T_UM_1_to_10_registrations_and_subscriptions_come_and_go(kind):
    async with world(kind, 3) as (_, watcher, one, two):
        told = []
        for topic in ("wamp.registration.", "wamp.subscription."):
            options = SubscribeOptions(match="prefix", details=True)
            await watcher.subscribe(lambda *args, details: told.append((details.topic, args)), topic, options)
        shared = RegisterOptions(invoke="roundrobin")
        registrations = [await session.register(lambda: 1, "com.p", options=shared) for session in (one, two)]
        subscriptions = [await session.subscribe(lambda: None, "com.t") for session in (one, two)]
        ids = [one.session_id, two.session_id]
        for what, number, uri, members in (
            ("registration", registrations[0].id, "com.p", "callees"),
            ("subscription", subscriptions[0].id, "com.t", "subscribers"),
        ):
            assert (await watcher.call(f"wamp.{what}.list"))["exact"] == [number]
            assert await watcher.call(f"wamp.{what}.lookup", uri) == number
            assert await watcher.call(f"wamp.{what}.lookup", "com.x") is None
            assert await watcher.call(f"wamp.{what}.match", uri) == (number if what == "registration" else [number])
            assert (await watcher.call(f"wamp.{what}.get", number))["uri"] == uri
            assert await watcher.call(f"wamp.{what}.list_{members}", number) == ids
            assert await watcher.call(f"wamp.{what}.count_{members}", number) == 2
            with pytest.raises(ApplicationError, match=f"no_such_{what}"):
                await watcher.call(f"wamp.{what}.get", 4711)
        for each in (registrations[0].unregister(), subscriptions[0].unsubscribe()):
            await each
        two.leave()
        await two.gone.wait()
        async with asyncio.timeout(10):
            while len(told) < 12:
                await asyncio.sleep(0)
        for what, number, joins, leaves in (
            ("registration", registrations[0].id, "on_register", "on_unregister"),
            ("subscription", subscriptions[0].id, "on_subscribe", "on_unsubscribe"),
        ):
            events = [(topic.rsplit(".", 1)[1], *args) for topic, args in told if topic.startswith(f"wamp.{what}")]
            assert events[0][2].pop("id") == number
            assert [event[:2] if event[0] == "on_create" else event for event in events] == [
                ("on_create", ids[0]), (joins, ids[0], number), (joins, ids[1], number),
                (leaves, ids[0], number), (leaves, ids[1], number), ("on_delete", ids[1], number),
            ]  # fmt: skip


async def test_T_RREV_1_T_SREV_1_revocation(kind):
    async with world(kind, **KILLING) as (_, administrator, other):
        registration = await other.register(lambda: 1, "com.p")
        subscription = await other.subscribe(lambda: None, "com.t")
        await administrator.call(
            "wamp.registration.remove_callee", registration.id, other.session_id, reason="com.because"
        )
        await administrator.call("wamp.subscription.remove_subscriber", subscription.id, other.session_id)
        await fence(other)
        assert not registration.active
        assert not subscription.active
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await administrator.call("com.p")
        assert await administrator.call("wamp.subscription.match", "com.t") is None
        taken = await other.register(lambda: "old", "com.q")
        await administrator.register(lambda: "new", "com.q", options=RegisterOptions(force_reregister=True))
        await fence(other)
        assert not taken.active
        assert await other.call("com.q") == "new"


async def test_T_SM_6_T_SM_12_a_session_is_killed(kind):
    async with world(kind, **KILLING) as (_, administrator, other):
        await administrator.call("wamp.session.kill", other.session_id, reason="com.because", message="go")
        await other.gone.wait()
        assert ("leave", "com.because") in other.trace
        assert await administrator.call("wamp.session.count") == 1

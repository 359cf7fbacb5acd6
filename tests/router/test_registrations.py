"""Shared, limited, sharded and revoked registrations, and what patterns take precedence."""

from collections import Counter

import pytest

from autobahn.router import RealmOptions, Router
from autobahn.wamp import message as m
from router.fakes import EVERYTHING, Clock, Link, assert_aborted, error_of, joined

EXISTS = "wamp.error.procedure_already_exists"
FULL = "crossbar.error.max_concurrency_reached"


@pytest.fixture
def router():
    return Router()


def shared(router, invoke, count=3, **options):
    """A caller, and callees that share com.p."""
    caller, *callees = joined(router, count + 1, roles=EVERYTHING)
    ids = {callee.register("com.p", invoke=invoke, **options) for callee in callees}
    assert ids == {1}
    return caller, callees


def who(callees):
    """The index of the only callee that was invoked; it answers."""
    ((i, invocation),) = [(i, msg) for i, link in enumerate(callees) for msg in link.take()]
    callees[i].say(m.Yield(invocation.request, {}))
    return i


def calls(caller, callees, count, **options):
    got = []
    for _ in range(count):
        caller.call("com.p", options=options)
        got.append(who(callees))
        caller.one(m.Result)
    return got


# ---- shared registration (9.9) ----


@pytest.mark.parametrize(
    ("invoke", "expected"),
    [("first", [0] * 9), ("last", [2] * 9), ("roundrobin", [0, 1, 2] * 3)],
)
def test_T_SHR_1_to_3_distribution(router, invoke, expected):
    caller, callees = shared(router, invoke)
    assert calls(caller, callees, 9) == expected


def test_T_SHR_4_random(router):
    caller, callees = shared(router, "random")
    count = Counter(calls(caller, callees, 600))
    assert set(count) == {0, 1, 2}
    assert min(count.values()) > 120


@pytest.mark.parametrize(
    ("existing", "asked"),
    [("single", "single"), ("single", "first"), ("first", "single"), ("roundrobin", "random"), ("last", None)],
)
def test_T_SHR_5_policy_clash(router, existing, asked):
    one, two = joined(router, 2)
    one.register("com.p", invoke=existing)
    two.say(m.Register(1, {"invoke": asked}, "com.p"))
    text = error_of(two, 64, 1, EXISTS)
    assert existing in text
    assert (asked or "single") in text


@pytest.mark.parametrize(
    ("before", "leaver", "expected"),
    [(1, 0, [1, 2, 1]), (1, 1, [2, 0, 2]), (1, 2, [1, 0, 1]), (2, 0, [2, 1, 2]), (3, 0, [1, 2, 1]), (2, 2, [0, 1, 0])],
)
@pytest.mark.parametrize("how", ["unregister", "drop"])
def test_T_SHR_6_leaving_in_mid_rotation_skips_nobody(router, before, leaver, expected, how):
    caller, callees = shared(router, "roundrobin")
    calls(caller, callees, before)
    if how == "drop":
        callees[leaver].drop()
    else:
        callees[leaver].say(m.Unregister(9, 1)).one(m.Unregistered)
    assert calls(caller, callees, 3) == expected


def test_T_SHR_first_and_last_after_leaving(router):
    for invoke, left, expected in [("first", 0, 1), ("last", 2, 1)]:
        caller, callees = shared(router, invoke)
        callees[left].drop()
        assert calls(caller, callees, 2) == [expected] * 2
        for callee in callees:
            callee.say(m.Goodbye({}, "a.b")).take()
        assert router.realms["realm1"].dealer.registrations.get("exact", "com.p") is None
        router = Router()


def test_T_SHR_7_the_same_session_twice(router):
    caller, callees = shared(router, "roundrobin", 2)
    assert callees[0].register("com.p", invoke="roundrobin") == 1
    assert calls(caller, callees, 4) == [0, 1, 0, 1]
    callees[0].say(m.Unregister(9, 1)).one(m.Unregistered)
    assert calls(caller, callees, 2) == [1, 1]
    callees[0].say(m.Unregister(10, 1))
    error_of(callees[0], 66, 10, "wamp.error.no_such_registration")


def test_T_SHR_a_callee_that_joins_gets_its_turn(router):
    caller, callees = shared(router, "roundrobin", 2)
    assert calls(caller, callees, 1) == [0]
    (new,) = joined(router, 1)
    new.register("com.p", invoke="roundrobin")
    assert calls(caller, [*callees, new], 3) == [1, 2, 0]


def test_T_SHR_features_of_the_chosen_callee_count(router):
    caller, (able,) = shared(router, "roundrobin", 1)
    unable = Link(router).join(roles={"callee": {}})
    unable.register("com.p", invoke="roundrobin")
    for link, details in [(able, {"receive_progress": True}), (unable, {})]:
        caller.call("com.p", options={"receive_progress": True})
        assert link.one(m.Invocation).details == details
    number = caller.next()
    caller.say(m.Call(number, {"progress": True}, "com.p"))  # all chunks of a stream go to one callee
    caller.call("com.p")
    error_of_unable = unable.one(m.Invocation)
    caller.say(m.Call(number, {}, "com.p"))
    assert [msg.details for msg in able.take()] == [{"progress": True}, {}]
    assert error_of_unable.details == {}


def test_shared_pattern(router):
    caller, *callees = joined(router, 3)
    for callee in callees:
        callee.register("com.", match="prefix", invoke="roundrobin")
    for callee in (*callees, callees[0]):
        caller.call("com.x")
        assert callee.one(m.Invocation).details == {"procedure": "com.x"}


# ---- concurrency (9.9) ----


def test_T_CONC_1_limit_and_every_way_to_free_a_slot(router):
    caller, callee = joined(router, 2)
    callee.register("com.p", concurrency=2)
    numbers = [caller.call("com.p") for _ in range(3)]
    one, two = callee.take()
    assert "com.p" in error_of(caller, 48, numbers[2], FULL)
    callee.say(m.Error(68, one.request, {}, "com.e"))
    caller.take()
    numbers = [two.request, caller.call("com.p")]
    serial = callee.one(m.Invocation).request
    caller.say(m.Cancel(numbers[1], {"mode": "skip"})).take()
    third = caller.call("com.p")
    assert callee.one(m.Invocation).request == serial + 1
    assert caller.take() == []
    callee.say(m.Yield(serial, {}))  # late answer to the canceled call: frees nothing
    assert error_of(caller, 48, caller.call("com.p"), FULL)
    assert third
    caller.drop()
    callee.take()
    other = Link(router).join()
    other.call("com.p")
    other.call("com.p")
    assert len(callee.take()) == 2


def test_T_CONC_1_others_take_over_before_it_is_full(router):
    caller, callees = shared(router, "first", 2, concurrency=1)
    first = caller.call("com.p")
    second = caller.call("com.p")
    assert [len(callee.take()) for callee in callees] == [1, 1]
    error_of(caller, 48, caller.call("com.p"), FULL)
    callees[1].say(m.Yield(1, {}))
    assert caller.one(m.Result).request == second
    assert first
    caller.call("com.p")
    assert len(callees[1].take()) == 1


def test_T_CONC_1_random_keeps_the_limit(router):
    caller, callees = shared(router, "random", 3, concurrency=1)
    for _ in range(3):
        caller.call("com.p")
    assert [len(callee.take()) for callee in callees] == [1, 1, 1]


@pytest.fixture
def queueing():
    clock = Clock()
    router = Router(runtime=clock, realm_options=RealmOptions(call_queue=2))
    caller, callee = joined(router, 2, roles=EVERYTHING)
    callee.register("com.p", concurrency=1)
    return router, clock, caller, callee


def test_T_CONC_1_queueing_in_order(queueing):
    _, _, caller, callee = queueing
    numbers = [caller.call("com.p", i) for i in range(4)]
    error_of(caller, 48, numbers[3], FULL)
    for i in range(3):
        invocation = callee.one(m.Invocation)
        assert invocation.args == [i]
        callee.say(m.Yield(invocation.request, {}, [i]))
        assert caller.one(m.Result) == m.Result(numbers[i], {}, [i])
    assert callee.take() == []
    assert caller.session.is_idle


@pytest.mark.parametrize("how", ["cancel", "kill", "timeout", "drop"])
def test_T_CONC_a_call_that_waits_may_end(queueing, how):
    router, clock, caller, callee = queueing
    other = Link(router).join()
    caller.call("com.p")
    number = caller.call("com.p", options={"timeout": 50})
    last = other.call("com.p", "last")
    serial = callee.one(m.Invocation).request
    if how == "timeout":
        clock.advance(0.06)
        error_of(caller, 48, number, "wamp.error.timeout")
    elif how == "drop":
        caller.drop()
        interrupt, invocation = callee.take()
        assert interrupt == m.Interrupt(serial, {"mode": "killnowait"})
    else:
        caller.say(m.Cancel(number, {"mode": how} if how == "kill" else {}))
        error_of(caller, 48, number, "wamp.error.canceled")
    if how != "drop":
        assert callee.take() == []
        callee.say(m.Yield(serial, {}))
        invocation = callee.one(m.Invocation)
    assert invocation.args == ["last"]
    callee.say(m.Yield(invocation.request, {}))
    assert other.one(m.Result).request == last
    assert not clock.timers


def test_T_CONC_the_last_callee_leaves(queueing):
    _, _, caller, callee = queueing
    numbers = [caller.call("com.p", i) for i in range(3)]
    callee.drop()
    errors = caller.take()
    assert [error.request for error in errors] == [numbers[1], numbers[2], numbers[0]]
    assert {error.error for error in errors} == {"wamp.error.canceled"}
    assert caller.session.is_idle


def test_T_CONC_unregistering_lets_the_running_call_end(queueing):
    _, _, caller, callee = queueing
    numbers = [caller.call("com.p", i) for i in range(2)]
    serial = callee.one(m.Invocation).request
    callee.say(m.Unregister(9, 1))
    callee.one(m.Unregistered)
    error_of(caller, 48, numbers[1], "wamp.error.canceled")
    callee.say(m.Yield(serial, {}))
    assert caller.one(m.Result).request == numbers[0]


def test_T_CONC_a_new_callee_takes_what_waits(router):
    router = Router(realm_options=RealmOptions(call_queue=5))
    caller, callees = shared(router, "roundrobin", 1, concurrency=1)
    for i in range(3):
        caller.call("com.p", i)
    new = Link(router).join()
    new.say(m.Register(1, {"invoke": "roundrobin", "concurrency": 2}, "com.p"))
    registered, *invocations = new.take()
    assert isinstance(registered, m.Registered)
    assert [msg.args for msg in invocations] == [[1], [2]]
    assert [msg.args for msg in callees[0].take()] == [[0]]


def test_T_CONC_streams_do_not_wait(queueing):
    _, _, caller, callee = queueing
    caller.call("com.p")
    number = caller.next()
    caller.say(m.Call(number, {"progress": True}, "com.p"))
    error_of(caller, 48, number, FULL)
    caller.say(m.Call(number, {}, "com.p"))
    assert len(callee.take()) == 1
    assert caller.take() == []


def test_T_CONC_rerouted_call_waits_for_the_other(queueing):
    router, _, _, _ = queueing
    caller, *callees = joined(router, 3, roles=EVERYTHING)
    for callee in callees:
        callee.register("com.q", invoke="first", concurrency=1)
    numbers = [caller.call("com.q", i) for i in range(2)]
    a, b = (callee.one(m.Invocation).request for callee in callees)
    callees[0].say(m.Error(68, a, {}, "wamp.error.unavailable"))  # waits for the second callee
    assert caller.take() == callees[1].take() == []
    callees[1].say(m.Yield(b, {}))
    assert caller.one(m.Result).request == numbers[1]
    assert callees[1].one(m.Invocation).args == [0]


def test_T_CONC_rerouted_call_whose_last_chance_leaves(queueing):
    router, _, _, _ = queueing
    caller, *callees = joined(router, 3, roles=EVERYTHING)
    for callee in callees:
        callee.register("com.q", invoke="first", concurrency=1)
    numbers = [caller.call("com.q", i) for i in range(2)]
    callees[0].say(m.Error(68, 1, {}, "wamp.error.unavailable"))
    callees[1].drop()
    errors = caller.take()
    assert [(error.request, error.error) for error in errors] == [
        (numbers[0], "wamp.error.no_available_callee"),
        (numbers[1], "wamp.error.canceled"),
    ]
    assert caller.session.is_idle


def test_T_CONC_forwarded_timeout_of_a_call_that_waited(queueing):
    router, clock, _, _ = queueing
    caller, callee = joined(router, 2, roles=EVERYTHING)
    callee.register("com.q", concurrency=1, forward_timeout=True)
    for _ in range(2):
        caller.call("com.q", options={"timeout": 50})
    assert len(clock.timers) == 1  # of the one that waits
    callee.say(m.Yield(callee.one(m.Invocation).request, {}))
    assert callee.one(m.Invocation).details == {"timeout": 50}
    assert not clock.timers


def test_T_CONC_caller_that_leaves_while_the_queue_moves(queueing):
    router, _, caller, callee = queueing
    other = Link(router).join()
    for link in (caller, caller, other):
        link.call("com.p")
    serial = callee.one(m.Invocation).request
    send = callee.session.send
    callee.session.send = lambda msg: (send(msg), other.drop())
    callee.say(m.Yield(serial, {}))
    assert len(callee.take()) == 1
    assert other.session.is_idle


def test_T_CONC_rerouted_call_with_no_place_to_wait(router):
    caller, *callees = joined(router, 3, roles=EVERYTHING)
    for callee in callees:
        callee.register("com.q", invoke="first", concurrency=1)
    numbers = [caller.call("com.q", i) for i in range(2)]
    callees[0].say(m.Error(68, 1, {}, "wamp.error.unavailable"))
    error_of(caller, 48, numbers[0], FULL)


# ---- taking over (9.9, 9.11) ----


def test_T_CONC_2_force_reregister(router):
    caller, old, new = joined(router, 3, roles=EVERYTHING)
    number = old.register("com.p")
    caller.call("com.p", 1)
    serial = old.one(m.Invocation).request
    fresh = new.register("com.p", force_reregister=True, invoke="first")
    assert old.one(m.Unregistered) == m.Unregistered(0, {"registration": number, "reason": EXISTS})
    assert fresh != number
    old.say(m.Yield(serial, {}, ["done"]))  # decision 40
    assert caller.one(m.Result).args == ["done"]
    caller.call("com.p", 2)
    assert new.one(m.Invocation).registration == fresh
    assert old.take() == []
    old.say(m.Unregister(9, number))
    error_of(old, 66, 9, "wamp.error.no_such_registration")


def test_T_CONC_2_force_reregister_of_a_shared_one_and_of_ones_own(router):
    _, callees = shared(router, "roundrobin")
    assert callees[1].register("com.p", invoke="roundrobin", force_reregister=True) == 1
    assert [len(callee.take()) for callee in callees] == [1, 0, 1]
    new = Link(router).join()
    number = new.register("com.q", force_reregister=True)
    assert new.register("com.q", force_reregister=True) == number
    new.say(m.Register(9, {"force_reregister": True, "invoke": "first"}, "com.q"))
    error_of(new, 64, 9, EXISTS)


@pytest.mark.parametrize(
    ("policy", "same_id", "same_role", "is_allowed"),
    [
        ("any", False, False, True),
        ("role", False, True, True),
        ("role", True, False, True),
        ("role", False, False, False),
        ("authid", True, False, True),
        ("authid", False, True, False),
        ("never", True, True, False),
    ],
)
def test_T_CONC_2_who_may_take_over(policy, same_id, same_role, is_allowed):
    router = Router(realm_options=RealmOptions(force_reregister=policy))
    old, new = joined(router, 2, roles=EVERYTHING)
    if same_id:
        new.session.authid = old.session.authid
    if not same_role:
        new.session.authrole = "other"
    old.register("com.p")
    if is_allowed:
        new.register("com.p", force_reregister=True)
        old.one(m.Unregistered)
    else:
        new.say(m.Register(1, {"force_reregister": True}, "com.p"))
        error_of(new, 64, 1, "wamp.error.not_authorized")
        assert old.take() == []


# ---- revocation (9.11) ----


def test_T_RREV_1_T_RREV_2_revocation(router):
    caller, told = joined(router, 2, roles=EVERYTHING)
    (untold,) = joined(router, 1)
    registrar = router.realms["realm1"].dealer.registrar
    for link, reason, details in [
        (told, "com.myapp.reason", {"registration": 1, "reason": "com.myapp.reason"}),
        (told, None, {"registration": 2}),
        (untold, "com.myapp.reason", None),
    ]:
        number = link.register("com.p")
        registrar.revoke(link.session, registrar.book.get("exact", "com.p"), reason)
        assert link.take() == ([] if details is None else [m.Unregistered(0, details)])
        error_of(caller, 48, caller.call("com.p"), "wamp.error.no_such_procedure")
        link.say(m.Unregister(99, number))
        error_of(link, 66, 99, "wamp.error.no_such_registration")


# ---- sharded registration (9.10) ----


def test_T_SHD_1_same_key_same_callee_and_only_its_keys_move(router):
    caller, callees = shared(router, "roundrobin", 4)

    def owner(key):
        (one,) = set(calls(caller, callees, 3, runmode="partition", rkey=key))
        return one

    keys = [f"key{i}" for i in range(60)]
    before = {key: owner(key) for key in keys}
    assert set(before.values()) == {0, 1, 2, 3}
    callees[2].drop()
    after = {key: owner(key) for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == 2}
    assert set(calls(caller, callees, 100, runmode="partition", rkey="k")) == {owner("k")}


def test_T_SHD_without_key_and_on_single_it_is_an_ordinary_call(router):
    caller, callees = shared(router, "roundrobin")
    assert calls(caller, callees, 3, runmode="partition") == [0, 1, 2]
    assert calls(caller, callees, 3, rkey="k") == [0, 1, 2]
    callees[0].register("com.single")
    caller.call("com.single", options={"runmode": "partition", "rkey": "k"})
    callees[0].one(m.Invocation)
    number = caller.call("com.single", options={"runmode": "all"})
    error_of(caller, 48, number, "wamp.error.option_not_allowed")


def test_T_SHD_key_waits_for_its_callee_and_does_not_hold_up_others():
    router = Router(realm_options=RealmOptions(call_queue=5))
    caller, callees = shared(router, "roundrobin", 2, concurrency=1)
    options = {"runmode": "partition", "rkey": "k"}
    caller.call("com.p", "one", options=options)
    caller.call("com.p", "two", options=options)
    mine, other = callees if callees[0].sent else callees[::-1]
    assert mine.one(m.Invocation).args == ["one"]
    caller.call("com.p", "three")
    assert other.one(m.Invocation).args == ["three"]
    caller.call("com.p", "four")
    other.say(m.Yield(1, {}))
    assert other.one(m.Invocation).args == ["four"]
    mine.say(m.Yield(1, {}))
    assert mine.one(m.Invocation).args == ["two"]


def test_T_SHD_rerouted(router):
    caller, callees = shared(router, "roundrobin")
    number = caller.call("com.p", options={"runmode": "partition", "rkey": "k"})
    for _ in range(3):
        ((callee, invocation),) = [(link, msg) for link in callees for msg in link.take()]
        callee.say(m.Error(68, invocation.request, {}, "wamp.error.unavailable"))
    error_of(caller, 48, number, "wamp.error.no_available_callee")


# ---- precedence (9.8) ----


def test_T_PBR_5_prefixes_by_component():
    router = Router(realm_options=RealmOptions(prefix_match="uri-component"))
    caller, callee = joined(router, 2)
    table = [
        ("a1.b2.c3.d4.e55", "exact"),
        ("a1.b2.c3", "prefix"),
        ("a1.b2.c3.d4", "prefix"),
        ("a1.b2..d4.e5", "wildcard"),
        ("a1.b2.c33..e5", "wildcard"),
        ("a1.b2..d4.e5..g7", "wildcard"),
        ("a1.b2..d4..f6.g7", "wildcard"),
    ]
    for uri, match in table:
        callee.register(uri, match=match)
    for uri, expected in [
        ("a1.b2.c3.d4.e55", 1),
        ("a1.b2.c3.d98.e74", 2),
        ("a1.b2.c3.d4.e325", 3),
        ("a1.b2.c55.d4.e5", 4),
        ("a1.b2.c33.d4.e5", 5),
        ("a1.b2.c88.d4.e5.f6.g7", 6),
        ("a1.b2.c3", 2),
    ]:
        caller.call(uri)
        assert callee.one(m.Invocation).registration == expected, uri
    error_of(caller, 48, caller.call("a2.b2.c2.d2.e2"), "wamp.error.no_such_procedure")
    subscriber = joined(router, 1)[0]
    for prefix in ("a.b", "a.b.", ""):
        subscriber.subscribe(prefix, match="prefix")
    for topic, count in [("a.b", 2), ("a.bc", 1), ("a.b.c", 3)]:
        caller.publish(topic)
        assert len(subscriber.take()) == count


@pytest.mark.parametrize(
    "options",
    [{"concurrency": -1}, {"concurrency": "1"}, {"force_reregister": 1}, {"forward_timeout": "x"}, {"invoke": "any"}],
)
def test_wrong_types(router, options):
    (link,) = joined(router, 1)
    assert_aborted(link.say(m.Register(1, options, "com.p")))

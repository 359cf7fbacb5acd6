"""Calls that need more: timeouts, disclosure, progressive invocations, rerouting."""

import pytest

from autobahn.router import RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, FEATURES, PLAIN, Clock, Link, assert_aborted, error_of, joined

CANCELED = "wamp.error.canceled"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def router(clock):
    return Router(runtime=clock)


@pytest.fixture
def pair(router):
    caller, callee = joined(router, 2, roles=EVERYTHING)
    callee.register("com.p")
    return caller, callee


def invoked(callee):
    return callee.one(m.Invocation).request


def settled(*links):
    """Nothing is left of any call."""
    assert all(not link.session.calls and not link.session.invocations for link in links)
    return True


# ---- timeouts (9.3) ----


def test_T_TMO_1_timeout(clock, pair):
    caller, callee = pair
    number = caller.call("com.p", options={"timeout": 50})
    invocation = callee.one(m.Invocation)
    assert invocation.details == {}
    clock.advance(0.049)
    assert caller.take() == callee.take() == []
    clock.advance(0.002)
    assert "50 ms" in error_of(caller, 48, number, "wamp.error.timeout")
    assert callee.one(m.Interrupt) == m.Interrupt(invocation.request, {"mode": "killnowait"})
    callee.say(m.Yield(invocation.request, {}, ["late"]))
    assert caller.take() == []
    assert settled(caller, callee)


@pytest.mark.parametrize("timeout", [0, None])
def test_T_TMO_2_no_timeout(clock, pair, timeout):
    caller, callee = pair
    caller.call("com.p", options={"timeout": timeout})
    assert not clock.timers
    callee.say(m.Yield(invoked(callee), {}, [1]))
    assert caller.one(m.Result).args == [1]


def test_T_TMO_2_an_answer_in_time_stops_the_timer(clock, pair):
    caller, callee = pair
    for answer in (m.Yield(0, {}), m.Error(68, 0, {}, "com.e")):
        caller.call("com.p", options={"timeout": 50})
        answer.request = invoked(callee)
        callee.say(answer)
        assert len(caller.take()) == 1
        assert not clock.timers
    caller.call("com.p", options={"timeout": 50})
    caller.drop()
    assert not clock.timers
    assert settled(caller, callee)


def test_T_TMO_3_callee_without_call_canceling(clock, router):
    (caller,) = joined(router, 1)
    callee = Link(router).join(roles=PLAIN)
    callee.register("com.p")
    number = caller.call("com.p", options={"timeout": 50})
    serial = invoked(callee)
    clock.advance(1)
    error_of(caller, 48, number, "wamp.error.timeout")
    callee.say(m.Yield(serial, {}, ["late"]))
    assert caller.take() == callee.take() == []


def test_T_TMO_4_forward_timeout(clock, router):
    caller, callee, plain = *joined(router, 2, roles=EVERYTHING), Link(router).join()
    callee.register("com.p", forward_timeout=True)
    number = caller.call("com.p", options={"timeout": 50})
    invocation = callee.one(m.Invocation)
    assert invocation.details == {"timeout": 50}
    assert not clock.timers
    callee.say(m.Error(68, invocation.request, {}, "wamp.error.timeout"))
    error_of(caller, 48, number, "wamp.error.timeout")
    plain.register("com.q", forward_timeout=True)  # has not announced call_timeout: the router's timer runs
    caller.call("com.q", options={"timeout": 50})
    assert plain.one(m.Invocation).details == {}
    assert len(clock.timers) == 1


def test_T_TMO_5_router_maximum(clock):
    router = Router(runtime=clock, realm_options=RealmOptions(max_call_timeout=100))
    caller, callee = joined(router, 2, roles=EVERYTHING)
    callee.register("com.p")
    callee.register("com.forward", forward_timeout=True)
    numbers = [caller.call("com.p", options=o) for o in ({}, {"timeout": 5000}, {"timeout": 10})]
    numbers.append(caller.call("com.forward", options={"timeout": 5000}))
    assert [i.details for i in callee.take()] == [{}, {}, {}, {"timeout": 100}]
    clock.advance(0.02)
    error_of(caller, 48, numbers[2], "wamp.error.timeout")
    clock.advance(0.1)
    assert sorted(error.request for error in caller.take()) == sorted([numbers[0], numbers[1], numbers[3]])
    assert settled(caller, callee)


@pytest.mark.parametrize("timeout", [-1, 1.5, -0.5, float("nan"), float("inf")])
def test_T_TMO_bad_value_is_an_error(router, pair, timeout):
    caller, callee = pair
    number = caller.call("com.p", options={"timeout": timeout})
    assert "timeout" in error_of(caller, 48, number, "wamp.error.invalid_argument")
    assert callee.take() == []
    assert settled(caller)


def test_T_TMO_huge_and_integral_values(clock, pair):
    caller, _ = pair
    caller.call("com.p", options={"timeout": 10**30})
    caller.call("com.p", options={"timeout": 50.0})
    assert [round(timer.when, 3) for timer in clock.timers] == [2**53 / 1000, 0.05]


def test_T_PCR_5_timeout_restarts_at_each_progressive_result(clock, pair):
    caller, callee = pair
    number = caller.call("com.p", options={"timeout": 50, "receive_progress": True})
    serial = invoked(callee)
    for _ in range(3):
        clock.advance(0.04)
        callee.say(m.Yield(serial, {"progress": True}))
        caller.one(m.Result)
    clock.advance(0.06)
    error_of(caller, 48, number, "wamp.error.timeout")
    assert settled(caller, callee)


def test_without_a_runtime_there_are_no_timeouts():
    router = Router()
    caller, callee = joined(router, 2, roles=EVERYTHING)
    assert "call_timeout" not in caller.welcome.details["roles"]["dealer"]["features"]
    callee.register("com.p")
    caller.call("com.p", options={"timeout": 1})
    callee.one(m.Invocation)


# ---- canceling special calls (9.4) ----


@pytest.mark.parametrize("mode", ["skip", "killnowait", "kill"])
def test_T_CAN_1_to_3_with_a_timeout(clock, pair, mode):
    caller, callee = pair
    number = caller.call("com.p", options={"timeout": 50})
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": mode}))
    assert [type(msg) for msg in callee.take()] == ([] if mode == "skip" else [m.Interrupt])
    if mode == "kill":
        clock.advance(1)  # the callee does not answer: the time ends the call
        error_of(caller, 48, number, "wamp.error.timeout")
    else:
        error_of(caller, 48, number, CANCELED)
    assert not clock.timers
    callee.say(m.Yield(serial, {}))
    assert caller.take() == []
    assert settled(caller, callee)


def test_T_CAN_5_error_racing_with_kill(pair):
    caller, callee = pair
    number = caller.call("com.p", options={"timeout": 50})
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    callee.say(m.Error(68, serial, {}, "wamp.error.unavailable"))  # no rerouting of a canceled call
    error_of(caller, 48, number, "wamp.error.unavailable")


# ---- who calls (9.6, 9.7) ----


def test_T_CID_2_policy_never():
    router = Router(realm_options=RealmOptions(disclose_caller="never"))
    caller, callee = joined(router, 2)
    assert "caller_identification" not in caller.welcome.details["roles"]["dealer"]["features"]
    callee.register("com.p")
    number = caller.call("com.p", options={"disclose_me": True})
    error_of(caller, 48, number, "wamp.error.option_disallowed.disclose_me")
    callee.say(m.Register(9, {"disclose_caller": True}, "com.q"))
    error_of(callee, 64, 9, "wamp.error.option_disallowed.disclose_me")
    caller.call("com.p", options={"disclose_me": False})
    assert callee.one(m.Invocation).details == {}


def test_T_CID_2_policy_always():
    router = Router(realm_options=RealmOptions(disclose_caller="always"))
    caller, callee = joined(router, 2)
    callee.register("com.p")
    caller.call("com.p")
    assert callee.one(m.Invocation).details["caller"] == caller.welcome.session


def test_T_CID_3_T_CID_4_disclose_caller_of_a_registration(pair):
    caller, callee = pair
    callee.register("com.q", disclose_caller=True)
    caller.call("com.q")
    assert callee.one(m.Invocation).details == {
        "caller": caller.welcome.session,
        "caller_authid": caller.welcome.details["authid"],
        "caller_authrole": "anonymous",
    }
    caller.call("com.p")
    assert callee.one(m.Invocation).details == {}


def test_T_CTL_1_trustlevels():
    router = Router(realm_options=RealmOptions(trustlevels={"anonymous": 5}))
    caller, callee = joined(router, 2)
    assert caller.welcome.details["roles"]["dealer"]["features"]["call_trustlevels"]
    callee.register("com.p")
    caller.call("com.p")
    assert callee.one(m.Invocation).details == {"trustlevel": 5}
    caller.session.authrole = "other"
    caller.call("com.p")
    assert callee.one(m.Invocation).details == {"trustlevel": 0}


def test_hops_and_hashes_are_carried(pair):
    caller, callee = pair
    hops = [{"session": 1, "authid": "a", "authrole": "b"}]
    caller.call("com.p", options={"forward_for": hops, "transaction_hash": "abc"})
    assert callee.one(m.Invocation).details == {"forward_for": hops, "transaction_hash": "abc"}


# ---- progressive call invocations (9.2) ----


def chunk(link, number, more, *args, procedure="com.p", **options):
    link.say(m.Call(number, {"progress": True, **options} if more else options, procedure, list(args)))


def test_T_PCI_1_three_chunks_and_the_last(pair):
    caller, callee = pair
    number = caller.next()
    for i in range(3):
        chunk(caller, number, True, i)
    chunk(caller, number, False, "end")
    invocations = callee.take()
    assert invocations == [
        *(m.Invocation(1, 1, {"progress": True}, [i]) for i in range(3)),
        m.Invocation(1, 1, {}, ["end"]),
    ]
    callee.say(m.Yield(1, {}, [3]))
    assert caller.one(m.Result) == m.Result(number, {}, [3])
    assert settled(caller, callee)


def test_T_PCI_2_caller_that_has_not_announced(router, pair):
    _, callee = pair
    caller = Link(router).join(roles=FEATURES)
    chunk(caller, 1, True)
    assert_aborted(caller)
    assert callee.take() == []


@pytest.mark.parametrize("announced", [(), ("progressive_call_invocations",), ("call_canceling",)])
def test_T_PCI_3_callee_that_has_not_announced(router, announced):
    caller = Link(router).join(roles=EVERYTHING)
    callee = Link(router).join(roles={"callee": {"features": dict.fromkeys(announced, True)}})
    callee.register("com.p")
    number = caller.next()
    chunk(caller, number, True)
    error_of(caller, 48, number, "wamp.error.feature_not_supported")
    chunk(caller, number, True)  # in flight: no new call
    chunk(caller, number, False)
    assert caller.take() == callee.take() == []
    assert settled(caller, callee)
    assert caller.session.is_idle


@pytest.mark.parametrize("answer", [m.Yield(1, {}, ["early"]), m.Error(68, 1, {}, "com.e")])
def test_T_PCI_4_early_final_answer(pair, answer):
    caller, callee = pair
    number = caller.next()
    chunk(caller, number, True)
    callee.take()
    callee.say(answer)
    assert len(caller.take()) == 1
    chunk(caller, number, True)
    caller.say(m.Cancel(number, {}))
    chunk(caller, number, False)
    assert callee.take() == caller.take() == []
    assert caller.session.is_idle
    chunk(caller, number, True)  # the stream is over: a client without strict ids may use the number again
    callee.one(m.Invocation)


def test_T_PCI_4_ended_streams_are_bounded_and_forgotten_with_the_session(pair):
    caller, callee = pair
    for number in range(1, 301):
        chunk(caller, number, True)
        callee.say(m.Yield(number, {}))
    assert len(caller.session.calls) == len(caller.session.ended_streams) == 256
    caller.take(), callee.take()
    chunk(caller, 300, False)
    assert callee.take() == []
    assert len(caller.session.ended_streams) == 255
    caller.drop()
    assert caller.session.is_idle
    assert callee.take() == []


def test_T_PCI_5_two_streams_interleaved(pair):
    caller, callee = pair
    one, two = caller.next(), caller.next()
    for i in range(3):
        chunk(caller, one, True, i)
        chunk(caller, two, True, -i)
    assert [(i.request, i.args[0]) for i in callee.take()] == [(1, 0), (2, 0), (1, 1), (2, -1), (1, 2), (2, -2)]
    callee.say(m.Yield(2, {}, ["two"])).say(m.Yield(1, {}, ["one"]))
    assert [(r.request, r.args) for r in caller.take()] == [(two, ["two"]), (one, ["one"])]


def test_T_PCI_6_both_directions(pair):
    caller, callee = pair
    number, total = caller.next(), 0
    for i in range(4):
        chunk(caller, number, True, i, receive_progress=True)
        invocation = callee.one(m.Invocation)
        assert invocation.details == {"progress": True, "receive_progress": True}
        total += invocation.args[0]
        callee.say(m.Yield(invocation.request, {"progress": True}, [total]))
    chunk(caller, number, False, 10)
    assert callee.one(m.Invocation).details == {"receive_progress": True}
    callee.say(m.Yield(1, {}, [total + 10]))
    results = caller.take()
    assert [r.args[0] for r in results] == [0, 1, 3, 6, 16]
    assert [r.details for r in results] == [{"progress": True}] * 4 + [{}]


def test_T_PCI_7_violations(router, pair):
    _, callee = pair
    callee.register("com.q")
    caller = Link(router).join(roles=EVERYTHING)
    chunk(caller, 1, True)
    chunk(caller, 1, True, procedure="com.q")
    assert_aborted(caller)
    invocation, interrupt = callee.take()
    assert interrupt == m.Interrupt(invocation.request, {"mode": "killnowait"})
    caller = Link(router).join(roles=EVERYTHING)
    caller.call("com.p")
    chunk(caller, 1, True)  # the call that has this id is no stream
    assert_aborted(caller)
    callee.take()
    caller = Link(router).join(roles=EVERYTHING)
    chunk(caller, 1, True)
    chunk(caller, 1, False)
    chunk(caller, 1, False)  # nothing may follow the last one
    assert_aborted(caller)


def test_T_PCI_options_of_the_first_call_count(clock, pair):
    caller, callee = pair
    number = caller.next()
    chunk(caller, number, True, timeout=50, disclose_me=True)
    first = callee.one(m.Invocation).details
    chunk(caller, number, True, timeout=5, disclose_me=False)
    assert callee.one(m.Invocation).details == first
    assert len(clock.timers) == 1
    clock.advance(0.06)
    error_of(caller, 48, number, "wamp.error.timeout")
    callee.one(m.Interrupt)
    chunk(caller, number, False)
    assert callee.take() == []
    assert caller.session.is_idle


def test_T_PCI_leaving(router, pair):
    caller, callee = pair
    number = caller.next()
    chunk(caller, number, True)
    serial = invoked(callee)
    caller.drop()
    assert callee.one(m.Interrupt) == m.Interrupt(serial, {"mode": "killnowait"})
    caller = Link(router).join(roles=EVERYTHING)
    number = caller.next()
    chunk(caller, number, True)
    callee.drop()
    error_of(caller, 48, number, CANCELED)
    chunk(caller, number, True)
    chunk(caller, number, False)
    assert caller.take() == []
    assert caller.session.is_idle


def test_T_PCI_chunks_after_kill_are_dropped(pair):
    caller, callee = pair
    number = caller.next()
    chunk(caller, number, True)
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    callee.one(m.Interrupt)
    chunk(caller, number, False)
    assert callee.take() == []
    callee.say(m.Error(68, serial, {}, CANCELED))
    error_of(caller, 48, number, CANCELED)
    assert settled(caller, callee)


def test_T_PCI_no_such_procedure_answers_a_stream_once(pair):
    caller, _ = pair
    number = caller.next()
    for more in (True, True, False):
        chunk(caller, number, more, procedure="com.nothing")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")
    assert caller.session.is_idle


def test_T_PCI_between_serializers_and_a_chunk_that_cannot_be_carried(router):
    caller = Link(router, CODECS["msgpack"]).join(roles=EVERYTHING)
    callee = Link(router, CODECS["json"]).join(roles=EVERYTHING)
    callee.register("com.p")
    number = caller.next()
    chunk(caller, number, True, b"\x00")
    invocation = callee.one(m.Invocation)
    assert invocation.args == [b"\x00"]
    chunk(caller, number, True, "\0text")
    assert "callee" in error_of(caller, 48, number, "wamp.error.invalid_argument")
    assert callee.one(m.Interrupt).request == invocation.request
    number = caller.next()
    chunk(caller, number, True, "\0text")
    error_of(caller, 48, number, "wamp.error.invalid_argument")
    assert callee.take() == []


def test_special_call_to_a_callee_whose_link_is_gone(pair):
    caller, callee = pair
    callee.is_open = False
    number = caller.call("com.p", options={"disclose_me": True})
    assert caller.take() == []
    callee.session.onClose(False)
    error_of(caller, 48, number, CANCELED)


def test_result_of_a_special_call_that_cannot_be_carried(router):
    caller = Link(router, CODECS["json"]).join(roles=EVERYTHING)
    callee = Link(router, CODECS["msgpack"]).join(roles=EVERYTHING)
    callee.register("com.p")
    number = caller.call("com.p", options={"timeout": 50})
    callee.say(m.Yield(invoked(callee), {}, ["\0text"]))
    assert "result" in error_of(caller, 48, number, "wamp.error.invalid_argument")
    assert settled(caller, callee)


# ---- rerouting (9.5) ----


@pytest.mark.parametrize(
    ("invoke", "first", "expected"),
    [
        ("roundrobin", "A", "ABC"),
        ("roundrobin", "B", "BCA"),
        ("first", "A", "ABC"),
        ("last", "C", "CBA"),
        ("random", None, None),
    ],
)
def test_T_RER_1_T_RER_2_policies(router, invoke, first, expected):
    caller, *callees = joined(router, 4, roles=EVERYTHING)
    names = dict(zip("ABC", callees, strict=True))
    for callee in callees:
        callee.register("com.p", invoke=invoke)
    if (invoke, first) == ("roundrobin", "B"):
        caller.call("com.p")
        names["A"].take()
    for unavailable in (2, 3):
        number = caller.call("com.p", 1, key=2)
        order = ""
        for i in range(3):
            ((name, invocation),) = [(n, msg) for n, link in names.items() for msg in link.take()]
            assert (invocation.args, invocation.kwargs) == ([1], {"key": 2})
            order += name
            if i < unavailable:
                names[name].say(m.Error(68, invocation.request, {}, "wamp.error.unavailable"))
            else:
                names[name].say(m.Yield(invocation.request, {}, [name]))
                assert caller.one(m.Result) == m.Result(number, {}, [name])
        if expected is None:
            assert sorted(order) == ["A", "B", "C"]
        elif unavailable == 2:
            assert order == expected
    error_of(caller, 48, number, "wamp.error.no_available_callee")
    caller.drop()
    assert settled(caller, *callees)


def test_T_RER_single_has_no_other(router, pair):
    caller, callee = pair
    for options in ({}, {"timeout": 50}):
        number = caller.call("com.p", options=options)
        callee.say(m.Error(68, invoked(callee), {}, "wamp.error.unavailable"))
        error_of(caller, 48, number, "wamp.error.no_available_callee")
    assert settled(caller, callee)
    number = caller.call("com.p")
    caller.say(m.Cancel(number, {"mode": "kill"}))
    serial = callee.take()[0].request
    callee.say(m.Error(68, serial, {}, "wamp.error.unavailable"))
    error_of(caller, 48, number, "wamp.error.unavailable")


def test_T_RER_without_the_feature_and_after_progress(router):
    caller, callee = joined(router, 2)  # announces no call_reroute
    callee.register("com.p", invoke="first")
    number = caller.call("com.p")
    callee.say(m.Error(68, invoked(callee), {}, "wamp.error.unavailable"))
    error_of(caller, 48, number, "wamp.error.unavailable")
    able, other = joined(router, 2, roles=EVERYTHING)
    for link in (able, other):
        link.register("com.q", invoke="first")
    number = caller.call("com.q", options={"receive_progress": True})
    serial = invoked(able)
    able.say(m.Yield(serial, {"progress": True}))
    able.say(m.Error(68, serial, {}, "wamp.error.unavailable"))
    assert [type(msg) for msg in caller.take()] == [m.Result, m.Error]
    assert other.take() == []
    assert number


def test_T_RER_the_time_goes_on(clock, router):
    caller, a, b = joined(router, 3, roles=EVERYTHING)
    for link in (a, b):
        link.register("com.p", invoke="first")
    number = caller.call("com.p", options={"timeout": 50})
    clock.advance(0.04)
    a.say(m.Error(68, invoked(a), {}, "wamp.error.unavailable"))
    clock.advance(0.02)
    assert error_of(caller, 48, number, "wamp.error.timeout")
    assert [type(msg) for msg in b.take()] == [m.Invocation, m.Interrupt]

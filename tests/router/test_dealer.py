"""Remote procedure calls."""

import random

import pytest

from autobahn.router import Router
from autobahn.wamp import message as m
from router.fakes import PLAIN, Link, assert_aborted, error_of, joined


@pytest.fixture
def router():
    return Router()


@pytest.fixture
def pair(router):
    """A caller, and a callee that serves com.p."""
    caller, callee = joined(router, 2)
    callee.register("com.p")
    return caller, callee


def invoked(callee):
    return callee.one(m.Invocation).request


def test_T_RPC_1_call_and_result(router, pair):
    caller, callee = pair
    number = caller.call("com.p", 1, [2], key={"a": None})
    invocation = callee.one(m.Invocation)
    assert invocation == m.Invocation(1, 1, {}, [1, [2]], {"key": {"a": None}})
    callee.say(m.Yield(invocation.request, {}, ["yes"], {"n": 1}))
    assert caller.one(m.Result) == m.Result(number, {}, ["yes"], {"n": 1})
    assert caller.session.is_idle
    assert not callee.session.invocations


def test_T_RPC_2_error_passes_through(router, pair):
    caller, callee = pair
    number = caller.call("com.p")
    callee.say(m.Error(68, invoked(callee), {"x": 1}, "com.myapp.error", ["no"], {"why": 5}))
    assert caller.one(m.Error) == m.Error(48, number, {}, "com.myapp.error", ["no"], {"why": 5})
    assert caller.session.is_idle


def test_T_RPC_3_duplicate_registration(router, pair):
    for link in pair:
        link.say(m.Register(9, {}, "com.p"))
        assert "com.p" in error_of(link, 64, 9, "wamp.error.procedure_already_exists")


def test_T_RPC_4_unregister_unknown_foreign_twice(router, pair):
    caller, callee = pair
    callee.say(m.Unregister(9, 4711))
    error_of(callee, 66, 9, "wamp.error.no_such_registration")
    caller.say(m.Unregister(1, 1))
    error_of(caller, 66, 1, "wamp.error.no_such_registration")
    callee.say(m.Unregister(10, 1))
    assert callee.one(m.Unregistered) == m.Unregistered(10)
    callee.say(m.Unregister(11, 1))
    error_of(callee, 66, 11, "wamp.error.no_such_registration")
    number = caller.call("com.p")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")


def test_invocations_survive_unregister(router, pair):
    caller, callee = pair
    caller.call("com.p")
    serial = invoked(callee)
    callee.say(m.Unregister(9, 1)).take()
    callee.say(m.Yield(serial, {}, [1]))
    assert caller.one(m.Result).args == [1]


def test_T_RPC_5_callee_drop_answers_100_pending_callers(router):
    callee, *callers = joined(router, 101)
    callee.register("com.p")
    numbers = [caller.call("com.p") for caller in callers]
    callee.drop()
    for caller, number in zip(callers, numbers, strict=True):
        assert "left" in error_of(caller, 48, number, "wamp.error.canceled")
        caller.drop()
    assert router.realms["realm1"].is_empty()


def test_T_RPC_6_caller_drop(router, pair):
    caller, callee = pair
    caller.call("com.p")
    serial = invoked(callee)
    caller.drop()
    assert callee.one(m.Interrupt) == m.Interrupt(serial, {"mode": "killnowait"})
    callee.say(m.Yield(serial, {}, ["late"]))
    callee.say(m.Error(68, serial, {}, "wamp.error.canceled"))
    assert callee.take() == []
    assert not callee.is_closing


def test_T_RPC_6_caller_drop_without_canceling(router):
    (caller,) = joined(router, 1)
    callee = Link(router).join(roles=PLAIN)
    callee.register("com.p")
    caller.call("com.p")
    serial = invoked(callee)
    caller.drop()
    callee.say(m.Yield(serial, {}))
    assert callee.take() == []


def test_T_RPC_7_call_own_procedure(router, pair):
    _, callee = pair
    number = callee.call("com.p", 1)
    callee.say(m.Yield(invoked(callee), {}, [2]))
    assert callee.one(m.Result) == m.Result(number, {}, [2])
    callee.call("com.p")
    callee.take()
    callee.drop()
    assert callee.take() == []
    assert callee.session.is_idle


def test_T_RPC_8_thousand_calls_answered_out_of_order(router, pair):
    caller, callee = pair
    numbers = {caller.call("com.p", i): i for i in range(1000)}
    invocations = callee.take()
    assert [i.request for i in invocations] == list(range(1, 1001))  # T-ORD-2
    random.Random(1).shuffle(invocations)
    for invocation in invocations:
        callee.say(m.Yield(invocation.request, {}, invocation.args))
    results = caller.take()
    assert {r.request: r.args[0] for r in results} == numbers
    assert len(results) == 1000


@pytest.mark.parametrize("procedure", ["a b", "", "a..b", "com.foo\n", "wamp.foo", "wamp"])
def test_T_URI_3_T_URI_4_bad_procedure(router, procedure):
    (link,) = joined(router, 1)
    link.say(m.Register(1, {}, procedure))
    error_of(link, 64, 1, "wamp.error.invalid_uri")
    number = link.call(procedure)
    reserved = procedure.startswith("wamp")
    uri = "wamp.error.no_such_procedure" if reserved else "wamp.error.invalid_uri"
    error_of(link, 48, number, uri)


def test_no_such_procedure(router, pair):
    number = pair[0].call("com.q")
    assert "com.q" in error_of(pair[0], 48, number, "wamp.error.no_such_procedure")


@pytest.mark.parametrize("answer", [m.Yield(2, {}), m.Error(68, 2, {}, "com.e")])
def test_T_PV_answer_to_an_invocation_that_never_was(router, pair, answer):
    caller, callee = pair
    number = caller.call("com.p")
    callee.take()
    callee.say(answer)
    assert_aborted(callee)
    error_of(caller, 48, number, "wamp.error.canceled")
    number = caller.call("com.p")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")


def test_T_PV_yield_by_a_session_that_does_not_own_the_invocation(router, pair):
    caller, callee = pair
    number = caller.call("com.p")
    serial = invoked(callee)
    caller.say(m.Yield(serial, {}, ["stolen"]))
    assert_aborted(caller)
    assert callee.one(m.Interrupt).request == serial
    assert number


def test_T_PV_answers_once_issued_are_dropped(router, pair):
    caller, callee = pair
    caller.call("com.p")
    serial = invoked(callee)
    callee.say(m.Yield(serial, {}))
    caller.one(m.Result)
    callee.say(m.Yield(serial, {}))
    callee.say(m.Error(68, serial, {}, "com.e"))
    assert caller.take() == callee.take() == []


@pytest.mark.parametrize("request_type", [48, 16, 32, 64, 0, 70])
def test_T_PV_error_with_wrong_request_type(router, pair, request_type):
    caller, callee = pair
    caller.call("com.p")
    callee.say(m.Error(request_type, invoked(callee), {}, "com.e"))
    assert_aborted(callee)
    caller.one(m.Error)


def test_T_PV_error_without_a_uri(router, pair):
    caller, callee = pair
    caller.call("com.p")
    callee.say(m.Error(68, invoked(callee), {}, "not a uri"))
    assert_aborted(callee)
    assert caller.one(m.Error).error == "wamp.error.canceled"


def test_T_IDSEQ_id_of_a_call_in_flight(router, pair):
    caller, callee = pair
    number = caller.call("com.p")
    serial = invoked(callee)
    caller.say(m.Call(number, {}, "com.p"))
    assert_aborted(caller)
    assert callee.one(m.Interrupt).request == serial


@pytest.mark.parametrize(
    "options",
    [
        {"progress": True},  # T-PCI-2: not announced
        {"progress": 1},
        {"receive_progress": 1},
        {"disclose_me": "x"},
        {"timeout": "1"},
        {"timeout": True},
        {"rkey": 5},
        {"ppt_scheme": "x_custom"},
    ],
)
def test_T_MSG_2_wrong_type_of_a_known_call_option(router, pair, options):
    caller, callee = pair
    caller.call("com.p", options=options)
    assert_aborted(caller)
    assert callee.take() == []


def test_undefined_and_unknown_call_options(router, pair):
    caller, callee = pair
    caller.call("com.p", options={"timeout": None, "receive_progress": None, "zzz": 5, "progress": False})
    assert callee.one(m.Invocation).details == {}


@pytest.mark.parametrize("options", [{"match": "regex"}, {"invoke": "sometimes"}, {"disclose_caller": 1}])
def test_register_options_that_do_not_exist(router, options):
    (link,) = joined(router, 1)
    assert_aborted(link.say(m.Register(1, options, "com.p")))


def test_T_ID_4_invocation_ids_wrap(router, pair):
    caller, callee = pair
    callee.session.last_invocation = 2**53 - 1
    caller.call("com.p")
    assert invoked(callee) == 2**53
    caller.call("com.p")
    assert invoked(callee) == 1
    for serial in (2**53, 1):
        callee.say(m.Yield(serial, {}))
        caller.one(m.Result)


def test_T_ID_1_invocation_ids_count_per_callee(router, pair):
    caller, callee = pair
    other = Link(router).join()
    other.register("com.q")
    for expected in (1, 2):
        caller.call("com.p")
        caller.call("com.q")
        assert invoked(callee) == invoked(other) == expected


def test_T_CID_1_T_CID_4_caller_identification(router, pair):
    caller, callee = pair
    caller.call("com.p", options={"disclose_me": True})
    assert callee.one(m.Invocation).details == {
        "caller": caller.welcome.session,
        "caller_authid": caller.welcome.details["authid"],
        "caller_authrole": "anonymous",
    }
    caller.call("com.p", options={"disclose_me": False})
    assert callee.one(m.Invocation).details == {}


# ---- patterns ----


def test_T_PBR_1_to_7_the_table(router):
    caller, callee = joined(router, 2)
    for uri, match in [
        ("a1.b2.c3.d4.e55", "exact"),
        ("a1.b2.c3", "prefix"),
        ("a1.b2.c3.d4", "prefix"),
        ("a1.b2..d4.e5", "wildcard"),
        ("a1.b2.c33..e5", "wildcard"),
        ("a1.b2..d4.e5..g7", "wildcard"),
        ("a1.b2..d4..f6.g7", "wildcard"),
    ]:
        callee.register(uri, match=match)
    for uri, expected in [
        ("a1.b2.c3.d4.e55", 1),
        ("a1.b2.c3.d98.e74", 2),
        ("a1.b2.c3.d4.e325", 3),
        ("a1.b2.c55.d4.e5", 4),
        ("a1.b2.c33.d4.e5", 2),  # prefixes are strings (decision 1)
        ("a1.b2.c88.d4.e5.f6.g7", 6),
    ]:
        caller.call(uri)
        invocation = callee.one(m.Invocation)
        assert invocation.registration == expected, uri
        # T-PBR-10
        assert invocation.details == ({} if expected == 1 else {"procedure": uri})
    number = caller.call("a2.b2.c2.d2.e2")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")


def test_T_PBR_8_T_PBR_9_three_policies_on_one_uri(router):
    caller, callee = joined(router, 2)
    ids = [callee.register("com.p", match=match) for match in ("exact", "prefix", "wildcard")]
    assert len(set(ids)) == 3
    for expected in ids:
        caller.call("com.p")
        assert callee.one(m.Invocation).registration == expected
        callee.say(m.Unregister(99, expected)).take()
    number = caller.call("com.p")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")


def test_patterns_do_not_take_calls_to_reserved_procedures(router):
    caller, callee = joined(router, 2)
    callee.register("", match="prefix")
    number = caller.call("wamp.session.nothing")
    error_of(caller, 48, number, "wamp.error.no_such_procedure")
    caller.call("any.thing")
    callee.one(m.Invocation)


# ---- canceling ----


@pytest.mark.parametrize("mode", ["skip", "killnowait", "kill", None])
def test_T_CAN_1_to_3_and_7_modes(router, pair, mode):
    caller, callee = pair
    number = caller.call("com.p")
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": mode} if mode else {}))
    if mode == "skip":
        assert callee.take() == []
    else:
        assert callee.one(m.Interrupt) == m.Interrupt(serial, {"mode": mode or "killnowait"})
    if mode == "kill":
        assert caller.take() == []
        callee.say(m.Error(68, serial, {}, "wamp.error.canceled", ["stopped"]))
        assert caller.one(m.Error) == m.Error(48, number, {}, "wamp.error.canceled", ["stopped"])
    else:
        error_of(caller, 48, number, "wamp.error.canceled")
        callee.say(m.Yield(serial, {}, ["late"]))
        assert caller.take() == []
    assert not callee.session.invocations
    assert caller.session.is_idle


def test_T_CAN_4_callee_without_the_feature(router):
    (caller,) = joined(router, 1)
    callee = Link(router).join(roles=PLAIN)
    callee.register("com.p")
    for mode in ("kill", "killnowait"):
        number = caller.call("com.p")
        callee.take()
        caller.say(m.Cancel(number, {"mode": mode}))
        assert callee.take() == []
        error_of(caller, 48, number, "wamp.error.canceled")


def test_T_CAN_5_kill_racing_with_a_result(router, pair):
    caller, callee = pair
    number = caller.call("com.p")
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    callee.say(m.Yield(serial, {}, ["done"]))
    assert caller.one(m.Result).args == ["done"]


def test_T_CAN_6_cancel_twice_after_result_and_unknown(router, pair):
    caller, callee = pair
    number = caller.call("com.p")
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    callee.one(m.Interrupt)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    assert callee.take() == caller.take() == []
    callee.say(m.Yield(serial, {}))
    caller.one(m.Result)
    caller.say(m.Cancel(number, {}))
    caller.say(m.Cancel(4711, {}))
    assert callee.take() == caller.take() == []


@pytest.mark.parametrize("mode", ["now", 5, ""])
def test_unknown_cancel_mode_is_a_violation(router, pair, mode):
    caller, callee = pair
    number = caller.call("com.p")
    callee.take()
    caller.say(m.Cancel(number, {"mode": mode}))
    assert_aborted(caller)
    callee.one(m.Interrupt)


# ---- progressive results ----


@pytest.mark.parametrize("count", [0, 1, 100])
def test_T_PCR_1_progress_then_final(router, pair, count):
    caller, callee = pair
    number = caller.call("com.p", options={"receive_progress": True})
    invocation = callee.one(m.Invocation)
    assert invocation.details == {"receive_progress": True}
    for i in range(count):
        callee.say(m.Yield(invocation.request, {"progress": True}, [i]))
    callee.say(m.Yield(invocation.request, {"progress": False}, ["end"]))
    assert caller.take() == [
        *(m.Result(number, {"progress": True}, [i]) for i in range(count)),
        m.Result(number, {}, ["end"]),
    ]


def test_T_PCR_2_callee_without_the_feature(router):
    (caller,) = joined(router, 1)
    callee = Link(router).join(roles=PLAIN)
    callee.register("com.p")
    caller.call("com.p", options={"receive_progress": True})
    invocation = callee.one(m.Invocation)
    assert invocation.details == {}
    callee.say(m.Yield(invocation.request, {"progress": True}, [1]))  # nobody asked: dropped (decision 34)
    assert caller.take() == []
    callee.say(m.Yield(invocation.request, {}, [2]))
    assert caller.one(m.Result).args == [2]


def test_T_PCR_3_T_PCR_6_error_after_empty_progress(router, pair):
    caller, callee = pair
    number = caller.call("com.p", options={"receive_progress": True})
    serial = invoked(callee)
    callee.say(m.Yield(serial, {"progress": True}))
    callee.say(m.Error(68, serial, {}, "com.e"))
    assert caller.take() == [m.Result(number, {"progress": True}), m.Error(48, number, {}, "com.e")]


def test_T_PCR_4_caller_disconnects_during_the_stream(router, pair):
    caller, callee = pair
    caller.call("com.p", options={"receive_progress": True})
    serial = invoked(callee)
    callee.say(m.Yield(serial, {"progress": True}, [1]))
    caller.drop()
    assert callee.one(m.Interrupt) == m.Interrupt(serial, {"mode": "killnowait"})
    callee.say(m.Yield(serial, {"progress": True}, [2]))
    assert not callee.is_closing


def test_progress_after_kill_is_dropped(router, pair):
    caller, callee = pair
    number = caller.call("com.p", options={"receive_progress": True})
    serial = invoked(callee)
    caller.say(m.Cancel(number, {"mode": "kill"}))
    callee.say(m.Yield(serial, {"progress": True}, [1]))
    assert caller.take() == []
    callee.say(m.Yield(serial, {}, [2]))
    assert caller.one(m.Result).args == [2]


def test_yield_option_of_the_wrong_type(router, pair):
    caller, callee = pair
    caller.call("com.p")
    callee.say(m.Yield(invoked(callee), {"progress": 1}))
    assert_aborted(callee)
    caller.one(m.Error)


# ---- links that are gone before the router knows ----


def test_call_to_a_callee_whose_link_is_gone(router, pair):
    caller, callee = pair
    callee.is_open = False
    number = caller.call("com.p")
    assert caller.take() == []
    callee.session.onClose(False)
    error_of(caller, 48, number, "wamp.error.canceled")


@pytest.mark.parametrize("answer", [m.Yield(1, {}), m.Error(68, 1, {}, "com.e")])
def test_answer_to_a_caller_whose_link_is_gone(router, pair, answer):
    caller, callee = pair
    caller.call("com.p")
    callee.take()
    caller.is_open = False
    callee.say(answer)
    caller.session.onClose(False)
    assert callee.take() == []
    assert not callee.session.invocations

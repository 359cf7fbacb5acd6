"""Limits per session, strict URIs, strict request ids."""

import pytest

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.exception import ApplicationError
from router.fakes import EVERYTHING, Clock, Link, assert_aborted, error_of, joined

LIMIT = "autobahn.error.limit_exceeded"


def test_registrations_per_session():
    router = Router(realm_options=RealmOptions(max_registrations=2))
    link, other = joined(router, 2)
    one = link.register("com.p1")
    link.register("com.p2", invoke="first")
    link.say(m.Register(50, {}, "com.p3"))
    assert "at most 2 registrations" in error_of(link, 64, 50, LIMIT)
    assert link.register("com.p2", invoke="first") == 2  # holds it already
    other.register("com.p3")
    link.say(m.Unregister(51, one)).take()
    link.register("com.p4")


def test_subscriptions_per_session():
    router = Router(realm_options=RealmOptions(max_subscriptions=2))
    link, other = joined(router, 2)
    one = link.subscribe("com.t1")
    link.subscribe("com.", match="prefix")
    link.say(m.Subscribe(50, {}, "com.t3"))
    assert "at most 2 subscriptions" in error_of(link, 32, 50, LIMIT)
    assert len(router.realms["realm1"].broker.subscriptions) == 2
    assert link.subscribe("com.t1") == one
    other.subscribe("com.t3")
    link.say(m.Unsubscribe(51, one)).take()
    link.subscribe("com.t3")


def test_calls_in_flight_per_session():
    router = Router(realm_options=RealmOptions(max_calls=2))
    caller, callee = joined(router, 2, roles=EVERYTHING)
    callee.register("com.p")
    numbers = [caller.call("com.p") for _ in range(3)]
    assert "at most 2 calls in flight" in error_of(caller, 48, numbers[2], LIMIT)
    assert len(callee.take()) == 2
    callee.say(m.Yield(1, {}))
    caller.one(m.Result)
    number = caller.next()
    caller.say(m.Call(number, {"progress": True}, "com.p"))
    caller.say(m.Call(number, {"progress": True}, "com.p"))  # the same call
    assert caller.take() == []
    callee.take()
    callee.say(m.Yield(3, {}))  # an ended stream is no call in flight
    caller.one(m.Result)
    caller.call("com.p")
    assert caller.take() == []
    number = caller.next()
    caller.say(m.Call(number, {"progress": True}, "com.p"))
    caller.say(m.Call(number, {}, "com.p"))
    error_of(caller, 48, number, LIMIT)
    error_of(caller, 48, caller.call("com.nothing"), LIMIT)
    callee.call("com.p")  # each session has its own
    assert callee.take()


def test_no_such_procedure_within_the_limit():
    router = Router(realm_options=RealmOptions(max_calls=2))
    (caller,) = joined(router, 1)
    error_of(caller, 48, caller.call("com.nothing"), "wamp.error.no_such_procedure")


# ---- strict URIs ----


@pytest.mark.parametrize("uri", ["com.my-app", "Com.x", "com.größe", "com.x!"])
def test_T_URI_1_strict(uri):
    loose, strict = Router(), Router(realm_options=RealmOptions(strict_uris=True))
    for router in (loose, strict):
        (link,) = joined(router, 1)
        for code, say in [
            (64, lambda: link.say(m.Register(50, {}, uri))),
            (64, lambda: link.say(m.Register(50, {"match": "prefix"}, uri + "."))),
            (32, lambda: link.say(m.Subscribe(50, {"match": "wildcard"}, uri + ".."))),
            (16, lambda: link.say(m.Publish(50, {"acknowledge": True}, uri))),
        ]:
            say()
            if router is strict:
                assert "strict" in error_of(link, code, 50, "wamp.error.invalid_uri")
            else:
                assert not isinstance(link.take()[0], m.Error)
        if router is strict:
            error_of(link, 48, link.call(uri + ".nothing"), "wamp.error.invalid_uri")
    link.call("wamp.session.count")
    assert link.one(m.Result).args == [1]
    link.register("com.my_app.x1")


# ---- request ids (IDSEQ) ----


@pytest.fixture
def strict():
    return Router(realm_options=RealmOptions(strict_request_ids=True))


def requests(number):
    return [
        m.Publish(number, {}, "com.t"),
        m.Subscribe(number, {}, "com.t"),
        m.Unsubscribe(number, 99),
        m.Call(number, {}, "com.p"),
        m.Register(number, {}, "com.p"),
        m.Unregister(number, 99),
    ]


def test_T_IDSEQ_1_strict_in_sequence(strict):
    link = Link(strict).join()
    for i in range(12):
        link.say(requests(i + 1)[i % 6])
    assert not link.is_closing
    link.take()
    link.say(m.Goodbye({}, "a.b")).take()
    link.join()  # T-ID-2: counting starts again
    link.say(m.Subscribe(1, {}, "com.t"))
    link.one(m.Subscribed)


@pytest.mark.parametrize("number", [1, 3, 4, 2**53])
@pytest.mark.parametrize("which", range(6))
def test_T_IDSEQ_1_strict_out_of_sequence(strict, number, which):
    link = Link(strict).join()
    link.say(m.Register(1, {}, "com.p")).take()
    assert_aborted(link.say(requests(number)[which]))


@pytest.mark.parametrize("number", [2**53, 17, 3])
def test_T_IDSEQ_2_relaxed(number):
    link = Link(Router()).join()
    for msg in requests(number):
        link.say(msg)
    assert not link.is_closing


def test_T_ID_4_strict_ids_wrap(strict):
    link = Link(strict).join()
    link.session.last_request = 2**53 - 1
    link.say(m.Subscribe(2**53, {}, "com.t")).say(m.Subscribe(1, {}, "com.t2"))
    assert [type(msg) for msg in link.take()] == [m.Subscribed, m.Subscribed]


def test_T_IDSEQ_1_a_refused_request_uses_its_id_whoever_refuses(strict):
    link = Link(strict).join()
    table = link.session._table = dict(link.session._table)

    def deny(peer, msg):
        raise ApplicationError("wamp.error.not_authorized")

    for code in (16, 32, 48, 64):
        table[code] = deny
    for i, msg in enumerate([m.Publish(0, {}, "a.b"), m.Subscribe(0, {}, "a.b"), m.Call(0, {}, "a.b")]):
        msg.request = i + 1
        link.say(msg)
    link.say(m.Unsubscribe(4, 9))
    assert [type(msg) for msg in link.take()] == [m.Error] * 3
    assert not link.is_closing


def test_T_PCI_8_streams_with_strict_ids(strict):
    caller, callee = joined(strict, 2, roles=EVERYTHING)
    callee.say(m.Register(1, {}, "com.p")).take()
    caller.say(m.Call(1, {"progress": True}, "com.p"))
    caller.say(m.Call(2, {"progress": True}, "com.p"))
    caller.say(m.Call(1, {"progress": True}, "com.p"))
    callee.take()
    callee.say(m.Yield(1, {}))
    caller.say(m.Call(1, {}, "com.p"))  # within the grace
    caller.one(m.Result)
    caller.say(m.Publish(3, {}, "com.t"))
    assert not caller.is_closing
    caller.say(m.Call(1, {}, "com.p"))  # the stream is over
    assert_aborted(caller)


def test_T_PCI_8_id_jump(strict):
    (caller,) = joined(strict, 1, roles=EVERYTHING)
    assert_aborted(caller.say(m.Call(2, {"progress": True}, "com.p")))


# ---- what is announced follows what is configured ----


def announced(router):
    roles = Link(router).join().welcome.details["roles"]
    return {f"{role}.{name}" for role, details in roles.items() for name in details["features"]}


@pytest.mark.parametrize(
    ("options", "more", "less"),
    [
        ({"history": (HistoryTopic("com.t"),)}, {"broker.event_history"}, set()),
        ({"trustlevels": {}}, {"broker.publication_trustlevels", "dealer.call_trustlevels"}, set()),
        ({"disclose_caller": "never"}, set(), {"dealer.caller_identification"}),
        ({"disclose_publisher": "never"}, set(), {"broker.publisher_identification"}),
        ({"disclose_publisher": "always", "call_queue": 5, "max_calls": 5, "strict_uris": True}, set(), set()),
    ],
)
def test_T_FEAT_1_by_configuration(options, more, less):
    usual = announced(Router())
    assert announced(Router(realm_options=RealmOptions(**options))) == (usual | more) - less
    assert announced(Router(runtime=Clock())) == usual | {"dealer.call_timeout"}

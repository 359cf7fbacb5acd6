"""The meta API."""

from datetime import UTC, datetime

import pytest

from autobahn.router import RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, assert_aborted, error_of, joined

NOW = datetime.now(UTC)


@pytest.fixture
def router():
    """Where the role anonymous may kill, so that most tests need no other."""
    return Router(realm_options=RealmOptions(meta_kill_roles=frozenset({"anonymous"})))


@pytest.fixture
def link(router):
    return Link(router).join()


def ask(link, procedure, *args, **kwargs):
    link.call(f"wamp.{procedure}", *args, **kwargs)
    return link.one(m.Result).args


def refused(link, uri, procedure, *args, **kwargs):
    number = link.call(f"wamp.{procedure}", *args, **kwargs)
    return error_of(link, 48, number, f"wamp.error.{uri}")


class Watch:
    """A session that listens to meta events."""

    def __init__(self, router, *topics, match="exact"):
        self.link = Link(router).join()
        self.topics = {self.link.subscribe(f"wamp.{topic}", match=match): topic for topic in topics}

    def take(self):
        return [
            (event.details.get("topic", self.topics[event.subscription]), *event.args) for event in self.link.take()
        ]


def identity(link):
    details = link.welcome.details
    return [link.welcome.session, details["authid"], details["authrole"]]


# ---- sessions (11.1) ----


@pytest.mark.parametrize("codec", [None, *CODECS.values()])
def test_T_SM_1_T_SM_2_T_SM_14_join_and_leave(router, codec):
    watch = Watch(router, "session.on_join", "session.on_leave")
    for leave in (Link.drop, lambda link: link.say(m.Goodbye({}, "a.b"))):
        link = Link(router, codec).join()
        number, authid, authrole = identity(link)
        assert watch.take() == [
            (
                "session.on_join",
                {
                    "session": number,
                    "authid": authid,
                    "authrole": authrole,
                    "authmethod": "anonymous",
                    "authprovider": "static",
                },
            )
        ]
        leave(link)
        assert watch.take() == [("session.on_leave", number, authid, authrole)]


@pytest.mark.parametrize("codec", [None, *CODECS.values()])
def test_T_SM_3_T_SM_4_T_SM_13_count_and_list(router, codec):
    link, *others = Link(router, codec).join(), *joined(router, 3)
    for other, role in zip(others, "aab", strict=True):
        other.session.authrole = role
    ids = [each.welcome.session for each in (link, *others)]
    assert ask(link, "session.count") == [4]
    assert ask(link, "session.list") == [ids]
    assert ask(link, "session.count", ["a", "c"]) == [2]
    assert ask(link, "session.list", ["a", "anonymous"]) == [ids[:3]]
    assert ask(link, "session.list", filter_authroles=["b"]) == [ids[3:]]
    assert ask(link, "session.count", []) == [0]
    for bad in ("a", [1], 5):
        refused(link, "invalid_argument", "session.count", bad)


def test_T_SM_5_get(router, link):
    (other,) = joined(router, 1)
    (details,) = ask(link, "session.get", other.welcome.session)
    assert [details[key] for key in ("session", "authid", "authrole")] == identity(other)
    refused(link, "no_such_session", "session.get", 4711)
    refused(link, "invalid_argument", "session.get", "x")
    refused(link, "invalid_argument", "session.get")
    refused(link, "invalid_argument", "session.get", 1, 2)
    refused(link, "invalid_argument", "session.get", 1, zzz=2)


def test_T_SM_6_T_SM_12_kill(router, link):
    a, b = joined(router, 2)
    watch = Watch(router, "session.on_leave")
    link.call("wamp.session.kill", a.welcome.session)
    assert link.one(m.Result).args == []
    assert a.one(m.Goodbye) == m.Goodbye({}, "wamp.close.killed")
    ask(link, "session.kill", b.welcome.session, reason="com.myapp.bye", message="too loud")
    assert b.one(m.Goodbye) == m.Goodbye({"message": "too loud"}, "com.myapp.bye")
    assert [args[1] for args in watch.take()] == [a.welcome.session, b.welcome.session]
    refused(link, "no_such_session", "session.kill", a.welcome.session)


def test_T_SM_7_kill_by_authid(router, link):
    others = joined(router, 3)
    for other in (*others[:2], link):
        other.session.authid = "joe"
    ids = [other.welcome.session for other in others[:2]]
    assert ask(link, "session.kill_by_authid", "joe", message="out") == [ids]
    assert [other.one(m.Goodbye).details for other in others[:2]] == [{"message": "out"}] * 2
    assert others[2].take() == []
    assert ask(link, "session.kill_by_authid", "nobody") == [[]]
    refused(link, "invalid_argument", "session.kill_by_authid", 5)


def test_T_SM_8_kill_by_authrole(router, link):
    others = joined(router, 3)
    assert ask(link, "session.kill_by_authrole", "anonymous", reason="a.b") == [3]
    assert [other.one(m.Goodbye).reason for other in others] == ["a.b"] * 3
    assert ask(link, "session.kill_by_authrole", "anonymous") == [0]


def test_T_SM_9_T_SM_15_kill_all_is_silent(router, link):
    watch = Watch(router, "session.on_leave", "registration.on_unregister", "subscription.on_unsubscribe")
    killer = Watch(router, "session.on_leave", "registration.on_unregister", "subscription.on_unsubscribe")
    (other,) = joined(router, 1)
    other.register("com.p")
    other.subscribe("com.t")
    killer.link.subscribe("com.testament")
    ask(other, "session.add_testament", "com.testament", [], {})
    assert ask(killer.link, "session.kill_all", reason="a.b") == [3]
    assert killer.take() == []
    assert [type(msg) for msg in watch.link.take()] == [m.Goodbye]
    other.one(m.Goodbye)
    assert ask(killer.link, "session.count") == [1]
    (other,) = joined(router, 1)
    other.drop()
    assert len(killer.take()) == 1  # not silent any more


def test_T_SM_10_own_id(link):
    refused(link, "no_such_session", "session.kill", link.welcome.session)


@pytest.mark.parametrize("procedure", ["kill", "kill_by_authid", "kill_by_authrole", "kill_all"])
def test_T_SM_11_bad_reasons(router, link, procedure):
    (other,) = joined(router, 1)
    args = {"kill": [other.welcome.session], "kill_all": []}.get(procedure, ["anonymous"])
    refused(link, "invalid_uri", f"session.{procedure}", *args, reason="not a uri")
    refused(link, "invalid_argument", f"session.{procedure}", *args, reason=5)
    refused(link, "invalid_argument", f"session.{procedure}", *args, message=5)
    assert other.take() == []
    assert ask(link, "session.count") == [2]


@pytest.mark.parametrize(
    ("roles", "role", "is_allowed"),
    [
        (None, "anonymous", False),
        (None, "admin", True),
        (frozenset({"admin"}), "admin", True),
        (frozenset({"admin"}), "other", False),
        (frozenset(), "admin", False),
    ],
)
def test_who_may_kill(roles, role, is_allowed):
    router = Router(realm_options=RealmOptions(meta_kill_roles=roles))
    link, other = joined(router, 2)
    link.session.authrole = role
    procedure, topic = other.register("com.p"), other.subscribe("com.t")
    number = other.welcome.session
    for uri, *args in [
        ("registration.remove_callee", procedure, number),
        ("subscription.remove_subscriber", topic, number),
        ("session.kill", number),
        ("session.kill_by_authid", "x"),
        ("session.kill_by_authrole", "x"),
        ("session.kill_all",),
    ]:
        if is_allowed:
            ask(link, uri, *args)
        else:
            assert role in refused(link, "not_authorized", uri, *args)
    assert bool(other.take()) == is_allowed


# ---- registrations (11.2) ----


def test_T_RM_1_to_4_events_T_META_ord_T_META_created(router):
    watch = Watch(router, *(f"registration.on_{what}" for what in ("create", "register", "unregister", "delete")))
    a, b = joined(router, 2)
    number = a.register("com.p", invoke="roundrobin")
    b.register("com.p", invoke="roundrobin")
    create, one, two = watch.take()
    created = create[2].pop("created")
    assert abs((datetime.fromisoformat(created) - NOW).total_seconds()) < 3600
    assert created.endswith("Z")
    ids = [a.welcome.session, b.welcome.session]
    assert create == (
        "registration.on_create",
        ids[0],
        {"id": number, "uri": "com.p", "match": "exact", "invoke": "roundrobin"},
    )
    assert [one, two] == [("registration.on_register", each, number) for each in ids]
    a.say(m.Unregister(9, number))
    assert watch.take() == [("registration.on_unregister", ids[0], number)]
    b.drop()
    assert watch.take() == [
        ("registration.on_unregister", ids[1], number),
        ("registration.on_delete", ids[1], number),
    ]


def test_T_RM_5_to_7_list_lookup_match(router, link):
    callee = joined(router, 1)[0]
    exact = callee.register("com.a.b")
    prefix = callee.register("com.a", match="prefix")
    wildcard = callee.register("com..b", match="wildcard")
    assert ask(link, "registration.list") == [{"exact": [exact], "prefix": [prefix], "wildcard": [wildcard]}]
    assert ask(link, "registration.lookup", "com.a.b") == [exact]
    assert ask(link, "registration.lookup", "com.a", {"match": "prefix"}) == [prefix]
    assert ask(link, "registration.lookup", "com.a", options={"match": "wildcard"}) == [None]
    assert ask(link, "registration.lookup", "com.a") == [None]
    assert ask(link, "registration.match", "com.a.b") == [exact]
    assert ask(link, "registration.match", "com.a.x") == [prefix]
    assert ask(link, "registration.match", "com.z.b") == [wildcard]
    assert ask(link, "registration.match", "org.z") == [None]
    callee.register("", match="prefix")
    assert ask(link, "registration.match", "wamp.nothing") == [None]
    (own,) = ask(link, "registration.match", "wamp.session.count")
    assert ask(link, "registration.lookup", "wamp.session.count") == [own]
    for bad in ([5], ["a", 5], ["a", {"match": "regex"}], []):
        refused(link, "invalid_argument", "registration.lookup", *bad)
    refused(link, "invalid_argument", "registration.match", 5)


def test_T_RM_8_to_10_get_and_callees(router, link):
    callees = joined(router, 2)
    (number,) = {callee.register("com.", match="prefix", invoke="random") for callee in callees}
    (details,) = ask(link, "registration.get", number)
    assert datetime.fromisoformat(details.pop("created")).tzinfo is not None
    assert details == {"id": number, "uri": "com.", "match": "prefix", "invoke": "random"}
    ids = [callee.welcome.session for callee in callees]
    assert ask(link, "registration.list_callees", number) == [ids]
    assert ask(link, "registration.count_callees", number) == [2]
    for what in ("get", "list_callees", "count_callees"):
        refused(link, "no_such_registration", f"registration.{what}", 4711)
        refused(link, "invalid_argument", f"registration.{what}", "com.")
        refused(link, "invalid_argument", f"registration.{what}")


def test_T_RREV_remove_callee(router, link):
    watch = Watch(router, "registration.on_unregister", "registration.on_delete")
    callee = Link(router).join(roles=EVERYTHING)
    number, session = callee.register("com.p"), callee.welcome.session
    refused(link, "no_such_session", "registration.remove_callee", number, link.welcome.session)
    refused(link, "no_such_registration", "registration.remove_callee", 4711, session)
    refused(link, "invalid_uri", "registration.remove_callee", number, session, reason="a b")
    assert ask(link, "registration.remove_callee", number, session, reason="a.b") == []
    assert callee.one(m.Unregistered) == m.Unregistered(0, {"registration": number, "reason": "a.b"})
    assert [event[0] for event in watch.take()] == ["registration.on_unregister", "registration.on_delete"]
    (own,) = ask(link, "registration.lookup", "wamp.session.count")
    (house,) = ask(link, "registration.list_callees", own)
    refused(link, "no_such_session", "registration.remove_callee", own, house[0])


# ---- subscriptions (11.3) ----


def test_T_UM_1_to_4_events(router):
    watch = Watch(router, *(f"subscription.on_{what}" for what in ("create", "subscribe", "unsubscribe", "delete")))
    a, b = joined(router, 2)
    number = a.subscribe("com.", match="prefix")
    b.subscribe("com.", match="prefix")
    create, one, two = watch.take()
    ids = [a.welcome.session, b.welcome.session]
    assert datetime.fromisoformat(create[2].pop("created"))
    assert create == ("subscription.on_create", ids[0], {"id": number, "uri": "com.", "match": "prefix"})
    assert [one, two] == [("subscription.on_subscribe", each, number) for each in ids]
    a.drop()
    b.say(m.Unsubscribe(9, number))
    assert watch.take() == [
        ("subscription.on_unsubscribe", ids[0], number),
        ("subscription.on_unsubscribe", ids[1], number),
        ("subscription.on_delete", ids[1], number),
    ]


def test_T_UM_the_causing_session_is_a_receiver(router):
    watch = Watch(router, "subscription.on_subscribe", "registration.on_register", "session.on_join")
    watch.link.say(m.Subscribe(50, {}, "com.t")).say(m.Register(51, {}, "com.p"))
    assert [type(msg) for msg in watch.link.take()] == [m.Subscribed, m.Event, m.Registered, m.Event]


def test_T_UM_5_to_7_list_lookup_match(router, link):
    subscriber = joined(router, 1)[0]
    exact = subscriber.subscribe("com.a.b")
    prefix = subscriber.subscribe("com.a", match="prefix")
    wildcard = subscriber.subscribe("com..b", match="wildcard")
    subscriber.subscribe("wamp.session.on_join")
    assert ask(link, "subscription.list") == [{"exact": [exact], "prefix": [prefix], "wildcard": [wildcard]}]
    assert ask(link, "subscription.lookup", "com.a.b") == [exact]
    assert ask(link, "subscription.lookup", "com..b", {"match": "wildcard"}) == [wildcard]
    assert ask(link, "subscription.lookup", "com.z") == [None]
    assert ask(link, "subscription.match", "com.a.b") == [[exact, prefix, wildcard]]
    assert ask(link, "subscription.match", "com.z.b") == [[wildcard]]
    assert ask(link, "subscription.match", "org.z") == [None]
    refused(link, "invalid_argument", "subscription.match", 5)
    refused(link, "invalid_argument", "subscription.lookup", "x", {"match": 5})


def test_T_UM_8_to_10_get_and_subscribers(router, link):
    subscribers = joined(router, 2)
    (number,) = {each.subscribe("com.t") for each in subscribers}
    (details,) = ask(link, "subscription.get", number)
    assert datetime.fromisoformat(details.pop("created")).tzinfo is not None
    assert details == {"id": number, "uri": "com.t", "match": "exact"}
    assert ask(link, "subscription.list_subscribers", number) == [[each.welcome.session for each in subscribers]]
    assert ask(link, "subscription.count_subscribers", number) == [2]
    for what in ("get", "list_subscribers", "count_subscribers", "get_events"):
        refused(link, "no_such_subscription", f"subscription.{what}", 4711)
        refused(link, "invalid_argument", f"subscription.{what}", None)


def test_T_SREV_3_remove_subscriber(router, link):
    subscriber = Link(router).join(roles=EVERYTHING)
    number, session = subscriber.subscribe("com.t"), subscriber.welcome.session
    refused(link, "no_such_session", "subscription.remove_subscriber", number, link.welcome.session)
    refused(link, "no_such_subscription", "subscription.remove_subscriber", 4711, session)
    refused(link, "invalid_argument", "subscription.remove_subscriber", number, "x")
    ask(link, "subscription.remove_subscriber", number, session, reason="a.b")
    assert subscriber.one(m.Unsubscribed) == m.Unsubscribed(0, {"subscription": number, "reason": "a.b"})
    refused(link, "no_such_subscription", "subscription.get", number)


# ---- the rules for all of them ----


def test_T_META_noself_nothing_about_wamp(router):
    watch = Watch(router, "subscription.", "registration.", match="prefix")
    assert watch.take() == []
    others = Watch(router, "subscription.on_subscribe", "subscription.on_create")
    assert watch.take() == others.take() == []
    others.link.drop()
    router.realms["realm1"].house.serve({"wamp.more.sum": lambda caller, a, b: [a + b]})
    assert watch.take() == []
    assert ask(Link(router).join(), "more.sum", 1, 2) == [3]


def test_patterns_get_the_routers_events_only_if_they_ask_for_them(router):
    link = Link(router).join()
    for pattern, match in [("", "prefix"), ("w", "prefix"), ("..", "wildcard")]:
        link.subscribe(pattern, match=match)
    Link(router).join().drop()
    assert link.take() == []
    for pattern, match in [("wamp", "prefix"), ("wamp..on_join", "wildcard"), ("wamp.session.", "prefix")]:
        number = link.subscribe(pattern, match=match)
        other = Link(router).join()
        event = link.one(m.Event)
        assert (event.subscription, event.details) == (number, {"topic": "wamp.session.on_join"})
        link.say(m.Unsubscribe(9, number)).take()
        other.drop()


def test_T_META_it_is_an_ordinary_session(router, link):
    (own,) = ask(link, "registration.lookup", "wamp.session.count")
    (details,) = ask(link, "registration.get", own)
    assert (details["uri"], details["match"], details["invoke"]) == ("wamp.session.count", "exact", "single")
    (house,) = ask(link, "registration.list_callees", own)
    assert house[0] not in ask(link, "session.list")[0]
    link.say(m.Register(50, {"force_reregister": True}, "wamp.session.count"))
    error_of(link, 64, 50, "wamp.error.invalid_uri")
    link.say(m.Unregister(51, own))
    error_of(link, 66, 51, "wamp.error.no_such_registration")
    number = link.publish("wamp.session.on_join", options={"acknowledge": True})
    error_of(link, 16, number, "wamp.error.invalid_uri")
    number = link.call("wamp.session.count", options={"timeout": 5, "receive_progress": True, "disclose_me": True})
    assert link.one(m.Result) == m.Result(number, {}, [1])
    assert link.session.is_idle
    assert not router.realms["realm1"].house.invocations


def test_disclosure_policies_do_not_hide_the_caller_from_the_router():
    router = Router(realm_options=RealmOptions(disclose_caller="never", meta_kill_roles=frozenset({"anonymous"})))
    link, other = joined(router, 2)
    refused(link, "no_such_session", "session.kill", link.welcome.session)
    ask(link, "session.kill", other.welcome.session)
    other.one(m.Goodbye)


def test_a_violation_by_a_payload_that_is_none(router, link):
    link.say(m.Call(1, {}, "wamp.session.count", [], {1: 2}))
    (message,) = link.take()
    assert isinstance(message, (m.Error, m.Abort))
    other = Link(router).join()
    other.call("com.nothing")
    other.say(m.Cancel(1, {"mode": "now"}))
    assert_aborted(other)


def test_two_realms_know_nothing_of_each_other():
    router = Router(realms=["realm1", "realm2"])
    watch = Watch(router, "session.on_join")
    other = Link(router).join("realm2")
    assert watch.take() == []
    assert ask(other, "session.count") == [1]


def test_events_in_the_order_of_a_session_that_leaves(router):
    watch = Watch(router, "", match="prefix")
    watch.link.say(m.Subscribe(9, {}, "com.last"))
    link = Link(router).join()
    p, t = link.register("com.p"), link.subscribe("com.t")
    ask(link, "session.add_testament", "com.last", [], {})
    watch.link.take()
    link.drop()
    topics = [event.details.get("topic", "com.last") for event in watch.link.take()]
    assert topics == [
        "wamp.subscription.on_unsubscribe",
        "wamp.subscription.on_delete",
        "wamp.registration.on_unregister",
        "wamp.registration.on_delete",
        "com.last",
        "wamp.session.on_leave",
    ]
    assert p
    assert t


def test_an_id_may_come_as_an_integral_float(router, link):
    """JavaScript peers send an id above 2^32 so, with MessagePack and CBOR."""
    other = Link(router).join()
    assert ask(link, "session.get", float(other.session.id))[0]["session"] == other.session.id
    refused(link, "invalid_argument", "session.get", other.session.id + 0.5 if other.session.id < 2**50 else 1.5)
    subscription = other.subscribe("com.example.topic")
    assert ask(link, "subscription.count_subscribers", float(subscription)) == [1]
    link.call("wamp.session.kill", float(other.session.id))
    link.one(m.Result)
    assert other.session.id not in ask(link, "session.list")[0]

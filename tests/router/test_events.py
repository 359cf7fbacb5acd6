"""Retained events, revoked subscriptions, what events disclose, acknowledged delivery."""

import pytest

from autobahn.router import RealmObserver, RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, assert_aborted, error_of, joined


@pytest.fixture
def router():
    return Router()


def late(router, topic, match="exact", codec=None, **attributes):
    """The events a new subscriber gets at once."""
    link = Link(router, codec).join(roles=EVERYTHING)
    for name, value in attributes.items():
        setattr(link.session, name, value)
    link.say(m.Subscribe(1, {"match": match, "get_retained": True}, topic))
    subscribed, *events = link.take()
    assert isinstance(subscribed, m.Subscribed)
    assert all(event.subscription == subscribed.subscription for event in events)
    return events


# ---- retention (10.8) ----


@pytest.mark.parametrize("source", [None, *CODECS.values()])
@pytest.mark.parametrize("target", [None, *CODECS.values()])
def test_T_RET_1_T_RET_5_a_late_subscriber_gets_it_and_the_others_are_not_told(router, source, target):
    publisher, subscriber = Link(router, source).join(), Link(router).join()
    subscriber.subscribe("com.t")
    publisher.publish("com.t", 1, b"\x00", options={"retain": True, "acknowledge": True}, key=[2])
    number = publisher.one(m.Published).publication
    live = subscriber.one(m.Event)
    assert live.details == {}  # T-RET-5
    (event,) = late(router, "com.t", codec=target)
    assert (event.publication, event.details, event.args, event.kwargs) == (
        number,  # decision 18
        {"retained": True},
        [1, b"\x00"],
        {"key": [2]},
    )
    assert live.publication == number
    publisher.drop()
    assert len(late(router, "com.t")) == 1


def test_T_RET_2_the_second_replaces_the_first(router):
    (publisher,) = joined(router, 1)
    for i in range(3):
        publisher.publish("com.t", i, options={"retain": True})
    publisher.publish("com.t", "not retained")
    assert [event.args for event in late(router, "com.t")] == [[2]]


@pytest.mark.parametrize(
    "options",
    [
        {"eligible": [1]},
        {"eligible": []},
        {"eligible_authid": ["somebody"]},
        {"eligible_authrole": ["role-x"]},
        {"exclude_authid": ["me"]},
        {"exclude_authrole": ["role-y"]},
    ],
)
def test_T_RET_3_who_is_not_eligible_gets_an_older_one_or_none(router, options):
    (publisher,) = joined(router, 1)
    publisher.publish("com.t", "secret", options={"retain": True, **options})
    assert late(router, "com.t", authid="me", authrole="role-y") == []
    publisher.publish("com.t", "for all", options={"retain": True})
    publisher.publish("com.t", "secret", options={"retain": True, **options})
    (event,) = late(router, "com.t", authid="me", authrole="role-y")
    assert event.args == ["for all"]
    if "authid" in str(options) or "authrole" in str(options):
        (event,) = late(router, "com.t", authid="somebody", authrole="role-x")
        assert event.args == ["secret"]


def test_T_RET_3_exclude_by_session_id(router):
    publisher, link = joined(router, 2)
    publisher.publish("com.t", options={"retain": True, "exclude": [link.welcome.session]})
    link.subscribe("com.t", get_retained=True)
    assert len(late(router, "com.t")) == 1


def test_T_RET_4_without_the_flag_nothing(router):
    publisher, link = joined(router, 2)
    publisher.publish("com.t", options={"retain": True})
    link.subscribe("com.t")
    link.subscribe("com.t", get_retained=False)
    link.say(m.Subscribe(9, {"get_retained": True}, "com.t"))  # asked for, though it is subscribed already
    assert [type(msg) for msg in link.take()] == [m.Subscribed, m.Event]


@pytest.mark.parametrize(
    ("match", "pattern", "topics"),
    [
        ("prefix", "com.", ["com.a.x", "com.b.x", "com.c"]),
        ("prefix", "", ["com.a.x", "com.b.x", "org.a.x", "com.c"]),
        ("wildcard", "com..x", ["com.a.x", "com.b.x"]),
        ("wildcard", "..x", ["com.a.x", "com.b.x", "org.a.x"]),
    ],
)
def test_T_RET_6_patterns(router, match, pattern, topics):
    (publisher,) = joined(router, 1)
    for topic in ("com.c", "com.a.x", "com.b.x", "org.a.x", "com.c"):
        publisher.publish(topic, options={"retain": True, "disclose_me": True})
    events = late(router, pattern, match)
    assert [event.details["topic"] for event in events] == topics
    assert all(event.details["retained"] for event in events)
    assert {event.details["publisher"] for event in events} == {publisher.welcome.session}


def test_T_RET_6_prefix_by_component():
    router = Router(realm_options=RealmOptions(prefix_match="uri-component"))
    (publisher,) = joined(router, 1)
    for topic in ("com.a", "com.ab", "com.a.b"):
        publisher.publish(topic, options={"retain": True})
    assert [event.details["topic"] for event in late(router, "com.a", "prefix")] == ["com.a", "com.a.b"]


def test_T_RET_clear_and_bounds():
    router = Router(realm_options=RealmOptions(max_retained=2))
    (publisher,) = joined(router, 1)
    retention = router.realms["realm1"].broker.retention
    for topic in ("com.a", "com.b", "com.a", "com.c"):
        publisher.publish(topic, options={"retain": True})
    assert len(retention) == 2
    assert late(router, "com.b") == []
    assert retention.clear("com.a")
    assert not retention.clear("com.a")
    assert late(router, "com.a") == []
    for i in range(40):
        publisher.publish("com.c", i, options={"retain": True, "eligible_authid": [f"id{i}"]})
    assert [event.args for event in late(router, "com.c", authid="id30")] == [[30]]
    assert late(router, "com.c", authid="id3") == []  # only so many are kept


def test_retained_publication_that_is_refused(router):
    (link,) = joined(router, 1)
    link.publish("wamp.t", options={"retain": True})
    link.publish("a b", options={"retain": True})
    assert len(router.realms["realm1"].broker.retention) == 0


# ---- revocation (10.7) ----


def test_T_SREV_1_T_SREV_2_revocation(router):
    publisher = Link(router).join()
    told, untold = Link(router).join(roles=EVERYTHING), Link(router).join()
    broker = router.realms["realm1"].broker
    number = told.subscribe("com.t")
    assert untold.subscribe("com.t") == number
    subscription = broker.by_id[number]
    broker.revoke(told.session, subscription, "com.myapp.reason")
    assert told.one(m.Unsubscribed) == m.Unsubscribed(0, {"subscription": number, "reason": "com.myapp.reason"})
    publisher.publish("com.t")
    assert told.take() == []
    untold.one(m.Event)
    broker.revoke(untold.session, subscription)
    assert untold.take() == []
    told.say(m.Unsubscribe(9, number))
    error_of(told, 34, 9, "wamp.error.no_such_subscription")
    assert not broker.by_id
    again = told.subscribe("com.t")
    broker.revoke(told.session, broker.by_id[again])
    assert told.one(m.Unsubscribed) == m.Unsubscribed(0, {"subscription": again})


# ---- identification and trust (10.3, 10.4) ----


def test_T_PID_2_policy_never():
    router = Router(realm_options=RealmOptions(disclose_publisher="never"))
    publisher, subscriber = joined(router, 2)
    assert "publisher_identification" not in publisher.welcome.details["roles"]["broker"]["features"]
    subscriber.subscribe("com.t")
    publisher.publish("com.t", options={"disclose_me": True})
    assert publisher.take() == subscriber.take() == []
    number = publisher.publish("com.t", options={"disclose_me": True, "acknowledge": True})
    error_of(publisher, 16, number, "wamp.error.option_disallowed.disclose_me")
    publisher.publish("com.t", options={"disclose_me": False})
    assert subscriber.one(m.Event).details == {}


def test_T_PID_3_policy_always():
    router = Router(realm_options=RealmOptions(disclose_publisher="always"))
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("com.t")
    publisher.publish("com.t")
    assert subscriber.one(m.Event).details["publisher"] == publisher.welcome.session
    publisher.subscribe("com.t")
    publisher.publish("com.t", options={"acknowledge": True})
    publisher.one(m.Published)


def test_T_PTL_1_trustlevels():
    router = Router(realm_options=RealmOptions(trustlevels={"admin": 7}))
    publisher, subscriber = joined(router, 2)
    assert publisher.welcome.details["roles"]["broker"]["features"]["publication_trustlevels"]
    subscriber.subscribe("com.", match="prefix")
    publisher.publish("com.t")
    assert subscriber.one(m.Event).details == {"trustlevel": 0, "topic": "com.t"}
    publisher.session.authrole = "admin"
    publisher.publish("com.t", options={"exclude_me": False})
    assert subscriber.one(m.Event).details == {"trustlevel": 7, "topic": "com.t"}


def test_hops_and_hashes_are_carried(router):
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("com.t")
    hops = [{"session": 1, "authid": None, "authrole": "b"}]
    publisher.publish("com.t", options={"forward_for": hops, "transaction_hash": "abc"})
    assert subscriber.one(m.Event).details == {"forward_for": hops, "transaction_hash": "abc"}


# ---- acknowledged delivery (10.11) ----


def test_T_EACK_1_only_when_asked_for(router):
    seen = []

    class Listener(RealmObserver):
        def event_received(self, session, publication):
            seen.append((session.id, publication))

    router.realms["realm1"].observers.append(Listener())
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("com.t")
    publisher.publish("com.t")
    publisher.publish("com.t", options={"x_acknowledged_delivery": True})
    plain, asked = subscriber.take()
    assert plain.details == {}
    assert asked.details == {"x_acknowledged_delivery": True}
    subscriber.say(m.EventReceived(asked.publication))
    assert seen == [(subscriber.welcome.session, asked.publication)]
    assert publisher.take() == subscriber.take() == []


# ---- payload passthru (14) ----

PPT = {"ppt_scheme": "x_custom", "ppt_serializer": "cbor", "ppt_cipher": "aes256gcm", "ppt_keyid": "k1"}
PAYLOAD = b"\x00\xffopaque"


@pytest.mark.parametrize("name", ["json", "msgpack", "cbor", None])
def test_T_PPT_7_T_PPT_8_everything_is_carried(router, name):
    codec = CODECS[name] if name else None
    a = Link(router, CODECS["cbor"]).join(roles=EVERYTHING)
    b = Link(router, codec).join(roles=EVERYTHING)
    b.subscribe("com.t")
    b.register("com.p")
    a.publish("com.t", PAYLOAD, options=PPT)
    event = b.one(m.Event)
    assert (event.details, event.args) == (PPT, [PAYLOAD])
    number = a.call("com.p", PAYLOAD, options=PPT)
    invocation = b.one(m.Invocation)
    assert (invocation.details, invocation.args) == (PPT, [PAYLOAD])
    b.say(m.Yield(invocation.request, PPT, [PAYLOAD]))
    assert a.one(m.Result) == m.Result(number, PPT, [PAYLOAD])
    number = a.call("com.p", options={"receive_progress": True})
    serial = b.one(m.Invocation).request
    b.say(m.Yield(serial, {"progress": True, **PPT}, [PAYLOAD]))
    assert a.one(m.Result) == m.Result(number, {"progress": True, **PPT}, [PAYLOAD])
    b.say(m.Error(68, serial, PPT, "com.e", [PAYLOAD]))
    assert a.one(m.Error) == m.Error(48, number, PPT, "com.e", [PAYLOAD])


def test_T_PPT_1_sender_that_has_not_announced(router):
    peer = Link(router).join(roles=EVERYTHING)
    peer.register("com.p")
    for say in (
        lambda link: link.call("com.p", options=PPT),
        lambda link: link.publish("com.t", options=PPT),
    ):
        (link,) = joined(router, 1)
        say(link)
        assert_aborted(link)
    for answer in (m.Yield(1, PPT), m.Error(68, 1, PPT, "com.e")):
        (callee,) = joined(router, 1)
        callee.register("com.q")
        number = peer.call("com.q")
        callee.take()
        callee.say(answer)
        assert_aborted(callee)
        error_of(peer, 48, number, "wamp.error.canceled")


@pytest.mark.parametrize("options", [{"enc_algo": "cryptobox"}, {"enc_algo": "x_mine", "enc_key": "k"}])
def test_T_PPT_2_the_older_form_must_be_announced_as_well(router, options):
    link = Link(router).join(roles=EVERYTHING)
    assert link.welcome.details["roles"]["broker"]["features"]["payload_transparency"] is True
    link.publish("com.t", options=options)
    assert_aborted(link)


def test_T_PPT_3_callee_that_lacks_it(router):
    caller, callee = Link(router).join(roles=EVERYTHING), Link(router).join()
    callee.register("com.p")
    number = caller.call("com.p", options=PPT)
    error_of(caller, 48, number, "wamp.error.feature_not_supported")
    assert callee.take() == []
    assert caller.session.is_idle


def test_T_PPT_4_caller_that_lacks_it(router):
    caller, callee = Link(router).join(), Link(router).join(roles=EVERYTHING)
    callee.register("com.p")
    for answer in (m.Yield(0, PPT), m.Error(68, 0, PPT, "com.e"), m.Yield(0, {"progress": True, **PPT})):
        number = caller.call("com.p", options={"receive_progress": True})
        answer.request = callee.one(m.Invocation).request
        callee.say(answer)
        error_of(caller, 48, number, "wamp.error.feature_not_supported")
        is_last = answer.code != 70 or not answer.options.get("progress")
        assert [type(msg) for msg in callee.take()] == ([] if is_last else [m.Interrupt])
        callee.say(m.Yield(answer.request, {}))
        assert caller.take() == []
    assert caller.session.is_idle
    assert not callee.session.invocations


def test_T_PPT_5_subscriber_that_lacks_it_is_left_out(router):
    publisher, able = joined(router, 2, roles=EVERYTHING)
    (unable,) = joined(router, 1)
    for link in (able, unable):
        link.subscribe("com.t")
    publisher.publish("com.t", PAYLOAD, options={**PPT, "retain": True})
    able.one(m.Event)
    assert unable.take() == []
    unable.subscribe("com.t", get_retained=True)
    able.say(m.Subscribe(9, {"get_retained": True}, "com.t"))
    assert able.take()[1].details == {**PPT, "retained": True}


@pytest.mark.parametrize("options", [{"ppt_scheme": 5}, {"ppt_scheme": "mqtt", "ppt_keyid": 1}])
def test_T_PPT_6_wrong_types(router, options):
    link = Link(router).join(roles=EVERYTHING)
    link.publish("com.t", options=options)
    assert_aborted(link)

"""Publish and subscribe."""

import pytest

from autobahn.router import Router
from autobahn.wamp import message as m
from router.fakes import Link, assert_aborted, error_of, joined


@pytest.fixture
def router():
    return Router()


def test_T_PS_1_three_subscribers(router):
    publisher, *subscribers = joined(router, 4)
    ids = {link.subscribe("com.t") for link in subscribers}
    assert ids == {1}
    publisher.publish("com.t", 1, "zwei", key=[3])
    events = [link.one(m.Event) for link in subscribers]
    assert all((e.args, e.kwargs, e.details) == ([1, "zwei"], {"key": [3]}, {}) for e in events)
    assert len({e.publication for e in events}) == 1
    assert publisher.take() == []


def test_T_PS_1_one_session_that_publishes_two_events(router):
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("com.t")
    publisher.publish("com.t")
    publisher.publish("com.t")
    one, two = subscriber.take()
    assert one.publication != two.publication


def test_T_PS_2_T_PEX_publisher_gets_nothing_unless_asked(router):
    link, other = joined(router, 2)
    link.subscribe("com.t")
    other.subscribe("com.t")
    link.publish("com.t")
    link.publish("com.t", options={"exclude_me": True})
    link.publish("com.t", options={"exclude_me": None})
    assert link.take() == []
    link.publish("com.t", options={"exclude_me": False})
    link.one(m.Event)
    link.publish("com.t", options={"exclude_me": False, "exclude": [link.welcome.session]})
    assert link.take() == []
    assert len(other.take()) == 5


def test_T_PS_3_double_subscribe(router):
    link, publisher = joined(router, 2)
    first = link.subscribe("com.t")
    assert link.subscribe("com.t") == first
    publisher.publish("com.t")
    link.one(m.Event)
    link.say(m.Unsubscribe(9, first))
    link.one(m.Unsubscribed)
    publisher.publish("com.t")
    assert link.take() == []


def test_T_PS_4_unsubscribe_unknown_foreign_twice(router):
    link, other = joined(router, 2)
    number = link.subscribe("com.t")
    link.say(m.Unsubscribe(2, number + 1))
    assert "no subscription 2" in error_of(link, 34, 2, "wamp.error.no_such_subscription")
    other.say(m.Unsubscribe(1, number))
    error_of(other, 34, 1, "wamp.error.no_such_subscription")
    link.say(m.Unsubscribe(3, number))
    assert link.one(m.Unsubscribed) == m.Unsubscribed(3)
    link.say(m.Unsubscribe(4, number))
    error_of(link, 34, 4, "wamp.error.no_such_subscription")


def test_T_PS_5_acknowledge_after_all_events(router):
    order = []
    publisher, *subscribers = joined(router, 3)
    for link in (publisher, *subscribers):
        link.subscribe("com.t")
        link.session.send = lambda msg, link=link: (order.append(link), link.send(msg))
    number = publisher.publish("com.t", options={"acknowledge": True, "exclude_me": False})
    event, published = publisher.take()
    assert (type(published), published.request) == (m.Published, number)
    assert {link.one(m.Event).publication for link in subscribers} == {published.publication}
    assert event.publication == published.publication
    assert order[-1] is publisher
    assert len(order) == 4


def test_T_ID_3_publication_ids_are_random(router):
    (link,) = joined(router, 1)
    numbers = set()
    for _ in range(2000):
        link.publish("com.t", options={"acknowledge": True})
        numbers.add(link.one(m.Published).publication)
    assert len(numbers) == 2000
    assert {number >> 50 for number in numbers} >= set(range(8))
    assert min(numbers) >= 1
    assert max(numbers) <= 2**53


@pytest.mark.parametrize("topic", ["a b", "", "a..b", "com.foo\n", "wamp.session.on_join", "wamp", "a.#"])
def test_T_PS_6_T_URI_2_T_URI_4_bad_topic(router, topic):
    (link,) = joined(router, 1)
    link.publish(topic)
    link.publish(topic, options={"acknowledge": False})
    assert link.take() == []
    number = link.publish(topic, options={"acknowledge": True})
    error_of(link, 16, number, "wamp.error.invalid_uri")
    if not topic.startswith("wamp"):
        link.say(m.Subscribe(77, {}, topic))
        error_of(link, 32, 77, "wamp.error.invalid_uri")


def test_reserved_topic_with_a_subscriber_is_refused_too(router):
    link, other = joined(router, 2)
    link.subscribe("wamp.session.on_join")
    number = other.publish("wamp.session.on_join", options={"acknowledge": True})
    error_of(other, 16, number, "wamp.error.invalid_uri")
    assert link.take() == []


def test_T_PS_7_subscriber_disconnects(router):
    publisher, lost, alive = joined(router, 3)
    lost.subscribe("com.t")
    alive.subscribe("com.t")
    lost.is_open = False  # its transport knows, the router not yet
    publisher.publish("com.t", options={"acknowledge": True})
    publisher.one(m.Published)
    alive.one(m.Event)
    lost.session.onClose(False)
    publisher.publish("com.t")
    alive.one(m.Event)
    alive.drop()
    assert not len(router.realms["realm1"].broker.subscriptions)


@pytest.mark.parametrize(
    ("options", "receivers"),
    [
        ({"exclude": ["B"]}, "CD"),  # T-BWL-1
        ({"eligible": ["B", "C"]}, "BC"),
        ({"exclude_authid": ["id-C"]}, "BD"),
        ({"eligible_authid": ["id-C", "id-D"]}, "CD"),
        ({"exclude_authrole": ["role-D"]}, "BC"),
        ({"eligible_authrole": ["role-B"]}, "B"),  # T-BWL-6
        ({"exclude": ["B"], "eligible": ["B", "C"]}, "C"),  # T-BWL-7
        ({"eligible": []}, ""),  # T-BWL-8
        ({"exclude": []}, "BCD"),
        ({"eligible": ["B", "C"], "eligible_authrole": ["role-C", "role-D"]}, "C"),  # T-BWL-9
        ({"exclude": [4711], "eligible": ["B", 4712]}, "B"),  # T-BWL-10
        ({"exclude": None, "eligible": None}, "BCD"),
    ],
)
def test_T_BWL_1_to_10(router, options, receivers):
    links = dict(zip("ABCD", joined(router, 4), strict=True))
    for name, link in links.items():
        link.session.authid = f"id-{name}"
        link.session.authrole = f"role-{name}"
        link.subscribe("com.t")
    ids = {name: link.welcome.session for name, link in links.items()}
    for key in ("exclude", "eligible"):
        if options.get(key):
            options = {**options, key: [ids.get(who, who) for who in options[key]]}
    links["A"].publish("com.t", options=options)
    assert "".join(name for name, link in links.items() if link.take()) == receivers


@pytest.mark.parametrize(
    "options",
    [
        {"acknowledge": 1},
        {"exclude_me": "yes"},
        {"disclose_me": 0},
        {"exclude": 5},
        {"exclude": ["a"]},
        {"eligible": [True]},
        {"eligible_authid": [1]},
        {"exclude_authrole": "a"},
        {"retain": 1},
        {"ppt_scheme": "x_custom"},
    ],
)
def test_T_MSG_2_wrong_type_of_a_known_option(router, options):
    (link,) = joined(router, 1)
    link.publish("com.t", options=options)
    assert_aborted(link)


def test_T_MSG_3_unknown_options_are_not_forwarded(router):
    publisher, subscriber = joined(router, 2)
    subscriber.say(m.Subscribe(1, {"zzz": 1, "_mine": 1}, "com.t"))
    subscriber.one(m.Subscribed)
    publisher.publish("com.t", options={"zzz": 1, "_mine": {}})
    assert subscriber.one(m.Event).details == {}


def test_T_PID_publisher_identification(router):
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("com.t")
    publisher.publish("com.t", options={"disclose_me": True})
    assert subscriber.one(m.Event).details == {
        "publisher": publisher.welcome.session,
        "publisher_authid": publisher.welcome.details["authid"],
        "publisher_authrole": "anonymous",
    }
    publisher.publish("com.t", options={"disclose_me": False})
    assert subscriber.one(m.Event).details == {}


def test_T_PBS_1_T_PBS_2_one_event_per_subscription(router):
    publisher, subscriber = joined(router, 2)
    exact = subscriber.subscribe("com.a.t")
    prefix = subscriber.subscribe("com.", match="prefix")
    wildcard = subscriber.subscribe("com..t", match="wildcard")
    publisher.publish("com.a.t")
    events = subscriber.take()
    assert {e.subscription: e.details for e in events} == {
        exact: {},
        prefix: {"topic": "com.a.t"},
        wildcard: {"topic": "com.a.t"},
    }
    assert len({e.publication for e in events}) == 1
    publisher.publish("com.b")
    assert subscriber.one(m.Event).subscription == prefix


def test_T_PBS_3_T_PBS_4_components_and_the_empty_prefix(router):
    publisher, subscriber = joined(router, 2)
    subscriber.subscribe("a..c", match="wildcard")
    publisher.publish("a.b.c.d")
    publisher.publish("a.b")
    assert subscriber.take() == []
    publisher.publish("a.b.c")
    assert subscriber.one(m.Event).details == {"topic": "a.b.c"}
    everything = subscriber.subscribe("", match="prefix")
    publisher.publish("x")
    assert subscriber.one(m.Event).subscription == everything


def test_undefined_match_is_exact(router):
    (link,) = joined(router, 1)
    assert link.subscribe("com.t", match=None) == link.subscribe("com.t", match="exact")


@pytest.mark.parametrize("match", ["regex", 5, ""])
def test_unknown_match_is_a_violation(router, match):
    (link,) = joined(router, 1)
    assert_aborted(link.say(m.Subscribe(1, {"match": match}, "com.t")))


def test_T_ORD_events_arrive_in_order_across_topics(router):
    publisher, subscriber = joined(router, 2)
    for i in range(5):
        subscriber.subscribe(f"com.t{i}")
    for i in range(1000):
        publisher.publish(f"com.t{i % 5}", i)
    assert [e.args[0] for e in subscriber.take()] == list(range(1000))


def test_event_received_is_tolerated(router):
    (link,) = joined(router, 1)
    link.say(m.EventReceived(5))
    assert link.take() == []


def test_subscriber_that_vanishes_while_an_event_is_delivered(router):
    publisher, first, second = joined(router, 3)
    first.subscribe("com.t")
    second.subscribe("com.t")
    send = first.session.send
    first.session.send = lambda msg: (send(msg), second.drop())
    publisher.publish("com.t")
    first.one(m.Event)
    assert second.take() == []


def test_subscribe_over_a_link_that_is_gone(router):
    (link,) = joined(router, 1)
    link.is_open = False
    link.say(m.Subscribe(1, {}, "com.t"))
    link.say(m.Subscribe(1, {}, "a b"))
    link.session.onClose(False)
    assert router.realms["realm1"].is_empty()
    assert Link(router).join().subscribe("com.t") == 2

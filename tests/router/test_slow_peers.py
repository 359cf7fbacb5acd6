"""Clients that read too slowly: their events wait within a bound, a policy says what gives way, nobody else notices."""

import pytest

from autobahn.router import RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import Link

JSON = CODECS["json"]
TOPIC = "com.example.topic"
ROOM = 10 * len(JSON.encode(m.Event(1, 2**52, {}, ["x" * 1000], {})))  # ten events as below


def world(policy, bound=ROOM):
    router = Router(realm_options=RealmOptions(slow_policy=policy, slow_queue=bound))
    return router, Link(router, JSON).join(), Link(router, JSON).join()


def publish(link, *numbers, topic=TOPIC):
    for number in numbers:
        link.publish(topic, f"{number:04}" + "x" * 996)


def numbers(link):
    return [int(msg.args[0][:4]) for msg in link.take() if isinstance(msg, m.Event)]


def test_events_wait_and_leave_in_order():
    _, publisher, slow = world("disconnect")
    slow.subscribe(TOPIC)
    slow.session.onWritingPaused()
    publish(publisher, *range(5))
    assert numbers(slow) == []
    slow.session.onWritingResumed()
    assert numbers(slow) == [0, 1, 2, 3, 4]
    publish(publisher, 5)
    assert numbers(slow) == [5]
    assert slow.session.backlog is None


def test_disconnect_cuts_the_link_of_the_slow_one_only():
    router, publisher, slow = world("disconnect")
    other = Link(router, JSON).join()
    for link in (slow, other):
        link.subscribe(TOPIC)
    slow.session.onWritingPaused()
    aborted = []
    slow.abort = lambda: aborted.append(True)
    publish(publisher, *range(30))
    assert aborted == [True]
    assert numbers(other) == list(range(30))
    slow.drop()
    assert numbers(slow) == []
    assert slow.session.is_idle


@pytest.mark.parametrize(
    ("policy", "kept"), [("drop-oldest", range(20, 30)), ("drop-newest", range(10))], ids=["oldest", "newest"]
)
def test_dropping(policy, kept):
    router, publisher, slow = world(policy)
    slow.subscribe(TOPIC)
    slow.session.onWritingPaused()
    publish(publisher, *range(30))
    assert slow.session.backlog.size <= ROOM
    slow.session.onWritingResumed()
    assert numbers(slow) == list(kept)
    assert router.find_realm("realm1").delivery.dropped == 20
    publish(publisher, 77)
    assert numbers(slow) == [77]


def test_conflation_keeps_the_newest_of_each_subscription_and_topic():
    _, publisher, slow = world("conflate")
    slow.subscribe("com.example", match="prefix")
    slow.session.onWritingPaused()
    for number in range(100):
        publish(publisher, number, topic=f"com.example.topic{number % 3}")
    slow.session.onWritingResumed()
    assert numbers(slow) == [99, 97, 98]  # each in the place of the first one that waited
    slow.session.onWritingPaused()
    for number in range(100):  # more topics than there is room for
        publish(publisher, number, topic=f"com.example.topic{number}")
    assert slow.session.backlog.size <= ROOM
    slow.session.onWritingResumed()
    got = numbers(slow)
    assert len(got) >= 9
    assert got == list(range(100))[-len(got) :]


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest", "conflate", "disconnect"])
def test_one_event_may_be_longer_than_the_bound(policy):
    _, publisher, slow = world(policy, bound=10)
    slow.subscribe(TOPIC)
    slow.session.onWritingPaused()
    publish(publisher, 1)
    slow.session.onWritingResumed()
    assert numbers(slow) == [1]


def test_answers_pass_and_nothing_follows_unsubscribed():
    _, publisher, slow = world("drop-oldest")
    subscription = slow.subscribe(TOPIC)
    other = slow.subscribe("com.example.other")
    slow.session.onWritingPaused()
    publish(publisher, 1)
    publish(publisher, 2, topic="com.example.other")
    slow.say(m.Unsubscribe(slow.next(), subscription))
    slow.one(m.Unsubscribed)
    slow.session.onWritingResumed()
    (event,) = slow.take()
    assert event.subscription == other


def test_the_link_may_fill_up_again_while_what_has_waited_leaves():
    _, publisher, slow = world("drop-oldest")
    slow.subscribe(TOPIC)
    slow.session.onWritingPaused()
    publish(publisher, *range(6))
    send = slow.send_encoded

    def send_encoded(data):
        send(data)
        if len(slow.sent) == 2:
            slow.session.onWritingPaused()

    slow.send_encoded = send_encoded
    slow.session.onWritingResumed()
    publish(publisher, 6)
    assert numbers(slow) == [0, 1]
    slow.session.onWritingResumed()
    assert numbers(slow) == [2, 3, 4, 5, 6][:2]
    slow.send_encoded = send
    slow.session.onWritingResumed()
    assert numbers(slow) == [4, 5, 6]


def test_meta_events_and_rejoining():
    router, publisher, slow = world("drop-newest")
    watcher = Link(router, JSON).join()
    watcher.subscribe("wamp.session.on_slow")
    watcher.subscribe("wamp.session.on_caught_up")
    slow.subscribe(TOPIC)
    ident = slow.session.id
    slow.session.onWritingPaused()
    publish(publisher, *range(13))
    (event,) = watcher.take()
    assert event.args[0]["session"] == ident
    slow.session.onWritingResumed()
    (event,) = watcher.take()
    assert (event.args[0]["session"], event.args[0]["dropped"]) == (ident, 3)
    numbers(slow)

    slow.session.onWritingPaused()
    publish(publisher, 1)
    slow.say(m.Goodbye({}, "wamp.close.normal"))
    slow.one(m.Goodbye)
    slow.join()  # still slow, and a new session
    slow.subscribe(TOPIC)
    publish(publisher, 2)
    assert numbers(slow) == []
    slow.session.onWritingResumed()
    assert numbers(slow) == [2]


def test_a_meta_event_in_the_middle_does_not_mix_up_what_waits():
    router, publisher, slow = world("conflate", bound=1)
    watcher = Link(router, JSON).join()
    watcher.subscribe("wamp.session.on_slow")
    slow.subscribe("com.example.a")
    slow.subscribe("com.example.b")
    second = Link(router, JSON).join()
    for topic in ("com.example.a", "com.example.b"):
        second.subscribe(topic)
    for link in (slow, second):
        link.session.onWritingPaused()
    publish(
        publisher, 1, 2, topic="com.example.a"
    )  # the first slow one's meta event comes before the second one's turn
    publish(publisher, 3, topic="com.example.b")
    for link in (slow, second):
        link.session.onWritingResumed()
        assert numbers(link) == [3]


@pytest.mark.parametrize(
    "wrong", [{"slow_policy": "wait"}, {"slow_queue": -1}, {"slow_queue": "1 MiB"}, {"disclose_caller": "sometimes"}]
)
def test_realm_options_are_judged_when_they_are_made(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"expected {name} "):
        RealmOptions(**wrong)

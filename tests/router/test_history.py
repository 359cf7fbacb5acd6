"""Event history."""

import pytest

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.router import history as history_module
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, error_of, joined

TOPICS = (HistoryTopic("com.a.t"), HistoryTopic("com.", "prefix"), HistoryTopic("com..t", "wildcard", 3))
GET = "wamp.subscription.get_events"


class Time:
    """``time`` for the history: one second per event."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def time(self):
        self.now += 1
        return self.now


@pytest.fixture
def router(monkeypatch):
    monkeypatch.setattr(history_module, "time", Time())
    return Router(realm_options=RealmOptions(history=TOPICS))


@pytest.fixture
def link(router):
    return Link(router).join(roles=EVERYTHING)


def ask(link, subscription, **filters):
    link.call(GET, subscription, **filters)
    return link.one(m.Result).args


def said(events):
    return [event["args"][0] for event in events]


def published(link, topic, *args, options=None, **kwargs):
    link.publish(topic, *args, options={"acknowledge": True, **(options or {})}, **kwargs)
    return link.one(m.Published).publication


def refused(link, uri, *args, **kwargs):
    return error_of(link, 48, link.call(GET, *args, **kwargs), uri)


def test_T_HIS_1_three_subscriptions(link):
    assert link.welcome.details["roles"]["broker"]["features"]["event_history"]
    one = published(link, "com.a.t", 1, key="v")
    published(link, "com.b.t", 2)
    published(link, "com.c", 3)
    published(link, "org.c", 4)
    (event,) = ask(link, 1)
    assert event == {
        "timestamp": "2023-11-14T22:13:21.000Z",
        "subscription": 1,
        "publication": one,
        "details": {"topic": "com.a.t"},
        "args": [1],
        "kwargs": {"key": "v"},
    }
    assert said(ask(link, 2)) == [1, 2, 3]
    assert said(ask(link, 3)) == [1, 2]
    link.call("wamp.subscription.lookup", "com.", {"match": "prefix"})
    assert link.one(m.Result).args == [2]


def test_T_HIS_1_live_subscribers_get_the_same_subscription(router, link):
    subscriber = Link(router).join()
    assert subscriber.subscribe("com.a.t") == 1
    number = published(link, "com.a.t", 1)
    assert subscriber.one(m.Event).publication == number == ask(link, 1)[0]["publication"]
    subscriber.drop()
    published(link, "com.a.t", 2)  # goes on without subscribers
    assert said(ask(link, 1)) == [1, 2]
    link.drop()
    assert router.realms["realm1"].is_empty()


def test_limit_of_the_store(link):
    for i in range(5):
        published(link, "com.x.t", i)
    assert said(ask(link, 3)) == [2, 3, 4]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"reverse": True}, [5, 4, 3, 2, 1, 0]),
        ({"reverse": False, "limit": 2}, [0, 1]),
        ({"reverse": True, "limit": 2}, [5, 4]),
        ({"limit": 100}, [0, 1, 2, 3, 4, 5]),
        ({"topic": "com.odd"}, [1, 3, 5]),
        ({"topic": "com.none"}, []),
        ({"from_time": 2}, [2, 3, 4, 5]),
        ({"after_time": 2}, [3, 4, 5]),
        ({"before_time": 2}, [0, 1]),
        ({"until_time": 2}, [0, 1, 2]),
        ({"from_publication": 2}, [2, 3, 4, 5]),
        ({"after_publication": 2}, [3, 4, 5]),
        ({"before_publication": 2}, [0, 1]),
        ({"until_publication": 2}, [0, 1, 2]),
        ({"after_publication": 0, "before_publication": 4, "topic": "com.odd"}, [1, 3]),
        ({"from_time": 1, "until_publication": 4, "reverse": True, "limit": 2}, [4, 3]),
        ({"after_publication": 4, "before_publication": 2}, []),
        ({"topic": None, "limit": None, "reverse": None}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_T_HIS_2_filters(link, filters, expected):
    numbers = [published(link, "com.odd" if i % 2 else "com.even", i) for i in range(6)]
    stamps = [event["timestamp"] for event in ask(link, 2)]
    filters = {
        key: stamps[value] if key.endswith("_time") else numbers[value] if key.endswith("_publication") else value
        for key, value in filters.items()
    }
    assert said(ask(link, 2, **filters)) == expected


@pytest.mark.parametrize("text", ["2023-11-14T23:13:23+01:00", "2023-11-14T22:13:23.000Z", "2023-11-14T22:13:23Z"])
def test_T_HIS_2_forms_of_time(link, text):
    for i in range(4):
        published(link, "com.x", i)
    assert said(ask(link, 2, from_time=text)) == [2, 3]


@pytest.mark.parametrize(
    "filters",
    [
        {"limit": 0},
        {"limit": True},
        {"limit": "5"},
        {"reverse": 1},
        {"topic": 5},
        {"from_time": 5},
        {"from_time": "yesterday"},
        {"from_time": "2023-11-14T22:13:23"},
        {"from_publication": "x"},
        {"from_publication": 4711},
        {"zzz": 1},
    ],
)
def test_T_HIS_2_bad_filters(link, filters):
    assert refused(link, "wamp.error.invalid_argument", 2, **filters)


@pytest.mark.parametrize("reverse", [False, True])
def test_T_HIS_3_paging(link, reverse):
    for i in range(7):
        published(link, "com.x", i)
    key = "before_publication" if reverse else "after_publication"
    pages, more = [], {}
    while events := ask(link, 2, limit=3, reverse=reverse, **more):
        pages.append(said(events))
        more = {key: events[-1]["publication"]}
    assert pages == ([[6, 5, 4], [3, 2, 1], [0]] if reverse else [[0, 1, 2], [3, 4, 5], [6]])


def test_T_HIS_4_lists_of_authids_and_roles_hold_for_the_caller(link):
    link.session.authid, link.session.authrole = "me", "role-x"
    for i, options in enumerate(
        [
            {"eligible_authrole": ["role-x"]},
            {"eligible_authrole": ["role-y"]},
            {"exclude_authrole": ["role-x"]},
            {"eligible_authid": ["me", "you"]},
            {"exclude_authid": ["me"]},
            {"eligible_authid": []},
            {},
        ]
    ):
        published(link, "com.x", i, options=options)
    assert said(ask(link, 2)) == [0, 3, 6]
    assert said(ask(link, 2, limit=2)) == [0, 3]


def test_T_HIS_5_events_for_certain_sessions_are_not_stored(link):
    for i, options in enumerate([{"exclude": [5]}, {"eligible": [5]}, {"eligible": []}, {"exclude": []}, {}]):
        published(link, "com.x", i, options=options)
    assert said(ask(link, 2)) == [4]


def test_T_HIS_6_not_authorized(router, link):
    router.realms["realm1"].authorize = lambda peer, *what: what != (32, "prefix", "com.")
    refused(link, "wamp.error.not_authorized", 2)
    assert ask(link, 1) == []


def test_T_HIS_7_empty(link):
    link.call(GET, 1)
    assert link.one(m.Result) == m.Result(1, {}, [], {})


def test_errors(router, link):
    refused(link, "wamp.error.no_such_subscription", 4711)
    refused(link, "wamp.error.invalid_argument", "1")
    refused(link, "wamp.error.invalid_argument")
    refused(link, "wamp.error.history_unavailable", link.subscribe("org.x"))


def test_payload_and_details_across_serializers(router, link):
    publisher = Link(router, CODECS["json"]).join(roles=EVERYTHING)
    publisher.publish("com.x", b"\x00", options={"disclose_me": True})
    publisher.publish("com.x", options={"ppt_scheme": "x_y"})
    publisher.publish("com.x", k=1)
    reader = Link(router, CODECS["cbor"]).join(roles=EVERYTHING)
    events = ask(reader, 2)
    assert events[0]["args"] == [b"\x00"]
    assert events[0]["details"]["publisher"] == publisher.welcome.session
    assert events[1]["details"]["ppt_scheme"] == "x_y"
    assert "args" not in events[1]
    assert (events[2]["args"], events[2]["kwargs"]) == ([], {"k": 1})
    (other,) = joined(router, 1)  # has not announced payload passthru
    assert len(ask(other, 2)) == 2


def test_bad_configuration():
    with pytest.raises(Exception, match="expected a valid URI"):
        Router(realm_options=RealmOptions(history=(HistoryTopic("a b"),)))


def test_the_newest_as_crossbar_has_it(link):
    subscription = link.subscribe("com.a.t")
    for i in range(5):
        published(link, "com.a.t", i)
    link.call(GET, subscription, 3)
    assert said(link.one(m.Result).args) == [4, 3, 2]
    refused(link, "wamp.error.invalid_argument", subscription, "3")

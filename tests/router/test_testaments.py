"""Testaments."""

import pytest

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, error_of, joined

ADD, FLUSH = "wamp.session.add_testament", "wamp.session.flush_testaments"


@pytest.fixture
def router():
    return Router()


@pytest.fixture
def pair(router):
    """Somebody with a last will, and an heir."""
    link, heir = joined(router, 2)
    heir.subscribe("com.t")
    return link, heir


def result(link, procedure, *args, **kwargs):
    link.call(procedure, *args, **kwargs)
    return link.one(m.Result).args


@pytest.mark.parametrize("codec", [None, *CODECS.values()])
@pytest.mark.parametrize("how", ["drop", "goodbye", "abort", "killed", "violation"])
def test_T_TST_1_T_TST_5_every_way_to_leave(router, how, codec):
    link, heir = Link(router, codec).join(), Link(router).join()
    heir.subscribe("com.t")
    (number,) = result(link, ADD, "com.t", [1, b"\x00"], {"key": "v"})
    assert heir.take() == []
    if how == "drop":
        link.drop()
    elif how == "goodbye":
        link.say(m.Goodbye({}, "a.b"))
    elif how == "abort":
        link.say(m.Abort({}, "a.b"))
    elif how == "killed":
        link.session.close("wamp.close.killed")
    else:
        link.say(m.Welcome(1, {"roles": {"broker": {}}}))
    event = heir.one(m.Event)
    assert (event.publication, event.args, event.kwargs) == (number, [1, b"\x00"], {"key": "v"})
    link.drop()
    assert heir.take() == []
    assert len(router.realms["realm1"].testaments) == 0


def test_T_TST_2_flush_one_scope(pair):
    link, heir = pair
    assert result(link, FLUSH) == [0]
    for i, scope in enumerate(["destroyed", "detached", "destroyed"]):
        result(link, ADD, "com.t", [i], {}, scope=scope)
    assert result(link, FLUSH) == [2]
    assert result(link, FLUSH, scope="destroyed") == [0]
    link.drop()
    assert heir.one(m.Event).args == [1]


def test_T_TST_3_order(pair):
    link, heir = pair
    for i, scope in enumerate(["destroyed", "detached", "destroyed", "detached"]):
        result(link, ADD, "com.t", [i], {}, scope=scope)
    link.drop()
    assert [event.args for event in heir.take()] == [[1], [3], [0], [2]]


@pytest.mark.parametrize(
    ("args", "kwargs", "uri"),
    [
        (["com.t", [], {}], {"scope": "forever"}, "invalid_argument"),
        (["com.t", [], {}], {"scope": 5}, "invalid_argument"),
        (["com.t", [], {}], {"zzz": 5}, "invalid_argument"),
        ([], {}, "invalid_argument"),
        ([5, [], {}], {}, "invalid_argument"),
        (["com.t", {"a": 1}, {}], {}, "invalid_argument"),
        (["com.t", [], [1]], {}, "invalid_argument"),
        (["com.t", [], {}], {"publish_options": [1]}, "invalid_argument"),
        (["com.t", [], {}], {"publish_options": {"eligible": "x"}}, "invalid_argument"),
        (["a b", [], {}], {}, "invalid_uri"),
        (["wamp.session.on_join", [], {}], {}, "invalid_uri"),
    ],
)
def test_T_TST_4_bad_arguments(router, pair, args, kwargs, uri):
    link, heir = pair
    number = link.call(ADD, *args, **kwargs)
    error_of(link, 48, number, f"wamp.error.{uri}")
    error_of(link, 48, link.call(FLUSH, scope="x"), "wamp.error.invalid_argument")
    link.drop()
    assert heir.take() == []


def test_T_TST_6_publish_options(router, pair):
    link, heir = pair
    (other,) = joined(router, 1)
    for each in (other, link):
        each.subscribe("com.t")
    options = {
        "eligible": [heir.welcome.session],
        "acknowledge": True,
        "exclude_me": False,
        "disclose_me": True,
        "retain": True,
    }
    result(link, ADD, "com.t", ["x"], {}, publish_options=options)
    number = link.welcome.session
    link.say(m.Goodbye({}, "a.b"))
    assert isinstance(link.one(m.Goodbye), m.Goodbye)  # nothing for the one who left
    assert heir.one(m.Event).details["publisher"] == number
    assert other.take() == []
    assert len(router.realms["realm1"].broker.retention) == 1


def test_what_would_have_been_a_violation_is_not_executed(pair):
    link, heir = pair
    result(link, ADD, "com.t", [1], {}, publish_options={"ppt_scheme": "x_not_announced"})
    result(link, ADD, "com.t", [2], {})
    link.drop()
    assert heir.one(m.Event).args == [2]


def test_limit():
    router = Router(realm_options=RealmOptions(max_testaments=2))
    link = Link(router).join(roles=EVERYTHING)
    for scope in ("detached", "destroyed"):
        result(link, ADD, "com.t", scope=scope)
    error_of(link, 48, link.call(ADD, "com.t"), "autobahn.error.limit_exceeded")


def test_testaments_of_a_session_are_not_those_of_the_next_on_its_link(pair):
    link, heir = pair
    result(link, ADD, "com.t")
    link.say(m.Goodbye({}, "a.b")).take()
    heir.one(m.Event)
    link.join()
    link.drop()
    assert heir.take() == []


def test_T_TST_not_authorized_when_added_or_executed(router, pair):
    link, heir = pair
    realm = router.realms["realm1"]
    for topic in ("com.t", "com.t2"):
        heir.subscribe(topic)
        result(link, ADD, topic)
    realm.authorize = lambda peer, *what: what != (16, "exact", "com.t")
    error_of(link, 48, link.call(ADD, "com.t"), "wamp.error.not_authorized")
    link.drop()
    assert len(heir.take()) == 1


def test_T_TST_T_HIS_6_by_permissions():
    rules = [
        {"uri": "wamp.", "match": "prefix", "allow": ["call"]},
        {"uri": "com.open.", "match": "prefix", "allow": ["publish", "subscribe"]},
    ]
    router = Router(
        realms=["realm1"],
        permissions={"realm1": {"anonymous": rules}},
        realm_options=RealmOptions(history=(HistoryTopic("com.open.t"), HistoryTopic("com.secret"))),
    )
    (link,) = joined(router, 1)
    result(link, ADD, "com.open.t")
    error_of(link, 48, link.call(ADD, "com.secret"), "wamp.error.not_authorized")
    assert result(link, "wamp.subscription.get_events", 1) == []
    error_of(link, 48, link.call("wamp.subscription.get_events", 2), "wamp.error.not_authorized")

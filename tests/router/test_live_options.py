"""Options of a realm that change while sessions are in it."""

import pytest

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import Clock, Link, error_of

CALL_ONLY = [{"uri": "*", "allow": ["call", "subscribe"]}]


def changed(router, **options):
    """The options of realm1 are changed; returns the names of those that wait for the next start."""
    return router.change_realm("realm1", RealmOptions(**options))


def test_limits_of_a_live_realm_change_for_the_sessions_in_it():
    router = Router(runtime=Clock())
    callee, caller = Link(router).join(), Link(router).join()
    callee.register("com.p")
    assert changed(router, max_registrations=1, max_subscriptions=1, max_calls=1, max_call_timeout=5000) == []
    callee.say(m.Register(callee.next(), {}, "com.q"))
    error_of(callee, 64, 2, "autobahn.error.limit_exceeded")
    caller.subscribe("com.t")
    caller.say(m.Subscribe(caller.next(), {}, "com.u"))
    error_of(caller, 32, 2, "autobahn.error.limit_exceeded")
    first, second = caller.call("com.p"), caller.call("com.p")
    error_of(caller, 48, second, "autobahn.error.limit_exceeded")
    callee.one(m.Invocation)
    router.runtime.advance(5)
    error_of(caller, 48, first, "wamp.error.timeout")
    callee.one(m.Interrupt)
    assert changed(router) == []  # and back
    callee.register("com.q")
    assert len([caller.call("com.p") for _ in range(3)]) == 3
    router.runtime.advance(100)
    assert caller.take() == []


def test_disclosure_and_trust_levels_of_a_live_realm_change():
    router = Router()
    one, other = Link(router).join(), Link(router).join()
    one.register("com.p")
    one.subscribe("com.t")
    changed(router, disclose_caller="always", disclose_publisher="always", trustlevels={"anonymous": 3})
    other.call("com.p")
    details = one.one(m.Invocation).details
    assert (details["caller"], details["trustlevel"]) == (other.session.id, 3)
    other.publish("com.t")
    details = one.one(m.Event).details
    assert (details["publisher"], details["trustlevel"]) == (other.session.id, 3)
    features = Link(router).join().welcome.details["roles"]["dealer"]["features"]
    assert features["call_trustlevels"]
    changed(router, disclose_caller="never", disclose_publisher="never")
    other.call("com.p", options={"disclose_me": True})
    assert other.one(m.Error).error == "wamp.error.option_disallowed.disclose_me"
    assert "caller_identification" not in Link(router).join().welcome.details["roles"]["dealer"]["features"]


def test_strict_uris_takeover_queues_testaments_and_kill_roles_of_a_live_realm_change():
    router = Router()
    one, other = Link(router).join(), Link(router).join()
    one.register("com.p", concurrency=1)
    other.call("com.p")
    one.one(m.Invocation)
    waiting = other.call("com.p")
    error_of(other, 48, waiting, "crossbar.error.max_concurrency_reached")
    changed(
        router, strict_uris=True, force_reregister="never", call_queue=1, max_testaments=0,
        meta_kill_roles=frozenset({"anonymous"}),
    )  # fmt: skip
    other.call("com.p")
    assert other.take() == one.take() == []  # it waits
    other.say(m.Subscribe(other.next(), {}, "com.Not-Strict"))
    assert other.one(m.Error).error == "wamp.error.invalid_uri"
    other.say(m.Register(other.next(), {"force_reregister": True}, "com.p"))
    assert isinstance(other.one(m.Error), m.Error)
    other.call("wamp.session.add_testament", "com.t", [], {})
    assert other.one(m.Error).error == "autobahn.error.limit_exceeded"
    other.call("wamp.session.kill", one.session.id)
    assert isinstance(one.one(m.Goodbye), m.Goodbye)


def test_permissions_hold_on_in_a_realm_whose_options_change():
    router = Router(permissions={"realm1": {"anonymous": CALL_ONLY}})
    link = Link(router).join()
    changed(router, max_subscriptions=1)
    link.publish("com.t", options={"acknowledge": True})
    assert link.one(m.Error).error == "wamp.error.not_authorized"
    link.subscribe("com.t")
    link.say(m.Subscribe(link.next(), {}, "com.u"))
    assert link.one(m.Error).error == "autobahn.error.limit_exceeded"


def test_history_and_retention_of_a_live_realm_change(tmp_path):
    for store in (None, str(tmp_path / "events.sqlite")):
        router = Router(realm_options=RealmOptions(history=(HistoryTopic("com.a"), HistoryTopic("com.b")), store=store))
        link = Link(router).join()
        get = "wamp.subscription.get_events"

        def kept(topic, link=link, get=get):
            link.call(get, link.subscribe(topic))
            (answer,) = link.take()
            return [event["args"] for event in answer.args] if isinstance(answer, m.Result) else answer.error

        for number in range(4):
            for topic in ("com.a", "com.b", "com.c"):
                link.publish(topic, number)
        link.publish("com.old", options={"retain": True})
        link.publish("com.new", options={"retain": True})
        subscriptions = len(router.realms["realm1"].broker.by_id)
        topics = (HistoryTopic("com.a", limit=2), HistoryTopic("com.c"))
        assert changed(router, history=topics, max_retained=1, store=store) == []
        link.publish("com.c", 9)
        assert kept("com.a") == [[2], [3]]
        assert kept("com.b") == "wamp.error.history_unavailable"
        assert kept("com.c") == [[9]]
        assert len(router.realms["realm1"].broker.retention) == 1
        link.drop()
        assert len(router.realms["realm1"].broker.by_id) == subscriptions
        router.close_files()


def test_the_slow_policy_of_a_live_realm_counts_for_whoever_falls_behind_next():
    router = Router(realm_options=RealmOptions(slow_policy="disconnect", slow_queue=100))
    publisher, slow = Link(router, CODECS["json"]).join(), Link(router, CODECS["json"]).join()
    slow.subscribe("com.t")
    changed(router, slow_policy="drop-oldest", slow_queue=200)
    slow.session.onWritingPaused()
    for number in range(50):
        publisher.publish("com.t", number)
    assert slow.is_open
    assert 0 < slow.session.backlog.size <= 200
    slow.session.onWritingResumed()
    assert slow.take()[-1].args == [49]


def test_what_a_live_realm_cannot_change_is_named_and_stays():
    router = Router()
    link = Link(router).join()
    late = changed(router, strict_request_ids=True, prefix_match="uri-component", store="/nowhere", max_calls=1)
    assert late == ["prefix_match", "strict_request_ids", "store"]
    options = router.realms["realm1"].options
    assert (options.strict_request_ids, options.prefix_match, options.store, options.max_calls) == (
        False,
        "string",
        None,
        1,
    )
    link.say(m.Subscribe(77, {}, "com.t"))  # no gap is counted
    link.one(m.Subscribed)
    with pytest.raises(KeyError):
        router.change_realm("nowhere", RealmOptions())


def test_a_history_of_no_topic_is_refused_when_it_is_said():
    with pytest.raises(ValueError, match="expected a valid URI"):
        RealmOptions(history=(HistoryTopic("a b"),))
    with pytest.raises(ValueError, match="expected match out of exact, prefix, wildcard in history, got 'regex'"):
        RealmOptions(history=(HistoryTopic("a", "regex"),))
    with pytest.raises(ValueError, match="expected a valid URI"):
        RealmOptions(strict_uris=True, history=(HistoryTopic("A-b"),))

"""The router end of the session lifecycle, and what it does about violations."""

import pytest

from autobahn import __version__
from autobahn.router import RealmObserver, Router
from autobahn.wamp import message as m
from autobahn.wamp.exception import ApplicationError
from router.fakes import FEATURES, PLAIN, Clock, Link, assert_aborted, error_of, joined


@pytest.fixture
def router():
    return Router(realms=["realm1", "realm2"])


def test_T_SES_1_client_leaves(router):
    link = Link(router)
    link.say(m.Hello("realm1", {"roles": PLAIN}))
    welcome = link.one(m.Welcome)
    assert router.sessions == 1
    assert 1 <= welcome.session <= 2**53
    link.say(m.Goodbye({}, "wamp.close.close_realm"))
    assert link.one(m.Goodbye) == m.Goodbye({}, "wamp.close.goodbye_and_out")
    assert router.sessions == 0
    assert not link.is_closing
    link.drop()
    assert not router.links


def test_T_SES_1_router_closes(router):
    (link,) = joined(router, 1)
    link.session.close("wamp.close.killed", "go away")
    assert link.one(m.Goodbye) == m.Goodbye({"message": "go away"}, "wamp.close.killed")
    assert router.sessions == 0
    link.say(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    assert link.take() == []
    assert link.is_closing


def test_T_FEAT_1_welcome_golden(router):
    (link,) = joined(router, 1)
    details = dict(link.welcome.details)
    assert details.pop("authid")
    assert details == {
        "agent": f"autobahn-asyncio/{__version__}",
        "authrole": "anonymous",
        "authmethod": "anonymous",
        "authprovider": "static",
        "roles": {
            "broker": {
                "features": dict.fromkeys(
                    [
                        "event_retention",
                        "pattern_based_subscription",
                        "payload_passthru_mode",
                        "payload_transparency",
                        "publisher_exclusion",
                        "publisher_identification",
                        "session_meta_api",
                        "subscriber_blackwhite_listing",
                        "subscription_meta_api",
                        "subscription_revocation",
                        "x_acknowledged_event_delivery",
                    ],
                    True,
                )
            },
            "dealer": {
                "features": dict.fromkeys(
                    [
                        "call_canceling",
                        "call_reroute",
                        "caller_identification",
                        "pattern_based_registration",
                        "payload_passthru_mode",
                        "payload_transparency",
                        "progressive_call_invocations",
                        "progressive_call_results",
                        "registration_meta_api",
                        "registration_revocation",
                        "session_meta_api",
                        "sharded_registration",
                        "shared_registration",
                        "testament_meta_api",
                    ],
                    True,
                )
            },
        },
    }


def test_T_SES_2_no_such_realm(router):
    link = Link(router).say(m.Hello("realm9", {"roles": PLAIN}))
    assert_aborted(link, "wamp.error.no_such_realm")
    link.say(m.Hello("realm1", {"roles": PLAIN}))
    assert link.take() == []


def test_auto_realms_make_the_realm():
    router = Router(realms=None, auto_realms=True)
    Link(router).join("com.example.new")
    assert list(router.realms) == ["com.example.new"]
    link = Link(router).say(m.Hello("not a uri", {"roles": PLAIN}))
    assert_aborted(link, "wamp.error.invalid_uri")


def test_add_realm_checks_the_name(router):
    assert router.add_realm("realm1") is router.realms["realm1"]
    with pytest.raises(ValueError, match="expected a URI"):
        router.add_realm("a b")


def test_T_SES_3_call_before_hello(router):
    link = Link(router)
    link.say(m.Call(1, {}, "a.b"))
    assert_aborted(link)


def test_T_SES_4_second_hello(router):
    link, other = joined(router, 2)
    link.register("com.a")
    link.say(m.Hello("realm1", {"roles": PLAIN}))
    assert_aborted(link)
    assert router.sessions == 1
    number = other.call("com.a")
    error_of(other, 48, number, "wamp.error.no_such_procedure")


def test_T_SES_5_goodbye_then_call(router):
    link, callee = joined(router, 2)
    callee.register("com.a")
    link.session.close("wamp.close.killed")
    link.take()
    link.call("com.a")
    assert callee.take() == []
    assert link.take() == []
    link.say(m.Hello("realm1", {"roles": PLAIN}))
    assert link.take() == []


def test_T_SES_6_rejoin_another_realm(router):
    (link,) = joined(router, 1)
    first = link.welcome.session
    link.register("com.a")
    link.subscribe("com.t")
    link.say(m.Goodbye({}, "wamp.close.normal"))
    link.one(m.Goodbye)
    assert router.realms["realm1"].is_empty()
    link.join("realm2")
    assert link.welcome.session != first
    assert list(router.realms["realm2"].sessions) == [link.welcome.session]
    link.register("com.a")
    link.call("com.a", 1)
    assert link.one(m.Invocation).request == 1  # T-ID-2: counters start again


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"roles": {}},
        {"roles": []},
        {"roles": {"broker": {}}},
        {"roles": {"caller": 5}},
        {"roles": {"caller": {"features": []}}},
        {"roles": {"caller": {"features": {"call_canceling": 1}}}},
        {"roles": PLAIN, "authmethods": "anonymous"},
        {"roles": PLAIN, "authmethods": [1]},
    ],
)
def test_T_SES_7_hello_without_proper_roles(router, details):
    assert_aborted(Link(router).say(m.Hello("realm1", details)))
    assert router.sessions == 0


@pytest.mark.parametrize("roles", [{"caller": None}, {"caller": {"features": None}}, {"caller": {}, "zzz": 1}])
def test_T_FEAT_3_undefined_and_unknown_count_as_absent(router, roles):
    link = Link(router).join(roles=roles)
    assert not link.session.announced("caller", "call_canceling")


def test_progressive_invocations_count_only_with_canceling(router):
    progress = {"progressive_call_results": True, "progressive_call_invocations": True}
    link = Link(router).join(roles={"callee": {"features": {**progress, "call_canceling": False}}})
    assert not link.session.announced("callee", "progressive_call_invocations")
    assert link.session.announced("callee", "progressive_call_results")  # AutobahnJS announces it alone


@pytest.mark.parametrize("code", [2, 4, 5, 17, 33, 35, 36, 50, 65, 67, 68, 69])
@pytest.mark.parametrize("is_joined", [False, True])
def test_T_SES_8_T_PV_messages_a_client_must_not_send(router, code, is_joined):
    examples = {
        2: m.Welcome(1, {}),
        4: m.Challenge("x", {}),
        5: m.Authenticate("x", {}),
        17: m.Published(1, 1),
        33: m.Subscribed(1, 1),
        35: m.Unsubscribed(1),
        36: m.Event(1, 1, {}),
        50: m.Result(1, {}),
        65: m.Registered(1, 1),
        67: m.Unregistered(1),
        68: m.Invocation(1, 1, {}),
        69: m.Interrupt(1, {}),
    }
    link = Link(router)
    if is_joined:
        link.join()
        link.register("com.a")
    link.say(examples[code])
    assert_aborted(link)
    assert router.realms["realm1"].is_empty()


@pytest.mark.parametrize("code", [6, 8, 16, 32, 34, 48, 49, 64, 66, 70])
def test_T_PV_messages_before_hello(router, code):
    examples = {
        6: m.Goodbye({}, "a.b"),
        8: m.Error(68, 1, {}, "a.b"),
        16: m.Publish(1, {}, "a.b"),
        32: m.Subscribe(1, {}, "a.b"),
        34: m.Unsubscribe(1, 1),
        48: m.Call(1, {}, "a.b"),
        49: m.Cancel(1, {}),
        64: m.Register(1, {}, "a.b"),
        66: m.Unregister(1, 1),
        70: m.Yield(1, {}),
    }
    assert_aborted(Link(router).say(examples[code]))


def test_T_SES_9_silence_is_closed_by_timer():
    clock = Clock()
    router = Router(runtime=clock)
    link = Link(router)
    clock.advance(4.9)
    assert not link.is_closing
    clock.advance(0.2)
    assert_aborted(link)
    link.drop()
    assert not router.links
    assert not clock.timers


def test_T_SES_9_goodbye_without_answer_and_silence_after_goodbye():
    clock = Clock()
    router = Router(runtime=clock, goodbye_timeout=1)
    killed, left, rejoined = joined(router, 3)
    assert not clock.timers
    killed.session.close("wamp.close.killed")
    clock.advance(1)
    assert killed.is_closing
    left.say(m.Goodbye({}, "a.b"))
    rejoined.say(m.Goodbye({}, "a.b")).take()
    rejoined.join()
    clock.advance(5)
    assert left.is_closing
    assert [type(msg) for msg in left.take()] == [m.Goodbye]
    assert not rejoined.is_closing
    left.drop()
    Link(router).drop()
    assert not clock.timers


def test_T_SES_10_shutdown(router):
    links = [*joined(router, 3), *joined(router, 1, realm="realm2")]
    waiting = Link(router)
    router.shutdown()
    router.shutdown()
    for link in links:
        assert link.one(m.Goodbye).reason == "wamp.close.system_shutdown"
        link.say(m.Goodbye({}, "wamp.close.goodbye_and_out"))
        assert link.is_closing
        link.drop()
    assert_aborted(waiting.say(m.Goodbye({}, "a.b")), "wamp.close.system_shutdown")
    waiting.drop()
    assert_aborted(Link(router).say(m.Hello("realm1", {"roles": PLAIN})), "wamp.close.system_shutdown")
    assert router.sessions == 0


def test_T_SES_11_both_say_goodbye(router):
    (link,) = joined(router, 1)
    link.session.close("wamp.close.system_shutdown")
    link.say(m.Goodbye({}, "wamp.close.close_realm"))
    assert link.one(m.Goodbye).reason == "wamp.close.system_shutdown"
    assert link.is_closing
    link.session.close("wamp.close.system_shutdown")  # nothing to close any more
    assert link.take() == []


def test_abort_in_established_state_is_not_answered(router):
    link, other = joined(router, 2)
    link.register("com.a")
    other.call("com.a")
    link.take()
    link.say(m.Abort({}, "wamp.error.whatever"))
    assert link.take() == []
    assert link.is_closing
    assert other.one(m.Error).error == "wamp.error.canceled"


def test_violation_after_our_goodbye_is_not_answered(router):
    (link,) = joined(router, 1)
    link.session.close("wamp.close.killed")
    link.take()
    link.session.onProtocolError(Exception("undecodable"))
    assert link.take() == []


def test_auth_methods(router):
    Link(router).join(authmethods=["ticket", "anonymous"])
    Link(router).join(authmethods=[])
    link = Link(router).say(m.Hello("realm1", {"roles": PLAIN, "authmethods": ["ticket", "wampcra"]}))
    assert_aborted(link, "wamp.error.no_matching_auth_method")


def test_authenticator_refuses_without_text():
    def nobody(realm, details):
        raise ApplicationError("wamp.error.authentication_denied")

    router = Router(authenticator=nobody)
    link = Link(router).say(m.Hello("realm1", {"roles": PLAIN}))
    assert link.take() == [m.Abort({}, "wamp.error.authentication_denied")]


@pytest.mark.parametrize("realm", ["", "a b", "a..b", "com.a\n", "#"])
def test_invalid_realm(router, realm):
    assert_aborted(Link(router).say(m.Hello(realm, {"roles": PLAIN})), "wamp.error.invalid_uri")


def test_T_ID_3_session_ids_are_random():
    router = Router()
    (link,) = joined(router, 1)
    seen = {link.welcome.session}
    for _ in range(9_999):
        link.say(m.Goodbye({}, "a.b")).take()
        seen.add(link.join().welcome.session)
    assert len(seen) == 10_000
    assert min(seen) >= 1
    assert max(seen) <= 2**53
    top_bits = {number >> 50 for number in seen}
    assert top_bits >= set(range(8))


def test_session_id_is_not_used_twice():
    router = Router()
    (link,) = joined(router, 1)

    class Stuck:
        numbers = [7, link.welcome.session]

        def next(self):
            return self.numbers.pop()

    router.ids = Stuck()
    assert Link(router).join().welcome.session == 7


def test_names_that_adapters_look_at(router):
    link = Link(router)
    session = link.session
    assert session.raw_payload is True
    assert (session._session_id, session._authid, session._transport) == (None, None, link)
    link.join()
    assert session._session_id == link.welcome.session
    assert session._authid == link.welcome.details["authid"]
    assert "realm1" in repr(session)
    link.drop()
    link.session.onClose(False)
    link.session.close("wamp.close.killed")
    link.session.onProtocolError(ValueError())
    assert session._transport is None
    session.send(m.Goodbye({}, "a.b"))  # nowhere


def test_observers_see_everything_in_order(router):
    seen = []

    class Recorder(RealmObserver):
        pass

    def recorder(name):
        return lambda self, peer, what=None: seen.append((name, what.id if what else peer.id))

    names = [name for name in vars(RealmObserver) if not name.startswith("_")]
    for name in names:
        setattr(Recorder, name, recorder(name))
    realm = router.realms["realm1"]
    realm.observers.append(Recorder())
    realm.observers.append(RealmObserver())
    a, b = joined(router, 2)
    ids = [a.welcome.session, b.welcome.session]
    t = a.subscribe("com.t")
    assert b.subscribe("com.t") == t
    b.subscribe("com.t")
    p = a.register("com.p")
    a.say(m.Unsubscribe(9, t))
    b.say(m.Unsubscribe(9, t))
    a.take()
    a.subscribe("com.t")
    a.drop()
    b.drop()
    assert seen == [
        ("session_joined", ids[0]),
        ("session_joined", ids[1]),
        ("subscription_created", t),
        ("subscription_added", t),
        ("subscription_added", t),
        ("registration_created", p),
        ("registration_added", p),
        ("subscription_removed", t),
        ("subscription_removed", t),
        ("subscription_deleted", t),
        ("subscription_created", t + 1),
        ("subscription_added", t + 1),
        ("subscription_removed", t + 1),
        ("subscription_deleted", t + 1),
        ("registration_removed", p),
        ("registration_deleted", p),
        ("session_left", ids[0]),
        ("session_left", ids[1]),
    ]
    assert realm.is_empty()


def test_features_are_forgotten_between_sessions(router):
    link = Link(router).join(roles=FEATURES)
    link.say(m.Goodbye({}, "a.b")).take()
    link.join(roles=PLAIN)
    assert not link.session.announced("callee", "call_canceling")


def test_abort_cuts_the_link(router):
    link, waiting = joined(router, 1)[0], Link(router)
    for each in (link, waiting):
        each.session.abort()
        assert each.take() == []
        each.session.abort()
    assert not router.links
    assert router.realms["realm1"].is_empty()


def test_link_that_is_lost_while_abort_is_sent(router):
    link = Link(router)
    link.session.send = lambda msg: link.drop()
    link.say(m.Hello("realm9", {"roles": PLAIN}))
    assert not router.links
    assert not link.is_closing

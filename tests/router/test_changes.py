"""What changes while a router runs: realms, permissions and credentials, and its own end."""

from __future__ import annotations

import asyncio

import pytest

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.router import RealmOptions, Router
from autobahn.router.auth_limits import Attempts
from autobahn.router.config import HistoryTopic
from autobahn.router.observer import RealmObserver
from autobahn.wamp import message as m
from router.fakes import EVERYTHING, PLAIN, Clock, Link, error_of
from router.logins import answer, hello
from scripted import settle

CALL_ONLY = [{"uri": "*", "allow": ["call", "subscribe"]}]


# ---- realms ------------------------------------------------------------------------------------------------


def test_a_realm_made_on_demand_is_gone_when_its_last_session_is():
    router = Router(realms=["fixed"], auto_realms=True)
    for _ in range(3):
        first, second = Link(router).join("com.demand"), Link(router).join("com.demand")
        first.subscribe("com.topic")
        first.drop()
        assert "com.demand" in router.realms
        second.say(m.Goodbye({}, "wamp.close.close_realm"))
        assert list(router.realms) == ["fixed"]
    link = Link(router).join("fixed")
    link.drop()
    assert list(router.realms) == ["fixed"]


def test_realms_made_on_demand_are_bounded():
    router = Router(realms=(), auto_realms=True, max_auto_realms=3)
    links = [Link(router).join(f"com.r{n}") for n in range(3)]
    late = Link(router)
    late.say(m.Hello("com.r3", {"roles": PLAIN}))
    assert late.one(m.Abort).reason == "wamp.error.no_such_realm"
    links[1].drop()
    Link(router).join("com.r3")
    assert list(router.realms) == ["com.r0", "com.r2", "com.r3"]


def test_a_realm_with_retained_events_stays_until_room_is_needed():
    router = Router(realms=(), auto_realms=True, max_auto_realms=2)
    for name in ("com.old", "com.new"):
        link = Link(router).join(name)
        link.publish("com.topic", 1, options={"retain": True})
        link.drop()
    back = Link(router).join("com.old")
    back.subscribe("com.other")
    back.say(m.Subscribe(9, {"get_retained": True}, "com.topic"))
    assert isinstance(back.take()[1], m.Event)
    Link(router).join("com.third")
    assert list(router.realms) == ["com.old", "com.third"]


def test_realms_have_options_of_their_own_and_observers_hear_of_all():
    heard = []

    class Observer(RealmObserver):
        def __init__(self, realm):
            self.realm = realm

        def session_joined(self, session):
            heard.append((self.realm, session.id))

    options = RealmOptions(history=(HistoryTopic("com.a"),))
    options_of = {"one": options, "two": RealmOptions()}
    router = Router(realms=options_of, observers=lambda realm: [Observer(realm)], auto_realms=True)
    assert router.realms["one"].options is options
    names = ("one", "two", "three")
    links = [Link(router).join(name) for name in names]
    assert heard == [(name, link.session.id) for name, link in zip(names, links, strict=True)]
    assert [realm.joins for realm in router.realms.values()] == [1, 1, 1]


def test_a_realm_that_is_removed_says_goodbye():
    router = Router(realms=["one", "two"])
    gone, stays = Link(router).join("one"), Link(router).join("two")
    router.remove_realm("one")
    assert gone.one(m.Goodbye).reason == "wamp.close.close_realm"
    assert stays.take() == []
    late = Link(router)
    late.say(m.Hello("one", {"roles": PLAIN}))
    assert late.one(m.Abort).reason == "wamp.error.no_such_realm"
    with pytest.raises(KeyError):
        router.remove_realm("one")


def test_what_is_counted():
    router = Router()
    realm = router.realms["realm1"]
    callee, caller, subscriber = (Link(router).join() for _ in range(3))
    callee.register("com.p")
    subscriber.subscribe("com.t")
    for _ in range(3):
        caller.call("com.p")
    caller.publish("com.t")
    caller.publish("com.nobody")
    counted = (realm.joins, realm.invocations, realm.delivery.publications, realm.delivery.events)
    assert counted == (3, 3, 1, 1)
    callee.drop()
    assert realm.invocations == 3
    Link(router).say(m.Hello("nowhere", {"roles": PLAIN}))
    assert router.refusals == {"wamp.error.no_such_realm": 1}


def test_reasons_that_authenticators_invent_are_bounded():
    router = Router()
    for number in range(500):
        router.refused(f"com.reason{number}")
    assert len(router.refusals) <= 101 and router.refusals["other"] == 400


# ---- permissions -------------------------------------------------------------------------------------------


def test_new_permissions_count_for_the_sessions_that_are_there():
    router = Router(permissions={"realm1": {"anonymous": True}})
    link = Link(router).join()
    assert link.register("com.mine")
    router.set_permissions({"realm1": {"anonymous": CALL_ONLY}})
    link.say(m.Register(7, {}, "com.other"))
    error_of(link, 64, 7, "wamp.error.not_authorized")
    router.set_permissions({"realm1": {"anonymous": True}})
    link.say(m.Register(8, {}, "com.other"))
    link.one(m.Registered)
    assert link.session._table is router.realms["realm1"].table


def test_permissions_where_there_were_none():
    router = Router()
    link = Link(router).join()
    router.set_permissions({"realm1": {"anonymous": []}})
    link.say(m.Register(1, {}, "com.other"))
    error_of(link, 64, 1, "wamp.error.not_authorized")


def test_subscriptions_that_are_no_longer_allowed_are_revoked():
    router = Router(permissions={"realm1": {"anonymous": True}})
    link, publisher = Link(router).join(roles=EVERYTHING), Link(router).join()
    secret, open_ = link.subscribe("com.secret"), link.subscribe("com.open")
    pattern = link.subscribe("com.", match="prefix")
    rules = [{"uri": "com.open", "allow": True}, {"uri": "*", "allow": ["publish"]}]
    router.set_permissions({"realm1": {"anonymous": rules}})
    revoked = link.take()
    assert [(msg.request, msg.details["subscription"]) for msg in revoked] == [(0, secret), (0, pattern)]
    publisher.publish("com.secret")
    publisher.publish("com.open")
    assert link.one(m.Event).subscription == open_


def test_a_role_that_is_gone_takes_its_sessions_along():
    router = Router(permissions={"realm1": {"anonymous": True}})
    link = Link(router).join()
    router.set_permissions({"realm1": {"other": True}})
    assert link.one(m.Goodbye).reason == "wamp.error.no_such_role"
    assert router.realms["realm1"].is_empty()


def test_permissions_that_are_none_change_nothing():
    router = Router(permissions={"realm1": {"anonymous": True}})
    link = Link(router).join()
    with pytest.raises(ValueError, match="role 'anonymous' of the realm 'realm1'"):
        router.set_permissions({"realm1": {"anonymous": [{"uri": 5}]}})
    assert link.register("com.mine")


async def test_messages_that_wait_for_an_authorizer_meet_the_new_permissions():
    asked = asyncio.get_running_loop().create_future()

    async def authorizer(session, uri, action, options):
        return await asked

    router = Router(runtime=AsyncioRuntime(), permissions={"realm1": {"anonymous": {"authorizer": authorizer}}})
    link = Link(router).join()
    link.say(m.Register(1, {}, "com.first"))
    link.say(m.Register(2, {}, "com.second"))
    router.set_permissions({"realm1": {"anonymous": []}})
    assert link.take() == []
    asked.set_result(True)
    await settle()
    first, second = link.take()
    assert isinstance(first, m.Registered)  # was asked for under the old ones
    assert (second.request, second.error) == (2, "wamp.error.not_authorized")
    link.say(m.Register(3, {}, "com.third"))
    error_of(link, 64, 3, "wamp.error.not_authorized")


async def test_subscriptions_an_authorizer_would_judge_stay():
    router = Router(runtime=AsyncioRuntime(), permissions={"realm1": {"anonymous": {"authorizer": lambda *a: True}}})
    link = Link(router).join(roles=EVERYTHING)
    link.subscribe("com.a")
    router.set_permissions({"realm1": {"anonymous": {"authorizer": lambda *a: False}}})
    assert link.take() == [] and len(link.session.subscriptions) == 1


# ---- credentials -------------------------------------------------------------------------------------------


def tickets(**by_authid):
    return {"realm1": {"ticket": {"principals": {k: {"ticket": v, "role": "user"} for k, v in by_authid.items()}}}}


async def test_new_credentials_count_for_those_who_join_and_sessions_stay():
    router = Router(auth=tickets(joe="old"), runtime=AsyncioRuntime())
    joe = await hello(router, "ticket", authid="joe")
    await answer(joe, "old")
    assert isinstance(joe.take()[-1], m.Welcome)
    router.set_auth(tickets(joe="new"))
    assert joe.take() == [] and joe.session.id
    for ticket, cls in (("old", m.Abort), ("new", m.Welcome)):
        link = await hello(router, "ticket", authid="joe")
        await answer(link, ticket)
        assert isinstance(link.take()[-1], cls)


async def test_failures_count_on_over_new_credentials():
    options = {"attempts": Attempts(free=1, first_wait=60)}
    router = Router(auth=tickets(joe="x"), auth_options=options, runtime=AsyncioRuntime())
    secret = router.auth.mock_secret
    link = await hello(router, "ticket", authid="joe")
    await answer(link, "wrong")
    router.set_auth(tickets(joe="y"), {"attempts": Attempts(free=1, first_wait=60)})
    late = await hello(router, "ticket", authid="joe")
    refusal = late.one(m.Abort).details
    assert "too many failed attempts" in refusal["message"]
    assert refusal["retry_after"] == 60
    assert router.auth.mock_secret == secret
    with pytest.raises(ValueError, match="expected methods"):
        router.set_auth({"realm1": {"nonsense": {}}})
    assert router.auth.mock_secret == secret


# ---- the end -----------------------------------------------------------------------------------------------


def test_T_SES_10_goodbyes_are_spread_and_those_in_the_process_come_last():
    clock = Clock()
    router = Router(runtime=clock)
    gone = []
    router.on_link_gone = lambda: gone.append(len(router.links))
    from autobahn.wamp.serializer import CODECS

    remote = [Link(router, CODECS["json"]).join() for _ in range(50)]
    local, stranger = Link(router).join(), Link(router)
    router.shutdown(spread=10.0)
    refusal = stranger.one(m.Abort)
    assert refusal.reason == "wamp.close.system_shutdown" and "retry_after" not in refusal.details
    late = Link(router)
    late.say(m.Hello("realm1", {"roles": PLAIN}))
    assert late.one(m.Abort).reason == "wamp.close.system_shutdown"
    counts = []
    for _ in range(10):
        clock.advance(0.99)
        counts.append(sum(bool(link.sent) for link in remote))
    assert counts[0] < 25 and counts == sorted(counts) and len(set(counts)) > 4
    assert not local.sent
    clock.advance(0.2)
    for link in [*remote, local]:
        goodbye = link.one(m.Goodbye)
        assert (goodbye.reason, goodbye.details["retry_after"]) == ("wamp.close.system_shutdown", 10)
    for link in (*remote, local, stranger, late):
        link.drop()
    assert gone[-1] == 0 and not router.links


def test_whoever_is_hurried_comes_back_at_a_time_of_its_own():
    router = Router(runtime=Clock())
    links = [Link(router).join() for _ in range(50)]
    router.shutdown(spread=99.5)
    router.shutdown()
    seconds = [link.one(m.Goodbye).details["retry_after"] for link in links]
    assert len(set(seconds)) > 10 and all(1 <= each <= 100 for each in seconds)


def test_a_shutdown_that_is_not_spread_asks_nobody_to_stay_away():
    router = Router(runtime=Clock())
    link = Link(router).join()
    router.shutdown()
    assert link.one(m.Goodbye).details == {"message": "the router is shutting down"}


def test_a_second_shutdown_hurries():
    clock = Clock()
    router = Router(runtime=clock)
    links = [Link(router).join() for _ in range(20)]
    router.shutdown(spread=1000.0)
    links[0].drop()
    assert not any(link.sent for link in links)
    router.shutdown()
    assert all(isinstance(link.one(m.Goodbye), m.Goodbye) for link in links[1:])
    clock.advance(5.1)  # goodbye_timeout
    assert all(link.is_closing for link in links[1:])

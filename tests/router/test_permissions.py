"""Authorization: rules, authorizers, and the order of messages while one thinks."""

from __future__ import annotations

import asyncio

import pytest

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.router import Router
from autobahn.router import permissions as permissions_module
from autobahn.router.rules import Rules
from autobahn.wamp import message as m
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import CODECS
from router.fakes import FEATURES, Link, assert_aborted, error_of
from scripted import settle

NOT_AUTHORIZED = "wamp.error.not_authorized"
ALL = {"uri": "*", "allow": True}
ACTIONS = {
    "call": (48, lambda n, uri: m.Call(n, {}, uri)),
    "register": (64, lambda n, uri: m.Register(n, {}, uri)),
    "publish": (16, lambda n, uri: m.Publish(n, {"acknowledge": True}, uri)),
    "subscribe": (32, lambda n, uri: m.Subscribe(n, {}, uri)),
}


def make(rules, **kwargs):
    return Router(permissions={"realm1": {"anonymous": rules}}, **kwargs)


def authorized_by(fn, **settings):
    return make({"authorizer": fn, **settings}, runtime=AsyncioRuntime())


# ---- static rules ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_T_AZ_1_to_4_each_action_is_denied_unless_allowed(action):
    code, make_message = ACTIONS[action]
    router = make([{"uri": "com.ok", "allow": [action]}, {"uri": "com.other", "allow": set(ACTIONS) - {action}}])
    link = Link(router).join()
    for _ in range(2):  # the second time out of the cache
        for uri in ("com.other", "com.nothing.said"):
            link.say(make_message(1, uri))
            assert error_of(link, code, 1, NOT_AUTHORIZED) == f"this session may not {action} '{uri}'"
    link.say(make_message(1, "com.ok"))
    (msg,) = link.take()
    assert not isinstance(msg, m.Error) or msg.error == "wamp.error.no_such_procedure"


def test_T_AZ_5_an_unacknowledged_publication_is_refused_in_silence():
    router = Router(permissions={"realm1": {"anonymous": [{"uri": "com.", "match": "prefix", "allow": ["subscribe"]}]}})
    link, other = Link(router).join(), Link(router).join()
    other.subscribe("com.a")
    link.publish("com.a", 1)
    assert link.take() == other.take() == []


def test_T_AZ_7_the_longest_rule_that_matches_decides():
    rules = Rules(
        [
            {"uri": "", "match": "prefix", "allow": ["call"]},
            {"uri": "com.example.*", "allow": {"call": False, "publish": True}},
            {"uri": "com.example.open", "match": "exact", "allow": ["call"]},
            {"uri": "com..secret.thing", "match": "wildcard", "allow": ["register"]},
            {"uri": "com.example.p", "match": "prefix", "allow": True},
        ]
    )

    def allowed(uri, code=48, match="exact"):
        rule = rules.decide(code, match, uri)
        return rule is not None and {16: "publish", 32: "subscribe", 48: "call", 64: "register"}[code] in rule.allow

    assert allowed("org.anything")
    assert not allowed("com.example.closed")
    assert allowed("com.example.closed", 16)
    assert allowed("com.example.open")
    assert allowed("com.example.pq")
    assert allowed("com.example.secret.thing", 64)  # longer than "com.example."
    assert not allowed("com.example.secret.thing")
    assert not allowed("com.example.secret.thing.more", 64)


@pytest.mark.parametrize(
    ("rules", "match", "uri", "is_allowed"),
    [
        ([("com.example.", "prefix", 1)], "prefix", "com.example.", True),
        ([("com.example.", "prefix", 1)], "prefix", "com.example.a", True),
        ([("com.example.", "prefix", 1)], "prefix", "com.", False),
        ([("com.example.", "prefix", 1)], "prefix", "", False),
        ([("com.example.", "prefix", 1)], "wildcard", "com.example..x", True),
        ([("com.example.", "prefix", 1)], "wildcard", "com..x", False),
        ([("com.example.", "prefix", 1)], "wildcard", ".example.x", False),
        ([("com..x", "wildcard", 1)], "wildcard", "com..x", True),
        ([("com..x", "wildcard", 1)], "wildcard", "com.a.x", True),
        ([("com..x", "wildcard", 1)], "wildcard", "..x", False),
        ([("com..x", "wildcard", 1)], "prefix", "com.a.x", False),  # also com.a.x.y
        ([("com.a", "exact", 1)], "prefix", "com.a", False),
        ([("com.a", "exact", 1)], "wildcard", "com.a", True),
        ([("com.", "exact", 1)], "wildcard", "com.", False),
        # something within the pattern is denied
        ([("", "prefix", 1), ("com.secret.", "prefix", 0)], "prefix", "com.", False),
        ([("", "prefix", 1), ("com.secret.", "prefix", 0)], "prefix", "com.secret.a", False),
        ([("", "prefix", 1), ("com.secret.", "prefix", 0)], "prefix", "org.", True),
        ([("", "prefix", 1), ("com.secret.", "prefix", 0)], "wildcard", "com..x", False),
        ([("", "prefix", 1), ("com.secret.", "prefix", 0)], "wildcard", "com.", True),
        ([("", "prefix", 1), ("com.secret", "exact", 0)], "prefix", "com.", False),
        ([("", "prefix", 1), ("com.secret", "exact", 0)], "wildcard", "com.", False),
        ([("", "prefix", 1), ("com.secret", "exact", 0)], "wildcard", "com..", True),
        ([("", "prefix", 1), ("com..secret", "wildcard", 0)], "prefix", "com.a.s", False),
        ([("", "prefix", 1), ("com..secret", "wildcard", 0)], "prefix", "com.a.b", True),
        ([("", "prefix", 1), ("com..secret", "wildcard", 0)], "wildcard", ".a.", False),
        ([("com.", "prefix", 0), ("com.a.", "prefix", 1)], "prefix", "com.a.", True),
    ],
)
def test_T_AZ_7_a_pattern_is_allowed_only_with_all_that_it_matches(rules, match, uri, is_allowed):
    router = make([{"uri": u, "match": mt, "allow": ["subscribe"] if ok else []} for u, mt, ok in rules])
    link = Link(router).join()
    link.say(m.Subscribe(1, {"match": match}, uri))
    (msg,) = link.take()
    assert isinstance(msg, m.Subscribed) is is_allowed, msg
    if not is_allowed:
        assert msg.error == NOT_AUTHORIZED


def test_T_AZ_9_disclosure_by_the_rules():
    rules = [
        {"uri": "com.open", "allow": True, "disclose": {"caller": True, "publisher": True}},
        {"uri": "com.closed", "allow": True, "disclose": {"caller": False, "publisher": False}},
        {"uri": "com.ask", "allow": True},
    ]
    router = make(rules)
    link, other = Link(router).join(), Link(router).join()
    for uri, asked, disclosed in (
        ("com.open", None, True), ("com.ask", None, False), ("com.ask", True, True), ("com.closed", None, False),
    ):  # fmt: skip
        other.subscribe(uri)
        other.register(uri)
        options = {"disclose_me": True} if asked else {}
        link.publish(uri, 1, options=dict(options))
        assert ("publisher" in other.one(m.Event).details) is disclosed
        link.call(uri, options=dict(options))
        assert ("caller" in other.one(m.Invocation).details) is disclosed
        other.drop()
        link.take()
        other = Link(router).join()
    number = link.call("com.closed", options={"disclose_me": True})
    error_of(link, 48, number, "wamp.error.option_disallowed.disclose_me")


@pytest.mark.parametrize("codec", [None, "json"])
def test_T_AZ_10_denied_before_anything_is_looked_up(codec):
    router = make([{"uri": "com.ok", "allow": ["call"]}])
    link = Link(router, CODECS[codec] if codec else None).join()
    for uri in ("com.missing", "not a uri!", "wamp.session.count"):
        error_of(link, 48, link.call(uri), NOT_AUTHORIZED)
    error_of(link, 48, link.call("com.ok"), "wamp.error.no_such_procedure")


def test_without_permissions_nothing_stands_in_the_way():
    router = Router()
    link = Link(router).join()
    assert link.session._table is router.realms["realm1"].table
    router = make(True)
    link = Link(router).join()
    assert link.session._table is router.realms["realm1"].table


def test_roles_and_realms_that_are_not_named_may_not_join():
    router = Router(realms=["realm1", "realm2"], permissions={"realm1": {"user": True}})
    for realm in ("realm1", "realm2"):
        link = Link(router)
        link.say(m.Hello(realm, {"roles": FEATURES}))
        assert_aborted(link, "wamp.error.no_such_role")
    router = Router(permissions={"*": {"anonymous": [ALL]}})
    assert Link(router).join().subscribe("com.a") == 1


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(permissions_module, "CACHE_SIZE", 10)
    router = make([])
    link = Link(router).join()
    for i in range(25):
        link.call(f"com.a{i}")
    assert len(router.permissions._guards["realm1", "anonymous"]._caches[48]) <= 10
    assert len(link.take()) == 25


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (5, "a list of rules"), ([5], "a dict as a rule"), ([{"allow": True}], "a uri"),
        ([{"uri": "a", "match": "x"}], "'x'"), ([{"uri": "a", "allow": ["fly"]}], "'fly'"),
        ([{"uri": "a", "allow": {"call": 1}}], "true or false"), ([{"uri": "a", "allow": 5}], "allow as a list"),
        ([{"uri": "a", "x": 1}], "'x'"), ([{"uri": "a", "disclose": 5}], "disclose"),
        ([{"uri": "a", "disclose": {"caller": 1}}], "true or false"),
        ({"authorizer": "not a uri"}, "URI of a procedure"),
        ({"x": 1}, "'x'"),
    ],
)  # fmt: skip
def test_wrong_configurations_say_what_was_expected(rules, text):
    with pytest.raises(ValueError, match=f"role 'anonymous' of the realm 'realm1': .*{text}"):
        make(rules)
    with pytest.raises(ValueError, match="roles for the realm"):
        Router(permissions={"realm1": []})


# ---- authorizers ------------------------------------------------------------------------------------------------


async def test_a_function_decides_what_no_rule_does():
    asked = []

    def authorizer(session, uri, action, options):
        asked.append((session["authid"], session["authrole"], session["realm"], uri, action, options))
        return uri == "com.yes"

    router = authorized_by(authorizer, permissions=[{"uri": "com.rule", "allow": ["subscribe"]}])
    link = Link(router).join()
    link.subscribe("com.rule")
    link.subscribe("com.yes")
    link.say(m.Subscribe(3, {"match": "prefix"}, "com.no"))
    error_of(link, 32, 3, NOT_AUTHORIZED)
    authid = link.welcome.details["authid"]
    assert asked == [
        (authid, "anonymous", "realm1", "com.yes", "subscribe", {}),
        (authid, "anonymous", "realm1", "com.no", "subscribe", {"match": "prefix"}),
    ]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("answer", [ZeroDivisionError("x"), 5, None, {"disclose": "x", "allow": True}], ids=str)
async def test_T_AZ_6_an_authorizer_that_fails(is_async, answer, caplog):
    def authorizer(session, uri, action, options):
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(*args):
        return authorizer(*args)

    link = Link(authorized_by(later if is_async else authorizer)).join()
    number = link.call("com.a")
    await settle()
    error_of(link, 48, number, "wamp.error.authorization_failed")
    assert caplog.text.count("While asking an authorizer") == 1
    link.publish("com.a")
    await settle()
    assert link.take() == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_authorizer_may_raise_its_refusal(is_async):
    def refuse(*_):
        raise ApplicationError(NOT_AUTHORIZED)

    async def later(*_):
        refuse()

    link = Link(authorized_by(later if is_async else refuse)).join()
    number = link.call("com.a")
    await settle()
    error_of(link, 48, number, NOT_AUTHORIZED)


async def test_T_AZ_8_answers_are_kept_when_the_authorizer_says_so():
    asked = []
    now = [0.0]

    async def authorizer(session, uri, action, options):
        asked.append(uri)
        return {"allow": True, "cache": uri != "com.volatile", "disclose": True}

    router = authorized_by(authorizer, ttl=10)
    router.permissions._clock = lambda: now[0]
    link, other = Link(router).join(), Link(router).join()
    other.say(m.Subscribe(1, {}, "com.a"))
    await settle()
    other.take()
    asked.clear()

    async def publish(uri):
        link.publish(uri)
        await settle()
        return other.take()

    for _ in range(3):
        (event,) = await publish("com.a")
        assert event.details["publisher"] == link.welcome.session
        await publish("com.volatile")
    assert asked == ["com.a", "com.volatile", "com.volatile", "com.volatile"]
    asked.clear()
    now[0] = 9.9
    await publish("com.a")
    assert asked == []
    now[0] = 10.1
    await publish("com.a")
    assert asked == ["com.a"]
    for matching in ({"uri": "com.a"}, {}, {"realm": "realm1", "role": "anonymous"}):
        asked.clear()
        for other_one in ({"uri": "com.b"}, {"realm": "x"}, {"role": "x"}):
            router.permissions.invalidate(**other_one)
        await publish("com.a")
        assert asked == []
        router.permissions.invalidate(**matching)
        await publish("com.a")
        assert asked == ["com.a"]


class Thinking:
    """An async authorizer that answers when it is told to."""

    def __init__(self):
        self.questions = {}

    async def __call__(self, session, uri, action, options):
        if ".slow" not in uri:
            return True
        future = self.questions[uri] = asyncio.get_running_loop().create_future()
        return await future

    async def say(self, uri, answer):
        self.questions.pop(uri).set_result(answer)
        await settle()


async def test_T_ORD_3_later_messages_of_that_session_wait_in_order_and_others_go_on():
    thinking = Thinking()
    router = authorized_by(thinking)
    link, other, third = (Link(router).join() for _ in range(3))
    other.say(m.Subscribe(1, {"match": "prefix"}, "com."))
    await settle()
    other.take()
    link.publish("com.slow", 1)
    link.publish("com.quick", 2)
    link.say(m.Subscribe(7, {}, "com.b"))
    third.publish("com.quick", 3)
    await settle()
    assert [event.args for event in other.take()] == [[3]]
    assert link.take() == []
    link.publish("com.slow2", 4)
    link.publish("com.quick", 5)
    await thinking.say("com.slow", True)
    assert [event.args for event in other.take()] == [[1], [2]]
    assert isinstance(link.one(m.Subscribed), m.Subscribed)
    await thinking.say("com.slow2", False)
    assert [event.args for event in other.take()] == [[5]]
    assert link.session._table is router.permissions._guards["realm1", "anonymous"].table


async def test_T_ORD_1_a_burst_of_events_with_a_slow_authorizer_on_one_topic():
    async def authorizer(session, uri, action, options):
        if action == "publish" and uri == "com.t0":
            await asyncio.sleep(0)
        return {"allow": True, "cache": uri != "com.t0"}

    router = authorized_by(authorizer, timeout=60)
    codec = CODECS["json"]
    publisher, subscriber = Link(router, codec).join(), Link(router, codec).join()
    subscriber.say(m.Subscribe(1, {"match": "prefix"}, "com."))
    await settle()
    subscriber.take()
    for i in range(2000):  # a burst; the shell's reads come in bursts, too
        publisher.publish(f"com.t{i % 5}", i)
    for _ in range(5000):
        await asyncio.sleep(0)
        if len(subscriber.sent) == 2000:
            break
    assert [event.args[0] for event in subscriber.take()] == list(range(2000))


async def test_goodbye_waits_its_turn():
    thinking = Thinking()
    router = authorized_by(thinking)
    link, other = Link(router).join(), Link(router).join()
    other.say(m.Subscribe(1, {}, "com.slow"))
    await settle()
    await thinking.say("com.slow", True)
    other.take()
    link.publish("com.slow", 1)
    link.say(m.Goodbye({}, "wamp.close.normal"))
    await settle()
    assert link.take() == []
    await thinking.say("com.slow", True)
    assert other.one(m.Event).args == [1]
    assert link.one(m.Goodbye).reason == "wamp.close.goodbye_and_out"


@pytest.mark.parametrize("end", ["drop", "abort", "close", "violation"])
async def test_a_session_that_ends_while_it_waits(end):
    thinking = Thinking()
    router = authorized_by(thinking)
    link = Link(router).join()
    link.call("com.slow")
    link.call("com.b")
    if end == "drop":
        link.drop()
    elif end == "abort":
        link.say(m.Abort({}, "x"))
    elif end == "close":
        link.session.close("wamp.close.killed")
    else:
        link.say(m.Hello("realm1", {"roles": FEATURES}))
    link.take()
    await settle()
    await thinking.say("com.slow", True)
    assert link.take() == []
    assert router.sessions == 0


async def test_a_new_session_on_the_link_is_not_touched_by_an_old_question():
    thinking = Thinking()
    router = authorized_by(thinking)
    link = Link(router).join()
    link.call("com.slow")
    await settle()
    link.session._dispose()
    link.session._state = 0
    link.join()
    await thinking.say("com.slow", True)
    assert link.take() == []


async def test_a_violation_that_has_waited_ends_the_session():
    thinking = Thinking()
    link = Link(authorized_by(thinking), CODECS["json"]).join()
    link.call("com.slow")
    link.say(m.Yield(77, {}))
    await settle()
    assert link.take() == []
    await thinking.say("com.slow", True)
    assert link.take()[0].error == "wamp.error.no_such_procedure"
    assert link.session._state.name == "FAILED" or link.is_closing


async def test_an_authorizer_has_limited_time(caplog):
    thinking = Thinking()
    link = Link(authorized_by(thinking, timeout=0.01)).join()
    number = link.call("com.slow")
    link.say(m.Subscribe(9, {}, "com.b"))
    await asyncio.sleep(0.05)
    error, subscribed = link.take()
    assert (error.request, error.error) == (number, "wamp.error.authorization_failed")
    assert subscribed.request == 9
    assert "within 0.01 seconds" in caplog.text


async def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(permissions_module, "MAX_WAITING", 10_000)
    link = Link(authorized_by(Thinking(), timeout=0.01), CODECS["json"]).join()
    link.call("com.slow")
    for _ in range(3):
        link.publish("com.b", "x" * 4000)
    assert link.one(m.Goodbye).reason == "wamp.error.authorization_failed"
    await settle()


async def test_without_a_runtime_an_authorizer_that_awaits_is_a_mistake():
    router = make({"authorizer": Thinking()})
    with pytest.raises(RuntimeError, match="with a runtime"):
        Link(router).join().call("com.a")


async def test_a_procedure_decides():
    router = Router(
        realms=["realm1", "admin"],
        runtime=AsyncioRuntime(),
        permissions={
            "realm1": {"anonymous": {"authorizer": "com.example.authorize", "realm": "admin"}},
            "admin": {"anonymous": [{"uri": "com.example.authorize", "allow": ["register"]}]},
        },
    )
    callee = Link(router).join("admin")
    callee.register("com.example.authorize")
    link = Link(router).join()
    for answer in (True, False, {"allow": True}):
        number = link.call("com.a", options={"receive_progress": True})
        await settle(30)
        invocation = callee.one(m.Invocation)
        session, uri, action, options = invocation.args
        assert (session["session"], uri, action, options) == (
            link.welcome.session, "com.a", "call", {"receive_progress": True},
        )  # fmt: skip
        callee.say(m.Yield(invocation.request, {}, [answer]))
        await settle(30)
        error_of(link, 48, number, "wamp.error.no_such_procedure" if answer else NOT_AUTHORIZED)
    callee.drop()
    number = link.call("com.a")
    await settle(30)
    error_of(link, 48, number, "wamp.error.authorization_failed")
    router.shutdown()
    await settle(30)

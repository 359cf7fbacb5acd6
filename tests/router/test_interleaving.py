"""Any interleaving of legal actions leaves every book empty, answers every call exactly once, and brings every
event to exactly those who are to have it. The sessions speak different serializers and announce different features."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, PLAIN, Clock, Link
from router.test_patterns import matches

CODEC_OF = (None, *CODECS.values())
SESSIONS = 4
URIS = ("com.a", "com.a", "com.a", "com.b", "com.a.b")  # most actions meet at one place
OPTIONS = RealmOptions(
    call_queue=2,
    meta_kill_roles=frozenset({"anonymous"}),
    max_calls=20,
    history=(HistoryTopic("com.a", limit=5), HistoryTopic("com.", "prefix", 5)),
)
session = st.integers(0, SESSIONS - 1)
uri = st.sampled_from(URIS)
pick = st.integers(0, 7)
match = st.sampled_from(["exact", "exact", "exact", "prefix", "wildcard"])
register_options = st.fixed_dictionaries(
    {},
    optional={
        "invoke": st.sampled_from(["roundrobin", "roundrobin", "single", "first", "last", "random"]),
        "concurrency": st.sampled_from([1, 1, 2, 0]),
        "force_reregister": st.booleans(),
        "forward_timeout": st.booleans(),
        "disclose_caller": st.booleans(),
    },
)
call_options = st.fixed_dictionaries(
    {},
    optional={
        "receive_progress": st.booleans(),
        "timeout": st.sampled_from([0, 50, 100]),
        "disclose_me": st.booleans(),
        "runmode": st.just("partition"),
        "rkey": st.sampled_from(["k1", "k2"]),
    },
)
actions = st.one_of(
    st.tuples(st.just("register"), session, uri, match, register_options),
    st.tuples(st.just("unregister"), session, pick),
    st.tuples(st.just("subscribe"), session, uri, match, st.booleans()),
    st.tuples(st.just("unsubscribe"), session, pick),
    st.tuples(st.just("publish"), session, uri, st.booleans(), st.booleans()),
    st.tuples(st.just("testament"), session, uri, st.sampled_from(["destroyed", "detached"])),
    st.tuples(st.just("call"), session, uri, call_options),
    st.tuples(st.just("call"), session, uri, call_options),
    st.tuples(st.just("call"), session, uri, call_options),
    st.tuples(st.just("stream"), session, uri, call_options),
    st.tuples(st.just("chunk"), session, pick, st.booleans()),
    st.tuples(st.just("ask"), session, st.sampled_from(["session.list", "registration.list", "subscription.list"])),
    st.tuples(st.just("cancel"), session, pick, st.sampled_from(["skip", "kill", "killnowait"])),
    st.tuples(st.just("answer"), session, pick, st.sampled_from(["yield", "error", "progress", "unavailable"])),
    st.tuples(st.just("tick"), session),
    st.tuples(st.just("kill"), session, session),
    st.tuples(st.just("leave"), session, st.sampled_from(["goodbye", "drop"])),
)


def is_final_answer(msg):
    if isinstance(msg, m.Result):
        return not msg.details.get("progress")
    return isinstance(msg, m.Error) and msg.request_type == 48


class Actor:
    """A well-behaved client that counts what it gets."""

    def __init__(self, router, index, clock):
        self.router = router
        self.clock = clock
        self.codec = CODEC_OF[index % len(CODEC_OF)]
        self.can_stream = bool(index % 2)
        self.roles = EVERYTHING if self.can_stream else PLAIN
        self.link = None
        self.finals = Counter()  # (life, request) -> final answers
        self.calls = set()
        self.life = 0
        self.start()

    def start(self):
        if self.link is None or not self.link.is_open:
            self.link = Link(self.router, self.codec)
        self.link.join(roles=self.roles)
        self.life += 1
        self.topics, self.asked = {}, {}  # subscription id -> (match, topic); the same by request
        self.procedures, self.open_calls, self.invocations = [], [], []
        self.streams = {}  # request -> procedure, of streams whose last CALL was not sent
        self.testaments = []
        self.done = set()  # invocations of which nothing may come any more
        self.events = Counter()

    def read(self):
        for msg in self.link.take():
            assert not isinstance(msg, (m.Abort, m.Goodbye)), msg
            if isinstance(msg, m.Subscribed):
                self.topics[msg.subscription] = self.asked[msg.request]
            elif isinstance(msg, m.Registered) and msg.registration not in self.procedures:
                self.procedures.append(msg.registration)
            elif isinstance(msg, m.Unregistered) and not msg.request:
                self.procedures.remove(msg.details["registration"])
            elif isinstance(msg, m.Invocation):
                assert msg.request not in self.done
                if msg.request not in self.invocations:
                    self.invocations.append(msg.request)
            elif isinstance(msg, m.Interrupt):
                self.done.add(msg.request)
            elif isinstance(msg, m.Event):
                self.got(msg)
            elif is_final_answer(msg):
                self.finished(msg.request)

    def got(self, event):
        assert event.subscription in self.topics
        if not event.details.get("retained"):
            self.events[event.subscription, event.publication] += 1
            assert self.events[event.subscription, event.publication] == 1

    def finished(self, request):
        self.finals[self.life, request] += 1
        if request in self.open_calls:
            self.open_calls.remove(request)

    # actions

    def register(self, procedure, policy, options):
        self.link.say(m.Register(self.link.next(), {"match": policy, **options}, procedure))

    def subscribe(self, topic, policy, retained):
        request = self.link.next()
        self.asked[request] = (policy, topic)
        self.link.say(m.Subscribe(request, {"match": policy, "get_retained": retained}, topic))

    def unregister(self, i):
        if self.procedures:
            number = self.procedures.pop(i % len(self.procedures))
            self.link.say(m.Unregister(self.link.next(), number))

    def unsubscribe(self, i):
        if self.topics:
            number = list(self.topics)[i % len(self.topics)]
            del self.topics[number]
            self.link.say(m.Unsubscribe(self.link.next(), number))

    def publish(self, topic, to_me, retain):
        self.link.publish(topic, options={"exclude_me": not to_me, "retain": retain})

    def testament(self, topic, scope):
        self.called(self.link.call("wamp.session.add_testament", topic, [], {}, scope=scope))
        if len(self.link.session.calls) < OPTIONS.max_calls:
            self.testaments.append(topic)

    def called(self, request):
        self.calls.add((self.life, request))
        self.open_calls.append(request)

    def call(self, procedure, options):
        self.called(self.link.call(procedure, options=options))

    def stream(self, procedure, options):
        if self.can_stream:
            request = self.link.call(procedure, options={**options, "progress": True})
            self.called(request)
            self.streams[request] = procedure

    def chunk(self, i, is_last):
        if self.streams:
            request = list(self.streams)[i % len(self.streams)]
            self.link.say(m.Call(request, {"progress": not is_last}, self.streams[request]))
            if is_last:
                del self.streams[request]

    def ask(self, what):
        self.called(self.link.call(f"wamp.{what}"))

    def cancel(self, i, mode):
        if self.open_calls:
            self.link.say(m.Cancel(self.open_calls[i % len(self.open_calls)], {"mode": mode}))

    def answer(self, i, how):
        if not self.invocations:
            return
        i %= len(self.invocations)
        serial = self.invocations[i]
        if how == "progress":
            self.link.say(m.Yield(serial, {"progress": True}))
            return
        del self.invocations[i]
        self.done.add(serial)
        uri = "com.e" if how == "error" else "wamp.error.unavailable"
        self.link.say(m.Yield(serial, {}) if how == "yield" else m.Error(68, serial, {}, uri))

    def tick(self):
        self.clock.advance(0.03)

    def kill(self, victim):
        self.called(self.link.call("wamp.session.kill", victim.link.welcome.session))

    def leave(self, how):
        # calls in flight are not answered to somebody who has left
        self.calls -= {(self.life, request) for request in self.open_calls}
        if how == "killed":
            assert isinstance(self.link.take()[-1], m.Goodbye)
            self.link.drop()
        elif how == "goodbye":
            self.link.say(m.Goodbye({}, "wamp.close.normal"))
            assert isinstance(self.link.take()[-1], m.Goodbye)
        else:
            self.link.drop().take()


def expected_events(actor, publisher, topic, to_publisher):
    if actor is publisher and not to_publisher:
        return 0
    return sum(matches(*subscription, topic) for subscription in actor.topics.values())


def step(actors, name, who, args):
    """One action, and whoever gets events by it is to have them."""
    actor = actors[who]
    leaver = actor if name == "leave" else None
    before = {other: sum(other.events.values()) for other in actors}
    if name == "kill":
        victim = actors[args[0]]
        actor.kill(victim)
        is_heard = len(actor.link.session.calls) < OPTIONS.max_calls
        if victim is not actor and is_heard:
            victim.leave("killed")
            leaver = victim
    else:
        getattr(actor, name)(*args)
    for other in actors:
        if other is not leaver:
            other.read()
    published = []
    if name == "publish":
        published = [(actor, args[0], args[1])]
    elif leaver is not None:
        published = [(leaver, topic, False) for topic in leaver.testaments]
    for other in actors:
        if other is not leaver:
            got = sum(other.events.values()) - before[other]
            assert got == sum(expected_events(other, *publication) for publication in published)
    if leaver is not None:
        leaver.start()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2), st.lists(actions, min_size=30, max_size=60))
def test_books_are_empty_and_calls_answered_once(concurrency, steps):
    clock = Clock()
    router = Router(realm_options=OPTIONS, runtime=clock)
    realm = router.realms["realm1"]
    actors = [Actor(router, i, clock) for i in range(SESSIONS)]
    shared = {"invoke": "roundrobin", "concurrency": concurrency}
    prologue = [("register", who, "com.a", "exact", shared) for who in (0, 1)]
    for name, who, *args in prologue + steps:
        step(actors, name, who, args)
    while any(actor.invocations for actor in actors):  # every callee finishes what it has
        for actor in actors:
            while actor.invocations:
                actor.answer(0, "yield")
            actor.read()
    for actor in actors:
        actor.read()
    assert not clock.timers
    for actor in actors:
        assert not actor.open_calls
        assert set(actor.finals) == actor.calls
        assert set(actor.finals.values()) <= {1}
    for registration in realm.dealer.registrations.values():
        assert not registration.queue
        assert all(endpoint.running == 0 for endpoint in registration.endpoints)
    for actor in actors:
        actor.leave("drop")
        assert actor.link.session.is_idle
    assert realm.is_empty()
    assert len(realm.testaments) == 0
    assert len(realm.dealer.registrations) == len(realm.dealer.registrar.by_id) == len(realm.house.registrations)
    assert len(realm.broker.subscriptions) == len(realm.broker.by_id) == len(OPTIONS.history)
    assert not router.links

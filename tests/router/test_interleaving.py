"""Any interleaving of legal actions leaves every book empty, answers every call exactly once, and brings every
event to exactly those who are to have it, once; of what waits for a client that reads too slowly, exactly those events
give way that the policy says, and they are counted. The sessions speak different serializers and announce different
features."""

from collections import Counter
from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.router.testaments import SCOPES
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
    slow_queue=150,  # octets: three events or so
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
some = st.sets(st.integers(0, SESSIONS - 1), max_size=3)
lists = st.fixed_dictionaries(
    {},
    optional={"eligible": some, "exclude": some, "eligible_authid": some, "exclude_authid": some},
)
actions = st.one_of(
    st.tuples(st.just("register"), session, uri, match, register_options),
    st.tuples(st.just("unregister"), session, pick),
    st.tuples(st.just("subscribe"), session, uri, match, st.booleans()),
    st.tuples(st.just("unsubscribe"), session, pick),
    st.tuples(st.just("publish"), session, uri, st.booleans(), st.booleans(), st.just({})),
    st.tuples(st.just("publish"), session, uri, st.booleans(), st.booleans(), lists),
    st.tuples(st.just("slow"), session),
    st.tuples(st.just("ready"), session),
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
        self.is_slow = False
        self.start()

    def start(self):
        if self.link is None or not self.link.is_open:
            self.link = Link(self.router, self.codec)
            self.is_slow = False
        self.link.join(roles=self.roles)
        self.is_here = True
        self.life += 1
        self.topics, self.asked = {}, {}  # subscription id -> (match, topic); the same by request
        self.procedures, self.open_calls, self.invocations = [], [], []
        self.streams = {}  # request -> procedure, of streams whose last CALL was not sent
        self.testaments = []
        self.done = set()  # invocations of which nothing may come any more
        self.events = Counter()
        self.arrived = []  # (serial, subscription, topic) of live events, in their order
        self.owed = []  # the same, of those that were published since the client is slow
        self.is_exact = True  # whether nothing else can have been in the backlog

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
            topic = event.details.get("topic") or self.topics[event.subscription][1]
            self.arrived.append((event.args[0], event.subscription, topic))

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
        self.is_exact = self.is_exact and not retained
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
            owed = [event for event in self.owed if event[1] != number]
            self.is_exact = self.is_exact and owed == self.owed  # some of these had given way, some had not
            self.owed = owed

    def publish(self, publication, options):
        self.link.publish(publication.topic, publication.serial, options=options)

    def testament(self, publication, scope):
        topic, serial = publication.topic, publication.serial
        self.called(self.link.call("wamp.session.add_testament", topic, [serial], {}, scope=scope))
        if len(self.link.session.calls) < OPTIONS.max_calls:
            self.testaments.append((scope, publication))

    def slow(self):
        self.link.session.onWritingPaused()
        self.is_slow = self.codec is not None  # between objects in one process nothing waits

    def ready(self, policy):
        """The client reads again, and gets what the policy has left."""
        if not self.is_slow:
            return
        dropped, before = self.link.session.backlog.dropped, len(self.arrived)
        self.read()
        assert len(self.arrived) == before  # no event passes while it is slow
        self.link.session.onWritingResumed()
        self.is_slow = False
        self.read()
        got, owed = self.arrived[before:], self.owed
        assert (len(got) + dropped == len(owed)) if self.is_exact else (len(got) + dropped >= len(owed))
        if policy == "conflate":
            newest = {event[1:]: event[0] for event in owed}
            assert len({event[1:] for event in got}) == len(got)
            assert all(newest[event[1:]] == event[0] for event in got)
        else:
            serials = [event[0] for event in owed]
            assert [event[0] for event in got] == serials[len(serials) - len(got) :]
        self.owed, self.is_exact = [], True

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
        self.is_here = False
        self.invocations, self.open_calls = [], []
        if how == "killed":
            assert isinstance(self.link.take()[-1], m.Goodbye)
            self.link.drop()
        elif how == "goodbye":
            self.link.say(m.Goodbye({}, "wamp.close.normal"))
            assert isinstance(self.link.take()[-1], m.Goodbye)
        else:
            self.link.drop().take()


class Publication:
    """What is published, and who is to have it."""

    def __init__(self, serial, publisher, topic, to_publisher=False, lists=None):
        self.serial = serial
        self.publisher = publisher
        self.topic = topic
        self.to_publisher = to_publisher
        self.lists = lists or {}  # option -> indexes of sessions

    def expected(self, who, actor):
        """What the actor number ``who`` is to have of it."""
        if actor is self.publisher and not self.to_publisher:
            return []
        if any((who in listed) is key.startswith("exclude") for key, listed in self.lists.items()):
            return []
        return [
            (self.serial, number, self.topic)
            for number, subscription in actor.topics.items()
            if matches(*subscription, self.topic)
        ]


class World:
    """A router, its actors, and one action after the other."""

    def __init__(self, policy):
        self.policy = policy
        self.clock = Clock()
        self.router = Router(realm_options=replace(OPTIONS, slow_policy=policy), runtime=self.clock)
        self.actors = [Actor(self.router, i, self.clock) for i in range(SESSIONS)]
        self.serials = count(1)

    def step(self, name, who, args):
        """One action, and whoever gets events by it is to have them; who has left joins again instead."""
        actor = self.actors[who]
        if not actor.is_here:
            actor.start()
            return
        before = [len(other.arrived) for other in self.actors]
        published, leaver = [], None
        if name == "publish":
            published = [self.publish(actor, *args)]
        elif name == "testament":
            actor.testament(Publication(next(self.serials), actor, args[0]), args[1])
        elif name == "kill":
            leaver = self.kill(actor, self.actors[args[0]])
        elif name == "ready":
            actor.ready(self.policy)
            before[who] = len(actor.arrived)
        else:
            getattr(actor, name)(*args)
            leaver = actor if name == "leave" else None
        if leaver is not None:
            # In the order in which they are executed, and those of one scope in the order in which they were made.
            published = [p for scope in SCOPES for made_for, p in leaver.testaments if made_for == scope]
        for index, other in enumerate(self.actors):
            if not other.is_here:
                continue
            other.read()
            owed = [event for publication in published for event in publication.expected(index, other)]
            got = other.arrived[before[index] :]
            if other.is_slow:
                other.owed += owed
                assert got == []
            else:
                assert Counter(got) == Counter(owed)

    def publish(self, actor, topic, to_me, retain, lists):
        publication = Publication(next(self.serials), actor, topic, to_me, lists)
        options = {"exclude_me": not to_me, "retain": retain}
        for key, indexes in lists.items():
            chosen = [self.actors[i] for i in sorted(indexes)]
            by_id = not key.endswith("authid")
            options[key] = [a.link.welcome.session if by_id else a.link.welcome.details["authid"] for a in chosen]
        actor.publish(publication, options)
        return publication

    def kill(self, actor, victim):
        """Who has left by it."""
        actor.kill(victim)
        if victim is actor or not victim.is_here or len(actor.link.session.calls) >= OPTIONS.max_calls:
            return None
        victim.leave("killed")
        return victim


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["drop-oldest", "conflate"]),
    st.integers(1, 2),
    st.lists(actions, min_size=30, max_size=60),
)
def test_books_are_empty_and_calls_answered_once(policy, concurrency, steps):
    world = World(policy)
    router, clock, actors = world.router, world.clock, world.actors
    realm = router.realms["realm1"]
    shared = {"invoke": "roundrobin", "concurrency": concurrency}
    prologue = [("register", who, "com.a", "exact", shared) for who in (0, 1)]
    for name, who, *args in prologue + steps:
        world.step(name, who, args)
    for who, actor in enumerate(actors):
        if actor.is_here:
            world.step("ready", who, ())
        else:
            actor.link.drop()
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

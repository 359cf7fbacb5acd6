"""Any interleaving of legal actions leaves every book empty, answers every call exactly once, and brings every
event to exactly those who are to have it. The sessions speak different serializers."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.router import Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import FEATURES, PLAIN, Link
from router.test_patterns import matches

CODEC_OF = (None, *CODECS.values())
SESSIONS = 4
URIS = ("com.a", "com.b", "com.a.b")
session = st.integers(0, SESSIONS - 1)
uri = st.sampled_from(URIS)
pick = st.integers(0, 7)
match = st.sampled_from(["exact", "prefix", "wildcard"])
actions = st.one_of(
    st.tuples(st.just("register"), session, uri, match),
    st.tuples(st.just("unregister"), session, pick),
    st.tuples(st.just("subscribe"), session, uri, match),
    st.tuples(st.just("unsubscribe"), session, pick),
    st.tuples(st.just("publish"), session, uri, st.booleans()),
    st.tuples(st.just("call"), session, uri, st.booleans()),
    st.tuples(st.just("cancel"), session, pick, st.sampled_from(["skip", "kill", "killnowait"])),
    st.tuples(st.just("answer"), session, pick, st.sampled_from(["yield", "error", "progress"])),
    st.tuples(st.just("leave"), session, st.sampled_from(["goodbye", "drop"])),
)


def is_final_answer(msg):
    if isinstance(msg, m.Result):
        return not msg.details.get("progress")
    return isinstance(msg, m.Error) and msg.request_type == 48


class Actor:
    """A well-behaved client that counts what it gets."""

    def __init__(self, router, index):
        self.router = router
        self.codec = CODEC_OF[index % len(CODEC_OF)]
        self.roles = FEATURES if index % 2 else PLAIN
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
        self.events = Counter()

    def read(self):
        for msg in self.link.take():
            assert not isinstance(msg, m.Abort), msg
            if isinstance(msg, m.Subscribed):
                self.topics[msg.subscription] = self.asked[msg.request]
            elif isinstance(msg, m.Registered):
                self.procedures.append(msg.registration)
            elif isinstance(msg, m.Invocation):
                self.invocations.append(msg.request)
            elif isinstance(msg, m.Event):
                assert msg.subscription in self.topics
                self.events[msg.subscription, msg.publication] += 1
                assert self.events[msg.subscription, msg.publication] == 1
            elif is_final_answer(msg):
                self.finished(msg.request)

    def finished(self, request):
        self.finals[self.life, request] += 1
        if request in self.open_calls:
            self.open_calls.remove(request)

    # actions

    def register(self, procedure, policy):
        self.link.say(m.Register(self.link.next(), {"match": policy}, procedure))

    def subscribe(self, topic, policy):
        request = self.link.next()
        self.asked[request] = (policy, topic)
        self.link.say(m.Subscribe(request, {"match": policy}, topic))

    def unregister(self, i):
        if self.procedures:
            number = self.procedures.pop(i % len(self.procedures))
            self.link.say(m.Unregister(self.link.next(), number))

    def unsubscribe(self, i):
        if self.topics:
            number = list(self.topics)[i % len(self.topics)]
            del self.topics[number]
            self.link.say(m.Unsubscribe(self.link.next(), number))

    def publish(self, topic, to_me):
        self.link.publish(topic, options={"exclude_me": not to_me})

    def call(self, procedure, progress):
        request = self.link.call(procedure, options={"receive_progress": progress})
        self.calls.add((self.life, request))
        self.open_calls.append(request)

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
        self.link.say(m.Yield(serial, {}) if how == "yield" else m.Error(68, serial, {}, "com.e"))

    def leave(self, how):
        # calls in flight are not answered to somebody who has left
        self.calls -= {(self.life, request) for request in self.open_calls}
        if how == "goodbye":
            self.link.say(m.Goodbye({}, "wamp.close.normal"))
            assert isinstance(self.link.take()[-1], m.Goodbye)
        else:
            self.link.drop().take()


def expected_events(actor, publisher, topic, to_publisher):
    if actor is publisher and not to_publisher:
        return 0
    return sum(matches(*subscription, topic) for subscription in actor.topics.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(actions, max_size=60))
def test_books_are_empty_and_calls_answered_once(steps):
    router = Router()
    realm = router.realms["realm1"]
    actors = [Actor(router, i) for i in range(SESSIONS)]
    for name, who, *args in steps:
        before = [sum(actor.events.values()) for actor in actors]
        getattr(actors[who], name)(*args)
        for actor in actors:
            if name == "leave" and actor is actors[who]:
                continue
            actor.read()
        if name == "leave":
            actors[who].start()
        if name == "publish":
            got = [sum(actor.events.values()) - count for actor, count in zip(actors, before, strict=True)]
            assert got == [expected_events(actor, actors[who], *args) for actor in actors]
    for actor in actors:  # every callee finishes what it has
        while actor.invocations:
            actor.answer(0, "yield")
    for actor in actors:
        actor.read()
    for actor in actors:
        assert not actor.open_calls
        assert set(actor.finals) == actor.calls
        assert set(actor.finals.values()) <= {1}
    for actor in actors:
        actor.leave("drop")
        assert actor.link.session.is_idle
    assert realm.is_empty()
    assert not router.links

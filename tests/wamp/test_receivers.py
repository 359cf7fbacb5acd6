"""The lanes of handlers under every interleaving of events and ends of handlers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.wamp import message as m
from autobahn.wamp.declared import Endpoint
from autobahn.wamp.receivers import Lane
from autobahn.wamp.request import Subscription
from autobahn.wamp.types import SubscribeOptions


class Pause:
    """Something to await that goes on when its task is stepped."""

    def __await__(self):
        return (yield self)


class World:
    """A session, its runtime and a handler whose calls end when they are told to."""

    def __init__(self, options, kinds):
        self.session = self._runtime = self
        self.tasks = {}  # number of the event -> coroutine that waits in its handler
        self.started = []
        self.errors = []
        self.most = 0
        self._kinds = kinds
        self._current = None
        self.subscription = Subscription(1, "com.t", self, None)
        endpoint = Endpoint("com.t", self.handler, options, "exact", None, "handler")
        self.lane = Lane(self, endpoint, self.subscription)

    def handler(self, number):
        self.started.append(number)
        kind = self._kinds[number % len(self._kinds)]
        if kind == "plain":
            return None
        if kind == "raises":
            raise ValueError
        return self.later(number, kind)

    async def later(self, number, kind):
        self._current = number
        await Pause()
        if kind == "fails":
            raise ValueError

    def spawn(self, coroutine, name):
        self.step(coroutine)

    def step(self, coroutine):
        try:
            coroutine.send(None)
        except StopIteration:
            return
        self.tasks[self._current] = coroutine
        self.most = max(self.most, len(self.tasks))

    def finish(self, number):
        self.step(self.tasks.pop(number))

    def _user_error(self, exc, text):
        self.errors.append(type(exc))

    def handled(self, msg):
        raise AssertionError

    def not_handled(self, msg):
        """Nothing is to be acknowledged here."""


@settings(max_examples=300, deadline=None)
@given(
    options=st.sampled_from(
        [
            SubscribeOptions(mode="ordered", buffer=3),
            SubscribeOptions(concurrency=2, buffer=3),
            SubscribeOptions(concurrency=3, buffer=1),
            SubscribeOptions(mode="latest"),
        ]
    ),
    kinds=st.lists(st.sampled_from(["plain", "raises", "async", "fails"]), min_size=1, max_size=5),
    steps=st.lists(st.one_of(st.just("event"), st.integers(0, 3)), max_size=60),
)
def test_every_event_is_handled_in_order_or_counted_as_dropped(options, kinds, steps):
    world = World(options, kinds)
    limit = options.concurrency or 1
    room = 1 if options.mode == "latest" else options.buffer
    sent = 0
    for step in steps:
        if step == "event":
            world.lane.take(_event(sent))
            sent += 1
        elif world.tasks:
            world.finish(sorted(world.tasks)[step % len(world.tasks)])
        waiting = sent - len(world.started) - world.subscription.dropped
        assert 0 <= waiting <= room
        assert waiting == 0 or len(world.tasks) == limit  # nothing waits while there is a place
    while world.tasks:
        world.finish(max(world.tasks))
    assert world.started == sorted(set(world.started))
    assert len(world.started) + world.subscription.dropped == sent
    assert world.most <= limit
    assert sent == 0 or sent - 1 in world.started  # the newest is never dropped
    failures = sum(kinds[number % len(kinds)] in {"raises", "fails"} for number in world.started)
    assert world.errors.count(ValueError) == failures
    assert (len(world.errors) > failures) is (world.subscription.dropped > 0 and options.mode != "latest")


def _event(number):
    return m.Event(1, number + 1, {}, [number], {})

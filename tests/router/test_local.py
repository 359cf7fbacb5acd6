"""In-process links."""

from collections import deque

import pytest

from autobahn.router import Router, connect_local
from autobahn.wamp import message as m
from autobahn.wamp.exception import ProtocolError, TransportLost
from router.fakes import FEATURES, Link


class Loop:
    """``call_soon`` without a loop."""

    def __init__(self):
        self.ready = deque()

    def __call__(self, fn):
        self.ready.append(fn)

    def turn(self):
        for _ in range(len(self.ready)):
            self.ready.popleft()()

    def run(self):
        while self.ready:
            self.turn()


class Client:
    """A client session that joins at once and echoes what it is asked."""

    def __init__(self, joins=True):
        self.joins = joins
        self.got = []
        self.closed = []
        self.errors = []
        self.depth = 0

    def onOpen(self, transport):
        self.transport = transport
        if self.joins:
            transport.send(m.Hello("realm1", {"roles": FEATURES}))

    def onMessage(self, msg):
        self.depth += 1
        assert self.depth == 1, "recursion"
        self.got.append(msg)
        if isinstance(msg, m.Invocation):
            self.transport.send(m.Yield(msg.request, {}, msg.args, msg.kwargs))
        if isinstance(msg, m.Event) and msg.args == ["bad"]:
            self.depth = 0
            raise ProtocolError("no such subscription")
        if isinstance(msg, m.Event) and msg.args == ["oops"]:
            self.depth = 0
            raise ZeroDivisionError
        self.depth -= 1

    def onProtocolError(self, exc):
        self.errors.append(exc)
        self.transport.send(m.Abort({}, "wamp.error.protocol_violation"))

    def onClose(self, was_clean):
        self.closed.append(was_clean)

    def take(self):
        taken, self.got = self.got, []
        return taken


@pytest.fixture
def world():
    router, loop = Router(), Loop()

    def connect(**how):
        client = Client(**how)
        client.transport = connect_local(router, client, loop)
        loop.run()
        client.take()
        return client

    return router, loop, connect


def test_T_LOCAL_1_call_and_publish(world):
    router, loop, connect = world
    a, b = connect(), connect()
    assert router.sessions == 2
    assert a.transport.isOpen()
    payload = {"key": object()}  # nothing is serialized
    b.transport.send(m.Register(1, {}, "com.p"))
    b.transport.send(m.Subscribe(2, {}, "com.t"))
    a.transport.send(m.Call(1, {}, "com.p", [1], payload))
    a.transport.send(m.Publish(2, {}, "com.t", [2]))
    assert a.take() == b.take() == []
    loop.run()
    assert a.take() == [m.Result(1, {}, [1], payload)]
    assert [type(msg) for msg in b.take()] == [m.Registered, m.Subscribed, m.Invocation, m.Event]


def test_details_name_the_link(world):
    _, _, connect = world
    a = connect()
    details = a.transport.transport_details
    assert details.is_secure
    assert not details.is_server
    assert a.transport.codec is None


def test_welcome_arrives_first(world):
    router, loop, _ = world
    client = Client()
    connect_local(router, client, loop)
    assert not client.got
    loop.run()
    assert isinstance(client.got[0], m.Welcome)


def test_goodbye_then_close_reaches_both_ends_once(world):
    router, loop, connect = world
    a = connect()
    a.transport.send(m.Goodbye({}, "a.b"))
    loop.run()
    assert a.take() == [m.Goodbye({}, "wamp.close.goodbye_and_out")]
    a.transport.close()
    assert not a.transport.isOpen()
    a.transport.close()
    with pytest.raises(TransportLost):
        a.transport.send(m.Goodbye({}, "a.b"))
    loop.run()
    a.transport.abort()
    loop.run()
    assert a.closed == [True]
    assert not router.links


def test_what_was_sent_before_close_arrives(world):
    router, loop, connect = world
    a, b = connect(), connect()
    b.transport.send(m.Subscribe(1, {}, "com.t"))
    loop.run()
    b.take()
    a.transport.send(m.Publish(1, {}, "com.t", ["last"]))
    a.transport.close()
    loop.run()
    assert b.take()[0].args == ["last"]
    assert a.closed == [True]
    assert router.sessions == 1


def test_abort_drops_what_is_on_its_way(world):
    router, loop, connect = world
    a = connect()
    a.transport.send(m.Subscribe(1, {}, "com.t"))
    a.transport.abort()
    loop.run()
    assert a.closed == [False]
    assert router.realms["realm1"].is_empty()


def test_abort_while_messages_are_delivered(world):
    router, loop, connect = world
    a, b = connect(), connect()
    a.transport.send(m.Subscribe(1, {}, "com.t"))
    loop.run()
    a.onMessage = lambda msg: a.transport.abort()
    for i in range(3):
        b.transport.send(m.Publish(i + 1, {}, "com.t"))
    loop.run()
    assert a.closed == [False]
    assert router.sessions == 1


def test_violation_of_the_client_is_aborted(world):
    router, loop, connect = world
    a = connect()
    a.transport.send(m.Welcome(1, {}))
    loop.run()
    assert a.take()[0].reason == "wamp.error.protocol_violation"
    assert a.closed == [True]
    assert router.sessions == 0


def test_violation_seen_by_the_client(world):
    router, loop, connect = world
    a, b = connect(), connect()
    a.transport.send(m.Subscribe(1, {}, "com.t"))
    b.transport.send(m.Publish(1, {}, "com.t", ["bad"]))
    loop.run()
    assert len(a.errors) == 1
    assert a.closed == [True]
    assert router.sessions == 1


def test_error_of_a_handler_reaches_the_scheduler_and_the_link_lives(world):
    _, loop, connect = world
    a, b = connect(), connect()
    a.transport.send(m.Subscribe(1, {}, "com.t"))
    for i, text in enumerate(["oops", "fine"]):
        b.transport.send(m.Publish(i + 1, {}, "com.t", [text]))
    with pytest.raises(ZeroDivisionError):
        loop.run()
    loop.run()
    assert [msg.args for msg in a.take() if isinstance(msg, m.Event)] == [["oops"], ["fine"]]


def test_shutdown_with_local_sessions(world):
    router, loop, connect = world
    a, silent = connect(), connect(joins=False)
    router.shutdown()
    loop.run()
    assert a.take()[0].reason == "wamp.close.system_shutdown"
    a.transport.send(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    loop.run()
    assert a.closed == silent.closed == [True]
    assert silent.take()[0].reason == "wamp.close.system_shutdown"
    assert not router.links


def test_local_and_remote_sessions_meet(world):
    router, loop, connect = world
    a = connect()
    remote = Link(router).join()
    a.transport.send(m.Register(1, {}, "com.p"))
    loop.run()
    remote.call("com.p", 5)
    loop.run()
    assert remote.one(m.Result).args == [5]

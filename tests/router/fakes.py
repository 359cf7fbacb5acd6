"""Fakes of the router tests: links without sockets and a clock without time."""

from __future__ import annotations

from autobahn.router import Router
from autobahn.router.local import judge
from autobahn.wamp import message as m
from autobahn.wamp.exception import ProtocolError, TransportLost

FEATURES = {
    "caller": {"features": {"call_canceling": True, "progressive_call_results": True}},
    "callee": {"features": {"call_canceling": True, "progressive_call_results": True}},
    "publisher": {},
    "subscriber": {},
}
CALLER = ("call_canceling", "progressive_call_results", "progressive_call_invocations", "payload_passthru_mode")
CALLEE = (*CALLER, "call_timeout", "call_reroute", "registration_revocation")
EVERYTHING = {
    "caller": {"features": dict.fromkeys(CALLER, True)},
    "callee": {"features": dict.fromkeys(CALLEE, True)},
    "publisher": {"features": {"payload_passthru_mode": True}},
    "subscriber": {"features": {"payload_passthru_mode": True, "subscription_revocation": True}},
}
PLAIN = {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}


class Link:
    """A client and the transport of the router's session in one: what the router sends stands in ``sent``."""

    def __init__(self, router, codec=None):
        self.codec = codec
        self.sent = []
        self.is_open = True
        self.is_closing = False  # close() was called by the router's end
        self.transport_details = None
        self.session = router.new_session()
        self.session.onOpen(self)
        self._next = 0

    # the transport

    def send(self, msg):
        if not self.is_open:
            raise TransportLost("closed")
        if self.codec is not None:
            msg = self.codec.decode(self.codec.encode(msg))
        self.sent.append(msg)

    def carry(self, elements):
        encode = None if self.codec is None else self.codec.carry
        if encode is None:
            return False
        if not self.is_open:
            raise TransportLost("closed")
        self.sent.append(self.codec.decode(encode(elements)))
        return True

    def send_encoded(self, data):
        if not self.is_open:
            raise TransportLost("closed")
        self.sent.append(self.codec.decode(data))

    def isOpen(self):
        return self.is_open

    def close(self):
        self.is_closing = True

    def abort(self):
        self.drop()

    # the client

    def say(self, msg):
        """The client sends ``msg``; what an adapter does with a violation is done."""

        def carried():
            if self.codec is not None:
                return self.codec.decode_raw(self.codec.encode(msg))
            judge(msg)
            return msg

        return self._arrive(carried)

    def say_octets(self, data):
        """The client sends octets."""
        return self._arrive(lambda: self.codec.decode_raw(data))

    def _arrive(self, decode):
        try:
            self.session.onMessage(decode())
        except ProtocolError as exc:
            self.session.onProtocolError(exc)
            self.close()
        return self

    def join(self, realm="realm1", roles=FEATURES, **details):
        self._next = 0
        self.say(m.Hello(realm, {"roles": roles, **details}))
        (welcome,) = self.take()
        assert isinstance(welcome, m.Welcome), welcome
        self.welcome = welcome
        return self

    def take(self):
        """Everything the router has sent since the last time."""
        taken, self.sent = self.sent, []
        return taken

    def one(self, cls):
        """The only thing the router has sent since the last time, which is a ``cls``."""
        (msg,) = self.take()
        assert isinstance(msg, cls), msg
        return msg

    def next(self):
        self._next += 1
        return self._next

    def subscribe(self, topic, **options):
        self.say(m.Subscribe(self.next(), options, topic))
        return self.one(m.Subscribed).subscription

    def register(self, procedure, **options):
        self.say(m.Register(self.next(), options, procedure))
        return self.one(m.Registered).registration

    def publish(self, topic, *args, options=None, **kwargs):
        number = self.next()
        self.say(m.Publish(number, options or {}, topic, list(args), kwargs))
        return number

    def call(self, procedure, *args, options=None, **kwargs):
        number = self.next()
        self.say(m.Call(number, options or {}, procedure, list(args), kwargs))
        return number

    def drop(self):
        """The transport is lost."""
        if self.is_open:
            self.is_open = False
            self.session.onClose(False)
        return self


class Clock:
    """A runtime with timers only."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def call_later(self, delay, fn):
        timer = Timer(self, self.now + delay, fn)
        self.timers.append(timer)
        return timer

    call_within = call_later

    def advance(self, seconds):
        self.now += seconds
        for timer in [t for t in self.timers if t.when <= self.now]:
            if timer in self.timers:
                self.timers.remove(timer)
                timer.fn()


class Timer:
    def __init__(self, clock, when, fn):
        self.clock, self.when, self.fn = clock, when, fn

    def cancel(self):
        if self in self.clock.timers:
            self.clock.timers.remove(self)


def joined(router: Router, count: int, codec=None, **how):
    """``count`` links, each with a session in realm1."""
    return [Link(router, codec).join(**how) for _ in range(count)]


def assert_aborted(link, reason="wamp.error.protocol_violation"):
    """The last message is ABORT with ``reason``, the link is closing, and nothing of the session is left."""
    abort = link.take()[-1]
    assert isinstance(abort, m.Abort), abort
    assert abort.reason == reason
    assert abort.details["message"]
    assert link.is_closing
    assert link.session.is_idle


def error_of(link, request_type, request, uri):
    """The only message is ERROR for that request; returns its text."""
    error = link.one(m.Error)
    assert (error.request_type, error.request, error.error) == (request_type, request, uri)
    return error.args[0] if error.args else ""

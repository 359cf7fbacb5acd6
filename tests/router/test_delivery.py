"""Payload between serializers: carried undecoded, decoded once, encoded once per codec."""

import logging

import pytest

from autobahn.router import Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import Link, assert_aborted, error_of, joined

NAMES = ("json", "msgpack", "cbor", "local")
ARGS = [1, -5, 2**53, 1.5, "zwei ✓", None, True, b"\x00\xff", [b"", {"n": b"nested"}], {}, []]
KWARGS = {"key": {"deep": [1, b"\x01"]}, "empty": ""}


class Spy:
    """A codec that counts."""

    carry = None

    def __init__(self, codec):
        self.codec = codec
        self.name = codec.name
        self.binary = codec.binary
        self.encoded = self.loaded = 0

    def decode(self, data):
        return self.codec.decode(data)

    def decode_raw(self, data):
        return self.codec.decode_raw(data)

    def encode(self, msg):
        self.encoded += 1
        return self.codec.encode(msg)

    def load(self, raw):
        self.loaded += 1
        return self.codec.load(raw)


def link(router, name, codecs=None):
    codec = None if name == "local" else (codecs or CODECS)[name]
    return Link(router, codec).join()


@pytest.fixture
def router():
    return Router()


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_T_PS_1_T_JB_3_payload_is_the_same_at_the_other_end(router, source, target):
    a, b = link(router, source), link(router, target)
    b.register("com.p")
    b.subscribe("com.t")
    for args, kwargs in [(ARGS, KWARGS), ([], KWARGS), (ARGS, {}), ([], {})]:
        a.publish("com.t", *args, **kwargs)
        event = b.one(m.Event)
        assert (event.args, event.kwargs) == (args, kwargs)
        number = a.call("com.p", *args, **kwargs)
        invocation = b.one(m.Invocation)
        assert (invocation.args, invocation.kwargs) == (args, kwargs)
        b.say(m.Yield(invocation.request, {}, args, kwargs))
        assert a.one(m.Result) == m.Result(number, {}, args, kwargs)
        number = a.call("com.p")
        b.say(m.Error(68, b.one(m.Invocation).request, {}, "com.e", args, kwargs))
        assert a.one(m.Error) == m.Error(48, number, {}, "com.e", args, kwargs)


@pytest.mark.parametrize("source", NAMES)
def test_one_encoding_per_codec(router, source):
    spies = {name: Spy(CODECS[name]) for name in ("json", "msgpack", "cbor")}
    publisher = link(router, source, spies)
    receivers = [link(router, name, spies) for name in NAMES for _ in range(10)]
    for receiver in receivers:
        receiver.subscribe("com.t")
    for spy in spies.values():
        spy.encoded = spy.loaded = 0
    delivery = router.realms["realm1"].delivery
    before = delivery.encodings
    publisher.publish("com.t", *ARGS, options={"acknowledge": False}, **KWARGS)
    assert delivery.encodings - before == 3
    for name, spy in spies.items():
        own = 1 if name == source else 0  # the client of this test encodes its PUBLISH with the same codec
        assert spy.encoded == 1 + own
        assert spy.loaded <= 2 * own  # args and kwargs, once for all others
    events = [receiver.one(m.Event) for receiver in receivers]
    assert all((event.args, event.kwargs) == (ARGS, KWARGS) for event in events)


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_between_equal_codecs_payload_is_not_decoded(router, name):
    spy = {name: Spy(CODECS[name])}
    a, b = link(router, name, spy), link(router, name, spy)
    b.register("com.p")
    b.subscribe("com.t")
    a.publish("com.t", *ARGS)
    a.call("com.p", *ARGS)
    b.say(m.Yield(1, {}, ARGS, KWARGS))
    assert a.one(m.Result).kwargs == KWARGS
    assert spy[name].loaded == 0


# ---- what a codec cannot carry: a text that starts with U+0000, in JSON (section 17) ----

BAD = "\0text"


def test_T_JB_4_call_that_the_callee_cannot_get(router):
    a, b = link(router, "msgpack"), link(router, "json")
    b.register("com.p")
    number = a.call("com.p", BAD)
    assert "callee" in error_of(a, 48, number, "wamp.error.invalid_argument")
    assert b.take() == []
    assert a.session.is_idle
    assert not b.session.invocations
    a.call("com.p", "fine")
    b.one(m.Invocation)


@pytest.mark.parametrize("is_progressive", [False, True])
def test_T_JB_4_result_that_the_caller_cannot_get(router, is_progressive):
    a, b = link(router, "json"), link(router, "cbor")
    b.register("com.p")
    number = a.call("com.p", options={"receive_progress": True})
    serial = b.one(m.Invocation).request
    b.say(m.Yield(serial, {"progress": is_progressive}, [BAD]))
    assert "caller" in error_of(a, 48, number, "wamp.error.invalid_argument")
    if is_progressive:
        assert b.one(m.Interrupt).request == serial
    b.say(m.Yield(serial, {}, ["late"]))
    assert a.take() == b.take() == []
    assert a.session.is_idle
    assert not b.session.invocations


def test_T_JB_4_error_that_the_caller_cannot_get(router):
    a, b = link(router, "json"), link(router, "cbor")
    b.register("com.p")
    number = a.call("com.p")
    b.say(m.Error(68, b.one(m.Invocation).request, {}, "com.e", [BAD]))
    assert "caller" in error_of(a, 48, number, "com.e")
    assert a.session.is_idle


def test_T_JB_4_event_reaches_those_it_can(router, caplog):
    publisher, *receivers = (link(router, name) for name in ("cbor", "json", "json", "msgpack"))
    for receiver in receivers:
        receiver.subscribe("com.t")
    with caplog.at_level(logging.WARNING, "autobahn.router"):
        publisher.publish("com.t", BAD, options={"acknowledge": True})
    publisher.one(m.Published)
    assert [len(receiver.take()) for receiver in receivers] == [0, 0, 1]
    assert router.realms["realm1"].delivery.undeliverable == 1
    assert len(caplog.records) == 1
    assert "com.t" in caplog.text
    assert "json" in caplog.text


# ---- payload that is none ----

NO_PAYLOAD = [
    ("json", b'[48,1,{},"com.p",5]'),
    ("json", b'[48,1,{},"com.p",{}]'),
    ("json", b'[48,1,{},"com.p",null]'),
    ("json", b'[48,1,{},"com.p",[],[]]'),
    ("json", b'[16,1,{},"com.t",7]'),
    ("json", b'[16,1,{},"com.t",[],"x"]'),
    ("msgpack", b"\x95\x30\x01\x80\xa5com.p\x05"),
    ("msgpack", b"\x96\x10\x01\x80\xa5com.t\x90\x90"),
    ("cbor", b"\x85\x18\x30\x01\xa0\x65com.p\x05"),
    ("cbor", b"\x86\x10\x01\xa0\x65com.t\x80\x80"),
]


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize(("source", "octets"), NO_PAYLOAD)
def test_T_PV_payload_that_is_none_hurts_only_its_sender(router, source, octets, target):
    a, b = link(router, source), link(router, target)
    b.register("com.p")
    b.subscribe("com.t")
    a.say_octets(octets)
    assert_aborted(a)
    assert b.take() == []
    a.drop()
    other, *_ = joined(router, 1)
    other.call("com.p", "alive")
    assert b.one(m.Invocation).args == ["alive"]


def test_T_PV_answer_whose_payload_is_none(router):
    a, b = link(router, "cbor"), link(router, "json")
    b.register("com.p")
    number = a.call("com.p")
    b.one(m.Invocation)
    b.say_octets(b"[70,1,{},[],7]")
    assert_aborted(b)
    error_of(a, 48, number, "wamp.error.canceled")


@pytest.mark.parametrize("msg", [m.Call(1, {}, "com.p", 5), m.Call(1, {}, "com.p", [], {5: 5})])
def test_in_process_payload_that_is_none(router, msg):
    a, b = link(router, "local"), link(router, "json")
    b.register("com.p")
    a.say(msg)
    assert_aborted(a)
    assert b.take() == []


def test_receivers_that_vanish_between_event_and_delivery(router):
    publisher, lost, alive = (link(router, "json") for _ in range(3))
    for receiver in (lost, alive):
        receiver.subscribe("com.t")
    lost.is_open = False
    publisher.publish("com.t")
    alive.one(m.Event)


@pytest.mark.parametrize("key", ["ppt_scheme", "enc_algo"])
@pytest.mark.parametrize("target", ["json", "cbor"])
def test_payload_passthru_is_refused(router, key, target):
    a, b = link(router, "json"), link(router, target)
    b.register("com.p")
    b.subscribe("com.t")
    number = a.call("com.p")
    b.take()
    b.say(m.Error(68, 1, {key: "x_own"}, "com.e"))
    assert_aborted(b)
    error_of(a, 48, number, "wamp.error.canceled")
    a.call("com.q", options={key: "x_own"})
    assert isinstance(a.take()[0], m.Error)  # there is no such procedure
    a.publish("com.t", options={key: "x_own"})
    assert_aborted(a)


def test_receivers_with_changing_codecs_still_need_one_encoding_each(router):
    publisher = link(router, "json")
    receivers = [link(router, name) for name in ("json", "cbor", "json", "cbor")]
    for receiver in receivers:
        receiver.subscribe("com.t")
    publisher.publish("com.t")
    for receiver in receivers:
        receiver.one(m.Event)
    assert router.realms["realm1"].delivery.encodings == 2

"""Payload transparency, the older form of payload passthru mode: carried as it is, for peers that announced it."""

from __future__ import annotations

import pytest

from autobahn.router import Router
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, error_of

ABLE = {
    role: {"features": {**of["features"], "payload_transparency": True}} for role, of in EVERYTHING.items()
}  # fmt: skip
ENC = {"enc_algo": "x_mine", "enc_serializer": "cbor", "enc_key": "k"}
OCTETS = bytes(range(256))


@pytest.fixture
def router():
    return Router()


def test_it_is_carried_in_every_message(router):
    caller, callee = Link(router).join(roles=ABLE), Link(router).join(roles=ABLE)
    callee.register("com.p")
    callee.subscribe("com.t")
    caller.say(m.Publish(caller.next(), dict(ENC), "com.t", OCTETS))
    event = callee.one(m.Event)
    assert (event.args, event.kwargs, event.details) == (OCTETS, {}, ENC)
    for answer in (m.Yield(0, dict(ENC), OCTETS), m.Error(68, 0, dict(ENC), "com.e", OCTETS)):
        caller.say(m.Call(caller.next(), dict(ENC), "com.p", OCTETS))
        invocation = callee.one(m.Invocation)
        assert (invocation.args, invocation.details) == (OCTETS, ENC)
        answer.request = invocation.request
        callee.say(answer)
        (result,) = caller.take()
        assert (result.args, result.details) == (OCTETS, ENC)


def test_who_lacks_it(router):
    able, unable = Link(router).join(roles=ABLE), Link(router).join(roles=EVERYTHING)
    unable.register("com.p")
    unable.subscribe("com.t")
    able.say(m.Publish(able.next(), dict(ENC), "com.t", OCTETS))
    assert unable.take() == []
    number = able.next()
    able.say(m.Call(number, dict(ENC), "com.p", OCTETS))
    error_of(able, 48, number, "wamp.error.feature_not_supported")
    able.register("com.q")
    number = unable.call("com.q")
    able.say(m.Yield(able.one(m.Invocation).request, dict(ENC), OCTETS))
    error_of(unable, 48, number, "wamp.error.feature_not_supported")


@pytest.mark.parametrize("source", CODECS)
@pytest.mark.parametrize("target", CODECS)
def test_from_codec_to_codec(source, target):
    """What one link brings in is what the other one takes out, octet by octet."""
    from autobahn.router.delivery import EVENT_FOR, decoded

    one, two = CODECS[source], CODECS[target]
    carried = one.decode_raw(one.encode(m.Publish(1, dict(ENC), "com.t", OCTETS)))
    if one is two:
        event = EVENT_FOR[type(carried)](7, 8, dict(ENC), carried.args, carried.kwargs)
    else:
        args, kwargs = decoded(carried, one)
        event = m.Event(7, 8, dict(ENC), args, kwargs)
    assert two.decode(two.encode(event)) == m.Event(7, 8, ENC, OCTETS)

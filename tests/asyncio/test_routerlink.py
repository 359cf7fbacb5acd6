"""What a router only carries leaves without an object of the message: the same octets, the same limits."""

import pytest
from msgspec import Raw

from autobahn.asyncio.routerlink import RouterLink
from autobahn.exception import Disconnected
from autobahn.wamp import message as m
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer


class Channel:
    peer = "somebody"

    def __init__(self):
        self.sent = []
        self.is_open = True

    def channel_send(self, data, binary):
        if not self.is_open:
            raise Disconnected("gone")
        self.sent.append((data, binary))


class Session:
    raw_payload = True


def link(serializer, limit=1000):
    channel = Channel()
    return RouterLink(channel, Session(), serializer, limit), channel


@pytest.mark.parametrize("make", [JsonSerializer, MsgPackSerializer])
@pytest.mark.parametrize("details", [{}, {"receive_progress": True, "procedure": "com.a"}])
def test_a_carried_message_has_the_octets_of_the_message(make, details):
    router_link, channel = link(make())
    payload = Raw(router_link.codec.dumps([1, "zwei ✓", {"a": [None]}]))
    assert router_link.carry((68, 7, 2**40, details, payload))
    router_link.send(m.RAW[68](7, 2**40, details, payload, None))
    assert channel.sent[0] == channel.sent[1]


@pytest.mark.parametrize("make", [JsonSerializer, MsgPackSerializer])
def test_up_to_the_limit_and_no_further(make):
    payload = Raw(make().codec.dumps(["x" * 100]))
    size = len(make().codec.carry((50, 1, {}, payload)))
    router_link, channel = link(make(), size)
    assert router_link.carry((50, 1, {}, payload))
    router_link, channel = link(make(), size - 1)
    assert not router_link.carry((50, 1, {}, payload))
    assert channel.sent == []


@pytest.mark.parametrize(
    "serializer", [CBORSerializer(), JsonSerializer(batched=True), MsgPackSerializer(batched=True)]
)
def test_what_needs_more_than_an_encoder_is_sent_as_a_message(serializer):
    router_link, channel = link(serializer)
    assert not router_link.carry((50, 1, {}, Raw(b"[]")))
    assert channel.sent == []


def test_the_link_is_gone():
    router_link, channel = link(JsonSerializer())
    channel.is_open = False
    with pytest.raises(TransportLost):
        router_link.carry((50, 1, {}, Raw(b"[]")))

"""Documented names at their old places, and helpers for asyncio programs."""

import pytest

import autobahn.asyncio.component
import autobahn.asyncio.wamp
import autobahn.wamp.component
import autobahn.wamp.protocol
from autobahn.asyncio.link import WampLink
from autobahn.asyncio.util import transport_channel_id
from autobahn.wamp.auth import AuthTicket
from autobahn.wamp.cryptobox import KeyRing
from autobahn.wamp.interfaces import (
    IAuthenticator,
    IPayloadCodec,
    ISerializer,
    ISession,
    ITransport,
    ITransportHandler,
)
from autobahn.wamp.payload import SealingTransport
from autobahn.wamp.protocol import BaseSession
from autobahn.wamp.serializer import CBORSerializer
from autobahn.wamp.websocket import parseSubprotocolIdentifier
from scripted import joined, settle


def test_the_old_places_name_the_same_classes():
    assert autobahn.wamp.component.Component is autobahn.asyncio.component.Component
    assert autobahn.wamp.protocol.ApplicationSession is autobahn.asyncio.wamp.ApplicationSession
    assert issubclass(autobahn.asyncio.wamp.Session, autobahn.wamp.protocol.BaseSession)


async def test_sessions_and_transports_are_what_the_interfaces_say():
    session, transport = await joined()
    assert isinstance(session, ISession)
    assert isinstance(session, ITransportHandler)
    assert type(session).__mro__[-2] is BaseSession  # no metaclass that programs would have to agree with
    assert type(BaseSession) is type
    for cls, interface in (
        (WampLink, ITransport),
        (SealingTransport, ITransport),
        (AuthTicket, IAuthenticator),
        (CBORSerializer, ISerializer),
        (KeyRing, IPayloadCodec),
    ):
        assert issubclass(cls, interface)
    transport.close()
    await settle()


@pytest.mark.parametrize(
    ("subprotocol", "expected"),
    [
        ("wamp.2.json", (2, "json")),
        ("wamp.2.cbor.batched", (2, "cbor.batched")),
        ("wamp.2", (None, None)),
        ("wamp.x.json", (None, None)),
        ("wamp.².json", (None, None)),
        ("mqtt.2.json", (None, None)),
        ("", (None, None)),
    ],
)
def test_subprotocols_in_parts(subprotocol, expected):
    assert parseSubprotocolIdentifier(subprotocol) == expected


class FakeTls:
    def __init__(self, version, binding):
        self._version, self._binding = version, binding

    def get_extra_info(self, name):
        return self if name == "ssl_object" else None

    def version(self):
        return self._version

    def get_channel_binding(self, kind):
        assert kind == "tls-unique"
        return self._binding


def test_what_a_connection_can_be_bound_to():
    assert transport_channel_id(FakeTls("TLSv1.2", b"finished"), is_server=False) == b"finished"
    assert transport_channel_id(FakeTls("TLSv1.2", b"x"), True, "tls-unique") == b"x"
    assert transport_channel_id(FakeTls("TLSv1.3", b"x"), is_server=False) == bytes(32)
    assert transport_channel_id(None, is_server=True) == bytes(32)
    with pytest.raises(ValueError, match="expected channel_id_type \"tls-unique\" or None, got 'tls-exporter'"):
        transport_channel_id(None, False, "tls-exporter")


def test_a_session_knows_events_of_the_program_beside_its_own():
    session = autobahn.wamp.protocol.ApplicationSession()
    session.set_valid_events(["order"])
    session.on("order", print)
    session.on("join", print)
    with pytest.raises(RuntimeError, match=r"expected an event name out of connect, .*, order, got 'ordre'"):
        session.on("ordre", print)
    session.off()
    session.set_valid_events()
    with pytest.raises(RuntimeError, match="got 'order'"):
        session.on("order", print)

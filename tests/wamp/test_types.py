"""The value classes of the API: documented arguments and defaults, wire form, refusal of wrong values."""

from __future__ import annotations

from typing import Any

import pytest

from autobahn.wamp import types as t
from autobahn.wamp.options import validate
from autobahn.wamp.request import Publication, Registration, Subscription
from autobahn.wamp.types import CallOptions, CallResult, PublishOptions, RegisterOptions, SubscribeOptions

HOP = {"session": 5, "authid": "a", "authrole": "b"}


@pytest.mark.parametrize(
    ("options", "code", "wire"),
    [
        (SubscribeOptions(), 32, {}),
        (SubscribeOptions("prefix", True, get_retained=True), 32, {"match": "prefix", "get_retained": True}),
        (PublishOptions(), 16, {}),
        (PublishOptions(True, False, retain=True), 16, {"acknowledge": True, "exclude_me": False, "retain": True}),
        (
            PublishOptions(exclude=5, exclude_authid="a", exclude_authrole=("b", "c"), eligible=[1, 2]),
            16,
            {"exclude": [5], "exclude_authid": ["a"], "exclude_authrole": ["b", "c"], "eligible": [1, 2]},
        ),
        (
            PublishOptions(eligible_authid="a", eligible_authrole=[], disclose_me=True, transaction_hash="x"),
            16,
            {"eligible_authid": ["a"], "eligible_authrole": [], "disclose_me": True, "transaction_hash": "x"},
        ),
        (RegisterOptions(), 64, {}),
        (
            RegisterOptions("wildcard", "roundrobin", 3, True, details_arg="d", disclose_caller=True),
            64,
            {
                "match": "wildcard",
                "invoke": "roundrobin",
                "concurrency": 3,
                "force_reregister": True,
                "disclose_caller": True,
            },
        ),
        (CallOptions(), 48, {}),
        (CallOptions(print, 1.5, details=True), 48, {"receive_progress": True, "timeout": 1500}),
        (CallOptions(timeout=2), 48, {"timeout": 2000}),
        (CallOptions(timeout=0.0001), 48, {"timeout": 1}),
        (
            CallOptions(caller=1, caller_authid="a", caller_authrole="b", forward_for=[HOP], disclose_me=False),
            48,
            {
                "caller": 1,
                "caller_authid": "a",
                "caller_authrole": "b",
                "forward_for": [HOP],
                "disclose_me": False,
            },
        ),
        (CallOptions(correlation_id="x", correlation_uri="y", correlation_is_anchor=True), 48, {}),
    ],
    ids=repr,
)
def test_options_on_the_wire(options: Any, code: int, wire: dict[str, Any]) -> None:
    assert options.message_attr() == wire
    validate(code, wire)
    assert type(options).__name__ in str(options)
    assert options == options
    assert options != object()


def test_details_argument() -> None:
    for cls in (SubscribeOptions, RegisterOptions):
        assert cls().details_arg is None
        assert cls(details=True).details_arg == "details"
        assert cls(details_arg="info").details_arg == "info"
        assert cls(details=False).details_arg is None


@pytest.mark.parametrize(
    ("cls", "kwargs"),
    [
        (SubscribeOptions, {"match": "glob"}), (SubscribeOptions, {"match": 1}), (SubscribeOptions, {"details": 1}),
        (SubscribeOptions, {"get_retained": "yes"}), (SubscribeOptions, {"details_arg": 5}),
        (SubscribeOptions, {"forward_for": [1]}), (SubscribeOptions, {"forward_for": [{"session": "x"}]}),
        (PublishOptions, {"acknowledge": 1}), (PublishOptions, {"exclude": "x"}), (PublishOptions, {"exclude": [True]}),
        (PublishOptions, {"eligible_authid": [5]}), (PublishOptions, {"retain": 0}),
        (RegisterOptions, {"invoke": "all"}), (RegisterOptions, {"concurrency": 0}),
        (RegisterOptions, {"concurrency": True}), (RegisterOptions, {"force_reregister": 1}),
        (CallOptions, {"timeout": 0}), (CallOptions, {"timeout": -1}), (CallOptions, {"timeout": float("nan")}),
        (CallOptions, {"timeout": "5"}), (CallOptions, {"timeout": True}),
        (CallOptions, {"on_progress": 5}), (CallOptions, {"caller": "x"}), (CallOptions, {"details": 1}),
        (t.ComponentConfig, {"realm": 5}), (t.CloseDetails, {"reason": 5}), (t.CloseDetails, {"message": b""}),
        (t.Challenge, {"method": 5}), (t.Challenge, {"method": "x", "extra": []}), (t.Accept, {"authid": 5}),
        (t.Deny, {"reason": 5}), (t.SessionIdent, {"session": "x"}),
        (t.EncodedPayload, {"payload": "x", "enc_algo": "y"}),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_at_the_call(cls: Any, kwargs: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="expected"):
        cls(**kwargs)


def test_call_result() -> None:
    result = CallResult(1, 2, callee=5, callee_authid="x", k="v")
    assert (result.results, result.kwresults) == ((1, 2), {"k": "v"})
    assert (result.callee, result.callee_authid, result.callee_authrole, result.enc_algo) == (5, "x", None, None)
    received = CallResult.received([1], {"callee": "mine", "k": 2}, {"callee": 7, "callee_authrole": "r"})
    assert (received.results, received.kwresults) == ((1,), {"callee": "mine", "k": 2})
    assert (received.callee, received.callee_authrole) == (7, "r")


def test_close_details() -> None:
    assert t.CloseDetails.REASON_DEFAULT == "wamp.close.normal"
    assert t.CloseDetails.REASON_TRANSPORT_LOST == "wamp.close.transport_lost"
    assert t.CloseDetails("a.b", "bye").marshal() == {"reason": "a.b", "message": "bye"}
    assert t.CloseDetails("a.b", "bye", 3).marshal() == {"reason": "a.b", "message": "bye", "retry_after": 3}


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5), (0.5, 0.5), (0, 0)] + [(bad, None) for bad in (-1, "5", True, None, [5], 1e400)]
)
def test_a_router_says_when_to_come_again(value, seconds):
    details = t.CloseDetails.received("wamp.error.unavailable", {"retry_after": value, "message": "busy"})
    assert details == t.CloseDetails("wamp.error.unavailable", "busy", seconds)
    exc = details.exception()
    assert (exc.error, exc.args, exc.retry_after) == ("wamp.error.unavailable", ("busy",), seconds)


def test_session_and_transport_details() -> None:
    transport = t.TransportDetails(
        channel_type=t.TransportDetails.CHANNEL_TYPE_TLS,
        channel_framing=t.TransportDetails.CHANNEL_FRAMING_WEBSOCKET,
        channel_serializer=t.TransportDetails.CHANNEL_SERIALIZER_CBOR,
        peer="tcp4:127.0.0.1:5",
        is_server=False,
        is_secure=True,
    )
    assert transport.channel_typeid == "tls-websocket-cbor"
    assert t.TransportDetails(channel_type=4, channel_framing=2).channel_typeid == "tcp-websocket-null"
    data = transport.marshal()
    assert (data["channel_type"], data["channel_framing"], data["channel_serializer"]) == ("tls", "websocket", "cbor")
    assert t.TransportDetails.parse({**data, "unknown": 1}) == transport
    assert transport.channel_id == {}
    with pytest.raises(ValueError, match="expected channel_type out of"):
        t.TransportDetails.parse({"channel_type": "carrier pigeon"})
    details = t.SessionDetails("realm1", 5, "joe", "user", serializer="cbor.batched", transport=transport)
    assert t.SessionDetails.parse(details.marshal()) == details
    assert t.SessionDetails.parse(details.marshal()).transport == transport
    assert "'realm': 'realm1'" in str(details)
    assert "'peer': 'tcp4:127.0.0.1:5'" in str(transport)
    assert details != t.SessionDetails("realm1", 6)
    assert t.TransportDetails.CHANNEL_SERIALIZER_FROM_STR["flatbuffers"] == 5


def test_session_ident() -> None:
    registration = Registration(None, 5, "com.x", None)
    call = t.CallDetails(registration, caller=1, caller_authid="a", caller_authrole="b", procedure="com.x")
    event = t.EventDetails(Subscription(5, "com.x", None, None), 7, publisher=2, topic="com.x")
    assert t.SessionIdent.from_calldetails(call).marshal() == {"session": 1, "authid": "a", "authrole": "b"}
    assert t.SessionIdent.from_eventdetails(event) == t.SessionIdent(2)
    assert "caller=1" in str(call)
    assert "publication=7" in str(event)


def test_values_without_behaviour() -> None:
    assert isinstance(t.Accept("r", "joe"), t.HelloReturn)
    assert t.Deny().reason == "wamp.error.not_authorized"
    assert t.Challenge("ticket").extra == {}
    assert t.ComponentConfig("r", extra=5).extra == 5
    assert t.EncodedPayload(b"x", "cryptobox").enc_serializer is None
    hello = t.HelloDetails("realm1", ["ticket"], "joe", session_roles={"caller": {}}, resume_token="t")
    assert (hello.realm, hello.authmethods, hello.resume_token) == ("realm1", ["ticket"], "t")
    assert t.CallOptions.__module__ == "autobahn.wamp.types"
    assert set(t.__all__) <= set(vars(t))


class FakeSession:
    def __init__(self) -> None:
        self.log: list[Any] = []

    def _unsubscribe(self, subscription: Subscription) -> str:
        self.log.append(subscription)
        return "future"

    def _unregister(self, registration: Registration) -> str:
        self.log.append(registration)
        return "future"


def test_handles_delegate_to_their_session_while_active() -> None:
    session = FakeSession()
    subscription = Subscription(3, "com.x", session, print)
    registration = Registration(session, 4, "com.y", print)
    assert (subscription.id, subscription.topic, subscription.active) == (3, "com.x", True)
    assert (registration.id, registration.procedure, registration.active) == (4, "com.y", True)
    assert subscription.unsubscribe() == registration.unregister() == "future"
    assert session.log == [subscription, registration]
    subscription.active = registration.active = False
    with pytest.raises(Exception, match="subscription no longer active"):
        subscription.unsubscribe()
    with pytest.raises(Exception, match="registration no longer active"):
        registration.unregister()
    assert str(Publication(9, False)) == "Publication(id=9, was_encrypted=False)"
    assert "com.x" in str(subscription)
    assert "com.y" in str(registration)

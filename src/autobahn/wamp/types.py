"""The value classes of the WAMP API: options a program gives, details it is told."""

from __future__ import annotations

from autobahn.wamp._typed_details import (
    Accept,
    CallDetails,
    CallResult,
    Challenge,
    CloseDetails,
    ComponentConfig,
    Deny,
    EncodedPayload,
    Event,
    EventDetails,
    HelloDetails,
    HelloReturn,
    SessionIdent,
)
from autobahn.wamp._typed_options import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from autobahn.wamp._typed_session import SessionDetails, TransportDetails
from autobahn.wamp.request import Publication, Registration, Subscription

__all__ = (
    "Accept",
    "CallDetails",
    "CallOptions",
    "CallResult",
    "Challenge",
    "CloseDetails",
    "ComponentConfig",
    "Deny",
    "EncodedPayload",
    "Event",
    "EventDetails",
    "HelloDetails",
    "HelloReturn",
    "Publication",
    "PublishOptions",
    "RegisterOptions",
    "Registration",
    "SessionDetails",
    "SessionIdent",
    "SubscribeOptions",
    "Subscription",
    "TransportDetails",
)

for _cls in list(globals().values()):
    if isinstance(_cls, type) and _cls.__name__ in __all__ and _cls.__module__ != "autobahn.wamp.request":
        _cls.__module__ = __name__  # tracebacks and help() name the public place
del _cls

"""WAMP v2 (https://wamp-proto.org): messages, sessions, options, errors. No asyncio in here."""

from typing import TYPE_CHECKING

from autobahn import _lazy

if TYPE_CHECKING:
    from autobahn.wamp.exception import (
        ApplicationError,
        Error,
        InvalidUri,
        ProtocolError,
        SerializationError,
        SessionNotReady,
        TransportLost,
    )
    from autobahn.wamp.interfaces import ISession
    from autobahn.wamp.types import (
        CallDetails,
        CallOptions,
        CallResult,
        CloseDetails,
        ComponentConfig,
        EventDetails,
        PublishOptions,
        RegisterOptions,
        SessionDetails,
        SubscribeOptions,
    )
    from autobahn.wamp.uri import error, register, subscribe
else:
    __getattr__, __dir__ = _lazy.offer(
        __name__,
        {
            "autobahn.wamp.exception": [
                "ApplicationError",
                "Error",
                "InvalidUri",
                "ProtocolError",
                "SerializationError",
                "SessionNotReady",
                "TransportLost",
            ],
            "autobahn.wamp.interfaces": ["ISession"],
            "autobahn.wamp.message": [],
            "autobahn.wamp.types": [
                "CallDetails",
                "CallOptions",
                "CallResult",
                "CloseDetails",
                "ComponentConfig",
                "EventDetails",
                "PublishOptions",
                "RegisterOptions",
                "SessionDetails",
                "SubscribeOptions",
            ],
            "autobahn.wamp.uri": ["error", "register", "subscribe"],
        },
    )

__all__ = (
    "ApplicationError",
    "CallDetails",
    "CallOptions",
    "CallResult",
    "CloseDetails",
    "ComponentConfig",
    "Error",
    "EventDetails",
    "ISession",
    "InvalidUri",
    "ProtocolError",
    "PublishOptions",
    "RegisterOptions",
    "SerializationError",
    "SessionDetails",
    "SessionNotReady",
    "SubscribeOptions",
    "TransportLost",
    "error",
    "register",
    "subscribe",
)

"""The abstract classes of the WAMP API: what a session, a transport, a serializer and others offer."""

from __future__ import annotations

import abc
from typing import Any, TypeVar

from autobahn.wamp.message import Message
from autobahn.wamp.types import Challenge, CloseDetails, ComponentConfig, SessionDetails, TransportDetails
from autobahn.wamp.uri import CheckTypes

__all__ = (
    "IAuthenticator",
    "IMessage",
    "IObjectSerializer",
    "IPayloadCodec",
    "ISerializer",
    "ISession",
    "ITransport",
    "ITransportHandler",
)

_Class = TypeVar("_Class", bound=type)


class IObjectSerializer(abc.ABC):
    """Turns plain values into octets and back."""

    @property
    @abc.abstractmethod
    def NAME(self) -> str:
        """The name of the format."""

    @property
    @abc.abstractmethod
    def BINARY(self) -> bool:
        """Whether the octets are not text."""

    @abc.abstractmethod
    def serialize(self, obj: Any) -> bytes:
        """The octets of ``obj``."""

    @abc.abstractmethod
    def unserialize(self, payload: bytes) -> list[Any]:
        """The values in ``payload``."""


class IMessage(abc.ABC):  # noqa: B024
    """A WAMP message. All classes of ``autobahn.wamp.message`` count as it."""


IMessage.register(Message)


class ISerializer(abc.ABC):
    """Turns WAMP messages into octets and back."""

    @property
    @abc.abstractmethod
    def SERIALIZER_ID(self) -> str:
        """The name within the WebSocket subprotocol."""

    @property
    @abc.abstractmethod
    def RAWSOCKET_SERIALIZER_ID(self) -> int:
        """The number in the RawSocket handshake."""

    @property
    @abc.abstractmethod
    def MIME_TYPE(self) -> str:
        """The media type."""

    @abc.abstractmethod
    def serialize(self, message: Any) -> tuple[bytes, bool]:
        """The octets of ``message``, and whether they are not text."""

    @abc.abstractmethod
    def unserialize(self, payload: bytes, is_binary: bool | None = None) -> list[Any]:
        """The messages in ``payload``."""


class ITransport(abc.ABC):
    """Carries messages for one session."""

    @abc.abstractmethod
    def send(self, message: Any) -> None:
        """``message`` is on its way; raises ``TransportLost`` or ``SerializationError``."""

    @abc.abstractmethod
    def isOpen(self) -> bool:
        """Whether messages can be sent."""

    @property
    @abc.abstractmethod
    def transport_details(self) -> TransportDetails | None:
        """What is known about the transport."""

    @abc.abstractmethod
    def close(self) -> None:
        """The transport closes after everything sent has gone out."""

    @abc.abstractmethod
    def abort(self) -> None:
        """The transport closes at once."""


class ITransportHandler(abc.ABC):
    """What a transport calls: a session object."""

    @abc.abstractmethod
    def onOpen(self, transport: Any) -> None:
        """The transport is open."""

    @abc.abstractmethod
    def onMessage(self, message: Any) -> None:
        """A message has arrived."""

    @abc.abstractmethod
    def onClose(self, wasClean: bool) -> None:
        """The transport is closed."""


class IPayloadCodec(abc.ABC):
    """Encrypts and decrypts application payload end to end."""

    @abc.abstractmethod
    def encode(
        self,
        is_originating: bool,
        uri: str,
        args: list[Any] | tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The payload as an ``EncodedPayload``."""

    @abc.abstractmethod
    def decode(self, is_originating: bool, uri: str, encoded_payload: Any) -> tuple[str, Any, Any]:
        """``(uri, args, kwargs)`` of an ``EncodedPayload``."""


class IAuthenticator(abc.ABC):
    """Answers the challenges of one authentication method."""

    @abc.abstractmethod
    def on_challenge(self, session: Any, challenge: Challenge) -> Any:
        """The signature (str or bytes), or an awaitable of it."""

    @abc.abstractmethod
    def on_welcome(self, session: Any, authextra: dict[str, Any] | None) -> Any:
        """None if the router is who it should be, else a text that says why not; or an awaitable of that."""


class ISession(abc.ABC):
    """A WAMP session as programs see it.

    ``register`` is a procedure call of WAMP here; use ``abc_register`` for what ``abc.ABC.register`` does.
    """

    @classmethod
    def abc_register(cls, subclass: _Class) -> _Class:
        """``subclass`` counts as a session."""
        abc.ABCMeta.register(cls, subclass)
        return subclass

    @property
    @abc.abstractmethod
    def config(self) -> ComponentConfig:
        """What the session was made with."""

    @property
    @abc.abstractmethod
    def transport(self) -> Any:
        """The transport, or None."""

    @property
    @abc.abstractmethod
    def session_details(self) -> SessionDetails | None:
        """What the session became when it joined."""

    @abc.abstractmethod
    def is_connected(self) -> bool:
        """Whether there is an open transport."""

    @abc.abstractmethod
    def is_attached(self) -> bool:
        """Whether the session has joined a realm."""

    @abc.abstractmethod
    def onUserError(self, fail: Any, msg: str) -> None:
        """User code has raised."""

    @abc.abstractmethod
    def onConnect(self) -> Any:
        """The transport is open."""

    @abc.abstractmethod
    def join(
        self,
        realm: str,
        authmethods: list[str] | None = None,
        authid: str | None = None,
        authrole: str | None = None,
        authextra: dict[str, Any] | None = None,
        resumable: bool | None = None,
        resume_session: int | None = None,
        resume_token: str | None = None,
    ) -> Any:
        """HELLO is sent."""

    @abc.abstractmethod
    def onChallenge(self, challenge: Challenge) -> Any:
        """The router asks for authentication."""

    @abc.abstractmethod
    def onWelcome(self, welcome: Any) -> Any:
        """The router has let us in; a text denies the session."""

    @abc.abstractmethod
    def onJoin(self, details: SessionDetails) -> Any:
        """The session has joined."""

    @abc.abstractmethod
    def leave(self, reason: str | None = None, message: str | None = None) -> Any:
        """GOODBYE is sent."""

    @abc.abstractmethod
    def onLeave(self, details: CloseDetails) -> Any:
        """The session has ended."""

    @abc.abstractmethod
    def disconnect(self) -> Any:
        """The transport closes."""

    @abc.abstractmethod
    def onDisconnect(self) -> Any:
        """The transport is closed."""

    @abc.abstractmethod
    def define(self, exception: Any, error: str | None = None) -> None:
        """The exception class stands for the error URI on this session."""

    @abc.abstractmethod
    def set_payload_codec(self, payload_codec: IPayloadCodec | None) -> None:
        """Application payload is encrypted and decrypted by this; by nobody, if None."""

    @abc.abstractmethod
    def get_payload_codec(self) -> IPayloadCodec | None:
        """What encrypts and decrypts application payload, or None."""

    @abc.abstractmethod
    def call(self, procedure: str, *args: Any, **kwargs: Any) -> Any:
        """A future of the result."""

    @abc.abstractmethod
    def register(
        self,
        endpoint: Any,
        procedure: str | None = None,
        options: Any = None,
        prefix: str | None = None,
        check_types: CheckTypes = None,
    ) -> Any:
        """A future of the ``Registration``, or of a list for an object."""

    @abc.abstractmethod
    def publish(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """None, or a future of the ``Publication`` if acknowledged."""

    @abc.abstractmethod
    def subscribe(
        self, handler: Any, topic: str | None = None, options: Any = None, check_types: CheckTypes = None
    ) -> Any:
        """A future of the ``Subscription``, or of a list for an object."""

"""Abstract classes that say what a WebSocket connection and a factory of such can do."""

from __future__ import annotations

import abc
from typing import Any

__all__ = (
    "IWebSocketChannel",
    "IWebSocketChannelFrameApi",
    "IWebSocketChannelStreamingApi",
    "IWebSocketClientChannelFactory",
    "IWebSocketServerChannelFactory",
)


class IWebSocketChannel(abc.ABC):
    """A connection that carries messages; the asyncio protocol classes are registered as such."""

    @abc.abstractmethod
    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        """The connection is gone."""

    @abc.abstractmethod
    def onConnect(self, request_or_response: Any) -> Any:
        """The handshake of the peer is in order."""

    @abc.abstractmethod
    def onConnecting(self, transport_details: Any) -> Any:
        """The TCP connection stands; a client may return a `ConnectingRequest`."""

    @abc.abstractmethod
    def onMessage(self, payload: Any, isBinary: bool) -> Any:
        """A message has arrived."""

    @abc.abstractmethod
    def onOpen(self) -> Any:
        """The connection is open."""

    @abc.abstractmethod
    def onPing(self, payload: Any) -> Any:
        """A ping has arrived."""

    @abc.abstractmethod
    def onPong(self, payload: Any) -> Any:
        """A pong has arrived."""

    @abc.abstractmethod
    def sendClose(self, code: int | None = None, reason: str | None = None) -> Any:
        """Starts the closing handshake."""

    @abc.abstractmethod
    def sendMessage(self, payload: Any, isBinary: bool) -> Any:
        """Sends a message."""

    @abc.abstractmethod
    def sendPing(self, payload: Any = None) -> Any:
        """Sends a ping."""

    @abc.abstractmethod
    def sendPong(self, payload: Any = None) -> Any:
        """Sends a pong."""


class IWebSocketChannelFrameApi(IWebSocketChannel):
    """A connection that carries messages frame by frame."""

    @abc.abstractmethod
    def beginMessage(self, isBinary: bool = False, doNotCompress: bool = False) -> Any:
        """Begins a message in pieces."""

    @abc.abstractmethod
    def endMessage(self) -> Any:
        """Ends it."""

    @abc.abstractmethod
    def onMessageBegin(self, isBinary: bool) -> Any:
        """A message begins."""

    @abc.abstractmethod
    def onMessageEnd(self) -> Any:
        """The message is complete."""

    @abc.abstractmethod
    def onMessageFrame(self, payload: Any) -> Any:
        """A frame has arrived."""

    @abc.abstractmethod
    def sendMessageFrame(self, payload: Any, sync: bool = False) -> Any:
        """Sends a frame of it."""


class IWebSocketChannelStreamingApi(IWebSocketChannelFrameApi):
    """A connection that carries frames piece by piece."""

    @abc.abstractmethod
    def beginMessageFrame(self, length: int) -> Any:
        """Begins a frame of `length` octets."""

    @abc.abstractmethod
    def onMessageFrameBegin(self, length: int) -> Any:
        """A frame begins."""

    @abc.abstractmethod
    def onMessageFrameData(self, payload: Any) -> Any:
        """Octets of it have arrived."""

    @abc.abstractmethod
    def onMessageFrameEnd(self) -> Any:
        """It is complete."""

    @abc.abstractmethod
    def sendMessageFrameData(self, payload: Any, sync: bool = False) -> Any:
        """Sends octets of it."""


class IWebSocketServerChannelFactory(abc.ABC):
    """Makes the server ends of connections."""

    @abc.abstractmethod
    def resetProtocolOptions(self) -> Any:
        """All options have their default values."""

    @abc.abstractmethod
    def setProtocolOptions(self, **options: Any) -> Any:
        """Options of connections made from now on."""

    @abc.abstractmethod
    def setSessionParameters(
        self, url: Any = None, protocols: Any = None, server: Any = None, headers: Any = None, externalPort: Any = None
    ) -> Any:
        """Sets what the constructor sets."""


class IWebSocketClientChannelFactory(abc.ABC):
    """Makes the client ends of connections."""

    @abc.abstractmethod
    def resetProtocolOptions(self) -> Any:
        """All options have their default values."""

    @abc.abstractmethod
    def setProtocolOptions(self, **options: Any) -> Any:
        """Options of connections made from now on."""

    @abc.abstractmethod
    def setSessionParameters(
        self,
        url: Any = None,
        origin: Any = None,
        protocols: Any = None,
        useragent: Any = None,
        headers: Any = None,
        proxy: Any = None,
    ) -> Any:
        """Sets what the constructor sets."""

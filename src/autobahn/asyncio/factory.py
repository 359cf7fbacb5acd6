"""`WebSocketServerFactory` and `WebSocketClientFactory`: what connections of one kind have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autobahn import __version__
from autobahn._names import named_options
from autobahn.asyncio.protocol import WebSocketClientProtocol, WebSocketServerProtocol
from autobahn.log import Log
from autobahn.websocket import http
from autobahn.websocket.compress import PerMessageCompressOffer
from autobahn.websocket.frames import BINARY, TEXT, Writer
from autobahn.websocket.handshake import ServerRules, flat
from autobahn.websocket.options import ClientOptions, Options, ServerOptions
from autobahn.websocket.plain import HttpRequest
from autobahn.websocket.proxy import parse_proxy
from autobahn.websocket.types import HeaderValue
from autobahn.websocket.util import parse_url

__all__ = ("PreparedMessage", "WebSocketClientFactory", "WebSocketServerFactory")

IDENT = f"autobahn-asyncio/{__version__}"
Headers = Mapping[str, HeaderValue]


class PreparedMessage:
    """A message to be sent to many: an uncompressed server connection takes its frame as it is.

    Made by `factory.prepareMessage`. `applyMask`: documented, and of no effect: clients mask for each connection.
    """

    __slots__ = ("_frame", "binary", "doNotCompress", "payload")

    def __init__(self, payload: bytes, isBinary: bool, applyMask: bool, doNotCompress: bool) -> None:
        if not isinstance(payload, bytes):
            raise AssertionError(f"expected payload of type bytes, got {type(payload).__name__}")
        self.payload = payload
        self.binary = isBinary
        self.doNotCompress = doNotCompress
        self._frame: bytes | None = None

    def server_frame(self, options: ServerOptions) -> bytes | None:
        """The message as one unmasked frame; `None` when `options` ask for something else."""
        size = len(self.payload)
        if (
            options.maskServerFrames
            or (options.autoFragmentSize and size > options.autoFragmentSize)
            or (options.maxMessagePayloadSize and size > options.maxMessagePayloadSize)
        ):
            return None
        if self._frame is None:
            writer = Writer(lambda: None, masked=False)
            writer.frame(BINARY if self.binary else TEXT, self.payload)
            self._frame = writer.take()
        return self._frame


class WebSocketAdapterFactory:
    """What both roles share. A factory is called by asyncio for every connection and makes its protocol.

    Attributes may be assigned until a connection begins. The loop is the one that runs when a connection is made,
    so a factory may be built before any loop runs.
    """

    log: ClassVar[Log] = Log("autobahn.websocket")
    isServer: ClassVar[bool]

    url: str
    isSecure: bool
    host: str
    port: int | str
    resource: str
    path: str
    params: dict[str, list[str]]
    protocols: Sequence[str]
    headers: Headers
    protocol: Callable[[], Any]
    options: Options
    logOctets = False
    logFrames = False
    trackTimings = False

    def __call__(self) -> Any:
        """A new protocol that knows this factory."""
        protocol = self.protocol()
        protocol.factory = self
        return protocol

    def prepareMessage(self, payload: bytes, isBinary: bool = False, doNotCompress: bool = False) -> PreparedMessage:
        """A message for `sendPreparedMessage` of any number of connections."""
        return PreparedMessage(payload, isBinary, True, doNotCompress)

    if TYPE_CHECKING:  # the options in force
        utf8validateIncoming: bool
        applyMask: bool
        maxFramePayloadSize: int
        maxMessagePayloadSize: int
        autoFragmentSize: int
        failByDrop: bool
        echoCloseCodeReason: bool
        openHandshakeTimeout: float
        closeHandshakeTimeout: float
        tcpNoDelay: bool
        autoPingInterval: float
        autoPingTimeout: float
        autoPingSize: int
        autoPingRestartOnAnyTraffic: bool
        perMessageCompressionAccept: Callable[[Any], Any] | None
    else:

        def __getattr__(self, name: str) -> Any:
            """The protocol options in force, by name."""
            options = self.__dict__.get("options")
            if options is not None and name in options.names():
                return options.value(name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _set_url(self, url: str) -> None:
        parts = parse_url(url)
        self.url = url
        self.isSecure, self.host, self.port, self.resource, self.path, self.params = parts

    def _set_common(self, protocols: Sequence[str] | None, headers: Headers | None) -> None:
        if isinstance(protocols, str) or not all(isinstance(p, str) and http.is_token(p) for p in protocols or ()):
            raise ValueError(f"expected protocols as list of tokens, got {protocols!r}")
        for name, value in flat(headers):
            http.check_field(name, value)
        self.protocols = list(protocols or ())
        self.headers = dict(headers or {})


def _without_self(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "self"}


def _check_header(name: str, value: str | None) -> None:
    if value is not None:
        http.check_field(name, value)


class WebSocketServerFactory(WebSocketAdapterFactory):
    """Makes the server's end of connections: `loop.create_server(factory, host, port)`.

    `url`: of this server; listens to nothing by itself. `protocols`: subprotocols, for the program's use in
    `onConnect`. `server`: value of the Server header, empty for none. `headers`: for every answer.
    `externalPort`: the port that requests must name in their Host header. `loop`: ignored but kept.
    """

    isServer: ClassVar[bool] = True
    protocol: Callable[[], Any] = WebSocketServerProtocol
    processRequest: Callable[[HttpRequest], Any] | None = None
    """A hook for plain HTTP on the same port: assign a function, plain or `async`. It sees every request before it is
    judged and returns `None` to go on, or an `HttpResponse` that answers it; it may raise `ConnectionDeny`."""
    options: ServerOptions
    if TYPE_CHECKING:
        versions: Sequence[int]
        webStatus: bool
        requireMaskedClientFrames: bool
        maskServerFrames: bool
        allowedOrigins: Sequence[str]
        allowNullOrigin: bool
        maxConnections: int
        trustXForwardedFor: int
        serveFlashSocketPolicy: bool
        flashSocketPolicy: str | None

    @named_options
    def __init__(
        self,
        url: str | None = None,
        protocols: Sequence[str] | None = None,
        server: str | None = IDENT,
        headers: Headers | None = None,
        externalPort: int | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop
        self.countConnections = 0
        self.setSessionParameters(url, protocols, server, headers, externalPort)
        self.resetProtocolOptions()

    @named_options
    def setSessionParameters(
        self,
        url: str | None = None,
        protocols: Sequence[str] | None = None,
        server: str | None = None,
        headers: Headers | None = None,
        externalPort: int | None = None,
    ) -> None:
        """Sets what the constructor sets. Raises `ValueError` or `TypeError`."""
        self._set_url(url or "ws://localhost")
        if self.params:
            raise ValueError(f"expected a server URL without query, got {url!r}")
        self._set_common(protocols, headers)
        _check_header("Server", server)
        if externalPort is not None and (not isinstance(externalPort, int) or not 0 <= externalPort <= 65535):
            raise ValueError(f"expected externalPort from 1 to 65535, got {externalPort!r}")
        self.server = server
        self.externalPort = externalPort

    def resetProtocolOptions(self) -> None:
        """All options have their default values."""
        self.options = ServerOptions()

    @named_options
    def setProtocolOptions(  # noqa: PLR0913, PLR0917 - documented signature
        self,
        versions: Sequence[int] | None = None,
        webStatus: bool | None = None,
        utf8validateIncoming: bool | None = None,
        maskServerFrames: bool | None = None,
        requireMaskedClientFrames: bool | None = None,
        applyMask: bool | None = None,
        maxFramePayloadSize: int | None = None,
        maxMessagePayloadSize: int | None = None,
        autoFragmentSize: int | None = None,
        failByDrop: bool | None = None,
        echoCloseCodeReason: bool | None = None,
        openHandshakeTimeout: float | None = None,
        closeHandshakeTimeout: float | None = None,
        tcpNoDelay: bool | None = None,
        perMessageCompressionAccept: Callable[[Any], Any] | None = None,
        autoPingInterval: float | None = None,
        autoPingTimeout: float | None = None,
        autoPingSize: int | None = None,
        autoPingRestartOnAnyTraffic: bool | None = None,
        serveFlashSocketPolicy: bool | None = None,
        flashSocketPolicy: str | None = None,
        allowedOrigins: Sequence[str] | None = None,
        allowNullOrigin: bool | None = None,
        maxConnections: int | None = None,
        trustXForwardedFor: int | None = None,
        maxHandshakeSize: int | None = None,
        maxHandshakeHeaders: int | None = None,
        sendHighWater: int | None = None,
        sendLowWater: int | None = None,
        maxSendBuffer: int | None = None,
        sendPolicy: str | None = None,
        maxConcurrentHandlers: int | None = None,
        maxReceiveQueue: int | None = None,
        maxReceiveQueueSize: int | None = None,
        compressionLevel: int | None = None,
        compressionBackend: str | None = None,
        compressionIdleTimeout: float | None = None,
        countTraffic: bool | None = None,
    ) -> None:
        """Options of connections made from now on; those not named stay as they are (see `ServerOptions`)."""
        self.options = self.options.updated(_without_self(locals()))

    _rules: tuple[ServerOptions, ServerRules] | None = None

    def rules_for(self, options: ServerOptions) -> ServerRules:
        """What is asked of requests; one record for all connections with the same options."""
        port = self.externalPort or 0
        if self._rules is not None and self._rules[0] is options:
            rules = self._rules[1]
            if rules.external_port == port and rules.is_secure == self.isSecure:
                return rules
        rules = ServerRules(
            versions=options.versions,
            allowed_origins=options.allowedOrigins,
            allow_null_origin=options.null_origin_allowed,
            external_port=port,
            is_secure=self.isSecure,
            web_status=options.webStatus,
        )
        self._rules = options, rules
        return rules

    def getConnectionCount(self) -> int:
        """How many connections there are, those in their opening handshake included."""
        return self.countConnections


class WebSocketClientFactory(WebSocketAdapterFactory):
    """Makes the client's end of connections: `loop.create_connection(factory, host, port)`.

    `url`: names the host and what to ask for; connects to nothing by itself. `origin`, `protocols` (offered),
    `useragent` (`None` or empty: not sent) and `headers` are sent with the request. `proxy`: a dict with `host` and
    `port`: the program connects to that proxy, which is asked for a tunnel first. `loop`: ignored but kept.
    """

    isServer: ClassVar[bool] = False
    protocol: Callable[[], Any] = WebSocketClientProtocol
    options: ClientOptions
    if TYPE_CHECKING:
        version: int
        acceptMaskedServerFrames: bool
        maskClientFrames: bool
        serverConnectionDropTimeout: float
        perMessageCompressionOffers: Sequence[PerMessageCompressOffer]

    @named_options
    def __init__(
        self,
        url: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
        useragent: str | None = IDENT,
        headers: Headers | None = None,
        proxy: dict[str, Any] | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop
        self.setSessionParameters(url, origin, protocols, useragent, headers, proxy)
        self.resetProtocolOptions()

    @named_options
    def setSessionParameters(
        self,
        url: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
        useragent: str | None = None,
        headers: Headers | None = None,
        proxy: dict[str, Any] | None = None,
    ) -> None:
        """Sets what the constructor sets. Raises `ValueError` or `TypeError`."""
        self._set_url(url or "ws://localhost")
        self._set_common(protocols, headers)
        _check_header("Origin", origin)
        _check_header("User-Agent", useragent)
        if proxy is not None and (parse_proxy(proxy).is_secure or self.isSecure):
            raise ValueError(
                "expected a ws:// URL and a proxy without TLS, got TLS: use autobahn.connect() or a Component, whose "
                "connections may change to TLS behind the proxy"
            )
        self.origin = origin
        self.useragent = useragent
        self.proxy = proxy

    def resetProtocolOptions(self) -> None:
        """All options have their default values."""
        self.options = ClientOptions()

    @named_options
    def setProtocolOptions(  # noqa: PLR0913, PLR0917 - documented signature
        self,
        version: int | None = None,
        utf8validateIncoming: bool | None = None,
        acceptMaskedServerFrames: bool | None = None,
        maskClientFrames: bool | None = None,
        applyMask: bool | None = None,
        maxFramePayloadSize: int | None = None,
        maxMessagePayloadSize: int | None = None,
        autoFragmentSize: int | None = None,
        failByDrop: bool | None = None,
        echoCloseCodeReason: bool | None = None,
        serverConnectionDropTimeout: float | None = None,
        openHandshakeTimeout: float | None = None,
        closeHandshakeTimeout: float | None = None,
        tcpNoDelay: bool | None = None,
        perMessageCompressionOffers: Sequence[PerMessageCompressOffer] | None = None,
        perMessageCompressionAccept: Callable[[Any], Any] | None = None,
        autoPingInterval: float | None = None,
        autoPingTimeout: float | None = None,
        autoPingSize: int | None = None,
        autoPingRestartOnAnyTraffic: bool | None = None,
        maxHandshakeSize: int | None = None,
        maxHandshakeHeaders: int | None = None,
        sendHighWater: int | None = None,
        sendLowWater: int | None = None,
        maxSendBuffer: int | None = None,
        sendPolicy: str | None = None,
        maxConcurrentHandlers: int | None = None,
        maxReceiveQueue: int | None = None,
        maxReceiveQueueSize: int | None = None,
        compressionLevel: int | None = None,
        compressionBackend: str | None = None,
        compressionIdleTimeout: float | None = None,
        countTraffic: bool | None = None,
    ) -> None:
        """Options of connections made from now on; those not named stay as they are (see `ClientOptions`)."""
        self.options = self.options.updated(_without_self(locals()))

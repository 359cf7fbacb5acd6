"""The two roles of a `Connection`: how each opens it (RFC 6455 section 4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from autobahn.exception import ProxyError
from autobahn.websocket import http
from autobahn.websocket.connection import LINGER_TIMEOUT, Connection, Events, Sink, State
from autobahn.websocket.errors import FrameError, HandshakeError
from autobahn.websocket.handshake import (
    ClientRequest,
    ServerRules,
    Upgrade,
    accept_response,
    check_request,
    check_response,
    error_response,
    plain_response,
)
from autobahn.websocket.heads import recall, remember
from autobahn.websocket.negotiation import negotiate_client, negotiate_server
from autobahn.websocket.options import ClientOptions, ServerOptions
from autobahn.websocket.proxy import Tunnel
from autobahn.websocket.types import ConnectionRequest, ConnectionResponse

REFUSAL_BODY = 4096
"""Octets kept of the body of a refusal."""


class ServerConnection(Connection):
    """The server's end. `server`: value of the Server header, empty = none.

    `on_request`: sees every request, also one that asks for no WebSocket, and answers with `respond` or `proceed`.
    """

    __slots__ = ("_head", "_on_request", "_peer", "_request", "_rules", "_server", "_upgrade")

    is_server = True
    options: ServerOptions

    def __init__(
        self,
        sink: Sink,
        events: Events,
        options: ServerOptions,
        *,
        rules: ServerRules,
        server: str | None = None,
        peer: str = "unknown",
        on_request: Callable[[http.Request], None] | None = None,
    ) -> None:
        super().__init__(sink, events, masked=options.maskServerFrames, apply_mask=options.applyMask)
        self.options = options
        self._rules = rules
        self._server = server
        self._peer = peer
        self._on_request = on_request
        self._request: http.Request | None = None
        self._head: http.HeadReader | None = None
        self._upgrade: Upgrade | None = None
        self.receive = self._receive_request
        sink.set_timeout(options.openHandshakeTimeout, self.open_timeout)

    def _receive_request(self, data: bytes) -> None:
        """The first octets: nearly always a whole head, and often one that was judged before."""
        options = self.options
        if self._on_request is None and len(data) <= options.maxHandshakeSize:
            known = recall(data, self._rules, self._peer, options.maxHandshakeHeaders)
            if known is not None:
                self._request, self._upgrade = known
                self.receive = self._receive_early
                self.events.connection_handshake(self._upgrade.request)
                return
        self._head = http.HeadReader(request=True, max_size=options.maxHandshakeSize)
        self.receive = self._receive_head
        self._receive_head(data)

    def _receive_head(self, data: bytes) -> None:
        assert self._head is not None
        try:
            head = self._head.feed(data)
            if head is None:
                return
            self._request = http.parse_request(head, max_headers=self.options.maxHandshakeHeaders)
        except HandshakeError as error:
            self.fail_opening(error)
            return
        self.receive = self._receive_early
        on_request, self._on_request = self._on_request, None
        if on_request is None:
            self.proceed()
            if self._upgrade is not None:
                remember(head, self._request, self._upgrade, self._rules)
        else:
            on_request(self._request)

    def proceed(self) -> None:
        """Judges the request as one for a WebSocket; nothing happens when the handshake has ended meanwhile."""
        if self._head is None or self._request is None:
            return
        try:
            upgrade = check_request(self._request, self._rules, self._peer)
            if self._head.rest:
                raise HandshakeError(400, "expected nothing behind the request before its answer, got octets")
        except HandshakeError as error:
            self.fail_opening(error)
            return
        self._head = None
        self._upgrade = upgrade
        self.events.connection_handshake(upgrade.request)

    def respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Answers the request as plain HTTP and closes; nothing happens when the handshake has ended meanwhile.

        Raises `ValueError` or `TypeError` for values that cannot be sent; nothing is sent then.
        """
        if self.state is not State.CONNECTING or self._request is None:
            return
        answer = plain_response(self._request.method, status, headers, body, server=self._server)
        self._end_opening(answer, f"answered with HTTP status {status}")

    @property
    def status_line(self) -> str | None:
        """The first line of the request, once it has been received."""
        request = self._request
        return None if request is None else f"{request.method} {request.target} HTTP/{request.version}"

    def _receive_early(self, data: bytes) -> None:
        # RFC 6455 4.1: a client sends nothing before the answer; a second request here is smuggling
        self.fail_opening(HandshakeError(400, "expected nothing behind the request before its answer, got octets"))

    @property
    def request(self) -> ConnectionRequest | None:
        """The request, once it has been received."""
        return None if self._upgrade is None else self._upgrade.request

    @property
    def target(self) -> str | None:
        """The target of the request as it was sent."""
        return None if self._upgrade is None else self._upgrade.target

    def accept(self, subprotocol: str | None, headers: Iterable[tuple[str, str]]) -> None:
        """Answers 101 and opens the connection; nothing happens when the handshake has ended meanwhile.

        Raises `ValueError` or `TypeError` for values that cannot be sent, and what the program's
        `perMessageCompressionAccept` raises; nothing is sent then.
        """
        if self.state is not State.CONNECTING or self._upgrade is None:
            return
        upgrade = self._upgrade
        chosen = negotiate_server(upgrade.request.extensions, self.options.perMessageCompressionAccept)
        response = accept_response(
            upgrade,
            server=self._server,
            headers=headers,
            subprotocol=subprotocol,
            extensions=[] if chosen is None else [chosen[1]],
        )
        self.writer.raw(response)
        self.subprotocol = subprotocol
        masked = True if self.options.requireMaskedClientFrames else None
        self._open(None if chosen is None else chosen[0], masked=masked)
        self.events.connection_opened()

    def fail_opening(self, error: HandshakeError) -> None:
        """Answers with the HTTP status of `error` and closes; nothing happens once the connection is open."""
        if self.state is not State.CONNECTING:
            return
        try:
            answer = error_response(error, server=self._server, web_status=self.options.webStatus)
        except (ValueError, TypeError):  # headers of the program that cannot be sent
            answer = error_response(HandshakeError(error.status, ""), server=None)
        self.failed_by_me = True
        self._end_opening(answer, error.reason)
        self.events.connection_failed(f"{error.status}: {error.reason}")

    def _end_opening(self, answer: bytes, reason: str) -> None:
        self._head = None
        self._stop_reading()
        self.state = State.CLOSING
        self.dropped_by_me = True
        self.not_clean_reason = reason
        self.writer.raw(answer)
        # FIN before closing: with unread octets a plain close would reset, and take the answer away with it
        self.sink.half_close()
        self.sink.set_timeout(LINGER_TIMEOUT, self.sink.abort)


class ClientConnection(Connection):
    """The client's end. `start` sends the request; after `connection_handshake`, `proceed` opens the connection.

    `random`: a source of octets that nobody can foresee, for mask keys (RFC 6455 10.3).
    """

    __slots__ = ("_body_missing", "_head", "_held", "_peer", "_request", "refusal", "refusal_body", "status_line")

    is_server = False
    options: ClientOptions

    def __init__(
        self,
        sink: Sink,
        events: Events,
        options: ClientOptions,
        *,
        peer: str = "unknown",
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(sink, events, masked=options.maskClientFrames, apply_mask=options.applyMask, random=random)
        self.options = options
        self._peer = peer
        self._head: http.HeadReader | None = http.HeadReader(request=False, max_size=options.maxHandshakeSize)
        self._held: list[bytes] = []
        self._request: ClientRequest | None = None
        self._body_missing = 0
        self.status_line: str | None = None
        """The first line of the answer, once its head has been received."""
        self.refusal: http.Response | None = None
        """The answer of a server that answered with another status than 101, and the first octets of its body."""
        self.refusal_body = b""
        sink.set_timeout(options.openHandshakeTimeout, self.open_timeout)

    def start(self, request: ClientRequest, tunnel: Tunnel | None = None) -> None:
        """Sends the request, through `tunnel` when the peer is a proxy.

        Raises `ValueError` or `TypeError` for values that cannot be sent.
        """
        if self.state is not State.CONNECTING:
            return
        head = request.build()
        self._request = request
        if tunnel is None:
            self.writer.raw(head)
            self.receive = self._receive_response
        else:
            self.writer.raw(tunnel.start())
            self.receive = lambda data: self._receive_proxy(tunnel, head, bytes(data))

    def _receive_proxy(self, tunnel: Tunnel, head: bytes, data: bytes) -> None:
        try:
            answer = tunnel.receive(data)
        except ProxyError as error:
            self.fail_opening(HandshakeError(502, error.message))
            return
        self.writer.raw(answer)
        if tunnel.done:
            self.writer.raw(head)
            self.receive = self._receive_response

    def _receive_response(self, data: bytes) -> None:
        assert self._head is not None
        assert self._request is not None
        try:
            head = self._head.feed(data)
            if head is None:
                return
            response = http.parse_response(head, max_headers=self.options.maxHandshakeHeaders)
            self.status_line = f"HTTP/{response.version} {response.status} {response.reason}"
            if response.status != 101:
                self._refused(response, self._head.rest)
                return
            switched = check_response(response, self._request)
            options = self.options
            pmce = negotiate_client(
                switched.extensions, options.perMessageCompressionOffers, options.perMessageCompressionAccept
            )
        except HandshakeError as error:
            self.fail_opening(error)
            return
        except Exception as exc:  # the program's perMessageCompressionAccept
            self.events.connection_error(exc)
            self.fail_opening(HandshakeError(500, "perMessageCompressionAccept failed"))
            return
        self._held = [self._head.rest] if self._head.rest else []
        self._head = None
        self.subprotocol = switched.subprotocol
        self._open(pmce, masked=None if self.options.acceptMaskedServerFrames else False)
        self.receive = self._hold
        version = self.options.version
        extensions = [] if pmce is None else [pmce]
        self.events.connection_handshake(
            ConnectionResponse(self._peer, http.joined(response.headers), version, switched.subprotocol, extensions)
        )

    def _refused(self, response: http.Response, rest: bytes) -> None:
        """Waits a moment for the start of the body, which may say why, then drops the connection."""
        assert self._request is not None
        self.refusal = response
        length = response.headers.get("content-length", ["0"])[0]
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0
        self._body_missing = min(size, REFUSAL_BODY)
        self.receive = self._receive_refusal
        self.sink.set_timeout(LINGER_TIMEOUT, self._give_up)
        self._receive_refusal(rest)

    def _receive_refusal(self, data: bytes) -> None:
        self.refusal_body = (self.refusal_body + data)[:REFUSAL_BODY]
        if len(self.refusal_body) >= self._body_missing:
            self._give_up()

    def _give_up(self) -> None:
        assert self.refusal is not None
        assert self._request is not None
        try:
            check_response(self.refusal, self._request)
        except HandshakeError as error:
            self.fail_opening(error)

    def lost(self) -> tuple[bool, int | None, str | None]:
        """The TCP connection is gone: state is CLOSED."""
        if self.refusal is not None:
            self._give_up()  # a server that closes right behind its answer
        return super().lost()

    def _hold(self, data: bytes) -> None:
        self._held.append(bytes(data))  # the shell reads into a buffer of its own

    def proceed(self) -> None:
        """The program agreed to the response: tells `connection_opened`, then reads what has come in meanwhile."""
        held, self._held = self._held, []
        if self.reader is None:  # failed or lost meanwhile
            return
        self.receive = self.reader.feed
        if self.state is State.OPEN:
            self.events.connection_opened()
        try:
            for data in held:
                self.receive(data)
        except FrameError as error:
            self.violated(error)

    def fail_opening(self, error: HandshakeError) -> None:
        """Drops the connection; nothing happens once it is open."""
        if self.state is not State.CONNECTING:
            return
        self._head = None
        self._stop_reading()
        self.state = State.CLOSING
        self.failed_by_me = self.dropped_by_me = True
        self.not_clean_reason = error.reason
        self.sink.abort()
        self.events.connection_failed(error.reason)

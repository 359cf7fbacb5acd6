"""`WebSocketServerProtocol` and `WebSocketClientProtocol`."""

from __future__ import annotations

import inspect
import os
from typing import Any, ClassVar

from autobahn.asyncio.adapter import WebSocketAdapterProtocol
from autobahn.asyncio.effective_options import resolved_options, with_options
from autobahn.websocket import http
from autobahn.websocket.connection import Connection
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.handshake import ClientRequest, flat
from autobahn.websocket.opening import ClientConnection, ServerConnection
from autobahn.websocket.options import CLIENT_OPTION_NAMES, SERVER_OPTION_NAMES
from autobahn.websocket.plain import HttpRequest, HttpResponse
from autobahn.websocket.proxy import open_tunnel, parse_proxy
from autobahn.websocket.types import (
    ConnectingRequest,
    ConnectionAccept,
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
)

__all__ = ("WebSocketClientProtocol", "WebSocketServerProtocol")

try:
    import ssl
except ImportError:  # a Python without OpenSSL
    _random_octets = os.urandom
else:
    _random_octets = ssl.RAND_bytes  # as good as the system's generator, and three times as fast for mask keys


@with_options(SERVER_OPTION_NAMES)
class WebSocketServerProtocol(WebSocketAdapterProtocol):
    """A server's end of a WebSocket connection."""

    is_server: ClassVar[bool] = True
    _ws_connection: ServerConnection | None = None
    _ws_counted = False

    def onConnect(self, request: ConnectionRequest) -> Any:
        """A client asks for a connection; awaited when it returns an awaitable.

        Returns `None`, the subprotocol to speak, a pair of that and a dict of headers for the answer, or a
        `ConnectionAccept`. Raises `ConnectionDeny` to refuse with an HTTP status.
        """

    def connection_lost(self, exc: BaseException | None) -> None:
        """The TCP connection is gone; `onClose` is called."""
        if self._ws_counted:
            self._ws_counted = False
            self.factory.countConnections -= 1
        super().connection_lost(exc)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: dict[str, str] | None = None) -> None:
        """Refuses the client with an HTTP status; nothing happens once the connection is open."""
        if self._ws_connection is not None:
            headers = tuple((responseHeaders or {}).items())
            self._ws_connection.fail_opening(HandshakeError(code, reason, headers))

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: dict[str, str] | None = None) -> None:
        """The same as `failHandshake`."""
        self.failHandshake(reason, code, responseHeaders)

    def sendHtml(self, html: str) -> None:
        """Answers the request with this page in place of a WebSocket; nothing happens once the connection is open."""
        self._ws_respond(200, (("Content-Type", "text/html; charset=utf-8"),), html.encode())

    def sendRedirect(self, url: str) -> None:
        """Answers the request with a redirection (303) to `url`. Raises `ValueError` for control characters in it."""
        self._ws_respond(303, (("Location", url),), b"")

    def sendServerStatus(self, redirectUrl: str | None = None, redirectAfter: int = 0) -> None:
        """Answers the request with a page that tells what this is, and goes on to `redirectUrl` after some seconds."""
        from html import escape

        http.check_field("Location", redirectUrl or "")
        refresh = f'<meta http-equiv="refresh" content="{int(redirectAfter)};URL={escape(redirectUrl or "")}">'
        self.sendHtml(
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{refresh if redirectUrl else ""}'
            "<title>WebSocket</title></head><body><h1>WebSocket</h1><p>This address speaks WebSocket (RFC 6455).</p>"
            "</body></html>\n"
        )

    def _ws_respond(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        if self._ws_connection is not None:
            self._ws_connection.respond(status, headers, body)

    def _ws_new_connection(self) -> Connection:
        factory = self.factory
        options = resolved_options(self, SERVER_OPTION_NAMES, self._ws_user_classes)
        factory.countConnections += 1
        self._ws_counted = True
        return ServerConnection(
            self._ws_outbox,
            self,
            options,
            rules=factory.rules_for(options),
            server=factory.server,
            peer=self.peer or "unknown",
            on_request=None if factory.processRequest is None else self._ws_process_request,
        )

    def _ws_process_request(self, request: http.Request) -> None:
        """`factory.processRequest` decides whether this is answered as plain HTTP."""
        try:
            answer = self.factory.processRequest(HttpRequest(request, self.peer or "unknown"))
        except Exception as exc:
            self._ws_process_failed(exc)
            return
        if inspect.isawaitable(answer):
            self._ws_spawn(answer, "processRequest", self._ws_processed)
        else:
            self._ws_processed(answer)

    def _ws_processed(self, answer: Any) -> None:
        connection = self._ws_connection
        assert connection is not None
        if answer is None:
            connection.proceed()
            return
        try:
            if not isinstance(answer, HttpResponse):
                raise TypeError(f"expected processRequest to return None or an HttpResponse, got {answer!r}")
            connection.respond(answer.status, flat(answer.headers), answer.body)
        except Exception as exc:
            self._ws_process_failed(exc)

    def _ws_process_failed(self, exc: BaseException) -> None:
        assert self._ws_connection is not None
        if isinstance(exc, ConnectionDeny):
            self._ws_connection.fail_opening(HandshakeError(exc.code, exc.reason or ""))
            return
        self.onUserError(exc, "processRequest")
        self._ws_connection.fail_opening(HandshakeError(500, "Internal server error"))

    def connection_handshake(self, request_or_response: Any) -> None:
        """The request is in order: `onConnect` decides."""
        request: ConnectionRequest = request_or_response
        connection = self._ws_connection
        assert connection is not None
        options = connection.options
        if options.maxConnections and self.factory.countConnections > options.maxConnections:
            connection.fail_opening(HandshakeError(503, "maximum number of connections reached"))
            return
        if options.trustXForwardedFor and (peer := _forwarded_for(request, options.trustXForwardedFor)):
            self.peer = request.peer = peer
        self.http_headers = request.headers
        self.websocket_version = request.version
        try:
            answer = self.onConnect(request)
        except Exception as exc:
            self._ws_connect_failed(exc)
            return
        if answer is not None and type(answer) is not ConnectionAccept and inspect.isawaitable(answer):
            self._ws_spawn(answer, "onConnect", self._ws_accept)
        else:
            self._ws_accept(answer)

    def _ws_accept(self, answer: Any) -> None:
        connection = self._ws_connection
        assert connection is not None
        try:
            subprotocol, headers = _accepted(answer)
            lines = [*flat(self.factory.headers), *flat(headers)] if headers or self.factory.headers else []
            connection.accept(subprotocol, lines)
        except Exception as exc:
            self._ws_connect_failed(exc)

    def _ws_connect_failed(self, exc: BaseException) -> None:
        """`onConnect` refused, or raised, or returned something that cannot be sent."""
        connection = self._ws_connection
        assert connection is not None
        if isinstance(exc, ConnectionDeny):
            connection.fail_opening(HandshakeError(exc.code, exc.reason or ""))
            return
        self.onUserError(exc, "onConnect")
        # The text of the exception stays here: it is not the client's business.
        connection.fail_opening(HandshakeError(500, "Internal server error"))

    def _ws_task_failed(self, exc: BaseException, where: str) -> None:
        if where == "onConnect":
            self._ws_connect_failed(exc)
        elif where == "processRequest":
            self._ws_process_failed(exc)
        else:
            self._ws_failed(exc, where)

    @property
    def http_status_line(self) -> str | None:
        """The first line of the request."""
        return None if self._ws_connection is None else self._ws_connection.status_line

    @property
    def http_request_uri(self) -> str | None:
        """The target of the request as it was sent."""
        return None if self._ws_connection is None else self._ws_connection.target

    @property
    def http_request_path(self) -> str | None:
        """The path of the request."""
        path: str | None = self._ws_of_request("path")
        return path

    @property
    def http_request_params(self) -> dict[str, list[str]]:
        """The query parameters of the request."""
        return self._ws_of_request("params") or {}

    @property
    def http_request_host(self) -> str | None:
        """The host the request named, without port."""
        host: str | None = self._ws_of_request("host")
        return host

    @property
    def websocket_protocols(self) -> list[str]:
        """The subprotocols the client offered."""
        return self._ws_of_request("protocols") or []

    @property
    def websocket_origin(self) -> str | None:
        """The origin of the page, "" when the client sent none."""
        origin: str | None = self._ws_of_request("origin")
        return origin

    @property
    def websocket_extensions(self) -> list[Any]:
        """The extensions the client offered."""
        return self._ws_of_request("extensions") or []

    def _ws_of_request(self, name: str) -> Any:
        request = None if self._ws_connection is None else self._ws_connection.request
        return None if request is None else getattr(request, name)


def _accepted(answer: Any) -> tuple[str | None, Any]:
    """Subprotocol and headers of what `onConnect` returned. Raises `TypeError`."""
    if isinstance(answer, ConnectionAccept):
        return answer.subprotocol, answer.headers
    if answer is None or isinstance(answer, str):
        return answer, None
    if isinstance(answer, tuple) and len(answer) == 2 and (answer[0] is None or isinstance(answer[0], str)):
        return answer
    raise TypeError(
        "expected onConnect to return None, a subprotocol, (subprotocol, headers) or a ConnectionAccept, "
        f"got {answer!r}"
    )


def _forwarded_for(request: ConnectionRequest, trusted: int) -> str | None:
    """The address that the outermost of `trusted` proxies saw: the n-th of X-Forwarded-For from the right."""
    addresses = [a.strip() for a in request.headers.get("x-forwarded-for", "").split(",") if a.strip()]
    return addresses[-trusted] if len(addresses) >= trusted else None


@with_options(CLIENT_OPTION_NAMES)
class WebSocketClientProtocol(WebSocketAdapterProtocol):
    """A client's end of a WebSocket connection."""

    is_server: ClassVar[bool] = False
    _ws_connection: ClientConnection | None = None

    def onConnecting(self, transport_details: Any) -> Any:
        """The TCP connection stands; awaited when it returns an awaitable.

        Returns `None`, or a `ConnectingRequest` with what to ask for in place of the factory's values.
        """

    def onConnect(self, response: ConnectionResponse) -> Any:
        """The server agreed; awaited when it returns an awaitable, and `onOpen` comes after it.

        Raises `ConnectionDeny` to close with 1008 and its reason, which is no error of the program.
        """

    @property
    def http_status_line(self) -> str | None:
        """The first line of the server's answer."""
        return None if self._ws_connection is None else self._ws_connection.status_line

    def failHandshake(self, reason: str) -> None:
        """Drops the connection; nothing happens once it is open."""
        if self._ws_connection is not None:
            self._ws_connection.fail_opening(HandshakeError(400, reason))

    def _ws_new_connection(self) -> Connection:
        options = resolved_options(self, CLIENT_OPTION_NAMES, self._ws_user_classes)
        return ClientConnection(self._ws_outbox, self, options, peer=self.peer or "unknown", random=_random_octets)

    def _ws_start(self) -> None:
        try:
            wanted = self.onConnecting(self.transport_details)
        except Exception as exc:
            self._ws_connecting_failed(exc)
            return
        if wanted is not None and inspect.isawaitable(wanted):
            self._ws_spawn(wanted, "onConnecting", self._ws_request)
        else:
            self._ws_request(wanted)

    def _ws_request(self, wanted: Any) -> None:
        assert self._ws_connection is not None
        try:
            factory = self.factory
            tunnel = factory.proxy and open_tunnel(parse_proxy(factory.proxy), factory.host, factory.port)
            self._ws_connection.start(self._ws_new_request(wanted), tunnel or None)
        except Exception as exc:
            self._ws_connecting_failed(exc)

    def _ws_new_request(self, wanted: Any) -> ClientRequest:
        if wanted is not None and not isinstance(wanted, ConnectingRequest):
            raise TypeError(f"expected onConnecting to return None or a ConnectingRequest, got {type(wanted).__name__}")
        assert self._ws_connection is not None
        factory, options = self.factory, self._ws_connection.options
        ask = ConnectingRequest(useragent=factory.useragent) if wanted is None else wanted
        return ClientRequest(
            host=_or(ask.host, factory.host),
            port=_or(ask.port, factory.port),
            resource=_or(ask.resource, factory.resource),
            is_secure=factory.isSecure,
            useragent=ask.useragent,
            headers=ask.headers or factory.headers,
            origin=_or(ask.origin, factory.origin),
            protocols=tuple(ask.protocols or factory.protocols or ()),
            extensions=tuple(o.get_extension_string() for o in options.perMessageCompressionOffers),
            version=13 if options.version >= 13 else 8,
        )

    def _ws_connecting_failed(self, exc: BaseException) -> None:
        self.onUserError(exc, "onConnecting")
        self.failHandshake("onConnecting failed")

    def connection_handshake(self, request_or_response: Any) -> None:
        """The answer is in order: `onConnect` sees it before the connection goes on."""
        response: ConnectionResponse = request_or_response
        connection = self._ws_connection
        assert connection is not None
        self.http_headers = response.headers
        self.websocket_version = response.version
        try:
            result = self.onConnect(response)
        except Exception as exc:
            self._ws_connect_failed(exc)
            return
        if result is not None and inspect.isawaitable(result):
            # What the server sends now waits in the kernel.
            if self.transport is not None and not self.transport.is_closing():
                self.transport.pause_reading()
            self._ws_spawn(result, "onConnect", self._ws_connected)
        else:
            connection.proceed()

    def _ws_connected(self, _result: Any) -> None:
        assert self._ws_connection is not None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        self._ws_connection.proceed()

    def _ws_connect_failed(self, exc: BaseException) -> None:
        if isinstance(exc, ConnectionDeny):
            reason = exc.reason or "the client refused the answer"
            self.connection_failed(reason)
            self.failConnection(1008, reason)
            return
        self.onUserError(exc, "onConnect")
        self.failConnection(1011, "onConnect failed")

    def _ws_task_failed(self, exc: BaseException, where: str) -> None:
        if where == "onConnect":
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()
            self._ws_connect_failed(exc)
        elif where == "onConnecting":
            self._ws_connecting_failed(exc)
        else:
            self._ws_failed(exc, where)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value

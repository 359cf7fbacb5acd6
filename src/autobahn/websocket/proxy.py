"""Asking a proxy for a connection, without I/O: HTTP CONNECT (RFC 9110 9.3.6), SOCKS 4, 4a and 5 (RFC 1928, 1929).

A tunnel is a conversation: `start()` gives the first octets to send, `receive(data)` takes what the proxy says and
gives the next ones, until `done`. A refusal raises `ProxyError`. What follows the proxy's last octet would be the
server's, which says nothing before it is asked: octets there are an error.

SOCKS is here and not in a dependency because it is this small, and so that it runs over our own dialer, under TLS as
well, with our own errors, on every loop.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autobahn.exception import InvalidURI, ProxyError
from autobahn.websocket import http
from autobahn.websocket.errors import HandshakeError

PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
"""The schemes of proxies, with their default ports."""

_SOCKS4_REPLIES = {
    91: "request rejected or failed",
    92: "no identd at the client",
    93: "identd does not confirm the user",
}
_SOCKS5_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
_HOST = re.compile(r"[A-Za-z0-9\-._~%:]+")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to go through. `user` and `password` are `None` when it asks for none."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken with the proxy itself."""
        return self.scheme == "https"

    @property
    def resolves(self) -> bool:
        """Whether the proxy looks names up: always by HTTP, with SOCKS by scheme (socks4a and socks5h, as curl)."""
        return self.scheme not in {"socks4", "socks5"}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"  # no credentials: this goes into errors and logs


class Tunnel(Protocol):
    """The conversation with a proxy."""

    done: bool

    def start(self) -> bytes:
        """The first octets to send."""

    def receive(self, data: bytes) -> bytes:
        """Takes octets of the proxy; the next ones to send. Raises `ProxyError`."""


def parse_proxy(proxy: str | Mapping[str, Any] | Proxy) -> Proxy:
    """The proxy of a URL `SCHEME://[USER:PASSWORD@]HOST[:PORT]`, or of a dict with `host` and `port`.

    Schemes: http, https, socks4, socks4a, socks5, socks5h; a URL without one is http. The dict may have `type` (the
    scheme), `username` and `password`. Raises `InvalidURI` (a `ValueError`) or `TypeError`.
    """
    if isinstance(proxy, Proxy):
        return proxy
    if isinstance(proxy, Mapping):
        return _proxy_of_dict(proxy)
    if not isinstance(proxy, str):
        raise TypeError(f"expected a proxy as URL or dict with host and port, got {type(proxy).__name__}")
    from urllib.parse import unquote, urlsplit

    text = proxy if "://" in proxy else f"http://{proxy}"
    try:
        if _NOT_PRINTABLE.search(text):  # urlsplit() would drop line ends in silence
            raise ValueError
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    scheme = text.partition("://")[0].lower()
    if scheme not in PORTS:
        raise InvalidURI(f"expected a proxy scheme out of {', '.join(PORTS)}, got {scheme!r}")
    if not host or _HOST.fullmatch(host) is None:  # the URL may hold a password: it is not shown
        raise InvalidURI("expected a proxy as SCHEME://[USER:PASSWORD@]HOST[:PORT], got something else")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return _checked(Proxy(scheme, host, PORTS[scheme] if port is None else port, user, password))


def _proxy_of_dict(item: Mapping[str, Any]) -> Proxy:
    known = {"type": str, "host": str, "port": int, "username": str, "password": str}
    for key, value in item.items():
        if key not in known:
            raise InvalidURI(f"expected keys of a proxy out of {', '.join(known)}, got {key!r}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise InvalidURI(f"expected proxy {key!r} as {known[key].__name__}, got {type(value).__name__}")
    if "host" not in item or "port" not in item:
        raise InvalidURI(f"expected a proxy with 'host' and 'port', got {sorted(item)}")
    scheme = item.get("type", "http")
    if scheme not in PORTS:
        raise InvalidURI(f"expected a proxy type out of {', '.join(PORTS)}, got {scheme!r}")
    return _checked(Proxy(scheme, item["host"], item["port"], item.get("username"), item.get("password")))


def _checked(proxy: Proxy) -> Proxy:
    if not 1 <= proxy.port <= 65535:
        raise InvalidURI(f"expected a proxy port from 1 to 65535, got {proxy.port}")
    if _HOST.fullmatch(proxy.host) is None:
        raise InvalidURI(f"expected a host name or address of the proxy, got {proxy.host!r}")
    for value in (proxy.user, proxy.password):
        if value is not None and len(value.encode()) > 255:
            raise InvalidURI("expected a user name and password of at most 255 octets for the proxy, got more")
    if proxy.user is not None and ":" in proxy.user and not proxy.scheme.startswith("socks"):
        raise InvalidURI("expected a user name without colon for the proxy (RFC 7617), got one with")
    return proxy


def environment_proxy(is_secure: bool, host: str, port: int) -> Proxy | None:
    """The proxy that the environment names for this server, as `urllib.request.getproxies` finds it.

    `WSS_PROXY`, `HTTPS_PROXY` (`WS_PROXY`, `HTTP_PROXY` for ws), then `ALL_PROXY`, in lower case first; `NO_PROXY`
    exempts hosts. This machine itself is always exempt: a proxy elsewhere could not reach it.
    Raises `InvalidURI`.
    """
    from urllib.request import getproxies, proxy_bypass  # heavy: only when asked

    if is_loopback(host):
        return None
    proxies = getproxies()
    names = ("wss", "https", "all") if is_secure else ("ws", "http", "all")
    found = next((proxies[name] for name in names if proxies.get(name)), None)
    if found is None or proxy_bypass(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"):
        return None
    return parse_proxy(found)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by its name or address."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_tunnel(proxy: Proxy, host: str, port: int, *, useragent: str | None = None) -> Tunnel:
    """A tunnel to `host` through `proxy`; to an address when the proxy does not look names up."""
    if proxy.scheme in {"http", "https"}:
        return HttpTunnel(proxy, host, port, useragent)
    if proxy.scheme in {"socks4", "socks4a"}:
        return Socks4Tunnel(proxy, host, port)
    return Socks5Tunnel(proxy, host, port)


class HttpTunnel:
    """HTTP CONNECT, with Basic authentication (RFC 7617) when the proxy has credentials."""

    def __init__(self, proxy: Proxy, host: str, port: int, useragent: str | None = None) -> None:
        self.done = False
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [("Host", authority)]
        if useragent:
            lines.append(("User-Agent", useragent))
        if proxy.user is not None:
            token = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode("ascii")
            lines.append(("Proxy-Authorization", f"Basic {token}"))
        self._request = http.build_request("CONNECT", authority, lines)
        self._head = http.HeadReader(request=False)

    def start(self) -> bytes:
        """The request."""
        return self._request

    def receive(self, data: bytes) -> bytes:
        """Takes the answer; any 2xx makes the tunnel (RFC 9110 9.3.6)."""
        try:
            head = self._head.feed(data)
            if head is None:
                return b""
            response = http.parse_response(head)
        except HandshakeError as error:
            raise ProxyError(f"expected an HTTP answer of the proxy: {error.reason}") from None
        if not 200 <= response.status <= 299:
            reason = _NOT_PRINTABLE.sub("?", response.reason)
            raise ProxyError(f"the proxy answered {response.status} {reason}".rstrip(), status=response.status)
        if self._head.rest:
            raise ProxyError("expected nothing behind the answer of the proxy, got octets", status=response.status)
        self.done = True
        return b""


class _Replies:
    """Takes a conversation of fixed-size replies apart: `step(reply)` gets each and says what to send."""

    def __init__(self) -> None:
        self.done = False
        self._buffer = b""
        self._size = 0
        self._step: Callable[[bytes], bytes] = lambda reply: b""

    def _await(self, size: int, step: Callable[[bytes], bytes]) -> None:
        self._size = size
        self._step = step

    def receive(self, data: bytes) -> bytes:
        """Takes octets of the proxy; the next ones to send."""
        self._buffer += data
        sending = b""
        while not self.done and len(self._buffer) >= self._size:
            reply, self._buffer = self._buffer[: self._size], self._buffer[self._size :]
            sending += self._step(reply)
        if self.done and self._buffer:
            raise ProxyError("expected nothing behind the answer of the proxy, got octets")
        return sending


class Socks4Tunnel(_Replies):
    """SOCKS 4, and 4a when `host` is a name. The user name is sent as user id."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        super().__init__()
        import ipaddress

        try:
            address, name = ipaddress.IPv4Address(host).packed, b""
        except ValueError:
            if ":" in host:
                raise ProxyError("expected an IPv4 address or a name for a SOCKS 4 proxy, got IPv6") from None
            address, name = b"\0\0\0\1", _host_octets(host) + b"\0"  # 4a: an impossible address, then the name
        user = (proxy.user or "").encode()
        if b"\0" in user:
            raise ProxyError("expected a user name without NUL for a SOCKS 4 proxy, got one with")
        self._request = b"\4\1" + port.to_bytes(2, "big") + address + user + b"\0" + name

    def start(self) -> bytes:
        """The request."""
        self._await(8, self._replied)
        return self._request

    def _replied(self, reply: bytes) -> bytes:
        if reply[0] != 0:
            raise ProxyError(f"expected a SOCKS 4 reply, got octet 0x{reply[0]:02x}")
        if reply[1] != 90:
            text = _SOCKS4_REPLIES.get(reply[1], "unknown reply")
            raise ProxyError(f"the SOCKS 4 proxy answered {reply[1]}: {text}", status=reply[1])
        self.done = True
        return b""


class Socks5Tunnel(_Replies):
    """SOCKS 5, with user name and password (RFC 1929) when the proxy has credentials."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        super().__init__()
        import ipaddress

        try:
            packed = ipaddress.ip_address(host).packed
            address = (b"\1" if len(packed) == 4 else b"\4") + packed
        except ValueError:
            name = _host_octets(host)
            address = b"\3" + bytes([len(name)]) + name
        self._request = b"\5\1\0" + address + port.to_bytes(2, "big")
        self._login = b""
        if proxy.user is not None:
            user, password = proxy.user.encode(), (proxy.password or "").encode()
            self._login = b"\1" + bytes([len(user)]) + user + bytes([len(password)]) + password

    def start(self) -> bytes:
        """The greeting: which ways of authentication there are."""
        self._await(2, self._greeted)
        return b"\5\2\0\2" if self._login else b"\5\1\0"

    def _greeted(self, reply: bytes) -> bytes:
        if reply[0] != 5:
            raise ProxyError(f"expected a SOCKS 5 reply, got octet 0x{reply[0]:02x}")
        if reply[1] == 2 and self._login:
            self._await(2, self._logged_in)
            return self._login
        if reply[1] == 0:
            return self._ask()
        raise ProxyError("the SOCKS 5 proxy accepts none of the offered ways of authentication", status=reply[1])

    def _logged_in(self, reply: bytes) -> bytes:
        if reply[1] != 0:
            raise ProxyError("the SOCKS 5 proxy refused the user name or password", status=reply[1])
        return self._ask()

    def _ask(self) -> bytes:
        self._await(5, self._replied)  # four fixed octets and the first of the address
        return self._request

    def _replied(self, reply: bytes) -> bytes:
        if reply[0] != 5:
            raise ProxyError(f"expected a SOCKS 5 reply, got octet 0x{reply[0]:02x}")
        if reply[1] != 0:
            text = _SOCKS5_REPLIES.get(reply[1], "unknown reply")
            raise ProxyError(f"the SOCKS 5 proxy answered {reply[1]}: {text}", status=reply[1])
        address_size = {1: 4, 3: reply[4] + 1, 4: 16}.get(reply[3])
        if address_size is None:
            raise ProxyError(f"expected an address in the SOCKS 5 reply, got type {reply[3]}")
        self._await(address_size + 1, self._finished)  # less the one octet read, and two of the port
        return b""

    def _finished(self, _address: bytes) -> bytes:
        self.done = True
        return b""


def _host_octets(host: str) -> bytes:
    try:
        name = host.encode("ascii")
    except UnicodeEncodeError:
        raise ProxyError("expected an ASCII host name for the proxy, got another") from None
    if not 1 <= len(name) <= 255:
        raise ProxyError(f"expected a host name of 1 to 255 octets for the proxy, got {len(name)}")
    return name

"""`Dialer`: from a host name, a path or a socket to a connected transport; TCP, TLS, Unix sockets, proxies.

TCP addresses are tried as RFC 8305 ("Happy Eyeballs") says: families in turn, the next address after 250 ms or as soon
as one fails, the first that answers wins. It is done here because uvloop does not offer it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl as ssl_module
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autobahn.asyncio.proxy import TunnelProtocol, Waiting, hand_over, start_tls
from autobahn.asyncio.transport import peer_string
from autobahn.websocket.proxy import Proxy, open_tunnel

P = TypeVar("P", bound=asyncio.BaseProtocol)

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried (RFC 8305 section 5)."""

Address = tuple[Any, ...]


@dataclass(slots=True)
class Dialer:
    """Where to connect to, and how. `connect` raises `OSError`, which `ssl.SSLError` and `ProxyError` are, too.

    `host` and `port`, or `path` of a Unix socket, or a connected `sock`. `tls`: speak TLS with the server, which has to
    prove that it is `server_hostname` (default: `host`). `proxy`: go through it; `proxy_tls`: what to speak with an
    https proxy, which has to prove its own name. `local_addr`: the address to come from. `phase` and `peer` tell how
    far `connect` has come: see `ConnectFailed`.
    """

    host: str = ""
    port: int = 0
    path: str | None = None
    sock: socket.socket | None = None
    tls: ssl_module.SSLContext | None = None
    server_hostname: str | None = None
    proxy: Proxy | None = None
    proxy_tls: ssl_module.SSLContext | None = None
    local_addr: tuple[str, int] | None = None
    family: int = 0
    attempt_delay: float = ATTEMPT_DELAY
    phase: str = field(default="resolve", init=False)
    peer: str | None = field(default=None, init=False)
    _named: str = field(default="", init=False)

    async def connect(self, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """The transport, and the protocol that drives it."""
        transport = await self._reach()
        try:
            if self._goes_through_proxy:
                transport = await self._tunnel(transport)
            if self.tls is not None:
                self.phase = "tls"
                transport = await start_tls(transport, self.tls, self.server_hostname or self.host)
            self.phase = "handshake"
            protocol = factory()
            hand_over(transport, protocol)
        except BaseException:
            transport.abort()
            raise
        return transport, protocol

    @property
    def _goes_through_proxy(self) -> bool:
        return self.proxy is not None and self.path is None and self.sock is None

    async def _reach(self) -> asyncio.Transport:
        """The first leg, to the server or to the proxy, without TLS; `Waiting` holds it."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            self.phase, self.peer = "connect", f"unix:{self.path}"
            transport, _ = await loop.create_unix_connection(Waiting, self.path)
            return transport
        if self.sock is not None:
            self.phase = "connect"
            is_unix = self.sock.family == getattr(socket, "AF_UNIX", None)
            create: Any = loop.create_unix_connection if is_unix else loop.create_connection
            self.sock.setblocking(False)
            given: asyncio.Transport
            given, _ = await create(Waiting, sock=self.sock)
            self.peer = peer_string(given)
            return given
        host, port = self.host, self.port
        if self.proxy is not None:
            await self._resolve_for(self.proxy)
            host, port = self.proxy.host, self.proxy.port
        addresses = await resolve(host, port, self.family)
        self.phase = "connect"
        return await first_transport(addresses, self.attempt_delay, self.local_addr, self._trying)

    async def _resolve_for(self, proxy: Proxy) -> None:
        """`_named` is what the proxy is asked for: an address when it does not look names up."""
        self._named = self.host
        if not proxy.resolves:
            family = socket.AF_INET if proxy.scheme == "socks4" else self.family
            self._named = (await resolve(self.host, self.port, family))[0][1][0]

    async def _tunnel(self, transport: asyncio.Transport) -> asyncio.Transport:
        """The transport to the server, through the proxy at the end of `transport`."""
        assert self.proxy is not None
        self.phase = "proxy"
        if self.proxy.is_secure:
            transport = await start_tls(transport, self.proxy_tls or client_context(), self.proxy.host)
        relay = TunnelProtocol(open_tunnel(self.proxy, self._named, self.port))
        try:
            hand_over(transport, relay)
            await relay.opened
        except BaseException:
            transport.abort()
            raise
        return transport

    def _trying(self, family: int, address: Address) -> None:
        self.peer = f"{'tcp6' if family == socket.AF_INET6 else 'tcp4'}:{address[0]}:{address[1]}"


def client_context() -> ssl_module.SSLContext:
    """What a client speaks when the program does not say: the system's CAs, host names checked, HTTP/1.1 only."""
    context = ssl_module.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def resolve(host: str, port: int, family: int = 0) -> list[tuple[int, Address]]:
    """The addresses of `host`, families in turn, first the one the system prefers. Raises `socket.gaierror`."""
    with contextlib.suppress(ValueError):
        import ipaddress  # some of the imports in functions are for programs that start quickly

        kind = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        if family in {0, kind} and "%" not in host:  # no thread for what is an address already
            return [(kind, (host, port, 0, 0) if kind == socket.AF_INET6 else (host, port))]
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label of more than 63 octets
        raise socket.gaierror(socket.EAI_NONAME, f"expected a host name, got {host!r}") from None
    families: dict[int, list[tuple[int, Address]]] = {}
    for info in infos:
        families.setdefault(info[0], []).append((info[0], info[4]))
    rounds = itertools.zip_longest(*families.values())
    addresses = [address for one in rounds for address in one if address is not None]
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, f"expected an address of {host}, got none")
    return addresses


async def first_transport(
    addresses: Sequence[tuple[int, Address]],
    delay: float = ATTEMPT_DELAY,
    local_addr: tuple[str, int] | None = None,
    trying: Callable[[int, Address], None] = lambda family, address: None,
) -> asyncio.Transport:
    """A connection to the first of `addresses` that answers. Raises `OSError` when none does.

    Transports race, not sockets: the loop owns a socket from its making to its end, so a cancelled attempt cannot leave
    one behind, nor close one that the loop still watches.
    """
    waiting = deque(addresses)
    running: set[asyncio.Task[asyncio.Transport]] = set()
    errors: list[OSError] = []
    try:
        while True:
            if waiting:
                family, address = waiting.popleft()
                trying(family, address)
                running.add(asyncio.create_task(_attempt(address, local_addr)))
            elif not running:
                raise _summary(errors)
            timeout = delay if waiting else None
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()  # a second one that finished in this turn is among `running`
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


async def _attempt(address: Address, local_addr: tuple[str, int] | None) -> asyncio.Transport:
    host = f"{address[0]}%{address[3]}" if len(address) > 3 and address[3] else address[0]
    create: Any = asyncio.get_running_loop().create_connection
    transport: asyncio.Transport
    transport, _ = await create(Waiting, host, address[1], local_addr=local_addr)
    return transport


def _discard(attempt: asyncio.Task[asyncio.Transport]) -> None:
    """The connection of an attempt that came too late is dropped."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()


def _summary(errors: list[OSError]) -> OSError:
    """One error for all: the first when they are of one kind, with the others as notes."""
    first = errors[0]
    if any(type(error) is not type(first) for error in errors):
        return OSError(first.errno, "; ".join(str(error) for error in errors))
    for error in errors[1:]:
        first.add_note(str(error))
    return first

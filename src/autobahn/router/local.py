"""Links a client session and a router in one process, without serialization.

Messages travel as objects: payload is passed by reference, so a receiver must not change the lists and dicts
it gets (nor a sender those it has sent). Nothing is delivered from within ``send``: messages wait in a queue
that is emptied by a pump, which the given ``schedule`` starts, so there is no recursion and the order is the
order of sending.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from autobahn.router.login import Admission
from autobahn.router.session import RouterSession
from autobahn.wamp.exception import ProtocolError, TransportLost
from autobahn.wamp.message import Hello, Message
from autobahn.wamp.options import OPTIONS_OF, require, validate
from autobahn.wamp.types import TransportDetails

Schedule = Callable[[Callable[[], None]], object]


def judge(msg: Message) -> None:
    """``msg`` keeps the rules that a codec checks when it decodes; raises ``ProtocolError`` otherwise."""
    options = OPTIONS_OF[msg.code](msg)
    if options or msg.code == Hello.code:
        validate(msg.code, options)
        require(msg.code, options)


class LocalRouter(Protocol):
    """What makes the router's end of a link."""

    def new_session(self, _config: Any = None, granted: Admission | None = None) -> RouterSession: ...


class LocalSession(Protocol):
    """Either end: a client session or a `RouterSession`."""

    def onOpen(self, transport: Any) -> object: ...
    def onMessage(self, msg: Any) -> object: ...
    def onProtocolError(self, exc: Exception) -> object: ...
    def onClose(self, was_clean: bool) -> object: ...


class LocalTransport:
    """One end of an in-process link: the transport of ``session``."""

    codec = None  # messages travel as objects

    def __init__(self, link: _Link, session: LocalSession, details: TransportDetails) -> None:
        self.transport_details = details
        self.session = session
        self.other: LocalTransport  # set by the link
        self._link = link

    def send(self, msg: Message) -> None:
        """``msg`` is on its way to the other end."""
        if not self._link.is_open:
            raise TransportLost("the in-process link is closed")
        self._link.put(self.other, msg)

    def isOpen(self) -> bool:
        """Whether ``send`` takes messages."""
        return self._link.is_open

    def close(self) -> None:
        """The link is closing: what was sent before arrives, then both ends get ``onClose(True)``."""
        self._link.close(was_clean=True)

    def abort(self) -> None:
        """The link is closing: nothing more arrives, both ends get ``onClose(False)``."""
        self._link.drop()
        self._link.close(was_clean=False)


class _Link:
    """Both directions of an in-process link: one queue, one pump."""

    def __init__(self, schedule: Schedule) -> None:
        self.is_open = True
        self._schedule = schedule
        self._queue: deque[tuple[LocalTransport, Message]] = deque()
        self._is_scheduled = False
        self._ends: tuple[LocalTransport, ...] = ()
        self._router_end: LocalTransport | None = None
        self._was_clean = True

    def connect(self, client: LocalTransport, router: LocalTransport) -> None:
        """Both ends are attached; the client's session starts when the pump runs."""
        client.other, router.other = router, client
        router.session.onOpen(router)
        self._schedule(self._start)
        self._is_scheduled = True
        self._ends = (client, router)
        self._router_end = router

    def put(self, target: LocalTransport, msg: Message) -> None:
        self._queue.append((target, msg))
        self._wake()

    def drop(self) -> None:
        self._queue.clear()

    def close(self, was_clean: bool) -> None:
        if self.is_open:
            self.is_open = False
            self._was_clean = was_clean
            self._wake()

    def _wake(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self._pump)

    def _start(self) -> None:
        try:
            self._ends[0].session.onOpen(self._ends[0])
        finally:
            self._pump()

    def _pump(self) -> None:
        """Delivers what is in the queue now; what is sent meanwhile has to wait for the next turn."""
        queue = self._queue
        try:
            for _ in range(len(queue)):
                if not queue:  # an end was aborted
                    break
                target, msg = queue.popleft()
                self._deliver(target, msg)
        finally:  # an error of a handler reaches the scheduler, and the link lives on
            self._is_scheduled = False
            if queue:
                self._wake()
            elif not self.is_open:
                self._finish()

    def _deliver(self, target: LocalTransport, msg: Message) -> None:
        try:
            if target is self._router_end:
                judge(msg)
            target.session.onMessage(msg)
        except ProtocolError as exc:
            target.session.onProtocolError(exc)
            target.close()

    def _finish(self) -> None:
        ends, self._ends = self._ends, ()
        for end in ends:
            end.session.onClose(self._was_clean)


def _details(is_server: bool) -> TransportDetails:
    return TransportDetails(
        channel_type=TransportDetails.CHANNEL_TYPE_FUNCTION,
        channel_framing=TransportDetails.CHANNEL_FRAMING_NATIVE,
        own="local",
        peer="local",
        is_server=is_server,
        is_secure=True,
    )


def connect_local(
    router: LocalRouter, session: LocalSession, schedule: Schedule, granted: Admission | None = None
) -> LocalTransport:
    """``session`` is linked to ``router`` and starts at the next turn; returns its transport.

    Args:
        router: the router.
        session: the client session.
        schedule: calls a function soon, like ``loop.call_soon``.
        granted: as whom the session joins, without authentication; None: as any client.
    """
    link = _Link(schedule)
    client_end = LocalTransport(link, session, _details(is_server=False))
    router_end = LocalTransport(link, router.new_session(None, granted), _details(is_server=True))
    link.connect(client_end, router_end)
    return client_end

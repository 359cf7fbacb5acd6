"""The router's one notion of a client."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

from msgspec import Struct

from autobahn.wamp.message import Message

ROLES = ("publisher", "subscriber", "caller", "callee")
NO_FEATURES: dict[str, frozenset[str]] = {role: frozenset() for role in ROLES}


def unattached(_: Any) -> None:
    """Stands for ``send`` before a transport is attached and after it is gone."""


def carries_nothing(_: tuple[Any, ...]) -> bool:
    """Stands for ``carry`` where every message has to be sent as one."""
    return False


def announced_features(roles: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The features of each role in HELLO.Details.roles, which the link has checked.

    Progressive call invocations need ``call_canceling`` (WAMP "Progressive Call Invocations") and count only together
    with it. The specification says so of progressive results, too, but AutobahnJS announces those alone, and what a
    callee sends after its caller has gone is dropped anyway.
    """
    announced = NO_FEATURES
    for role in ROLES:
        details = roles.get(role)
        features = details.get("features") if details else None
        if features:
            if announced is NO_FEATURES:
                announced = dict(NO_FEATURES)
            announced[role] = frozenset([name for name, is_wanted in features.items() if is_wanted])
    callee = announced["callee"]
    if "progressive_call_invocations" in callee and "call_canceling" not in callee:
        announced["callee"] = callee - {"progressive_call_invocations"}
    return announced


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Peer:
    """One client as broker, dealer and delivery see it, with the books they keep about it.

    The books (``subscriptions`` to ``last_request``) are the only place where these facts stand; broker
    and dealer write them, and they are empty again when the session has left.
    """

    __slots__ = (
        "authextra", "authid", "authmethod", "authprovider", "authrole", "backlog", "calls", "carry", "codec",
        "ended_streams", "features", "id", "invocations", "lane", "last_invocation", "last_request", "registrations",
        "send", "send_encoded", "subscriptions",
    )  # fmt: skip

    is_trusted: ClassVar[bool] = False  # part of the router: may use URIs under "wamp."

    def __init__(self) -> None:
        self.id = 0  # set while joined
        self.authid = ""
        self.authrole = ""
        self.authmethod = ""
        self.authprovider = ""
        self.authextra: dict[str, Any] = {}
        self.features = NO_FEATURES  # role -> announced features
        self.codec: Any = None  # a wamp Codec; None: the link passes message objects
        self.send: Callable[[Message], None] = unattached
        self.send_encoded: Callable[[bytes], None] = unattached
        # Sends the elements of a message, all judged, with payload from a link with the same codec; False: it cannot,
        # `send` the message.
        self.carry: Callable[[tuple[Any, ...]], bool] = carries_nothing
        self.lane: Any = None  # the compiled `lane` of its link, if there is one
        self.backlog: Any = None  # a `backlog.Backlog` while the client reads too slowly
        self.subscriptions: dict[int, Subscription] = {}  # by subscription id
        self.registrations: dict[int, Registration] = {}  # by registration id
        self.calls: dict[int, PendingCall] = {}  # as a caller, by CALL.Request
        self.ended_streams: dict[int, None] = {}  # of these, the answered ones whose last CALL may still come
        self.invocations: dict[int, PendingCall] = {}  # as a callee, by INVOCATION.Request
        self.last_invocation = 0
        self.last_request = 0  # kept in realms with strict request ids only

    def announced(self, role: str, feature: str) -> bool:
        """Whether the client announced ``feature`` for ``role`` in its HELLO."""
        return feature in self.features[role]

    def close(self, reason: str, message: str = "") -> None:
        """Ask the client to leave: GOODBYE with ``reason``."""

    @property
    def is_idle(self) -> bool:
        """Whether no book holds anything of this client."""
        return not (self.subscriptions or self.registrations or self.calls or self.ended_streams or self.invocations)


class Subscription:
    """One topic or pattern with everybody who subscribed to it."""

    __slots__ = ("created", "history", "id", "match", "subscribers", "topic")

    def __init__(self, number: int, topic: str, match: str) -> None:
        self.id = number
        self.topic = topic
        self.match = match
        self.created = time.time()
        self.subscribers: dict[Peer, None] = {}  # a set that keeps the order of arrival
        self.history: Any = None  # a `history.History`: then the subscription stays without subscribers


class Endpoint:
    """One callee of a registration, and what it asked for when it registered."""

    __slots__ = ("callee", "concurrency", "disclose_caller", "forward_timeout", "running")

    def __init__(self, callee: Peer, concurrency: int, disclose_caller: bool, forward_timeout: bool) -> None:
        self.callee = callee
        self.concurrency = concurrency  # calls at a time; 0: any number
        self.disclose_caller = disclose_caller
        self.forward_timeout = forward_timeout
        self.running = 0

    @property
    def is_plain(self) -> bool:
        """Nothing was asked for that concerns a single call."""
        return not (self.concurrency or self.disclose_caller or self.forward_timeout)

    @property
    def is_free(self) -> bool:
        """Whether it may have one more call."""
        return not self.concurrency or self.running < self.concurrency


class Registration:
    """One procedure or pattern with the clients that serve it."""

    __slots__ = ("callee", "created", "endpoints", "id", "invoke", "match", "procedure", "queue", "turn")

    def __init__(self, number: int, procedure: str, match: str, invoke: str) -> None:
        self.id = number
        self.procedure = procedure
        self.match = match
        self.invoke = invoke
        self.created = time.time()
        self.endpoints: list[Endpoint] = []  # in the order of arrival
        self.callee: Peer | None = None  # the one to call, if nothing has to be considered
        self.turn = 0  # index of the next endpoint, for "roundrobin"
        self.queue: deque[Any] = deque()  # calls that wait for an endpoint

    def add(self, endpoint: Endpoint) -> None:
        """``endpoint`` takes part."""
        self.endpoints.append(endpoint)
        self._simplify()

    def remove(self, peer: Peer) -> None:
        """``peer`` does not take part any more; whose turn it is stays the same."""
        index = next(i for i, endpoint in enumerate(self.endpoints) if endpoint.callee is peer)
        del self.endpoints[index]
        if index < self.turn:
            self.turn -= 1
        self._simplify()

    def _simplify(self) -> None:
        endpoints = self.endpoints
        is_plain = self.invoke == "single" and len(endpoints) == 1 and endpoints[0].is_plain
        self.callee = endpoints[0].callee if is_plain else None


class PendingCall(Struct, eq=False):
    """One call on its way: in ``caller.calls`` and in ``callee.invocations`` until it is answered."""

    caller: Peer
    request: int  # CALL.Request
    callee: Peer
    serial: int  # INVOCATION.Request
    progressive: bool  # the callee was told that progressive results are welcome
    canceled: bool = False  # by CANCEL in mode "kill": the callee still has to answer

    is_special: ClassVar[bool] = False  # a `calls.SpecialCall`

    def close(self) -> None:
        """Take the call out of both books."""
        self.caller.calls.pop(self.request, None)
        self.callee.invocations.pop(self.serial, None)

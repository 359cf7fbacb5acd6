"""The router's one notion of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.wamp.message import Message

ROLES = ("publisher", "subscriber", "caller", "callee")
NO_FEATURES: dict[str, frozenset[str]] = {role: frozenset() for role in ROLES}


def unattached(_: Any) -> None:
    """Stands for ``send`` before a transport is attached and after it is gone."""


class Peer:
    """One client as broker, dealer and delivery see it, with the books they keep about it.

    The books (``subscriptions`` to ``last_invocation``) are the only place where these facts stand; broker
    and dealer write them, and they are empty again when the session has left.
    """

    __slots__ = (
        "authextra", "authid", "authmethod", "authprovider", "authrole", "calls", "codec", "features", "id",
        "invocations", "last_invocation", "registrations", "send", "send_encoded", "subscriptions",
    )  # fmt: skip

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
        self.subscriptions: dict[int, Subscription] = {}  # by subscription id
        self.registrations: dict[int, Registration] = {}  # by registration id
        self.calls: dict[int, PendingCall] = {}  # as a caller, by CALL.Request
        self.invocations: dict[int, PendingCall] = {}  # as a callee, by INVOCATION.Request
        self.last_invocation = 0

    def announced(self, role: str, feature: str) -> bool:
        """Whether the client announced ``feature`` for ``role`` in its HELLO."""
        return feature in self.features[role]

    def close(self, reason: str, message: str = "") -> None:
        """Ask the client to leave: GOODBYE with ``reason``."""

    @property
    def is_idle(self) -> bool:
        """Whether no book holds anything of this client."""
        return not (self.subscriptions or self.registrations or self.calls or self.invocations)


class Subscription:
    """One topic or pattern with everybody who subscribed to it."""

    __slots__ = ("id", "match", "subscribers", "topic")

    def __init__(self, number: int, topic: str, match: str) -> None:
        self.id = number
        self.topic = topic
        self.match = match
        self.subscribers: dict[Peer, None] = {}  # a set that keeps the order of arrival


class Registration:
    """One procedure or pattern with the client that serves it."""

    __slots__ = ("callee", "id", "match", "procedure")

    def __init__(self, number: int, procedure: str, match: str, callee: Peer) -> None:
        self.id = number
        self.procedure = procedure
        self.match = match
        self.callee = callee


class PendingCall:
    """One call on its way: in ``caller.calls`` and in ``callee.invocations`` until it is answered."""

    __slots__ = ("callee", "caller", "canceled", "progressive", "request", "serial")

    def __init__(self, caller: Peer, request: int, callee: Peer, serial: int, progressive: bool) -> None:
        self.caller = caller
        self.request = request  # CALL.Request
        self.callee = callee
        self.serial = serial  # INVOCATION.Request
        self.progressive = progressive  # the callee was told that progressive results are welcome
        self.canceled = False  # by CANCEL in mode "kill": the callee still has to answer

    def close(self) -> None:
        """Take the call out of both books."""
        self.caller.calls.pop(self.request, None)
        self.callee.invocations.pop(self.serial, None)

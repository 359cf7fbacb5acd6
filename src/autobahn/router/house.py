"""The router's own session in a realm: an ordinary peer that happens to live here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar

from autobahn.router.broker import Broker
from autobahn.router.dealer import Dealer
from autobahn.router.peer import Peer
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.message import Error, Invocation, Publish, Register, Registered, Yield
from autobahn.wamp.options import integral

FIRST_ID = 1_000_000_000  # of its registrations, so that those of clients count from 1

Procedure = Callable[..., Any]
Sessions = dict[int, Peer]


class HouseSession(Peer):
    """Serves procedures and publishes events under ``wamp.``, through the same broker and dealer as everybody.

    A procedure is called as ``procedure(caller, *args, **kwargs)``, with the caller's `Peer`, and returns the list of
    arguments of RESULT; an ``ApplicationError`` becomes the ERROR, and so do arguments that it does not take.
    """

    __slots__ = ("_broker", "_dealer", "_procedures", "_sessions", "is_silent")

    is_trusted: ClassVar[bool] = True

    def __init__(self, number: int, broker: Broker, dealer: Dealer, sessions: Sessions) -> None:
        super().__init__()
        self.id = number
        self.authid, self.authrole, self.authmethod, self.authprovider = "router", "trusted", "trusted", "static"
        self.send = self._receive
        self.is_silent = False  # while True, `publish` does nothing
        self._broker = broker
        self._dealer = dealer
        self._sessions = sessions
        self._procedures: dict[int, tuple[Procedure, inspect.Signature]] = {}

    def serve(self, procedures: dict[str, Procedure]) -> None:
        """Clients can call ``procedures``, given by their URIs."""
        registrar = self._dealer.registrar
        clients_ids, registrar.ids = registrar.ids, count(FIRST_ID + len(self._procedures))
        for uri, procedure in procedures.items():
            registrar.register(self, Register(1, {"disclose_caller": True}, uri))
            self._procedures[max(self.registrations)] = procedure, inspect.signature(procedure)
        registrar.ids = clients_ids

    def is_heard(self, topic: str) -> bool:
        """Whether somebody may have subscribed to ``topic``, so that an event is worth making."""
        subscriptions = self._broker.subscriptions
        return not self.is_silent and (topic in subscriptions.exact or subscriptions.has_patterns)

    def publish(self, topic: str, *args: Any) -> None:
        """Whoever subscribed to ``topic`` has the event."""
        if self.is_heard(topic):
            self._broker.publish(self, Publish(1, {}, topic, list(args)))

    def _receive(self, msg: Any) -> None:
        """What would be the client end of the link: INVOCATION is answered at once, all else is no news."""
        if not isinstance(msg, Invocation):
            assert isinstance(msg, Registered), msg
            return
        procedure, signature = self._procedures[msg.registration]
        try:
            caller = self._sessions[msg.details["caller"]]
            try:
                kwargs = {key: integral(value) for key, value in msg.kwargs.items()}
                bound = signature.bind(caller, *map(integral, msg.args), **kwargs)  # ids as JavaScript has them
            except TypeError as exc:
                raise ApplicationError(ApplicationError.INVALID_ARGUMENT, str(exc)) from None
            result = procedure(*bound.args, **bound.kwargs)
        except ApplicationError as exc:
            self._dealer.error(self, Error(68, msg.request, {}, exc.error, list(exc.args), exc.kwargs))
        else:
            self._dealer.yielded(self, Yield(msg.request, {}, [] if result is None else result))


def expect(value: Any, kind: type, name: str) -> None:
    """``value`` is a ``kind``; raises ``invalid_argument`` otherwise."""
    if type(value) is not kind:
        raise ApplicationError(
            ApplicationError.INVALID_ARGUMENT, f"expected {kind.__name__} for {name}, got {type(value).__name__}"
        )


def expect_list(value: Any, kind: type, name: str) -> None:
    """``value`` is a list of ``kind``; raises ``invalid_argument`` otherwise."""
    expect(value, list, name)
    for item in value:
        expect(item, kind, f"each of {name}")

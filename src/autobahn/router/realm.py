"""One realm: its sessions, its broker and its dealer."""

from __future__ import annotations

from typing import Any

from autobahn.router import broker, dealer
from autobahn.router.delivery import Delivery
from autobahn.router.ids import GlobalIds
from autobahn.router.observer import RealmObserver
from autobahn.router.peer import Peer


def welcome_roles() -> dict[str, Any]:
    """WELCOME.Details.roles: what this router implements, no more."""
    return {
        "broker": {"features": dict.fromkeys(broker.FEATURES, True)},
        "dealer": {"features": dict.fromkeys(dealer.FEATURES, True)},
    }


class Realm:
    """A name space in which sessions call and publish. Everything in it happens at once, nothing awaits."""

    def __init__(self, name: str, ids: GlobalIds) -> None:
        self.name = name
        self.sessions: dict[int, Peer] = {}
        self.observers: list[RealmObserver] = []
        self.delivery = Delivery()
        self.broker = broker.Broker(self.delivery, ids, self.observers)
        self.dealer = dealer.Dealer(self.observers)
        self.table: dict[int, Any] = {**self.broker.table, **self.dealer.table}  # code -> (peer, message)

    def join(self, peer: Peer) -> None:
        """``peer`` is a session of the realm; call `announce_join` once it has its WELCOME."""
        self.sessions[peer.id] = peer

    def announce_join(self, peer: Peer) -> None:
        """The observers know of ``peer``."""
        for observer in self.observers:
            observer.session_joined(peer)

    def leave(self, peer: Peer) -> None:
        """Nothing of ``peer`` is left in any book, and whoever waited for it has an answer."""
        del self.sessions[peer.id]
        self.broker.leave(peer)
        self.dealer.leave(peer)
        for observer in self.observers:
            observer.session_left(peer)

    def is_empty(self) -> bool:
        """No session, subscription, registration or call is in the books."""
        return not self.sessions and not len(self.broker.subscriptions) and not len(self.dealer.registrations)

"""One realm: its sessions, its broker and its dealer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from msgspec import Raw

from autobahn.router.backlog import Backlog
from autobahn.router.broker import Broker
from autobahn.router.config import RealmOptions
from autobahn.router.dealer import Dealer
from autobahn.router.delivery import Delivery
from autobahn.router.house import HouseSession
from autobahn.router.ids import GlobalIds, following
from autobahn.router.meta import RegistrationMeta, SubscriptionMeta
from autobahn.router.meta_sessions import SessionMeta
from autobahn.router.observer import RealmObserver
from autobahn.router.peer import Peer
from autobahn.router.testaments import Testaments
from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.lifecycle import name_of
from autobahn.wamp.message import Call
from autobahn.wamp.runtime import Runtime

Authorize = Callable[[Peer, int, str, str], bool]
Change = Callable[[], tuple[list[str], list[str]]]

_REQUESTS = (16, 32, 34, 48, 64, 66)
# The books are built by the first of these, requests are counted from a session's beginning, a file is opened once.
NEXT_START = ("prefix_match", "strict_request_ids", "store", "store_sync")


def open_store(path: str, realm: str, delivery: Delivery, options: RealmOptions) -> Any:
    """The `Store` of a realm. SQLite is imported where it is used: most routers keep nothing."""
    from autobahn.router.store import Store

    return Store(path, realm, delivery, options.store_sync)


class Realm:
    """A name space in which sessions call and publish. Everything in it happens at once, nothing awaits."""

    def __init__(
        self, name: str, ids: GlobalIds, options: RealmOptions | None = None, runtime: Runtime | None = None
    ) -> None:
        self.name = name
        self.options = options = options if options is not None else RealmOptions()
        self.sessions: dict[int, Peer] = {}
        self.joins = 0  # sessions so far
        self._roles: dict[Any, Any] = {}  # of WELCOME by codec, as far as they were needed
        self._past_invocations = 0  # of sessions that have left
        self.observers: list[RealmObserver] = []
        self.authorize: Authorize = _everybody  # permissions set it
        self.delivery = Delivery()
        self._store = None if options.store is None else open_store(options.store, name, self.delivery, options)
        self.broker = Broker(self.delivery, ids, self.observers, options, self._store)
        self.dealer = Dealer(self.observers, options, runtime)
        self.house = house = HouseSession(ids.next(), self.broker, self.dealer, self.sessions)
        self.testaments = Testaments(house, self.broker, ids, options, self.may)
        self._governed = (
            self.testaments,
            SessionMeta(house, self.sessions, options, self.testaments),
            RegistrationMeta(house, self.dealer.registrar, options),
            SubscriptionMeta(house, self.broker, options, self.may),
        )
        self.observers += self._governed
        self.table = self._new_table()  # code -> (peer, message)

    def _new_table(self) -> dict[int, Any]:
        table = {**self.broker.table, **self.dealer.table}
        if self.options.strict_request_ids:
            for code in _REQUESTS:
                table[code] = _in_sequence(code, table[code])
        return table

    def prepare(self, options: RealmOptions) -> Change:
        """What makes ``options`` count, for those who are here, too: it cannot fail, what can is done before.

        It returns the names of those that count from now on, and of those (`NEXT_START`) that need a new realm. `table`
        is another one afterwards; sessions have it by `RouterSession.permissions_changed`. Calls in flight end as they
        began, and a client that reads too slowly right now has caught up before ``slow_policy`` counts for it.
        """
        changed = [
            field.name for field in fields(options) if getattr(options, field.name) != getattr(self.options, field.name)
        ]
        late = [name for name in changed if name in NEXT_START]
        chosen = replace(options, **{name: getattr(self.options, name) for name in late})
        histories = self.broker.histories(chosen)

        def change() -> tuple[list[str], list[str]]:
            self.options = chosen
            self.broker.change(chosen, histories)
            self.dealer.change(chosen)
            for part in self._governed:
                part.options = chosen
            self._roles.clear()
            self.table = self._new_table()
            return [name for name in changed if name not in late], late

        return change

    def welcome_roles(self) -> dict[str, Any]:
        """WELCOME.Details.roles: what this router implements, no more."""
        broker = {**self.broker.features(), "session_meta_api": True, "subscription_meta_api": True}
        dealer = {
            **self.dealer.features(),
            "registration_meta_api": True,
            "session_meta_api": True,
            "testament_meta_api": True,
        }
        return {"broker": {"features": broker}, "dealer": {"features": dealer}}

    def encoded_roles(self, codec: Any) -> Any:
        """`welcome_roles` for a codec that carries, encoded once."""
        roles = self._roles.get(codec)
        if roles is None:
            roles = self._roles[codec] = Raw(codec.carry(self.welcome_roles()))
        return roles

    def may(self, peer: Peer, code: int, match: str, uri: str) -> bool:
        """Whether ``peer`` may send a message with ``code`` (16, 32) for ``uri``, where it comes without one."""
        return self.authorize(peer, code, match, uri)

    def join(self, peer: Peer) -> None:
        """``peer`` is a session of the realm; call `announce_join` once it has its WELCOME."""
        self.sessions[peer.id] = peer
        self.joins += 1

    def announce_join(self, peer: Peer) -> None:
        """The observers know of ``peer``."""
        for observer in self.observers:
            observer.session_joined(peer)

    def close(self) -> None:
        """The realm is of no more use; its file is closed."""
        if self._store is not None:
            self._store.close()

    def backlog(self, peer: Any) -> Backlog:
        """Where the events for ``peer`` wait while its link takes no more."""
        return Backlog(peer, self.delivery, self.options.slow_policy, self.options.slow_queue)

    def drops_events(self, peer: Peer, dropped: int) -> None:
        """The observers know that events for ``peer`` are dropped from now on (0), or that so many were."""
        delivery = self.delivery
        current = delivery.subscription, delivery.topic  # of the delivery in which this happens
        for observer in self.observers:
            observer.session_drops_events(peer, dropped)
        delivery.subscription, delivery.topic = current

    def leave(self, peer: Peer) -> None:
        """Nothing of ``peer`` is left in any book, and whoever waited for it has an answer."""
        del self.sessions[peer.id]
        self._past_invocations += peer.last_invocation
        self.broker.leave(peer)
        self.dealer.leave(peer)
        for observer in self.observers:
            observer.session_left(peer)

    @property
    def invocations(self) -> int:
        """How many INVOCATIONs were sent so far; they are numbered, so that counting costs nothing."""
        now = sum(peer.last_invocation for peer in self.sessions.values())
        return self._past_invocations + now + self.house.last_invocation

    def totals(self) -> dict[str, int]:
        """What has happened so far."""
        delivery = self.delivery
        return {
            "joins": self.joins,
            "calls": self.invocations,
            "publications": delivery.publications,
            "events": delivery.events,
            "undeliverable_events": delivery.undeliverable,
            "dropped_events": delivery.dropped,
        }

    def refused(self, peer: Peer, msg: Any) -> None:
        """``msg`` of ``peer`` is answered with ERROR, whoever found that; its request id is used all the same."""
        if self.options.strict_request_ids and msg.request == following(peer.last_request):
            peer.last_request = msg.request
        if msg.code == Call.code:
            self.dealer.desk.refused(peer, msg)

    def is_empty(self) -> bool:
        """No session, subscription, registration or call of a client is in the books."""
        has_subscribers = any(subscription.subscribers for subscription in self.broker.subscriptions.values())
        has_callees = any(
            not endpoint.callee.is_trusted
            for registration in self.dealer.registrations.values()
            for endpoint in registration.endpoints
        )
        return not self.sessions and not has_subscribers and not has_callees


def _everybody(peer: Peer, code: int, match: str, uri: str) -> bool:
    return True


def _in_sequence(code: int, serve: Any) -> Any:
    """``serve`` for a realm with strict request ids: each request has the id after that of the one before.

    A CALL whose id is taken goes on with a progressive call invocation, or is a violation for the dealer.
    """

    def check(peer: Peer, msg: Any) -> None:
        number = following(peer.last_request)
        if msg.request == number:
            peer.last_request = number
        elif code != 48 or msg.request not in peer.calls:
            raise ProtocolError(f"expected {number} as the next request id, got {msg.request} in {name_of(code)}")
        serve(peer, msg)

    return check

"""The registration and subscription meta APIs (WAMP "Registration Meta API", "Subscription Meta API").

Lists and events leave out what is under ``wamp.``; lookups of a URI or an id find it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.router.broker import Broker
from autobahn.router.config import RealmOptions
from autobahn.router.history import check_filters
from autobahn.router.house import HouseSession, expect
from autobahn.router.meta_sessions import check_may_end, check_reason
from autobahn.router.observer import RealmObserver
from autobahn.router.options import is_reserved
from autobahn.router.patterns import EXACT, MATCHES, PatternMap
from autobahn.router.peer import Peer, Registration, Subscription, timestamp
from autobahn.router.registrations import Registrar
from autobahn.wamp.exception import ApplicationError

HISTORY_UNAVAILABLE = "wamp.error.history_unavailable"


class RegistrationMeta(RealmObserver):
    """``wamp.registration.*``: who serves what."""

    def __init__(self, house: HouseSession, registrar: Registrar, options: RealmOptions) -> None:
        self._house = house
        self._registrar = registrar
        self.options = options
        house.serve(
            {
                "wamp.registration.list": self.list_all,
                "wamp.registration.lookup": self.lookup,
                "wamp.registration.match": self.match,
                "wamp.registration.get": self.get,
                "wamp.registration.list_callees": self.list_callees,
                "wamp.registration.count_callees": self.count_callees,
                "wamp.registration.remove_callee": self.remove_callee,
            }
        )

    # ---- events ----------------------------------------------------------------------------------------

    def _tell(self, event: str, session: Peer, registration: Registration, what: Any) -> None:
        if not is_reserved(registration.procedure):
            self._house.publish(f"wamp.registration.{event}", session.id, what)

    def registration_created(self, session: Peer, registration: Registration) -> None:
        self._tell("on_create", session, registration, _registration(registration))

    def registration_added(self, session: Peer, registration: Registration) -> None:
        self._tell("on_register", session, registration, registration.id)

    def registration_removed(self, session: Peer, registration: Registration) -> None:
        self._tell("on_unregister", session, registration, registration.id)

    def registration_deleted(self, session: Peer, registration: Registration) -> None:
        self._tell("on_delete", session, registration, registration.id)

    # ---- procedures ------------------------------------------------------------------------------------

    def list_all(self, caller: Peer) -> list[Any]:
        book = self._registrar.by_id
        return [_by_match([(r.match, r.procedure, r.id) for r in book.values()])]

    def lookup(self, caller: Peer, procedure: Any, options: Any = None) -> list[Any]:
        return [_lookup(self._registrar.book, procedure, options)]

    def match(self, caller: Peer, procedure: Any) -> list[Any]:
        expect(procedure, str, "procedure")
        book = self._registrar.book
        found = book.exact.get(procedure) if is_reserved(procedure) else book.best(procedure)
        return [None if found is None else found.id]

    def get(self, caller: Peer, registration: Any) -> list[Any]:
        return [_registration(self._find(registration))]

    def list_callees(self, caller: Peer, registration: Any) -> list[Any]:
        return [[endpoint.callee.id for endpoint in self._find(registration).endpoints]]

    def count_callees(self, caller: Peer, registration: Any) -> list[Any]:
        return [len(self._find(registration).endpoints)]

    def remove_callee(self, caller: Peer, registration: Any, callee: Any, reason: Any = None) -> None:
        check_may_end(caller, self.options)
        check_reason(reason)
        found = self._find(registration)
        expect(callee, int, "callee")
        callees = [endpoint.callee for endpoint in found.endpoints if endpoint.callee.id == callee]
        if not callees or callees[0].is_trusted:
            raise ApplicationError(ApplicationError.NO_SUCH_SESSION, f"no session {callee} that could be removed")
        self._registrar.revoke(callees[0], found, reason)

    def _find(self, number: Any) -> Registration:
        expect(number, int, "registration")
        registration = self._registrar.by_id.get(number)
        if registration is None:
            raise ApplicationError(ApplicationError.NO_SUCH_REGISTRATION, f"there is no registration {number}")
        return registration


class SubscriptionMeta(RealmObserver):
    """``wamp.subscription.*``: who listens to what, and what there was to hear.

    ``may(peer, 32, match, topic)`` says who may subscribe, and so may ask for the history of a subscription.
    """

    def __init__(
        self,
        house: HouseSession,
        broker: Broker,
        options: RealmOptions,
        may: Callable[[Peer, int, str, str], bool],
    ) -> None:
        self._house = house
        self._broker = broker
        self.options = options
        self._may = may
        house.serve(
            {
                "wamp.subscription.list": self.list_all,
                "wamp.subscription.lookup": self.lookup,
                "wamp.subscription.match": self.match,
                "wamp.subscription.get": self.get,
                "wamp.subscription.list_subscribers": self.list_subscribers,
                "wamp.subscription.count_subscribers": self.count_subscribers,
                "wamp.subscription.remove_subscriber": self.remove_subscriber,
                "wamp.subscription.get_events": self.get_events,
            }
        )

    # ---- events ----------------------------------------------------------------------------------------

    def _tell(self, event: str, session: Peer, subscription: Subscription, what: Any) -> None:
        if not is_reserved(subscription.topic):
            self._house.publish(f"wamp.subscription.{event}", session.id, what)

    def subscription_created(self, session: Peer, subscription: Subscription) -> None:
        self._tell("on_create", session, subscription, _subscription(subscription))

    def subscription_added(self, session: Peer, subscription: Subscription) -> None:
        self._tell("on_subscribe", session, subscription, subscription.id)

    def subscription_removed(self, session: Peer, subscription: Subscription) -> None:
        self._tell("on_unsubscribe", session, subscription, subscription.id)

    def subscription_deleted(self, session: Peer, subscription: Subscription) -> None:
        self._tell("on_delete", session, subscription, subscription.id)

    # ---- procedures ------------------------------------------------------------------------------------

    def list_all(self, caller: Peer) -> list[Any]:
        return [_by_match([(s.match, s.topic, s.id) for s in self._broker.by_id.values()])]

    def lookup(self, caller: Peer, topic: Any, options: Any = None) -> list[Any]:
        return [_lookup(self._broker.subscriptions, topic, options)]

    def match(self, caller: Peer, topic: Any) -> list[Any]:
        expect(topic, str, "topic")
        return [[subscription.id for subscription in self._broker.subscriptions.every(topic)] or None]

    def get(self, caller: Peer, subscription: Any) -> list[Any]:
        return [_subscription(self._find(subscription))]

    def list_subscribers(self, caller: Peer, subscription: Any) -> list[Any]:
        return [[peer.id for peer in self._find(subscription).subscribers]]

    def count_subscribers(self, caller: Peer, subscription: Any) -> list[Any]:
        return [len(self._find(subscription).subscribers)]

    def remove_subscriber(self, caller: Peer, subscription: Any, subscriber: Any, reason: Any = None) -> None:
        check_may_end(caller, self.options)
        check_reason(reason)
        found = self._find(subscription)
        expect(subscriber, int, "subscriber")
        peer = next((peer for peer in found.subscribers if peer.id == subscriber), None)
        if peer is None:
            raise ApplicationError(ApplicationError.NO_SUCH_SESSION, f"no session {subscriber} that could be removed")
        self._broker.revoke(peer, found, reason)

    def get_events(self, caller: Peer, subscription: Any, newest: Any = None, /, **filters: Any) -> list[Any]:
        """WAMP "Event History": one positional result per event.

        Programs written for crossbar give a second positional argument: so many of the newest events, newest first.
        """
        if newest is not None:
            filters = {"limit": newest, "reverse": True, **filters}
        found = self._find(subscription)
        if not self._may(caller, 32, found.match, found.topic):
            raise ApplicationError(ApplicationError.NOT_AUTHORIZED, "who may not subscribe may not ask for the history")
        filters = check_filters(filters)
        if found.history is None:
            raise ApplicationError(HISTORY_UNAVAILABLE, f"no history is kept for subscription {subscription}")
        return [entry.event(found.id) for entry in found.history.find(caller, filters)]

    def _find(self, number: Any) -> Subscription:
        expect(number, int, "subscription")
        subscription = self._broker.by_id.get(number)
        if subscription is None:
            raise ApplicationError(ApplicationError.NO_SUCH_SUBSCRIPTION, f"there is no subscription {number}")
        return subscription


def _registration(registration: Registration) -> dict[str, Any]:
    return {
        "id": registration.id,
        "created": timestamp(registration.created),
        "uri": registration.procedure,
        "match": registration.match,
        "invoke": registration.invoke,
    }


def _subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "created": timestamp(subscription.created),
        "uri": subscription.topic,
        "match": subscription.match,
    }


def _by_match(rows: list[tuple[str, str, int]]) -> dict[str, list[int]]:
    """The ids by match policy, without those under ``wamp.``."""
    ids: dict[str, list[int]] = {match: [] for match in MATCHES}
    for match, uri, number in rows:
        if not is_reserved(uri):
            ids[match].append(number)
    return ids


def _lookup(book: PatternMap[Any], uri: Any, options: Any) -> int | None:
    expect(uri, str, "uri")
    options = {} if options is None else options
    expect(options, dict, "options")
    match = options.get("match") or EXACT
    if match not in MATCHES:
        raise ApplicationError(
            ApplicationError.INVALID_ARGUMENT, f"expected match out of {', '.join(MATCHES)}, got {match!r:.100}"
        )
    found = book.get(match, uri)
    return None if found is None else found.id

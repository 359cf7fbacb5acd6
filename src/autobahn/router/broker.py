"""Publish and subscribe in one realm (WAMP "Publish and Subscribe")."""

from __future__ import annotations

from typing import Any

from autobahn.router.delivery import Delivery, post
from autobahn.router.ids import GlobalIds
from autobahn.router.observer import RealmObserver
from autobahn.router.options import (
    audience,
    check_uri,
    check_writable,
    is_reserved,
    refuse_passthru,
)
from autobahn.router.patterns import EXACT, PatternMap
from autobahn.router.peer import Peer, Subscription
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.message import (
    EventReceived,
    Publish,
    Published,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)

FEATURES = (
    "pattern_based_subscription",
    "publisher_exclusion",
    "publisher_identification",
    "subscriber_blackwhite_listing",
)


class Broker:
    """The subscriptions of a realm. Every message a client may send to it is a method ``(peer, message)``."""

    def __init__(self, delivery: Delivery, ids: GlobalIds, observers: list[RealmObserver]) -> None:
        self.subscriptions: PatternMap[Subscription] = PatternMap()
        self.table: dict[int, Any] = {
            16: self.publish,
            32: self.subscribe,
            34: self.unsubscribe,
            337: self.event_received,
        }
        self._delivery = delivery
        self._ids = ids
        self._observers = observers
        self._last_id = 0

    # ---- subscribing -----------------------------------------------------------------------------------

    def subscribe(self, peer: Peer, msg: Subscribe) -> None:
        """``peer`` gets the events of a topic or pattern, and SUBSCRIBED before any of them."""
        match = EXACT
        if msg.options:
            match = msg.options.get("match") or EXACT
        check_uri(msg.topic, match)
        subscription = self.subscriptions.get(match, msg.topic)
        created = subscription is None
        if subscription is None:
            self._last_id += 1
            subscription = Subscription(self._last_id, msg.topic, match)
            self.subscriptions.put(match, msg.topic, subscription)
        added = peer not in subscription.subscribers
        if added:
            subscription.subscribers[peer] = None
            peer.subscriptions[subscription.id] = subscription
        post(peer, Subscribed(msg.request, subscription.id))
        if added:
            for observer in self._observers:
                if created:
                    observer.subscription_created(peer, subscription)
                observer.subscription_added(peer, subscription)

    def unsubscribe(self, peer: Peer, msg: Unsubscribe) -> None:
        """``peer`` gets no event of that subscription any more."""
        subscription = peer.subscriptions.get(msg.subscription)
        if subscription is None:
            raise ApplicationError(
                ApplicationError.NO_SUCH_SUBSCRIPTION,
                f"this session holds no subscription {msg.subscription}",
            )
        deleted = self._remove(peer, subscription)
        post(peer, Unsubscribed(msg.request))
        self._notify_removed(peer, subscription, deleted)

    def leave(self, peer: Peer) -> None:
        """``peer`` has no subscriptions any more."""
        while peer.subscriptions:
            subscription = next(iter(peer.subscriptions.values()))
            self._notify_removed(peer, subscription, self._remove(peer, subscription))

    def _remove(self, peer: Peer, subscription: Subscription) -> bool:
        del peer.subscriptions[subscription.id]
        del subscription.subscribers[peer]
        if subscription.subscribers:
            return False
        self.subscriptions.remove(subscription.match, subscription.topic)
        return True

    def _notify_removed(self, peer: Peer, subscription: Subscription, deleted: bool) -> None:
        for observer in self._observers:
            observer.subscription_removed(peer, subscription)
            if deleted:
                observer.subscription_deleted(peer, subscription)

    # ---- publishing ------------------------------------------------------------------------------------

    def publish(self, publisher: Peer, msg: Publish) -> None:
        """Every eligible subscriber has the event in its queue; then the publisher is answered if it asked.

        A subscriber whose subscriptions match several times gets one EVENT for each (WAMP "Pattern-based
        Subscriptions"), all with the same publication id.
        """
        options = msg.options
        topic = msg.topic
        if options:
            refuse_passthru(16, options)
        exact = self.subscriptions.exact.get(topic)
        if exact is None or is_reserved(topic):
            check_writable(topic)
        number = self._ids.next()
        if self.subscriptions.has_patterns:
            subscriptions = self.subscriptions.every(topic)
        else:
            subscriptions = [] if exact is None else [exact]
        if subscriptions:
            publication = self._delivery.publication(msg, publisher.codec, number)
            for subscription in subscriptions:
                details = _event_details(publisher, options, subscription, topic)
                publication.deliver(subscription.id, details, _receivers(publisher, options, subscription))
        if options and options.get("acknowledge"):
            post(publisher, Published(msg.request, number))

    def event_received(self, peer: Peer, msg: EventReceived) -> None:
        """Nothing happens: the router does not ask for acknowledged delivery; some clients send it anyway."""


def _receivers(publisher: Peer, options: dict[str, Any], subscription: Subscription) -> list[Peer]:
    """Who gets the event; a list of its own, because books may change while it is delivered."""
    receivers = list(subscription.subscribers)
    if not options:
        if publisher in subscription.subscribers:
            receivers.remove(publisher)
        return receivers
    if options.get("exclude_me") is not False and publisher in subscription.subscribers:
        receivers.remove(publisher)
    chosen = audience(options)
    return receivers if chosen is None else [peer for peer in receivers if chosen.admits(peer)]


def _event_details(publisher: Peer, options: dict[str, Any], subscription: Subscription, topic: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if subscription.match != EXACT:
        details["topic"] = topic
    if options and options.get("disclose_me"):
        details["publisher"] = publisher.id
        details["publisher_authid"] = publisher.authid
        details["publisher_authrole"] = publisher.authrole
    return details

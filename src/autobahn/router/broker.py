"""Publish and subscribe in one realm (WAMP "Publish and Subscribe")."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from autobahn.router.config import HistoryTopic, RealmOptions
from autobahn.router.delivery import Delivery, post
from autobahn.router.history import Entry, History
from autobahn.router.ids import GlobalIds
from autobahn.router.observer import RealmObserver
from autobahn.router.options import (
    PASSTHRU,
    TRANSPARENCY,
    Options,
    audience,
    carried,
    check_limit,
    check_uri,
    check_writable,
    disclose,
    is_disclosed,
    is_reserved,
    passthru,
    passthru_feature,
)
from autobahn.router.patterns import EXACT, PatternMap
from autobahn.router.peer import Peer, Subscription
from autobahn.router.retention import Retained, Retention
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

ACKNOWLEDGED_DELIVERY = "x_acknowledged_delivery"


class Terms:
    """What the options of one PUBLISH, and the realm, say about the event."""

    __slots__ = ("acknowledge", "audience", "details", "exclude_me", "passthru_feature", "retain")

    def __init__(self, publisher: Peer, options: Options, realm: RealmOptions) -> None:
        ppt = passthru(publisher, "publisher", 16, options)
        self.passthru_feature = passthru_feature(ppt)
        self.acknowledge = bool(options.get("acknowledge"))
        self.exclude_me = options.get("exclude_me") is not False
        self.retain = bool(options.get("retain"))
        self.audience = audience(options)
        self.details: Options = {**carried(options), **ppt}  # of EVENT
        if is_disclosed(realm.disclose_publisher, options):
            disclose(self.details, "publisher", publisher)
        if realm.trustlevels is not None:
            self.details["trustlevel"] = realm.trustlevels.get(publisher.authrole, 0)
        if options.get(ACKNOWLEDGED_DELIVERY):
            self.details[ACKNOWLEDGED_DELIVERY] = True


class Broker:
    """The subscriptions of a realm. Every message a client may send to it is a method ``(peer, message)``."""

    def __init__(
        self,
        delivery: Delivery,
        ids: GlobalIds,
        observers: list[RealmObserver],
        options: RealmOptions | None = None,
        store: Any = None,
    ) -> None:
        self.options = options = options if options is not None else RealmOptions()
        by_component = options.prefix_match == "uri-component"
        self.subscriptions: PatternMap[Subscription] = PatternMap(by_component)
        self.by_id: dict[int, Subscription] = {}
        self.retention = Retention(options.max_retained, by_component, store)
        self.table: dict[int, Any] = {
            16: self._serving_publications(),
            32: self.subscribe,
            34: self.unsubscribe,
            337: self.event_received,
        }
        self._delivery = delivery
        self._ids = ids
        self._observers = observers
        self._last_id = 0
        self._store = store
        for topic in options.history:
            self._add(topic.match, topic.uri).history = History(topic, store)

    def histories(self, options: RealmOptions) -> dict[HistoryTopic, History]:
        """Those of the topics that ``options`` have and the broker has not, or with another limit."""
        new = [topic for topic in options.history if topic not in self.options.history]
        known = {topic: self.subscriptions.get(topic.match, topic.uri) for topic in new}
        return {topic: History(topic, self._store, held.history if held else None) for topic, held in known.items()}

    def change(self, options: RealmOptions, histories: dict[HistoryTopic, History]) -> None:
        """``options`` count from now on, with the new ``histories`` for them; `table` is another one."""
        kept = {(topic.match, topic.uri) for topic in options.history}
        gone = [topic for topic in self.options.history if (topic.match, topic.uri) not in kept]
        self.options = options
        with suppress(ApplicationError):  # a file that cannot be written to: the next event to be retained tries again
            self.retention.limit(options.max_retained)
        self.table = {**self.table, 16: self._serving_publications()}
        for topic, history in histories.items():
            subscription = self.subscriptions.get(topic.match, topic.uri) or self._add(topic.match, topic.uri)
            subscription.history = history
        for topic in gone:
            held = self.subscriptions.get(topic.match, topic.uri)
            if held is not None:
                held.history = None
                if not held.subscribers:
                    self._forget(held)

    def _serving_publications(self) -> Callable[[Peer, Publish], None]:
        options = self.options
        is_governed = options.trustlevels is not None or options.disclose_publisher == "always"
        return self.publish_governed if is_governed else self.publish

    def features(self) -> dict[str, bool]:
        """What WELCOME announces for the broker."""
        return {
            **({"event_history": True} if self.options.history else {}),
            "event_retention": True,
            "pattern_based_subscription": True,
            PASSTHRU: True,
            TRANSPARENCY: True,
            **({"publication_trustlevels": True} if self.options.trustlevels is not None else {}),
            "publisher_exclusion": True,
            **({"publisher_identification": True} if self.options.disclose_publisher != "never" else {}),
            "subscriber_blackwhite_listing": True,
            "subscription_revocation": True,
            "x_acknowledged_event_delivery": True,
        }

    # ---- subscribing -----------------------------------------------------------------------------------

    def subscribe(self, peer: Peer, msg: Subscribe) -> None:
        """``peer`` gets the events of a topic or pattern, and SUBSCRIBED before any of them."""
        options = msg.options
        match = options.get("match") or EXACT
        check_uri(msg.topic, match, self.options.strict_uris)
        subscription = self.subscriptions.get(match, msg.topic)
        added = subscription is None or peer not in subscription.subscribers
        if added:
            check_limit(peer, len(peer.subscriptions), self.options.max_subscriptions, "subscriptions")
        created = subscription is None or not subscription.subscribers
        if subscription is None:
            subscription = self._add(match, msg.topic)
        if added:
            subscription.subscribers[peer] = None
            peer.subscriptions[subscription.id] = subscription
        post(peer, Subscribed(msg.request, subscription.id))
        if options.get("get_retained"):
            self._deliver_retained(peer, subscription)
        if added:
            for observer in self._observers:
                if created:
                    observer.subscription_created(peer, subscription)
                observer.subscription_added(peer, subscription)

    def _add(self, match: str, topic: str) -> Subscription:
        self._last_id += 1
        subscription = Subscription(self._last_id, topic, match)
        self.subscriptions.put(match, topic, subscription)
        self.by_id[subscription.id] = subscription
        return subscription

    def _deliver_retained(self, peer: Peer, subscription: Subscription) -> None:
        for event in self.retention.find(peer, subscription.match, subscription.topic):
            details = {**event.details, "retained": True}
            if subscription.match != EXACT:
                details["topic"] = event.topic
            event.publication.deliver(subscription.id, details, [peer])

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

    def revoke(self, peer: Peer, subscription: Subscription, reason: str | None = None) -> None:
        """The router takes ``subscription`` away from ``peer``, which holds it (WAMP "Subscription Revocation")."""
        deleted = self._remove(peer, subscription)
        if peer.announced("subscriber", "subscription_revocation"):
            details: Options = {"subscription": subscription.id}
            if reason is not None:
                details["reason"] = reason
            post(peer, Unsubscribed(0, details))
        self._notify_removed(peer, subscription, deleted)

    def leave(self, peer: Peer) -> None:
        """``peer`` has no subscriptions any more."""
        while peer.subscriptions:
            subscription = next(iter(peer.subscriptions.values()))
            self._notify_removed(peer, subscription, self._remove(peer, subscription))

    def _remove(self, peer: Peer, subscription: Subscription) -> bool:
        del peer.subscriptions[subscription.id]
        del subscription.subscribers[peer]
        if peer.backlog is not None:
            peer.backlog.unsubscribed(subscription.id)
        if subscription.subscribers:
            return False
        if subscription.history is None:
            self._forget(subscription)
        return True

    def _forget(self, subscription: Subscription) -> None:
        self.subscriptions.remove(subscription.match, subscription.topic)
        del self.by_id[subscription.id]

    def _notify_removed(self, peer: Peer, subscription: Subscription, deleted: bool) -> None:
        for observer in self._observers:
            observer.subscription_removed(peer, subscription)
            if deleted:
                observer.subscription_deleted(peer, subscription)

    # ---- publishing ------------------------------------------------------------------------------------

    def publish(self, publisher: Peer, msg: Publish, terms: Terms | None = None, number: int = 0) -> None:
        """Every eligible subscriber has the event in its queue; then the publisher is answered if it asked.

        A subscriber whose subscriptions match several times gets one EVENT for each (WAMP "Pattern-based
        Subscriptions"), all with the same publication id: ``number``, if it is given.
        """
        topic = msg.topic
        options = msg.options
        is_plain = not options or (len(options) == 1 and "acknowledge" in options)  # as nearly always
        if terms is None and not is_plain:
            terms = Terms(publisher, options, self.options)
        exact = self.subscriptions.exact.get(topic)
        if exact is None or is_reserved(topic):
            check_writable(publisher, topic, EXACT, self.options.strict_uris)
        if not number:
            number = self._ids.next()
        if self.subscriptions.has_patterns:
            subscriptions = self.subscriptions.every(topic)
            if publisher.is_trusted:  # the router's own events are for those who ask for them
                subscriptions = [each for each in subscriptions if is_reserved(each.topic) or not is_reserved(topic)]
        else:
            subscriptions = [] if exact is None else [exact]
        if terms is not None:
            self._publish_by(terms, publisher, msg, subscriptions, number)
            return
        if subscriptions:
            publication = self._delivery.publication(msg, publisher.codec, number)
            for subscription in subscriptions:
                details: Options = {} if subscription.match == EXACT else {"topic": topic}
                if subscription.history is not None:
                    subscription.history.append(Entry(topic, publication, details, None, ""))
                receivers = list(subscription.subscribers)  # books may change while it is delivered
                if publisher in subscription.subscribers:
                    receivers.remove(publisher)
                publication.deliver(subscription.id, details, receivers)
        if options and options["acknowledge"]:
            post(publisher, Published(msg.request, number))

    def publish_governed(self, publisher: Peer, msg: Publish) -> None:
        """Like `publish`, in a realm that has something to say about every event."""
        self.publish(publisher, msg, Terms(publisher, msg.options, self.options))

    def _publish_by(
        self, terms: Terms, publisher: Peer, msg: Publish, subscriptions: list[Subscription], number: int
    ) -> None:
        if subscriptions or terms.retain:
            topic = msg.topic
            publication = self._delivery.publication(msg, publisher.codec, number)
            if terms.retain:
                event = Retained(topic, publication, terms.details, terms.audience, terms.passthru_feature)
                self.retention.keep(event)
            for subscription in subscriptions:
                details = dict(terms.details)
                if subscription.match != EXACT:
                    details["topic"] = topic
                if subscription.history is not None:
                    entry = Entry(topic, publication, details, terms.audience, terms.passthru_feature)
                    subscription.history.append(entry)
                publication.deliver(subscription.id, details, _receivers(publisher, terms, subscription))
        if terms.acknowledge:
            post(publisher, Published(msg.request, number))

    def event_received(self, peer: Peer, msg: EventReceived) -> None:
        """The observers know; the publisher is told nothing (the specification has no message for it)."""
        for observer in self._observers:
            observer.event_received(peer, msg.publication)


def _receivers(publisher: Peer, terms: Terms, subscription: Subscription) -> list[Peer]:
    """Who gets the event; a list of its own, because books may change while it is delivered."""
    receivers = list(subscription.subscribers)
    if terms.exclude_me and publisher in subscription.subscribers:
        receivers.remove(publisher)
    if terms.passthru_feature:
        receivers = [peer for peer in receivers if peer.announced("subscriber", terms.passthru_feature)]
    chosen = terms.audience
    return receivers if chosen is None else [peer for peer in receivers if chosen.admits(peer)]

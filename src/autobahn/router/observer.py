"""Where the meta API and a cluster listen to a realm."""

from __future__ import annotations

from autobahn.router.peer import Peer, Registration, Subscription


class RealmObserver:
    """What happens in a realm; override what is of interest.

    Called in the order of the meta events (WAMP "Ordering"): created before added, removed before deleted;
    always after the client has its answer and the books are up to date.
    """

    def session_joined(self, session: Peer) -> None:
        """``session`` has got its WELCOME."""

    def session_left(self, session: Peer) -> None:
        """``session`` is gone, and so are its subscriptions, registrations and calls."""

    def session_drops_events(self, session: Peer, dropped: int) -> None:
        """``session`` reads too slowly: events are dropped from now on (0), or so many were and it has caught up."""

    def subscription_created(self, session: Peer, subscription: Subscription) -> None:
        """``session`` is the first subscriber."""

    def subscription_added(self, session: Peer, subscription: Subscription) -> None:
        """``session`` has been added to the subscribers."""

    def subscription_removed(self, session: Peer, subscription: Subscription) -> None:
        """``session`` has been taken from the subscribers."""

    def subscription_deleted(self, session: Peer, subscription: Subscription) -> None:
        """``session`` was the last subscriber."""

    def event_received(self, session: Peer, publication: int) -> None:
        """``session`` says that it has handled that event (it was asked to)."""

    def registration_created(self, session: Peer, registration: Registration) -> None:
        """``session`` is the first callee."""

    def registration_added(self, session: Peer, registration: Registration) -> None:
        """``session`` has been added to the callees."""

    def registration_removed(self, session: Peer, registration: Registration) -> None:
        """``session`` has been taken from the callees."""

    def registration_deleted(self, session: Peer, registration: Registration) -> None:
        """``session`` was the last callee."""

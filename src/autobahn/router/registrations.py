"""Who serves which procedure (WAMP "Registering and Unregistering", "Shared Registration")."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import count

from autobahn.router.config import RealmOptions
from autobahn.router.delivery import post
from autobahn.router.observer import RealmObserver
from autobahn.router.options import DISCLOSURE_NOT_ALLOWED, Options, check_limit, check_writable
from autobahn.router.patterns import EXACT, PatternMap
from autobahn.router.peer import Endpoint, Peer, Registration
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.message import Register, Registered, Unregister, Unregistered

SINGLE = "single"


class Registrar:
    """The registrations of a realm; ``changed`` is called when a registration got or lost a callee."""

    def __init__(
        self, observers: list[RealmObserver], options: RealmOptions, changed: Callable[[Registration], None]
    ) -> None:
        self.book: PatternMap[Registration] = PatternMap(options.prefix_match == "uri-component")
        self.by_id: dict[int, Registration] = {}
        self.ids: Iterator[int] = count(1)
        self._observers = observers
        self.options = options
        self._changed = changed

    def register(self, peer: Peer, msg: Register) -> None:
        """``peer`` serves the procedure, and has REGISTERED before any INVOCATION of it."""
        options = msg.options
        match = options.get("match") or EXACT
        invoke = options.get("invoke") or SINGLE
        check_writable(peer, msg.procedure, match, self.options.strict_uris)
        if options.get("disclose_caller") and self.options.disclose_caller == "never" and not peer.is_trusted:
            raise ApplicationError(DISCLOSURE_NOT_ALLOWED, "this realm discloses no callers (disclose_caller)")
        registration = self.book.get(match, msg.procedure)
        if registration is None or registration.id not in peer.registrations:
            check_limit(peer, len(peer.registrations), self.options.max_registrations, "registrations")
        if registration is not None and options.get("force_reregister"):
            registration = self._take_over(peer, registration)
            if registration is not None and registration.invoke == SINGLE == invoke:  # its own
                post(peer, Registered(msg.request, registration.id))
                return
        if registration is not None and (SINGLE in (invoke, registration.invoke) or registration.invoke != invoke):
            raise ApplicationError(
                ApplicationError.PROCEDURE_ALREADY_EXISTS,
                f"a registration for {msg.procedure!r} exists "
                f"(match {match}, invoke {registration.invoke}; asked for: {invoke})",
            )
        if registration is not None and registration.id in peer.registrations:  # it takes part already
            post(peer, Registered(msg.request, registration.id))
            return
        self._add(peer, msg, registration, Registration(0, msg.procedure, match, invoke))

    def _add(self, peer: Peer, msg: Register, existing: Registration | None, fresh: Registration) -> None:
        registration = fresh if existing is None else existing
        if existing is None:
            registration.id = next(self.ids)
            self.book.put(registration.match, registration.procedure, registration)
            self.by_id[registration.id] = registration
        registration.add(_endpoint(peer, msg.options))
        peer.registrations[registration.id] = registration
        post(peer, Registered(msg.request, registration.id))
        for observer in self._observers:
            if existing is None:
                observer.registration_created(peer, registration)
            observer.registration_added(peer, registration)
        self._changed(registration)

    def _take_over(self, peer: Peer, registration: Registration) -> Registration | None:
        """The others are out of ``registration`` and know it; returns what is left: None, or with ``peer`` alone."""
        others = [endpoint.callee for endpoint in registration.endpoints if endpoint.callee is not peer]
        policy = self.options.force_reregister
        for other in others:
            same_id, same_role = other.authid == peer.authid, other.authrole == peer.authrole
            allowed = {"any": True, "role": same_id or same_role, "authid": same_id, "never": False}[policy]
            if not allowed or other.is_trusted:
                raise ApplicationError(
                    ApplicationError.NOT_AUTHORIZED,
                    f"{registration.procedure!r} is served by a session that may not be replaced ({policy})",
                )
        for other in others:
            self.revoke(other, registration, ApplicationError.PROCEDURE_ALREADY_EXISTS)
        return registration if registration.endpoints else None

    def unregister(self, peer: Peer, msg: Unregister) -> None:
        """``peer`` does not serve that procedure any more; what was invoked before goes on."""
        registration = peer.registrations.get(msg.registration)
        if registration is None:
            raise ApplicationError(
                ApplicationError.NO_SUCH_REGISTRATION,
                f"this session holds no registration {msg.registration}",
            )
        deleted = self._remove(peer, registration)
        post(peer, Unregistered(msg.request))
        self._notify_removed(peer, registration, deleted)

    def revoke(self, peer: Peer, registration: Registration, reason: str | None = None) -> None:
        """The router takes ``registration`` away from ``peer``, which holds it (WAMP "Registration Revocation")."""
        deleted = self._remove(peer, registration)
        if peer.announced("callee", "registration_revocation"):
            details: Options = {"registration": registration.id}
            if reason is not None:
                details["reason"] = reason
            post(peer, Unregistered(0, details))
        self._notify_removed(peer, registration, deleted)

    def leave(self, peer: Peer) -> None:
        """``peer`` serves nothing any more."""
        while peer.registrations:
            registration = next(iter(peer.registrations.values()))
            self._notify_removed(peer, registration, self._remove(peer, registration))

    def _remove(self, peer: Peer, registration: Registration) -> bool:
        del peer.registrations[registration.id]
        registration.remove(peer)
        if registration.endpoints:
            return False
        self.book.remove(registration.match, registration.procedure)
        del self.by_id[registration.id]
        return True

    def _notify_removed(self, peer: Peer, registration: Registration, deleted: bool) -> None:
        for observer in self._observers:
            observer.registration_removed(peer, registration)
            if deleted:
                observer.registration_deleted(peer, registration)
        self._changed(registration)


def _endpoint(peer: Peer, options: Options) -> Endpoint:
    return Endpoint(
        peer,
        options.get("concurrency") or 0,
        bool(options.get("disclose_caller")),
        bool(options.get("forward_timeout")) and peer.announced("callee", "call_timeout"),
    )


def choose(registration: Registration, tried: list[Endpoint], key: str | None) -> Endpoint | None:
    """The endpoint for the next call, or None when all that are left are at their limit.

    ``tried`` are those that have refused this call; ``key``: calls with the same key go to the same endpoint.
    """
    if key is not None and registration.invoke != SINGLE:
        left = [endpoint for endpoint in registration.endpoints if endpoint not in tried]
        chosen = max(left, key=lambda endpoint: _weight(endpoint, key), default=None)
        return chosen if chosen is not None and chosen.is_free else None
    if registration.invoke == "roundrobin":
        return _next_in_turn(registration, tried)
    free = [endpoint for endpoint in registration.endpoints if endpoint.is_free and endpoint not in tried]
    if not free:
        return None
    if registration.invoke == "random":
        return random.choice(free)  # noqa: S311 (spreads load, guards nothing)
    return free[-1] if registration.invoke == "last" else free[0]


def _next_in_turn(registration: Registration, tried: list[Endpoint]) -> Endpoint | None:
    endpoints = registration.endpoints
    for i in range(registration.turn, registration.turn + len(endpoints)):
        endpoint = endpoints[i % len(endpoints)]
        if endpoint.is_free and endpoint not in tried:
            registration.turn = i % len(endpoints) + 1
            return endpoint
    return None


def _weight(endpoint: Endpoint, key: str) -> bytes:
    """Rendezvous hashing: the highest weight wins, so that only the keys of a callee that leaves move."""
    octets = key.encode("utf-8", "surrogatepass")
    return blake2b(octets, digest_size=8, key=endpoint.callee.id.to_bytes(8, "big")).digest()

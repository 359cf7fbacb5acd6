"""The router: realms, and the links of their clients."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from autobahn import __version__
from autobahn.router.auth import Authentication
from autobahn.router.config import RealmOptions
from autobahn.router.ids import GlobalIds
from autobahn.router.login import Admission, Authenticator, anonymous
from autobahn.router.observer import RealmObserver
from autobahn.router.peer import Peer
from autobahn.router.permissions import Permissions
from autobahn.router.realm import Realm
from autobahn.router.service import Service
from autobahn.router.session import RouterSession
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.uri import is_valid

SYSTEM_SHUTDOWN = "wamp.close.system_shutdown"
CLOSE_REALM = "wamp.close.close_realm"
MAX_REASONS = 100  # reasons of refusal that are counted one by one; authenticators may invent any number


def _no_observers(realm: str) -> Iterable[RealmObserver]:
    return ()


class Router:
    """A WAMP router without I/O. ``new_session`` serves as the session factory of any WAMP transport.

    Args:
        realms: names of the realms that exist from the start, or their options by name.
        realm_options: how realms behave for which nothing else is said.
        auto_realms: an unknown realm is made when the first client asks for it, and is gone when it is empty.
        max_auto_realms: how many of those there may be; a further one is no_such_realm.
        observers: makes those who are told what happens in a realm, out of its name.
        agent: what WELCOME says about the software.
        runtime: gives time; without it no session has timeouts.
        hello_timeout: seconds a link may stay without a session.
        goodbye_timeout: seconds a client has to answer GOODBYE before its link is closed.
        authenticator: judges a HELLO, as long as there is no ``auth``.
        auth: the methods of authentication by realm (see `autobahn.router.auth`); None: everybody is let in.
        auth_options: keyword arguments of `Authentication`.
        auth_timeout: seconds that authentication may take.
        permissions: what the roles of each realm may do (see `autobahn.router.permissions`); None: everything.
    """

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        *,
        realms: Iterable[str] | Mapping[str, RealmOptions] | None = ("realm1",),
        realm_options: RealmOptions | None = None,
        auto_realms: bool = False,
        max_auto_realms: int = 1000,
        observers: Callable[[str], Iterable[RealmObserver]] = _no_observers,
        agent: str | None = None,
        runtime: Runtime | None = None,
        hello_timeout: float = 5.0,
        goodbye_timeout: float = 5.0,
        authenticator: Authenticator = anonymous,
        auth: Mapping[str, Any] | None = None,
        auth_options: Mapping[str, Any] | None = None,
        auth_timeout: float = 10.0,
        permissions: Mapping[str, Any] | None = None,
    ) -> None:
        self.realm_options = realm_options if realm_options is not None else RealmOptions()
        self.auto_realms = auto_realms
        self.max_auto_realms = max_auto_realms
        self._observers = observers
        self.agent = agent if agent is not None else f"autobahn-asyncio/{__version__}"
        self.runtime = runtime
        self.hello_timeout = hello_timeout
        self.goodbye_timeout = goodbye_timeout
        self.authenticator = authenticator
        self.service = Service(self)
        self.auth = Authentication(auth, self, **(auth_options or {})) if auth is not None else None
        self.auth_timeout = auth_timeout
        self.permissions = Permissions(permissions, self) if permissions is not None else None
        self.ids = GlobalIds()
        self.realms: dict[str, Realm] = {}
        self.links: set[RouterSession] = set()  # all whose transport is open
        self.closing: str | None = None  # the reason, once shutdown was asked for
        self.on_link_gone: Callable[[], None] = _nothing
        self.refusals: Counter[str] = Counter()  # of HELLO, by the reason of ABORT
        self.past: Counter[str] = Counter()  # what has happened in realms made on demand that are gone
        self._on_demand: dict[str, Realm] = {}  # realms made when a client asked; the longest without a session first
        self._goodbyes: dict[RouterSession, Any] = {}  # timers of a spread shutdown
        self._spread = 0.0  # seconds over which it is spread
        for name in realms or ():
            self.add_realm(name, realms[name] if isinstance(realms, Mapping) else None)

    @property
    def sessions(self) -> int:
        """How many sessions are joined to a realm."""
        return sum(len(realm.sessions) for realm in self.realms.values())

    def add_realm(self, name: str, options: RealmOptions | None = None) -> Realm:
        """The realm ``name`` exists; ``options`` count when it is made by this call."""
        if not is_valid(name):
            raise ValueError(f"expected a URI as the name of a realm, got {name!r}")
        if name not in self.realms:
            realm = self.realms[name] = Realm(name, self.ids, options or self.realm_options, self.runtime)
            realm.observers += self._observers(name)
            if self.permissions is not None:
                realm.authorize = partial(self.permissions.allows, name)
        self._on_demand.pop(name, None)
        return self.realms[name]

    def change_realm(self, name: str, options: RealmOptions) -> list[str]:
        """``options`` count for the realm ``name`` and the sessions in it, which stay; KeyError: there is none.

        It returns the names of those that need a new realm (`autobahn.router.realm.NEXT_START`). ValueError or
        ApplicationError, when a history is not to be had from the realm's file: nothing has changed.
        """
        change = self.realms[name].prepare(options)
        _, late = change()
        self.refresh_tables(name)
        return late

    def refresh_tables(self, name: str) -> None:
        """The sessions of a realm whose table was changed have the new one."""
        realm = self.realms[name]
        for session in list(realm.sessions.values()):
            if isinstance(session, RouterSession):
                session.permissions_changed(self.permissions)

    def remove_realm(self, name: str, reason: str = CLOSE_REALM) -> None:
        """There is no realm ``name`` any more; its sessions have GOODBYE with ``reason``. KeyError: there was none."""
        realm = self.realms.pop(name)
        if self._on_demand.pop(name, None) is not None:
            self.past.update(realm.totals())
        for session in list(realm.sessions.values()):
            session.close(reason, "the realm is closed")
        realm.close()

    def close_files(self) -> None:
        """The router is of no more use: files in which its realms keep events are closed."""
        for realm in self.realms.values():
            realm.close()

    def is_on_demand(self, name: str) -> bool:
        """Whether the realm ``name`` was made when a client asked for it."""
        return name in self._on_demand

    def has_realm(self, name: str) -> bool:
        """Whether `find_realm` will find the realm ``name``, or make it."""
        return name in self.realms or (self.auto_realms and self._has_room())

    def find_realm(self, name: str) -> Realm | None:
        """The realm a client asks for by a valid ``name``, if it may have one."""
        realm = self.realms.get(name)
        if realm is None and self.auto_realms and self._has_room():
            if len(self._on_demand) >= self.max_auto_realms:
                self.remove_realm(next(name for name, realm in self._on_demand.items() if not realm.sessions))
            realm = self.add_realm(name)
            realm.observers.append(_OnDemand(self, realm))
            self._on_demand[name] = realm
        return realm

    def _has_room(self) -> bool:
        """Whether one more realm may be made; one that only keeps events for later comers makes room."""
        return len(self._on_demand) < self.max_auto_realms or any(not r.sessions for r in self._on_demand.values())

    def left_on_demand(self, realm: Realm) -> None:
        """A session has left ``realm``, which was made on demand; when nothing is in it, it goes."""
        if realm.sessions or self._on_demand.get(realm.name) is not realm:
            return
        del self._on_demand[realm.name]
        if realm.is_empty() and not len(realm.broker.retention) and not realm.options.history:
            del self.realms[realm.name]
            realm.close()
            self.past.update(realm.totals())
        else:
            self._on_demand[realm.name] = realm  # the last one to make room

    def new_session(self, _config: Any = None, granted: Admission | None = None) -> RouterSession:
        """A session object for one client link; ``granted``: as whom the client joins without authentication."""
        return RouterSession(self, granted)

    def refused(self, reason: str) -> None:
        """A HELLO was answered with ABORT."""
        self.refusals[reason if reason in self.refusals or len(self.refusals) < MAX_REASONS else "other"] += 1

    def link_gone(self, link: RouterSession) -> None:
        """The transport of ``link`` is closed."""
        self.links.discard(link)
        timer = self._goodbyes.pop(link, None)
        if timer is not None:
            timer.cancel()
        self.on_link_gone()

    def set_auth(self, auth: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> None:
        """Clients that join from now on are judged by ``auth``; sessions stay."""
        self.auth = self.new_auth(auth, options)

    def new_auth(self, auth: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Authentication:
        """What can become `auth`: it counts failures on, and knows the cookies of the present one."""
        before = self.auth
        same = {} if before is None else {"mock_secret": before.mock_secret, "cookies": before.cookies}
        made = Authentication(auth, self, **{**same, **(options or {})})
        if before is not None:
            made.inherit(before)
        return made

    def set_permissions(self, config: Mapping[str, Any]) -> None:
        """What the roles may do counts for all sessions from now on.

        Sessions whose role is gone have GOODBYE; subscriptions that static rules no longer allow are revoked.
        """
        if self.permissions is None:
            self.permissions = Permissions(config, self)
        else:
            self.permissions.replace(config)
        for realm in self.realms.values():
            realm.authorize = partial(self.permissions.allows, realm.name)
            self.refresh_tables(realm.name)

    def shutdown(self, reason: str = SYSTEM_SHUTDOWN, spread: float = 0.0) -> None:
        """Every session has GOODBYE with ``reason`` within ``spread`` seconds, and new ones are refused.

        Calling it again without ``spread`` makes those that wait for their GOODBYE have it now. Details of a spread
        GOODBYE have ``retry_after``, whole seconds: whoever keeps to it comes back when all have been told, and as
        spread as they were told. Those that were to wait and are hurried have it drawn at random.

        Order: HELLO is refused from now on; each joined session leaves its realm and gets GOODBYE; its link
        closes when the client has answered, or after ``goodbye_timeout`` if there is a runtime; links
        without a session get ABORT and are closed at once. ``links`` is empty when all of that is over.
        Sessions in the router's own process, on which the others may depend, come last.
        """
        self.closing = self.closing or reason
        is_spread = spread > 0 and self.runtime is not None
        if is_spread:
            self._spread = spread
        for timer in self._goodbyes.values():
            timer.cancel()
        hurried = set(self._goodbyes)
        self._goodbyes.clear()
        for link in list(self.links):
            if not is_spread or not link.id:
                self._say_goodbye(link, random.uniform(0, self._spread) if link in hurried else 0.0)  # noqa: S311
                continue
            assert self.runtime is not None
            delay = spread if link.codec is None else random.uniform(0, spread)  # noqa: S311 - no secret
            self._goodbyes[link] = self.runtime.call_later(delay, partial(self._say_goodbye, link, spread))

    def _say_goodbye(self, link: RouterSession, away: float) -> None:
        """``away``: seconds for which the client is asked not to come back; 0: it is not."""
        self._goodbyes.pop(link, None)
        details = {"retry_after": math.ceil(away)} if away else {}
        link.close(self.closing or SYSTEM_SHUTDOWN, "the router is shutting down", **details)


class _OnDemand(RealmObserver):
    """Tells the router when a realm made on demand has lost a session."""

    def __init__(self, router: Router, realm: Realm) -> None:
        self._router = router
        self._realm = realm

    def session_left(self, session: Peer) -> None:
        self._router.left_on_demand(self._realm)


def _nothing() -> None:
    """Nobody waits for links to be gone."""

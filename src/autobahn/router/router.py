"""The router: realms, and the links of their clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from autobahn import __version__
from autobahn.router.auth import Authentication
from autobahn.router.config import RealmOptions
from autobahn.router.ids import GlobalIds
from autobahn.router.permissions import Permissions
from autobahn.router.realm import Realm
from autobahn.router.service import Service
from autobahn.router.session import Admission, Authenticator, RouterSession, anonymous
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.uri import is_valid

SYSTEM_SHUTDOWN = "wamp.close.system_shutdown"


class Router:
    """A WAMP router without I/O. ``new_session`` serves as the session factory of any WAMP transport.

    Args:
        realms: names of the realms that exist from the start.
        realm_options: how realms behave for which `add_realm` says nothing else.
        auto_realms: an unknown realm is made when the first client asks for it (for development).
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
        realms: Iterable[str] | None = ("realm1",),
        realm_options: RealmOptions | None = None,
        auto_realms: bool = False,
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
        for name in realms or ():
            self.add_realm(name)

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
            if self.permissions is not None:
                realm.authorize = partial(self.permissions.allows, name)
        return self.realms[name]

    def has_realm(self, name: str) -> bool:
        """Whether `find_realm` will find the realm ``name``, or make it."""
        return name in self.realms or self.auto_realms

    def find_realm(self, name: str) -> Realm | None:
        """The realm a client asks for by a valid ``name``, if it may have one."""
        realm = self.realms.get(name)
        if realm is None and self.auto_realms:
            realm = self.add_realm(name)
        return realm

    def new_session(self, _config: Any = None, granted: Admission | None = None) -> RouterSession:
        """A session object for one client link; ``granted``: as whom the client joins without authentication."""
        return RouterSession(self, granted)

    def shutdown(self, reason: str = SYSTEM_SHUTDOWN) -> None:
        """Every session has GOODBYE with ``reason``, and new ones are refused; idempotent.

        Order: HELLO is refused from now on; each joined session leaves its realm and gets GOODBYE; its link
        closes when the client has answered, or after ``goodbye_timeout`` if there is a runtime; links
        without a session get ABORT and are closed at once. ``links`` is empty when all of that is over.
        """
        if self.closing is not None:
            return
        self.closing = reason
        for link in list(self.links):
            link.close(reason, "the router is shutting down")

"""The router end of one client link."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from autobahn.router.delivery import post
from autobahn.router.ids import random_authid
from autobahn.router.peer import NO_FEATURES, ROLES, Peer, unattached
from autobahn.router.realm import Realm
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.lifecycle import State, check
from autobahn.wamp.message import Abort, Error, Goodbye, Hello, Message, Welcome
from autobahn.wamp.runtime import Runtime, TimerHandle
from autobahn.wamp.uri import is_valid

log = logging.getLogger("autobahn.router")

PROTOCOL_VIOLATION = "wamp.error.protocol_violation"
GOODBYE_AND_OUT = "wamp.close.goodbye_and_out"
NO_MATCHING_AUTH_METHOD = "wamp.error.no_matching_auth_method"
NOTHING: dict[int, Any] = {}


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a client is, once it has been let in."""

    authid: str
    authrole: str
    authmethod: str
    authprovider: str


class Authenticator(Protocol):
    """Judges a HELLO: an `Admission`, or ``ApplicationError`` whose URI becomes the reason of ABORT."""

    def __call__(self, realm: str, details: dict[str, Any]) -> Admission: ...


def anonymous(realm: str, details: dict[str, Any]) -> Admission:
    """Lets everybody in who does not insist on another method."""
    methods = details.get("authmethods")
    if methods and "anonymous" not in methods:
        raise ApplicationError(
            NO_MATCHING_AUTH_METHOD, f"expected one of the methods anonymous, got {', '.join(methods):.200}"
        )
    return Admission(random_authid(), "anonymous", "anonymous", "static")


class RouterOfSession(Protocol):
    """What a session asks of its router."""

    agent: str
    authenticator: Authenticator
    closing: str | None
    goodbye_timeout: float
    hello_timeout: float
    ids: Any
    links: set[RouterSession]
    runtime: Runtime | None

    def find_realm(self, name: str) -> Realm | None: ...


class RouterSession(Peer):
    """Joins its client to a realm, leads it out again, and hands its messages to broker and dealer.

    One object serves one link; several sessions may follow each other on it. While joined, `_table` is the
    realm's table, at all other times it is empty, so that only messages of the lifecycle get through.
    """

    __slots__ = ("__weakref__", "_realm", "_router", "_state", "_table", "_timer", "_transport")

    raw_payload = True  # class attribute: transports decode with codec.decode_raw

    def __init__(self, router: RouterOfSession) -> None:
        super().__init__()
        self._router = router
        self._state = State.CLOSED
        self._table: dict[int, Callable[[Peer, Any], None]] = NOTHING
        self._realm: Realm | None = None
        self._transport: Any = None
        self._timer: TimerHandle | None = None

    def __repr__(self) -> str:
        realm = self._realm.name if self._realm else None
        return f"<RouterSession id={self.id} realm={realm} state={self._state.name}>"

    @property
    def _session_id(self) -> int | None:
        return self.id or None

    @property
    def _authid(self) -> str | None:
        return self.authid or None

    # ---- what the transport calls ----------------------------------------------------------------------

    def onOpen(self, transport: Any) -> None:
        """The link is up; the client has ``hello_timeout`` to say HELLO."""
        self._transport = transport
        self.codec = transport.codec
        self.send = transport.send
        if self.codec is not None:
            self.send_encoded = transport.send_encoded
        self._router.links.add(self)
        self._start_timer(self._router.hello_timeout, self._hello_overdue)

    def onMessage(self, msg: Message) -> None:
        """``msg`` has taken effect; raises ``ProtocolError`` when the client must not send it."""
        serve = self._table.get(msg.code)
        if serve is None:
            self._on_lifecycle(msg)
            return
        try:
            serve(self, msg)
        except ApplicationError as exc:
            self._refuse(msg, exc)

    def onProtocolError(self, exc: Exception) -> None:
        """The session is over and the client knows why; the transport closes afterwards."""
        if self._state is State.SHUTTING_DOWN:  # nothing follows our GOODBYE
            self._state = State.FAILED
        elif self._state is not State.FAILED:
            self._abort(PROTOCOL_VIOLATION, str(exc))

    def onClose(self, was_clean: bool) -> None:
        """The link is gone, and so is the session."""
        self._stop_timer()
        self._router.links.discard(self)
        self._state = State.FAILED
        self._dispose()
        self._transport = None
        self.send = self.send_encoded = unattached

    # ---- ending a session ------------------------------------------------------------------------------

    def close(self, reason: str, message: str = "") -> None:
        """The client is out of its realm and has GOODBYE; the link closes when it has answered, or in time.

        A link without a session is closed at once.
        """
        if self._state is State.ESTABLISHED:
            self._state = State.SHUTTING_DOWN
            self._dispose()
            post(self, Goodbye({"message": message} if message else {}, reason))
            self._start_timer(self._router.goodbye_timeout, self._close_link)
        elif self._state is not State.SHUTTING_DOWN and self._state is not State.FAILED:
            self._abort(reason, message)
            self._close_link()

    def abort(self) -> None:
        """The link is cut, without a word to the client; the session ends with the link's ``onClose``."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def _abort(self, reason: str, message: str) -> None:
        """No session is left, and nothing the client sends counts any more."""
        self._stop_timer()
        self._state = State.FAILED
        self._dispose()
        post(self, Abort({"message": message} if message else {}, reason))

    def _dispose(self) -> None:
        """The session is out of its realm; the link may start another one."""
        self._table = NOTHING
        realm, self._realm = self._realm, None
        if realm is not None:
            realm.leave(self)
            self.id = 0
            self.last_invocation = self.last_request = 0
            self.features = NO_FEATURES

    def _close_link(self) -> None:
        self._stop_timer()
        if self._transport is not None:
            self._transport.close()

    # ---- lifecycle -------------------------------------------------------------------------------------

    def _on_lifecycle(self, msg: Message) -> None:
        """``msg`` is judged by the lifecycle table."""
        following = check("router", self._state, msg.code)
        if following is State.ESTABLISHING:
            assert isinstance(msg, Hello)
            self._state = following
            self._on_hello(msg)
        elif following is State.CLOSING and self._state is State.ESTABLISHED:
            self._dispose()
            self._state = State.CLOSED
            post(self, Goodbye({}, GOODBYE_AND_OUT))  # the client may join again (WAMP "Session Closing")
            self._start_timer(self._router.hello_timeout, self._close_link)
        elif following is State.CLOSED:  # ABORT, or the answer to our GOODBYE
            self._state = State.FAILED
            self._dispose()
            self._close_link()

    def _on_hello(self, msg: Hello) -> None:
        """The client has WELCOME, or ABORT with the reason why not."""
        self._stop_timer()
        try:
            if self._router.closing is not None:
                raise ApplicationError(self._router.closing, "the router is shutting down")
            if not is_valid(msg.realm):
                raise ApplicationError(ApplicationError.INVALID_URI, f"expected a URI as realm, got {msg.realm!r:.300}")
            realm = self._router.find_realm(msg.realm)
            if realm is None:
                raise ApplicationError(ApplicationError.NO_SUCH_REALM, f"there is no realm {msg.realm!r:.300} here")
            admission = self._router.authenticator(msg.realm, msg.details)
        except ApplicationError as exc:
            log.info("HELLO refused: %s", exc.error_message())
            self._abort(exc.error, str(exc.args[0]) if exc.args else "")
            self._close_link()
        else:
            self._join(realm, admission, announced_features(msg.details["roles"]))

    def _join(self, realm: Realm, admission: Admission, features: dict[str, frozenset[str]]) -> None:
        """The client is a session of ``realm``."""
        self.id = self._router.ids.next()
        while self.id in realm.sessions:
            self.id = self._router.ids.next()
        self.authid = admission.authid
        self.authrole = admission.authrole
        self.authmethod = admission.authmethod
        self.authprovider = admission.authprovider
        self.features = features
        self._realm = realm
        self._table = realm.table
        self._state = State.ESTABLISHED
        realm.join(self)
        details = {
            "roles": realm.welcome_roles(),
            "agent": self._router.agent,
            "authid": self.authid,
            "authrole": self.authrole,
            "authmethod": self.authmethod,
            "authprovider": self.authprovider,
        }
        post(self, Welcome(self.id, details))
        realm.announce_join(self)

    def _refuse(self, msg: Any, exc: ApplicationError) -> None:
        """The one place where a refused request becomes an ERROR.

        Never for a publication without acknowledgement (WAMP "Publishing and Events").
        """
        if msg.code == 16 and msg.options.get("acknowledge") is not True:
            log.debug("session %d: publication refused: %s", self.id, exc.error_message())
            return
        if msg.code == 48 and self._realm is not None:
            self._realm.dealer.desk.refused(self, msg)
        post(self, Error(msg.code, msg.request, {}, exc.error, list(exc.args), exc.kwargs))

    # ---- time ------------------------------------------------------------------------------------------

    def _start_timer(self, delay: float, fn: Callable[[], None]) -> None:
        self._stop_timer()
        if self._router.runtime is not None:
            self._timer = self._router.runtime.call_later(delay, fn)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hello_overdue(self) -> None:
        self._timer = None
        self._abort(PROTOCOL_VIOLATION, f"expected HELLO within {self._router.hello_timeout:g} seconds")
        self._close_link()


def announced_features(roles: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The features of each role in HELLO.Details.roles, which the link has checked.

    A feature that needs ``call_canceling`` counts only together with it (WAMP "Progressive Call Results").
    """
    announced = dict(NO_FEATURES)
    for role in ROLES:
        features = (roles.get(role) or {}).get("features")
        if features:
            announced[role] = frozenset(name for name, is_wanted in features.items() if is_wanted)
    if "call_canceling" not in announced["callee"]:
        announced["callee"] -= {"progressive_call_results", "progressive_call_invocations"}
    return announced

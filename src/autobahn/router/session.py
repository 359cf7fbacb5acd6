"""The router end of one client link."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from autobahn.log import Log
from autobahn.router.delivery import post
from autobahn.router.login import Admission, Authenticator, Login
from autobahn.router.peer import NO_FEATURES, Peer, announced_features, carries_nothing, unattached
from autobahn.router.realm import Realm
from autobahn.wamp.exception import ApplicationError, ProtocolError, TransportLost
from autobahn.wamp.lifecycle import State, check
from autobahn.wamp.message import Abort, Authenticate, Challenge, Error, Goodbye, Hello, Message, Welcome
from autobahn.wamp.runtime import Runtime, TimerHandle
from autobahn.wamp.uri import is_valid

log = Log("autobahn.router")

PROTOCOL_VIOLATION = "wamp.error.protocol_violation"
GOODBYE_AND_OUT = "wamp.close.goodbye_and_out"
NOTHING: dict[int, Any] = {}


class RouterOfSession(Protocol):
    """What a session asks of its router."""

    agent: str
    auth: Any  # what judges a `Login`, or None: `authenticator` judges
    auth_timeout: float
    authenticator: Authenticator
    closing: str | None
    goodbye_timeout: float
    hello_timeout: float
    ids: Any
    links: set[RouterSession]
    permissions: Any  # what gives the table of a session's role, or None: all may do all
    runtime: Runtime | None

    def find_realm(self, name: str) -> Realm | None: ...
    def has_realm(self, name: str) -> bool: ...
    def link_gone(self, link: Any) -> None: ...
    def refused(self, reason: str) -> None: ...


class RouterSession(Peer):
    """Joins its client to a realm, leads it out again, and hands its messages to broker and dealer.

    One object serves one link; several sessions may follow each other on it. While joined, `_table` is the
    realm's table, at all other times it is empty, so that only messages of the lifecycle get through.
    """

    __slots__ = (
        "__weakref__",
        "_granted",
        "_login",
        "_paused",
        "_realm",
        "_router",
        "_state",
        "_table",
        "_timer",
        "_transport",
    )

    raw_payload = True  # class attribute: transports decode with codec.decode_raw

    def __init__(self, router: RouterOfSession, granted: Admission | None = None) -> None:
        super().__init__()
        self._granted = granted  # for a link within the router's own process: no authentication
        self._login: Login | None = None
        self._paused = False  # the link takes no more, because the client reads too slowly
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
            self.carry = getattr(transport, "carry", carries_nothing)
            self.lane = getattr(transport, "lane", None)
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

    def onWritingPaused(self) -> None:
        """The link takes no more for a while: events wait, answers still pass."""
        self._paused = True
        if self._realm is not None and self.backlog is None and self.codec is not None:
            self.backlog = self._realm.backlog(self)
            self.send_encoded = self.backlog.put

    def onWritingResumed(self) -> None:
        """The link takes more again: what has waited leaves."""
        self._paused = False
        backlog = self.backlog
        if backlog is None:
            return
        try:
            if not backlog.flush(self._transport.send_encoded, lambda: self._paused):
                return
        except TransportLost:  # its onClose is on the way
            return
        self.backlog = None
        self.send_encoded = self._transport.send_encoded
        if backlog.dropped and self._realm is not None:
            log.info(
                "session {session} has caught up; {dropped} events for it were dropped",
                session=self.id,
                dropped=backlog.dropped,
            )
            self._realm.drops_events(self, backlog.dropped)

    def drops_events(self) -> None:
        """The first event for this slow client has given way."""
        assert self._realm is not None
        log.warn("session {session} reads too slowly: events for it are dropped", session=self.id)
        self._realm.drops_events(self, 0)

    def too_slow(self, bound: int) -> None:
        """The client reads so slowly that its link is cut."""
        log.warn(
            "session {session} reads too slowly: more than {bound} octets of events wait for it, its link is cut",
            session=self.id,
            bound=bound,
        )
        self.send_encoded = unattached
        self.abort()

    def onClose(self, was_clean: bool) -> None:
        """The link is gone, and so is the session."""
        self._stop_timer()
        self._state = State.FAILED
        self._dispose()
        self._transport = None
        self.send = self.send_encoded = unattached
        self.carry = carries_nothing
        self.lane = None
        self._router.link_gone(self)

    # ---- ending a session ------------------------------------------------------------------------------

    def close(self, reason: str, message: str = "", **details: Any) -> None:
        """The client is out of its realm and has GOODBYE; the link closes when it has answered, or in time.

        ``details``: what its Details say beside ``message``. A link without a session is closed at once.
        """
        if self._state is State.ESTABLISHED:
            self._state = State.SHUTTING_DOWN
            self._dispose()
            post(self, Goodbye(_with_message(message, details), reason))
            self._start_timer(self._router.goodbye_timeout, self._close_link)
        elif self._state is not State.SHUTTING_DOWN and self._state is not State.FAILED:
            self._abort(reason, message, **details)
            self._close_link()

    def abort(self) -> None:
        """The link is cut, without a word to the client; the session ends with the link's ``onClose``."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def _abort(self, reason: str, message: str, **details: Any) -> None:
        """No session is left, and nothing the client sends counts any more."""
        self._stop_timer()
        self._state = State.FAILED
        self._dispose()
        post(self, Abort(_with_message(message, details), reason))

    def _dispose(self) -> None:
        """The session is out of its realm; the link may start another one."""
        self._table = NOTHING
        login, self._login = self._login, None
        if login is not None:
            login.cancel()
        realm, self._realm = self._realm, None
        if realm is not None:
            realm.leave(self)
            if self.backlog is not None:
                self.backlog = None
                self.send_encoded = self._transport.send_encoded
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
            self._state = following
            if isinstance(msg, Hello):
                self._on_hello(msg)
            elif self._login is not None:
                assert isinstance(msg, Authenticate)
                self._login.answered(msg)
        elif following is State.CLOSING and self._state is State.ESTABLISHED:
            self._log_out(msg)
            self._dispose()
            self._state = State.CLOSED
            self._say_goodbye()
            self._start_timer(self._router.hello_timeout, self._close_link)
        elif following is State.CLOSED:  # ABORT, or the answer to our GOODBYE
            self._state = State.FAILED
            self._dispose()
            self._close_link()

    def _say_goodbye(self) -> None:
        """The client has the answer to its GOODBYE, and may join again (WAMP "Session Closing")."""
        with contextlib.suppress(TransportLost):
            if not self.carry((Goodbye.code, {}, GOODBYE_AND_OUT)):  # it is always the same: nothing to be judged
                post(self, Goodbye({}, GOODBYE_AND_OUT))

    def _log_out(self, msg: Any) -> None:
        """After GOODBYE with the reason ``wamp.close.logout`` the client is not known again by its cookie."""
        if msg.reason == "wamp.close.logout" and self._router.auth is not None and self._realm is not None:
            self._router.auth.logged_out(self._transport, self._realm.name)

    def _on_hello(self, msg: Hello) -> None:
        """The client has WELCOME, or ABORT with the reason why not."""
        self._stop_timer()
        try:
            if self._router.closing is not None:
                raise ApplicationError(self._router.closing, "the router is shutting down")
            if not is_valid(msg.realm):
                raise ApplicationError(ApplicationError.INVALID_URI, f"expected a URI as realm, got {msg.realm!r:.300}")
            if not self._router.has_realm(msg.realm):
                raise ApplicationError(ApplicationError.NO_SUCH_REALM, f"there is no realm {msg.realm!r:.300} here")
            admission = self._granted if self._granted is not None else self._judge(msg)
            if admission is not None:
                self._join(admission, msg)
        except ApplicationError as exc:
            self._deny(exc)

    def _judge(self, msg: Hello) -> Admission | None:
        """Who the client is; None: that takes a while, and `login_done` will be told."""
        router = self._router
        if router.auth is None:
            return router.authenticator(msg.realm, msg.details)
        details = getattr(self._transport, "transport_details", None)
        login = Login(self, msg, details, router.runtime, router.ids.next)
        judgement = router.auth.judge(login)
        if isinstance(judgement, Admission):
            return judgement
        self._start_timer(router.auth_timeout, self._auth_overdue)
        self._login = login
        login.start(judgement)
        return None

    def send_challenge(self, method: str, extra: dict[str, Any]) -> None:
        """The client has CHALLENGE, and may answer."""
        self._state = State.CHALLENGING
        post(self, Challenge(method, extra))

    def login_done(self, login: Login, outcome: Admission | ApplicationError) -> None:
        """The client has WELCOME or ABORT."""
        self._login = None
        self._stop_timer()
        try:
            if isinstance(outcome, ApplicationError):
                raise outcome
            self._join(outcome, login.hello, login.session_id)
        except ApplicationError as exc:
            self._deny(exc)

    def _deny(self, exc: ApplicationError) -> None:
        """The client has ABORT with the reason, and its link closes."""
        peer = getattr(getattr(self._transport, "channel", None), "peer", None) or "this process"
        log.info("HELLO refused: {error} (peer {peer})", peer=peer, error=exc.error_message(), reason=exc.error)
        self._router.refused(exc.error)
        self._abort(exc.error, str(exc.args[0]) if exc.args else "", **exc.kwargs)
        turn_away = getattr(self._transport, "turn_away", None)
        if turn_away is not None and "retry_after" in exc.kwargs:
            turn_away()
        else:
            self._close_link()

    def _join(self, admission: Admission, hello: Hello, number: int = 0) -> None:
        """The client is a session of its realm, with the id ``number`` if that is free."""
        realm = self._router.find_realm(admission.realm or hello.realm)
        if realm is None:
            raise ApplicationError(ApplicationError.NO_SUCH_REALM, f"there is no realm {admission.realm!r:.300} here")
        table = realm.table
        if self._router.permissions is not None:
            table = self._router.permissions.table_for(realm, admission, self._granted is not None)
        self.id = number or self._router.ids.next()
        while self.id in realm.sessions:
            self.id = self._router.ids.next()
        self.authid = admission.authid
        self.authrole = admission.authrole
        self.authmethod = admission.authmethod
        self.authprovider = admission.authprovider
        self.authextra = admission.authextra
        self.features = announced_features(hello.details["roles"])
        self._realm = realm
        self._table = table
        self._state = State.ESTABLISHED
        realm.join(self)
        if self._paused:
            self.onWritingPaused()
        is_carried = (
            self.carry is not carries_nothing
            and self.codec is not None
            and self.codec.carry is not None
            and not admission.authextra
            and admission.authid.isprintable()  # nothing in the details is left to judge
        )
        details = {
            "roles": realm.encoded_roles(self.codec) if is_carried else realm.welcome_roles(),
            "agent": self._router.agent,
            "authid": self.authid,
            "authrole": self.authrole,
            "authmethod": self.authmethod,
            "authprovider": self.authprovider,
        }
        if admission.authextra:
            details["authextra"] = admission.authextra
        if realm.name != hello.realm:
            details["realm"] = realm.name
        self._welcome(realm, details, is_carried)
        realm.announce_join(self)

    def _welcome(self, realm: Realm, details: dict[str, Any], is_carried: bool) -> None:
        """The client has WELCOME, unless its link is gone."""
        if is_carried:
            with contextlib.suppress(TransportLost):
                if self.carry((2, self.id, details)):
                    return
            details["roles"] = realm.welcome_roles()
        post(self, Welcome(self.id, details))

    def _refuse(self, msg: Any, exc: ApplicationError) -> None:
        """The one place where a refused request becomes an ERROR.

        Never for a publication without acknowledgement (WAMP "Publishing and Events").
        """
        if self._realm is not None:
            self._realm.refused(self, msg)
        if msg.code == 16 and msg.options.get("acknowledge") is not True:
            log.debug("session {session}: publication refused: {error}", session=self.id, error=exc.error_message())
            return
        post(self, Error(msg.code, msg.request, {}, exc.error, list(exc.args), exc.kwargs))

    # ---- messages that wait for an authorizer ----------------------------------------------------------

    def swap_table(self, old: dict[int, Any] | None, new: dict[int, Any]) -> bool:
        """``new`` serves the client's messages from now on; False when ``old`` does not serve them any more."""
        if old is not None and self._table is not old:
            return False
        self._table = new
        return True

    def permissions_changed(self, permissions: Any) -> None:
        """``permissions`` (None: all may do all) count for the client from now on, in the table that its realm has now.

        GOODBYE, if it has no role any more.
        """
        realm = self._realm
        if realm is None:
            return
        if permissions is None:
            self._table = realm.table
            return
        try:
            table = permissions.table_for(realm, self, self._granted is not None)
        except ApplicationError as exc:
            self.close(exc.error, str(exc.args[0]))
            return
        if not permissions.held_back(self, table):
            self._table = table
        for subscription in list(self.subscriptions.values()):
            if permissions.forbids(realm.name, self, 32, subscription.match, subscription.topic):
                realm.broker.revoke(self, subscription, ApplicationError.NOT_AUTHORIZED)

    @property
    def transport(self) -> Any:
        """The transport of the link; None when it is gone."""
        return self._transport

    def serve_late(self, serve: Callable[[Any], None], msg: Any) -> None:
        """``msg``, which has waited, takes effect; a violation ends the session here, as its link would."""
        try:
            serve(msg)
        except ApplicationError as exc:
            self._refuse(msg, exc)
        except ProtocolError as exc:
            self.onProtocolError(exc)
            self._close_link()

    # ---- time ------------------------------------------------------------------------------------------

    def _start_timer(self, delay: float, fn: Callable[[], None]) -> None:
        self._stop_timer()
        if self._router.runtime is not None:
            self._timer = self._router.runtime.call_within(delay, fn)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _auth_overdue(self) -> None:
        self._timer = None
        limit = self._router.auth_timeout
        self._abort(ApplicationError.AUTHENTICATION_FAILED, f"expected authentication within {limit:g} seconds")
        self._close_link()

    def _hello_overdue(self) -> None:
        self._timer = None
        self._abort(PROTOCOL_VIOLATION, f"expected HELLO within {self._router.hello_timeout:g} seconds")
        self._close_link()


def _with_message(message: str, details: dict[str, Any]) -> dict[str, Any]:
    """Details of GOODBYE or ABORT, with the text for humans if there is one."""
    return {"message": message, **details} if message else details

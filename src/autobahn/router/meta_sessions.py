"""The session meta API (WAMP "Session Meta API")."""

from __future__ import annotations

from typing import Any

from autobahn.router.config import RealmOptions
from autobahn.router.house import HouseSession, expect, expect_list
from autobahn.router.observer import RealmObserver
from autobahn.router.options import check_uri
from autobahn.router.peer import Peer
from autobahn.router.testaments import Testaments
from autobahn.wamp.exception import ApplicationError

KILLED = "wamp.close.killed"


def check_may_end(caller: Peer, options: RealmOptions) -> None:
    """``caller`` has a role that may end what belongs to others."""
    roles = options.meta_kill_roles
    if caller.authrole == "anonymous" if roles is None else caller.authrole not in roles:
        raise ApplicationError(
            ApplicationError.NOT_AUTHORIZED, f"the role {caller.authrole!r} may not end what belongs to others"
        )


def check_reason(reason: Any) -> None:
    """``reason`` is a URI or None."""
    if reason is not None:
        expect(reason, str, "reason")
        check_uri(reason)


def session_details(peer: Peer) -> dict[str, Any]:
    """What the meta API tells about a session."""
    return {
        "session": peer.id,
        "authid": peer.authid,
        "authrole": peer.authrole,
        "authmethod": peer.authmethod,
        "authprovider": peer.authprovider,
    }


class SessionMeta(RealmObserver):
    """``wamp.session.*``: who is here, and who has to leave."""

    def __init__(
        self, house: HouseSession, sessions: dict[int, Peer], options: RealmOptions, testaments: Testaments
    ) -> None:
        self._house = house
        self._sessions = sessions
        self.options = options
        self._testaments = testaments
        house.serve(
            {
                "wamp.session.count": self.count,
                "wamp.session.list": self.list_all,
                "wamp.session.get": self.get,
                "wamp.session.kill": self.kill,
                "wamp.session.kill_by_authid": self.kill_by_authid,
                "wamp.session.kill_by_authrole": self.kill_by_authrole,
                "wamp.session.kill_all": self.kill_all,
            }
        )

    # ---- events ----------------------------------------------------------------------------------------

    def session_joined(self, session: Peer) -> None:
        if self._house.is_heard("wamp.session.on_join"):
            self._house.publish("wamp.session.on_join", session_details(session))

    def session_left(self, session: Peer) -> None:
        self._house.publish("wamp.session.on_leave", session.id, session.authid, session.authrole)

    def session_drops_events(self, session: Peer, dropped: int) -> None:
        if dropped:
            self._house.publish("wamp.session.on_caught_up", {**session_details(session), "dropped": dropped})
        else:
            self._house.publish("wamp.session.on_slow", session_details(session))

    # ---- procedures ------------------------------------------------------------------------------------

    def count(self, caller: Peer, filter_authroles: Any = None) -> list[Any]:
        return [len(self._chosen(filter_authroles))]

    def list_all(self, caller: Peer, filter_authroles: Any = None) -> list[Any]:
        return [[peer.id for peer in self._chosen(filter_authroles)]]

    def _chosen(self, authroles: Any) -> list[Peer]:
        if authroles is None:
            return [*self._sessions.values()]
        expect_list(authroles, str, "filter_authroles")
        return [peer for peer in self._sessions.values() if peer.authrole in authroles]

    def get(self, caller: Peer, session: Any) -> list[Any]:
        return [session_details(self._find(session))]

    def _find(self, session: Any) -> Peer:
        expect(session, int, "session")
        peer = self._sessions.get(session)
        if peer is None:
            raise _no_such_session(session)
        return peer

    def kill(self, caller: Peer, session: Any, reason: Any = None, message: Any = None) -> None:
        check_may_end(caller, self.options)
        peer = self._find(session)
        if peer is caller:
            raise _no_such_session(session)
        self._close([peer], reason, message)

    def kill_by_authid(self, caller: Peer, authid: Any, reason: Any = None, message: Any = None) -> list[Any]:
        check_may_end(caller, self.options)
        expect(authid, str, "authid")
        peers = [peer for peer in self._sessions.values() if peer.authid == authid and peer is not caller]
        return [self._close(peers, reason, message)]

    def kill_by_authrole(self, caller: Peer, authrole: Any, reason: Any = None, message: Any = None) -> list[Any]:
        check_may_end(caller, self.options)
        expect(authrole, str, "authrole")
        peers = [peer for peer in self._sessions.values() if peer.authrole == authrole and peer is not caller]
        return [len(self._close(peers, reason, message))]

    def kill_all(self, caller: Peer, reason: Any = None, message: Any = None) -> list[Any]:
        """No meta events, no testaments."""
        check_may_end(caller, self.options)
        peers = [peer for peer in self._sessions.values() if peer is not caller]
        self._house.is_silent = True
        try:
            return [len(self._close(peers, reason, message, with_testaments=False))]
        finally:
            self._house.is_silent = False

    def _close(self, peers: list[Peer], reason: Any, message: Any, with_testaments: bool = True) -> list[int]:
        """``peers`` have GOODBYE; returns their ids."""
        check_reason(reason)
        if message is not None:
            expect(message, str, "message")
        ids = [peer.id for peer in peers]
        for peer in peers:
            if not with_testaments:
                self._testaments.discard(peer)
            peer.close(KILLED if reason is None else reason, message or "")
        return ids


def _no_such_session(number: int) -> ApplicationError:
    return ApplicationError(ApplicationError.NO_SUCH_SESSION, f"there is no other session {number} in this realm")

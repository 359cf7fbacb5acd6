"""One line in the log for each session that joins and leaves."""

from __future__ import annotations

import logging
from typing import Any

from autobahn.asyncio.admission import visit_of
from autobahn.log import Log
from autobahn.router.observer import RealmObserver
from autobahn.router.peer import Peer

__all__ = ("Journal",)

log = Log("autobahn.router.sessions")


class Journal(RealmObserver):
    """Writes what happens in ``realm``."""

    def __init__(self, realm: str) -> None:
        self._realm = realm

    def session_joined(self, session: Peer) -> None:
        if log.logger.isEnabledFor(logging.INFO):
            log.info(
                "session {session} joined {realm} as {authid} ({authrole}, {authmethod}) from {peer}",
                **self._facts(session),
                authmethod=session.authmethod,
            )

    def session_left(self, session: Peer) -> None:
        if log.logger.isEnabledFor(logging.INFO):
            log.info("session {session} of {authid} ({authrole}) left {realm}", **self._facts(session))

    def _facts(self, session: Any) -> dict[str, Any]:
        visit = visit_of(session)
        return {
            "session": session.id,
            "realm": self._realm,
            "authid": session.authid,
            "authrole": session.authrole,
            "peer": "this process" if visit is None else visit.protocol.peer,
        }

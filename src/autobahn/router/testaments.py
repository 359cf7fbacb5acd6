"""Events that a session leaves behind (WAMP "Testaments")."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from autobahn.router.broker import Broker
from autobahn.router.config import RealmOptions
from autobahn.router.house import HouseSession, expect
from autobahn.router.ids import GlobalIds
from autobahn.router.observer import RealmObserver
from autobahn.router.options import LIMIT_EXCEEDED, check_writable
from autobahn.router.patterns import EXACT
from autobahn.router.peer import Peer
from autobahn.wamp.exception import ApplicationError, ProtocolError
from autobahn.wamp.message import Publish
from autobahn.wamp.options import validate

log = logging.getLogger("autobahn.router")

SCOPES = ("detached", "destroyed")  # in the order in which they are executed

_Book = dict[str, list[tuple[int, Publish]]]


class Testaments(RealmObserver):
    """``wamp.session.add_testament`` and ``flush_testaments``, and their execution.

    Without session resumption a session is destroyed when it is detached, so that both scopes are executed at once.
    """

    __test__ = False  # no class of tests, whatever its name looks like

    def __init__(
        self,
        house: HouseSession,
        broker: Broker,
        ids: GlobalIds,
        options: RealmOptions,
        may: Callable[[Peer, int, str, str], bool],
    ) -> None:
        self._broker = broker
        self._ids = ids
        self.options = options
        self._may = may  # asked when a testament is added and when it is executed
        self._books: dict[Peer, _Book] = {}
        house.serve({"wamp.session.add_testament": self.add, "wamp.session.flush_testaments": self.flush})

    def __len__(self) -> int:
        return len(self._books)

    def add(
        self,
        caller: Peer,
        topic: Any,
        args: Any = None,
        kwargs: Any = None,
        publish_options: Any = None,
        scope: Any = "destroyed",
    ) -> list[Any]:
        """Returns the id that the publication will have."""
        _check_scope(scope)
        expect(topic, str, "topic")
        args, kwargs, options = args or [], kwargs or {}, publish_options or {}
        expect(args, list, "args")
        expect(kwargs, dict, "kwargs")
        expect(options, dict, "publish_options")
        check_writable(caller, topic, EXACT, self.options.strict_uris)
        if not self._may(caller, 16, EXACT, topic):
            raise ApplicationError(ApplicationError.NOT_AUTHORIZED, f"this session may not publish to {topic!r:.300}")
        try:
            validate(16, options)
        except ProtocolError as exc:
            raise ApplicationError(ApplicationError.INVALID_ARGUMENT, str(exc)) from None
        options = {key: value for key, value in options.items() if key != "acknowledge"}
        book = self._books.setdefault(caller, {name: [] for name in SCOPES})
        limit = self.options.max_testaments
        if sum(map(len, book.values())) >= limit:
            raise ApplicationError(LIMIT_EXCEEDED, f"expected at most {limit} testaments per session, got one more")
        number = self._ids.next()
        book[scope].append((number, Publish(1, options, topic, args, kwargs)))
        return [number]

    def flush(self, caller: Peer, scope: Any = "destroyed") -> list[Any]:
        """Returns how many are not executed any more."""
        _check_scope(scope)
        book = self._books.get(caller)
        if book is None:
            return [0]
        count = len(book[scope])
        book[scope].clear()
        return [count]

    def discard(self, peer: Peer) -> None:
        """``peer`` leaves nothing behind."""
        self._books.pop(peer, None)

    def session_left(self, session: Peer) -> None:
        book = self._books.pop(session, None)
        for number, msg in [item for scope in SCOPES for item in book[scope]] if book else ():
            if not self._may(session, 16, EXACT, msg.topic):
                continue
            try:
                self._broker.publish(session, msg, number=number)
            except (ApplicationError, ProtocolError) as exc:  # it would not have been published in its life either
                log.info("session %d: testament for %r not executed: %s", session.id, msg.topic, exc)


def _check_scope(scope: Any) -> None:
    if scope not in SCOPES:
        raise ApplicationError(
            ApplicationError.INVALID_ARGUMENT, f"expected a scope out of {', '.join(SCOPES)}, got {scope!r:.100}"
        )

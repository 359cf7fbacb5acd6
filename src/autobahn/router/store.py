"""Event history and retained events in an SQLite file, so that they outlive the process.

What is written is in the file when the call returns: a publication is acknowledged after that, and no acknowledged
one is lost when the process is killed. With ``synchronous = "full"`` the same holds when the machine loses its power,
at the price of waiting for the disk.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from autobahn.router.delivery import Delivery, Publication
from autobahn.router.history import Entry
from autobahn.router.options import Audience
from autobahn.router.retention import Retained
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError
from autobahn.wamp.message import Event, Publish

log = logging.getLogger("autobahn.router")

Synchronous = Literal["normal", "full"]
_CBOR = CODECS["cbor"]  # keeps every value that can have come in
_VERSION = 1
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, realm TEXT NOT NULL, match TEXT NOT NULL, uri TEXT NOT NULL,
    topic TEXT NOT NULL, time REAL NOT NULL, event BLOB NOT NULL, audience TEXT, feature TEXT NOT NULL
);
CREATE INDEX history_of_topic ON history (realm, match, uri, number);
CREATE TABLE retained (
    number INTEGER PRIMARY KEY AUTOINCREMENT, realm TEXT NOT NULL,
    topic TEXT NOT NULL, event BLOB NOT NULL, audience TEXT, feature TEXT NOT NULL
);
CREATE INDEX retained_of_topic ON retained (realm, topic);
"""


class Store:
    """The history and the retained events of one realm. Several realms may share a file.

    Raises ``ValueError`` when ``path`` cannot be opened or is another kind of file.
    """

    def __init__(self, path: str, realm: str, delivery: Delivery, synchronous: Synchronous = "normal") -> None:
        self._realm = realm
        self._delivery = delivery
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            try:
                self._open(synchronous)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as exc:
            raise ValueError(f"expected {path!r} as a file for history and retained events, got: {exc}") from exc

    def _open(self, synchronous: Synchronous) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        elif version != _VERSION:
            raise ValueError(f"expected {self.path!r} with tables of version {_VERSION}, got version {version}")

    def close(self) -> None:
        """The file is closed."""
        self._db.close()

    # ---- history ---------------------------------------------------------------------------------------

    def history(self, match: str, uri: str, limit: int) -> Iterator[tuple[int, Entry]]:
        """The newest ``limit`` events that are kept for a topic, the oldest first, each with its number here."""
        where = "realm = ? AND match = ? AND uri = ?"
        key = (self._realm, match, uri)
        newest = f"SELECT number FROM history WHERE {where} ORDER BY number DESC LIMIT 1 OFFSET ?"  # noqa: S608
        with self._writing():
            last_out = self._db.execute(newest, (*key, limit)).fetchone()
            if last_out is not None:
                self._db.execute(f"DELETE FROM history WHERE {where} AND number <= ?", (*key, *last_out))  # noqa: S608
        rows = f"SELECT number, topic, time, event, audience, feature FROM history WHERE {where} ORDER BY number"  # noqa: S608
        for number, topic, time, event, audience, feature in self._db.execute(rows, key).fetchall():
            publication, details = self._publication(topic, event)
            entry = Entry(topic, publication, details, _audience(audience), feature)
            entry.time = time
            yield number, entry

    def append(self, match: str, uri: str, entry: Entry, oldest: int | None) -> int:
        """``entry`` is kept, and the one with the number ``oldest`` is not any more; returns its number."""
        row = (self._realm, match, uri, entry.topic, entry.time, *self._columns(entry))
        with self._writing():
            statement = "INSERT INTO history (realm, match, uri, topic, time, event, audience, feature)"
            number = self._db.execute(f"{statement} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid
            if oldest is not None:
                self._db.execute("DELETE FROM history WHERE number = ?", (oldest,))
        assert number is not None
        return number

    # ---- retained events ---------------------------------------------------------------------------------

    def retained(self) -> Iterator[Retained]:
        """All retained events, the oldest first."""
        rows = "SELECT topic, event, audience, feature FROM retained WHERE realm = ? ORDER BY number"
        for topic, event, audience, feature in self._db.execute(rows, (self._realm,)).fetchall():
            publication, details = self._publication(topic, event)
            yield Retained(topic, publication, details, _audience(audience), feature)

    def retain(self, topic: str, events: Iterable[Retained]) -> None:
        """``events``, the newest last, are all that is retained for ``topic``; without those for certain sessions."""
        rows = [
            (self._realm, topic, *self._columns(event))
            for event in events
            if event.audience is None or not event.audience.names_sessions
        ]
        with self._writing():
            self._db.execute("DELETE FROM retained WHERE realm = ? AND topic = ?", (self._realm, topic))
            self._db.executemany(
                "INSERT INTO retained (realm, topic, event, audience, feature) VALUES (?, ?, ?, ?, ?)", rows
            )

    # ---- rows --------------------------------------------------------------------------------------------

    def _columns(self, kept: Entry | Retained) -> tuple[bytes, str | None, str]:
        try:
            event = _CBOR.encode(kept.publication.event(1, kept.details, None))
        except SerializationError as exc:
            raise ApplicationError(ApplicationError.INVALID_PAYLOAD, f"an event that cannot be kept: {exc}") from exc
        audience = None if kept.audience is None else json.dumps(kept.audience.rules())
        return event, audience, kept.passthru_feature

    def _publication(self, topic: str, data: bytes) -> tuple[Publication, dict[str, Any]]:
        try:
            event = _CBOR.decode(data)
        except ProtocolError as exc:
            raise ValueError(f"expected events in {self.path!r}, got other octets: {exc}") from exc
        assert isinstance(event, Event)
        msg = Publish(1, {}, topic, event.args, event.kwargs)
        return Publication(self._delivery, msg, None, event.publication), event.details

    def _writing(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """All or nothing; what the file refuses becomes an ``ApplicationError`` for whoever published."""

    __slots__ = ("_db",)

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as exc:
            raise _failed(exc) from exc

    def __exit__(self, kind: Any, exc: BaseException | None, traceback: Any) -> None:
        try:
            self._db.execute("COMMIT" if exc is None else "ROLLBACK")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.rollback()
            raise _failed(error) from error
        if isinstance(exc, sqlite3.Error):
            raise _failed(exc) from exc


def _failed(exc: sqlite3.Error) -> ApplicationError:
    log.error("the event cannot be kept: %s", exc)
    return ApplicationError("wamp.error.unavailable", "the router cannot keep the event now")


def _audience(text: str | None) -> Audience | None:
    if text is None:
        return None
    return Audience([(attribute, wanted, frozenset(values)) for attribute, wanted, values in json.loads(text)])

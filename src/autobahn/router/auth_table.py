"""Principals in an SQLite file: read anew at each login, so that changes count at once.

The table is ``principals (method TEXT, authid TEXT, principal TEXT, PRIMARY KEY (method, authid))``; ``principal`` is a
JSON object with what a principal in the configuration has (``role``, ``ticket``, ``secret``, ...).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autobahn.router.auth_principals import Principal
from autobahn.router.login import Login

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS principals "
    "(method TEXT NOT NULL, authid TEXT NOT NULL, principal TEXT NOT NULL, PRIMARY KEY (method, authid))"
)


class Table:
    """The principals of one method in the file ``path``. Raises ``ValueError`` when it has no such table."""

    def __init__(self, path: str, method: str, role: str | None) -> None:
        self._path = path
        self._method = method
        self._role = role
        self.known()

    async def find(self, login: Login, authid: str | None, **facts: Any) -> Principal | None:
        """The principal as the file has it now."""
        if authid is None:
            return None
        row = self._rows("SELECT principal FROM principals WHERE method = ? AND authid = ?", self._method, authid)
        return self._principal(authid, row[0][0]) if row else None

    def known(self) -> Mapping[str, Principal]:
        """All principals that are there now."""
        rows = self._rows("SELECT authid, principal FROM principals WHERE method = ?", self._method)
        return {authid: self._principal(authid, text) for authid, text in rows}

    def _rows(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        try:
            with opened(self._path) as db:
                return db.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            raise ValueError(f"expected a table of principals in {self._path!r}, got an error: {exc}") from exc

    def _principal(self, authid: str, text: str) -> Principal:
        try:
            data = json.loads(text)
        except (TypeError, ValueError) as exc:
            raise ValueError(f"expected a JSON object for {authid!r} in {self._path!r}, got an error: {exc}") from exc
        if not isinstance(data, dict):
            raise ValueError(f"expected a JSON object for {authid!r} in {self._path!r}, got {type(data).__name__}")
        return Principal.parse(data, authid, "sqlite", self._role)


@contextlib.contextmanager
def opened(path: str, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    """The file, closed at the end of the block; ``mode`` "rwc" makes it."""
    db = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode={mode}", uri=True, timeout=1.0)
    try:
        yield db
    finally:
        db.close()


def store_principal(path: str, method: str, authid: str, principal: Mapping[str, Any] | None) -> None:
    """``authid`` may log in by ``method`` as ``principal`` from now on; None: may not. The file is made if need be."""
    with opened(path, "rwc") as db, db:
        db.execute(SCHEMA)
        db.execute("DELETE FROM principals WHERE method = ? AND authid = ?", (method, authid))
        if principal is not None:
            row = (method, authid, json.dumps(dict(principal)))
            db.execute("INSERT INTO principals (method, authid, principal) VALUES (?, ?, ?)", row)

"""Identifiers the router hands out (WAMP "IDs").

Global scope (sessions, publications): drawn uniformly from 1..2^53 out of the system's CSPRNG. Router scope
(subscriptions, registrations): small numbers, because JavaScript peers trip over ids above 2^32. Session
scope (INVOCATION requests): a counter per session that wraps after 2^53.
"""

from __future__ import annotations

import os
from struct import Struct

from autobahn.wamp.message import MAX_ID

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32 that are not taken for each other
_LETTER_OF = (_LETTERS * 8).encode()  # by octet
_WORDS = Struct("<256Q")
_SHIFT = 64 - 53  # an id has 53 random bits


class GlobalIds:
    """Source of global ids; asks the system for randomness once per 256 of them."""

    __slots__ = ("_pool",)

    def __init__(self) -> None:
        self._pool: list[int] = []

    def next(self) -> int:
        """A fresh id."""
        if not self._pool:
            self._pool = list(_WORDS.unpack(os.urandom(_WORDS.size)))
        return (self._pool.pop() >> _SHIFT) + 1


def following(counter: int) -> int:
    """The session-scope id after ``counter``: 1 after 0 and after 2^53."""
    return counter + 1 if counter < MAX_ID else 1


def random_authid() -> str:
    """An authid for a client that did not prove to be anybody: four groups of five characters."""
    text = os.urandom(20).translate(_LETTER_OF).decode()
    return f"{text[:5]}-{text[5:10]}-{text[10:15]}-{text[15:]}"

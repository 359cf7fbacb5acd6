"""Which message may arrive in which state of a session: one table judges both ends (WAMP "Sessions").

``ALLOWED[role][state]`` maps the code of an arriving message to the state that holds after it; a code that is
not in it is a protocol violation. A session may keep ``ALLOWED[role][state]`` of its present state and look
the code up itself on the hot path; ``check`` is the same question with the error text.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.message import BY_CODE

Role = Literal["client", "router"]
"""Whose end is asked: the *receiver* of the message."""


class State(IntEnum):
    """State of a session, seen from one end."""

    CLOSED = 0
    """No session. The router waits for HELLO; the client has not sent it, or the session is over."""
    ESTABLISHING = 1
    """HELLO was sent, or is being judged; also while the router judges an AUTHENTICATE."""
    CHALLENGING = 2
    """CHALLENGE was sent (router) or received (client)."""
    ESTABLISHED = 3
    """WELCOME was sent or received."""
    SHUTTING_DOWN = 4
    """We sent GOODBYE; everything but the answer is ignored."""
    CLOSING = 5
    """The peer sent GOODBYE and our answer is due; everything is ignored until the session is ``CLOSED``."""
    FAILED = 6
    """We sent ABORT; nothing counts any more and the transport is closing."""


ERROR_TYPES: dict[Role, frozenset[int]] = {
    "client": frozenset({16, 32, 34, 48, 64, 66}),
    "router": frozenset({68}),
}
"""REQUEST.Type that an arriving ERROR may carry: the requests that this end sends."""

_EVERYTHING = frozenset(BY_CODE)

_FROM_ROUTER = frozenset({8, 17, 33, 35, 36, 50, 65, 67, 68, 69})
_FROM_CLIENT = frozenset({8, 16, 32, 34, 48, 49, 64, 66, 70, 337})
ABORT, GOODBYE = 3, 6

Transitions = dict[int, State]


def _established(data: frozenset[int]) -> Transitions:
    table = dict.fromkeys(data, State.ESTABLISHED)
    table[ABORT] = State.CLOSED  # never answered
    table[GOODBYE] = State.CLOSING  # answered with GOODBYE
    return table


_SHUTTING_DOWN: Transitions = {
    **dict.fromkeys(_EVERYTHING, State.SHUTTING_DOWN),
    ABORT: State.CLOSED,
    GOODBYE: State.CLOSED,
}
_IGNORING: dict[State, Transitions] = {
    State.SHUTTING_DOWN: _SHUTTING_DOWN,
    State.CLOSING: dict.fromkeys(_EVERYTHING, State.CLOSING),
    State.FAILED: dict.fromkeys(_EVERYTHING, State.FAILED),
}

ALLOWED: dict[Role, dict[State, Transitions]] = {
    "client": {
        State.CLOSED: {ABORT: State.CLOSED},
        State.ESTABLISHING: {2: State.ESTABLISHED, ABORT: State.CLOSED, 4: State.CHALLENGING},
        State.CHALLENGING: {2: State.ESTABLISHED, ABORT: State.CLOSED},
        State.ESTABLISHED: _established(_FROM_ROUTER),
        **_IGNORING,
    },
    "router": {
        State.CLOSED: {1: State.ESTABLISHING, ABORT: State.CLOSED},
        State.ESTABLISHING: {ABORT: State.CLOSED},
        State.CHALLENGING: {ABORT: State.CLOSED, 5: State.ESTABLISHING},
        State.ESTABLISHED: _established(_FROM_CLIENT),
        **_IGNORING,
    },
}


def name_of(code: int) -> str:
    """``CALL (48)``: the name of a message type as the specification writes it, with its code."""
    cls = BY_CODE.get(code)
    if cls is None:
        return f"message type {code}"
    name = "EVENT_RECEIVED" if code == 337 else cls.__name__.upper()
    return f"{name} ({code})"


def check(role: Role, state: State, code: int) -> State:
    """The state after a message with ``code`` has arrived; raises ``ProtocolError`` if it must not arrive."""
    allowed = ALLOWED[role][state]
    following = allowed.get(code)
    if following is not None:
        return following
    raise ProtocolError(
        f"expected {_expected(role, state)}, got {name_of(code)} (the session of the {role} is {state.name})"
    )


def check_error(role: Role, request_type: int) -> None:
    """An arriving ERROR answers something this end sends; raises ``ProtocolError`` otherwise."""
    if request_type not in ERROR_TYPES[role]:
        expected = ", ".join(name_of(code) for code in sorted(ERROR_TYPES[role]))
        raise ProtocolError(f"expected an ERROR for one of {expected}, got one for {name_of(request_type)}")


def _expected(role: Role, state: State) -> str:
    if state is State.ESTABLISHED:
        return "a message that a router sends" if role == "client" else "a message that a client sends"
    codes = [code for code in sorted(ALLOWED[role][state]) if code != ABORT]
    return " or ".join(name_of(code) for code in codes) or "no message"

"""The session table: every role x state x message code."""

from __future__ import annotations

import pytest

from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.lifecycle import ALLOWED, ERROR_TYPES, State, check, check_error, name_of
from autobahn.wamp.message import BY_CODE

S = State
ROUTER_SENDS = {8, 17, 33, 35, 36, 50, 65, 67, 68, 69}
CLIENT_SENDS = {8, 16, 32, 34, 48, 49, 64, 66, 70, 337}

EXPECTED: dict[tuple[str, State], dict[int, State]] = {
    ("client", S.CLOSED): {3: S.CLOSED},
    ("client", S.ESTABLISHING): {2: S.ESTABLISHED, 3: S.CLOSED, 4: S.CHALLENGING},
    ("client", S.CHALLENGING): {2: S.ESTABLISHED, 3: S.CLOSED},
    ("client", S.ESTABLISHED): {3: S.CLOSED, 6: S.CLOSING, **dict.fromkeys(ROUTER_SENDS, S.ESTABLISHED)},
    ("router", S.CLOSED): {1: S.ESTABLISHING, 3: S.CLOSED},
    ("router", S.ESTABLISHING): {3: S.CLOSED},
    ("router", S.CHALLENGING): {3: S.CLOSED, 5: S.ESTABLISHING},
    ("router", S.ESTABLISHED): {3: S.CLOSED, 6: S.CLOSING, **dict.fromkeys(CLIENT_SENDS, S.ESTABLISHED)},
}
for role in ("client", "router"):
    EXPECTED[role, S.SHUTTING_DOWN] = {**dict.fromkeys(BY_CODE, S.SHUTTING_DOWN), 3: S.CLOSED, 6: S.CLOSED}
    EXPECTED[role, S.CLOSING] = dict.fromkeys(BY_CODE, S.CLOSING)
    EXPECTED[role, S.FAILED] = dict.fromkeys(BY_CODE, S.FAILED)


@pytest.mark.parametrize("role", ["client", "router"])
@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_T_PV_table(role: str, state: State, code: int) -> None:
    following = EXPECTED[role, state].get(code)
    assert ALLOWED[role][state].get(code) is following  # type: ignore[index]
    if following is None:
        with pytest.raises(ProtocolError, match=r"expected .*, got [A-Z_]+ \(\d+\)"):
            check(role, state, code)  # type: ignore[arg-type]
    else:
        assert check(role, state, code) is following  # type: ignore[arg-type]


def test_the_text_says_what_was_expected() -> None:
    with pytest.raises(ProtocolError, match=r"expected HELLO \(1\), got CALL \(48\) .*CLOSED"):
        check("router", S.CLOSED, 48)
    with pytest.raises(ProtocolError, match=r"expected WELCOME \(2\) or CHALLENGE \(4\), got EVENT \(36\)"):
        check("client", S.ESTABLISHING, 36)
    with pytest.raises(ProtocolError, match=r"expected a message that a client sends, got HELLO \(1\)"):
        check("router", S.ESTABLISHED, 1)
    with pytest.raises(ProtocolError, match=r"expected no message, got AUTHENTICATE \(5\)"):
        check("router", S.ESTABLISHING, 5)
    with pytest.raises(ProtocolError, match="message type 999"):
        check("router", S.ESTABLISHED, 999)
    assert name_of(337) == "EVENT_RECEIVED (337)"


@pytest.mark.parametrize("request_type", [0, 1, 8, *sorted(BY_CODE)])
def test_error_answers_what_this_end_sends(request_type: int) -> None:
    for role, good in (("client", {16, 32, 34, 48, 64, 66}), ("router", {68})):
        assert ERROR_TYPES[role] == good  # type: ignore[index]
        if request_type in good:
            check_error(role, request_type)  # type: ignore[arg-type]
        else:
            with pytest.raises(ProtocolError, match="expected an ERROR for one of"):
                check_error(role, request_type)  # type: ignore[arg-type]

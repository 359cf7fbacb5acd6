"""The known keys of Options and Details on the wire, and what their values must be (WAMP "Messages").

``validate(code, options)`` raises ``ProtocolError`` when the value of a known key has the wrong type. Unknown
keys are ignored, as the specification demands; ``None`` counts as absent, because peers send it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.lifecycle import name_of
from autobahn.wamp.message import BY_CODE, Message


class _Rule:
    """A value that is more than one type: the words for it, and the judgement."""

    __slots__ = ("expected", "holds")

    def __init__(self, expected: str, holds: Callable[[Any], bool]) -> None:
        self.expected = expected
        self.holds = holds


def _one_of(*choices: str) -> _Rule:
    return _Rule(f"one of {', '.join(choices)}", lambda v: type(v) is str and v in choices)


def _list_of(kind: type) -> _Rule:
    return _Rule(f"a list of {kind.__name__}", lambda v: type(v) is list and all(type(item) is kind for item in v))


def _is_forward_for(value: Any) -> bool:
    return type(value) is list and all(
        type(hop) is dict
        and type(hop.get("session")) is int
        and isinstance(hop.get("authid"), str | None)
        and type(hop.get("authrole")) is str
        for hop in value
    )


def _is_enc_algo(value: Any) -> bool:
    return type(value) is str and (value in {"cryptobox", "mqtt", "xbr"} or value.startswith("x_"))


def _are_roles(names: frozenset[str]) -> Callable[[Any], bool]:
    def holds(roles: Any) -> bool:
        if type(roles) is not dict or names.isdisjoint(roles):
            return False
        for name, role in roles.items():  # noqa: SIM110 - a loop: every join comes by here
            if role is not None and name in names and not _is_role(role):
                return False
        return True

    return holds


def _is_role(role: Any) -> bool:
    if type(role) is not dict:
        return False
    features = role.get("features")
    if not features:
        return features is None or type(features) is dict
    if type(features) is not dict:
        return False
    for value in features.values():  # noqa: SIM110
        if value is not None and type(value) is not bool:
            return False
    return True


_ID = _Rule("an id (int)", lambda v: type(v) is int and v >= 0)
_IDS = _list_of(int)
_MATCH = _one_of("exact", "prefix", "wildcard")
_MODE = _one_of("skip", "kill", "killnowait")
_NUMBER = _Rule("a number", lambda v: type(v) in (int, float))  # what is wrong with it is an ERROR, not a violation
_COUNT = _Rule("an int, 0 or more", lambda v: type(v) is int and v >= 0)
_CLIENT_ROLES = _Rule(
    "a dict of roles (publisher, subscriber, caller, callee), features being bool",
    _are_roles(frozenset({"publisher", "subscriber", "caller", "callee"})),
)
_ROUTER_ROLES = _Rule(
    "a dict of roles (broker, dealer), features being bool", _are_roles(frozenset({"broker", "dealer"}))
)

_Rules = dict[str, "type | _Rule"]

# Payload Passthru Mode and its older form in autobahn and crossbar
_PAYLOAD: _Rules = {
    "ppt_scheme": str, "ppt_serializer": str, "ppt_cipher": str, "ppt_keyid": str,
    "enc_algo": _Rule("one of cryptobox, mqtt, xbr, x_...", _is_enc_algo),
    "enc_serializer": str, "enc_key": str,
    "forward_for": _Rule("a list of dicts with session, authid and authrole", _is_forward_for),
    "transaction_hash": str,
}  # fmt: skip
_FORWARD: _Rules = {"forward_for": _PAYLOAD["forward_for"]}
_PRINCIPAL: _Rules = {"authid": str, "authrole": str, "authextra": dict, "agent": str}
_CALLEE: _Rules = {"callee": _ID, "callee_authid": str, "callee_authrole": str}
_CALLER: _Rules = {"caller": _ID, "caller_authid": str, "caller_authrole": str}

RULES: dict[int, _Rules] = {
    1: {
        **_PRINCIPAL, "roles": _CLIENT_ROLES, "authmethods": _list_of(str),
        "resumable": bool, "resume-session": int, "resume-token": str,
    },
    2: {
        **_PRINCIPAL, "roles": _ROUTER_ROLES, "realm": str, "authmethod": str, "authprovider": str,
        "resumed": bool, "resumable": bool, "resume-token": str,
    },
    3: {"message": str, "scram": str},
    6: {"message": str, "resumable": bool},
    8: {**_PAYLOAD, **_CALLEE},
    16: {
        **_PAYLOAD, "acknowledge": bool, "exclude_me": bool, "disclose_me": bool, "retain": bool,
        "x_acknowledged_delivery": bool,
        "exclude": _IDS, "exclude_authid": _list_of(str), "exclude_authrole": _list_of(str),
        "eligible": _IDS, "eligible_authid": _list_of(str), "eligible_authrole": _list_of(str),
        "rkey": str,
    },
    32: {**_FORWARD, "match": _MATCH, "get_retained": bool, "nkey": str},
    35: {"subscription": _ID, "reason": str},
    36: {
        **_PAYLOAD, "publisher": _ID, "publisher_authid": str, "publisher_authrole": str, "topic": str,
        "trustlevel": int, "retained": bool, "x_acknowledged_delivery": bool,
    },
    48: {
        **_PAYLOAD, **_CALLER, "receive_progress": bool, "progress": bool, "disclose_me": bool,
        "timeout": _NUMBER, "rkey": str, "runmode": str,
    },
    49: {**_FORWARD, "mode": _MODE},
    50: {**_PAYLOAD, **_CALLEE, "progress": bool},
    64: {
        **_FORWARD, "match": _MATCH, "invoke": _one_of("single", "roundrobin", "random", "first", "last"),
        "disclose_caller": bool, "forward_timeout": bool, "concurrency": _COUNT, "force_reregister": bool,
    },
    67: {"registration": _ID, "reason": str},
    68: {
        **_PAYLOAD, **_CALLER, "procedure": str, "receive_progress": bool, "progress": bool,
        "timeout": _COUNT, "trustlevel": int,
    },
    69: {**_FORWARD, "mode": _MODE},
    70: {**_PAYLOAD, **_CALLEE, "progress": bool},
}  # fmt: skip

_REQUIRED = {1: "roles", 2: "roles"}


def _dict_field(cls: type[Message]) -> str | None:
    for name in ("options", "details", "extra"):
        if name in cls.__struct_fields__:
            return name
    return None


DICT_FIELD: dict[int, str | None] = {code: _dict_field(cls) for code, cls in BY_CODE.items()}
"""The name of the field with Options, Details or Extra."""

_nothing: Callable[[Any], Any] = lambda msg: None  # noqa: E731

OPTIONS_OF: dict[int, Callable[[Message], Any]] = {
    code: attrgetter(name) if name and (code in RULES) else _nothing for code, name in DICT_FIELD.items()
}
"""Gets Options or Details of a message with ``code``, or None when there is nothing to validate."""


def validate(code: int, options: dict[str, Any]) -> None:
    """The known keys in ``options`` have values of their types; raises ``ProtocolError`` otherwise."""
    rules = RULES[code]
    for key, value in options.items():
        rule = rules.get(key)
        if rule is None or value is None or type(value) is rule:
            continue
        if isinstance(rule, type):
            expected = rule.__name__
        elif rule.holds(value):
            continue
        else:
            expected = rule.expected
        text = repr(value)
        got = f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
        raise ProtocolError(f'expected {expected} for "{key}" in {name_of(code)}, got {got}')


def require(code: int, options: dict[str, Any]) -> None:
    """What must be there is there: roles in HELLO and WELCOME."""
    key = _REQUIRED.get(code)
    if key is not None and options.get(key) is None:
        raise ProtocolError(f'expected "{key}" in the Details of {name_of(code)}, got none')


def repair(code: int, options: dict[str, Any], is_undefined: Callable[[Any], bool]) -> dict[str, Any]:
    """``options`` as JavaScript peers mean them: floats for integers, keys without a value left out."""
    rules = RULES[code]
    repaired: dict[str, Any] = {}
    for key, value in options.items():
        if is_undefined(value):
            continue
        rule = rules.get(key)
        if rule is int or rule is _ID or rule is _COUNT:
            value = integral(value)
        elif rule is _IDS and type(value) is list:
            value = [integral(item) for item in value]
        repaired[key] = value
    return repaired


def integral(value: Any) -> Any:
    """An integer for a float without fraction; anything else unchanged."""
    return int(value) if type(value) is float and value.is_integer() else value

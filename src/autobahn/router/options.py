"""The options clients send: types are checked, unknown keys are ignored (WAMP "Extensibility").

A known key with a value of the wrong type is a protocol violation; ``None`` counts as absent, because
JavaScript peers send options they left undefined. A value of the right type that this router does not serve
is the caller's business and becomes an ERROR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.router.patterns import EXACT, MATCHES
from autobahn.router.peer import Peer
from autobahn.wamp.exception import ApplicationError, ProtocolError
from autobahn.wamp.lifecycle import name_of
from autobahn.wamp.uri import is_valid

OPTION_NOT_ALLOWED = "wamp.error.option_not_allowed"

Options = dict[str, Any]
Kind = tuple[Callable[[Any], bool], str]


def _is_ids(value: Any) -> bool:
    return type(value) is list and all(type(item) is int for item in value)


def _is_strings(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


_BOOL: Kind = (lambda value: type(value) is bool, "a boolean")
_INT: Kind = (lambda value: type(value) is int, "an integer")
_STR: Kind = (lambda value: type(value) is str, "a string")
_IDS: Kind = (_is_ids, "a list of session ids")
_STRINGS: Kind = (_is_strings, "a list of strings")
_CANCEL_MODE: Kind = (lambda value: value in ("skip", "kill", "killnowait"), "skip, kill or killnowait")

_KINDS: dict[int, dict[str, Kind]] = {
    16: {
        "acknowledge": _BOOL,
        "exclude_me": _BOOL,
        "disclose_me": _BOOL,
        "retain": _BOOL,
        "exclude": _IDS,
        "eligible": _IDS,
        "exclude_authid": _STRINGS,
        "exclude_authrole": _STRINGS,
        "eligible_authid": _STRINGS,
        "eligible_authrole": _STRINGS,
        "rkey": _STR,
    },
    32: {"match": _STR, "get_retained": _BOOL, "nkey": _STR},
    48: {
        "receive_progress": _BOOL,
        "progress": _BOOL,
        "disclose_me": _BOOL,
        "timeout": _INT,
        "runmode": _STR,
        "rkey": _STR,
    },
    49: {"mode": _CANCEL_MODE},
    64: {"match": _STR, "invoke": _STR, "disclose_caller": _BOOL, "forward_timeout": _BOOL},
    70: {"progress": _BOOL},
}
_INVOKES = ("first", "last", "roundrobin", "random")


def check_types(code: int, options: Options) -> None:
    """The known ``options`` of a message have their types; raises ``ProtocolError`` otherwise."""
    kinds = _KINDS[code]
    for key, value in options.items():
        kind = kinds.get(key)
        if kind is not None and value is not None and not kind[0](value):
            raise ProtocolError(
                f"expected {kind[1]} for the option {key!r} of {name_of(code)}, got {value!r:.100}"
            )
    if options.get("ppt_scheme") is not None:  # WAMP "Payload Passthru Mode": not announced by this router
        raise ProtocolError(f"{name_of(code)} uses payload passthru mode, which the router has not announced")


def match_policy(options: Options) -> str:
    """The match policy a SUBSCRIBE or REGISTER asks for."""
    match = options.get("match")
    if match is None:
        return EXACT
    if match not in MATCHES:
        raise ApplicationError(
            ApplicationError.INVALID_ARGUMENT,
            f"expected one of {', '.join(MATCHES)} for option 'match', got {match!r:.100}",
        )
    return str(match)


def check_register(options: Options) -> None:
    """A REGISTER asks for nothing that this router does not serve."""
    invoke = options.get("invoke")
    if invoke is not None and invoke != "single":
        if invoke not in _INVOKES:
            raise ApplicationError(
                ApplicationError.INVALID_ARGUMENT,
                f"expected one of single, {', '.join(_INVOKES)} for option 'invoke', got {invoke!r:.100}",
            )
        raise ApplicationError(
            OPTION_NOT_ALLOWED, f"this router has no shared registrations (invoke={invoke!r})"
        )
    if options.get("disclose_caller"):
        raise ApplicationError(OPTION_NOT_ALLOWED, "this router does not disclose callers for a registration")


def is_reserved(uri: str) -> bool:
    """Whether ``uri`` belongs to WAMP itself (WAMP "Reserved URIs")."""
    return uri.startswith("wamp.") or uri == "wamp"


def check_uri(uri: str, match: str = EXACT) -> None:
    """``uri`` has the shape that a request with this match policy needs."""
    if not is_valid(uri, match):
        raise ApplicationError(
            ApplicationError.INVALID_URI, f"expected a valid URI (match {match}), got {uri!r:.300}"
        )


def check_writable(uri: str, match: str = EXACT) -> None:
    """``uri`` is valid and a client may publish to it or register it."""
    check_uri(uri, match)
    if is_reserved(uri):
        raise ApplicationError(
            ApplicationError.INVALID_URI, f"{uri!r} is reserved: the component 'wamp' is WAMP's own"
        )


class Audience:
    """Which subscribers get an event, by the lists of PUBLISH (WAMP "Subscriber Black- and Whitelisting")."""

    __slots__ = ("_rules",)

    def __init__(self, rules: list[tuple[str, bool, frozenset[Any]]]) -> None:
        self._rules = rules

    def admits(self, peer: Peer) -> bool:
        """In no exclude list and in every eligible list."""
        return all(
            (getattr(peer, attribute) in values) is wanted for attribute, wanted, values in self._rules
        )


_LISTS = (
    ("exclude", "id", False),
    ("exclude_authid", "authid", False),
    ("exclude_authrole", "authrole", False),
    ("eligible", "id", True),
    ("eligible_authid", "authid", True),
    ("eligible_authrole", "authrole", True),
)


def audience(options: Options) -> Audience | None:
    """The audience that checked PUBLISH options describe; None: everybody. An empty list is a list."""
    rules = [
        (attribute, wanted, frozenset(options[key]))
        for key, attribute, wanted in _LISTS
        if options.get(key) is not None
    ]
    return Audience(rules) if rules else None

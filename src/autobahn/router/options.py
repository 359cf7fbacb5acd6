"""What the options of clients ask for.

Their types have been checked by the link they came over (``wamp.options``), where a wrong one is a protocol
violation; ``None`` counts as absent. What this router does not serve becomes an ERROR.
"""

from __future__ import annotations

from typing import Any

from autobahn.router.patterns import EXACT
from autobahn.router.peer import Peer
from autobahn.wamp.exception import ApplicationError, ProtocolError
from autobahn.wamp.lifecycle import name_of
from autobahn.wamp.uri import is_valid

OPTION_NOT_ALLOWED = "wamp.error.option_not_allowed"

Options = dict[str, Any]


def refuse_passthru(code: int, options: Options) -> None:
    """``options`` ask for nothing that the receiver of the payload would have to be told.

    Payload passthru mode and its older form ``enc_algo`` were not announced; without their details the
    receiver could not make sense of the payload.
    """
    if options.get("ppt_scheme") is not None or options.get("enc_algo") is not None:
        raise ProtocolError(f"{name_of(code)} uses payload passthru mode, which was not announced")


def check_register(options: Options) -> None:
    """A REGISTER asks for nothing that this router does not serve."""
    invoke = options.get("invoke")
    if invoke is not None and invoke != "single":
        raise ApplicationError(OPTION_NOT_ALLOWED, f"this router has no shared registrations (invoke={invoke!r})")
    if options.get("disclose_caller"):
        raise ApplicationError(OPTION_NOT_ALLOWED, "this router does not disclose callers for a registration")


def is_reserved(uri: str) -> bool:
    """Whether ``uri`` belongs to WAMP itself (WAMP "Reserved URIs")."""
    return uri.startswith("wamp.") or uri == "wamp"


def check_uri(uri: str, match: str = EXACT) -> None:
    """``uri`` has the shape that a request with this match policy needs."""
    if not is_valid(uri, match):
        raise ApplicationError(ApplicationError.INVALID_URI, f"expected a valid URI (match {match}), got {uri!r:.300}")


def check_writable(uri: str, match: str = EXACT) -> None:
    """``uri`` is valid and a client may publish to it or register it."""
    check_uri(uri, match)
    if is_reserved(uri):
        raise ApplicationError(ApplicationError.INVALID_URI, f"{uri!r} is reserved: the component 'wamp' is WAMP's own")


class Audience:
    """Which subscribers get an event, by the lists of PUBLISH (WAMP "Subscriber Black- and Whitelisting")."""

    __slots__ = ("_rules",)

    def __init__(self, rules: list[tuple[str, bool, frozenset[Any]]]) -> None:
        self._rules = rules

    def admits(self, peer: Peer) -> bool:
        """In no exclude list and in every eligible list."""
        return all((getattr(peer, attribute) in values) is wanted for attribute, wanted, values in self._rules)


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

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
DISCLOSURE_NOT_ALLOWED = "wamp.error.option_disallowed.disclose_me"
FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported"
LIMIT_EXCEEDED = "autobahn.error.limit_exceeded"
PASSTHRU = "payload_passthru_mode"
TRANSPARENCY = "payload_transparency"  # its older form in autobahn and crossbar

Options = dict[str, Any]

_PASSTHRU_KEYS = {
    PASSTHRU: ("ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid"),
    TRANSPARENCY: ("enc_algo", "enc_serializer", "enc_key"),
}
_CARRIED_KEYS = ("forward_for", "transaction_hash")


def passthru(sender: Peer, role: str, code: int, options: Options) -> Options:
    """What a receiver has to be told of a payload that is passed through; empty for an ordinary payload."""
    feature = passthru_feature(options)
    if not feature:
        return {}
    if not sender.announced(role, feature):
        raise ProtocolError(f"{name_of(code)} uses {feature}, which the {role} has not announced")
    return {key: options[key] for key in _PASSTHRU_KEYS[feature] if options.get(key) is not None}


def passthru_feature(options: Options) -> str:
    """The feature that both ends need for the payload that comes with ``options``; "" for an ordinary one."""
    if options.get("enc_algo") is not None:
        return TRANSPARENCY
    return PASSTHRU if options.get("ppt_scheme") is not None else ""


def carried(options: Options) -> Options:
    """The options that travel on as they are."""
    return {key: options[key] for key in _CARRIED_KEYS if options.get(key) is not None}


def disclose(details: Options, who: str, peer: Peer) -> None:
    """``details`` say who ``peer`` is; ``who``: "caller" or "publisher"."""
    details[who] = peer.id
    details[f"{who}_authid"] = peer.authid
    details[f"{who}_authrole"] = peer.authrole


def is_disclosed(policy: str, options: Options) -> bool:
    """Whether the sender of a message with ``options`` is disclosed; refuses what the realm's policy forbids."""
    if policy == "always":
        return True
    if not options.get("disclose_me"):
        return False
    if policy == "never":
        raise ApplicationError(DISCLOSURE_NOT_ALLOWED, "this realm discloses nobody (disclose_me)")
    return True


def check_limit(peer: Peer, held: int, limit: int | None, what: str) -> None:
    """One more than ``held`` is within ``limit``, which does not hold for the router's own sessions."""
    if limit is not None and held >= limit and not peer.is_trusted:
        raise ApplicationError(LIMIT_EXCEEDED, f"expected at most {limit} {what} per session, got one more")


def is_reserved(uri: str) -> bool:
    """Whether ``uri`` belongs to WAMP itself (WAMP "Reserved URIs")."""
    return uri.startswith("wamp.") or uri == "wamp"


def check_uri(uri: str, match: str = EXACT, strict: bool = False) -> None:
    """``uri`` has the shape that a request with this match policy needs."""
    if not is_valid(uri, match, strict):
        kind = f"strict, match {match}" if strict else f"match {match}"
        raise ApplicationError(ApplicationError.INVALID_URI, f"expected a valid URI ({kind}), got {uri!r:.300}")


def check_writable(peer: Peer, uri: str, match: str = EXACT, strict: bool = False) -> None:
    """``uri`` is valid and ``peer`` may publish to it or register it: only the router's own sessions use ``wamp.``."""
    check_uri(uri, match, strict)
    if is_reserved(uri) and not peer.is_trusted:
        raise ApplicationError(ApplicationError.INVALID_URI, f"{uri!r} is reserved: the component 'wamp' is WAMP's own")


class Audience:
    """Which subscribers get an event, by the lists of PUBLISH (WAMP "Subscriber Black- and Whitelisting")."""

    __slots__ = ("_rules",)

    def __init__(self, rules: list[tuple[str, bool, frozenset[Any]]]) -> None:
        self._rules = rules

    @property
    def names_sessions(self) -> bool:
        """Whether a list of session ids is among the rules, which mean nothing to later sessions."""
        return any(attribute == "id" for attribute, _, _ in self._rules)

    def rules(self) -> list[tuple[str, bool, list[Any]]]:
        """The rules as plain lists."""
        return [(attribute, wanted, sorted(values)) for attribute, wanted, values in self._rules]

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

"""Static permissions: rules about URIs and patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autobahn.router.patterns import EXACT, MATCHES, PREFIX, WILDCARD

ACTIONS = {16: "publish", 32: "subscribe", 48: "call", 64: "register"}
_NAMES = frozenset(ACTIONS.values())
_KEYS = frozenset({"uri", "match", "allow", "disclose", "cache", "validate"})


class Rule:
    """What may be done with one URI or pattern."""

    __slots__ = ("allow", "disclose", "match", "parts", "rank", "uri")

    def __init__(self, data: Any) -> None:
        if not isinstance(data, Mapping):
            raise ValueError(f"expected a dict as a rule, got {type(data).__name__}")
        if unknown := data.keys() - _KEYS:
            raise ValueError(f"expected {', '.join(sorted(_KEYS))} in a rule, got {min(unknown)!r}")
        uri, match = data.get("uri"), data.get("match")
        if not isinstance(uri, str):
            raise ValueError(f"expected a uri in a rule, got {uri!r:.100}")
        if match is None:
            match, uri = (PREFIX, uri[:-1]) if uri.endswith("*") else (EXACT, uri)
        if match not in MATCHES:
            raise ValueError(f"expected match out of {', '.join(MATCHES)} in the rule for {uri!r}, got {match!r}")
        self.uri = uri
        self.match = match
        self.parts = uri.split(".")
        self.rank = (match == EXACT, len(uri), match == PREFIX)
        self.allow = _actions(data.get("allow", ()), uri)
        self.disclose = _disclosure(data.get("disclose"), uri)

    def covers(self, match: str, uri: str, parts: list[str]) -> bool:
        """Whether all that ``uri`` stands for under ``match`` is this rule's."""
        if self.match == PREFIX:
            return (uri if match != WILDCARD else literal_head(parts)).startswith(self.uri)
        if match == PREFIX:
            return False
        if self.match == EXACT:
            return uri == self.uri and (match == EXACT or "" not in parts)
        return len(parts) == len(self.parts) and all(
            mine in {"", theirs} for mine, theirs in zip(self.parts, parts, strict=True)
        )

    def touches(self, match: str, parts: list[str]) -> bool:
        """Whether some URI may be this rule's and match the pattern of ``parts``."""
        if match == PREFIX and self.match == PREFIX:
            mine, theirs = self.uri, ".".join(parts)
            return mine.startswith(theirs) or theirs.startswith(mine)
        if match == PREFIX:
            return _extends(parts, self.parts)
        if self.match == PREFIX:
            return _extends(self.parts, parts)
        return len(parts) == len(self.parts) and all(
            a == b or not a or not b for a, b in zip(self.parts, parts, strict=True)
        )


class Rules:
    """The rules of one role."""

    def __init__(self, rules: Iterable[Any]) -> None:
        self._rules = sorted((Rule(data) for data in rules), key=lambda rule: rule.rank, reverse=True)

    def decide(self, code: int, match: str, uri: str) -> Rule | None:
        """The rule that decides about ``uri``; None when nothing is said of it.

        A pattern takes in all that it matches: when it is allowed, but something within it is not, that rule decides.
        """
        parts = uri.split(".")
        for rule in self._rules:
            if rule.covers(match, uri, parts):
                break
        else:
            return None
        action = ACTIONS[code]
        if match != EXACT and action in rule.allow:
            for other in self._rules:
                if other.rank > rule.rank and action not in other.allow and other.touches(match, parts):
                    return other
        return rule


def literal_head(parts: list[str]) -> str:
    """What all URIs begin with that match the wildcard pattern of ``parts``."""
    if "" not in parts:
        return ".".join(parts)
    at = parts.index("")
    return ".".join(parts[:at]) + "." if at else ""


def _extends(prefix: list[str], pattern: list[str]) -> bool:
    """Whether a URI that begins with ``prefix`` may match ``pattern``, whose empty components match anything."""
    if len(pattern) < len(prefix):
        return False
    *whole, last = prefix
    at = len(whole)
    fits = all(not b or a == b for a, b in zip(whole, pattern[:at], strict=True))
    return fits and (not pattern[at] or pattern[at].startswith(last))


def _actions(allow: Any, uri: str) -> frozenset[str]:
    if allow is True:
        return _NAMES
    if isinstance(allow, Mapping):
        if not all(isinstance(value, bool) for value in allow.values()):
            raise ValueError(f"expected true or false for each action in the rule for {uri!r}")
        names = frozenset(allow)
        chosen = frozenset(name for name, is_allowed in allow.items() if is_allowed)
    elif isinstance(allow, list | tuple | set | frozenset):
        names = chosen = frozenset(allow)
    else:
        raise ValueError(f"expected allow as a list or dict of actions in the rule for {uri!r}, got {allow!r:.100}")
    if unknown := names - _NAMES:
        raise ValueError(f"expected actions out of {', '.join(sorted(_NAMES))}, got {min(unknown, key=str)!r:.100}")
    return chosen


def _disclosure(disclose: Any, uri: str) -> dict[str, bool]:
    if disclose is None:
        return {}
    if not isinstance(disclose, Mapping) or not disclose.keys() <= {"caller", "publisher"}:
        raise ValueError(f"expected disclose as a dict with caller and publisher in the rule for {uri!r}")
    if not all(isinstance(value, bool) for value in disclose.values()):
        raise ValueError(f"expected true or false in disclose of the rule for {uri!r}")
    names = {"caller": "call", "publisher": "publish"}
    return {names[key]: value for key, value in disclose.items()}

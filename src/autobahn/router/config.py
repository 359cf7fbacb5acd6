"""What may be set for a realm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from autobahn.router.settings_kinds import FileToMake
from autobahn.wamp.uri import is_valid

Disclosure = Literal["ask", "always", "never"]
Takeover = Literal["any", "role", "authid", "never"]
SlowPolicy = Literal["disconnect", "drop-oldest", "drop-newest", "conflate"]


@dataclass(frozen=True, slots=True)
class HistoryTopic:
    """Events of a topic that are kept.

    Args:
        uri: the topic or pattern.
        match: how it matches: exact, prefix or wildcard.
        limit: how many are kept, the newest.
    """

    uri: str
    match: str = "exact"
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class RealmOptions:
    """How a realm behaves; the defaults are those of the specification and of its usual peers.

    Args:
        disclose_caller: who learns the caller of a call: whoever the client wants to ("ask"), every callee, nobody.
        disclose_publisher: the same for the publisher of an event.
        trustlevels: the trust level by role, 0 for roles that are not in it; None: no trust levels at all.
        prefix_match: "string": the prefix ``a.b`` matches ``a.bc``; "uri-component": it does not.
        max_call_timeout: milliseconds after which every call ends, also one without a timeout.
        call_queue: how many calls may wait per registration while all its callees are at their concurrency limit;
            the next one is refused.
        force_reregister: whose registrations a session may take over: everybody's ("any"), those of sessions with its
            authrole or authid ("role"), those of its authid, or nobody's.
        strict_uris: components of URIs are made of a-z, 0-9 and _.
        strict_request_ids: the ids of a client's requests must follow each other without gaps.
        max_registrations: how many procedures one session may serve.
        max_subscriptions: how many topics and patterns one session may subscribe to.
        max_calls: how many calls one session may have in flight.
        max_retained: how many topics may have a retained event.
        max_testaments: how many testaments one session may leave.
        meta_kill_roles: roles that may end sessions, registrations and subscriptions of others by the meta API; None:
            all but ``anonymous``.
        history: topics whose events are kept.
        store: an SQLite file in which event history and retained events are kept; None: in memory only. What is
            acknowledged is in the file: it outlives the process.
        store_sync: "normal": the operating system writes it to the disk in its time; "full": at once, so that it
            outlives a power failure, too.
        slow_policy: what gives way when a client reads its events too slowly (see `slow_queue`): its link
            ("disconnect"), the oldest events that wait ("drop-oldest"), the new ones ("drop-newest"), or all but the
            newest of each subscription and topic ("conflate").
        slow_queue: octets of events that may wait for a client beyond what its transport holds (64 KiB).
    """

    disclose_caller: Disclosure = "ask"
    disclose_publisher: Disclosure = "ask"
    trustlevels: Mapping[str, int] | None = None
    prefix_match: Literal["string", "uri-component"] = "string"
    max_call_timeout: int | None = None
    call_queue: int = 0
    force_reregister: Takeover = "role"
    strict_uris: bool = False
    strict_request_ids: bool = False
    max_registrations: int | None = None
    max_subscriptions: int | None = None
    max_calls: int | None = None
    max_retained: int = 10_000
    max_testaments: int = 100
    meta_kill_roles: frozenset[str] | None = None
    history: tuple[HistoryTopic, ...] = field(default=())
    store: Annotated[str, FileToMake()] | None = None
    store_sync: Literal["normal", "full"] = "normal"
    slow_policy: SlowPolicy = "disconnect"
    slow_queue: int = 4 << 20

    def __post_init__(self) -> None:
        """ValueError for what is none of the words, and for topics that none can have."""
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(f"expected {name} out of {', '.join(words)}, got {getattr(self, name)!r:.100}")
        if isinstance(self.slow_queue, bool) or not isinstance(self.slow_queue, int) or self.slow_queue < 0:
            raise ValueError(f"expected slow_queue as a number of octets, got {self.slow_queue!r:.100}")
        for topic in self.history:
            if topic.match not in _MATCHES:
                raise ValueError(f"expected match out of {', '.join(_MATCHES)} in history, got {topic.match!r:.100}")
            if not is_valid(topic.uri, topic.match, self.strict_uris):
                raise ValueError(f"expected a valid URI (match {topic.match}) in history, got {topic.uri!r:.300}")


_MATCHES = ("exact", "prefix", "wildcard")
_WORDS: dict[str, tuple[str, ...]] = {
    "disclose_caller": get_args(Disclosure),
    "disclose_publisher": get_args(Disclosure),
    "prefix_match": ("string", "uri-component"),
    "force_reregister": get_args(Takeover),
    "store_sync": ("normal", "full"),
    "slow_policy": get_args(SlowPolicy),
}

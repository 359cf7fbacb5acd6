"""What was published before: the events a router has kept of a subscription (WAMP "Event History")."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from autobahn.util import utcstr
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.request import Subscription
from autobahn.wamp.types import CallOptions, Event, EventDetails

PROCEDURE = "wamp.subscription.get_events"
FILTERS = frozenset({
    "reverse", "limit", "topic", "from_time", "after_time", "before_time", "until_time", "from_publication",
    "after_publication", "before_publication", "until_publication",
})  # fmt: skip


async def event_history(session: Any, subscription: Subscription | int, filters: dict[str, Any]) -> list[Event]:
    """The events kept of ``subscription`` that pass the filters."""
    if not isinstance(subscription, Subscription):
        subscription = Subscription(subscription, None, session, None)
    given = {name: _filter(name, value) for name, value in filters.items() if value is not None}
    result = await session.call(PROCEDURE, subscription.id, **given, options=CallOptions(details=True))
    found = list(result.results)
    if len(found) == 1 and isinstance(found[0], list):  # the specification spreads them, crossbar gives one list
        found = found[0]
    return [_event(entry, subscription) for entry in found]


def _filter(name: str, value: Any) -> Any:
    if name not in FILTERS:
        raise TypeError(f"expected filters out of {', '.join(sorted(FILTERS))}, got {name}")
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(f"expected {name} with a time zone, got {value!r}")
    return utcstr(value)


def _event(entry: Any, subscription: Subscription) -> Event:
    if not isinstance(entry, dict) or not isinstance(entry.get("publication"), int):
        text = f"expected events with their publication from {PROCEDURE}, got {entry!r:.100}"
        raise ApplicationError(ApplicationError.INVALID_PAYLOAD, text)
    said = entry.get("details") or {}
    details = EventDetails(
        subscription,
        entry["publication"],
        publisher=said.get("publisher"),
        publisher_authid=said.get("publisher_authid"),
        publisher_authrole=said.get("publisher_authrole"),
        topic=said.get("topic") or entry.get("topic") or subscription.topic,
        retained=said.get("retained"),
        trustlevel=said.get("trustlevel"),
    )
    return Event(list(entry.get("args") or ()), dict(entry.get("kwargs") or {}), details, entry.get("timestamp"))

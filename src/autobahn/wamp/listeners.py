"""Who listens to the events of a session or a component, by the event's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Listener = Callable[..., Any]


class Listeners:
    """Listeners of named events, in the order in which they were added.

    Whoever names an event that is not known gets ``RuntimeError``.
    """

    __slots__ = ("_by_event",)

    def __init__(self, events: Iterable[str]) -> None:
        self._by_event: dict[str, list[Listener]] = {event: [] for event in events}

    def of(self, event: str) -> list[Listener]:
        """Those of ``event``: the list itself."""
        try:
            return self._by_event[event]
        except KeyError:
            raise RuntimeError(f"expected an event name out of {', '.join(self._by_event)}, got {event!r}") from None

    def add(self, event: str, listener: Listener) -> None:
        """``listener`` is the last one of ``event``."""
        self.of(event).append(listener)

    def remove(self, event: str | None, listener: Listener | None) -> None:
        """``listener`` (None: everybody) does not listen any more to ``event`` (None: to anything)."""
        for name in tuple(self._by_event) if event is None else (event,):
            listeners = self.of(name)
            listeners[:] = [] if listener is None else [each for each in listeners if each != listener]

    def keep(self, events: Iterable[str]) -> None:
        """``events`` are known from now on, each with the listeners it has; those of others are gone."""
        self._by_event = {event: self._by_event.get(event, []) for event in events}

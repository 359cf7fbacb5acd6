"""What a program holds after ``publish``, ``subscribe`` and ``register``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

__all__ = ("Publication", "Registration", "Subscription")


class Publication:
    """An acknowledged publication."""

    __slots__ = ("id", "was_encrypted")

    def __init__(self, publication_id: int, was_encrypted: bool) -> None:
        self.id = publication_id
        self.was_encrypted = was_encrypted

    def __str__(self) -> str:
        return f"Publication(id={self.id}, was_encrypted={self.was_encrypted})"

    __repr__ = __str__


class Subscription:
    """One handler subscribed to one topic; several may share the id.

    ``dropped``: how many events the handler did not get, because too many waited for it (`SubscribeOptions`).
    """

    __slots__ = ("active", "dropped", "handler", "id", "session", "topic")

    def __init__(self, subscription_id: int, topic: str | None, session: Any, handler: Any) -> None:
        self.id = subscription_id
        self.topic = topic
        self.active = True
        self.dropped = 0
        self.session = session
        self.handler = handler

    def unsubscribe(self) -> Awaitable[int]:
        """A future of the number of handlers that are left for this id; raises when no longer active."""
        if not self.active:
            raise RuntimeError("subscription no longer active")
        future: Awaitable[int] = self.session._unsubscribe(self)
        return future

    def __str__(self) -> str:
        return f"Subscription(id={self.id}, topic={self.topic!r}, active={self.active}, handler={self.handler})"

    __repr__ = __str__


class Registration:
    """One endpoint registered under one procedure."""

    __slots__ = ("active", "endpoint", "id", "procedure", "session")

    def __init__(self, session: Any, registration_id: int, procedure: str, endpoint: Any) -> None:
        self.id = registration_id
        self.active = True
        self.session = session
        self.procedure = procedure
        self.endpoint = endpoint

    def unregister(self) -> Awaitable[None]:
        """A future that is done when the router has forgotten the endpoint; raises when no longer active."""
        if not self.active:
            raise RuntimeError("registration no longer active")
        future: Awaitable[None] = self.session._unregister(self)
        return future

    def __str__(self) -> str:
        return (
            f"Registration(id={self.id}, procedure={self.procedure!r}, active={self.active}, endpoint={self.endpoint})"
        )

    __repr__ = __str__

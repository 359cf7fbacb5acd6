"""How the events of a subscription reach the program: handlers in their modes, and the mailbox of a loop.

Handlers start in the order in which their events arrived. A plain function has run before the next message is read.
What happens while an ``async`` handler runs is the mode of its subscription (`SubscribeOptions`):

- none given: its events start at once, all of them side by side, as programs written for autobahn expect;
- "ordered": one after the other; "concurrent": so many side by side; what comes meanwhile waits, up to ``buffer``
  events. One more, and the oldest that waits is dropped: what is new is worth more, and nobody can slow the
  publishers down. That is counted in ``Subscription.dropped`` and goes to ``onUserError``, once until nothing waits;
- "latest": one at a time, and only the newest event waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint
from autobahn.wamp.exception import StreamOverflow
from autobahn.wamp.payload import passthru_of
from autobahn.wamp.request import Subscription
from autobahn.wamp.streams import Inbox
from autobahn.wamp.types import Event, EventDetails


class Handler:
    """Calls a function with each event, at once."""

    __slots__ = ("_details_arg", "_function", "_name", "_pubsub", "_session", "_subscription")

    def __init__(self, pubsub: Any, endpoint: Endpoint, subscription: Subscription) -> None:
        self._pubsub = pubsub
        self._session = pubsub.session
        self._subscription = subscription
        self._function = endpoint.function
        self._details_arg = endpoint.details_arg
        self._name = endpoint.name

    def take(self, msg: message.Event) -> None:
        """The event has arrived."""
        if msg.details or self._details_arg:
            outcome = self._fire(msg)
        else:  # as nearly always: go there at once
            try:
                outcome = self._function(*msg.args, **msg.kwargs)
            except BaseException as exc:
                self._raised(msg, exc)
                return
            if outcome is not None and not isinstance(outcome, Awaitable):
                return
        if outcome is not None:
            self._session._runtime.spawn(self._finish(msg, outcome), "autobahn event handler")

    def close(self, exc: BaseException | None) -> None:
        """No event comes any more; handlers that run go on."""

    def _fire(self, msg: message.Event) -> Awaitable[Any] | None:
        """Call the function; what is to be awaited, or None when the event is done with."""
        kwargs = msg.kwargs
        if self._details_arg:
            kwargs = {**kwargs, self._details_arg: event_details(msg, self._subscription)}
        try:
            outcome = self._function(*msg.args, **kwargs)
        except BaseException as exc:
            self._raised(msg, exc)
            return None
        if outcome is not None and isinstance(outcome, Awaitable):
            return outcome
        if msg.details:
            self._pubsub.handled(msg)
        return None

    async def _finish(self, msg: message.Event, outcome: Awaitable[Any]) -> None:
        try:
            await outcome
        except Exception as exc:
            self._failed(msg, exc)
        else:
            if msg.details:
                self._pubsub.handled(msg)

    def _raised(self, msg: message.Event, exc: BaseException) -> None:
        """The function itself ended with ``exc``; its own cancellation is no error, here as in a task."""
        if isinstance(exc, Exception):
            self._failed(msg, exc)
        elif isinstance(exc, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise exc

    def _failed(self, msg: message.Event, exc: Exception) -> None:
        if msg.details:
            self._pubsub.not_handled(msg)
        self._session._user_error(exc, f"While firing {self._name} subscribed under {msg.subscription}.")


class Lane(Handler):
    """Calls a function with at most ``limit`` events at a time; the others wait."""

    __slots__ = ("_has_reported", "_is_latest", "_limit", "_room", "_running", "_waiting")

    def __init__(self, pubsub: Any, endpoint: Endpoint, subscription: Subscription) -> None:
        super().__init__(pubsub, endpoint, subscription)
        options = endpoint.options
        self._is_latest = options.mode == "latest"
        self._limit: int = options.concurrency or 1
        self._room: int = 1 if self._is_latest else options.buffer
        self._running = 0
        self._waiting: deque[message.Event] = deque()
        self._has_reported = False

    def take(self, msg: message.Event) -> None:
        """The event has arrived."""
        if self._running >= self._limit:
            self._wait(msg)
            return
        self._running += 1  # a plain handler counts as well: an in-process router may deliver while it runs
        self._go_on(msg)

    def close(self, exc: BaseException | None) -> None:
        """What waits is dropped; handlers that run go on."""
        self._waiting.clear()

    def _wait(self, msg: message.Event) -> None:
        if len(self._waiting) >= self._room:
            self._pubsub.not_handled(self._waiting.popleft())
            self._subscription.dropped += 1
            if not self._is_latest and not self._has_reported:
                self._has_reported = True
                text = (
                    f"{self._room} events of {self._subscription.topic} wait for {self._name}: the oldest are dropped"
                )
                self._session._user_error(StreamOverflow(text), f"While receiving for {self._name}")
        self._waiting.append(msg)

    def _go_on(self, msg: message.Event | None) -> None:
        """One of the places is free: ``msg`` has it, then those that wait."""
        try:
            while msg is not None:
                outcome = self._fire(msg)
                if outcome is not None:
                    self._session._runtime.spawn(self._work(msg, outcome), "autobahn event handler")
                    return
                msg = self._next()
        except BaseException:
            self._running -= 1
            raise
        self._running -= 1

    def _next(self) -> message.Event | None:
        if not self._waiting:
            self._has_reported = False
            return None
        return self._waiting.popleft()

    async def _work(self, msg: message.Event, outcome: Awaitable[Any] | None) -> None:
        """One place: its handler is awaited, then called with those that wait."""
        try:
            while outcome is not None:
                await self._finish(msg, outcome)
                outcome = None
                while outcome is None and (following := self._next()) is not None:
                    msg, outcome = following, self._fire(following)
        except BaseException:  # cancelled: by itself, or because everything ends; then nothing waits
            self._go_on(self._next())
            raise
        self._running -= 1


class Mailbox(Inbox):
    """Events that have arrived for a loop; knows nothing of the loop, which so can be forgotten."""

    __slots__ = ("_is_latest", "_pubsub", "error", "future", "subscription")

    def __init__(self, pubsub: Any, limit: int, is_latest: bool) -> None:
        super().__init__(pubsub.session._runtime, limit)
        self._pubsub = pubsub
        self._is_latest = is_latest
        self.error: BaseException | None = None
        self.subscription: Subscription | None = None

    def confirmed(self, subscription: Subscription) -> Mailbox:
        """The router has confirmed the subscription."""
        self.subscription = subscription
        self._wake()
        return self

    def answered(self, future: Any) -> None:
        """The request is settled: the subscription is in the book, or refused."""
        if future.exception() is not None:
            self.close(future.exception())
        elif self.is_closed:  # the loop was left meanwhile
            self.leave()

    async def opened(self) -> None:
        """The subscription stands, or never will."""
        while self.subscription is None and not self.is_closed:
            await self._wait()

    def take(self, msg: message.Event) -> None:
        """The event has arrived."""
        subscription = self.subscription
        assert subscription is not None
        if self.is_closed:
            return
        if self._is_latest and self._items:
            self._items.clear()
            subscription.dropped += 1
        event = Event(msg.args, msg.kwargs, event_details(msg, subscription))
        if not self.put(event):
            subscription.dropped += 1
            self.close(StreamOverflow(f"{self._limit} events of {subscription.topic} wait to be taken"))
            self.leave()
        elif msg.details:
            self._pubsub.handled(msg)

    def close(self, exc: BaseException | None = None) -> None:
        """Nothing more comes; ``exc`` is raised in the loop when everything that waits has been taken."""
        if not self.is_closed:
            self.error = exc
            super().close()

    def leave(self) -> None:
        """The loop is over: the router is told, if it still needs to be."""
        self.close()
        subscription = self.subscription
        if subscription is not None and subscription.active and self._pubsub.session._is_established():
            subscription.unsubscribe()


def event_details(msg: message.Event, subscription: Subscription) -> EventDetails:
    """What EVENT.Details say."""
    d = msg.details
    if not d:
        return EventDetails(subscription, msg.publication, topic=subscription.topic)
    return EventDetails(
        subscription,
        msg.publication,
        publisher=d.get("publisher"),
        publisher_authid=d.get("publisher_authid"),
        publisher_authrole=d.get("publisher_authrole"),
        topic=d.get("topic") or subscription.topic,
        retained=d.get("retained"),
        transaction_hash=d.get("transaction_hash"),
        enc_algo=d.get("enc_algo"),
        forward_for=d.get("forward_for"),
        trustlevel=d.get("trustlevel"),
        ppt=passthru_of(d) or None,
    )

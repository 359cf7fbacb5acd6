"""The loop over events: what ``session.events`` returns."""

from __future__ import annotations

import contextlib
from typing import Any

from autobahn.wamp.receivers import Mailbox
from autobahn.wamp.request import Subscription
from autobahn.wamp.types import Event

__all__ = ("EventStream",)


class EventStream:
    """The events of a topic, looped over; `Event` by `Event`, in the order of their arrival.

    The topic is subscribed to when the stream is made; ``async with session.events(topic) as events`` waits until the
    router has confirmed that. A refusal of the router is raised in the loop (or by ``async with``).

    Leaving the loop (``break``, ``return``, an exception, cancellation) unsubscribes as soon as nobody holds the stream
    any more; ``async with`` does it at the end of the block, ``aclose()`` by hand. Cancelling the wait for the next
    event loses none.

    ``buffer`` events may wait to be taken (`SubscribeOptions`); one more ends the subscription, and `StreamOverflow` is
    raised when those that wait have been taken. With ``mode="latest"`` only the newest waits. The loop ends when the
    session leaves in order; when it is lost, the error is raised that pending calls get, too.
    """

    def __init__(self, mailbox: Mailbox, runtime: Any) -> None:
        self._mailbox = mailbox
        self._runtime = runtime

    @property
    def subscription(self) -> Subscription | None:
        """The subscription; None before the router has confirmed it."""
        return self._mailbox.subscription

    async def aclose(self) -> None:
        """The subscription is given up and the loop ends. Twice is once."""
        self._mailbox.leave()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._mailbox.__anext__()  # type: ignore[no-any-return]
        except StopAsyncIteration:
            self._raise_error()
            raise

    async def __aenter__(self) -> EventStream:
        await self._mailbox.opened()
        self._raise_error()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def _raise_error(self) -> None:
        exc, self._mailbox.error = self._mailbox.error, None
        if exc is not None:
            raise exc from None

    def __del__(self) -> None:
        if not self._mailbox.is_closed:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._runtime.call_threadsafe(self._mailbox.leave)

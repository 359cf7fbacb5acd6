"""The one book of requests that the router has not answered yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any

from msgspec import Struct

from autobahn.wamp.exception import ApplicationError, ProtocolError
from autobahn.wamp.lifecycle import name_of
from autobahn.wamp.message import MAX_ID


class Request(Struct, eq=False):
    """One open request: its id and the code of its message, the future of its answer, and what its sender noted.

    A struct, which is made in half the time of an object with ``__init__``: there is one for each call.
    """

    id: int
    code: int
    future: Any
    info: Any = None
    timer: Any = None

    def fail(self, exc: BaseException) -> None:
        """Settle the request with ``exc`` unless its future is settled (or cancelled) already."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_exception(exc)
            self.future.exception()  # a caller that no longer waits is no error

    def finish(self, value: Any) -> None:
        """Settle the request with ``value`` unless its future is settled already."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_result(value)

    def within(self, runtime: Any, seconds: float | None) -> Any:
        """The future of the answer, which fails when the router does not answer in ``seconds`` (None, inf: no limit).

        The request stays in the book: what its answer brings when it comes after all is given up at once.
        """
        if seconds is not None and seconds != inf and not self.future.done():
            text = f"the router did not answer {name_of(self.code)} within {seconds:g} s"
            error = ApplicationError(ApplicationError.TIMEOUT, text)
            self.timer = runtime.call_later(seconds, partial(self.fail, error))
        return self.future


class Requests:
    """Open requests by id. Ids count from 1 in each session and wrap after 2^53 (WAMP "IDs", session scope)."""

    __slots__ = ("_open", "last_id")

    def __init__(self) -> None:
        self.last_id = 0
        self._open: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._open.values())

    def restart(self) -> None:
        """A new session begins: ids count from 1 again."""
        self.last_id = 0

    def next_id(self) -> int:
        """The id of a request that nobody answers."""
        self.last_id = request_id = self.last_id + 1 if self.last_id < MAX_ID else 1
        return request_id

    def open(
        self, runtime: Any, code: int, info: Any = None, on_cancel: Callable[[int], None] | None = None
    ) -> tuple[int, Request]:
        """A new request with the next id; ``on_cancel(id)`` is called when its waiter cancels the future."""
        self.last_id = request_id = self.last_id + 1 if self.last_id < MAX_ID else 1
        future = runtime.create_future(on_cancel, request_id)
        request = self._open[request_id] = Request(request_id, code, future, info)
        return request_id, request

    def adopt(self, request: Request) -> None:
        """``request``, which was made without an id, gets the next one and is open."""
        request.id = self.next_id()
        self._open[request.id] = request

    def forget(self, request_id: int) -> Request | None:
        """Take a request out of the book that is not to be answered; None when it is not there."""
        return self._open.pop(request_id, None)

    def unsent(self, request_id: int) -> None:
        """Its message could not be sent: nothing is left of the request, not even a gap in the ids."""
        self._open.pop(request_id, None)
        if self.last_id == request_id:
            self.last_id -= 1

    def peek(self, request_id: int, code: int) -> Request | None:
        """The open request; None for one that was given up; ProtocolError for one never made, or of another kind."""
        request = self._open.get(request_id)
        if request is None:
            if request_id > self.last_id:
                raise ProtocolError(f"expected the id of a request, got {request_id}, which was never issued")
            return None
        if request.code != code:
            raise ProtocolError(f"expected an answer to message {request.code}, got one to {code}")
        return request

    def answered(self, request_id: int, code: int) -> Request | None:
        """Like `peek`, and the request is out of the book."""
        request = self._open.get(request_id)
        if request is None or request.code != code:
            return self.peek(request_id, code)  # given up, or a violation
        del self._open[request_id]
        return request

    def fail_all(self, make: Callable[[], BaseException]) -> None:
        """Everything open fails, each with an exception of its own: a traceback belongs to one waiter."""
        requests, self._open = self._open, {}
        for request in requests.values():
            request.fail(make())

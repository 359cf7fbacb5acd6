"""The caller of a client session: calls, their progressive results, and streams of arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from functools import partial
from math import inf
from typing import Any

from msgspec import Struct

from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.lifecycle import State
from autobahn.wamp.requests import Request
from autobahn.wamp.streams import CallStream, Inbox, StreamOverflow, turn, unwrapped, wrapped
from autobahn.wamp.types import CallOptions, CallResult
from autobahn.wamp.uri import require_uri

_NO_OPTIONS: dict[str, Any] = {}
_DEFAULTS = CallOptions()
_FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported"
_PLAIN = frozenset({int, str, float, bool, type(None), bytes, list, dict, tuple})  # values that are no streams
_ESTABLISHED = State.ESTABLISHED
_MOST_KNOWN = 4096  # procedures


class CallInfo(Struct, eq=False):
    """What the book of requests remembers of a CALL; of one without options it is only the procedure, a text."""

    procedure: str
    options: CallOptions | None
    inbox: Inbox | None = None  # of the loop that takes the progressive results
    feeder: Any = None  # task that sends the stream of arguments
    callbacks: deque[Awaitable[Any]] | None = None  # async on_progress that wait for those before them
    runner: Any = None  # task that awaits them
    final: Callable[[], None] | None = None  # gives the call its result, when they are done
    timeout: float | None = None  # seconds until the result, or the next progressive one

    def stop(self) -> None:
        """The call is over: nothing more is sent, and no callback of it runs on."""
        if self.feeder is not None:
            self.feeder.cancel()
        if self.runner is not None:
            self.runner.cancel()
            for callback in self.callbacks or ():
                close = getattr(callback, "close", None)  # the others are futures
                if close is not None:
                    close()


def info_of(request: Request) -> CallInfo:
    """What is remembered of the call, in full."""
    if type(request.info) is str:
        request.info = CallInfo(request.info, None)
    info: CallInfo = request.info
    return info


def is_stream(value: Any) -> bool:
    """Whether ``value`` is an argument that is sent in pieces: an (async) iterator."""
    return isinstance(value, (AsyncIterable, Iterator))


class Caller:
    """The calls of one `ClientSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._unsent: set[Request] = set()  # streams that have nothing to send yet: they have no request id
        self._finishing: dict[int, Request] = {}  # answered, but an async on_progress still runs
        self._known: set[str] = set()  # procedures that are URIs
        self._transport: Any = None  # the one that `_carry` belongs to
        self._carry: Callable[[list[Any], tuple[Any, ...]], bool] | None = None  # its short way for plain messages
        self._on_cancel = self._cancel  # not to be made again for each call
        self.table: dict[int, Callable[[Any], None]] = {8: self._on_error, 50: self._on_result}

    def fail_all(self, make: Callable[[], BaseException]) -> None:
        """The session ends, and with it all streams and callbacks of calls; what no book has is settled here."""
        self._transport = self._carry = None
        for open_request in self._session._requests:
            if type(open_request.info) is CallInfo:
                open_request.info.stop()
        unsent, self._unsent = self._unsent, set()
        for request in unsent:
            request.info.stop()
            request.fail(make())
        finishing, self._finishing = self._finishing, {}
        for request in finishing.values():
            request.info.stop()
            request.info.final()

    # ---- calling -----------------------------------------------------------------------------------------

    def call(self, procedure: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        options = None
        if kwargs:
            options = kwargs.pop("options", None)
        if options is None:
            if self._session.call_timeout is None:
                if not kwargs and type(procedure) is str and (not args or type(args[-1]) in _PLAIN):
                    return self._call_plainly(procedure, args)
                return self._call(CallInfo(procedure, None), _NO_OPTIONS, args, kwargs)
            options = _DEFAULTS
        elif not isinstance(options, CallOptions):
            raise TypeError(f"expected options of type CallOptions, got {type(options).__name__}")
        wire_options = options.message_attr()
        if "ppt_scheme" in wire_options:
            self._session._payload.use()
        return self._call(self._limited(CallInfo(procedure, options), wire_options), wire_options, args, kwargs)

    def _call_plainly(self, procedure: str, args: tuple[Any, ...]) -> Any:
        """`_call` as nearly all calls are: without options, deadline, keyword arguments and stream."""
        session = self._session
        if procedure not in self._known:
            self._check(procedure)
        if session._state is not _ESTABLISHED:
            session._require_established()
        requests, transport = session._requests, session._transport
        request_id, request = requests.open(session._runtime, 48, procedure, self._on_cancel)
        try:
            if transport is not self._transport:
                self._transport = transport
                make = getattr(type(transport), "carrier", None)  # not what stands behind a `SealingTransport`
                self._carry = None if make is None else make(transport)
            row = [48, request_id, _NO_OPTIONS, procedure, args] if args else [48, request_id, _NO_OPTIONS, procedure]
            if self._carry is None or not self._carry(row, args):
                transport.send(message.Call(request_id, _NO_OPTIONS, procedure, list(args)))
        except BaseException:
            requests.unsent(request_id)
            raise
        return request.future

    def _check(self, procedure: str) -> None:
        """``procedure`` is a URI, and known as one from now on."""
        require_uri(procedure, "exact")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(procedure)

    def _limited(self, info: CallInfo, wire_options: dict[str, Any]) -> CallInfo:
        """The call has the deadline of its options, or else the session's."""
        timeout: float | None = info.options.timeout if info.options is not None else None
        if timeout is None and (timeout := self._session.call_timeout) is not None:
            wire_options.update(CallOptions(timeout=timeout).message_attr())
        info.timeout = None if timeout == inf else timeout
        return info

    def call_stream(self, procedure: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallStream:
        options = kwargs.pop("options", None) or _DEFAULTS
        if not isinstance(options, CallOptions):
            raise TypeError(f"expected options of type CallOptions, got {type(options).__name__}")
        if options.on_progress is not None:
            raise ValueError("expected options without on_progress: the loop over the stream gets the results")
        runtime = self._session._runtime
        info = CallInfo(procedure, options)
        inbox = info.inbox = Inbox(runtime, options.stream_buffer)
        wire_options = {**options.message_attr(), "receive_progress": True}
        if options.ppt is not None:
            self._session._payload.use()
        return CallStream(runtime, inbox, self._call(self._limited(info, wire_options), wire_options, args, kwargs))

    def _call(self, info: CallInfo, wire_options: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session, procedure = self._session, info.procedure
        require_uri(procedure, "exact")
        if args and type(args[-1]) not in _PLAIN and is_stream(args[-1]):
            request = self._open_stream(info, wire_options, args, kwargs)
        else:
            request_id, request = session._open_request(48, info, self._on_cancel)
            session._send_request(request_id, message.Call(request_id, wire_options, procedure, list(args), kwargs))
        if info.timeout is not None:
            request.timer = session._runtime.call_later(info.timeout, partial(self._timed_out, request))
        return request.future

    def _cancel(self, request_id: int) -> None:
        """The caller cancelled the future: tell the dealer if it can cancel, forget the call in any case."""
        request = self._session._requests.forget(request_id)
        if request is not None:
            self._abandon(request)
            return
        request = self._finishing.pop(request_id, None)
        if request is not None:
            request.info.stop()

    def _abandon(self, request: Request) -> None:
        """The call is out of the book and over for us; the router hears of it if it announced that it can cancel."""
        if request.timer is not None:
            request.timer.cancel()
        info = info_of(request)
        info.stop()
        session = self._session
        features = (session._router_roles.get("dealer") or {}).get("features") or {}
        if not (features.get("call_canceling") or features.get("call_cancelling")):  # the text of WAMP has both
            return
        if session._is_established() and session.is_connected():
            mode = None if info.options is None else info.options.cancel_mode
            session._transport.send(message.Cancel(request.id, {} if mode is None else {"mode": mode}))

    def _give_up(self, request: Request, exc: Exception) -> None:
        """The call fails with ``exc`` here, whatever goes on at the callee."""
        if request in self._unsent:
            self._unsent.discard(request)
            request.info.stop()
        elif self._session._requests.forget(request.id) is not None:
            self._abandon(request)
        request.fail(exc)

    def _timed_out(self, request: Request) -> None:
        timeout, procedure = request.info.timeout, request.info.procedure
        text = f"no result of {procedure} within {timeout} s"
        self._give_up(request, ApplicationError(ApplicationError.TIMEOUT, text))

    # ---- results -----------------------------------------------------------------------------------------

    def _on_result(self, msg: message.Result) -> None:
        details = msg.details
        if details and details.get("progress"):
            self._on_progress(msg)
            return
        request = self._session._requests.answered(msg.request, 48)
        if request is None:
            return
        info = request.info
        if type(info) is str and not (details or msg.kwargs or len(msg.args) > 1):  # as nearly always
            if not request.future.done():
                request.future.set_result(msg.args[0] if msg.args else None)
            return
        info = info_of(request)
        if info.runner is not None or info.feeder is not None:
            self._finish_later(request, partial(self._settle, request, msg))
        else:
            self._settle(request, msg)

    def _settle(self, request: Request, msg: message.Result) -> None:
        if msg.details and (refusal := self._open(msg, request.info.procedure)) is not None:
            request.fail(refusal)
            return
        options = request.info.options
        if (options is not None and options.details) or msg.kwargs or len(msg.args) > 1:
            request.finish(CallResult.received(msg.args, msg.kwargs, msg.details))
        else:
            request.finish(msg.args[0] if msg.args else None)

    def _open(self, msg: Any, uri: str) -> ApplicationError | None:
        """The payload can be read; or why it cannot."""
        if type(msg.args) is list and "ppt_scheme" not in msg.details:
            return None
        refusal: ApplicationError | None = self._session._payload.open(msg, uri, is_originating=True)
        return refusal

    def _finish_later(self, request: Request, final: Callable[[], None]) -> None:
        """The call is answered: its stream ends, and it is settled once the async callbacks have run."""
        info = request.info
        if request.timer is not None:
            request.timer.cancel()
        if info.feeder is not None:
            info.feeder.cancel()
        if info.runner is None:
            final()
        else:
            info.final = final
            self._finishing[request.id] = request

    def _on_progress(self, msg: message.Result) -> None:
        request = self._session._requests.peek(msg.request, 48)
        if request is None:
            return
        info = info_of(request)
        options = info.options
        if request.timer is not None:  # WAMP "Call Timeouts": each progressive result starts the time anew
            request.timer.cancel()
            request.timer = self._session._runtime.call_later(info.timeout, partial(self._timed_out, request))
        if options is None:
            return
        if (refusal := self._open(msg, info.procedure)) is not None:
            self._give_up(request, refusal)
            return
        if info.inbox is not None:
            whole = options.details
            chunk = CallResult.received(msg.args, msg.kwargs, msg.details) if whole else unwrapped(msg.args, msg.kwargs)
            if not info.inbox.put(chunk):
                self._give_up(request, _overflow(info))
        elif options.on_progress is not None:
            self._call_back(request, msg)

    def _call_back(self, request: Request, msg: message.Result) -> None:
        """``on_progress`` has the result, or an async one has it when those before it are done."""
        session, info = self._session, request.info
        options = info.options
        try:
            if options.details:
                outcome = options.on_progress(CallResult.received(msg.args, msg.kwargs, msg.details))
            else:
                outcome = options.on_progress(*msg.args, **msg.kwargs)
        except Exception as exc:
            session._user_error(exc, f"While firing on_progress of {info.procedure}")
            return
        if not isinstance(outcome, Awaitable):
            return
        if info.callbacks is None:
            info.callbacks = deque([outcome])
            runner = session._runtime.spawn(self._run_callbacks(request), "autobahn on_progress")
            info.runner = runner if info.callbacks is not None else None  # an eager task may be done already
        elif len(info.callbacks) >= options.stream_buffer:
            info.callbacks.append(outcome)
            self._give_up(request, _overflow(info))
        else:
            info.callbacks.append(outcome)

    async def _run_callbacks(self, request: Request) -> None:
        info = request.info
        callbacks = info.callbacks
        assert callbacks is not None
        try:
            while callbacks:
                callback = callbacks.popleft()
                try:
                    await callback
                except Exception as exc:
                    self._session._user_error(exc, f"While firing on_progress of {info.procedure}")
        finally:
            info.callbacks = info.runner = None
        if self._finishing.pop(request.id, None) is not None:
            info.final()

    # ---- errors ------------------------------------------------------------------------------------------

    def _on_error(self, msg: message.Error) -> None:
        request = self._session._requests.answered(msg.request, msg.request_type)
        if request is None:
            return
        exc: BaseException | None = self._open(msg, msg.error) if msg.details else None
        if exc is None:
            exc = self._session._errors.exception(msg, self._session._user_error)
        info = request.info
        if type(info) is CallInfo and (info.runner is not None or info.feeder is not None):
            self._finish_later(request, partial(request.fail, exc))
        else:
            request.fail(exc)

    # ---- streams of arguments (WAMP "Progressive Call Invocations") -----------------------------------------

    def _open_stream(
        self, info: CallInfo, wire_options: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Request:
        """A call whose last positional argument is an (async) iterator: each of its items is a chunk of its own.

        The arguments before it are the first chunk; without any, the first item is. Request ids are in the order of the
        first CALLs, so that a call which has nothing to send yet has none.
        """
        session = self._session
        features = (session._router_roles.get("dealer") or {}).get("features") or {}
        if not features.get("progressive_call_invocations"):
            text = "expected a router with progressive_call_invocations for an iterator as argument, got one without"
            raise ApplicationError(_FEATURE_NOT_SUPPORTED, text)
        *first, chunks = args
        wire_options = {**wire_options, "progress": True}
        if first or kwargs:
            request: Request = session._open_request(48, info, self._on_cancel)[1]
            session._send_request(request.id, message.Call(request.id, wire_options, info.procedure, first, kwargs))
        else:
            session._require_established()
            request = Request(0, 48, None, info)
            request.future = session._runtime.create_future(self._cancel_stream, request)
            self._unsent.add(request)
        feeder = session._runtime.spawn(self._feed(request, wire_options, chunks), "autobahn call stream")
        info.feeder = None if feeder.done() else feeder
        return request

    def _cancel_stream(self, request: Request) -> None:
        if request in self._unsent:
            self._unsent.discard(request)
            request.info.stop()
            if request.timer is not None:
                request.timer.cancel()
        else:
            self._cancel(request.id)

    async def _feed(self, request: Request, wire_options: dict[str, Any], chunks: Any) -> None:
        """Every item is sent, and then an empty CALL that is the last one; an error of the iterator ends the call."""
        try:
            if hasattr(chunks, "__aiter__"):
                async for chunk in chunks:
                    await self._send_chunk(request, wire_options, *wrapped(chunk))
            else:
                for chunk in chunks:
                    await self._send_chunk(request, wire_options, *wrapped(chunk))
            last = {key: value for key, value in wire_options.items() if key != "progress"}
            await self._send_chunk(request, last, [], {})
        except TransportLost:
            pass  # the session is ending, and with it the call
        except Exception as exc:
            request.info.feeder = None
            self._give_up(request, exc)
        finally:
            request.info.feeder = None
            await self._close(chunks, request.info.procedure)

    async def _close(self, chunks: Any, procedure: str) -> None:
        """An iterator that was not taken to its end runs its ``finally``."""
        close = getattr(chunks, "aclose", None) or getattr(chunks, "close", None)
        if close is None:
            return
        try:
            closed = close()
            if isinstance(closed, Awaitable):
                await closed
        except Exception as exc:
            self._session._user_error(exc, f"While closing the stream of arguments for {procedure}")

    async def _send_chunk(
        self, request: Request, wire_options: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        session, procedure = self._session, request.info.procedure
        if request.future.done() or request.info.final is not None:  # the iterator has swallowed its cancellation
            raise TransportLost("the call is over")
        if request.id:
            session._transport.send(message.Call(request.id, wire_options, procedure, args, kwargs))
        else:
            self._unsent.discard(request)
            session._requests.adopt(request)
            session._send_request(request.id, message.Call(request.id, wire_options, procedure, args, kwargs))
        drain = getattr(session._transport, "drain", None)
        if drain is not None:
            await drain()
        await turn()


def _overflow(info: CallInfo) -> StreamOverflow:
    options = info.options or _DEFAULTS
    return StreamOverflow(f"{options.stream_buffer} progressive results of {info.procedure} wait, one more has arrived")

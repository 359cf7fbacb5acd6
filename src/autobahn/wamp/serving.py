"""How a callee serves invocations: the plain way, and everything an endpoint may be besides a plain function.

An endpoint gives its result by returning it. An awaitable is awaited in a task. A generator, plain or ``async``, gives
a progressive result with each ``yield``, sent at once; the final result is what a plain generator returns, and nothing
(None) for an ``async`` one, which cannot return a value. So a loop over ``call_stream`` sees exactly what a loop over
the generator itself would. To a caller that did not ask for progressive results, a generator that returns nothing
gives one list of all its values, at most `MAX_COLLECTED`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

from autobahn.exception import PayloadExceededError
from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError, TransportLost
from autobahn.wamp.payload import passthru_of
from autobahn.wamp.request import Registration
from autobahn.wamp.streams import STREAM_BUFFER, Inbox, StreamOverflow, turn, unwrapped, wrapped
from autobahn.wamp.types import CallDetails, CallResult

MAX_COLLECTED = 65_536  # values of a generator in one result
MAX_WAITING = 4096  # invocations that wait because of the concurrency of a registration
MAX_ENDED_STREAMS = 256  # streams answered before their last chunk, of which chunks may be under way
_FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported"
_UNAVAILABLE = "wamp.error.unavailable"
_PLAIN = frozenset({int, str, float, bool, type(None), bytes, list, dict, tuple, CallResult})
_ESSENTIAL = (KeyboardInterrupt, SystemExit, GeneratorExit)  # nobody keeps these


class Service:
    """A registration, and how its endpoint is called."""

    __slots__ = (
        "blocking", "details_arg", "forward_timeout", "function", "is_advancing", "is_plain", "limit",
        "registration", "running", "stream", "waiting",
    )  # fmt: skip

    def __init__(self, registration: Registration, endpoint: Endpoint) -> None:
        options = endpoint.options
        self.registration = registration
        self.function = endpoint.function
        self.details_arg = endpoint.details_arg
        self.limit: int | None = getattr(options, "concurrency", None)
        self.blocking = bool(getattr(options, "blocking", None))
        self.stream = bool(getattr(options, "stream", None))
        self.forward_timeout = bool(getattr(options, "forward_timeout", None))
        self.is_plain = not (self.details_arg or self.limit or self.blocking or self.stream)
        self.running = 0
        self.waiting: deque[Serving] = deque()
        self.is_advancing = False


class Serving:
    """One invocation that is not answered yet."""

    __slots__ = (
        "args", "details", "has_slot", "in_thread", "inbox", "is_interrupted", "is_over", "kwargs", "request",
        "service", "task", "timed_out", "timer", "work",
    )  # fmt: skip

    def __init__(self, msg: message.Invocation, service: Service) -> None:
        self.request = msg.request
        self.service = service
        self.args: Any = msg.args
        self.kwargs = msg.kwargs
        self.details = msg.details
        self.inbox: Inbox | None = None  # of the chunks, for an endpoint that takes a stream
        self.work: Any = None  # what its task has not begun to await
        self.task: Any = None  # None while it waits, or runs in place
        self.timer: Any = None
        self.has_slot = False  # it counts for the concurrency of its registration
        self.in_thread = False
        self.is_interrupted = False
        self.timed_out = False
        self.is_over = False

    @property
    def wants_progress(self) -> bool:
        """Whether the caller takes progressive results."""
        return bool(self.details.get("receive_progress"))

    def cancel(self) -> None:
        """The task of the endpoint is cancelled; what it never began is thrown away."""
        if self.task is not None:
            self.task.cancel()
        close = getattr(self.work, "close", None)  # an awaitable need not be a coroutine
        self.work = None
        if close is not None:
            close()


class Servant:
    """Serves the invocations of one session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._serving: dict[int, Serving] = {}
        self.ended_streams: dict[int, None] = {}  # invocations of which chunks may come for which nobody waits

    def reset(self) -> None:
        """The session ended: whatever runs is cancelled, and nothing of it is answered."""
        serving, self._serving = self._serving, {}
        self.ended_streams = {}
        for one in serving.values():
            one.is_over = True
            if one.timer is not None:
                one.timer.cancel()
            if one.inbox is not None:
                one.inbox.close()
            one.cancel()
        if self._session._runtime is not None:
            self._session._runtime.close_pool()

    # ---- beginning ---------------------------------------------------------------------------------------

    def invoke(self, msg: message.Invocation, service: Service) -> None:
        """An invocation that is more than arguments for a plain function."""
        is_open = bool(msg.details.get("progress"))
        if msg.request in self.ended_streams:  # answered before
            if not is_open:
                del self.ended_streams[msg.request]
            return
        if (type(msg.args) is not list or "ppt_scheme" in msg.details) and not self._open_payload(msg, service):
            return
        going_on = self._serving.get(msg.request)
        if going_on is not None:
            self._chunk(going_on, msg, is_open)
            return
        serving = Serving(msg, service)
        if is_open and not service.stream:
            text = f"expected one call of {service.registration.procedure}, got a stream, which it does not take"
            self._refuse(serving, _FEATURE_NOT_SUPPORTED, text)
            self._note_ended(msg.request)
        else:
            self._admit(serving, msg, is_open)

    def _open_payload(self, msg: message.Invocation, service: Service) -> bool:
        """Whether the payload, which came sealed, can be read; the caller is told when it cannot."""
        uri = msg.details.get("procedure") or service.registration.procedure
        refusal = self._session._payload.open_invocation(msg, uri)
        if refusal is not None:
            self._refuse(Serving(msg, service), refusal.error, refusal.args[0])
        return refusal is None

    def _admit(self, serving: Serving, msg: message.Invocation, is_open: bool) -> None:
        service = serving.service
        if service.limit is not None and service.running >= service.limit and len(service.waiting) >= MAX_WAITING:
            self._refuse(serving, _UNAVAILABLE, f"{MAX_WAITING} invocations wait already")
            return
        self._serving[msg.request] = serving
        if service.stream:
            serving.inbox = Inbox(self._session._runtime, STREAM_BUFFER)
            self._chunk(serving, msg, is_open)
        if service.forward_timeout and msg.details.get("timeout"):
            self._set_timer(serving)
        if service.limit is not None and service.running >= service.limit:
            service.waiting.append(serving)
        else:
            self._start(serving)

    def _chunk(self, serving: Serving, msg: message.Invocation, is_open: bool) -> None:
        """One piece of a stream of arguments; a last one without payload is nothing but the end."""
        inbox = serving.inbox
        if inbox is None or inbox.is_closed:
            raise ProtocolError(f"expected the id of a new invocation, got {msg.request}, which is being served")
        if (is_open or msg.args or msg.kwargs) and not inbox.put(unwrapped(msg.args, msg.kwargs)):
            self._end(serving)
            exc = StreamOverflow(f"{STREAM_BUFFER} chunks for {serving.service.registration.procedure} wait")
            self._send_error(serving.request, exc.error, list(exc.args), {})
            serving.cancel()
        if not is_open:
            inbox.close()

    def _start(self, serving: Serving) -> None:
        service = serving.service
        if service.limit is not None:
            service.running += 1
            serving.has_slot = True
        args: Any = serving.args if serving.inbox is None else (serving.inbox,)
        kwargs = {} if serving.inbox is not None else serving.kwargs
        if service.details_arg:
            kwargs = {**kwargs, service.details_arg: self._details(serving)}
        if service.blocking:
            self._run(serving, self._in_thread(serving, partial(service.function, *args, **kwargs)))
            return
        try:
            outcome = service.function(*args, **kwargs)
        except BaseException as exc:
            self._raised(serving, exc)
            return
        self._continue(serving, outcome)

    def _continue(self, serving: Serving, outcome: Any) -> None:
        """The endpoint was called; ``outcome`` is its result, or will give it."""
        if isinstance(outcome, Awaitable):
            self._run(serving, outcome)
        elif isinstance(outcome, (AsyncGenerator, Generator)):
            self._run(serving, self._drive(serving, outcome))
        elif self._end(serving):
            self._yield(serving.request, serving.service, outcome)

    def _run(self, serving: Serving, work: Awaitable[Any]) -> None:
        self._serving[serving.request] = serving
        serving.work = work
        task = self._session._runtime.spawn(self._serve(serving), "autobahn endpoint")
        if not serving.is_over:
            serving.task = task

    async def _serve(self, serving: Serving) -> None:
        work, serving.work = serving.work, None
        try:
            result = await work
        except BaseException as exc:
            self._raised(serving, exc)
        else:
            if self._end(serving):
                self._yield(serving.request, serving.service, result)

    def _raised(self, serving: Serving, exc: BaseException) -> None:
        """The endpoint ended with ``exc``: an error, or its cancellation."""
        was_open = self._end(serving)
        if isinstance(exc, _ESSENTIAL):
            raise exc
        if not isinstance(exc, Exception):
            if was_open:
                self._send_canceled(serving)
        elif was_open:
            if self._session.is_connected() or not isinstance(exc, TransportLost):  # else: it is about to be cancelled
                self._failed(serving.request, serving.service, exc)
        elif not isinstance(exc, (ApplicationError, TransportLost)):  # it failed while it was being cancelled
            self._session._user_error(exc, f"While serving {serving.service.registration.procedure}")

    # ---- the plain way -------------------------------------------------------------------------------------

    def returned(self, msg: message.Invocation, service: Service, outcome: Any) -> None:
        """A plain endpoint has returned ``outcome``."""
        if type(outcome) in _PLAIN:
            self._yield(msg.request, service, outcome)
        else:
            self._continue(Serving(msg, service), outcome)

    def raised(self, msg: message.Invocation, service: Service, exc: BaseException) -> None:
        """A plain endpoint has raised ``exc``."""
        self._raised(Serving(msg, service), exc)

    # ---- ending --------------------------------------------------------------------------------------------

    def _end(self, serving: Serving) -> bool:
        """The invocation is over and out of the books, its place is free; False when it was over before."""
        if serving.is_over:
            return False
        serving.is_over = True
        self._serving.pop(serving.request, None)
        if serving.timer is not None:
            serving.timer.cancel()
        if serving.inbox is not None:
            if not serving.inbox.is_closed:
                self._note_ended(serving.request)
            serving.inbox.close()
        if not serving.in_thread:
            self._release(serving)
        return True

    def _note_ended(self, request: int) -> None:
        self.ended_streams[request] = None
        if len(self.ended_streams) > MAX_ENDED_STREAMS:
            del self.ended_streams[next(iter(self.ended_streams))]

    def _release(self, serving: Serving) -> None:
        """The place of ``serving`` is for the invocation that waits longest."""
        service = serving.service
        if not serving.has_slot:
            return
        serving.has_slot = False
        service.running -= 1
        if service.is_advancing or service.limit is None:  # endpoints that end at once: no recursion
            return
        service.is_advancing = True
        try:
            while service.waiting and service.running < service.limit:
                following = service.waiting.popleft()
                if not following.is_over:
                    self._start(following)
        finally:
            service.is_advancing = False

    def interrupt(self, msg: message.Interrupt) -> None:
        """The endpoint is cancelled, whatever the mode; one that is not (any more) served is ignored.

        The answer is ``wamp.error.canceled``, unless the endpoint gives another one in spite of its cancellation; with
        ``killnowait`` the router drops it.
        """
        serving = self._serving.get(msg.request)
        if serving is not None:
            self._stop(serving)

    def _stop(self, serving: Serving) -> None:
        if serving.is_interrupted:
            return
        serving.is_interrupted = True
        if serving.work is None and serving.task is not None:
            serving.task.cancel()
        elif self._end(serving):  # it waited for its turn, or its task has not begun
            serving.cancel()
            self._send_canceled(serving)

    def _send_canceled(self, serving: Serving) -> None:
        if serving.timed_out:
            text = f"no result of {serving.service.registration.procedure} in time"
            self._send_error(serving.request, ApplicationError.TIMEOUT, [text], {})
        else:
            self._send_error(serving.request, ApplicationError.CANCELED, ["the call was canceled"], {})

    # ---- time (WAMP "Call Timeouts", forwarded to the callee) ----------------------------------------------

    def _set_timer(self, serving: Serving) -> None:
        if serving.timer is not None:
            serving.timer.cancel()
        seconds = serving.details["timeout"] / 1000
        serving.timer = self._session._runtime.call_later(seconds, partial(self._expire, serving))

    def _expire(self, serving: Serving) -> None:
        serving.timed_out = True
        self._stop(serving)

    # ---- progressive results -------------------------------------------------------------------------------

    def _details(self, serving: Serving) -> CallDetails:
        d = serving.details
        registration = serving.service.registration
        progress: Callable[..., None] | None = None
        if serving.wants_progress:
            send = self._progress_from_thread if serving.service.blocking else self._progress

            def progress(*args: Any, **kwargs: Any) -> None:
                send(serving, list(args), kwargs)

        return CallDetails(
            registration,
            progress=progress,
            caller=d.get("caller"),
            caller_authid=d.get("caller_authid"),
            caller_authrole=d.get("caller_authrole"),
            procedure=d.get("procedure") or registration.procedure,
            transaction_hash=d.get("transaction_hash"),
            enc_algo=d.get("enc_algo"),
            forward_for=d.get("forward_for"),
            trustlevel=d.get("trustlevel"),
            timeout=d["timeout"] / 1000 if d.get("timeout") else None,
            ppt=passthru_of(d) or None,
        )

    def _progress(self, serving: Serving, args: list[Any], kwargs: dict[str, Any]) -> None:
        if serving.is_over:
            raise ApplicationError(ApplicationError.CANCELED, "the call is over")
        if self._session._is_established():
            self._session._transport.send(message.Yield(serving.request, {"progress": True}, args, kwargs))
            if serving.timer is not None:
                self._set_timer(serving)

    def _progress_from_thread(self, serving: Serving, args: list[Any], kwargs: dict[str, Any]) -> None:
        if serving.is_over:
            raise ApplicationError(ApplicationError.CANCELED, "the call is over")
        self._session._runtime.call_threadsafe(self._progress_later, serving, args, kwargs)

    def _progress_later(self, serving: Serving, args: list[Any], kwargs: dict[str, Any]) -> None:
        """A progressive result that came from a thread; one that cannot be sent ends the call."""
        if serving.is_over:
            return
        try:
            self._progress(serving, args, kwargs)
        except Exception as exc:
            self._raised(serving, exc)

    async def _drive(self, serving: Serving, generator: Any) -> Any:
        """What a generator yields goes out as it comes, or is collected; the final result is returned."""
        collected: list[Any] | None = None if serving.wants_progress else []
        in_thread = serving.service.blocking
        returned = None
        try:
            if isinstance(generator, AsyncGenerator):
                async for value in generator:
                    await self._take(serving, value, collected)
            else:
                step = partial(_step, generator)
                while True:
                    is_end, value = await self._in_pool(serving, step) if in_thread else step()
                    if is_end:
                        returned = value
                        break
                    await self._take(serving, value, collected)
        finally:
            if isinstance(generator, AsyncGenerator):
                await generator.aclose()
            elif not serving.in_thread:
                generator.close()
        if returned is None:
            return CallResult() if collected is None else collected
        return returned

    async def _take(self, serving: Serving, value: Any, collected: list[Any] | None) -> None:
        """One value of a generator; goes on when the transport has room for the next."""
        if collected is None:
            self._progress(serving, *wrapped(value))
            drain = getattr(self._session._transport, "drain", None)
            if drain is not None:
                await drain()
        elif len(collected) >= MAX_COLLECTED:
            text = f"expected a call that takes progressive results, got one for a single list of over {MAX_COLLECTED}"
            raise ApplicationError(ApplicationError.INVALID_ARGUMENT, text)
        else:
            collected.append(value)
        await turn()

    # ---- threads -------------------------------------------------------------------------------------------

    async def _in_thread(self, serving: Serving, call: Callable[[], Any]) -> Any:
        outcome = await self._in_pool(serving, call)
        if isinstance(outcome, Generator):
            return await self._drive(serving, outcome)
        return await outcome if isinstance(outcome, Awaitable) else outcome

    def _in_pool(self, serving: Serving, call: Callable[[], Any]) -> Awaitable[Any]:
        """``call`` in a thread. Nothing stops a thread: until it comes back it counts for the concurrency."""
        runtime = self._session._runtime

        def run() -> Any:
            serving.in_thread = True
            try:
                return call()
            finally:
                runtime.call_threadsafe(self._left_thread, serving)

        return runtime.run_in_pool(run, self._session.blocking_threads)  # type: ignore[no-any-return]

    def _left_thread(self, serving: Serving) -> None:
        serving.in_thread = False
        if serving.is_over:
            self._release(serving)

    # ---- answering -----------------------------------------------------------------------------------------

    def _yield(self, request: int, service: Service, result: Any) -> None:
        """The result is on its way, if the session still is."""
        session = self._session
        if not session._is_established():
            return
        try:
            session._transport.send(message.Yield(request, {}, *wrapped(result)))
        except TransportLost:
            pass  # its onClose is on the way
        except (SerializationError, PayloadExceededError) as exc:
            self._failed(request, service, exc)

    def _refuse(self, serving: Serving, uri: str, text: str) -> None:
        self._send_error(serving.request, uri, [text], {})

    def _failed(self, request: int, service: Service, exc: Exception) -> None:
        """Report an error of an endpoint and answer the invocation with it."""
        session = self._session
        session._user_error(exc, f"While serving {service.registration.procedure}")
        self._send_error(request, *session._errors.answer(exc))

    def _send_error(self, request: int, uri: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        session = self._session
        if not session._is_established():
            return
        with contextlib.suppress(TransportLost):  # its onClose is on the way
            try:
                session._transport.send(message.Error(68, request, {}, uri, args, kwargs))
            except (SerializationError, PayloadExceededError):
                texts = [str(arg)[:1000] for arg in args[:8]]
                session._transport.send(message.Error(68, request, {}, uri, texts, {}))


def _step(generator: Generator[Any, None, Any]) -> tuple[bool, Any]:
    """Whether the generator has ended, and what it has returned or yielded."""
    try:
        return False, next(generator)
    except StopIteration as end:
        return True, end.value

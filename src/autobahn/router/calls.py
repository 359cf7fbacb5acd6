"""Calls that need more than to be passed on.

A call is special when its options ask for more than progressive results, or its registration for more than the
one callee: timeouts, progressive call invocations, shared and limited registrations, disclosure, trust levels,
payload passthru. Everything else goes the short way in `Dealer.call`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from autobahn.router.config import RealmOptions
from autobahn.router.delivery import INVOCATION_FOR, decoded, post
from autobahn.router.ids import following
from autobahn.router.options import (
    FEATURE_NOT_SUPPORTED,
    OPTION_NOT_ALLOWED,
    Options,
    carried,
    disclose,
    is_disclosed,
    passthru,
    passthru_feature,
)
from autobahn.router.patterns import EXACT
from autobahn.router.peer import Endpoint, Peer, PendingCall, Registration
from autobahn.router.registrations import choose
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError, TransportLost
from autobahn.wamp.message import MAX_ID, Call, Error, Interrupt, Invocation
from autobahn.wamp.runtime import Runtime, TimerHandle

UNAVAILABLE = "wamp.error.unavailable"
NO_AVAILABLE_CALLEE = "wamp.error.no_available_callee"
MAX_CONCURRENCY_REACHED = "crossbar.error.max_concurrency_reached"
MAX_ENDED_STREAMS = 256  # per session: how many answered streams wait for their last CALL
NOBODY = Peer()  # the callee of a call that has none yet


def fail(call: PendingCall, uri: str, text: str) -> None:
    """``call`` is out of the books and its caller has an ERROR with ``uri``."""
    call.close()
    post(call.caller, Error(48, call.request, {}, uri, [text]))


def interrupt(call: PendingCall, mode: str) -> None:
    """The callee is told that the call is canceled, if it announced that it understands."""
    if call.callee.announced("callee", "call_canceling"):
        post(call.callee, Interrupt(call.serial, {"mode": mode}))


class SpecialCall(PendingCall, kw_only=True, eq=False):
    """A call with everything that is to be remembered about it."""

    desk: Desk
    msg: Call  # the first CALL
    registration: Registration
    details: Options = {}  # of INVOCATION, for every callee
    sent_details: Options = {}  # those of the INVOCATION that was sent
    endpoint: Endpoint | None = None  # None while it waits in the queue
    tried: list[Endpoint] = []  # endpoints that were unavailable
    key: str | None = None  # of a sharded call
    timeout: int = 0  # milliseconds; 0: none
    timer: TimerHandle | None = None
    passthru_feature: str = ""
    wants_progress: bool = False
    has_progressed: bool = False
    is_stream: bool = False  # a progressive call invocation
    is_open: bool = False  # ... whose last CALL has not come yet
    is_done: bool = False

    is_special: ClassVar[bool] = True

    def close(self) -> None:
        """Out of the books; its endpoint is free for another call.

        The request id of a stream that still goes on at the caller stays taken: what is in flight is no new call.
        """
        if self.is_done:
            return
        self.is_done = True
        self.callee.invocations.pop(self.serial, None)
        if self.is_open:
            self.desk.await_end_of_stream(self)
        else:
            self.caller.calls.pop(self.request, None)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.release()

    def release(self) -> None:
        """The call occupies no endpoint and no place in a queue."""
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            endpoint.running -= 1
            self.desk.advance(self.registration)
        elif self in self.registration.queue:
            self.registration.queue.remove(self)


class Desk:
    """Where special calls are handled."""

    def __init__(self, options: RealmOptions, runtime: Runtime | None) -> None:
        self.options = options
        self._runtime = runtime

    # ---- starting --------------------------------------------------------------------------------------

    def start(self, caller: Peer, msg: Call, registration: Registration) -> None:
        """The call is at a callee, or waits for one; or the caller has an ERROR."""
        call = self._special(caller, msg, registration)
        self._read_options(call, msg.options)
        endpoint = choose(registration, call.tried, call.key)
        if endpoint is None:
            self._enqueue(call)
        caller.calls[msg.request] = call
        if endpoint is None:
            self._watch(call, call.timeout)
        else:
            self._invoke(call, endpoint)

    def _special(self, caller: Peer, msg: Call, registration: Registration) -> SpecialCall:
        return SpecialCall(caller, msg.request, NOBODY, 0, False, desk=self, msg=msg, registration=registration)

    def _read_options(self, call: SpecialCall, options: Options) -> None:
        """``call`` knows what its CALL asks for; raises what is wrong with it."""
        caller, policy = call.caller, self.options
        ppt = passthru(caller, "caller", 48, options)
        if options.get("progress"):  # WAMP "Progressive Call Invocations"
            if not caller.announced("caller", "progressive_call_invocations"):
                raise ProtocolError("CALL is a progressive call invocation, which the caller has not announced")
            call.is_stream = call.is_open = True
        call.passthru_feature = passthru_feature(ppt)
        call.wants_progress = bool(options.get("receive_progress"))
        call.timeout = self._timeout(options.get("timeout"))
        call.details = {**carried(options), **ppt}
        if is_disclosed(policy.disclose_caller, options):
            disclose(call.details, "caller", caller)
        if policy.trustlevels is not None:
            call.details["trustlevel"] = policy.trustlevels.get(caller.authrole, 0)
        if call.registration.match != EXACT:
            call.details["procedure"] = call.msg.procedure
        runmode = options.get("runmode")
        if runmode == "partition":  # WAMP "Sharded Registration"; without a key it is a call like any other
            call.key = options.get("rkey")
        elif runmode is not None:
            raise ApplicationError(OPTION_NOT_ALLOWED, f"expected runmode partition, got {runmode!r:.100}")

    def _timeout(self, asked: Any) -> int:
        """Milliseconds until the call is ended; 0: never."""
        maximum = self.options.max_call_timeout or 0
        if not asked:
            return maximum
        if asked < 0 or asked != asked // 1:
            raise ApplicationError(
                ApplicationError.INVALID_ARGUMENT, f"expected a timeout in whole milliseconds, 0 or more, got {asked}"
            )
        return min(int(min(asked, MAX_ID)), maximum or MAX_ID)

    def _invoke(self, call: SpecialCall, endpoint: Endpoint) -> None:
        """The callee of ``endpoint`` has the INVOCATION in its queue; or the caller has an ERROR."""
        callee = endpoint.callee
        needed = [call.passthru_feature] if call.passthru_feature else []
        if call.is_stream:
            needed.append("progressive_call_invocations")
        for feature in needed:
            if not callee.announced("callee", feature):
                fail(call, FEATURE_NOT_SUPPORTED, f"the callee has not announced {feature}")
                return
        call.callee = callee
        call.endpoint = endpoint
        endpoint.running += 1
        call.sent_details = self._details(call, endpoint)
        callee.last_invocation = call.serial = following(callee.last_invocation)
        callee.invocations[call.serial] = call
        self._send(call, call.msg, call.is_open)

    def _details(self, call: SpecialCall, endpoint: Endpoint) -> Options:
        """INVOCATION.Details for this endpoint; the timer runs where it is to run."""
        details = dict(call.details)
        if endpoint.disclose_caller:
            disclose(details, "caller", call.caller)
        call.progressive = call.wants_progress and endpoint.callee.announced("callee", "progressive_call_results")
        if call.progressive:
            details["receive_progress"] = True
        if call.timeout and endpoint.forward_timeout:  # the callee takes the time, we only see to our own maximum
            details["timeout"] = call.timeout
            self._watch(call, self.options.max_call_timeout or 0)
        else:
            self._watch(call, call.timeout)
        return details

    def _send(self, call: SpecialCall, msg: Call, is_open: bool) -> None:
        """INVOCATION with the payload of ``msg`` is in the queue of the callee; ``is_open``: more will follow."""
        caller, callee = call.caller, call.callee
        details = {**call.sent_details, "progress": True} if is_open else call.sent_details
        try:
            if caller.codec is callee.codec:
                form = INVOCATION_FOR[type(msg)]
                invocation = form(call.serial, call.registration.id, details, msg.args, msg.kwargs)
            else:
                args, kwargs = decoded(msg, caller.codec)
                invocation = Invocation(call.serial, call.registration.id, details, args, kwargs)
            callee.send(invocation)
        except TransportLost:  # its onClose is on the way and answers the caller
            pass
        except (SerializationError, ProtocolError) as exc:
            if msg is not call.msg:  # the callee has seen the beginning of the stream
                interrupt(call, "killnowait")
            fail(call, ApplicationError.INVALID_ARGUMENT, f"the arguments cannot be carried to the callee: {exc}")

    # ---- progressive call invocations ------------------------------------------------------------------

    def proceed(self, caller: Peer, msg: Call) -> None:
        """``msg`` has a request id that is taken: it goes on with a stream, everything else is a violation."""
        call = caller.calls[msg.request]
        if not isinstance(call, SpecialCall) or not call.is_open:
            raise ProtocolError(f"expected a new request id for CALL, got {msg.request}, whose call is in flight")
        if call.msg.procedure != msg.procedure:
            raise ProtocolError(f"expected a CALL that goes on with {call.msg.procedure!r}, got {msg.procedure!r:.300}")
        passthru(caller, "caller", 48, msg.options)
        call.is_open = bool(msg.options.get("progress"))
        if call.is_done:  # the callee did not wait for the end
            if not call.is_open:
                del caller.calls[msg.request], caller.ended_streams[msg.request]
        elif not call.canceled:
            self._send(call, msg, call.is_open)

    def refused(self, caller: Peer, msg: Call) -> None:
        """``msg`` was answered with ERROR at once; if it began a stream, the rest of it is no new call."""
        if msg.options.get("progress") and msg.request not in caller.calls:
            call = self._special(caller, msg, Registration(0, msg.procedure, EXACT, "single"))
            call.is_open = True
            caller.calls[msg.request] = call
            call.close()

    def await_end_of_stream(self, call: SpecialCall) -> None:
        """The next CALLs with this request id are dropped; the oldest of too many such ids is forgotten."""
        caller = call.caller
        call.canceled = True  # CANCEL comes too late
        caller.ended_streams[call.request] = None
        if len(caller.ended_streams) > MAX_ENDED_STREAMS:
            oldest = next(iter(caller.ended_streams))
            del caller.ended_streams[oldest], caller.calls[oldest]

    # ---- concurrency -----------------------------------------------------------------------------------

    def _enqueue(self, call: SpecialCall) -> None:
        """``call`` waits until a callee may have one more call."""
        queue = call.registration.queue
        if call.is_stream or len(queue) >= self.options.call_queue:
            raise ApplicationError(
                MAX_CONCURRENCY_REACHED, f"all callees of {call.msg.procedure!r} have as many calls as they want"
            )
        queue.append(call)

    def advance(self, registration: Registration) -> None:
        """Calls that waited are at endpoints that are free now; with no endpoint left, they are answered."""
        queue = registration.queue
        for call in list(queue):
            if call not in queue:  # something else came first, from within a callee in this process
                continue
            if all(endpoint in call.tried for endpoint in registration.endpoints):
                queue.remove(call)
                uri = NO_AVAILABLE_CALLEE if call.tried else ApplicationError.CANCELED
                fail(call, uri, "the last callee that could take the call has left")
                continue
            endpoint = choose(registration, call.tried, call.key)
            if endpoint is not None:
                queue.remove(call)
                self._invoke(call, endpoint)
            elif call.key is None and not call.tried:  # nobody is free
                return

    # ---- rerouting -------------------------------------------------------------------------------------

    def reroute(self, call: PendingCall) -> bool:
        """The callee said it is unavailable: another one has the call (WAMP "Call Re-Routing").

        False when the caller is to have the ERROR as it is: it canceled, or something went either way before.
        """
        if not isinstance(call, SpecialCall):
            if call.canceled:
                return False
            fail(call, NO_AVAILABLE_CALLEE, "the callee is unavailable, and it is the only one")
            return True
        if call.canceled or call.has_progressed or call.is_stream or call.endpoint is None:
            return False
        del call.callee.invocations[call.serial]
        call.callee, call.serial = NOBODY, 0
        call.tried.append(call.endpoint)
        call.release()
        registration = call.registration
        endpoint = choose(registration, call.tried, call.key)
        if endpoint is not None:
            self._invoke(call, endpoint)
        elif all(endpoint in call.tried for endpoint in registration.endpoints):
            fail(call, NO_AVAILABLE_CALLEE, f"{len(call.tried)} callees were tried, none is available")
        else:
            try:
                self._enqueue(call)
            except ApplicationError as exc:
                fail(call, exc.error, str(exc.args[0]))
        return True

    # ---- time ------------------------------------------------------------------------------------------

    def progressed(self, call: PendingCall) -> None:
        """A progressive result came for a special call: the time starts again (WAMP "Call Timeouts")."""
        assert isinstance(call, SpecialCall)
        call.has_progressed = True
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
            forwarded = "timeout" in call.sent_details
            self._watch(call, self.options.max_call_timeout or 0 if forwarded else call.timeout)

    def _watch(self, call: SpecialCall, timeout: int) -> None:
        """``call`` ends after ``timeout`` milliseconds, counted from the first time this was asked; 0: never."""
        if call.timer is not None and not timeout:
            call.timer.cancel()
            call.timer = None
        if call.timer is None and timeout and self._runtime is not None:
            call.timer = self._runtime.call_later(timeout / 1000, lambda: self._expire(call))

    def _expire(self, call: SpecialCall) -> None:
        call.timer = None
        interrupt(call, "killnowait")
        fail(call, ApplicationError.TIMEOUT, f"the call was not answered within {call.timeout} ms")

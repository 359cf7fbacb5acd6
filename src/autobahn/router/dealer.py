"""Remote procedure calls in one realm (WAMP "Remote Procedure Calls")."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from autobahn.router.calls import NOBODY, UNAVAILABLE, Desk, fail, interrupt
from autobahn.router.config import RealmOptions
from autobahn.router.delivery import ERROR_FOR, INVOCATION_FOR, RESULT_FOR, decoded
from autobahn.router.lane import ShortWay
from autobahn.router.observer import RealmObserver
from autobahn.router.options import (
    FEATURE_NOT_SUPPORTED,
    PASSTHRU,
    TRANSPARENCY,
    Options,
    carried,
    check_limit,
    check_uri,
    is_reserved,
    passthru,
    passthru_feature,
)
from autobahn.router.patterns import EXACT, PatternMap
from autobahn.router.peer import Peer, PendingCall, Registration
from autobahn.router.registrations import Registrar
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError, TransportLost
from autobahn.wamp.lifecycle import check_error
from autobahn.wamp.message import MAX_ID, Call, Cancel, Error, Invocation, Result, Yield
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.uri import is_valid

log = logging.getLogger("autobahn.router")

_SIMPLE_OPTIONS = frozenset({"receive_progress"})  # a call with only these goes the short way


class Dealer:
    """The calls in flight, and the registrations they go to.

    Every message a client may send to it is one method ``(peer, message)``. The book of a call is its
    `PendingCall`, which stands with its caller and its callee until the call is answered.
    """

    def __init__(
        self, observers: list[RealmObserver], options: RealmOptions | None = None, runtime: Runtime | None = None
    ) -> None:
        self.options = options = options if options is not None else RealmOptions()
        self.desk = Desk(options, runtime)
        self.registrar = Registrar(observers, options, self.desk.advance)
        self.registrations: PatternMap[Registration] = self.registrar.book
        self._runtime = runtime
        self.table: dict[int, Any] = {
            8: self.error,
            48: self._serving_calls(),
            49: self.cancel,
            64: self.registrar.register,
            66: self.registrar.unregister,
            70: self.yielded,
            0: ShortWay(self.call, self.registrations.exact, self.yielded),
        }

    def change(self, options: RealmOptions) -> None:
        """``options`` count for calls and registrations from now on; `table` is another one."""
        self.options = self.desk.options = self.registrar.options = options
        self.table = {**self.table, 48: self._serving_calls()}

    def _serving_calls(self) -> Callable[[Peer, Call], None]:
        options = self.options
        is_governed = options.max_calls or options.max_call_timeout or options.trustlevels is not None
        return self.call_governed if is_governed or options.disclose_caller == "always" else self.call

    def features(self) -> dict[str, bool]:
        """What WELCOME announces for the dealer."""
        return {
            "call_canceling": True,
            "call_reroute": True,
            **({"call_timeout": True} if self._runtime is not None else {}),
            **({"call_trustlevels": True} if self.options.trustlevels is not None else {}),
            **({"caller_identification": True} if self.options.disclose_caller != "never" else {}),
            "pattern_based_registration": True,
            PASSTHRU: True,
            TRANSPARENCY: True,
            "progressive_call_invocations": True,
            "progressive_call_results": True,
            "registration_revocation": True,
            "sharded_registration": True,
            "shared_registration": True,
        }

    def leave(self, peer: Peer) -> None:
        """Nothing of ``peer`` is left: no call of its own, no registration, no call that it was to answer."""
        for number in peer.ended_streams:
            del peer.calls[number]
        peer.ended_streams.clear()
        for pending in list(peer.calls.values()):
            if pending.callee is NOBODY:  # in a queue; must not move on when an endpoint becomes free
                pending.close()
        self.registrar.leave(peer)
        for pending in list(peer.calls.values()):
            if pending.callee is not peer:
                interrupt(pending, "killnowait")
            pending.close()
        peer.calls.clear()
        peer.ended_streams.clear()
        for pending in list(peer.invocations.values()):
            fail(pending, ApplicationError.CANCELED, "the callee has left")

    # ---- calling ---------------------------------------------------------------------------------------

    def call(self, caller: Peer, msg: Call) -> None:
        """The callee has the INVOCATION in its queue, and the call is in the books of both."""
        procedure = msg.procedure
        request = msg.request
        if request in caller.calls:  # WAMP "Protocol Violations": an id in use is not the next one
            self.desk.proceed(caller, msg)
            return
        registration = self.registrations.exact.get(procedure)
        if registration is None:
            registration = self._find(procedure)
        callee = registration.callee
        options = msg.options
        if callee is None or (options and not _SIMPLE_OPTIONS.issuperset(options)):
            self.desk.start(caller, msg, registration)
            return
        details: Options = {}
        progressive = False
        if options and options.get("receive_progress") and callee.announced("callee", "progressive_call_results"):
            details["receive_progress"] = progressive = True
        if registration.match != EXACT:
            details["procedure"] = procedure
        serial = callee.last_invocation + 1
        if serial > MAX_ID:
            serial = 1
        is_carried = caller.codec is callee.codec
        args: Any
        args, kwargs = (msg.args, msg.kwargs) if is_carried else decoded(msg, caller.codec)
        callee.last_invocation = serial
        pending = PendingCall(caller, request, callee, serial, progressive)
        caller.calls[request] = callee.invocations[serial] = pending
        try:
            is_simple = is_carried and type(args) is Raw and kwargs is None
            if not is_simple or not callee.carry((68, serial, registration.id, details, args)):
                form = INVOCATION_FOR[type(msg)] if is_carried else Invocation
                callee.send(form(serial, registration.id, details, args, kwargs))
        except TransportLost:  # its onClose is on the way and answers the caller
            pass
        except SerializationError as exc:
            pending.close()
            raise ApplicationError(
                ApplicationError.INVALID_ARGUMENT, f"the arguments cannot be carried to the callee: {exc}"
            ) from exc

    def call_governed(self, caller: Peer, msg: Call) -> None:
        """Like `call`, in a realm that has something to say about every call."""
        if msg.request in caller.calls:
            self.desk.proceed(caller, msg)
            return
        in_flight = len(caller.calls) - len(caller.ended_streams)
        check_limit(caller, in_flight, self.options.max_calls, "calls in flight")
        registration = self.registrations.exact.get(msg.procedure)
        self.desk.start(caller, msg, registration if registration is not None else self._find(msg.procedure))

    def _find(self, procedure: str) -> Registration:
        """The registration for ``procedure``, for which there is no exact one.

        A pattern never takes calls to the router's own procedures.
        """
        check_uri(procedure, EXACT, self.options.strict_uris)
        registration = None if is_reserved(procedure) else self.registrations.best(procedure)
        if registration is None:
            raise ApplicationError(ApplicationError.NO_SUCH_PROCEDURE, f"no callee is registered for {procedure!r}")
        return registration

    def cancel(self, caller: Peer, msg: Cancel) -> None:
        """The call ends in one of three ways (WAMP "Call Canceling"); without a mode: killnowait."""
        mode = "killnowait"
        if msg.options:
            mode = msg.options.get("mode") or mode
        pending = caller.calls.get(msg.request)
        if pending is None or pending.canceled:  # answered in the meantime, or canceled before
            return
        if not pending.callee.announced("callee", "call_canceling"):
            mode = "skip"
        if mode == "kill":
            pending.canceled = True
            interrupt(pending, mode)
            return
        if mode == "killnowait":
            interrupt(pending, mode)
        fail(pending, ApplicationError.CANCELED, "the caller has canceled the call")

    # ---- answering -------------------------------------------------------------------------------------

    def yielded(self, callee: Peer, msg: Yield) -> None:
        """The caller has the (progressive or final) RESULT in its queue."""
        pending = callee.invocations.get(msg.request)
        if pending is None:
            _check_issued(callee, msg.request, "YIELD")
            return
        details: Options = {}
        progress = False
        if msg.options:
            progress = bool(msg.options.get("progress"))
            if progress and (not pending.progressive or pending.canceled):
                log.debug("session %d: progressive result that nobody waits for dropped", callee.id)
                return
            details = self._result_details(pending, 70, msg.options)
            if callee.invocations.get(msg.request) is not pending:  # its caller could not have this result
                return
        caller = pending.caller
        is_carried = caller.codec is callee.codec
        args: Any
        args, kwargs = (msg.args, msg.kwargs) if is_carried else decoded(msg, callee.codec)
        if progress:
            if pending.is_special:
                self.desk.progressed(pending)
        elif pending.is_special:
            pending.close()
        else:
            del callee.invocations[msg.request], caller.calls[pending.request]
        try:
            is_simple = is_carried and not details and type(args) is Raw and kwargs is None
            if not is_simple or not caller.carry((50, pending.request, details, args)):
                form = RESULT_FOR[type(msg)] if is_carried else Result
                caller.send(form(pending.request, details, args, kwargs))
        except TransportLost:  # its onClose is on the way and clears the books
            pass
        except SerializationError as exc:
            if progress:  # the stream ends here, at both ends
                interrupt(pending, "killnowait")
            fail(pending, ApplicationError.INVALID_ARGUMENT, f"the result cannot be carried to the caller: {exc}")

    def _result_details(self, pending: PendingCall, code: int, options: Options) -> Options:
        """RESULT.Details or ERROR.Details; the call is closed when the caller cannot have this payload.

        The specification wants the callee to have an ERROR too, but names no request type that peers would accept:
        an INTERRUPT ends its work if there is more to come.
        """
        ppt = passthru(pending.callee, "callee", code, options)
        feature = passthru_feature(ppt)
        if feature and not pending.caller.announced("caller", feature):
            if options.get("progress"):
                interrupt(pending, "killnowait")
            fail(pending, FEATURE_NOT_SUPPORTED, f"the result uses {feature}, which the caller has not announced")
            return {}
        details = {**carried(options), **ppt}
        if options.get("progress"):
            details["progress"] = True
        return details

    def error(self, callee: Peer, msg: Error) -> None:
        """The caller has the ERROR of its callee in its queue."""
        check_error("router", msg.request_type)
        if not is_valid(msg.error):  # it would make the caller's end fail
            raise ProtocolError(f"expected a URI in ERROR, got {msg.error!r:.100}")
        pending = callee.invocations.get(msg.request)
        if pending is None:
            _check_issued(callee, msg.request, "ERROR")
            return
        if msg.error == UNAVAILABLE and callee.announced("callee", "call_reroute") and self.desk.reroute(pending):
            return
        details: Options = {}
        if msg.details:
            details = self._result_details(pending, 8, msg.details)
            if callee.invocations.get(msg.request) is not pending:
                return
        caller = pending.caller
        if caller.codec is callee.codec:
            error = ERROR_FOR[type(msg)](48, pending.request, details, msg.error, msg.args, msg.kwargs)
        else:
            args, kwargs = decoded(msg, callee.codec)
            error = Error(48, pending.request, details, msg.error, args, kwargs)
        pending.close()
        try:
            caller.send(error)
        except TransportLost:
            pass
        except SerializationError as exc:
            fail(pending, msg.error, f"the payload of the error cannot be carried to the caller: {exc}")


def _check_issued(callee: Peer, serial: int, name: str) -> None:
    """A late answer is a race and dropped; one to an INVOCATION that never was is a violation."""
    if serial > callee.last_invocation:
        raise ProtocolError(f"expected {name} for an INVOCATION of this session, got one for {serial}, never issued")

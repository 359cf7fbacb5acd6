"""Remote procedure calls in one realm (WAMP "Remote Procedure Calls")."""

from __future__ import annotations

import logging
from typing import Any

from autobahn.router.delivery import ERROR_FOR, INVOCATION_FOR, RESULT_FOR, decoded, post
from autobahn.router.ids import following
from autobahn.router.observer import RealmObserver
from autobahn.router.options import (
    check_register,
    check_uri,
    check_writable,
    is_reserved,
    refuse_passthru,
)
from autobahn.router.patterns import EXACT, PatternMap
from autobahn.router.peer import Peer, PendingCall, Registration
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError, TransportLost
from autobahn.wamp.lifecycle import check_error
from autobahn.wamp.message import (
    Call,
    Cancel,
    Error,
    Interrupt,
    Invocation,
    Register,
    Registered,
    Result,
    Unregister,
    Unregistered,
    Yield,
)
from autobahn.wamp.uri import is_valid

log = logging.getLogger("autobahn.router")

FEATURES = (
    "call_canceling",
    "caller_identification",
    "pattern_based_registration",
    "progressive_call_results",
)


class Dealer:
    """The registrations of a realm, and the calls in flight.

    Every message a client may send to it is one method ``(peer, message)``. The book of a call is its
    `PendingCall`, which stands with its caller and its callee until the call is answered.
    """

    def __init__(self, observers: list[RealmObserver]) -> None:
        self.registrations: PatternMap[Registration] = PatternMap()
        self.table: dict[int, Any] = {
            8: self.error,
            48: self.call,
            49: self.cancel,
            64: self.register,
            66: self.unregister,
            70: self.yielded,
        }
        self._observers = observers
        self._last_id = 0

    # ---- registering -----------------------------------------------------------------------------------

    def register(self, peer: Peer, msg: Register) -> None:
        """``peer`` serves the procedure, and has REGISTERED before any INVOCATION of it."""
        match = EXACT
        if msg.options:
            match = msg.options.get("match") or EXACT
            check_register(msg.options)
        check_writable(msg.procedure, match)
        if self.registrations.get(match, msg.procedure) is not None:
            raise ApplicationError(
                ApplicationError.PROCEDURE_ALREADY_EXISTS,
                f"a registration for {msg.procedure!r} exists (match {match}, invoke single)",
            )
        self._last_id += 1
        registration = Registration(self._last_id, msg.procedure, match, peer)
        self.registrations.put(match, msg.procedure, registration)
        peer.registrations[registration.id] = registration
        post(peer, Registered(msg.request, registration.id))
        for observer in self._observers:
            observer.registration_created(peer, registration)
            observer.registration_added(peer, registration)

    def unregister(self, peer: Peer, msg: Unregister) -> None:
        """``peer`` does not serve that procedure any more; what was invoked before goes on."""
        registration = peer.registrations.get(msg.registration)
        if registration is None:
            raise ApplicationError(
                ApplicationError.NO_SUCH_REGISTRATION,
                f"this session holds no registration {msg.registration}",
            )
        self._remove(peer, registration)
        post(peer, Unregistered(msg.request))
        self._notify_removed(peer, registration)

    def leave(self, peer: Peer) -> None:
        """Nothing of ``peer`` is left: no call of its own, no registration, no call that it was to answer."""
        for pending in list(peer.calls.values()):
            pending.close()
            if pending.callee is not peer:
                self._interrupt(pending, "killnowait")
        while peer.registrations:
            registration = next(iter(peer.registrations.values()))
            self._remove(peer, registration)
            self._notify_removed(peer, registration)
        for pending in list(peer.invocations.values()):
            self._fail(pending, ApplicationError.CANCELED, "the callee has left")

    def _remove(self, peer: Peer, registration: Registration) -> None:
        del peer.registrations[registration.id]
        self.registrations.remove(registration.match, registration.procedure)

    def _notify_removed(self, peer: Peer, registration: Registration) -> None:
        for observer in self._observers:
            observer.registration_removed(peer, registration)
            observer.registration_deleted(peer, registration)

    # ---- calling ---------------------------------------------------------------------------------------

    def call(self, caller: Peer, msg: Call) -> None:
        """The callee has the INVOCATION in its queue, and the call is in the books of both."""
        procedure = msg.procedure
        request = msg.request
        if request in caller.calls:  # WAMP "Protocol Violations": an id in use is not the next one
            raise ProtocolError(f"expected a new request id for CALL, got {request}, whose call is in flight")
        registration = self.registrations.exact.get(procedure)
        if registration is None:
            registration = self._find(procedure)
        callee = registration.callee
        options = msg.options
        details: dict[str, Any] = {}
        progressive = False
        if options:
            refuse_passthru(48, options)
            progressive = _invocation_details(details, caller, callee, options)
        if registration.match != EXACT:
            details["procedure"] = procedure
        serial = following(callee.last_invocation)
        if caller.codec is callee.codec:
            invocation = INVOCATION_FOR[type(msg)](serial, registration.id, details, msg.args, msg.kwargs)
        else:
            args, kwargs = decoded(msg, caller.codec)
            invocation = Invocation(serial, registration.id, details, args, kwargs)
        callee.last_invocation = serial
        pending = PendingCall(caller, request, callee, serial, progressive)
        caller.calls[request] = callee.invocations[serial] = pending
        try:
            callee.send(invocation)
        except TransportLost:  # its onClose is on the way and answers the caller
            pass
        except SerializationError as exc:
            pending.close()
            raise ApplicationError(
                ApplicationError.INVALID_ARGUMENT, f"the arguments cannot be carried to the callee: {exc}"
            ) from exc

    def _find(self, procedure: str) -> Registration:
        """The registration for ``procedure``, for which there is no exact one.

        A pattern never takes calls to the router's own procedures.
        """
        check_uri(procedure)
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
            self._interrupt(pending, mode)
            return
        if mode == "killnowait":
            self._interrupt(pending, mode)
        self._fail(pending, ApplicationError.CANCELED, "the caller has canceled the call")

    # ---- answering -------------------------------------------------------------------------------------

    def yielded(self, callee: Peer, msg: Yield) -> None:
        """The caller has the (progressive or final) RESULT in its queue."""
        pending = callee.invocations.get(msg.request)
        if pending is None:
            _check_issued(callee, msg.request, "YIELD")
            return
        details: dict[str, Any] = {}
        if msg.options:
            refuse_passthru(70, msg.options)
            if msg.options.get("progress"):
                if not pending.progressive or pending.canceled:
                    log.debug("session %d: progressive result that nobody waits for dropped", callee.id)
                    return
                details["progress"] = True
        caller = pending.caller
        if caller.codec is callee.codec:
            result = RESULT_FOR[type(msg)](pending.request, details, msg.args, msg.kwargs)
        else:
            args, kwargs = decoded(msg, callee.codec)
            result = Result(pending.request, details, args, kwargs)
        if not details:
            del callee.invocations[msg.request], caller.calls[pending.request]
        try:
            caller.send(result)
        except TransportLost:  # its onClose is on the way and clears the books
            pass
        except SerializationError as exc:
            if details:  # the stream ends here, at both ends
                self._interrupt(pending, "killnowait")
            self._fail(
                pending,
                ApplicationError.INVALID_ARGUMENT,
                f"the result cannot be carried to the caller: {exc}",
            )

    def error(self, callee: Peer, msg: Error) -> None:
        """The caller has the ERROR of its callee in its queue."""
        check_error("router", msg.request_type)
        if msg.details:
            refuse_passthru(8, msg.details)
        if not is_valid(msg.error):  # it would make the caller's end fail
            raise ProtocolError(f"expected a URI in ERROR, got {msg.error!r:.100}")
        pending = callee.invocations.get(msg.request)
        if pending is None:
            _check_issued(callee, msg.request, "ERROR")
            return
        caller = pending.caller
        if caller.codec is callee.codec:
            error = ERROR_FOR[type(msg)](48, pending.request, {}, msg.error, msg.args, msg.kwargs)
        else:
            args, kwargs = decoded(msg, callee.codec)
            error = Error(48, pending.request, {}, msg.error, args, kwargs)
        pending.close()
        try:
            caller.send(error)
        except TransportLost:
            pass
        except SerializationError as exc:
            self._fail(pending, msg.error, f"the payload of the error cannot be carried to the caller: {exc}")

    def _fail(self, pending: PendingCall, uri: str, text: str) -> None:
        """``pending`` is out of the books and its caller has an ERROR with ``uri``."""
        pending.close()
        post(pending.caller, Error(48, pending.request, {}, uri, [text]))

    def _interrupt(self, pending: PendingCall, mode: str) -> None:
        """The callee is told that the call is canceled, if it announced that it understands."""
        if pending.callee.announced("callee", "call_canceling"):
            post(pending.callee, Interrupt(pending.serial, {"mode": mode}))


def _check_issued(callee: Peer, serial: int, name: str) -> None:
    """A late answer is a race and dropped; one to an INVOCATION that never was is a violation."""
    if serial > callee.last_invocation:
        raise ProtocolError(f"expected {name} for an INVOCATION of this session, got one for {serial}, never issued")


def _invocation_details(details: dict[str, Any], caller: Peer, callee: Peer, options: dict[str, Any]) -> bool:
    """Fills ``details`` with what ``options`` ask for; True if progressive results are welcome."""
    if options.get("progress"):  # WAMP "Progressive Call Invocations": the router has not announced them
        raise ProtocolError("CALL is a progressive call invocation, which the router has not announced")
    if options.get("disclose_me"):
        details["caller"] = caller.id
        details["caller_authid"] = caller.authid
        details["caller_authrole"] = caller.authrole
    if options.get("receive_progress") and callee.announced("callee", "progressive_call_results"):
        details["receive_progress"] = True
        return True
    return False

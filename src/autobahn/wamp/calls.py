"""Remote procedure calls at the client: our calls, our registrations, the invocations we serve."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from autobahn.exception import PayloadExceededError
from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint, declared_endpoints, endpoint_of
from autobahn.wamp.exception import ApplicationError, InvalidUriError, ProtocolError, SerializationError
from autobahn.wamp.request import Registration
from autobahn.wamp.types import CallDetails, CallOptions, CallResult, RegisterOptions
from autobahn.wamp.uri import declared_error_uri, require_uri

_NO_OPTIONS: dict[str, Any] = {}
# What a router or codec says of a payload becomes these exceptions at the caller, unless the user defined others.
_PREDEFINED: dict[str, type[BaseException]] = {
    "wamp.error.invalid_payload": SerializationError,
    "wamp.error.payload_size_exceeded": PayloadExceededError,
}


class CallInfo:
    """What the book of requests remembers of a CALL."""

    __slots__ = ("options", "procedure")

    def __init__(self, procedure: str, options: CallOptions | None) -> None:
        self.procedure = procedure
        self.options = options


class Rpc:
    """Caller and callee of one `ClientSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._registrations: dict[int, Registration] = {}
        self._serving: dict[int, Any] = {}  # invocation id -> task of its endpoint
        self.table: dict[int, Callable[[Any], None]] = {
            8: self._on_error,
            50: self._on_result,
            65: self._on_registered,
            67: self._on_unregistered,
            68: self._on_invocation,
            69: self._on_interrupt,
        }

    def reset(self) -> None:
        """The session ended: registrations are gone, running endpoints are cancelled."""
        for registration in self._registrations.values():
            registration.active = False
        self._registrations = {}
        serving, self._serving = self._serving, {}
        for task in serving.values():
            task.cancel()

    # ---- caller ------------------------------------------------------------------------------------------

    def call(self, procedure: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self._session
        options = None
        if kwargs:
            options = kwargs.pop("options", None)
        if options is None:
            wire_options = _NO_OPTIONS
        elif isinstance(options, CallOptions):
            wire_options = options.message_attr()
        else:
            raise TypeError(f"expected options of type CallOptions, got {type(options).__name__}")
        require_uri(procedure, "exact")
        request_id, request = session._open_request(48, CallInfo(procedure, options), self._cancel)
        session._send_request(request_id, message.Call(request_id, wire_options, procedure, list(args), kwargs))
        if options is not None and options.timeout:
            request.timer = session._runtime.call_later(options.timeout, lambda: self._timed_out(request_id))
        return request.future

    def _cancel(self, request_id: int) -> None:
        """The caller cancelled the future: tell the dealer if it can cancel, forget the call in any case."""
        request = self._session._requests.forget(request_id)
        if request is not None:
            self._send_cancel(request_id)
            if request.timer is not None:
                request.timer.cancel()

    def _send_cancel(self, request_id: int) -> None:
        session = self._session
        dealer = session._router_roles.get("dealer", {})
        if dealer.get("features", {}).get("call_canceling") and session.is_connected():
            session._transport.send(message.Cancel(request_id, {}))

    def _timed_out(self, request_id: int) -> None:
        request = self._session._requests.forget(request_id)
        if request is not None:
            self._send_cancel(request_id)
            timeout, procedure = request.info.options.timeout, request.info.procedure
            request.fail(ApplicationError(ApplicationError.TIMEOUT, f"no result of {procedure} within {timeout} s"))

    def _on_result(self, msg: message.Result) -> None:
        session = self._session
        details = msg.details
        if details and details.get("progress"):
            self._on_progress(msg)
            return
        request = session._requests.answered(msg.request, 48)
        if request is None:
            return
        if details and type(msg.args) is not list:  # payload transparency, which nobody here can decode
            request.fail(ApplicationError(ApplicationError.ENC_NO_PAYLOAD_CODEC, f"enc_algo {details.get('enc_algo')}"))
            return
        options = request.info.options
        if (options is not None and options.details) or msg.kwargs or len(msg.args) > 1:
            request.finish(_call_result(msg))
        else:
            request.finish(msg.args[0] if msg.args else None)

    def _on_progress(self, msg: message.Result) -> None:
        session = self._session
        request = session._requests.peek(msg.request, 48)
        if request is None:
            return
        options = request.info.options
        if options is None or options.on_progress is None:
            return
        try:
            if options.details:
                outcome = options.on_progress(_call_result(msg))
            else:
                outcome = options.on_progress(*msg.args, **msg.kwargs)
        except Exception as exc:
            session._user_error(exc, f"While firing on_progress of {request.info.procedure}")
            return
        if isinstance(outcome, Awaitable):
            session._runtime.spawn(session._guard(lambda: outcome), "autobahn on_progress")

    def _on_error(self, msg: message.Error) -> None:
        request = self._session._requests.answered(msg.request, msg.request_type)
        if request is not None:
            request.fail(self._exception_from(msg))

    def _exception_from(self, msg: message.Error) -> BaseException:
        session = self._session
        cls = session._errors_by_uri.get(msg.error) or _PREDEFINED.get(msg.error)
        if cls is not None:
            try:
                return cls(*msg.args, **msg.kwargs)
            except Exception as exc:
                session._user_error(exc, f"While re-constructing exception {cls.__name__} for {msg.error}")
        kwargs = {k: v for k, v in msg.kwargs.items() if k not in ApplicationError.RESERVED}
        return ApplicationError(msg.error, *msg.args, **kwargs)

    # ---- callee: registering ---------------------------------------------------------------------------------

    def register(self, target: Any, procedure: str | None, options: Any, prefix: str | None, check: bool | None) -> Any:
        session = self._session
        if options is not None and not isinstance(options, RegisterOptions):
            raise TypeError(f"expected options of type RegisterOptions, got {type(options).__name__}")
        if callable(target):
            return self._register_one(endpoint_of(target, procedure, options, check, RegisterOptions), prefix)
        found = declared_endpoints(target, "procedure", options, check, RegisterOptions)
        return session._runtime.gather(
            *(self._register_one(endpoint, prefix) for endpoint in found), return_exceptions=True
        )

    def _register_one(self, endpoint: Endpoint, prefix: str | None) -> Any:
        if endpoint.uri is None:
            raise InvalidUriError("expected a procedure URI, got None")
        uri = f"{prefix or ''}{endpoint.uri}"
        require_uri(uri, endpoint.match)
        session = self._session
        wire_options = {} if endpoint.options is None else endpoint.options.message_attr()
        request_id, request = session._open_request(64, (uri, endpoint))
        session._send_request(request_id, message.Register(request_id, wire_options, uri))
        return request.future

    def _on_registered(self, msg: message.Registered) -> None:
        request = self._session._requests.answered(msg.request, 64)
        if request is None:
            return
        if msg.registration in self._registrations and self._registrations[msg.registration].active:
            raise ProtocolError(f"expected the id of a new registration, got {msg.registration}, which is in use")
        uri, endpoint = request.info
        registration = Registration(self._session, msg.registration, uri, endpoint)
        self._registrations[msg.registration] = registration
        request.finish(registration)

    def unregister(self, registration: Registration) -> Any:
        session = self._session
        if not registration.active:
            raise RuntimeError("registration no longer active")
        request_id, request = session._open_request(66, registration)
        session._send_request(request_id, message.Unregister(request_id, registration.id))
        return request.future

    def _on_unregistered(self, msg: message.Unregistered) -> None:
        if msg.request == 0:  # revoked by the router (WAMP "Registration Revocation")
            revoked = self._registrations.get(msg.details.get("registration", 0))
            if revoked is not None:
                revoked.active = False
            return
        request = self._session._requests.answered(msg.request, 66)
        if request is not None:
            request.info.active = False  # stays in the book: invocations under way are still served
            request.finish(None)

    # ---- callee: serving ---------------------------------------------------------------------------------------

    def _on_invocation(self, msg: message.Invocation) -> None:
        registration = self._registrations.get(msg.registration)
        if registration is None:
            raise ProtocolError(f"expected an invocation of a registration held here, got one of {msg.registration}")
        endpoint = registration.endpoint
        if msg.details and type(msg.args) is not list:  # payload transparency, which nobody here can decode
            text = f"enc_algo {msg.details.get('enc_algo')}"
            self._send_error(msg.request, ApplicationError.ENC_NO_PAYLOAD_CODEC, [text], {})
            return
        kwargs = msg.kwargs
        if endpoint.details_arg:
            kwargs = {**kwargs, endpoint.details_arg: self._details(msg, registration)}
        try:
            outcome = endpoint.function(*msg.args, **kwargs)
        except Exception as exc:
            self._failed(msg.request, registration, exc)
            return
        if isinstance(outcome, Awaitable):
            task = self._session._runtime.spawn(self._serve(msg.request, registration, outcome), "autobahn endpoint")
            if not task.done():
                self._serving[msg.request] = task
        else:
            self._yield(msg.request, registration, outcome)

    def _details(self, msg: message.Invocation, registration: Registration) -> CallDetails:
        d = msg.details
        progress = None
        if d.get("receive_progress"):
            request_id = msg.request

            def progress(*args: Any, **kwargs: Any) -> None:
                self._session._transport.send(message.Yield(request_id, {"progress": True}, list(args), kwargs))

        return CallDetails(
            registration,
            progress=progress,
            caller=d.get("caller"),
            caller_authid=d.get("caller_authid"),
            caller_authrole=d.get("caller_authrole"),
            procedure=d.get("procedure") or registration.procedure,
        )

    async def _serve(self, request_id: int, registration: Registration, outcome: Awaitable[Any]) -> None:
        try:
            result = await outcome
        except Exception as exc:
            self._failed(request_id, registration, exc)
        except BaseException:  # INTERRUPT, or the end of the session
            if self._serving.pop(request_id, None) is not None:
                self._send_error(request_id, ApplicationError.CANCELED, ["the call was canceled"], {})
                return
            raise
        else:
            self._yield(request_id, registration, result)
        self._serving.pop(request_id, None)

    def _yield(self, request_id: int, registration: Registration, result: Any) -> None:
        if isinstance(result, CallResult):
            args, kwargs = list(result.results), result.kwresults
        else:
            args, kwargs = [result], {}
        session = self._session
        if not session.is_attached():
            return
        try:
            session._transport.send(message.Yield(request_id, {}, args, kwargs))
        except SerializationError as exc:
            self._failed(request_id, registration, exc, ApplicationError.INVALID_PAYLOAD)
        except PayloadExceededError as exc:
            self._failed(request_id, registration, exc, ApplicationError.PAYLOAD_SIZE_EXCEEDED)

    def _failed(self, request_id: int, registration: Registration, exc: Exception, uri: str | None = None) -> None:
        """Report an error of an endpoint and answer the invocation with it."""
        session = self._session
        session._user_error(exc, f"While serving {registration.procedure}")
        args = list(exc.args)
        kwargs: dict[str, Any] = dict(getattr(exc, "kwargs", None) or {})
        if uri is not None:
            args, kwargs = [str(exc)], {}
        elif isinstance(exc, ApplicationError):
            uri = exc.error
        else:
            uri = session._uris_by_error.get(type(exc)) or declared_error_uri(type(exc))
            uri = uri or ApplicationError.RUNTIME_ERROR
        if session.traceback_app:
            kwargs["traceback"] = "".join(traceback.format_exception(exc))
        self._send_error(request_id, uri, args, kwargs)

    def _send_error(self, request_id: int, uri: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        session = self._session
        if not session.is_attached():
            return
        try:
            session._transport.send(message.Error(68, request_id, {}, uri, args, kwargs))
        except (SerializationError, PayloadExceededError):
            session._transport.send(message.Error(68, request_id, {}, uri, [str(a)[:1000] for a in args], {}))

    def _on_interrupt(self, msg: message.Interrupt) -> None:
        task = self._serving.get(msg.request)
        if task is not None:
            task.cancel()


def _call_result(msg: message.Result) -> CallResult:
    return CallResult.received(msg.args, msg.kwargs, msg.details)

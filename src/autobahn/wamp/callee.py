"""The callee of a client session: what it has registered. How invocations are served stands in `serving`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint, declared_endpoints, endpoint_of
from autobahn.wamp.exception import ApplicationError, InvalidUriError, ProtocolError
from autobahn.wamp.request import Registration
from autobahn.wamp.serving import Servant, Service
from autobahn.wamp.types import RegisterOptions
from autobahn.wamp.uri import CheckTypes, require_uri

MAX_RETIRED = 256  # registrations given up lately, of which invocations may still be under way


class Callee:
    """The registrations of one `ClientSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._services: dict[int, Service] = {}
        self._retired: dict[int, None] = {}
        self._servant = Servant(session)
        self.table: dict[int, Callable[[Any], None]] = {
            65: self._on_registered,
            67: self._on_unregistered,
            68: self._on_invocation,
            69: self._servant.interrupt,
        }

    def reset(self) -> None:
        """The session ended: registrations are gone, running endpoints are cancelled."""
        for service in self._services.values():
            service.registration.active = False
        self._services, self._retired = {}, {}
        self._servant.reset()

    def register(self, target: Any, procedure: str | None, options: Any, prefix: str | None, check: CheckTypes) -> Any:
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
        _require_suitable(endpoint)
        session = self._session
        wire_options = {} if endpoint.options is None else endpoint.options.message_attr()
        request_id, request = session._open_request(64, (uri, endpoint))
        session._send_request(request_id, message.Register(request_id, wire_options, uri))
        return request.within(session._runtime, session.request_timeout)

    def _on_registered(self, msg: message.Registered) -> None:
        request = self._session._requests.answered(msg.request, 64)
        if request is None:
            return
        uri, endpoint = request.info
        held = self._services.get(msg.registration)
        if held is not None and held.registration.active:
            if held.registration.procedure != uri:
                raise ProtocolError(f"expected the id of a new registration, got {msg.registration}, which is in use")
            # A shared registration that this session takes part in already (WAMP "Shared Registration")
            text = f"this session has registered {uri} before, and the router keeps one endpoint of a session"
            request.fail(ApplicationError(ApplicationError.PROCEDURE_ALREADY_EXISTS, text))
            return
        registration = Registration(self._session, msg.registration, uri, endpoint)
        self._retired.pop(msg.registration, None)
        self._services[msg.registration] = Service(registration, endpoint)
        if request.future.done():  # cancelled, or given up: nobody is left who could unregister
            self.unregister(registration)
        request.finish(registration)

    def unregister(self, registration: Registration) -> Any:
        session = self._session
        if not registration.active:
            raise RuntimeError("registration no longer active")
        request_id, request = session._open_request(66, registration)
        session._send_request(request_id, message.Unregister(request_id, registration.id))
        return request.within(session._runtime, session.request_timeout)

    def _on_unregistered(self, msg: message.Unregistered) -> None:
        if msg.request == 0:  # revoked by the router (WAMP "Registration Revocation")
            service = self._services.get(msg.details.get("registration", 0))
            if service is not None and service.registration.active:
                self._retire(service.registration)
                reason = msg.details.get("reason") or "it gives no reason"
                text = f"The router has revoked the registration of {service.registration.procedure}: {reason}"
                self._session._runtime.report(text, session=self._session.session_id)
            return
        request = self._session._requests.answered(msg.request, 66)
        if request is not None:
            self._retire(request.info)
            request.finish(None)

    def _retire(self, registration: Registration) -> None:
        """No longer active; invocations that are under way are still served."""
        registration.active = False
        self._retired[registration.id] = None
        if len(self._retired) > MAX_RETIRED:
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            self._services.pop(oldest, None)

    def _on_invocation(self, msg: message.Invocation) -> None:
        service = self._services.get(msg.registration)
        if service is None:
            raise ProtocolError(f"expected an invocation of a registration held here, got one of {msg.registration}")
        servant = self._servant
        if not service.is_plain or msg.details or servant.ended_streams:
            servant.invoke(msg, service)
            return
        try:
            outcome = service.function(*msg.args, **msg.kwargs)
        except BaseException as exc:
            servant.raised(msg, service, exc)
            return
        servant.returned(msg, service, outcome)


def _require_suitable(endpoint: Endpoint) -> None:
    """The endpoint is what its options say."""
    options = endpoint.options
    if options is not None and options.blocking:
        function = inspect.unwrap(endpoint.function)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"expected a plain function for a blocking endpoint, got async {endpoint.name}")

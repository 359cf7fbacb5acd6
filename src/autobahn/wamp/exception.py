"""The errors of WAMP.

``ProtocolError`` is what the *peer* did wrong and ends in ABORT. ``SerializationError``, ``InvalidUriError``,
``SessionNotReady`` and ``TransportLost`` are raised at the call of the program that made the mistake, or lost
its link. ``ApplicationError`` travels: it is an ERROR message, raised here or at the other end.
"""

from __future__ import annotations

from typing import Any

__all__ = (
    "ApplicationError",
    "Error",
    "InvalidPayload",
    "InvalidUri",
    "InvalidUriError",
    "NotAuthorized",
    "ProtocolError",
    "RequestLost",
    "SerializationError",
    "SessionNotReady",
    "StreamOverflow",
    "TransportLost",
    "TypeCheckError",
)


class Error(RuntimeError):
    """Base of all WAMP errors."""


class SessionNotReady(Error):
    """The session has not joined a realm, or has left it already."""


class SerializationError(Error):
    """A value cannot be carried by the serializer of the session."""


class InvalidUriError(Error):
    """A URI given by the program is not a WAMP URI."""


class ProtocolError(Error):
    """The peer broke the rules of WAMP; the session is aborted with ``wamp.error.protocol_violation``."""


class TransportLost(Error):
    """There is no transport, or it went away while an answer was expected."""


class ApplicationError(Error):
    """An error with a URI and a payload: what an endpoint raises and what a caller gets."""

    # SYSTEM_SHUTDOWN, CLOSE_REALM, GOODBYE_AND_OUT: documented values, although the wire uses wamp.close.*
    INVALID_URI = "wamp.error.invalid_uri"
    NO_SUCH_PROCEDURE = "wamp.error.no_such_procedure"
    PROCEDURE_ALREADY_EXISTS = "wamp.error.procedure_already_exists"
    PROCEDURE_EXISTS_INVOCATION_POLICY_CONFLICT = "wamp.error.procedure_exists_with_different_invocation_policy"
    NO_SUCH_REGISTRATION = "wamp.error.no_such_registration"
    NO_SUCH_SUBSCRIPTION = "wamp.error.no_such_subscription"
    NO_SUCH_SESSION = "wamp.error.no_such_session"
    INVALID_ARGUMENT = "wamp.error.invalid_argument"
    INVALID_PAYLOAD = "wamp.error.invalid_payload"
    PAYLOAD_SIZE_EXCEEDED = "wamp.error.payload_size_exceeded"
    TYPE_CHECK_ERROR = "wamp.error.type_check_error"
    SYSTEM_SHUTDOWN = "wamp.error.system_shutdown"
    CLOSE_REALM = "wamp.error.close_realm"
    GOODBYE_AND_OUT = "wamp.error.goodbye_and_out"
    NO_SUCH_REALM = "wamp.error.no_such_realm"
    NO_SUCH_ROLE = "wamp.error.no_such_role"
    NO_SUCH_PRINCIPAL = "wamp.error.no_such_principal"
    NOT_AUTHORIZED = "wamp.error.not_authorized"
    AUTHORIZATION_FAILED = "wamp.error.authorization_failed"
    AUTHENTICATION_FAILED = "wamp.error.authentication_failed"
    NO_AUTH_METHOD = "wamp.error.no_auth_method"
    CANCELED = "wamp.error.canceled"
    TIMEOUT = "wamp.error.timeout"
    NO_ELIGIBLE_CALLEE = "wamp.error.no_eligible_callee"
    ENC_NO_PAYLOAD_CODEC = "wamp.error.no_payload_codec"
    ENC_TRUSTED_URI_MISMATCH = "wamp.error.encryption.trusted_uri_mismatch"
    ENC_DECRYPT_ERROR = "wamp.error.encryption.decrypt_error"
    # ours, not documented:
    RUNTIME_ERROR = "wamp.error.runtime_error"
    CANNOT_AUTHENTICATE = "wamp.error.cannot_authenticate"
    PROTOCOL_VIOLATION = "wamp.error.protocol_violation"

    remote_traceback: str | None = None
    """The callee's traceback as text, when the callee sends it (``traceback_app``)."""

    retry_after: float | None = None
    """Seconds the router wants to be left alone for, when it has refused or ended the session and says so."""

    RESERVED = frozenset({"enc_algo", "callee", "callee_authid", "callee_authrole", "forward_for"})
    """Names of keyword arguments that become attributes instead of payload."""

    def __init__(self, error: str, *args: Any, **kwargs: Any) -> None:
        """``error`` is the URI; the rest is the payload, except for five names that become attributes."""
        super().__init__(*args)
        self.error = error
        self.enc_algo: str | None = kwargs.pop("enc_algo", None)
        self.callee: int | None = kwargs.pop("callee", None)
        self.callee_authid: str | None = kwargs.pop("callee_authid", None)
        self.callee_authrole: str | None = kwargs.pop("callee_authrole", None)
        self.forward_for: list[dict[str, Any]] | None = kwargs.pop("forward_for", None)
        self.kwargs: dict[str, Any] = kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class without the URI; errors travel through pickle in process pools.
        return (_restore, (type(self), self.args, self.__dict__))

    def error_message(self) -> str:
        """``uri: arg arg``, the form for a log line."""
        return f"{self.error}: {' '.join(str(arg) for arg in self.args)}"

    def __str__(self) -> str:
        return (
            f"ApplicationError(error=<{self.error}>, args={list(self.args)}, kwargs={self.kwargs}, "
            f"enc_algo={self.enc_algo}, callee={self.callee}, callee_authid={self.callee_authid}, "
            f"callee_authrole={self.callee_authrole}, forward_for={self.forward_for})"
        )


class RequestLost(TransportLost, ApplicationError):
    """The link went away while an answer was expected; its URI is ``wamp.close.transport_lost``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("wamp.close.transport_lost", *args, **kwargs)

    def __str__(self) -> str:
        return " ".join(str(arg) for arg in self.args) or self.error


class TypeCheckError(ApplicationError):
    """An argument does not have the type that the endpoint or handler is annotated with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(ApplicationError.TYPE_CHECK_ERROR, *args, **kwargs)


class StreamOverflow(ApplicationError):
    """More values of a stream arrived than may wait for the one who takes them; the stream is over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("autobahn.error.stream_overflow", *args, **kwargs)


class NotAuthorized(Exception):
    """Raised by an endpoint: the caller may not do this (once defined on the session)."""


class InvalidUri(Exception):
    """Raised by an endpoint: a URI in the request is not valid (once defined on the session)."""


class InvalidPayload(Exception):
    """Raised by an endpoint: the payload is not what the URI stands for (once defined on the session)."""


def _restore(cls: type[ApplicationError], args: tuple[Any, ...], state: dict[str, Any]) -> ApplicationError:
    exc = cls.__new__(cls, *args)
    exc.args = args
    exc.__dict__.update(state)
    return exc

"""What a program is told: details of a session's end, of an event, of a call, of an authentication."""

# ruff: noqa: PLR0913, PLR0917 (the documented signatures)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from autobahn.wamp._record import Record, expect_type
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.request import Registration, Subscription


class ComponentConfig(Record):
    """What a session object is made with."""

    __slots__ = ("controller", "extra", "keyring", "realm", "runner", "shared")

    def __init__(
        self,
        realm: str | None = None,
        extra: Any = None,
        keyring: Any = None,
        controller: Any = None,
        shared: dict[str, Any] | None = None,
        runner: Any = None,
    ) -> None:
        expect_type("realm", realm, str)
        self.realm = realm
        self.extra = extra
        self.keyring = keyring
        self.controller = controller
        self.shared = shared
        self.runner = runner


class CloseDetails(Record):
    """Why a session ended. ``retry_after``: seconds the router wants to be left alone for, None: it does not say."""

    REASON_DEFAULT: ClassVar[str] = "wamp.close.normal"
    REASON_TRANSPORT_LOST: ClassVar[str] = "wamp.close.transport_lost"

    __slots__ = ("message", "reason", "retry_after")

    def __init__(self, reason: str | None = None, message: str | None = None, retry_after: float | None = None) -> None:
        expect_type("reason", reason, str)
        expect_type("message", message, str)
        expect_type("retry_after", retry_after, (int, float))
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def received(cls, reason: str, details: dict[str, Any]) -> CloseDetails:
        """Of ABORT or GOODBYE. ``retry_after`` is no key of the specification: what is no time counts as absent."""
        hint = details.get("retry_after")
        if isinstance(hint, bool) or not isinstance(hint, int | float) or not 0 <= hint < math.inf:
            hint = None
        return cls(reason, details.get("message"), hint)

    def exception(self) -> ApplicationError:
        """The end of the session as an exception."""
        exc = ApplicationError(self.reason or "", *([] if self.message is None else [self.message]))
        exc.retry_after = self.retry_after
        return exc

    def marshal(self) -> dict[str, Any]:
        """As a dict."""
        return {"reason": self.reason, "message": self.message, **self._given("retry_after")}


class EventDetails(Record):
    """Where an event comes from.

    ``publication``: the id that all receivers of the event see. ``topic``: the URI that was published to, also where a
    pattern is subscribed to. ``publisher``, ``publisher_authid``, ``publisher_authrole``: only of a publisher that is
    disclosed. ``retained``: True for the event of before the subscription that ``get_retained`` asks for.
    ``trustlevel``: how much the router trusts the publisher, 0 or more; None when it does not say. ``ppt``: the
    attributes of payload passthru mode (``ppt_scheme``, ...), if the payload came in it.
    """

    __slots__ = (
        "enc_algo", "forward_for", "ppt", "publication", "publisher", "publisher_authid", "publisher_authrole",
        "retained", "subscription", "topic", "transaction_hash", "trustlevel",
    )  # fmt: skip

    def __init__(
        self,
        subscription: Subscription,
        publication: int,
        publisher: int | None = None,
        publisher_authid: str | None = None,
        publisher_authrole: str | None = None,
        topic: str | None = None,
        retained: bool | None = None,
        transaction_hash: str | None = None,
        enc_algo: str | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        *,
        trustlevel: int | None = None,
        ppt: dict[str, str] | None = None,
    ) -> None:
        self.ppt = ppt
        self.subscription = subscription
        self.publication = publication
        self.publisher = publisher
        self.publisher_authid = publisher_authid
        self.publisher_authrole = publisher_authrole
        self.topic = topic
        self.retained = retained
        self.transaction_hash = transaction_hash
        self.enc_algo = enc_algo
        self.forward_for = forward_for
        self.trustlevel = trustlevel


class Event(Record):
    """One event as a value: what a loop over ``session.events`` and ``session.event_history`` give.

    ``args`` and ``kwargs``: what was published. ``timestamp``: when, in ISO 8601, for an event of the history.
    """

    __slots__ = ("args", "details", "kwargs", "timestamp")

    def __init__(
        self, args: list[Any], kwargs: dict[str, Any], details: EventDetails, timestamp: str | None = None
    ) -> None:
        self.args = args
        self.kwargs = kwargs
        self.details = details
        self.timestamp = timestamp

    @property
    def topic(self) -> str | None:
        """The URI that was published to."""
        return self.details.topic


class CallDetails(Record):
    """Where a call comes from.

    ``progress(*args, **kwargs)`` sends a progressive result; None when the caller did not ask for them. After the end
    of the call (the caller cancelled it, or the endpoint has returned) it raises ``wamp.error.canceled``.
    ``caller``, ``caller_authid``, ``caller_authrole``: only of a caller that is disclosed. ``procedure``: the URI that
    was called, also where a pattern is registered. ``trustlevel``: how much the router trusts the caller, 0 or more;
    None when it does not say. ``timeout``: seconds the caller waits, when the router leaves that to the callee.
    """

    __slots__ = (
        "caller", "caller_authid", "caller_authrole", "enc_algo", "forward_for", "ppt", "procedure", "progress",
        "registration", "timeout", "transaction_hash", "trustlevel",
    )  # fmt: skip

    def __init__(
        self,
        registration: Registration,
        progress: Callable[..., Any] | None = None,
        caller: int | None = None,
        caller_authid: str | None = None,
        caller_authrole: str | None = None,
        procedure: str | None = None,
        transaction_hash: str | None = None,
        enc_algo: str | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        *,
        trustlevel: int | None = None,
        timeout: float | None = None,
        ppt: dict[str, str] | None = None,
    ) -> None:
        self.ppt = ppt
        self.registration = registration
        self.progress = progress
        self.caller = caller
        self.caller_authid = caller_authid
        self.caller_authrole = caller_authrole
        self.procedure = procedure
        self.transaction_hash = transaction_hash
        self.enc_algo = enc_algo
        self.forward_for = forward_for
        self.trustlevel = trustlevel
        self.timeout = timeout


class CallResult(Record):
    """A result with several values: what an endpoint may return and what a caller gets then."""

    __slots__ = (
        "callee", "callee_authid", "callee_authrole", "enc_algo", "forward_for", "kwresults", "ppt", "results",
    )  # fmt: skip

    def __init__(self, /, *results: Any, **kwresults: Any) -> None:
        """Five keyword arguments become attributes: the slots of this class other than the results."""
        self.enc_algo: str | None = kwresults.pop("enc_algo", None)
        self.callee: int | None = kwresults.pop("callee", None)
        self.callee_authid: str | None = kwresults.pop("callee_authid", None)
        self.callee_authrole: str | None = kwresults.pop("callee_authrole", None)
        self.forward_for: list[dict[str, Any]] | None = kwresults.pop("forward_for", None)
        self.ppt: dict[str, str] | None = None
        self.results = results
        self.kwresults = kwresults

    @classmethod
    def received(cls, args: Any, kwargs: dict[str, Any], details: dict[str, Any]) -> CallResult:
        """The payload and Details of a RESULT; keyword arguments may have any name here."""
        result = cls(*args)
        result.kwresults = kwargs
        result.enc_algo = details.get("enc_algo")
        result.callee = details.get("callee")
        result.callee_authid = details.get("callee_authid")
        result.callee_authrole = details.get("callee_authrole")
        result.forward_for = details.get("forward_for")
        if "ppt_scheme" in details:
            result.ppt = {key: value for key, value in details.items() if key.startswith("ppt_")}
        return result


class EncodedPayload(Record):
    """An application payload that only the peers can read."""

    __slots__ = ("enc_algo", "enc_key", "enc_serializer", "payload")

    def __init__(
        self, payload: bytes, enc_algo: str, enc_serializer: str | None = None, enc_key: str | None = None
    ) -> None:
        expect_type("payload", payload, bytes)
        expect_type("enc_algo", enc_algo, str)
        expect_type("enc_serializer", enc_serializer, str)
        expect_type("enc_key", enc_key, str)
        self.payload = payload
        self.enc_algo = enc_algo
        self.enc_serializer = enc_serializer
        self.enc_key = enc_key


class SessionIdent(Record):
    """Who another session is."""

    __slots__ = ("authid", "authrole", "session")

    def __init__(self, session: int | None = None, authid: str | None = None, authrole: str | None = None) -> None:
        expect_type("session", session, int)
        expect_type("authid", authid, str)
        expect_type("authrole", authrole, str)
        self.session = session
        self.authid = authid
        self.authrole = authrole

    def marshal(self) -> dict[str, Any]:
        """As a dict."""
        return {"session": self.session, "authid": self.authid, "authrole": self.authrole}

    @staticmethod
    def from_calldetails(call_details: CallDetails) -> SessionIdent:
        """The caller."""
        return SessionIdent(call_details.caller, call_details.caller_authid, call_details.caller_authrole)

    @staticmethod
    def from_eventdetails(event_details: EventDetails) -> SessionIdent:
        """The publisher."""
        return SessionIdent(event_details.publisher, event_details.publisher_authid, event_details.publisher_authrole)


# ---- authentication -----------------------------------------------------------------------------------


class HelloReturn(Record):
    """What a router decides on a HELLO: ``Accept``, ``Deny`` or ``Challenge``."""

    __slots__ = ()


class Accept(HelloReturn):
    """The client may join, as this principal."""

    __slots__ = ("authextra", "authid", "authmethod", "authprovider", "authrole", "realm")

    def __init__(
        self,
        realm: str | None = None,
        authid: str | None = None,
        authrole: str | None = None,
        authmethod: str | None = None,
        authprovider: str | None = None,
        authextra: dict[str, Any] | None = None,
    ) -> None:
        texts = {
            "realm": realm,
            "authid": authid,
            "authrole": authrole,
            "authmethod": authmethod,
            "authprovider": authprovider,
        }
        for name, value in texts.items():
            expect_type(name, value, str)
        expect_type("authextra", authextra, dict)
        self.realm = realm
        self.authid = authid
        self.authrole = authrole
        self.authmethod = authmethod
        self.authprovider = authprovider
        self.authextra = authextra


class Deny(HelloReturn):
    """The client may not join."""

    __slots__ = ("message", "reason")

    def __init__(self, reason: str = "wamp.error.not_authorized", message: str | None = None) -> None:
        expect_type("reason", reason, str)
        expect_type("message", message, str)
        self.reason = reason
        self.message = message


class Challenge(HelloReturn):
    """The client must answer this first; also what ``onChallenge`` gets."""

    __slots__ = ("extra", "method")

    def __init__(self, method: str, extra: dict[str, Any] | None = None) -> None:
        expect_type("method", method, str)
        expect_type("extra", extra, dict)
        self.method = method
        self.extra = extra or {}


class HelloDetails(Record):
    """What a client says of itself in HELLO."""

    __slots__ = (
        "authextra", "authid", "authmethods", "authrole", "pending_session", "realm", "resumable",
        "resume_session", "resume_token", "session_roles",
    )  # fmt: skip

    def __init__(
        self,
        realm: str | None = None,
        authmethods: list[str] | None = None,
        authid: str | None = None,
        authrole: str | None = None,
        authextra: dict[str, Any] | None = None,
        session_roles: dict[str, Any] | None = None,
        pending_session: int | None = None,
        resumable: bool | None = None,
        resume_session: int | None = None,
        resume_token: str | None = None,
    ) -> None:
        self.realm = realm
        self.authmethods = authmethods
        self.authid = authid
        self.authrole = authrole
        self.authextra = authextra
        self.session_roles = session_roles
        self.pending_session = pending_session
        self.resumable = resumable
        self.resume_session = resume_session
        self.resume_token = resume_token

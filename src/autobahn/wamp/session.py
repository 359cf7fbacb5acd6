"""The client end of a WAMP session, without I/O.

`ClientSession` joins and leaves a realm over a transport it is given, keeps the one book of pending requests, and
runs the user's lifecycle callbacks in their documented order. Calls, registrations and events live in `calls.Caller`,
`callee.Callee` and `events.PubSub`; messages reach them through one table keyed by message code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autobahn.log import Log
from autobahn.wamp import lifecycle, message
from autobahn.wamp.callee import Callee
from autobahn.wamp.calls import Caller
from autobahn.wamp.errors import Errors
from autobahn.wamp.eventhistory import event_history
from autobahn.wamp.events import PubSub
from autobahn.wamp.eventstream import EventStream
from autobahn.wamp.exception import ApplicationError, ProtocolError, RequestLost, SessionNotReady, TransportLost
from autobahn.wamp.failure import Failure
from autobahn.wamp.interfaces import IPayloadCodec, ISession, ITransportHandler
from autobahn.wamp.lifecycle import State
from autobahn.wamp.listeners import Listeners
from autobahn.wamp.message import Message
from autobahn.wamp.payload import IPassthruCipher, PayloadLayer
from autobahn.wamp.request import Subscription
from autobahn.wamp.requests import Request, Requests
from autobahn.wamp.role import client_roles
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.steps import Steps, settle
from autobahn.wamp.streams import CallStream, turn
from autobahn.wamp.types import Challenge, CloseDetails, ComponentConfig, Event, SessionDetails, SubscribeOptions
from autobahn.wamp.uri import CheckTypes

EVENTS = ("connect", "disconnect", "join", "leave", "ready")
CLEAN_REASONS = ("wamp.close.normal", "wamp.close.goodbye_and_out")
LEAVABLE = (State.ESTABLISHED, State.SHUTTING_DOWN)
GOODBYE_TIMEOUT = 5.0  # seconds a router has to answer our GOODBYE before the transport is closed


if TYPE_CHECKING:

    class _Interfaces(ISession, ITransportHandler):
        """For the type checker. At run time they are registered below, so that programs can mix in any metaclass."""

else:
    _Interfaces = object


class ClientSession(_Interfaces):
    """A WAMP client session; the base of `ApplicationSession` and `Session`.

    A transport drives it through ``onOpen``, ``onMessage``, ``onProtocolError`` and ``onClose``. Users override the
    callbacks ``onConnect``, ``onChallenge``, ``onWelcome``, ``onJoin``, ``onLeave``, ``onDisconnect`` (plain or
    ``async``) and ``onUserError``.
    """

    raw_payload = False
    config: ComponentConfig
    blocking_threads = 8  # of the session's pool for endpoints registered with RegisterOptions(blocking=True)
    call_timeout: float | None = None
    """Seconds every call may take whose options say nothing of that; it then fails with ``wamp.error.timeout``."""
    request_timeout: float | None = None
    """Seconds the router may take to answer registrations, subscriptions, their ends, and acknowledged publications."""
    log = Log("autobahn.wamp")

    def __init__(self, config: ComponentConfig | None = None, *, runtime: Runtime | None = None) -> None:
        self.config = config if config is not None else ComponentConfig(realm="realm1")
        self._runtime: Any = runtime
        self._transport: Any = None
        self._state = State.CLOSED
        self._realm: str | None = None
        self._details: SessionDetails | None = None
        self._session_id: int | None = None
        self._router_roles: dict[str, Any] = {}
        self._requests = Requests()
        self._listeners = Listeners(EVENTS)
        self._errors = Errors()
        self._steps = Steps(self)
        self._goodbye_timer: Any = None
        self._closed: Any = None  # future of the transport's end, made by `leave`
        self._waiters: set[Any] = set()  # others of it, made by `wait_disconnected`
        self._caller = Caller(self)
        self._callee = Callee(self)
        self._payload = PayloadLayer(self)
        self._pubsub = PubSub(self)
        self._data_table = {**self._caller.table, **self._callee.table, **self._pubsub.table}
        self._lifecycle_table: dict[int, Callable[[Any], None]] = {
            2: self._on_welcome,
            3: self._on_abort,
            4: self._on_challenge,
            6: self._on_goodbye,
        }
        self._table: dict[int, Callable[[Any], None]] = {}  # the data table while ESTABLISHED, empty otherwise

    # ---- what the user sees ----------------------------------------------------------------------------

    @property
    def transport(self) -> Any:
        """The transport the session is attached to, or None."""
        return self._transport

    @property
    def realm(self) -> str | None:
        """The realm joined last."""
        return self._realm

    @property
    def session_id(self) -> int | None:
        """The id the router gave this session, None while not joined."""
        return self._session_id

    @property
    def session_details(self) -> SessionDetails | None:
        """What WELCOME said of the session joined last."""
        return self._details

    @property
    def authid(self) -> str | None:
        return self._details.authid if self._details else None

    @property
    def authrole(self) -> str | None:
        return self._details.authrole if self._details else None

    @property
    def authmethod(self) -> str | None:
        return self._details.authmethod if self._details else None

    @property
    def authprovider(self) -> str | None:
        return self._details.authprovider if self._details else None

    @property
    def authextra(self) -> dict[str, Any] | None:
        return self._details.authextra if self._details else None

    @property
    def traceback_app(self) -> bool:
        """Whether callers get the traceback of what our endpoints raise, in the keyword argument ``traceback``."""
        return self._errors.traceback

    @traceback_app.setter
    def traceback_app(self, value: bool) -> None:
        self._errors.traceback = value

    def is_connected(self) -> bool:
        """Whether there is an open transport."""
        return self._transport is not None and self._transport.isOpen()

    def is_attached(self) -> bool:
        """Whether the session is joined to a realm."""
        return self._session_id is not None

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """Call ``handler`` whenever ``event`` ("connect", "join", "ready", "leave", "disconnect") happens."""
        self._listeners.add(event, handler)

    def off(self, event: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """Remove ``handler`` (or all) from ``event`` (or from every event)."""
        self._listeners.remove(event, handler)

    def set_valid_events(self, valid_events: list[str] | None = None) -> None:
        """Besides those of the session itself these events may be named from now on; listeners of others are gone."""
        self._listeners.keep((*EVENTS, *(valid_events or ())))

    async def fire(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Run all listeners of ``event`` together; an error of one is reported. True when none failed."""
        running = [self._steps.notify(event, handler, args, kwargs) for handler in self._listeners.of(event)]
        return all(await self._runtime.gather(*running)) if running else True

    def define(self, exception: type[BaseException], error: str | None = None) -> None:
        """Map ``exception`` to the error URI ``error`` both ways (default: the URI given by ``@wamp.error``).

        What an endpoint raises has the URI of the nearest of its classes that is defined or declared.
        """
        self._errors.define(exception, error)

    def join(
        self,
        realm: str,
        authmethods: list[str] | None = None,
        authid: str | None = None,
        authrole: str | None = None,
        authextra: dict[str, Any] | None = None,
        resumable: bool | None = None,
        resume_session: int | None = None,
        resume_token: str | None = None,
    ) -> None:
        """Send HELLO for ``realm``; ``onJoin`` follows, or ``onLeave`` with the router's reason."""
        if self._transport is None:
            raise TransportLost("expected a connected transport to join a realm, got none")
        if self._state is not State.CLOSED:
            raise RuntimeError(f"expected a session that is not joined, got one in state {self._state.name}")
        optional = {"authmethods": authmethods, "authid": authid, "authrole": authrole, "authextra": authextra,
                    "resumable": resumable, "resume-session": resume_session, "resume-token": resume_token}  # fmt: skip
        details = {"roles": client_roles(), **{key: v for key, v in optional.items() if v is not None}}
        self._realm = realm
        self._state = State.ESTABLISHING
        self._requests.restart()
        self._transport.send(message.Hello(realm, details))

    def leave(self, reason: str | None = None, message: str | None = None) -> Any:
        """Send GOODBYE; returns a future that is done when the transport is closed (the same one for a second call).

        A session that is not joined has nothing to leave: that is logged as a warning, and None is returned.
        """
        if self._transport is None or self._state not in LEAVABLE:
            self.log.warn(
                "leave: expected a session that has joined a realm, got one in state {state}", state=self._state.name
            )
            return None
        if self._closed is None or self._closed.cancelled():
            self._closed = self._runtime.create_future()
        if self._state is State.SHUTTING_DOWN:
            return self._closed
        details = {} if message is None else {"message": message}
        self._state = State.SHUTTING_DOWN
        self._table = {}
        self._transport.send(_message_module.Goodbye(details, reason or CloseDetails.REASON_DEFAULT))
        self._fail_pending(reason or CloseDetails.REASON_DEFAULT, message)  # an answer would be ignored
        self._pubsub.reset()
        self._goodbye_timer = self._runtime.call_later(GOODBYE_TIMEOUT, self._goodbye_unanswered)
        return self._closed

    async def wait_disconnected(self) -> None:
        """Wait until the transport is gone and the callbacks have run; returns at once without a transport."""
        if self._steps.is_running or self._transport is not None:
            waiter = self._runtime.create_future()  # of its own: whoever gives up waiting does so for himself
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def disconnect(self) -> None:
        """Close the transport, if there is one."""
        if self._transport is not None:
            self._transport.close()

    def publish(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Publish an event; returns None, or with ``options.acknowledge`` a future of `Publication`."""
        return self._pubsub.publish(topic, args, kwargs)

    def subscribe(
        self, handler: Any, topic: str | None = None, options: Any = None, check_types: CheckTypes = None
    ) -> Any:
        """Subscribe ``handler`` to ``topic``; returns a future of `Subscription`.

        ``check_types``: as in `register`. An object with methods decorated by ``@wamp.subscribe`` gives a future of a
        list, whose items are `Subscription` or the exception of that one.
        """
        return self._pubsub.subscribe(handler, topic, options, check_types)

    def set_payload_codec(self, payload_codec: IPayloadCodec | None) -> None:
        """``payload_codec`` encodes what is sent and decodes what was encoded (`cryptobox.KeyRing`); None: no more."""
        if payload_codec is not None and not (hasattr(payload_codec, "encode") and hasattr(payload_codec, "decode")):
            raise TypeError(f"expected an IPayloadCodec or None, got {type(payload_codec).__name__}")
        self._payload.codec = payload_codec

    def get_payload_codec(self) -> IPayloadCodec | None:
        """The payload codec that is set."""
        return self._payload.codec

    def set_passthru_cipher(self, cipher: IPassthruCipher | None) -> None:
        """``cipher`` encrypts and decrypts payload with ``ppt_cipher`` (`cryptobox.PassthruKeys`); None: no more."""
        self._payload.cipher = cipher

    def events(self, topic: str, options: SubscribeOptions | None = None) -> EventStream:
        """Subscribe to ``topic`` for a loop: ``async for event in session.events(topic)``; see `EventStream`."""
        return self._pubsub.events(topic, options)

    async def event_history(self, subscription: Subscription | int, **filters: Any) -> list[Event]:
        """The events the router has kept of ``subscription``, oldest first (WAMP "Event History").

        Filters, which must all hold: ``reverse`` (newest first), ``limit``, ``topic``, ``from_time``, ``after_time``,
        ``before_time``, ``until_time`` (a datetime with time zone, or RFC 3339 text), ``from_publication``,
        ``after_publication``, ``before_publication``, ``until_publication`` (ids). Raises `ApplicationError`.
        """
        return await event_history(self, subscription, filters)

    def call(self, /, procedure: str, *args: Any, **kwargs: Any) -> Any:
        """Call ``procedure``; returns a future of its result (WAMP "Calling and Invocations").

        No result gives None, one positional result that value, everything else a `CallResult`. The keyword ``options``
        is a `CallOptions`. Cancelling the future cancels the call, at the callee too where the router can. The future
        fails with the callee's error, with ``wamp.error.timeout``, or at once when the session ends.

        When the last positional argument is an async iterator (or a plain one), its items are sent as they come, each
        in a message of its own (a `CallResult` for several values): WAMP "Progressive Call Invocations", which the
        router must have announced. The arguments before it go first. An error of the iterator cancels the call and is
        raised here; the iterator is closed when the call ends before it.
        """
        return self._caller.call(procedure, args, kwargs)

    def call_stream(self, /, procedure: str, *args: Any, **kwargs: Any) -> CallStream:
        """Call ``procedure``; returns its progressive results as an async iterator, a `CallStream`.

        ::

            async for chunk in (stream := session.call_stream("com.example.download", "file.bin")):
                ...
            stream.result  # the final result

        Arguments and errors are those of `call`; leaving the loop early cancels the call.
        """
        return self._caller.call_stream(procedure, args, kwargs)

    def register(
        self,
        endpoint: Any,
        procedure: str | None = None,
        options: Any = None,
        prefix: str | None = None,
        check_types: CheckTypes = None,
    ) -> Any:
        """Register ``endpoint`` under ``procedure``; returns a future of `Registration` (of a list for objects).

        An endpoint is a plain function, which runs at once and in place; an ``async`` one; or a generator of either
        kind, each ``yield`` of which is a progressive result (`autobahn.wamp.serving`). With ``options``
        (`RegisterOptions`) it may block, take a stream of arguments, or have a limit for what runs at a time.

        ``check_types``: True checks arguments against annotations by isinstance, "convert" converts and validates
        arguments and results (see `autobahn.wamp.typed`).
        """
        return self._callee.register(endpoint, procedure, options, prefix, check_types)

    def _unsubscribe(self, subscription: Any) -> Any:
        return self._pubsub.unsubscribe(subscription)

    def _unregister(self, registration: Any) -> Any:
        return self._callee.unregister(registration)

    # ---- callbacks a user overrides --------------------------------------------------------------------

    def onConnect(self) -> Any:
        """The transport is open. Default: join the configured realm."""
        self.join(self.config.realm or "")

    def onChallenge(self, challenge: Challenge) -> Any:
        """Answer an authentication challenge with the signature (str or bytes), or with ``(signature, extra)``."""
        raise RuntimeError(
            f'the router asks for authentication by "{challenge.method}", but onChallenge is not overridden'
        )

    def onWelcome(self, welcome: Any) -> Any:
        """WELCOME was received; return an error text to refuse the session, or None."""

    def onJoin(self, details: SessionDetails) -> Any:
        """The session is joined."""

    def onLeave(self, details: CloseDetails) -> Any:
        """The session has ended. Default: close the transport."""
        self.disconnect()

    def onDisconnect(self) -> Any:
        """The transport is gone."""

    def onUserError(self, fail: Failure, msg: str) -> Any:
        """An error escaped from user code. Default: log it once, with its traceback."""
        self._runtime.report(msg, fail.value, session=self._session_id, realm=self._realm)

    # ---- what the transport calls ----------------------------------------------------------------------

    def onOpen(self, transport: Any) -> None:
        """``transport`` is open and carries this session from now on."""
        self._transport = self._payload.wrapped(transport)
        self._state = State.CLOSED
        self._table = {}
        self._steps.enqueue(self._steps.opened, transport)

    def onMessage(self, msg: Message) -> None:
        """Process one message of the router; raises `ProtocolError` when it is not allowed now."""
        handler = self._table.get(msg.code)
        if handler is not None:
            handler(msg)
        elif lifecycle.check("client", self._state, msg.code) is not self._state:
            self._lifecycle_table[msg.code](msg)
        # else: this state ignores it, as SHUTTING_DOWN does with everything but the end (WAMP "Session Closing")

    def onProtocolError(self, exc: ProtocolError) -> None:
        """The router broke the protocol: answer ABORT; the transport is closed by its adapter afterwards."""
        text = str(exc)
        if self._transport is not None and self._transport.isOpen():
            self._transport.send(message.Abort({"message": text}, ApplicationError.PROTOCOL_VIOLATION))
        if self._state is not State.CLOSED:
            self._steps.enqueue(turn)  # onLeave may close the transport, and what it says at its end comes first
            self._end(CloseDetails(ApplicationError.PROTOCOL_VIOLATION, text))
        self._state = State.FAILED

    def onClose(self, wasClean: bool) -> None:
        """The transport is gone."""
        if self._transport is None:
            return
        self._steps.give_up_opening()
        if self._state not in (State.CLOSED, State.FAILED):
            text = f"WAMP transport was lost without closing the session {self._session_id} before"
            self._end(CloseDetails(CloseDetails.REASON_TRANSPORT_LOST, text))
        self._transport = None
        self._steps.enqueue(self._steps.disconnected, wasClean)

    # ---- lifecycle messages ----------------------------------------------------------------------------

    def _on_welcome(self, msg: message.Welcome) -> None:
        self._state = State.ESTABLISHED
        self._table = self._data_table
        self._router_roles = msg.details.get("roles", {})
        self._steps.enqueue(self._steps.welcomed, msg)

    def _on_challenge(self, msg: message.Challenge) -> None:
        self._steps.enqueue(self._steps.challenged, Challenge(msg.method, msg.extra))

    def _on_abort(self, msg: message.Abort) -> None:
        self._end(CloseDetails.received(msg.reason, msg.details))

    def _on_goodbye(self, msg: message.Goodbye) -> None:
        if self._state is not State.SHUTTING_DOWN:
            self._transport.send(message.Goodbye({}, "wamp.close.goodbye_and_out"))
        self._end(CloseDetails.received(msg.reason, msg.details))

    def _goodbye_unanswered(self) -> None:
        if self._state is State.SHUTTING_DOWN:
            self._end(CloseDetails(CloseDetails.REASON_DEFAULT, "the router did not answer GOODBYE in time"))
            self._state = State.FAILED  # what the router says when it comes to it is nothing to complain about

    def _end(self, details: CloseDetails) -> None:
        """The session is over: everything pending fails at once, then ``onLeave`` runs."""
        if self._goodbye_timer is not None:
            self._goodbye_timer.cancel()
            self._goodbye_timer = None
        self._state = State.CLOSED
        self._table = {}
        self._session_id = None
        make = self._fail_pending(details.reason or "", details.message)
        self._callee.reset()
        self._payload.reset()
        self._pubsub.reset(None if details.reason in CLEAN_REASONS else make)
        self._steps.enqueue(self._steps.left, details)

    def _fail_pending(self, reason: str, text: str | None) -> Callable[[], Exception]:
        """Every request that waits for an answer fails, each with an exception of its own; what makes them."""

        def make() -> Exception:
            if reason == CloseDetails.REASON_TRANSPORT_LOST:
                return RequestLost(*([] if text is None else [text]))
            return ApplicationError(reason, *([] if text is None else [text]))

        self._caller.fail_all(make)
        self._requests.fail_all(make)
        return make

    def _refuse(self, text: str) -> None:
        """End the opening session from our side with ABORT."""
        reason = ApplicationError.CANNOT_AUTHENTICATE
        if self._transport is not None and self._transport.isOpen():
            self._transport.send(message.Abort({"message": text}, reason))
        if self._state is not State.CLOSED:
            self._end(CloseDetails(reason, text))

    # ---- user code and its errors --------------------------------------------------------------------------

    def _user_error(self, exc: BaseException, text: str) -> None:
        """Hand an error of user code to the one hook; an error inside the hook is logged."""
        try:
            self.onUserError(Failure(exc), text)
        except Exception as hook_error:
            self._runtime.report("While firing onUserError", hook_error, session=self._session_id)

    def _open_request(
        self, code: int, info: Any = None, on_cancel: Callable[[int], None] | None = None
    ) -> tuple[int, Request]:
        if self._state is not State.ESTABLISHED:
            self._require_established()
        return self._requests.open(self._runtime, code, info, on_cancel)

    def _is_established(self) -> bool:
        """Whether messages of the session may be sent: after WELCOME, before GOODBYE."""
        return self._state is State.ESTABLISHED

    def _require_established(self) -> None:
        if self._transport is None:
            raise TransportLost("expected a connected transport, got none")
        if self._state is not State.ESTABLISHED:
            raise SessionNotReady(f"expected a session that has joined a realm, got one in state {self._state.name}")

    def _send_request(self, request_id: int, msg: Message) -> None:
        """Send the message of a request; a message that cannot be sent leaves nothing behind."""
        try:
            self._transport.send(msg)
        except BaseException:
            self._requests.unsent(request_id)
            raise


ISession.abc_register(ClientSession)
ITransportHandler.register(ClientSession)
__all__ = ("ClientSession", "settle")
_message_module = message  # `leave` has a documented parameter named message

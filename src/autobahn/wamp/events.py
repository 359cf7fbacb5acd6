"""Publish & subscribe at the client: our publications, our subscriptions, the events we receive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint, declared_endpoints, endpoint_of
from autobahn.wamp.eventstream import EventStream
from autobahn.wamp.exception import ApplicationError, InvalidUriError, ProtocolError
from autobahn.wamp.receivers import Handler, Lane, Mailbox
from autobahn.wamp.request import Publication, Subscription
from autobahn.wamp.types import PublishOptions, SubscribeOptions
from autobahn.wamp.uri import CheckTypes, require_uri

_NO_OPTIONS: dict[str, Any] = {}


MAX_RETIRED = 256  # subscriptions given up lately, of which events may still be under way
Receiver = Handler | Mailbox


class PubSub:
    """Publisher and subscriber of one `ClientSession`."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._subscriptions: dict[int, list[tuple[Subscription, Receiver]]] = {}  # an empty list: given up
        self._retired: dict[int, None] = {}
        self._owed: dict[tuple[int, int], int] = {}  # receivers that have not handled an event to be acknowledged
        self.table: dict[int, Callable[[Any], None]] = {
            17: self._on_published,
            33: self._on_subscribed,
            35: self._on_unsubscribed,
            36: self._on_event,
        }

    def reset(self, make: Callable[[], Exception] | None = None) -> None:
        """The session ended: subscriptions are gone; loops over events end, with an error if ``make`` makes one."""
        held, self._subscriptions = self._subscriptions, {}
        self._retired, self._owed = {}, {}
        for receivers in held.values():
            for subscription, receiver in receivers:
                subscription.active = False
                receiver.close(None if make is None else make())

    # ---- publisher ---------------------------------------------------------------------------------------

    def publish(self, topic: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self.session
        options = None
        if kwargs:
            options = kwargs.pop("options", None)
        if options is None:
            wire_options = _NO_OPTIONS
        elif isinstance(options, PublishOptions):
            wire_options = options.message_attr()
        else:
            raise TypeError(f"expected options of type PublishOptions, got {type(options).__name__}")
        require_uri(topic, "exact")
        if "ppt_scheme" in wire_options:
            session._payload.use()
        if wire_options.get("acknowledge"):
            request_id, request = session._open_request(16)
            session._send_request(request_id, message.Publish(request_id, wire_options, topic, list(args), kwargs))
            return request.within(session._runtime, session.request_timeout)
        session._require_established()
        request_id = session._requests.next_id()
        session._send_request(request_id, message.Publish(request_id, wire_options, topic, list(args), kwargs))
        return None

    def _on_published(self, msg: message.Published) -> None:
        request = self.session._requests.answered(msg.request, 16)
        if request is not None:
            request.finish(Publication(msg.publication, was_encrypted=self.session._payload.acknowledged(msg.request)))

    # ---- subscriber --------------------------------------------------------------------------------------

    def subscribe(self, target: Any, topic: str | None, options: Any, check: CheckTypes) -> Any:
        session = self.session
        _judge(options)
        if callable(target):
            return self._subscribe_one(endpoint_of(target, topic, options, check, SubscribeOptions))
        found = declared_endpoints(target, "topic", options, check, SubscribeOptions)
        return session._runtime.gather(*(self._subscribe_one(e) for e in found), return_exceptions=True)

    def _subscribe_one(self, endpoint: Endpoint) -> Any:
        has_lane = endpoint.options is not None and endpoint.options.mode is not None
        return self._request(endpoint, partial(Lane if has_lane else Handler, self, endpoint))

    def events(self, topic: str, options: Any) -> EventStream:
        _judge(options)
        options = options or SubscribeOptions()
        runtime = self.session._runtime
        endpoint = Endpoint(topic, _nothing, options, options.match or "exact", None, "a loop over events")
        self.session._require_established()
        mailbox = Mailbox(self, options.buffer, options.mode == "latest")
        self._request(endpoint, mailbox.confirmed).add_done_callback(mailbox.answered)
        return EventStream(mailbox, runtime)

    def _request(self, endpoint: Endpoint, receiver: Callable[[Subscription], Receiver]) -> Any:
        if endpoint.uri is None:
            raise InvalidUriError("expected a topic URI, got None")
        require_uri(endpoint.uri, endpoint.match)
        session = self.session
        wire_options = {} if endpoint.options is None else endpoint.options.message_attr()
        request_id, request = session._open_request(32, (endpoint, receiver))
        session._send_request(request_id, message.Subscribe(request_id, wire_options, endpoint.uri))
        return request.within(session._runtime, session.request_timeout)

    def _on_subscribed(self, msg: message.Subscribed) -> None:
        request = self.session._requests.answered(msg.request, 32)
        if request is None:
            return
        endpoint, make_receiver = request.info
        subscription = Subscription(msg.subscription, endpoint.uri, self.session, endpoint)
        self._retired.pop(msg.subscription, None)
        self._subscriptions.setdefault(msg.subscription, []).append((subscription, make_receiver(subscription)))
        if request.future.done():  # cancelled, or given up: nobody is left who could unsubscribe
            self.unsubscribe(subscription)
        request.finish(subscription)

    def unsubscribe(self, subscription: Subscription) -> Any:
        """Remove one handler; a future of the number of handlers left for this subscription id."""
        session = self.session
        if not subscription.active:
            raise RuntimeError("subscription no longer active")
        subscription.active = False
        receivers = self._subscriptions[subscription.id]
        at = next(i for i, (held, _) in enumerate(receivers) if held is subscription)
        _, receiver = receivers.pop(at)
        receiver.close(None)
        if receivers:
            future = session._runtime.create_future()
            future.set_result(len(receivers))
            return future
        request_id, request = session._open_request(34, subscription.id)
        session._send_request(request_id, message.Unsubscribe(request_id, subscription.id))
        return request.within(session._runtime, session.request_timeout)

    def _on_unsubscribed(self, msg: message.Unsubscribed) -> None:
        if msg.request == 0:  # revoked by the router (WAMP "Subscription Revocation")
            self._revoked(msg.details.get("subscription", 0), msg.details.get("reason"))
            return
        request = self.session._requests.answered(msg.request, 34)
        if request is not None:
            self._retire(request.info)
            request.finish(0)

    def _revoked(self, subscription_id: int, reason: str | None) -> None:
        receivers, text = self._subscriptions.get(subscription_id), reason or "it gives no reason"
        if not receivers:
            return
        self._subscriptions[subscription_id] = []
        self._retire(subscription_id)
        topic = receivers[0][0].topic
        text = f"The router has revoked the subscription of {topic}: {text}"
        self.session._runtime.report(text, session=self.session.session_id)
        for subscription, receiver in receivers:
            subscription.active = False
            receiver.close(ApplicationError(ApplicationError.NO_SUCH_SUBSCRIPTION, text))

    def _retire(self, subscription_id: int) -> None:
        """Given up; events of it that are under way are no violation (WAMP "Protocol Violations")."""
        if self._subscriptions.get(subscription_id):
            return  # subscribed again meanwhile
        self._retired[subscription_id] = None
        if len(self._retired) > MAX_RETIRED:
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            self._subscriptions.pop(oldest, None)

    # ---- events ------------------------------------------------------------------------------------------

    def _on_event(self, msg: message.Event) -> None:
        receivers = self._subscriptions.get(msg.subscription)
        if receivers is None:
            raise ProtocolError(f"expected an event of a subscription held here, got one of {msg.subscription}")
        if msg.details and not self._is_readable(msg, receivers):
            return
        if len(receivers) == 1:
            receivers[0][1].take(msg)
            return
        for subscription, receiver in tuple(receivers):
            if subscription.active:
                receiver.take(msg)

    def _is_readable(self, msg: message.Event, receivers: list[Any]) -> bool:
        """Whether the payload can be read; notes what has to be acknowledged."""
        if receivers and (type(msg.args) is not list or "ppt_scheme" in msg.details):
            topic = msg.details.get("topic") or receivers[0][0].topic
            refusal = self.session._payload.open(msg, topic, is_originating=False)
            if refusal is not None:
                self.session._user_error(refusal, f"While receiving event {msg.publication}")
                return False
        if receivers and msg.details.get("x_acknowledged_delivery"):
            self._owed[msg.subscription, msg.publication] = len(receivers)
        return True

    def handled(self, msg: message.Event) -> None:
        """One receiver is done with an event that has details; the last one acknowledges it, if that was asked for."""
        key = msg.subscription, msg.publication
        owed = self._owed.pop(key, 0) - 1
        if owed > 0:
            self._owed[key] = owed
        elif owed == 0 and self.session._is_established():
            self.session._transport.send(message.EventReceived(msg.publication))

    def not_handled(self, msg: message.Event) -> None:
        """A receiver failed: the event is not acknowledged."""
        self._owed.pop((msg.subscription, msg.publication), None)


def _judge(options: Any) -> None:
    if options is not None and not isinstance(options, SubscribeOptions):
        raise TypeError(f"expected options of type SubscribeOptions, got {type(options).__name__}")


def _nothing() -> None:
    """The handler of a loop over events, which has none."""

"""Publish & subscribe at the client: our publications, our subscriptions, the events we receive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.declared import Endpoint, declared_endpoints, endpoint_of
from autobahn.wamp.exception import ApplicationError, InvalidUriError, ProtocolError, TransportLost
from autobahn.wamp.request import Publication, Subscription
from autobahn.wamp.types import EventDetails, PublishOptions, SubscribeOptions
from autobahn.wamp.uri import CheckTypes, require_uri

_NO_OPTIONS: dict[str, Any] = {}


class PubSub:
    """Publisher and subscriber of one `ClientSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._subscriptions: dict[int, list[Subscription]] = {}  # an empty list: unsubscribed, events may be in flight
        self.table: dict[int, Callable[[Any], None]] = {
            17: self._on_published,
            33: self._on_subscribed,
            35: self._on_unsubscribed,
            36: self._on_event,
        }

    def reset(self) -> None:
        """The session ended: subscriptions are gone."""
        for handlers in self._subscriptions.values():
            for subscription in handlers:
                subscription.active = False
        self._subscriptions = {}

    # ---- publisher ---------------------------------------------------------------------------------------

    def publish(self, topic: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self._session
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
        if wire_options.get("acknowledge"):
            request_id, request = session._open_request(16)
            session._send_request(request_id, message.Publish(request_id, wire_options, topic, list(args), kwargs))
            return request.future
        if session._transport is None:
            raise TransportLost("expected a connected transport, got none")
        request_id = session._requests.next_id()
        session._send_request(request_id, message.Publish(request_id, wire_options, topic, list(args), kwargs))
        return None

    def _on_published(self, msg: message.Published) -> None:
        request = self._session._requests.answered(msg.request, 16)
        if request is not None:
            request.finish(Publication(msg.publication, was_encrypted=False))

    # ---- subscriber --------------------------------------------------------------------------------------

    def subscribe(self, target: Any, topic: str | None, options: Any, check: CheckTypes) -> Any:
        session = self._session
        if options is not None and not isinstance(options, SubscribeOptions):
            raise TypeError(f"expected options of type SubscribeOptions, got {type(options).__name__}")
        if callable(target):
            return self._subscribe_one(endpoint_of(target, topic, options, check, SubscribeOptions))
        found = declared_endpoints(target, "topic", options, check, SubscribeOptions)
        return session._runtime.gather(*(self._subscribe_one(e) for e in found), return_exceptions=True)

    def _subscribe_one(self, endpoint: Endpoint) -> Any:
        if endpoint.uri is None:
            raise InvalidUriError("expected a topic URI, got None")
        require_uri(endpoint.uri, endpoint.match)
        session = self._session
        wire_options = {} if endpoint.options is None else endpoint.options.message_attr()
        request_id, request = session._open_request(32, endpoint)
        session._send_request(request_id, message.Subscribe(request_id, wire_options, endpoint.uri))
        return request.future

    def _on_subscribed(self, msg: message.Subscribed) -> None:
        request = self._session._requests.answered(msg.request, 32)
        if request is None:
            return
        endpoint = request.info
        subscription = Subscription(msg.subscription, endpoint.uri, self._session, endpoint)
        self._subscriptions.setdefault(msg.subscription, []).append(subscription)
        request.finish(subscription)

    def unsubscribe(self, subscription: Subscription) -> Any:
        """Remove one handler; a future of the number of handlers left for this subscription id."""
        session = self._session
        if not subscription.active:
            raise RuntimeError("subscription no longer active")
        subscription.active = False
        handlers = self._subscriptions[subscription.id]
        handlers.remove(subscription)
        if handlers:
            future = session._runtime.create_future()
            future.set_result(len(handlers))
            return future
        request_id, request = session._open_request(34)
        session._send_request(request_id, message.Unsubscribe(request_id, subscription.id))
        return request.future

    def _on_unsubscribed(self, msg: message.Unsubscribed) -> None:
        if msg.request == 0:  # revoked by the router (WAMP "Subscription Revocation")
            for subscription in self._subscriptions.get(msg.details.get("subscription", 0), []):
                subscription.active = False
            self._subscriptions[msg.details.get("subscription", 0)] = []
            return
        request = self._session._requests.answered(msg.request, 34)
        if request is not None:
            request.finish(0)

    def _on_event(self, msg: message.Event) -> None:
        handlers = self._subscriptions.get(msg.subscription)
        if handlers is None:
            raise ProtocolError(f"expected an event of a subscription held here, got one of {msg.subscription}")
        if msg.details and type(msg.args) is not list:  # payload transparency, which nobody here can decode
            text = f"event {msg.publication} with enc_algo {msg.details.get('enc_algo')}"
            self._session._user_error(ApplicationError(ApplicationError.ENC_NO_PAYLOAD_CODEC, text), "While receiving")
            return
        if len(handlers) == 1:
            self._deliver(msg, handlers[0])
            return
        for subscription in tuple(handlers):
            if subscription.active:
                self._deliver(msg, subscription)

    def _deliver(self, msg: message.Event, subscription: Subscription) -> None:
        endpoint = subscription.handler
        kwargs = msg.kwargs
        if endpoint.details_arg:
            kwargs = {**kwargs, endpoint.details_arg: _details(msg, subscription)}
        session = self._session
        try:
            outcome = endpoint.function(*msg.args, **kwargs)
        except Exception as exc:
            session._user_error(exc, f"While firing {endpoint.name} subscribed under {msg.subscription}.")
            return
        if isinstance(outcome, Awaitable):
            session._runtime.spawn(self._watch(outcome, endpoint.name, msg.subscription), "autobahn event handler")

    async def _watch(self, outcome: Awaitable[Any], name: str, subscription_id: int) -> None:
        try:
            await outcome
        except Exception as exc:
            self._session._user_error(exc, f"While firing {name} subscribed under {subscription_id}.")


def _details(msg: message.Event, subscription: Subscription) -> EventDetails:
    d = msg.details
    return EventDetails(
        subscription,
        msg.publication,
        publisher=d.get("publisher"),
        publisher_authid=d.get("publisher_authid"),
        publisher_authrole=d.get("publisher_authrole"),
        topic=d.get("topic") or subscription.topic,
        retained=d.get("retained"),
    )

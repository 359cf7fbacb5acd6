"""A program of WAMP sessions and components, as users write it. It is type-checked, not run."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator
from typing import Any, assert_type

import autobahn
from autobahn import wamp
from autobahn.asyncio import ApplicationSession as ExportedSession
from autobahn.asyncio import __ident__
from autobahn.asyncio.component import Component, run
from autobahn.asyncio.rawsocket import (
    WampRawSocketClientFactory,
    WampRawSocketClientProtocol,
    WampRawSocketServerFactory,
    WampRawSocketServerProtocol,
)
from autobahn.asyncio.util import get_or_create_event_loop, peer2str, sleep, transport_channel_id
from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession, ApplicationSessionFactory, Session
from autobahn.wamp import (
    ApplicationError,
    CallDetails,
    CallOptions,
    CallResult,
    CloseDetails,
    ComponentConfig,
    Error,
    EventDetails,
    InvalidUri,
    ISession,
    ProtocolError,
    PublishOptions,
    RegisterOptions,
    SerializationError,
    SessionDetails,
    SessionNotReady,
    SubscribeOptions,
    TransportLost,
    error,
    register,
    subscribe,
)
from autobahn.wamp import component as old_component
from autobahn.wamp import protocol as old_protocol
from autobahn.wamp import websocket as old_websocket
from autobahn.wamp.eventstream import EventStream
from autobahn.wamp.exception import (
    InvalidPayload,
    InvalidUriError,
    NotAuthorized,
    RequestLost,
    StreamOverflow,
    TypeCheckError,
)
from autobahn.wamp.request import Publication, Registration, Subscription
from autobahn.wamp.types import Challenge, Event
from autobahn.wamp.uri import Pattern, convert_starred_uri


@error("com.example.no_such_item")
class NoSuchItem(Exception):
    pass


@dataclasses.dataclass
class Item:
    name: str
    price: float


class Shop:
    """An object with decorated methods."""

    @register("com.example.price", check_types="convert")
    def price(self, item: Item, count: int = 1) -> float:
        return item.price * count

    @wamp.register(None, RegisterOptions(match="prefix", invoke="roundrobin", concurrency=4, details=True))
    async def lookup(self, name: str, details: CallDetails | None = None) -> Item:
        if details is not None and details.progress is not None:
            details.progress("looking", at=details.procedure)
        raise NoSuchItem(name)

    @register("com.example.count", check_types=True)
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @subscribe("com.example.sold", SubscribeOptions(match="wildcard", details_arg="details", get_retained=True))
    def sold(self, item: str, details: EventDetails | None = None) -> None:
        if details is not None:
            print(details.publication, details.publisher, details.topic, details.retained, details.trustlevel)


class Client(ApplicationSession):
    """The older kind of session."""

    def __init__(self, config: ComponentConfig | None = None) -> None:
        super().__init__(config)
        self.traceback_app = True
        self.subscription: Subscription | None = None

    def onConnect(self) -> None:
        self.join(self.config.realm or "realm1", authmethods=["ticket"], authid="joe", authextra={"a": 1})

    def onChallenge(self, challenge: Challenge) -> str:
        if challenge.method != "ticket":
            raise RuntimeError(f"unexpected {challenge.method}: {challenge.extra}")
        return "secret"

    async def onJoin(self, details: SessionDetails) -> None:
        self.define(NoSuchItem)
        self.define(ValueError, "com.example.value")
        print(details.realm, details.session, details.authid, details.transport, self.session_id, self.authrole)
        registrations: list[Registration | Exception] = await self.register(Shop(), prefix="org.")
        for registration in registrations:
            if isinstance(registration, Registration):
                await registration.unregister()
        self.subscription = await self.subscribe(self.on_event, "com.example.topic", SubscribeOptions(mode="ordered"))
        publication: Publication = await self.publish(
            "com.example.topic", 1, 2, key="value",
            options=PublishOptions(acknowledge=True, exclude_me=False, eligible_authrole=["user"], rkey="a"),
        )  # fmt: skip
        print(publication.id, publication.was_encrypted)
        await helper(self)
        await self.calls()
        await self.events_of("com.example.topic")

    async def calls(self) -> None:
        try:
            result = await self.call(
                "com.example.price", Item("a", 1.5), options=CallOptions(timeout=1.5, details=True)
            )
        except NoSuchItem as exc:
            print(exc.args)
        except (RequestLost, TypeCheckError) as exc:
            print(exc.error)
        except ApplicationError as exc:
            print(exc.error, exc.args, exc.kwargs, exc.error_message(), exc.remote_traceback)
        except (TransportLost, SessionNotReady, SerializationError, ProtocolError, InvalidUriError, Error) as exc:
            print(exc)
        else:
            assert isinstance(result, CallResult)
            print(result.results, result.kwresults, result.callee)
        async for chunk in self.call_stream("com.example.count", 3):
            print(chunk)

    async def events_of(self, topic: str) -> None:
        stream: EventStream = self.events(topic, SubscribeOptions(buffer=10))
        async with stream as events:
            try:
                async for event in events:
                    received: Event = event
                    print(received.args, received.kwargs, received.topic, received.details.publication)
                    break
            except StreamOverflow as exc:
                print(exc)
        assert self.subscription is not None
        for event in await self.event_history(self.subscription, limit=5, reverse=True):
            print(event.timestamp)
        left: int = await self.subscription.unsubscribe()
        print(left, self.subscription.dropped)

    async def on_event(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0.1)
        self.log.info("{count} arguments", count=len(args))

    def onUserError(self, fail: Any, msg: str) -> None:
        print(msg, fail.value)

    def onLeave(self, details: CloseDetails) -> None:
        print(details.reason, details.message, details.retry_after, CloseDetails.REASON_DEFAULT)
        self.disconnect()

    def onDisconnect(self) -> None:
        print(self.is_attached(), self.is_connected(), self.transport)


async def helper(session: ISession) -> None:
    await session.call("com.example.hello")


class NewClient(Session):
    """The newer kind of session."""

    async def on_join(self, details: SessionDetails) -> None:
        self.on("leave", self.left)
        self.off("leave", self.left)
        await self.leave("wamp.close.normal", "done")

    def left(self, session: ISession, details: CloseDetails) -> None:
        raise InvalidPayload if details.message else NotAuthorized

    def on_leave(self, details: CloseDetails) -> None:
        raise InvalidUri(details.reason)


component = Component(
    transports=[{"type": "websocket", "url": "ws://localhost:8080/ws", "serializers": ["cbor"], "max_retries": 5}],
    realm="realm1",
    extra={"a": 1},
    authentication={"ticket": {"authid": "joe", "ticket": "secret"}},
    session_factory=NewClient,
    is_fatal=lambda exc: isinstance(exc, ApplicationError),
    call_timeout=10,
    request_timeout=5.5,
)


@component.on_join
async def joined(session: Session, details: SessionDetails) -> None:
    await session.call("com.example.hello")


@component.on_leave
def left(session: Session, details: CloseDetails) -> None:
    print(details)


@component.on_connect
@component.on_ready
@component.on_disconnect
@component.on_connectfailure
def happened(*args: Any, **kwargs: Any) -> None:
    print(args, kwargs)


@component.register("com.example.add", RegisterOptions(disclose_caller=True), check_types="convert")
def add(x: int, y: int) -> int:
    return x + y


@component.subscribe("com.example.topic", SubscribeOptions(concurrency=5))
async def on_topic(*args: Any) -> None:
    print(args)


async def main(loop: asyncio.AbstractEventLoop, session: Session) -> None:
    await session.publish("com.example.topic", 1, options=PublishOptions(acknowledge=True))


async def futures(session: Session, subscriber: Subscription) -> None:
    """What is given is known to the last letter, where it does not depend on values."""
    assert_type(session.register(add, "com.example.add"), asyncio.Future[Registration])
    assert_type(session.register(Shop(), options=RegisterOptions()), asyncio.Future[list[Registration | Exception]])
    assert_type(session.subscribe(on_topic, "com.example.topic"), asyncio.Future[Subscription])
    assert_type(session.subscribe(Shop()), asyncio.Future[list[Subscription | Exception]])
    assert_type(session.call("com.example.add", 1, 2, options=CallOptions(timeout=5)), asyncio.Future[Any])
    assert_type(await subscriber.unsubscribe(), int)
    assert_type(add(1, 2), int)  # a decorator changes nothing
    session.publish("com.example.topic", 1)
    done, _ = await asyncio.wait([session.call("com.example.add", 1, 2)], timeout=session.call_timeout)
    print(done, session.request_timeout)
    await asyncio.wait_for(session.call("com.example.add", 1, 2), 5)


def programs() -> None:
    run([component, Component(main=main)], log_level="debug")
    runner = ApplicationRunner(
        "wss://localhost/ws", "realm1", extra={}, serializers=None, ssl=ssl.create_default_context(),
        proxy={"host": "proxy", "port": 3128}, headers={"X-A": "b"},
    )  # fmt: skip
    runner.run(Client, start_loop=True, log_level="info")
    runner.stop()
    factory = ApplicationSessionFactory(ComponentConfig("realm1", {"a": 1}))
    session: ApplicationSession = factory()
    print(session, issubclass(ExportedSession, ApplicationSession), __ident__, autobahn.__version__, autobahn.version)
    print(old_component.Component is Component, old_protocol.BaseSession, old_protocol.ITransport)
    print(old_websocket.parseSubprotocolIdentifier("wamp.2.json"), old_websocket.WampWebSocketClientFactory)
    print(convert_starred_uri("com.*"), Pattern("com.<id:int>", Pattern.URI_TARGET_ENDPOINT).match("com.5"))


async def transports() -> None:
    loop = get_or_create_event_loop()
    client = WampRawSocketClientFactory(Client)
    server = WampRawSocketServerFactory(Client)
    client.setProtocolOptions(maxMessagePayloadSize=1024)
    transport, protocol = await loop.create_connection(client, "localhost", 8080)
    await loop.create_server(server, "localhost", 8081)
    print(protocol, peer2str(transport), transport_channel_id(transport, is_server=False))
    assert issubclass(client.protocol, WampRawSocketClientProtocol)
    assert issubclass(server.protocol, WampRawSocketServerProtocol)
    await sleep(0.1)

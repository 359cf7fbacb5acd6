"""The parts around sessions: values, interfaces, serializers, authentication, encryption, roles, messages, helpers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from autobahn import exception, util
from autobahn.rawsocket import util as rawsocket_util
from autobahn.wamp import auth, cryptobox, cryptosign, message, payload, request, role, serializer, types
from autobahn.wamp.interfaces import (
    IAuthenticator,
    IMessage,
    IObjectSerializer,
    IPayloadCodec,
    ISerializer,
    ISession,
    ITransport,
    ITransportHandler,
)
from autobahn.wamp.uri import Pattern, error, register, subscribe


def values(registration: request.Registration, subscription: request.Subscription) -> None:
    accept: types.HelloReturn = types.Accept("realm1", authid="joe", authrole="user", authextra={})
    deny = types.Deny("wamp.error.not_authorized", message="no")
    challenge = types.Challenge("ticket", {"a": 1})
    print(accept, deny.reason, challenge.extra, types.HelloDetails(realm="realm1", authmethods=["ticket"]).authmethods)
    call = types.CallDetails(registration, caller=5, procedure="com.a", trustlevel=1)
    event = types.EventDetails(subscription, 5, publisher=7, topic="com.t")
    ident: types.SessionIdent = types.SessionIdent.from_calldetails(call)
    print(ident.marshal(), types.SessionIdent.from_eventdetails(event), types.Event([1], {}, event).topic)
    encoded = types.EncodedPayload(b"\x00", "cryptobox", "json")
    result = types.CallResult(1, 2, key=3)
    print(encoded.payload, result.results, result.kwresults, types.CloseDetails("wamp.close.normal").marshal())
    transport = types.TransportDetails(types.TransportDetails.CHANNEL_TYPE_TCP, peer="tcp4:127.0.0.1:1")
    details = types.SessionDetails("realm1", 5, authid="joe", transport=transport)
    print(transport.channel_typeid, types.SessionDetails.parse(details.marshal()) == details)
    config = types.ComponentConfig("realm1", {"a": 1})
    options = (
        types.CallOptions(on_progress=print, timeout=1.5),
        types.PublishOptions(exclude=[1], retain=True),
        types.RegisterOptions(match="prefix"),
        types.SubscribeOptions(match="wildcard", concurrency=2, nkey="a"),
    )
    print(config.realm, [o.message_attr() for o in options])
    publication: types.Publication = request.Publication(5, was_encrypted=False)
    kinds = (types.Registration, types.Subscription, request.Registration, request.Subscription)
    print(publication.id, kinds)


class Authenticator(IAuthenticator):
    name = "own"
    authextra: dict[str, Any] | None = None

    def on_challenge(self, session: ISession, challenge: types.Challenge) -> str:
        return auth.compute_wcs(b"key", challenge.extra["challenge"]).decode()

    def on_welcome(self, session: ISession, authextra: dict[str, Any] | None) -> str | None:
        return None


class Codec(IPayloadCodec):
    def encode(
        self,
        is_originating: bool,
        uri: str,
        args: list[Any] | tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> types.EncodedPayload:
        return types.EncodedPayload(repr((uri, args, kwargs)).encode(), "x_mine")

    def decode(self, is_originating: bool, uri: str, encoded_payload: Any) -> tuple[str, Any, Any]:
        return uri, [encoded_payload.payload], {}


class Handler(ITransportHandler):
    def onOpen(self, transport: ITransport) -> None:
        transport.send(message.Hello("realm1", {"roles": {"caller": {}}}))

    def onMessage(self, msg: IMessage) -> None:
        print(msg)

    def onClose(self, wasClean: bool) -> None:
        print(wasClean)


class OwnFormat(IObjectSerializer):
    NAME = "own"
    BINARY = False

    def serialize(self, obj: Any) -> bytes:
        return repr(obj).encode()

    def unserialize(self, payload: bytes) -> list[Any]:
        return [payload]


def serializers() -> None:
    chosen: list[ISerializer] = [
        serializer.JsonSerializer(batched=True),
        serializer.MsgPackSerializer(),
        serializer.CBORSerializer(),
        serializer.UBJSONSerializer(),
        serializer.create_transport_serializer("cbor.batched"),
    ]
    formats: list[IObjectSerializer] = [
        serializer.JsonObjectSerializer(),
        serializer.MsgPackObjectSerializer(),
        serializer.CBORObjectSerializer(),
        serializer.UBJSONObjectSerializer(),
        OwnFormat(),
    ]
    for one in chosen:
        data, is_binary = one.serialize(message.Goodbye({}, "wamp.close.normal"))
        print(one.unserialize(data, is_binary), one.SERIALIZER_ID, formats[0].NAME, serializer.Serializer)


def authentication() -> None:
    kinds: list[type[IAuthenticator]] = [
        auth.AuthAnonymous,
        auth.AuthCryptoSign,
        auth.AuthScram,
        auth.AuthTicket,
        auth.AuthWampCra,
        auth.AuthWampScram,
    ]
    authenticator = auth.create_authenticator("wampcra", authid="joe", secret="secret")
    key: bytes = auth.derive_key("secret", "salt", 1000, 32)
    print(kinds, authenticator, key, auth.pbkdf2(b"a", b"b"), auth.generate_wcs(), auth.compute_wcs("a", "b"))
    secret: str = auth.generate_totp_secret()
    print(auth.check_totp(secret, auth.compute_totp(secret)), auth.derive_scram_credential("a@b", "c"))
    if cryptosign.HAS_CRYPTOSIGN:
        signing = cryptosign.CryptosignKey.from_bytes(bytes(32), comment="joe")
        signature = signing.sign(b"data")
        print(signing.public_key(), cryptosign.is_valid_signature(bytes(32), signature, b"data"), cryptosign.is_signed)


def encryption(session: ISession) -> None:
    if cryptobox.HAS_CRYPTOBOX:
        ring = cryptobox.KeyRing()
        private, _ = ring.generate_key()
        ring.set_key("com.", cryptobox.Key(originator_priv=private, responder_priv=private))
        session.set_payload_codec(ring)
    session.set_payload_codec(Codec())
    codec: IPayloadCodec | None = session.get_payload_codec()
    cipher: payload.IPassthruCipher = cryptobox.PassthruKeys(default=cryptobox.PassthruKeys.generate_key())
    print(codec, cipher, cryptobox.EncodedPayload, payload.PPT_KEYS)


def roles() -> None:
    features: role.RoleFeatures = role.RoleCallerFeatures(call_timeout=True)
    kinds = (
        role.RoleBrokerFeatures,
        role.RoleCalleeFeatures,
        role.RoleDealerFeatures,
        role.RolePublisherFeatures,
        role.RoleSubscriberFeatures,
    )
    print(features, kinds, role.DEFAULT_CLIENT_ROLES["caller"], role.ROLE_NAME_TO_CLASS["broker"])


def messages() -> list[message.Message]:
    return [
        message.Hello("realm1", {}), message.Welcome(1, {}), message.Abort({}, "a.b"), message.Challenge("ticket", {}),
        message.Authenticate("sig", {}), message.Goodbye({}, "a.b"), message.Error(48, 1, {}, "a.b"),
        message.Publish(1, {}, "a.b", [1], {}), message.Published(1, 2), message.Subscribe(1, {}, "a.b"),
        message.Subscribed(1, 2), message.Unsubscribe(1, 2), message.Unsubscribed(1), message.Event(1, 2, {}),
        message.EventReceived(1), message.Call(1, {}, "a.b"), message.Cancel(1, {}), message.Result(1, {}),
        message.Register(1, {}, "a.b"), message.Registered(1, 2), message.Unregister(1, 2), message.Unregistered(1),
        message.Invocation(1, 2, {}), message.Interrupt(1, {}), message.Yield(1, {}),
    ]  # fmt: skip


def uris() -> None:
    pattern = Pattern("com.<name>.x", Pattern.URI_TARGET_HANDLER)
    names: dict[str, Any] = pattern.match("com.a.x")[1]
    print(names, pattern.is_handler(), pattern.uri_type, register, subscribe, error)


def errors() -> None:
    tree: list[type[Exception]] = [
        exception.BufferFullError, exception.ComponentFailed, exception.ConnectFailed, exception.ConnectTimeout,
        exception.ConnectionClosed, exception.ConnectionClosedError, exception.ConnectionClosedOK,
        exception.Disconnected, exception.InvalidHandshake, exception.InvalidStatus, exception.InvalidURI,
        exception.PayloadCorruptError, exception.PayloadExceededError, exception.ProxyError,
    ]  # fmt: skip
    print(tree)


class Observable(util.ObservableMixin, util.EqualityMixin):
    pass


async def helpers() -> None:
    text: str = util.utcstr(datetime.now(UTC)) + util.utcnow()
    numbers: tuple[int, int, int] = util.rid(), util.id(), util.IdGenerator().next()
    tokens = (util.newid(), util.generate_token(2, 4), util.generate_activation_code(), util.generate_serial_number())
    print(text, numbers, tokens, util.generate_user_password(), util.parse_activation_code(tokens[2]))
    watch = util.Stopwatch(start=False)
    tracker = util.Tracker(None, None)
    tracker.track("a")
    print(watch.elapsed(), tracker.diff("a", "b"), util.rtime(), util.xor(b"a", b"b"), util.encode_truncate("ü", 1))
    print(util.hlval(1), util.hlid(2), util.hltype(int), util.wildcards2patterns(["a*"]), util.public(helpers))
    print(util.parse_keyfile("key.txt", private=False)["public-key-ed25519"])
    observable = Observable()
    observable.on("event", print)
    print(await observable.fire("event", 1))
    print(rawsocket_util.create_url("localhost", 8080), rawsocket_util.parse_url("rs://localhost:8080"))

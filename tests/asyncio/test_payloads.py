"""Payloads that only their ends can read, over real links: T-PPT-6 to T-PPT-8, T-E2E-1, the payload codec hook."""

from __future__ import annotations

import asyncio
import base64
import importlib.util

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import WampRawSocketClientFactory, WampRawSocketServerFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.wamp import (
    ApplicationError,
    CallOptions,
    ComponentConfig,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)
from autobahn.wamp.codec import CODECS
from autobahn.wamp.cryptobox import HAS_CRYPTOBOX, Key, KeyRing, PassthruKeys
from autobahn.wamp.exception import SerializationError
from autobahn.wamp.interfaces import IPayloadCodec
from autobahn.wamp.serializer import create_transport_serializer, create_transport_serializers
from autobahn.wamp.types import CallResult, EncodedPayload
from closing import closed

needs_nacl = pytest.mark.skipif(not HAS_CRYPTOBOX, reason="needs PyNaCl")
NAMES = ("json", "msgpack", "cbor", "ubjson")
OCTETS = bytes(range(256))
ARGS, KWARGS = [1, "ü", OCTETS, [None, {"a": b"\x00"}]], {"k": 2.5}


class Session(ApplicationSession):
    def __init__(self):
        super().__init__(ComponentConfig("realm1"))
        self.joined = asyncio.get_running_loop().create_future()
        self.errors = []

    def onJoin(self, details):
        self.joined.set_result(details)

    def onUserError(self, fail, msg):
        self.errors.append(fail.value)


class World:
    """A router with sessions over RawSocket, each with a serializer of its own."""

    def __init__(self):
        self.router = Router(None)
        self.sessions = []

    async def __aenter__(self):
        await self.router.start()
        factory = self.factory = WampRawSocketServerFactory(
            self.router.new_session, create_transport_serializers(NAMES)
        )
        self.server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        for session in self.sessions:
            session.leave()
        for session in self.sessions:
            await session.wait_disconnected()
        self.server.close()
        await self.router.close()
        await closed(self.factory)

    async def join(self, name="json"):
        session = Session()
        factory = WampRawSocketClientFactory(session, create_transport_serializer(name))
        await asyncio.get_running_loop().create_connection(factory, *self.server.sockets[0].getsockname())
        await session.joined
        self.sessions.append(session)
        return session


class Inbox:
    """Handler or endpoint that keeps what it gets, details apart."""

    def __init__(self, answer=None):
        self.answer = answer
        self.got = asyncio.Queue()

    def __call__(self, *args, details=None, **kwargs):
        self.got.put_nowait((list(args), kwargs, details))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def pair(world, a="json", b="cbor"):
    return await world.join(a), await world.join(b)


# ---- payload passthru mode ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [("json", "cbor"), ("cbor", "json"), ("msgpack", "ubjson"), ("json", "json")])
@pytest.mark.parametrize("serializer", NAMES)
async def test_T_PPT_7_and_8_packed_payload_arrives_whatever_the_links_speak(a, b, serializer):
    ppt = {"ppt_scheme": "x_mine", "ppt_serializer": serializer}
    async with World() as world:
        one, two = await pair(world, a, b)
        events, endpoint = Inbox(), Inbox(CallResult(OCTETS, "x", n=1))
        await two.subscribe(events, "com.t", SubscribeOptions(details=True))
        await two.register(endpoint, "com.p", RegisterOptions(details=True))
        publication = await one.publish("com.t", *ARGS, **KWARGS, options=PublishOptions(acknowledge=True, **ppt))
        assert publication.was_encrypted is False
        args, kwargs, details = await events.got.get()
        assert (args, kwargs, details.ppt) == (ARGS, KWARGS, ppt)
        result = await one.call("com.p", *ARGS, **KWARGS, options=CallOptions(details=True, **ppt))
        args, kwargs, details = await endpoint.got.get()
        assert (args, kwargs, details.ppt) == (ARGS, KWARGS, ppt)
        assert (list(result.results), result.kwresults, result.ppt) == ([OCTETS, "x"], {"n": 1}, ppt)
        endpoint.answer = ApplicationError("com.e", OCTETS, why="x")
        with pytest.raises(ApplicationError) as caught:
            await one.call("com.p", options=CallOptions(**ppt))
        assert (caught.value.error, caught.value.args, caught.value.kwargs) == ("com.e", (OCTETS,), {"why": "x"})
        # a plain call afterwards is answered plainly
        endpoint.answer = 7
        assert await one.call("com.p") == 7


async def test_T_PPT_8_native_payload_is_the_programs_business():
    ppt = {"ppt_scheme": "mqtt", "ppt_serializer": "native"}
    async with World() as world:
        one, two = await pair(world)
        events, endpoint = Inbox(), Inbox(b"raw")
        await two.subscribe(events, "com.t", SubscribeOptions(details=True))
        await two.register(endpoint, "com.p")
        one.publish("com.t", OCTETS, options=PublishOptions(**ppt))
        args, _, details = await events.got.get()
        assert (args, details.ppt) == ([OCTETS], ppt)
        result = await one.call("com.p", OCTETS, options=CallOptions(details=True, **ppt))
        assert (result.results, result.ppt) == ((b"raw",), ppt)


async def test_progressive_results_are_packed_as_well():
    ppt = {"ppt_scheme": "x_mine", "ppt_serializer": "cbor"}
    async with World() as world:
        one, two = await pair(world)

        async def count(n):
            for i in range(n):
                yield i

        await two.register(count, "com.count")
        assert [i async for i in one.call_stream("com.count", 3, options=CallOptions(**ppt))] == [0, 1, 2]
        seen = []
        await one.call("com.count", 3, options=CallOptions(on_progress=seen.append, **ppt))
        assert seen == [0, 1, 2]


CIPHERS = ["aes256gcm", pytest.param("xsalsa20poly1305", marks=needs_nacl)]


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_T_E2E_encrypted_with_keys_by_id(cipher):
    ppt = {"ppt_scheme": "wamp", "ppt_serializer": "cbor", "ppt_cipher": cipher, "ppt_keyid": "k1"}
    async with World() as world:
        one, two = await pair(world)
        stranger = await world.join("msgpack")
        key = PassthruKeys.generate_key()
        for session in (one, two):
            session.set_passthru_cipher(PassthruKeys({"k1": key}))
        stranger.set_passthru_cipher(PassthruKeys({"k1": bytes(32)}))
        events, missed, endpoint = Inbox(), Inbox(), Inbox("secret")
        await two.subscribe(events, "com.t")
        await stranger.subscribe(missed, "com.t")
        await two.register(endpoint, "com.p")
        one.publish("com.t", *ARGS, **KWARGS, options=PublishOptions(**ppt))
        assert (await events.got.get())[:2] == (ARGS, KWARGS)
        assert await one.call("com.p", "x", options=CallOptions(**ppt)) == "secret"
        with pytest.raises(ApplicationError) as caught:
            await stranger.call("com.p", "x", options=CallOptions(**ppt))
        assert caught.value.error == ApplicationError.ENC_DECRYPT_ERROR
        assert missed.got.empty()
        assert [e.error for e in stranger.errors] == [ApplicationError.ENC_DECRYPT_ERROR]
        one.set_passthru_cipher(None)
        with pytest.raises(ApplicationError, match="expected a key"):
            one.publish("com.t", options=PublishOptions(**ppt))
        with pytest.raises(ApplicationError, match="expected ppt_serializer"):
            one.publish("com.t", options=PublishOptions(ppt_scheme="wamp", ppt_cipher=cipher))
        assert await one.call("com.p") == "secret"


UNREADABLE = [
    ({"ppt_scheme": "x_a", "ppt_serializer": "flatbuffers"}, [b"x"], "ppt_serializer"),
    ({"ppt_scheme": "x_a", "ppt_serializer": "cbor"}, [b"\xff"], "payload in cbor"),
    ({"ppt_scheme": "x_a", "ppt_serializer": "cbor"}, [b"\x01"], "map with args"),
    ({"ppt_scheme": "x_a", "ppt_serializer": "cbor"}, [CODECS["cbor"].dumps({"args": 5})], "list of arguments"),
    ({"ppt_scheme": "x_a", "ppt_serializer": "cbor"}, ["text"], "one octet string"),
    ({"ppt_scheme": "x_a", "ppt_serializer": "cbor", "ppt_cipher": "rot13"}, [b"x"], "no keys here"),
]


@pytest.mark.parametrize(("ppt", "args", "text"), UNREADABLE)
async def test_T_PPT_6_what_cannot_be_read(ppt, args, text):
    """An invocation is answered with invalid_argument, an event is dropped and reported once."""
    from autobahn.wamp import message

    async with World() as world:
        one, two = await pair(world, "cbor", "cbor")
        events, endpoint = Inbox(), Inbox()
        await two.subscribe(events, "com.t")
        await two.register(endpoint, "com.p")
        # by hand: our own options would not send this
        request_id, request = one._open_request(48, type("Info", (), {"procedure": "com.p", "options": None})())
        one._transport.send(message.Publish(one._requests.next_id(), ppt, "com.t", args))
        one._requests.last_id = request_id
        one._transport.send(message.Publish(one._requests.next_id(), {}, "com.t", ["after"]))
        assert (await events.got.get())[0] == ["after"]
        assert len(two.errors) == 1
        assert (two.errors[0].error, text in two.errors[0].args[0]) == (ApplicationError.INVALID_ARGUMENT, True)
        one._requests.forget(request_id)
        request.future.cancel()
        refusal = two._payload.open_invocation(message.Invocation(9, 1, ppt, list(args)), "com.p")
        assert refusal is not None and text in refusal.args[0]
        assert endpoint.got.empty()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ppt_scheme": "other"}, "ppt_scheme wamp, mqtt or x_"),
        ({"ppt_serializer": "cbor"}, "ppt_scheme wamp, mqtt or x_"),
        ({"ppt_scheme": "wamp", "ppt_serializer": "flatbuffers"}, "ppt_serializer out of"),
    ],
)
def test_wrong_options(options, text):
    for cls in (CallOptions, PublishOptions):
        with pytest.raises(ValueError, match=text):
            cls(**options)
    with pytest.raises(TypeError):
        CallOptions(ppt_scheme="wamp", ppt_keyid=5)


@pytest.mark.parametrize("role", ["broker", "dealer"])
async def test_T_PPT_2_a_router_without_it_is_not_asked(role):
    async with World() as world:
        one, _ = await pair(world)
        one._router_roles = {**one._router_roles, role: {"features": {}}}
        with pytest.raises(ApplicationError, match="payload_passthru_mode"):
            if role == "broker":
                one.publish("com.t", options=PublishOptions(ppt_scheme="x_a", ppt_serializer="cbor"))
            else:
                await one.call("com.p", options=CallOptions(ppt_scheme="x_a", ppt_serializer="cbor"))
        assert one.is_attached()


# ---- the payload codec hook ---------------------------------------------------------------------------------------


class Rot(IPayloadCodec):
    """Encodes what is under com.secret., and notes how it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, is_originating, uri, args=None, kwargs=None):
        self.asked.append(("encode", is_originating, uri))
        if not uri.startswith("com.secret."):
            return None
        data = CODECS["cbor"].dumps([uri, args, kwargs])
        return EncodedPayload(data[::-1], "x_rot", "cbor", "key7")

    def decode(self, is_originating, uri, encoded_payload):
        self.asked.append(("decode", is_originating, uri))
        assert (encoded_payload.enc_algo, encoded_payload.enc_serializer, encoded_payload.enc_key) == (
            "x_rot", "cbor", "key7",
        )  # fmt: skip
        return CODECS["cbor"].loads(encoded_payload.payload[::-1])


@pytest.mark.parametrize(("a", "b"), [("json", "cbor"), ("cbor", "json"), ("msgpack", "msgpack"), ("ubjson", "json")])
async def test_payload_codec_over_every_message(a, b):
    async with World() as world:
        one, two = await pair(world, a, b)
        codecs = [Rot(), Rot()]
        for session, codec in zip((one, two), codecs, strict=True):
            session.set_payload_codec(codec)
            assert session.get_payload_codec() is codec
        events, endpoint = Inbox(), Inbox(OCTETS)
        await two.subscribe(events, "com.secret.t", SubscribeOptions(details=True))
        await two.register(endpoint, "com.secret.p", RegisterOptions(details=True))
        await two.register(lambda: "plain", "com.open.p")
        publication = await one.publish("com.secret.t", *ARGS, **KWARGS, options=PublishOptions(acknowledge=True))
        assert publication.was_encrypted is True
        args, kwargs, details = await events.got.get()
        assert (args, kwargs, details.enc_algo) == (ARGS, KWARGS, "x_rot")
        assert await one.call("com.secret.p", *ARGS, **KWARGS) == OCTETS
        args, kwargs, details = await endpoint.got.get()
        assert (args, kwargs, details.enc_algo) == (ARGS, KWARGS, "x_rot")
        endpoint.answer = ApplicationError("com.secret.e", OCTETS)
        with pytest.raises(ApplicationError) as caught:
            await one.call("com.secret.p")
        assert (caught.value.error, caught.value.args) == ("com.secret.e", (OCTETS,))
        assert await one.call("com.open.p") == "plain"
        assert codecs[0].asked == [
            ("encode", True, "com.secret.t"),
            ("encode", True, "com.secret.p"), ("decode", True, "com.secret.p"),
            ("encode", True, "com.secret.p"), ("decode", True, "com.secret.e"),
            ("encode", True, "com.open.p"),
        ]  # fmt: skip
        assert codecs[1].asked == [
            ("decode", False, "com.secret.t"),
            ("decode", False, "com.secret.p"), ("encode", False, "com.secret.p"),
            ("decode", False, "com.secret.p"), ("encode", False, "com.secret.e"),
        ]  # fmt: skip


async def test_payload_without_a_codec_and_for_another_uri():
    async with World() as world:
        one, two = await pair(world)
        one.set_payload_codec(Rot())
        await two.register(Inbox(1), "com.secret.p")
        with pytest.raises(ApplicationError) as caught:
            await one.call("com.secret.p")
        assert caught.value.error == ApplicationError.ENC_NO_PAYLOAD_CODEC

        class Liar(Rot):
            def decode(self, is_originating, uri, encoded_payload):
                return "com.other", [], {}

        two.set_payload_codec(Liar())
        with pytest.raises(ApplicationError) as caught:
            await one.call("com.secret.p")
        assert caught.value.error == ApplicationError.ENC_TRUSTED_URI_MISMATCH

        class Broken(Rot):
            def encode(self, *args, **kwargs):
                raise RuntimeError("no entropy")

            def decode(self, *args, **kwargs):
                raise RuntimeError("no luck")

        two.set_payload_codec(Broken())
        with pytest.raises(ApplicationError, match="no luck") as caught:
            await one.call("com.secret.p")
        assert caught.value.error == ApplicationError.ENC_DECRYPT_ERROR
        with pytest.raises(SerializationError, match="no entropy"):
            two.publish("com.secret.t")
        two.set_payload_codec(None)
        assert two.get_payload_codec() is None
        two.publish("com.secret.t")
        with pytest.raises(TypeError, match="IPayloadCodec"):
            two.set_payload_codec(object())
        one.set_payload_codec(Rot())
        one._router_roles = {"broker": {}}
        with pytest.raises(ApplicationError, match="payload_transparency"):
            one.publish("com.secret.t")


async def test_a_component_may_set_its_codec_when_it_connects():
    """At every connection, before the session joins; a codec that stays set serves the next connection as well."""
    async with Router() as router:
        component = Component(
            transports=[{"url": router.url, "initial_retry_delay": 0.001, "max_retry_delay": 0.002}], realm="realm1"
        )
        codec, results = Rot(), []

        @component.on_connect
        def connected(session, protocol):
            session.set_payload_codec(codec)

        @component.register("com.secret.p")
        def endpoint(x):
            return x

        @component.on_ready
        async def ready(session):
            results.append(await session.call("com.secret.p", OCTETS))
            if len(results) == 1:
                session.transport.abort()
            else:
                component.stop()

        await component.start()
        assert results == [OCTETS, OCTETS]
        assert [asked[:2] for asked in codec.asked] == 2 * [
            ("encode", True), ("decode", False), ("encode", False), ("decode", True),
        ]  # fmt: skip


# ---- cryptobox ------------------------------------------------------------------------------------------------------

ALICE, BOB = (base64.b64encode(bytes(range(i, i + 32))).decode() for i in (0, 32))
GOLDEN = bytes.fromhex(  # made by autobahn 26.10.2 with PyNaCl 1.6.2
    "e5e0b315c2a7aa78da1fa22f4e0b14285324653e7bb23d63d4d375dbe6640970da0d1d341dd49959ef32e3d741d3079980aa9807e286d084"
    "7e29d5e0d35ce405ab2312720ca1ae4dfea483bcdb0b2a5470423da4eb336e5f6ac4b435e680"
)


def public(private):
    from nacl.public import PrivateKey

    return base64.b64encode(bytes(PrivateKey(base64.b64decode(private)).public_key)).decode()


@needs_nacl
def test_T_E2E_1_cryptobox_of_autobahn():
    ring = KeyRing()
    ring.set_key("com.secret.", Key(originator_pub=public(ALICE), responder_priv=BOB))
    payload = EncodedPayload(GOLDEN, "cryptobox", "json")
    assert ring.decode(False, "com.secret.a", payload) == ("com.secret.a", [1, "x"], {"k": 2})
    with pytest.raises(ValueError, match="our key"):
        ring.decode(False, "com.secret.a", EncodedPayload(GOLDEN[:-1] + b"x", "cryptobox", "json"))
    for algo, serializer in (("mqtt", "json"), ("cryptobox", "cbor")):
        with pytest.raises(ValueError, match="expected enc_"):
            ring.decode(False, "com.secret.a", EncodedPayload(GOLDEN, algo, serializer))
    with pytest.raises(ValueError, match="a key for"):
        ring.decode(True, "com.secret.a", payload)
    assert ring.encode(True, "com.secret.a", [1]) is None  # the originator's private key is not here


@needs_nacl
def test_key_ring():
    ring = KeyRing(default_key=ALICE)
    private, shown = ring.generate_key()
    assert public(private) == shown
    assert [len(text) for text in ring.generate_key_hex()] == [64, 64]
    ring.set_key("com.b.", Key(originator_priv=BOB, responder_priv=BOB))
    other = KeyRing(BOB)
    sealed = ring.encode(True, "com.b.x", [OCTETS], {"k": b"1"})
    assert (sealed.enc_algo, sealed.enc_serializer) == ("cryptobox", "json")
    assert other.decode(False, "com.b.x", sealed) == ("com.b.x", [OCTETS], {"k": b"1"})
    with pytest.raises(ValueError, match="our key"):
        other.decode(False, "com.c", ring.encode(True, "com.c", []))
    ring.set_key("com.b.", None)
    with pytest.raises(ValueError, match="our key"):
        other.decode(False, "com.b.x", ring.encode(True, "com.b.x", []))
    other.set_key("com.c", ring.rotate_key("com.c"))
    assert other.decode(False, "com.c", ring.encode(True, "com.c", None))[1:] == (None, None)
    for wrong in (
        {"originator_priv": "x"},
        {"responder_pub": "AAAA"},
        {"originator_priv": ALICE, "originator_pub": BOB},
    ):
        with pytest.raises(ValueError, match="expected"):
            Key(**wrong)


@needs_nacl
async def test_T_E2E_1_cryptobox_from_end_to_end():
    async with World() as world:
        one, two = await pair(world)
        blind = await world.join("msgpack")
        mine, yours = KeyRing(), KeyRing()
        mine.set_key("com.secret.", Key(originator_priv=ALICE, responder_pub=public(BOB)))
        yours.set_key("com.secret.", Key(originator_pub=public(ALICE), responder_priv=BOB))
        one.set_payload_codec(mine)
        two.set_payload_codec(yours)
        events, missed = Inbox(), Inbox()
        await two.subscribe(events, "com.secret.t")
        await blind.subscribe(missed, "com.secret.t")
        await two.register(Inbox([OCTETS]), "com.secret.p")
        await one.publish("com.secret.t", *ARGS, **KWARGS, options=PublishOptions(acknowledge=True))
        assert (await events.got.get())[:2] == (ARGS, KWARGS)
        assert await one.call("com.secret.p") == [OCTETS]
        assert missed.got.empty()
        assert [e.error for e in blind.errors] == [ApplicationError.ENC_NO_PAYLOAD_CODEC]


def test_without_the_package_it_is_named(monkeypatch):
    import importlib as machinery

    real = machinery.import_module

    def missing(name, *args):
        if name.startswith(("nacl", "cryptography")):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(machinery, "import_module", missing)
    for attempt in (KeyRing, lambda: Key(originator_priv=ALICE)):
        with pytest.raises(ImportError, match="PyNaCl"):
            attempt()
    keys = PassthruKeys(default=bytes(32))
    with pytest.raises(ImportError, match="cryptography"):
        keys.encrypt({"ppt_cipher": "aes256gcm"}, b"")
    assert HAS_CRYPTOBOX is (importlib.util.find_spec("nacl") is not None)


def test_passthru_keys_say_what_is_wrong():
    with pytest.raises(ValueError, match="32 octets"):
        PassthruKeys({"a": b"short"})
    keys = PassthruKeys({"a": bytes(32)})
    with pytest.raises(ValueError, match="ppt_keyid"):
        keys.encrypt({"ppt_cipher": "aes256gcm", "ppt_keyid": "b"}, b"")
    with pytest.raises(ValueError, match="cipher out of"):
        keys.encrypt({"ppt_cipher": "rot13", "ppt_keyid": "a"}, b"")
    with pytest.raises(ValueError, match="our key"):
        keys.decrypt({"ppt_cipher": "aes256gcm", "ppt_keyid": "a"}, b"short")

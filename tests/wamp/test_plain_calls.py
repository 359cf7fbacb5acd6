"""A call without options has a way of its own from its arguments to octets, which nobody can tell from the ordinary."""

import asyncio
import enum
import math

import pytest

from autobahn.asyncio.link import WampLink
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.exception import Disconnected
from autobahn.wamp import message as m
from autobahn.wamp.exception import ApplicationError, InvalidUriError, SerializationError, TransportLost
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer, UBJSONSerializer
from autobahn.wamp.types import EncodedPayload, TransportDetails
from scripted import ROLES, RecordingSession, settle

SERIALIZERS = {
    "json": JsonSerializer,
    "msgpack": MsgPackSerializer,
    "cbor": CBORSerializer,
    "ubjson": UBJSONSerializer,
    "json.batched": lambda: JsonSerializer(batched=True),
    "msgpack.batched": lambda: MsgPackSerializer(batched=True),
}
ARGUMENTS = {
    "none": (),
    "int": (42,),
    "several": (1, "x", None, True, -1),
    "float": (1.5, 2.0),
    "octets": (b"\x00\xff",),
    "bytearray": (bytearray(b"ab"),),
    "backslash": ("a\\b",),
    "umlaut": ("äöü \U0001f600",),
    "list": ([1, [2, [3]]], {"a": {"b": None}}),
    "tuple": ((1, 2),),
    "many": tuple(range(300)),
    "long": ("x" * 5000,),
    "enumerated": (enum.Enum("Colour", {"RED": "red"}).RED, 1),
}
REFUSED = {
    "object": (object(),),
    "surrogate": ("\ud800",),
    "lambda among plain ones": (1, "x", print),
}


class Wire:
    """A channel that keeps what is sent."""

    peer, is_closed = "wire", None

    def __init__(self):
        self.sent: list[bytes] = []
        self.is_open = True

    def channel_send(self, data, binary):
        if not self.is_open:
            raise Disconnected("closed")
        self.sent.append(data)

    def channel_open(self):
        return self.is_open

    def channel_close(self, code, reason):
        self.is_open = False

    def channel_details(self):
        return TransportDetails()


async def joined(serializer):
    session, wire = RecordingSession(), Wire()
    session._runtime = AsyncioRuntime()
    link = WampLink(wire, session, serializer)
    link.open()
    await settle()
    session.onMessage(m.Welcome(7, {"roles": ROLES}))
    await settle()
    wire.sent.clear()
    return session, link, wire


async def left(session, link):
    link.closed(True)
    await settle()
    assert session.errors == [] and len(session._requests) == 0


def octets(serializer, msg):
    data = serializer.codec.encode(msg)
    return serializer.batch(data) if serializer.batched else data


@pytest.mark.parametrize("name", SERIALIZERS)
async def test_a_call_without_options_is_encoded_as_any_message(name):
    serializer = SERIALIZERS[name]()
    session, link, wire = await joined(serializer)
    for number, args in enumerate(ARGUMENTS.values(), start=1):
        future = session.call("com.example.add", *args)
        assert wire.sent == [octets(serializer, m.Call(number, {}, "com.example.add", list(args)))], args
        wire.sent.clear()
        session.onMessage(m.Result(number, {}, [number]))
        assert await future == number
    await left(session, link)


@pytest.mark.parametrize("args", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("name", SERIALIZERS)
async def test_what_cannot_be_sent_leaves_nothing_behind(name, args):
    serializer = SERIALIZERS[name]()
    session, link, wire = await joined(serializer)
    with pytest.raises(SerializationError) as expected:
        serializer.codec.encode(m.Call(1, {}, "com.a", list(args)))
    with pytest.raises(SerializationError) as caught:
        session.call("com.a", *args)
    assert str(caught.value) == str(expected.value)
    assert wire.sent == [] and len(session._requests) == 0
    session.call("com.a")
    assert wire.sent == [octets(serializer, m.Call(1, {}, "com.a"))], "not even a gap in the ids"
    link.closed(True)
    await settle()


@pytest.mark.parametrize("args", [("\x00text",), (math.nan,), (1, math.inf)], ids=["nul", "nan", "inf"])
async def test_json_refuses_what_it_cannot_carry(args):
    session, link, wire = await joined(JsonSerializer())
    with pytest.raises(SerializationError):
        session.call("com.a", *args)
    assert wire.sent == []
    await left(session, link)


async def test_a_number_that_is_too_large_for_the_serializer_is_refused():
    session, link, wire = await joined(MsgPackSerializer())
    with pytest.raises(SerializationError):
        session.call("com.a", 2**70)
    assert wire.sent == []
    await left(session, link)


@pytest.mark.parametrize("name", SERIALIZERS)
async def test_a_channel_that_is_closed_is_a_lost_transport(name):
    session, link, wire = await joined(SERIALIZERS[name]())
    wire.is_open = False
    with pytest.raises(TransportLost, match="closed"):
        session.call("com.a", 1)
    assert len(session._requests) == 0
    await left(session, link)


async def test_a_call_is_sealed_once_there_is_a_payload_codec():
    class Codec:
        def encode(self, is_originating, uri, args=None, kwargs=None):
            return EncodedPayload(b"sealed", "null", "json")

        def decode(self, is_originating, uri, encoded):
            return uri, ["opened"], {}

    serializer = MsgPackSerializer()
    session, link, wire = await joined(serializer)
    session._router_roles = {"dealer": {"features": {"payload_transparency": True}}}
    session.call("com.a", 1)  # the short way is known now
    session.set_payload_codec(Codec())
    sealed = session.call("com.a", 1)
    options = {"enc_algo": "null", "enc_serializer": "json"}
    expected = [m.Call(1, {}, "com.a", [1]), m.Call(2, options, "com.a", b"sealed")]
    assert wire.sent == [serializer.codec.encode(msg) for msg in expected]
    session.onMessage(m.Result(2, dict(options), b"x"))
    assert await sealed == "opened"
    link.closed(True)
    await settle()


async def test_every_transport_is_asked_anew():
    session, first, _ = await joined(MsgPackSerializer())
    session.call("com.a", 1)
    first.closed(True)
    await settle()
    serializer, wire = JsonSerializer(), Wire()
    second = WampLink(wire, session, serializer)
    second.open()
    await settle()
    session.onMessage(m.Welcome(8, {"roles": ROLES}))
    await settle()
    wire.sent.clear()
    session.call("com.a", 1)
    assert wire.sent == [serializer.codec.encode(m.Call(1, {}, "com.a", [1]))]
    second.closed(True)
    await settle()


class Procedure(enum.StrEnum):
    ADD = "com.example.add"


async def test_procedures_are_judged_as_ever():
    serializer = MsgPackSerializer()
    session, link, wire = await joined(serializer)
    for _ in range(2):
        for wrong in (["com.a"], 5, None):
            with pytest.raises(TypeError, match="expected a URI of type str, got"):
                session.call(wrong, 1)
        with pytest.raises(InvalidUriError):
            session.call("com..a", 1)
    future = session.call(Procedure.ADD, 1)
    assert [serializer.codec.decode(data).procedure for data in wire.sent] == ["com.example.add"]
    session.onMessage(m.Result(1, {}, [2]))
    assert await future == 2
    session.onMessage(m.Result(1, {}, [3]))  # answered twice: the second one is too late
    await left(session, link)


async def test_answers_of_every_kind():
    session, link, _wire = await joined(MsgPackSerializer())
    nothing, several, named, detailed, failed, asked = (session.call("com.a", n) for n in range(6))
    session.onMessage(m.Result(6, {"progress": True}, [1]))  # nobody asked for it
    for answer in (
        m.Result(1, {}), m.Result(2, {}, [1, 2]), m.Result(3, {}, [], {"x": 1}), m.Result(4, {"x_y": 1}, [4]),
        m.Error(48, 5, {}, "com.wrong", ["text"]), m.Result(6, {}, [6]),
    ):  # fmt: skip
        session.onMessage(answer)
    assert await nothing is None and await detailed == 4 and await asked == 6
    assert (await several).results == (1, 2) and (await named).kwresults == {"x": 1}
    with pytest.raises(ApplicationError, match="text") as caught:
        await failed
    assert caught.value.error == "com.wrong"
    await left(session, link)


async def test_cancelling_tells_the_router_at_once_and_the_answer_comes_too_late():
    serializer = MsgPackSerializer()
    session, link, wire = await joined(serializer)
    future = session.call("com.a", 1)
    wire.sent.clear()
    assert future.cancel() and not future.cancel()
    assert wire.sent == [serializer.codec.encode(m.Cancel(1, {}))]
    session.onMessage(m.Error(48, 1, {}, "wamp.error.canceled"))
    with pytest.raises(asyncio.CancelledError):
        await future
    await left(session, link)

"""UBJSON, JSON by other conventions, serializers of the program's own, statistics with a limit."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.asyncio.link import WampLink
from autobahn.wamp import serializer as serializers
from autobahn.wamp.codec import CODECS, MAX_DEPTH
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.interfaces import IObjectSerializer, ISerializer
from autobahn.wamp.message import Event, Goodbye, Publish
from autobahn.wamp.serializer import (
    JsonObjectSerializer,
    JsonSerializer,
    Serializer,
    UBJSONSerializer,
    create_transport_serializer,
    create_transport_serializers,
)

UBJSON = CODECS["ubjson"]


# ---- UBJSON -----------------------------------------------------------------------------------------------------

GOLDEN = [  # written by bjdata 0.6.6
    (b"\x00\xff", b"[$B#U\x02\x00\xff"),
    ({"a": b"xyz", "b": [b"", 1.5, 2**40, -1, 2**63 - 1, "\xe9"], "c": None, "d": True},
     (b"{U\x01a[$B#U\x03xyzU\x01b[[$B#U\x00D\x00\x00\x00\x00\x00\x00\xf8?M\x00\x00\x00\x00\x00\x01\x00\x00i\xff"
     b"M\xff\xff\xff\xff\xff\xff\xff\x7fSU\x02\xc3\xa9]U\x01cZU\x01dT}")),
    (2**64, b"HU\x1418446744073709551616"),
    ((1, 2), b"[U\x01U\x02]"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "octets"), GOLDEN)
def test_T_U_1_as_bjdata_writes_it(value: Any, octets: bytes) -> None:
    assert UBJSON.dumps(value) == octets
    assert UBJSON.loads(octets) == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"[#U\x02U\x01T", [1, True]),
        (b"[$u#U\x02\x01\x00\x00\x01", [1, 256]),
        (b"[$i#i\x01\xff", [-1]),
        (b"{#U\x01U\x01aF", {"a": False}),
        (b"{$U#U\x01U\x01a\x07", {"a": 7}),
        (b"NN[NZN]", [None]),
        (b"CA", "A"),
        (b"[$C#U\x02ab", ["a", "b"]),
        (b"h\x00\x3c", 1.0),
        (b"d\x00\x00\x80\x3f", 1.0),
        (b"B\x05", 5),
        (b"HU\x031.5", Decimal("1.5")),
        (b"HU\x02-7", -7),
    ],
)
def test_T_U_2_what_other_writers_send(octets: bytes, value: Any) -> None:
    assert UBJSON.loads(octets) == value


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"[", b"{", b"[U", b"SU\x05abc", b"SU\x01\xff", b"U\x01U\x02", b"x", b"]",
        b"[$Z#l\xff\xff\xff\x7f", b"[$T#U\x05", b"[$N#U\x05", b"[$[#U\x01", b"[$U", b"[$Ux", b"[#l\xff\xff\xff\x7f",
        b"[$U#l\xff\xff\xff\x7f\x00", b"[$D#U\x02\x00\x00\x00\x00\x00\x00\xf8?", b"Sl\xff\xff\xff\x7f", b"Si\xff",
        b"[$U#[U\x01U\x01]\x00", b"SZ", b"HU\x03abc", b"HI\x01\x10" + b"9" * 0x1001, b"C\xff", b"{Z}", b"N" * 50,
    ],
)  # fmt: skip
def test_S31_hostile_ubjson(octets: bytes) -> None:
    for decode in (UBJSON.loads, UBJSON.decode, UBJSON.decode_raw):
        with pytest.raises(ProtocolError):
            decode(octets)


@pytest.mark.parametrize("value", [10**2000, "\ud800", {1: 2}, object()])
def test_T_U_3_what_cannot_travel(value: Any) -> None:
    with pytest.raises(SerializationError, match="cannot serialize args"):
        UBJSON.encode(Event(1, 2, {}, [value]))


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(NESTED)
@settings(max_examples=200, deadline=None)
def test_T_U_4_round_trip(value: Any) -> None:
    assert UBJSON.loads(UBJSON.dumps(value)) == value


def test_T_U_5_offered_by_name_only() -> None:
    assert not any("ubjson" in s.SERIALIZER_ID for s in create_transport_serializers())
    assert [s.SERIALIZER_ID for s in create_transport_serializers(["ubjson", "ubjson.batched"])] == [
        "ubjson", "ubjson.batched",
    ]  # fmt: skip
    assert (UBJSONSerializer.RAWSOCKET_SERIALIZER_ID, UBJSONSerializer.MIME_TYPE) == (4, "application/ubjson")


def test_flatbuffers_says_what_to_use() -> None:
    with pytest.raises(RuntimeError, match="use cbor"):
        create_transport_serializer("flatbuffers")
    with pytest.raises(AttributeError, match="use CBORSerializer"):
        serializers.FlatBuffersSerializer
    with pytest.raises(AttributeError, match="no attribute 'Foo'"):
        serializers.Foo


# ---- JSON by other conventions ----------------------------------------------------------------------------------


def through(serializer: Any, *args: Any, **kwargs: Any) -> Any:
    data, is_binary = serializer.serialize(Event(1, 2, {}, list(args), kwargs))
    assert not is_binary
    (msg,) = serializer.unserialize(data, False)
    return msg.args, msg.kwargs


def test_T_JB_hex_octets() -> None:
    hexed = JsonSerializer(use_binary_hex_encoding=True)
    data, _ = hexed.serialize(Event(1, 2, {}, [b"\x00\xff", [b""]], {"k": {"n": b"a"}}))
    assert data == b'[36,1,2,{},["0x00ff",["0x"]],{"k":{"n":"0x61"}}]'
    assert through(hexed, b"\x00\xff", "0xzz", "x", k=[b"1"]) == ([b"\x00\xff", "0xzz", "x"], {"k": [b"1"]})
    with pytest.raises(SerializationError, match="means octets"):
        hexed.serialize(Event(1, 2, {}, ["0xab"]))
    # options and details are never read that way
    (msg,) = hexed.unserialize(b'[36,1,2,{"publisher_authid":"0xab"},["0xab"]]')
    assert (msg.details, msg.args) == ({"publisher_authid": "0xab"}, [b"\xab"])


def test_decimals_in_json() -> None:
    value = Decimal("1.10")
    assert through(JsonSerializer(), value) == (["1.10"], {})
    assert through(JsonSerializer(use_decimal_from_str=True), value, "x", 1.5, d=Decimal(7)) == (
        [value, "x", 1.5], {"d": Decimal(7)},
    )  # fmt: skip
    both = Serializer(JsonObjectSerializer(use_decimal_from_str=True, use_decimal_from_float=True))
    args, _ = through(both, 1.5, 2, "3.25")
    assert args == [Decimal("1.5"), 2, Decimal("3.25")]
    assert [type(a) for a in args] == [Decimal, int, Decimal]
    (found,) = JsonObjectSerializer(use_decimal_from_float=True).unserialize(b'{"a":[0.1]}')
    assert found == {"a": [Decimal("0.1")]}


def test_conventions_hold_between_router_links() -> None:
    """What a link with one convention sends arrives by the convention of the receiver's link."""
    from autobahn.router.delivery import decoded

    hexed, plain = JsonSerializer(use_binary_hex_encoding=True).codec, JsonSerializer().codec
    assert hexed is JsonSerializer(use_binary_hex_encoding=True).codec
    raw = hexed.decode_raw(b'[16,1,{},"com.x",["0x00ff"],{"a":"\\u0000AP8="}]')
    assert hexed.encode(raw) == b'[16,1,{},"com.x",["0x00ff"],{"a":"\\u0000AP8="}]'
    args, kwargs = decoded(raw, hexed)
    assert (args, kwargs) == ([b"\x00\xff"], {"a": b"\x00\xff"})
    assert plain.encode(Publish(1, {}, "com.x", args, kwargs)) == (
        b'[16,1,{},"com.x",["\\u0000AP8="],{"a":"\\u0000AP8="}]'
    )
    deep: Any = []
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    with pytest.raises(SerializationError):
        hexed.encode(Event(1, 2, {}, [deep]))
    assert hexed.encode(Goodbye({}, "x")) == b'[6,{},"x"]'


# ---- serializers of the program's own ----------------------------------------------------------------------------


class Reversed(IObjectSerializer):
    """JSON from back to front."""

    NAME = "nosj"
    BINARY = False

    def serialize(self, obj: Any) -> bytes:
        return json.dumps(obj).encode()[::-1]

    def unserialize(self, payload: bytes) -> list[Any]:
        return [json.loads(payload[::-1])]


class ReversedSerializer(Serializer):
    SERIALIZER_ID = "nosj"
    RAWSOCKET_SERIALIZER_ID = 9
    MIME_TYPE = "application/nosj"

    def __init__(self) -> None:
        super().__init__(Reversed())


class Shouting(JsonObjectSerializer):
    """An own object serializer by inheritance, which frames its batches itself."""

    def serialize(self, obj: Any) -> bytes:
        return super().serialize(obj).replace(b"quiet", b"LOUD")


class Whole(ISerializer):
    """Whole messages, two at a time where they come that way."""

    SERIALIZER_ID = "json.twice"
    RAWSOCKET_SERIALIZER_ID = 10
    MIME_TYPE = "application/x"
    _json = JsonSerializer()

    def serialize(self, message: Any) -> tuple[bytes, bool]:
        return self._json.serialize(message)[0] + b"\n", False

    def unserialize(self, payload: bytes, is_binary: bool | None = None) -> list[Any]:
        return [msg for line in payload.splitlines() for msg in self._json.unserialize(line)]


class FakeChannel:
    """Keeps what a link sends."""

    peer = "test"

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []
        self.closed: list[int] = []

    def channel_send(self, data: bytes, binary: bool) -> None:
        self.sent.append((data, binary))

    def channel_open(self) -> bool:
        return not self.closed

    def channel_close(self, code: int, reason: str | None) -> None:
        self.closed.append(code)


class FakeSession:
    raw_payload = True

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.violations: list[str] = []

    def onMessage(self, msg: Any) -> None:
        self.got.append(msg)

    def onProtocolError(self, exc: Exception) -> None:
        self.violations.append(str(exc))


def linked(serializer: Any) -> tuple[FakeChannel, FakeSession, WampLink]:
    channel, session = FakeChannel(), FakeSession()
    return channel, session, WampLink(channel, session, serializer)


EVENT = Event(1, 2, {}, ["quiet"])


def test_an_object_serializer_of_its_own() -> None:
    channel, session, link = linked(ReversedSerializer())
    link.send(EVENT)
    assert channel.sent == [(b']]"teiuq"[ ,}{ ,2 ,1 ,63[', False)]
    link.receive(channel.sent[0][0], False)
    assert session.got == [EVENT]
    link.receive(b"{", False)
    assert session.violations
    assert channel.closed == [1002]
    with pytest.raises(SerializationError, match="nosj"):
        link.send(Event(1, 2, {}, [object()]))


@pytest.mark.parametrize("batched", [False, True])
def test_a_serializer_that_inherits_is_asked(batched: bool) -> None:
    serializer = Serializer(Shouting(batched))
    channel, session, link = linked(serializer)
    link.send(EVENT)
    assert channel.sent == [(b'[36,1,2,{},["LOUD"]]' + b"\x18" * batched, False)]
    assert serializer.unserialize(channel.sent[0][0])[0].args == ["LOUD"]
    link.receive(channel.sent[0][0] * (1 + batched), False)
    assert [msg.args for msg in session.got] == [["LOUD"]] * (1 + batched)


def test_a_whole_serializer() -> None:
    channel, session, link = linked(Whole())
    link.send(EVENT)
    assert channel.sent == [(b'[36,1,2,{},["quiet"]]\n', False)]
    link.receive(channel.sent[0][0] * 2, False)
    assert session.got == [EVENT, EVENT]
    link.receive(b'[36,1,2,{"publisher":"x"}]\n', False)
    assert "publisher" in session.violations[0]


# ---- batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theirs", "ours"), [(b"\x18", b"\x18"), (b"\x1e", b"\x1e")])
def test_T_WSB_3_the_peers_separator_is_used(theirs: bytes, ours: bytes) -> None:
    channel, session, link = linked(create_transport_serializer("json.batched"))
    link.send(EVENT)
    link.receive(b'[36,1,2,{},["a"]]' + theirs + b'[36,1,2,{},["b"]]' + theirs, False)
    assert len(session.got) == 2
    link.send(EVENT)
    link.send_encoded(b"[]")
    assert [data[-1:] for data, _ in channel.sent] == [b"\x18", ours, ours]


def test_T_WSB_3_a_client_may_begin_with_the_other_separator() -> None:
    class AsSpecified(JsonSerializer):
        BATCH_SEPARATOR = b"\x1e"

    channel, _, link = linked(AsSpecified(batched=True))
    link.send(EVENT)
    assert channel.sent[0][0].endswith(b"]]\x1e")


@pytest.mark.parametrize("name", ["msgpack", "cbor", "ubjson"])
def test_T_WSB_1_binary_batches(name: str) -> None:
    channel, session, link = linked(create_transport_serializer(f"{name}.batched"))
    link.send(EVENT)
    data = channel.sent[0][0]
    assert (int.from_bytes(data[:4], "big"), channel.sent[0][1]) == (len(data) - 4, True)
    link.receive(data * 3, True)
    assert len(session.got) == 3
    link.receive(data[:-1], True)
    assert session.violations


# ---- statistics ---------------------------------------------------------------------------------------------------


def test_statistics_start_anew_at_a_limit() -> None:
    serializer = JsonSerializer()
    seen: list[dict[str, Any]] = []
    serializer.set_stats_autoreset(3, None, seen.append)
    for _ in range(5):
        serializer.serialize(EVENT)
    assert [s["serialized"]["messages"] for s in seen] == [3]
    assert serializer.stats_messages() == 2
    serializer.set_stats_autoreset(None, 1, seen.append, reset_now=True)
    assert serializer.stats_messages() == 0
    serializer.serialize(EVENT)
    assert [s["serialized"]["messages"] for s in seen] == [3, 1]


@pytest.mark.parametrize(
    "args", [(0, None, print), (None, -1, print), (None, None, print), (1, 1, None), (1.5, 1, print)]
)
def test_statistics_wrong_limits(args: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        JsonSerializer().set_stats_autoreset(*args)


def test_ubjson_floats() -> None:
    assert math.isnan(UBJSON.loads(UBJSON.dumps(math.nan)))
    assert UBJSON.loads(UBJSON.dumps(math.inf)) == math.inf

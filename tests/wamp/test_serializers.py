"""Codecs and serializers: T-JB-*, T-WSB-*, hostile input, values that cannot travel, round trips."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import struct
import sys
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.wamp import message
from autobahn.wamp.codec import CODECS, MAX_DEPTH
from autobahn.wamp.exception import ProtocolError, SerializationError
from autobahn.wamp.message import RAW, Call, Event
from autobahn.wamp.serializer import (
    SERID_TO_OBJSER,
    SERID_TO_SER,
    CBORSerializer,
    JsonObjectSerializer,
    JsonSerializer,
    MsgPackSerializer,
    create_transport_serializer,
    create_transport_serializers,
    default_serializers,
)

NAMES = ("json", "msgpack", "cbor", "ubjson")
JSON, MSGPACK, CBOR, UBJSON = (CODECS[name] for name in NAMES)
CRYPTO = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())


def event(*args: Any, **kwargs: Any) -> Event:
    return Event(1, 2, {}, list(args), kwargs)


# ---- octets in JSON --------------------------------------------------------------------------------------------


def test_T_JB_1_octets_in_json() -> None:
    data = JSON.encode(event(b"\x00\xff"))
    assert data == b'[36,1,2,{},["\\u0000AP8="]]'
    assert JSON.decode(data) == event(b"\x00\xff")
    for vector in CRYPTO["json_binary"]:
        octets = bytes.fromhex(vector["bytes_hex"])
        assert JSON.loads(json.dumps(vector["json_string"]).encode()) == octets
        assert json.loads(JSON.dumps(octets)) == vector["json_string"]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_T_JB_1_other_octets(kind: Any) -> None:
    for codec in CODECS.values():
        assert codec.decode(codec.encode(event(kind(b"\x00\xff"), [kind(b"a")]))) == event(b"\x00\xff", [b"a"])


def test_T_JB_2_nested() -> None:
    msg = event([{"a": [b"1", ["x", {"b": b""}]]}], k={"c": (b"2",)})
    data = JSON.encode(msg)
    assert JSON.decode(data) == event([{"a": [b"1", ["x", {"b": b""}]]}], k={"c": [b"2"]})
    details = {"roles": {"caller": {}}, "authextra": {"key": b"\x01\x02"}}
    hello: Any = JSON.decode(JSON.encode(message.Hello("r", details)))
    assert hello.details == details
    raw: Any = JSON.decode_raw(data)
    assert JSON.load(raw.args) == [[{"a": [b"1", ["x", {"b": b""}]]}]]
    assert JSON.encode(raw) == data


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_T_JB_3_octets_between_all_serializers(source: str, target: str) -> None:
    msg = event(b"\x00\xff", {"k": [b"", b"\x00"]}, w=b"abc")
    arrived: Any = CODECS[source].decode_raw(CODECS[source].encode(msg))
    if type(arrived) is RAW[36]:
        arrived = Event(1, 2, {}, CODECS[source].load(arrived.args), CODECS[source].load(arrived.kwargs))
    assert CODECS[target].decode(CODECS[target].encode(arrived)) == msg


@pytest.mark.parametrize("value", ["\0", "\0abc", "\0AP8="])
def test_T_JB_4_text_that_begins_with_nul(value: str) -> None:
    @dataclasses.dataclass
    class Box:
        inner: str

    for args in ([value], [[value]], [{"k": value}], [1.5, (value,)], [Box(value)], [b"x", value]):
        with pytest.raises(SerializationError, match=r"args.*NUL"):
            JSON.encode(event(*args))
    with pytest.raises(SerializationError, match=r"kwargs\['k'\]"):
        JSON.encode(event(k=value))
    for codec in (MSGPACK, CBOR):
        assert codec.decode(codec.encode(event(value))) == event(value)
    assert JSON.decode(JSON.encode(event("a\0b", "\x01"))) == event("a\0b", "\x01")
    assert JSON.decode(JSON.encode(event({value: 1}))) == event({value: 1})  # keys are never octets


@pytest.mark.parametrize(
    "text", ["A", "AA", "AA=", "AA==A", "AA==\\n", "A A=", "_w==", "\\u00e4AAA", "AP8=\\u0000", "====", "="]
)
def test_T_JB_5_bad_base64(text: str) -> None:
    data = f'[36,1,2,{{}},[1,["\\u0000{text}"]]]'.encode()
    for decode in (JSON.decode, JSON.decode_raw):
        with pytest.raises(ProtocolError, match="base64"):
            decode(data)
    with pytest.raises(ProtocolError, match="base64"):
        JSON.load(msgspec.Raw(f'["\\u0000{text}"]'.encode()))


# ---- batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [JsonSerializer, MsgPackSerializer, CBORSerializer])
def test_T_WSB_1_several_messages_in_one_frame(cls: Any) -> None:
    serializer = cls(batched=True)
    assert f"{cls.SERIALIZER_ID}.batched" == serializer.SERIALIZER_ID
    messages = [event(i, "x" * i * 100) for i in range(3)]
    parts = [serializer.serialize(msg)[0] for msg in messages]
    assert serializer.unserialize(b"".join(parts)) == messages
    assert serializer.unserialize(parts[0], serializer.codec.binary) == messages[:1]
    assert serializer.split(b"".join(parts)) == [serializer.codec.encode(msg) for msg in messages]


def test_T_WSB_2_broken_batches() -> None:
    json_, msgpack = JsonSerializer(batched=True), MsgPackSerializer(batched=True)
    whole = json_.serialize(event(1))[0]
    for bad in (b"", whole[:-1], whole + whole[:-1], b"\x18", whole + b"\x18", b"\x18" + whole):
        with pytest.raises(ProtocolError):
            json_.unserialize(bad)
    whole = msgpack.serialize(event(1))[0]
    for bad in (b"", b"\0", b"\0\0\0\0", whole[:-1], whole + b"\0", whole + b"\0\0\0\x05abc", b"\xff" * 8):
        with pytest.raises(ProtocolError):
            msgpack.unserialize(bad)
    for cut in range(1, len(whole)):
        with pytest.raises(ProtocolError):
            msgpack.unserialize(whole[:cut])


def test_T_WSB_3_both_separators() -> None:
    serializer = JsonSerializer(batched=True)
    data = JSON.encode(event(1))
    assert serializer.serialize(event(1)) == (data + b"\x18", False)
    assert serializer.unserialize(data + b"\x18" + data + b"\x1e" + data + b"\x1e") == [event(1)] * 3


# ---- hostile input ---------------------------------------------------------------------------------------------


def deep(codec: str, depth: int, inner: bytes | None = None) -> bytes:
    """EVENT with one argument nested ``depth`` lists deep."""
    if codec == "json":
        return b"[36,1,2,{},[" + b"[" * depth + (inner or b"1") + b"]" * depth + b"]]"
    if codec == "ubjson":
        return b"[U\x24U\x01U\x02{}[" + b"[" * depth + (inner or b"U\x01") + b"]" * depth + b"]]"
    one, head = (
        (b"\x91", b"\x95\x24\x01\x02\x80\x91") if codec == "msgpack" else (b"\x81", b"\x85\x18\x24\x01\x02\xa0\x81")
    )
    return head + one * depth + (inner or b"\x01")


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("depth", [1_000, 20_000, 1_000_000])
def test_S30_nesting_bomb(codec: str, depth: int) -> None:
    for data in (deep(codec, depth), deep(codec, depth)[: depth // 2]):
        for decode in (CODECS[codec].decode, CODECS[codec].decode_raw, CODECS[codec].loads):
            with pytest.raises(ProtocolError):
                decode(data)


@pytest.mark.parametrize("codec", NAMES)
def test_S30_what_a_router_accepts_all_receivers_can_decode(codec: str) -> None:
    for depth in (100, MAX_DEPTH - 2):
        raw: Any = CODECS[codec].decode_raw(deep(codec, depth))
        args = CODECS[codec].load(raw.args) if type(raw) is RAW[36] else raw.args
        for other in CODECS.values():
            assert other.decode(other.encode(Event(1, 2, {}, args))).args == args  # type: ignore[attr-defined]
    for depth in (MAX_DEPTH + 2, 500):
        with pytest.raises(ProtocolError):
            CODECS[codec].decode_raw(deep(codec, depth))


@pytest.mark.parametrize("codec", NAMES)
def test_S30_wide_is_not_deep(codec: str) -> None:
    msg = event(*[[[i]] for i in range(5 * MAX_DEPTH)], k=[{"a": {}}] * MAX_DEPTH)
    data = CODECS[codec].encode(msg)
    assert CODECS[codec].decode(CODECS[codec].encode(CODECS[codec].decode_raw(data))) == msg


@pytest.mark.parametrize("codec", NAMES)
def test_S30_nesting_of_what_we_send(codec: str) -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SerializationError):
        CODECS[codec].encode(event(value))
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(SerializationError):
        CODECS[codec].encode(event(cycle))
    while value:  # take it apart by hand: its destructor would recurse
        value = value[0]


MSGPACK_BOMBS = [
    b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xda\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc5\xff\xff", b"\xc9\xff\xff\xff\xff\x01",
    b"\xdd\x7f\xff\xff\xff\x01\x02\x03", b"\xdb\x7f\xff\xff\xffabc",
]  # fmt: skip
CBOR_BOMBS = [
    head + count + tail
    for majors in (0x40, 0x60, 0x80, 0xA0)
    for head, count in (
        (bytes([majors | 26]), b"\xff\xff\xff\xff"),
        (bytes([majors | 27]), b"\x00\x00\x00\x01\x00\x00\x00\x00"),
        (bytes([majors | 27]), b"\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (bytes([majors | 27]), b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    )
    for tail in (b"", b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a")
]


@pytest.mark.parametrize("bomb", MSGPACK_BOMBS, ids=bytes.hex)
def test_S31_length_bomb_msgpack(bomb: bytes) -> None:
    for data in (bomb, b"\x95\x24\x01\x02\x80" + bomb, b"\x95\x24\x01\x02\x80\x91" + bomb):
        for decode in (MSGPACK.decode, MSGPACK.decode_raw, MSGPACK.loads):
            with pytest.raises(ProtocolError):
                decode(data)


@pytest.mark.parametrize("bomb", CBOR_BOMBS, ids=bytes.hex)
def test_S31_length_bomb_cbor(bomb: bytes) -> None:
    for data in (bomb, b"\x85\x18\x24\x01\x02\xa0" + bomb, b"\x85\x18\x24\x01\x02\xa0\x81" + bomb):
        for decode in (CBOR.decode, CBOR.decode_raw, CBOR.loads):
            with pytest.raises(ProtocolError):
                decode(data)


@pytest.mark.parametrize(
    "value",
    [
        b"\xd8\x1c\x82\xd8\x1d\x00\x01", b"\xd8\x1c\x81\xd8\x1d\x00", b"\xd8\x23\x64(a+)", b"\xd8\x24\x61a",
        b"\xd9\x01\x00\x82\x63aaa\xd8\x19\x00", b"\xd9\x00\x1c\x80",
        b"\xc5\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x03",
    ],
    ids=bytes.hex,
)  # fmt: skip
def test_S31_cbor_tags_that_are_not_for_strangers(value: bytes) -> None:
    for decode in (CBOR.decode, CBOR.decode_raw):
        with pytest.raises(ProtocolError):
            decode(b"\x85\x18\x24\x01\x02\xa0\x81" + value)


def test_S31_references_do_not_multiply() -> None:
    level = b"\xd8\x1c\x82\x01\x01"
    for n in range(30):
        level = b"\xd8\x1c\x82" + level + b"\xd8\x1d" + bytes([0x18, n])
    with pytest.raises(ProtocolError):
        CBOR.decode_raw(b"\x85\x18\x24\x01\x02\xa0\x81" + level)


def test_S31_huge_numbers() -> None:
    digits = b"9" * (sys.get_int_max_str_digits() + 1000)
    for number in (digits, b"1e999", b"-1e999", b"1" + b"0" * 400):
        data = b"[36,1,2,{},[" + number + b"]]"
        outcomes = set()
        for decode in (JSON.decode, JSON.decode_raw):
            try:
                decode(data)
                outcomes.add(True)
            except ProtocolError:
                outcomes.add(False)
        assert len(outcomes) == 1
    with pytest.raises(SerializationError, match=r"args\[0\]"):
        MSGPACK.encode(event(2**64))
    with pytest.raises(SerializationError):
        JSON.encode(event(10 ** (sys.get_int_max_str_digits() + 1)))


@pytest.mark.parametrize("payload", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80"])
def test_bad_utf8_in_a_payload_never_gets_through(payload: bytes) -> None:
    rows = {
        "json": b'[36,1,2,{},["' + payload + b'"]]',
        "msgpack": b"\x95\x24\x01\x02\x80\x91" + bytes([0xA0 | len(payload)]) + payload,
        "cbor": b"\x85\x18\x24\x01\x02\xa0\x81" + bytes([0x60 | len(payload)]) + payload,
    }
    for name, data in rows.items():
        for decode in (CODECS[name].decode, CODECS[name].decode_raw):
            with pytest.raises(ProtocolError):
                decode(data)


@pytest.mark.parametrize("codec", ["msgpack", "cbor"])
def test_keyword_arguments_have_text_keys(codec: str) -> None:
    row = [36, 1, 2, {}, [], {1: 2}]
    data = msgspec.msgpack.encode(row) if codec == "msgpack" else cbor2.dumps(row)
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        with pytest.raises(ProtocolError):
            decode(data)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_octets_decode_or_raise_protocol_error(data: bytes) -> None:
    heads = {
        "json": (b"", b"[36,1,2,{},"),
        "msgpack": (b"", b"\x95\x24\x01\x02\x80"),
        "cbor": (b"", b"\x85\x18\x24\x01\x02\xa0"),
        "ubjson": (b"", b"[U\x24U\x01U\x02{}"),
    }
    for name, codec in CODECS.items():
        for head in heads[name]:
            for decode in (codec.decode, codec.decode_raw, codec.loads):
                try:
                    decode(head + data)
                except ProtocolError:
                    continue


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_messages_decode_alike_in_both_forms(data: st.DataObject) -> None:
    """What decode_raw lets through, decode accepts: a router never passes on what a client would choke on."""
    name = data.draw(st.sampled_from(NAMES))
    codec = CODECS[name]
    octets = bytearray(codec.encode(data.draw(MESSAGES)))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        raw = codec.decode_raw(bytes(octets))
    except ProtocolError:
        return
    whole = codec.decode(bytes(octets))
    assert type(raw).__struct_fields__ == type(whole).__struct_fields__
    assert repr(codec.decode(codec.encode(raw))) == repr(whole)


# ---- values that cannot travel ---------------------------------------------------------------------------------


class Nothing:
    pass


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("value", [Nothing(), Nothing, len, iter([]), "\ud800"])
def test_unserializable(codec: str, value: Any) -> None:
    c = CODECS[codec]
    for msg, place in (
        (event(value), r"args\[0\]"),
        (event(1, [2, {"k": value}]), r"args\[1\]\[1\]\['k'\]"),
        (event(k=value), r"kwargs\['k'\]"),
        (message.Hello("r", {"roles": {}, "authextra": {"a": value}}), r"details\['authextra'\]\['a'\]"),
    ):
        with pytest.raises(SerializationError, match=place) as caught:
            c.encode(msg)
        if isinstance(value, Nothing):
            assert "Nothing" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_numbers_it_cannot_write(value: float) -> None:
    with pytest.raises(SerializationError, match=r"args\[0\]\['k'\].*finite"):
        JSON.encode(event({"k": value}))
    for codec in (MSGPACK, CBOR):
        assert repr(codec.decode(codec.encode(event(value)))) == repr(event(value))


@pytest.mark.parametrize("key", [1, None, (1,), b"k", 1.5, True])
def test_json_refuses_keys_that_are_no_text(key: Any) -> None:
    for value in ({key: 1}, {key: b""}, [{key: 1.5}]):
        with pytest.raises(SerializationError, match="keys of type str"):
            JSON.encode(event(value))
    assert CBOR.decode(CBOR.encode(event({1: 2}))) == event({1: 2})
    assert MSGPACK.decode(MSGPACK.encode(event({1: 2}))) == event({1: 2})


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


class Number(int):
    pass


class Real(float):
    pass


class Mapping_(dict):  # type: ignore[type-arg]
    pass


class List_(list):  # type: ignore[type-arg]
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: bytes


class Pair(msgspec.Struct):
    a: float
    b: list[Any]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Level.HIGH, 3), (Text("x"), "x"), (Number(5), 5), (Real(1.5), 1.5), ((1, (b"2",)), [1, [b"2"]]),
        (Mapping_(a=b"1"), {"a": b"1"}), (List_([1.5]), [1.5]), (Point(1, b"2"), {"x": 1, "y": b"2"}),
        (Pair(1.5, [b"x"]), {"a": 1.5, "b": [b"x"]}), ({"a": Point(1, b"")}, {"a": {"x": 1, "y": b""}}),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("codec", NAMES)
def test_values_of_other_types(codec: str, value: Any, arrives: Any) -> None:
    assert CODECS[codec].decode(CODECS[codec].encode(event(value, [value], k=value))) == event(
        arrives, [arrives], k=arrives
    )


def test_values_json_writes_as_text() -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    values = [moment, date(2024, 5, 6), Decimal("1.50"), uuid.UUID(int=1), Color.RED, Color.TWO, {1}]
    assert JSON.decode(JSON.encode(event(*values))) == event(
        "2024-05-06T07:08:09Z", "2024-05-06", "1.50", str(uuid.UUID(int=1)), "red", 2, [1]
    )
    assert CBOR.decode(CBOR.encode(event(moment, Decimal("1.50")))) == event(moment, Decimal("1.50"))


def test_numbers_keep_their_type() -> None:
    msg = event(1.0, 1, True, -0.0, 2**53, -(2**53))
    for codec in CODECS.values():
        back: Any = codec.decode(codec.encode(msg))
        assert [type(v) for v in back.args] == [float, int, bool, float, int, int]
        assert struct.pack("d", back.args[3]) == struct.pack("d", -0.0)


def test_another_codecs_raw_payload_is_refused() -> None:
    raw = MSGPACK.decode_raw(MSGPACK.encode(event(1)))
    with pytest.raises(SerializationError):
        CBOR.encode(raw)


# ---- round trips -----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda t: not t.startswith("\0"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ARGS = st.lists(VALUES, max_size=4)
KWARGS = st.dictionaries(TEXT, VALUES, max_size=4)
IDS = st.integers(1, 2**53)
MESSAGES = st.one_of(
    st.builds(message.Call, IDS, st.just({}), st.just("com.x"), ARGS, KWARGS),
    st.builds(message.Publish, IDS, st.just({"acknowledge": True}), st.just("com.x"), ARGS, KWARGS),
    st.builds(Event, IDS, IDS, st.just({"topic": "com.x"}), ARGS, KWARGS),
    st.builds(message.Result, IDS, st.just({}), ARGS, KWARGS),
    st.builds(message.Invocation, IDS, IDS, st.just({"caller": 7}), ARGS, KWARGS),
    st.builds(message.Yield, IDS, st.just({"progress": True}), ARGS, KWARGS),
    st.builds(message.Error, st.just(48), IDS, st.just({}), st.just("a.b"), ARGS, KWARGS),
    st.builds(message.Welcome, IDS, st.builds(lambda x: {"roles": {"broker": {}}, "authextra": x}, KWARGS)),
    st.builds(message.Registered, IDS, IDS),
)


@given(MESSAGES)
@settings(max_examples=300, deadline=None)
def test_round_trip_through_every_codec(msg: Any) -> None:
    for codec in CODECS.values():
        assert codec.decode(codec.encode(msg)) == msg


@given(MESSAGES, st.sampled_from(NAMES), st.sampled_from(NAMES))
@settings(max_examples=200, deadline=None)
def test_round_trip_undecoded_and_across(msg: Any, source: str, target: str) -> None:
    data = CODECS[source].encode(msg)
    raw: Any = CODECS[source].decode_raw(data)
    assert CODECS[source].decode(CODECS[source].encode(raw)) == msg
    if type(raw) is RAW.get(msg.code):
        assert CODECS[source].encode(raw) == data
        for name, empty in (("args", []), ("kwargs", {})):
            value = getattr(raw, name)
            setattr(raw, name, empty if value is None else CODECS[source].load(value))
    fields = msgspec.structs.asdict(raw)
    assert CODECS[target].decode(CODECS[target].encode(type(msg)(**fields))) == msg


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_round_trip_of_values(value: Any) -> None:
    for name, cls in SERID_TO_OBJSER.items():
        for batched in (False, True):
            serializer = cls(batched)
            assert name == serializer.NAME
            assert serializer.unserialize(serializer.serialize(value)) == [value]


# ---- the documented classes ------------------------------------------------------------------------------------


def test_documented_attributes() -> None:
    assert JsonSerializer.SERIALIZER_ID == "json"
    assert [cls.RAWSOCKET_SERIALIZER_ID for cls in (JsonSerializer, MsgPackSerializer, CBORSerializer)] == [1, 2, 3]
    assert [cls.MIME_TYPE for cls in (JsonSerializer, MsgPackSerializer, CBORSerializer)] == [
        "application/json",
        "application/x-msgpack",
        "application/cbor",
    ]
    assert set(SERID_TO_SER) == set(SERID_TO_OBJSER) == set(NAMES)
    assert CBORSerializer.MESSAGE_TYPE_MAP[48] is Call
    assert (JsonObjectSerializer.NAME, JsonObjectSerializer.BINARY) == ("json", False)


def test_default_serializers_are_offered_batched_first() -> None:
    ids = ["cbor.batched", "cbor", "msgpack.batched", "msgpack", "json.batched", "json"]
    assert [s.SERIALIZER_ID for s in default_serializers()] == ids
    assert [s.SERIALIZER_ID for s in create_transport_serializers()] == ids
    assert [s.SERIALIZER_ID for s in create_transport_serializers(["json", "cbor.batched"])] == ["json", "cbor.batched"]
    assert create_transport_serializer("cbor.batched").batched


@pytest.mark.parametrize("name", ["", "xml", "json.", "json.fast", "flatbuffers"])
def test_unknown_serializer(name: str) -> None:
    with pytest.raises(RuntimeError, match="expected a serializer id"):
        create_transport_serializer(name)


@pytest.mark.parametrize("cls", [JsonSerializer, MsgPackSerializer, CBORSerializer])
def test_serialize_and_unserialize(cls: Any) -> None:
    serializer = cls()
    data, binary = serializer.serialize(event("x"))
    assert binary is (cls is not JsonSerializer)
    assert serializer.unserialize(data) == serializer.unserialize(data, binary) == [event("x")]
    with pytest.raises(ProtocolError, match=r"expected a (binary|text) message"):
        serializer.unserialize(data, not binary)
    assert serializer.codec.loads(serializer.serialize_payload({"k": b"v"})) == {"k": b"v"}


def test_statistics() -> None:
    serializer = JsonSerializer()
    data, _ = serializer.serialize(event("x" * 600))
    serializer.unserialize(data)
    assert serializer.stats_bytes() == 2 * len(data)
    assert serializer.stats_messages() == 2
    assert serializer.stats_rated_messages() == 4
    assert serializer.stats(reset=False, details=True)["serialized"]["messages"] == 1
    assert serializer.stats() == {"bytes": 2 * len(data), "messages": 2, "rated_messages": 4}
    assert serializer.stats() == {"bytes": 0, "messages": 0, "rated_messages": 0}

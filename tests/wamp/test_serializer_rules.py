"""What the specification and peers demand of each serializer: T-J-*, T-M-*, T-C-*."""

from __future__ import annotations

from typing import Any

import cbor2
import msgspec
import pytest

from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.message import Event

JSON, MSGPACK, CBOR, UBJSON = (CODECS[name] for name in ("json", "msgpack", "cbor", "ubjson"))


def args_of(codec: Any, data: bytes) -> Any:
    """The arguments of an EVENT, the same in both forms of decoding."""
    plain: Any = codec.decode(data)
    raw: Any = codec.decode_raw(data)
    args = raw.args if isinstance(raw.args, list) else codec.load(raw.args)
    assert args == plain.args
    return args


def json_event(args: str) -> bytes:
    return b"[36,1,2,{}," + args.encode() + b"]"


# ---- JSON -----------------------------------------------------------------------------------------------------------


def test_T_J_1_numbers() -> None:
    assert args_of(JSON, json_event("[9007199254740992, -9007199254740992, 1.0, 1e3]")) == [
        2**53,
        -(2**53),
        1.0,
        1000.0,
    ]
    assert [type(a) for a in args_of(JSON, json_event("[1, 1.0]"))] == [int, float]
    assert JSON.encode(Event(1, 2, {}, [1.0, 1])) == b"[36,1,2,{},[1.0,1]]"


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]", "[01]", "['a']", "[1,]", '["\t"]', "[1] [2]"])
def test_T_J_2_only_json(text: str) -> None:
    with pytest.raises(ProtocolError):
        JSON.decode(json_event(text))
    with pytest.raises(ProtocolError):
        JSON.decode_raw(json_event(text))


def test_T_J_3_no_byte_order_mark() -> None:
    for decode in (JSON.decode, JSON.decode_raw):
        with pytest.raises(ProtocolError):
            decode(b"\xef\xbb\xbf" + json_event("[]"))


def test_T_J_4_of_duplicate_keys_the_last_one_wins() -> None:
    assert args_of(JSON, json_event('[{"a": 1, "a": 2}]')) == [{"a": 2}]


def test_T_J_5_texts_are_utf8_and_not_escaped() -> None:
    assert JSON.encode(Event(1, 2, {}, ["ü€😀"])) == '[36,1,2,{},["ü€😀"]]'.encode()
    assert args_of(JSON, json_event(r'["\u00fc\u20ac\ud83d\ude00"]')) == ["ü€😀"]
    for surrogate in (r'["\ud83d"]', r'["\ude00x"]'):
        with pytest.raises(ProtocolError):
            JSON.decode(json_event(surrogate))


# ---- MessagePack ----------------------------------------------------------------------------------------------------


def msgpack_event(args: bytes) -> bytes:
    return b"\x95\x24\x01\x02\x80" + args


def test_T_M_1_texts_and_octets_are_distinct() -> None:
    data = MSGPACK.encode(Event(1, 2, {}, ["a", b"a"]))
    assert data == msgpack_event(b"\x92\xa1a\xc4\x01a")
    assert args_of(MSGPACK, data) == ["a", b"a"]


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"\xa1a", "a"), (b"\xd9\x01a", "a"), (b"\xda\x00\x01a", "a"), (b"\xdb\x00\x00\x00\x01a", "a"),
        (b"\xcf" + b"\xff" * 8, 2**64 - 1), (b"\xd3\x80" + b"\x00" * 7, -(2**63)), (b"\xca\x3f\x80\x00\x00", 1.0),
        (b"\xcd\x00\x01", 1), (b"\xd0\xff", -1), (b"\xc6\x00\x00\x00\x01x", b"x"), (b"\xdc\x00\x01\x01", [1]),
    ],
)  # fmt: skip
def test_T_M_2_every_way_to_write_a_value(octets: bytes, value: Any) -> None:
    """Peers of before the str and bin types write texts as raw 16 and 32, which str 16 and 32 are."""
    assert args_of(MSGPACK, msgpack_event(b"\x91" + octets)) == [value]


def test_T_M_3_64_bits_and_no_more() -> None:
    for value in (2**64 - 1, -(2**63)):
        assert args_of(MSGPACK, MSGPACK.encode(Event(1, 2, {}, [value]))) == [value]


@pytest.mark.parametrize("args", [b"\x91\xa1\xff", b"\x91\xc1", b"\x92\x01", b"\x91\x01\x01", b"\x05"])
def test_T_M_4_what_is_malformed(args: bytes) -> None:
    for decode in (MSGPACK.decode, MSGPACK.decode_raw):
        with pytest.raises(ProtocolError):
            decode(msgpack_event(args))


def test_T_M_5_javascript_s_undefined() -> None:
    options = msgspec.msgpack.encode({"publisher_authid": msgspec.msgpack.Ext(0, b"\0")})
    msg: Any = MSGPACK.decode(b"\x95\x24\x01\x02" + options + b"\x90")
    assert msg.details.get("publisher_authid") is None


# ---- CBOR -----------------------------------------------------------------------------------------------------------


def cbor_event(args: bytes) -> bytes:
    return b"\x85\x18\x24\x01\x02\xa0" + args


def test_T_C_1_texts_and_octets_are_distinct_and_lengths_definite() -> None:
    data = CBOR.encode(Event(1, 2, {}, ["a", b"a", [1], {"k": 1}]))
    assert data == cbor_event(b"\x84\x61a\x41a\x81\x01\xa1\x61k\x01")
    assert args_of(CBOR, data) == ["a", b"a", [1], {"k": 1}]


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"\x9f\x01\x02\xff", [1, 2]), (b"\xbf\x61k\x01\xff", {"k": 1}), (b"\x7f\x61a\x61b\xff", "ab"),
        (b"\x5f\x41a\x41b\xff", b"ab"), (b"\x1b" + b"\xff" * 8, 2**64 - 1), (b"\x3b\x7f" + b"\xff" * 7, -(2**63)),
        (b"\xc2\x49\x01" + b"\x00" * 8, 2**64), (b"\xf9\x3c\x00", 1.0), (b"\xfa\x3f\x80\x00\x00", 1.0),
        (b"\x18\x01", 1), (b"\xd9\xd9\xf7\x01", 1),
    ],
)  # fmt: skip
def test_T_C_2_indefinite_lengths_and_every_width(octets: bytes, value: Any) -> None:
    assert args_of(CBOR, cbor_event(b"\x81" + octets)) == [value]


def test_T_C_3_a_whole_message_of_indefinite_length() -> None:
    assert CBOR.decode(b"\x9f\x18\x24\x01\x02\xbf\xff\x9f\x01\xff\xff") == Event(1, 2, {}, [1])
    msg: Any = CBOR.decode(cbor2.dumps([36, 1.0, 2.0, {}, []]))  # ids of a JavaScript peer
    assert (msg.subscription, msg.publication) == (1, 2)


@pytest.mark.parametrize("args", [b"\x81\x61\xff", b"\x81\x1c", b"\x82\x01", b"\x81\x01\x01", b"\x9f\x01", b"\x05"])
def test_T_C_4_what_is_malformed(args: bytes) -> None:
    for decode in (CBOR.decode, CBOR.decode_raw):
        with pytest.raises(ProtocolError):
            decode(cbor_event(args))


# ---- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODECS)
def test_ids_have_53_bits_in_every_serializer(name: str) -> None:
    codec = CODECS[name]
    assert codec.decode(codec.encode(Event(2**53, 2**53, {}))) == Event(2**53, 2**53, {})
    with pytest.raises(ProtocolError):
        codec.decode(codec.encode(Event(2**53 + 1, 1, {})))

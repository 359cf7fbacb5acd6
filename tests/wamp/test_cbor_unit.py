"""The compiled unit for plain CBOR: it writes and reads what cbor2 does, or leaves it to cbor2.

`old` is the codec as it is without the unit; whatever octets come, both give the same messages and the same errors.
"""

import math
import os
import struct
import subprocess
import sys
from collections import OrderedDict
from enum import IntEnum

import cbor2
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autobahn.wamp import codec, message
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ProtocolError, SerializationError

unit = codec._cbor
pytestmark = pytest.mark.skipif(unit is None, reason="the extension autobahn.wamp._cbor is not built or not wanted")
CBOR = CODECS["cbor"]
unpacked = msgspec.msgpack.Decoder().decode
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

EDGES = [at + by for size in (5, 7, 8, 15, 16, 31, 32, 53, 63, 64) for at in (2**size, -(2**size)) for by in (-1, 0, 1)]
SIZES = [0, 1, 15, 16, 17, 23, 24, 31, 32, 33, 127, 128, 255, 256, 511, 512, 513, 65535, 65536, 70000]
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(EDGES)
    | st.integers(-(2**64), 2**64)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=40)
)


def nested(leaves):
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=18)
            | st.dictionaries(st.text(max_size=4), inner, max_size=18)
            | st.tuples(inner, inner)
        ),
        max_leaves=12,
    )


values = nested(scalars)
odd = nested(
    scalars
    | st.sampled_from([cbor2.undefined, cbor2.CBORSimpleValue(99), cbor2.CBORTag(5000, 1), 2**70, -(2**70), {1: 2}])
)
ids = st.integers(1, 2**53) | st.integers(1, 99).map(float) | st.integers(-1, 1)
options = st.just({}) | st.dictionaries(
    st.sampled_from(["acknowledge", "progress", "timeout", "enc_algo", "publisher", "roles", "z"]),
    odd | st.just("x_a") | st.just({"broker": {}}),
    max_size=3,
)
uris = st.sampled_from(["com.a", "", "a b"])
payload = st.lists(st.lists(odd, max_size=3) | st.dictionaries(uris, odd, max_size=3) | odd, max_size=2)
rows = st.one_of(
    st.tuples(st.sampled_from([16, 32, 48, 64]), ids, options, uris),
    st.tuples(st.just(36), ids, ids, options),
    st.tuples(st.just(68), ids, ids, options),
    st.tuples(st.sampled_from([50, 70]), ids, options),
    st.tuples(st.just(8), st.just(48), ids, options, uris),
    st.tuples(st.sampled_from([1, 2, 1.0, True]), uris | ids, options),
    st.tuples(st.sampled_from([17, 33, 35, 65, 67]), ids, ids),
).flatmap(lambda head: payload.map(lambda rest: cbor2.dumps([*head, *rest])))
CALL = cbor2.dumps([48, 77, {}, "com.a", [1, -70000, 1.5, None, True, "é" * 40, b"oct"], {"k": [{}, [[]]]}])
HEADS = bytes(major << 5 | info for major in range(8) for info in (0, 1, 2, 23, 24, 25, 26, 27, 28, 31)) + b"\xf4\xf6"


@st.composite
def mutated(draw):
    """Octets of a message, of which a few are others."""
    octets = bytearray(draw(rows | st.just(CALL)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(octets) - 1, 0)))
        new = bytes([draw(st.sampled_from(HEADS) | st.integers(0, 255))])
        octets[at : at + draw(st.integers(0, 2))] = new * draw(st.integers(0, 2))
    return bytes(octets)


def outcome(do, argument):
    try:
        result = do(argument)
    except (ProtocolError, SerializationError) as error:
        return type(error), str(error)
    return type(result), repr(result)  # not ==: 1 and 1.0 are equal, and NaN is not


@pytest.fixture(scope="module")
def old():
    def without(do, argument):
        codec._cbor = None
        try:
            return outcome(do, argument)
        finally:
            codec._cbor = unit

    return without


def is_plain(value, *, nan):
    """Whether `value`, which was made of builtin types, is what the unit is for."""
    if isinstance(value, dict):
        return all(is_plain(key, nan=nan) and is_plain(item, nan=nan) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item, nan=nan) for item in value)
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return nan or not isinstance(value, float) or not math.isnan(value)


def same(a, b):
    return type(a) is type(b) and repr(a) == repr(b)


# ---- reading --------------------------------------------------------------------------------------------------


VECTORS = [  # RFC 8949, Appendix A
    ("00", 0), ("01", 1), ("0a", 10), ("17", 23), ("1818", 24), ("1819", 25), ("1864", 100), ("1903e8", 1000),
    ("1a000f4240", 1000000), ("1b000000e8d4a51000", 1000000000000), ("1bffffffffffffffff", 18446744073709551615),
    ("20", -1), ("29", -10), ("3863", -100), ("3903e7", -1000), ("f90000", 0.0), ("f98000", -0.0), ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1), ("f93e00", 1.5), ("f97bff", 65504.0), ("fa47c35000", 100000.0),
    ("fa7f7fffff", 3.4028234663852886e38), ("fb7e37e43c8800759c", 1.0e300), ("f90001", 5.960464477539063e-8),
    ("f90400", 0.00006103515625), ("f9c400", -4.0), ("fbc010666666666666", -4.1), ("f97c00", math.inf),
    ("f9fc00", -math.inf), ("fa7f800000", math.inf), ("fa7fc00000", math.nan), ("faff800000", -math.inf),
    ("fb7ff0000000000000", math.inf), ("fb7ff8000000000000", math.nan), ("fbfff0000000000000", -math.inf),
    ("f4", False), ("f5", True), ("f6", None), ("40", b""), ("4401020304", b"\1\2\3\4"), ("60", ""), ("6161", "a"),
    ("6449455446", "IETF"), ("62225c", '"\\'), ("62c3bc", "ü"), ("63e6b0b4", "水"), ("64f0908591", "\U00010151"),
    ("80", []), ("83010203", [1, 2, 3]), ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))), ("a0", {}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}), ("826161a161626163", ["a", {"b": "c"}]),
    ("a56161614161626142616361436164614461656145", {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "value"), VECTORS)
def test_plain_vectors_of_the_rfc_are_read(octets, value):
    packed = unit.to_msgpack(bytes.fromhex(octets))
    assert same(unpacked(packed), value)


NOT_PLAIN = """
    c249010000000000000000 3bffffffffffffffff 3b8000000000000000 f97e00 f7 f0 f818 f8ff c11a514b67b0 d74401020304
    d818456449455446 d82076687474703a2f2f7777772e6578616d706c652e636f6d a201020304 5f42010243030405ff
    7f657374726561646d696e67ff 9fff 9f018202039f0405ffff 83018202039f0405ff bf61610161629f0203ffff
    bf6346756ef563416d7421ff a14101f6 a1f6f6 1c 3d 5e 7c 9d be fc fd fe ff 18 1900 62c3 8201 a16161 0000 8080 1b00
    fb00 5b00000001 5bffffffffffffffff 7bffffffffffffffff 9bffffffffffffffff bbffffffffffffffff bb8000000000000000
    9b00000001000000000000 5b8000000000000000 bb800000000000000161616161
"""


@pytest.mark.parametrize("octets", NOT_PLAIN.split())
def test_what_is_not_plain_is_left_to_cbor2(octets, old):
    data = bytes.fromhex(octets)
    assert unit.to_msgpack(data) is None
    assert outcome(CBOR.loads, data) == old(CBOR.loads, data)


def test_octets_of_any_kind_are_read():
    assert [unit.to_msgpack(kind(CALL)) for kind in (bytearray, memoryview)] == [unit.to_msgpack(CALL)] * 2
    octets = bytearray(CALL)
    unit.to_msgpack(octets)
    octets.clear()  # nobody holds it
    others = ("0", None, b"", memoryview(CALL)[::2], memoryview(b""))
    assert [unit.to_msgpack(other) for other in others] == [None] * len(others)


def test_all_halves_are_exact():
    for bits in range(65536):
        (value,) = struct.unpack(">e", octets := bits.to_bytes(2, "big"))
        packed = unit.to_msgpack(b"\xf9" + octets)
        assert (packed is None) == math.isnan(value)
        if packed is not None:
            assert same(unpacked(packed), value)


def test_all_integers_at_borders_are_exact_in_any_width():
    for value in EDGES:
        head = (0 if value >= 0 else 0x20) | 24
        number = value if value >= 0 else -1 - value
        for width in range(4):
            octets = 1 << width
            if number < 1 << 8 * octets:
                packed = unit.to_msgpack(bytes([head + width]) + number.to_bytes(octets, "big"))
                assert packed is None if value < -(2**63) else same(unpacked(packed), value)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_at_borders_in_both_directions(size):
    for value in (
        "a" * size, "é" * size, b"\xff" * size, [None] * size, [b""] * size, [-129] * size,
        {str(at): -40000 for at in range(size)}, ["", "a" * size, [b"b" * size]],
    ):  # fmt: skip
        data = unit.dumps(value)
        assert data == cbor2.dumps(value)
        assert unpacked(unit.to_msgpack(data)) == value
        assert unit.to_msgpack(data + b"\0") is None
        assert unit.to_msgpack(data[:-1]) is None


@many
@given(values)
def test_values_arrive_as_from_cbor2(value):
    try:
        data = cbor2.dumps(value)
    except UnicodeEncodeError:
        return
    packed = unit.to_msgpack(data)
    assert (packed is not None) == is_plain(value, nan=False)
    if packed is not None:
        assert same(unpacked(packed), cbor2.loads(data))


@many
@given(st.binary(max_size=60) | st.lists(st.sampled_from(HEADS), max_size=12).map(bytes))
@example(bytes.fromhex("a3616101616202616103"))  # a key twice: the last one counts, at the place of the first
@example(b"\x81\x62\xc3\x28")  # no UTF-8
@example(b"\x81\x63\xed\xa0\x80")  # nor is a surrogate
def test_any_octets_give_the_same_value_or_error(old, data):
    assert outcome(CBOR.loads, data) == old(CBOR.loads, data)
    assert outcome(CBOR.decode, data) == old(CBOR.decode, data)


@many
@given(rows | mutated())
@example(cbor2.dumps([36, 5.0, 6, {}, [1]]))  # ids of JavaScript
@example(cbor2.dumps([True, "realm1", {"roles": {"caller": {}}}]))
@example(cbor2.dumps([16, 1, {"enc_algo": "x_a"}, "com.a", b"payload"]))
@example(cbor2.dumps([16, 1, {"acknowledge": cbor2.undefined}, "com.a"]))
@example(cbor2.dumps([36, 1, 2, {}, [math.nan, 2**64, -(2**64)]]))
@example(cbor2.dumps([36, 1, 2, {}, [], {}, 1]))
def test_any_message_is_decoded_or_refused_as_before(old, data):
    assert outcome(CBOR.decode, data) == old(CBOR.decode, data)
    assert outcome(CBOR.decode_raw, data) == old(CBOR.decode_raw, data)


def test_each_beginning_is_refused_as_before(old):
    for size in range(len(CALL)):
        assert unit.to_msgpack(CALL[:size]) is None
        assert outcome(CBOR.decode, CALL[:size]) == old(CBOR.decode, CALL[:size])
    assert outcome(CBOR.decode, CALL) == old(CBOR.decode, CALL)


@pytest.mark.parametrize("depth", [*range(1, 3), *range(45, 51), *range(195, 205), 5000, 100000])
def test_depth_is_judged_as_before(old, depth):
    for octets in (b"\x81" * depth + b"\0", b"\xa1\x61a" * depth + b"\0"):
        assert (unit.to_msgpack(octets) is None) == (depth >= 48)
        assert outcome(CBOR.loads, octets) == old(CBOR.loads, octets)
        data = b"\x85\x18\x24\x01\x02\xa0\x81" + octets
        assert outcome(CBOR.decode, data) == old(CBOR.decode, data)


def test_a_message_is_read_without_cbor2(monkeypatch):
    monkeypatch.setattr(codec, "cbor2", None)
    assert CBOR.decode(CALL) == message.Call(
        77, {}, "com.a", [1, -70000, 1.5, None, True, "é" * 40, b"oct"], {"k": [{}, [[]]]}
    )
    assert CBOR.encode(CBOR.decode(CALL)) == CALL


# ---- writing --------------------------------------------------------------------------------------------------


class Colour(IntEnum):
    RED = 7


class Name(str):
    __slots__ = ()


@many
@given(values)
def test_values_are_written_octet_for_octet_as_by_cbor2(value):
    data = unit.dumps(value)
    assert (data is not None) == is_plain(value, nan=True)
    if data is not None:
        assert data == cbor2.dumps(value)


@many
@given(odd)
def test_any_value_is_written_or_refused_as_before(old, value):
    assert outcome(CBOR.dumps, value) == old(CBOR.dumps, value)
    msg = message.Call(7, {}, "com.a", [value], {"k": value})
    assert outcome(CBOR.encode, msg) == old(CBOR.encode, msg)


@pytest.mark.parametrize(
    "value",
    [
        2**64, -(2**64) - 1, "\ud800", {"\ud800": 1}, {1: 2}, {b"k": 1}, {None: 1}, {Name("k"): 1}, Name("text"),
        Colour.RED, [Colour.RED], OrderedDict(a=1), {1, 2}, frozenset({1}), bytearray(b"a"), memoryview(b"a"), object(),
        cbor2.undefined, msgspec.Raw(b"\0"), 1j, {"a": [(object(),)]},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_not_exactly_a_plain_type_is_left_to_cbor2(old, value):
    assert unit.dumps(value) is None
    assert unit.dumps([1, value]) is None
    expected, got = old(CBOR.dumps, [value]), outcome(CBOR.dumps, [value])
    assert got == expected


def test_floats_are_written_as_before():
    signalling = struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]
    for value in (0.0, -0.0, 1.5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, -math.nan, signalling):
        assert unit.dumps(value) == cbor2.dumps(value)


def test_deep_and_endless_values_are_judged_as_before(old):
    value = 0
    for depth in range(1, 210):
        value = [value] if depth % 2 else {"k": value}
        assert (unit.dumps(value) is None) == (depth > 48)
        assert outcome(CBOR.dumps, value) == old(CBOR.dumps, value)
    loop = []
    loop += [loop, loop]
    assert unit.dumps(loop) is None
    assert outcome(CBOR.dumps, loop) == old(CBOR.dumps, loop)


def test_nothing_is_kept():
    value = ["é" * 1000, {"ключ": b"x" * 5000}, [object()]]
    data = unit.dumps(value[:2])
    before = [sys.getrefcount(item) for item in (*value, data, None)]
    for _ in range(50):
        unit.dumps(value)
        unit.dumps(value[:2])
        unit.to_msgpack(data)
        unit.to_msgpack(data[:-1])
    assert [sys.getrefcount(item) for item in (*value, data)] == before[:-1]
    assert abs(sys.getrefcount(None) - before[-1]) < 40


# ---- without it -----------------------------------------------------------------------------------------------


def test_without_the_unit_cbor2_does_everything():
    program = (
        "from autobahn.wamp import codec, message; assert codec._cbor is None\n"
        "msg = message.Call(7, {}, 'com.a', [1, 'é'], {'k': b'b'}); cbor = codec.CODECS['cbor']\n"
        "assert cbor.decode(cbor.encode(msg)) == msg; print(cbor.encode(msg).hex())"
    )
    environment = {**os.environ, "AUTOBAHN_PURE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == CBOR.encode(message.Call(7, {}, "com.a", [1, "é"], {"k": b"b"})).hex()

"""The messages on the wire: the vectors of the WAMP project, T-MSG-*, T-ID-5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest

from autobahn.wamp import message
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.options import DICT_FIELD

VECTORS = Path(__file__).parent.parent / "vectors" / "singlemessage"
NAMES = ("json", "msgpack", "cbor", "ubjson")
RENAMED = {
    "request_id": "request",
    "publication_id": "publication",
    "subscription_id": "subscription",
    "registration_id": "registration",
    "session_id": "session",
}


def samples() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(VECTORS.rglob("*.json")):
        for i, sample in enumerate(json.loads(path.read_text())["samples"]):
            found.append((f"{path.stem}-{i}", sample))
    return found


SERIALIZATION = [(name, s) for name, s in samples() if "serializers" in s]
VALIDATION = [(name, s) for name, s in samples() if "wmsg" in s]


def octets(variant: dict[str, Any]) -> bytes:
    data = bytes.fromhex(variant["bytes_hex"])
    if "bytes" in variant:
        assert data == variant["bytes"].encode()
    return data


def attribute(msg: Any, name: str) -> Any:
    if name == "message_type":
        return msg.code
    if name == "roles":
        return msg.details["roles"]
    if name == "payload":
        return msg.args.hex() if isinstance(msg.args, bytes) else None
    value = getattr(msg, RENAMED.get(name, name))
    if name == "args" and isinstance(value, bytes):
        return None
    return value or None if name in ("args", "kwargs") else value


def raw_rows(value: Any) -> dict[str, bytes]:
    """``value`` in each serializer, encoded without our codecs."""
    return {
        "json": json.dumps(value).encode(),
        "msgpack": msgspec.msgpack.encode(value),
        "cbor": cbor2.dumps(value),
        "ubjson": CODECS["ubjson"].dumps(value),
    }


def test_all_vectors_are_here() -> None:
    assert len(SERIALIZATION) == 35
    assert len(VALIDATION) == 67
    assert sum("expected_error" in s for _, s in VALIDATION) == 28
    codes = {s["expected_attributes"]["message_type"] for _, s in SERIALIZATION}
    assert codes == set(message.BY_CODE)


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize(("name", "sample"), SERIALIZATION, ids=[name for name, _ in SERIALIZATION])
def test_T_MSG_1_vectors(name: str, sample: dict[str, Any], codec: str) -> None:
    c = CODECS[codec]
    variants = [octets(v) for v in sample["serializers"][codec] if "UBJSON encoding" not in v.get("note", "")]
    assert variants  # of UBJSON, the second form (BJData)
    decoded = [c.decode(data) for data in variants]
    for msg in decoded:
        for key, expected in sample["expected_attributes"].items():
            assert attribute(msg, key) == expected, key
    encoded = c.encode(decoded[0])
    assert encoded in variants or c.decode(encoded) == decoded[0]
    if codec != "json":
        assert encoded in variants


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize(("name", "sample"), VALIDATION, ids=[name for name, _ in VALIDATION])
def test_T_MSG_2_validation_vectors(name: str, sample: dict[str, Any], codec: str) -> None:
    data = raw_rows(sample["wmsg"])[codec]
    refused = sample.get("expected_error")
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        if refused:
            with pytest.raises(ProtocolError) as caught:
                decode(data)
            assert refused["contains"] in str(caught.value)
        else:
            msg: Any = decode(data)
            assert msg.code == sample["wmsg"][0]
            assert getattr(msg, DICT_FIELD[msg.code] or "") == sample["wmsg"][2 + (msg.code == 36)]


@pytest.mark.parametrize("codec", NAMES)
def test_T_MSG_2_wrong_type_of_a_known_option(codec: str) -> None:
    data = raw_rows([16, 1, {"acknowledge": 1}, "a.b"])[codec]
    with pytest.raises(ProtocolError, match=r'expected bool for "acknowledge" in PUBLISH \(16\), got int 1'):
        CODECS[codec].decode(data)


WRONG_OPTIONS = [
    [1, "r", {}],
    [1, "r", {"roles": {}}],
    [1, "r", {"roles": {"king": {}}}],
    [1, "r", {"roles": []}],
    [1, "r", {"roles": {"caller": 1}}],
    [1, "r", {"roles": {"caller": {"features": 1}}}],
    [1, "r", {"roles": {"caller": {"features": {"call_timeout": 1}}}}],
    [1, "r", {"roles": {"caller": {}}, "authid": 1}],
    [1, "r", {"roles": {"caller": {}}, "authmethods": "ticket"}],
    [1, "r", {"roles": {"caller": {}}, "authmethods": [1]}],
    [1, "r", {"roles": {"caller": {}}, "authextra": []}],
    [2, 1, {}],
    [2, 1, {"roles": {"caller": {}}}],
    [3, {"message": 1}, "a.b"],
    [6, {"message": []}, "a.b"],
    [16, 1, {"exclude": [True]}, "a.b"],
    [32, 1, {"match": "Exact"}, "a.b"],
    [35, 0, {"subscription": "x"}],
    [36, 1, 1, {"publisher": True}],
    [48, 1, {"timeout": True}, "a.b"],
    [48, 1, {"timeout": "5"}, "a.b"],  # a number out of range is an ERROR of the router (T-TMO)
    [48, 1, {"receive_progress": "yes"}, "a.b"],
    [48, 1, {"ppt_scheme": 1}, "a.b"],
    [48, 1, {"forward_for": [{"session": "x"}]}, "a.b"],
    [49, 1, {"mode": "please"}],
    [50, 1, {"progress": 0}],
    [64, 1, {"invoke": "all"}, "a.b"],
    [64, 1, {"concurrency": -1}, "a.b"],
    [67, 0, {"registration": 1.5}],
    [68, 1, 1, {"caller": "x"}],
    [69, 1, {"mode": 1}],
    [70, 1, {"progress": "x"}],
]


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("row", WRONG_OPTIONS, ids=repr)
def test_T_MSG_2_wrong_options(row: list[Any], codec: str) -> None:
    data = raw_rows(row)[codec]
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        with pytest.raises(ProtocolError, match="expected"):
            decode(data)


@pytest.mark.parametrize("codec", NAMES)
def test_T_MSG_3_unknown_options_are_kept_and_none_is_absent(codec: str) -> None:
    options = {"zzz": 1, "_mine": 1, "x_my": [1], "acknowledge": None}
    msg: Any = CODECS[codec].decode(raw_rows([16, 1, options, "a.b"])[codec])
    assert msg.options == options
    roles = {"caller": {"features": {"x_unknown": True, "zzz": None}}, "x_role": 5}
    hello: Any = CODECS[codec].decode(raw_rows([1, "r", {"roles": roles, "authid": None}])[codec])
    assert hello.details["roles"] == roles


NO_MESSAGES = [
    [], {}, "x", 5, None, True, [999], [1], ["1"], [[1]], [None], [True, "r", {}], [{}],
    [48], [48, 1, {}], [48, 1, {}, "a.b", None], [48, 1, {}, "a.b", "x"], [48, 1, {}, "a.b", {}],
    [48, 1, {}, "a.b", [], None], [48, 1, {}, "a.b", [], []], [48, 1, {}, "a.b", [], {}, 1],
    [48, 1, None, "a.b"], [48, 1, [], "a.b"], [48, 1, {}, None], [48, 1, {}, 5], [48, "1", {}, "a.b"],
    [48, [1], {}, "a.b"], [17, 1, 2, 3], [17, 1], [3, {}, "a.b", [], {}, 1], [6, {}, "a.b", []],
    [35, 1, 2], [34, 1, 2, {}], [8, "48", 1, {}, "a.b"], [16, 1, {}, "a.b", "payload"],
]  # fmt: skip


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("value", NO_MESSAGES, ids=repr)
def test_T_MSG_4_no_message(value: Any, codec: str) -> None:
    data = raw_rows(value)[codec]
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        with pytest.raises(ProtocolError):
            decode(data)


@pytest.mark.parametrize("codec", NAMES)
def test_T_MSG_4_type_code_as_float(codec: str) -> None:
    data = raw_rows([1.0, "r", {"roles": {"caller": {}}}])[codec]
    if codec == "json":
        with pytest.raises(ProtocolError):
            CODECS[codec].decode(data)
    else:  # JavaScript peers
        assert CODECS[codec].decode(data).code == 1


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff", b"[", b"\xc1", b"\x80\x80", b"GET / HTTP/1.1\r\n"])
def test_T_MSG_4_junk(codec: str, junk: bytes) -> None:
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        with pytest.raises(ProtocolError):
            decode(junk)


@pytest.mark.parametrize("codec", NAMES)
def test_T_MSG_4_truncated_and_trailing_octets(codec: str) -> None:
    whole = CODECS[codec].encode(message.Call(1, {"timeout": 5}, "com.x", [1, "abc", [2.5]], {"k": b"xyz"}))
    for decode in (CODECS[codec].decode, CODECS[codec].decode_raw):
        for cut in range(len(whole)):
            with pytest.raises(ProtocolError):
                decode(whole[:cut])
        for tail in (b"\x00", b"[", b"\xf6", b"L" + b"x" * 12, whole):
            with pytest.raises(ProtocolError):
                decode(whole + tail)


@pytest.mark.parametrize("cls", [c for c in message.MESSAGES if "kwargs" in c.__struct_fields__ and c.code != 3])
def test_T_MSG_5_payload_is_left_out_when_empty(cls: Any) -> None:
    head = {8: [48, 1, {}, "a.b"], 36: [1, 2, {}], 68: [1, 2, {}], 50: [1, {}], 70: [1, {}]}
    fields = head.get(cls.code, [1, {}, "a.b"])
    for codec in ("msgpack", "cbor", "json"):
        c = CODECS[codec]
        assert c.loads(c.encode(cls(*fields))) == [cls.code, *fields]
        assert c.loads(c.encode(cls(*fields, [7]))) == [cls.code, *fields, [7]]
        assert c.loads(c.encode(cls(*fields, [], {"k": 1}))) == [cls.code, *fields, [], {"k": 1}]
        assert c.loads(c.encode(cls(*fields, [7], {"k": 1}))) == [cls.code, *fields, [7], {"k": 1}]
        if codec != "cbor":
            for payload in ([], [[7]], [[], {"k": 1}], [[7], {"k": 1}]):
                data = c.encode(cls(*fields, *payload))
                assert c.encode(c.decode_raw(data)) == data


def test_abort_goes_out_with_three_elements_and_comes_in_with_five() -> None:
    c = CODECS["json"]
    assert c.encode(message.Abort({}, "a.b", [1], {"k": 2})) == b'[3,{},"a.b"]'
    assert c.decode(b'[3,{},"a.b",[1],{"k":2}]') == message.Abort({}, "a.b", [1], {"k": 2})


ID_PLACES = [
    lambda i: [2, i, {"roles": {"broker": {}}}], lambda i: [8, 48, i, {}, "a.b"], lambda i: [16, i, {}, "a.b"],
    lambda i: [17, i, 1], lambda i: [17, 1, i], lambda i: [32, i, {}, "a.b"], lambda i: [33, i, 1],
    lambda i: [33, 1, i], lambda i: [34, i, 1], lambda i: [34, 1, i], lambda i: [36, i, 1, {}],
    lambda i: [36, 1, i, {}], lambda i: [48, i, {}, "a.b"], lambda i: [49, i, {}], lambda i: [50, i, {}],
    lambda i: [64, i, {}, "a.b"], lambda i: [65, i, 1], lambda i: [65, 1, i], lambda i: [66, i, 1],
    lambda i: [66, 1, i], lambda i: [68, i, 1, {}], lambda i: [68, 1, i, {}], lambda i: [69, i, {}],
    lambda i: [70, i, {}], lambda i: [337, i],
]  # fmt: skip


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("place", ID_PLACES)
def test_T_ID_5_ids(codec: str, place: Any) -> None:
    c = CODECS[codec]
    for good in (1, 2, 2**32, 2**53):
        c.decode(raw_rows(place(good))[codec])
    for bad in (0, -1, 2**53 + 1, 2**63, True, False, "1", None, [1], 1.5):
        with pytest.raises(ProtocolError):
            c.decode(raw_rows(place(bad))[codec])


@pytest.mark.parametrize("place", ID_PLACES)
def test_T_ID_5_integral_floats(place: Any) -> None:
    with pytest.raises(ProtocolError):
        CODECS["json"].decode(raw_rows(place(1.0))["json"])
    for codec in ("msgpack", "cbor"):  # JavaScript has no other numbers
        c = CODECS[codec]
        msg = c.decode(raw_rows(place(float(2**40)))[codec])
        assert msg == c.decode(raw_rows(place(2**40))[codec])
        raw = c.decode_raw(raw_rows(place(float(2**40)))[codec])
        assert type(raw) is type(c.decode_raw(raw_rows(place(2**40))[codec]))
        for bad in (float("nan"), float("inf"), 0.0, float(2**60)):
            with pytest.raises(ProtocolError):
                c.decode(raw_rows(place(bad))[codec])


def test_ids_in_options_as_floats_and_options_without_value() -> None:
    row: list[Any] = [16, 1, {"exclude": [1.0, 2], "rkey": None}, "a.b"]
    assert CODECS["cbor"].decode(cbor2.dumps(row)).options["exclude"] == [1, 2]  # type: ignore[attr-defined]
    with pytest.raises(ProtocolError):
        CODECS["json"].decode(json.dumps(row).encode())
    undefined = msgspec.msgpack.Ext(0, b"\x00")
    data = msgspec.msgpack.encode([16, 1, {"acknowledge": undefined, "exclude_me": True}, "a.b"])
    assert CODECS["msgpack"].decode(data).options == {"exclude_me": True}  # type: ignore[attr-defined]
    data = cbor2.dumps([48, 1, {"timeout": cbor2.undefined, "progress": False}, "a.b"])
    assert CODECS["cbor"].decode(data).options == {"progress": False}  # type: ignore[attr-defined]


def test_revocations_have_request_zero() -> None:
    c = CODECS["json"]
    assert c.decode(b'[35,0,{"subscription":5,"reason":"a.b"}]').request == 0  # type: ignore[attr-defined]
    assert c.decode(b'[67,0,{"registration":5,"reason":"a.b"}]').request == 0  # type: ignore[attr-defined]

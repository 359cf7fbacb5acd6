"""The opening octets: the table of T-RS-1, the refusals of T-RS-2, the reserved octets of T-RS-3."""

import json
from pathlib import Path

import pytest

from autobahn.rawsocket.errors import HandshakeError
from autobahn.rawsocket.handshake import (
    MAX_LENGTH,
    Refusal,
    announced_length,
    opening,
    parse_reply,
    parse_request,
    refusal,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())["rawsocket_handshake"]


def test_T_RS_1_every_length_with_every_serializer():
    assert len(VECTORS["client"]) == 16 * 5
    for row in VECTORS["client"]:
        octets = bytes.fromhex(row["client"])
        assert opening(row["max_length"], row["serializer"]) == octets
        assert parse_request(octets) == (row["max_length"], row["serializer"])
        assert parse_reply(octets, row["serializer"]) == row["max_length"]


def test_T_RS_2_each_error_nibble():
    assert {row["error"] for row in VECTORS["error_replies"]} == {int(error) for error in Refusal}
    for row in VECTORS["error_replies"]:
        octets = bytes.fromhex(row["server"])
        assert refusal(row["error"]) == octets
        with pytest.raises(HandshakeError, match=f"error {row['error']}: "):
            parse_reply(octets, 1)
    for error in (0, *range(5, 16)):
        with pytest.raises(HandshakeError, match=f"error {error}: no reason known"):
            parse_reply(refusal(error), 1)


@pytest.mark.parametrize("tail", [b"\x01\x00", b"\x00\x01", b"\xff\xff", b"\x00\x80"])
def test_T_RS_3_reserved_octets(tail):
    with pytest.raises(HandshakeError, match="reserved octets 0") as caught:
        parse_request(b"\x7f\xf1" + tail)
    assert caught.value.reply == b"\x7f\x30\x00\x00"
    with pytest.raises(HandshakeError, match="reserved octets 0"):
        parse_reply(b"\x7f\xf1" + tail, 1)


def test_the_server_must_agree_to_the_serializer_that_was_asked_for():
    with pytest.raises(HandshakeError, match="agree to serializer 3, got 1"):
        parse_reply(b"\x7f\xf1\x00\x00", 3)


def test_limits_are_rounded_up_to_a_power_of_two():
    assert [announced_length(n) for n in (512, 513, 1000, 1024, 1025, MAX_LENGTH - 1, MAX_LENGTH)] == [
        512, 1024, 1024, 1024, 2048, MAX_LENGTH, MAX_LENGTH,
    ]  # fmt: skip
    for bad in (511, MAX_LENGTH + 1, 0, -1, "512", True, 512.0):
        with pytest.raises(ValueError, match="from 512 to 16777216"):
            announced_length(bad)

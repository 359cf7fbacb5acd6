"""Octets that are copied to wherever, from wherever: the compiled unit has a copy of its own for some distances."""

import pytest

from frames_world import MISSING, _frames, frame

pytestmark = pytest.mark.skipif(_frames is None, reason=MISSING)

PAGE = 4096
SIZES = [2047, 2048, 2049, 2111, 4096, 5000, 8192, 12_345]


def received(data, size):
    """What a reader makes of one frame in `data`."""
    seen = []
    reader = _frames.Reader(lambda *message: seen.append(message), *[pytest.fail] * 5, masked=False)
    reader.feed(data)
    ((payload, is_binary),) = seen
    assert is_binary and len(payload) == size
    return payload


@pytest.mark.parametrize("size", SIZES)
def test_payloads_of_every_distance_arrive(size):
    payload = bytes(n * 7 % 251 for n in range(size))
    whole = frame(2, payload, key=None)
    room = memoryview(bytearray(2 * PAGE + len(whole)))
    for shift in range(0, PAGE, 13):  # some of them matter, wherever the new bytes are
        room[shift : shift + len(whole)] = whole
        assert received(room[shift : shift + len(whole)], size) == payload


@pytest.mark.parametrize("size", SIZES)
def test_payloads_of_every_distance_leave(size):
    payload = bytes(n * 11 % 253 for n in range(size))
    for before in range(0, PAGE, 13):  # octets in the buffer before it
        writer = _frames.Writer(lambda: None, masked=False)
        writer.raw(b"x" * before)
        writer.frame(2, payload)
        assert writer.take() == b"x" * before + frame(2, payload, key=None)

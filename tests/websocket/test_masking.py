"""Masking of the Python twin (RFC 6455 5.3): every way against the definition, and large frames in pieces."""

import os
import types
from itertools import pairwise

import pytest

from autobahn.websocket import _masking
from frames_world import frame, trace, xor

SIZES = [0, 1, 3, 4, 125, 1023, 1024, 1025, 4097, 16385, 70001]
KEYS = [b"\x00\x00\x00\x00", b"\x01\x00\x00\x02", b"\xff\xfe\xfd\xfc"]


@pytest.fixture
def fresh():
    """The choice of who masks is made anew, and again afterwards."""
    _masking.speedups.cache_clear()
    yield
    _masking.speedups.cache_clear()


def without(monkeypatch):
    monkeypatch.setattr(_masking.importlib, "import_module", _no_module)


def _no_module(name):
    raise ImportError(name)


@pytest.mark.parametrize("key", KEYS)
def test_mask_is_what_the_definition_says(fresh, monkeypatch, key):
    without(monkeypatch)
    for size in SIZES:
        data = os.urandom(size)
        assert _masking.mask(data, key) == xor(data, key)
        assert _masking.mask(memoryview(data), key) == xor(data, key)


def test_large_payloads_are_masked_by_the_websockets_package_when_it_is_there(fresh, monkeypatch):
    asked = []

    def apply_mask(data, key):
        asked.append(len(data))
        return xor(data, key)

    module = types.SimpleNamespace(apply_mask=apply_mask)
    monkeypatch.setattr(_masking.importlib, "import_module", {"websockets.speedups": module}.__getitem__)
    data = os.urandom(5000)
    assert _masking.mask(data, KEYS[2]) == xor(data, KEYS[2])
    assert asked[-1] == 5000


@pytest.mark.parametrize(
    "module",
    [
        types.SimpleNamespace(),
        types.SimpleNamespace(apply_mask=lambda data, key: bytes(data)),
        types.SimpleNamespace(apply_mask=lambda data: data),
    ],
)
def test_a_package_that_does_something_else_is_not_used(fresh, monkeypatch, module):
    monkeypatch.setattr(_masking.importlib, "import_module", lambda name: module)
    data = os.urandom(5000)
    assert _masking.mask(data, KEYS[2]) == xor(data, KEYS[2])


@pytest.mark.parametrize("key", [None, *KEYS])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data)[::1]])
def test_large_frames_in_pieces_of_any_kind(twin, key, kind):
    payload, rest = os.urandom(9001), frame(1, b"after", key=key)
    data = frame(2, payload, key=key) + rest
    for cuts in ((5000,), (13, 14), (1030, 4000, 8999), (3, 9005), (2000, len(data) - len(rest) - 1, len(data) - 3)):
        edges = [0, *cuts, len(data)]
        pieces = [kind(data[start:end]) for start, end in pairwise(edges)]
        masked = None if key is None else True
        assert trace(twin, pieces, masked=masked) == [("message", payload, True), ("message", b"after", False)]


def test_a_stream_gets_bytes(twin):
    payload = os.urandom(9000)
    data = memoryview(frame(2, payload, key=KEYS[2]))
    events = trace(twin, [data[:4000], data[4000:]], stream=True)
    assert [event for event in events if event[0] == "data"] == [("data", payload)]

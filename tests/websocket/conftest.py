"""Fixtures of the WebSocket tests."""

import pytest

from autobahn.websocket import _frames_py

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

MISSING = "the extension autobahn.websocket._frames is not built (python setup.py build_ext --inplace)"
KEY = b"\x11\xa2\x03\xf4"
TWINS = [_frames_py] if _frames is None else [_frames_py, _frames]


@pytest.fixture(params=["python", "compiled"])
def twin(request):
    if request.param == "python":
        return _frames_py
    if _frames is None:
        pytest.skip(MISSING)
    return _frames

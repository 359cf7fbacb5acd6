"""What the tests of the frame unit share: frames by hand, a recorder of callbacks, whole and split input."""

import random
from itertools import pairwise

from autobahn.websocket import _frames_py
from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.errors import FrameError

try:
    from autobahn.websocket import _frames

    _frames.Reader  # an old build without the classes counts as missing
except (ImportError, AttributeError):
    _frames = None

MISSING = "the extension autobahn.websocket._frames is not built (python setup.py build_ext --inplace)"
KEY = b"\x11\xa2\x03\xf4"
TWINS = [_frames_py] if _frames is None else [_frames_py, _frames]


def xor(data, key):
    return bytes(octet ^ key[at % 4] for at, octet in enumerate(data))


def head(b0, size, masked, form=None):
    """A frame head; `form` forces the number of extended length octets (0, 2, 8)."""
    if form is None:
        form = 0 if size < 126 else 2 if size < 65536 else 8
    mask = 0x80 if masked else 0
    if form == 0:
        return bytes((b0, mask | size))
    return bytes((b0, mask | (126 if form == 2 else 127))) + size.to_bytes(form, "big")


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=KEY, form=None):
    b0 = (0x80 if fin else 0) | rsv << 4 | opcode
    if key is None:
        return head(b0, len(payload), False, form) + payload
    return head(b0, len(payload), True, form) + key + xor(payload, key)


class Recorder:
    """Takes every callback of a Reader into one list."""

    def __init__(self, twin, *, stream=False, masked=True, inflater=None, **options):
        self.events = []
        self.reader = twin.Reader(
            lambda payload, is_binary: self.events.append(("message", payload, is_binary)),
            lambda payload: self.events.append(("ping", payload)),
            lambda payload: self.events.append(("pong", payload)),
            lambda code, reason: self.events.append(("close", code, reason)),
            lambda value: self.events.append(("result", value)),
            lambda exc: self.events.append(("error", exc)),
            masked=masked,
            inflater=inflater,
            stream=self if stream else None,
            **options,
        )

    def message_begin(self, is_binary):
        self.events.append(("message_begin", is_binary))

    def frame_begin(self, length):
        self.events.append(("frame_begin", length))

    def frame_data(self, data):
        assert data
        assert type(data) is bytes
        if self.joined and self.events[-1][0] == "data":
            data = self.events.pop()[1] + data
        self.events.append(("data", data))

    def frame_end(self):
        self.events.append(("frame_end",))

    def message_end(self):
        self.events.append(("message_end",))

    joined = True

    def feed(self, chunks):
        """Feed all; the events, with the FrameError as the last one if there was any."""
        error = None
        for chunk in chunks:
            before = len(self.events)
            try:
                self.reader.feed(chunk)
            except FrameError as exc:
                assert error is None
                error = ("FrameError", exc.code, exc.reason)
                continue
            if error is not None:
                assert len(self.events) == before, "a dead reader called back"
        if error is None:
            return self.events
        assert len(error[2].encode()) <= 123  # it has to fit into a close frame
        return [*self.events, error]


def trace(twin, chunks, **options):
    if options.pop("compressed", False):
        options["inflater"] = Inflater()
    return Recorder(twin, **options).feed(chunks)


def cut(data, at):
    bounds = [0, *sorted(at), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def random_cuts(data, seed):
    rng = random.Random(seed)
    return cut(data, [rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 9))])


def check(twin, data, expected, **options):
    """`data` gives `expected` whole, byte by byte, at every single cut, at random cuts."""
    assert trace(twin, [data], **options) == expected
    assert trace(twin, [bytearray(data)], **options) == expected
    assert trace(twin, [data[at : at + 1] for at in range(len(data))], **options) == expected
    step = max(1, len(data) // 300)
    for at in range(1, len(data), step):
        assert trace(twin, [data[:at], data[at:]], **options) == expected
    for seed in range(5):
        assert trace(twin, random_cuts(data, seed), **options) == expected


def check_error(twin, data, code, text, before=(), **options):
    """`data` is refused with `code`; what follows it changes nothing."""
    found = trace(twin, [data], **options)
    assert found[:-1] == list(before)
    assert found[-1][:2] == ("FrameError", code)
    assert text in found[-1][2]
    check(twin, data, found, **options)
    check(twin, data + frame(2, b"more") + b"\xff" * 5, found, **options)


def deflated(*messages, **options):
    deflater = Deflater(**options)
    return [deflater.message(message) for message in messages]

"""Octets that come and go through a real socket, past the transport: what the compiled units do on plain sockets."""

from itertools import pairwise

from autobahn.rawsocket import _frames_py as raw_python
from autobahn.rawsocket.errors import FrameError as RawError
from autobahn.websocket import _frames_py
from autobahn.websocket._masking import mask
from autobahn.websocket.errors import FrameError
from socket_line import Line

try:
    from autobahn.rawsocket import _frames as raw_compiled
    from autobahn.websocket import _frames
except ImportError:
    _frames = None

MOST = 300_000  # octets of one input


class Connection:
    """What a pump of WebSocket needs of a connection. `refused` gets the violation, after which nothing counts."""

    def __init__(self, reader, writer, refused):
        self.writer, self.receive, self._refused = writer, reader.feed, refused

    def violated(self, error):
        self._refused(error)
        self.receive = lambda data: None


# -- WebSocket ---------------------------------------------------------------------------------------------------


class Echo:
    """A reader whose messages and pings go back."""

    def __init__(self, twin, options):
        self.events = []
        self.writer = twin.Writer(lambda: None, masked=False)
        self.reader = twin.Reader(
            self.message,
            lambda payload: self.note("ping", payload, 10),
            lambda payload: self.note("pong", payload, None),
            lambda code, reason: self.events.append((code, reason)),
            lambda value: None,
            self.failed,
            masked=None,
            **options,
        )

    def message(self, payload, is_binary):
        assert type(payload) is bytes
        self.note("message", payload, 2 if is_binary else 1)

    def note(self, kind, payload, opcode):
        self.events.append((kind, payload, opcode))
        if opcode is not None:
            self.writer.frame(opcode, payload)

    def failed(self, error):
        raise AssertionError("expected no error of a callback") from error

    def refused(self, error):
        self.events.append((error.code, error.reason))

    def feed(self, octets):
        try:
            self.reader.feed(octets)
        except FrameError as error:
            self.refused(error)
        return self.events, self.writer.take()

    def read(self, pieces, memory, past):
        with Line() as line:
            self.writer.attach(line, line.sock.fileno())
            connection = Connection(self.reader, self.writer, self.refused)
            line.read(_frames.Pump(connection, memory, lambda: self.writer.flush(line.write)), pieces, past)
            return self.events, line.sent()


def web_frame(kind, payload, keyed):
    """One frame: the first four bits of `kind` are the opcode, or nearly, the fifth says whether more follows."""
    opcode = (1, 2, 0, 0, 9, 10, 1, 2, 0, 1, 2, 0, 1, 2, 8, 3)[kind & 15]
    if opcode >= 8:
        payload = payload[:125] if opcode != 8 else b"\x03\xe8" + payload[:100]
    size = len(payload)
    head = bytes(((0 if kind & 16 and opcode < 8 else 0x80) | opcode,))
    bit = 0x80 if keyed else 0
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65536:
        head += bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8, "big")
    return head + (b"\1\2\3\4" + mask(payload, b"\1\2\3\4") if keyed else payload)


# -- RawSocket ---------------------------------------------------------------------------------------------------


class RawEcho:
    """A reader whose messages and pings go back."""

    def __init__(self, twin, limit):
        self.events = []
        self.writer = twin.Writer(lambda: None)
        self.reader = twin.Reader(self.on(0), self.on(1), self.on(2), limit)

    def on(self, kind):
        def note(payload):
            assert type(payload) is bytes
            self.events.append((kind, payload))
            if kind != 2:
                self.writer.frame(kind and 2, payload)

        return note

    def refused(self, error):
        assert isinstance(error, RawError)
        self.events.append(error.reason)
        self.reader.stop()

    def feed(self, octets):
        try:
            self.reader.feed(octets)
        except RawError as error:
            self.refused(error)
        return self.events, self.writer.take()

    def read(self, pieces, memory, past):
        with Line() as line:
            self.writer.attach(line, line.sock.fileno())
            pump = raw_compiled.Pump(
                self.reader, self.writer, memory, lambda: self.writer.flush(line.write), self.refused
            )
            line.read(pump, pieces, past)
            return self.events, line.sent()


# -- the target --------------------------------------------------------------------------------------------------


def stream(data, make):
    """The octets that `data` describes, four of it for each frame, and where these are cut."""
    octets, cuts = bytearray(), [0]
    for at in range(0, len(data) - 3, 4):
        kind, high, low, how = data[at : at + 4]
        size = (high << 8 | low) * (4 if how & 1 else 1)
        if len(octets) + size > MOST:
            break
        word = ("a", "aé€𝄞", "€", "\0")[how >> 1 & 3].encode()
        payload = bytearray((word * (size // len(word) + 1))[:size])
        if how & 8 and size:
            payload[low * size >> 8] = how
        before = len(octets)
        octets += make(kind, bytes(payload), bool(how & 16))
        if how & 32:
            cuts.append(before + (len(octets) - before) * high // 256)
        if how & 64:
            cuts.append(len(octets))
    octets += data[len(data) - len(data) % 4 :]
    bounds = [*cuts, len(octets)]
    return bytes(octets), [bytes(octets[a:b]) for a, b in pairwise(bounds)]


def direct(data):
    """Frames large and small; the first octet says how. By way of a socket the same events and the same echo."""
    if not data or _frames is None:
        return
    setting, data = data[0], data[1:]
    memory = memoryview(bytearray((100, 1000, 70_000, MOST)[setting >> 1 & 3]))
    limit = 100_000 if setting & 8 else 1 << 24
    if setting & 1:
        octets, pieces = stream(data, lambda kind, payload, _: raw_frame(kind, payload))
        found = [RawEcho(twin, limit).feed(octets) for twin in (raw_python, raw_compiled)]
        found += [RawEcho(raw_compiled, limit).read(pieces, memory, past) for past in (True, False)]
    else:
        octets, pieces = stream(data, web_frame)
        options = {"max_message": limit, "validate_utf8": not setting & 16, "apply_mask": not setting & 32}
        found = [Echo(twin, options).feed(octets) for twin in (_frames_py, _frames)]
        found += [Echo(_frames, options).read(pieces, memory, past) for past in (True, False)]
    for each in found[1:]:
        assert each == found[0]


def raw_frame(kind, payload):
    """One frame; few kinds are those that there are not."""
    return bytes(((0, 0, 0, 1, 0, 2, 0, 3 if kind & 16 else 0)[kind & 7],)) + len(payload).to_bytes(3, "big") + payload


SEEDS = [
    bytes((setting, *frames))
    for setting in (0, 3, 5, 12, 9, 22, 38)
    for frames in (
        (0, 0, 5, 0, 7, 0x90, 0, 2, 4, 0, 3, 96, 7, 0xFF, 0xFF, 1),
        (16, 0x90, 0, 18, 4, 0, 9, 64, 18, 0x80, 1, 34, 2, 0x88, 7, 114),
        (0, 0xA0, 40, 10, 0, 0, 1, 0),
        (7, 0x70, 0, 98, 7, 0x70, 0, 98, 7, 0x70, 0, 98, 1),
    )
]

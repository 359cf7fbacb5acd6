"""Feeds the compiled units from, and lets them write to, buffers that end where the memory ends.

Every payload size from 0 to 300 at every alignment, every beginning of calls in three serializers, and of CBOR, and an
echo through a socket with little room to read into: a read of one octet too many is a crash of this process. Also run
by `run.sh` under AddressSanitizer and valgrind. Prints a line and exits with 0 when every result was right.
"""

import argparse
import ctypes
import mmap
import pathlib
import sys
from types import SimpleNamespace

import cbor2
import msgspec

from autobahn.rawsocket.frames import Reader as RawReader
from autobahn.rawsocket.frames import Writer as RawWriter
from autobahn.rawsocket.frames import new_pump as new_raw_pump
from autobahn.router.lane import COMPILED as LANES
from autobahn.router.lane import ShortWay
from autobahn.wamp.codec import _cbor
from autobahn.websocket.errors import FrameError
from autobahn.websocket.frames import BINARY, COMPILED, TEXT, Reader, Writer, new_pump

if LANES:
    from autobahn.router import _lane

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # started as a program
from socket_line import Line

PAGE = mmap.PAGESIZE


class Guarded:
    """Memory of two pages of which the second cannot be touched; buffers end at the border."""

    def __init__(self):
        self.map = mmap.mmap(-1, 2 * PAGE)
        self.view = memoryview(self.map)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address + PAGE), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, data):
        """`data` in the last octets before the border."""
        part = self.view[PAGE - len(data) : PAGE]
        part[:] = data
        return part


class Collector:
    def __init__(self, masked):
        self.messages = []
        self.reader = Reader(
            lambda payload, is_binary: self.messages.append(payload),
            self.messages.append,
            self.messages.append,
            lambda code, reason: self.messages.append((code, reason)),
            lambda value: None,
            lambda exc: None,
            masked=masked,
        )

    def code(self, data):
        """The close code that `data` ends in."""
        try:
            self.reader.feed(data)
        except FrameError as error:
            return error.code
        return None


def frame(opcode, payload, masked, key=b"\xa1\x02\xf3\x04"):
    writer = Writer(lambda: None, masked=masked, random=lambda size: (key * size)[:size])
    writer.frame(opcode, payload)
    return writer.take()


def check(guarded, size, shift, masked):
    """A frame of `size` octets that comes in pieces cut at `shift`, each of which ends at the border."""
    for kind, payload in (
        (BINARY, bytes((7 * at + size) % 256 for at in range(size))),
        (TEXT, ("é\u20ac𝄞a" * 40).encode()[:size].decode(errors="ignore").encode()),
        (TEXT, b"a" * size),
    ):
        data = frame(kind, guarded.put(payload), masked)
        assert data.endswith(payload) or masked
        collector = Collector(masked)
        for piece in (data[:shift], data[shift:]):
            if piece:
                collector.reader.feed(guarded.put(piece))
        assert collector.messages == [payload], (size, shift, masked, kind)
    if size > 3:
        broken = Collector(masked)
        assert broken.code(guarded.put(frame(TEXT, b"a" * (size - 1) + b"\xe2", masked))) == 1007


def check_close(guarded, size):
    reason = b"r" * size
    collector = Collector(True)
    collector.reader.feed(guarded.put(frame(8, b"\x03\xe8" + reason, True)))
    assert collector.messages == [(1000, reason.decode())]


def check_direct_web(guarded, size, room, masked, past):
    """An echo through a socket, with `room` octets before the border to read into."""
    payload = ("é\u20ac𝄞a" * (size // 10 + 1)).encode()[:size].decode(errors="ignore").encode()
    line, messages, failures = Line(), [], []

    def echo(payload, is_binary):
        messages.append(payload)
        writer.frame(BINARY, payload)
        writer.raw(b"raw")

    writer = Writer(lambda: None, masked=False)
    writer.attach(line, line.sock.fileno())
    reader = Reader(echo, *[failures.append] * 5, masked=masked)
    connection = SimpleNamespace(writer=writer, receive=reader.feed, violated=failures.append)
    pump = new_pump(connection, guarded.put(bytes(room)), lambda: writer.flush(line.write))
    parts = [frame(TEXT, payload, masked), frame(BINARY, b"x" * 5, masked), frame(TEXT, payload, masked)]
    line.read(pump, parts, past)
    assert (messages, failures) == ([payload, b"xxxxx", payload], []), (size, room, masked)
    assert line.sent() == b"".join(frame(BINARY, each, False) + b"raw" for each in messages), (size, room, masked)

    def give_up(payload, is_binary):
        pump.stop()
        connection.receive = None

    reader.on_message = give_up
    del reader  # only pump and connection refer to it
    line.read(pump, [frame(BINARY, payload + b"end", masked)], past)
    assert not failures
    line.close()


def check_direct_bad(guarded, size, past):
    """A violation in the midst of a large payload, and a reader that its own callback gives up."""
    line, failures = Line(), []
    connection = SimpleNamespace(writer=Writer(lambda: None, masked=False), violated=failures.append)
    connection.receive = Reader(*[failures.append] * 6, masked=False).feed
    pump = new_pump(connection, guarded.put(bytes(1000)), lambda: None)
    line.read(pump, [frame(TEXT, b"a" * size + b"\xe2" + b"a" * size, False)], past)
    assert [error.code for error in failures] == [1007]
    line.close()


def check_direct_raw(guarded, size, room, past):
    """The same with RawSocket."""
    line, messages, failures = Line(), [], []

    def echo(payload):
        messages.append(payload)
        writer.message(payload)

    writer = RawWriter(lambda: None)
    writer.attach(line, line.sock.fileno())
    reader = RawReader(echo, failures.append, failures.append)
    pump = new_raw_pump(reader, writer, guarded.put(bytes(room)), lambda: writer.flush(line.write), failures.append)
    payload = bytes(at % 251 for at in range(1000)) * (size // 1000 + 1)
    octets = b"".join(len(each).to_bytes(4, "big") + each for each in (payload[:size], b"x" * 5, payload[:size]))
    line.read(pump, [octets], past)
    assert (messages, failures) == ([payload[:size], b"xxxxx", payload[:size]], []), (size, room)
    assert line.sent() == octets
    line.close()


def check_direct(guarded, past):
    """Messages of many sizes past the transport, or its own buffers, into little room and much."""
    for size in (0, 1, 125, 126, 1000, 16_384, 32_767, 32_768, 40_000, 65_536, 262_144, 262_150, 900_000):
        for room in (100, 1000, PAGE):
            for masked in (True, False):
                check_direct_web(guarded, size, room, masked, past)
            check_direct_raw(guarded, size, room, past)
        check_direct_bad(guarded, size, past)


class CallWorld:
    """A lane to itself: what arrives at it as CALL leaves it as INVOCATION."""

    def __init__(self, name, send):
        def call(*_):
            raise AssertionError("expected nothing to go the ordinary way through the table")

        self.refused = []
        self.calls, self.invocations, self.last_invocation = {}, {}, 0
        self._table = {48: call, 70: call, 0: ShortWay(call, {"com.a": SimpleNamespace(callee=self, id=5)}, call)}
        self.lane = _lane.Lane(self, self.refused.append, self.refused.append, send, name, name != "json", 10_000)


def check_calls(guarded, name, encode):
    """Each beginning of a CALL, and the whole of it, as frames that end at the border."""
    whole = encode([48, 77, {}, "com.a", [1, -70000, 1.5, None, True, "é" * 40, {"k": ["x" * 70, {}]}], {"kw": [[]]}])
    writer = RawWriter(lambda: None)
    world = CallWorld(name, writer.message)
    reader = RawReader(world.lane.receive, None, None)
    for size in range(len(whole) + 1):
        octets = guarded.put(size.to_bytes(4, "big") + whole[:size])
        new_raw_pump(reader, writer, octets, lambda: None, world.refused.append).buffer_updated(len(octets))
    assert world.refused == [whole[:size] for size in range(len(whole))], name
    assert writer.take()[4:] == encode([68, 1, 5, {}]).replace(*_count(name)) + whole[
        whole.index(b"com.a") + 5 :
    ].lstrip(b'"')


def check_cbor(guarded):
    """Each beginning of CBOR messages, and the whole of them, before the border; none is read but the whole."""
    values = [
        [48, 77, {}, "com.a", [1, -70000, 1.5, None, True, "é" * 40, b"o" * 30], {"k": [{}, [[]]], "x": "y" * 300}],
        [0, 24, 256, 65536, 2**32, -1, -25, -257, -65537, -(2**32) - 1, 1.5, "a" * 24, b"b" * 256],
        [[None] * 20, {str(at): b"" for at in range(30)}, *["a" * size for size in range(40)]],
    ]
    wholes = [cbor2.dumps(value) for value in values]
    assert [_cbor.dumps(value) for value in values] == wholes
    for head in (b"\x82\xf9\x3e\x00\xfa", b"\x81\x7b", b"\x81\x5a", b"\x9b", b"\xbb", b"\xbb\x7f"):
        assert _cbor.to_msgpack(guarded.put(head)) is None
        for filler in (b"\0", b"\xff"):  # sizes from none to endless, of nothing
            assert _cbor.to_msgpack(guarded.put(head + filler * 8)) in (None, b"\x90", b"\x80", b"\x91\xa0")
    for whole, value in zip(wholes, values, strict=True):
        for size in range(len(whole)):
            assert _cbor.to_msgpack(guarded.put(whole[:size])) is None
        assert msgspec.msgpack.decode(_cbor.to_msgpack(guarded.put(whole))) == value
        for at in range(len(whole)):
            for octet in (0x00, 0x1B, 0x3B, 0x5B, 0x7B, 0x9B, 0xBB, 0xFB, 0xFF):
                _cbor.to_msgpack(guarded.put(whole[:at] + bytes([octet]) + whole[at + 1 :]))


def _count(name):
    """What makes the head of an INVOCATION without payload one of six elements."""
    return {"json": (b"]", b""), "msgpack": (b"\x94", b"\x96"), "cbor": (b"\x84", b"\x86")}[name]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a few cuts per size instead of all")
    arguments = parser.parse_args()
    guarded = Guarded()
    for size in range(301):
        cuts = {0, 1, 2, 5, 6, 8, 13, size // 2 + 4, size + 1} if arguments.quick else range(size + 8)
        for shift in cuts:
            for masked in (True, False):
                check(guarded, size, shift, masked)
        if size <= 123:
            check_close(guarded, size)
    if COMPILED:
        check_direct(guarded, True)
        check_direct(guarded, False)
    if LANES:
        for name, encode in (("json", msgspec.json.encode), ("msgpack", msgspec.msgpack.encode), ("cbor", cbor2.dumps)):
            check_calls(guarded, name, encode)
    if _cbor is not None:
        check_cbor(guarded)
    print(f"all sizes from 0 to 300 are right ({'compiled' if COMPILED else 'pure'})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

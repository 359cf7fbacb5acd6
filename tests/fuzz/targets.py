"""What is fuzzed: functions that take octets and raise only when a promise is broken.

Used by `test_fuzz.py` (hypothesis, in the suite) and by `run.py` (atheris, `make fuzz`). Of the code under test only
these exceptions may come out, and each is caught where it is documented:

    HeadReader, parse_request, parse_response, check_request,   HandshakeError, its status from 400 to 599
    check_response, parse_extensions, negotiate_*               (check_response: the status the server sent)
    Reader.feed, Inflater                                       FrameError with 1002, 1007 or 1009
    Reader.feed, Pump of RawSocket                              FrameError, without a code
    connections                                                 nothing: all of it becomes a close code or a status
    parse_url                                                   ValueError
"""

# ruff: noqa: PT017 - an error is one of two right outcomes here
import asyncio
import atexit
import zlib

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.rawsocket import _frames_py as raw_python
from autobahn.rawsocket.errors import FrameError as RawError
from autobahn.websocket import _frames_py, http
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)
from autobahn.websocket.deflate import Deflater, Inflater
from autobahn.websocket.errors import FrameError, HandshakeError
from autobahn.websocket.extensions import parse_extensions
from autobahn.websocket.handshake import (
    ClientRequest,
    ServerRules,
    accept_value,
    check_request,
    check_response,
    error_response,
)
from autobahn.websocket.negotiation import negotiate_client, negotiate_server
from autobahn.websocket.util import parse_url
from fuzz import direct

try:
    from autobahn.websocket import _frames
except ImportError:
    TWINS = [_frames_py]
else:
    TWINS = [_frames_py, _frames]
try:
    from autobahn.rawsocket import _frames as raw_compiled
except ImportError:
    RAW_TWINS = [raw_python]
else:
    RAW_TWINS = [raw_python, raw_compiled]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    b"GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: a, b\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits=10\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: a\r\n"
    b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=9\r\n\r\n"
) % accept_value(KEY).encode()
RULES = ServerRules(allowed_origins=("http://*.example.com", "http://example.com"), allow_null_origin=False)
ASKED = ClientRequest("example.com", 80, "/", protocols=("a", "b"), key=KEY)
OFFERS = (PerMessageDeflateOffer(request_max_window_bits=12),)


def accept_first(offers):
    return PerMessageDeflateOfferAccept(offers[0])


def split(data):
    """Pieces of `data`, cut in a way that depends on it."""
    step = data[0] % 7 + 1 if data else 1
    if len(data) > 2000:
        step *= 100
    return [data[at : at + step] for at in range(0, len(data), step)]


# -- heads -------------------------------------------------------------------------------------------------------


def head_of(pieces, *, request, max_size=4096):
    """What a reader makes of a head that comes in `pieces`; an error without the text, which names places."""
    reader = http.HeadReader(request=request, max_size=max_size)
    taken = 0
    try:
        for piece in pieces:
            taken += len(piece)
            head = reader.feed(piece)
            if head is not None:
                assert len(head) <= max_size
                return head, taken - len(head) == len(reader.rest)
    except HandshakeError as error:
        assert error.status in {400, 431}
        return error.status
    assert taken <= max_size
    return None


def whole(found):
    """The head that was found, `None` when there is none."""
    if not isinstance(found, tuple):
        return None
    head, rest_is_right = found
    assert rest_is_right
    return head


def http_request(data):
    """A request head: the same whole and in pieces; judged or refused with an HTTP status."""
    found, cut = head_of([data], request=True), head_of(split(data), request=True)
    # Pieces may be refused before the end, by their first line, and then for another of several reasons.
    assert (found == cut) or (isinstance(found, int | None) and isinstance(cut, int | None)) or cut == 400
    if (head := whole(found)) is None:
        return
    try:
        request = http.parse_request(head)
        for name, values in request.headers.items():
            assert name == name.lower()
            assert not any(set(value) & set("\r\n\0\x0b\x0c\x1c\x1d\x1e\x85") for value in values)
        upgrade = check_request(request, RULES, "peer")
    except HandshakeError as error:
        assert 400 <= error.status <= 599
        answer = error_response(error, server="x", web_status=True)
        assert answer.startswith(b"HTTP/1.1 %d " % error.status)
        assert answer.count(b"\r\n\r\n") == 1
        return
    origin = upgrade.request.origin.lower()
    assert origin in {"", "http://example.com", "http://example.com:80"} or (
        origin.partition(":80")[0].endswith(".example.com")
    )


def http_response(data):
    """A response head, likewise."""
    found = head_of([data], request=False)
    if (head := whole(found)) is None:
        return
    try:
        switched = check_response(http.parse_response(head), ASKED)
        assert switched.subprotocol in {None, "a", "b"}
        negotiate_client(switched.extensions, OFFERS, None)
    except HandshakeError as error:
        assert 100 <= error.status <= 599


def extensions(data):
    """An extension header, as offer and as response."""
    text = data.decode("latin-1")
    try:
        parsed = parse_extensions(text)
    except HandshakeError as error:
        assert error.status == 400
        return
    assert sum(len(values) for _, params in parsed for values in params.values()) <= len(text)
    chosen = negotiate_server(parsed, accept_first)
    if chosen is not None:
        pmce, answer = chosen
        assert 8 <= pmce.server_max_window_bits <= 15
        negotiate_client(parse_extensions(answer), [PerMessageDeflateOffer(), *OFFERS], None)
        payload = pmce.new_deflater().message(b"hello" * 100)
        assert len(payload) < 500
    try:
        negotiate_client(parsed, OFFERS, None)
    except HandshakeError as error:
        assert error.status == 400


def url(data):
    """A URL."""
    try:
        secure, host, port, resource, _, _ = parse_url(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        return
    assert host
    if host != "unix":
        ClientRequest(host, port, resource, secure).build()


# -- frames ------------------------------------------------------------------------------------------------------


class Trace:
    """Everything that a reader gives; neighbouring chunks of a stream are joined."""

    def __init__(self, twin, *, stream=False, **options):
        self.events = []
        add = self.events.append
        self.reader = twin.Reader(
            lambda payload, is_binary: add(("message", payload, is_binary)),
            lambda payload: add(("ping", payload)),
            lambda payload: add(("pong", payload)),
            lambda code, reason: add(("close", code, reason)),
            lambda value: add(("result", value)),
            lambda exc: add(("error", exc)),
            stream=self if stream else None,
            **options,
        )

    def message_begin(self, is_binary):
        self.events.append(("begin", is_binary))

    def frame_begin(self, size):
        self.events.append(("frame", size))

    def frame_data(self, data):
        assert type(data) is bytes
        assert data
        if self.events[-1][0] == "data":
            data = self.events.pop()[1] + data
        self.events.append(("data", data))

    def frame_end(self):
        self.events.append(("frame end",))

    def message_end(self):
        self.events.append(("end",))

    def feed(self, pieces):
        for piece in pieces:
            try:
                self.reader.feed(piece)
            except FrameError as error:
                assert error.code in {1002, 1007, 1009}
                assert len(error.reason.encode()) <= 123
                self.events.append((error.code, error.reason))
                break
        assert not any(event[0] == "error" for event in self.events)
        return self.events

    def read(self, pieces, twin):
        """The same octets by way of a socket."""

        def refused(error):
            self.events.append((error.code, error.reason))

        connection = direct.Connection(self.reader, twin.Writer(lambda: None, masked=False), refused)
        with direct.Line() as line:
            line.read(twin.Pump(connection, memoryview(bytearray(4096)), None), pieces)
        return self.events


def before_bad_deflate(trace):
    """What does not depend on the cuts: zlib gives nothing of the piece in which the bad octet is."""
    if trace and trace[-1][0] in {1007, 1009}:
        trace = trace[:-1]
        if trace and trace[-1][0] == "data":
            trace = trace[:-1]
        return [*trace, "refused"]
    return trace


def frames(data):
    """Frames; the first octet says how the reader is set up. Both twins, whole and in pieces: the same events."""
    if not data:
        return
    setting, data = data[0], data[1:]
    limit = 300 if setting & 16 else 0
    options = {
        "masked": (None, True, False, None)[setting & 3],
        "stream": bool(setting & 4),
        "max_message": limit or 100_000,
        "max_frame": 200 if setting & 32 else 0,
        "validate_utf8": not setting & 64,
        "apply_mask": not setting & 128,
    }
    ways = [[data], split(data)]
    if len(data) < 3000:
        ways.append([data[at : at + 1] for at in range(len(data))])
    traces = []
    for pieces in ways:
        found = [Trace(twin, inflater=Inflater() if setting & 8 else None, **options).feed(pieces) for twin in TWINS]
        for twin in TWINS:
            if hasattr(twin, "Pump") and len(pieces) < 300:
                found.append(Trace(twin, inflater=Inflater() if setting & 8 else None, **options).read(pieces, twin))
        assert all(trace == found[0] for trace in found), found
        traces.append(found[0])
    settled = [before_bad_deflate(trace) if setting & 8 else trace for trace in traces]
    assert all(trace == settled[0] for trace in settled), traces
    for event in traces[0]:
        if event[0] == "message":
            assert len(event[1]) <= (limit or 100_000)
            if not event[2] and options["validate_utf8"]:
                event[1].decode()


def close(data):
    """The payload of a close frame."""
    frame = bytes((0x88, min(len(data), 125))) + data[:125]
    found = []
    for twin in TWINS:
        for pieces in ([frame], [frame[at : at + 1] for at in range(len(frame))]):
            found.append(Trace(twin, masked=False).feed(pieces))
    assert all(events == found[0] for events in found)
    (event,) = found[0]
    if event[0] == "close" and event[1] is not None:
        assert event[1] in {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
        assert event[2].encode() == data[2:125]


# -- RawSocket ---------------------------------------------------------------------------------------------------


class RawTrace:
    """What a RawSocket reader gives, and what a writer makes of it; the callback `meddle` changes the limit."""

    def __init__(self, twin, limit, meddle):
        self.events, self.sent = [], bytearray()
        self.meddle, self.new_limit = meddle, limit // 2
        self.writer = twin.Writer(lambda: None)
        self.reader = twin.Reader(self.on(0), self.on(1), self.on(2), limit)
        self.error = None

    def on(self, kind):
        def note(payload):
            assert type(payload) is bytes
            self.events.append((kind, payload))
            self.writer.frame(kind, payload) if kind else self.writer.message(payload)
            self.meddle -= 1
            if self.meddle == 0:
                self.reader.limit = self.new_limit
            elif self.meddle == -3:
                self.reader.stop()

        return note

    def failed(self, exc):
        assert isinstance(exc, RawError)
        self.error = exc.reason
        self.reader.stop()

    def result(self):
        self.writer.flush(self.sent.extend)
        return self.events, self.error, bytes(self.sent)

    def feed(self, pieces):
        for piece in pieces:
            try:
                self.reader.feed(piece)
            except RawError as error:
                self.failed(error)
                break
        return self.result()

    def read(self, pieces, twin):
        """The same octets by way of a socket."""
        pump = twin.Pump(self.reader, self.writer, memoryview(bytearray(4096)), self.result, self.failed)
        with direct.Line() as line:
            line.read(pump, pieces)
        return self.result()

    def pump(self, pieces, twin):
        """The same octets by way of a transport's buffer."""
        buffer = memoryview(bytearray(4096))
        pump = twin.Pump(self.reader, self.writer, buffer, lambda: self.writer.flush(self.sent.extend), self.failed)
        for piece in pieces:
            for at in range(0, len(piece), len(buffer)):
                part = piece[at : at + len(buffer)]
                pump.get_buffer(-1)[: len(part)] = part
                if self.error is None:
                    pump.buffer_updated(len(part))
        return self.result()


def rawsocket(data):
    """RawSocket frames; the first octet says how. Both twins and the pump, whole and in pieces: the same."""
    if not data:
        return
    setting, data = data[0], data[1:]
    limit, meddle = (0, 20, 4096, 1 << 24)[setting & 3], setting >> 2 & 7
    ways = [[data], split(data)]
    if len(data) < 3000:
        ways.append([data[at : at + 1] for at in range(len(data))])
    found = [RawTrace(twin, limit, meddle).feed(pieces) for twin in RAW_TWINS for pieces in ways]
    for twin in RAW_TWINS:
        if hasattr(twin, "Pump"):
            found += [RawTrace(twin, limit, meddle).pump(pieces, twin) for pieces in ways]
            found += [RawTrace(twin, limit, meddle).read(pieces, twin) for pieces in ways if len(pieces) < 300]
    assert all(trace == found[0] for trace in found), found
    events, _, sent = found[0]
    assert sum(4 + len(payload) for _, payload in events) == len(sent) <= len(data)


# -- deflate -----------------------------------------------------------------------------------------------------


def deflate(data):
    """Octets as compressed message, and as message to compress; the first says with which window."""
    if not data:
        return
    setting, data = data[0], data[1:]
    options = {"window_bits": 8 + setting % 8, "no_context_takeover": bool(setting & 8)}
    step = 1 + setting * 37
    inflater, total = Inflater(**options), 0
    try:
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            out = inflater.decompress(piece, step)
            while True:
                assert len(out) <= step
                total += len(out)
                if len(out) < step or total > 200_000:
                    break
                out = inflater.decompress(b"", step)
            if total > 200_000:
                return
        assert len(inflater.end_message(step)) <= step
    except FrameError as error:
        assert error.code == 1007
    assert total <= 1033 * (len(data) + 1)  # deflate cannot do better
    deflater, inflater = Deflater(**options), Inflater(**options)
    for message in (data, data[:10], b"", data):
        payload = deflater.message(message)
        assert len(payload) <= len(message) + len(message) // 500 + 64
        out = inflater.decompress(payload, len(message) + 1)
        assert out + inflater.end_message(len(message) + 1) == message


# -- connections -------------------------------------------------------------------------------------------------


class Wire(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self):
        super().__init__()
        self.sent = bytearray()
        self.closing = False
        self.protocol = None

    def set_protocol(self, protocol):
        self.protocol = protocol

    def get_protocol(self):
        return self.protocol

    def write(self, data):
        self.sent += data

    def write_eof(self):
        pass

    def can_write_eof(self):
        return True

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    abort = close

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def is_reading(self):
        return True

    def get_write_buffer_size(self):
        return 0

    def set_write_buffer_limits(self, high=None, low=None):
        pass


class Echo:
    """What both programs do: they echo, and their errors fail the target."""

    def onMessage(self, payload, isBinary):
        assert len(payload) <= 5000
        self.sendMessage(payload, isBinary)

    def onUserError(self, exc, where):
        raise AssertionError(where) from exc

    def onClose(self, wasClean, code, reason):
        assert wasClean or code == 1006
        self.ended = True


class EchoServer(Echo, WebSocketServerProtocol):
    def onConnect(self, request):
        return request.protocols[0] if request.protocols else None


class EchoClient(Echo, WebSocketClientProtocol):
    pass


SERVERS = WebSocketServerFactory(server="")
SERVERS.protocol = EchoServer
SERVERS.setProtocolOptions(perMessageCompressionAccept=accept_first, maxMessagePayloadSize=5000)
CLIENTS = WebSocketClientFactory("ws://example.com", protocols=["a", "b"])
CLIENTS.protocol = EchoClient
CLIENTS.setProtocolOptions(perMessageCompressionOffers=[PerMessageDeflateOffer()], maxMessagePayloadSize=5000)
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


def life(factory, pieces, *, answered=False):
    """A connection from its beginning to its end; `pieces` may come, also after a good answer of the server."""

    async def live():
        wire, protocol = Wire(), factory()
        wire.protocol = protocol
        protocol.connection_made(wire)
        await asyncio.sleep(0)
        if answered:
            key = bytes(wire.sent).partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            receive(wire, RESPONSE.replace(accept_value(KEY).encode(), accept_value(key).encode()))
        before, size = len(wire.sent), 0
        for piece in pieces:
            size += len(piece)
            if not wire.closing:
                receive(wire, piece)
        await asyncio.sleep(0)
        # An echo, not a bomb: a message has 5000 octets at most.
        assert len(wire.sent) - before <= 40 * size + 4096
        wire.protocol.connection_lost(None)
        assert protocol.ended
        return protocol

    errors = []
    LOOP.set_exception_handler(lambda _, context: errors.append(context))
    protocol = LOOP.run_until_complete(live())
    assert not errors, errors
    return protocol


def receive(wire, data):
    """`data` arrives the way the event loop brings it."""
    while data and not wire.closing:
        protocol = wire.protocol  # it may change under way
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def server(data):
    """A server's connection: a request, or frames behind a good one."""
    life(SERVERS, split(data))
    life(SERVERS, [REQUEST, data])
    life(SERVERS, [REQUEST, *split(data)])


def client(data):
    """A client's connection: an answer, or frames behind a good one."""
    life(CLIENTS, split(data))
    life(CLIENTS, [data], answered=True)
    life(CLIENTS, split(data), answered=True)


TARGETS = {
    "http_request": http_request,
    "http_response": http_response,
    "extensions": extensions,
    "url": url,
    "frames": frames,
    "close": close,
    "rawsocket": rawsocket,
    "direct": direct.direct,
    "deflate": deflate,
    "server": server,
    "client": client,
}


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=b"\1\2\3\4"):
    """A short frame."""
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if key else 0) | len(payload)))
    return head + (key or b"") + bytes(octet ^ key[at % 4] if key else octet for at, octet in enumerate(payload))


def seeds(name):
    """Octets to begin with, for the fuzzer of this name."""
    packed = Deflater().message(b"hello " * 20)
    wire = [
        frame(opcode, payload, key=key, rsv=rsv, fin=fin)
        for opcode, payload, rsv, fin in (
            (1, "hellö €𝄞".encode(), 0, True),
            (2, b"\0" * 60, 0, False),
            (0, b"", 0, True),
            (9, b"ping", 0, True),
            (8, b"\x03\xe8bye", 0, True),
            (1, packed, 4, True),
            (2, packed[:5], 4, False),
            (0, packed[5:], 0, True),
        )
        for key in (b"\1\2\3\4", None)
    ]
    stream = b"".join(wire[::2]), b"".join(wire[1::2])
    return {
        "http_request": [REQUEST, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
        "http_response": [RESPONSE, b"HTTP/1.1 403 no\r\nContent-Length: 3\r\n\r\nno!"],
        "extensions": [b'permessage-deflate; client_max_window_bits; server_max_window_bits="10", x; y=z; a="\\b"'],
        "url": [b"ws://example.com:80/a?b=c", b"wss://[::1]/", b"ws://unix:/a"],
        "frames": [bytes((setting,)) + data for setting in (0, 1, 2, 4, 8, 12, 24, 60) for data in (*stream, *wire)],
        "close": [b"\x03\xe8bye", b"\x0b\xb8\xc3\xa9", b""],
        "rawsocket": [
            bytes((setting,)) + b"\0\0\0\3abc\1\0\0\0\2\0\0\2zz\0\0\0\0" + tail
            for setting in (0, 1, 2, 3, 6, 14)
            for tail in (b"", b"\0\0\x14\0" + b"x" * 30, b"\x08\0\0\0y", b"\3\0\0\1z", b"\0\0\0\x15" + b"y" * 21)
        ],
        "direct": direct.SEEDS,
        "deflate": [b"\7" + packed, b"\x0f" + zlib.compress(b"abc" * 50, 9, -15) * 3],
        "server": [REQUEST, *stream, *wire],
        "client": [RESPONSE, b"HTTP/1.1 302 no\r\nContent-Length: 99\r\n\r\n", *stream, *wire],
    }[name]

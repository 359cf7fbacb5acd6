"""The connection state machine without I/O: two ends are fed with each other's bytes."""

import pytest

from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.connection import State
from autobahn.websocket.errors import FrameError, HandshakeError
from autobahn.websocket.frames import Writer
from autobahn.websocket.handshake import ClientRequest, ServerRules
from autobahn.websocket.opening import ClientConnection, ServerConnection
from autobahn.websocket.options import ClientOptions, ServerOptions


class End:
    """Sink and events of one connection: records everything, and keeps the one timer."""

    def __init__(self):
        self.log = []
        self.timer = None
        self.ending = None
        self.connection = None
        self.auto_accept = True

    # sink
    def wake(self):
        self.log.append("wake")

    def close(self):
        self.ending = "close"

    def half_close(self):
        self.ending = "half_close"

    def abort(self):
        self.ending = "abort"

    def set_timeout(self, seconds, callback):
        self.timer = (seconds, callback) if seconds and callback else None

    # events
    def onMessage(self, payload, is_binary):
        self.log.append(("message", payload, is_binary))

    def connection_receiver(self):
        return self.onMessage

    def connection_room(self, what, size):
        return True

    def connection_ping(self, payload):
        self.log.append(("ping", payload))
        if self.connection.sender is not None:
            self.connection.sender.pong(payload)

    def connection_pong(self, payload):
        self.log.append(("pong", payload))

    def connection_close_frame(self, code, reason):
        self.log.append(("close_frame", code, reason))

    def connection_timeout(self, what):
        self.log.append(("timeout", what))

    def connection_result(self, value):
        self.log.append(("result", value))

    def connection_error(self, exc):
        self.log.append(("error", repr(exc)))

    def connection_stream(self):
        return None

    def connection_handshake(self, request_or_response):
        self.log.append("handshake")
        if self.auto_accept:
            if self.connection.is_server:
                self.connection.accept(None, [])
            else:
                self.connection.proceed()

    def connection_opened(self):
        self.log.append("opened")

    def connection_failed(self, reason):
        self.log.append(("failed", reason))

    # helpers
    def feed(self, data):
        try:
            self.connection.receive(data)
        except FrameError as error:
            self.connection.violated(error)

    def out(self):
        return self.connection.writer.take()

    def expire(self):
        seconds, callback = self.timer
        self.timer = None
        callback()
        return seconds

    def events(self, *kinds):
        return [e for e in self.log if (e if isinstance(e, str) else e[0]) in kinds]


def server(**options):
    end = End()
    end.connection = ServerConnection(end, end, ServerOptions(**options), rules=ServerRules(), server="S")
    return end


def client(**options):
    end = End()
    end.connection = ClientConnection(end, end, ClientOptions(**options))
    return end


def start(end, **changes):
    offers = tuple(o.get_extension_string() for o in end.connection.options.perMessageCompressionOffers)
    end.connection.start(ClientRequest("h", 80, "/", extensions=offers, **changes))
    return end.out()


def pump(a, b):
    """Carries bytes until both are silent."""
    while True:
        from_a, from_b = a.out(), b.out()
        if not from_a and not from_b:
            return
        if from_a:
            b.feed(from_a)
        if from_b:
            a.feed(from_b)


def pair(server_options=None, client_options=None):
    s, c = server(**(server_options or {})), client(**(client_options or {}))
    s.feed(start(c))
    pump(c, s)
    assert s.connection.state is c.connection.state is State.OPEN
    return s, c


COMPRESSED = (
    {"perMessageCompressionAccept": lambda offers: PerMessageDeflateOfferAccept(offers[0])},
    {"perMessageCompressionOffers": [PerMessageDeflateOffer()]},
)


def frames(*pieces, masked):
    writer = Writer(lambda: None, masked=masked)
    for piece in pieces:
        writer.frame(*piece)
    return writer.take()


def test_opening_and_messages_in_both_directions():
    s, c = pair()
    assert s.events("handshake", "opened") == c.events("handshake", "opened") == ["handshake", "opened"]
    assert s.timer is None
    assert c.timer is None
    c.connection.send_message("hé".encode())
    c.connection.send_message(b"\x00\xff", True)
    s.connection.send_message(b"", False)
    c.connection.sender.ping(b"p")
    pump(s, c)
    assert s.events("message") == [("message", "hé".encode(), False), ("message", b"\x00\xff", True)]
    assert s.events("ping") == [("ping", b"p")]
    assert c.events("message", "pong") == [("message", b"", False), ("pong", b"p")]


def test_opening_split_at_every_byte():
    request = start(client(), key="dGhlIHNhbXBsZSBub25jZQ==")
    for cut in range(1, len(request)):
        s = server()
        s.feed(request[:cut])
        assert s.connection.state is State.CONNECTING
        s.feed(request[cut:])
        assert s.connection.state is State.OPEN
        answer = s.out()
    for cut in range(1, len(answer)):
        c = client()
        start(c, key="dGhlIHNhbXBsZSBub25jZQ==")
        c.feed(answer[:cut])
        assert c.connection.state is State.CONNECTING
        c.feed(answer[cut:])
        assert c.connection.state is State.OPEN


def test_frames_behind_the_answer_wait_for_proceed():
    s, c = server(), client()
    c.auto_accept = False
    s.feed(start(c))
    s.connection.send_message(b"early")
    data = s.out()
    c.feed(data)
    assert c.log[-1] == "handshake"
    s.connection.send_message(b"later")
    c.feed(s.out())
    assert c.events("message") == []
    c.connection.proceed()
    assert c.log[-3:] == ["opened", ("message", b"early", False), ("message", b"later", False)]


def test_violation_among_held_frames():
    s, c = server(), client()
    c.auto_accept = False
    s.feed(start(c))
    c.feed(s.out() + b"\xff\xff")
    c.connection.proceed()
    assert c.connection.failed_by_me
    assert len(c.events("failed")) == 1


def test_s26_octets_behind_the_request():
    request = start(client())
    s = server()
    s.feed(request + b"GET /evil HTTP/1.1\r\n")
    assert s.out().startswith(b"HTTP/1.1 400 ")
    s = server()
    s.auto_accept = False
    s.feed(request)
    s.feed(b"G")
    assert s.out().startswith(b"HTTP/1.1 400 ")
    s.connection.accept(None, [])
    assert s.out() == b""
    assert s.ending == "half_close"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000, 431),
        (b"GET / HTTP/1.0\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\n\r\n", 405),
    ],
)
def test_refused_requests_get_an_answer_one_log_line_and_an_end(data, status):
    s = server()
    s.feed(data)
    answer = s.out()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: " in answer
    assert b"Content-Length: " in answer
    assert len(s.events("failed")) == 1
    assert s.ending == "half_close"
    s.feed(b"more")
    assert s.out() == b""
    assert s.expire() == 1
    assert s.ending == "abort"
    clean, code, reason = s.connection.lost()
    assert (clean, code) == (False, 1006)
    assert "expected" in reason


def test_refusal_with_status_and_headers():
    s = server()
    s.auto_accept = False
    s.feed(start(client()))
    s.connection.fail_opening(HandshakeError(403, "no", (("X", "y"),)))
    assert s.out().startswith(b"HTTP/1.1 403 no\r\nServer: S\r\nX: y\r\n")
    s = server()
    s.feed(b"x\r\n")
    s.connection.fail_opening(HandshakeError(403, "again"))
    assert s.out().startswith(b"HTTP/1.1 400 ")


def test_client_failures():
    for answer, reason in (
        (b"HTTP/1.1 403 nope\r\n\r\n", "WebSocket connection upgrade failed [403]: nope"),
        (b"HTTP/1.1 101 OK\r\n\r\n", "expected 'Upgrade: websocket'"),
        (b"hello\r\n", "expected HTTP"),
    ):
        c = client()
        start(c)
        c.feed(answer)
        assert c.ending == "abort"
        assert len(c.events("failed")) == 1
        assert c.events("handshake", "opened") == []
        clean, code, text = c.connection.lost()
        assert (clean, code) == (False, 1006)
        assert reason in text


@pytest.mark.parametrize("initiator", ["server", "client"])
def test_closing_handshake(initiator):
    s, c = pair()
    first, other = (s, c) if initiator == "server" else (c, s)
    first.connection.close(3000, "bye")
    first.connection.close(1000)
    assert first.connection.state is State.CLOSING
    assert first.timer[0] == 1
    pump(s, c)
    assert s.ending == "close"
    assert c.ending is None
    assert c.timer[0] == 1
    assert first.connection.lost() == (True, 1000, None)
    assert other.connection.lost() == (True, 3000, "bye")
    assert first.connection.state is other.connection.state is State.CLOSED
    assert (first.connection.closed_by_me, other.connection.closed_by_me) == (True, False)
    assert (first.connection.local_close_code, first.connection.remote_close_code) == (3000, 1000)
    assert s.timer is c.timer is None


def test_closing_without_code_and_with_echo():
    s, c = pair()
    c.connection.close()
    pump(s, c)
    assert s.connection.lost() == (True, None, None)
    s, c = pair(server_options={"echoCloseCodeReason": True})
    c.connection.close(4999, "x")
    pump(s, c)
    assert c.connection.lost() == (True, 4999, "x")


def test_messages_still_arrive_while_closing_but_none_can_be_sent():
    s, c = pair()
    c.connection.close(1000)
    s.connection.send_message(b"late")
    c.feed(s.out())
    assert c.events("message") == [("message", b"late", False)]
    with pytest.raises(Disconnected):
        c.connection.send_message(b"x")
    assert c.connection.sender is None


def test_both_close_at_once():
    s, c = pair()
    s.connection.close(1000)
    c.connection.close(3000)
    pump(s, c)
    assert s.connection.lost() == (True, 3000, None)
    assert c.connection.lost() == (True, 1000, None)


def test_close_arguments():
    s, _ = pair()
    for code, reason in ((999, None), (1001, None), (1005, None), (2999, None), (5000, None), (None, "x")):
        with pytest.raises(ValueError, match="expected"):
            s.connection.close(code, reason)
    for code, reason in (("1000", None), (True, None), (1000, b"x")):
        with pytest.raises(TypeError, match="expected"):
            s.connection.close(code, reason)
    with pytest.raises(Disconnected):
        server().connection.close(1000)
    s, c = pair()
    s.connection.close(1000, "ä" * 100)
    pump(s, c)
    assert c.connection.lost() == (True, 1000, "ä" * 61)


# Named, because the mask in their octets differs from run to run, and every worker must know a test by the same name.
VIOLATIONS = {
    "unmasked": (b"\x81\x02hi", 1002),  # S17
    "reserved opcode": (frames((0x3, b""), masked=True), 1002),
    "RSV1 without compression": (frames((1, b"x", True, True), masked=True), 1002),  # S15
    "not UTF-8": (frames((1, b"\xff"), masked=True), 1007),
    "continuation of nothing": (frames((9, b""), (0, b""), masked=True), 1002),
    "too long by its head": (b"\x82\xff" + (2**40).to_bytes(8, "big"), 1009),  # S2, S5
    "close code that nobody may send": (frames((8, b"\x03\xe7"), masked=True), 1002),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
@pytest.mark.parametrize("by_drop", [True, False])
def test_violations_fail_with_close_frame(data, code, by_drop):
    s, _ = pair(server_options={"failByDrop": by_drop})
    s.feed(data)
    sent = s.out()
    close = sent[-sent[::-1].index(0x88) - 1 :] if sent[0] != 0x88 else sent
    assert close[0] == 0x88
    assert int.from_bytes(close[2:4], "big") == code
    assert s.ending == "half_close"
    assert s.connection.dropped_by_me is by_drop
    assert s.connection.failed_by_me
    assert len(s.events("failed")) == 1
    s.feed(frames((1, b"later"), masked=True))
    assert s.events("message") == []
    assert s.connection.was_max_message_exceeded is (code == 1009)
    clean, reported, _ = s.connection.lost()
    assert (clean, reported) == (False, 1006)


def test_client_fails_and_the_server_answers():
    s, c = pair(client_options={"failByDrop": False})
    c.feed(b"\x83\x00")
    assert c.ending is None
    assert c.timer[0] == 1
    pump(c, s)
    assert s.connection.remote_close_code == 1002
    assert s.ending == "close"
    assert c.connection.lost()[:2] == (False, 1006)


def test_fail_by_the_program():
    s, c = pair()
    s.connection.fail(1008, "policy")
    pump(s, c)
    assert (c.connection.remote_close_code, c.connection.remote_close_reason) == (1008, "policy")
    assert s.connection.lost()[2] == (
        'connection was closed uncleanly ("I dropped the WebSocket TCP connection: policy")'
    )
    s.connection.fail(1002, "again")
    assert s.out() == b""
    s = server()
    s.connection.fail(1002, "x")
    assert s.out().startswith(b"HTTP/1.1 500 ")


def test_violation_while_closing_drops():
    s, _ = pair()
    s.connection.close(1000)
    s.out()
    s.feed(b"\xff\xff")
    assert s.out() == b""
    assert s.ending == "half_close"


def test_drop_and_loss():
    s, c = pair()
    s.connection.drop(abort=False, reason="test")
    assert s.ending == "close"
    assert s.connection.dropped_by_me
    assert "I dropped" in s.connection.lost()[2]
    why = "peer dropped the TCP connection without previous WebSocket closing handshake"
    assert c.connection.lost() == (False, 1006, f'connection was closed uncleanly ("{why}")')
    s, _ = pair()
    s.connection.drop(abort=True, reason="test")
    assert s.ending == "abort"


def test_timeouts():
    s = server(openHandshakeTimeout=0.5)
    s.feed(b"GET / HTTP/1.1\r\n")
    assert s.expire() == 0.5
    assert s.out().startswith(b"HTTP/1.1 408 ")
    assert s.connection.was_open_handshake_timeout
    assert "opening handshake timeout" in s.connection.lost()[2]

    c = client()
    start(c)
    assert c.expire() == 5
    assert c.ending == "abort"
    assert "opening handshake timeout" in c.connection.lost()[2]

    s, c = pair()
    s.connection.close(1000)
    assert s.expire() == 1
    assert s.ending == "abort"
    assert s.connection.was_close_handshake_timeout
    assert "closing handshake timeout (peer did not" in s.connection.lost()[2]

    s, c = pair()
    c.connection.close(1000)
    pump(s, c)
    assert c.expire() == 1
    assert c.connection.was_server_drop_timeout
    clean, code, reason = c.connection.lost()
    assert (clean, code) == (False, 1006)
    assert "server did not drop TCP connection in time" in reason

    s, c = pair()
    s.connection.ping_timeout()
    assert s.ending == "abort"
    assert "ping timeout" in s.connection.lost()[2]

    s = server(openHandshakeTimeout=0)
    assert s.timer is None


@pytest.mark.parametrize("options", [({}, {}), COMPRESSED], ids=["plain", "deflate"])
def test_sending_in_all_forms(options):
    s, c = pair(*options)
    for end, other in ((s, c), (c, s)):
        connection = end.connection
        big = bytes(range(256)) * 1000
        connection.send_message(big, True)
        connection.send_message(big, True, 1000)
        connection.send_message(b"x" * 10, False, 3, False)
        connection.send_message(b"", False, 1)
        sender = connection.sender
        sender.begin_message(True)
        sender.begin_frame(5)
        assert sender.frame_data(b"abc") == 2
        sender.ping(b"between")
        assert sender.frame_data(b"defg") == -2
        sender.frame(b"!")
        sender.begin_frame(0)
        assert sender.frame_data(b"") == 0
        with pytest.raises(RuntimeError, match="endMessage"):
            connection.send_message(b"x")
        sender.end_message()
        sender.begin_message(False)
        sender.end_message()
        pump(s, c)
        assert other.events("message") == [
            ("message", big, True),
            ("message", big, True),
            ("message", b"x" * 10, False),
            ("message", b"", False),
            ("message", b"abcde!", True),
            ("message", b"", False),
        ]
        assert other.events("ping") == [("ping", b"between")]


def test_auto_fragments_and_limits():
    s, c = pair(server_options={"autoFragmentSize": 4, "maxMessagePayloadSize": 10})
    s.connection.send_message(b"0123456789")
    assert s.connection.writer.size == 3 * 2 + 10
    pump(s, c)
    assert c.events("message") == [("message", b"0123456789", False)]
    with pytest.raises(PayloadExceededError):
        s.connection.send_message(b"x" * 11)
    s.connection.send_message(b"ok")
    with pytest.raises(ValueError, match="fragmentSize"):
        s.connection.send_message(b"ok", False, 0)
    sender = s.connection.sender
    sender.begin_message()
    sender.frame(b"x" * 6)
    with pytest.raises(PayloadExceededError):
        sender.frame(b"x" * 6)
    sender.frame(b"x" * 4)
    sender.end_message()
    with pytest.raises(ValueError, match="125"):
        sender.ping(b"x" * 126)
    pump(s, c)
    assert c.events("message")[1:] == [("message", b"ok", False), ("message", b"x" * 10, False)]


def test_streaming_in_the_wrong_order():
    s, _ = pair()
    sender = s.connection.sender
    for call in (
        lambda: sender.begin_frame(1),
        lambda: sender.frame(b""),
        lambda: sender.frame_data(b""),
        sender.end_message,
    ):
        with pytest.raises(RuntimeError, match="expected"):
            call()
    sender.begin_message()
    with pytest.raises(RuntimeError, match="expected"):
        sender.begin_message()
    with pytest.raises(RuntimeError, match="expected"):
        sender.frame_data(b"x")
    with pytest.raises(ValueError, match="expected"):
        sender.begin_frame(-1)
    sender.begin_frame(2)
    for call in (sender.end_message, lambda: sender.frame(b""), lambda: sender.begin_frame(1)):
        with pytest.raises(RuntimeError, match="2 more octets"):
            call()


@pytest.mark.parametrize("limit_at", ["option", "accept"])
def test_s3_limits_count_inflated_octets(limit_at):
    def accept(offers):
        return PerMessageDeflateOfferAccept(offers[0], max_message_size=1000 if limit_at == "accept" else None)

    options = {"perMessageCompressionAccept": accept}
    if limit_at == "option":
        options["maxMessagePayloadSize"] = 1000
    s, c = pair(options, COMPRESSED[1])
    c.connection.send_message(b"x" * 1000)
    pump(c, s)
    assert len(s.events("message")) == 1
    c.connection.send_message(b"x" * 100_000)
    pump(c, s)
    assert len(s.events("message")) == 1
    assert c.connection.remote_close_code == 1009


def test_errors_of_the_program_while_negotiating():
    s = server(perMessageCompressionAccept=lambda offers: 1 / 0)
    s.auto_accept = False
    s.feed(start(client(**COMPRESSED[1])))
    with pytest.raises(ZeroDivisionError):
        s.connection.accept(None, [])
    assert s.connection.state is State.CONNECTING
    assert s.connection.writer.size == 0
    s = server(**COMPRESSED[0])
    c = client(perMessageCompressionAccept=lambda response: 1 / 0, **COMPRESSED[1])
    s.feed(start(c))
    c.feed(s.out())
    assert c.events("error") == [("error", repr(ZeroDivisionError("division by zero")))]
    assert c.ending == "abort"


def test_options():
    options = ServerOptions()
    assert options.updated({"maxConnections": 5, "webStatus": None}).maxConnections == 5
    for changes in ({"nonsense": 1}, {"version": 18}):
        with pytest.raises(TypeError, match=f"expected protocol options out of .*, got '{next(iter(changes))}'"):
            options.updated(changes)
    for changes in (
        {"failByDrop": 1},
        {"maxMessagePayloadSize": "5"},
        {"maxMessagePayloadSize": True},
        {"openHandshakeTimeout": "5"},
        {"allowedOrigins": "*"},
        {"perMessageCompressionAccept": 5},
        {"flashSocketPolicy": 5},
    ):
        with pytest.raises(TypeError, match="expected"):
            options.updated(changes)
    for changes in (
        {"maxMessagePayloadSize": -1},
        {"openHandshakeTimeout": -1},
        {"openHandshakeTimeout": float("nan")},
        {"autoPingSize": 11},
        {"autoPingSize": 126},
        {"versions": [7]},
        {"versions": []},
    ):
        with pytest.raises(ValueError, match="expected"):
            options.updated(changes)
    for changes in ({"version": 8}, {"version": "18"}):
        with pytest.raises(ValueError, match="expected"):
            ClientOptions().updated(changes)
    with pytest.raises(TypeError, match="expected"):
        ClientOptions().updated({"perMessageCompressionOffers": ["x"]})

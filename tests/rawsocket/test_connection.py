"""Both ends of a connection without I/O."""

import pytest

from autobahn.exception import PayloadExceededError
from autobahn.rawsocket.connection import ClientConnection, ServerConnection, State
from autobahn.rawsocket.errors import FrameError, HandshakeError
from autobahn.rawsocket.frames import head


class Handler:
    """Notes what it is told."""

    def __init__(self):
        self.seen = []

    def connection_opened(self):
        self.seen.append("open")

    def connection_message(self, payload):
        self.seen.append(payload)

    def connection_ping(self, payload):
        self.seen.append(("ping", payload))

    def connection_pong(self, payload):
        self.seen.append(("pong", payload))


def server(max_length=1 << 24, **rules):
    rules.setdefault("serializers", (1, 2, 3))
    return ServerConnection(Handler(), lambda: None, max_length, **rules)


def client(max_length=1 << 24, serializer=3):
    connection = ClientConnection(Handler(), lambda: None, max_length, serializer=serializer)
    connection.start()
    return connection


def refused(connection, data):
    """The reason, and what the peer is told."""
    with pytest.raises(HandshakeError) as caught:
        connection.receive(data)
    assert connection._handler.seen == []
    return caught.value.reason, connection.writer.take()


def test_two_ends_agree_and_talk():
    a, b = client(1 << 12, serializer=2), server(1 << 10)
    b.receive(a.writer.take())
    a.receive(b.writer.take())
    assert (a.state, b.state) == (State.OPEN, State.OPEN)
    assert (a.max_length_send, b.max_length_send, b.serializer) == (1 << 10, 1 << 12, 2)
    a.send(b"to the server")
    a.ping(b"?")
    b.send(b"to the client")
    b.receive(a.writer.take())
    a.receive(b.writer.take())
    assert b._handler.seen == ["open", b"to the server", ("ping", b"?")]
    assert a._handler.seen == ["open", b"to the client", ("pong", b"?")]
    with pytest.raises(PayloadExceededError, match="at most the peer's 1024 octets, got 1025"):
        a.send(b"x" * 1025)
    assert a.writer.size == 0
    heard = b._handler.seen
    b.stop()
    b.receive(head(0, 1) + b"x")
    assert heard[-1] == ("ping", b"?") and b.state is State.CLOSED


def test_T_RS_4_octet_by_octet_and_with_frames_behind_the_handshake():
    data = b"\x7f\xf3\x00\x00" + head(0, 2) + b"ab" + head(1, 0)
    whole = server()
    whole.receive(data)
    for cut in range(1, len(data)):
        connection = server()
        connection.receive(data[:cut])
        connection.receive(data[cut:])
        assert connection._handler.seen == whole._handler.seen == ["open", b"ab", ("ping", b"")]
    single = server()
    for octet in data:
        single.receive(bytes((octet,)))
    assert single._handler.seen == whole._handler.seen
    assert single.writer.take() == whole.writer.take() == b"\x7f\xf3\x00\x00" + b"\x02\x00\x00\x00"


@pytest.mark.parametrize("first", [0x00, 0x10, 0x16, 0x47, 0x7E, 0x80, 0xFF])
def test_another_first_octet_gets_no_reply(first):
    reason, reply = refused(server(), bytes((first,)))
    assert (reason, reply) == (f"expected 0x7f as the first octet, got 0x{first:02x}", b"")
    reason, _ = refused(client(), bytes((first,)) * 9)
    assert "as the first octet" in reason


@pytest.mark.parametrize("serializer", [0, *range(4, 16)])
def test_T_RS_2_serializer_unsupported(serializer):
    reason, reply = refused(server(), bytes((0x7F, 0xF0 | serializer, 0, 0)) + b"trailing")
    assert reason == f"expected a serializer out of 1, 2, 3, got {serializer}"
    assert reply == b"\x7f\x10\x00\x00"


def test_T_RS_2_the_other_refusals():
    assert refused(server(min_length=1 << 16), b"\x7f\x61\x00\x00")[1] == b"\x7f\x20\x00\x00"
    assert refused(server(), b"\x7f\xf1\x00\x01")[1] == b"\x7f\x30\x00\x00"
    assert refused(server(is_full=True), b"\x7f\xf1\x00\x00")[1] == b"\x7f\x40\x00\x00"


def test_T_RS_5_every_ping_has_exactly_one_pong_of_the_same_payload():
    connection = server()
    connection.receive(b"\x7f\xf1\x00\x00")
    connection.writer.take()
    for payload in (b"", b"a", b"\x00" * 126, b"x" * (1 << 24)):
        connection.receive(head(1, len(payload)) + payload)
        assert connection.writer.take() == head(2, len(payload)) + payload
    connection.receive(head(2, 3) + b"abc")  # nobody asked
    assert connection.writer.size == 0 and connection._handler.seen[-1] == ("pong", b"abc")


def test_frames_over_the_limit_and_of_reserved_types_are_errors():
    for data in (head(0, 1025), b"\x03\x00\x00\x00", b"\x10\x00\x00\x00"):
        connection = server(1 << 10)
        connection.receive(b"\x7f\xf1\x00\x00")
        with pytest.raises(FrameError):
            connection.receive(data)

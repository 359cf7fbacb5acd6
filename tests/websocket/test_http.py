"""HTTP heads: whole, split at every byte, with trailing bytes; limits; smuggling; building."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autobahn.websocket import http
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.http import HeadReader, build_request, build_response, parse_request, parse_response

GOOD = b"GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nX-A:  1 \t\r\nx-a: 2\r\nX-Empty:\r\n\r\n"


def read(data, **options):
    """The request when the bytes come whole; the same must come when they come one by one."""
    whole, single = HeadReader(request=True, **options), HeadReader(request=True, **options)
    outcomes = []
    for reader, pieces in ((whole, [data]), (single, [data[i : i + 1] for i in range(len(data))])):
        try:
            head = None
            for index, piece in enumerate(pieces):
                head = reader.feed(piece)
                if head is not None:
                    rest = reader.rest + b"".join(pieces[index + 1 :])
                    break
            outcomes.append((parse_request(head), rest) if head is not None else None)
        except HandshakeError as exc:
            outcomes.append(exc.status)
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


def test_request():
    request, rest = read(GOOD)
    assert (request.method, request.target, request.version) == ("GET", "/chat?x=1", "1.1")
    assert request.headers == {"host": ["example.com"], "x-a": ["1", "2"], "x-empty": [""]}
    assert http.joined(request.headers)["x-a"] == "1, 2"
    assert rest == b""


def test_split_at_every_byte_and_trailing_bytes():
    for cut in range(1, len(GOOD)):
        reader = HeadReader(request=True)
        assert reader.feed(GOOD[:cut]) is None
        assert reader.feed(GOOD[cut:] + b"\x00\xff\n") == GOOD
        assert reader.rest == b"\x00\xff\n"


@pytest.mark.parametrize("octet", [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x100)])
def test_s1_s11_control_and_non_ascii_octets_are_refused(octet):
    for data in (
        b"GET / HTTP/1.1\r\nX-Innocent: a%cOrigin: evil\r\n\r\n" % octet,
        b"GET / HTTP/1.1\r\nX-%c: a\r\n\r\n" % octet,
        b"GET /%c HTTP/1.1\r\n\r\n" % octet,
    ):
        assert read(data) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n A: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nNoColon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty name\r\n\r\n",
        b"GET / HTTP/1.1\r\nA(b): 1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / HTTP/1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(data):
    assert read(data) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO example.com\r\n",
        b"\n",
        b"\x00",
        b"<policy-file-request/>\x00",
        b"\x7f\xf0" + b"A" * 6,  # RawSocket
    ],
)
def test_s35_s36_what_is_no_http_is_refused_at_once(data):
    with pytest.raises(HandshakeError) as caught:
        HeadReader(request=True).feed(data)
    assert caught.value.status == 400


def test_s7_endless_head():
    reader = HeadReader(request=True)
    reader.feed(b"GET / HTTP/1.1\r\nX: ")
    fed = 0
    with pytest.raises(HandshakeError) as caught:
        for _ in range(100_000):
            reader.feed(b"a" * 1000)
            fed += 1000
    assert caught.value.status == 431
    assert fed <= 64 * 1024


def test_s8_header_count():
    def request(count):
        return b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * count + b"\r\n"

    assert len(read(request(100))[0].headers["a"]) == 100
    for count in (101, 200, 1000):
        assert read(request(count)) == 431
    assert read(request(5000)) == 431


def test_head_size_is_counted_exactly():
    data = b"GET / HTTP/1.1\r\nX: " + b"a" * 100 + b"\r\n\r\n"
    assert read(data, max_size=len(data))[0].method == "GET"
    assert read(data, max_size=len(data) - 1) == 431


def test_s7_bytewise_feeding_is_linear():
    def seconds(size):
        reader = HeadReader(request=True, max_size=10**7)
        reader.feed(b"GET / HTTP/1.1\r\nX: ")
        start = time.perf_counter()
        for _ in range(size):
            reader.feed(b"a")
        return time.perf_counter() - start

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(50_000) for _ in range(2)) < 40 * small


def test_response():
    reader = HeadReader(request=False)
    head = reader.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    response = parse_response(head)
    assert (response.status, response.reason, response.version) == (101, "Switching Protocols", "1.1")
    assert reader.rest == b"\x81\x00"
    head = HeadReader(request=False).feed("HTTP/1.1 403 Verboten für dich\r\nA: \xff\r\n\r\n".encode("latin-1"))
    assert parse_response(head).status == 403
    assert parse_response(b"HTTP/1.1 403\r\n\r\n").reason == ""


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 99 x\r\n\r\n", b"HTTP/1.1 1000 x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"\x81\x05hello", b"x\r\n"]
)
def test_malformed_responses_are_refused(data):
    with pytest.raises(HandshakeError):
        parse_response(HeadReader(request=False).feed(data))


@given(st.binary(max_size=200))
@example(GOOD)
def test_only_documented_errors(data):
    for prefix in (b"", b"GET / HTTP/1.1\r\n"):
        outcome = read(prefix + data + b"\r\n\r\n")
        assert outcome in (400, 431) or isinstance(outcome, tuple)


def test_s27_builders_refuse_control_characters():
    for bad in ("a\r\nX: y", "a\nb", "a\0", "a\x7f", "a\x85", "ä", "\u2028"):
        with pytest.raises(ValueError, match="expected"):
            build_request("GET", "/", [("A", bad)])
        with pytest.raises(ValueError, match="expected"):
            build_request("GET", "/" + bad, [])
        with pytest.raises(ValueError, match="expected"):
            build_request("GET" + bad, "/", [])
        with pytest.raises(ValueError, match="expected"):
            build_response(400, bad, [])
        with pytest.raises(ValueError, match="expected"):
            build_response(400, None, [(bad, "x")])
    with pytest.raises(ValueError, match="expected"):
        build_request("GET", "/a b", [])
    with pytest.raises(ValueError, match="expected"):
        build_response(99, "x", [])


def test_what_is_built_can_be_parsed():
    head = build_request("GET", "/x?y=z", [("Host", "a:1"), ("B", "c\td")])
    assert read(head)[0].headers == {"host": ["a:1"], "b": ["c\td"]}
    head = build_response(404, None, [("A", "b")], b"body")
    assert head == b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody"

"""S1, S7 to S13, S25, S26, S28, S36: what a request head can do to a server."""

import contextlib

import pytest

from attacks.world import Target, allocations, assert_linear, measures_memory, request, status
from autobahn.websocket import http
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.extensions import parse_extensions
from autobahn.websocket.handshake import ServerRules, check_request
from autobahn.websocket.origins import is_allowed_origin

CONTROLS = [octet for octet in range(0x20) if octet not in b"\t\r\n"] + [0x7F, 0x85, 0xA0]


def judged(data, **rules):
    """The status with which a head is refused, or its upgrade."""
    try:
        reader = http.HeadReader(request=True)
        head = reader.feed(data)
        assert head is not None
        return check_request(http.parse_request(head), ServerRules(**rules), "peer")
    except HandshakeError as error:
        return error.status


@pytest.mark.parametrize("octet", CONTROLS, ids=lambda octet: f"{octet:02x}")
def test_S1_control_octets_in_every_place_of_a_head(octet):
    assert judged(request(b"X-Good: yes")).request.headers["x-good"] == "yes"
    evil = bytes([octet])
    for line in (
        b"X-A: a" + evil + b"Origin: http://evil",
        b"X-A: a" + evil + b"\nOrigin: http://evil",
        b"X-" + evil + b"A: a",
        b"X-A: " + evil,
        evil + b"X-A: a",
    ):
        assert judged(request(line)) == 400
    assert judged(request().replace(b"/chat", b"/ch" + evil + b"at")) == 400
    assert judged(request().replace(b"GET ", b"GET" + evil, 1)) == 400


FOLDS = {
    "folded": b"X-A: a\r\n Origin: http://evil",
    "folded by tab": b"X-A: a\r\n\tOrigin: http://evil",
    "bare lf": b"X-A: a\nOrigin: http://evil",
    "bare cr": b"X-A: a\rOrigin: http://evil",
    "lf cr": b"X-A: a\n\rOrigin: http://evil",
    "cr cr lf": b"X-A: a\r\r\nOrigin: http://evil",
    "space before colon": b"Origin : http://evil",
    "no colon": b"Origin",
    "no name": b": http://evil",
}


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_S1_no_second_header_out_of_one(name, bytewise, caplog):
    data = request(FOLDS[name])
    pieces = [data[at : at + 1] for at in range(len(data))] if bytewise else [data]
    async with Target(caplog) as target:
        assert status(await target.attack(*pieces)) == 400
        assert target.factory.requests == []
        assert len(target.lines()) == 1


async def test_S1_control_octets_never_reach_the_handler(caplog):
    async with Target(caplog) as target:
        for octet in (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85):
            answer = await target.attack(request(b"X-A: a" + bytes([octet]) + b"X-Forwarded-For: 10.0.0.1"))
            assert status(answer) == 400
        assert target.factory.requests == []


@measures_memory
async def test_S7_an_endless_head_ends_at_the_limit(caplog):
    async with Target(caplog) as target:
        with allocations() as meter:
            peer = await target.connect()
            await peer.send(b"GET / HTTP/1.1\r\nX: ", *[b"a" * 16384] * 200)
            answer = await peer.rest()
            assert meter.peak() < 2 * 2**20
        assert answer == b"" or status(answer) == 431
        assert len(target.lines()) == 1
        assert "431" in target.lines()[0]


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 65536])
def test_S7_the_limit_is_exact_and_known_early(size):
    data = request(b"X: ")[:-4]
    data += b"a" * (size - len(data) - 4) + b"\r\n\r\n"
    assert len(data) == size
    reader = http.HeadReader(request=True)
    if size <= 16 * 1024:
        assert reader.feed(data) == data
    else:
        with pytest.raises(HandshakeError) as caught:
            reader.feed(data[: 16 * 1024 + 1])  # the end is not waited for
        assert caught.value.status == 431


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("line", [b"", b"A: b\r\n", b"A" * 100 + b": b\r\n"], ids=["one line", "short", "long"])
def test_S7_collecting_a_head_is_linear(step, line):
    def work(size):
        data = b"GET / HTTP/1.1\r\n" + (line * (size // len(line)) if line else b"X: " + b"a" * size)
        reader = http.HeadReader(request=True, max_size=2**30)
        for at in range(0, len(data), step):
            reader.feed(data[at : at + step])

    assert_linear(work, 4000 if step == 1 else 20_000)


def test_S7_repeated_headers_are_linear():
    def work(count):
        head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * count + b"\r\n"
        headers = http.parse_request(head, max_headers=10**9).headers
        assert len(http.joined(headers)["a"]) == 3 * count - 2

    assert_linear(work, 2000)


@pytest.mark.parametrize("count", [101, 102, 500, 1000, 5000, 10_000])
async def test_S8_too_many_headers(count, caplog):
    async with Target(caplog) as target:
        answer = await target.attack(request(*[b"X: y"] * (count - 5)))
        assert answer == b"" or status(answer) == 431
        assert "431" in target.lines()[0]
        assert target.factory.requests == []


async def test_S8_a_hundred_headers_are_fine(caplog):
    async with Target(caplog) as target:
        peer = await target.open(*[b"X: y"] * 95)
        await peer.send(frame_of_close())
        await peer.rest()
        assert len(target.factory.requests) == 1
        assert status(await target.attack(request(*[b"X: y"] * 96))) == 431


def frame_of_close():
    return b"\x88\x80\0\0\0\0"


REGEX_BOMBS = {
    "spaces": b" ",
    "tabs": b"\t",
    "commas": b",",
    "semicolons": b";",
    "quotes": b'"',
    "equals": b"=",
    "escapes": rb"\c",
    "escaped quotes": rb"\"",
    "tokens": b"a",
    "list": b"a, ",
    "spaced list": b"a ,\t",
    "parameters": b"a; b; ",
    "quoted": b'a; b="c"; ',
    "proto": b"__proto__, ",
}


@pytest.mark.parametrize("name", REGEX_BOMBS)
@pytest.mark.parametrize("start", ["", 'a; b="', "a; b=", "a;", "permessage-deflate; "])
def test_S9_S10_extension_header_is_linear(name, start):
    unit = REGEX_BOMBS[name].decode()

    def work(size):
        with pytest.raises(HandshakeError, match="400"):
            parse_extensions(start + unit * (size // len(unit)) + "\x00")

    assert_linear(work, 8192)


@pytest.mark.parametrize("name", REGEX_BOMBS)
def test_S9_every_header_of_the_handshake_is_linear(name):
    unit = REGEX_BOMBS[name]
    for header in (b"Sec-WebSocket-Protocol", b"Origin", b"Host", b"Upgrade", b"Connection", b"Sec-WebSocket-Key"):

        def work(size, header=header):
            head = request(header + b": x" + unit * (size // len(unit)), without={header.lower()})
            with contextlib.suppress(HandshakeError):
                check_request(http.parse_request(head), ServerRules(allowed_origins=("http://*a*b*c",)), "peer")

        assert_linear(work, 8192)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "__class__", "hasOwnProperty"])
async def test_S9_names_that_mean_something_to_the_language(name, caplog):
    async with Target(caplog) as target:
        word = name.encode()
        peer = await target.open(
            b"Sec-WebSocket-Protocol: " + word,
            b"Sec-WebSocket-Extensions: " + word + b"; " + word + b"=" + word,
            word + b": " + word,
        )
        await peer.send(frame_of_close())
        await peer.rest()
        seen = target.factory.requests[0]
        assert seen.protocols == [name]
        assert seen.extensions == [(name, {name: [name]})]
        assert seen.headers[name.lower()] == name


def test_S9_origin_patterns_with_many_stars_are_linear():
    def work(size):
        assert not is_allowed_origin("http://" + "a" * size, ["http://" + "*a" * 50 + "*b"], False)

    assert_linear(work, 4000)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Origin",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Cookie",
        "X-Any",
    ],
)
def test_S11_octets_beyond_ascii_in_every_header(name):
    for octet in range(0x80, 0x100):
        line = name.encode() + b": a" + bytes([octet]) + b"b"
        assert judged(request(line, without={name.lower().encode()})) == 400
    assert judged(request(name.encode() + b": " + "ſK²".encode(), without={name.lower().encode()})) == 400


ALLOWED = ["https://good.com", "http://good.com:8080", "https://*.good.com", "http://[::1]:*"]
GOOD_ORIGINS = [
    "https://good.com",
    "https://good.com:443",
    "HTTPS://GOOD.COM",
    "http://good.com:8080",
    "https://a.b.good.com",
    "http://[::1]:3000",
]
BAD_ORIGINS = [
    "http://good.com",
    "http://good.com.evil.com",
    "https://good.com.evil.com",
    "https://good.com.",
    "https://good.com:8443",
    "https://good.com:443.evil.com",
    "https://good.com@evil.com",
    "https://good.com:pw@evil.com",
    "https://evil.com/https://good.com",
    "https://evil.com?https://good.com",
    "https://evil.com#.good.com",
    "https://evil.com/.good.com",
    "https://evil.com\\.good.com",
    "https://evilgood.com",
    "https://.good.com:1",
    "https:good.com",
    "//good.com",
    "good.com",
    "*",
    "https://good.com https://evil.com",
    "https://good.com, https://evil.com",
    "https://good.com/",
    "wss://good.com",
    "ftp://good.com",
    "http://[::1]:3000.evil.com",
    "http://[::1",
    "null.good.com",
    "",
    " ",
    "file://",
    "null",
    "NULL",
]


@pytest.mark.parametrize("origin", GOOD_ORIGINS)
def test_S12_allowed_origins(origin):
    rules = {"allowed_origins": ALLOWED, "allow_null_origin": False}
    assert judged(request(b"Origin: " + origin.encode()), **rules).request.origin == origin


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_S12_cross_origin_is_refused(origin):
    rules = {"allowed_origins": ALLOWED, "allow_null_origin": False}
    assert judged(request(b"Origin: " + origin.encode()), **rules) == 403
    # Neither a second header nor the header of an old draft gets it past.
    assert judged(request(b"Origin: https://good.com", b"Origin: " + origin.encode()), **rules) == 400
    line = b"Sec-WebSocket-Origin: https://good.com"
    assert judged(request(b"Origin: " + origin.encode(), line), **rules) == 403


async def test_S12_on_the_wire(caplog):
    async with Target(caplog, allowedOrigins=["https://good.com"]) as target:
        for origin in (b"https://good.com.evil.com", b"null", b"http://good.com"):
            assert status(await target.attack(request(b"Origin: " + origin))) == 403
        assert target.factory.requests == []
        peer = await target.open(b"Origin: https://good.com")
        await peer.send(frame_of_close())
        await peer.rest()


async def test_S12_an_empty_list_refuses_all_browsers(caplog):
    async with Target(caplog, allowedOrigins=[]) as target:
        assert status(await target.attack(request(b"Origin: http://example.com"))) == 403
        peer = await target.open()  # not a browser
        await peer.send(frame_of_close())
        await peer.rest()


@pytest.mark.parametrize(
    "target",
    ["/?redirect=http://evil.com/&after=1", "/?redirect=%0d%0aSet-Cookie:%20a=b", "/?after=<script>x</script>"],
)
async def test_S13_nothing_of_a_request_is_reflected(target, caplog):
    async with Target(caplog) as world:
        data = b"GET " + target.encode() + b" HTTP/1.1\r\nHost: evil.example\r\nCookie: evil\r\n\r\n"
        answer = await world.attack(data)
        assert status(answer) == 426
        head = answer.partition(b"\r\n\r\n")[0].lower()
        for word in (b"evil", b"script>x", b"set-cookie", b"\r\nlocation:", b"\r\nrefresh:"):
            assert word not in head
        assert b"evil" not in answer
        assert b"http-equiv" not in answer.lower()


HOSTS = {
    "missing": [],
    "two": [b"Host: a", b"Host: b"],
    "two the same": [b"Host: a", b"Host: a"],
    "path": [b"Host: a/b"],
    "query": [b"Host: a?b"],
    "fragment": [b"Host: a#b"],
    "user": [b"Host: user@a"],
    "space": [b"Host: a b"],
    "list": [b"Host: a, b/"],
    "empty": [b"Host:"],
    "port": [b"Host: a:b"],
    "big port": [b"Host: a:65536"],
    "long port": [b"Host: a:000080"],
    "two ports": [b"Host: a:80:80"],
    "open bracket": [b"Host: [::1"],
    "backslash": [b"Host: a\\b"],
    "quote": [b'Host: "a"'],
}


@pytest.mark.parametrize("name", HOSTS)
def test_S25_host_header(name):
    assert judged(request(*HOSTS[name], without={b"host"})) == 400
    assert judged(request(b"Host: [::1]:80", without={b"host"})).request.host == "[::1]"


SMUGGLING = {
    "length and chunked": [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    "chunked": [b"Transfer-Encoding: chunked"],
    "hidden chunked": [b"Transfer-Encoding: xchunked"],
    "two lengths": [b"Content-Length: 0", b"Content-Length: 5"],
    "two equal lengths": [b"Content-Length: 0", b"Content-Length: 0"],
    "list of lengths": [b"Content-Length: 0, 0"],
    "plus": [b"Content-Length: +0"],
    "minus": [b"Content-Length: -1"],
    "underscore": [b"Content-Length: 0_0"],
    "zeros": [b"Content-Length: 00"],
    "body": [b"Content-Length: 5"],
    "empty": [b"Content-Length:"],
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_S26_requests_with_a_body(name, caplog):
    assert judged(request(*SMUGGLING[name])) == 400
    async with Target(caplog) as target:
        assert status(await target.attack(request(*SMUGGLING[name]) + b"hello")) == 400
        assert target.factory.requests == []


@pytest.mark.parametrize("second", [b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n", frame_of_close(), b"\r\n", b"\0"])
async def test_S26_nothing_comes_before_the_answer(second, caplog):
    async with Target(caplog) as target:
        answer = await target.attack(request() + second)
        assert status(answer) == 400
        assert answer.count(b"HTTP/1.1") == 1
        assert target.factory.requests == []


UPGRADES = {
    "notupgrade": (b"notwebsocket", b"Upgrade"),
    "prefix": (b"websocketx", b"Upgrade"),
    "version": (b"websocket/13", b"Upgrade"),
    "quoted": (b'"websocket"', b"Upgrade"),
    "spaced": (b"web socket", b"Upgrade"),
    "empty": (b"", b"Upgrade"),
    "h2c": (b"h2c", b"Upgrade"),
    "connection prefix": (b"websocket", b"xUpgrade"),
    "connection suffix": (b"websocket", b"Upgrade-Insecure-Requests"),
    "connection keep-alive": (b"websocket", b"keep-alive"),
    "connection empty": (b"websocket", b""),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_S28_tokens_are_compared_whole(name):
    upgrade, connection = UPGRADES[name]
    lines = [b"Upgrade: " + upgrade, b"Connection: " + connection]
    assert judged(request(*lines, without={b"upgrade", b"connection"})) in (400, 426)
    lines = [b"Upgrade: h2c, WebSocket", b"Connection: keep-alive ,\tUPGRADE"]
    assert judged(request(*lines, without={b"upgrade", b"connection"})).target == "/chat"


@pytest.mark.parametrize("end", [b"\0", b"\r\n\r\n", b""])
async def test_S36_flash_policy_is_not_served(end, caplog):
    async with Target(caplog, serveFlashSocketPolicy=True, flashSocketPolicy="<cross-domain-policy/>") as target:
        peer = await target.connect()
        await peer.send(b"<policy-file-request/>" + end)
        if not end:
            peer.writer.write_eof()
        answer = await peer.rest()
        assert b"policy" not in answer.lower()
        assert answer == b"" or status(answer) == 400
        await target.alone()

"""The opening handshake on heads, both roles."""

import base64

import pytest

from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.handshake import (
    ClientRequest,
    ServerRules,
    accept_response,
    accept_value,
    check_request,
    check_response,
    error_response,
)
from autobahn.websocket.http import parse_request, parse_response
from autobahn.websocket.types import (
    ConnectingRequest,
    ConnectionAccept,
    ConnectionDeny,
    ConnectionResponse,
    IncomingMessage,
    OutgoingMessage,
    Ping,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = {
    "Host": "example.com:9000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head(line="GET /chat?a=1&a=2 HTTP/1.1", extra=(), **changes):
    headers = dict(GOOD)
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    lines = [line, *(f"{n}: {v}" for n, v in headers.items() if v is not None), *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def check(data, **rules):
    return check_request(parse_request(data), ServerRules(**rules), "tcp4:1.2.3.4:5")


def status(data, **rules):
    with pytest.raises(HandshakeError) as caught:
        check(data, **rules)
    return caught.value.status


def test_request_is_accepted():
    upgrade = check(head(extra=["X-Y: a", "X-Y: b"]))
    request = upgrade.request
    assert request.peer == "tcp4:1.2.3.4:5"
    assert (request.host, request.path, request.params) == ("example.com", "/chat", {"a": ["1", "2"]})
    assert (request.version, request.origin, request.protocols, request.extensions) == (13, "", [], [])
    assert request.headers["x-y"] == "a, b"
    assert upgrade.key == KEY
    assert "example.com" in str(request)


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (405, head("POST / HTTP/1.1")),
        (505, head("GET / HTTP/1.0")),
        (505, head("GET / HTTP/2.0")),
        (400, head("GET /#frag HTTP/1.1")),
        (400, head("GET * HTTP/1.1")),
        (400, head("GET evil HTTP/1.1")),
        (400, head("GET ftp://h/ HTTP/1.1")),
        (400, head(Host=None)),
        (400, head(Host="")),
        (400, head(Host="a/b?")),
        (400, head(Host="a b")),
        (400, head(Host="user@a")),
        (400, head(Host="a:99999")),
        (400, head(Host="a:b")),
        (400, head(extra=["Host: other"])),
        (426, head(Upgrade=None)),
        (400, head(Upgrade="h2c")),
        (400, head(Upgrade="notwebsocket")),
        (400, head(Upgrade="websocket/1")),
        (400, head(Connection=None)),
        (400, head(Connection="keep-alive")),
        (400, head(Connection="notupgrade")),
        (400, head(Connection="upgrade2, x-upgrade")),
        (400, head(Sec_WebSocket_Version=None)),
        (400, head(Sec_WebSocket_Version="7")),
        (400, head(Sec_WebSocket_Version="+13")),
        (400, head(Sec_WebSocket_Version="013")),
        (400, head(Sec_WebSocket_Version="")),
        (400, head(Sec_WebSocket_Version="9" * 5000)),
        (400, head(extra=["Sec-WebSocket-Version: 13"])),
        (400, head(Sec_WebSocket_Key=None)),
        (400, head(Sec_WebSocket_Key="")),
        (400, head(Sec_WebSocket_Key="short")),
        (400, head(Sec_WebSocket_Key=base64.b64encode(bytes(15)).decode())),
        (400, head(Sec_WebSocket_Key=base64.b64encode(bytes(17)).decode())),
        (400, head(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ!!")),
        (400, head(extra=[f"Sec-WebSocket-Key: {KEY}"])),
        (400, head(Sec_WebSocket_Protocol="a,b,a")),
        (400, head(Sec_WebSocket_Protocol="a b")),
        (400, head(Sec_WebSocket_Protocol="a,,b")),
        (400, head(Sec_WebSocket_Protocol="")),
        (400, head(extra=["Origin: http://a", "Origin: http://a"])),
        (400, head(extra=["Content-Length: 5"])),
        (400, head(extra=["Content-Length: +0"])),
        (400, head(extra=["Content-Length: 0", "Content-Length: 0"])),
        (400, head(extra=["Transfer-Encoding: chunked"])),
        (400, head(Sec_WebSocket_Extensions="a b")),
    ],
)
def test_s9_s11_s25_s26_s28_requests_that_are_refused(expected, data):
    assert status(data) == expected


def test_tolerated_variants():
    assert check(head(Upgrade="WebSocket")).request.version == 13
    assert check(head(Connection="keep-alive, Upgrade")).request.version == 13
    assert check(head(Upgrade="h2c, websocket")).request.version == 13
    assert check(head(extra=["Content-Length: 0"])).request.version == 13
    assert check(head("GET http://example.com:9000/abs?q=1 HTTP/1.1")).request.path == "/abs"
    assert check(head("GET //a/b HTTP/1.1")).request.path == "//a/b"
    assert check(head(Host="[::1]:80")).request.host == "[::1]"
    request = check(head(Sec_WebSocket_Protocol="a, b", extra=["Sec-WebSocket-Protocol: c"])).request
    assert request.protocols == ["a", "b", "c"]
    request = check(head(Sec_WebSocket_Extensions="x; y=1", extra=["Sec-WebSocket-Extensions: z"])).request
    assert request.extensions == [("x", {"y": ["1"]}), ("z", {})]
    old = check(head(Sec_WebSocket_Version="8", extra=["Sec-WebSocket-Origin: http://a"])).request
    assert (old.version, old.origin) == (8, "http://a")


def test_versions_and_port_rules():
    assert status(head(Sec_WebSocket_Version="8"), versions=[13]) == 400
    with pytest.raises(HandshakeError) as caught:
        check(head(Sec_WebSocket_Version="7"))
    assert ("Sec-WebSocket-Version", "13,8") in caught.value.headers
    assert check(head(), external_port=9000).request.host == "example.com"
    assert status(head(), external_port=9001) == 400
    assert status(head(Host="example.com"), external_port=9001) == 400
    assert check(head(Host="example.com"), external_port=443, is_secure=True).request.host == "example.com"


def test_accept_answer():
    upgrade = check(head(Sec_WebSocket_Protocol="chat, superchat"))
    assert accept_value(KEY) == ACCEPT
    answer = accept_response(
        upgrade, server="S", headers=[("X", "y")], subprotocol="chat", extensions=["permessage-deflate"]
    )
    assert answer.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"Server: S",
        b"Upgrade: WebSocket",
        b"Connection: Upgrade",
        b"X: y",
        b"Sec-WebSocket-Protocol: chat",
        b"Sec-WebSocket-Accept: " + ACCEPT.encode(),
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"",
        b"",
    ]
    plain = accept_response(upgrade, server="", headers=[], subprotocol=None, extensions=[])
    assert b"Server" not in plain
    with pytest.raises(ValueError, match="offered"):
        accept_response(upgrade, server=None, headers=[], subprotocol="other", extensions=[])
    with pytest.raises(ValueError, match="printable"):
        accept_response(upgrade, server=None, headers=[("X", "a\r\nb")], subprotocol=None, extensions=[])


def test_s13_s27_error_answers():
    answer = error_response(HandshakeError(403, "no\r\nSet-Cookie: a=b\x85ä"), server=None)
    first, *rest = answer.split(b"\r\n")
    assert first == b"HTTP/1.1 403 no??Set-Cookie: a=b??"
    assert b"Connection: close" in rest
    body = answer.partition(b"\r\n\r\n")[2]
    assert f"Content-Length: {len(body)}".encode() in rest
    assert error_response(HandshakeError(404, ""), server=None).startswith(b"HTTP/1.1 404 Not Found\r\n")
    with pytest.raises(HandshakeError) as caught:
        check(head("GET /?redirect=http://evil&after=1 HTTP/1.1", Upgrade=None))
    for web_status in (True, False):
        page = error_response(caught.value, server=None, web_status=web_status)
        assert page.startswith(b"HTTP/1.1 426 ")
        assert b"Upgrade: websocket\r\n" in page
        assert b"evil" not in page


def client(**changes):
    return ClientRequest(host="h", port=9000, resource="/x", key=KEY, **changes)


def test_client_request_order():
    request = client(
        useragent="ua",
        headers={"X-One": "1", "X-Many": ["a", "b"]},
        origin="http://o",
        protocols=["p", "q"],
        extensions=["permessage-deflate", "x"],
    )
    assert request.build().decode().split("\r\n") == [
        "GET /x HTTP/1.1",
        "User-Agent: ua",
        "Host: h:9000",
        "Upgrade: WebSocket",
        "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "X-One: 1",
        "X-Many: a",
        "X-Many: b",
        f"Sec-WebSocket-Key: {KEY}",
        "Origin: http://o",
        "Sec-WebSocket-Protocol: p,q",
        "Sec-WebSocket-Extensions: permessage-deflate, x",
        "Sec-WebSocket-Version: 13",
        "",
        "",
    ]
    assert b"Host: [::1]:1\r\n" in ClientRequest("::1", 1, "/").build()
    assert b"Host: localhost\r\n" in ClientRequest("unix", "/tmp/s", "/").build()
    assert b"Sec-WebSocket-Origin: o\r\n" in client(origin="o", version=8).build()
    assert client().key != ClientRequest("h", 1, "/").key
    assert check(client(protocols=["p"]).build()).request.protocols == ["p"]


def test_s27_client_refuses_what_cannot_be_sent():
    for changes in (
        {"headers": {"X": "a\r\nB: c"}},
        {"headers": {"X y": "a"}},
        {"origin": "a\nb"},
        {"useragent": "ä"},
        {"protocols": ["a b"]},
        {"protocols": ["a", "a"]},
    ):
        with pytest.raises(ValueError, match="expected"):
            client(**changes).build()
    with pytest.raises(TypeError, match="expected"):
        client(headers={"X": 5}).build()
    with pytest.raises(ValueError, match="expected"):
        ClientRequest("h\r\n", 1, "/").build()
    with pytest.raises(ValueError, match="expected"):
        ClientRequest("h", 1, "/ x").build()


ANSWER = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}


def answer(line="HTTP/1.1 101 OK", extra=(), **changes):
    headers = ANSWER | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line, *(f"{n}: {v}" for n, v in headers.items() if v is not None), *extra]
    return parse_response(("\r\n".join(lines) + "\r\n\r\n").encode())


def test_client_accepts():
    switched = check_response(answer(), client())
    assert (switched.subprotocol, switched.extensions) == (None, [])
    assert check_response(answer(Sec_WebSocket_Protocol="p"), client(protocols=["p"])).subprotocol == "p"


@pytest.mark.parametrize(
    "response",
    [
        answer("HTTP/1.1 200 OK"),
        answer("HTTP/1.0 101 OK"),
        answer("HTTP/1.1 302 Found", extra=["Location: http://evil"]),
        answer(Upgrade=None),
        answer(Upgrade="notwebsocket"),
        answer(Connection=None),
        answer(Connection="close"),
        answer(Sec_WebSocket_Accept=None),
        answer(Sec_WebSocket_Accept="AAAA"),
        answer(extra=[f"Sec-WebSocket-Accept: {ACCEPT}"]),
        answer(Sec_WebSocket_Protocol="unoffered"),
        answer(Sec_WebSocket_Protocol="p, p"),
        answer(extra=["Sec-WebSocket-Protocol: p", "Sec-WebSocket-Protocol: p"]),
        answer(extra=["Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: a"]),
        answer(Sec_WebSocket_Extensions="a b"),
    ],
)
def test_client_refuses(response):
    with pytest.raises(HandshakeError):
        check_response(response, client(protocols=["p"]))


def test_records():
    for make in (
        lambda: ConnectingRequest(host=5),
        lambda: ConnectingRequest(protocols=[5]),
        lambda: ConnectionAccept(5),
        lambda: ConnectionAccept(None, "x"),
        lambda: ConnectionDeny(403, 5),
        lambda: IncomingMessage("x"),
        lambda: OutgoingMessage("x"),
        lambda: Ping("x"),
    ):
        with pytest.raises(TypeError, match="expected"):
            make()
    for make in (
        lambda: ConnectingRequest(port=0),
        lambda: ConnectionDeny(200),
        lambda: ConnectionDeny("403"),
        lambda: Ping(b"x" * 126),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
    assert "'port': 81" in str(ConnectingRequest(port=81))
    assert ConnectionDeny(403).code == ConnectionDeny.FORBIDDEN
    assert (IncomingMessage(b"x").payload, OutgoingMessage(b"x", True).is_binary) == (b"x", True)
    assert Ping().payload is None
    assert Ping(b"x").payload == b"x"
    assert str(ConnectionResponse("p", {}, 18, "x", [])).startswith("{")


def test_client_failure_text():
    with pytest.raises(HandshakeError) as caught:
        check_response(answer("HTTP/1.1 403 nope"), client())
    assert caught.value.reason == "WebSocket connection upgrade failed [403]: nope"

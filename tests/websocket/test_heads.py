"""Request heads that were judged before are judged alike, and nothing that belongs to one client is remembered."""

import base64
import os

import pytest

from autobahn.websocket import heads, http
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.handshake import ServerRules, check_request
from autobahn.websocket.opening import ServerConnection
from autobahn.websocket.options import ServerOptions

LINES = (
    "Host: example.com:9000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: {key}",
    "Sec-WebSocket-Version: 13",
)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def head(*extra: str, key: str = KEY, target: str = "/ws", lines: tuple[str, ...] = LINES) -> bytes:
    fields = "\r\n".join((f"GET {target} HTTP/1.1", *lines, *extra))
    return f"{fields}\r\n\r\n".replace("{key}", key).encode("latin-1")


def other_key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def judged(data: bytes, rules: ServerRules):
    request = http.parse_request(data)
    return request, check_request(request, rules, "peer")


def learn(data: bytes, rules: ServerRules) -> None:
    heads.remember(data, *judged(data, rules), rules)


def recall(data: bytes, rules: ServerRules, max_headers: int = 100):
    return heads.recall(data, rules, "peer", max_headers)


@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("User-Agent: x", "Origin: http://example.com", "Accept-Language: de, en;q=0.5"),
        ("Sec-WebSocket-Protocol: wamp.2.json, wamp.2.cbor",),
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y=1",),
    ],
)
@pytest.mark.parametrize("learned_with", [(), ("Cookie: secret=1",)])
@pytest.mark.parametrize("cookie", [(), ("Cookie: a=b; c=d",), ("Cookie:  \ta=b \t",), ("Cookie: ",)])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_recalled_is_what_would_have_been_judged(extra, learned_with, cookie, is_first):
    rules = ServerRules()
    learn(head(*extra, *learned_with), rules)
    assert "secret" not in str(rules.known)
    for _ in range(3):
        lines = (*cookie, *LINES) if is_first else (*LINES, *cookie)
        data = head(*extra, key=other_key(), lines=lines)
        request, upgrade = recall(data, rules)
        plain, expected = judged(data, rules)
        assert (request.method, request.target, request.version) == (plain.method, plain.target, plain.version)
        assert (upgrade.key, upgrade.target) == (expected.key, expected.target)
        assert upgrade.request.__json__() == expected.request.__json__()


def test_records_of_two_connections_share_nothing_that_can_be_changed():
    rules = ServerRules()
    extra = ("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: x; y=1")
    learn(head(*extra), rules)
    spoiled = recall(head(*extra), rules)[1].request
    spoiled.headers["host"] = "evil"
    spoiled.params["a"] = ["b"]
    spoiled.protocols.append("c")
    spoiled.extensions[0][1]["y"].append("2")
    assert recall(head(*extra), rules)[1].request.__json__() == judged(head(*extra), rules)[1].request.__json__()


@pytest.mark.parametrize(
    "key",
    [
        "x" * 24,
        "dGhlIHNhbXBsZSBub25jZQ= ",
        "dGhlIHNhbXBsZSBub25jZWU=",  # 17 octets
        "dGhlIHNhbXBsZSBub25jZQ==\r",
        "\r\nX: dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZR==",  # bits that stand for nothing
        "d\x00hlIHNhbXBsZSBub25jZQ==",
        "d\xffhlIHNhbXBsZSBub25jZQ==",
        "",
    ],
)
def test_a_key_that_is_none_is_not_recalled_with_a_known_head(key):
    rules = ServerRules()
    learn(head(), rules)
    found = recall(head(key=key), rules)
    if found is not None:
        assert found[1].request.__json__() == judged(head(key=key), rules)[1].request.__json__()
        assert key == "dGhlIHNhbXBsZSBub25jZR=="  # which the strict decoder lets through everywhere


@pytest.mark.parametrize(
    "data",
    [
        head(target="/other"),
        head("User-Agent: x"),
        head("Cookie: a=b", "User-Agent: x"),
        head("Cookie: a=b", "Cookie: c=d"),
        head("Cookie: a\rb"),
        head("Cookie: a\nb"),
        head("Cookie: a\x00b"),
        head("Cookie: a\xffb"),
        head("Cookie: a\r\n b"),
        head() + b"\r\nCookie: a",
        head() + b"Cookie: a\r\n",
        head() + b"\r\nCookie: a\r\n",
        head()[:-2] + b"\r\nCookie: a\r\n",
        head()[:-2] + b"\r\nCookie: a\r\n\r\n",
        b"\r\nCookie: a" + head(),
        head("Cookie: a")[:-4],
        head("Cookie: a")[:-2],
        head().replace(b"\r\n\r\n", b"\r\nCookie: a"),
        head(target="/ws\r\nCookie: a"),
        head("Sec-WebSocket-Key: " + KEY),
        head() + b"\x81\x00",
        head()[:-1],
        head() + head(),
        head(lines=LINES[:3] + LINES[4:]),
        head(lines=("Host: example.com:9000", "X-Sec-WebSocket-Key: {key}", *LINES[1:3], LINES[4])),
        head().replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key:  "),
        b"",
    ],
)
def test_nothing_but_the_key_may_differ(data):
    rules = ServerRules()
    learn(head(), rules)
    assert recall(data, rules) is None


def test_octets_out_of_which_cutting_makes_a_known_head_are_not_one():
    # without the key's field at its place: the cut of 24 octets somewhere else leads to the same rest
    rules = ServerRules()
    learn(head(), rules)
    (template,) = rules.known
    for at in range(len(template)):
        data = template[:at] + b"A" * 24 + template[at:]
        found = recall(data, rules)
        assert found is None or data == head(key="A" * 24)


@pytest.mark.parametrize(
    "data",
    [
        head("Cookie: a=b", "Cookie: c=d"),
        head("cookie: a=b"),
        head("Cookie:a=b"),
        head("Authorization: Basic eA=="),
        head("X-Forwarded-For: 1.2.3.4"),
        head("X-Anything: 1"),
        head(target="/ws?token=1"),
        head("Sec-WebSocket-Protocol: bearer, " + "a" * 65),
        head("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
        head("User-Agent: " + "a" * 1024),
        head().replace(b"Sec-WebSocket-Key", b"sec-websocket-key"),
    ],
)
def test_what_may_belong_to_one_client_is_not_remembered(data):
    rules = ServerRules()
    learn(data, rules)
    assert not rules.known


def test_only_so_many_are_remembered_and_the_oldest_goes():
    rules = ServerRules()
    for number in range(heads.MAX_KNOWN + 3):
        learn(head(target=f"/{number}"), rules)
    assert len(rules.known) == heads.MAX_KNOWN
    assert recall(head(target="/2"), rules) is None
    assert recall(head(target="/3"), rules) is not None


def test_rules_do_not_share_what_they_know():
    rules, others = ServerRules(), ServerRules(versions=(8,))
    learn(head(), rules)
    assert rules == ServerRules()
    assert recall(head(), others) is None


class End:
    """Sink and handler of a connection that is accepted."""

    def __init__(self, **options):
        self.requests = []
        self.failed = ""
        self.rules = ServerRules()
        self.options = ServerOptions(**options)

    def __getattr__(self, name):
        return lambda *args: None

    def connection_handshake(self, request):
        self.requests.append(request)

    def connection_failed(self, reason):
        self.failed = reason

    def open(self, **extra):
        return ServerConnection(self, self, self.options, rules=self.rules, peer="peer", **extra)


def test_a_connection_recalls_what_another_one_has_learned():
    end = End()
    end.open().receive(head())
    assert len(end.rules.known) == 1
    connection = end.open()
    key = other_key()
    connection.receive(head(key=key))
    assert [request.headers["sec-websocket-key"] for request in end.requests] == [KEY, key]
    assert connection.status_line == "GET /ws HTTP/1.1"
    assert connection.target == "/ws"
    connection.receive(b"x")
    assert end.failed.startswith("400: expected nothing behind the request")


def test_limits_of_the_head_hold_for_known_ones():
    end = End()
    end.open().receive(head())
    for options in ({"maxHandshakeSize": len(head()) - 1}, {"maxHandshakeHeaders": 4}):
        end.options, end.failed = ServerOptions(**options), ""
        end.open().receive(head())
        assert end.failed.startswith("431")
    end.options, end.failed = ServerOptions(maxHandshakeHeaders=5), ""
    end.open().receive(head("Cookie: a=b"))
    assert end.failed.startswith("431")
    assert len(end.requests) == 1


def test_a_hook_for_plain_http_sees_every_request():
    end, seen = End(), []
    end.open().receive(head())
    end.open(on_request=seen.append).receive(head())
    assert seen[0].headers["host"] == ["example.com:9000"]


def test_a_refused_request_is_not_remembered():
    end = End()
    end.open().receive(head(lines=LINES[:4]))
    assert end.failed
    assert not end.rules.known
    with pytest.raises(HandshakeError):
        judged(head(lines=LINES[:4]), end.rules)


@pytest.mark.parametrize("cookie", [b"\r\nCookie: a", b"Cookie: a\r\n", b"\r\nCookie: a\r\n", b"\r\nCookie: a\r\n\r\n"])
def test_a_line_with_cookies_belongs_to_a_head_only_where_the_parser_finds_it_there(cookie):
    rules = ServerRules()
    learn(head(), rules)
    whole = head()
    for at in range(len(whole) + 1):
        data = whole[:at] + cookie + whole[at:]
        found = recall(data, rules)
        if found is None:
            continue
        reader = http.HeadReader(request=True)
        assert reader.feed(data) == data and reader.rest == b""
        assert found[1].request.__json__() == judged(data, rules)[1].request.__json__()

"""Which pages may connect (S12)."""

import time

import pytest

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket import http
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.handshake import check_request
from autobahn.websocket.options import ServerOptions
from autobahn.websocket.origins import is_allowed_origin
from websocket_world import Server, World

HEAD = (
    b"GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: %s\r\n\r\n"
)


def judged(origin, url="ws://example.com", *, host="example.com", **options):
    """The status a server with these options answers a page of `origin` with."""
    factory = WebSocketServerFactory(url)
    factory.setProtocolOptions(**options)
    request = http.parse_request(HEAD % (host.encode(), origin.encode()))
    try:
        check_request(request, factory.rules_for(factory.options), "peer")
    except HandshakeError as error:
        return error.status
    return 101


@pytest.mark.parametrize(
    ("origin", "patterns", "allowed"),
    [
        ("http://good.com", ["*"], True),
        ("http://good.com", [], False),
        ("http://good.com", ["http://good.com:80"], True),
        ("http://good.com", ["http://good.com"], True),
        ("http://GOOD.com", ["http://good.com"], True),
        ("https://good.com", ["http://good.com"], False),
        ("http://good.com:8080", ["http://good.com"], False),
        ("http://good.com:8080", ["http://good.com:*"], True),
        ("http://good.com.evil.com", ["http://good.com"], False),
        ("http://good.com.evil.com", ["*good.com:*"], False),
        ("http://good.com.", ["http://good.com"], False),
        ("http://evil-good.com", ["http://*.good.com"], False),
        ("http://a.good.com", ["http://*.good.com"], True),
        ("http://evil.com/.good.com", ["http://*.good.com"], False),
        ("http://evil.com?.good.com", ["*"], False),
        ("http://user@good.com", ["*"], False),
        ("http://good.com:80:80", ["*"], False),
        ("http://good.com:", ["*"], False),
        ("good.com", ["*"], False),
        ("", ["*"], False),
        ("https://[::1]:9", ["https://[::1]:9"], True),
        ("http://aab", ["http://*aab"], True),
        ("http://ab", ["http://*ab*b"], False),
    ],
)
def test_s12_origins(origin, patterns, allowed):
    assert is_allowed_origin(origin, patterns, False) is allowed


def test_s12_null_origins():
    for origin in ("null", "file://", "file:///x"):
        assert is_allowed_origin(origin, ["*"], True)
        assert not is_allowed_origin(origin, ["*"], False)
    start = time.process_time()
    is_allowed_origin("http://" + "a" * 16000, ["*a" * 200 + "b"], False)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("origin", "host", "secure", "allowed"),
    [
        ("http://example.com", "example.com", False, True),
        ("http://EXAMPLE.com", "example.COM", False, True),
        ("http://example.com:80", "example.com", False, True),
        ("http://example.com", "example.com:80", False, True),
        ("http://example.com", "example.com:080", False, True),
        ("http://example.com:8080", "example.com:8080", False, True),
        ("http://[::1]:8080", "[::1]:8080", False, True),
        ("https://example.com", "example.com", True, True),
        ("https://example.com:443", "example.com", True, True),
        # behind a front that speaks TLS
        ("https://example.com", "example.com", False, True),
        ("https://example.com", "example.com:443", False, True),
        # a page somebody on the way can write
        ("http://example.com", "example.com", True, False),
        ("http://example.com:443", "example.com:443", True, False),
        ("http://example.com:8080", "example.com", False, False),
        ("http://example.com", "example.com:8080", False, False),
        ("https://example.com", "example.com:80", False, False),
        ("http://example.com.", "example.com", False, False),
        ("http://example.com.evil.com", "example.com", False, False),
        ("http://evil-example.com", "example.com", False, False),
        ("http://a.example.com", "example.com", False, False),
        ("http://user@example.com", "example.com", False, False),
        ("ws://example.com", "example.com", False, False),
        ("ftp://example.com", "example.com", False, False),
        ("chrome-extension://example.com", "example.com", False, False),
        ("http://example.com/", "example.com", False, False),
        ("same-origin", "same-origin", False, False),
        ("null", "null", False, False),
        ("file://example.com", "example.com", False, False),
        ("", "example.com", False, False),
    ],
)
def test_s12_same_origin(origin, host, secure, allowed):
    status = judged(origin, "wss://h" if secure else "ws://h", host=host, allowedOrigins=["same-origin"])
    assert status == (101 if allowed else 403)


def test_s12_same_origin_beside_others():
    options = {"allowedOrigins": ["same-origin", "https://app.example.net"]}
    assert judged("http://example.com", **options) == 101
    assert judged("https://app.example.net", **options) == 101
    assert judged("https://example.net", **options) == 403


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, True),
        ({"allowedOrigins": ["*"]}, True),
        ({"allowNullOrigin": False}, False),
        ({"allowedOrigins": ["*"], "allowNullOrigin": False}, False),
        ({"allowedOrigins": ["https://good.com"]}, False),
        ({"allowedOrigins": ["same-origin"]}, False),
        ({"allowedOrigins": []}, False),
        ({"allowedOrigins": ["https://good.com"], "allowNullOrigin": True}, True),
    ],
)
def test_s12_who_names_origins_does_not_mean_null(options, allowed):
    for origin in ("null", "NULL", "file://", "file:///x"):
        assert judged(origin, **options) == (101 if allowed else 403)
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(**options)
    assert factory.allowNullOrigin is allowed


def test_s12_null_set_before_the_origins_stays():
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(allowNullOrigin=True)
    factory.setProtocolOptions(allowedOrigins=["https://good.com"])
    assert factory.allowNullOrigin
    factory.resetProtocolOptions()
    assert factory.allowNullOrigin
    factory.setProtocolOptions(allowedOrigins=["https://good.com"])
    assert not factory.allowNullOrigin
    assert not factory.rules_for(factory.options).allow_null_origin
    with pytest.raises(TypeError, match="expected allowNullOrigin of type bool, got int"):
        ServerOptions(allowNullOrigin=1)


async def test_s12_the_protocol_tells_what_is_in_force():
    class Named(Server):
        allowedOrigins = ["https://good.com"]

    class Null(Server):
        allowedOrigins = ["https://good.com"]
        allowNullOrigin = True

    for protocol, expected in [(WebSocketServerProtocol, True), (Named, False), (Null, True)]:
        async with World(protocol) as world:
            await world.open()
            assert world.server.allowNullOrigin is expected

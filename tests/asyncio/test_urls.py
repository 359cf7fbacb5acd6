"""URLs where both transports may be named: what is none is refused with the text that says what is allowed."""

import pytest

import autobahn
from autobahn.asyncio.component import Component
from autobahn.asyncio.urls import parse_any_url
from autobahn.asyncio.wamp import ApplicationRunner

PLACES = {
    "Component": lambda url: Component(transports=url),
    "Component rawsocket": lambda url: Component(transports={"type": "rawsocket", "url": url}),
    "ApplicationRunner": lambda url: ApplicationRunner(url).run(None, start_loop=False),
    "connect": lambda url: autobahn.connect(url, realm="realm1"),
}
ALLOWED = "expected a ws://, wss://, rs:// or rss:// URL"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://a", f"{ALLOWED}, got 'http://a'"),
        ("", f"{ALLOWED}, got ''"),
        ("ws:/a", f"{ALLOWED}, got 'ws:/a'"),
        (
            "rs+unix:///tmp/s",
            f"{ALLOWED} (ws://unix:/path or rs://unix:/path for a Unix socket), got 'rs+unix:///tmp/s'",
        ),
        ("unix:/tmp/s", f"{ALLOWED} (ws://unix:/path or rs://unix:/path for a Unix socket), got 'unix:/tmp/s'"),
        ("rs://unix/tmp/s", "expected a URL of host and port, like rs://localhost:8080, got 'rs://unix/tmp/s'"),
        ("rs://unix:s", "expected rs://unix:/path/of/socket, got 'rs://unix:s'"),
        ("ws://unix:s", "expected ws://unix:/path/of/socket, got 'ws://unix:s'"),
        ("rs://[::1", "expected an IPv6 address in brackets, like rs://[::1]:8080, got 'rs://[::1'"),
        ("ws://[zz]/", "expected an IPv6 address in brackets, like ws://[::1]:8080/, got 'ws://[zz]/'"),
        ("rs://[::1]:65536", "expected a port from 0 to 65535 in the URL, got 'rs://[::1]:65536'"),
        ("ws://[::1]:65536", "expected a port from 1 to 65535 in the URL, got 'ws://[::1]:65536'"),
    ],
)
def test_what_is_no_url_is_refused_with_what_is_allowed(place, url, text):
    with pytest.raises(ValueError) as refused:
        PLACES[place](url)
    assert str(refused.value).removeprefix("transport 0: ") == text


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ws://[::1]:8080/ws", (False, False, "::1", 8080)),
        ("WSS://[2001:DB8::1]", (False, True, "2001:db8::1", 443)),
        ("rs://[::1]:8080", (True, False, "::1", 8080)),
        ("RSS://[::1]", (True, True, "::1", 443)),
        ("ws://unix:/tmp/s", (False, False, "unix", "/tmp/s")),
        ("rss://unix:/tmp/a%20b", (True, True, "unix", "/tmp/a b")),
    ],
)
def test_the_parts_of_a_url(url, parts):
    assert parse_any_url(url) == parts


def test_a_url_is_a_text():
    with pytest.raises(TypeError, match="expected a URL of type str, got bytes"):
        autobahn.connect(b"ws://localhost/", realm="realm1")

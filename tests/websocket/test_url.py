"""WebSocket URLs."""

import pytest

from autobahn.websocket.util import create_url, parse_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ws://localhost", (False, "localhost", 80, "/", "/", {})),
        ("wss://Example.com", (True, "example.com", 443, "/", "/", {})),
        ("ws://h:9000/", (False, "h", 9000, "/", "/", {})),
        ("ws://h:9000/a/b?x=1&x=2&y=", (False, "h", 9000, "/a/b?x=1&x=2&y=", "/a/b", {"x": ["1", "2"]})),
        ("ws://h?x=1", (False, "h", 80, "/?x=1", "/", {"x": ["1"]})),
        ("ws://[::1]:8080/x", (False, "::1", 8080, "/x", "/x", {})),
        ("ws://h/%20a", (False, "h", 80, "/%20a", "/ a", {})),
        ("WS://h", (False, "h", 80, "/", "/", {})),
        ("ws://unix:/tmp/a.sock", (False, "unix", "/tmp/a.sock", "/", "/", {})),
        ("ws://h:0/", (False, "h", 0, "/", "/", {})),
    ],
)
def test_parse(url, parts):
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "h:9000",
        "ws:/h",
        "ws://",
        "ws:///path",
        "ws://h#frag",
        "ws://h/#",
        "ws://user:secret@h",
        "ws://h:99999",
        "ws://h:port",
        "ws://h/a b",
        "ws://h/\r\nX: y",
        "ws://h/ä",
        "ws://unix:relative",
        "",
    ],
)
def test_s27_bad_urls(url):
    with pytest.raises(ValueError, match="expected"):
        parse_url(url)


def test_create():
    assert create_url("localhost") == "ws://localhost:80/"
    assert create_url("h", 9000, True, "a b", {"x": [1, 2]}) == "wss://h:9000/a%20b?x=1&x=2"
    assert create_url("::1", 1) == "ws://[::1]:1/"
    assert create_url("unix", "/tmp/a.sock") == "ws://unix:/tmp/a.sock"
    for arguments in ((None,), ("h", 70000), ("h", "x"), ("unix", 5), ("a b",), ("h\r\n",)):
        with pytest.raises((TypeError, ValueError), match="expected"):
            create_url(*arguments)

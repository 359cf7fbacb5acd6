"""RawSocket URLs."""

import pytest

from autobahn.rawsocket.util import create_url, parse_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rs://localhost:8080", (False, "localhost", 8080)),
        ("rss://example.com:8443/", (True, "example.com", 8443)),
        ("rs://127.0.0.1:0", (False, "127.0.0.1", 0)),
        ("rs://[::1]:9", (False, "::1", 9)),
        ("rs://example.com", (False, "example.com", 80)),
        ("rss://example.com", (True, "example.com", 443)),
        ("RS://a:1", (False, "a", 1)),
        ("rs://unix:/tmp/a b".replace(" ", "%20"), (False, "unix", "/tmp/a b")),
        ("rss://unix:/tmp/s", (True, "unix", "/tmp/s")),
    ],
)
def test_parts(url, parts):
    assert parse_url(url) == parts
    assert parse_url(create_url(parts[1], parts[2], parts[0])) == parts


@pytest.mark.parametrize(
    "url",
    ["ws://a:1", "rs:a", "rs://", "rs://:80", "rs://a:x", "rs://a:70000", "rs://a:-1", "rs://a:", "rs://a/path", "rs://a?x=1",
     "rs://a#f", "rs://u:p@a:1", "rs://a b:1", "rs://\u00e4:1", "rs://unix:relative", "rs://unix:/a?b", "", "rs://a:1\n"],
)  # fmt: skip
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match="expected "):
        parse_url(url)


def test_create():
    assert create_url("localhost", 90) == "rs://localhost:90"
    assert create_url("::1", 90, True) == "rss://[::1]:90"
    assert create_url("localhost") == "rs://localhost:80"
    assert create_url("localhost", isSecure=True) == "rss://localhost:443"
    assert create_url("unix", "/tmp/s") == "rs://unix:/tmp/s"
    for bad in (("a", 65536), ("a", -1), ("a", "80"), ("a", True), ("unix", 5), ("unix", "s"), ("a b", 1)):
        with pytest.raises(ValueError, match="expected"):
            create_url(*bad)
    for bad in (("", 1), (5, 1), ("a", 1, "yes")):
        with pytest.raises(TypeError, match="expected"):
            create_url(*bad)
    with pytest.raises(TypeError, match="type str"):
        parse_url(5)

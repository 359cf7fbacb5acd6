"""What a client keeps of cookies, and what a server finds (RFC 6265)."""

import pytest

from autobahn.websocket.cookies import CookieJar, received_cookie, set_cookie, with_cookies

URL = "ws://a.example/ws/x"


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def jar():
    return CookieJar(Clock())


def test_a_cookie_goes_back_to_its_host_only(jar):
    jar.store(URL, "a=1; Path=/")
    assert jar.header("ws://a.example:9000/other") == "a=1"
    assert jar.header("ws://b.example/ws/x") is None
    jar.store("ws://b.example/", "a=2; Domain=example; Path=/")
    assert jar.header("ws://c.example/") is None
    jar.store("ws://unix:/run/x.sock", "s=1")
    assert (jar.header("ws://unix:/run/x.sock"), jar.header("ws://unix:/run/y.sock")) == ("s=1", None)


def test_several_in_one_header_with_a_date(jar):
    jar.store(URL, 'a=1; Expires=Wed, 21 Oct 2093 07:28:00 GMT, b="2"; Path=/ws, c=3; Path=/')
    assert jar.header(URL) == "a=1; b=2; c=3"  # longer paths first
    assert jar.header("ws://a.example/wsx") == "c=3"


def test_cookies_end(jar):
    jar.store(URL, "a=1; Max-Age=10, b=2; Expires=Wed, 21 Oct 1970 07:28:00 GMT, c=3")
    assert jar.header(URL) == "a=1; c=3"
    jar._clock.now += 10
    assert jar.header(URL) == "c=3"
    jar.store(URL, "c=; Max-Age=0")
    assert jar.header(URL) is None
    assert len(jar) == 0


def test_secure_cookies_need_tls(jar):
    jar.store("wss://a.example/", "a=1; Secure; Path=/")
    jar.store("ws://a.example/", "b=1; Secure; Path=/")  # RFC 6265bis: not settable without
    assert (jar.header("wss://a.example/"), jar.header("ws://a.example/")) == ("a=1", None)


@pytest.mark.parametrize("text", [None, "", "a", "=1", "a b=1", "a=\x01", f"a={'x' * 5000}", "a=1\r\nX: y"])
def test_what_is_malformed_is_ignored(jar, text):
    jar.store(URL, text)
    assert jar.header(URL) is None


def test_a_server_cannot_fill_the_memory(jar):
    for i in range(200):
        jar.store(URL, f"a{i}=1")
    assert len(jar) == 50
    jar.clear()
    assert len(jar) == 0


def test_with_the_programs_own_cookies(jar):
    jar.store(URL, "a=1")
    assert with_cookies({"X": "y", "cookie": "b=2"}, jar, URL) == {"X": "y", "Cookie": "b=2; a=1"}
    assert with_cookies({"cookie": ["b=2", "c=3"]}, jar, URL) == {"Cookie": "b=2; c=3; a=1"}
    assert with_cookies({"X": "y"}, None, URL) == {"X": "y"}


def test_what_a_server_finds_and_sets():
    assert received_cookie({"cookie": "x=1; id=abc ;y"}, "id") == "abc"
    assert received_cookie({"cookie": "id=a, id=b"}, "id") is None
    assert received_cookie({}, "id") is None
    assert set_cookie("id", "v", max_age=5, secure=False) == "id=v; Max-Age=5; Path=/; HttpOnly; SameSite=Strict"
    assert set_cookie("id", "v", max_age=5, secure=True).endswith("; Secure")
    with pytest.raises(ValueError, match="without separators"):
        set_cookie("id", "a;b", max_age=5, secure=True)

"""URIs, T-URI-*: validity, patterns, decorators."""

from __future__ import annotations

from typing import Any

import pytest

from autobahn import wamp
from autobahn.wamp.exception import InvalidPayload, InvalidUri, InvalidUriError, NotAuthorized
from autobahn.wamp.types import RegisterOptions
from autobahn.wamp.uri import Pattern, convert_starred_uri, declared_error_uri, is_valid, require_uri

SHAPES = ("exact", "prefix", "wildcard")
# uri: the shapes for which it is valid, loose and strict
TABLE: dict[str, tuple[str, str]] = {
    "com": ("epw", "epw"), "com.example": ("epw", "epw"), "com.example.add2": ("epw", "epw"),
    "com.example.": ("pw", "pw"), "com.": ("pw", "pw"), "": ("pw", "pw"), ".": ("w", "w"), "..": ("w", "w"),
    "a..": ("w", "w"), "..b": ("w", "w"), "a..b": ("w", "w"), ".a": ("w", "w"), "a.b..": ("w", "w"),
    "com.Example": ("epw", ""), "com.my-app": ("epw", ""), "com.my_app.x1": ("epw", "epw"),
    "com.ümlaut": ("epw", ""), "com.١٢": ("epw", ""), "com.exa mple": ("", ""), "com.#": ("", ""),
    "com.ex#ample": ("", ""), " com": ("", ""), "com ": ("", ""), "com.foo\n": ("", ""), "com\tfoo": ("", ""),
    "com.foo\r": ("", ""), "com.\u00a0x": ("", ""), "com.\u2028x": ("", ""), "\0com": ("", ""),
    "com.<x>": ("epw", ""), "com/x": ("epw", ""), "a" * 300: ("epw", "epw"), "a" * 300 + "\n": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("uri", TABLE, ids=ascii)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strict", [False, True])
def test_T_URI_1_table(uri: str, shape: str, strict: bool) -> None:
    valid = shape[0] in TABLE[uri][strict]
    assert is_valid(uri, shape, strict) is valid
    if valid:
        require_uri(uri, shape, strict)
    else:
        with pytest.raises(InvalidUriError, match="expected a URI"):
            require_uri(uri, shape, strict)


def test_T_URI_4_trailing_newline() -> None:
    for shape in SHAPES:
        for strict in (False, True):
            assert not is_valid("com.foo\n", shape, strict)


def test_T_URI_5_empty_components() -> None:
    assert [is_valid(uri, "wildcard") for uri in ("", ".", "a..", "..b")] == [True] * 4
    assert [is_valid(uri, "exact") for uri in ("", ".", "a..", "..b")] == [False] * 4
    assert [is_valid(uri, "prefix") for uri in ("", ".", "a..", "..b")] == [True, False, False, False]


@pytest.mark.parametrize("uri", [None, 5, b"com.x", ["a"]])
def test_a_uri_is_a_text(uri: Any) -> None:
    with pytest.raises(TypeError, match="expected a URI of type str"):
        require_uri(uri)


def test_a_long_uri_takes_linear_time() -> None:
    assert not is_valid("a." * 500_000 + "#", "exact")
    assert is_valid("a." * 500_000 + "a", "exact")


def test_starred_uris() -> None:
    assert convert_starred_uri("com.x") == ("com.x", "exact")
    assert convert_starred_uri("com.x.*") == ("com.x.", "prefix")
    assert convert_starred_uri("com.*.x") == ("com..x", "wildcard")
    assert convert_starred_uri("com.*.*") == ("com..", "wildcard")


E, H = Pattern.URI_TARGET_ENDPOINT, Pattern.URI_TARGET_HANDLER


@pytest.mark.parametrize(
    ("uri", "policy", "wire", "matching", "values"),
    [
        ("com.x", "exact", "com.x", "com.x", {}),
        ("com.<n:int>.x", "wildcard", "com..x", "com.42.x", {"n": 42}),
        ("com.<a>.<b:str>", "wildcard", "com..", "com.u.v", {"a": "u", "b": "v"}),
        ("com.<a:string>", "wildcard", "com.", "com.u", {"a": "u"}),
        ("com..x", "wildcard", "com..x", "com.anything.x", {}),
        ("com.x.<rest:suffix>", "prefix", "com.x.", "com.x.a.b.c", {"rest": "a.b.c"}),
        ("com.<a>.<rest:suffix>", "wildcard", "com..", "com.x.a.b", {"a": "x", "rest": "a.b"}),
    ],
)
def test_patterns(uri: str, policy: str, wire: str, matching: str, values: dict[str, Any]) -> None:
    pattern = Pattern(uri, E)
    assert (pattern.uri(), pattern.match_policy, pattern.wire_uri()) == (uri, policy, wire)
    assert pattern.uri_type == {"exact": 1, "prefix": 2, "wildcard": 3}[policy]
    assert pattern.match(matching) == ([], values)
    for other in ("org.x", "", matching + "\n", "com"):
        with pytest.raises(ValueError, match="expected a URI that matches"):
            pattern.match(other)


@pytest.mark.parametrize("uri", ["com.<x>.<x>", "com.<r:suffix>.x", "com.a b", "com.<1>", "com.<x:float>", "a.b#"])
def test_bad_patterns(uri: str) -> None:
    with pytest.raises(TypeError):
        Pattern(uri, E)


def test_misuse_of_patterns() -> None:
    with pytest.raises(AssertionError):
        Pattern("", E)
    with pytest.raises(ValueError, match="target"):
        Pattern("a.b", 9)
    with pytest.raises(TypeError):
        Pattern(5, E)  # type: ignore[arg-type]


def test_decorators() -> None:
    options = RegisterOptions(invoke="random")

    @wamp.register("com.a", options, check_types=True)
    @wamp.subscribe("com.b")
    @wamp.register(None)
    def work() -> None: ...

    patterns = work._wampuris  # type: ignore[attr-defined]
    assert [p.uri() for p in patterns] == ["work", "com.b", "com.a"]
    assert [p.is_endpoint() for p in patterns] == [True, False, True]
    assert [p.is_handler() for p in patterns] == [False, True, False]
    assert (patterns[2].options, patterns[2].check_types) == (options, True)
    with pytest.raises(AssertionError):
        wamp.register("com.a")(5)


def test_error_decorator() -> None:
    @wamp.error("com.my.error")
    class MyError(Exception):
        pass

    class Derived(MyError):
        pass

    assert declared_error_uri(MyError) == "com.my.error"
    assert MyError._wampuris[0].is_exception()  # type: ignore[attr-defined]
    assert declared_error_uri(Derived) is None
    assert declared_error_uri(ValueError) is None
    wamp.error("com.other")(Derived)
    assert (declared_error_uri(MyError), declared_error_uri(Derived)) == ("com.my.error", "com.other")
    assert declared_error_uri(NotAuthorized) == "wamp.error.not_authorized"
    assert declared_error_uri(InvalidUri) == "wamp.error.invalid_uri"
    assert declared_error_uri(InvalidPayload) == "wamp.error.invalid_payload"
    for wrong in (5, int, BaseException, MyError()):
        with pytest.raises(AssertionError):
            wamp.error("com.x")(wrong)

"""`PatternMap` against a matcher that looks at every pattern."""

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.router import patterns as patterns_module
from autobahn.router.patterns import MATCHES, PatternMap

components = st.sampled_from(["a", "b", "ab", "abc"])
concrete = st.lists(components, min_size=1, max_size=4).map(".".join)
wildcards = st.lists(components | st.just(""), min_size=1, max_size=4).map(".".join)
prefixes = concrete | concrete.map(lambda uri: uri + ".") | st.just("")
patterns = st.one_of(
    st.tuples(st.just("exact"), concrete),
    st.tuples(st.just("prefix"), prefixes),
    st.tuples(st.just("wildcard"), wildcards),
)
SPECIFIC = {match: i for i, match in enumerate(MATCHES)}


def matches(match, pattern, uri):
    if match == "exact":
        return pattern == uri
    if match == "prefix":
        return uri.startswith(pattern)
    mine, others = pattern.split("."), uri.split(".")
    return len(mine) == len(others) and all(p in ("", u) for p, u in zip(mine, others, strict=True))


def precedence(item):
    match, pattern = item
    if match == "prefix":
        return SPECIFIC[match], -len(pattern)
    return SPECIFIC[match], [part == "" for part in pattern.split(".")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(patterns, st.booleans()), max_size=25), st.lists(concrete, min_size=1, max_size=8))
def test_like_the_naive_matcher(steps, uris):
    fast: PatternMap = PatternMap()
    naive = set()
    for item, is_put in steps:
        if is_put:
            fast.put(*item, item)
            naive.add(item)
        elif item in naive:
            fast.remove(*item)
            naive.discard(item)
        assert fast.get(*item) == (item if item in naive else None)
    assert len(fast) == len(naive)
    assert set(fast.values()) == naive
    assert fast.has_patterns == any(match != "exact" for match, _ in naive)
    for uri in uris:
        expected = sorted((item for item in naive if matches(*item, uri)), key=precedence)
        assert fast.every(uri) == expected
        assert {item for item in naive if patterns_module.matches(*item, uri)} == set(expected)
        assert fast.best(uri) == (expected[0] if expected else None)


def test_T_URI_5_wildcards_of_nothing_but_dots():
    table: PatternMap = PatternMap()
    for pattern in ("", ".", "a..", "..b"):
        table.put("wildcard", pattern, pattern)
    assert table.every("x") == [""]
    assert table.every("x.y") == ["."]
    assert table.every("a.x.y") == ["a.."]
    assert table.every("a.x.b") == ["a..", "..b"]


def test_patterns_of_one_shape_are_removed_one_by_one():
    table: PatternMap = PatternMap()
    for pattern in ("a..b", "a..c", "x."):
        table.put("wildcard", pattern, pattern)
    table.remove("wildcard", "a..b")
    assert table.every("a.x.b") == []
    assert table.every("a.x.c") == ["a..c"]
    table.remove("wildcard", "a..c")
    table.remove("wildcard", "x.")
    assert not table.has_patterns

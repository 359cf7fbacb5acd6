"""autobahn.util; T-ID-3, T-ID-4."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from autobahn import util


def test_T_ID_3_random_ids() -> None:
    ids = {util.rid() for _ in range(10_000)} | {util.id() for _ in range(10)}
    assert len(ids) == 10_010
    assert all(1 <= i <= 2**53 for i in ids)
    assert len({i >> 49 for i in ids}) == 16


def test_T_ID_4_counter_wraps_to_one() -> None:
    generator = util.IdGenerator()
    assert [generator.next(), next(generator)] == [1, 2]
    generator._last = 2**53 - 1
    assert [generator.next(), generator.next(), generator.next()] == [2**53, 1, 2]


def test_times() -> None:
    assert util.utcstr(datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)) == "2024-05-06T07:08:09.123Z"
    assert util.utcstr(datetime(2024, 5, 6, 7, 8, 9)) == "2024-05-06T07:08:09.000Z"
    assert util.utcstr(datetime(2024, 5, 6, 7, tzinfo=timezone(timedelta(hours=2)))) == "2024-05-06T05:00:00.000Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", util.utcnow())


def test_tokens() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", util.newid())
    assert len(util.newid(40)) == 40
    assert re.fullmatch(r"[2-9A-Z]{3}x[2-9A-Z]{3}", util.generate_token(2, 3, sep="x"))
    assert util.generate_token(1, 4, chars="A", lower_case=True) == "aaaa"
    assert util.parse_activation_code(util.generate_activation_code())
    assert not util.parse_activation_code("W97F-96MJ")
    assert len(util.generate_serial_number()) == 29
    assert re.fullmatch(r"([a-z1-9]{4}-){3}[a-z1-9]{4}", util.generate_user_password())


def test_values() -> None:
    assert util.xor(b"\x0f\xf0", b"\xff\xff") == b"\xf0\x0f"
    with pytest.raises(ValueError):
        util.xor(b"a", b"")
    assert util.encode_truncate("häh", 2) == b"h"
    assert util.encode_truncate("häh", 3, return_encoded=False) == "hä"
    assert util.encode_truncate("abc", 3) == b"abc"
    assert util.encode_truncate(None, 3) is None  # type: ignore[arg-type]
    (pattern,) = util.wildcards2patterns(["*.example.com:*"])
    assert pattern.match("www.example.com:80")
    assert not pattern.match("wwwxexample.com:80")
    assert (util.hlval(5), util.hlid(5)) == ("5", "5")
    assert util.hltype(dict) == "<builtins.dict>"
    assert util.public(test_values)._is_public  # type: ignore[attr-defined]


def test_stopwatch_and_tracker() -> None:
    watch = util.Stopwatch(start=False)
    assert watch.elapsed() == 0
    watch.resume()
    watch.resume()
    assert watch.pause() == watch.elapsed()
    assert watch.stop() > 0
    assert watch.elapsed() == 0
    tracker = util.Tracker(None, None)
    tracker.track("a")
    tracker.track("b")
    assert tracker.diff("a", "b", formatted=False) >= 0
    assert tracker.diff("a", "b").endswith("us") or tracker.diff("a", "b").endswith("ms")
    assert (tracker.diff("a", "x"), tracker.diff("a", "x", False)) == ("n.a.", None)
    assert list(tracker) == ["a", "b"]
    assert tracker["a"] is not None
    assert abs((tracker.absolute("a") or 0) - datetime.now(UTC).timestamp()) < 60
    assert tracker.absolute("x") is None


class Plain(util.EqualityMixin):
    def __init__(self, a: int, hidden: int) -> None:
        self.a = a
        self._hidden = hidden


def test_equality() -> None:
    assert Plain(1, 2) == Plain(1, 3)
    assert Plain(1, 2) != Plain(2, 2)
    assert Plain(1, 2) != 1


def test_observers() -> None:
    observable, parent = util.ObservableMixin(), util.ObservableMixin()
    observable._parent = parent
    seen: list[Any] = []

    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x * 10

    observable.set_valid_events(["join"])
    observable.on("join", seen.append)
    observable.on("join", later)
    parent.on("join", lambda x: x + 1)
    results = observable.fire("join", 5)
    assert seen == [5]

    async def collect() -> list[Any]:
        return await results

    assert asyncio.run(collect()) == [None, 50, 6]
    observable.off("join", later)
    observable.off("join", later)
    observable.fire("join", 6)
    assert seen == [5, 6]
    observable.off("join")
    observable.fire("join", 7)
    observable.on("join", seen.append)
    observable.off()
    observable.fire("join", 8)
    assert seen == [5, 6]
    with pytest.raises(RuntimeError, match="expected an event out of join"):
        observable.on("jion", seen.append)
    with pytest.raises(ValueError):
        observable.off(handler=seen.append)


def test_key_files(tmp_path: Any) -> None:
    path = tmp_path / "key"
    path.write_text(
        "A key - keep it to yourself\n\ncreator: me@here\nPublic-Key-Ed25519: 00ff\nprivate-key-ed25519: ff00\n"
    )
    tags = util.parse_keyfile(str(path))
    assert list(tags.items()) == [
        ("creator", "me@here"),
        ("public-key-ed25519", "00ff"),
        ("private-key-ed25519", "ff00"),
    ]
    with pytest.raises(ValueError, match=r"expected a public key in .*, got private-key-ed25519"):
        util.parse_keyfile(str(path), private=False)
    path.write_text("a: 1\nA: 2\n")
    with pytest.raises(ValueError, match="every tag once"):
        util.parse_keyfile(str(path))
    path.write_text("a: 1\nnonsense\n")
    with pytest.raises(ValueError, match='"tag: value" in line 2'):
        util.parse_keyfile(str(path))

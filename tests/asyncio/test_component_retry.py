"""Delays between the attempts of a component, and what servers say about them."""

import email.utils
import random

import pytest

from autobahn.asyncio.retry import Backoff, Retry, hinted_delay, retry_after
from autobahn.exception import InvalidStatus
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CloseDetails


def test_delays_are_full_jitter_below_a_growing_bound():
    retry = Retry(max_retries=-1, initial_retry_delay=1, retry_delay_growth=2, max_retry_delay=30)
    runs = []
    for seed in range(200):
        backoff = Backoff(retry, random.Random(seed))
        runs.append([backoff.next() for _ in range(8)])
    for number, bound in enumerate([1, 2, 4, 8, 16, 30, 30, 30]):
        column = [run[number] for run in runs]
        assert 0 <= min(column) < bound * 0.1 and bound * 0.9 < max(column) <= bound
        assert bound * 0.4 < sum(column) / len(column) < bound * 0.6


def test_delays_with_a_given_jitter_are_around_the_bound():
    backoff = Backoff(Retry(initial_retry_delay=10, retry_delay_jitter=0.1, max_retry_delay=12), random.Random(1))
    delays = [backoff.next() for _ in range(500)]
    assert 5 < delays[0] <= 12 and max(delays) <= 12 and min(delays) > 6


def test_retries_are_counted_and_given_back():
    backoff = Backoff(Retry(max_retries=2), random.Random(1))
    assert [backoff.next() is None for _ in range(4)] == [False, False, True, True]
    backoff.reset()
    assert backoff.next() is not None
    assert Backoff(Retry(max_retries=0), random.Random(1)).next() is None


def test_a_hint_is_honoured_up_to_the_longest_delay():
    backoff = Backoff(Retry(initial_retry_delay=1, max_retry_delay=100), random.Random(1))
    assert 20 <= backoff.next(20) <= 21
    assert backoff.next(1000) == 100


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120), (" 7 ", 7), ("0", 0), ("", 0), ("soon", 0), ("-5", 0), ("1.5", 0), ("9" * 40, 999999999),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), (email.utils.formatdate(1_000_030, usegmt=True), 30),
        ("Fri, 99 Foo 1999", 0),
    ],
)  # fmt: skip
def test_retry_after(value, seconds):
    assert retry_after(value, 1_000_000) == seconds


def test_what_servers_ask_for():
    rng = random.Random(1)
    busy = InvalidStatus("", status=503, reason="", headers={"retry-after": "90"}, body=b"")
    assert hinted_delay(busy, None, rng) == 90
    assert hinted_delay(InvalidStatus("", status=503, reason="", headers={}, body=b""), None, rng) == 0
    assert hinted_delay(ApplicationError("com.a"), 1011, rng) == 0
    assert 5 <= hinted_delay(ApplicationError("com.a"), 1012, rng) <= 30
    assert hinted_delay(CloseDetails("com.a", None, 3).exception(), 1012, rng) == 3
    assert 30 <= hinted_delay(ApplicationError("com.a"), 1013, rng) <= 60

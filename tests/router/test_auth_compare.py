"""S18: `hmac.compare_digest` alone decides what is right about a secret, and its time does not tell how much was."""

from __future__ import annotations

import hmac

import pytest

from autobahn.router.auth import hash_ticket
from autobahn.wamp import message as m
from autobahn.wamp.auth import compute_wcs
from router.fakes import assert_aborted
from router.logins import COST, DENIED, answer, hello, make, scram_login, welcomed

USER = {"role": "user"}
METHODS = {
    "ticket": {"ticket": {"principals": {"joe": {"ticket": "pencil", **USER}}}},
    "one of two tickets": {"ticket": {"principals": {"joe": {"ticket": ["pencil", "other"], **USER}}}},
    "hashed ticket": {"ticket": {"principals": {"joe": {"ticket_hash": hash_ticket("pencil", iterations=10), **USER}}}},
    "wampcra": {"wampcra": {"principals": {"joe": {"secret": "pencil", **USER}}}},
    "scram": {"scram": {"principals": {"joe": {"password": "pencil", **USER, **COST}}}},
}


async def login(router, method, secret, authid="joe"):
    """A link that has shown `secret`, or what is made of it."""
    if method == "scram":
        return (await scram_login(router, "scram", password=secret, authid=authid))[1]
    link = await hello(router, method, authid=authid)
    challenge = link.one(m.Challenge)
    signature = compute_wcs(secret, challenge.extra["challenge"]).decode() if method == "wampcra" else secret
    return await answer(link, signature)


@pytest.fixture
def compared(monkeypatch):
    """What is compared, and what `hmac.compare_digest` says instead of the truth if that is not `None`."""

    class Compared:
        def __init__(self):
            self.pairs = []
            self.says = None

        def __call__(self, a, b):
            self.pairs.append((a, b))
            return a == b if self.says is None else self.says

    spy = Compared()
    monkeypatch.setattr(hmac, "compare_digest", spy)
    return spy


@pytest.mark.parametrize("name", METHODS)
async def test_S18_secrets_are_compared_in_constant_time(compared, name):
    router = make(METHODS[name])
    (method,) = METHODS[name]
    welcomed(await login(router, method, "pencil"), authid="joe")
    assert_aborted(await login(router, method, "pencix"), DENIED)
    # Whoever compared in another way, or also in another, would not believe the following.
    compared.says = True
    welcomed(await login(router, method, "wrong from its first letter on"), authid="joe")
    compared.says = False
    assert_aborted(await login(router, method, "pencil"), DENIED)


@pytest.mark.parametrize("name", METHODS)
async def test_S18_the_number_of_comparisons_tells_nothing(compared, name):
    router = make(METHODS[name])
    (method,) = METHODS[name]
    counts, sizes = set(), set()
    for secret, authid in (("pencil", "joe"), ("pencix", "joe"), ("x", "joe"), ("other", "joe"), ("pencil", "ann")):
        compared.pairs.clear()
        await login(router, method, secret, authid)
        counts.add(len(compared.pairs))
        sizes |= {len(side) for pair in compared.pairs for side in pair}
    assert len(counts) == 1 and counts != {0}, "a first match, or a user that does not exist, ends it early"
    assert len(sizes) == 1, "digests, not the secrets, whose length would tell"

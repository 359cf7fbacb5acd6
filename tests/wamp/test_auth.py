"""Authenticators and their helper functions; the wampcra vectors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from autobahn.wamp import auth
from autobahn.wamp.auth import AuthWampCra, compute_wcs, create_authenticator, derive_key, helpers
from autobahn.wamp.types import Challenge, TransportDetails

CRA = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())["wampcra"]


@pytest.mark.parametrize("vector", CRA, ids=range(len(CRA)))
def test_A_CRA_vectors(vector: dict[str, Any]) -> None:
    key: Any = vector["secret"]
    extra = {"challenge": vector["challenge"]}
    if vector["salt"] is not None:
        key = derive_key(vector["secret"], vector["salt"], vector["iterations"], vector["keylen"])
        assert key.decode() == vector["hmac_key_text"]
        extra |= {name: vector[name] for name in ("salt", "iterations", "keylen")}
    assert compute_wcs(key, vector["challenge"]).decode() == vector["signature"]
    for secret in (vector["secret"], vector["secret"].encode()):
        authenticator = create_authenticator("wampcra", authid="peter", secret=secret)
        assert authenticator.on_challenge(None, Challenge("wampcra", extra)) == vector["signature"]


@pytest.mark.parametrize(
    "extra",
    [
        {}, {"challenge": 5}, {"challenge": "x", "salt": "s", "iterations": 10**12},
        {"challenge": "x", "salt": "s", "iterations": 0}, {"challenge": "x", "salt": "s", "iterations": "9"},
        {"challenge": "x", "salt": "s", "keylen": 10**9}, {"challenge": "x", "salt": 5},
    ],
)  # fmt: skip
def test_A_CRA_bad_challenges(extra: dict[str, Any]) -> None:
    authenticator = AuthWampCra(authid="peter", secret="s")
    with pytest.raises((RuntimeError, TypeError), match="expected"):
        authenticator.on_challenge(None, Challenge("wampcra", extra))


def test_A_TKT_and_A_ANON() -> None:
    ticket = create_authenticator("ticket", authid="joe", ticket="secret!!!", anything=1)
    assert ticket.on_challenge(None, Challenge("ticket")) == "secret!!!"
    assert (ticket.name, ticket.authid, ticket.authrole, ticket.authextra) == ("ticket", "joe", None, None)
    assert ticket.on_welcome(None, {}) is None
    with pytest.raises(RuntimeError, match="expected a challenge for"):
        ticket.on_challenge(None, Challenge("wampcra"))
    for name in ("anonymous", "anonymous-proxy"):
        anonymous = create_authenticator(name, authrole="guest", authextra={"a": 1}, other=2)
        assert (anonymous.name, anonymous.authrole, anonymous.authextra) == (name, "guest", {"a": 1})
        with pytest.raises(RuntimeError, match="expected no challenge"):
            anonymous.on_challenge(None, Challenge("ticket"))


@pytest.mark.parametrize(
    ("name", "kwargs", "text"),
    [
        ("magic", {}, "expected an authentication method out of"),
        ("ticket", {"authid": "joe"}, '"ticket"'),
        ("wampcra", {"authid": "joe"}, '"secret"'),
        ("wampcra", {"secret": "x"}, '"authid"'),
        ("wampcra", {"authid": "joe", "secret": "x", "passwd": "y"}, '"passwd"'),
        ("ticket", {"ticket": "x", "authid": 5}, "authid of type str"),
        ("ticket", {"ticket": "x", "authextra": []}, "authextra of type dict"),
    ],
)
def test_wrong_settings(name: str, kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        create_authenticator(name, **kwargs)


def test_S39_a_challenge_that_costs_minutes_is_refused() -> None:
    authenticator = AuthWampCra(authid="peter", secret="s")
    extra = {"challenge": "x", "salt": "s", "iterations": 10**7, "keylen": 1024}
    with pytest.raises(RuntimeError, match="that can be answered"):
        authenticator.on_challenge(None, Challenge("wampcra", extra))


async def test_secrets_may_be_callables_asked_anew() -> None:
    asked: list[int] = []

    def plain() -> str:
        asked.append(1)
        return f"secret{len(asked)}"

    async def later() -> str:
        return plain()

    ticket = create_authenticator("ticket", ticket=plain)
    assert [ticket.on_challenge(None, Challenge("ticket")) for _ in range(2)] == ["secret1", "secret2"]
    assert await create_authenticator("ticket", ticket=later).on_challenge(None, Challenge("ticket")) == "secret3"
    for secret in (plain, later):
        cra = create_authenticator("wampcra", authid="joe", secret=secret)
        outcome = cra.on_challenge(None, Challenge("wampcra", {"challenge": "{}"}))
        answer = await outcome if secret is later else outcome
        assert answer == compute_wcs(f"secret{len(asked)}", "{}").decode()


class Session:
    """As much of a session as an authenticator looks at."""

    def __init__(self, **details: Any) -> None:
        self.transport = type("T", (), {"transport_details": TransportDetails(**details)})()


@pytest.mark.parametrize(
    ("details", "warned"),
    [
        ({"is_secure": False, "peer": "tcp4:10.0.0.1:8080"}, True),
        ({"is_secure": True, "peer": "tcp4:10.0.0.1:8080"}, False),
        ({"is_secure": False, "peer": "tcp4:127.0.0.1:8080"}, False),
        ({"is_secure": False, "peer": "unix:/tmp/x"}, False),
        ({}, False),
    ],
)
def test_T_TKT_4_a_ticket_in_clear_is_warned_of(
    details: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = create_authenticator("ticket", authid="joe", ticket="t")
    assert ticket.on_challenge(Session(**details), Challenge("ticket")) == "t"
    assert ("unencrypted" in caplog.text) is warned


def test_helpers() -> None:
    assert auth.pbkdf2(b"password", b"salt", 1, 32).hex().startswith("120fb6cffcf8b32c43e7225256c4f837")
    # RFC 6070
    assert auth.pbkdf2(b"password", b"salt", 1, 20, hashlib.sha1).hex() == "0c60c80f961f0e71f3a9b524af6012062fe037a6"
    secrets = {auth.generate_wcs() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(s) for s in secrets} == {14}
    with pytest.raises(TypeError):
        compute_wcs(5, "x")  # type: ignore[arg-type]


def test_totp(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238, appendix B
    monkeypatch.setattr(helpers.time, "time", lambda: 59.0)
    assert auth.compute_totp(secret) == "287082"
    monkeypatch.setattr(helpers.time, "time", lambda: 1111111109.0)
    assert auth.compute_totp(secret) == "081804"
    assert all(auth.check_totp(secret, auth.compute_totp(secret, i)) for i in (-1, 0, 1))
    assert not auth.check_totp(secret, auth.compute_totp(secret, 2))
    assert not auth.check_totp(secret, "ü")
    assert len(auth.generate_totp_secret()) == 16
    with pytest.raises(ValueError):
        auth.generate_totp_secret(0)

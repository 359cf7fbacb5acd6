"""SCRAM in both dialects: the vectors, what a client refuses, stored credentials."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autobahn.wamp import scram
from autobahn.wamp.auth import create_authenticator, derive_scram_credential
from autobahn.wamp.scram import CROSSBAR, SPEC, Credential, saslprep
from autobahn.wamp.types import Challenge, TransportDetails

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())["wamp_scram"]
COST = {"kdf": "pbkdf2", "iterations": 4096, "memory": None}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_T_SCR_1_vectors(vector: dict[str, Any]) -> None:
    kdf, salt = vector["kdf"], base64.b64decode(vector["salt"])
    password = vector.get("password_before_saslprep", vector["password"])
    salted = SPEC.salted(kdf, password, salt, vector["iterations"], vector["memory"])
    assert b64(salted) == vector["salted_password"]
    stored_key, server_key = scram.stored_keys(salted)
    assert (b64(stored_key), b64(server_key)) == (vector["stored_key"], vector["server_key"])
    binding = SPEC.binding(vector["channel_binding"], base64.b64decode(vector["cbind_data"] or ""))
    authid = SPEC.authid(vector["authid"])
    message = scram.auth_message(
        authid, vector["client_nonce"], vector["nonce"], vector["salt"], vector["iterations"], binding
    )
    assert message.decode() == vector["auth_message"]
    proof = scram.client_proof(salted, message)
    assert b64(proof) == vector["proof"]
    assert b64(scram.server_signature(server_key, message)) == vector["verifier"]
    assert scram.is_proof(stored_key, message, proof)
    assert not scram.is_proof(stored_key, message, bytes(32))
    assert not scram.is_proof(stored_key, message, b"short")


class Exchange:
    """A client's authenticator and a router's half of the exchange by the formulas."""

    def __init__(self, method: str, password: Any = "pencil", authid: str = "user", **cost: Any) -> None:
        self.dialect = scram.DIALECTS[method]
        self.client = create_authenticator(method, authid=authid, password=password)
        self.authid = authid
        self.cost = {**COST, **cost}
        self.salt = b64(b"0123456789abcdef")
        self.client.prepare(None)
        extra = self.client.authextra
        assert extra is not None
        self.client_nonce = extra["nonce"]
        self.nonce = self.dialect.combine(self.client_nonce)

    def challenge(self, **changes: Any) -> Challenge:
        extra = {"nonce": self.nonce, "salt": self.salt, **self.cost, **changes}
        return Challenge(self.dialect.method, {key: value for key, value in extra.items() if value is not None})

    def answer(self, **changes: Any) -> Any:
        return self.client.on_challenge(None, self.challenge(**changes))

    def credential(self, password: str = "pencil") -> Credential:
        cost = {**self.cost, "kdf": self.dialect.kdf(self.cost["kdf"])}
        return Credential.derive(password, dialect=self.dialect, salt=base64.b64decode(self.salt), **cost)

    def message(self) -> bytes:
        authid, binding = self.dialect.authid(self.authid), self.dialect.binding(None, b"")
        return scram.auth_message(authid, self.client_nonce, self.nonce, self.salt, self.cost["iterations"], binding)

    def verifier(self) -> str:
        return b64(scram.server_signature(self.credential().server_key, self.message()))


METHODS = pytest.mark.parametrize("method", ["wamp-scram", "scram"])


@METHODS
@pytest.mark.parametrize("cost", [{}, {"kdf": "argon2id13", "iterations": 3, "memory": 4096}])
def test_T_SCR_2_and_T_SCR_AB_1_both_ends_prove_themselves(method: str, cost: dict[str, Any]) -> None:
    exchange = Exchange(method, **cost)
    kdf = exchange.dialect.wire_kdf(exchange.cost["kdf"])
    answer = exchange.answer(kdf=kdf)
    if method == "wamp-scram":
        answer, extra = answer
        assert extra == {"nonce": exchange.nonce, "channel_binding": None, "cbind_data": None}
    credential = exchange.credential()
    assert scram.is_proof(credential.stored_key, exchange.message(), base64.b64decode(answer))
    key = exchange.dialect.verifier
    exchange.answer()
    assert exchange.client.on_welcome(None, {key: exchange.verifier()}) is None


@METHODS
def test_T_SCR_3_the_verifier_is_checked(method: str) -> None:
    exchange = Exchange(method)
    key = exchange.dialect.verifier
    for wrong in ({key: b64(bytes(32))}, {key: "no base64!"}, {key: 5}, {}, None):
        exchange.answer()
        assert "expected" in exchange.client.on_welcome(None, wrong)
    exchange.answer()
    assert exchange.client.on_welcome(None, {key: f"v={exchange.verifier()}"}) is None
    # S39: WELCOME without a challenge, or a second one for the same proof
    assert "before WELCOME" in exchange.client.on_welcome(None, {key: exchange.verifier()})


@METHODS
def test_T_SCR_4_the_nonce_must_continue_ours(method: str) -> None:
    exchange = Exchange(method)
    mine = exchange.client_nonce
    for nonce in (mine, "", None, 5, "x" + mine, b64(bytes(32)), mine[:-1], mine * 200, "ü"):
        with pytest.raises(RuntimeError, match="nonce"):
            exchange.answer(nonce=nonce)


def test_T_SCR_AB_2_the_crossbar_nonce_is_continued_as_octets() -> None:
    exchange = Exchange("scram")
    mine = base64.b64decode(exchange.client_nonce)
    assert base64.b64decode(exchange.nonce).startswith(mine)
    assert not exchange.nonce.startswith(exchange.client_nonce)
    assert exchange.answer(nonce=b64(mine + b"!"))
    with pytest.raises(RuntimeError):
        exchange.answer(nonce=b64(b"!" + mine))


@METHODS
def test_T_SCR_5_each_attempt_has_its_own_nonce(method: str) -> None:
    exchange = Exchange(method)
    exchange.client.prepare(None)
    assert exchange.client.authextra["nonce"] != exchange.client_nonce
    with pytest.raises(RuntimeError, match="nonce"):
        exchange.answer()  # a replayed challenge


@METHODS
@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": 4095}, {"iterations": 1}, {"iterations": 0}, {"iterations": 10**9}, {"iterations": "4096"},
        {"iterations": True}, {"iterations": None},
        {"kdf": "argon2id13", "iterations": 1, "memory": 8},
        {"kdf": "argon2id13", "iterations": 10**6, "memory": 10**5},
        {"kdf": "argon2id13", "iterations": 1, "memory": 2**21}, {"kdf": "argon2id13", "iterations": 4},
        {"kdf": "md5"}, {"kdf": None}, {"salt": None}, {"salt": "?"}, {"salt": ""},
    ],
)  # fmt: skip
def test_T_SCR_6_cheap_absurd_and_malformed_challenges(method: str, changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, RuntimeError), match="expected"):
        Exchange(method).answer(**changes)


def test_T_SCR_7_authid_and_password_are_prepared() -> None:
    assert SPEC.authid("us=er,x") == "us=3Der=2Cx"
    assert CROSSBAR.authid("us=er,x") == "us=er,x"
    assert SPEC.password("I\xadX") == b"IX"
    assert CROSSBAR.password("I\xadX") == "I\xadX".encode()
    assert SPEC.password(b"\xff") == b"\xff"


@pytest.mark.parametrize(  # RFC 4013 section 3
    ("text", "prepared"),
    [("I\xadX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_T_SCR_8_saslprep(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "a\u0627", "\ue000", "\ufffd"])
def test_T_SCR_8_saslprep_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected a text"):
        saslprep(text)


class Session:
    def __init__(self, **channel_id: bytes) -> None:
        details = TransportDetails(channel_id={name.replace("_", "-"): value for name, value in channel_id.items()})
        self.transport = type("T", (), {"transport_details": details})()


def test_T_SCR_9_channel_binding(caplog: pytest.LogCaptureFixture) -> None:
    client = create_authenticator(
        "wamp-scram", authid="user", password="pencil", authextra={"channel_binding": "tls-unique"}
    )
    client.prepare(Session(tls_unique=b"\x00\x01\x02"))
    assert client.authextra["channel_binding"] == "tls-unique"
    nonce = SPEC.combine(client.authextra["nonce"])
    extra = {**COST, "nonce": nonce, "salt": "W22ZaJ0SNY7soEsUEjb6gQ==", "channel_binding": "tls-unique"}
    _, answer = client.on_challenge(None, Challenge("wamp-scram", extra))
    assert answer == {"nonce": nonce, "channel_binding": "tls-unique", "cbind_data": "AAEC"}
    with pytest.raises(RuntimeError, match="channel binding"):  # a downgrade
        client.on_challenge(None, Challenge("wamp-scram", {**extra, "channel_binding": None}))
    client.prepare(Session())
    assert client.authextra["channel_binding"] is None
    assert "going on without" in caplog.text


async def test_T_SCR_10_the_password_may_be_asked_for() -> None:
    async def ask() -> str:
        return "pencil"

    exchange = Exchange("wamp-scram", password=ask)
    assert (await exchange.answer())[0]
    exchange = Exchange("wamp-scram", password=lambda: 5)
    with pytest.raises(TypeError):
        exchange.answer()


def test_T_SCR_11_stored_credentials() -> None:
    credential = Credential.derive("pencil", iterations=4096)
    assert Credential.parse(credential.marshal()) == credential
    by_crossbar = derive_scram_credential("joe@example.com", "pencil", b"0123456789abcdef")
    assert by_crossbar == derive_scram_credential("joe@example.com", "pencil", b"0123456789abcdef")
    assert by_crossbar["email"] == "joe@example.com"
    parsed = Credential.parse(by_crossbar)
    assert (parsed.kdf, parsed.salt) == ("argon2id13", b"0123456789abcdef")
    for wrong in ({}, {"stored_key": b"x"}, {"salt": 5}, {"kdf": "md5"}, {"iterations": 0}, {"server_key": "?"}):
        with pytest.raises(ValueError, match="expected"):
            Credential.parse({**credential.marshal(), **wrong} if wrong else {})


def test_T_SCR_12_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argon2.low_level", None)
    with pytest.raises(RuntimeError, match=r"argon2-cffi.*autobahn-asyncio\[auth\]"):
        Exchange("scram").answer(kdf="argon2id-13", iterations=3, memory=4096)

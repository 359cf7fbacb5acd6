"""Authentication at the router: SCRAM and cryptosign."""

from __future__ import annotations

import pytest

from autobahn.wamp import message as m
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.cryptosign import CryptosignKey, is_signed
from autobahn.wamp.types import Challenge as Asked
from autobahn.wamp.types import TransportDetails
from router.fakes import Link, assert_aborted
from router.logins import (
    COST,
    DENIED,
    KEY,
    answer,
    cryptosign_login,
    hello,
    make,
    scram_login,
    stored,
    welcomed,
)

# ---- SCRAM ------------------------------------------------------------------------------------------------------

SCRAMS = pytest.mark.parametrize("method", ["wamp-scram", "scram"])


@SCRAMS
@pytest.mark.parametrize("kind", ["pbkdf2", "argon2id13", "plain", "plain argon2"])
async def test_T_SCR_router_and_T_SCR_AB_3_both_ends_prove_themselves(method, kind):
    credential = {
        "plain": {"password": "pencil", **COST},
        "plain argon2": {"password": "pencil", "kdf": "argon2id13", "iterations": 3, "memory": 4096},
    }.get(kind) or stored(method, kind)
    router = make({method: {"principals": {"joe": {**credential, "role": "user"}}}})
    for _ in range(2):
        client, link, extra = await scram_login(router, method)
        welcome = welcomed(link, authid="joe", authmethod=method, authrole="user")
        assert client.on_welcome(None, welcome.details["authextra"]) is None
        if "argon2" in kind:
            assert extra["kdf"] == ("argon2id-13" if method == "scram" else "argon2id13")


@SCRAMS
async def test_T_SCR_wrong_password_unknown_user_and_replay(method):
    router = make({method: {"principals": {"joe": {**stored(method), "role": "user"}}}})
    _, link, _ = await scram_login(router, method, password="pen")
    assert link.one(m.Abort).details["scram"] == "invalid-proof"
    salts = []
    for _ in range(2):
        _, link, extra = await scram_login(router, method, authid="ann")
        salts.append((extra["salt"], extra["iterations"], extra["kdf"]))
        abort = link.one(m.Abort)
        assert (abort.reason, abort.details["scram"]) == (DENIED, "invalid-proof")
    assert salts[0] == salts[1]
    old = []

    def record(proof, extra):
        old.append((proof, extra))
        return proof, extra

    welcomed((await scram_login(router, method, change=record))[1])
    assert_aborted((await scram_login(router, method, change=lambda *_: old[0]))[1], DENIED)
    assert_aborted((await scram_login(router, method, change=lambda proof, extra: ("?", extra)))[1], DENIED)


async def test_T_SCR_a_mock_challenge_without_any_principal_to_copy():
    router = make({"scram": {"authenticator": lambda *_: None, **COST}})
    _, link, extra = await scram_login(router, "scram")
    assert extra["iterations"] == 4096
    assert_aborted(link, DENIED)


@SCRAMS
async def test_T_SCR_hello_without_nonce_or_authid(method):
    router = make({method: {"principals": {"joe": {**stored(method), "role": "user"}}}})
    for details in (
        {},
        {"authid": "joe"},
        {"authid": "joe", "authextra": {"nonce": 5}},
        {"authextra": {"nonce": "x" * 20}},
    ):
        assert_aborted(await hello(router, method, **details), DENIED)
    if method == "scram":  # the dialect whose nonce is looked into
        assert_aborted(await hello(router, method, authid="joe", authextra={"nonce": "?" * 20}), DENIED)


async def test_T_SCR_the_extra_is_checked():
    router = make({"wamp-scram": {"principals": {"joe": {**stored("wamp-scram"), "role": "user"}}}})
    for wrong in ({"nonce": "x"}, {"channel_binding": "tls-unique"}, {"cbind_data": "AAEC"}):
        _, link, _ = await scram_login(
            router, "wamp-scram", change=lambda proof, extra, w=wrong: (proof, {**extra, **w})
        )
        assert_aborted(link, DENIED)


@pytest.mark.parametrize("theirs", [b"\x01\x02", b"\x01\x03"])
async def test_T_SCR_9_channel_binding(theirs):
    router = make({"wamp-scram": {"principals": {"joe": {**stored("wamp-scram"), "role": "user"}}}})
    client = create_authenticator(
        "wamp-scram", authid="joe", password="pencil", authextra={"channel_binding": "tls-unique"}
    )
    session = type(
        "S",
        (),
        {"transport": type("T", (), {"transport_details": TransportDetails(channel_id={"tls-unique": theirs})})},
    )
    client.prepare(session)
    link = Link(router)
    link.transport_details = TransportDetails(channel_id={"tls-unique": b"\x01\x02"})
    await hello(router, "wamp-scram", link=link, authid="joe", authextra=client.authextra)
    proof, extra = client.on_challenge(None, Asked("wamp-scram", link.one(m.Challenge).extra))
    await answer(link, proof, **extra)
    if theirs == b"\x01\x02":
        welcomed(link)
    else:  # somebody in the middle
        assert link.one(m.Abort).details["scram"] == "channel-bindings-dont-match"
    link = await hello(router, "wamp-scram", authid="joe", authextra=client.authextra)  # a transport without TLS
    assert link.one(m.Abort).details["scram"] == "unsupported-channel-binding-type"


# ---- cryptosign -----------------------------------------------------------------------------------------------


def cryptosign(**settings):
    principals = {"joe": {"authorized_keys": [KEY.public_key()], "role": "user"}}
    return make({"cryptosign": {"principals": principals, **settings}})


@pytest.mark.parametrize(
    "details",
    [{"authid": "joe"}, {"authextra": {"pubkey": KEY.public_key()}},
     {"authid": "joe", "authextra": {"pubkey": KEY.public_key()}}],
)  # fmt: skip
async def test_T_CS_cryptosign(details):
    link, extra = await cryptosign_login(cryptosign(), **details)
    assert len(bytes.fromhex(extra["challenge"])) == 32
    welcomed(link, authid="joe", authmethod="cryptosign", authrole="user")


async def test_T_CS_7_replay_wrong_key_unknown_user():
    router = cryptosign()
    other = CryptosignKey.from_bytes(bytes(32))
    link, extra = await cryptosign_login(router, authid="joe")
    old = KEY.sign_challenge(Asked("cryptosign", extra))
    for signature in (old, "", "zz", "00" * 96):
        link = await hello(router, "cryptosign", authid="joe")
        link.one(m.Challenge)
        assert_aborted(await answer(link, signature), DENIED)
    router = cryptosign()
    for details in (
        {"authid": "joe"}, {"authid": "ann"}, {}, {"authid": "joe", "authextra": {"pubkey": other.public_key()}},
    ):  # fmt: skip
        link, _ = await cryptosign_login(router, other, **details)
        assert_aborted(link, DENIED)
    assert_aborted(await hello(router, "cryptosign", authextra={"pubkey": "x"}), DENIED)


@pytest.mark.parametrize("is_same", [True, False])
async def test_T_CS_8_channel_binding(is_same):
    router = cryptosign()
    link = Link(router)
    link.transport_details = TransportDetails(channel_id={"tls-unique": b"x" * 12})
    await hello(router, "cryptosign", link=link, authid="joe", authextra={"channel_binding": "tls-unique"})
    challenge = link.one(m.Challenge)
    assert challenge.extra["channel_binding"] == "tls-unique"
    mine = b"x" * 12 if is_same else b"y" * 12
    await answer(link, KEY.sign_challenge(Asked("cryptosign", challenge.extra), mine, "tls-unique"))
    if is_same:
        welcomed(link)
    else:
        assert_aborted(link, DENIED)
    link = await hello(router, "cryptosign", authid="joe", authextra={"channel_binding": "tls-unique"})
    assert "channel_binding" not in link.one(m.Challenge).extra  # there is none here: the client decides
    link.drop()


async def test_T_CS_9_the_router_proves_itself():
    router_key = CryptosignKey.from_bytes(bytes(range(1, 33)))
    router = cryptosign(key=bytes(range(1, 33)).hex())
    asked = "ab" * 32
    link, extra = await cryptosign_login(router, authid="joe", authextra={"challenge": asked})
    welcomed(link)
    assert extra["pubkey"] == router_key.public_key()
    assert is_signed(bytes.fromhex(extra["pubkey"]), extra["signature"], bytes.fromhex(asked))
    assert_aborted(await hello(router, "cryptosign", authid="joe", authextra={"challenge": "x"}), DENIED)

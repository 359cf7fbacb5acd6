"""Cryptosign: the vectors, keys from files, channel binding, the router's proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from autobahn.wamp import cryptosign
from autobahn.wamp.auth import AuthCryptoSign, create_authenticator
from autobahn.wamp.cryptosign import CryptosignKey, is_signed
from autobahn.wamp.types import Challenge, TransportDetails

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())["cryptosign"]
SEED = bytes.fromhex(VECTORS[0]["private_key"])
PUBLIC = VECTORS[0]["public_key"]
TEXT = "ab" * 32


class Session:
    def __init__(self, channel: bytes | None = None) -> None:
        details = TransportDetails(channel_id=None if channel is None else {"tls-unique": channel})
        self.transport = type("T", (), {"transport_details": details})()


def challenge(text: Any = TEXT, **extra: Any) -> Challenge:
    return Challenge("cryptosign", {"challenge": text, **extra})


@pytest.mark.parametrize("vector", VECTORS, ids=[f"T-CS-{i}" for i in range(1, 7)])
async def test_T_CS_1_to_6_vectors(vector: dict[str, Any]) -> None:
    key = CryptosignKey.from_bytes(bytes.fromhex(vector["private_key"]))
    assert key.public_key() == vector["public_key"]
    channel, binding, extra = None, None, {}
    if vector["channel_id"] is not None:
        channel, binding = bytes.fromhex(vector["channel_id"]), "tls-unique"
        extra = {"channel_binding": binding}
    answer = key.sign_challenge(challenge(vector["challenge"], **extra), channel, binding)
    assert answer == await answer == vector["signature"]
    message = cryptosign.bind(bytes.fromhex(vector["challenge"]), channel)
    assert is_signed(bytes.fromhex(vector["public_key"]), answer, message)
    authextra = {} if channel is None else {"channel_binding": "tls-unique"}
    client = create_authenticator("cryptosign", authid="joe", privkey=vector["private_key"], authextra=authextra)
    client.prepare(Session(channel))
    assert client.authextra == {**authextra, "pubkey": vector["public_key"]}
    assert client.on_challenge(None, challenge(vector["challenge"], **extra)) == vector["signature"]
    assert client.on_welcome(None, None) is None


def test_T_CS_7_a_replayed_answer_is_no_answer() -> None:
    key = CryptosignKey.from_bytes(SEED)
    old = key.sign_challenge(challenge())
    public = key.public_key(binary=True)
    assert isinstance(public, bytes)
    assert is_signed(public, old, bytes.fromhex(TEXT))
    assert not is_signed(public, old, bytes(32))
    for wrong in ("", "zz", None, 5, old[:-2], "00" * 64 + TEXT, old + "00"):
        assert not is_signed(public, wrong, bytes.fromhex(TEXT))
    assert not is_signed(bytes(31), old, bytes.fromhex(TEXT))


def test_T_CS_8_channel_binding(caplog: pytest.LogCaptureFixture) -> None:
    client = AuthCryptoSign(privkey=SEED, authextra={"channel_binding": "tls-unique", "more": 1})
    client.prepare(Session(b"\x01" * 12))  # what TLS gives: it counts by its hash
    assert client.authextra == {"channel_binding": "tls-unique", "more": 1, "pubkey": PUBLIC}
    answer = client.on_challenge(None, challenge(channel_binding="tls-unique"))
    assert is_signed(bytes.fromhex(PUBLIC), answer, cryptosign.bind(bytes.fromhex(TEXT), b"\x01" * 12))
    for extra in ({}, {"channel_binding": None}, {"channel_binding": "tls-exporter"}):  # a downgrade
        with pytest.raises(RuntimeError, match="channel binding"):
            client.on_challenge(None, challenge(**extra))
    client.prepare(Session())
    assert client.authextra == {"more": 1, "pubkey": PUBLIC}
    assert "going on without" in caplog.text
    with pytest.raises(RuntimeError, match="channel binding"):  # not asked for
        client.on_challenge(None, challenge(channel_binding="tls-unique"))


def test_T_CS_9_and_10_the_router_proves_itself() -> None:
    router = CryptosignKey.from_bytes(bytes(range(32)))
    client = create_authenticator("cryptosign", privkey=SEED, router_key=router.public_key())
    assert client.verifies_router
    client.prepare(Session())
    ours = client.authextra["challenge"]
    signed = router.sign_challenge(challenge(ours))
    proof = {"pubkey": router.public_key(), "signature": signed}
    assert "pinned key" in client.on_welcome(None, {})
    assert client.on_challenge(None, challenge(**proof))
    assert client.on_welcome(None, {}) is None
    other = CryptosignKey.from_bytes(SEED)
    for wrong in (
        {},
        {**proof, "pubkey": other.public_key()},
        {**proof, "signature": other.sign_challenge(challenge(ours))},
        {**proof, "signature": router.sign_challenge(challenge())},
        {"pubkey": router.public_key()},
    ):
        with pytest.raises(RuntimeError, match="expected the router's"):
            client.on_challenge(None, challenge(**wrong))
    client.prepare(Session())
    assert client.authextra["challenge"] != ours
    with pytest.raises(RuntimeError, match="signature"):  # replayed
        client.on_challenge(None, challenge(**proof))


async def test_the_key_may_be_asked_for() -> None:
    async def ask() -> str:
        return SEED.hex()

    client = create_authenticator("cryptosign", privkey=ask)
    assert client.authextra is None
    with pytest.raises(RuntimeError, match="prepare"):
        client.on_challenge(None, challenge())
    await client.prepare(Session())
    assert client.authextra == {"pubkey": PUBLIC}
    assert client.on_challenge(None, challenge())
    for privkey in (lambda: SEED, lambda: CryptosignKey.from_bytes(SEED)):
        client = create_authenticator("cryptosign-proxy", privkey=privkey)
        client.prepare(Session())
        assert client.authextra == {"pubkey": PUBLIC}


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({}, "privkey"), ({"privkey": "abc"}, "64 hex digits"), ({"privkey": b"abc"}, "32 octets"),
        ({"privkey": SEED.hex(), "authextra": {"pubkey": TEXT}}, "authextra.pubkey"),
        ({"privkey": SEED.hex(), "router_key": "x"}, "router_key"), ({"privkey": SEED.hex(), "x": 1}, '"x"'),
        ({"privkey": CryptosignKey.from_pubkey(bytes.fromhex(PUBLIC))}, "a private key"),
    ],
)  # fmt: skip
def test_wrong_settings(kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        create_authenticator("cryptosign", **kwargs)


async def test_keys(tmp_path: Path) -> None:
    key = CryptosignKey.from_bytes(SEED, comment="mine")
    assert (key.can_sign, key.comment, key.key_no, key.key_type, key.security_module) == (
        True, "mine", None, "cryptosign", None,
    )  # fmt: skip
    assert repr(key) == f"<CryptosignKey {PUBLIC} can_sign=True>"
    signature = key.sign(b"data")
    assert await signature == signature  # type: ignore[misc]
    assert cryptosign.is_valid_signature(bytes.fromhex(PUBLIC), signature, b"data")
    public = CryptosignKey.from_pubkey(bytes.fromhex(PUBLIC))
    assert not public.can_sign
    with pytest.raises(RuntimeError, match="private key"):
        public.sign(b"data")
    with pytest.raises(TypeError):
        key.sign("data")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="cryptosign"):
        key.sign_challenge(Challenge("ticket"))
    for text in (None, "", "zz" * 32, "ab" * 31):
        with pytest.raises(ValueError, match="64 hex digits"):
            key.sign_challenge(challenge(text))
    with pytest.raises(NotImplementedError):
        CryptosignKey.from_documentationphrase("avocado style")
    with pytest.raises(NotImplementedError):
        CryptosignKey(None, True, security_module=object())
    with pytest.raises(TypeError):
        CryptosignKey(5, True)
    raw = tmp_path / "key.raw"
    raw.write_bytes(SEED)
    assert CryptosignKey.from_file(str(raw)).public_key() == PUBLIC


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key.priv"
    text = f"Made for a test\n\nuser-id: joe@example.com\npublic-key-ed25519: {PUBLIC}\n"
    path.write_text(text)
    key = CryptosignKey.from_keyfile(str(path))
    assert (key.can_sign, key.comment, key.public_key()) == (False, "joe@example.com", PUBLIC)
    path.write_text(f"{text}private-key-ed25519: {SEED.hex()}\n")
    assert CryptosignKey.from_keyfile(str(path)).can_sign
    path.write_text(f"public-key-ed25519: {TEXT}\nprivate-key-ed25519: {SEED.hex()}\n")
    with pytest.raises(ValueError, match="got another"):
        CryptosignKey.from_keyfile(str(path))
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="got neither"):
        CryptosignKey.from_keyfile(str(path))


def test_ssh_keys(tmp_path: Path) -> None:
    raw = CryptosignKey.from_bytes(SEED)._key
    private = raw.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = raw.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path = tmp_path / "id_ed25519"
    path.write_text(private)
    assert CryptosignKey.from_ssh_file(str(path)).public_key() == PUBLIC
    assert CryptosignKey.from_ssh_file(str(path)).can_sign
    key = CryptosignKey.from_ssh_bytes(f"{public} joe at home\n")
    assert (key.can_sign, key.comment, key.public_key()) == (False, "joe at home", PUBLIC)
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    with pytest.raises(ValueError, match="ssh-ed25519"):
        CryptosignKey.from_ssh_bytes(other.decode())


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(RuntimeError, match=r"cryptography.*autobahn-asyncio\[auth\]"):
        create_authenticator("cryptosign", privkey=SEED.hex())
    assert cryptosign.HAS_CRYPTOSIGN

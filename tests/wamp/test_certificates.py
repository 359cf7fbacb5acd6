"""Certificate chains of cryptosign: T-CS-11 and the rules CCR-1 to CCR-12, with the specification's example 3."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from autobahn.wamp import eip712
from autobahn.wamp.certificates import AUTHORITY, DELEGATE, check_chain
from autobahn.wamp.cryptosign import bind, is_signed
from autobahn.wamp.eip712 import checksummed, keccak256, parse_address, recover

EXAMPLE = json.loads((Path(__file__).parent.parent / "vectors" / "crypto.json").read_text())["cryptosign_example3"]
HELLO = EXAMPLE["hello_authextra"]
PUBKEY = bytes.fromhex(HELLO["pubkey"])
ROOT = HELLO["trustroot"]


def test_keccak256() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    assert len({keccak256(b"a" * n) for n in (134, 135, 136, 137, 271, 272, 273)}) == 7


@pytest.mark.parametrize(  # the examples of EIP-55
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ],
)
def test_addresses(address: str) -> None:
    octets = parse_address(address, "x")
    assert checksummed(octets) == address
    assert parse_address(address.lower(), "x") == octets
    for wrong in (address[:-1], address[:-1] + "g", address.swapcase(), None, 5):
        with pytest.raises(ValueError, match="expected an address"):
            parse_address(wrong, "x")


def test_recover() -> None:
    # eth-account's documented example: the signer of this digest
    digest = bytes.fromhex("1476abb745d423bf09273f1afd887d951181d25adc66c4834a70491911b7f750")
    signature = bytes.fromhex(
        "e6ca9bba58c88611fad66a6ce8f996908195593807c4b38bd528d2cff09d4eb33e5bfbbf4d3e39b1a2fd816a7680c19ebebaf3a141b239934"
        "ad43cb33fcec8ce1c"
    )
    assert recover(digest, signature) == "0x5ce9454909639D2D17A3F753ce7d93fa0b9aB12E"
    n = eip712._N
    s = int.from_bytes(signature[32:64], "big")
    malleable = signature[:32] + (n - s).to_bytes(32, "big") + b"\x1b"
    for wrong in (
        b"",
        signature[:-1],
        signature[:-1] + b"\x05",
        bytes(64) + b"\x1b",
        b"\xff" * 64 + b"\x1b",
        malleable,
    ):
        with pytest.raises(ValueError, match="expected a signature"):
            recover(digest, wrong)


def test_T_CS_11_example_3() -> None:
    chain = check_chain(HELLO["certificates"], PUBKEY, ROOT, chain_id=1, verifying_contract=ROOT, block=15212703)
    assert chain.delegate == EXAMPLE["expected_signers"][0]
    assert (chain.trustroot, chain.realm) == (ROOT, "0xA6e693CC4A2b4F1400391a728D26369D9b82ef96")
    assert (chain.capabilities, chain.chain_id, chain.valid_from) == (12, 1, 15212703)
    channel = bytes.fromhex(EXAMPLE["channel_id"])
    challenge = EXAMPLE["challenge_extra"]
    assert is_signed(PUBKEY, EXAMPLE["authenticate_signature"], bind(bytes.fromhex(challenge["challenge"]), channel))
    router = bytes.fromhex(challenge["pubkey"])
    assert is_signed(router, challenge["signature"], bind(bytes.fromhex(HELLO["challenge"]), channel))


# ---- chains of our own --------------------------------------------------------------------------------------------


class Signer:
    """A secp256k1 key that is good for tests only."""

    def __init__(self, secret: int) -> None:
        self._secret = secret
        public = eip712._times(secret, eip712._G)
        assert public is not None
        self.octets = keccak256(public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big"))[12:]
        self.address = checksummed(self.octets)

    def sign(self, digest: bytes) -> str:
        k = int.from_bytes(keccak256(digest + self._secret.to_bytes(32, "big")), "big") % eip712._N
        point = eip712._times(k, eip712._G)
        assert point is not None
        r = point[0] % eip712._N
        s = pow(k, -1, eip712._N) * (int.from_bytes(digest, "big") + r * self._secret) % eip712._N
        v = point[1] & 1
        if s > eip712._N // 2:
            s, v = eip712._N - s, v ^ 1
        return (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + v])).hex()


ROOT_KEY, MIDDLE, NODE, OTHER = (Signer(n) for n in (0xA11CE, 0xB0B, 0xC0DE, 0xBAD))
REALM = "0xA6e693CC4A2b4F1400391a728D26369D9b82ef96"
COMMON = {"chainId": 1, "verifyingContract": ROOT, "validFrom": 100}


def certificate(kind: str, signer: Signer, **message: Any) -> list[Any]:
    from autobahn.wamp.certificates import _DOMAIN, _FIELDS

    domain = {"name": "WMP", "version": "1"}
    message = {**COMMON, "meta": "", **message}
    digest = eip712.digest(
        eip712.struct_hash("EIP712Domain", _DOMAIN, domain), eip712.struct_hash(kind, _FIELDS[kind], message)
    )
    return [{"primaryType": kind, "domain": domain, "message": message, "types": {}}, signer.sign(digest)]


def delegate(**changes: Any) -> list[Any]:
    message = {"delegate": NODE.address, "csPubKey": PUBKEY.hex(), "bootedAt": 1, **changes}
    return certificate(DELEGATE, NODE, **message)


def authority(issuer: Signer, subject: Signer, **changes: Any) -> list[Any]:
    message = {"issuer": issuer.address, "subject": subject.address, "realm": REALM, "capabilities": 1, **changes}
    return certificate(AUTHORITY, issuer, **message)


def chain(**parts: Any) -> list[Any]:
    made = {
        "delegate": delegate(validFrom=102),
        "lower": authority(MIDDLE, NODE, validFrom=101),
        "middle": authority(ROOT_KEY, MIDDLE, capabilities=3),
        "root": authority(ROOT_KEY, ROOT_KEY, capabilities=7),
        **parts,
    }
    return [item for item in made.values() if item is not None]


def check(certificates: Any, **expected: Any) -> Any:
    return check_chain(certificates, PUBKEY, ROOT_KEY.address, **expected)


def test_a_chain_of_four() -> None:
    found = check(chain(), chain_id=1, verifying_contract=ROOT.lower(), block=102)
    assert (found.delegate, found.trustroot, found.capabilities) == (NODE.address, ROOT_KEY.address, 1)


BROKEN: list[tuple[int, Any]] = [
    (2, {"middle": authority(ROOT_KEY, MIDDLE, realm=OTHER.address)}),
    (1, {"middle": authority(ROOT_KEY, MIDDLE, chainId=2)}),
    (1, {"middle": authority(ROOT_KEY, MIDDLE, verifyingContract=OTHER.address)}),
    (3, {"delegate": authority(MIDDLE, NODE)}),
    (3, {"lower": delegate()}),
    (4, {"root": authority(ROOT_KEY, MIDDLE, capabilities=7), "middle": None, "lower": authority(MIDDLE, NODE)}),
    (4, {"root": authority(OTHER, OTHER, capabilities=7)}),
    (5, {"middle": authority(ROOT_KEY, OTHER, capabilities=3)}),
    (6, {"root": authority(ROOT_KEY, ROOT_KEY, capabilities=7, validFrom=101)}),
    (7, {"lower": authority(MIDDLE, NODE, capabilities=4)}),
    (8, {"lower": authority(MIDDLE, OTHER)}),
    (9, {"delegate": delegate(validFrom=100), "lower": authority(MIDDLE, NODE, validFrom=101)}),
]


@pytest.mark.parametrize(("rule", "parts"), BROKEN)
def test_T_CS_12_every_rule(rule: int, parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"CCR-{rule}\)"):
        check(chain(**parts))


@pytest.mark.parametrize("expected", [{"chain_id": 5}, {"verifying_contract": OTHER.address}, {"block": 101}])
def test_T_CS_12_what_the_router_expects(expected: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"CCR-1\)"):
        check(chain(), **expected)


@pytest.mark.parametrize(("at", "rule"), [(0, 12), (1, 10), (3, 10)])
def test_T_CS_12_signatures(at: int, rule: int) -> None:
    certificates = chain()
    certificates[at] = copy.deepcopy(certificates[at])
    certificates[at][0]["message"]["meta"] = "changed"
    with pytest.raises(ValueError, match=rf"CCR-{rule}\)"):
        check(certificates)


@pytest.mark.parametrize(
    "certificates",
    [
        None, [], [1, 2], chain()[:1], chain() * 3, [[{}, ""], [{}, ""]], [[{"primaryType": DELEGATE}, ""]] * 2,
        [[{**delegate()[0], "domain": {"name": "X", "version": "1"}}, "00"], chain()[1]],
        [[{**delegate()[0], "message": {}}, "00"], chain()[1]],
        [[delegate()[0], "zz"], chain()[1]], [[delegate()[0], 5], chain()[1]],
        [delegate(meta="x" * 20_000), chain()[1]],
    ],
)  # fmt: skip
def test_T_CS_12_malformed(certificates: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        check(certificates)


def test_T_CS_12_the_key_of_somebody_else() -> None:
    with pytest.raises(ValueError, match="public key of the client"):
        check(chain(delegate=delegate(csPubKey="00" * 32, validFrom=102)))


@pytest.mark.parametrize(
    "changes", [{"bootedAt": -1}, {"bootedAt": 2**64}, {"bootedAt": True}, {"csPubKey": "ab"}, {"meta": 5}]
)
def test_fields_have_their_types(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        delegate(**changes)

"""Certificate chains of cryptosign: from a client's key to a trustroot (WAMP "Cryptosign-based Authentication").

A chain begins with the certificate of a delegate (which has a cryptosign key) and goes on with those of authorities, up
to the trustroot, which signs itself. Rules are numbered as in the specification's list (CCR-1 to CCR-12).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from autobahn.wamp import eip712
from autobahn.wamp.eip712 import checksummed, parse_address

__all__ = ("Chain", "check_chain")

MAX_CERTIFICATES = 8
MAX_SIZE = 16_384  # characters of the texts of one certificate
DELEGATE, AUTHORITY = "EIP712DelegateCertificate", "EIP712AuthorityCertificate"
_COMMON = (("chainId", "uint256"), ("verifyingContract", "address"), ("validFrom", "uint256"))
_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    DELEGATE: (*_COMMON, ("delegate", "address"), ("csPubKey", "bytes32"), ("bootedAt", "uint64"), ("meta", "string")),
    AUTHORITY: (
        *_COMMON, ("issuer", "address"), ("subject", "address"), ("realm", "address"), ("capabilities", "uint64"),
        ("meta", "string"),
    ),
}  # fmt: skip
_DOMAIN = (("name", "string"), ("version", "string"))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that holds: who the delegate is, and what the authorities say of it. Addresses have checksums."""

    delegate: str
    trustroot: str
    realm: str
    capabilities: int
    chain_id: int
    verifying_contract: str
    valid_from: int


def check_chain(
    certificates: Any,
    pubkey: bytes,
    trustroot: str,
    *,
    chain_id: int | None = None,
    verifying_contract: str | None = None,
    block: int | None = None,
) -> Chain:
    """The chain from the client's public key to ``trustroot``; ValueError names the rule that is broken.

    ``certificates``: a list of (typed data, signature in hex). ``chain_id``, ``verifying_contract``, ``block`` (the
    current block number): what is expected, if anything. This computes for tens of milliseconds.
    """
    messages = _signed(certificates)
    first, authorities = messages[0], messages[1:]
    for message in messages:
        _require(chain_id in (None, message["chainId"]), 1, f"chainId {chain_id} everywhere")
        contract = _address(message, "verifyingContract")
        _require(verifying_contract is None or contract == parse_address(verifying_contract, "verifying_contract"), 1,
                 f"verifyingContract {verifying_contract} everywhere")  # fmt: skip
        _require(block is None or message["validFrom"] <= block, 1, "certificates that are valid already")
    _require(
        len({(m["chainId"], _address(m, "verifyingContract")) for m in messages}) == 1, 1, "one chain and contract"
    )
    _require(len({_address(m, "realm") for m in authorities}) == 1, 2, "one realm everywhere")
    _require(_address(authorities[0], "subject") == _address(first, "delegate"), 8, "the first authority's delegate")
    root = authorities[-1]
    _require(_address(root, "issuer") == _address(root, "subject"), 4, "a root that signs itself")
    _require(_address(root, "issuer") == parse_address(trustroot, "trustroot"), 4, f"the trustroot {trustroot}")
    _require(authorities[0]["validFrom"] <= first["validFrom"], 9, "an authority older than what it signs")
    for lower, upper in pairwise(authorities):
        _require(_address(lower, "issuer") == _address(upper, "subject"), 5, "each certificate signed by the next")
        _require(upper["validFrom"] <= lower["validFrom"], 6, "an authority older than what it signs")
        _require(lower["capabilities"] & ~upper["capabilities"] == 0, 7, "no more capabilities than the issuer has")
    shown = first["csPubKey"]
    if bytes.fromhex(shown.removeprefix("0x")) != pubkey:
        raise ValueError("expected a certificate for the public key of the client, got one for another")
    return Chain(
        delegate=checksummed(_address(first, "delegate")),
        trustroot=checksummed(_address(root, "issuer")),
        realm=checksummed(_address(root, "realm")),
        capabilities=authorities[0]["capabilities"],
        chain_id=first["chainId"],
        verifying_contract=checksummed(_address(first, "verifyingContract")),
        valid_from=max(message["validFrom"] for message in messages),
    )


def _signed(certificates: Any) -> list[dict[str, Any]]:
    """The messages of the certificates, of the right types and signed by whom they name (CCR-3, CCR-10 to 12)."""
    if not isinstance(certificates, list) or not 2 <= len(certificates) <= MAX_CERTIFICATES:
        raise ValueError(f"expected from 2 to {MAX_CERTIFICATES} certificates, got something else")
    messages = []
    for i, item in enumerate(certificates):
        if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], dict):
            raise ValueError("expected certificates as pairs of data and signature, got something else")
        data, signature = item
        kind = DELEGATE if i == 0 else AUTHORITY
        _require(data.get("primaryType") == kind, 3, f"{kind} as certificate {i}")
        message, domain = data.get("message"), data.get("domain")
        if not isinstance(message, dict) or not isinstance(domain, dict):
            raise ValueError("expected a certificate with domain and message, got one without")
        if sum(len(value) for value in message.values() if isinstance(value, str)) > MAX_SIZE:
            raise ValueError(f"expected a certificate of at most {MAX_SIZE} characters, got more")
        if (domain.get("name"), domain.get("version")) != ("WMP", "1"):
            raise ValueError("expected the domain WMP, version 1, of a certificate, got another")
        digest = eip712.digest(
            eip712.struct_hash("EIP712Domain", _DOMAIN, domain), eip712.struct_hash(kind, _FIELDS[kind], message)
        )
        signer = message["delegate" if i == 0 else "issuer"]
        _require(_signer(digest, signature) == checksummed(parse_address(signer, "signer")), 12 if i == 0 else 10,
                 f"certificate {i} signed by {signer}")  # fmt: skip
        messages.append(message)
    return messages


def _signer(digest: bytes, signature: Any) -> str:
    try:
        octets = bytes.fromhex(signature.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise ValueError("expected the signature of a certificate in hex, got something else") from None
    return eip712.recover(digest, octets)


def _address(message: dict[str, Any], name: str) -> bytes:
    return parse_address(message[name], name)


def _require(holds: bool, rule: int, expected: str) -> None:
    if not holds:
        raise ValueError(f"expected {expected} (CCR-{rule}), got a chain without")

"""Principals of cryptosign by certificate: whoever has a chain to a trustroot is let in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from autobahn.router.auth_limits import KdfGate
from autobahn.router.auth_principals import Principal
from autobahn.router.login import Login
from autobahn.wamp.certificates import Chain, check_chain
from autobahn.wamp.eip712 import checksummed, parse_address

_KEYS = {"role", "roles", "chain_id", "verifying_contract", "realm", "capabilities", "block", "extra"}


class Trustroots:
    """The setting ``trustroots`` of cryptosign: by address, what whoever has a chain to it becomes.

    ``role`` (or ``roles``, ``extra``); ``chain_id``, ``verifying_contract``, ``realm`` (addresses) that the
    certificates must name; ``capabilities`` (bits) that they must give; ``block``: the current block number, or a
    function that knows it. The authid is the address of the delegate.
    """

    def __init__(self, settings: Any) -> None:
        if not isinstance(settings, Mapping):
            raise ValueError(f"expected trustroots as a dict by address, got {type(settings).__name__}")
        self._roots: dict[str, Mapping[str, Any]] = {}
        for address, terms in settings.items():
            if not isinstance(terms, Mapping):
                raise ValueError(f"expected a dict for the trustroot {address}, got {type(terms).__name__}")
            if unknown := terms.keys() - _KEYS:
                raise ValueError(f"expected keys out of {', '.join(sorted(_KEYS))}, got {sorted(unknown)[0]!r}")
            Principal.parse({**terms, "realm": None}, None, "trustroot")
            for name in ("verifying_contract", "realm"):
                if terms.get(name) is not None:
                    parse_address(terms[name], name)
            self._roots[checksummed(parse_address(address, "trustroot"))] = terms

    async def find(self, login: Login, pubkey: bytes | None, gate: KdfGate) -> Principal | None:
        """The principal that the client's certificates make it; None when they do not hold."""
        asked = login.authextra
        try:
            root = checksummed(parse_address(asked.get("trustroot"), "trustroot"))
            terms = self._roots.get(root)
            if terms is None or pubkey is None:
                return None
            block = terms.get("block")
            check = partial(
                check_chain, asked.get("certificates"), pubkey, root,
                chain_id=terms.get("chain_id"), verifying_contract=terms.get("verifying_contract"),
                block=block() if callable(block) else block,
            )  # fmt: skip
            chain: Chain = await gate.run(check)
        except ValueError:
            return None
        if not _admits(terms, chain) or login.authid not in (None, chain.delegate, chain.delegate.lower()):
            return None
        return Principal.parse({**terms, "realm": None, "authid": chain.delegate}, chain.delegate, "trustroot")


def _admits(terms: Mapping[str, Any], chain: Chain) -> bool:
    needed = terms.get("capabilities", 0)
    realm = terms.get("realm")
    return chain.capabilities & needed == needed and (
        realm is None or checksummed(parse_address(realm, "realm")) == chain.realm
    )

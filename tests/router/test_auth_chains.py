"""Cryptosign by certificate at the router: T-CS-13."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from autobahn.router import Router
from autobahn.wamp import message as m
from router.logins import DENIED, KEY, cryptosign_login, make, welcomed

spec = importlib.util.spec_from_file_location("chains", Path(__file__).parent.parent / "wamp" / "test_certificates.py")
chains = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chains)
ROOT = chains.ROOT_KEY.address


def shown(**parts):
    delegate = chains.delegate(csPubKey=KEY.public_key(), validFrom=102)
    return {"pubkey": KEY.public_key(), "trustroot": ROOT, "certificates": chains.chain(delegate=delegate, **parts)}


def router(**terms):
    return make({"cryptosign": {"trustroots": {ROOT: {"role": "node", **terms}}}})


@pytest.mark.parametrize("authid", [None, chains.NODE.address, chains.NODE.address.lower()])
async def test_T_CS_13_a_chain_lets_in(authid):
    terms = {"chain_id": 1, "realm": chains.REALM, "capabilities": 1, "block": lambda: 200}
    details = {} if authid is None else {"authid": authid}
    link, _ = await cryptosign_login(router(**terms), authextra=shown(), **details)
    welcomed(link, authid=chains.NODE.address, authrole="node", authprovider="trustroot", authmethod="cryptosign")


@pytest.mark.parametrize(
    "terms", [{"chain_id": 2}, {"realm": ROOT}, {"capabilities": 2}, {"block": 5}, {"verifying_contract": ROOT}]
)
async def test_T_CS_13_terms_of_the_router(terms):
    link, _ = await cryptosign_login(router(**terms), authextra=shown())
    assert link.one(m.Abort).reason == DENIED


async def test_T_CS_13_others_are_refused():
    for extra in (
        {**shown(), "trustroot": chains.OTHER.address},
        {**shown(), "trustroot": "nonsense"},
        {**shown(), "certificates": None},
        {**shown(), "certificates": chains.chain()},  # of another key
        {"pubkey": KEY.public_key()},
    ):
        link, _ = await cryptosign_login(router(), authextra=extra)
        assert link.one(m.Abort).reason == DENIED
    link, _ = await cryptosign_login(router(), authextra=shown(), authid="joe")
    assert link.one(m.Abort).reason == DENIED


@pytest.mark.parametrize(
    ("trustroots", "text"),
    [
        (5, "trustroots as a dict"),
        ({"0x12": {"role": "x"}}, "an address"),
        ({ROOT: 5}, "a dict for the trustroot"),
        ({ROOT: {}}, "a role"),
        ({ROOT: {"role": "x", "nonsense": 1}}, "keys out of"),
        ({ROOT: {"role": "x", "realm": "realm1"}}, "an address"),
    ],
)
def test_wrong_settings(trustroots, text):
    with pytest.raises(ValueError, match=text):
        Router(auth={"realm1": {"cryptosign": {"trustroots": trustroots}}})

"""What the tests of authentication at the router share: logging in by hand."""

from __future__ import annotations

import asyncio

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.router import Router
from autobahn.wamp import message as m
from autobahn.wamp import scram
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.cryptosign import CryptosignKey
from autobahn.wamp.types import Challenge as Asked
from router.fakes import PLAIN, Link
from scripted import settle

DENIED = "wamp.error.authentication_denied"
FAILED = "wamp.error.authentication_failed"
TICKET = {"ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}}}
SEED = bytes(range(32))
KEY = CryptosignKey.from_bytes(SEED)


def make(methods, realm="realm1", **kwargs):
    return Router(auth={realm: methods}, runtime=AsyncioRuntime(), realms=["realm1", "realm2"], **kwargs)


async def hello(router, *methods, realm="realm1", link=None, **details):
    link = link or Link(router)
    if methods:
        details["authmethods"] = list(methods)
    link.say(m.Hello(realm, {"roles": PLAIN, **details}))
    await settle()
    return link


async def answer(link, signature, **extra):
    link.say(m.Authenticate(signature, extra))
    for _ in range(200):
        await settle(2)
        if link.sent:
            return link
        await asyncio.sleep(0.002)  # a key derivation in a thread
    raise AssertionError("no answer")


def welcomed(link, **expected):
    welcome = link.one(m.Welcome)
    assert {key: welcome.details.get(key) for key in expected} == expected
    return welcome


async def challenged(link):
    for _ in range(200):
        await settle(2)
        if link.sent:
            return link.one(m.Challenge)
        await asyncio.sleep(0.002)
    raise AssertionError("no challenge")


COST = {"kdf": "pbkdf2", "iterations": 4096}


def stored(method, kdf="pbkdf2"):
    cost = {"iterations": 4096} if kdf == "pbkdf2" else {"iterations": 3, "memory": 4096}
    return scram.Credential.derive("pencil", dialect=scram.DIALECTS[method], kdf=kdf, **cost).marshal()


async def scram_login(router, method, password="pencil", authid="joe", change=None, **channel):
    client = create_authenticator(method, authid=authid, password=password)
    link = Link(router)
    await hello(router, method, link=link, authid=authid, authextra=client.authextra)
    challenge = await challenged(link)
    outcome = client.on_challenge(None, Asked(method, challenge.extra))
    proof, extra = outcome if isinstance(outcome, tuple) else (outcome, {})
    proof, extra = change(proof, extra) if change else (proof, extra)
    return client, await answer(link, proof, **extra), challenge.extra


async def cryptosign_login(router, key=KEY, **details):
    link = await hello(router, "cryptosign", **details)
    challenge = await challenged(link)
    return await answer(link, key.sign_challenge(Asked("cryptosign", challenge.extra))), challenge.extra

"""Principals in an SQLite file."""

import sqlite3

import pytest

from autobahn.router.auth_table import store_principal
from autobahn.wamp import message as m
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.types import Challenge
from router.logins import DENIED, KEY, answer, challenged, hello, make, scram_login, stored, welcomed


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "principals.sqlite")
    store_principal(path, "ticket", "joe", {"ticket": "secret", "role": "user"})
    return path


async def show(router, ticket, authid="joe"):
    link = await hello(router, "ticket", authid=authid)
    await challenged(link)
    return await answer(link, ticket)


async def test_changes_count_at_once(path):
    router = make({"ticket": {"sqlite": path}})
    welcomed(await show(router, "secret"), authid="joe", authrole="user", authprovider="sqlite")
    assert (await show(router, "wrong")).one(m.Abort).reason == DENIED
    store_principal(path, "ticket", "joe", {"ticket": "other", "role": "admin"})
    assert (await show(router, "secret")).one(m.Abort).reason == DENIED
    welcomed(await show(router, "other"), authrole="admin")
    store_principal(path, "ticket", "ann", {"ticket": "new", "role": "user"})
    store_principal(path, "ticket", "joe", None)
    assert (await show(router, "other")).one(m.Abort).reason == DENIED


async def test_other_methods(path):
    store_principal(path, "wampcra", "joe", {"secret": "secret", "role": "user"})
    store_principal(path, "scram", "joe", {**stored("scram"), "role": "user"})
    store_principal(path, "cryptosign", "joe", {"authorized_keys": [KEY.public_key()], "role": "user"})
    router = make({name: {"sqlite": path} for name in ("wampcra", "scram", "cryptosign")})
    link = await hello(router, "wampcra", authid="joe")
    challenge = await challenged(link)
    client = create_authenticator("wampcra", authid="joe", secret="secret")
    await answer(link, client.on_challenge(None, Challenge("wampcra", challenge.extra)))
    welcomed(link, authmethod="wampcra", authprovider="sqlite")
    _, link, _ = await scram_login(router, "scram")
    welcomed(link, authmethod="scram", authprovider="sqlite")
    link = await hello(router, "cryptosign", authid="joe", authextra={"pubkey": KEY.public_key()})
    challenge = await challenged(link)
    await answer(link, KEY.sign_challenge(Challenge("cryptosign", challenge.extra)))
    welcomed(link, authmethod="cryptosign", authprovider="sqlite")


@pytest.mark.parametrize("authid", ["joe' OR '1'='1", '"; DROP TABLE principals; --', "%", ""])
async def test_an_authid_is_only_an_authid(path, authid):
    router = make({"ticket": {"sqlite": path}})
    assert (await show(router, "secret", authid)).one(m.Abort).reason == DENIED
    welcomed(await show(router, "secret"))


async def test_bad_files(path, tmp_path):
    with pytest.raises(ValueError, match=r"expected a table of principals in .*unable to open"):
        make({"ticket": {"sqlite": str(tmp_path / "missing")}})
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 9)
    with pytest.raises(ValueError, match="expected a table of principals"):
        make({"ticket": {"sqlite": str(tmp_path / "text")}})
    store_principal(path, "ticket", "ann", {"role": "user"})
    with pytest.raises(ValueError, match="principal 'ann' of the method \"ticket\": expected either ticket"):
        make({"ticket": {"sqlite": path}})
    with sqlite3.connect(path) as db:
        db.execute("UPDATE principals SET principal = '[1]' WHERE authid = 'ann'")
    db.close()
    with pytest.raises(ValueError, match="expected a JSON object for 'ann'"):
        make({"ticket": {"sqlite": path}})
    with pytest.raises(ValueError, match="expected one of principals, file, sqlite, authenticator"):
        make({"ticket": {"sqlite": path, "principals": {}}})

"""Authentication at the router's end: every method, every way to fail, and what a session may do meanwhile."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import pytest

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.router import Router
from autobahn.router.auth import hash_ticket
from autobahn.router.auth_limits import Attempts, KdfGate
from autobahn.wamp import message as m
from autobahn.wamp.auth import compute_wcs, create_authenticator, derive_key
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import Accept, Deny
from autobahn.wamp.types import Challenge as Asked
from router.fakes import PLAIN, Link, assert_aborted
from router.logins import (
    COST,
    DENIED,
    FAILED,
    KEY,
    TICKET,
    answer,
    cryptosign_login,
    hello,
    make,
    scram_login,
    stored,
    welcomed,
)
from scripted import settle

# ---- choosing a method, T-AUTH ----------------------------------------------------------------------------


async def test_T_AUTH_1_no_method_in_common():
    router = make(TICKET)
    link = await hello(router, "wampcra", "scram")
    assert_aborted(link, "wamp.error.no_matching_auth_method")
    link = await hello(router, realm="realm2")
    assert_aborted(link, "wamp.error.no_matching_auth_method")


async def test_T_AUTH_2_unknown_realm():
    assert_aborted(await hello(make(TICKET), "ticket", realm="nowhere"), "wamp.error.no_such_realm")


async def test_T_AUTH_3_unknown_role():
    router = make(TICKET, permissions={"realm1": {"other": True}})
    link = await hello(router, "ticket", authid="joe", authrole="admin")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "secret"), "wamp.error.no_such_role")
    link = await hello(router, "ticket", authid="joe")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "secret"), "wamp.error.no_such_role")  # nobody said what "user" may do
    assert router.sessions == 0


@pytest.mark.parametrize(("tell", "uri"), [(False, DENIED), (True, "wamp.error.no_such_principal")])
async def test_T_AUTH_4_unknown_user(tell, uri):
    link = await hello(make(TICKET, auth_options={"tell_unknown": tell}), "ticket", authid="ann")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "secret"), uri)


async def test_T_AUTH_5_wrong_secret():
    link = await hello(make(TICKET), "ticket", authid="joe")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "wrong"), DENIED)


async def test_T_AUTH_6_the_authenticator_crashes(caplog):
    def crash(realm, authid, details):
        raise ZeroDivisionError("x")

    link = await hello(make({"ticket": {"authenticator": crash}}), "ticket", authid="joe")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "secret"), FAILED)
    assert caplog.text.count("ZeroDivisionError: x") == 1


async def test_T_AUTH_7_credentials_needed():
    assert_aborted(await hello(make(TICKET)), "wamp.error.authentication_required")


async def test_the_first_offered_method_wins():
    router = make({**TICKET, "wampcra": {"principals": {"joe": {"secret": "s", "role": "user"}}}, "anonymous": True})
    for methods, chosen in ((["wampcra", "ticket"], "wampcra"), (["magic", "ticket", "wampcra"], "ticket")):
        link = await hello(router, *methods, authid="joe")
        assert link.one(m.Challenge).method == chosen
        link.drop()
    welcomed(await hello(router), authmethod="anonymous")


async def test_the_realm_star_stands_for_the_others():
    router = make({"anonymous": {"role": "guest"}}, realm="*")
    welcomed(await hello(router, realm="realm2"), authrole="guest")


# ---- what may come meanwhile ------------------------------------------------------------------------------


@pytest.mark.parametrize("msg", [m.Call(1, {}, "com.a"), m.Goodbye({}, "x"), m.Hello("realm1", {"roles": PLAIN})])
async def test_other_messages_than_the_answer_are_violations(msg):
    link = await hello(make(TICKET), "ticket", authid="joe")
    link.one(m.Challenge)
    link.say(msg)
    assert_aborted(link)


async def test_T_SES_8_authenticate_without_challenge():
    link = Link(make(TICKET))
    link.say(m.Authenticate("secret", {}))
    assert_aborted(link)
    link = await hello(make(TICKET), "ticket", authid="joe")
    link.one(m.Challenge)
    link.say(m.Authenticate("secret", {})).say(m.Authenticate("secret", {}))
    assert_aborted(link)
    await settle()
    assert link.take() == []


async def test_a_client_that_goes_away_leaves_nothing_behind():
    router = make(TICKET)
    for end in (
        lambda link: link.drop(),
        lambda link: link.say(m.Abort({}, "x")),
        lambda link: link.session.close("x"),
    ):
        link = await hello(router, "ticket", authid="joe")
        link.one(m.Challenge)
        end(link)
        await settle()
        assert link.session._login is None
        assert router.sessions == 0
    link = Link(router)
    link.say(m.Hello("realm1", {"roles": PLAIN, "authmethods": ["ticket"], "authid": "joe"})).drop()  # in one turn
    await settle()
    assert not router.runtime._tasks


async def test_authentication_has_a_time_limit():
    link = await hello(make(TICKET, auth_timeout=0.01), "ticket", authid="joe")
    link.one(m.Challenge)
    await asyncio.sleep(0.03)
    assert_aborted(link, FAILED)


async def test_the_others_go_on_while_one_waits():
    gate = asyncio.get_running_loop().create_future()

    async def slow(realm, authid, details):
        if authid == "slow":
            await gate
        return "user"

    router = make({"ticket": {"authenticator": slow}})
    waiting = await hello(router, "ticket", authid="slow")
    waiting.take()
    waiting.say(m.Authenticate("x", {}))
    link = await hello(router, "ticket", authid="fast")
    link.take()
    welcomed(await answer(link, "x"), authid="fast")
    assert waiting.take() == []
    gate.set_result(None)
    await settle()
    welcomed(waiting, authid="slow", authprovider="dynamic")


async def test_without_a_runtime_only_open_methods_work():
    router = Router(auth={"realm1": {**TICKET, "anonymous": True}})
    welcomed(await hello(router), authmethod="anonymous")
    with pytest.raises(RuntimeError, match="with a runtime"):
        await hello(router, "ticket", authid="joe")


# ---- anonymous ----------------------------------------------------------------------------------------------


async def test_T_ANON_1_a_random_authid_each():
    router = make({"anonymous": {"role": "guest"}})
    links = [await hello(router, *methods) for methods in [(), ("anonymous",), ("ticket", "anonymous")]]
    ids = {welcomed(link, authrole="guest", authmethod="anonymous").details["authid"] for link in links}
    assert len(ids) == 3


async def test_T_ANON_2_a_function_may_decide():
    router = make(
        {"anonymous": {"authenticator": lambda realm, authid, details: authid and {"role": "r", "authid": "x"}}}
    )
    welcomed(await hello(router, authid="joe"), authid="x", authrole="r", authmethod="anonymous")
    assert_aborted(await hello(router), DENIED)


# ---- ticket ---------------------------------------------------------------------------------------------------


async def test_T_TKT_1_ticket():
    router = make(
        {"ticket": {"principals": {"joe": {"ticket": ["old", "new"], "roles": ["user", "admin"], "extra": {"a": 1}}}}}
    )
    for ticket, role in (("old", None), ("new", "admin")):
        link = await hello(router, "ticket", authid="joe", authrole=role)
        assert link.one(m.Challenge) == m.Challenge("ticket", {})
        welcomed(
            await answer(link, ticket), authid="joe", authrole=role or "user", authmethod="ticket", authextra={"a": 1}
        )
        assert link.session.authextra == {"a": 1}


async def test_T_TKT_2_and_3_wrong_ticket_and_unknown_user_look_the_same():
    router = make(TICKET)
    texts = set()
    for authid, ticket in (("joe", "secre"), ("joe", ""), ("ann", "secret"), (None, "secret"), ("joe", "\u0000")):
        link = await hello(router, "ticket", authid=authid)
        link.one(m.Challenge)
        abort = (await answer(link, ticket)).one(m.Abort)
        texts.add((abort.reason, abort.details["message"]))
    assert len(texts) == 1


@pytest.mark.parametrize("kind", ["pbkdf2", "argon2"])
async def test_tickets_may_be_stored_hashed(kind):
    if kind == "pbkdf2":
        stored = hash_ticket("secret", iterations=10)
    else:
        import argon2

        stored = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    router = make({"ticket": {"principals": {"joe": {"ticket_hash": stored, "role": "user"}}}})
    for authid, ticket, is_right in (("joe", "secret", True), ("joe", "wrong", False), ("ann", "secret", False)):
        link = await hello(router, "ticket", authid=authid)
        link.one(m.Challenge)
        await answer(link, ticket)
        if is_right:
            welcomed(link, authid="joe")
        else:
            assert_aborted(link, DENIED)


# ---- WAMP-CRA -------------------------------------------------------------------------------------------------

SALTED = {
    "secret": derive_key("secret", "salt", 10, 32).decode(), "salt": "salt", "iterations": 10, "keylen": 32,
    "role": "user",
}  # fmt: skip


async def test_T_CRA_1_to_3_the_challenge_and_its_answer():
    router = make({"wampcra": {"principals": {"joe": {"secret": "secret", "role": "user"}}}})
    link = await hello(router, "wampcra", authid="joe")
    challenge = link.one(m.Challenge)
    assert challenge.extra.keys() == {"challenge"}
    text = challenge.extra["challenge"]
    data = json.loads(text)
    assert data.keys() == {"authid", "authrole", "authmethod", "authprovider", "nonce", "timestamp", "session"}
    assert (data["authid"], data["authrole"], data["authmethod"]) == ("joe", "user", "wampcra")
    assert data["timestamp"].endswith("Z")
    welcome = welcomed(await answer(link, compute_wcs("secret", text).decode()), authid="joe", authprovider="static")
    assert welcome.session == data["session"]


async def test_T_CRA_4_and_S39_wrong_and_replayed_answers():
    router = make({"wampcra": {"principals": {"joe": {"secret": "secret", "role": "user"}}}})
    link = await hello(router, "wampcra", authid="joe")
    old = compute_wcs("secret", link.one(m.Challenge).extra["challenge"]).decode()
    welcomed(await answer(link, old))
    for signature in (old, "", "x", "ü"):
        link = await hello(router, "wampcra", authid="joe")
        link.one(m.Challenge)
        assert_aborted(await answer(link, signature), DENIED)


async def test_T_CRA_5_to_7_salted():
    router = make({"wampcra": {"principals": {"joe": SALTED}}})
    link = await hello(router, "wampcra", authid="joe")
    extra = link.one(m.Challenge).extra
    assert {**extra, "challenge": ""} == {"challenge": "", "salt": "salt", "iterations": 10, "keylen": 32}
    client = create_authenticator("wampcra", authid="joe", secret="secret")
    welcomed(await answer(link, client.on_challenge(None, Asked("wampcra", extra))))


async def test_S39_a_principal_that_does_not_exist_has_a_salt_that_stays():
    router = make({"wampcra": {"principals": {"joe": SALTED}}})
    salts = []
    for authid in ("ann", "ann", "bob"):
        link = await hello(router, "wampcra", authid=authid)
        extra = link.one(m.Challenge).extra
        assert (extra["iterations"], extra["keylen"]) == (10, 32)
        assert json.loads(extra["challenge"]).keys() >= {"authid", "authrole"}
        salts.append(extra["salt"])
        assert_aborted(await answer(link, "x"), DENIED)
    assert salts[0] == salts[1] != salts[2]


# ---- dynamic authenticators -------------------------------------------------------------------------------------


async def test_T_DYN_1_ticket_by_a_function():
    seen = []

    async def judge(realm, authid, details):
        seen.append((realm, authid, details))
        if details["ticket"] != "right":
            return None
        return {"role": "user", "authid": "other", "extra": {"a": [1]}, "realm": "realm2"}

    router = make({"ticket": {"authenticator": judge}})
    link = await hello(router, "ticket", authid="joe", authextra={"b": 2})
    link.one(m.Challenge)
    welcome = welcomed(
        await answer(link, "right"), authid="other", authprovider="dynamic", realm="realm2", authextra={"a": [1]}
    )
    assert list(router.realms["realm2"].sessions) == [welcome.session]
    realm, authid, details = seen[0]
    assert (realm, authid, details["ticket"], details["authextra"]) == ("realm1", "joe", "right", {"b": 2})
    assert details["session"] == welcome.session
    link = await hello(router, "ticket", authid="joe")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "wrong"), DENIED)


async def test_T_DYN_2_a_redirect_to_nowhere():
    router = make({"ticket": {"authenticator": lambda *_: {"role": "user", "realm": "nowhere"}}})
    link = await hello(router, "ticket", authid="joe")
    link.one(m.Challenge)
    assert_aborted(await answer(link, "x"), "wamp.error.no_such_realm")


async def test_T_DYN_3_wampcra_by_a_function():
    router = make({"wampcra": {"authenticator": lambda realm, authid, details: SALTED if authid == "joe" else None}})
    client = create_authenticator("wampcra", authid="joe", secret="secret")
    for authid in ("joe", "ann"):
        link = await hello(router, "wampcra", authid=authid)
        await answer(link, client.on_challenge(None, Asked("wampcra", link.one(m.Challenge).extra)))
        if authid == "joe":
            welcomed(link, authid="joe", authrole="user")
        else:
            assert_aborted(link, DENIED)
    link = await hello(make({"wampcra": {"authenticator": lambda *_: "user"}}), "wampcra", authid="joe")
    assert_aborted(link, FAILED)


async def test_T_DYN_4_scram_by_a_function():
    router = make({"scram": {"authenticator": lambda *_: {**stored("scram"), "role": "user"}}})
    welcomed((await scram_login(router, "scram"))[1], authid="joe")
    router = make({"scram": {"authenticator": lambda *_: {"password": "pencil", "role": "user", **COST}}})
    welcomed((await scram_login(router, "scram"))[1], authid="joe")


async def test_T_DYN_5_cryptosign_by_a_function():
    def judge(realm, authid, details):
        return "user" if details["authextra"].get("pubkey") == KEY.public_key() else None

    router = make({"cryptosign": {"authenticator": judge}})
    link, _ = await cryptosign_login(router, authextra={"pubkey": KEY.public_key()})
    welcomed(link, authid=KEY.public_key(), authrole="user")
    link, _ = await cryptosign_login(router)
    assert_aborted(link, DENIED)
    router = make({"cryptosign": {"authenticator": lambda *_: {"role": "user", "pubkey": KEY.public_key()}}})
    welcomed((await cryptosign_login(router, authid="joe"))[0], authid="joe")


@pytest.mark.parametrize(
    ("outcome", "uri"),
    [
        (ApplicationError("com.example.closed", "come back"), "com.example.closed"),
        (Deny("com.example.no", "no"), "com.example.no"), (Deny(), "wamp.error.not_authorized"),
        (ApplicationError("not a uri"), FAILED), (5, FAILED), ({"role": 5}, FAILED), ({}, FAILED),
        ({"role": "x", "authid": 5}, FAILED), ({"role": "x", "extra": 5}, FAILED), (False, DENIED),
        (Accept(authid="ann", authrole="r", authextra={"a": 1}), None), ("r", None),
    ],
    ids=str,
)  # fmt: skip
async def test_T_DYN_6_what_a_function_may_answer(outcome, uri):
    def judge(realm, authid, details):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    link = await hello(make({"ticket": {"authenticator": judge}}), "ticket", authid="ann")
    link.one(m.Challenge)
    await answer(link, "x")
    if uri is None:
        welcomed(link, authid="ann", authrole="r")
    else:
        abort = link.one(m.Abort)
        assert abort.reason == uri


async def test_T_DYN_a_procedure_decides():
    """The authenticator is a client of another realm, itself let in by its ticket."""
    router = make({"ticket": {"authenticator": "com.example.judge", "realm": "realm2"}})
    router.auth._realms["realm2"] = make(TICKET, realm="realm2").auth._realms["realm2"]
    callee = await hello(router, "ticket", realm="realm2", authid="joe")
    callee.take()
    welcomed(await answer(callee, "secret"))
    callee.register("com.example.judge")
    link = await hello(router, "ticket", authid="ann")
    link.one(m.Challenge)
    link.say(m.Authenticate("t", {}))
    for _ in range(20):
        await settle()
    invocation = callee.one(m.Invocation)
    realm, authid, details = invocation.args
    assert (realm, authid, details["ticket"], details["authmethod"]) == ("realm1", "ann", "t", "ticket")
    callee.say(m.Yield(invocation.request, {}, [{"role": "friend", "authid": "anna"}]))
    for _ in range(20):
        await settle()
    welcomed(link, authid="anna", authrole="friend")
    # nobody serves it any more: the client may try again, it was not refused
    callee.drop()
    link = await hello(router, "ticket", authid="ann")
    link.one(m.Challenge)
    link.say(m.Authenticate("t", {}))
    for _ in range(20):
        await settle()
    assert link.one(m.Abort).reason == "wamp.error.no_such_procedure"
    router.shutdown()
    for _ in range(20):
        await settle()


# ---- limits -----------------------------------------------------------------------------------------------------


async def test_S39_failed_attempts_have_to_wait():
    now = [0.0]
    router = make(TICKET, auth_options={"attempts": Attempts(free=2, clock=lambda: now[0])})

    async def attempt(ticket, authid="joe"):
        link = await hello(router, "ticket", authid=authid)
        if isinstance(link.sent[0], m.Abort):
            return link.one(m.Abort).reason
        link.take()
        msg = (await answer(link, ticket)).take()[0]
        return msg.reason if isinstance(msg, m.Abort) else "welcome"

    assert [await attempt("x"), await attempt("x"), await attempt("secret")] == [DENIED, DENIED, FAILED]
    assert await attempt("secret", "ann") == DENIED  # others are not concerned
    now[0] = 1.1
    assert await attempt("x") == DENIED
    now[0] = 2.9  # now it is two seconds
    assert await attempt("secret") == FAILED
    now[0] = 3.2
    assert await attempt("secret") == "welcome"
    assert [await attempt("x"), await attempt("secret")] == [DENIED, "welcome"]


def test_S39_a_host_that_tries_many_names_has_to_wait():
    now = [0.0]
    attempts = Attempts(free=5, free_per_host=3, size=10, clock=lambda: now[0])
    for i in range(3):
        attempts.check("h", f"user{i}")
        attempts.failed("h", f"user{i}")
    with pytest.raises(ApplicationError, match="too many"):
        attempts.check("h", "another")
    attempts.check("g", "another")
    for i in range(100):
        attempts.failed("h", f"user{i}")
    assert len(attempts._failures) == 10
    now[0] = 10_000.0
    attempts.failed("h", "user99")
    attempts.check("h", "user99")


async def test_S39_key_derivations_are_limited():
    running, peak, order = 0, 0, []
    futures = []

    class Runtime(AsyncioRuntime):
        def run_blocking(self, fn):
            async def run():
                nonlocal running, peak
                running += 1
                peak = max(peak, running)
                future = self.create_future()
                futures.append(future)
                try:
                    await future
                finally:
                    running -= 1
                return fn()

            return run()

    runtime = Runtime()
    gate = KdfGate(lambda: runtime, workers=2, queue=3)
    tasks = [asyncio.ensure_future(gate.run(lambda i=i: order.append(i))) for i in range(6)]
    await settle()
    with pytest.raises(ApplicationError, match="too many"):
        await tasks[5]
    tasks[2].cancel()  # one that waits gives up
    await settle()
    for _ in range(5):
        for future in futures:
            if not future.done():
                future.set_result(None)
        await settle()
    assert (peak, order) == (2, [0, 1, 3, 4])
    assert gate._free == 2
    tasks = [asyncio.ensure_future(gate.run(lambda: None)) for _ in range(3)]
    await settle()
    futures[-1].set_result(None)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()  # one of them was just given its turn
    await settle()
    assert gate._free == 2


async def test_whoever_is_refused_for_want_of_workers_hears_when_they_are_free():
    times, futures = iter((0.0, 0.0, 5.0, 6.0)), []

    class Runtime(AsyncioRuntime):
        def run_blocking(self, fn):
            futures.append(self.create_future())
            return futures[-1]

    runtime = Runtime()
    gate = KdfGate(lambda: runtime, workers=1, queue=3, clock=lambda: next(times))
    first = asyncio.ensure_future(gate.run(lambda: None))
    await settle()
    tasks = [asyncio.ensure_future(gate.run(lambda: None)) for _ in range(3)]
    await settle()
    for expected in (1, 15):  # nothing is known yet, then three that take as long as the first one did
        with pytest.raises(ApplicationError) as caught:
            await gate.run(lambda: None)
        assert caught.value.kwargs == {"retry_after": expected}
        if expected == 1:
            times = iter((5.0, 5.0))
            futures[0].set_result(None)
            await first
            await settle()
            tasks.append(asyncio.ensure_future(gate.run(lambda: None)))
            await settle()
    for task in tasks:
        task.cancel()
    await settle()


# ---- configuration ------------------------------------------------------------------------------------------------


def test_principals_from_a_file(tmp_path):
    path = tmp_path / "principals.json"
    path.write_text(json.dumps({"joe": {"ticket": "secret", "role": "user"}}))
    toml = tmp_path / "principals.toml"
    toml.write_text('[joe]\nticket = "secret"\nrole = "user"\n')
    for name in (path, toml):
        router = Router(auth={"realm1": {"ticket": {"file": str(name)}}})
        principal = router.auth._realms["realm1"]["ticket"].source.known()["joe"]
        assert (principal.roles, principal.provider) == (("user",), "file")
    path.write_text("[")
    for wrong in (path, tmp_path / "nothing.toml"):
        with pytest.raises(ValueError, match="principals in"):
            Router(auth={"realm1": {"ticket": {"file": str(wrong)}}})


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        ({"realm1": {}}, "methods for the realm 'realm1'"), ({"realm1": {"magic": {}}}, "'magic'"),
        ({"realm1": {"ticket": 5}}, "a dict"), ({"realm1": {"ticket": {}}}, "principals, file, sqlite, authenticator"),
        ({"realm1": {"ticket": {"principals": {}, "file": "x"}}}, "principals, file"),
        ({"realm1": {"ticket": {"principals": []}}}, "a dict"),
        ({"realm1": {"ticket": {"principals": {"joe": {"ticket": "x"}}}}}, "a role"),
        ({"realm1": {"ticket": {"principals": {"joe": 5}}}}, "a dict"),
        ({"realm1": {"ticket": {"principals": {"joe": {"role": "x"}}}}}, "ticket_hash"),
        ({"realm1": {"ticket": {"principals": {"joe": {"ticket": "", "role": "x"}}}}}, "text as ticket"),
        ({"realm1": {"ticket": {"principals": {"joe": {"ticket_hash": "x", "role": "x"}}}}}, "hash_ticket"),
        ({"realm1": {"ticket": {"principals": {"joe": {"ticket_hash": "pbkdf2-sha256$0$AA==$AA==", "role": "x"}}}}},
         "iterations"),
        ({"realm1": {"wampcra": {"principals": {"joe": {"role": "x"}}}}}, "text as secret"),
        ({"realm1": {"scram": {"principals": {"joe": {"role": "x"}}}}}, "iterations"),
        ({"realm1": {"scram": {"principals": {"joe": {"role": "x", "password": "x", "iterations": 5}}}}}, "iterations"),
        ({"realm1": {"cryptosign": {"principals": {"joe": {"role": "x"}}}}}, "authorized_keys"),
        ({"realm1": {"cryptosign": {"principals": {"joe": {"role": "x", "authorized_keys": ["x"]}}}}}, "64 hex"),
        ({"realm1": {"ticket": {"authenticator": "not a uri"}}}, "URI of a procedure"),
    ],
)  # fmt: skip
def test_wrong_configurations_say_what_was_expected(auth, text):
    with pytest.raises(ValueError, match=text):
        Router(auth=auth)


def test_the_hash_of_a_ticket_is_salted():
    assert hash_ticket("x", 10) != hash_ticket("x", 10)
    _, iterations, salt, digest = hash_ticket("x", 10).split("$")
    made = hashlib.pbkdf2_hmac("sha256", b"x", base64.b64decode(salt), int(iterations))
    assert base64.b64decode(digest) == made

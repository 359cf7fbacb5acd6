"""Authentication from end to end: Components against our Router over real WebSockets."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.wamp import ApplicationError, ComponentConfig
from autobahn.wamp import message as m
from autobahn.wamp.auth import compute_wcs, create_authenticator
from autobahn.wamp.cryptosign import CryptosignKey
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.refusal import REFUSALS, is_refusal
from autobahn.wamp.scram import CROSSBAR, SPEC, Credential
from scripted import ScriptedTransport, settle

SEED = bytes(range(32)).hex()
KEY = CryptosignKey.from_bytes(bytes.fromhex(SEED))
ROUTER_SEED = bytes(range(1, 33)).hex()
ROUTER_KEY = CryptosignKey.from_bytes(bytes.fromhex(ROUTER_SEED)).public_key()
FAST = {"initial_retry_delay": 0.001, "max_retry_delay": 0.005}
ARGON2 = {"kdf": "argon2id13", "iterations": 3, "memory": 4096}


def scrams(method, dialect):
    """One principal for each way to store a password."""
    return {
        "joe": {**Credential.derive("secret", dialect=dialect, iterations=4096).marshal(), "role": "user"},
        "ann": {**Credential.derive("secret", dialect=dialect, **ARGON2).marshal(), "role": "user"},
        "bob": {"password": "secret", "iterations": 4096, "role": "user"},
    }


AUTH = {
    "realm1": {
        "anonymous": {"role": "guest"},
        "ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}},
        "wampcra": {"principals": {"joe": {"secret": "secret", "role": "user"}}},
        "scram": {"principals": scrams("scram", CROSSBAR)},
        "wamp-scram": {"principals": scrams("wamp-scram", SPEC)},
        "cryptosign": {
            "principals": {"joe": {"authorized_keys": [KEY.public_key()], "role": "user"}},
            "key": ROUTER_SEED,
        },
    }
}
JOE = {"authid": "joe"}
GOOD = {
    "anonymous": {},
    "ticket": {**JOE, "ticket": "secret"},
    "wampcra": {**JOE, "secret": "secret"},
    "scram": {**JOE, "password": "secret"},
    "wamp-scram": {**JOE, "password": "secret"},
    "cryptosign": {**JOE, "privkey": SEED},
}
WRONG = {
    "ticket": {**JOE, "ticket": "wrong"},
    "wampcra": {**JOE, "secret": "wrong"},
    "scram": {**JOE, "password": "wrong"},
    "wamp-scram": {**JOE, "password": "wrong"},
    "cryptosign": {**JOE, "privkey": "77" * 32},
}


async def join(router, authentication, realm="realm1", **kwargs):
    """What the session became; the component has ended."""
    seen = []

    async def main(loop, session):
        seen.append(session.session_details)

    await component(router, authentication, realm=realm, main=main, **kwargs).start()
    return seen[0]


def component(router, authentication, **kwargs):
    transport = {"type": "websocket", "url": router.url, **FAST}
    return Component(transports=[transport], authentication=authentication, **{"realm": "realm1", **kwargs})


def stopping(failures):
    """A listener that notes the failure of an attempt and stops the component."""

    def failed(component, exc):
        failures.append(exc)
        component.stop()

    return failed


@pytest.mark.parametrize("method", GOOD)
async def test_every_method_lets_in_who_it_should(method, loop_name):
    async with Router(auth=AUTH) as router:
        details = await join(router, {method: GOOD[method]})
        assert details.authmethod == method
        assert details.authrole == ("guest" if method == "anonymous" else "user")
        assert (details.authid == "joe") is (method != "anonymous")


@pytest.mark.parametrize("method", ["scram", "wamp-scram"])
@pytest.mark.parametrize("authid", ["ann", "bob"])
async def test_T_SCR_AB_4_every_stored_form(method, authid):
    async with Router(auth=AUTH) as router:
        assert (await join(router, {method: {"authid": authid, "password": "secret"}})).authid == authid


@pytest.mark.parametrize("method", WRONG)
async def test_wrong_credentials_are_fatal(method):
    """One attempt, not an endless retry; the error says why."""
    async with Router(auth=AUTH) as router:
        failures = []
        refused = component(router, {method: WRONG[method]})
        refused.on_connectfailure(lambda _, exc: failures.append(exc.error))
        with pytest.raises(RuntimeError, match="Exhausted") as caught:
            await refused.start()
        assert failures == ["wamp.error.authentication_denied"]
        assert caught.value.__cause__.error == failures[0]


async def test_an_authenticator_that_cannot_be_reached_is_not_fatal():
    """The procedure that judges comes up late: the client gets in."""
    auth = {"realm1": {"ticket": {"authenticator": "com.example.judge"}}}
    async with Router(auth=auth) as router:
        failures, joined = [], asyncio.get_running_loop().create_future()
        client = component(router, {"ticket": {"authid": "joe", "ticket": "secret"}})
        client.on_join(lambda session, details: joined.set_result(details))

        def failed(_, exc):
            failures.append(exc.error)
            if len(failures) == 3:
                router.attach(Judge(ComponentConfig("realm1")))

        client.on_connectfailure(failed)
        stopped = client.start()
        details = await joined
        assert (details.authid, details.authrole, details.authprovider) == ("joe", "user", "dynamic")
        assert failures[:3] == ["wamp.error.no_such_procedure"] * 3
        await client.stop()
        await stopped


class Judge(ApplicationSession):
    """Lets everybody in who has the ticket."""

    async def onJoin(self, details):
        assert details.authrole == "trusted"
        await self.register(self.judge, "com.example.judge")

    def judge(self, realm, authid, details):
        return "user" if details["ticket"] == "secret" else None


def test_which_refusals_are_final():
    assert all(is_refusal(ApplicationError(uri)) for uri in REFUSALS)
    for uri in ("authentication_failed", "authorization_failed", "no_such_realm", "cannot_authenticate"):
        assert not is_refusal(ApplicationError(f"wamp.error.{uri}"))
    assert not is_refusal(TransportLost("x"))
    assert not is_refusal(None)


async def test_secrets_are_asked_for_at_every_attempt():
    """A ticket that is new each time; one that cannot be got costs an attempt, not the component."""
    asked = []

    async def ticket():
        asked.append(1)
        if len(asked) == 1:
            raise OSError("the vault is away")
        return f"ticket{len(asked)}"

    def judge(realm, authid, details):
        if details["ticket"] == "ticket2":
            raise ApplicationError("com.example.later")
        return "user" if details["ticket"] == "ticket3" else None

    async with Router(auth={"realm1": {"ticket": {"authenticator": judge}}}) as router:
        assert (await join(router, {"ticket": {**JOE, "ticket": ticket}})).authid == "joe"
    assert len(asked) == 3


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_key_that_is_asked_for(is_async):
    asked = []

    def key():
        asked.append(1)
        if len(asked) == 1:
            raise OSError("the vault is away")
        return SEED

    async def later():
        return key()

    async with Router(auth=AUTH) as router:
        details = await join(router, {"cryptosign": {"authid": "joe", "privkey": later if is_async else key}})
        assert details.authid == "joe"
    assert len(asked) == 2


async def test_T_CS_9_and_10_a_pinned_router():
    async with Router(auth=AUTH) as router:
        settings = {"privkey": SEED, "router_key": ROUTER_KEY}
        assert (await join(router, {"cryptosign": settings})).authid == "joe"
        failures = []
        stranger = component(router, {"cryptosign": {**settings, "router_key": KEY.public_key()}})
        stranger.on_connectfailure(stopping(failures))
        await stranger.start()
        assert [exc.error for exc in failures] == ["wamp.error.cannot_authenticate"]


@pytest.mark.parametrize("method", ["wamp-scram", "scram", "cryptosign"])
@pytest.mark.parametrize("named", [True, False])
async def test_S39_a_router_that_skips_its_proof_is_refused(method, named):
    """WELCOME without a challenge, by this method or another, does not pass for a router that proved itself."""
    async with Router(auth={"realm1": {"anonymous": True}}) as router:
        methods = router.core.auth._realms["realm1"]
        methods[method] = methods["anonymous"]
        if named:
            methods[method].name = method
        settings = {**GOOD[method], "router_key": ROUTER_KEY} if method == "cryptosign" else GOOD[method]
        failures, joined = [], []
        refused = component(router, {method: settings})
        refused.on_connectfailure(stopping(failures))
        refused.on_join(lambda session, details: joined.append(details))
        await refused.start()
        assert ([exc.error for exc in failures], joined) == (["wamp.error.cannot_authenticate"], [])


async def test_a_realm_may_redirect():
    def judge(realm, authid, details):
        return {"role": "user", "realm": "realm2", "extra": {"from": realm}}

    auth = {"realm1": {"ticket": {"authenticator": judge}}}
    async with Router(auth=auth, realms=["realm1", "realm2"]) as router:
        details = await join(router, {"ticket": GOOD["ticket"]})
        assert (details.realm, details.authextra) == ("realm2", {"from": "realm1"})


async def test_several_authenticators_the_first_that_the_router_has():
    auth = {"realm1": {"wampcra": AUTH["realm1"]["wampcra"], "ticket": AUTH["realm1"]["ticket"]}}
    async with Router(auth=auth) as router:
        both = {"cryptosign": GOOD["cryptosign"], "ticket": GOOD["ticket"], "wampcra": GOOD["wampcra"]}
        assert (await join(router, both)).authmethod == "ticket"


@pytest.mark.parametrize("there", ["scram", "wamp-scram"])
@pytest.mark.parametrize("order", [("scram", "wamp-scram"), ("wamp-scram", "scram")])
async def test_T_SCR_AB_both_dialects_are_offered_together(there, order):
    """HELLO has one nonce: whichever dialect the router has, it continues that one, at every attempt."""
    async with Router(auth={"realm1": {there: AUTH["realm1"][there]}}) as router:
        for _ in range(2):
            details = await join(router, {method: GOOD[method] for method in order})
            assert (details.authmethod, details.authid) == (there, "joe")


async def test_permissions_from_end_to_end():
    permissions = {"realm1": {"guest": [{"uri": "com.open.", "match": "prefix", "allow": ["call"]}], "user": True}}
    async with Router(auth=AUTH, permissions=permissions) as router:
        done = []

        async def guest(loop, session):
            assert await session.call("com.open.echo", 1) == 1
            for uri in ("com.closed.echo", "com.closed.nothing"):
                with pytest.raises(ApplicationError) as caught:
                    await session.call(uri, 1)
                assert caught.value.error == "wamp.error.not_authorized"
            done.append(1)

        async def user(loop, session):
            for uri in ("com.open.echo", "com.closed.echo"):
                await session.register(lambda x: x, uri)
            await component(router, {"anonymous": {}}, main=guest).start()

        await component(router, {"ticket": GOOD["ticket"]}, main=user).start()
        assert done == [1]


async def test_in_process_sessions_need_no_credentials():
    async with Router(None, auth={"realm1": {"ticket": AUTH["realm1"]["ticket"]}}) as router:
        for given, role in (({}, "trusted"), ({"authid": "me", "authrole": "user"}, "user")):
            joined = asyncio.get_running_loop().create_future()

            class Recorder(ApplicationSession):
                def onJoin(self, details, joined=joined):
                    joined.set_result(details)

            router.attach(Recorder(ComponentConfig("realm1")), **given)
            details = await joined
            assert (details.authrole, details.authmethod) == (role, "internal")
            assert details.authid == given.get("authid", details.authid)


async def test_on_welcome_may_be_async():
    async with Router(auth=AUTH) as router:
        seen = []

        class Careful(Session):
            async def on_welcome(self, welcome):
                await asyncio.sleep(0)
                seen.append(welcome.session)
                return "I do not like it"

        careful = component(router, {"ticket": GOOD["ticket"]}, session_factory=Careful)
        careful.on_connectfailure(stopping([]))
        await careful.start()
        assert len(seen) == 1


# ---- channel binding over real TLS --------------------------------------------------------------------------------


def certificate(path):
    """A self-signed certificate for localhost; the contexts of server and client."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = path / "cert.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + cert.public_bytes(Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("method", ["cryptosign", "wamp-scram"])
async def test_T_CS_8_and_T_SCR_9_bound_to_the_channel(version, method, tmp_path, caplog, loop_name):
    server_context, client_context = certificate(tmp_path)
    client_context.maximum_version = version
    loop = asyncio.get_running_loop()
    async with Router(None, auth=AUTH) as router:
        factory = WampWebSocketServerFactory(router.new_session, url="wss://127.0.0.1:0/ws")
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        endpoint = {"type": "tcp", "host": "127.0.0.1", "port": port, "tls": client_context}
        transport = {
            "type": "websocket",
            "url": f"wss://127.0.0.1:{port}/ws",
            "endpoint": endpoint,
            **FAST,
            "max_retries": 1,
        }
        seen = []

        async def main(_, session):
            assert session.authid == "joe"
            seen.append(session.session_details.transport.channel_id)
            (link,) = router.core.links
            assert link._transport.transport_details.channel_id == seen[0]

        settings = {**GOOD[method], "authextra": {"channel_binding": "tls-unique"}}
        client = Component(main=main, transports=[transport], realm="realm1", authentication={method: settings})
        await client.start()
        server.close()
    if version is ssl.TLSVersion.TLSv1_2:
        assert seen[0].keys() == {"tls-unique"}
        assert "going on without" not in caplog.text
    else:
        assert seen == [{}]
        assert "going on without" in caplog.text


def test_authenticators_that_contradict_each_other():
    session = Session()
    session.add_authenticator(create_authenticator("ticket", authid="joe", ticket="x"))
    with pytest.raises(ValueError, match="Inconsistent authid"):
        session.add_authenticator(create_authenticator("wampcra", authid="ann", secret="x"))


# ---- the client's end, word by word -------------------------------------------------------------------------------


async def opened(*authenticators):
    """A session on a scripted transport that has said HELLO."""
    session = Session(ComponentConfig("realm1"))
    for authenticator in authenticators:
        session.add_authenticator(authenticator)
    transport = ScriptedTransport(session)
    session.onOpen(transport)
    await settle()
    return session, transport


async def test_two_rounds_of_challenge():
    """WAMP allows a router to ask more than once (two factors)."""
    session, transport = await opened(
        create_authenticator("ticket", authid="joe", ticket="first"),
        create_authenticator("wampcra", authid="joe", secret="second"),
    )
    assert transport.take()[0][2]["authmethods"] == ["ticket", "wampcra"]
    transport.play(m.Challenge("ticket", {}))
    await settle()
    assert transport.take() == [[5, "first", {}]]
    transport.play(m.Challenge("wampcra", {"challenge": "x"}))
    await settle()
    assert transport.take() == [[5, compute_wcs("second", "x").decode(), {}]]
    transport.play(m.Welcome(7, {"roles": {"broker": {}}, "authid": "joe", "authmethod": "wampcra"}))
    await settle()
    assert session.session_id == 7
    transport.close()
    await settle()


@pytest.mark.parametrize("method", ["scram", "wampcra"])
async def test_the_loop_goes_on_while_a_key_is_derived(method):
    rounds = 600_000
    if method == "scram":
        _, transport = await opened(create_authenticator("scram", authid="joe", password="x"))
        nonce = transport.take()[0][2]["authextra"]["nonce"]
        extra = {"nonce": CROSSBAR.combine(nonce), "salt": "AAAA", "kdf": "pbkdf2", "iterations": rounds}
    else:
        _, transport = await opened(create_authenticator("wampcra", authid="joe", secret="x"))
        extra = {"challenge": "x", "salt": "y", "iterations": rounds}
    transport.sent.clear()
    transport.play(m.Challenge(method, extra))
    turns = 0
    while not transport.sent:
        await asyncio.sleep(0)
        turns += 1
    assert transport.take()[0][0] == 5
    assert turns > 100
    transport.close()
    await settle()


@pytest.mark.parametrize("method", ["tls", "cookie", "anonymous"])
async def test_methods_that_are_not_challenged(method):
    session, transport = await opened(create_authenticator(method))
    session.onUserError = lambda fail, msg: None
    transport.take()
    transport.play(m.Challenge(method, {}))
    await settle()
    assert transport.take()[0][::2] == [3, "wamp.error.cannot_authenticate"]
    transport.close()
    await settle()

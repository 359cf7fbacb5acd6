"""Authentication by what the link is: a TLS client certificate, a cookie."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.router.auth import Cookies
from autobahn.wamp.exception import ApplicationError
from autobahn.websocket.cookies import CookieJar
from closing import closed

FAST = {"initial_retry_delay": 0.001, "max_retry_delay": 0.005, "max_retries": 0}
TICKET = {"principals": {"joe": {"ticket": "secret", "role": "user"}, "ann": {"ticket": "other", "role": "user"}}}


async def join(transport, authentication, leave=None, **kwargs):
    """What the session became; RuntimeError from ApplicationError when it was refused."""
    seen = []

    async def main(_, session):
        seen.append(session.session_details)
        if leave is not None:
            session.leave(leave)

    await Component(
        main=main, transports=[{**transport, **FAST}], realm="realm1", authentication=authentication, **kwargs
    ).start()
    return seen[0]


async def refused(transport, authentication):
    """The reason of ABORT."""
    with pytest.raises(RuntimeError) as caught:
        await join(transport, authentication)
    assert isinstance(caught.value.__cause__, ApplicationError)
    return caught.value.__cause__.error


# ---- TLS ----------------------------------------------------------------------------------------------------------

CA, OTHER_CA = trustme.CA(), trustme.CA()
CERTS = {name: CA.issue_cert(f"{name}@example.com", common_name=name) for name in ("joe", "ann", "eve")}


def fingerprint(name, algorithm="sha256"):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    cert = x509.load_pem_x509_certificate(CERTS[name].cert_chain_pems[0].bytes())
    return cert.fingerprint({"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}[algorithm]).hex(":").upper()


def client_context(name=None):
    context = ssl.create_default_context()
    CA.configure_trust(context)
    if name is not None:
        CERTS[name].configure_cert(context)
    return context


class TlsRouter:
    """A router behind TLS that asks for client certificates; ``kind``: WebSocket or RawSocket."""

    def __init__(self, kind, auth):
        self.kind = kind
        self.router = Router(None, auth={"realm1": auth})

    async def __aenter__(self):
        await self.router.start()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_OPTIONAL
        CA.configure_trust(context)
        CA.issue_cert("127.0.0.1").configure_cert(context)
        make = WampWebSocketServerFactory if self.kind == "websocket" else WampRawSocketServerFactory
        factory = self.factory = make(self.router.new_session)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.router.close()
        await closed(self.factory)

    def transport(self, name=None):
        scheme = {"websocket": "wss", "rawsocket": "rss"}[self.kind]
        endpoint = {"type": "tcp", "host": "127.0.0.1", "port": self.port, "tls": client_context(name)}
        return {"type": self.kind, "url": f"{scheme}://127.0.0.1:{self.port}", "endpoint": endpoint}


@pytest.mark.parametrize("kind", ["websocket", "rawsocket"])
@pytest.mark.parametrize(
    "principal",
    [
        {"certificate_sha256": fingerprint("joe")},
        {"certificate_sha1": [fingerprint("joe", "sha1").lower().replace(":", ""), "00" * 20]},
        {"common_name": "joe"},
    ],
)
async def test_T_TLS_1_the_certificate_decides(kind, principal, loop_name):
    async with TlsRouter(kind, {"tls": {"principals": {"joe": {**principal, "role": "user"}}}}) as there:
        for named in ({}, {"authid": "joe"}):
            details = await join(there.transport("joe"), {"tls": named})
            assert (details.authid, details.authrole, details.authmethod) == ("joe", "user", "tls")
            assert details.transport.peer_cert["subject_alt_names"] == [["IP Address", "127.0.0.1"]]
        assert await refused(there.transport("eve"), {"tls": {}}) == "wamp.error.authentication_denied"
        assert await refused(there.transport("eve"), {"tls": {"authid": "joe"}}) == "wamp.error.authentication_denied"
        assert await refused(there.transport(), {"tls": {}}) == "wamp.error.authentication_denied"


async def test_T_TLS_1_a_component_loads_its_certificate_from_files(tmp_path):
    files = {name: str(tmp_path / f"{name}.pem") for name in ("trust_root", "certificate", "key", "both")}
    CA.cert_pem.write_to_path(files["trust_root"])
    CERTS["joe"].cert_chain_pems[0].write_to_path(files["certificate"])
    CERTS["joe"].private_key_pem.write_to_path(files["key"])
    CERTS["joe"].private_key_and_cert_chain_pem.write_to_path(files["both"])
    async with TlsRouter(
        "websocket", {"tls": {"principals": {"joe": {"common_name": "joe", "role": "user"}}}}
    ) as there:
        for names in (("trust_root", "certificate", "key"), ("trust_root", "both")):
            tls = {name if name != "both" else "certificate": files[name] for name in names}
            transport = there.transport()
            transport["endpoint"]["tls"] = tls
            assert (await join(transport, {"tls": {}})).authid == "joe"
    for wrong, text in (
        ({"key": files["key"]}, "'certificate' with 'key'"),
        ({"certificate": files["trust_root"]}, "as PEM files"),
        ({"certificate": "/nowhere.pem"}, "as PEM files"),
    ):
        with pytest.raises(ValueError, match=text):
            Component(
                transports=[{"url": "wss://a", "endpoint": {"type": "tcp", "host": "a", "port": 1, "tls": wrong}}]
            )


async def test_T_TLS_1_without_certificate_the_next_method_is_taken():
    auth = {"tls": {"principals": {"joe": {"common_name": "joe", "role": "user"}}}, "ticket": TICKET}
    async with TlsRouter("websocket", auth) as there:
        both = {"tls": {}, "ticket": {"authid": "joe", "ticket": "secret"}}
        assert (await join(there.transport(), both)).authmethod == "ticket"
        assert (await join(there.transport("joe"), both)).authmethod == "tls"


async def test_T_TLS_1_a_function_decides():
    seen = []

    def judge(realm, authid, details):
        seen.append(details["transport"]["peer_cert"]["subject"]["commonName"])
        return {"authid": seen[-1], "role": "user"} if seen[-1] != "eve" else None

    async with TlsRouter("websocket", {"tls": {"authenticator": judge}}) as there:
        assert (await join(there.transport("ann"), {"tls": {}})).authid == "ann"
        assert await refused(there.transport("eve"), {"tls": {}}) == "wamp.error.authentication_denied"
        assert seen == ["ann", "eve"]


@pytest.mark.parametrize(
    ("principal", "text"),
    [({}, "expected certificate_sha256"), ({"certificate_sha1": "ab"}, "40 hex digits"), ({"common_name": 1}, "text")],
)
def test_T_TLS_1_wrong_settings(principal, text):
    from autobahn.router import Router as Core

    with pytest.raises(ValueError, match=text):
        Core(auth={"realm1": {"tls": {"principals": {"joe": {**principal, "role": "user"}}}}})


# ---- cookies ------------------------------------------------------------------------------------------------------


def with_cookie(jar, **ticket):
    return {"cookie": {"jar": jar}, "ticket": {"authid": "joe", "ticket": "secret", **ticket}}


async def test_T_COO_1_a_cookie_stands_for_an_earlier_authentication(loop_name):
    async with Router(auth={"realm1": {"cookie": True, "ticket": TICKET}}) as router:
        jar = CookieJar()
        first = await join({"url": router.url}, with_cookie(jar))
        assert (first.authmethod, first.authid) == ("ticket", "joe")
        assert len(jar) == 1
        again = await join({"url": router.url}, with_cookie(jar, ticket="no longer good"))
        assert (again.authmethod, again.authid, again.authrole) == ("cookie", "joe", "user")
        assert (await join({"url": router.url}, {"cookie": {"jar": jar}})).authid == "joe"
        # somebody else from the same place has to prove it
        other = await join({"url": router.url}, with_cookie(jar, authid="ann", ticket="other"))
        assert (other.authmethod, other.authid) == ("ticket", "ann")


async def test_T_COO_1_strangers_and_foreign_cookies():
    async with Router(auth={"realm1": {"cookie": True, "ticket": TICKET}}) as router:
        assert await refused({"url": router.url}, {"cookie": {}}) == "wamp.error.authentication_denied"
        jar = CookieJar()
        for value in ("x", "A" * 43, "../" * 11):
            jar.store(router.url, f"cbtid={value}; Path=/")
            assert await refused({"url": router.url}, {"cookie": {"jar": jar}}) == "wamp.error.authentication_denied"


async def test_T_COO_1_logout():
    async with Router(auth={"realm1": {"cookie": True, "ticket": TICKET}}) as router:
        jar = CookieJar()
        await join({"url": router.url}, with_cookie(jar))
        assert (await join({"url": router.url}, with_cookie(jar), leave="wamp.close.logout")).authmethod == "cookie"
        assert (await join({"url": router.url}, with_cookie(jar))).authmethod == "ticket"


async def test_T_COO_1_a_component_keeps_its_own_jar():
    async with Router(auth={"realm1": {"cookie": True, "ticket": TICKET}}) as router:
        methods = []
        component = Component(
            transports=[{"url": router.url, **FAST, "max_retries": 5}],
            realm="realm1",
            authentication={"cookie": {}, "ticket": {"authid": "joe", "ticket": "secret"}},
        )

        @component.on_join
        async def joined(session, details):
            methods.append(details.authmethod)
            if len(methods) == 1:
                session.transport.abort()  # comes back by itself
            else:
                component.stop()

        await component.start()
        assert methods == ["ticket", "cookie"]


async def test_T_COO_1_cookies_end_and_other_realms_do_not_know_them():
    now = [1000.0]
    cookies = Cookies("id", max_age=60, clock=lambda: now[0])
    auth = {"realm1": {"cookie": True, "ticket": TICKET}, "realm2": {"cookie": True}}
    async with Router(auth=auth, auth_options={"cookies": cookies}, realms=["realm1", "realm2"]) as router:
        jar = CookieJar()
        await join({"url": router.url}, with_cookie(jar))
        assert jar.header(router.url).startswith("id=")
        assert (await join({"url": router.url}, with_cookie(jar))).authmethod == "cookie"
        value = jar.header(router.url).removeprefix("id=")
        assert cookies.find(value, "realm2") is None
        now[0] += 60
        assert (await join({"url": router.url}, with_cookie(jar))).authmethod == "ticket"


async def test_routers_without_the_method_set_no_cookie():
    async with Router(auth={"realm1": {"ticket": TICKET}}) as router:
        jar = CookieJar()
        assert (await join({"url": router.url}, with_cookie(jar))).authmethod == "ticket"
        assert len(jar) == 0

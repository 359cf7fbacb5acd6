"""`autobahn.connect` for WAMP: every transport, serializers, authentication, connecting again."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

import autobahn
from autobahn.asyncio import reconnecting
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.retry import Retry
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WampWebSocketServerFactory
from autobahn.exception import ConnectFailed, InvalidHandshake, InvalidStatus
from autobahn.wamp import ApplicationError, PublishOptions
from autobahn.wamp import message as m
from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.serializer import MsgPackSerializer, create_transport_serializers
from autobahn.websocket.cookies import CookieJar
from closing import closed
from component_world import DEFAULT, router, scripted

CA = trustme.CA()
AUTH = {"realm1": {"ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}}, "cookie": True}}


async def check(session, name):
    """The session works, and speaks the serializer ``name``."""
    assert session.session_details.serializer == name
    async with session.events("com.t") as events:
        await session.register(lambda x: x, "com.echo")
        assert await session.call("com.echo", b"\x00\xff") == b"\x00\xff"
        session.publish("com.t", 1, options=PublishOptions(exclude_me=False))
        async for event in events:
            assert event.args == [1]
            break


@pytest.mark.parametrize(
    ("scheme", "serializers", "name"),
    [
        ("rs", None, "cbor"),
        ("rs", ["msgpack"], "msgpack"),
        ("rs", [MsgPackSerializer()], "msgpack"),
        ("ws", None, "cbor.batched"),
        ("ws", ["json.batched", "cbor"], "json.batched"),
        ("ws", [MsgPackSerializer(), "json"], "msgpack"),
    ],
)
async def test_transports_and_serializers(scheme, serializers, name, tmp_path, loop_name):
    for place in ("127.0.0.1:0", f"unix:{tmp_path}/s"):
        url = f"{scheme}://{place}" + ("/" if scheme == "ws" and "unix" not in place else "")
        async with Router(url) as router:
            async with autobahn.connect(router.url, realm="realm1", serializers=serializers) as session:
                await check(session, name)
            assert not session.is_attached()


@pytest.mark.parametrize("scheme", ["wss", "rss"])
async def test_tls(scheme, loop_name):
    server_context, client_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    CA.issue_cert("127.0.0.1").configure_cert(server_context)
    CA.configure_trust(client_context)
    async with Router(None) as router:
        make = WampWebSocketServerFactory if scheme == "wss" else WampRawSocketServerFactory
        factory = make(router.new_session, serializers=create_transport_serializers(["cbor"]))
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=server_context)
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with autobahn.connect(url, realm="realm1", ssl=client_context) as session:
            await check(session, "cbor")
            assert session.session_details.transport.is_secure is True
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect(url, realm="realm1")
        assert caught.value.phase == "tls"
        server.close()
        await closed(factory)


@pytest.mark.parametrize(
    "auth",
    [
        {"ticket": {"authid": "joe", "ticket": lambda: "secret"}},
        {"ticket": create_authenticator("ticket", authid="joe", ticket="secret")},
        create_authenticator("ticket", authid="joe", ticket="secret"),
        [create_authenticator("ticket", authid="joe", ticket="secret"), create_authenticator("cookie")],
    ],
)
async def test_authentication(auth):
    async with Router(auth=AUTH) as router:
        async with autobahn.connect(router.url, realm="realm1", auth=auth) as session:
            assert session.authid == "joe"


async def test_authentication_that_fails():
    async with Router(["rs://127.0.0.1:0"], auth=AUTH) as router:
        with pytest.raises(ApplicationError) as caught:
            await autobahn.connect(router.url, realm="realm1", auth={"ticket": {"authid": "joe", "ticket": "wrong"}})
        assert caught.value.error == "wamp.error.authentication_denied"


async def test_cookies_of_a_connection_and_of_several():
    async with Router(auth=AUTH) as router:
        auth = {"cookie": {}, "ticket": {"authid": "joe", "ticket": "secret"}}
        door = autobahn.connect(router.url, realm="realm1", auth=auth)
        for method in ("ticket", "cookie"):
            async with door as session:
                assert session.authmethod == method
        both = [create_authenticator("cookie"), create_authenticator("ticket", authid="joe", ticket="secret")]
        door = autobahn.connect(router.url, realm="realm1", auth=both)
        for method in ("ticket", "cookie"):
            async with door as session:
                assert session.authmethod == method
        jar = CookieJar()
        for method in ("ticket", "cookie"):
            async with autobahn.connect(router.url, realm="realm1", auth=auth, cookies=jar) as session:
                assert session.authmethod == method
        assert len(jar) == 1


async def test_cookies_of_a_websocket():
    seen = []

    def remember(request):
        seen.append(request.headers.get("cookie"))

    async def serve(ws):
        await ws.recv()

    jar = CookieJar()
    jar.store("ws://127.0.0.1/", "a=1; Path=/")
    async with autobahn.serve(serve, process_request=remember) as server:
        async with autobahn.connect(server.url, cookies=jar):
            pass
    assert seen == ["a=1"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"url": "rs://a", "realm": "r", "headers": {"X": "y"}}, "options that RawSocket has"),
        ({"url": "rs://a", "realm": "r", "serializers": ["cbor", "json"]}, "one serializer for RawSocket"),
        ({"url": "rs://a", "realm": "r", "serializers": ["json.batched"]}, "without batching"),
        ({"url": "rs://a", "realm": "r", "ssl": True}, "expected a wss:// or rss:// URL"),
        ({"url": "rs://a"}, "realm with a RawSocket URL"),
        ({"url": "ws://a", "realm": "r", "serializers": []}, "one serializer or more"),
        ({"url": "ws://a", "realm": "r", "serializers": ["flatbuffers"]}, "use cbor"),
        ({"url": "ws://a", "realm": "r", "auth": 5}, "auth as a dict"),
        ({"url": "ws://a", "realm": "r", "auth": {"nonsense": {}}}, "authentication method"),
        ({"url": "rs://a/x", "realm": "r"}, "host and port"),
    ],
)
def test_what_is_wrong_is_said_at_the_call(args, text):
    with pytest.raises((TypeError, ValueError), match=text):
        autobahn.connect(**args)


async def test_a_rawsocket_server_that_is_none():
    async def silent(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(InvalidHandshake):
        await autobahn.connect(f"rs://127.0.0.1:{port}", realm="realm1")
    server.close()


# ---- again and again ------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch):
    """Delays that do not matter."""
    monkeypatch.setattr(reconnecting, "RETRY", Retry(initial_retry_delay=0.001, max_retry_delay=0.002))


@pytest.mark.usefixtures("hasty")
async def test_a_loop_connects_again(loop_name):
    async with Router() as router:
        sessions = []
        async for session in autobahn.connect(router.url, realm="realm1"):
            sessions.append(session)
            if len(sessions) == 3:
                break
            if len(sessions) == 1:
                next(iter(router.core.links)).abort()
                with pytest.raises((TransportLost, ApplicationError)):
                    await session.call("com.nothing")
                await session.wait_disconnected()
        assert len({id(s) for s in sessions}) == 3
        await sessions[-1].wait_disconnected()
        assert router.core.sessions == 0


@pytest.mark.usefixtures("hasty")
async def test_a_loop_waits_for_its_server():
    async with Router() as router:
        url = router.url

    async def later():
        await asyncio.sleep(0)
        async with Router(url):
            await again_is_over.wait()

    again_is_over = asyncio.Event()
    task = asyncio.ensure_future(later())
    async for session in autobahn.connect(url, realm="realm1"):
        assert session.is_attached()
        break
    await session.wait_disconnected()
    again_is_over.set()
    await task


@pytest.mark.usefixtures("hasty")
async def test_a_loop_ends_with_what_would_come_again():
    async with Router(auth=AUTH) as router:
        with pytest.raises(ApplicationError):
            async for _ in autobahn.connect(router.url, realm="realm1", auth={"ticket": {"ticket": "wrong"}}):
                raise AssertionError
        with pytest.raises(InvalidStatus):
            async for _ in autobahn.connect(router.url + "x"):
                raise AssertionError
        with pytest.raises(ZeroDivisionError):
            async for session in autobahn.connect(
                router.url, realm="realm1", auth={"ticket": {"authid": "joe", "ticket": "secret"}}
            ):
                1 / 0
        await session.wait_disconnected()


@pytest.mark.parametrize(
    ("name", "end", "hint"),
    [
        ("hello", lambda peer: peer.say(m.Abort({"retry_after": 40}, "wamp.error.unavailable")), (40, 40)),
        ("publish", lambda peer: peer.say(m.Goodbye({"retry_after": 7}, "wamp.close.system_shutdown")), (7, 7)),
        ("publish", lambda peer: peer.close(1012), (5, 30)),
        ("publish", lambda peer: peer.fin(), (0, 0)),
    ],
)
async def test_a_loop_waits_as_long_as_its_router_asks_for(name, end, hint, monkeypatch):
    hints = []

    def answer(peer, msg):
        return DEFAULT[name](peer, msg) if hints else end(peer)

    class Noting(reconnecting.Backoff):
        def next(self, hint=0.0):
            hints.append(hint)
            return 0.0

    monkeypatch.setattr(reconnecting, "Backoff", Noting)
    async with scripted(router(**{name: answer})) as (url, _):
        async with asyncio.timeout(10):
            async for session in autobahn.connect(url, realm="realm1"):
                if hints:
                    break
                session.publish("com.t")
                await session.wait_disconnected()
    assert hint[0] <= hints[0] <= hint[1]

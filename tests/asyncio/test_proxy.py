"""Connecting through proxies, against real little ones, and their conversations octet by octet."""

import asyncio
import contextlib
import socket
import ssl
import sys

import pytest
import trustme

import autobahn
from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
from autobahn.asyncio.websocket import WebSocketClientFactory
from autobahn.exception import ConnectFailed, ConnectTimeout, Disconnected, InvalidURI, ProxyError
from autobahn.websocket.proxy import Proxy, environment_proxy, open_tunnel, parse_proxy
from proxies import HttpProxy, SocksProxy
from proxies import Proxy as Proxy_


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


def server_context(ca, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


def client_context(ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def spoken(url, **options):
    """Connects, has a message echoed, and leaves."""
    async with autobahn.connect(url, **options) as ws:
        await ws.send("Grüße")
        await ws.send(b"\0" * 100_000)
        assert await ws.recv() == "Grüße"
        assert await ws.recv() == b"\0" * 100_000


KINDS = {
    "http": HttpProxy,
    "https": HttpProxy,
    "socks4": SocksProxy,
    "socks4a": SocksProxy,
    "socks5": SocksProxy,
    "socks5h": SocksProxy,
}


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("user", [None, "me:a%3Ab"], ids=["open", "login"])
@pytest.mark.parametrize("scheme", KINDS)
async def test_ws_and_wss_go_through_every_kind_of_proxy(loop_name, ca, scheme, user, secure):
    remote = scheme in ("http", "https", "socks4a", "socks5h")  # only the proxy knows the name
    host = "server.test" if remote else "127.0.0.1"
    tls = server_context(ca, "server.test", "127.0.0.1") if secure else None
    proxy_tls = server_context(ca, "127.0.0.1") if scheme == "https" else None
    wanted = user and user.replace("%3A", ":")
    async with autobahn.serve(echo, ssl=tls) as server:
        async with KINDS[scheme](wanted, ssl=proxy_tls, names={"server.test": "127.0.0.1"}) as proxy:
            login = f"{user}@" if user else ""
            await spoken(
                f"{'wss' if secure else 'ws'}://{host}:{server.port}/",
                proxy=f"{scheme}://{login}127.0.0.1:{proxy.port}",
                ssl=client_context(ca) if secure else None,
                proxy_ssl=client_context(ca) if proxy_tls else None,
            )
            assert proxy.asked == [(host, server.port)]


@pytest.mark.parametrize(
    ("scheme", "status"), [("http", 407), ("https", 407), ("socks4", 93), ("socks5", 255), ("socks5h", 255)]
)
async def test_a_missing_login_is_an_error_that_says_so(ca, scheme, status):
    tls = server_context(ca, "127.0.0.1") if scheme == "https" else None
    async with KINDS[scheme]("me:secret", ssl=tls) as proxy:
        with pytest.raises(ProxyError) as caught:
            options = {"proxy_ssl": client_context(ca)} if tls else {}
            await autobahn.connect("ws://127.0.0.1:9/", proxy=f"{scheme}://127.0.0.1:{proxy.port}", **options)
        assert caught.value.status == status
        assert caught.value.phase == "proxy"
        assert caught.value.url == "ws://127.0.0.1:9/"
        assert caught.value.peer == f"tcp4:127.0.0.1:{proxy.port}"
        assert proxy.asked == []


@pytest.mark.parametrize(("scheme", "status"), [("http", 407), ("socks5", 1)])
async def test_a_wrong_password_is_an_error_without_the_password(scheme, status):
    async with KINDS[scheme]("me:secret") as proxy:
        with pytest.raises(ProxyError) as caught:
            await autobahn.connect("ws://127.0.0.1:9/", proxy=f"{scheme}://me:hunter2@127.0.0.1:{proxy.port}")
        assert caught.value.status == status
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "status"), [("http", 502), ("socks4", 91), ("socks5", 5)])
async def test_a_server_the_proxy_cannot_reach(loop_name, scheme, status):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with KINDS[scheme]() as proxy:
            with pytest.raises(ProxyError) as caught:
                url = f"ws://127.0.0.1:{free.getsockname()[1]}/"
                await autobahn.connect(url, proxy=f"{scheme}://127.0.0.1:{proxy.port}")
            assert caught.value.status == status


@pytest.mark.parametrize("scheme", ["http", "socks4", "socks5"])
@pytest.mark.parametrize("answer", [b"", b"garbage\r\n" * 8, b"HTTP/1.1 200 OK\r\n\r\nmore"])
async def test_a_proxy_that_talks_nonsense_is_an_error(loop_name, scheme, answer):
    async with HttpProxy(answer=answer) as proxy:
        with pytest.raises((ProxyError, ConnectTimeout)) as caught:
            await autobahn.connect("ws://127.0.0.1:9/", proxy=f"{scheme}://127.0.0.1:{proxy.port}", open_timeout=0.2)
        assert caught.value.phase == "proxy"
        assert isinstance(caught.value, ProxyError) == bool(answer)


async def test_a_proxy_with_an_endless_head_is_cut_off():
    async with HttpProxy(answer=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000) as proxy:
        with pytest.raises(ProxyError, match="at most 16384 octets"):
            await autobahn.connect("ws://127.0.0.1:9/", proxy=f"http://127.0.0.1:{proxy.port}")


@pytest.mark.parametrize(
    "head", [b"Content-Length: 999999999", b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"]
)
async def test_S24_the_body_of_a_refusal_is_not_read(loop_name, head):
    """A proxy that goes on talking behind its 407 is cut off, and nothing of that is kept or inflated."""
    cut = asyncio.get_running_loop().create_future()

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 no\r\n" + head + b"\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                writer.write(bytes(65536))
                await writer.drain()
                await asyncio.sleep(0)
                sent += 65536
        writer.close()
        cut.set_result(sent)

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ProxyError) as caught:
        await autobahn.connect("ws://127.0.0.1:9/", proxy=f"http://127.0.0.1:{port}")
    assert caught.value.status == 407
    assert await asyncio.wait_for(cut, 20) < 20_000_000
    server.close()


@pytest.mark.parametrize("scheme", ["http", "socks5", "https"])
async def test_through_a_proxy_the_server_must_prove_its_name(loop_name, ca, scheme):
    """S22: TLS inside of the tunnel is checked against the server's name, not against the proxy's."""
    if scheme == "https" and sys.version_info < (3, 12, 2):  # CPython 3.11.7 and 3.12.1 report a TypeError of their own
        asyncio.get_running_loop().set_exception_handler(None)
    proxy_tls = server_context(ca, "127.0.0.1") if scheme == "https" else None
    async with autobahn.serve(echo, ssl=server_context(ca, "other.test", "127.0.0.1")) as server:
        async with KINDS[scheme](ssl=proxy_tls, names={"server.test": "127.0.0.1"}) as proxy:
            with pytest.raises(ConnectFailed, match=r"server\.test") as caught:
                await autobahn.connect(
                    f"wss://server.test:{server.port}/",
                    proxy=f"{scheme}://127.0.0.1:{proxy.port}".replace("socks5", "socks5h"),
                    ssl=client_context(ca),
                    proxy_ssl=client_context(ca) if proxy_tls else None,
                )
            assert caught.value.phase == "tls"
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_an_https_proxy_must_prove_its_name(ca):
    async with HttpProxy(ssl=server_context(ca, "other.test")) as proxy:
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect(
                "ws://127.0.0.1:9/", proxy=f"https://127.0.0.1:{proxy.port}", proxy_ssl=client_context(ca)
            )
        assert caught.value.phase == "proxy"
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@pytest.fixture
def environment(monkeypatch):
    for name in ("ws", "wss", "http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return monkeypatch


async def test_the_environment_names_a_proxy(environment):
    async with autobahn.serve(echo) as server, HttpProxy(names={"server.test": "127.0.0.1"}) as proxy:
        environment.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        await spoken(f"ws://server.test:{server.port}/")
        await spoken(server.url)  # not for this machine
        assert proxy.asked == [("server.test", server.port)]
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect(f"ws://server.test:{server.port}/", proxy=None)
        assert caught.value.phase == "resolve"


@pytest.mark.parametrize(
    ("variables", "secure", "expected"),
    [
        ({}, False, None),
        ({"HTTP_PROXY": "http://a:1"}, False, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, True, None),
        ({"HTTPS_PROXY": "a:1"}, True, "http://a:1"),
        ({"https_proxy": "http://b:1", "HTTPS_PROXY": "http://a:1"}, True, "http://b:1"),
        ({"ALL_PROXY": "socks5h://a"}, True, "socks5h://a:1080"),
        ({"ALL_PROXY": "socks5://a:1", "HTTPS_PROXY": "https://b"}, True, "https://b:443"),
        ({"WSS_PROXY": "http://c:1", "HTTPS_PROXY": "http://b"}, True, "http://c:1"),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "server.test"}, False, None),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": ".test"}, False, None),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "other.test,server.test:80"}, False, None),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "server.test:81"}, False, "http://a:1"),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "*"}, False, None),
    ],
)
def test_environment_variables(environment, variables, secure, expected):
    for name, value in variables.items():
        environment.setenv(name, value)
    found = environment_proxy(secure, "server.test", 80)
    assert (found and str(found)) == expected
    for host in ("localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "::1"):
        assert environment_proxy(secure, host, 80) is None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://a", Proxy("http", "a", 80)),
        ("HTTPS://a:8443/", Proxy("https", "a", 8443)),
        ("a.test:3128", Proxy("http", "a.test", 3128)),
        ("socks5://u%40x:p%3Aw@[::1]:1081", Proxy("socks5", "::1", 1081, "u@x", "p:w")),
        ({"host": "a", "port": 1}, Proxy("http", "a", 1)),
        ({"type": "socks5", "host": "a", "port": 1, "username": "u", "password": "p"},
         Proxy("socks5", "a", 1, "u", "p")),
    ],
)  # fmt: skip
def test_parsing(text, proxy):
    assert parse_proxy(text) == proxy
    assert "p:w" not in str(proxy)


@pytest.mark.parametrize(
    "wrong",
    ["ftp://a", "http://", "http://a:0", "http://a:99999", "http://a:x", "http://a b", "http://a\r\nb", "socks5://" ,
     "http://u:" + "p" * 256 + "@a", "http://u%3Ax:p@a", {"host": "a"}, {"host": "a", "port": "1"},
     {"host": "a", "port": True}, {"host": "a", "port": 1, "x": 1}, {"type": "ftp", "host": "a", "port": 1}],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_at_the_call(wrong):
    with pytest.raises(InvalidURI):
        parse_proxy(wrong)
    with pytest.raises(ValueError):
        autobahn.connect("ws://127.0.0.1:9", proxy=wrong)
    with pytest.raises(TypeError):
        parse_proxy(7)


CONVERSATIONS = [
    ("http://p", "h.test", [b"CONNECT h.test:81 HTTP/1.1\r\nHost: h.test:81\r\n\r\n"],
     [b"HTTP/1.0 204 x\r\nA: b\r\n\r\n"]),
    ("http://p", "::1", [b"CONNECT [::1]:81 HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"], [b"HTTP/1.1 200\r\n\r\n"]),
    ("socks4://u@p", "1.2.3.4", [b"\4\1\0\x51\1\2\3\4u\0"], [b"\0\x5a123456"]),
    ("socks4a://p", "h", [b"\4\1\0\x51\0\0\0\1\0h\0"], [b"\0\x5a123456"]),
    ("socks5h://p", "h", [b"\5\1\0", b"\5\1\0\3\1h\0\x51"], [b"\5\0", b"\5\0\0\1abcdpp"]),
    ("socks5h://p", "::1", [b"\5\1\0", b"\5\1\0\4" + bytes(15) + b"\1\0\x51"], [b"\5\0", b"\5\0\0\4" + b"a" * 18]),
    ("socks5h://u:p@p", "1.2.3.4", [b"\5\2\0\2", b"\1\1u\1p", b"\5\1\0\1\1\2\3\4\0\x51"],
     [b"\5\2", b"\1\0", b"\5\0\0\3\0pp"]),
    ("socks5h://u:p@p", "1.2.3.4", [b"\5\2\0\2", b"\5\1\0\1\1\2\3\4\0\x51"], [b"\5\0", b"\5\0\0\3\4namepp"]),
]  # fmt: skip


@pytest.mark.parametrize(("proxy", "host", "sent", "received"), CONVERSATIONS)
@pytest.mark.parametrize("size", [1, 1000])
def test_conversations_octet_by_octet(proxy, host, sent, received, size):
    tunnel = open_tunnel(parse_proxy(proxy), host, 81)
    said = [tunnel.start()]
    for reply in received:
        assert not tunnel.done
        answer = b"".join(tunnel.receive(reply[i : i + size]) for i in range(0, len(reply), size))
        said += [answer] if answer else []
    assert said == sent
    assert tunnel.done


@pytest.mark.parametrize(("proxy", "host", "sent", "received"), CONVERSATIONS)
def test_octets_behind_the_answer_are_refused(proxy, host, sent, received):
    tunnel = open_tunnel(parse_proxy(proxy), host, 81)
    tunnel.start()
    for reply in received[:-1]:
        tunnel.receive(reply)
    with pytest.raises(ProxyError):
        tunnel.receive(received[-1] + b"x")


async def test_cancelling_in_the_middle_of_a_proxy_leaves_nothing(loop_name):
    async with HttpProxy(answer=b"") as proxy:
        task = asyncio.create_task(
            autobahn.connect("ws://127.0.0.1:9/", proxy=f"http://127.0.0.1:{proxy.port}").__aenter__()
        )
        while not proxy.tasks:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while proxy.tasks:  # the proxy sees the end
            await asyncio.sleep(0.001)


# -- the documented classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_a_component_goes_through_its_proxy(loop_name, ca, secure):
    """N20. The router speaks ws; for wss a relay speaks TLS in front of it."""
    async with Router(url="ws://127.0.0.1:0/ws") as router, contextlib.AsyncExitStack() as stack:
        named = port = int(router.url.rpartition(":")[2].removesuffix("/ws"))
        if secure:
            port = await stack.enter_async_context(tls_in_front(port, server_context(ca, "router.test")))
        async with HttpProxy("me:secret", names={"router.test": "127.0.0.1"}) as proxy:
            component = Component(
                transports={
                    "url": f"{'wss' if secure else 'ws'}://router.test:{named}/ws",  # what the Host header says
                    "endpoint": {
                        "type": "tcp", "host": "router.test", "port": port, "version": 4,
                        "tls": client_context(ca) if secure else None,
                    },
                    "proxy": {"host": "127.0.0.1", "port": proxy.port, "username": "me", "password": "secret"},
                    "max_retries": 0,
                },
                realm="realm1",
            )  # fmt: skip
            details = []

            @component.on_join
            async def joined(session, joined_details):
                details.append(joined_details)
                await session.leave()

            await component.start()
            assert details[0].realm == "realm1"
            assert proxy.asked == [("router.test", port)]


@contextlib.asynccontextmanager
async def tls_in_front(port, context):
    """The port of a TLS listener that forwards to `port`."""

    class Forward(Proxy_):
        async def negotiate(self, reader, writer):
            return await self.open("127.0.0.1", port)

    async with Forward(ssl=context) as forward:
        yield forward.port


@pytest.mark.parametrize("wrong", ["ftp://a", {"host": "a"}, {"host": "a", "port": "1"}, 7])
def test_a_component_says_what_is_wrong_with_its_proxy(wrong):
    with pytest.raises(ValueError, match="transport 0, proxy: expected"):
        Component(transports={"url": "ws://127.0.0.1/", "proxy": wrong})
    with pytest.raises(ValueError, match="version"):
        Component(
            transports={
                "url": "ws://127.0.0.1/",
                "endpoint": {"type": "tcp", "host": "a", "port": 1, "version": 5},
            }
        )


def test_a_runner_goes_through_its_proxy():
    joined = []

    class Session(ApplicationSession):
        async def onJoin(self, details):
            joined.append(details.realm)
            self.leave()

    async def run():
        async with Router(url="ws://127.0.0.1:0/ws") as router, SocksProxy(names={"router.test": "127.0.0.1"}) as proxy:
            runner = ApplicationRunner(
                router.url.replace("127.0.0.1", "router.test"),
                "realm1",
                proxy={"type": "socks5h", "host": "127.0.0.1", "port": proxy.port},
            )
            _, protocol = await runner.run(Session, start_loop=False)
            await protocol.is_closed
            assert len(proxy.asked) == 1

    asyncio.run(run())
    assert joined == ["realm1"]


@pytest.mark.parametrize("user", [None, "me:secret"])
async def test_the_proxy_of_a_client_factory(loop_name, user):
    """The documented way: the program connects to the proxy itself."""
    async with autobahn.serve(echo) as server, HttpProxy(user, names={"server.test": "127.0.0.1"}) as proxy:
        settings = {"host": "127.0.0.1", "port": proxy.port}
        factory = WebSocketClientFactory(f"ws://server.test:{server.port}/", proxy=settings)
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(factory, "127.0.0.1", proxy.port)
        if user is None:
            await protocol.is_open
            assert proxy.asked == [("server.test", server.port)]
            protocol.sendClose(1000)
        else:
            with pytest.raises(Disconnected, match="the proxy answered 407"):
                await protocol.is_open
        await protocol.is_closed
    with pytest.raises(ValueError, match="TLS"):
        WebSocketClientFactory("wss://server.test/", proxy=settings)

"""The dialer: addresses raced as RFC 8305 says, TLS that insists on names, Unix sockets, sockets, local addresses."""

import asyncio
import datetime
import socket
import ssl
import time

import pytest
import trustme

import autobahn
from autobahn.asyncio.dial import Dialer, first_transport, resolve
from autobahn.exception import ConnectFailed, ConnectTimeout


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def spoken(url, **options):
    async with autobahn.connect(url, **options) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"
        return ws


@pytest.fixture
def black_hole():
    """An address that never answers: a listener whose backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


def resolving(monkeypatch, *addresses):
    """`getaddrinfo` of the running loop gives these addresses."""
    loop = asyncio.get_running_loop()

    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        return [
            (socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in addresses
        ]

    try:
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    except AttributeError:  # uvloop's is read-only
        from autobahn.asyncio import dial

        class Loop:
            def __getattr__(self, name):
                return getaddrinfo if name == "getaddrinfo" else getattr(loop, name)

        class Asyncio:
            def get_running_loop(self):
                return Loop()

            def __getattr__(self, name):
                return getattr(asyncio, name)

        monkeypatch.setattr(dial, "asyncio", Asyncio())


async def test_a_black_holed_first_address_costs_less_than_400_ms(loop_name, monkeypatch, black_hole):
    """N56."""
    async with autobahn.serve(echo) as server:
        resolving(monkeypatch, black_hole, ("127.0.0.1", server.port))
        started = time.monotonic()
        await spoken("ws://server.test:81/", proxy=None)
        assert 0.2 < time.monotonic() - started < 0.4


async def test_a_refused_first_address_costs_nothing(loop_name, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with autobahn.serve(echo) as server:
            resolving(monkeypatch, closed.getsockname(), ("127.0.0.1", server.port))
            started = time.monotonic()
            await spoken("ws://server.test:81/", proxy=None)
            assert time.monotonic() - started < 0.2


async def test_a_late_winner_is_closed(loop_name, black_hole):
    """Both attempts run; whichever comes second leaves no socket open (an unclosed one fails the suite)."""
    ended = []

    async def accept(reader, writer):
        await reader.read()
        writer.close()
        ended.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    good = (socket.AF_INET, server.sockets[0].getsockname())
    for addresses in ([good, good], [(socket.AF_INET, black_hole), good]):
        transport = await first_transport(addresses, 0.0)
        assert transport.get_extra_info("peername") == good[1]
        transport.abort()
    server.close()
    while len(ended) < 2 or [task for task in asyncio.all_tasks() if "accept" in repr(task.get_coro())]:
        await asyncio.sleep(0.001)


async def test_when_no_address_answers_all_are_told(monkeypatch, loop_name):
    with socket.socket() as a, socket.socket() as b:
        for sock in (a, b):
            sock.bind(("127.0.0.1", 0))
        resolving(monkeypatch, a.getsockname(), b.getsockname())
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect("ws://server.test:81/", proxy=None)
    assert caught.value.phase == "connect"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.errno == caught.value.__cause__.errno


async def test_families_take_turns(monkeypatch):
    resolving(monkeypatch, ("::1", 1, 0, 0), ("::2", 1, 0, 0), ("1.1.1.1", 1), ("1.1.1.2", 1), ("1.1.1.3", 1))
    addresses = [address[0] for _, address in await resolve("server.test", 1)]
    assert addresses == ["::1", "1.1.1.1", "::2", "1.1.1.2", "1.1.1.3"]


@pytest.mark.parametrize("name", ["does-not-exist.invalid", "a" * 64 + ".test"])
async def test_a_name_without_address(name):
    with pytest.raises(ConnectFailed) as caught:
        await autobahn.connect(f"ws://{name}/", proxy=None)
    assert caught.value.phase == "resolve"
    assert caught.value.peer is None
    assert isinstance(caught.value.__cause__, socket.gaierror)


async def test_time_is_over_while_connecting(loop_name, black_hole):
    with pytest.raises(ConnectTimeout) as caught:
        await autobahn.connect(f"ws://127.0.0.1:{black_hole[1]}/", open_timeout=0.05)
    assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, ConnectionError)
    assert (caught.value.phase, caught.value.peer) == ("connect", f"tcp4:127.0.0.1:{black_hole[1]}")


async def test_ipv6(loop_name):
    try:
        server = await autobahn.serve(echo, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert server.url == f"ws://[::1]:{server.port}/"
    ws = await spoken(server.url)
    assert ws.peer == f"tcp6:::1:{server.port}"
    await server.close()


async def test_unix_socket(loop_name, tmp_path):
    path = str(tmp_path / "socket")
    async with autobahn.serve(echo, unix=path) as server:
        assert server.url == f"ws://unix:{path}"
        assert server.port == 0
        await spoken(server.url)
        ws = await spoken("ws://server.test/chat", unix=path)
        assert ws.peer == f"unix:{path}"
    with pytest.raises(ConnectFailed) as caught:
        await autobahn.connect(f"ws://unix:{path}")
    assert (caught.value.phase, caught.value.peer) == ("connect", f"unix:{path}")


async def test_existing_sockets(loop_name, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    async with autobahn.serve(echo, sock=listener) as server:
        assert server.port == listener.getsockname()[1]
        await spoken("ws://server.test/", sock=socket.create_connection(listener.getsockname()))
        await spoken(server.url)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    async with autobahn.serve(echo, sock=listener):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tmp_path / "socket"))
        await spoken("ws://server.test/", sock=sock)


async def test_local_address(loop_name):
    peers = []

    async def note(ws):
        peers.append(ws.get_extra_info("peername")[0])

    async with autobahn.serve(note) as server:
        async with autobahn.connect(server.url, local_addr=("127.0.0.2", 0)) as ws:
            await ws.wait_closed()
        assert peers == ["127.0.0.2"]
        with pytest.raises(ConnectFailed):
            await autobahn.connect(server.url, local_addr=("192.0.2.1", 0))


# -- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


def server_context(issuer, *names, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(*names, **options).configure_cert(context)
    return context


def client_context(ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def test_own_ca_ip_address_and_sni(loop_name, ca):
    names = []
    context = server_context(ca, "127.0.0.1", "named.test")
    context.sni_callback = lambda ssl_object, name, _: names.append(name)
    async with autobahn.serve(echo, ssl=context) as server:
        assert server.url == f"wss://127.0.0.1:{server.port}/"
        ws = await spoken(server.url, ssl=client_context(ca))
        assert ws.close_code == 1000
        await spoken(server.url, ssl=client_context(ca), server_hostname="named.test")
    assert names == [None, "named.test"]


@pytest.mark.parametrize("case", ["wrong host", "expired", "self-signed", "other address"])
async def test_certificates_that_are_refused(loop_name, ca, case):
    """S22."""
    issuer, names, options = ca, ["127.0.0.1"], {}
    if case == "wrong host":
        names = ["localhost"]
    elif case == "other address":
        names = ["127.0.0.2"]
    elif case == "expired":
        options["not_after"] = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    else:
        issuer = trustme.CA()
    async with autobahn.serve(echo, ssl=server_context(issuer, *names, **options)) as server:
        for context in (client_context(ca), None, True):
            with pytest.raises(ConnectFailed) as caught:
                await autobahn.connect(server.url, ssl=context)
            assert (caught.value.phase, caught.value.peer) == ("tls", f"tcp4:127.0.0.1:{server.port}")
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_client_certificate(loop_name, ca):
    context = server_context(ca, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    with_certificate = client_context(ca)
    ca.issue_cert("client@example.org").configure_cert(with_certificate)
    subjects = []

    async def handler(ws):
        subjects.append(ws.get_extra_info("ssl_object").getpeercert()["subjectAltName"])
        await echo(ws)

    async with autobahn.serve(handler, ssl=context) as server:
        await spoken(server.url, ssl=with_certificate)
        with pytest.raises(ConnectFailed):  # with TLS 1.3 the refusal arrives behind the handshake
            await spoken(server.url, ssl=client_context(ca))
    assert subjects == [(("email", "client@example.org"),)]


async def test_a_server_that_speaks_no_tls(loop_name):
    async with autobahn.serve(echo) as server:
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect(f"wss://127.0.0.1:{server.port}/")
        assert caught.value.phase == "tls"


@pytest.mark.parametrize(("url", "ssl"), [("ws://a/", True), ("wss://a/", False)])
def test_ssl_that_contradicts_the_url(url, ssl):
    with pytest.raises(ValueError, match="wss://"):
        autobahn.connect(url, ssl=ssl)


# -- cancelling --------------------------------------------------------------------------------------------------


async def test_cancelling_a_dial_at_any_turn_leaves_nothing(loop_name, ca):
    """An unclosed socket or transport fails the suite by its warning, a task by the accounting of conftest."""
    context = client_context(ca)
    async with autobahn.serve(echo, ssl=server_context(ca, "127.0.0.1")) as server:
        for turns in range(0, 40, 2):
            task = asyncio.create_task(autobahn.connect(server.url, ssl=context).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                ws = await task
            except asyncio.CancelledError:
                continue
            ws.abort()
        await spoken(server.url, ssl=context)


async def test_a_dialer_says_where_it_is():
    dialer = Dialer(host="127.0.0.1", port=1)
    assert (dialer.phase, dialer.peer) == ("resolve", None)
    with pytest.raises(ConnectionRefusedError):
        await dialer.connect(asyncio.Protocol)
    assert (dialer.phase, dialer.peer) == ("connect", "tcp4:127.0.0.1:1")

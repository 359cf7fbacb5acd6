"""S14, S22 to S24, S27: what a server, or the program's own values, can do to a client."""

import asyncio
import contextlib
import datetime
import ssl

import pytest

from attacks.world import PATIENCE, Client, RawPeer, allocations, measures_memory, meet, upgrade_answer
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket import http
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.handshake import ClientRequest
from autobahn.websocket.util import parse_url

BITS = ["0", "7", "8", "16", "1000000000", "-1", "+10", "010", "1e1", "ten", '""', '"10"', "\xb2", "", None]
FLAGS = ["server_no_context_takeover", "client_no_context_takeover"]


def parameters():
    """Parameters of a response, by whether they answer an offer that allows everything."""
    for name in ("server_max_window_bits", "client_max_window_bits"):
        for value in BITS:
            text = name if value is None else f"{name}={value}"
            yield text, value == '"10"' or (value == "8" and name.startswith("server"))
        yield f"{name}=10; {name}=10", False
    for name in FLAGS:
        yield name, True
        yield f"{name}=1", False
        yield f"{name}; {name}", False
    yield "unknown", False
    yield "unknown=1", False
    yield "__proto__", False
    yield "server_max_window_bits=12; client_max_window_bits=9; " + "; ".join(FLAGS), True


@pytest.mark.parametrize(("text", "legal"), list(parameters()), ids=lambda item: str(item)[:60])
async def test_S14_parameters_of_a_response(text, legal, caplog):
    caplog.set_level("INFO")

    async def serve(peer, head):
        line = b"Sec-WebSocket-Extensions: permessage-deflate; " + text.encode("latin-1")
        await peer.send(upgrade_answer(head, line) + b"\x88\x02\x03\xe8")
        await peer.reader.read(100)

    client, _ = await meet(serve, perMessageCompressionOffers=[PerMessageDeflateOffer()])
    assert client.opened is legal
    assert client.done.result()[:2] == ((True, 1000) if legal else (False, 1006))
    assert len(caplog.records) == (0 if legal else 1)
    assert all(record.exc_info is None for record in caplog.records)


EXTENSIONS = [
    b"permessage-deflate, permessage-deflate",
    b"permessage-deflate; server_max_window_bits=10, permessage-deflate",
    b"x-webkit-deflate-frame",
    b"permessage-bzip2",
    b"PERMESSAGE-DEFLATE",
    b"permessage-deflate;",
    b"permessage-deflate,",
    b",",
    b";",
    b'permessage-deflate; a="',
    b"permessage-deflate; " + b"a; " * 4000 + b"a",
]


@pytest.mark.parametrize("value", EXTENSIONS, ids=lambda value: value[:40].decode())
@pytest.mark.parametrize("offered", [True, False])
async def test_S14_extensions_of_a_response(value, offered, caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head, b"Sec-WebSocket-Extensions: " + value))
        await peer.reader.read()

    client, _ = await meet(serve, perMessageCompressionOffers=[PerMessageDeflateOffer()] if offered else [])
    assert not client.opened
    assert client.done.result()[:2] == (False, 1006)


async def test_S14_compression_that_was_not_offered(caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head, b"Sec-WebSocket-Extensions: permessage-deflate"))
        await peer.reader.read()

    client, _ = await meet(serve)
    assert not client.opened


BAD_ANSWERS = {
    "two accepts": lambda head: upgrade_answer(head, b"Sec-WebSocket-Accept: x"),
    "subprotocol": lambda head: upgrade_answer(head, b"Sec-WebSocket-Protocol: other"),
    "two subprotocols": lambda head: upgrade_answer(head, b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"),
    "list of subprotocols": lambda head: upgrade_answer(head, b"Sec-WebSocket-Protocol: a, b"),
    "upgrade": lambda head: upgrade_answer(head).replace(b"Upgrade: websocket", b"Upgrade: notwebsocket"),
    "kelvin": lambda head: upgrade_answer(head).replace(b"Upgrade: websocket", "Upgrade: websoc\u212aet".encode()),
    "connection": lambda head: upgrade_answer(head).replace(b"Connection: Upgrade", b"Connection: close"),
    "accept": lambda head: upgrade_answer(head).replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
    "folded": lambda head: upgrade_answer(head, b"X: a", b" b"),
    "http 1.0": lambda head: upgrade_answer(head).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "status 200": lambda head: upgrade_answer(head).replace(b" 101 ", b" 200 "),
    "status 1011": lambda head: upgrade_answer(head).replace(b" 101 ", b" 1011 "),
    "odd length": lambda head: b"HTTP/1.1 403 no\r\nContent-Length: " + "²".encode() + b"\r\n\r\n",
    "huge length": lambda head: b"HTTP/1.1 403 no\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "negative length": lambda head: b"HTTP/1.1 403 no\r\nContent-Length: -1\r\n\r\n",
    "odd status": lambda head: b"HTTP/1.1 4\xb23 no\r\n\r\n",
    "no reason": lambda head: b"HTTP/1.1 403\r\n\r\n",
    "control octets": lambda head: upgrade_answer(head, b"X: a\x0bSet-Cookie: b"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_bad_answers_are_refused_with_one_line(name, caplog):
    caplog.set_level("INFO")

    async def serve(peer, head):
        await peer.send(BAD_ANSWERS[name](head))

    client, heads = await meet(serve, factory_options={"protocols": ["a"]})
    assert not client.opened
    assert client.done.result()[:2] == (False, 1006)
    assert len(heads) == 1
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None


# -- TLS ---------------------------------------------------------------------------------------------------------


class Greeting(WebSocketServerProtocol):
    def onOpen(self):
        self.sendClose(1000)


def identities():
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    authority, stranger = trustme.CA(), trustme.CA()
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return authority, {
        "right": authority.issue_cert("localhost"),
        "address": authority.issue_cert("127.0.0.1"),
        "wrong host": authority.issue_cert("example.org"),
        "wrong address": authority.issue_cert("127.0.0.2"),
        "wildcard of a suffix": authority.issue_cert("*.host"),
        "name that begins alike": authority.issue_cert("localhost.evil.org"),
        "expired": authority.issue_cert("localhost", "127.0.0.1", not_after=past),
        "unknown authority": stranger.issue_cert("localhost", "127.0.0.1"),
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_S22_only_the_right_host_is_talked_to(host):
    authority, found = identities()
    loop = asyncio.get_running_loop()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    good = "right" if host == "localhost" else "address"
    for name, identity in found.items():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        identity.configure_cert(context)
        factory = WebSocketServerFactory()
        factory.protocol = Greeting
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        clients = WebSocketClientFactory(f"wss://{host}:{port}")
        clients.protocol = Client
        try:
            if name == good:
                _, client = await loop.create_connection(clients, host, port, ssl=trusting, family=2)
                assert (await asyncio.wait_for(client.done, PATIENCE))[:2] == (True, 1000)
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await loop.create_connection(clients, host, port, ssl=trusting, family=2)
            with pytest.raises(ssl.SSLCertVerificationError):  # the system's authorities do not know ours
                await loop.create_connection(clients, host, port, ssl=True, family=2)
        finally:
            server.close()
            await server.wait_closed()
        async with asyncio.timeout(PATIENCE):
            while factory.countConnections:
                await asyncio.sleep(0.002)


# -- redirects and bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["ws://127.0.0.1:{port}/", "http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/"])
async def test_S23_redirects_carry_nothing_away(code, location, caplog):
    seen = []

    async def elsewhere(reader, writer):
        seen.append(await reader.read())
        writer.close()

    other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    place = location.format(port=other.sockets[0].getsockname()[1]).encode()

    async def serve(peer, head):
        await peer.send(b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (code, place))

    secrets = {"headers": {"Authorization": "Basic c2VjcmV0", "Cookie": "secret=1"}}
    client, heads = await meet(serve, factory_options=secrets)
    assert not client.opened
    assert len(heads) == 1
    assert b"Authorization: Basic c2VjcmV0" in heads[0]
    other.close()
    await other.wait_closed()
    assert seen == []


@measures_memory
@pytest.mark.parametrize("head", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked", b"X: y"])
async def test_S24_the_body_of_a_refusal_is_not_collected(head, caplog):
    async def serve(peer, request):
        await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\n" + head + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await peer.send(bytes(65536))

    with allocations() as meter:
        client, _ = await meet(serve)
        assert meter.peak() < 2 * 2**20
    assert not client.opened


# -- what a program gives ----------------------------------------------------------------------------------------

EVIL = ["\r\n", "\n", "\r", "\0", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "é", "\ud800"]


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_S27_builders_refuse_what_would_split_a_head(evil):
    text = f"a{evil}X: y"
    good = {"host": "example.com", "port": 80, "resource": "/"}
    assert ClientRequest(**good).build().startswith(b"GET / HTTP/1.1\r\n")
    for change in (
        {"resource": f"/{text}"},
        {"host": text},
        {"useragent": text},
        {"origin": text},
        {"protocols": [text]},
        {"headers": {"X": text}},
        {"headers": {text: "x"}},
        {"headers": {"X": ["fine", text]}},
        {"extensions": [text]},
        {"key": text},
    ):
        with pytest.raises(ValueError):
            ClientRequest(**{**good, **change}).build()
    with pytest.raises(ValueError):
        http.build_request(f"GET{evil}", "/", [])
    with pytest.raises(ValueError):
        http.build_response(200, text, [])
    with pytest.raises(ValueError):
        http.build_response(200, None, [("X", text)])
    with pytest.raises(ValueError):
        http.build_response(200, None, [(text, "x")])
    with pytest.raises(ValueError):
        parse_url(f"ws://example.com/{text}")
    with pytest.raises(ValueError):
        parse_url(f"ws://exam{evil}ple.com/")
    for names in ({"useragent": text}, {"origin": text}, {"protocols": [text]}, {"headers": {"X": text}}):
        with pytest.raises(ValueError):
            WebSocketClientFactory("ws://example.com", **names)
    for names in ({"server": text}, {"protocols": [text]}, {"headers": {"X": text}}):
        with pytest.raises(ValueError):
            WebSocketServerFactory("ws://example.com", **names)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize("where", ["subprotocol", "header", "name", "deny"])
async def test_S27_answers_of_onConnect_split_no_head(evil, where, caplog):
    from autobahn.websocket.types import ConnectionDeny

    text = f"a{evil}X-Evil: y"

    class Careless(WebSocketServerProtocol):
        def onConnect(self, request):
            if where == "deny":
                raise ConnectionDeny(403, text)
            return (text, {}) if where == "subprotocol" else (None, {"X": text} if where == "header" else {text: "x"})

        def onUserError(self, exc, where):
            pass

    factory = WebSocketServerFactory()
    factory.protocol = Careless
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    peer = RawPeer(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    await peer.send(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: a\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    answer = await peer.rest()
    server.close()
    await server.wait_closed()
    head = answer.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 403 " if where == "deny" else b"HTTP/1.1 500 ")
    assert not any(line.startswith(b"X-Evil") for line in head.split(b"\n"))
    assert all(0x20 <= octet <= 0x7E for octet in head.replace(b"\r\n", b""))
    async with asyncio.timeout(PATIENCE):
        while factory.countConnections:
            await asyncio.sleep(0.002)

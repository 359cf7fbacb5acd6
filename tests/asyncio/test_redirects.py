"""`connect` and HTTP redirects (S23): followed, without credentials to others, and never from wss to ws."""

import asyncio

import pytest

import autobahn
from autobahn.asyncio.websocket import WebSocketClientFactory
from autobahn.exception import InvalidStatus
from raw_server import Raw
from websocket_world import Client


async def echo(ws):
    async for message in ws:
        await ws.send(message)


SECRETS = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Other": "kept"}


def redirect(to):
    return f"HTTP/1.1 307 Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_redirects_are_followed_and_credentials_stay_with_their_origin(loop_name):
    """S23."""
    async with autobahn.serve(echo) as server, Raw(redirect(f"http://127.0.0.1:{server.port}/there#x")) as other:
        async with autobahn.connect(other.url, headers=SECRETS) as ws:
            request = next(iter(server.connections)).request
            assert request.path == "/there"
            assert "authorization" not in request.headers and "cookie" not in request.headers
            assert request.headers["x-other"] == "kept"
            await ws.send("a")
            assert await ws.recv() == "a"
    async with Raw(redirect("/again"), b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as same:
        with pytest.raises(InvalidStatus) as caught:
            await autobahn.connect(same.url, headers=SECRETS)
        assert caught.value.status == 404
        assert same.requests[1].startswith("GET /again ")
        assert "Authorization: Bearer x" in same.requests[1]


async def test_redirects_end(loop_name):
    async with Raw(redirect("/x")) as server:
        with pytest.raises(InvalidStatus):
            await autobahn.connect(server.url)
        assert len(server.requests) == 6
        with pytest.raises(InvalidStatus):
            await autobahn.connect(server.url, max_redirects=0)
        assert len(server.requests) == 7


@pytest.mark.parametrize("to", ["ftp://a/", "http://", "//"])
async def test_redirects_that_lead_nowhere(to):
    async with Raw(redirect(to)) as server:
        with pytest.raises(InvalidStatus) as caught:
            await autobahn.connect(server.url)
        assert caught.value.status == 307


@pytest.mark.parametrize("scheme", ["ws", "http", "//"])
async def test_s23_from_wss_to_ws_is_refused(scheme, tls, loop_name):
    server_tls, client_tls = tls
    async with Raw(b"") as plain:
        location = f"{scheme}://127.0.0.1:{plain.port}/" if scheme != "//" else f"ws://localhost:{plain.port}/"
        async with Raw(redirect(location), ssl=server_tls) as secure:
            with pytest.raises(InvalidStatus) as caught:
                await autobahn.connect(secure.url, ssl=client_tls, headers=SECRETS)
        assert caught.value.status == 307
        assert "not followed: it leads from wss to ws" in caught.value.__notes__
        assert plain.requests == []


async def test_s23_between_wss_servers_the_name_is_proved_anew(tls, loop_name):
    server_tls, client_tls = tls
    async with autobahn.serve(echo, "localhost", ssl=server_tls) as other:
        async with Raw(redirect(f"https://localhost:{other.port}/x"), ssl=server_tls) as secure:
            async with autobahn.connect(secure.url, ssl=client_tls, headers=SECRETS) as ws:
                request = next(iter(other.connections)).request
                assert (request.path, request.headers.get("authorization")) == ("/x", None)
                await ws.send("a")
                assert await ws.recv() == "a"
        # A certificate for `localhost` is none for the address, though the first server was believed by its name.
        async with Raw(redirect(f"wss://127.0.0.1:{other.port}/x"), ssl=server_tls) as secure:
            url = f"wss://127.0.0.1:{secure.port}/"
            with pytest.raises(autobahn.exception.ConnectFailed) as caught:
                await autobahn.connect(url, ssl=client_tls, server_hostname="localhost")
            assert caught.value.phase == "tls"


async def test_s23_from_ws_to_wss_is_followed(tls):
    server_tls, client_tls = tls
    async with autobahn.serve(echo, "localhost", ssl=server_tls) as other, Raw(redirect(other.url)) as plain:
        with pytest.raises(ValueError, match=r"expected a wss://.* URL with ssl, got"):
            autobahn.connect(plain.url, ssl=client_tls)
        with pytest.raises(autobahn.exception.ConnectFailed) as caught:  # by the system's CAs, which do not know it
            await autobahn.connect(plain.url, headers=SECRETS)
        assert (caught.value.phase, caught.value.url) == ("tls", other.url)


async def test_the_documented_classes_follow_no_redirects():
    async with Raw(redirect("ws://127.0.0.1:1/")) as server:
        factory = WebSocketClientFactory(server.url)
        factory.protocol = Client
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", server.port)
        await client.is_closed
        assert client.wasNotCleanReason == "WebSocket connection upgrade failed [307]: Elsewhere"

"""`serve`: handlers, ports, shutdown, plain HTTP on the same port, origins."""

import asyncio
import logging
import socket

import pytest

import autobahn
from autobahn.asyncio.websocket import WebSocketServerFactory
from autobahn.exception import ConnectFailed, ConnectionClosedError, InvalidStatus
from autobahn.websocket.plain import HttpRequest, HttpResponse
from autobahn.websocket.types import ConnectionDeny


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def http(port, request):
    """What a server answers to these octets, up to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


# -- listening ---------------------------------------------------------------------------------------------------


async def test_port_0_tells_the_real_port(loop_name):
    async with autobahn.serve(echo) as server:
        assert server.port == server.sockets[0].getsockname()[1] != 0
        assert server.url == f"ws://127.0.0.1:{server.port}/"
    with pytest.raises(ConnectFailed):
        await autobahn.connect(server.url)


async def test_a_name_with_several_addresses_gets_one_port(loop_name):
    async with autobahn.serve(echo, "localhost") as server:
        assert {sock.getsockname()[1] for sock in server.sockets} == {server.port}
        async with autobahn.connect(server.url) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"


async def test_all_addresses():
    async with autobahn.serve(echo, "0.0.0.0") as server:
        assert server.url == f"ws://127.0.0.1:{server.port}/"


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT")
async def test_reuse_port(loop_name):
    async with autobahn.serve(echo, reuse_port=True) as first:
        async with autobahn.serve(echo, "127.0.0.1", first.port, reuse_port=True) as second:
            assert second.port == first.port
        with pytest.raises(OSError):
            await autobahn.serve(echo, "127.0.0.1", first.port)


async def test_no_host_is_all_addresses(loop_name):
    async with autobahn.serve(echo, None) as server, autobahn.connect(server.url) as ws:
        assert server.sockets[0].getsockname()[0] in {"0.0.0.0", "::"}
        await ws.send("a")
        assert await ws.recv() == "a"


async def test_what_serve_returns_starts_a_server_each_time(loop_name):
    serving = autobahn.serve(echo)
    first, second = await serving, await serving
    assert first is not second
    assert first.port != second.port
    await first.close()
    async with autobahn.connect(second.url) as ws:
        await ws.send("a")
        assert await ws.recv() == "a"
    await second.close()
    async with serving as third:
        assert third.port
    with pytest.raises(ConnectFailed):
        await autobahn.connect(third.url)


async def test_a_server_that_could_not_start_holds_no_socket(monkeypatch):
    def fails(*args, **kwargs):
        taken.extend(sock.getsockname()[1] for sock in args[0].sockets)
        raise RuntimeError("no luck")

    taken = []
    monkeypatch.setattr("autobahn.asyncio.serve.accept_directly", fails)
    with pytest.raises(RuntimeError, match="no luck"):
        await autobahn.serve(echo)
    with socket.create_server(("127.0.0.1", taken[0])):
        pass


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": 1},
        {"compression": "brotli"},
        {"subprotocols": "chat"},
        {"host": 5},
        {"port": "8080"},
        {"port": -1},
        {"port": 70000},
        {"sock": 5},
        {"unix": 5},
        {"ssl": True},
        {"headers": [("a", "b")]},
        {"origins": "https://example.com"},
        {"backlog": "many"},
        {"process_request": 5},
        {"max_queue": "many"},
        {"max_queue_size": -1},
    ],
)
def test_wrong_options_are_refused_at_the_call(options):
    with pytest.raises((TypeError, ValueError), match="expected"):
        autobahn.serve(echo, **options)
    with pytest.raises(TypeError, match="callable"):
        autobahn.serve(None)


# -- handlers ----------------------------------------------------------------------------------------------------


async def test_a_handler_that_raises_is_logged_once_and_closes_1011(loop_name, caplog):
    async def broken(ws):
        raise KeyError("secret")

    async with autobahn.serve(broken) as server:
        ws = await autobahn.connect(server.url)
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.was_clean) == (1011, True)
        assert "secret" not in caught.value.reason
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info[0] is KeyError


async def test_a_handler_that_is_no_coroutine_function_is_told_so(loop_name, caplog):
    async with autobahn.serve(lambda ws: None) as server, autobahn.connect(server.url) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
    assert caught.value.code == 1011
    assert "expected a handler that is a coroutine function, got one that returned NoneType" in caplog.text


async def test_what_was_cancelled_below_a_handler_is_an_error_and_no_shutdown(loop_name, caplog):
    async def handler(ws):
        below = asyncio.ensure_future(asyncio.Event().wait())
        below.cancel()
        await below

    async with autobahn.serve(handler) as server, autobahn.connect(server.url) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
    assert caught.value.code == 1011
    assert caplog.text.count("CancelledError()") == 1


async def test_a_handler_whose_peer_left_is_no_error(loop_name, caplog):
    async def talk(ws):
        while True:
            await ws.send("x")
            await asyncio.sleep(0)

    async with autobahn.serve(talk) as server:
        async with autobahn.connect(server.url) as ws:
            await ws.recv()
        ws = await autobahn.connect(server.url)
        ws.abort()
        while server.connections:
            await asyncio.sleep(0.001)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_closing_says_1001_to_all_and_waits(loop_name):
    ended = []

    async def handler(ws):
        try:
            await echo(ws)
        finally:
            ended.append(ws.close_code)

    server = await autobahn.serve(handler)
    clients = [await autobahn.connect(server.url) for _ in range(5)]
    while len(server.connections) < 5:
        await asyncio.sleep(0.001)
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.gather(server.close(), server.close())
    await forever
    assert ended == [1000] * 5  # the clients' answers
    for ws in clients:
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (1001, "the server is shutting down")
    assert server.connections == set()


async def test_closing_does_not_wait_for_a_handler_that_hangs(loop_name):
    cancelled = []

    async def hang(ws):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(ws)
            raise

    async with autobahn.serve(hang, close_timeout=0.05) as server:
        ws = await autobahn.connect(server.url)
    assert len(cancelled) == 1
    await ws.wait_closed()


async def test_closing_drops_a_peer_that_does_not_answer_and_one_in_its_handshake(loop_name):
    async with autobahn.serve(echo, close_timeout=0.05) as server:
        ws = await autobahn.connect(server.url, ping_interval=None)
        ws.protocol.transport.pause_reading()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        while len(server._protocols) < 2:
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(reader.read())
    assert (await waiting).startswith(b"HTTP/1.1 503 ")
    writer.close()
    ws.abort()
    await ws.wait_closed()


async def test_a_handler_may_close_its_server(loop_name):
    async def last(ws):
        await ws.recv()
        await server.close()

    server = await autobahn.serve(last)
    async with autobahn.connect(server.url) as ws:
        await ws.send("stop")
        await server.serve_forever()
        assert ws.closed or await anext(ws, None) is None


async def test_a_cancelled_server_closes(loop_name):
    started = asyncio.Event()

    async def run():
        async with autobahn.serve(echo) as server:
            run.url = server.url
            started.set()
            await server.serve_forever()

    task = asyncio.create_task(run())
    await started.wait()
    ws = await autobahn.connect(run.url)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ws.wait_closed()
    assert ws.close_code == 1001


async def test_too_many_connections():
    async with autobahn.serve(echo, max_connections=1) as server, autobahn.connect(server.url):
        with pytest.raises(InvalidStatus) as caught:
            await autobahn.connect(server.url)
        assert caught.value.status == 503


# -- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "origins", "status"),
    [
        (None, None, None),
        ("http://127.0.0.1:{port}", None, None),
        ("http://127.0.0.1", None, 403),
        ("https://evil.test", None, 403),
        ("http://127.0.0.1.evil.test:{port}", None, 403),
        ("null", None, 403),
        ("https://good.test", ["https://good.test"], None),
        ("https://good.test.evil.test", ["https://good.test"], 403),
        ("http://127.0.0.1:{port}", ["same-origin", "https://good.test"], None),
        ("https://any.test", ["*"], None),
        ("null", ["*"], 403),
        ("null", ["*", "null"], None),
    ],
)
async def test_pages_of_other_origins_are_refused_by_default(origin, origins, status):
    """S12."""
    async with autobahn.serve(echo, origins=origins) as server:
        connecting = autobahn.connect(server.url, origin=origin and origin.format(port=server.port))
        if status is None:
            async with connecting:
                return
        with pytest.raises(InvalidStatus) as caught:
            await connecting
        assert caught.value.status == status


# -- plain HTTP --------------------------------------------------------------------------------------------------


def page(request):
    assert isinstance(request, HttpRequest)
    if request.path == "/health":
        return HttpResponse(200, "ok\n", {"Cache-Control": "no-store"})
    if request.path == "/denied":
        raise ConnectionDeny(403, "not you")
    if request.path == "/broken":
        raise KeyError("secret")
    if request.path == "/wrong":
        return "ok"
    if request.path == "/smuggle":
        return HttpResponse(200, "", {"X": "a\r\nb"})
    if not request.is_upgrade and request.path != "/":
        return HttpResponse(404, f"{request.method} {request.path} {request.params}", {"Set-Cookie": ["a=1", "b=2"]})
    return None


async def later(request):
    await asyncio.sleep(0)
    return page(request)


@pytest.mark.parametrize("hook", [page, later], ids=["plain", "async"])
async def test_plain_http_on_the_same_port(loop_name, hook, caplog):
    async with autobahn.serve(echo, process_request=hook) as server:
        answer = await http(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == b"ok\n"
        for line in (b"Content-Length: 3", b"Content-Type: text/plain; charset=utf-8", b"Connection: close"):
            assert line in head.split(b"\r\n")
        answer = await http(server.port, b"HEAD /health HTTP/1.0\r\n\r\n")
        assert b"Content-Length: 3\r\n" in answer and answer.endswith(b"\r\n\r\n")
        answer = await http(server.port, b"GET /no%20page?a=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ") and answer.endswith(b"GET /no page {'a': ['1']}")
        assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in answer
        for path, status in [(b"/", 426), (b"/denied", 403), (b"/broken", 500), (b"/wrong", 500), (b"/smuggle", 500)]:
            answer = await http(server.port, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            assert b"secret" not in answer
        async with autobahn.connect(server.url) as ws:
            await ws.send("still")
            assert await ws.recv() == "still"
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 3


async def test_a_request_behind_a_plain_one_is_not_answered():
    """S26: one connection, one request."""
    async with autobahn.serve(echo, process_request=page) as server:
        request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
        assert (await http(server.port, request * 2)).count(b"HTTP/1.1 ") == 1


async def test_the_hook_of_the_factory(loop_name):
    factory = WebSocketServerFactory("ws://127.0.0.1")
    factory.processRequest = page
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await http(port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"ok\n")
    server.close()
    while factory.countConnections:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("status", "body"), [(101, b""), (600, b""), ("200", b""), (200, 7)])
def test_responses_that_cannot_be(status, body):
    with pytest.raises((ValueError, TypeError)):
        HttpResponse(status, body)


def test_importing_autobahn_is_light():
    """The plain API is imported when it is first used (PEP 562)."""
    import subprocess
    import sys

    code = (
        "import autobahn, sys; assert 'asyncio' not in sys.modules; autobahn.connect; assert 'asyncio' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    assert {"connect", "serve", "WebSocket"} <= set(dir(autobahn))
    with pytest.raises(AttributeError):
        autobahn.nonsense

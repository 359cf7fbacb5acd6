"""`connect`: sending, receiving, closing, cancelling, and errors that say what happened."""

import asyncio
import contextlib
import errno
import random
import socket
import struct

import pytest

import autobahn
from autobahn.asyncio.router import Router
from autobahn.exception import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectTimeout,
    Disconnected,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    PayloadExceededError,
)
from autobahn.wamp.exception import ApplicationError, TransportLost
from raw_server import Raw


async def echo(ws):
    async for message in ws:
        await ws.send(message)


# -- a connection ------------------------------------------------------------------------------------------------


async def test_text_and_binary_go_both_ways(loop_name):
    async with autobahn.serve(echo, subprotocols=["b", "a"]) as server:
        async with autobahn.connect(server.url, subprotocols=["a", "b"], compression="deflate") as ws:
            for message in ("Grüße", "", b"\0\xff", b"", "x" * 300_000):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(bytearray(b"ab"))
            await ws.send(memoryview(b"cd"), compress=False)
            assert [await ws.recv(), await ws.recv()] == [b"ab", b"cd"]
            assert ws.subprotocol == "b"
            assert ws.peer == f"tcp4:127.0.0.1:{server.port}"
            assert ws.response.headers["upgrade"].lower() == "websocket"
            assert 0 <= await ws.ping() < 5
            assert not ws.closed and ws.close_code is None
            with pytest.raises(TypeError, match="str or bytes"):
                await ws.send(7)
        assert (ws.closed, ws.close_code, ws.close_reason) == (True, 1000, "")


async def test_without_a_block(loop_name):
    async with autobahn.serve(echo) as server:
        ws = await autobahn.connect(server.url)
        await ws.send("a")
        assert await ws.recv() == "a"
        await ws.close(4000, "done")
        await ws.close()
        assert repr(ws).endswith("CLOSED>")


async def test_messages_that_came_before_the_close_stay_readable(loop_name):
    async def three(ws):
        for number in range(3):
            await ws.send(str(number))
        await ws.close(4321, "that is all")

    async with autobahn.serve(three) as server:
        ws = await autobahn.connect(server.url)
        await ws.wait_closed()
        assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]
        for _ in range(2):
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        error = caught.value
        assert (error.code, error.reason, error.was_clean, error.closed_by_me) == (4321, "that is all", True, False)
        assert (error.remote_code, error.remote_reason) == (4321, "that is all")
        assert error.local_code == 1000
        assert error.peer == ws.peer
        assert isinstance(error, Disconnected)
        for call in (ws.send("late"), ws.ping()):
            with pytest.raises(ConnectionClosedError):
                await call


async def test_iteration_ends_after_an_orderly_close_only(loop_name):
    async def one(ws):
        await ws.send("1")
        if ws.path == "/lost":
            ws.abort()

    async with autobahn.serve(one) as server:
        ws = await autobahn.connect(server.url)
        assert [message async for message in ws] == ["1"]
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        ws = await autobahn.connect(server.url + "lost")
        with pytest.raises(ConnectionClosedError) as caught:
            async for _ in ws:
                pass
        assert (caught.value.code, caught.value.was_clean) == (1006, False)
        assert "dropped" in caught.value.reason


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2999, 5000])
async def test_codes_that_may_not_be_sent(code):
    async with autobahn.serve(echo) as server, autobahn.connect(server.url) as ws:
        with pytest.raises(ValueError, match="close code"):
            await ws.close(code)
        with pytest.raises(TypeError):
            await ws.close("1000")


@pytest.mark.parametrize(
    ("exc", "code"), [(None, 1000), (KeyError("x"), 1011), (asyncio.CancelledError(), 1001)], ids=str
)
async def test_the_peer_learns_how_a_block_ended(exc, code):
    codes = []

    async def note(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)

    async with autobahn.serve(note) as server:
        with contextlib.suppress(KeyError, asyncio.CancelledError):
            async with autobahn.connect(server.url):
                if exc is not None:
                    raise exc
    assert codes == [code]


async def test_limits(loop_name):
    async with autobahn.serve(echo, max_size=1000) as server:
        async with autobahn.connect(server.url, max_size=100) as ws:
            with pytest.raises(PayloadExceededError):
                await ws.send(b"x" * 101)
        async with autobahn.connect(server.url) as ws:
            await ws.send(b"x" * 1001)
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.remote_code == 1009


async def test_a_slow_receiver_pauses_the_peer(loop_name):
    """A sender that does not stop fills the queue and the kernel's buffers, and no memory of ours."""
    sent = 0

    async def flood(ws):
        nonlocal sent
        while True:
            await ws.send(b"x" * 10_000)
            sent += 1

    async with autobahn.serve(flood, close_timeout=0.1) as server:
        async with autobahn.connect(server.url, max_queue=8, close_timeout=0.2) as ws:
            while not ws.is_paused:
                await asyncio.sleep(0.001)
            held = len(ws._queue)
            assert 8 <= held < 200  # one read may bring more than one message
            await asyncio.sleep(0.01)
            assert len(ws._queue) == held
            for _ in range(1000):
                assert len(await ws.recv()) == 10_000


# -- cancelling --------------------------------------------------------------------------------------------------


async def test_none_is_no_limit_of_what_may_wait(loop_name):
    async with (
        autobahn.serve(echo, max_queue=None, max_queue_size=None) as server,
        autobahn.connect(server.url, max_queue=None, max_queue_size=None) as ws,
    ):
        sent = [str(number) for number in range(200)]
        for message in sent:
            await ws.send(message)
        await ws.ping()  # whose pong comes behind the echoes
        assert not ws.is_paused
        assert [await ws.recv() for _ in sent] == sent


async def test_a_cancelled_recv_loses_no_message(loop_name):
    """N30: cancelled at random points, every number is seen once and in order."""
    count = 3000

    async def numbers(ws):
        for number in range(count):
            await ws.send(str(number))
            if number % 7 == 0:
                await asyncio.sleep(0)

    rng = random.Random(7)
    seen = []
    cancelled = 0
    async with autobahn.serve(numbers) as server, autobahn.connect(server.url) as ws:
        while len(seen) < count:
            kind = rng.randrange(3)
            if kind == 0:
                task = asyncio.create_task(ws.recv())
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    seen.append(await task)
                except asyncio.CancelledError:
                    cancelled += 1
            elif kind == 1:
                try:
                    seen.append(await asyncio.wait_for(ws.recv(), 0.00001))
                except TimeoutError:
                    cancelled += 1
            else:
                try:
                    async with asyncio.timeout(rng.random() / 1000):
                        seen.append(await anext(ws))
                except TimeoutError:
                    cancelled += 1
    assert seen == [str(number) for number in range(count)]
    assert cancelled > 10


async def test_only_one_task_may_receive(loop_name):
    async with autobahn.serve(echo) as server, autobahn.connect(server.url) as ws:
        first = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one task"):
            await ws.recv()
        await ws.send("a")
        assert await first == "a"


async def test_a_cancelled_connect_leaves_nothing(loop_name):
    async with autobahn.serve(echo) as server:
        for turns in range(30):
            task = asyncio.create_task(autobahn.connect(server.url).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await task).abort()


async def test_a_cancelled_session_leaves_nothing():
    async with Router() as router:
        for turns in range(0, 60, 3):
            task = asyncio.create_task(autobahn.connect(router.url, realm="realm1").__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await task).leave()


async def test_waiting_calls_end_with_the_connection(loop_name):
    async def silent(ws):
        await ws.recv()
        ws.abort()

    async with autobahn.serve(silent) as server, autobahn.connect(server.url) as ws:
        ws.protocol.transport.pause_reading()  # no pong arrives
        waiting = [asyncio.create_task(call) for call in (ws.recv(), ws.ping(), ws.wait_closed())]
        await asyncio.sleep(0)
        ws.protocol.transport.resume_reading()
        await ws.send("go")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(outcomes[0], ConnectionClosedError)


# -- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 403 No\r\nX-Why: because\r\nContent-Length: 5\r\n\r\nsorry", 403, b"sorry"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\n\r\n", 503, b""),
        (b"HTTP/1.1 500 E\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, 500, b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhtml", 200, b"html"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
)
async def test_another_status_is_told_with_headers_and_the_start_of_the_body(loop_name, answer, status, body):
    async with Raw(answer) as server:
        with pytest.raises(InvalidStatus) as caught:
            await autobahn.connect(server.url)
        error = caught.value
        assert (error.status, error.body, error.phase) == (status, body, "handshake")
        assert (error.url, error.peer) == (server.url, f"tcp4:127.0.0.1:{server.port}")
        if status == 403:
            assert error.headers["x-why"] == "because"
            assert error.reason == "No"


async def test_a_body_that_never_comes_is_not_waited_for_long(loop_name):
    async with Raw(b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nhalf", close=True) as server:
        with pytest.raises(InvalidStatus) as caught:
            await autobahn.connect(server.url)
        assert caught.value.body == b"half"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_is_no_websocket(loop_name, answer):
    async with Raw(answer, close=True) as server:
        with pytest.raises(InvalidHandshake) as caught:
            await autobahn.connect(server.url)
        assert caught.value.phase == "handshake"
        assert not isinstance(caught.value, InvalidStatus)
        assert isinstance(caught.value, ConnectFailed) and isinstance(caught.value, OSError)


async def test_a_server_that_does_not_answer(loop_name):
    async with Raw(b"") as server:
        with pytest.raises(ConnectTimeout) as caught:
            await autobahn.connect(server.url, open_timeout=0.05)
        assert caught.value.phase == "handshake"


@pytest.mark.parametrize("url", ["http://a/", "ws://", "ws://a b/", "ws://a/#x", "ws://u:p@a/", "ws://unix:x", "a"])
def test_what_is_no_url_is_refused_at_the_call(url):
    with pytest.raises(InvalidURI):
        autobahn.connect(url)


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": 1},
        {"auth": {}},
        {"compression": "brotli"},
        {"open_timeout": "3"},
        {"open_timeout": -1},
        {"headers": [("a", "b")]},
        {"headers": None},
        {"headers": {5: "a"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"subprotocols": "chat"},
        {"origin": 5},
        {"headers": {"Host": "example.com"}},
        {"headers": {"sec-websocket-protocol": "chat"}},
        {"max_redirects": "many"},
        {"local_addr": "127.0.0.1"},
        {"sock": 5},
        {"unix": 5},
        {"cookies": {}},
        {"server_hostname": 5},
        {"max_queue": "many"},
        {"max_queue": -1},
        {"max_queue_size": 1.5},
    ],
)
def test_wrong_options_are_refused_at_the_call(options):
    with pytest.raises((TypeError, ValueError), match="expected"):
        autobahn.connect("ws://a/", **options)


@pytest.mark.parametrize("name", ["max_size", "close_timeout", "ping_interval", "ping_timeout"])
@pytest.mark.parametrize("value", ["5", -1, [], True, float("nan")])
def test_an_error_of_an_option_says_the_name_the_program_used(name, value):
    for start in (
        lambda: autobahn.connect("ws://a/", **{name: value}),
        lambda: autobahn.connect("rs://a:1/", realm="realm1", **{name: value}),
        lambda: autobahn.serve(echo, **{name: value}),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^expected {name} "):
            start()


# -- sessions ----------------------------------------------------------------------------------------------------


async def test_a_session_in_a_block(loop_name):
    """N9."""
    async with Router() as router:
        async with autobahn.connect(router.url, realm="realm1") as backend:
            await backend.register(lambda x, y: x + y, "com.example.add2")
            async with autobahn.connect(router.url, realm="realm1") as session:
                assert await session.call("com.example.add2", 2, 3) == 5
                assert router.core.sessions == 2
            assert not session.is_attached()
            with pytest.raises((TransportLost, ApplicationError)):
                await session.call("com.example.add2", 2, 3)
        while router.core.sessions:
            await asyncio.sleep(0.001)


async def test_a_session_that_may_not_join(loop_name):
    async with Router() as router:
        with pytest.raises(ApplicationError) as caught:
            await autobahn.connect(router.url, realm="com.unknown")
        assert caught.value.error == "wamp.error.no_such_realm"


async def test_a_session_whose_router_goes_away():
    async with contextlib.AsyncExitStack() as stack:
        router = Router(goodbye_timeout=0.2)
        await router.start()
        stack.push_async_callback(router.close)
        async with autobahn.connect(router.url, realm="realm1") as session:
            await router.close()
            await session.wait_disconnected()


async def test_a_server_without_wamp_is_no_router():
    async with autobahn.serve(echo) as server:
        with pytest.raises(ConnectFailed) as caught:
            await autobahn.connect(server.url, realm="realm1")
        assert caught.value.phase in ("handshake", "join")


async def test_one_block_at_a_time(loop_name):
    async with autobahn.serve(echo) as server:
        connecting = autobahn.connect(server.url)
        async with connecting as ws:
            with pytest.raises(RuntimeError, match="expected one block at a time"):
                async with connecting:
                    pass
            await ws.send("a")
            assert await ws.recv() == "a"
        async with connecting as ws:  # one after the other is fine
            await ws.send("b")
            assert await ws.recv() == "b"
    for _ in range(2):  # and so is one that could not be opened
        with pytest.raises(ConnectFailed):
            async with connecting:
                pass


def reset(sock):
    """The socket's end will be a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_a_reset_connection_names_the_error_of_the_system(loop_name):
    async def handler(ws):
        await ws.recv()
        reset(ws.get_extra_info("socket"))
        ws.abort()

    async with autobahn.serve(handler) as server, autobahn.connect(server.url) as ws:
        await ws.send("a")
        for call in (ws.recv, lambda: ws.send("b"), ws.ping):
            with pytest.raises(ConnectionClosedError) as caught:
                await call()
            assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_a_reset_in_the_handshake_names_the_error_of_the_system(loop_name):
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        reset(writer.get_extra_info("socket"))
        writer.transport.abort()

    listener = await asyncio.start_server(handler, "127.0.0.1", 0)
    with pytest.raises(InvalidHandshake) as caught:
        await autobahn.connect(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert caught.value.errno == errno.ECONNRESET
    listener.close()


def test_errors_in_words():
    error = ConnectionClosedError(was_clean=False, explanation="gone", local_code=1001, peer="tcp4:a:1")
    assert str(error) == "connection lost by the peer: 1006 gone, sent 1001 (peer tcp4:a:1)"
    assert issubclass(ConnectionClosedOK, ConnectionClosed)
    assert str(ConnectFailed("x", url="ws://a", phase="tls")) == "x (ws://a, tls)"

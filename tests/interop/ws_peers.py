"""`websockets` and `aiohttp` as the other end: a program of its own, run in the environment `.peers/ws-peers`.

    ws_peers.py client websockets|aiohttp URL     talks to the echo server at URL; prints "ok NUMBER", or what was wrong
    ws_peers.py server websockets|aiohttp         an echo server; prints its port, ends when its standard input does

The echo servers choose the subprotocol "chat", echo every message, and answer the text "close" with a close 3456 "bye".
"""

import asyncio
import contextlib
import sys

TEXTS = ["", "a", "hellö €𝄞", "x" * 125, "x" * 126, "y" * 65536]
BINARIES = [b"", b"\0", bytes(range(256)) * 4, bytes(1_000_000)]
FRAGMENTS = ["one ", "twö ", "", "three"]


async def websockets_client(url):
    import websockets

    checks = 0
    for compression in (None, "deflate"):
        options = {"compression": compression, "subprotocols": ["other", "chat"], "max_size": None, "proxy": None}
        async with websockets.connect(url, **options) as ws:
            assert ws.subprotocol == "chat"
            names = [extension.name for extension in ws.protocol.extensions]
            assert names == ([] if compression is None else ["permessage-deflate"])
            for message in (*TEXTS, *BINARIES):
                await ws.send(message)
                assert await ws.recv() == message
                checks += 1
            await ws.send(FRAGMENTS)
            assert await ws.recv() == "".join(FRAGMENTS)
            pong = await ws.ping(b"pingpong")
            assert await asyncio.wait_for(pong, 10) >= 0
            await ws.close(4000, "goodbye")
            assert ws.close_code in {4000, 1000}
        async with websockets.connect(url, **options) as ws:
            await ws.send("close")
            with contextlib.suppress(websockets.ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (3456, "bye")
        checks += 4
    print("ok", checks)


async def websockets_server():
    import websockets

    async def echo(ws):
        try:
            async for message in ws:
                if message == "close":
                    await ws.close(3456, "bye")
                elif message == "fragments":
                    await ws.send(FRAGMENTS)
                elif message == "ping":
                    await (await ws.ping(b"from the server"))
                    await ws.send("pong")
                else:
                    await ws.send(message)
        except websockets.ConnectionClosed:
            pass

    async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await end_of_input()


async def aiohttp_client(url):
    import aiohttp

    checks = 0
    async with aiohttp.ClientSession() as session:
        for compress in (0, 15, 10):
            options = {"compress": compress, "protocols": ("other", "chat"), "max_msg_size": 0}
            async with session.ws_connect(url, **options) as ws:
                assert ws.protocol == "chat"
                assert (ws.compress > 0) is (compress > 0)
                for text in TEXTS:
                    await ws.send_str(text)
                    assert await ws.receive_str() == text
                for data in BINARIES:
                    await ws.send_bytes(data)
                    assert await ws.receive_bytes() == data
                await ws.ping(b"pingpong")
                await ws.send_str("after the ping")
                assert await ws.receive_str() == "after the ping"
                checks += len(TEXTS) + len(BINARIES) + 3
                assert await ws.close(code=4000, message=b"goodbye")
                assert ws.close_code in {1000, 4000}
            async with session.ws_connect(url, **options) as ws:
                await ws.send_str("close")
                message = await ws.receive()
                assert message.type is aiohttp.WSMsgType.CLOSE
                assert (message.data, message.extra) == (3456, "bye")
            checks += 2
    print("ok", checks)


async def aiohttp_server():
    import aiohttp
    from aiohttp import web

    async def echo(request):
        ws = web.WebSocketResponse(protocols=("chat",), max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            elif message.data == "close":
                await ws.close(code=3456, message=b"bye")
            elif message.data == "ping":
                await ws.ping(b"from the server")
                await ws.send_str("pong")
            else:
                await ws.send_str(message.data)
        return ws

    application = web.Application()
    application.router.add_get("/", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await end_of_input()
    await runner.cleanup()


async def end_of_input():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    role, library = sys.argv[1:3]
    asyncio.run(globals()[f"{library}_{role}"](*sys.argv[3:]))

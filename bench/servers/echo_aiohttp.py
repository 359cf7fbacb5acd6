"""Echo server on `aiohttp`. Arguments: PORT [uvloop] [deflate]."""

import asyncio
import sys

from aiohttp import WSMsgType, web


async def echo(request):
    """Sends back what it gets."""
    connection = web.WebSocketResponse(compress="deflate" in sys.argv, max_msg_size=0)
    await connection.prepare(request)
    async for message in connection:
        if message.type == WSMsgType.TEXT:
            await connection.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await connection.send_bytes(message.data)
    return connection


async def main():
    """Serves until it is interrupted."""
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

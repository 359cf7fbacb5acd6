"""Echo server on `websockets`. Arguments: PORT [uvloop]."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    """Sends back what it gets."""
    async for message in connection:
        await connection.send(message)


async def main():
    """Serves until it is interrupted."""
    port = int(sys.argv[1])
    async with serve(echo, "127.0.0.1", port, compression=None, max_size=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[2:] == ["uvloop"]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

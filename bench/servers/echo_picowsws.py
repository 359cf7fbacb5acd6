"""Echo server on `picows.websockets`. Arguments: PORT [uvloop] [deflate]."""

import asyncio
import sys

from picows.websockets import serve


async def echo(connection):
    """Sends back what it gets."""
    async for message in connection:
        await connection.send(message)


async def main():
    """Serves until it is interrupted."""
    port, compression = int(sys.argv[1]), "deflate" if "deflate" in sys.argv else None
    async with serve(echo, "127.0.0.1", port, compression=compression, max_size=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

"""Our router with realm1 and both transports on one port. Arguments: PORT COUNTERS [uvloop].

At each line of stdin the file COUNTERS gets a line: how many EVENTs the router has encoded so far.
"""

import asyncio
import pathlib
import sys

from autobahn.asyncio.router import Router


async def main():
    """Serves until it is interrupted."""
    counters = pathlib.Path(sys.argv[2])
    async with Router(f"ws://127.0.0.1:{sys.argv[1]}/ws", realms=["realm1"]) as router:

        def tell():
            if sys.stdin.readline():
                counters.write_text(f"{router.core.realms['realm1'].delivery.encodings}\n")
            else:
                asyncio.get_running_loop().remove_reader(sys.stdin)

        asyncio.get_running_loop().add_reader(sys.stdin, tell)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if "uvloop" in sys.argv[3:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())

"""A router with a realm for everybody and one behind each authentication method, and a Python callee. Prints its URL.

What the JavaScript clients of `js/` are checked against. Ends when standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from autobahn.asyncio.router import Router
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.router import HistoryTopic, RealmOptions
from autobahn.wamp.auth import derive_key
from autobahn.wamp.cryptosign import CryptosignKey
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallResult, ComponentConfig, PublishOptions, RegisterOptions

SALT = {"salt": "salt123", "iterations": 1000, "keylen": 32}
SALTED = derive_key("secret", SALT["salt"], SALT["iterations"], SALT["keylen"]).decode()
PUBLIC_KEY = CryptosignKey.from_bytes(bytes(range(32))).public_key()
OPTIONS = RealmOptions(
    disclose_caller="always",
    disclose_publisher="always",
    meta_kill_roles=("anonymous",),
    history=(HistoryTopic("com.example.history"),),
)
AUTH = {
    "realm1": {"anonymous": {"role": "anonymous"}},
    "secure": {
        "ticket": {"principals": {"ticket-user": {"ticket": "secret", "role": "user"}}},
        "wampcra": {
            "principals": {
                "cra-user": {"secret": "secret", "role": "user"},
                "salted-user": {
                    "secret": SALTED.decode() if isinstance(SALTED, bytes) else SALTED,
                    "role": "user",
                    **SALT,
                },
            }
        },
        "cryptosign": {
            "principals": {
                "key-user": {
                    "authorized_keys": [PUBLIC_KEY],
                    "role": "user",
                }
            }
        },
    },
}


class PythonCallee(ApplicationSession):
    async def onJoin(self, details):
        async def counts(n, details):
            for i in range(n):
                if details.progress is not None:
                    details.progress(i)
            return n

        def fails():
            raise ApplicationError("com.example.python.error", "bad", 1)

        async def hangs():
            await asyncio.get_running_loop().create_future()

        await self.register(lambda value: value, "com.example.python.echo")
        await self.register(lambda *args, **kwargs: CallResult(*args, **kwargs), "com.example.python.both")
        await self.register(counts, "com.example.python.counts", RegisterOptions(details=True))
        await self.register(fails, "com.example.python.fails")
        await self.register(hangs, "com.example.python.hangs")
        await self.publish("com.example.python.kept", "kept", options=PublishOptions(acknowledge=True, retain=True))
        self.config.extra.set_result(None)


async def main() -> None:
    async with Router(realms=["realm1", "secure"], auth=AUTH, realm_options=OPTIONS) as router:
        ready = asyncio.get_running_loop().create_future()
        router.attach(PythonCallee(ComponentConfig("realm1", ready)))
        await ready
        print(router.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

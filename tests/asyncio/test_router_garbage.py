"""What a router keeps of a client is gone with its connection, without the garbage collector."""

import asyncio
import gc
import weakref

import pytest

import autobahn
from autobahn.asyncio.router import Router


@pytest.mark.parametrize("scheme", ["ws", "rs"])
async def test_a_client_that_is_gone_leaves_no_cycles(scheme):
    async with Router() as router:
        url = router.url if scheme == "ws" else router.url.replace("ws://", "rs://").removesuffix("/ws")
        kept = []
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                async with autobahn.connect(url, realm="realm1"):
                    (visit,) = router.gate.visits
                    (link,) = router.core.links
                    kept += [weakref.ref(visit.protocol), weakref.ref(link)]
                    del visit, link
                while router.gate.visits or router.core.links:
                    await asyncio.sleep(0.001)
            for _ in range(100):
                if not any(ref() for ref in kept):
                    break
                await asyncio.sleep(0.001)
            assert [ref() for ref in kept if ref() is not None] == []
        finally:
            gc.enable()

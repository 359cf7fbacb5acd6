"""Runs ``async def`` tests, on asyncio and (with ``loops``) uvloop, and accounts for every task they open."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys

import pytest

from autobahn.asyncio import direct
from autobahn.websocket.frames import COMPILED

TEST_TIMEOUT = 60
POLLS = COMPILED and sys.platform == "linux"


def _loop_factory(name: str):
    if name == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def _accounted(coro) -> None:
    before = asyncio.all_tasks()
    await asyncio.wait_for(coro, TEST_TIMEOUT)
    for _ in range(20):  # callbacks of closed transports and finished tasks need a few turns
        left = [t for t in asyncio.all_tasks() - before if not t.done()]
        if not left:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"tasks left behind: {left}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    kwargs = {name: pyfuncitem.funcargs[name] for name in names}
    loop_name = kwargs.get("loop_name", os.environ.get("AUTOBAHN_TEST_LOOP", "asyncio"))
    errors: list[dict] = []
    with asyncio.Runner(loop_factory=_loop_factory(loop_name)) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _loop, context: errors.append(context))
        runner.run(_accounted(pyfuncitem.obj(**kwargs)))
    assert not errors, f"errors reached the loop: {errors}"
    return True


@pytest.fixture(autouse=True)
def logging_as_before():
    """Programs under test set up logging; the next test finds it as it was."""
    logger = logging.getLogger("autobahn")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(params=["asyncio", "uvloop", "uvloop-polled"] if POLLS else ["asyncio", "uvloop"])
def loop_name(request, monkeypatch):
    """Ask for this fixture to run an ``async def`` test on both loops, and on uvloop also with all sockets polled."""
    name, _, is_polled = request.param.partition("-")
    if name == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    if is_polled:  # from the second read on, and not only when there are many (tests/asyncio/test_poller.py)
        monkeypatch.setattr(direct, "ENOUGH", 1)
        monkeypatch.setattr(direct, "CALM", 1)
    return name

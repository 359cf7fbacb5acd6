"""Running components until they have all stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Any

from autobahn.asyncio.loops import get_or_create_event_loop, loop_at_hand, signals_call, start_logging

log = logging.getLogger("autobahn.component")


def run(
    components: Any,
    log_level: str | bool | None = "info",
    start_loop: bool = True,
    *,
    raise_errors: bool = False,
) -> asyncio.Task[None] | None:
    """Run one component or a list of them; returns None when ALL have stopped.

    The first SIGINT or SIGTERM stops the components in order: they leave their realms (GOODBYE), their ``on_leave`` and
    ``on_disconnect`` handlers run, then ``run`` returns. A second one does what it did before ``run`` was called, as a
    rule end the program at once. Signal handlers are as before when ``run`` returns.

    A component that has failed does not end the others; it is logged at level error, and ``run`` returns None, so that
    the program's exit status is its own affair. With ``raise_errors`` its `ComponentFailed` is raised when all have
    stopped; several come as an `ExceptionGroup`.

    Which loop: that of the thread when one is set, which stays open and whose other tasks are left alone; else a new
    one, which is closed, and its tasks cancelled, as `asyncio.run` does. Nothing is set for the thread or the process.
    Inside a running loop (`asyncio.run`, Jupyter) nothing can wait: a task is returned, ``await run(...)`` waits for
    all, and cancelling it stops the components in order; there a signal is taken only when its handler is Python's or
    asyncio's own. In a thread other than the main one there are no signals.

    ``log_level``: "none", "critical", "error", "warn", "info", "debug", "trace", or None to leave logging alone.
    With ``start_loop=False`` everything is scheduled on the loop of the thread (made and set when there is none), which
    is stopped when the components have ended.
    """
    if isinstance(log_level, bool):  # the older order of parameters: run(components, start_loop)
        start_loop, log_level = log_level, "info"
    if not isinstance(components, list):
        components = [components]
    for component in components:
        if not (hasattr(component, "start") and hasattr(component, "stop")):
            raise ValueError(f"expected a Component or a list of them, got {type(component).__name__}")
    start_logging(log_level)
    if not start_loop:
        loop = get_or_create_event_loop()
        task = loop.create_task(_run_all(components, raise_errors), name="autobahn run")
        task.add_done_callback(lambda _: loop.stop())
        return None
    if asyncio._get_running_loop() is not None:
        return asyncio.get_running_loop().create_task(
            _run_all(components, raise_errors, is_guest=True), name="autobahn run"
        )
    found = loop_at_hand()
    if found is None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_run_all(components, raise_errors))
    else:
        _run_on(found, _run_all(components, raise_errors))
    return None


def _run_on(loop: asyncio.AbstractEventLoop, coro: Any) -> None:
    """``coro`` has ended; when a second signal interrupts it, it is cancelled."""
    task = loop.create_task(coro, name="autobahn run")
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        loop.run_until_complete(asyncio.wait({task}))
        raise


async def _run_all(components: Sequence[Any], raise_errors: bool, is_guest: bool = False) -> None:
    """Start all, wait for all; a signal, or being cancelled, stops them."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        log.info("Shutting down due to %s", number.name)
        for component in components:
            component.stop()

    if not components:
        return
    with signals_call(loop, stop, once=True, defaults_only=is_guest):
        ends = [component.start(loop) for component in components]
        try:
            await asyncio.wait(ends)
        except asyncio.CancelledError:
            await asyncio.wait([component.stop() for component in components])
            raise
    failures = []
    for end in ends:
        if not end.cancelled() and (failure := end.exception()) is not None:
            failures.append(failure)
            log.error("%s (last error: %s)", failure, failure.__cause__)
    if raise_errors and failures:
        raise failures[0] if len(failures) == 1 else BaseExceptionGroup("components failed", failures)

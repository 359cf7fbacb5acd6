"""Running components until they have all stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from autobahn.asyncio.loops import get_or_create_event_loop, signals_call, start_logging

log = logging.getLogger("autobahn.component")


def run(components: Any, log_level: str | bool | None = "info", start_loop: bool = True) -> None:
    """Run one component or a list of them; returns None when ALL have stopped.

    SIGINT and SIGTERM stop the components in order: they leave their realms (GOODBYE), their ``on_leave`` and
    ``on_disconnect`` handlers run, then ``run`` returns. A component that failed is logged at level error. A loop made
    here is closed here; only tasks started here are cancelled; signal handlers are restored.

    ``log_level``: "none", "critical", "error", "warn", "info", "debug", "trace", or None to leave logging alone.
    With ``start_loop=False`` everything is scheduled on the current loop, which is stopped when the components end.
    """
    if isinstance(log_level, bool):  # the older order of parameters: run(components, start_loop)
        start_loop, log_level = log_level, "info"
    if not isinstance(components, list):
        components = [components]
    for component in components:
        if not (hasattr(component, "start") and hasattr(component, "stop")):
            raise ValueError(f"expected a Component or a list of them, got {type(component).__name__}")
    start_logging(log_level)
    loop = get_or_create_event_loop()
    if not start_loop:
        task = loop.create_task(_run_all(components, loop), name="autobahn run")
        task.add_done_callback(lambda _: loop.stop())
        return
    if loop.is_running():
        raise RuntimeError("expected no running event loop, got one: await component.start() instead of run()")
    try:
        loop.run_until_complete(_run_all(components, loop))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _run_all(components: list[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Start all, wait for all; a signal stops them, a second one of the same kind is left to Python."""

    def stop(number: signal.Signals) -> None:
        log.info("Shutting down due to %s", number.name)
        for component in components:
            component.stop()

    with signals_call(loop, stop):
        outcomes = await asyncio.gather(*(c.start(loop) for c in components), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            log.error("%s (last error: %s)", outcome, outcome.__cause__)

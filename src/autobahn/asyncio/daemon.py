"""Running a router as a service: signals, the service manager, reload."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from autobahn.asyncio.loops import signals_call
from autobahn.asyncio.systemd import Notifier
from autobahn.log import Log

__all__ = ("serve",)

log = Log("autobahn.router")


class Service(Protocol):
    """What is run: an `autobahn.asyncio.router.Router`."""

    @property
    def core(self) -> Any: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def hurry(self) -> None: ...


async def serve(
    router: Any,
    announce: Callable[[Any], Any] | None = None,
    *,
    reload: Callable[[], Awaitable[Any]] | None = None,
    notifier: Notifier | None = None,
) -> None:
    """Run ``router`` until SIGINT or SIGTERM; ``announce(router)`` is called when it listens.

    A second signal hurries the end. SIGHUP awaits ``reload()``, whose errors are logged and change nothing.
    ``notifier`` tells the service manager how things are (default: whoever ``NOTIFY_SOCKET`` names).
    """
    loop = asyncio.get_running_loop()
    notifier = notifier if notifier is not None else Notifier.from_environment()
    stop = asyncio.Event()
    changes: asyncio.Queue[None] = asyncio.Queue()

    def signalled(number: signal.Signals) -> None:
        if number == getattr(signal, "SIGHUP", None):
            changes.put_nowait(None)
        elif stop.is_set():
            log.info("{signal} again: hurrying", signal=number.name)
            router.hurry()
        else:
            log.info(
                "stopping on {signal}: GOODBYE to {sessions} sessions",
                signal=number.name,
                sessions=router.core.sessions,
            )
            stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if reload is not None and hasattr(signal, "SIGHUP"):
        numbers.append(signal.SIGHUP)
    with signals_call(loop, signalled, numbers):
        await router.start()
        reloading = loop.create_task(_reloads(reload, changes, notifier), name="autobahn router reload")
        try:
            if announce is not None:
                announce(router)
            notifier.ready(", ".join(router.urls))
            notifier.start_watchdog(loop)
            await stop.wait()
        finally:
            reloading.cancel()
            notifier.stopping()
            await router.close()
            notifier.close()


async def _reloads(
    reload: Callable[[], Awaitable[Any]] | None, changes: asyncio.Queue[None], notifier: Notifier
) -> None:
    """One reload after the other."""
    while reload is not None:
        await changes.get()
        while not changes.empty():
            changes.get_nowait()
        notifier.reloading()
        try:
            await reload()
        except (ValueError, OSError) as exc:
            for line in str(exc).splitlines():
                log.error("{problem}", problem=line)
            log.error("the configuration is not as expected: everything stays as it was")
        except Exception as exc:
            log.error("the configuration could not be changed", exc_info=exc)
        else:
            log.info("the configuration was read again")
        notifier.ready()

"""Which loop to use, how to end it on a signal, and logging for programs that ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from autobahn.log import TRACE

LEVELS: dict[str, int | None] = {
    "none": None,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}


def get_or_create_event_loop() -> asyncio.AbstractEventLoop:
    """The running loop; else the open loop set for this thread; else a new one, which is then set."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
            if not loop.is_closed():
                return loop
        except RuntimeError:
            pass
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def start_logging(level: str | None) -> None:
    """Show the log of ``autobahn.*`` on stderr at ``level``, unless the program has set up logging itself."""
    if level is None:
        return
    if level not in LEVELS:
        raise RuntimeError(f"expected a log level out of {', '.join(LEVELS)}, got {level!r}")
    number = LEVELS[level]
    logger = logging.getLogger("autobahn")
    if number is None:
        logger.setLevel(logging.CRITICAL + 1)
        return
    logger.setLevel(number)
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S"))
        logger.addHandler(handler)


@contextlib.contextmanager
def signals_call(loop: asyncio.AbstractEventLoop, callback: Callable[[signal.Signals], Any]) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM call ``callback`` in the loop; earlier handlers come back after it.

    Does nothing where signals cannot be handled: outside of the main thread. On Windows, where the loop cannot, the
    handler of the `signal` module is used.
    """
    installed: list[tuple[signal.Signals, Any]] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        previous = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, callback, number)
        except NotImplementedError:
            try:
                signal.signal(number, lambda n, _: loop.call_soon_threadsafe(callback, signal.Signals(n)))
            except ValueError:
                break
        except (ValueError, RuntimeError):
            break
        installed.append((number, previous))
    try:
        yield
    finally:
        for number, previous in installed:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.remove_signal_handler(number)
            signal.signal(number, previous)

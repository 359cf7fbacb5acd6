"""Which loop to use, how to end it on a signal, and logging for programs that ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autobahn.log import LEVELS, JsonFormatter


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


class OwnHandler(logging.StreamHandler[Any]):
    """The handler that `start_logging` made."""


def start_logging(level: str | None, form: str = "text") -> None:
    """Show the log of ``autobahn.*`` on stderr at ``level``, unless the program has set up logging itself.

    ``form``: "text" for people, or "json" for one object a line. Calling it again changes level and form.
    """
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
    own = next((handler for handler in logger.handlers if isinstance(handler, OwnHandler)), None)
    if own is None and not logger.handlers and not logging.getLogger().handlers:
        own = OwnHandler(sys.stderr)
        logger.addHandler(own)
    if own is not None:
        text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
        own.setFormatter(JsonFormatter() if form == "json" else text)


@contextlib.contextmanager
def signals_call(
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[signal.Signals], Any],
    numbers: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[None]:
    """While the block runs, the signals ``numbers`` call ``callback`` in the loop; earlier handlers come back after it.

    Does nothing where signals cannot be handled: outside of the main thread. On Windows, where the loop cannot, the
    handler of the `signal` module is used.
    """
    installed: list[tuple[signal.Signals, Any]] = []
    for number in numbers:
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

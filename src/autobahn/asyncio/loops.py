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


def loop_at_hand() -> asyncio.AbstractEventLoop | None:
    """The loop that is set for this thread, if it is open. Nothing is made or set, other than by asyncio's function."""
    policy = getattr(asyncio.events, "_event_loop_policy", None)  # made when first asked for: then none is set
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) and not loop.is_closed() else None


Handler = Any  # of the `signal` module: a function, a constant, or None when it was not installed by Python


def is_default(handler: Handler) -> bool:
    """Whether a signal handler is Python's or asyncio's own, and not the program's."""
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    function = getattr(handler, "func", None)  # a partial of the method of asyncio.Runner
    return getattr(function, "__qualname__", "") == "Runner._on_sigint"


class _Signals:
    """Signals call `callback` in the loop; `restore` undoes it. `once`: so does the first of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[signal.Signals], Any], once: bool) -> None:
        self._loop = loop
        self._callback = callback
        self._once = once
        self._installed: list[tuple[signal.Signals, Handler, Handler]] = []

    def install(self, number: signal.Signals, defaults_only: bool) -> None:
        """RuntimeError or ValueError where signals cannot be handled: outside of the main thread."""
        previous = signal.getsignal(number)
        if defaults_only and not is_default(previous):
            return
        try:
            self._loop.add_signal_handler(number, self._received, number)
        except NotImplementedError:  # Windows
            signal.signal(
                number, lambda n, _: self._loop.call_soon_threadsafe(self._received, signal.Signals(n)) and None
            )
        self._installed.append((number, previous, signal.getsignal(number)))

    def _received(self, number: signal.Signals) -> None:
        if self._once:
            self.restore()
        self._callback(number)

    def restore(self) -> None:
        """What was there before is there again, unless somebody else has put something in our place meanwhile."""
        installed, self._installed = self._installed, []
        for number, previous, ours in installed:
            is_ours = signal.getsignal(number) is ours
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                self._loop.remove_signal_handler(number)
            if is_ours and previous is not None:
                signal.signal(number, previous)


@contextlib.contextmanager
def signals_call(
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[signal.Signals], Any],
    numbers: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
    *,
    once: bool = False,
    defaults_only: bool = False,
) -> Iterator[None]:
    """While the block runs, the signals ``numbers`` call ``callback`` in the loop; earlier handlers come back after it.

    ``once``: they come back with the first signal already, so that a second one is theirs. ``defaults_only``: handlers
    that the program has installed are left alone. Does nothing where signals cannot be handled: outside of the main
    thread. On Windows, where the loop cannot, the handler of the `signal` module is used.
    """
    signals = _Signals(loop, callback, once)
    with contextlib.suppress(ValueError, RuntimeError):
        for number in numbers:
            signals.install(number, defaults_only)
    try:
        yield
    finally:
        signals.restore()

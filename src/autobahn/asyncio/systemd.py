"""systemd: listening sockets it hands over (sd_listen_fds(3)), and telling it how things are (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import MutableMapping

from autobahn.log import Log

__all__ = ("Notifier", "listen_sockets")

FIRST = 3  # the first file descriptor that is handed over

log = Log("autobahn.router")


def listen_sockets(
    environ: MutableMapping[str, str] = os.environ, first: int = FIRST
) -> dict[str, list[socket.socket]]:
    """The listening sockets by their names; those without a name are "unknown".

    The variables are taken out of ``environ``, so that no program started later takes them for its own. Raises
    `OSError` for a descriptor that is no socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    sockets: dict[str, list[socket.socket]] = {}
    for number in range(int(count)):
        name = names[number] if number < len(names) and names[number] else "unknown"
        sock = socket.socket(fileno=first + number)
        sock.set_inheritable(False)
        sockets.setdefault(name, []).append(sock)
    return sockets


class Notifier:
    """Tells the service manager at ``address`` (None: there is none) how things are.

    ``watchdog``: seconds within which it wants to hear from us; the loop itself says so, twice in that time.
    """

    def __init__(self, address: str | None = None, watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        self._address = address
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """What NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID") in {None, str(os.getpid())}
        watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and is_ours else 0.0
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog)

    def ready(self, status: str = "") -> None:
        """Started, or done with reloading."""
        self.send("READY=1", *([f"STATUS=listening at {status}"] if status else []))

    def reloading(self) -> None:
        """The configuration is being read again."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self.send("STOPPING=1")

    def start_watchdog(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on it hears from us in time, as long as the loop runs."""
        if self.watchdog:
            self.send("WATCHDOG=1")
            self._timer = loop.call_later(self.watchdog / 2, self.start_watchdog, loop)

    def send(self, *lines: str) -> None:
        """Tell it; a manager that does not listen is no reason to fail."""
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as exc:
            log.warn("the service manager at {address} cannot be told: {error}", address=self._address, error=str(exc))

    def close(self) -> None:
        """Nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

"""One attempt of a component: from dialling to the end of the transport."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autobahn.asyncio.durable import Declaration, stand_up
from autobahn.asyncio.endpoints import TransportDescription
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.exception import ConnectTimeout
from autobahn.log import Log
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.lifecycle import State
from autobahn.wamp.types import CloseDetails

CLEAN_REASONS = frozenset({"wamp.close.normal", "wamp.close.goodbye_and_out"})
ABORT_TIMEOUT = 1.0  # seconds for the last callbacks after a connection was cut off
WATCHES = 4  # how often in `join_timeout` it is looked whose turn it is


class Client(Protocol):
    """What is needed of a component."""

    log: Log
    join_timeout: float
    close_timeout: float

    @property
    def declarations(self) -> Sequence[Declaration]: ...
    @property
    def main(self) -> Callable[..., Any] | None: ...
    def is_fatal(self, exc: BaseException) -> bool: ...
    def make_session(self, runtime: AsyncioRuntime) -> Any: ...
    async def announce(self, event: str, session: Any, /, *args: Any, **kwargs: Any) -> bool: ...


class Attempt:
    """One connection of a component. `run` never raises; afterwards `failure` says what went wrong, `phase` where.

    Phases: resolve, connect, proxy, tls, handshake (WebSocket or RawSocket), join (HELLO to WELCOME), declare
    (registrations and subscriptions), joined, leave (GOODBYE and closing).
    """

    def __init__(
        self,
        client: Client,
        description: TransportDescription,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Future[None],
    ) -> None:
        self._client = client
        self._description = description
        self._loop = loop
        self._stopping = stopping
        self._dialer = description.endpoint.dialer()
        self._ended: asyncio.Future[bool] = loop.create_future()  # True: in order, False: see failure
        self._left = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._joined_at: float | None = None
        self._main_task: asyncio.Task[Any] | None = None
        self._protocol: Any = None
        self._watching: asyncio.TimerHandle | None = None
        self._phase = ""
        self.runtime = AsyncioRuntime(loop)
        self.failure: Exception = TransportLost("the connection was lost before a session was joined")
        self.lasted = 0.0

    @property
    def phase(self) -> str:
        """How far it has come."""
        return self._phase or self._dialer.phase

    @property
    def was_joined(self) -> bool:
        """Whether the router has let us in."""
        return self._joined_at is not None

    @property
    def close_code(self) -> int | None:
        """The code of the server's close frame; None without one."""
        code: int | None = getattr(self._protocol, "remoteCloseCode", None)
        return code

    @property
    def protocol(self) -> Any:
        """The open connection; None before there was one."""
        return self._protocol

    def owns(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether ``task`` runs user code of this session: it cannot wait for the end of the attempt."""
        return task is not None and (task is self._main_task or self.runtime.owns(task))

    async def run(self) -> bool:
        """The session is over and the transport closed; True for an orderly end, False for a failure or a stop."""
        try:
            session = self._client.make_session(self.runtime)
        except Exception as exc:
            self._client.log.error("session_factory of a component failed", exc_info=exc)
            self.failure = exc
            return False
        try:
            for event in ("connect", "join", "ready", "leave", "disconnect"):
                session.on(event, getattr(self, f"_on_{event}"))
            await self._connect(session)
        except Exception as exc:
            self.failure = exc
            return False
        if self._protocol is None:
            return False  # stopped
        try:
            self._watch(session, 0)
            await self._until(self._ended)
            if self._watching is not None:
                self._watching.cancel()
            in_order = self._ended.done() and self._ended.result()
            if in_order and self._main_task is not None:
                await self._until(self._main_task)  # after an orderly leave it runs to its end
            if self._joined_at is not None:
                self.lasted = self._loop.time() - self._joined_at
            await self._finish(session)
        except BaseException:  # the loop is being shut down: say GOODBYE, wait for nothing
            with contextlib.suppress(Exception):
                session.leave()
                session.disconnect()
            if self._main_task is not None:
                self._main_task.cancel()
            raise
        return in_order

    # ---- the way in ------------------------------------------------------------------------------------------

    async def _until(self, future: asyncio.Future[Any]) -> None:
        """``future`` is done, or the component is to stop."""
        await asyncio.wait({self._stopping, future}, return_when=asyncio.FIRST_COMPLETED)

    async def _connect(self, session: Any) -> None:
        """The connection is open, or `_protocol` is None because the component is to stop."""
        opening = self._description.connect(lambda: session, self._dialer)
        connecting = self._loop.create_task(opening, name="autobahn connect")
        try:
            await self._until(connecting)
        finally:
            connecting.cancel()
        if not connecting.done():
            await asyncio.wait({connecting})
        if not connecting.cancelled():
            self._protocol = connecting.result()
            self._phase = self._phase or "join"  # it may have joined in the same turn

    def _watch(self, session: Any, silent: int) -> None:
        """Gives up when the router has not answered HELLO or AUTHENTICATE in time.

        While it is our turn (a password is asked for, a signature made) no time counts.
        """
        self._watching = None
        if self._ended.done() or self._joined_at is not None:
            return
        silent = silent + 1 if getattr(session, "_state", State.ESTABLISHING) is State.ESTABLISHING else 0
        if silent > WATCHES:
            seconds = self._client.join_timeout
            self._fail(ConnectTimeout(f"the router did not let us join within {seconds:g} s", **self._where("join")))
        else:
            tick = self._client.join_timeout / WATCHES
            self._watching = self._loop.call_later(tick, self._watch, session, silent)

    def _where(self, phase: str) -> dict[str, Any]:
        return {"url": self._description.url, "peer": self._dialer.peer, "phase": phase}

    # ---- the way out -----------------------------------------------------------------------------------------

    def _end(self, in_order: bool) -> None:
        if not self._ended.done():
            self._ended.set_result(in_order)

    def _fail(self, exc: Exception) -> None:
        """The attempt ends with ``exc``, unless it has ended already."""
        if not self._ended.done():
            self.failure = exc
            self._ended.set_result(False)

    async def _finish(self, session: Any) -> None:
        """``main`` has ended, the realm is left, the transport closed, the callbacks have run; all of it in time."""
        if self._stopping.done():
            self._phase = "leave"
        try:
            async with asyncio.timeout(self._client.close_timeout):
                if self._main_task is not None:
                    self._main_task.cancel()
                    await asyncio.wait({self._main_task})
                if session.is_attached():
                    with contextlib.suppress(TransportLost):
                        session.leave()
                    await self._left.wait()
                session.disconnect()
                await self._disconnected.wait()
        except TimeoutError:
            self._protocol.dropConnection(abort=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ABORT_TIMEOUT):
                    await asyncio.wait({self._protocol.is_closed})
                    await self._disconnected.wait()
            if not self._disconnected.is_set():
                self._client.log.error("callbacks of {url} did not end in time", url=self._description.url)

    # ---- what the session tells ------------------------------------------------------------------------------

    async def _on_connect(self, session: Any, transport: Any) -> None:
        await self._client.announce("connect", session, session, transport)

    async def _on_join(self, session: Any, details: Any) -> None:
        self._joined_at = self._loop.time()
        self._phase = "declare"
        try:
            await stand_up(session, self._client.declarations, self._client.join_timeout)
        except TimeoutError:
            self._fail(ConnectTimeout("the router did not confirm all registrations in time", **self._where("declare")))
        except Exception as exc:
            if session.is_attached():  # else the loss of the session is what failed
                self._fail(exc)
        if self._ended.done() or self._stopping.done() or not session.is_attached():
            raise asyncio.CancelledError  # nothing is announced any more: neither onJoin nor "ready"
        self._phase = "joined"
        if self._client.main is not None:
            self._main_task = self._loop.create_task(self._run_main(session), name="autobahn component main")
        if not await self._client.announce("join", session, session, details):
            raise asyncio.CancelledError  # it has been reported; "ready" does not fire

    async def _run_main(self, session: Any) -> None:
        assert self._client.main is not None
        try:
            outcome = self._client.main(self._loop, session)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as exc:
            if isinstance(exc, TransportLost) and not session.is_attached():
                return  # the loss of the session is what failed
            session._user_error(exc, "While running main")
            self._fail(exc)
        else:
            self._end(True)

    async def _on_ready(self, session: Any) -> None:
        await self._client.announce("ready", session, session)

    async def _on_leave(self, session: Any, details: CloseDetails) -> None:
        await self._client.announce("leave", session, session, details)
        self._left.set()
        if details.reason in CLEAN_REASONS:
            self._end(True)
        else:
            self._fail(details.exception())

    async def _on_disconnect(self, session: Any, was_clean: bool) -> None:
        await self._client.announce("disconnect", session, session, was_clean=was_clean)
        self._disconnected.set()
        protocol = self._protocol
        self._end(was_clean and protocol is not None and bool(protocol.closedByMe))

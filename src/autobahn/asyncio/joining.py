"""A WAMP session for `connect`: waits until it has joined, and leaves in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from autobahn.asyncio.wamp import Session
from autobahn.exception import ConnectFailed

SETTLE_TIMEOUT = 1.0
"""Seconds that callbacks of the session get at its end before they are cancelled."""


class Joining:
    """Watches a new session; `wait` tells whether it joined."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session.on("join", self._on_join)
        session.on("leave", self._on_leave)
        session.on("disconnect", self._on_disconnect)

    async def wait(self, protocol: Any) -> Session:
        """The session, joined. Raises `ApplicationError` when the router refuses, or `ConnectFailed`."""
        session = self._session
        try:
            await self._joined
        except BaseException:
            protocol.dropConnection(abort=True)
            await _settled(session)
            raise
        finally:
            session.off("join", self._on_join)
            session.off("leave", self._on_leave)
            session.off("disconnect", self._on_disconnect)
        return session

    def _on_join(self, session: Session, details: Any) -> None:
        if not self._joined.done():
            self._joined.set_result(None)

    def _on_leave(self, session: Session, details: Any) -> None:
        self._fail(details.exception())

    def _on_disconnect(self, session: Session, was_clean: bool) -> None:
        self._fail(ConnectFailed("the connection was closed before the session joined", phase="join"))

    def _fail(self, exc: Exception) -> None:
        if not self._joined.done():
            self._joined.set_exception(exc)
            self._joined.exception()  # the one who waits may have given up


async def close_session(session: Session, exc: BaseException | None) -> None:
    """The session said GOODBYE, the connection is closed, and no callback runs any more."""
    transport = session.transport
    try:
        if session.is_attached():
            session.leave()
        await session.wait_disconnected()
    except BaseException:
        if transport is not None:
            transport.abort()
        raise
    finally:
        await _settled(session)


async def _settled(session: Session) -> None:
    """No task of the session runs any more."""
    if session._runtime is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_TIMEOUT):
            await session.wait_disconnected()
    await session._runtime.finish()

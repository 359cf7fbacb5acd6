"""The router as a client of itself: calls procedures through trusted in-process sessions."""

from __future__ import annotations

from typing import Any, Protocol

from autobahn.router.local import connect_local
from autobahn.router.login import Admission
from autobahn.router.session import RouterSession
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.session import ClientSession
from autobahn.wamp.types import CloseDetails, ComponentConfig, SessionDetails

ITSELF = Admission("router", "trusted", "internal", "router")


class ServiceRouter(Protocol):
    """What the service asks of its router."""

    runtime: Runtime | None

    def new_session(self, _config: Any = None, granted: Admission | None = None) -> RouterSession: ...
    def find_realm(self, name: str) -> Any: ...


class Service:
    """Calls procedures for the router, with one session per realm that is made when it is needed."""

    def __init__(self, router: ServiceRouter) -> None:
        self._router = router
        self._sessions: dict[str, _Session] = {}

    async def call(self, realm: str, procedure: str, *args: Any) -> Any:
        """The result of ``procedure`` on ``realm``; ``ApplicationError`` when there is none."""
        session = self._sessions.get(realm)
        if session is None or session.is_over:
            session = self._sessions[realm] = self._connect(realm)
        await session.joined()
        return await session.call(procedure, *args)

    def _connect(self, realm: str) -> _Session:
        runtime = self._router.runtime
        if runtime is None:
            raise RuntimeError("expected a router with a runtime to call procedures, got one without")
        if self._router.find_realm(realm) is None:
            raise ApplicationError(ApplicationError.NO_SUCH_REALM, f"there is no realm {realm!r} here")
        session = _Session(realm, runtime)
        end: Any = session
        connect_local(self._router, end, runtime.call_soon, ITSELF)
        return session


class _Session(ClientSession):
    """A session of the router."""

    def __init__(self, realm: str, runtime: Runtime) -> None:
        super().__init__(ComponentConfig(realm), runtime=runtime)
        self.is_over = False
        self._waiting: list[Any] = []

    async def joined(self) -> None:
        """The session has joined."""
        if not self.is_attached() and not self.is_over:
            future = self._runtime.create_future()
            self._waiting.append(future)
            await future

    def onJoin(self, details: SessionDetails) -> Any:
        self._release()

    def onLeave(self, details: CloseDetails) -> Any:
        self.is_over = True
        self._release()
        self.disconnect()

    def onDisconnect(self) -> Any:
        self.is_over = True
        self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

"""How a client is let in: the outcome, `Admission`, and `Login`, its way there when that takes more than a moment."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from autobahn.router.ids import random_authid
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.message import Authenticate, Hello
from autobahn.wamp.runtime import Runtime

log = logging.getLogger("autobahn.router")

NO_MATCHING_AUTH_METHOD = "wamp.error.no_matching_auth_method"


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a client is, once it has been let in."""

    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    authextra: dict[str, Any] = field(default_factory=dict)  # what WELCOME says
    realm: str | None = None  # where the client is sent, if not to the realm it asked for


class Authenticator(Protocol):
    """Judges a HELLO: an `Admission`, or ``ApplicationError`` whose URI becomes the reason of ABORT."""

    def __call__(self, realm: str, details: dict[str, Any]) -> Admission: ...


def anonymous(realm: str, details: dict[str, Any]) -> Admission:
    """Lets everybody in who does not insist on another method."""
    methods = details.get("authmethods")
    if methods and "anonymous" not in methods:
        raise ApplicationError(
            NO_MATCHING_AUTH_METHOD, f"expected one of the methods anonymous, got {', '.join(methods):.200}"
        )
    return Admission(random_authid(), "anonymous", "anonymous", "static")


class LoginSession(Protocol):
    """What a login asks of the session it is for."""

    def send_challenge(self, method: str, extra: dict[str, Any]) -> None: ...
    def login_done(self, login: Any, outcome: Admission | ApplicationError) -> None: ...


class Login:
    """What an authenticator knows of a client, and how it asks the client for more.

    The session gives the outcome to its client: an admission, or the ``ApplicationError`` that says why not.
    """

    def __init__(
        self, session: LoginSession, hello: Hello, transport: Any, runtime: Runtime | None, number: Callable[[], int]
    ) -> None:
        self.hello = hello
        self.realm = hello.realm
        self.details = hello.details
        self.authid: str | None = hello.details.get("authid")
        self.authrole: str | None = hello.details.get("authrole")
        self.authextra: dict[str, Any] = hello.details.get("authextra") or {}
        self.transport = transport  # TransportDetails, or None
        self.session_id = number()  # the id that WELCOME will have
        self._session = session
        self._runtime = runtime
        self._answer: Any = None
        self._task: Any = None
        self._judgement: Any = None
        self._is_over = False

    @property
    def host(self) -> str:
        """The address of the client without its port."""
        peer = getattr(self.transport, "peer", None) or "?"
        return str(peer).rpartition(":")[0] or str(peer)

    @property
    def channel_ids(self) -> dict[str, bytes]:
        """What the transport can be bound to."""
        return getattr(self.transport, "channel_id", None) or {}

    def facts(self) -> dict[str, Any]:
        """What a dynamic authenticator is told of the transport, in values that travel."""
        names = ("peer", "is_secure", "websocket_protocol", "http_headers_received", "http_cbtid", "peer_cert")
        return {name: getattr(self.transport, name, None) for name in names}

    async def challenge(self, method: str, extra: dict[str, Any]) -> Authenticate:
        """The client's answer to CHALLENGE."""
        assert self._runtime is not None
        self._answer = self._runtime.create_future()
        self._session.send_challenge(method, {key: value for key, value in extra.items() if value is not None})
        answer: Authenticate = await self._answer
        return answer

    # ---- for the session -------------------------------------------------------------------------------

    def start(self, judgement: Any) -> None:
        """``judgement``, an awaitable of the admission, goes on beside everything else."""
        if self._runtime is None:
            discard(judgement)
            raise RuntimeError("expected a router with a runtime for an authenticator that awaits, got one without")
        self._judgement = judgement
        self._task = self._runtime.spawn(self._judge(judgement), "autobahn router authentication")

    def answered(self, msg: Authenticate) -> None:
        """The client has answered."""
        self._answer.set_result(msg)

    def cancel(self) -> None:
        """Nobody waits for the outcome any more."""
        self._is_over = True
        if self._task is not None:
            self._task.cancel()
            discard(self._judgement)

    async def _judge(self, judgement: Awaitable[Any]) -> None:
        try:
            outcome: Any = await judgement
        except ApplicationError as exc:
            outcome = exc
        except Exception as exc:
            assert self._runtime is not None
            self._runtime.report("While authenticating a client", exc, realm=self.realm, authid=self.authid)
            outcome = ApplicationError(ApplicationError.AUTHENTICATION_FAILED, "the authenticator has failed")
        if not self._is_over:
            self._task = None
            self._session.login_done(self, outcome)


def discard(judgement: Any) -> None:
    """Nobody will await ``judgement``; one that has begun is left to the task that it runs in."""
    if inspect.iscoroutine(judgement) and inspect.getcoroutinestate(judgement) == inspect.CORO_CREATED:
        judgement.close()

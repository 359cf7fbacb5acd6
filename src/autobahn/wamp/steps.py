"""The steps of a client session's life: the user's callbacks in their documented order, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from autobahn.wamp import message
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.lifecycle import State
from autobahn.wamp.payload import is_carried_by
from autobahn.wamp.types import Challenge, CloseDetails, SessionDetails


async def settle(value: Any) -> Any:
    """The result of ``value``, awaited when it is awaitable."""
    if isinstance(value, Awaitable):
        return await value
    return value


class Steps:
    """Runs the callbacks of one `ClientSession`; those of a step are awaited before the next one begins."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._steps: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._stepper: Any = None
        self._step_is_opening = False
        self._is_stepping = False

    @property
    def is_running(self) -> bool:
        """Whether a step is under way."""
        return self._stepper is not None

    def give_up_opening(self) -> None:
        """An onConnect or onChallenge that still waits has nothing to wait for."""
        if self._step_is_opening and self._stepper is not None:
            self._stepper.cancel()
            self._stepper = None
            self._is_stepping = False

    def enqueue(self, step: Callable[..., Any], *args: Any) -> None:
        """``step(*args)`` runs when those before it are done."""
        self._steps.append((step, args))
        if not self._is_stepping:
            self._is_stepping = True
            stepper = self._session._runtime.spawn(self._run_steps(), "autobahn session callbacks")
            self._stepper = stepper if self._is_stepping else None  # an eager task may be done already

    async def _run_steps(self) -> None:
        while self._steps:
            step, args = self._steps.popleft()
            self._step_is_opening = step in (self.opened, self.challenged)
            try:
                await step(*args)
            except Exception as exc:
                self._session._user_error(exc, f"While running {step.__name__}")
        self._step_is_opening = self._is_stepping = False
        self._stepper = None

    async def opened(self, transport: Any) -> None:
        """The transport is open: ``onConnect``."""
        if not is_carried_by(transport, self._session._transport):
            return  # lost before the first step ran
        await self._session.fire("connect", self._session, transport)
        if not is_carried_by(transport, self._session._transport) or not transport.isOpen():
            return  # a listener has closed it, or the router
        try:
            await settle(self._session.onConnect())
        except Exception as exc:
            if isinstance(exc, TransportLost) and not self._session.is_connected():
                return  # the link went before HELLO could be sent, and onClose tells of that: nobody's error
            self._session._user_error(exc, "While firing onConnect")
            self._session.disconnect()  # nothing else would ever happen on this transport

    async def challenged(self, challenge: Challenge) -> None:
        """The router asks for authentication: ``onChallenge``, and AUTHENTICATE with its answer."""
        try:
            answer = await settle(self._session.onChallenge(challenge))
            signature, extra = answer if isinstance(answer, tuple) else (answer, {})
            if isinstance(signature, bytes):
                signature = signature.decode("utf-8")
            if not isinstance(signature, str):
                raise TypeError(f"expected str or bytes from onChallenge, got {type(signature).__name__}")
        except Exception as exc:
            self._session._user_error(exc, "Authentication failed")
            self._session._refuse(f"{exc}")
            return
        if self._session._state is State.ESTABLISHING:
            with suppress(TransportLost):  # onClose tells of it
                self._session._transport.send(message.Authenticate(signature, extra))

    async def welcomed(self, msg: message.Welcome) -> None:
        """The router has let us in: ``onWelcome``, and unless that refuses, ``onJoin``."""
        try:
            refusal = await settle(self._session.onWelcome(msg))
        except Exception as exc:
            self._session._user_error(exc, "While firing onWelcome")
            refusal = str(exc)
        if refusal is not None:
            self._session._refuse(str(refusal))
            return
        if self._session._state is not State.ESTABLISHED or self._session._transport is None:
            return  # ended meanwhile: the step for leaving is queued already
        self._session._session_id = msg.session
        self._session._realm = msg.details.get("realm") or self._session._realm
        self._session._details = details = session_details(self._session._realm, msg, self._session._transport)
        # Not a step: a join listener or onJoin may run as long as the session and longer.
        self._session._runtime.spawn(self._announce(details), "autobahn join callbacks")

    async def _announce(self, details: SessionDetails) -> None:
        if await self._session.fire("join", self._session, details):
            self._session._runtime.spawn(self._guard(self._session.onJoin, details), "autobahn onJoin")
            await self._session.fire("ready", self._session)

    async def left(self, details: CloseDetails) -> None:
        """The session has ended: ``onLeave``."""
        await self._guard(self._session.onLeave, details)
        await self._session.fire("leave", self._session, details)

    async def disconnected(self, was_clean: bool) -> None:
        """The transport is gone: ``onDisconnect``; who waited for that goes on."""
        await self._guard(self._session.onDisconnect)
        await self._session.fire("disconnect", self._session, was_clean=was_clean)
        closed, self._session._closed = self._session._closed, None
        for future in self._session._waiters if closed is None else {closed, *self._session._waiters}:
            if not future.done():
                future.set_result(None)

    async def _guard(self, callback: Callable[..., Any], *args: Any) -> bool:
        """Run a callback; an error in it is reported. True when there was none."""
        try:
            await settle(callback(*args))
        except Exception as exc:
            self._session._user_error(exc, f"While firing {getattr(callback, '__name__', callback)}")
            return False
        return True

    async def notify(self, event: str, handler: Any, args: Any, kwargs: Any) -> bool:
        """The same for a listener of ``event``."""
        try:
            await settle(handler(*args, **kwargs))
        except Exception as exc:
            self._session._user_error(exc, f"While notifying '{event}'")
            return False
        return True


def session_details(realm: str | None, welcome: message.Welcome, transport: Any) -> SessionDetails:
    """What WELCOME and the transport say of the session."""
    d = welcome.details
    return SessionDetails(
        realm=realm,
        session=welcome.session,
        authid=d.get("authid"),
        authrole=d.get("authrole"),
        authmethod=d.get("authmethod"),
        authprovider=d.get("authprovider"),
        authextra=d.get("authextra"),
        serializer=getattr(transport, "serializer_id", None),
        transport=transport.transport_details,
        resumed=False,
        resumable=False,
    )

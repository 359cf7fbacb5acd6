"""A router of one's own words: a session on a transport that records what is sent and plays what it is told."""

from __future__ import annotations

import asyncio

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.wamp import message as m
from autobahn.wamp.exception import ProtocolError, TransportLost
from autobahn.wamp.types import ComponentConfig, TransportDetails

ROLES = {"broker": {"features": {}}, "dealer": {"features": {"call_canceling": True}}}


class ScriptedTransport:
    """Records messages in ``sent``; ``play`` hands messages to the session as a link does."""

    codec = None
    serializer_id = None

    def __init__(self, session) -> None:
        self.session = session
        self.sent: list = []
        self.open = True
        self.transport_details = TransportDetails()

    def send(self, msg) -> None:
        if not self.open:
            raise TransportLost("closed")
        self.sent.append(msg)

    def isOpen(self) -> bool:
        return self.open

    def close(self, was_clean: bool = True) -> None:
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.session.onClose, was_clean)

    abort = close

    def play(self, *messages) -> None:
        for msg in messages:
            try:
                self.session.onMessage(msg)
            except ProtocolError as exc:
                self.session.onProtocolError(exc)
                self.close()

    def take(self):
        """What was sent since the last time, as rows."""
        rows = [msg.row() for msg in self.sent]
        self.sent.clear()
        return rows


class RecordingSession(ApplicationSession):
    """Notes its callbacks and user errors."""

    def __init__(self, config=None, **kwargs) -> None:
        super().__init__(config or ComponentConfig("realm1"), **kwargs)
        self.trace: list = []
        self.errors: list = []

    def onJoin(self, details):
        self.trace.append(("join", details.session))

    def onLeave(self, details):
        self.trace.append(("leave", details.reason))
        self.disconnect()

    def onDisconnect(self):
        self.trace.append(("disconnect",))

    def onUserError(self, fail, msg):
        self.errors.append((type(fail.value), msg))


async def settle(turns: int = 8) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def opened(session):
    """The session on an open transport, HELLO sent."""
    session._runtime = AsyncioRuntime()
    transport = ScriptedTransport(session)
    session.onOpen(transport)
    await settle()
    return transport


async def joined(session=None, roles=ROLES, session_id=7):
    """A joined session and its transport, with nothing in ``sent``."""
    session = session if session is not None else RecordingSession()
    transport = await opened(session)
    transport.play(m.Welcome(session_id, {"roles": roles, "authid": "joe"}))
    await settle()
    transport.take()
    return session, transport


async def registered(session, transport, endpoint, uri="com.a", registration=11, **kwargs):
    future = session.register(endpoint, uri, **kwargs)
    request = transport.take()[-1][1]
    transport.play(m.Registered(request, registration))
    return await future


async def subscribed(session, transport, handler, uri="com.t", subscription=21, **kwargs):
    future = session.subscribe(handler, uri, **kwargs)
    request = transport.take()[-1][1]
    transport.play(m.Subscribed(request, subscription))
    return await future


async def arrived(transport, count):
    """What was sent, once it is ``count`` messages; for endpoints with threads."""
    async with asyncio.timeout(10):
        while len(transport.sent) < count:
            await asyncio.sleep(0.001)
    return transport.take()

"""The edges of a session's life: a link that goes at the wrong moment, and leaving what was never joined."""

import asyncio
import logging

import pytest

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.wamp import message as m
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.types import ComponentConfig
from scripted import RecordingSession, ScriptedTransport, joined, opened, settle


class Vanishing(ScriptedTransport):
    """Looks open until the first message is sent, as a link does whose other end has just gone."""

    def send(self, msg):
        self.close(was_clean=False)
        super().send(msg)


class Prepared:
    name = "ticket"
    authextra = None

    async def prepare(self, session):
        await asyncio.sleep(0)


class Recording(RecordingSession, Session):
    """Of the newer kind."""


def with_authenticator():
    session = Recording()
    session.add_authenticator(Prepared())
    return session


def with_own_on_connect():
    class Own(RecordingSession):
        async def onConnect(self):
            await asyncio.sleep(0)
            self.join("realm1")

    return Own()


@pytest.mark.parametrize("make", [RecordingSession, Recording, with_authenticator, with_own_on_connect])
async def test_a_link_that_goes_before_hello_is_nobodys_error(make, caplog):
    session = make()
    session._runtime = AsyncioRuntime()
    transport = Vanishing(session)
    session.onOpen(transport)
    await settle()
    assert session.errors == [] and caplog.records == []
    assert session.trace[-1] == ("disconnect",) and not session.is_connected()


async def test_a_link_that_goes_before_authenticate_is_nobodys_error(caplog):
    class Asked(RecordingSession):
        def onChallenge(self, challenge):
            transport.__class__ = Vanishing
            return "secret"

    session = Asked()
    transport = await opened(session)
    transport.play(m.Challenge("ticket", {}))
    await settle()
    assert session.errors == [] and caplog.records == []
    assert session.trace == [("leave", "wamp.close.transport_lost"), ("disconnect",)]


async def test_a_lost_link_of_somebody_else_is_an_error_of_on_connect():
    class Own(RecordingSession):
        def onConnect(self):
            raise TransportLost("of another session")

    session = Own()
    await opened(session)
    assert session.errors == [(TransportLost, "While firing onConnect")] and session.trace == [("disconnect",)]


def left(session, caplog, text):
    """``leave`` has nothing to do, and says so."""
    caplog.set_level(logging.WARNING, "autobahn")
    before = len(caplog.records)
    assert session.leave() is None
    (record,) = caplog.records[before:]
    assert record.levelno == logging.WARNING and text in record.getMessage()


@pytest.mark.parametrize("cls", [ApplicationSession, Session])
async def test_leave_gives_none_where_nothing_is_joined(cls, caplog):
    session = cls(ComponentConfig("realm1"))
    left(session, caplog, "got one in state CLOSED")
    transport = await opened(session)
    assert [row[0] for row in transport.take()] == [1]
    left(session, caplog, "got one in state ESTABLISHING")
    assert transport.take() == []
    transport.play(m.Welcome(7, {"roles": {"dealer": {}}}))
    await settle()
    future = session.leave()
    assert transport.take() == [[6, {}, "wamp.close.normal"]]
    assert session.leave() is future and transport.take() == []
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    left(session, caplog, "got one in state CLOSED")
    await future
    left(session, caplog, "got one in state CLOSED")


async def test_a_future_of_leave_waits_for_the_transport():
    session, transport = await joined()
    future = session.leave()
    await settle()
    assert not future.done()
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await future
    assert not transport.open and session.trace[-1] == ("disconnect",)


async def test_whoever_gives_up_waiting_for_the_end_does_so_for_himself():
    session, transport = await joined()
    waiting = [asyncio.ensure_future(session.wait_disconnected()) for _ in range(2)]
    await settle()
    waiting[0].cancel()
    session.leave().cancel()
    future = session.leave()
    await settle()
    assert waiting[0].cancelled() and not waiting[1].done() and not future.done()
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await future
    await waiting[1]
    await session.wait_disconnected()
    assert not session._waiters

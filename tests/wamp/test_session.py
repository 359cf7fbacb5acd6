"""The client session against a scripted router: lifecycle, violations, errors."""

import asyncio
import logging

import pytest

from autobahn.asyncio.wamp import ApplicationSession, Session
from autobahn.wamp import (
    ApplicationError,
    ComponentConfig,
    TransportLost,
)
from autobahn.wamp import message as m
from autobahn.wamp import session as session_module
from autobahn.wamp.types import PublishOptions
from scripted import RecordingSession, joined, opened, settle, subscribed

# ---- lifecycle -------------------------------------------------------------------------------------------


async def test_T_SES_1_client_joins_and_leaves_in_order():
    session = RecordingSession(ComponentConfig("com.realm"))
    seen = []
    for event in ("connect", "join", "ready", "leave", "disconnect"):
        session.on(event, lambda *a, _event=event, **k: seen.append(_event))
    transport = await opened(session)
    (hello,) = transport.take()
    assert hello[:2] == [1, "com.realm"]
    assert set(hello[2]["roles"]) == {"publisher", "subscriber", "caller", "callee"}
    assert session.session_id is None and not session.is_attached()
    transport.play(m.Welcome(99, {"roles": {"broker": {}}, "authid": "joe", "authrole": "user"}))
    await settle()
    assert (session.session_id, session.authid, session.authrole, session.realm) == (
        99,
        "joe",
        "user",
        "com.realm",
    )
    future = session.leave()
    assert transport.take() == [[6, {}, "wamp.close.normal"]]
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await future
    assert session.trace == [("join", 99), ("leave", "wamp.close.goodbye_and_out"), ("disconnect",)]
    assert seen == ["connect", "join", "ready", "leave", "disconnect"]
    assert session.session_id is None and session.session_details.session == 99
    assert transport.take() == [] and session.errors == []


async def test_T_SES_1_router_closes_and_gets_its_answer():
    session, transport = await joined()
    transport.play(m.Goodbye({"message": "maintenance"}, "wamp.close.system_shutdown"))
    await settle()
    assert transport.take() == [[6, {}, "wamp.close.goodbye_and_out"]]
    assert session.trace[1:] == [("leave", "wamp.close.system_shutdown"), ("disconnect",)]


async def test_T_SES_2_abort_of_the_router_ends_the_joining():
    session = RecordingSession()
    transport = await opened(session)
    transport.play(m.Abort({"message": "no"}, "wamp.error.no_such_realm"))
    await settle()
    assert session.trace == [("leave", "wamp.error.no_such_realm"), ("disconnect",)]


async def test_T_SES_6_T_ID_2_several_sessions_on_one_transport_with_ids_from_one():
    class Series(RecordingSession):
        def onLeave(self, details):
            self.trace.append(("leave", details.reason))
            if len(self.trace) < 4:
                self.join("com.second")

    session, transport = await joined(Series())
    session.publish("com.t", 1)
    session.leave()
    transport.take()
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await settle()
    assert transport.take()[0][:2] == [1, "com.second"]
    transport.play(m.Welcome(8, {"roles": {"broker": {}}}))
    await settle()
    session.publish("com.t", 2)
    assert transport.take() == [[16, 1, {}, "com.t", [2]]]  # T-ID-2
    transport.close()
    await settle()
    assert session.trace[-1] == ("disconnect",)


async def test_T_SES_11_both_say_goodbye_at_once():
    session, transport = await joined()
    session.leave()
    transport.play(m.Goodbye({}, "wamp.close.system_shutdown"))
    await settle()
    assert [row[0] for row in transport.take()] == [6]
    assert session.trace[1] == ("leave", "wamp.close.system_shutdown")


async def test_a_goodbye_that_comes_too_late_is_no_violation(monkeypatch):
    monkeypatch.setattr(session_module, "GOODBYE_TIMEOUT", 0.01)
    session, transport = await joined(StaysConnected())
    session.leave()
    transport.take()
    while len(session.trace) < 2:
        await asyncio.sleep(0.001)
    assert session.trace[1][0] == "leave"
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    assert transport.take() == []  # no ABORT
    assert transport.isOpen()
    transport.close()
    await settle()
    assert session.trace[-1] == ("disconnect",)


class StaysConnected(RecordingSession):
    def onLeave(self, details):
        self.trace.append(("leave", details.reason))


async def test_messages_after_our_goodbye_are_ignored():
    session, transport = await joined()
    events = []
    await subscribed(session, transport, events.append)
    session.leave()
    transport.play(m.Event(21, 5, {}, [1]), m.Result(1, {}), m.Goodbye({}, "wamp.close.normal"))
    await settle()
    assert events == [] and session.errors == []


async def test_transport_loss_fails_everything_pending_at_once():
    session, transport = await joined()
    futures = [session.call("com.a"), session.register(print, "com.b"), session.subscribe(print, "com.c"),
               session.publish("com.d", options=PublishOptions(acknowledge=True))]  # fmt: skip
    transport.close(was_clean=False)
    await settle()
    for future in futures:
        with pytest.raises(TransportLost):
            await future
    assert session.trace == [("join", 7), ("leave", "wamp.close.transport_lost"), ("disconnect",)]
    with pytest.raises(TransportLost):
        session.call("com.a")


async def test_leaving_fails_pending_calls_with_the_reason():
    session, transport = await joined()
    future = session.call("com.a")
    transport.play(m.Goodbye({"message": "bye"}, "wamp.close.killed"))
    with pytest.raises(ApplicationError) as caught:
        await future
    assert (caught.value.error, caught.value.args) == ("wamp.close.killed", ("bye",))
    await settle()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_challenge_is_answered(asynchronous):
    class Challenged(RecordingSession):
        def onConnect(self):
            self.join("realm1", ["ticket"], "joe")

        def onChallenge(self, challenge):
            async def later():
                await asyncio.sleep(0)
                return b"secret"

            return later() if asynchronous else "secret"

    session = Challenged()
    transport = await opened(session)
    assert transport.take()[0][2]["authmethods"] == ["ticket"]
    transport.play(m.Challenge("ticket", {}))
    await settle()
    assert transport.take() == [[5, "secret", {}]]
    transport.close()
    await settle()


async def test_a_challenge_that_cannot_be_answered_aborts_the_joining():
    session = RecordingSession()
    transport = await opened(session)
    transport.take()
    transport.play(m.Challenge("ticket", {}))
    await settle()
    assert [row[0::2] for row in transport.take()] == [[3, "wamp.error.cannot_authenticate"]]
    assert session.trace == [("leave", "wamp.error.cannot_authenticate"), ("disconnect",)]
    assert session.errors == [(RuntimeError, "Authentication failed")]


async def test_onWelcome_reads_the_welcome_as_documented():
    class Reading(RecordingSession):
        def onWelcome(self, welcome):
            names = [
                "session",
                "realm",
                "authid",
                "authrole",
                "authmethod",
                "authprovider",
                "authextra",
                "resumed",
                "resumable",
                "resume_token",
            ]
            seen.extend([getattr(welcome, name) for name in names])
            seen.extend([welcome.roles, welcome.custom])

    seen = []
    session = Reading()
    transport = await opened(session)
    transport.take()
    who = {"authid": "joe", "authrole": "user", "authmethod": "scram", "authprovider": "static", "authextra": {"a": 1}}
    details = {"roles": {"broker": {}}, "realm": "realm1", **who, "x_cb_node": "n1", "other": 1}
    transport.play(m.Welcome(3, details))
    await settle()
    assert seen == [3, "realm1", *who.values(), None, None, None, {"broker": {}}, {"x_cb_node": "n1"}]
    assert session.is_attached()


async def test_onWelcome_can_refuse_the_session():
    class Refusing(RecordingSession):
        def onWelcome(self, welcome):
            return "not you"

    session = Refusing()
    transport = await opened(session)
    transport.take()
    transport.play(m.Welcome(3, {"roles": {"broker": {}}}))
    await settle()
    assert transport.take() == [[3, {"message": "not you"}, "wamp.error.cannot_authenticate"]]
    assert session.trace == [("leave", "wamp.error.cannot_authenticate"), ("disconnect",)]


async def test_a_failing_join_listener_is_reported_once_and_onJoin_is_skipped():
    session = RecordingSession()
    session.on("join", lambda *_: 1 / 0)
    await joined(session)
    assert session.errors == [(ZeroDivisionError, "While notifying 'join'")]
    assert session.trace == [] and session.is_attached()
    session.disconnect()
    await settle()


async def test_a_join_listener_that_runs_for_long_does_not_hold_back_the_end():
    session = RecordingSession()
    release = asyncio.Event()
    session.on("join", lambda *_: release.wait())
    _, transport = await joined(session)
    transport.close()
    await settle()
    assert session.trace == [("leave", "wamp.close.transport_lost"), ("disconnect",)]
    release.set()
    await settle()


async def test_an_onConnect_that_still_waits_is_cancelled_when_the_transport_goes():
    class Waiting(RecordingSession):
        async def onConnect(self):
            await asyncio.Event().wait()

    session = Waiting()
    transport = await opened(session)
    transport.close()
    await settle()
    assert session.trace == [("disconnect",)] and session.errors == []


async def test_errors_of_callbacks_are_logged_with_their_traceback(caplog):
    class Broken(ApplicationSession):
        def onJoin(self, details):
            raise ValueError("my mistake")

    with caplog.at_level(logging.ERROR, "autobahn"):
        session, transport = await joined(Broken(ComponentConfig("realm1")))
    (record,) = caplog.records
    assert "onJoin" in record.getMessage() and record.exc_info[0] is ValueError
    assert session.is_attached()
    transport.close()
    await settle()


def test_unknown_event_names_are_refused():
    with pytest.raises(RuntimeError, match="connect, disconnect, join, leave, ready, got 'joined'"):
        ApplicationSession().on("joined", print)


# ---- protocol violations of the router -------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        m.Welcome(5, {"roles": {"broker": {}}}),
        m.Result(9, {}),
        m.Error(48, 9, {}, "com.e"),
        m.Event(77, 1, {}),
        m.Invocation(1, 77, {}),
        m.Subscribed(9, 1),
        m.Hello("realm1", {}),
    ],
    ids=lambda msg: type(msg).__name__,
)
async def test_T_PV_9_T_PV_10_the_client_answers_a_violation_with_abort(bad):
    session, transport = await joined()
    transport.play(bad)
    await settle()
    (row,) = transport.take()
    assert row[0] == 3 and row[2] == "wamp.error.protocol_violation"
    assert session.trace[1:] == [("leave", "wamp.error.protocol_violation"), ("disconnect",)]
    assert not transport.open


@pytest.mark.parametrize(
    "bad",
    [m.Challenge("ticket", {}), m.Yield(1, {}), m.Call(1, {}, "com.a"), m.Authenticate("x", {}), m.Cancel(1, {})],
    ids=lambda msg: type(msg).__name__,
)
async def test_T_PV_1_what_a_router_never_sends_to_a_joined_session(bad):
    session, transport = await joined()
    transport.play(bad)
    await settle()
    assert [row[0::2] for row in transport.take()] == [[3, "wamp.error.protocol_violation"]] and not transport.open
    assert session.trace[1:] == [("leave", "wamp.error.protocol_violation"), ("disconnect",)]


@pytest.mark.parametrize(
    "bad",
    [m.Goodbye({}, "wamp.close.normal"), m.Error(48, 1, {}, "com.e"), m.Subscribed(1, 1), m.Unsubscribed(1),
     m.Published(1, 1), m.Registered(1, 1), m.Unregistered(1), m.Invocation(1, 1, {}), m.Interrupt(1, {}),
     m.Event(1, 1, {})],
    ids=lambda msg: type(msg).__name__,
)  # fmt: skip
async def test_T_PV_3_before_welcome_only_the_answers_to_hello_may_come(bad):
    session = RecordingSession()
    transport = await opened(session)
    transport.take()
    transport.play(bad)
    await settle()
    assert [row[0::2] for row in transport.take()] == [[3, "wamp.error.protocol_violation"]] and not transport.open
    assert session.trace == [("leave", "wamp.error.protocol_violation"), ("disconnect",)]


@pytest.mark.parametrize(
    "bad",
    [m.Error(68, 1, {}, "com.e"), m.Error(16, 1, {}, "com.e"), m.Error(49, 1, {}, "com.e"), m.Subscribed(1, 5),
     m.Registered(1, 5), m.Published(1, 5), m.Unregistered(1), m.Unsubscribed(1), m.Result(2, {"progress": True})],
    ids=str,
)  # fmt: skip
async def test_T_PV_4_T_PV_9_an_answer_to_another_kind_of_request(bad):
    """The call fails with the session, and the router learns why."""
    session, transport = await joined()
    future = session.call("com.a")
    transport.take()
    transport.play(bad)
    await settle()
    assert [row[0::2] for row in transport.take()] == [[3, "wamp.error.protocol_violation"]] and not transport.open
    with pytest.raises(ApplicationError, match="protocol_violation"):
        await future


async def test_T_PV_result_before_welcome_is_a_violation():
    session = RecordingSession()
    transport = await opened(session)
    transport.take()
    transport.play(m.Result(1, {}))
    await settle()
    assert transport.take()[0][2] == "wamp.error.protocol_violation"


async def test_answers_to_given_up_requests_are_dropped():
    session, transport = await joined()
    future = session.call("com.a")
    future.cancel()
    assert [row[0] for row in transport.take()] == [48, 49]
    transport.play(m.Error(48, 1, {}, "wamp.error.canceled"), m.Result(1, {}, [1]))
    assert session.is_attached()
    transport.close()
    await settle()


# ---- Session (the newer class) ---------------------------------------------------------------------------


async def test_session_callbacks_in_snake_case():
    calls = []

    class Mine(Session):
        async def on_join(self, details):
            calls.append("join")

        async def on_leave(self, details):
            calls.append("leave")
            self.disconnect()

        def on_disconnect(self):
            calls.append("disconnect")

        def on_welcome(self, welcome_msg):
            calls.append("welcome")

    _, transport = await joined(Mine(ComponentConfig("realm1")))
    transport.play(m.Goodbye({}, "wamp.close.normal"))
    await settle()
    assert calls == ["welcome", "join", "leave", "disconnect"]

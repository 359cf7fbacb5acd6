"""T-PV-1 to 11, one test per row: whoever breaks the protocol gets ABORT, its transport is closed, and nothing of its
session is left. At the router over a real WebSocket, at the client on a link that is played by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

import autobahn
from autobahn.asyncio.router import Router
from autobahn.router import RealmOptions
from autobahn.router.settings import ListenerSettings
from autobahn.wamp import ApplicationError
from autobahn.wamp import message as m
from scripted import joined, registered, settle, subscribed

VIOLATION = "wamp.error.protocol_violation"
HELLO = [1, "realm1", {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}]


class Offender:
    """A client that writes its rows by hand, and a well-behaved one that looks at what the router does about it."""

    def __init__(self, router, ws, observer):
        self.core, self.ws, self.observer = router.core, ws, observer

    async def say(self, *rows):
        for row in rows:
            await self.ws.send(row if isinstance(row, str | bytes) else json.dumps(row))

    async def hears(self, code):
        row = json.loads(await self.ws.recv())
        assert row[0] == code, row
        return row

    async def is_punished(self, *rows):
        """After ``rows`` there is ABORT and no more, then the transport closes, and no book knows the client."""
        await self.say(*rows)
        abort = await self.hears(3)
        assert abort[2] == VIOLATION
        assert abort[1]["message"]
        async with asyncio.timeout(5):
            await self.ws.wait_closed()
        assert self.ws.close_code == 1002
        assert await self.observer.call("wamp.session.count") == 1
        assert len(self.core.links) == 1
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await self.observer.call("com.offender")
        assert await self.observer.call("wamp.subscription.match", "com.offended") is None


@contextlib.asynccontextmanager
async def offender(says_hello=True, **options):
    """An `Offender`; one that said HELLO has registered com.offender and subscribed to com.offended."""
    async with (
        Router("ws://127.0.0.1:0/ws", realm_options=RealmOptions(**options)) as router,
        autobahn.connect(router.url, realm="realm1") as observer,
        autobahn.connect(router.url, subprotocols=["wamp.2.json"]) as ws,
    ):
        one = Offender(router, ws, observer)
        if says_hello:
            await one.say(HELLO, [64, 1, {}, "com.offender"], [32, 2, {}, "com.offended"])
            for code in (2, 65, 33):
                await one.hears(code)
        yield one


async def test_T_PV_2_hello_after_established(loop_name):
    async with offender() as one:
        await one.is_punished(HELLO)


@pytest.mark.parametrize(
    "row",
    [
        [6, {}, "wamp.close.normal"],
        [8, 68, 1, {}, "com.e"],
        [33, 1, 1],
        [35, 1],
        [17, 1, 1],
        [50, 1, {}],
        [65, 1, 1],
        [67, 1],
        [68, 1, 1, {}],
        [70, 1, {}],
        [48, 1, {}, "com.p"],
    ],
    ids=lambda row: str(row[0]),
)
async def test_T_PV_3_before_established(row):
    async with offender(says_hello=False) as one:
        await one.is_punished(row)


@pytest.mark.parametrize("kind", [0, 16, 32, 34, 48, 64, 66, 70])
async def test_T_PV_4_error_for_what_nobody_answers_with_error(kind):
    async with offender() as one:
        call = one.observer.call("com.offender")
        request = (await one.hears(68))[1]
        await one.is_punished([8, kind, request, {}, "com.e"])
        with pytest.raises(ApplicationError, match="canceled"):
            await call


@pytest.mark.parametrize("answer", [lambda n: [70, n, {}], lambda n: [8, 68, n, {}, "com.e"]], ids=["yield", "error"])
async def test_T_PV_5_answer_to_an_invocation_that_never_was(answer):
    async with offender() as one:
        call = one.observer.call("com.offender")
        request = (await one.hears(68))[1]
        await one.say(answer(request), answer(request))  # the second one comes late: dropped
        with contextlib.suppress(ApplicationError):
            await call
        await one.is_punished(answer(request + 1))


async def test_T_PV_6_answer_to_the_invocation_of_somebody_else():
    async with offender() as one:
        release = asyncio.Event()
        await one.observer.register(release.wait, "com.theirs")
        call = one.observer.call("com.theirs")
        await one.observer.call("wamp.session.count")  # INVOCATION 1 of the observer is under way
        await one.is_punished([70, 1, {}, ["stolen"]])
        release.set()
        assert await call is True  # what its own callee says


@pytest.mark.parametrize("number", [2, 4, 99])
async def test_T_PV_7_request_id_out_of_sequence(number):
    async with offender(strict_request_ids=True) as one:
        await one.is_punished([48, number, {}, "com.p"])
    async with offender() as one:  # by default only the id of a request in flight is a violation
        await one.say([48, number, {}, "com.p"])
        assert (await one.hears(8))[4] == "wamp.error.no_such_procedure"


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '"x"', "5", "[999]", "[16]", '["16"]', '[16.5,3,{},"com.t"]', "[16,3,{},5]", '[16,3,[],"com.t"]',
     '[16,0,{},"com.t"]', '[16,true,{},"com.t"]', '[16,3,{"acknowledge":1},"com.t"]', "nonsense", "", b"\x00"],
    ids=ascii,
)  # fmt: skip
async def test_T_PV_8_what_cannot_be_understood(text):
    async with offender() as one:
        await one.is_punished(text)


@pytest.mark.parametrize(
    "row",
    [
        [48, 3, {"progress": True}, "com.offender"],
        [48, 3, {"ppt_scheme": "x_own"}, "com.offender"],
        [16, 3, {"ppt_scheme": "x_own"}, "com.offended"],
    ],
    ids=str,
)
async def test_T_PV_11_features_that_were_not_announced(row):
    async with offender() as one:
        await one.is_punished(row)


# ---- the client's rows: what a router must not send ------------------------------------------------------------------


async def assert_client_ends(violation):
    """A client with a registration and a subscription hears ``violation``, which ends its session."""
    session, transport = await joined()
    registration = await registered(session, transport, lambda: 1)
    subscription = await subscribed(session, transport, lambda: None)
    transport.play(violation)
    await settle()
    assert [row[0::2] for row in transport.take()] == [[3, VIOLATION]]
    assert not transport.open
    assert session.trace[1:] == [("leave", VIOLATION), ("disconnect",)]
    assert not registration.active
    assert not subscription.active


@pytest.mark.parametrize(
    "message", [m.Welcome(8, {"roles": {}}), m.Challenge("ticket", {})], ids=["welcome", "challenge"]
)
async def test_T_PV_1_opening_messages_after_established(message):
    await assert_client_ends(message)


@pytest.mark.parametrize(
    "message",
    [m.Result(77, {}), m.Error(48, 77, {}, "com.e"), m.Subscribed(77, 1), m.Registered(77, 1), m.Published(77, 1)],
    ids=lambda message: type(message).__name__,
)
async def test_T_PV_9_answers_to_requests_that_never_were(message):
    await assert_client_ends(message)


async def test_T_PV_10_event_of_a_subscription_that_never_was():
    await assert_client_ends(m.Event(77, 1, {}))


# ---- T-WS-6 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_fragmented", [False, True])
async def test_T_WS_6_a_message_above_the_limit(is_fragmented, loop_name):
    """As long as the limit passes, one octet more is answered by 1009, and nothing of the session is left."""
    limit = 2000
    async with (
        Router(ListenerSettings(url="ws://127.0.0.1:0/ws", max_message_size=limit)) as router,
        autobahn.connect(router.url, realm="realm1") as observer,
        autobahn.connect(router.url, subprotocols=["wamp.2.json"]) as ws,
    ):
        one = Offender(router, ws, observer)
        await one.say(HELLO, [64, 1, {}, "com.offender"])
        for code in (2, 65):
            await one.hears(code)
        row = json.dumps([48, 2, {}, "com.nobody", [""]])
        text = row[:-3] + "x" * (limit - len(row)) + row[-3:]
        await one.say(text)
        assert (await one.hears(8))[4] == "wamp.error.no_such_procedure"
        text = text[:-3] + "x" + text[-3:]
        if is_fragmented:
            ws.protocol.beginMessage(isBinary=False)
            for at in range(0, len(text), 100):
                ws.protocol.sendMessageFrame(text[at : at + 100].encode())
            ws.protocol.endMessage()
        else:
            await one.say(text)
        await ws.wait_closed()
        assert ws.close_code == 1009
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await observer.call("com.offender")
        assert await observer.call("wamp.session.count") == 1

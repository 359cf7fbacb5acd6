"""How a call ends before its result: timeouts, cancelling, leaving; and what a router without features sees of it."""

import asyncio

import pytest

from autobahn.wamp import ApplicationError, CallOptions, SessionNotReady, TransportLost
from autobahn.wamp import message as m
from autobahn.wamp.types import CallResult, PublishOptions, RegisterOptions
from scripted import RecordingSession, joined, opened, registered, settle

BASIC = {"broker": {}, "dealer": {}}


@pytest.mark.parametrize("mode", [None, "skip", "kill", "killnowait"])
async def test_T_CAN_a_cancelled_await_sends_cancel_with_its_mode(mode):
    session, transport = await joined()
    task = asyncio.ensure_future(session.call("com.a", options=CallOptions(cancel_mode=mode)))
    await settle()
    assert transport.take() == [[48, 1, {}, "com.a"]]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert transport.take() == [[49, 1, {} if mode is None else {"mode": mode}]]
    transport.play(m.Error(48, 1, {}, "wamp.error.canceled"), m.Result(1, {}, [1]))  # whatever was under way
    assert session.is_attached() and len(session._requests) == 0
    transport.close()
    await settle()


@pytest.mark.parametrize(
    "roles",
    [BASIC, {"broker": {}, "dealer": None}, {"dealer": {"features": None}}, {"dealer": {"features": {}}}],
    ids=["basic", "none", "features-none", "features-empty"],
)
async def test_T_FEAT_2_no_cancel_is_sent_to_a_router_that_has_not_announced_it(roles):
    session, transport = await joined(roles=roles)
    future = session.call("com.a", options=CallOptions(cancel_mode="kill"))
    slow = session.call("com.a", options=CallOptions(timeout=0.001))
    transport.take()
    future.cancel()
    with pytest.raises(ApplicationError, match="timeout"):
        await slow
    assert transport.take() == [] and len(session._requests) == 0
    transport.play(m.Result(1, {}, [1]), m.Result(2, {"progress": True}, [1]), m.Result(2, {}))
    assert session.is_attached()
    transport.close()
    await settle()


async def test_both_spellings_of_canceling_are_understood():
    session, transport = await joined(roles={"dealer": {"features": {"call_cancelling": True}}})
    session.call("com.a").cancel()
    assert [row[0] for row in transport.take()] == [48, 49]
    transport.close()
    await settle()


async def test_T_CAN_6_cancelling_twice_or_after_the_result_sends_nothing_more():
    session, transport = await joined()
    first, second = session.call("com.a"), session.call("com.a")
    transport.play(m.Result(1, {}, [1]))
    assert await first == 1
    assert first.cancel() is False
    second.cancel()
    second.cancel()
    assert [row[:2] for row in transport.take()] == [[48, 1], [48, 2], [49, 2]]
    transport.close()
    await settle()


async def test_the_mode_is_that_of_a_timeout_too_and_each_progressive_result_starts_the_time_anew():  # T-PCR-5
    session, transport = await joined()
    loop = asyncio.get_running_loop()
    seen = []
    options = CallOptions(on_progress=seen.append, timeout=0.06, cancel_mode="kill")
    future = session.call("com.a", options=options)
    assert transport.take()[0][2] == {"timeout": 60, "receive_progress": True}
    started = loop.time()
    for n in range(3):
        await asyncio.wait([future], timeout=0.03)
        transport.play(m.Result(1, {"progress": True}, [n]))
    last = loop.time()
    with pytest.raises(ApplicationError) as caught:
        await future
    assert caught.value.error == "wamp.error.timeout" and seen == [0, 1, 2]
    assert loop.time() - last >= 0.055 and loop.time() - started >= 0.14
    assert transport.take() == [[49, 1, {"mode": "kill"}]]
    transport.close()
    await settle()


async def test_a_result_stops_the_timer():
    session, transport = await joined()
    future = session.call("com.a", options=CallOptions(timeout=60))
    (request,) = session._requests._open.values()
    transport.play(m.Result(1, {}))
    assert await future is None and request.timer.cancelled()
    transport.close()
    await settle()


async def test_leaving_fails_everything_pending_at_once():
    session, transport = await joined()
    futures = [session.call("com.a"), session.register(print, "com.b"), session.subscribe(print, "com.c"),
               session.publish("com.d", options=PublishOptions(acknowledge=True))]  # fmt: skip
    stream = session.call_stream("com.e")
    session.leave("com.reason", "enough")
    assert all(future.done() for future in futures)
    errors = [future.exception() for future in futures]
    assert {(type(exc), exc.error, exc.args) for exc in errors} == {(ApplicationError, "com.reason", ("enough",))}
    assert len(set(map(id, errors))) == 4  # one traceback is not shared by four waiters
    with pytest.raises(ApplicationError, match=r"com\.reason"):
        await anext(stream)
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await settle()
    assert len(session._requests) == 0 and session.errors == []


async def test_the_loss_of_the_transport_fails_streams_and_what_is_not_sent_yet():
    session, transport = await joined(roles={"dealer": {"features": {"progressive_call_invocations": True}}})
    ended = []

    async def never():
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.append(True)

    stream, unsent = session.call_stream("com.a"), session.call("com.b", never())
    await settle()
    transport.close(was_clean=False)
    with pytest.raises(TransportLost):
        await anext(stream)
    with pytest.raises(TransportLost):
        await unsent
    await settle()
    assert ended == [True] and not session._caller._unsent and session.errors == []


async def test_calls_between_sessions_are_refused_where_they_are_made():
    class Staying(RecordingSession):
        def onLeave(self, details):
            self.trace.append(("leave", details.reason))

    session = Staying()
    transport = await opened(session)
    for action in (lambda: session.call("com.a"), lambda: session.register(print, "com.a")):
        with pytest.raises(SessionNotReady, match="ESTABLISHING"):
            action()
    transport.play(m.Welcome(1, {"roles": BASIC}))
    await settle()
    session.leave()
    with pytest.raises(SessionNotReady, match="SHUTTING_DOWN"):
        session.call("com.a")
    transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    await settle()
    with pytest.raises(SessionNotReady, match="CLOSED"):
        session.call_stream("com.a")
    transport.close()
    await settle()
    with pytest.raises(TransportLost):
        session.call("com.a")


async def test_several_sessions_on_one_transport_keep_their_books_apart():
    """An endpoint of the first session that ends late answers nothing in the second, although ids begin anew."""

    class Again(RecordingSession):
        def onLeave(self, details):
            self.trace.append(("leave", details.reason))
            self.join("realm1")

    session, transport = await joined(Again())
    release, late = asyncio.Event(), []

    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
            late.append(True)
            return "of the first session"

    registration = await registered(session, transport, stubborn)
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    for number in (1, 2, 3):
        pending = session.call("com.pending")
        session.leave()
        with pytest.raises(ApplicationError):
            await pending
        transport.take()
        transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
        await settle()
        assert [row[0] for row in transport.take()] == [1]  # HELLO
        transport.play(m.Welcome(100 + number, {"roles": BASIC}))
        await settle()
        assert session.session_id == 100 + number and not registration.active
        registration = await registered(session, transport, lambda: asyncio.Event().wait(), "com.a", 11)
        transport.play(m.Invocation(1, 11, {}))
        release.set()
        await settle()
        assert late == [True] and transport.take() == []
        answered = session.call("com.a")
        assert transport.take() == [[48, 2, {}, "com.a"]]  # after REGISTER, counted from 1 again: T-ID-2
        transport.play(m.Result(2, {}, [number]))
        assert await answered == number
    session.onLeave = lambda details: None
    transport.close()
    await settle()
    assert session.errors == []


async def test_options_on_the_wire_whole():
    session, transport = await joined()
    hop = {"session": 1, "authid": "a", "authrole": "b"}
    session.call(
        "com.a", 1, x=2,
        options=CallOptions(timeout=1.5, transaction_hash="h", caller=1, caller_authid="a", caller_authrole="b",
                            forward_for=[hop], disclose_me=True, rkey="k", runmode="partition", cancel_mode="kill",
                            correlation_id="local", stream_buffer=5),
    )  # fmt: skip
    assert transport.take() == [[48, 1, {
        "timeout": 1500, "transaction_hash": "h", "caller": 1, "caller_authid": "a", "caller_authrole": "b",
        "forward_for": [hop], "disclose_me": True, "rkey": "k", "runmode": "partition",
    }, "com.a", [1], {"x": 2}]]  # fmt: skip
    transport.close()
    await settle()


@pytest.mark.parametrize(
    ("cls", "kwargs", "text"),
    [
        (CallOptions, {"cancel_mode": "abort"}, "cancel_mode out of skip, kill, killnowait, got 'abort'"),
        (CallOptions, {"rkey": 5}, "rkey of type str, got int"),
        (CallOptions, {"runmode": "all"}, "runmode out of partition, got 'all'"),
        (CallOptions, {"stream_buffer": 0}, "stream_buffer to be a number of results, 1 or more, got 0"),
        (CallOptions, {"stream_buffer": True}, "stream_buffer"),
        (CallOptions, {"transaction_hash": 5}, "transaction_hash of type str, got int"),
        (CallOptions, {"disclose_me": "yes"}, "disclose_me of type bool, got str"),
        (CallOptions, {"forward_for": {}}, "forward_for of type list, got dict"),
        (RegisterOptions, {"match": "glob"}, "match out of exact, prefix, wildcard, got 'glob'"),
        (RegisterOptions, {"invoke": "all"}, "invoke out of single, first, last, roundrobin, random, got 'all'"),
        (RegisterOptions, {"concurrency": 0}, "concurrency of 1 or more, got 0"),
        (RegisterOptions, {"concurrency": 1.0}, "concurrency of type int, got float"),
        (RegisterOptions, {"force_reregister": 1}, "force_reregister of type bool, got int"),
        (RegisterOptions, {"details_arg": "no name"}, "details_arg, got 'no name'"),
        (RegisterOptions, {"details": "x"}, "details of type bool, got str"),
        (RegisterOptions, {"disclose_caller": 0}, "disclose_caller of type bool, got int"),
        (RegisterOptions, {"forward_timeout": 5}, "forward_timeout of type bool, got int"),
        (RegisterOptions, {"blocking": 1}, "blocking of type bool, got int"),
        (RegisterOptions, {"stream": 1}, "stream of type bool, got int"),
        (RegisterOptions, {"stream": True, "blocking": True}, "blocking or stream, got both"),
        (RegisterOptions, {"forward_for": [{"session": 1}]}, "session, authid and authrole"),
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_values_of_options_are_named(cls, kwargs, text):
    with pytest.raises((TypeError, ValueError), match="expected .*" + text.replace("(", r"\(")):
        cls(**kwargs)


def test_register_options_on_the_wire():
    options = RegisterOptions(
        match="prefix", invoke="first", concurrency=2, force_reregister=True, details=True, disclose_caller=False,
        forward_timeout=True, stream=True, correlation_id="x",
    )  # fmt: skip
    assert options.message_attr() == {
        "match": "prefix", "invoke": "first", "concurrency": 2, "force_reregister": True, "disclose_caller": False,
        "forward_timeout": True,
    }  # fmt: skip
    assert "stream=True" in repr(options) and options == options
    assert RegisterOptions(blocking=True).message_attr() == {}


async def test_details_make_every_progressive_result_a_call_result():
    session, transport = await joined()
    seen = []
    future = session.call("com.a", options=CallOptions(on_progress=seen.append, details=True))
    transport.play(
        m.Result(1, {"progress": True, "callee": 5}, [1]),
        m.Result(1, {"progress": True}),
        m.Result(1, {"callee_authid": "joe"}, [2], {"k": 3}),
    )
    result = await future
    assert (result.results, result.kwresults, result.callee_authid) == ((2,), {"k": 3}, "joe")
    assert [(type(one), list(one.results), one.callee) for one in seen] == [
        (CallResult, [1], 5),
        (CallResult, [], None),
    ]
    transport.close()
    await settle()

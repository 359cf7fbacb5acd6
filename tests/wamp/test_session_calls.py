"""The client session against a scripted router: calls, registrations, events."""

import asyncio

import pytest

from autobahn.wamp import ApplicationError, CallResult, error, register, subscribe
from autobahn.wamp import message as m
from autobahn.wamp.exception import InvalidUriError, SerializationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from scripted import joined, registered, settle, subscribed

# ---- calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ([], {}, None),
        ([5], {}, 5),
        ([None], {}, None),
        ([[1, 2]], {}, [1, 2]),
        ([1, 2], {}, CallResult(1, 2)),
        ([], {"a": 1}, CallResult(a=1)),
        ([1], {"a": 1}, CallResult(1, a=1)),
    ],
)
async def test_results(args, kwargs, expected):
    session, transport = await joined()
    future = session.call("com.add", 1, 2, x=3)
    assert transport.take() == [[48, 1, {}, "com.add", [1, 2], {"x": 3}]]
    transport.play(m.Result(1, {}, args, kwargs))
    result = await future
    if isinstance(expected, CallResult):
        assert (list(result.results), result.kwresults) == (list(expected.results), expected.kwresults)
    else:
        assert result == expected
    transport.close()
    await settle()


async def test_details_give_a_call_result_with_the_callee():
    session, transport = await joined()
    future = session.call("com.a", options=CallOptions(details=True))
    transport.play(m.Result(1, {"callee": 5, "callee_authid": "joe"}, [1]))
    result = await future
    assert (list(result.results), result.callee, result.callee_authid) == ([1], 5, "joe")
    transport.close()
    await settle()


async def test_errors_become_exceptions():
    @error("com.error.mine")
    class MineError(Exception):
        pass

    class StrictError(Exception):
        def __init__(self):
            super().__init__()

    session, transport = await joined()
    session.define(MineError)
    session.define(StrictError, "com.error.strict")
    futures = [session.call("com.a") for _ in range(4)]
    transport.play(
        m.Error(48, 1, {}, "com.error.mine", [1, 2]),
        m.Error(48, 2, {"callee": 5}, "com.error.other", ["text"], {"callee": 1, "k": 2}),
        m.Error(48, 3, {}, "com.error.strict", ["too many"]),
        m.Error(48, 4, {}, "wamp.error.invalid_payload", ["bad"]),
    )
    with pytest.raises(MineError) as mine:
        await futures[0]
    assert mine.value.args == (1, 2)
    with pytest.raises(ApplicationError) as other:
        await futures[1]
    assert (other.value.error, other.value.args, other.value.kwargs, other.value.callee) == (
        "com.error.other",
        ("text",),
        {"callee": 1, "k": 2},  # payload, whatever its names
        5,
    )
    with pytest.raises(ApplicationError, match="strict"):
        await futures[2]
    assert session.errors[0][0] is TypeError  # the failed re-construction
    with pytest.raises(SerializationError):
        await futures[3]
    transport.close()
    await settle()


async def test_progressive_results_arrive_before_the_final_one():
    session, transport = await joined()
    seen = []
    future = session.call("com.a", options=CallOptions(on_progress=lambda *a, **k: seen.append((a, k))))
    assert transport.take()[0][2] == {"receive_progress": True}
    transport.play(
        m.Result(1, {"progress": True}, [1]),
        m.Result(1, {"progress": True}, [], {"x": 2}),
        m.Result(1, {}, [3]),
    )
    assert await future == 3
    assert seen == [((1,), {}), ((), {"x": 2})]
    transport.close()
    await settle()


async def test_a_call_times_out_locally_and_is_cancelled_at_the_dealer():
    session, transport = await joined()
    future = session.call("com.slow", options=CallOptions(timeout=0.02))
    assert transport.take()[0][2] == {"timeout": 20}
    with pytest.raises(ApplicationError) as caught:
        await future
    assert caught.value.error == "wamp.error.timeout"
    assert transport.take() == [[49, 1, {}]]
    transport.close()
    await settle()


async def test_cancel_stays_local_when_the_router_cannot_cancel():
    session, transport = await joined(roles={"dealer": {}, "broker": {}})
    future = session.call("com.a")
    transport.take()
    future.cancel()
    assert transport.take() == []
    transport.close()
    await settle()


async def test_misuse_is_refused_at_the_call():
    session, transport = await joined()
    with pytest.raises(InvalidUriError):
        session.call("not a uri")
    with pytest.raises(TypeError, match="expected options of type CallOptions, got PublishOptions"):
        session.call("com.a", options=PublishOptions())
    with pytest.raises(TypeError, match="CallOptions"):
        session.publish("com.a", options=CallOptions())
    with pytest.raises(TypeError, match="RegisterOptions"):
        session.register(print, "com.a", options=CallOptions())
    with pytest.raises(InvalidUriError, match="None"):
        session.register(print)
    with pytest.raises(RuntimeError, match="ESTABLISHED"):
        session.join("realm1")
    assert transport.take() == []
    session.publish("com.t")
    assert transport.take() == [[16, 1, {}, "com.t"]]  # no id was lost
    transport.close()
    await settle()


# ---- serving calls ---------------------------------------------------------------------------------------


async def test_endpoints_plain_and_async():
    session, transport = await joined()

    async def later(x):
        await asyncio.sleep(0)
        return CallResult(x, extra=1)

    await registered(session, transport, lambda x: x * 2, "com.a", 11)
    await registered(session, transport, later, "com.b", 12)
    transport.play(m.Invocation(1, 11, {}, [4]), m.Invocation(2, 12, {}, [5]), m.Invocation(3, 11, {}, [[]]))
    await settle()
    assert transport.take() == [[70, 1, {}, [8]], [70, 3, {}, [[]]], [70, 2, {}, [5], {"extra": 1}]]
    transport.close()
    await settle()


async def test_endpoint_errors_are_answered_and_reported_once():
    @error("com.error.declared")
    class DeclaredError(Exception):
        pass

    class DefinedError(Exception):
        pass

    session, transport = await joined()
    session.define(DefinedError, "com.error.defined")

    def raising(kind):
        raise {"app": ApplicationError("com.error.app", 1, k=2), "declared": DeclaredError("d"),
               "defined": DefinedError("e"), "other": KeyError("f")}[kind]  # fmt: skip

    await registered(session, transport, raising)
    for request, kind in enumerate(("app", "declared", "defined", "other"), 1):
        transport.play(m.Invocation(request, 11, {}, [kind]))
    assert transport.take() == [
        [8, 68, 1, {}, "com.error.app", [1], {"k": 2}],
        [8, 68, 2, {}, "com.error.declared", ["d"]],
        [8, 68, 3, {}, "com.error.defined", ["e"]],
        [8, 68, 4, {}, "wamp.error.runtime_error", ["f"]],
    ]
    assert len(session.errors) == 4
    session.traceback_app = True
    transport.play(m.Invocation(5, 11, {}, ["other"]))
    assert "raising" in transport.take()[0][6]["traceback"]
    transport.close()
    await settle()


async def test_interrupt_cancels_the_endpoint_and_answers():
    session, transport = await joined()
    cancelled = []

    async def endless():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    await registered(session, transport, endless)
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    transport.play(m.Interrupt(1, {"mode": "killnowait"}), m.Interrupt(99, {}))
    await settle()
    assert cancelled == [True]
    assert transport.take()[0][:5] == [8, 68, 1, {}, "wamp.error.canceled"]
    transport.close()
    await settle()


async def test_the_end_of_the_session_cancels_running_endpoints():
    session, transport = await joined()
    ended = asyncio.Event()

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await registered(session, transport, endless)
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    transport.close()
    await ended.wait()
    assert transport.take() == [] and session.errors == []


async def test_call_details_and_progress():
    session, transport = await joined()
    seen = []

    def endpoint(n, details=None):
        seen.append((details.caller, details.procedure, details.progress is not None))
        if details.progress:
            details.progress(1, k=2)
        return n

    await registered(session, transport, endpoint, options=RegisterOptions(details=True))
    transport.play(m.Invocation(1, 11, {"caller": 5}, [3]), m.Invocation(2, 11, {"receive_progress": True}, [4]))
    assert seen == [(5, "com.a", False), (None, "com.a", True)]
    assert transport.take() == [
        [70, 1, {}, [3]],
        [70, 2, {"progress": True}, [1], {"k": 2}],
        [70, 2, {}, [4]],
    ]
    transport.close()
    await settle()


async def test_check_types():
    session, transport = await joined()

    def add(x: int, y: int | float) -> float:
        return x + y

    await registered(session, transport, add, check_types=True)
    transport.play(m.Invocation(1, 11, {}, [1, 2.5]), m.Invocation(2, 11, {}, ["1", 2]))
    rows = transport.take()
    assert rows[0] == [70, 1, {}, [3.5]]
    assert rows[1][4] == "wamp.error.type_check_error" and "x" in rows[1][5][0]
    transport.close()
    await settle()


async def test_objects_with_decorated_methods():
    class Service:
        @register("com.add")
        def add(self, x, y):
            return x + y

        @register(None)
        def named(self):
            return self

        @subscribe("com.topic..x")
        def topic(self, value):
            seen.append(value)

    seen = []
    session, transport = await joined()
    service = Service()
    registrations = session.register(service, prefix="org.")
    rows = transport.take()
    assert sorted(row[3] for row in rows) == ["org.com.add", "org.named"]
    transport.play(m.Registered(rows[0][1], 1), m.Error(64, rows[1][1], {}, "wamp.error.procedure_already_exists"))
    first, second = await registrations
    assert first.procedure == "org.com.add" and isinstance(second, ApplicationError)
    subscriptions = session.subscribe(service)
    (row,) = transport.take()
    assert row[2:] == [{"match": "wildcard"}, "com.topic..x"]
    transport.play(m.Subscribed(row[1], 3))
    assert len(await subscriptions) == 1
    transport.play(m.Event(3, 1, {"topic": "com.topic.y.x"}, [5]), m.Invocation(1, 1, {}, [1, 2]))
    assert seen == [5] and transport.take() == [[70, 1, {}, [3]]]
    transport.close()
    await settle()


async def test_unregister():
    session, transport = await joined()
    registration = await registered(session, transport, lambda: 1)
    future = registration.unregister()
    assert transport.take() == [[66, 2, 11]]
    transport.play(m.Unregistered(2), m.Invocation(1, 11, {}))  # an invocation under way is still served
    assert await future is None and not registration.active
    assert transport.take() == [[70, 1, {}, [1]]]
    with pytest.raises(Exception, match="no longer active"):
        registration.unregister()
    transport.close()
    await settle()


async def test_T_RREV_3_a_revoked_registration_is_inactive():
    session, transport = await joined()
    registration = await registered(session, transport, lambda: 1)
    transport.play(m.Unregistered(0, {"registration": 11}))
    assert not registration.active and session.is_attached()
    transport.close()
    await settle()


# ---- events ----------------------------------------------------------------------------------------------


async def test_publishing():
    session, transport = await joined()
    assert session.publish("com.t", 1, a=2) is None
    future = session.publish("com.t", options=PublishOptions(acknowledge=True, exclude_me=False, eligible=5))
    assert transport.take() == [
        [16, 1, {}, "com.t", [1], {"a": 2}],
        [16, 2, {"acknowledge": True, "exclude_me": False, "eligible": [5]}, "com.t"],
    ]
    transport.play(m.Published(2, 77))
    assert (await future).id == 77
    transport.close()
    await settle()


async def test_T_PS_8_several_handlers_on_one_topic():
    session, transport = await joined()
    seen = []
    first = await subscribed(session, transport, lambda x: seen.append(("a", x)))
    second = await subscribed(session, transport, lambda x: seen.append(("b", x)))
    transport.play(m.Event(21, 1, {}, [1]))
    assert seen == [("a", 1), ("b", 1)]
    assert await first.unsubscribe() == 1
    assert transport.take() == []
    transport.play(m.Event(21, 2, {}, [2]))
    assert seen[2:] == [("b", 2)]
    future = second.unsubscribe()
    assert transport.take() == [[34, 3, 21]]
    transport.play(m.Event(21, 3, {}, [3]), m.Unsubscribed(3), m.Event(21, 4, {}, [4]))  # T-PS-9
    assert await future == 0
    assert seen[3:] == [] and session.is_attached()
    transport.close()
    await settle()


async def test_event_details_and_async_handlers_start_in_order():
    session, transport = await joined()
    seen = []

    async def handler(n, details=None):
        seen.append((n, details.topic, details.publication, details.publisher))
        await asyncio.sleep(0)

    await subscribed(session, transport, handler, options=SubscribeOptions(details=True))
    for n in range(5):
        transport.play(m.Event(21, n + 1, {"publisher": 3}, [n]))
    await settle()
    assert seen == [(n, "com.t", n + 1, 3) for n in range(5)]
    transport.close()
    await settle()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_event_handler_that_raises_is_reported_once_and_the_session_lives_on(asynchronous):
    session, transport = await joined()
    seen = []

    def plain(n):
        seen.append(n)
        raise ValueError(n)

    async def coroutine(n):
        plain(n)

    await subscribed(session, transport, coroutine if asynchronous else plain)
    transport.play(m.Event(21, 1, {}, [1]), m.Event(21, 2, {}, [2]))
    await settle()
    assert seen == [1, 2] and session.is_attached()
    assert [kind for kind, _ in session.errors] == [ValueError, ValueError]
    assert "subscribed under 21." in session.errors[0][1]
    transport.close()
    await settle()


async def test_T_SREV_a_revoked_subscription_is_inactive_and_late_events_are_dropped():
    session, transport = await joined()
    seen = []
    subscription = await subscribed(session, transport, seen.append)
    transport.play(m.Unsubscribed(0, {"subscription": 21}), m.Event(21, 1, {}, [1]))
    assert not subscription.active and seen == [] and session.is_attached()
    transport.close()
    await settle()


async def test_payload_transparency_without_a_codec_is_answered_not_spread():
    session, transport = await joined()
    seen = []
    await registered(session, transport, lambda *a: seen.append(a))
    await subscribed(session, transport, lambda *a: seen.append(a))
    future = session.call("com.b")
    transport.take()
    details = {"enc_algo": "cryptobox"}
    transport.play(m.Invocation(1, 11, details, b"ab"), m.Event(21, 1, details, b"ab"), m.Result(3, details, b"ab"))
    with pytest.raises(ApplicationError, match="no_payload_codec"):
        await future
    assert transport.take()[0][4] == "wamp.error.no_payload_codec"
    assert seen == [] and len(session.errors) == 1 and session.is_attached()
    transport.close()
    await settle()

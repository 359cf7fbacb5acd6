"""What an endpoint may be, and how its invocations are served: against a scripted router."""

import asyncio
import contextvars
import threading

import pytest

from autobahn.wamp import ApplicationError, CallResult, RegisterOptions
from autobahn.wamp import message as m
from autobahn.wamp import serving as serving_module
from autobahn.wamp.exception import SerializationError
from scripted import RecordingSession, arrived, joined, registered, settle

ASKED = {"receive_progress": True}
OPEN = {"progress": True}


async def ended(transport):
    transport.close()
    await settle()


# ---- generators ------------------------------------------------------------------------------------------


async def async_numbers(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def plain_numbers(n):
    yield from range(n)
    return "end"


def silent_numbers(n):
    yield from range(n)


@pytest.mark.parametrize(
    ("endpoint", "final"),
    [(async_numbers, []), (plain_numbers, [["end"]]), (silent_numbers, [])],
    ids=["async", "returning", "plain"],
)
async def test_T_PCR_1_a_generator_yields_progressive_results(endpoint, final):
    session, transport = await joined()
    await registered(session, transport, endpoint)
    for count in (0, 1, 100):
        transport.play(m.Invocation(1, 11, dict(ASKED), [count]))
        await settle(3 * count + 10)
        sent = transport.take()
        assert sent[:-1] == [[70, 1, OPEN, [i]] for i in range(count)]
        assert sent[-1] == [70, 1, {}, *final]
    await ended(transport)


@pytest.mark.parametrize(
    ("endpoint", "result"),
    [(async_numbers, [0, 1, 2]), (plain_numbers, "end"), (silent_numbers, [0, 1, 2])],
    ids=["async", "returning", "plain"],
)
async def test_a_caller_that_did_not_ask_for_progress_gets_one_result(endpoint, result):
    session, transport = await joined()
    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}, [3]))
    await settle(20)
    assert transport.take() == [[70, 1, {}, [result]]]
    await ended(transport)


async def test_what_is_collected_for_one_result_is_bounded(monkeypatch):
    monkeypatch.setattr(serving_module, "MAX_COLLECTED", 5)
    session, transport = await joined()
    closed = []

    async def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    await registered(session, transport, endless)
    transport.play(m.Invocation(1, 11, {}))
    await settle(20)
    assert transport.take()[0][4] == "wamp.error.invalid_argument" and closed == [True]
    await ended(transport)


async def test_several_values_and_an_error_of_a_generator():
    session, transport = await joined()

    async def endpoint():
        yield CallResult(1, 2, k=3)
        yield None
        raise ApplicationError("com.error", "late")

    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, dict(ASKED)))
    await settle(20)
    assert transport.take() == [
        [70, 1, OPEN, [1, 2], {"k": 3}],
        [70, 1, OPEN, [None]],
        [8, 68, 1, {}, "com.error", ["late"]],
    ]
    assert len(session.errors) == 1
    await ended(transport)


@pytest.mark.parametrize("kind", ["async", "plain", "coroutine"])
@pytest.mark.parametrize("end", ["interrupt", "loss", "leave"])
async def test_T_PCR_4_an_interrupted_generator_runs_its_finally(kind, end):
    session, transport = await joined()
    trace = []

    async def async_endpoint():
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            trace.append("finally")

    def plain_endpoint():
        try:
            while True:
                yield 1
        finally:
            trace.append("finally")

    async def coroutine(details):
        try:
            while True:
                details.progress(1)
                await asyncio.sleep(0)
        finally:
            trace.append("finally")

    endpoint = {"async": async_endpoint, "plain": plain_endpoint, "coroutine": coroutine}[kind]
    options = RegisterOptions(details=True) if kind == "coroutine" else None
    await registered(session, transport, endpoint, options=options)
    transport.play(m.Invocation(1, 11, dict(ASKED)))
    await settle()
    assert len(transport.take()) > 1
    if end == "interrupt":
        transport.play(m.Interrupt(1, {"mode": "killnowait"}))
        await settle()
        assert transport.take()[-1][:5] == [8, 68, 1, {}, "wamp.error.canceled"]
    elif end == "leave":
        session.leave()
        assert transport.take()[-1][0] == 6
        await settle()
        assert transport.take() == []  # nothing after GOODBYE
        transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
    else:
        transport.close()
    await settle()
    assert trace == ["finally"] and session.errors == [] and not session._callee._servant._serving
    assert transport.take() == []
    await ended(transport)


# ---- cancelling ------------------------------------------------------------------------------------------


async def test_an_interrupt_in_the_same_read_is_answered_and_nothing_begins():
    session, transport = await joined()
    begun = []

    async def endpoint():
        begun.append(True)

    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}), m.Interrupt(1, {"mode": "kill"}), m.Interrupt(1, {"mode": "kill"}))
    await settle()
    rows = transport.take()
    # with eager tasks (Python 3.12) the endpoint is done before the INTERRUPT is read
    assert rows == [[70, 1, {}, [None]]] if begun else [row[4] for row in rows] == ["wamp.error.canceled"]
    assert not session._callee._servant._serving and session.errors == []
    await ended(transport)


async def test_an_endpoint_may_answer_in_spite_of_its_cancellation():
    session, transport = await joined()

    async def cleanup(how):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            if how == "return":
                return "saved"
            raise {"app": ApplicationError("com.error"), "bug": ValueError("bug")}[how] from None

    await registered(session, transport, cleanup)
    for number, how in enumerate(("return", "app", "bug"), 1):
        transport.play(m.Invocation(number, 11, {}, [how]))
        await settle()
        transport.play(m.Interrupt(number, {"mode": "kill"}), m.Interrupt(number, {"mode": "kill"}))
        await settle()
    sent = transport.take()
    assert sent[0] == [70, 1, {}, ["saved"]]
    assert [row[4] for row in sent[1:]] == ["com.error", "wamp.error.runtime_error"]
    assert [kind for kind, _ in session.errors] == [ApplicationError, ValueError]
    await ended(transport)


async def test_an_endpoint_that_awaits_something_cancelled_is_answered():
    session, transport = await joined()

    async def awaits():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def plain():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        future.result()

    await registered(session, transport, awaits, "com.a", 11)
    await registered(session, transport, plain, "com.b", 12)
    transport.play(m.Invocation(1, 11, {}), m.Invocation(2, 12, {}))
    await settle()
    assert {(row[2], row[4]) for row in transport.take()} == {(1, "wamp.error.canceled"), (2, "wamp.error.canceled")}
    assert session.is_attached()
    await ended(transport)


async def test_progress_after_the_end_of_the_call_is_refused():
    session, transport = await joined()
    kept = []

    def endpoint(details):
        kept.append(details.progress)

    await registered(session, transport, endpoint, options=RegisterOptions(details=True))
    transport.play(m.Invocation(1, 11, dict(ASKED)))
    transport.take()
    with pytest.raises(ApplicationError, match=r"wamp\.error\.canceled"):
        kept[0](1)
    assert transport.take() == []
    await ended(transport)


async def test_errors_that_the_end_of_the_session_causes_are_no_errors_of_the_user():
    session, transport = await joined()

    async def publishes():
        try:
            await asyncio.Event().wait()
        finally:
            session.call("com.a")  # TransportLost

    await registered(session, transport, publishes)
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    transport.close()
    await settle()
    assert session.errors == []


# ---- time ------------------------------------------------------------------------------------------------


async def test_T_TMO_4_a_forwarded_timeout_is_kept_by_the_callee():
    session, transport = await joined()
    seen = []

    async def endpoint(details):
        seen.append(details.timeout)
        await asyncio.Event().wait()

    await registered(session, transport, endpoint, options=RegisterOptions(details=True, forward_timeout=True))
    transport.play(m.Invocation(1, 11, {"timeout": 20}))
    (row,) = await arrived(transport, 1)
    assert row[4] == "wamp.error.timeout" and seen == [0.02] and session.errors == []
    await registered(session, transport, endpoint, "com.b", 12, options=RegisterOptions(details=True))
    transport.play(m.Invocation(2, 12, {"timeout": 1}))  # not asked for: for information only
    await settle()
    assert session._callee._servant._serving[2].timer is None and seen == [0.02, 0.001]
    await ended(transport)


# ---- details ---------------------------------------------------------------------------------------------


async def test_T_CTL_1_call_details_say_everything_the_router_says():
    session, transport = await joined()
    seen = []
    options = RegisterOptions(match="prefix", details_arg="info")
    await registered(session, transport, lambda x, info: seen.append(info), options=options)
    hop = {"session": 1, "authid": "a", "authrole": "b"}
    details = {
        "caller": 5, "caller_authid": "joe", "caller_authrole": "user", "procedure": "com.a.b", "trustlevel": 3,
        "transaction_hash": "h", "forward_for": [hop], "timeout": 1500, "receive_progress": False,
    }  # fmt: skip
    transport.play(m.Invocation(1, 11, details, [1]), m.Invocation(2, 11, {}, [1], {"info": "overwritten"}))
    first, second = seen
    assert (first.caller, first.caller_authid, first.caller_authrole) == (5, "joe", "user")
    assert (first.procedure, first.trustlevel, first.transaction_hash) == ("com.a.b", 3, "h")
    assert (first.forward_for, first.timeout, first.progress, first.enc_algo) == ([hop], 1.5, None, None)
    assert (second.procedure, second.trustlevel, second.timeout, second.caller) == ("com.a", None, None, None)
    assert first.registration.procedure == "com.a"
    await ended(transport)


# ---- concurrency -----------------------------------------------------------------------------------------


async def test_T_CONC_1_no_more_run_at_a_time_than_the_registration_says():
    session, transport = await joined()
    gates = {n: asyncio.Event() for n in range(6)}
    trace = []

    async def endpoint(n):
        trace.append(n)
        await gates[n].wait()
        return n

    await registered(session, transport, endpoint, options=RegisterOptions(concurrency=2))
    transport.play(*(m.Invocation(n + 1, 11, {}, [n]) for n in range(6)))
    await settle()
    assert trace == [0, 1]
    gates[1].set()
    await settle()
    assert trace == [0, 1, 2] and transport.take() == [[70, 2, {}, [1]]]
    transport.play(m.Interrupt(4, {"mode": "kill"}), m.Interrupt(1, {"mode": "kill"}))  # one waits, one runs
    await settle()
    assert trace == [0, 1, 2, 4]
    assert {(row[2], row[4]) for row in transport.take()} == {(4, "wamp.error.canceled"), (1, "wamp.error.canceled")}
    for gate in gates.values():
        gate.set()
    await settle()
    assert sorted(row[3][0] for row in transport.take()) == [2, 4, 5]
    service = session._callee._services[11]
    assert service.running == 0 and not service.waiting
    await ended(transport)


async def test_plain_endpoints_that_waited_do_not_pile_up_on_the_stack():
    session, transport = await joined()
    gate = asyncio.Event()
    first = True

    def endpoint(n):
        nonlocal first
        if first:
            first = False
            return gate.wait()
        return n

    await registered(session, transport, endpoint, options=RegisterOptions(concurrency=1))
    transport.play(*(m.Invocation(n, 11, {}, [n]) for n in range(1, 3001)))
    gate.set()
    await settle()
    assert [row[1] for row in transport.take()] == [*range(2, 3001), 1]
    await ended(transport)


async def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(serving_module, "MAX_WAITING", 2)
    session, transport = await joined()
    await registered(session, transport, asyncio.Event().wait, options=RegisterOptions(concurrency=1))
    transport.play(*(m.Invocation(n, 11, {}) for n in range(1, 5)))
    await settle()
    assert [(row[2], row[4]) for row in transport.take()] == [(4, "wamp.error.unavailable")]
    await ended(transport)


# ---- threads ---------------------------------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default="unset")


async def test_a_blocking_endpoint_does_not_hold_the_loop_and_sees_the_context():
    session, transport = await joined()
    release = threading.Event()

    def blocking(n, details):
        assert release.wait(10)
        details.progress(n)
        details.progress(k=n)
        return threading.current_thread().name, variable.get()

    variable.set("set")
    await registered(session, transport, blocking, options=RegisterOptions(blocking=True, details=True))
    await registered(session, transport, lambda: "quick", "com.b", 12)
    transport.play(m.Invocation(1, 11, dict(ASKED), [5]), m.Invocation(2, 12, {}))
    assert transport.take() == [[70, 2, {}, ["quick"]]]
    release.set()
    rows = await arrived(transport, 3)
    assert rows[:2] == [[70, 1, OPEN, [5]], [70, 1, OPEN, [], {"k": 5}]]
    name, value = rows[2][3][0]
    assert name.startswith("autobahn-endpoint") and value == "set"
    await ended(transport)


async def test_a_blocking_generator_and_errors_in_threads():
    session, transport = await joined()
    threads = set()

    def numbers(n):
        for i in range(n):
            threads.add(threading.current_thread() is threading.main_thread())
            yield i
        raise ApplicationError("com.error", n)

    await registered(session, transport, numbers, options=RegisterOptions(blocking=True))
    transport.play(m.Invocation(1, 11, dict(ASKED), [3]))
    rows = await arrived(transport, 4)
    assert rows == [*([70, 1, OPEN, [i]] for i in range(3)), [8, 68, 1, {}, "com.error", [3]]]
    assert threads == {False} and len(session.errors) == 1
    await ended(transport)


async def test_the_pool_is_bounded_and_the_concurrency_holds_for_threads_that_nobody_waits_for():
    class Two(RecordingSession):
        blocking_threads = 2

    session, transport = await joined(Two())
    release, lock = threading.Event(), threading.Lock()
    running, peak, begun = 0, 0, threading.Semaphore(0)

    def blocking(n):
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        begun.release()
        assert release.wait(10)
        with lock:
            running -= 1
        return n

    await registered(session, transport, blocking, "com.a", 11, options=RegisterOptions(blocking=True))
    one = RegisterOptions(blocking=True, concurrency=1)
    await registered(session, transport, blocking, "com.b", 12, options=one)
    transport.play(m.Invocation(1, 12, {}, [1]), m.Invocation(2, 12, {}, [2]))
    await asyncio.to_thread(begun.acquire)
    transport.play(m.Interrupt(1, {"mode": "kill"}))  # nothing stops the thread
    await settle()
    assert [row[2:5:2] for row in transport.take()] == [[1, "wamp.error.canceled"]]
    service = session._callee._services[12]
    assert service.running == 1 and len(service.waiting) == 1
    transport.play(*(m.Invocation(n, 11, {}, [n]) for n in range(3, 7)))
    release.set()
    rows = await arrived(transport, 5)
    assert sorted(row[3][0] for row in rows) == [2, 3, 4, 5, 6] and peak <= 2
    assert service.running == 0
    await ended(transport)


async def test_the_end_of_the_session_drops_what_waits_for_a_thread():
    session, transport = await joined(type("One", (RecordingSession,), {"blocking_threads": 1})())
    release, begun, ran = threading.Event(), threading.Event(), []

    def blocking(n, details):
        ran.append(n)
        begun.set()
        assert release.wait(10)
        try:
            details.progress(n)
        except ApplicationError as exc:
            ran.append(exc.error)
        done.set()

    done = threading.Event()
    options = RegisterOptions(blocking=True, details=True)
    await registered(session, transport, blocking, options=options)
    transport.play(m.Invocation(1, 11, dict(ASKED), [1]), m.Invocation(2, 11, {}, [2]))
    await asyncio.to_thread(begun.wait)
    await ended(transport)
    assert session._runtime._pool is None
    release.set()
    await asyncio.to_thread(done.wait)
    await settle()
    assert ran == [1, "wamp.error.canceled"] and session.errors == [] and transport.take() == []
    async with asyncio.timeout(10):
        while any(thread.name.startswith("autobahn-endpoint") for thread in threading.enumerate()):
            await asyncio.sleep(0.001)


async def test_what_cannot_be_blocking_is_refused_at_once():
    session, transport = await joined()

    async def coroutine():
        pass

    for endpoint in (coroutine, async_numbers):
        with pytest.raises(TypeError, match="expected a plain function for a blocking endpoint, got async"):
            session.register(endpoint, "com.a", RegisterOptions(blocking=True))
    assert transport.take() == []
    await ended(transport)


async def test_a_progressive_result_that_cannot_be_sent_from_a_thread_ends_the_call():
    session, transport = await joined()
    send = transport.send

    def refusing(msg):
        if msg.code == 70:
            raise SerializationError("no")
        send(msg)

    transport.send = refusing

    def blocking(details):
        details.progress(object())
        return 1

    await registered(session, transport, blocking, options=RegisterOptions(blocking=True, details=True))
    transport.play(m.Invocation(1, 11, dict(ASKED)))
    (row,) = await arrived(transport, 1)
    assert row[4] == "wamp.error.invalid_payload"
    await settle()
    assert transport.take() == [] and len(session.errors) == 1
    await ended(transport)


async def test_an_error_whose_payload_cannot_be_sent_is_sent_as_text():
    session, transport = await joined()
    send = transport.send

    def refusing(msg):
        if any(not isinstance(arg, str) for arg in msg.args):
            raise SerializationError("no")
        send(msg)

    def fails():
        raise ApplicationError("com.error", object, "x" * 5000, *range(50))

    await registered(session, transport, fails)
    transport.send = refusing
    transport.play(m.Invocation(1, 11, {}))
    (row,) = transport.take()
    assert row[:5] == [8, 68, 1, {}, "com.error"] and row[5][0] == str(object)
    assert len(row[5]) == 8 and max(map(len, row[5])) == 1000
    await ended(transport)


@pytest.mark.parametrize("wants_progress", [False, True])
async def test_a_transport_that_is_lost_under_an_endpoint_is_no_error_of_the_endpoint(wants_progress):
    """The transport is closed, and the session has not heard of it yet."""
    session, transport = await joined()
    gate = asyncio.Event()

    async def numbers():
        yield 1
        await gate.wait()
        yield 2

    async def fails():
        await gate.wait()
        raise ApplicationError("com.error")

    async def returns():
        await gate.wait()

    for number, endpoint in enumerate((numbers, fails, returns), 11):
        await registered(session, transport, endpoint, f"com.p{number}", number)
        transport.play(m.Invocation(number, number, {"receive_progress": wants_progress}))
    await settle()
    transport.open = False
    gate.set()
    await settle()
    assert [kind for kind, _ in session.errors] == [ApplicationError]
    assert not session._callee._servant._serving
    session.onClose(False)
    await settle()


async def test_T_PCR_5_a_progressive_result_starts_the_forwarded_time_anew():
    session, transport = await joined()
    gates = [asyncio.Event() for _ in range(2)]

    async def endpoint(details):
        for gate in gates:
            await gate.wait()
            details.progress(1)
        await asyncio.Event().wait()

    options = RegisterOptions(details=True, forward_timeout=True)
    await registered(session, transport, endpoint, options=options)
    transport.play(m.Invocation(1, 11, {"timeout": 60_000, **ASKED}))
    await settle()
    serving = session._callee._servant._serving[1]
    timers = [serving.timer]
    for gate in gates:
        gate.set()
        await settle()
        timers.append(serving.timer)
    assert [timer.cancelled() for timer in timers] == [True, True, False] and len(set(map(id, timers))) == 3
    transport.close()
    await settle()
    assert timers[-1].cancelled() and session.errors == []


async def test_an_endpoint_that_fails_while_the_session_ends_is_reported():
    session, transport = await joined()

    async def endpoint():
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("in the cleanup")

    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    transport.close()
    await settle()
    assert session.errors == [(ValueError, "While serving com.a")] and transport.take() == []


async def test_nobody_keeps_a_keyboard_interrupt_of_an_endpoint():
    session, transport = await joined()

    def endpoint():
        raise KeyboardInterrupt

    await registered(session, transport, endpoint)
    with pytest.raises(KeyboardInterrupt):
        transport.play(m.Invocation(1, 11, {}))
    assert session.errors == [] and transport.take() == []
    await ended(transport)

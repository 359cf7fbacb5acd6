"""Calls from end to end: our client at both ends of our router, over every kind of link."""

import asyncio
import tracemalloc
from collections import Counter

import pytest

from autobahn.router import RealmOptions
from autobahn.wamp import ApplicationError, CallOptions, CallResult, RegisterOptions, TransportLost
from links import LINKS, Client, world


@pytest.fixture(params=LINKS)
def kind(request):
    return request.param


# ---- T-RPC -----------------------------------------------------------------------------------------------

SHAPES = [
    ((), {}), ((None,), {}), ((0,), {}), ((-1, 2**53 - 1, 1.5), {}), (("ünï\u20ac\U0001f600",), {}),
    ((b"\x00\xff",), {}), (([],), {}), (({},), {}), (([[], {}, [None]],), {}), (({"a": {"b": [1, b"x"]}},), {}),
    ((), {"k": 1}), ((), {"k": None}), ((1,), {"k": [b""]}), ((True, False), {"self": 1, "args": 2, "error": 3}),
    (("x" * 70_000,), {}), (([0] * 5000,), {}),
]  # fmt: skip


async def test_T_RPC_1_echo_of_payload_shapes(kind, loop_name):
    async with world(kind) as (_, callee, caller):
        await callee.register(lambda *args, **kwargs: CallResult(*args, **kwargs), "com.echo")
        for args, kwargs in SHAPES:
            got = await caller.call("com.echo", *args, **kwargs, options=CallOptions(details=True))
            assert (list(got.results), got.kwresults) == (list(args), kwargs)


async def test_T_RPC_2_errors_pass_with_uri_and_payload(kind):
    async with world(kind) as (_, callee, caller):

        def failing(kind):
            raise ApplicationError("com.error", 1, b"x", k={"a": None}) if kind == "app" else KeyError("gone")

        await callee.register(failing, "com.fail")
        with pytest.raises(ApplicationError) as caught:
            await caller.call("com.fail", "app")
        assert (caught.value.error, caught.value.args, caught.value.kwargs) == (
            "com.error", (1, b"x"), {"k": {"a": None}},
        )  # fmt: skip
        with pytest.raises(ApplicationError) as caught:  # T-RPC-9
            await caller.call("com.fail", "other")
        assert (caught.value.error, caught.value.args) == ("wamp.error.runtime_error", ("gone",))
        assert len(callee.errors) == 2 and caller.errors == []


async def test_T_RPC_3_T_RPC_4_registering_and_giving_up():
    async with world(count=2) as (_, one, two):
        registration = await one.register(lambda: 1, "com.a")
        with pytest.raises(ApplicationError, match="procedure_already_exists"):
            await two.register(lambda: 2, "com.a")
        first, second = registration.unregister(), registration.unregister()  # twice at once
        await first
        with pytest.raises(ApplicationError, match="no_such_registration"):
            await second
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await two.call("com.a")
        assert (await two.register(lambda: 2, "com.a")).active and await one.call("com.a") == 2


async def test_T_RPC_5_a_callee_that_goes_leaves_no_caller_waiting(kind):
    async with world(kind) as (_, callee, caller):
        await callee.register(asyncio.Event().wait, "com.never")
        calls = [caller.call("com.never") for _ in range(100)]
        await caller.call("wamp.session.count")
        callee.transport.abort()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {exc.error for exc in outcomes} == {"wamp.error.canceled"}


async def test_T_RPC_5_a_router_that_goes_leaves_no_caller_waiting(kind):
    async with world(kind) as (router, callee, caller):
        await callee.register(asyncio.Event().wait, "com.never")
        calls = [caller.call("com.never") for _ in range(100)]
        stream = caller.call_stream("com.never")
        router.core.shutdown()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {exc.error for exc in outcomes} == {"wamp.close.system_shutdown"}
        with pytest.raises(ApplicationError):
            await anext(stream)


async def test_T_RPC_6_a_caller_that_goes_interrupts_the_callee(kind):
    async with world(kind) as (_, callee, caller):
        ended = asyncio.Event()

        async def endless():
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        await callee.register(endless, "com.endless")
        future = caller.call("com.endless")
        await callee.call("wamp.session.count")
        caller.transport.abort()
        await ended.wait()
        with pytest.raises(TransportLost) as caught:
            await future
        assert isinstance(caught.value, ApplicationError)  # programs catch the one or the other
        assert caught.value.error == "wamp.close.transport_lost"
        assert str(caught.value) and "ApplicationError" not in str(caught.value)
        assert await callee.call("wamp.session.count") == 1 and callee.errors == []


async def test_T_RPC_7_T_RPC_8_own_procedures_and_answers_out_of_order(kind):
    async with world(kind, count=1) as (_, client):
        gates = [asyncio.Event() for _ in range(10)]

        async def later(n):
            await gates[n % 10].wait()
            return n

        await client.register(later, "com.later")
        calls = [client.call("com.later", n) for n in range(1000)]
        for gate in reversed(gates):
            gate.set()
        assert await asyncio.gather(*calls) == list(range(1000))


async def test_T_ORD_2_invocations_of_one_caller_begin_in_the_order_of_its_calls(kind):
    async with world(kind) as (_, callee, caller):
        seen = []

        async def slow(n):
            seen.append(n)
            await asyncio.sleep(0)

        await callee.register(slow, "com.slow")
        await callee.register(seen.append, "com.plain")
        calls = [caller.call("com.slow" if n % 2 else "com.plain", n) for n in range(1000)]
        await asyncio.gather(*calls)
        # the plain ones run when they arrive, a task begins in the next turn of the loop: each kind is in order
        assert [n for n in seen if n % 2] == list(range(1, 1000, 2))
        assert [n for n in seen if not n % 2] == list(range(0, 1000, 2))


class Series(Client):
    """Joins again on the same transport, until it has joined three times."""

    joins = 0

    def onJoin(self, details):
        super().onJoin(details)
        self.joins += 1

    def onLeave(self, details):
        self.trace.append(("leave", details.reason))
        if self.joins < 3:
            self.join("realm1")
        else:
            self.disconnect()


async def test_T_SES_6_several_sessions_one_after_another_on_one_transport(kind):
    async with world(kind, clients=[Series(), Client()]) as (_, series, other):
        ids, transports = set(), set()
        for number in range(1, 4):
            await series.ready.wait()
            ids.add(series.session_id)
            transports.add(id(series.transport))
            registration = await series.register(lambda number=number: number, "com.number")
            assert await other.call("com.number") == number
            await other.register(asyncio.Event().wait, f"com.never{number}")
            pending = series.call(f"com.never{number}")
            stream = series.call_stream(f"com.never{number}")
            series.ready.clear()
            series.leave()
            with pytest.raises(ApplicationError, match=r"wamp\.close\.normal"):
                await pending
            with pytest.raises(ApplicationError, match=r"wamp\.close\.normal"):
                await anext(stream)
        await series.gone.wait()
        assert not registration.active
        assert len(ids) == 3 and len(transports) == 1 and series.errors == []
        with pytest.raises(ApplicationError, match="no_such_procedure"):
            await other.call("com.number")


# ---- T-PCR, T-PCI ----------------------------------------------------------------------------------------


async def test_T_PCR_1_streams_of_results(kind, loop_name):
    async with world(kind) as (_, callee, caller):

        async def numbers(n):
            for i in range(n):
                yield i

        await callee.register(numbers, "com.numbers")
        for count in (0, 1, 100):
            stream = caller.call_stream("com.numbers", count)
            assert [chunk async for chunk in stream] == list(range(count)) and stream.result is None
            seen = []
            result = await caller.call("com.numbers", count, options=CallOptions(on_progress=seen.append))
            assert (seen, result) == (list(range(count)), None)
        assert await caller.call("com.numbers", 3) == [0, 1, 2]


async def test_T_PCR_4_leaving_a_stream_interrupts_the_generator(kind):
    async with world(kind) as (_, callee, caller):
        ended = asyncio.Event()

        async def endless():
            try:
                while True:
                    yield b"x" * 1000
            finally:
                ended.set()

        await callee.register(endless, "com.endless")
        count = 0
        async for chunk in caller.call_stream("com.endless"):
            assert len(chunk) == 1000
            count += 1
            if count == 50:
                break
        await ended.wait()
        assert await caller.call("wamp.session.count") == 2 and callee.errors == caller.errors == []


async def test_T_PCR_3_an_error_after_progress_is_raised_in_the_loop(kind):
    async with world(kind) as (_, callee, caller):

        async def failing():
            yield 1
            raise ApplicationError("com.error")

        await callee.register(failing, "com.failing")
        seen = []
        with pytest.raises(ApplicationError, match=r"com\.error"):
            async for chunk in caller.call_stream("com.failing"):
                seen.append(chunk)
        assert seen == [1]


async def test_T_PCI_1_T_PCI_5_streams_of_arguments(kind, loop_name):
    async with world(kind) as (_, callee, caller):

        async def total(chunks):
            return sum([chunk async for chunk in chunks])

        async def running(chunks):
            sum_ = 0
            async for chunk in chunks:
                sum_ += chunk
                yield sum_

        stream = RegisterOptions(stream=True)
        await callee.register(total, "com.total", stream)
        await callee.register(running, "com.running", stream)

        async def numbers(n):
            for i in range(n):
                await asyncio.sleep(0)
                yield i

        assert await asyncio.gather(*(caller.call("com.total", numbers(n)) for n in (0, 1, 10, 50))) == [0, 0, 45, 1225]
        assert await caller.call("com.total", 100, iter([1, 2])) == 103
        assert await caller.call("com.total", 7) == 7  # a plain call is a stream of one
        results = caller.call_stream("com.running", numbers(5))  # T-PCI-6
        assert [chunk async for chunk in results] == [0, 1, 3, 6, 10]


async def test_T_PCI_4_an_endpoint_that_has_enough_ends_the_iterator_of_the_caller(kind):
    async with world(kind) as (_, callee, caller):
        ended = asyncio.Event()

        async def first(chunks):
            return await anext(chunks)

        async def endless():
            try:
                while True:
                    yield "first"
            finally:
                ended.set()

        await callee.register(first, "com.first", RegisterOptions(stream=True))
        assert await caller.call("com.first", endless()) == "first"
        await ended.wait()
        assert await caller.call("com.first", iter(["again"])) == "again"
        assert callee.is_attached() and caller.is_attached()


async def test_T_PCI_3_a_procedure_that_takes_no_stream():
    async with world() as (_, callee, caller):
        await callee.register(lambda *args: args, "com.plain")
        with pytest.raises(ApplicationError, match="feature_not_supported"):
            await caller.call("com.plain", iter([1, 2, 3]))
        assert await caller.call("com.plain", 1) == [1] or await caller.call("com.plain", 1) == (1,)


# ---- T-CAN, T-TMO ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["skip", "kill", "killnowait", None])
async def test_T_CAN_1_T_CAN_2_T_CAN_3_T_CAN_7_T_CAN_8_the_modes_and_what_each_end_hears(kind, mode):
    async with world(kind) as (_, callee, caller):
        trace, release = [], asyncio.Event()

        async def cooperative():
            try:
                await release.wait()
            except asyncio.CancelledError:
                trace.append("cancelled")
                raise
            return "late"

        await callee.register(cooperative, "com.a")
        future = caller.call("com.a", options=CallOptions(cancel_mode=mode))
        await callee.call("wamp.session.count")
        callee.heard.clear()
        caller.heard.clear()
        future.cancel()
        for _ in range(3):  # a question that goes the same way comes back after everything before it
            await caller.call("wamp.session.count")
            await callee.call("wamp.session.count")
        interrupts = [(code, options) for code, options in callee.heard if code == 69]
        if mode == "skip":
            assert interrupts == [] and trace == []
        else:
            assert interrupts == [(69, {"mode": mode or "killnowait"})] and trace == ["cancelled"]  # T-CAN-8
        assert [text for code, text in caller.heard if code == 8] == ["wamp.error.canceled"]
        release.set()
        while callee._callee._servant._serving:
            await asyncio.sleep(0)
        assert await caller.call("wamp.session.count") == 2 and callee.errors == caller.errors == []


async def test_T_CAN_5_cancelling_races_with_the_result():
    async with world() as (_, callee, caller):

        async def quick(n):
            for _ in range(n):
                await asyncio.sleep(0)
            return n

        await callee.register(quick, "com.quick")
        outcomes = Counter()
        for turns in range(12):
            for mode in ("skip", "kill", "killnowait"):
                future = caller.call("com.quick", 2, options=CallOptions(cancel_mode=mode))
                for _ in range(turns):
                    await asyncio.sleep(0)
                future.cancel()
                (outcome,) = await asyncio.gather(future, return_exceptions=True)
                outcomes[type(outcome)] += 1
        assert await caller.call("com.quick", 1) == 1
        assert outcomes[int] and outcomes[asyncio.CancelledError] and callee.errors == []


async def test_T_TMO_1_a_callee_that_hangs_costs_the_caller_its_deadline(kind):
    async with world(kind) as (_, callee, caller):
        interrupted = asyncio.Event()

        async def hanging():
            try:
                await asyncio.Event().wait()
            finally:
                interrupted.set()

        await callee.register(hanging, "com.hanging")
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcomes = await asyncio.gather(
            *(caller.call("com.hanging", options=CallOptions(timeout=0.05)) for _ in range(20)), return_exceptions=True
        )
        assert {exc.error for exc in outcomes} == {"wamp.error.timeout"} and 0.045 <= loop.time() - began < 5
        await interrupted.wait()


async def test_T_TMO_4_the_callee_keeps_a_forwarded_timeout(kind):
    async with world(kind) as (_, callee, caller):
        seen = []

        async def hanging(details):
            seen.append(details.timeout)
            await asyncio.Event().wait()

        options = RegisterOptions(forward_timeout=True, details=True)
        await callee.register(hanging, "com.hanging", options)
        # as another client would ask: without a timer of its own
        future = caller._caller._call(_info("com.hanging"), {"timeout": 30}, (), {})
        with pytest.raises(ApplicationError, match=r"wamp\.error\.timeout"):
            await future
        assert seen == [0.03] and callee.errors == []


def _info(procedure):
    from autobahn.wamp.calls import CallInfo

    return CallInfo(procedure, None)


# ---- T-CID, T-CTL, T-PBR, T-SHR, T-SHD, T-CONC -------------------------------------------------------------


async def test_T_CID_1_T_CID_3_T_CTL_1_T_PBR_10_what_a_callee_learns(kind):
    options = RealmOptions(trustlevels={"anonymous": 4})
    async with world(kind, realm_options=options) as (_, callee, caller):
        seen = []
        asking = RegisterOptions(match="prefix", details=True)
        forcing = RegisterOptions(details_arg="who", disclose_caller=True)
        await callee.register(lambda details: seen.append(details), "com.p", asking)
        await callee.register(lambda who: seen.append(who), "com.forced", forcing)
        await caller.call("com.p.x")
        await caller.call("com.p.x", options=CallOptions(disclose_me=True))
        await caller.call("com.forced")
        ids = [(details.caller, details.caller_authrole) for details in seen]
        assert ids == [(None, None), *[(caller.session_id, "anonymous")] * 2]
        assert [details.procedure for details in seen] == ["com.p.x", "com.p.x", "com.forced"]
        assert [details.trustlevel for details in seen] == [4] * 3


async def test_T_CID_2_a_realm_that_discloses_nobody():
    async with world(realm_options=RealmOptions(disclose_caller="never")) as (_, callee, caller):
        await callee.register(lambda: 1, "com.a")
        with pytest.raises(ApplicationError, match=r"option_disallowed\.disclose_me"):
            await caller.call("com.a", options=CallOptions(disclose_me=True))


@pytest.mark.parametrize(
    ("invoke", "expected"), [("first", {0: 9}), ("last", {2: 9}), ("roundrobin", {0: 3, 1: 3, 2: 3})]
)
async def test_T_SHR_1_T_SHR_2_T_SHR_3_shared_registrations(invoke, expected):
    async with world(count=4) as (_, caller, *callees):
        for number, callee in enumerate(callees):
            await callee.register(lambda number=number: number, "com.a", RegisterOptions(invoke=invoke))
        assert Counter([await caller.call("com.a") for _ in range(9)]) == expected
        with pytest.raises(ApplicationError, match="procedure_already_exists"):  # T-SHR-5
            await caller.register(print, "com.a", RegisterOptions(invoke="random"))


async def test_T_SHR_8_one_registration_and_one_more_callee_each():
    async with world(count=4) as (_, watcher, *callees):
        seen = []
        await watcher.subscribe(lambda session, _: seen.append(("create", session)), "wamp.registration.on_create")
        await watcher.subscribe(lambda session, _: seen.append(("register", session)), "wamp.registration.on_register")
        for callee in callees:
            await callee.register(print, "com.a", RegisterOptions(invoke="roundrobin"))
        assert await watcher.call("wamp.registration.lookup", "com.a") is not None  # behind all the events
        first, *others = [callee.session_id for callee in callees]
        assert seen == [("create", first), ("register", first), *(("register", other) for other in others)]


async def test_T_SHD_1_calls_with_one_key_go_to_one_callee():
    async with world(count=4) as (_, caller, *callees):
        for number, callee in enumerate(callees):
            await callee.register(lambda number=number: number, "com.a", RegisterOptions(invoke="roundrobin"))
        for key in ("k1", "k2", "k3", "k4"):
            options = CallOptions(rkey=key, runmode="partition")
            assert len({await caller.call("com.a", options=options) for _ in range(20)}) == 1


async def test_T_CONC_1_T_CONC_2_the_limit_holds_and_registrations_can_be_taken_over():
    async with world(count=3, realm_options=RealmOptions(call_queue=10, force_reregister="any")) as (
        _,
        one,
        two,
        caller,
    ):
        running, peak = 0, 0

        async def work():
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0)
            running -= 1

        first = await one.register(work, "com.a", RegisterOptions(concurrency=2))
        await asyncio.gather(*(caller.call("com.a") for _ in range(10)))
        assert peak == 2
        await two.register(lambda: "two", "com.a", RegisterOptions(force_reregister=True))
        assert await caller.call("com.a") == "two"
        assert not first.active  # T-RREV-3


async def test_T_PBR_11_wildcard_registrations(kind):
    async with world(kind) as (_, callee, caller):
        options = RegisterOptions(match="wildcard", details=True)
        await callee.register(lambda details: details.procedure, "com..x", options)
        assert await caller.call("com.abc.x") == "com.abc.x"
        for other in ("com.abc.y", "com.abc.x.y", "com.x"):
            with pytest.raises(ApplicationError, match="no_such_procedure"):
                await caller.call(other)


# ---- many at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["results", "arguments"])
async def test_a_large_stream_flows_through_little_memory(direction):
    """64 MiB in 64 KiB chunks: who sends waits for the transport, and nothing piles up at a reader that keeps up."""
    async with world("ws-cbor") as (_, callee, caller):
        chunk, count = bytes(65_536), 1024

        async def chunks():
            for _ in range(count):
                yield chunk

        async def upload(parts):
            return sum([len(part) async for part in parts])

        await callee.register(chunks, "com.download")
        await callee.register(upload, "com.upload", RegisterOptions(stream=True))
        tracemalloc.start()
        try:
            if direction == "results":
                total = sum([len(part) async for part in caller.call_stream("com.download")])
            else:
                total = await caller.call("com.upload", chunks())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert total == count * len(chunk) and peak < 16 * 2**20

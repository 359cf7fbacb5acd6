"""Progressive results at the caller: as callback and as loop; and streams of arguments that a caller sends."""

import asyncio
import gc
from contextlib import aclosing

import pytest

from autobahn.wamp import ApplicationError, CallOptions, CallResult
from autobahn.wamp import message as m
from autobahn.wamp.exception import SerializationError
from autobahn.wamp.streams import StreamOverflow
from autobahn.wamp.types import PublishOptions
from scripted import joined, settle

PROGRESS = {"progress": True}
STREAMS = {"dealer": {"features": {"progressive_call_invocations": True, "call_canceling": True}}}


def progress(request, *args, **kwargs):
    return m.Result(request, dict(PROGRESS), list(args), kwargs)


# ---- the loop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("final", "last"),
    [
        (([],), []), (([None],), []), (([3],), [3]), (([0],), [0]), (([[]],), [[]]), (([""],), [""]),
        (([3, 4],), [CallResult(3, 4)]), (([], {"k": 1}), [CallResult(k=1)]),
        (([None], {"k": 1}), [CallResult(None, k=1)]),
    ],
)  # fmt: skip
async def test_callees_that_put_their_last_piece_into_the_final_result(final, last):
    for details in (None, True):
        session, transport = await joined()
        stream = session.call_stream("com.a", options=CallOptions(details=details))
        transport.play(progress(1, 1), progress(1, 2), m.Result(1, {}, *final))
        got = [chunk async for chunk in stream.chunks()]
        if details:
            last_payload = [(c.results, c.kwresults) for c in got[2:]]
            assert [c.results for c in got[:2]] == [(1,), (2,)]
            assert last_payload == ([(tuple(final[0]), final[1] if final[1:] else {})] if last else [])
        else:
            assert got == [1, 2, *last]
        transport.close()
        await settle()


@pytest.mark.parametrize("how", ["error", "cancel", "break"])
async def test_a_loop_over_all_chunks_ends_as_the_call_does(how):
    session, transport = await joined()
    stream = session.call_stream("com.a")
    chunks = stream.chunks()
    transport.take()
    transport.play(progress(1, 1))
    assert await anext(chunks) == 1
    if how == "error":
        transport.play(m.Error(48, 1, {}, "com.error"))
        with pytest.raises(ApplicationError, match=r"com\.error"):
            await anext(chunks)
    elif how == "cancel":
        stream.cancel()
        assert [chunk async for chunk in chunks] == [] and transport.take() == [[49, 1, {}]]
    else:
        await chunks.aclose()
        del stream, chunks
        await settle()
        assert transport.take() == [[49, 1, {}]]
    transport.close()
    await settle()


# ---- the callback ----------------------------------------------------------------------------------------


async def test_T_PCR_1_async_callbacks_run_in_order_and_before_the_final_result():
    session, transport = await joined()
    seen, gates = [], [asyncio.Event() for _ in range(3)]

    async def on_progress(n):
        seen.append(f"begin {n}")
        await gates[n].wait()
        seen.append(f"end {n}")

    future = session.call("com.a", options=CallOptions(on_progress=on_progress))
    future.add_done_callback(lambda _: seen.append("result"))
    transport.play(progress(1, 0), progress(1, 1), progress(1, 2), m.Result(1, {}, ["final"]))
    await settle()
    assert seen == ["begin 0"] and not future.done()
    for gate in reversed(gates):
        gate.set()
    assert await future == "final"
    assert seen == ["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2", "result"]
    assert not session._caller._finishing and len(session._requests) == 0
    transport.close()
    await settle()


async def test_an_error_comes_after_the_async_callbacks_too():
    session, transport = await joined()
    seen, gate = [], asyncio.Event()

    async def on_progress(n):
        await gate.wait()
        seen.append(n)

    future = session.call("com.a", options=CallOptions(on_progress=on_progress))
    transport.play(progress(1, 0), m.Error(48, 1, {}, "com.error", ["x"]))  # T-PCR-3
    await settle()
    assert not future.done()
    gate.set()
    with pytest.raises(ApplicationError, match=r"com\.error"):
        await future
    assert seen == [0]
    transport.close()
    await settle()


@pytest.mark.parametrize("end", ["cancel", "timeout", "loss", "loss-answered"])
async def test_callbacks_end_with_their_call(end):
    session, transport = await joined()
    seen = []

    async def on_progress(n):
        seen.append(f"begin {n}")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(f"end {n}")

    timeout = 0.001 if end == "timeout" else None
    future = session.call("com.a", options=CallOptions(on_progress=on_progress, timeout=timeout))
    transport.play(progress(1, 0), progress(1, 1))
    await settle()
    if end == "cancel":
        future.cancel()
    elif end != "timeout":
        if end == "loss-answered":
            transport.play(m.Result(1, {}, ["final"]))
        transport.close()
    outcome = (await asyncio.gather(future, return_exceptions=True))[0]
    await settle()
    assert seen == ["begin 0", "end 0"]  # the second never began, and leaves no coroutine behind
    assert (outcome == "final") is (end == "loss-answered")
    assert session.errors == []
    transport.close()
    await settle()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_errors_of_the_callback_are_reported_once_each_and_the_call_goes_on(asynchronous):
    session, transport = await joined()

    def plain(n):
        raise ValueError(n)

    async def coroutine(n):
        plain(n)

    options = CallOptions(on_progress=coroutine if asynchronous else plain)
    future = session.call("com.a", options=options)
    transport.play(progress(1, 1), progress(1, 2), m.Result(1, {}, [3]))
    assert await future == 3
    assert session.errors == [(ValueError, "While firing on_progress of com.a")] * 2
    transport.close()
    await settle()


async def test_async_callbacks_that_fall_behind_end_the_call():
    session, transport = await joined()
    options = CallOptions(on_progress=lambda n: asyncio.Event().wait(), stream_buffer=2, cancel_mode="kill")
    future = session.call("com.a", options=options)
    transport.take()
    transport.play(*(progress(1, n) for n in range(5)))
    with pytest.raises(StreamOverflow, match=r"2 progressive results of com\.a wait"):
        await future
    assert transport.take() == [[49, 1, {"mode": "kill"}]]
    transport.close()
    await settle()


# ---- the loop --------------------------------------------------------------------------------------------


async def test_T_PCR_6_a_loop_sees_every_result_in_order_and_then_the_final_one():
    session, transport = await joined()
    stream = session.call_stream("com.a", 1, x=2)
    assert transport.take() == [[48, 1, {"receive_progress": True}, "com.a", [1], {"x": 2}]]
    with pytest.raises(RuntimeError, match="goes on"):
        stream.result
    transport.play(progress(1, 1), progress(1), progress(1, 2, 3), progress(1, k=4), m.Result(1, {}, ["final"]))
    seen = [chunk async for chunk in stream]
    assert seen[:2] == [1, None]
    assert [(list(c.results), c.kwresults) for c in seen[2:]] == [([2, 3], {}), ([], {"k": 4})]
    assert stream.result == "final"
    assert [chunk async for chunk in stream] == []  # it has ended
    transport.close()
    await settle()


async def test_a_loop_that_waits_gets_each_result_as_it_comes():
    session, transport = await joined()
    stream = session.call_stream("com.a", options=CallOptions(details=True, timeout=30))
    seen = []

    async def loop():
        async for chunk in stream:
            seen.append((list(chunk.results), chunk.callee))

    task = asyncio.ensure_future(loop())
    for n in range(3):
        transport.play(m.Result(1, {"progress": True, "callee": 9}, [n]))
        await settle()
        assert seen[-1] == ([n], 9)
    transport.play(m.Result(1, {}))
    await task
    assert list(stream.result.results) == []
    transport.close()
    await settle()


async def test_errors_are_raised_in_the_loop_after_the_results_before_them():
    session, transport = await joined()
    stream = session.call_stream("com.a")
    transport.play(progress(1, 1), progress(1, 2), m.Error(48, 1, {}, "com.error", ["x"]))
    seen = []
    with pytest.raises(ApplicationError, match=r"com\.error"):
        async for chunk in stream:
            seen.append(chunk)
    assert seen == [1, 2]
    with pytest.raises(ApplicationError, match=r"com\.error"):
        stream.result
    transport.close()
    await settle()


async def _break(session):
    async for _ in session.call_stream("com.a", options=CallOptions(cancel_mode="kill")):
        break


async def _raise(session):
    async for _ in session.call_stream("com.a", options=CallOptions(cancel_mode="kill")):
        raise ValueError("in the loop")


async def _return_with_the_stream_named(session):
    stream = session.call_stream("com.a", options=CallOptions(cancel_mode="kill"))
    async for _ in stream:
        return


async def _block(session):
    async with session.call_stream("com.a", options=CallOptions(cancel_mode="kill")) as stream:
        await anext(stream)


async def _aclosing(session):
    async with aclosing(session.call_stream("com.a", options=CallOptions(cancel_mode="kill"))) as stream:
        await anext(stream)


async def _forgotten(session):
    session.call_stream("com.a", options=CallOptions(cancel_mode="kill"))


@pytest.mark.parametrize("leave", [_break, _raise, _return_with_the_stream_named, _block, _aclosing, _forgotten])
async def test_leaving_the_loop_cancels_the_call(leave):
    session, transport = await joined()
    task = asyncio.ensure_future(leave(session))
    await settle()
    assert transport.take()[0][0] == 48
    transport.play(progress(1, 1))
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, ValueError) is (leave is _raise)
    del outcome, task
    await settle()
    assert leave is _forgotten or transport.take() == [[49, 1, {"mode": "kill"}]]
    assert len(session._requests) == 0 and session.is_attached()
    transport.play(progress(1, 2), m.Error(48, 1, {}, "wamp.error.canceled"))  # under way
    assert session.is_attached()
    transport.close()
    await settle()


async def test_a_cancelled_task_cancels_its_stream_and_a_given_up_wait_loses_nothing():
    session, transport = await joined()
    stream = session.call_stream("com.a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.001)
    transport.take()
    transport.play(progress(1, 1))
    assert await anext(stream) == 1  # T: a given up wait is not the end of the call

    async def loop():
        async for _ in session.call_stream("com.b"):
            pass

    task = asyncio.ensure_future(loop())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await settle()
    assert transport.take() == [[48, 2, {"receive_progress": True}, "com.b"], [49, 2, {}]]
    stream.cancel()
    assert [chunk async for chunk in stream] == []
    with pytest.raises(ApplicationError, match="cancelled here"):
        stream.result
    transport.close()
    await settle()


async def test_the_buffer_of_a_loop_is_bounded():
    session, transport = await joined()
    stream = session.call_stream("com.a", options=CallOptions(stream_buffer=3, cancel_mode="kill"))
    transport.take()
    transport.play(*(progress(1, n) for n in range(5)), m.Result(1, {}))
    seen = []
    with pytest.raises(StreamOverflow, match=r"3 progressive results of com\.a wait"):
        async for chunk in stream:
            seen.append(chunk)
    assert seen == [0, 1, 2] and transport.take() == [[49, 1, {"mode": "kill"}]]
    transport.close()
    await settle()


async def test_misuse_of_streams():
    session, transport = await joined()
    with pytest.raises(ValueError, match="without on_progress"):
        session.call_stream("com.a", options=CallOptions(on_progress=print))
    with pytest.raises(TypeError, match="CallOptions, got PublishOptions"):
        session.call_stream("com.a", options=PublishOptions())
    stream = session.call_stream("com.a")
    first = asyncio.ensure_future(anext(stream))
    await settle()
    with pytest.raises(RuntimeError, match="one consumer"):
        await anext(stream)
    transport.play(progress(1, 1))
    assert await first == 1
    stream.cancel()
    transport.close()
    await settle()


# ---- streams of arguments --------------------------------------------------------------------------------


async def numbers(*values, ended=None):
    try:
        for value in values:
            yield value
    finally:
        if ended is not None:
            ended.append(True)


def rows(transport):
    return [(row[1], row[2].get("progress"), *row[4:]) for row in transport.take() if row[0] == 48]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
async def test_T_PCI_1_each_item_is_a_chunk_and_an_empty_call_ends_them(plain):
    session, transport = await joined(roles=STREAMS)
    values = (1, CallResult(2, 3, k=4), None)
    future = session.call("com.a", iter(values) if plain else numbers(*values), options=CallOptions(timeout=5))
    await settle(20)
    sent = transport.take()
    assert sent == [
        [48, 1, {"timeout": 5000, "progress": True}, "com.a", [1]],
        [48, 1, {"timeout": 5000, "progress": True}, "com.a", [2, 3], {"k": 4}],
        [48, 1, {"timeout": 5000, "progress": True}, "com.a", [None]],
        [48, 1, {"timeout": 5000}, "com.a"],
    ]
    transport.play(m.Result(1, {}, ["done"]))
    assert await future == "done"
    transport.close()
    await settle()


async def test_the_arguments_before_the_iterator_are_the_first_chunk():
    session, transport = await joined(roles=STREAMS)
    session.call("com.a", "name", numbers(1), size=5)
    assert transport.sent[0].args == ["name"]  # at once
    await settle(20)
    assert rows(transport) == [(1, True, ["name"], {"size": 5}), (1, True, [1]), (1, None)]
    session.call("com.a", numbers())
    await settle(20)
    assert rows(transport) == [(2, None)]  # nothing but the end
    transport.close()
    await settle()


async def test_request_ids_stay_in_the_order_of_sending():
    session, transport = await joined(roles=STREAMS)
    gate = asyncio.Event()

    async def late():
        await gate.wait()
        yield 1

    future = session.call("com.stream", late())
    session.call("com.plain")
    gate.set()
    await settle(20)
    assert [row[1:4:2] for row in transport.take()] == [[1, "com.plain"], [2, "com.stream"], [2, "com.stream"]]
    transport.play(m.Result(2, {}, ["x"]))
    assert await future == "x"
    transport.close()
    await settle()


async def test_T_PCI_4_an_early_result_ends_the_iterator():
    session, transport = await joined(roles=STREAMS)
    ended = []

    async def endless():
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    future = session.call("com.a", endless())
    await settle()
    transport.play(m.Result(1, {}, ["enough"]))
    assert await future == "enough"
    await settle()
    transport.take()
    await settle(20)
    assert ended == [True] and transport.take() == []
    transport.close()
    await settle()


async def test_an_error_of_the_iterator_cancels_the_call_and_is_raised_at_the_caller():
    session, transport = await joined(roles=STREAMS)

    async def broken():
        yield 1
        raise ValueError("no more")

    future = session.call("com.a", broken(), options=CallOptions(cancel_mode="kill"))
    with pytest.raises(ValueError, match="no more"):
        await future
    assert [row[0:3] for row in transport.take()] == [[48, 1, {"progress": True}], [49, 1, {"mode": "kill"}]]
    assert session.errors == []  # it was raised, not reported
    transport.close()
    await settle()


@pytest.mark.parametrize("when", ["unsent", "sent"])
@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_cancelling_ends_the_iterator(when, how):
    session, transport = await joined(roles=STREAMS)
    ended = []

    async def slow():
        try:
            if when == "sent":
                yield 1
            await asyncio.Event().wait()
            yield 2
        finally:
            ended.append(True)

    future = session.call("com.a", slow(), options=CallOptions(timeout=0.02 if how == "timeout" else 30))
    await settle(20)
    if how == "cancel":
        future.cancel()
    await asyncio.gather(future, return_exceptions=True)
    await settle()
    assert ended == [True] and len(session._requests) == 0 and not session._caller._unsent
    assert [row[0] for row in transport.take()] == ([48, 49] if when == "sent" else [])
    transport.close()
    await settle()


async def test_a_chunk_that_cannot_be_sent_ends_the_call():
    session, transport = await joined(roles=STREAMS)
    send = transport.send

    def refusing(msg):
        if msg.code == 48 and msg.args == ["bad"]:
            raise SerializationError("bad")
        send(msg)

    transport.send = refusing
    with pytest.raises(SerializationError):
        await session.call("com.a", numbers("bad"))
    assert transport.take() == [] and session._requests.last_id == 0
    with pytest.raises(SerializationError):
        await session.call("com.a", numbers(1, "bad"))
    assert [row[0] for row in transport.take()] == [48, 49]
    transport.close()
    await settle()


async def test_T_PCI_2_T_FEAT_2_a_router_that_has_not_announced_streams_gets_none():
    session, transport = await joined()
    ended = []
    chunks = numbers(1, ended=ended)
    with pytest.raises(ApplicationError) as caught:
        session.call("com.a", chunks)
    assert caught.value.error == "wamp.error.feature_not_supported" and transport.take() == []
    await chunks.aclose()
    transport.close()
    await settle()


async def test_T_PCI_6_arguments_and_results_at_the_same_time():
    session, transport = await joined(roles=STREAMS)
    answers = asyncio.Queue()

    async def numbers():
        yield 1
        yield await answers.get() + 1

    total = []
    stream = session.call_stream("com.sum", numbers())
    async with stream:
        await settle(20)
        assert rows(transport) == [(1, True, [1])]
        transport.play(progress(1, 10))
        async for value in stream:
            total.append(value)
            if len(total) == 1:
                answers.put_nowait(value)
                await settle(20)
                assert rows(transport) == [(1, True, [11]), (1, None)]
                transport.play(progress(1, 20), m.Result(1, {}, [30]))
    assert total == [10, 20] and stream.result == 30
    transport.close()
    await settle()


async def test_cancelling_a_call_that_is_answered_while_its_callbacks_still_run():
    session, transport = await joined()
    seen = []

    async def on_progress(n):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(n)

    future = session.call("com.a", options=CallOptions(on_progress=on_progress))
    transport.take()
    transport.play(progress(1, 1), m.Result(1, {}, [2]))
    await settle()
    future.cancel()
    await settle()
    assert future.cancelled() and seen == [1] and not session._caller._finishing
    assert transport.take() == []  # there is nothing to cancel at the router
    transport.close()
    await settle()


async def test_an_iterator_that_swallows_its_cancellation_sends_nothing_more():
    session, transport = await joined(roles=STREAMS)
    trace = []

    async def stubborn():
        while len(trace) < 3:
            try:
                yield 1
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                trace.append("cancelled")

    future = session.call("com.a", stubborn())
    await settle()
    transport.take()
    transport.play(m.Result(1, {}, ["enough"]))
    assert await future == "enough"
    await settle()
    assert transport.take() == [] and trace == ["cancelled"] and session.errors == []
    transport.close()
    await settle()


async def test_an_error_while_an_iterator_is_closed_is_reported():
    session, transport = await joined(roles=STREAMS)

    async def endless():
        try:
            while True:
                yield 1
        finally:
            raise ValueError("in the cleanup")

    future = session.call("com.a", endless())
    await settle()
    transport.play(m.Result(1, {}, ["enough"]))
    assert await future == "enough"
    await settle()
    assert session.errors == [(ValueError, "While closing the stream of arguments for com.a")]
    transport.close()
    await settle()

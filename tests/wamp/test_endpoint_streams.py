"""Streams of arguments at the callee, its registrations, and the one report of an error, against a scripted router."""

import asyncio

import pytest

from autobahn.asyncio.wamp import ApplicationSession
from autobahn.wamp import ApplicationError, RegisterOptions
from autobahn.wamp import message as m
from autobahn.wamp.serving import MAX_ENDED_STREAMS
from autobahn.wamp.streams import STREAM_BUFFER
from scripted import RecordingSession, arrived, joined, registered, settle

ASKED = {"receive_progress": True}
OPEN = {"progress": True}


async def ended(transport):
    transport.close()
    await settle()


# ---- streams of arguments --------------------------------------------------------------------------------

STREAM = RegisterOptions(stream=True)


async def test_T_PCI_1_chunks_of_one_request_go_to_one_endpoint_in_order():
    session, transport = await joined()
    seen = []

    async def collect(chunks):
        seen.append([chunk async for chunk in chunks])
        return len(seen[-1])

    await registered(session, transport, collect, options=STREAM)
    transport.play(
        m.Invocation(1, 11, dict(OPEN), [1]),
        m.Invocation(2, 11, dict(OPEN), ["other"]),  # T-PCI-5
        m.Invocation(1, 11, dict(OPEN), [2, 3], {"k": 4}),
        m.Invocation(1, 11, dict(OPEN)),
        m.Invocation(2, 11, {}),
        m.Invocation(1, 11, {}, ["last"]),
        m.Invocation(3, 11, {}, ["no stream"]),
        m.Invocation(4, 11, {}),
    )
    await settle()
    assert sorted(seen, key=len, reverse=True)[0][:1] == [1]
    first = max(seen, key=len)
    assert (list(first[1].results), first[1].kwresults) == ([2, 3], {"k": 4})
    assert first[2:] == [None, "last"]
    assert sorted([s for s in seen if s is not first]) == [[], ["no stream"], ["other"]]
    assert {row[1]: row[3][0] for row in transport.take()} == {1: 4, 2: 1, 3: 1, 4: 0}
    await ended(transport)


async def test_T_PCI_6_an_endpoint_that_answers_each_chunk():
    session, transport = await joined()

    async def total(chunks, details):
        sum_ = 0
        async for chunk in chunks:
            sum_ += chunk
            details.progress(sum_)
        return sum_

    await registered(session, transport, total, options=RegisterOptions(stream=True, details=True))
    for number, chunk in enumerate((1, 2, 3)):
        transport.play(m.Invocation(1, 11, {**OPEN, **(ASKED if number == 0 else {})}, [chunk]))
        await settle()
    assert transport.take() == [[70, 1, OPEN, [1]], [70, 1, OPEN, [3]], [70, 1, OPEN, [6]]]
    transport.play(m.Invocation(1, 11, {}))
    await settle()
    assert transport.take() == [[70, 1, {}, [6]]]

    async def echo(chunks):
        async for chunk in chunks:
            yield chunk

    await registered(session, transport, echo, "com.echo", 12, options=STREAM)
    transport.play(m.Invocation(2, 12, {**OPEN, **ASKED}, ["a"]), m.Invocation(2, 12, {}, ["b"]))
    await settle(12)
    assert transport.take() == [[70, 2, OPEN, ["a"]], [70, 2, OPEN, ["b"]], [70, 2, {}]]
    await ended(transport)


async def test_T_PCI_4_late_chunks_of_an_answered_stream_are_dropped():
    session, transport = await joined()
    calls = []

    async def first_only(chunks):
        calls.append(await anext(chunks))
        return "enough"

    await registered(session, transport, first_only, options=STREAM)
    transport.play(m.Invocation(1, 11, dict(OPEN), [1]))
    await settle()
    assert transport.take() == [[70, 1, {}, ["enough"]]]
    transport.play(m.Invocation(1, 11, dict(OPEN), [2]), m.Invocation(1, 11, {}, [3]))
    await settle()
    assert calls == [1] and transport.take() == [] and session.is_attached()
    transport.play(m.Invocation(1, 11, {}, [4]))  # the stream is over: the id may come again
    await settle()
    assert calls == [1, 4]
    for number in range(2, MAX_ENDED_STREAMS + 10):
        transport.play(m.Invocation(number, 11, dict(OPEN), [1]))
    await settle()
    assert len(session._callee._servant.ended_streams) == MAX_ENDED_STREAMS
    await ended(transport)


async def test_T_PCI_3_an_endpoint_that_takes_no_stream_refuses_it_once():
    session, transport = await joined()
    called = []
    await registered(session, transport, called.append)
    transport.play(m.Invocation(1, 11, dict(OPEN), [1]), m.Invocation(1, 11, dict(OPEN), [2]), m.Invocation(1, 11, {}))
    await settle()
    assert [row[4] for row in transport.take()] == ["wamp.error.feature_not_supported"] and called == []
    transport.play(m.Invocation(2, 11, {}, [3]))
    assert called == [3]
    await ended(transport)


async def test_an_interrupt_ends_a_stream_of_arguments():
    session, transport = await joined()
    trace = []

    async def endpoint(chunks):
        try:
            async for chunk in chunks:
                trace.append(chunk)
        finally:
            trace.append("finally")

    await registered(session, transport, endpoint, options=STREAM)
    transport.play(m.Invocation(1, 11, dict(OPEN), [1]))
    await settle()
    transport.play(m.Interrupt(1, {"mode": "killnowait"}), m.Invocation(1, 11, dict(OPEN), [2]))
    await settle()
    transport.play(m.Invocation(1, 11, dict(OPEN), [3]))
    assert trace == [1, "finally"] and [row[4] for row in transport.take()] == ["wamp.error.canceled"]
    await ended(transport)


async def test_chunks_that_nobody_takes_are_bounded():
    session, transport = await joined()

    async def slow(chunks):
        await asyncio.Event().wait()

    await registered(session, transport, slow, options=STREAM)
    transport.play(*(m.Invocation(1, 11, dict(OPEN), [n]) for n in range(STREAM_BUFFER + 5)))
    await settle()
    assert [row[4] for row in transport.take()] == ["autobahn.error.stream_overflow"] and session.is_attached()
    await ended(transport)


async def test_T_PCI_7_an_id_that_is_being_served_is_a_violation():
    session, transport = await joined()
    await registered(session, transport, lambda details: asyncio.Event().wait(), options=RegisterOptions(details=True))
    transport.play(m.Invocation(1, 11, {}), m.Invocation(1, 11, {}))
    await settle()
    assert [row[2] for row in transport.take()] == ["wamp.error.protocol_violation"]


# ---- registrations ---------------------------------------------------------------------------------------


async def test_T_SHR_7_registering_a_shared_procedure_twice_is_an_error_of_the_second_time():
    session, transport = await joined()
    options = RegisterOptions(invoke="roundrobin")
    first = await registered(session, transport, lambda: 1, options=options)
    future = session.register(lambda: 2, "com.a", options)
    transport.take()
    transport.play(m.Registered(2, 11))
    with pytest.raises(ApplicationError) as caught:
        await future
    assert caught.value.error == "wamp.error.procedure_already_exists" and first.active
    transport.play(m.Invocation(1, 11, {}))
    assert transport.take() == [[70, 1, {}, [1]]]
    session.register(lambda: 3, "com.b")
    transport.take()
    transport.play(m.Registered(3, 11))  # an id that belongs to another procedure
    await settle()
    assert [row[2] for row in transport.take()] == ["wamp.error.protocol_violation"]


async def test_registrations_given_up_leave_nothing_behind():
    session, transport = await joined()
    for number in range(1, 400):
        registration = await registered(session, transport, print, f"com.p{number}", number)
        future = registration.unregister()
        transport.play(m.Unregistered(transport.take()[0][1]))
        assert await future is None and not registration.active
    assert len(session._callee._services) == len(session._callee._retired) == 256
    again = await registered(session, transport, lambda: "new", "com.p1", 399)  # the id is used again
    transport.play(m.Invocation(1, 399, {}))
    assert transport.take() == [[70, 1, {}, ["new"]]] and again.active
    await ended(transport)


async def test_T_RPC_9_every_error_of_an_endpoint_is_reported_once_with_its_frame(caplog):
    """With the frame of the user's function in the traceback, whatever kind of endpoint it is."""

    class Default(RecordingSession):
        onUserError = ApplicationSession.onUserError

    session, transport = await joined(Default())

    def user_plain():
        raise ValueError("mine")

    async def user_async():
        raise ValueError("mine")

    async def user_generator():
        yield 1
        raise ValueError("mine")

    def user_blocking():
        raise ValueError("mine")

    async def user_stream(chunks):
        raise ValueError("mine")

    for number, (endpoint, options) in enumerate(
        [(user_plain, None), (user_async, None), (user_generator, None),
         (user_blocking, RegisterOptions(blocking=True)), (user_stream, STREAM)], 11,
    ):  # fmt: skip
        caplog.clear()
        await registered(session, transport, endpoint, f"com.p{number}", number, options=options)
        transport.play(m.Invocation(number, number, {}))
        (row,) = await arrived(transport, 1)
        assert row[4:] == ["wamp.error.runtime_error", ["mine"]]
        await settle()
        (record,) = caplog.records
        frames, traceback = [], record.exc_info[2]
        while traceback:
            frames.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert endpoint.__name__ in frames and f"com.p{number}" in record.getMessage()
    await ended(transport)

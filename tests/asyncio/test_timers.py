"""`Timers`: in order, exact, cancelled, in the context in which they were set; and nothing is left behind."""

import asyncio
import contextvars
import gc
import weakref

from autobahn.asyncio.timers import Timers, timers_of
from websocket_world import Client, Server, World, until

NAME = contextvars.ContextVar("NAME", default="nobody")


async def test_timers_are_called_in_order_and_not_before_their_time(loop_name):
    loop = asyncio.get_running_loop()
    timers, calls, done = Timers(loop), [], loop.create_future()
    start = loop.time()
    for name, delay in (("b", 0.02), ("c", 0.04), ("a", 0.01), ("b2", 0.02)):
        timers.call_later(delay, lambda name=name: calls.append((name, loop.time() - start)))
    timers.call_later(0.04, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    assert [name for name, _ in calls] == ["a", "b", "b2", "c"]
    assert all(at >= due - 0.002 for (_, at), due in zip(calls, (0.01, 0.02, 0.02, 0.04), strict=True))


async def test_a_cancelled_timer_is_never_called(loop_name):
    loop = asyncio.get_running_loop()
    timers, calls, done = Timers(loop), [], loop.create_future()
    first = timers.call_later(0.01, lambda: calls.append("first"))
    second = timers.call_later(0.01, lambda: calls.append("second"))
    timers.call_later(0.01, lambda: (calls.append("third"), fourth.cancel()))
    fourth = timers.call_later(0.01, lambda: calls.append("fourth"))
    timers.call_later(0.01, lambda: done.set_result(None))
    first.cancel()
    second.cancel()
    second.cancel()
    await asyncio.wait_for(done, 5)
    assert calls == ["third"]
    first.cancel()


async def test_many_cancelled_timers_take_no_memory(loop_name):
    timers = Timers(asyncio.get_running_loop())
    kept = timers.call_later(100, lambda: None)
    queue = timers._queues[100]
    for _ in range(10_000):
        timers.call_later(100, lambda: None).cancel()
        assert len(queue.timers) < 200
    assert kept in queue.timers


async def test_a_length_without_timers_is_forgotten(loop_name):
    loop = asyncio.get_running_loop()
    timers, done = Timers(loop), loop.create_future()
    timers.call_later(0.001, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    assert timers._queues == {}


async def test_a_timer_set_by_a_timer(loop_name):
    loop = asyncio.get_running_loop()
    timers, calls, done = Timers(loop), [], loop.create_future()

    def again():
        calls.append(loop.time())
        if len(calls) == 3:
            done.set_result(None)
        else:
            timers.call_later(0.01, again)

    timers.call_later(0.01, again)
    await asyncio.wait_for(done, 5)
    assert calls[1] - calls[0] > 0.008
    assert calls[2] - calls[1] > 0.008


async def test_a_timer_that_raises_is_reported_and_the_others_go_on(loop_name):
    loop = asyncio.get_running_loop()
    timers, reports, done = Timers(loop), [], loop.create_future()
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    timers.call_later(0.01, lambda: 1 / 0)
    timers.call_later(0.01, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    assert [type(exc) for exc in reports] == [ZeroDivisionError]


async def test_a_timer_is_called_in_the_context_in_which_it_was_set(loop_name):
    loop = asyncio.get_running_loop()
    timers, names, done = Timers(loop), [], loop.create_future()

    async def of(name):
        NAME.set(name)
        timers.call_later(0.01, lambda: names.append(NAME.get()))

    await asyncio.gather(of("alice"), of("bob"))
    timers.call_later(0.01, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    assert names == ["alice", "bob"]


async def test_a_thread_has_the_timers_of_the_loop_that_runs(loop_name):
    loop = asyncio.get_running_loop()
    assert timers_of(loop) is timers_of(loop)
    other = asyncio.new_event_loop()
    try:
        assert timers_of(other) is not timers_of(loop)
        assert timers_of(loop).loop is loop
    finally:
        other.close()


async def test_a_connection_that_is_gone_needs_no_garbage_collector(loop_name):
    async with World(Server) as world:
        client = await world.open(Client)
        gc.disable()
        try:
            client.sendClose(1000)
            log = client.log
            await until(lambda: "close" in str(log) and "close" in str(world.server.log))
            gone = [weakref.ref(client), weakref.ref(world.server)]
            world.clients.clear()
            world.made.clear()
            del client
            await until(lambda: not any(each() for each in gone))
        finally:
            gc.enable()

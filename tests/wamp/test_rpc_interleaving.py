"""Any interleaving of calls, cancels, results, progress, timeouts, invocations, interrupts and ends of sessions: the
session survives, every future is settled, every invocation is answered at most once, and no book keeps anything."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.wamp import ApplicationError, CallOptions, RegisterOptions, SessionNotReady, TransportLost
from autobahn.wamp import message as m
from scripted import RecordingSession, ScriptedTransport, settle

FEATURES = {"call_canceling": True, "progressive_call_invocations": True, "progressive_call_results": True}
ROLES = {"broker": {}, "dealer": {"features": FEATURES}}
EXPECTED = (ApplicationError, TransportLost, SessionNotReady, asyncio.CancelledError, StopAsyncIteration)

KINDS = ("plain", "async", "generator", "progress", "limited", "chunks", "stubborn")
SOON = 15  # turns of the loop after which an interrupted endpoint has ended

pick = st.integers(0, 9)
calls = st.tuples(
    st.just("call"),
    st.sampled_from(["plain", "callback", "async-callback", "stream", "chunks", "chunks-stream"]),
    st.sampled_from([None, 1.0, 2.0]),
    st.sampled_from([None, "skip", "kill", "killnowait"]),
)
invocations = st.tuples(st.just("invoke"), st.sampled_from([*KINDS, "stubborn"]), st.booleans())
actions = st.one_of(
    calls, calls, calls,
    st.tuples(st.just("result"), pick), st.tuples(st.just("result"), pick),
    st.tuples(st.just("progress"), pick), st.tuples(st.just("progress"), pick),
    st.tuples(st.just("error"), pick),
    st.tuples(st.just("burst"), pick),
    st.tuples(st.just("cancel"), pick),
    st.tuples(st.just("again"), pick),
    st.tuples(st.just("read"), pick), st.tuples(st.just("forget"), pick),
    st.tuples(st.just("gate"), pick),
    st.tuples(st.just("time"), st.sampled_from([0.5, 1.0, 3.0])),
    st.tuples(st.just("turns"), st.integers(1, 6)), st.tuples(st.just("turns"), st.integers(1, 6)),
    invocations, invocations, invocations,
    st.tuples(st.just("chunk"), pick, st.booleans()),
    st.tuples(st.just("interrupt"), pick), st.tuples(st.just("interrupt"), pick),
    st.tuples(st.just("end"), st.sampled_from(["leave", "goodbye", "abort", "loss"])),
)  # fmt: skip


class Clock(AsyncioRuntime):
    """A runtime whose time goes on when it is told to."""

    __slots__ = ("now", "timers")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.timers = []

    def call_later(self, delay, callback, *args):
        timer = _Timer(self.now + delay, callback, args)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        self.now += seconds
        due = [t for t in self.timers if t.when <= self.now]
        self.timers = [t for t in self.timers if t.when > self.now and not t.is_cancelled]
        for timer in sorted(due, key=lambda t: t.when):
            if not timer.is_cancelled:
                timer.callback(*timer.args)


class _Timer:
    def __init__(self, when, callback, args):
        self.when, self.callback, self.args, self.is_cancelled = when, callback, args, False

    def cancel(self):
        self.is_cancelled = True


class World:
    """A session, the router's end in our hands, and what both have seen."""

    def __init__(self):
        self.session = RecordingSession()
        self.session.onLeave = lambda details: None  # the transport stays, for another session
        self.session._runtime = Clock()
        self.futures = []  # of every call that was ever made
        self.streams = []
        self.tasks = []
        self.gates = []
        self.open_calls = {}  # request id -> options of its CALL
        self.answered_calls = []
        self.invocations = {}  # request id -> [kind, is the stream of arguments open]
        self.answers = Counter()
        self.cancels = Counter()
        self.last_call = 0
        self.due = {}  # invocation -> turns until it must be answered
        self.serial = 0
        self.number = 0
        self.faults = []

    async def join(self):
        """A joined session, on a new transport if the last one is gone, with all endpoints registered."""
        if self.session._transport is None or not self.transport.open:
            self.transport = ScriptedTransport(self.session)
            self.session.onOpen(self.transport)
        else:
            self.session.join("realm1")
        await settle(4)
        assert [row[0] for row in self.transport.take()][-1] == 1
        self.number += 1
        self.open_calls, self.invocations, self.serial = {}, {}, 0
        self.answers, self.cancels, self.due, self.last_call = Counter(), Counter(), {}, 0
        self.answered_calls = []
        self.transport.play(m.Welcome(self.number, {"roles": ROLES}))
        await settle(4)
        options = {
            "progress": RegisterOptions(details=True),
            "limited": RegisterOptions(concurrency=1),
            "chunks": RegisterOptions(stream=True),
        }
        for number, kind in enumerate(KINDS, 1):
            future = self.session.register(getattr(self, f"serve_{kind}"), f"com.{kind}", options.get(kind))
            self.transport.play(m.Registered(self.transport.take()[0][1], number))
            await future

    # the endpoints

    def gate(self):
        self.gates.append(asyncio.get_running_loop().create_future())
        return self.gates[-1]

    def serve_plain(self):
        return 1

    async def serve_async(self):
        await self.gate()

    async def serve_generator(self):
        yield 1
        await self.gate()
        yield 2

    async def serve_progress(self, details):
        if details.progress:
            details.progress(1)
        await self.gate()
        if details.progress:
            details.progress(2)

    serve_limited = serve_async

    async def serve_chunks(self, chunks):
        async for _ in chunks:
            await self.gate()

    async def serve_stubborn(self):
        number = self.number
        try:
            await self.gate()
        except asyncio.CancelledError:
            try:
                await self.gate()
            except asyncio.CancelledError:
                if self.number == number and self.session._is_established():
                    self.faults.append("cancelled twice")
                raise
        return "saved"

    # what both ends do

    def call(self, kind, timeout, mode):
        options = CallOptions(timeout=timeout, cancel_mode=mode, stream_buffer=3)
        args = (self.chunks(),) if kind.startswith("chunks") else ()
        try:
            if kind.endswith("stream"):
                stream = self.session.call_stream("com.x", *args, options=options)
                self.futures.append(stream._future)
                self.streams.append(stream)
                return
            if kind == "callback":
                options.on_progress = lambda *args: None
            elif kind == "async-callback":
                options.on_progress = self.callback
            self.futures.append(self.session.call("com.x", *args, options=options))
        except EXPECTED:
            assert not self.session._is_established()

    async def callback(self, n):
        await self.gate()

    async def chunks(self):
        for n in range(3):
            await self.gate()
            yield n

    async def read(self, stream):
        try:
            await anext(stream)
        except asyncio.CancelledError:
            self.faults.append("a reader was cancelled")
        except EXPECTED:
            pass
        except RuntimeError as exc:
            if "one consumer" not in str(exc):
                raise

    def hear(self):
        """What the session has sent goes into the router's books; what must never be sent is noticed."""
        for row in self.transport.take():
            code = row[0]
            assert code != 3, f"the session has aborted: {row}"
            if code == 48:
                goes_on = row[1] in self.open_calls and self.open_calls[row[1]].get("progress")
                assert goes_on or row[1] > self.last_call, f"a call that is over goes on: {row}"
                self.last_call = max(self.last_call, row[1])
                self.open_calls[row[1]] = row[2]
            elif code == 49:
                self.cancels[row[1]] += 1
                assert self.cancels[row[1]] == 1
                if self.open_calls.pop(row[1], None) is not None:
                    self.answered_calls.append(row[1])
            elif code == 70 and row[2].get("progress"):
                assert row[1] in self.invocations
                assert not self.answers[row[1]], "a progressive result after the final answer"
            elif code in (70, 8):
                number = row[1] if code == 70 else row[2]
                assert number in self.invocations, f"an answer to what was never asked: {row}"
                self.due.pop(number, None)
                self.answers[number] += 1
                assert self.answers[number] == 1, f"answered twice: {row}"

    def do(self, action, *args):
        getattr(self, f"do_{action}")(*args)

    def do_call(self, kind, timeout, mode):
        self.call(kind, timeout, mode)

    def _answer(self, number, make):
        if self.open_calls:
            request = sorted(self.open_calls)[number % len(self.open_calls)]
            if make is not None:
                del self.open_calls[request]
                self.answered_calls.append(request)
                self.transport.play(make(request))
            else:
                self.transport.play(m.Result(request, {"progress": True}, [1]))

    def do_result(self, number):
        self._answer(number, lambda request: m.Result(request, {}, [1]))

    def do_error(self, number):
        self._answer(number, lambda request: m.Error(48, request, {}, "com.error"))

    def do_progress(self, number):
        self._answer(number, None)

    def do_burst(self, number):
        for _ in range(5):
            self._answer(number, None)

    def do_again(self, number):
        """A late answer to a call that was answered or canceled: a race, not a violation."""
        if self.answered_calls and self.session._is_established():
            request = self.answered_calls[number % len(self.answered_calls)]
            if request <= self.session._requests.last_id and request not in self.open_calls:
                self.transport.play(m.Result(request, {"progress": bool(number % 2)}, [1]))

    def do_cancel(self, number):
        if self.futures:
            future = self.futures[number % len(self.futures)]
            request = next((request for request in self.session._requests if request.future is future), None)
            future.cancel()
            if request is not None:
                sent = [msg.request for msg in self.transport.sent if msg.code == 49]
                assert sent == [request.id], "CANCEL goes out with the cancelling"

    def do_read(self, number):
        if self.streams:
            stream = self.streams[number % len(self.streams)]
            self.tasks.append(asyncio.ensure_future(self.read(stream)))

    def do_forget(self, number):
        if self.streams:
            del self.streams[number % len(self.streams)]

    def do_gate(self, number):
        if self.gates:
            gate = self.gates.pop(number % len(self.gates))
            if not gate.done():
                gate.set_result(None)

    def do_time(self, seconds):
        self.session._runtime.advance(seconds)

    def do_invoke(self, kind, wants_progress):
        if self.session._is_established():
            self.serial += 1
            details = {"receive_progress": True} if wants_progress else {}
            if kind == "chunks":
                details["progress"] = True
            self.invocations[self.serial] = [kind, kind == "chunks"]
            args = [1] if kind == "chunks" else []
            self.transport.play(m.Invocation(self.serial, KINDS.index(kind) + 1, details, args))

    def do_chunk(self, number, is_last):
        running = [n for n, (_, is_open) in sorted(self.invocations.items()) if is_open]
        if running and self.session._is_established():
            request = running[number % len(running)]
            self.invocations[request][1] = not is_last
            details = {} if is_last else {"progress": True}
            self.transport.play(m.Invocation(request, KINDS.index("chunks") + 1, details, [1]))

    def do_interrupt(self, number):
        if self.session._is_established():
            request = 1 + number % (self.serial + 1)
            if request in self.invocations and not self.answers[request] and self.invocations[request][0] != "stubborn":
                self.due.setdefault(request, SOON)
            self.transport.play(m.Interrupt(request, {"mode": "kill"}))

    def do_end(self, how):
        if not self.session._is_established():
            return
        if how == "leave":
            self.session.leave()
            self.transport.play(m.Goodbye({}, "wamp.close.goodbye_and_out"))
        elif how == "goodbye":
            self.transport.play(m.Goodbye({}, "wamp.close.system_shutdown"))
        elif how == "abort":
            self.transport.play(m.Abort({}, "com.reason"))
        else:
            self.transport.open = False
            self.session.onClose(False)
        self.check_nothing_pending()

    def check_nothing_pending(self):
        """Everything has failed at once."""
        assert all(future.done() for future in self.futures)
        session = self.session
        assert len(session._requests) == 0
        assert not session._caller._unsent and not session._caller._finishing
        assert not session._callee._servant._serving and not session._callee._servant.ended_streams

    async def run(self, steps):
        await self.join()
        for step in steps:
            if step[0] == "turns":
                await settle(step[1])
            else:
                self.do(*step)
            self.hear()
            self.due = {request: left - (step[1] if step[0] == "turns" else 0) for request, left in self.due.items()}
            assert all(left > 0 for left in self.due.values()), "interrupted, and not answered"
            if not self.session._is_established():
                await settle(4)
                self.hear()
                await self.join()
        await self.finish()

    async def finish(self):
        """Let everything end in peace: each call has a result, each endpoint ends, each invocation has its answer."""
        self.streams.clear()
        for _ in range(300):
            while self.gates:
                self.do_gate(0)
            for request in list(self.open_calls):
                if not self.open_calls[request].get("progress"):
                    self.do_result(0)
            for request, (_, is_open) in self.invocations.items():
                if is_open:
                    self.do_chunk(0, True)
                    break
            await settle(2)
            self.hear()
            if all(f.done() for f in self.futures) and not self.session._callee._servant._serving and not self.gates:
                break
        assert all(future.done() for future in self.futures)
        for future in self.futures:
            assert future.cancelled() or future.exception() is None or isinstance(future.exception(), EXPECTED)
        assert set(self.answers) == set(self.invocations), "every invocation has one answer"
        assert self.session.is_attached()
        session = self.session
        assert len(session._requests) == 0 and not session._callee._servant._serving
        assert all(s.running == 0 and not s.waiting for s in session._callee._services.values())
        self.do_end("leave")
        await settle(10)
        self.transport.open = False
        self.session.onClose(True)
        await settle(10)
        assert all(task.done() and task.exception() is None for task in self.tasks)
        assert self.session.errors == [] and self.faults == []
        assert not self.session._runtime._tasks


@settings(deadline=None, max_examples=200)
@given(st.lists(actions, min_size=30, max_size=100))
def test_the_session_survives_any_interleaving(steps):
    errors = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
        before = asyncio.all_tasks()
        await World().run(steps)
        assert asyncio.all_tasks() == before, "tasks left behind"

    asyncio.run(main())
    assert not errors, errors

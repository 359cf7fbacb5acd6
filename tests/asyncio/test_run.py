"""`run`: whose loop, which signals, what is left behind; programs in processes of their own."""

import asyncio
import logging
import os
import signal
import sys
import textwrap
import threading
import warnings

import pytest

from autobahn.asyncio.component import Component, run
from autobahn.asyncio.router import Router
from autobahn.exception import ComponentFailed
from component_world import free_port, transport

PRELUDE = """
import asyncio, os, signal, sys, threading
from autobahn.asyncio.component import Component, run
from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
url = sys.argv[1]
def component(**kwargs):
    c = Component(transports=url, realm="realm1", **kwargs)
    c.on_ready(lambda session: print("ready"))
    c.on_leave(lambda session, details: print("left", details.reason))
    c.on_disconnect(lambda session, was_clean: print("disconnected", was_clean))
    return c
def handlers():
    return [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
"""
GOODBYE = "ready\nleft wamp.close.goodbye_and_out\ndisconnected True\n"


async def program(text, url, *signals, after=b"ready"):
    """What it prints, its errors, its exit status; ``signals`` are sent one after the other when it says ``after``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(text), url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    out = b""
    for number in signals:
        while after not in out:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            out += line
        process.send_signal(number)
        after = b"again"
    rest, err = await asyncio.wait_for(process.communicate(), 40)
    return (out + rest).decode(), err.decode(), process.returncode


PLACES = {
    "plain": """
        before = handlers()
        print(run(component(), log_level=None))
        assert handlers() == before
        """,
    "a loop that is set": """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        other = loop.create_task(asyncio.Event().wait())
        before = handlers()
        print(run(component(), log_level=None))
        assert handlers() == before and asyncio.get_event_loop() is loop
        assert not loop.is_closed() and not other.done()
        other.cancel()
        try:
            loop.run_until_complete(other)
        except asyncio.CancelledError:
            loop.close()
        """,
    "asyncio.run": """
        async def main():
            other = asyncio.create_task(asyncio.Event().wait())
            before = handlers()
            print(await run(component(), log_level=None))
            assert handlers() == before and not other.done()
        asyncio.run(main())
        """,
    "a running loop, not awaited": """
        async def main():
            task = run([component()], log_level=None)
            assert isinstance(task, asyncio.Task)
            await asyncio.wait({task})
            print(task.result())
        asyncio.run(main())
        """,
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
async def test_a_signal_says_goodbye(place, number):
    async with Router() as router:
        out, err, status = await program(PLACES[place], router.url, number)
        assert (out, err, status) == (GOODBYE + "None\n", "", 0)
        assert router.core.sessions == 0


async def test_a_second_signal_does_what_it_did_before():
    async with Router() as router:
        out, err, status = await program(
            """
            c = component()
            @c.on_leave
            async def endless(session, details):
                print("again")
                await asyncio.Event().wait()
            try:
                run(c, log_level=None)
            except KeyboardInterrupt:
                print("interrupted")
            """,
            router.url, signal.SIGINT, signal.SIGINT,
        )  # fmt: skip
    assert out.endswith("interrupted\n") and status == 0, err


async def test_in_a_running_loop_handlers_of_the_program_are_left_alone():
    async with Router() as router:
        out, err, status = await program(
            """
            async def main():
                c = component()
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (print("mine"), c.stop()))
                before = handlers()[1]
                await run(c, log_level=None)
                assert handlers()[1] is before
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.05)
            asyncio.run(main())
            """,
            router.url, signal.SIGTERM,
        )  # fmt: skip
    assert (out.replace(GOODBYE[6:], ""), status) == ("ready\nmine\nmine\n", 0), err


async def test_cells_of_a_notebook():
    """One loop runs all the time; cells are tasks in it, one at a time."""
    cells = [
        "task = run(component(), log_level=None)",
        "await asyncio.wait({task}, timeout=0.2)\nprint(task.done())",
        "task.cancel()\nawait asyncio.wait({task})\nprint(task.cancelled())",
        "c = component()\nc.on_ready(lambda s: c.stop())\nawait run(c, log_level=None)",
    ]
    async with Router() as router:
        out, err, status = await program(
            f"""
            import ast, inspect
            names = dict(globals())
            async def cell(text):
                code = compile(text, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                outcome = eval(code, names)
                if inspect.isawaitable(outcome):
                    await outcome
            loop = asyncio.new_event_loop()
            for text in {cells!r}:
                loop.run_until_complete(cell(text))
            print(asyncio.all_tasks(loop))
            loop.close()
            """,
            router.url,
        )
    assert (err, status) == ("", 0)
    assert out == GOODBYE.replace("left", "False\nleft") + "True\n" + GOODBYE + "set()\n"


async def test_asyncio_run_that_is_interrupted_says_goodbye():
    """Without `run`: the component is started and awaited."""
    async with Router() as router:
        out, err, status = await program(
            """
            async def main():
                await component().start()
            try:
                asyncio.run(main())
            except KeyboardInterrupt:
                print("interrupted")
            """,
            router.url, signal.SIGINT,
        )  # fmt: skip
        while router.core.sessions:
            await asyncio.sleep(0.005)
    assert out.startswith("ready\n") and out.endswith("interrupted\n") and status == 0, err


async def test_threads_with_a_loop_each():
    async with Router() as router:
        ended = []

        def main():
            component = Component(transports=transport(router.url), realm="realm1")
            component.on_ready(lambda session: session.leave())
            ended.append(run(component, log_level=None))
            with warnings.catch_warnings(), pytest.raises(RuntimeError):
                warnings.simplefilter("ignore")
                asyncio.get_event_loop()  # none was set

        await asyncio.gather(*(asyncio.to_thread(main) for _ in range(8)))
    assert ended == [None] * 8


async def test_run_waits_for_all_and_raises_when_asked():
    good, bad = [], []
    async with Router() as router:

        async def main(loop, session):
            await asyncio.sleep(0.1)
            good.append(1)

        def components(*urls):
            made = [Component(main=main, transports=transport(url, max_retries=0), realm="realm1") for url in urls]
            for component in made:
                component.on_connectfailure(lambda c, exc: bad.append(exc))
            return made

        nowhere = f"ws://127.0.0.1:{free_port()}/ws"
        await run(components(nowhere, router.url), log_level=None)
        assert (len(good), len(bad)) == (1, 1)
        with pytest.raises(ComponentFailed) as caught:
            await run(components(nowhere, router.url), log_level=None, raise_errors=True)
        assert caught.value.__cause__ is bad[1] and len(good) == 2
        with pytest.raises(ExceptionGroup) as several:
            await run(components(nowhere, nowhere), log_level=None, raise_errors=True)
        assert [type(exc) for exc in several.value.exceptions] == [ComponentFailed] * 2
        await run([], log_level=None)


async def test_cancelling_run_stops_the_components():
    async with Router() as router:
        left, ready = [], asyncio.Event()
        component = Component(transports=transport(router.url), realm="realm1")
        component.on_ready(lambda session: ready.set())
        component.on_leave(lambda session, details: left.append(details.reason))
        task = run(component, log_level=None)
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left == ["wamp.close.goodbye_and_out"]


async def test_what_is_left_on_a_loop_of_runs_own_is_cancelled_as_by_asyncio_run():
    async with Router() as router:
        out, err, status = await program(
            """
            async def other():
                try:
                    await asyncio.Event().wait()
                finally:
                    print("other ends")
            async def main(loop, session):
                loop.mine = loop.create_task(other())
                await asyncio.sleep(0)
            print(run(component(main=main), log_level=None))
            """,
            router.url,
        )
    assert (out, err, status) == (GOODBYE + "other ends\nNone\n", "", 0)


# ---- nothing of the process is touched (N51) -----------------------------------------------------------------------

SIDE_EFFECTS = """
import asyncio, gc, logging, random, signal, sys, threading, types, warnings
import locale, os, socket, decimal
txaio = types.ModuleType("txaio")
txaio.config = types.SimpleNamespace(loop=None)
sys.modules["txaio"] = txaio

def state():
    root = logging.getLogger()
    policy = asyncio.events._event_loop_policy
    return {
        "root logger": (root.level, list(root.handlers), list(root.filters), logging.raiseExceptions),
        "last resort": (logging.lastResort, logging.getLoggerClass(), logging.root.manager.disable),
        "autobahn logger": (logging.getLogger("autobahn").level, list(logging.getLogger("autobahn").handlers)),
        "signals": [signal.getsignal(n) for n in range(1, signal.NSIG) if n not in (32, 33)],
        "wakeup fd": signal.set_wakeup_fd(-1),
        "policy": policy,
        "loop of the thread": getattr(getattr(policy, "_local", None), "_loop", None),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook, sys.gettrace()),
        "txaio": (txaio.config.loop, sorted(vars(txaio))),
        "random": random.getstate(),
        "decimal": str(decimal.getcontext()),
        "socket timeout": socket.getdefaulttimeout(),
        "recursion": sys.getrecursionlimit(),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "switch interval": sys.getswitchinterval(),
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
    }

def check(where):
    after = state()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, (where, [(name, before[name], after[name]) for name in changed])

asyncio.new_event_loop().close()  # asyncio makes its policy when it is first needed
before = state()
import autobahn.asyncio.component
import autobahn.asyncio.wamp
import autobahn.asyncio.websocket
import autobahn.asyncio.rawsocket
check("import")
"""


async def test_import_component_run_and_runner_leave_the_process_as_it_was():
    text = SIDE_EFFECTS + textwrap.dedent(
        """
        from autobahn.asyncio.component import Component, run
        from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
        async def main(loop, session):
            pass
        component = Component(main=main, transports=sys.argv[1], realm="realm1")
        check("Component")
        for _ in range(2):
            run(component, log_level=None)
            check("run")
        class Mine(ApplicationSession):
            def onJoin(self, details):
                self.leave()
        for again in (False, True):
            ApplicationRunner(sys.argv[1], "realm1").run(Mine, log_level=None, auto_reconnect=again)
            check("ApplicationRunner")
        print("as before")
        """
    )
    async with Router() as router:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", text, router.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 40)
    assert (out.decode(), process.returncode) == ("as before\n", 0), err.decode()


def test_logging_is_shown_only_when_asked_and_only_ours():
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    run([], log_level="debug")
    assert (root.level, root.handlers) == before
    assert logging.getLogger("autobahn").level == logging.DEBUG
    assert threading.current_thread() is threading.main_thread()

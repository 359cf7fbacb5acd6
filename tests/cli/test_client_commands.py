"""``autobahn call``, ``publish``, ``subscribe`` and ``register`` as scripts see them, against the embedded router."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import sys

import pytest

import autobahn
from autobahn.asyncio.router import Router
from autobahn.cli import main
from autobahn.cli.values import line, value
from autobahn.wamp import ApplicationError, CallOptions, CallResult, PublishOptions, RegisterOptions

PATIENCE = 20
AUTH = {
    "realm1": {
        "ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}},
        "wampcra": {"principals": {"joe": {"secret": "secret", "role": "user"}}},
    }
}


@pytest.fixture
def command(capsys):
    """A command that runs to its end, in a thread of this process: (status, values on stdout, stderr)."""

    def status_of(arguments):
        try:
            return main(arguments)
        except SystemExit as exc:  # of argparse
            return exc.code

    async def run(*arguments):
        capsys.readouterr()
        status = await asyncio.wait_for(asyncio.to_thread(status_of, arguments), PATIENCE)
        out, errors = capsys.readouterr()
        return status, [json.loads(text) for text in out.splitlines()], errors

    return run


async def started(*arguments):
    pipe = asyncio.subprocess.PIPE
    python = [sys.executable, "-W", "error", "-m", "autobahn"]
    return await asyncio.create_subprocess_exec(*python, *arguments, stdin=None, stdout=pipe, stderr=pipe)


@contextlib.asynccontextmanager
async def running(*arguments, ready):
    """A command that waits, once it is ``ready`` to."""
    process = await started(*arguments)
    try:
        assert await asyncio.wait_for(process.stderr.readline(), PATIENCE) == ready.encode() + b"\n"
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()


async def row(process):
    return json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))


@contextlib.asynccontextmanager
async def world(**kwargs):
    """A router, and a session that serves some procedures."""
    async with Router(**kwargs) as router, autobahn.connect(router.url, realm="realm1") as session:

        def fails(*args):
            raise ApplicationError("com.error", "text", *args, number=5)

        async def counts(n):
            for i in range(n):
                yield i

        async def last(n, details):
            details.progress("first")
            return "last"

        await session.register(lambda *args, **kwargs: CallResult(*args, **kwargs), "com.echo")
        await session.register(lambda: b"\x00\xff", "com.octets")
        await session.register(fails, "com.fails")
        await session.register(counts, "com.counts")
        await session.register(last, "com.last", RegisterOptions(details_arg="details"))
        await session.register(lambda: asyncio.sleep(PATIENCE), "com.sleeps")
        yield router, session


async def test_call(command):
    async with world() as (router, _):
        calls = [
            (["com.echo", "5"], [5]),
            (["com.echo", "abc"], ["abc"]),
            (["com.echo", '"5"'], ["5"]),
            (["com.echo"], [None]),
            (["com.echo", "-1", "--kw", "k=[1, null]", "--kw", "s=a=b"],
             [{"args": [-1], "kwargs": {"k": [1, None], "s": "a=b"}}]),
            (["com.octets"], ["\0AP8="]),
            (["--progress", "com.counts", "3"], [0, 1, 2]),
            (["--progress", "com.last", "3"], ["first", "last"]),
            (["--progress", "com.echo", "x"], ["x"]),
        ]  # fmt: skip
        outcomes = [await command("call", router.url, *arguments) for arguments, _ in calls]
    assert outcomes == [(0, expected, "") for _, expected in calls]


async def test_what_goes_wrong_has_its_status_and_a_line_on_stderr(command):
    async with world() as (router, _):
        url = router.url
        cases = [
            (["call", url, "com.fails", "1"], 1, 'autobahn call: com.error: text 1 {"number": 5}\n'),
            (["call", url, "com.nothing"], 1, "autobahn call: wamp.error.no_such_procedure: "),
            (["call", url, "com.sleeps", "--timeout", "0.2"], 1, "autobahn call: wamp.error.timeout: "),
            (["publish", url, "--realm", "no realm", "com.t"], 1, "autobahn publish: wamp.error.invalid_uri: "),
            (["call", url, "com nothing"], 2, "autobahn call: expected a URI, "),
            (["call", url, "com.echo", "--kw", "k"], 2, "autobahn call: expected --kw as key=value, got 'k'\n"),
            (["call", "http://localhost/", "com.echo"], 2, "autobahn call: expected a ws://, wss://, rs:// or rss:// "),
            (["call", url, "com.echo", "--ticket", "@/no/file"], 2, "No such file or directory: '/no/file'"),
            (["call", url, "com.echo", "--timeout", "0"], 2, "expected seconds, more than 0, got 0"),
            (["call", url, "com.echo", "--serializer", "xml"], 2, "autobahn call: "),
            (["subscribe", "ws://127.0.0.1:1/", "com.t"], 3, "autobahn subscribe: ws://127.0.0.1:1/: "),
        ]
        outcomes = [await command(*arguments) for arguments, _, _ in cases]
    for (arguments, status, text), (got, out, errors) in zip(cases, outcomes, strict=True):
        assert (got, out) == (status, []), (arguments, errors)
        assert text in errors and "Traceback" not in errors, (arguments, errors)


async def test_publish_and_subscribe(command):
    async with world() as (router, session):
        url = router.url.replace("ws://", "ws://")
        arguments = ("subscribe", url, "com.t", "--match", "prefix", "--count", "3")
        async with running(*arguments, ready="subscribed com.t") as process:
            assert (await command("publish", url, "com.t.a", "1", "x", "--kw", "k=[]"))[0] == 0
            first = await row(process)
            assert first.pop("publication") > 0
            assert first == {"topic": "com.t.a", "args": [1, "x"], "kwargs": {"k": []}}
            for octets in (b"a", b""):
                await session.publish("com.t", octets, options=PublishOptions(acknowledge=True))
            assert [(await row(process))["args"] for _ in range(2)] == [["\0YQ=="], ["\0"]]
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        status, ((publication,),), errors = await command("publish", url, "com.kept", "5", "--retain")
        assert (status, publication, errors) == (0, "publication", "")
        status, (event,), _ = await command("subscribe", url, "com.kept", "--retained", "--count", "1")
        assert (status, event["args"], event["retained"]) == (0, [5], True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_what_waits_in_order(number):
    async with world() as (router, session):
        left = asyncio.Event()
        await session.subscribe(lambda *args: left.set(), "wamp.session.on_leave")
        async with running("subscribe", router.url, "com.t", ready="subscribed com.t") as process:
            process.send_signal(number)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
            await asyncio.wait_for(left.wait(), PATIENCE)
            assert await process.stderr.read() == b""


async def test_a_lost_connection_ends_what_waits():
    async with world() as (router, session):
        async with running("subscribe", router.url, "com.t", ready="subscribed com.t") as process:
            others = [link for link in router.core.links if link.id != session.session_id]
            others[0].abort()
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 3
            assert b"autobahn subscribe: " in await process.stderr.read()


async def test_register_answers_with_what_came():
    async with world() as (router, session):
        arguments = ("register", router.url, "com.mine", "--match", "prefix", "--count", "2")
        async with running(*arguments, ready="registered com.mine") as process:
            assert await session.call("com.mine", 5) == 5
            assert await row(process) == {"procedure": "com.mine", "args": [5]}
            result = await session.call("com.mine.below", 1, 2, k=[3])
            assert (result.results, result.kwresults) == ((1, 2), {"k": [3]})
            assert await row(process) == {"procedure": "com.mine.below", "args": [1, 2], "kwargs": {"k": [3]}}
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_register_answers_by_a_command():
    async with world() as (router, session):
        shell = (
            'read line; case $line in *json*) echo \'{"a": 1}\';; *fail*) echo why >&2; exit 3;; *) echo "$line";; esac'
        )
        arguments = ("register", router.url, "com.mine", "--shell", shell)
        async with running(*arguments, ready="registered com.mine"):
            assert await session.call("com.mine", "json") == {"a": 1}
            assert await session.call("com.mine", "$(echo hi)") == {"args": ["$(echo hi)"]}
            with pytest.raises(ApplicationError) as caught:
                await session.call("com.mine", "fail")
            assert (caught.value.error, caught.value.args) == ("autobahn.error.command_failed", ("why",))
            assert caught.value.kwargs == {"status": 3}


async def test_a_canceled_call_ends_its_command(tmp_path):
    async with world() as (router, session):
        shell = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 1000"
        async with running("register", router.url, "com.mine", "--shell", shell, ready="registered com.mine"):
            future = session.call("com.mine", options=CallOptions(cancel_mode="kill"))
            async with asyncio.timeout(PATIENCE):
                while not (tmp_path / "pid").exists():
                    await asyncio.sleep(0.02)
                future.cancel()
                group = int((tmp_path / "pid").read_text())
                with pytest.raises(ProcessLookupError):
                    while True:
                        os.killpg(group, 0)
                        await asyncio.sleep(0.02)


async def test_authentication(command, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    async with Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"], auth=AUTH) as router:
        who = ["wamp.session.count", "--authid", "joe"]
        cases = [
            ([router.urls[0], *who, "--ticket", "secret"], 0),
            ([router.urls[1], *who, "--secret", f"@{secret}", "--serializer", "json"], 0),
            ([router.urls[0], *who, "--ticket", "wrong"], 1),
            ([router.urls[0], *who], 1),
        ]
        outcomes = [await command("call", *arguments) for arguments, _ in cases]
    assert [status for status, _, _ in outcomes] == [status for _, status in cases], outcomes


@pytest.mark.parametrize("name", ["call", "publish", "subscribe", "register"])
def test_help_says_what_the_exit_status_means(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and "exit status: 0 when" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["call", "publish", "subscribe", "register"])
def test_the_page_has_every_option(name, capsys):
    page = (pathlib.Path(__file__).parent.parent.parent / "docs" / "cli.md").read_text()
    with pytest.raises(SystemExit):
        main([name, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) > 8 and {option for option in options if f"`{option}" not in page} == set()


def test_values():
    assert [value(text) for text in ("1", "1.5", "true", "[1]", '{"a": 1}', "a b", "", "01")] == [
        1, 1.5, True, [1], {"a": 1}, "a b", "", "01",
    ]  # fmt: skip
    assert (
        line(["\u00e9", b"a", CallResult(1, a=b"")])
        == '["\u00e9", "\\u0000YQ==", {"args": [1], "kwargs": {"a": "\\u0000"}}]'
    )

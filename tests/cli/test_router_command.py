"""``autobahn router`` as its users and their service managers see it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from autobahn.asyncio.component import Component
from autobahn.asyncio.systemd import Notifier, listen_sockets
from autobahn.cli import main
from autobahn.router.settings_reference import reference
from autobahn.wamp.types import PublishOptions

ACKNOWLEDGED = PublishOptions(acknowledge=True)
CONFIG = """
[router]
drain = 0.2
[realms.realm1.roles]
anonymous = true
[[listeners]]
url = "ws://127.0.0.1:0/ws"
[[listeners]]
url = "http://127.0.0.1:0"
[log]
format = "json"
"""
DOCS = Path(__file__).parent.parent.parent / "docs" / "router.md"


@contextmanager
def started(*arguments, stderr=subprocess.PIPE, **kwargs):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "autobahn", "router", *arguments],
        stdout=subprocess.PIPE, stderr=stderr, text=True, **kwargs,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def session(url, main):
    """Runs ``main(session)`` in a session."""

    async def run():
        component = Component(
            main=lambda loop, session: main(session), transports={"url": url, "max_retries": 0}, realm="realm1",
            is_fatal=lambda exc: True,
        )  # fmt: skip
        await component.start()

    asyncio.run(run())


def urls_of(process):
    return re.search(r"listening at (\S+), (\S+) as ", process.stdout.readline()).groups()


def lines_until(process, text):
    """The records of the log up to the one whose message has ``text``."""
    records = []
    while True:
        record = json.loads(process.stderr.readline())
        records.append(record)
        if text in record["message"]:
            return records


# ---- arguments ------------------------------------------------------------------------------------------------------


def test_check(tmp_path, capsys):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG)
    assert main(["router", "--check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: as expected, 1 realm and 2 listeners\n"
    path.write_text(CONFIG.replace("drain", "drian").replace("ws:", "wz:").replace("json", "xml"))
    assert main(["router", "--check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and [line.split(":")[1] for line in err.splitlines()] == ["3", "7", "11"]
    assert "did you mean 'drain'?" in err.splitlines()[0]
    assert main(["router", "--config", str(path)]) == 1
    assert capsys.readouterr().err == err
    assert main(["router", "--check", str(tmp_path / "none.toml")]) == 1
    assert "expected a file that can be read" in capsys.readouterr().err


def test_wrong_arguments(capsys):
    assert main(["router", "--config", "x", "--url", "ws://127.0.0.1:1/"]) == 2
    assert "expected --url and --realm without a file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["router", "--config", "x", "--check", "y"])
    assert caught.value.code == 2
    for host in ("0.0.0.0", "example.com", "[::]", "192.168.0.1"):
        assert main(["router", "--url", f"ws://{host}:0/ws"]) == 1
        assert "expected a loopback address in development mode" in capsys.readouterr().err


def test_an_address_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["router", "--url", f"ws://127.0.0.1:{taken.getsockname()[1]}/ws"]) == 1
    assert re.match(r"autobahn router: cannot listen at ws://\S+: .*in use", capsys.readouterr().err)


def test_help_tells_what_there_is(capsys):
    with pytest.raises(SystemExit):
        main(["router", "--help"])
    text = capsys.readouterr().out
    for word in (
        "--config",
        "--check",
        "--url",
        "--realm",
        "--log-format",
        "development mode",
        "SIGHUP",
        "exit status",
    ):
        assert word in text


def test_the_reference_in_the_documentation_is_that_of_the_records(capsys):
    assert main(["router", "--reference"]) == 0
    assert capsys.readouterr().out == reference()
    assert reference() in DOCS.read_text(), "paste the output of: autobahn router --reference"


def test_the_examples_in_the_documentation_are_as_expected(tmp_path, capsys):
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.S)
    assert len(examples) >= 2
    (tmp_path / "principals.toml").write_text('[ann]\nsecret = "s"\nrole = "backend"\n')
    import trustme

    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(example)
        assert main(["router", "--check", str(path)]) == 0, capsys.readouterr().err


# ---- a running router ------------------------------------------------------------------------------------------------


def test_development_mode_says_so_and_makes_realms():
    with started("--url", "ws://127.0.0.1:0/ws") as process:
        first, second = process.stdout.readline(), process.stdout.readline()
        assert "for realm any" in first and second.startswith("development mode: everybody on this machine")
        pages = re.findall(r"http://127\.0\.0\.1:\d+/\w+", process.stdout.readline())
        assert [page.rsplit("/")[-1] for page in pages] == ["healthz", "readyz", "metrics"]
        for page in pages:
            with urllib.request.urlopen(page, timeout=10) as answer:
                assert answer.status == 200 and answer.read()

        async def main(session):
            assert await session.call("wamp.session.count") == 1

        session(re.search(r"ws://\S+", first)[0], main)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_reload_by_signal_and_one_that_fails(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG)
    with started("--config", str(path)) as process:
        url, _ = urls_of(process)

        async def main(session):
            path.write_text(CONFIG.replace("drain = 0.2", "drain = 'soon'"))
            process.send_signal(signal.SIGHUP)
            records = lines_until(process, "everything stays as it was")
            assert records[0]["level"] == "info" and records[0]["session"] == session.session_id
            assert records[-2]["message"].startswith(f"{path}:3: router.drain: expected a number")
            path.write_text(CONFIG.replace("anonymous = true", "anonymous.permissions = []"))
            process.send_signal(signal.SIGHUP)
            lines_until(process, "was read again")
            with pytest.raises(Exception, match="not_authorized"):
                await session.call("com.anything")

        session(url, main)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_structured_log_of_a_session(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG)
    with started("--config", str(path)) as process:
        url, _ = urls_of(process)
        seen = []

        async def main(session):
            seen.append(session.session_id)

        session(url, main)
        joined, left = lines_until(process, "left")
        expected = {"level": "info", "logger": "autobahn.router.sessions", "session": seen[0], "realm": "realm1"}
        for record in (joined, left):
            assert expected.items() <= record.items()
            assert record["authrole"] == "anonymous" and record["peer"].startswith("tcp4:127.0.0.1:")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_second_signal_hurries_the_end(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG.replace("drain = 0.2", "drain = 1000.0"))
    with started("--config", str(path)) as process:
        url, _ = urls_of(process)

        async def main(session):
            process.send_signal(signal.SIGTERM)
            lines_until(process, "stopping on SIGTERM: GOODBYE to 1 sessions")
            process.send_signal(signal.SIGTERM)
            await asyncio.Event().wait()

        with pytest.raises(RuntimeError, match=r"Component failed|Exhausted"):
            session(url, main)
        assert process.wait(10) == 0


# ---- systemd -------------------------------------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path):
    """A service manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def said(manager):
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())


def test_the_service_manager_is_told_how_things_are(tmp_path, manager):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG)
    environ = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with started("--config", str(path), env=environ, stderr=subprocess.DEVNULL) as process:
        url, _ = urls_of(process)
        ready = said(manager)
        assert ready["READY"] == "1" and url in ready["STATUS"]
        for _ in range(3):
            assert said(manager) == {"WATCHDOG": "1"}
        process.send_signal(signal.SIGHUP)
        messages = [said(manager)]
        while "READY" not in messages[-1]:
            messages.append(said(manager))
        (reloading,) = [message for message in messages if "RELOADING" in message]
        assert reloading["MONOTONIC_USEC"].isdigit()
        process.send_signal(signal.SIGTERM)
        while "STOPPING" not in messages[-1]:
            messages.append(said(manager))
        assert process.wait(10) == 0


def test_a_socket_of_the_service_manager(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(CONFIG.replace('url = "ws://127.0.0.1:0/ws"', 'url = "ws://127.0.0.1:80/ws"\nsocket = "wamp"'))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

        def hand_over():  # what systemd does before it starts a service
            os.dup2(sock.fileno(), 3)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="wamp")
            os.execve(sys.executable, command, os.environ)

        command = [sys.executable, "-m", "autobahn", "router", "--config", str(path)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=hand_over, pass_fds=[3]
        )
        try:
            url, _ = urls_of(process)
            assert url == f"ws://127.0.0.1:{port}/ws"

            async def main(session):
                assert await session.call("wamp.session.count") == 1

            session(url, main)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.communicate()


def test_sockets_are_for_the_process_they_were_made_for():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a", "OTHER": "x"}
        taken = listen_sockets(environ, first=os.dup(one.fileno()))
        assert [sock.getsockname() for sock in taken["a"]] == [one.getsockname()] and environ == {"OTHER": "x"}
        assert not taken["a"][0].get_inheritable()
        taken["a"][0].close()
        unnamed = listen_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}, first=os.dup(two.fileno()))
        assert list(unnamed) == ["unknown"]
        unnamed["unknown"][0].close()
    assert listen_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}
    assert listen_sockets({}) == {}


def test_notifications_without_a_manager_or_with_one_that_is_gone(tmp_path, caplog):
    Notifier().ready("x")
    gone = Notifier(str(tmp_path / "none"))
    gone.ready("x")
    gone.close()
    assert "the service manager at" in caplog.text
    assert Notifier.from_environment({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}).watchdog == 0
    assert Notifier.from_environment({"WATCHDOG_USEC": "2000000"}).watchdog == 2.0


def test_an_abstract_notify_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0autobahn-test-{os.getpid()}")
        notifier = Notifier(f"@autobahn-test-{os.getpid()}")
        notifier.stopping()
        assert manager.recv(100) == b"STOPPING=1"
        notifier.close()


# ---- killed ----------------------------------------------------------------------------------------------------------

DURABLE = """
[realms.realm1]
store = "events.sqlite"
history = [{ uri = "com.durable", limit = 1000000 }]
roles.anonymous = true
[[listeners]]
url = "ws://127.0.0.1:0/ws"
"""


def test_killed_under_load_of_several_publishers_nothing_acknowledged_is_lost(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(DURABLE)
    acknowledged = []

    with started("--config", str(path), stderr=subprocess.DEVNULL) as process:
        url = re.search(r"ws://\S+", process.stdout.readline())[0]

        async def publisher(number):
            async def one(session):
                while True:
                    publication = await session.publish("com.durable", number, "x" * 200, options=ACKNOWLEDGED)
                    acknowledged.append(publication.id)
                    if len(acknowledged) == 400:
                        process.kill()  # SIGKILL, with publications of all of them under way

            async def main(loop, session):
                await asyncio.gather(*(one(session) for _ in range(8)))

            component = Component(
                main=main, transports={"url": url, "max_retries": 0}, realm="realm1", is_fatal=lambda exc: True
            )
            with suppress(Exception):  # its router was killed
                await component.start()

        async def load():
            await asyncio.gather(*map(publisher, range(4)))

        asyncio.run(load())
        assert process.wait(10) == -signal.SIGKILL
    assert len(acknowledged) >= 400

    with started("--config", str(path), stderr=subprocess.DEVNULL) as process:
        kept = []

        async def main(session):
            subscription = await session.subscribe(print, "com.durable")
            events = await session.call("wamp.subscription.get_events", subscription.id)
            kept.extend((event["publication"], event["args"][0]) for event in events.results)

        session(re.search(r"ws://\S+", process.stdout.readline())[0], main)
    assert {number for _, number in kept} == set(range(4))
    assert set(acknowledged) <= {publication for publication, _ in kept}
    assert len(kept) - len(acknowledged) <= 32  # those under way

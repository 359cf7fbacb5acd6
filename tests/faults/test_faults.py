"""The connection of a component breaks at every point of the protocols, in every way: it is joined again, whole.

`AUTOBAHN_FAULTS=all` runs every point with every transport; without it, every point and every kind of fault on
WebSocket, and every third combination on the other transports.
"""

import asyncio
import contextlib
import logging
import os
import ssl

import pytest
import trustme

from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.wamp import PublishOptions, RegisterOptions, SubscribeOptions
from faults.faulty import AFTER, BEFORE, KINDS, MID, Fault, FaultyProxy
from scripted import RecordingSession

EVERYWHERE = (BEFORE, MID, AFTER)
OPENING = [("accept", BEFORE), *((unit, place) for unit in ("request", "answer") for place in EVERYWHERE)]
JOINING = [(unit, place) for unit in ("hello", "challenge", "authenticate", "welcome") for place in EVERYWHERE]
DECLARING = [(unit, p) for unit in ("register", "registered", "subscribe", "subscribed") for p in EVERYWHERE]
TRAFFIC = [(unit, p) for unit in ("call", "result", "invocation", "yield", "event", "publish") for p in EVERYWHERE]
TRAFFIC += [("published", BEFORE)]
QUIET = [("ping", BEFORE), ("ping", AFTER), ("pong", BEFORE), ("pong", AFTER)]  # there are pings when nothing else is
IDLE = [("idle", BEFORE)]
LEAVING = [("goodbye", place) for place in EVERYWHERE]
POINTS = OPENING + JOINING + DECLARING + TRAFFIC + QUIET + IDLE + LEAVING
TLS_POINTS = [("tls hello", BEFORE), ("tls answer", MID), *POINTS]
TRANSPORTS = ("ws", "rs", "wss", "rss")
AT_ONCE = 30  # cases in one loop
# Seconds for the connection, for handshakes and joining, between pings, for their answers. Silence is noticed by time
# alone, and on a machine that stalls so is what was only slow: then another attempt is no fault of the component.
TIMES = {"rst": (20, 20, 0.3, 20), "fin": (20, 20, 0.3, 20), "silence": (1, 1, 0.3, 0.7), "garbage": (1, 1, 0.3, 0.7)}
ATTEMPTS = {"rst": 1, "fin": 1, "silence": 3, "garbage": 3}
DELAYS = {"initial_retry_delay": 0.01, "max_retry_delay": 0.02}
PATIENCE = 40  # seconds until a case is given up; not reached unless something hangs


def chosen(transport, kind):
    points = TLS_POINTS if transport.endswith("ss") else POINTS
    if os.environ.get("AUTOBAHN_FAULTS") == "all" or transport == "ws":
        return points
    return points[(TRANSPORTS.index(transport) + KINDS.index(kind)) % 3 :: 3]


class World:
    """A router that knows joe, and a session in its process that calls, is called, publishes and listens."""

    def __init__(self):
        authority = trustme.CA()
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server_tls)
        self.client_tls = ssl.create_default_context()
        authority.configure_trust(self.client_tls)

    async def __aenter__(self):
        auth = {"realm1": {"ticket": {"principals": {"joe": {"ticket": "secret", "role": "user"}}}}}
        self.router = await Router(["ws://127.0.0.1:0/ws", "rs://127.0.0.1:0"], auth=auth).__aenter__()
        self.driver = RecordingSession()
        ready = asyncio.Event()
        self.driver.on("ready", lambda _: ready.set())
        self.router.attach(self.driver)
        await ready.wait()
        await self.driver.register(lambda: "driven", "com.driver")
        return self

    async def __aexit__(self, *exc):
        await self.router.__aexit__(*exc)

    def port(self, transport):
        url = self.router.urls[0 if transport.startswith("ws") else 1]
        return int(url.rpartition(":")[2].partition("/")[0])


class Case:
    """One component behind one proxy with one fault."""

    def __init__(self, world, transport, kind, number, point):
        self.world = world
        self.transport = transport
        self.point = point
        self.uri = f"com.case{number}"
        self.fault = Fault(point, kind)
        secure = transport in {"wss", "rss"}
        self.proxy = FaultyProxy(world.port(transport), self.fault, transport[:2], world.server_tls if secure else None)
        self.failures = 0
        self.failed = asyncio.Event()
        self.ready = asyncio.Event()
        self.events = asyncio.Queue()

    def component(self):
        connecting, joining, interval, answer = TIMES[self.fault.kind]
        options = {"openHandshakeTimeout": joining, "closeHandshakeTimeout": 0.2}
        options |= {"autoPingInterval": interval, "autoPingTimeout": answer}
        secure = self.world.client_tls if self.transport in {"wss", "rss"} else False
        path = "/ws" if self.transport.startswith("ws") else ""
        url = f"{self.transport}://localhost:{self.world.port(self.transport)}{path}"  # as the router knows itself
        endpoint = {"type": "tcp", "host": "localhost", "port": self.proxy.port, "timeout": connecting, "tls": secure}
        serializer = {"serializers": ["json"]} if self.transport.startswith("ws") else {"serializer": "json"}
        component = Component(
            transports={"url": url, "endpoint": endpoint, "options": options, **serializer, **DELAYS},
            realm="realm1",
            authentication={"ticket": {"authid": "joe", "ticket": "secret"}},
        )
        component.join_timeout, component.close_timeout = joining, 0.5
        uri = self.uri
        component.register(f"{uri}.echo")(lambda x: x)
        component.register(f"{uri}.p", options=RegisterOptions(match="prefix", invoke="roundrobin"))(lambda: "a")
        component.register(f"{uri}..b", options=RegisterOptions(match="wildcard", invoke="last"))(lambda: "b")
        component.subscribe(f"{uri}.topic", options=SubscribeOptions(get_retained=True))(self.events.put_nowait)
        component.subscribe(f"{uri}.t", options=SubscribeOptions(match="prefix"))(lambda *_: None)
        self.expected = {
            (64, f"{uri}.echo"): {},
            (64, f"{uri}.p"): {"match": "prefix", "invoke": "roundrobin"},
            (64, f"{uri}..b"): {"match": "wildcard", "invoke": "last"},
            (32, f"{uri}.topic"): {"get_retained": True},
            (32, f"{uri}.t"): {"match": "prefix"},
        }
        component.on_connectfailure(self.on_failure)
        component.on_ready(self.on_ready)
        return component

    def on_failure(self, component, exc):
        self.failures += 1
        self.failed.set()

    def on_ready(self, session):
        self.session = session
        self.ready.set()

    async def run(self):
        async with asyncio.timeout(PATIENCE), self.proxy:
            component = self.component()
            stopped = component.start()
            try:
                await self.until_struck(component)
                if self.point in LEAVING:
                    assert await stopped is None
                else:
                    await self.recovers()
                await component.stop()
                assert stopped.done()
            finally:
                await component.stop()

    async def until_struck(self, component):
        if self.point in TRAFFIC + IDLE + LEAVING:
            await self.ready.wait()
        if self.point in IDLE:
            self.proxy.strike()
        elif self.point in LEAVING:
            await component.stop()
            return  # a machine that stalls may have lost the connection before there was a GOODBYE
        elif self.point in TRAFFIC:
            driving = asyncio.create_task(self.drive())
            await self.fault.struck.wait()
            driving.cancel()
            await asyncio.wait({driving})
        await self.fault.struck.wait()

    async def drive(self):
        """Every message there is; what fails, fails."""
        driver, session = self.world.driver, self.session
        acknowledged = PublishOptions(acknowledge=True)
        while True:
            with contextlib.suppress(Exception):
                waiting = [
                    driver.call(f"{self.uri}.echo", 1),
                    driver.publish(f"{self.uri}.topic", 0, options=acknowledged),
                    session.call("com.driver"),
                    session.publish(f"{self.uri}.other", options=acknowledged),
                ]
                await asyncio.wait(waiting, timeout=0.1)
                for future in waiting:
                    future.cancel()
            await asyncio.sleep(0.01)

    async def recovers(self):
        """Joined again with the first attempt after the fault is lifted, and whole."""
        while self.failures < 2:
            self.failed.clear()
            await self.failed.wait()
        self.ready.clear()
        self.proxy.lift(ghosts=0.05)
        await self.ready.wait()
        assert self.proxy.accepted <= ATTEMPTS[self.fault.kind], f"{self.proxy.accepted} attempts"
        rows = [row for row in self.proxy.rows if row[0] in {32, 64}]
        assert {(row[0], row[3]): row[2] for row in rows} == self.expected
        driver, session = self.world.driver, self.session
        assert await driver.call(f"{self.uri}.echo", 5) == 5
        assert await driver.call(f"{self.uri}.p.any") == "a"
        assert await driver.call(f"{self.uri}.any.b") == "b"
        assert await session.call("com.driver") == "driven"
        while not self.events.empty():
            self.events.get_nowait()
        await driver.publish(f"{self.uri}.topic", 7, options=PublishOptions(acknowledge=True))
        while await self.events.get() != 7:
            pass


def sockets():
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


async def gone(count):
    """Whether ``count()`` becomes true soon."""
    for _ in range(500):
        if count():
            return True
        await asyncio.sleep(0.01)
    return False


def test_there_are_enough_points():
    assert len(set(POINTS)) == len(POINTS) >= 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_component_comes_back_whole(transport, kind, loop_name, caplog):
    if loop_name == "uvloop" and os.environ.get("AUTOBAHN_FAULTS") != "all" and transport != "ws":
        pytest.skip("only with AUTOBAHN_FAULTS=all")
    caplog.set_level(logging.CRITICAL, "autobahn")
    gate = asyncio.Semaphore(AT_ONCE)
    bad = {}
    async with World() as world:
        tasks, files, sessions = asyncio.all_tasks(), sockets(), world.router.core.sessions

        async def one(number, point):
            async with gate:
                try:
                    await Case(world, transport, kind, number, point).run()
                except Exception as exc:
                    bad[point] = repr(exc)

        await asyncio.gather(*(one(*item) for item in enumerate(chosen(transport, kind))))
        assert bad == {}
        assert await gone(lambda: not asyncio.all_tasks() - tasks), asyncio.all_tasks() - tasks
        assert await gone(lambda: sockets() <= files), (sockets(), files)
        assert await gone(lambda: world.router.core.sessions == sessions), world.router.core.sessions

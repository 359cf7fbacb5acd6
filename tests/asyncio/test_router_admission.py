"""Who may come in: limits on connections on their way, on those of one address, and on what strangers send."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from autobahn.asyncio.admission import Gate, Refused
from autobahn.asyncio.component import Component
from autobahn.asyncio.router import Router
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.router.login import anonymous
from autobahn.router.settings import ListenerSettings
from autobahn.wamp.exception import ApplicationError
from websocket_world import until

ROLES = {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}}


class Wire(WebSocketClientProtocol):
    """A client that says HELLO when told, and collects rows."""

    def onOpen(self):
        self.rows = asyncio.Queue()

    def onMessage(self, payload, isBinary):
        self.rows.put_nowait(json.loads(payload))

    def say(self, *row):
        self.sendMessage(json.dumps(row).encode())

    async def join(self):
        self.say(1, "realm1", ROLES)
        assert (await self.rows.get())[0] == 2
        return self

    async def leave(self):
        self.sendClose()
        await self.is_closed


async def connected(router, **kwargs):
    factory = WebSocketClientFactory(router.url, protocols=["wamp.2.json"], **kwargs)
    factory.protocol = Wire
    _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", factory.port)
    await asyncio.wait({client.is_open, client.is_closed}, return_when=asyncio.FIRST_COMPLETED)
    return client


async def exchange(url, data):
    """All octets that come back for ``data``."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


# ---- the gate ------------------------------------------------------------------------------------------------------


def test_those_refused_come_back_spread_over_the_seconds():
    now = [100.7]
    gate = Gate(max_pending=3, clock=lambda: now[0])
    visits = [gate.enter(None, None) for _ in range(3)]
    waits = []
    for _ in range(8):
        with pytest.raises(Refused, match="too many clients are connecting") as caught:
            gate.enter(None, None)
        assert caught.value.status == 503
        waits.append(caught.value.retry_after)
    assert waits == [1, 1, 1, 2, 2, 2, 3, 3]
    now[0] = 102.5
    with pytest.raises(Refused) as caught:
        gate.enter(None, None)
    assert caught.value.retry_after == 1
    gate.joined(visits[0])
    gate.joined(visits[0])
    gate.left(visits[1])
    gate.left(visits[1])
    assert gate.pending == 1 and len(gate.visits) == 2 and gate.total == 3
    assert gate.refusals == {"pending": 9}


def refused_wait(gate):
    with pytest.raises(Refused) as caught:
        gate.enter(None, None)
    return caught.value.retry_after


@pytest.mark.parametrize(("joins", "each"), [(40, 40), (1, 2), (0, 8)])
def test_as_many_are_asked_back_for_a_second_as_join_in_one(joins, each):
    now = [100.0]
    gate = Gate(max_pending=8, clock=lambda: now[0])
    for second in (100, 101, 102):  # a full house in two seconds that follow each other is needed to know
        now[0] = float(second)
        for _ in range(joins if second == 101 else 0):
            gate.joined(gate.enter(None, None))
        visits = [gate.enter(None, None) for _ in range(8)]
        if second < 102:
            refused_wait(gate)
            for visit in visits:
                gate.left(visit)
    gate._returns.clear()
    waits = [refused_wait(gate) for _ in range(3 * each)]
    assert waits == [wait for wait in (1, 2, 3) for _ in range(each)]
    now[0] = 104.0  # a second without refusals: what was known is old
    gate._returns.clear()
    assert [refused_wait(gate) for _ in range(9)] == [1] * 8 + [2]


def test_addresses_are_counted():
    gate = Gate(max_per_address=2)
    first, second = gate.enter("a", None), gate.enter("a", None)
    gate.enter("b", None)
    gate.enter(None, None)
    with pytest.raises(Refused, match="expected at most 2 connections from one address") as caught:
        gate.enter("a", None)
    assert (caught.value.status, caught.value.retry_after) == (429, 0)
    gate.joined(first)
    with pytest.raises(Refused):
        gate.enter("a", None)
    gate.left(second)
    proxied = gate.enter(None, None)
    gate.readdress(proxied, "a")
    with pytest.raises(Refused):
        gate.readdress(gate.enter(None, None), "a")
    assert gate.refusals == {"address": 3}


# ---- at a router -------------------------------------------------------------------------------------------------


async def test_a_full_house_is_told_early_and_goes_on(loop_name, lines):
    async with Router(max_pending=2) as router:
        waiting = [await connected(router) for _ in range(2)]
        assert router.gate.pending == 2
        answer = await exchange(router.url, b"GET /w")  # not even a whole request
        head = answer.decode().partition("\r\n\r\n")[0].split("\r\n")
        assert head[0] == "HTTP/1.1 503 Service Unavailable" and "Retry-After: 1" in head
        assert await exchange(router.url, b"\x7f\xf3\x00\x00") == b"\x7f\x40\x00\x00"
        assert {record.getMessage().partition("refused: ")[2] for record in lines} == {
            "too many clients are connecting"
        }
        await waiting[0].join()
        assert router.gate.pending == 1
        late = await (await connected(router)).join()
        for client in (*waiting, late):
            await client.leave()
        assert router.gate.pending == 0 and not router.gate.visits
        assert router.gate.refusals == {"pending": 2}


async def test_probes_come_in_even_when_the_house_is_full():
    settings = ListenerSettings(url="ws://127.0.0.1:0/ws", pages=("healthz",))
    async with Router(settings, max_pending=1) as router:
        client = await connected(router)
        assert (await exchange(router.url, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert (await exchange(router.url, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        await client.leave()


async def test_connections_of_one_address_are_limited():
    async with Router(max_per_address=2) as router:
        clients = [await (await connected(router)).join() for _ in range(2)]
        third = await connected(router)
        await third.is_closed
        assert "429" in third.wasNotCleanReason
        await clients[0].leave()
        fourth = await (await connected(router)).join()
        for client in (clients[1], fourth):
            await client.leave()


async def test_behind_a_proxy_the_address_is_the_one_it_tells():
    settings = ListenerSettings(url="ws://127.0.0.1:0/ws", forwarded_for=1)
    async with Router(settings, max_per_address=1) as router:
        first = await connected(router, headers={"X-Forwarded-For": "10.0.0.1"})
        other = await connected(router, headers={"X-Forwarded-For": "6.6.6.6, 10.0.0.2"})
        again = await connected(router, headers={"X-Forwarded-For": "10.0.0.1"})
        await again.is_closed
        assert "429" in again.wasNotCleanReason
        for client in (first, other):
            await client.leave()


async def test_strangers_send_short_messages_and_members_long_ones(loop_name):
    settings = ListenerSettings(url="ws://127.0.0.1:0/ws", max_hello_size=1000, max_message_size=100_000)
    async with Router(settings) as router:
        stranger = await connected(router)
        stranger.say(1, "realm1", {**ROLES, "x": "y" * 1000})
        await stranger.is_closed
        assert stranger.remoteCloseCode == 1009
        member = await (await connected(router)).join()
        member.say(48, 1, {}, "com.nobody", ["y" * 90_000])
        assert (await member.rows.get())[4] == "wamp.error.no_such_procedure"
        member.say(48, 2, {}, "com.nobody", ["y" * 100_000])
        await member.is_closed
        assert member.remoteCloseCode == 1009


async def test_a_member_may_send_a_long_message_right_behind_its_hello():
    """WELCOME counts, not that the client has seen it: both messages are in one read."""
    async with Router(ListenerSettings(url="ws://127.0.0.1:0/ws", max_hello_size=1000)) as router:
        client = await connected(router)
        client.say(1, "realm1", ROLES)
        client.say(48, 1, {}, "com.nobody", ["y" * 90_000])
        assert (await client.rows.get())[0] == 2
        assert (await client.rows.get())[4] == "wamp.error.no_such_procedure"
        await client.leave()


@pytest.mark.parametrize("limit", ["max_registrations", "max_subscriptions", "max_calls"])
async def test_what_one_session_may_have_is_limited(limit):
    from autobahn.router import RealmOptions

    async with Router(realm_options=RealmOptions(**{limit: 2})) as router:
        backend, client = await (await connected(router)).join(), await (await connected(router)).join()
        backend.say(64, 1, {}, "com.slow")
        assert (await backend.rows.get())[0] == 65
        code = {"max_registrations": 64, "max_subscriptions": 32, "max_calls": 48}[limit]
        uris = ["com.slow"] * 3 if code == 48 else ["com.a", "com.b", "com.c"]
        for number, uri in enumerate(uris, 1):
            client.say(code, number, {}, uri)
        if code != 48:
            assert [(await client.rows.get())[0] for _ in range(2)] == [code + 1] * 2
        refused = await client.rows.get()
        assert refused[:3] == [8, code, 3] and "expected at most 2" in refused[5][0]
        for each in (client, backend):
            await each.leave()


async def test_everybody_who_comes_at_once_gets_in(loop_name):
    """Far more clients than may be pending: those refused come back when they are told to, and all have a session."""
    count = 120
    async with Router(max_pending=20) as router:
        refused = 0

        async def client():
            nonlocal refused
            while True:
                protocol = await connected(router)
                if protocol.state == protocol.STATE_OPEN:
                    return await protocol.join()
                refused += 1
                assert "503" in protocol.wasNotCleanReason
                await asyncio.sleep(0.01)  # the clients' own pace; what Retry-After says is tested above

        clients = await asyncio.gather(*(client() for _ in range(count)))
        assert router.core.sessions == count and router.gate.pending == 0
        assert router.gate.refusals["pending"] == refused
        await asyncio.gather(*(each.leave() for each in clients))


async def test_a_client_library_that_is_refused_comes_back_by_itself():
    async with Router(max_pending=1) as router:
        blocker = await connected(router)
        failed, joined = asyncio.Event(), asyncio.Event()

        async def main(loop, session):
            joined.set()

        component = Component(main=main, transports={"url": router.url, "initial_retry_delay": 0.01}, realm="realm1")
        component.on_connectfailure(lambda c, exc: failed.set())
        running = asyncio.ensure_future(component.start())
        await failed.wait()
        await blocker.leave()
        await joined.wait()
        await running


# ---- TLS: pending from the moment it is accepted -------------------------------------------------------------------


async def test_a_place_that_is_kept_is_taken_or_given_back():
    gate = Gate(max_pending=2)
    gate.reserve()
    visit = gate.enter(None, None)
    assert gate.pending == 2
    with pytest.raises(Refused):
        gate.reserve()
    with pytest.raises(Refused):
        gate.enter(None, None)
    kept = gate.enter(None, None, reserved=True)
    assert gate.pending == 2 and len(gate.visits) == 2
    gate.left(visit)
    gate.left(kept)
    gate.reserve()
    gate.release()
    assert gate.pending == 0 and not gate.visits


async def opened(url):
    parts = urlsplit(url)
    return await asyncio.open_connection("localhost", parts.port)


async def asked(router, client):
    """The status line, and the headers, of a request for a WebSocket over TLS."""
    reader, writer = await asyncio.open_connection("localhost", urlsplit(router.url).port, ssl=client)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.transport.abort()
    return head


async def test_a_tls_handshake_takes_a_place_until_it_ends(tls, loop_name):
    server, client = tls
    async with Router("wss://localhost:0/ws", ssl=server, max_pending=1) as router:
        _, silent = await opened(router.url)
        await until(lambda: router.gate.pending == 1)
        head = await asked(router, client)
        assert head.startswith("HTTP/1.1 503") and "Retry-After: " in head
        silent.transport.abort()
        await until(lambda: router.gate.pending == 0)
        assert (await asked(router, client)).startswith("HTTP/1.1 101")
        await until(lambda: router.gate.pending == 0 and not router.gate.visits)


async def test_a_tls_handshake_that_fails_gives_its_place_back(tls, loop_name):
    server, _ = tls
    async with Router("wss://localhost:0/ws", ssl=server) as router:
        for _ in range(3):
            reader, writer = await opened(router.url)
            await until(lambda: router.gate.pending == 1)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.transport.abort()
            await until(lambda: router.gate.pending == 0)


async def test_a_tls_handshake_that_takes_too_long_gives_its_place_back(tls, loop_name):
    server, _ = tls
    settings = ListenerSettings(url="wss://localhost:0/ws", handshake_timeout=0.05)
    async with Router(settings, ssl=server) as router:
        reader, writer = await opened(router.url)
        await until(lambda: router.gate.pending == 1)
        await reader.read()
        writer.transport.abort()
        await until(lambda: router.gate.pending == 0)


# ---- overload that shows at HELLO ----------------------------------------------------------------------------------


class Busy:
    """An authenticator that has no time for the first clients."""

    def __init__(self, refusals, retry_after):
        self.refusals = refusals
        self.retry_after = retry_after
        self.times = []

    def __call__(self, realm, details):
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) <= self.refusals:
            raise ApplicationError(ApplicationError.AUTHENTICATION_FAILED, "busy", retry_after=self.retry_after)
        return anonymous(realm, details)


async def test_whoever_is_refused_for_now_at_hello_is_closed_with_try_again_later(loop_name):
    async with Router() as router:
        router.core.authenticator = Busy(1, 7)
        client = await connected(router)
        client.say(1, "realm1", ROLES)
        row = await client.rows.get()
        assert row == [3, {"message": "busy", "retry_after": 7}, "wamp.error.authentication_failed"]
        await client.is_closed
        assert (client.wasClean, client.remoteCloseCode) == (True, 1013)
        member = await (await connected(router)).join()
        await member.leave()


async def test_whoever_is_refused_for_good_at_hello_is_closed_in_order():
    async with Router() as router:
        client = await connected(router)
        client.say(1, "com.nowhere", ROLES)
        assert (await client.rows.get())[2] == "wamp.error.no_such_realm"
        await client.is_closed
        assert (client.wasClean, client.remoteCloseCode) == (True, 1000)


@pytest.mark.parametrize("transport", ["websocket", "rawsocket"])
async def test_a_component_stays_away_as_long_as_it_is_told_to_at_hello(transport):
    async with Router() as router:
        busy = router.core.authenticator = Busy(2, 0.2)
        joined, failures = asyncio.Event(), []

        async def main(loop, session):
            joined.set()

        url = router.url if transport == "websocket" else f"rs://127.0.0.1:{urlsplit(router.url).port}"
        component = Component(main=main, transports={"url": url, "initial_retry_delay": 0.001}, realm="realm1")
        component.on_connectfailure(lambda c, exc: failures.append(exc))
        await component.start()
        assert joined.is_set() and len(busy.times) == 3
        assert all(later - earlier >= 0.19 for earlier, later in pairwise(busy.times))
        assert [exc.retry_after for exc in failures] == [0.2, 0.2]


async def test_a_router_that_stood_still_does_not_blame_its_clients_for_it():
    async with Router(hello_timeout=0.2) as router:
        client = await connected(router)
        time.sleep(0.3)  # nobody's HELLO can be read meanwhile
        for _ in range(3):
            await asyncio.sleep(0)
        await client.join()
        await client.leave()

"""Running a router: where it listens, its pages and numbers, changes under way, and its end."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import sys
from urllib.parse import urlsplit

import pytest
import trustme

from autobahn.asyncio import metrics as metrics_module
from autobahn.asyncio.component import Component
from autobahn.asyncio.listener import problems_of
from autobahn.asyncio.router import Router, load_settings
from autobahn.router.settings import ListenerSettings, TlsSettings, development
from autobahn.router.settings_reader import SettingsError
from autobahn.wamp import ApplicationError, CloseDetails
from scripted import RecordingSession

PAGES = ("healthz", "readyz", "metrics")


class Client:
    """A component that stays until told to leave: ``async with Client(url) as session``."""

    def __init__(self, url, realm="realm1", **transport):
        self.component = Component(
            main=self._main,
            transports={"url": url, "max_retries": 0, **transport},
            realm=realm,
            is_fatal=lambda e: True,
        )
        self.component.on_leave(lambda session, details: self.reasons.append(details.reason))
        self.reasons, self._ready, self._go = [], asyncio.get_running_loop().create_future(), asyncio.Event()

    async def _main(self, loop, session):
        self._ready.set_result(session)
        await self._go.wait()

    async def __aenter__(self):
        self.running = asyncio.ensure_future(self.component.start())
        await asyncio.wait({self.running, self._ready}, return_when=asyncio.FIRST_COMPLETED)
        if self.running.done():
            self.running.result()
        self.session = self._ready.result()
        return self

    async def __aexit__(self, *exc):
        self._go.set()
        await asyncio.wait({self.running})
        self.running.exception()


async def page(url, path, method="GET", tls=None):
    """(status, headers, body) of a page."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, ssl=tls, server_hostname=tls and "localhost"
    )
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    status, *fields = head.split("\r\n")
    return int(status.split()[1]), dict(field.split(": ", 1) for field in fields), body


# ---- where it listens --------------------------------------------------------------------------------------


async def works(url, **transport):
    async with Client(url, **transport) as client:
        assert await client.session.call("wamp.session.count") >= 1


@pytest.mark.parametrize("scheme", ["wss", "rss"])
async def test_tls_with_websocket_and_rawsocket_on_one_port(scheme, tls, loop_name):
    server, client = tls
    async with Router("wss://localhost:0/ws" if scheme == "wss" else "rss://localhost:0", ssl=server) as router:
        assert router.url.startswith(f"{scheme}://localhost:") and ":0" not in router.url
        await works(
            router.url, endpoint={"type": "tcp", "host": "localhost", "port": urlsplit(router.url).port, "tls": client}
        )
        if scheme == "wss":
            port = urlsplit(router.url).port
            await works(
                f"rss://localhost:{port}", endpoint={"type": "tcp", "host": "localhost", "port": port, "tls": client}
            )


async def test_unix_sockets_of_both_kinds_are_made_and_taken_away(tmp_path, loop_name):
    paths = [tmp_path / "ws", tmp_path / "rs"]
    settings = ListenerSettings(url=f"ws://unix:{paths[0]}", mode="600")
    async with Router([settings, f"rs://unix:{paths[1]}"]) as router:
        assert stat.S_IMODE(os.stat(paths[0]).st_mode) == 0o600
        for url in router.urls:
            await works(url)
        with pytest.raises(OSError, match="in use"):
            await Router(f"ws://unix:{paths[0]}").start()
    assert not any(path.exists() for path in paths)


async def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path):
    import socket

    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with Router(f"rs://unix:{path}") as router:
        await works(router.url)


async def test_a_front_on_another_port_may_pass_its_host_on():
    from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

    async with Router() as router:
        factory = WebSocketClientFactory("ws://wamp.example.com:443/ws", protocols=["wamp.2.json"])
        factory.protocol = WebSocketClientProtocol
        port = urlsplit(router.url).port
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
        await client.is_open
        client.sendClose()
        await client.is_closed


async def test_several_addresses_of_one_name_have_one_port(monkeypatch):
    async with Router("ws://localhost:0/ws") as router:
        ports = {sock.getsockname()[1] for listener in router.listeners for sock in listener._sockets}
        assert ports == {urlsplit(router.url).port}


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({"url": "ws://127.0.0.1:99999/"}, "url", "expected a port"),
        ({"url": "ftp://127.0.0.1/"}, "url", "expected a URL that starts with ws://"),
        ({"url": "http://127.0.0.1:1/x"}, "url", "without path"),
        ({"url": "ws://127.0.0.1:1/x?y"}, "url", "without query"),
        ({"url": "wss://127.0.0.1:1/"}, "url", "expected tls for wss, got none"),
        ({"tls": TlsSettings(certificate=__file__)}, "tls", "expected wss, rss or https with tls, got ws"),
        ({"url": "wss://127.0.0.1:1/", "tls": TlsSettings(certificate=__file__)}, "tls", "expected a certificate"),
        ({"mode": "600"}, "mode", "expected a Unix socket"),
        ({"serializers": ()}, "serializers", "expected at least one"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_listener(change, key, text):
    found = list(problems_of(ListenerSettings(**{"url": "ws://127.0.0.1:1/", **change})))
    assert any(k == key and text in t for k, t in found), found


# ---- pages and numbers -------------------------------------------------------------------------------------


async def test_health_and_readiness(loop_name):
    listeners = [ListenerSettings(url="ws://127.0.0.1:0/ws", pages=("healthz", "readyz")), "http://127.0.0.1:0"]
    async with Router(listeners, drain=1000.0) as router:
        for url in router.urls:
            status, headers, body = await page(url, "/healthz")
            assert (status, body, headers["Cache-Control"]) == (200, "ok\n", "no-store")
            assert (await page(url, "/readyz"))[::2] == (200, "ready\n")
            assert (await page(url, "/readyz", "HEAD"))[::2] == (200, "")
            assert (await page(url, "/readyz", "POST"))[0] == 405
        ws, http = router.urls
        assert (await page(ws, "/metrics"))[0] in {400, 404, 426}  # not asked for at this one
        assert (await page(http, "/other"))[0] == 404
        assert (await page(http, "/ws"))[0] == 404
        async with Client(ws) as client:
            draining = asyncio.ensure_future(router.close())
            await asyncio.sleep(0)
            assert (await page(http, "/readyz"))[::2] == (503, "shutting down\n")
            assert (await page(http, "/healthz"))[0] == 200
            with pytest.raises(OSError):
                await page(ws, "/readyz")
            router.hurry()
            await draining
        assert client.reasons == ["wamp.close.system_shutdown"]


async def test_pages_at_a_listener_with_tls(tls):
    server, client = tls
    async with Router(ListenerSettings(url="https://localhost:0"), ssl=server) as router:
        assert (await page(router.url, "/healthz", tls=client))[0] == 200


async def test_metrics():
    pytest.importorskip("prometheus_client")
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    listener = ListenerSettings(url="ws://127.0.0.1:0/ws", pages=PAGES)
    async with Router(listener, realms=["realm1"], auto_realms=True) as router:
        async with Client(router.url) as callee, Client(router.url) as caller, Client(router.url, "com.on.demand"):
            await callee.session.register(lambda: 1, "com.one")
            await callee.session.subscribe(lambda: None, "com.topic")
            for _ in range(3):
                await caller.session.call("com.one")
            caller.session.publish("com.topic")
            await caller.session.call("com.one")
            with pytest.raises(RuntimeError):
                await Client(router.url, "no uri").__aenter__()
            status, headers, body = await page(router.url, "/metrics")
        assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text")
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }
        url = router.url
        assert values["autobahn_sessions", "realm1"] == 2 and values["autobahn_sessions", "*"] == 1
        assert values["autobahn_joins_total", "realm1"] == 2 and values["autobahn_joins_total", "*"] == 1
        assert values["autobahn_calls_total", "realm1"] == 4 and values["autobahn_calls_in_flight", "realm1"] == 0
        assert values["autobahn_events_total", "realm1"] == 1 and values["autobahn_publications_total", "realm1"] == 1
        assert values["autobahn_subscriptions", "realm1"] == 1 and values["autobahn_registrations", "realm1"] > 1
        assert values["autobahn_received_bytes_total", url] > 500 and values["autobahn_sent_bytes_total", url] > 500
        assert values["autobahn_connections",] == 4 and values["autobahn_pending_connections",] == 1
        assert values["autobahn_queued_bytes",] == values["autobahn_longest_queue_bytes",] == 0
        assert values["autobahn_login_refusals_total", "wamp.error.invalid_uri"] == 1
        assert values["autobahn_refused_connections_total", "pending"] == 0
        assert values["autobahn_loop_lag_seconds_bucket", "+Inf"] == values["autobahn_loop_lag_seconds_count",]
        assert any(name[0] == "process_resident_memory_bytes" for name in values) or sys.platform != "linux"
        router.core.find_realm("com.x")
        total = sum(ListenerTotals(router))
        while router.gate.visits:  # the clients' connections are on their way out
            await asyncio.sleep(0.001)
        _, _, body = await page(router.url, "/metrics")
        assert 'autobahn_joins_total{realm="*"} 1.0' in body  # what happened in realms that are gone still counts
        assert sum(ListenerTotals(router)) > total


def ListenerTotals(router):
    return [listener.traffic.received for listener in router.listeners]


async def test_counting_does_not_stand_in_the_way_of_what_is_received():
    """The frame unit takes octets from the transport itself, and is what counts them."""
    async with Router() as router, Client(router.url) as client:
        (visit,) = router.gate.visits
        before = visit.protocol._ws_pump.received
        await client.session.call("wamp.session.count")
        assert visit.protocol._ws_pump.received > before > 0


async def test_metrics_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with Router("http://127.0.0.1:0") as router:
        status, _, body = await page(router.url, "/metrics")
        assert status == 501 and 'pip install "autobahn-asyncio[metrics]"' in body
        assert (await page(router.url, "/healthz"))[0] == 200


def test_the_lag_of_the_loop_is_counted():
    class Loop:
        now, calls = 0.0, []

        def time(self):
            return self.now

        def call_later(self, delay, callback):
            self.calls.append((self.now + delay, callback))

            class Timer:
                def cancel(self):
                    pass

            return Timer()

    loop = Loop()
    lag = metrics_module.LoopLag(loop)
    for late in (0.0, 0.003, 0.3, 9.0):
        due, callback = loop.calls.pop()
        loop.now = due + late
        callback()
    buckets = dict(lag.buckets())
    assert (buckets["0.001"], buckets["0.005"], buckets["0.5"], buckets["2.5"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert lag.sum == pytest.approx(9.303)


# ---- changes under way -------------------------------------------------------------------------------------

CONFIG = """
[router]
drain = 0.0
[realms.realm1.roles]
anonymous = true
[[listeners]]
url = "ws://127.0.0.1:{port}/ws"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "router.toml"

    def write(text, port=0):
        path.write_text(text.replace("{port}", str(port)))
        return load_settings(path)

    return write


async def test_a_reload_drops_no_session(config, loop_name, lines):
    async with Router.from_settings(config(CONFIG)) as router:
        async with Client(router.url) as client:
            rules = '[realms.realm1.roles.anonymous]\npermissions = [{ uri = "wamp.*", allow = ["call"] }]\n'
            changed = CONFIG.replace("[realms.realm1.roles]\nanonymous = true\n", rules)
            changed += 'max_message_size = 1000\n[realms."com.new"]\nroles.anonymous = true\n[[listeners]]\nurl = "rs://127.0.0.1:0"\n'
            await router.reload(config(changed))
            assert client.reasons == [] and client.session.is_attached()
            with pytest.raises(ApplicationError, match="not_authorized"):
                await client.session.call("com.anything")
            assert await client.session.call("wamp.session.count") == 1
            await works(router.urls[1])  # the new listener
            await works(router.url)  # the old address
            async with Client(router.url, "com.new"):
                await router.reload(config(CONFIG))
            with pytest.raises(ApplicationError, match="no_such_procedure"):
                await client.session.call("com.anything")
            assert list(router.core.realms) == ["realm1"] and len(router.urls) == 1
            with pytest.raises((OSError, RuntimeError)):
                await works(f"rs://127.0.0.1:{urlsplit(router.urls[0]).port + 1}")


async def test_a_realm_that_is_gone_says_goodbye(config, lines):
    both = CONFIG + '[realms."com.b"]\nroles.anonymous = true\n'
    async with Router.from_settings(config(both)) as router:
        async with Client(router.url, "com.b") as client:
            await router.reload(config(CONFIG))
            await asyncio.wait({client.running})
        assert client.reasons == ["wamp.close.close_realm"]


async def test_options_of_a_realm_count_at_once_and_what_cannot_is_named(config, lines):
    limits = '[realms.realm1]\nmax_subscriptions = 0\nslow_policy = "conflate"\n{}[realms.realm1.roles]'
    async with Router.from_settings(config(CONFIG)) as router:
        async with Client(router.url) as client:
            await client.session.subscribe(print, "com.before")
            restart = limits.format('prefix_match = "uri-component"\nstrict_request_ids = true\n')
            await router.reload(config(CONFIG.replace("[realms.realm1.roles]", restart)))
            with pytest.raises(ApplicationError, match="at most 0 subscriptions"):
                await client.session.subscribe(print, "com.after")
            said = [record.getMessage() for record in lines]
            assert "realm realm1: changed max_subscriptions, slow_policy" in said
            assert "realm realm1: prefix_match, strict_request_ids as changed count from the next start" in said
            await router.reload(config(CONFIG))
            await client.session.subscribe(print, "com.after")
            assert client.reasons == []


async def test_options_of_realms_made_on_demand_change_and_such_a_realm_may_be_named(config, lines):
    def model(limit=""):
        return f'[realms."*"]\n{limit}roles.anonymous = true\n' + CONFIG

    async with Router.from_settings(config(model())) as router:
        async with Client(router.url, "com.demand") as client:
            await router.reload(config(model("max_subscriptions = 0\n")))
            with pytest.raises(ApplicationError, match="at most 0 subscriptions"):
                await client.session.subscribe(print, "com.t")
            await router.reload(config('[realms."com.demand"]\nroles.anonymous = true\n' + model()))
            await client.session.subscribe(print, "com.t")
            assert client.reasons == []
        assert "com.demand" in router.core.realms  # and would be gone if it still were one made on demand
        assert not router.core.is_on_demand("com.demand")


async def test_a_realm_that_cannot_be_opened_changes_nothing(config, lines, tmp_path):
    (tmp_path / "no.sqlite").write_text("this is no database, but a text that is long enough to be seen as one" * 20)
    new = '[realms."com.ok"]\nroles.anonymous = true\n[realms."com.new"]\nstore = "no.sqlite"\nroles.anonymous = true\n'
    limit = "[realms.realm1]\nmax_subscriptions = 0\n[realms.realm1.roles]"
    async with Router.from_settings(config(CONFIG)) as router:
        async with Client(router.url) as client:
            with pytest.raises(ValueError, match=r"no\.sqlite"):
                await router.reload(config(new + CONFIG.replace("[realms.realm1.roles]", limit)))
            await client.session.subscribe(print, "com.t")
            assert list(router.core.realms) == ["realm1"]


async def test_nobody_who_connects_during_a_reload_is_lost(config, loop_name):
    async with Router.from_settings(config(CONFIG)) as router:
        stop = asyncio.Event()
        joined = 0

        async def churn():
            nonlocal joined
            while not stop.is_set():
                await works(router.url)
                joined += 1

        churning = [asyncio.ensure_future(churn()) for _ in range(4)]
        for number in range(10):
            before = joined
            await router.reload(config(CONFIG + f"max_message_size = {1000 + number}\n"))
            while joined == before and not any(task.done() for task in churning):
                await asyncio.sleep(0.001)
        stop.set()
        await asyncio.gather(*churning)


async def test_a_configuration_that_cannot_be_had_changes_nothing(config, tmp_path):
    import socket

    taken = socket.create_server(("127.0.0.1", 0))
    async with Router.from_settings(config(CONFIG)) as router:
        listeners = list(router.listeners)
        other = taken.getsockname()[1]
        text = (
            CONFIG
            + f'max_connections = 1\n[[listeners]]\nurl = "ws://127.0.0.1:{other}/ws"\n[realms.x]\nroles.a = true\n'
        )
        with pytest.raises(OSError, match="in use"):
            await router.reload(config(text))
        assert router.listeners == listeners and list(router.core.realms) == ["realm1"]
        await works(router.url)
    taken.close()


async def test_a_unix_socket_outlives_a_reload_and_one_that_fails(config, tmp_path, loop_name):
    import socket

    path = tmp_path / "s"
    text = CONFIG.replace('"ws://127.0.0.1:{port}/ws"', f'"ws://unix:{path}"')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with Router.from_settings(config(text)) as router:
            await router.reload(config(text + "max_message_size = 5000\n"))
            await works(f"rs://unix:{path}")
            busy = f'[[listeners]]\nurl = "rs://127.0.0.1:{taken.getsockname()[1]}"\n'
            with pytest.raises(OSError, match="in use"):
                await router.reload(config(text + "max_message_size = 6000\n" + busy))
            await works(f"rs://unix:{path}")
            await router.reload(config(CONFIG))
            assert not path.exists()
            await works(router.url)


async def test_new_certificates_are_for_new_connections_and_drop_nobody(config, tmp_path, loop_name):
    files = tmp_path / "cert.pem", tmp_path / "key.pem"

    def issue():
        authority = trustme.CA()
        cert = authority.issue_cert("localhost")
        cert.private_key_pem.write_to_path(str(files[1]))
        with open(files[0], "wb") as file:
            file.writelines(blob.bytes() for blob in cert.cert_chain_pems)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    def at(url, context):
        return {
            "url": url,
            "endpoint": {"type": "tcp", "host": "localhost", "port": urlsplit(url).port, "tls": context},
        }

    old = issue()
    text = (
        CONFIG.replace("ws://127.0.0.1:{port}", "wss://localhost:{port}")
        + f'[listeners.tls]\ncertificate = "{files[0]}"\nkey = "{files[1]}"\n'
    )
    async with Router.from_settings(config(text)) as router:
        async with Client(**at(router.url, old)) as client:
            new = issue()
            await works(**at(router.url, old))  # not before the reload
            await router.reload(config(text))
            await works(**at(router.url, new))
            with pytest.raises((ssl.SSLError, RuntimeError)):
                await works(**at(router.url, old))
            assert await client.session.call("wamp.session.count") == 1
            files[0].write_text("nonsense")
            with pytest.raises(SettingsError, match="expected a certificate"):
                config(text)
            with pytest.raises(ValueError, match="expected a certificate"):
                await router.reload(router.settings)
            await works(**at(router.url, new))


async def test_a_client_certificate_is_asked_for_and_checked(config, tmp_path):
    authority, other = trustme.CA(), trustme.CA()
    cert = authority.issue_cert("localhost")
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    text = CONFIG.replace("ws://127.0.0.1:{port}", "wss://localhost:0") + (
        '[listeners.tls]\ncertificate = "server.pem"\nclient_ca = "ca.pem"\nclient_certificates = "required"\n'
        '[realms.realm1.auth.tls.principals.joe]\ncommon_name = "joe"\nrole = "anonymous"\n'
    )
    contexts = []
    for issuer in (authority, other):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        issuer.issue_cert("joe@example.com", common_name="joe").configure_cert(context)
        contexts.append(context)
    async with Router.from_settings(config(text)) as router:

        def at(context):
            endpoint = {"type": "tcp", "host": "localhost", "port": urlsplit(router.url).port, "tls": context}
            return {"url": router.url, "max_retries": 0, "endpoint": endpoint}

        details = []
        component = Component(transports=at(contexts[0]), realm="realm1", authentication={"tls": {}})
        component.on_join(lambda session, joined: (details.append((joined.authid, joined.authmethod)), session.leave()))
        await component.start()
        assert details == [("joe", "tls")]
        with pytest.raises((ssl.SSLError, RuntimeError, OSError)):
            await works(**at(contexts[1]))


def test_two_listeners_at_one_address(config):
    with pytest.raises(SettingsError, match="expected an address of its own"):
        config(CONFIG + '[[listeners]]\nurl = "rs://127.0.0.1:9999"\n', 9999)
    config(CONFIG + '[[listeners]]\nurl = "rs://127.0.0.1:0"\n', 0)


# ---- the end -----------------------------------------------------------------------------------------------


async def test_the_end_is_spread_and_a_second_signal_hurries(loop_name):
    router = Router(drain=1000.0, goodbye_timeout=50.0)
    await router.start()
    url = router.url
    async with Client(url) as one, Client(url) as two:
        closing = asyncio.ensure_future(router.close())
        await asyncio.sleep(0)
        assert router.unreadiness() == "shutting down" and not closing.done()
        assert await one.session.call("wamp.session.count") == 2  # work goes on until GOODBYE
        with pytest.raises(OSError):
            await page(url, "/")
        router.hurry()
        await closing
    assert one.reasons == two.reasons == ["wamp.close.system_shutdown"]


async def test_the_end_waits_for_nothing_but_the_last_connection():
    """Event-driven: it is over as soon as the last client has answered, whatever the time-outs."""
    router = Router(goodbye_timeout=1000.0)
    await router.start()
    session = RecordingSession()
    ready = asyncio.Event()
    session.on("ready", lambda _: ready.set())
    router.attach(session)
    await ready.wait()
    async with Client(router.url) as client:
        await asyncio.wait_for(router.close(), 10)
    assert client.reasons == ["wamp.close.system_shutdown"]
    assert isinstance(CloseDetails("x").reason, str)


async def test_connections_without_a_session_do_not_hold_it_up(loop_name):
    router = Router(goodbye_timeout=1000.0, hello_timeout=1000.0)
    await router.start()
    parts = urlsplit(router.url)
    silent = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(3)]
    silent[1][1].write(b"GET /ws HTTP/1.1\r\n")
    silent[2][1].write(b"\x7f\xf1")
    while len(router.gate.visits) < 3 or sum(hasattr(v.protocol, "factory") for v in router.gate.visits) < 2:
        await asyncio.sleep(0.001)
    await asyncio.wait_for(router.close(), 10)
    answers = [await reader.read() for reader, _ in silent]
    assert answers[0] == answers[2] == b"" and answers[1].startswith(b"HTTP/1.1 503")
    for _, writer in silent:
        writer.close()


async def test_a_router_starts_again_after_its_end():
    router = Router()
    for _ in range(2):
        async with router:
            await works(router.url)
        assert router.url is None and router.unreadiness() == "starting"


# ---- development mode ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [
        ("http://localhost:3000", True), ("http://127.0.0.1", True), ("https://localhost:8443", True), ("null", True),
        ("file://", True), ("http://example.com", False), ("http://localhost.example.com", False),
    ],
)  # fmt: skip
async def test_in_development_mode_pages_of_this_machine_may_connect(origin, is_welcome):
    from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

    async with Router.from_settings(development("ws://127.0.0.1:0/ws")) as router:
        factory = WebSocketClientFactory(router.url, protocols=["wamp.2.json"], origin=origin)
        factory.protocol = WebSocketClientProtocol
        _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", factory.port)
        await asyncio.wait({client.is_open, client.is_closed}, return_when=asyncio.FIRST_COMPLETED)
        assert (client.state == client.STATE_OPEN) is is_welcome
        if not is_welcome:
            assert "403" in client.wasNotCleanReason
        client.sendClose()
        await client.is_closed


async def test_realms_made_on_demand_do_not_pile_up():
    async with Router.from_settings(development("ws://127.0.0.1:0/ws")) as router:
        for number in range(5):
            async with Client(router.url, f"com.realm{number}"):
                assert list(router.core.realms) == [f"com.realm{number}"]
            while router.core.links:
                await asyncio.sleep(0.001)
        assert not router.core.realms

"""What an import brings along: a program pays for what it uses. Times are noise in a test; modules are not."""

import subprocess
import sys

import pytest

NEEDLESS = {
    # of the standard library; asyncio itself brings ssl, socket and subprocess
    "calendar", "email.utils", "hashlib", "hmac", "html", "http", "http.client", "ipaddress", "json", "pathlib",
    "pprint", "secrets", "stringprep", "tempfile", "tomllib", "unittest", "urllib.parse", "urllib.request", "zoneinfo",
    # of others
    "argon2", "bjdata", "cryptography", "nacl", "nats", "prometheus_client", "rich", "txaio", "uvloop",
    # our own, for those who use them
    "autobahn.asyncio.connect", "autobahn.asyncio.rawsocket", "autobahn.asyncio.router", "autobahn.asyncio.serve",
    "autobahn.asyncio.stream", "autobahn.cli", "autobahn.router", "autobahn.wamp.auth", "autobahn.wamp.cryptobox",
    "autobahn.wamp.cryptosign", "autobahn.wamp.scram",
}  # fmt: skip


def brought_along(module, known="asyncio"):
    """The modules that ``import module`` adds to those of ``import known``."""
    code = f"import sys, {known}; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(output.split())


def ours(modules):
    return {module for module in modules if module.partition(".")[0] == "autobahn"}


@pytest.mark.parametrize(
    "module", ["autobahn.asyncio.component", "autobahn.asyncio.wamp", "autobahn.asyncio.websocket"]
)
def test_the_documented_modules_bring_nothing_that_not_everybody_needs(module):
    found = brought_along(module)
    assert module in found
    assert found & NEEDLESS == set()


def test_the_package_alone_brings_nothing():
    assert ours(brought_along("autobahn", known="typing")) == {"autobahn", "autobahn._lazy"}


def test_wamp_alone_brings_no_asyncio():
    found = brought_along("autobahn.wamp.session", known="typing")
    assert "autobahn.wamp.message" in found
    assert {"asyncio", "ssl", "socket"} & found == set()


@pytest.mark.parametrize(
    ("module", "needless", "most"),
    [
        # what a component works with comes when one is made
        ("autobahn.asyncio.component", {"cbor2", "dataclasses", "msgspec", "random", "autobahn.websocket"}, 20),
        ("autobahn.asyncio.wamp", {"zlib", "autobahn.asyncio.runner", "autobahn.websocket"}, 50),
        ("autobahn.asyncio.websocket", {"cbor2", "msgspec", "autobahn.wamp"}, 50),
    ],
)
def test_an_import_brings_its_own_stack_only(module, needless, most):
    found = brought_along(module)
    assert found & needless == set()
    assert len(ours(found)) <= most


def test_a_component_brings_nothing_of_others():
    found = brought_along("autobahn.asyncio.component")
    of_asyncio = {"inspect", "signal", "typing", "_typing"}  # until 3.11, 3.12 or 3.13
    assert found - ours(found) - of_asyncio <= {"__future__"}


def test_a_component_class_has_its_session_all_the_same():
    from autobahn.asyncio.component import Component
    from autobahn.asyncio.wamp import Session

    class Own(Component):
        session_factory = dict

    assert Component.session_factory is Session
    assert Component(transports="ws://localhost/").session_factory is Session
    assert Own.session_factory is dict

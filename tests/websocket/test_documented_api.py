"""Every documented name, method, parameter and attribute exists; the table holds names and signatures only."""

import importlib
import pathlib

import pytest

from api import inventory_check

API = inventory_check.load(pathlib.Path(__file__).parent / "documented_api.json")

# What is left out on purpose, and why: (module, name or None, member or None) -> reason. None stands for all.
OMITTED = {
    ("autobahn.websocket.protocol", "PreparedMessage", "payloadHybi"): "framed when it is sent first",
    ("autobahn.websocket.utf8validator", "Utf8Validator", "ffi"): "a detail of a C binding",
    ("autobahn.websocket.utf8validator", "Utf8Validator", "lib"): "a detail of a C binding",
    (None, None, "http_request_data"): "raw octets of the handshake are not kept: they cost memory in every connection",
    (None, None, "http_response_data"): "raw octets of the handshake are not kept",
    (None, None, "http_status_line"): "on servers; a client has the ConnectionResponse",
    (None, None, "allowedOriginsPatterns"): "a detail: patterns are not regular expressions here",
    ("autobahn.asyncio.websocket", "WampWebSocketClientProtocol", "STRICT_PROTOCOL_NEGOTIATION"): "a server's choice",
    ("autobahn.asyncio.websocket", "WebSocketAdapterProtocol", "is_server"): "on the classes that have a role",
    **{
        (
            "autobahn.websocket.protocol",
            "WebSocketProtocol",
            name,
        ): "needs a network"
        for name in (
            "dropConnection",
            "fire",
            "off",
            "on",
            "set_valid_events",
            "sendClose",
            "is_open",
            "is_closed",
            "transport_details",
        )
    },
}
NEEDS = {"Brotli": "brotli", "Snappy": "snappy"}


def instance_of(module, name, cls):
    """An object on which instance attributes can be looked for."""
    if name == "WebSocketProtocol":
        return cls()
    if name.endswith("Protocol"):
        factory = importlib.import_module("autobahn.asyncio.websocket")
        made = getattr(factory, "WebSocketClientFactory" if "Client" in name else "WebSocketServerFactory")()
        protocol = cls()
        protocol.factory = made
        return protocol
    if name.endswith("Factory") and not name.startswith("IWeb") and name != "WebSocketFactory":
        return cls(lambda: None) if name.startswith("Wamp") else cls()
    if name in {"TrafficStats", "Timings", "Utf8Validator"}:
        return cls()
    return None


NAMES = inventory_check.names_of(API, OMITTED)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{m}.{n}" for m, n in NAMES])
def test_what_is_documented_exists(module, name):
    for kind, package in NEEDS.items():
        if name.startswith(f"PerMessage{kind}"):
            pytest.importorskip(package, reason=f"the package {package} is not installed")
    inventory_check.check(API, module, name, OMITTED, instance_of)


def test_classes_that_need_a_network_are_those_of_asyncio():
    from autobahn.asyncio import websocket as ours
    from autobahn.websocket import protocol as documented

    for name in ("WebSocketClientFactory", "WebSocketClientProtocol", "WebSocketServerFactory"):
        assert getattr(documented, name) is getattr(ours, name)
    assert issubclass(ours.WampWebSocketServerFactory, documented.WebSocketFactory)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        documented.nonsense

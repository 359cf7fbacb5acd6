"""Every documented name, method, parameter and attribute exists; the table holds names and signatures only."""

import importlib
import inspect
import json
import pathlib
import re

import pytest

API = json.loads((pathlib.Path(__file__).parent / "documented_api.json").read_text())

# What is left out on purpose, and why: (module, name or None, member or None) -> reason. None stands for all.
NO_FACTORIES = "a factory without a network cannot be told from the asyncio one; use autobahn.asyncio.websocket"
OMITTED = {
    ("autobahn.websocket.compress_bzip2", None, None): "not an IANA extension; nobody but autobahn speaks it",
    ("autobahn.websocket.compress_brotli", None, None): "not an IANA extension; nobody but autobahn speaks it",
    ("autobahn.websocket.compress_snappy", None, None): "not an IANA extension; nobody but autobahn speaks it",
    ("autobahn.websocket.protocol", "WebSocketClientFactory", None): NO_FACTORIES,
    ("autobahn.websocket.protocol", "WebSocketServerFactory", None): NO_FACTORIES,
    ("autobahn.websocket.protocol", "WebSocketFactory", None): NO_FACTORIES,
    ("autobahn.websocket.protocol", "WebSocketClientProtocol", None): NO_FACTORIES,
    ("autobahn.websocket.protocol", "WebSocketServerProtocol", None): NO_FACTORIES,
    ("autobahn.websocket.protocol", "PreparedMessage", None): "made by factory.prepareMessage only",
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
OTHER_COMPRESSION = re.compile(r"PerMessage(Bzip2|Brotli|Snappy)")


def is_omitted(module, name=None, member=None):
    if name is not None and OTHER_COMPRESSION.match(name):
        return True
    keys = [(module, None, None), (module, name, None), (module, name, member), (None, None, member)]
    return any(key in OMITTED for key in keys if key[2] is not None or key[1] is not None or key[0] is not None)


def parameters(text):
    """Names of a documented signature, stars included, with whether they have a default."""
    inner = text.strip()[1:-1]
    found = []
    depth = 0
    current = ""
    for character in inner + ",":
        if character == "," and not depth:
            if current.strip():
                found.append(current.strip())
            current = ""
            continue
        depth += (character in "([{<") - (character in ")]}>")
        current += character
    return [(part.split("=")[0].split(":")[0].strip(), "=" in part) for part in found]


def check_signature(function, text, where):
    """Every documented call works: the same names in the same places, and what may be left out may be."""
    signature = inspect.signature(function)
    ours = list(signature.parameters.values())
    takes_any = any(p.kind is p.VAR_KEYWORD for p in ours)
    by_name = {p.name: p for p in ours}
    positional = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in {"self", "cls"}]
    keyword_only = False
    for place, (name, has_default) in enumerate(p for p in parameters(text) if p[0] not in {"/", "self"}):
        if name == "*":
            keyword_only = True
        if name.startswith("*"):
            continue
        if name not in by_name:
            assert takes_any, f"{where}: expected a parameter {name}, got {signature}"
            continue
        if has_default:
            assert by_name[name].default is not inspect.Parameter.empty, f"{where}: {name} may be left out"
        if not keyword_only and not takes_any:
            assert positional.index(name) == place, f"{where}: {name} is number {place}, got {signature}"
    documented = {name.lstrip("*") for name, _ in parameters(text)}
    for p in ours:  # ours beyond the documented ones must not be needed
        if p.name not in documented | {"self", "cls"} and p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}:
            assert p.default is not p.empty, f"{where}: expected {p.name} to have a default"


def instance_of(module, name, cls):
    """An object on which instance attributes can be looked for."""
    if name.endswith("Protocol") and "asyncio" in module:
        factory = importlib.import_module("autobahn.asyncio.websocket")
        made = getattr(factory, "WebSocketClientFactory" if "Client" in name else "WebSocketServerFactory")()
        protocol = cls()
        protocol.factory = made
        return protocol
    if name.endswith("Factory") and "asyncio" in module:
        return cls(lambda: None) if name.startswith("Wamp") else cls()
    if name in {"TrafficStats", "Timings", "WebSocketProtocol", "Utf8Validator"}:
        return cls()
    return None


def has_attribute(thing, cls, attribute):
    if hasattr(cls, attribute) or attribute in getattr(cls, "_ws_option_names", ()):
        return True
    if thing is not None:
        return hasattr(thing, attribute)
    names = inspect.signature(cls).parameters if not inspect.isabstract(cls) else {}
    return attribute in names


NAMES = [(module, name) for module in API for name in API[module] if not is_omitted(module, name)]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{m}.{n}" for m, n in NAMES])
def test_what_is_documented_exists(module, name):
    entry = API[module][name]
    thing = getattr(importlib.import_module(module), name)
    where = f"{module}.{name}"
    if entry["kind"] == "function":
        check_signature(thing, entry["signature"], where)
    if entry["kind"] not in {"class", "exception"}:
        return
    if "init" in entry and entry["init"] != "(*args, **kwargs)" and not inspect.isabstract(thing):
        check_signature(thing, entry["init"], where)
    for method, signature in entry.get("methods", {}).items():
        if is_omitted(module, name, method):
            continue
        assert hasattr(thing, method), f"{where}: expected a method {method}"
        function = inspect.getattr_static(thing, method)
        bound = getattr(function, "__func__", function)
        signature = signature if isinstance(function, staticmethod) else signature.replace("(", "(self, ", 1)
        check_signature(bound, signature, f"{where}.{method}")
    example = instance_of(module, name, thing)
    for attribute in entry.get("attributes", ()):
        if not is_omitted(module, name, attribute):
            assert has_attribute(example, thing, attribute), f"{where}: expected an attribute {attribute}"


@pytest.mark.parametrize("name", ["bzip2", "brotli", "snappy"])
def test_compression_that_is_left_out_says_so(name):
    with pytest.raises(ImportError, match=f"permessage-{name} is not built.*use permessage-deflate"):
        importlib.import_module(f"autobahn.websocket.compress_{name}")

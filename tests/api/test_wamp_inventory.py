"""Every documented name, method, parameter, default and attribute of the WAMP modules exists."""

import importlib
import pathlib

import pytest

from api import inventory_check

API = inventory_check.load(pathlib.Path(__file__).parent / "wamp.json")

# What is left out on purpose, and why (see inventory_check).
PLAIN = "messages are plain declarations: no attribute per option, no cache"
HANDSHAKE = "a detail: the handshake is in autobahn.rawsocket"
OMITTED = {
    **{
        ("autobahn.wamp.message", name, None): "says so when it is asked for"
        for name in (
            "check_or_raise_extra",
            "check_or_raise_id",
            "check_or_raise_realm_name",
            "check_or_raise_uri",
            "identify_realm_name_category",
            "is_valid_enc_algo",
            "is_valid_enc_serializer",
            "PAYLOAD_ENC_CRYPTO_BOX",
            "PAYLOAD_ENC_MQTT",
            "PAYLOAD_ENC_STANDARD_IDENTIFIERS",
            "PAYLOAD_ENC_STANDARD_SERIALIZERS",
        )
    },
    **{
        (None, name, value): PLAIN
        for name, values in {
            "Cancel": "SKIP KILL KILLNOWAIT",
            "Interrupt": "KILL KILLNOWAIT",
            "Goodbye": "DEFAULT_REASON",
            "Register": "MATCH_EXACT MATCH_PREFIX MATCH_WILDCARD INVOKE_SINGLE INVOKE_FIRST INVOKE_LAST "
            "INVOKE_ROUNDROBIN INVOKE_RANDOM",
            "Subscribe": "MATCH_EXACT MATCH_PREFIX MATCH_WILDCARD",
        }.items()
        for value in values.split()
    },
    **{(None, "IMessage", name): PLAIN for name in ("parse", "serialize", "uncache", "MESSAGE_TYPE")},
    (None, "ISerializer", "MESSAGE_TYPE_MAP"): PLAIN,
    (None, "ISerializer", "PAYLOAD_SERIALIZER_ID"): "only FlatBuffers has two serializers, and it is left out",
    (
        None,
        "IAuthenticator",
        "on_welcome",
    ): "called with (session, authextra), as the authenticators themselves have it",
    **{
        (None, f"WampRawSocket{role}Protocol", name): HANDSHAKE
        for role in ("Client", "Server")
        for name in ("check_serializer", "parse_handshake", "process_handshake", "prefix_format", "prefix_length")
    },
    **{
        (None, name, "on_welcome"): "called with (session, authextra); the first is named after what it is"
        for name in ("AuthAnonymous", "AuthTicket", "AuthWampCra", "AuthCryptoSign")
    },
    **{
        (None, f"{name}ObjectSerializer", f"{name.upper()}_MODULE"): "a detail: which package is behind it"
        for name in ("Json", "CBOR", "MsgPack", "UBJSON")
    },
    ("autobahn", "__version__", None): "our own",
    ("autobahn", "version", None): "our own",
    ("autobahn.wamp.websocket", "WampWebSocketClientFactory", "__init__"): "the class is the one for asyncio",
    ("autobahn.wamp.websocket", "WampWebSocketServerFactory", "__init__"): "the class is the one for asyncio",
    ("autobahn.wamp.websocket", "WampWebSocketClientProtocol", "STRICT_PROTOCOL_NEGOTIATION"): "a server's choice",
}
EXAMPLES = {
    "ApplicationError": lambda cls: cls("com.example.error"),
    "TypeCheckError": lambda cls: cls("text"),
    "ApplicationSession": lambda cls: cls(),
    "Session": lambda cls: cls(),
    "BaseSession": lambda cls: cls(),
    "Publication": lambda cls: cls(1, was_encrypted=False),
    "ApplicationSessionFactory": lambda cls: cls(),
    "ApplicationRunner": lambda cls: cls("ws://localhost/"),
    "Component": lambda cls: cls(),
    "Tracker": lambda cls: cls(1, 2),
    "Key": lambda cls: cls(originator_priv="A" * 43 + "=", responder_priv="B" * 42 + "A="),
}


def example(module, name, cls):
    """An object on which instance attributes can be looked for."""
    if name.startswith("Role") and name.endswith("Features"):
        return cls()
    return EXAMPLES[name](cls) if name in EXAMPLES else None


NAMES = inventory_check.names_of(API, OMITTED)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{m}.{n}" for m, n in NAMES])
def test_what_is_documented_exists(module, name):
    inventory_check.check(API, module, name, OMITTED, example)


@pytest.mark.parametrize("name", [n for m, n, _ in OMITTED if m == "autobahn.wamp.message"])
def test_a_name_of_the_message_module_that_is_left_out_says_so(name):
    module = importlib.import_module("autobahn.wamp.message")
    with pytest.raises(AttributeError, match=f"autobahn.wamp.message.{name} is left out: "):
        getattr(module, name)


def test_an_unknown_name_of_the_message_module_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        importlib.import_module("autobahn.wamp.message").Nonsense

"""What is public is public, and nothing else: `__all__` of the documented modules is pinned here."""

import importlib
import inspect
import types

import pytest

WEBSOCKET = "WebSocketClientFactory WebSocketClientProtocol WebSocketServerFactory WebSocketServerProtocol"
WAMP_WEBSOCKET = (
    "WampWebSocketClientFactory WampWebSocketClientProtocol WampWebSocketServerFactory WampWebSocketServerProtocol"
)
PUBLIC = {
    "autobahn.asyncio.connect": "ConnectOptions connect",
    "autobahn.asyncio.serve": "ServeOptions Server serve",
    "autobahn.asyncio.stream": "WebSocket",
    "autobahn.websocket.plain": "HttpRequest HttpResponse",
    "autobahn.asyncio": f"ApplicationSession {WEBSOCKET} __ident__",
    "autobahn.asyncio.component": "Component run",
    "autobahn.asyncio.websocket": f"{WEBSOCKET} {WAMP_WEBSOCKET}",
    "autobahn.asyncio.wamp": "ApplicationRunner ApplicationSession ApplicationSessionFactory Session",
    "autobahn.asyncio.router": "Router load_settings serve",
    "autobahn.asyncio.util": "get_or_create_event_loop peer2str sleep transport_channel_id",
    "autobahn.wamp.component": "Component",
    "autobahn.wamp.protocol": """ApplicationError ApplicationSession ApplicationSessionFactory BaseSession ISession
        ITransport Publication Registration Subscription""",
    "autobahn.wamp.websocket": """WampWebSocketClientFactory WampWebSocketClientProtocol WampWebSocketServerFactory
        WampWebSocketServerProtocol parseSubprotocolIdentifier""",
    "autobahn.cli": "main",
    "autobahn": "WebSocket __version__ connect serve version",
    "autobahn.exception": """BufferFullError ComponentFailed ConnectFailed ConnectTimeout ConnectionClosed
        ConnectionClosedError ConnectionClosedOK
        Disconnected InvalidHandshake InvalidStatus InvalidURI PayloadCorruptError PayloadExceededError ProxyError""",
    "autobahn.wamp": """ApplicationError CallDetails CallOptions CallResult CloseDetails ComponentConfig Error
        EventDetails ISession InvalidUri ProtocolError PublishOptions RegisterOptions SerializationError SessionDetails
        SessionNotReady SubscribeOptions TransportLost error register subscribe""",
    "autobahn.wamp.exception": """ApplicationError Error InvalidPayload InvalidUri InvalidUriError NotAuthorized
        ProtocolError RequestLost SerializationError SessionNotReady StreamOverflow TransportLost TypeCheckError""",
    "autobahn.wamp.types": """Accept CallDetails CallOptions CallResult Challenge CloseDetails ComponentConfig Deny
        EncodedPayload Event EventDetails HelloDetails HelloReturn Publication PublishOptions RegisterOptions
        Registration SessionDetails SessionIdent SubscribeOptions Subscription TransportDetails""",
    "autobahn.wamp.request": "Publication Registration Subscription",
    "autobahn.wamp.uri": "Pattern convert_starred_uri error register subscribe",
    "autobahn.wamp.interfaces": """IAuthenticator IMessage IObjectSerializer IPayloadCodec ISerializer ISession
        ITransport ITransportHandler""",
    "autobahn.websocket": """ConnectionAccept ConnectionDeny ConnectionRequest ConnectionResponse HAS_NVX
        IWebSocketChannel IncomingMessage Message OutgoingMessage USES_NVX""",
    "autobahn.websocket.types": """ConnectingRequest ConnectionAccept ConnectionDeny ConnectionRequest
        ConnectionResponse IncomingMessage Message OutgoingMessage Ping""",
    "autobahn.websocket.util": "create_url parse_url",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_exactly_these(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    for public in module.__all__:
        value = getattr(module, public)
        if isinstance(value, type | types.FunctionType):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"


@pytest.mark.parametrize("name", PUBLIC)
def test_star_import_brings_them_and_nothing_else(name):
    namespace = {}
    exec(f"from {name} import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(PUBLIC[name].split())


def test_importing_has_no_side_effects():
    """Neither the root logger nor the random state nor the loop policy is touched by an import (N51)."""
    import subprocess
    import sys

    code = """
import logging, random, asyncio, signal

def state():
    root = logging.getLogger()
    return random.getstate(), root.level, list(root.handlers), signal.getsignal(signal.SIGINT)

before = state()
import autobahn.asyncio.component, autobahn.asyncio.router
assert before == state()
assert not logging.getLogger("autobahn").handlers
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)

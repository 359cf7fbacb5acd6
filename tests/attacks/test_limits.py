"""docs/limits.md names options that exist, and their defaults as they are."""

import re
from pathlib import Path

from autobahn.websocket.options import ClientOptions, ServerOptions

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
DEFAULTS = {
    "maxHandshakeSize": 16 * 1024,
    "maxHandshakeHeaders": 100,
    "openHandshakeTimeout": 5,
    "maxConnections": 0,
    "allowedOrigins": ("*",),
    "allowNullOrigin": True,
    "maxMessagePayloadSize": 16 * 1024 * 1024,
    "maxFramePayloadSize": 0,
    "maxSendBuffer": 16 * 1024 * 1024,
    "sendHighWater": 64 * 1024,
    "sendLowWater": 16 * 1024,
    "maxConcurrentHandlers": 1,
    "maxReceiveQueue": 64,
    "maxReceiveQueueSize": 1024 * 1024,
    "closeHandshakeTimeout": 1,
    "serverConnectionDropTimeout": 1,
    "autoPingInterval": 20,
    "autoPingTimeout": 20,
}


def test_the_page_of_limits_is_true():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(DEFAULTS)
    for options in (ServerOptions(), ClientOptions()):
        for name in options.names() & DEFAULTS.keys():
            assert options.value(name) == DEFAULTS[name], name

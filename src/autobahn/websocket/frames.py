"""The frame unit: `Reader` (bytes to messages) and `Writer` (messages to bytes), RFC 6455 section 5.

Compiled when the extension is there; the Python twin otherwise or with `AUTOBAHN_PURE=1`.
"""

import os

__all__ = ["BINARY", "CLOSE", "COMPILED", "CONTINUATION", "PING", "PONG", "TEXT", "Reader", "Writer"]

CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

COMPILED: bool
"""Whether `Reader` and `Writer` are the compiled ones."""

try:
    if os.environ.get("AUTOBAHN_PURE", "0").lower() not in {"", "0", "false", "no", "off"}:
        raise ImportError
    from autobahn.websocket._frames import Reader, Writer

    COMPILED = True
except ImportError:
    from autobahn.websocket._frames_py import Reader, Writer

    COMPILED = False

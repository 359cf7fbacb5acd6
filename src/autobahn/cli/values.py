"""What the command line takes and prints: arguments, and one JSON text a line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from autobahn.wamp.types import CallResult


def value(text: str) -> Any:
    """What an argument stands for: what it is in JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def keywords(pairs: Iterable[str]) -> dict[str, Any]:
    """The keyword arguments of ``key=value`` texts. Raises `ValueError`."""
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"expected --kw as key=value, got {pair!r}")
        found[key] = value(text)
    return found


def line(thing: Any) -> str:
    """``thing`` as one line of JSON. Octets are what they are in WAMP's JSON: NUL and base64, as a text."""
    return json.dumps(thing, default=_plain, ensure_ascii=False)


def payload(args: Iterable[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """A payload, in the order in which it is read; without keywords when there are none."""
    return {"args": list(args), **({"kwargs": kwargs} if kwargs else {})}


def _plain(thing: Any) -> Any:
    if isinstance(thing, CallResult):
        return payload(thing.results, thing.kwresults)
    if isinstance(thing, bytes | bytearray | memoryview):
        return "\0" + base64.b64encode(thing).decode()
    return str(thing)

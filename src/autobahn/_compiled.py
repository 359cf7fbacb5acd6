"""Whether compiled units are used: not with `AUTOBAHN_PURE=1` in the environment; then everything is Python."""

from __future__ import annotations

import os


def expect_compiled() -> None:
    """The compiled unit that is imported next may be used. Raises `ImportError` when the environment forbids it."""
    if os.environ.get("AUTOBAHN_PURE", "0").lower() not in {"", "0", "false", "no", "off"}:
        raise ImportError("expected an environment without AUTOBAHN_PURE, got one that has it")

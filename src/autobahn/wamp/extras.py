"""Packages that only some programs need."""

from __future__ import annotations

import importlib
from typing import Any


class MissingExtra(RuntimeError, ImportError):
    """An optional package is needed and not installed."""


def optional(module: str, package: str, purpose: str, extra: str = "auth") -> Any:
    """The module ``module``; `MissingExtra` says which package ``purpose`` needs and how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise MissingExtra(
            f'expected the package {package} for {purpose}, got none; install it with: pip install "{package}" '
            f'or pip install "autobahn-asyncio[{extra}]"'
        ) from exc

"""The documented name `Component` at its old place; the class is that of `autobahn.asyncio.component`.

This module belongs to the asyncio layer (docs/design.md, section 2): nothing inside the package imports it.
"""

from __future__ import annotations

from autobahn.asyncio.component import Component

__all__ = ("Component",)

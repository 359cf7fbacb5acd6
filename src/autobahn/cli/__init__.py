"""The ``autobahn`` command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from autobahn import __version__
from autobahn.cli import client, router

__all__ = ("main",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    args = _parser().parse_args(argv)
    return int(args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autobahn", description="WebSocket and WAMP for Python asyncio.")
    parser.add_argument("--version", action="version", version=f"autobahn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    router.add_command(commands)
    client.add_commands(commands)
    return parser

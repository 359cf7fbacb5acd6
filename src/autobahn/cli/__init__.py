"""The ``autobahn`` command."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from autobahn import __version__
from autobahn.asyncio.loops import LEVELS, start_logging
from autobahn.asyncio.router import DEFAULT_URL, Router, serve
from autobahn.log import printable

__all__ = ("main",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    args = _parser().parse_args(argv)
    return int(args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autobahn", description="WebSocket and WAMP for Python asyncio.")
    parser.add_argument("--version", action="version", version=f"autobahn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    router = commands.add_parser("router", help="run a WAMP router", description="Run a WAMP router.")
    router.add_argument(
        "--url", default=DEFAULT_URL, help="where to listen (default: %(default)s; port 0: any free one)"
    )
    router.add_argument(
        "--realm",
        action="append",
        dest="realms",
        metavar="REALM",
        help="a realm to serve; repeatable (default: realm1)",
    )
    router.add_argument("--log-level", default="warn", choices=list(LEVELS), help="default: %(default)s")
    router.set_defaults(run=_router)
    return parser


def _router(args: argparse.Namespace) -> int:
    realms = args.realms or ["realm1"]
    start_logging(args.log_level)

    def announce(router: Router) -> None:
        names = ", ".join(realms)
        hint = f'Component(transports="{router.url}", realm="{realms[0]}")'
        print(f"router listening at {router.url} for realm {names} - connect with {hint}", flush=True)

    try:
        asyncio.run(serve(Router(args.url, realms=realms), announce))
    except (OSError, ValueError) as exc:
        print(printable(f"autobahn router: cannot listen at {args.url}: {exc}"), file=sys.stderr)
        return 1
    return 0

"""``autobahn router``: runs a WAMP router."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from autobahn.log import LEVELS, printable

__all__ = ("add_command",)

DEFAULT_URL = "ws://127.0.0.1:8080/ws"
DESCRIPTION = """\
Run a WAMP router.

With a file it does what that says (see docs/router.md). Without one it runs in
development mode: at a loopback address, realms are made when a client asks for
them, and everybody may do everything; /healthz, /readyz and /metrics are
there, too.
"""
EPILOG = """\
signals: SIGTERM and SIGINT stop it in order, a second one in a hurry; SIGHUP
reads the file again, without dropping sessions.

exit status: 0 when it was stopped, or the checked file is as expected; 1 when
the file is not as expected or it cannot listen; 2 for wrong arguments.

examples:
  autobahn router
  autobahn router --url ws://127.0.0.1:9000/ws --realm com.example
  autobahn router --config router.toml
  autobahn router --check router.toml
"""


def add_command(commands: Any) -> None:
    """``router`` is one of ``commands``."""
    parser = commands.add_parser(
        "router",
        help="run a WAMP router",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-c", "--config", metavar="FILE", help="do what this TOML file says")
    source.add_argument("--check", metavar="FILE", help="only tell whether this file is as expected")
    source.add_argument("--reference", action="store_true", help="print all keys of the file, in Markdown")
    parser.add_argument(
        "--url",
        help=f"without a file: the loopback address to listen at (default: {DEFAULT_URL}; port 0: any free one)",
    )
    parser.add_argument(
        "--realm", action="append", dest="realms", metavar="REALM",
        help="without a file: a realm to serve, and no others; repeatable (default: any that is asked for)",
    )  # fmt: skip
    parser.add_argument("--log-level", choices=list(LEVELS), help="default: that of the file, or warn")
    parser.add_argument("--log-format", choices=["text", "json"], help="default: that of the file, or text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    if args.reference:
        from autobahn.router.settings_reference import reference

        print(reference(), end="")
        return 0
    if args.check is not None:
        return _check(args.check)
    if args.config is not None and (args.url or args.realms):
        return _fail("expected --url and --realm without a file, or --config without them, got both", 2)
    return _run(args)


def _check(path: str) -> int:
    """What is wrong in the file, a line each, on stderr."""
    from autobahn.asyncio.router import load_settings
    from autobahn.router.settings_reader import SettingsError

    try:
        settings = load_settings(path)
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        return 1
    realms, listeners = len(settings.realms), len(settings.listeners)
    print(printable(f"{path}: as expected, {_count(realms, 'realm')} and {_count(listeners, 'listener')}"))
    return 0


def _run(args: argparse.Namespace) -> int:
    import asyncio

    from autobahn.asyncio.loops import start_logging
    from autobahn.asyncio.router import Router, load_settings, serve
    from autobahn.asyncio.systemd import listen_sockets
    from autobahn.router.settings import development
    from autobahn.router.settings_reader import SettingsError

    try:
        if args.config is not None:
            settings = load_settings(args.config)
        else:
            settings = development(_loopback(args.url or DEFAULT_URL), tuple(args.realms or ()))
            settings = replace(settings, log=replace(settings.log, level="warn"))
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        return 1
    except ValueError as exc:
        return _fail(str(exc), 1)
    start_logging(args.log_level or settings.log.level, args.log_format or settings.log.format)

    async def reload() -> None:
        changed = load_settings(args.config)
        await router.reload(changed)
        start_logging(args.log_level or changed.log.level, args.log_format or changed.log.format)

    def announce(router: Router) -> None:
        print("\n".join(_announcement(args, router.urls)), flush=True)

    router = Router.from_settings(settings, listen_sockets())
    try:
        asyncio.run(serve(router, announce, reload=None if args.config is None else reload))
    except (OSError, ValueError) as exc:
        where = ", ".join(listener.url for listener in settings.listeners)
        return _fail(f"cannot listen at {where}: {exc}", 1)
    return 0


def _announcement(args: argparse.Namespace, urls: list[str]) -> list[str]:
    """What is told when it listens."""
    where = ", ".join(urls)
    if args.config is not None:
        return [f"router listening at {where} as {args.config} says"]
    realms = ", ".join(args.realms or ()) or "any"
    hint = f'Component(transports="{urls[0]}", realm="{(args.realms or ["realm1"])[0]}")'
    told = [
        f"router listening at {where} for realm {realms} - connect with {hint}",
        "development mode: everybody on this machine may do everything; for anything else give it a file (--config)",
    ]
    if urls[0].startswith("ws://") and not urls[0].startswith("ws://unix:"):
        origin = f"http://{urlsplit(urls[0]).netloc}"
        told.append(f"pages: {origin}/healthz, {origin}/readyz, {origin}/metrics")
    return told


def _loopback(url: str) -> str:
    """``url``, for development; ValueError when others could reach it."""
    from autobahn.asyncio.listener import Address
    from autobahn.router.settings import ListenerSettings

    address = Address(ListenerSettings(url=url))
    if address.scheme not in {"ws", "rs"}:
        raise ValueError(f"expected a URL that starts with ws:// or rs:// in development mode, got {url!r}")
    try:
        is_loopback = address.is_unix or address.host == "localhost" or ip_address(address.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"expected a loopback address in development mode, where everything is allowed, got {address.host}: "
            "to be reached from elsewhere it needs a file (--config)"
        )
    return url


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _fail(text: str, status: int) -> int:
    print(printable(f"autobahn router: {text}"), file=sys.stderr)
    return status

"""``autobahn call``, ``publish``, ``subscribe`` and ``register``: a WAMP client for shells and scripts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from autobahn.log import printable

if TYPE_CHECKING:
    from autobahn.asyncio.wamp import Session

__all__ = ("add_commands",)

ANSWERED, WRONG, NOT_CONNECTED, INTERRUPTED = 1, 2, 3, 130
EPILOG = """\
ARGS are JSON, or texts where they are not: 5 is a number, '"5"' and abc are texts.
What comes is printed as one line of JSON each. Errors go to stderr.

exit status: 0 when it was done, or stopped by SIGINT or SIGTERM while it waited
for events or calls; 1 when the router or the callee answered with an error; 2 for
wrong arguments; 3 when there was no connection, or it was lost.
"""
COMMAND_FAILED = "autobahn.error.command_failed"
METHODS = {"ticket": "ticket", "secret": "wampcra", "password": "scram", "private_key": "cryptosign"}
KEYS = {"private_key": "privkey"}  # what create_authenticator calls them, where that is another name


def add_commands(commands: Any) -> None:
    """The four are among ``commands``."""
    call = _add(commands, "call", "call a procedure and print its result", call_procedure)
    call.add_argument("procedure", metavar="PROCEDURE")
    _add_payload(call)
    call.add_argument("--progress", action="store_true", help="print progressive results as they come")

    publish = _add(commands, "publish", "publish an event", publish_event)
    publish.add_argument("topic", metavar="TOPIC")
    _add_payload(publish)
    publish.add_argument("--retain", action="store_true", help="the router keeps it for those who subscribe later")

    subscribe = _add(commands, "subscribe", "print events", print_events)
    subscribe.add_argument("topic", metavar="TOPIC")
    subscribe.add_argument("--match", choices=["exact", "prefix", "wildcard"], default="exact")
    subscribe.add_argument("--retained", action="store_true", help="first the event that the router has kept")
    _add_count(subscribe, "events")

    register = _add(commands, "register", "serve a procedure: answer with what came, or by a command", serve_procedure)
    register.add_argument("procedure", metavar="PROCEDURE")
    register.add_argument("--match", choices=["exact", "prefix", "wildcard"], default="exact")
    register.add_argument("--invoke", choices=["single", "first", "last", "roundrobin", "random"], default="single")
    register.add_argument(
        "--shell", metavar="COMMAND",
        help="run it for each call: it gets the payload as a line of JSON on stdin; what it prints is the result",
    )  # fmt: skip
    _add_count(register, "calls")


def _add(
    commands: Any, name: str, text: str, work: Callable[[Session, argparse.Namespace], Coroutine[Any, Any, None]]
) -> Any:
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="of the router: ws://, wss://, rs:// or rss://")
    parser.add_argument("--realm", default="realm1", help="default: realm1")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS",
                        help="for the connection, and for each answer (default: 10)")  # fmt: skip
    parser.add_argument("--serializer", metavar="ID", help="json, msgpack, cbor, ... (default: the router's choice)")
    parser.add_argument("--ca", metavar="FILE", help="certificates of the authorities to trust, in PEM form")
    parser.add_argument("--authid", metavar="ID", help="who we are")
    method = parser.add_mutually_exclusive_group()
    for option, what in (
        ("--ticket", "by ticket"),
        ("--secret", "by WAMP-CRA"),
        ("--password", "by SCRAM"),
        ("--private-key", "by Cryptosign: 32 octets in hex"),
    ):
        method.add_argument(option, metavar="VALUE", help=f"authenticate {what}; @FILE: the content of a file")
    parser.set_defaults(run=run, work=work, name=name)
    return parser


def _add_payload(parser: Any) -> None:
    parser.add_argument("args", nargs="*", default=[], metavar="ARGS")
    parser.add_argument("--kw", action="append", default=[], metavar="KEY=VALUE", help="a keyword argument; repeatable")


def _add_count(parser: Any, what: str) -> None:
    parser.add_argument("--count", type=int, default=0, metavar="N", help=f"end after N {what} (default: never)")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, got {text}")
    return seconds


# ---- the frame of all four -------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    from autobahn.exception import ConnectFailed
    from autobahn.wamp.exception import ApplicationError, Error, TransportLost

    def fail(text: object, status: int) -> int:
        print(printable(f"autobahn {args.name}: {text}"), file=sys.stderr)
        return status

    try:
        return asyncio.run(_run(args))
    except (ConnectFailed, TransportLost) as exc:
        return fail(f"{args.url}: {exc}", NOT_CONNECTED)
    except ApplicationError as exc:
        return fail(_text_of(exc), ANSWERED)
    except (ValueError, TypeError, OSError, Error) as exc:
        return fail(exc, WRONG)
    except KeyboardInterrupt:
        return INTERRUPTED


def _text_of(exc: Any) -> str:
    from autobahn.cli.values import line

    return " ".join([f"{exc.error}:", *(str(arg) for arg in exc.args), *([line(exc.kwargs)] if exc.kwargs else [])])


async def _run(args: argparse.Namespace) -> int:
    """Connected, done, and closed in order; a signal ends what only waits."""
    from autobahn.asyncio.connect import connect
    from autobahn.asyncio.loops import signals_call
    from autobahn.cli.values import keywords

    if hasattr(args, "kw"):
        args.kwargs = keywords(args.kw)
    options: dict[str, Any] = {} if args.ca is None else {"ssl": _context(args.ca)}
    opening = connect(
        args.url, realm=args.realm, auth=_auth(args), open_timeout=args.timeout,
        serializers=None if args.serializer is None else [args.serializer],
        call_timeout=args.timeout, request_timeout=args.timeout, **options,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    async def work() -> None:
        async with opening as session:
            working = loop.create_task(args.work(session, args))
            lost = loop.create_task(session.wait_disconnected())
            await asyncio.wait({working, lost, stopped}, return_when=asyncio.FIRST_COMPLETED)
            lost.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
                if not stopped.done():
                    raise _lost()
            if not working.cancelled():
                working.result()

    def stop(_: object) -> None:
        if not stopped.done():
            stopped.set_result(None)

    with signals_call(loop, stop, once=True):
        task = loop.create_task(work())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done() and not task.done():
            await asyncio.wait({task}, timeout=args.timeout)
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()
    return INTERRUPTED if stopped.done() and args.name in {"call", "publish"} else 0


def _lost() -> Exception:
    from autobahn.wamp.exception import TransportLost

    return TransportLost("the connection was lost")


def _context(path: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=path)


def _auth(args: argparse.Namespace) -> dict[str, Any] | None:
    """What `connect` takes as ``auth``. Raises `OSError`."""
    for option, method in METHODS.items():
        secret = getattr(args, option)
        if secret is None:
            continue
        if secret.startswith("@"):
            with open(secret[1:], encoding="utf-8") as file:
                secret = file.read().strip()
        who = {} if args.authid is None else {"authid": args.authid}
        return {method: {KEYS.get(option, option): secret, **who}}
    return None if args.authid is None else {"anonymous": {"authid": args.authid}}


def _print(thing: Any) -> None:
    from autobahn.cli.values import line

    print(line(thing), flush=True)


# ---- what they do ----------------------------------------------------------------------------------------------------


async def call_procedure(session: Session, args: argparse.Namespace) -> None:
    """The result is printed, or each progressive one and then the rest."""
    from autobahn.cli.values import value

    arguments = [value(text) for text in args.args]
    if not args.progress:
        _print(await session.call(args.procedure, *arguments, **args.kwargs))
        return
    async for chunk in session.call_stream(args.procedure, *arguments, **args.kwargs).chunks():
        _print(chunk)


async def publish_event(session: Session, args: argparse.Namespace) -> None:
    """The router has the event; its id is printed."""
    from autobahn.cli.values import value
    from autobahn.wamp.types import PublishOptions

    options = PublishOptions(acknowledge=True, retain=args.retain or None)
    publication = await session.publish(
        args.topic, *[value(text) for text in args.args], options=options, **args.kwargs
    )
    _print({"publication": publication.id})


async def print_events(session: Session, args: argparse.Namespace) -> None:
    """Events are printed until it is enough."""
    from autobahn.cli.values import payload
    from autobahn.wamp.types import SubscribeOptions

    options = SubscribeOptions(match=args.match, get_retained=args.retained or None)
    async with session.events(args.topic, options) as events:
        print(f"subscribed {args.topic}", file=sys.stderr, flush=True)
        number = 0
        async for event in events:
            details = event.details
            who = {"publisher": details.publisher, "retained": details.retained}
            about = {key: thing for key, thing in who.items() if thing is not None}
            place = {"topic": event.topic, "publication": details.publication}
            _print({**place, **payload(event.args, event.kwargs), **about})
            number += 1
            if number == args.count:
                return


async def serve_procedure(session: Session, args: argparse.Namespace) -> None:
    """Calls are answered and printed until it is enough."""
    from autobahn.cli.values import payload
    from autobahn.wamp.types import CallDetails, CallResult, RegisterOptions

    enough = asyncio.Event()
    number = 0

    async def endpoint(*arguments: Any, details_of_call: CallDetails, **kwargs: Any) -> Any:
        nonlocal number
        _print({"procedure": details_of_call.procedure, **payload(arguments, kwargs)})
        try:
            if args.shell is not None:
                return await _answer(args.shell, payload(arguments, kwargs))
            return CallResult(*arguments, **kwargs)
        finally:
            number += 1
            if number == args.count:
                asyncio.get_running_loop().call_soon(enough.set)  # after the answer

    options = RegisterOptions(match=args.match, invoke=args.invoke, details_arg="details_of_call")
    await session.register(endpoint, args.procedure, options)
    print(f"registered {args.procedure}", file=sys.stderr, flush=True)
    await enough.wait()


async def _answer(command: str, call: dict[str, Any]) -> Any:
    """What a shell command prints: JSON, or else a text without the newline at its end."""
    from autobahn.cli.values import line, value
    from autobahn.wamp.exception import ApplicationError

    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_shell(
        command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        out, errors = await process.communicate(line(call).encode() + b"\n")
    except asyncio.CancelledError:  # the call was canceled
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the shell has started, too
        await process.wait()
        raise
    text = out.decode(errors="replace").removesuffix("\n")
    if process.returncode:
        why = errors.decode(errors="replace").strip()
        raise ApplicationError(COMMAND_FAILED, why or text, status=process.returncode)
    return value(text) if text else None

"""Runs benchmarks: `python bench/run.py [SECTION ...] [--quick]`; all sections by default."""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Callable

import harness
import routers
import tables
import wamp_client
import ws_client
import ws_costs
import ws_server

Section = Callable[[tables.Options], tuple[list[tables.Table], dict[str, str]]]


def _costs(bench: Callable[[tables.Options], tables.Table]) -> Section:
    return lambda options: ([bench(options)], ws_server.versions())


def _echo(uvloop: bool) -> Section:
    return lambda options: ([ws_server.bench(options, uvloop)], ws_server.versions())


def _client(uvloop: bool) -> Section:
    return lambda options: ([ws_client.bench(options, uvloop)], ws_server.versions())


SECTIONS: dict[str, Section] = {
    "echo": _echo(False),
    "echo-uvloop": _echo(True),
    "client": _client(False),
    "client-uvloop": _client(True),
    "deflate": _costs(ws_costs.deflate),
    "handshake": _costs(ws_costs.handshakes),
    "memory": _costs(ws_costs.idle),
    "wamp-client": lambda options: (wamp_client.bench(options), wamp_client.versions()),
    "router": lambda options: (routers.routing(options), routers.versions()),
    "router-size": lambda options: ([routers.sizes(options)], routers.versions()),
}


def main(argv: list[str] | None = None) -> None:
    """The sections asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("section", nargs="*", help=f"out of {', '.join(SECTIONS)}; default: all")
    add("--all", action="store_true", help="all sections")
    add("--quick", action="store_true", help="fewer and shorter slices: a first impression, not published")
    add("--rounds", type=int, default=0, help="slices of each competitor in a row")
    add("--seconds", type=float, default=0.0, help="length of a slice")
    add("--only", action="append", default=[], metavar="NAME", help="only this competitor beside the base (repeatable)")
    add("--source", default="", metavar="DIR", help="another copy of this package's src, to compare two versions")
    add("--publish", action="store_true", help="into docs/benchmarks; a whole run does that unless it is quick")
    args = parser.parse_args(argv)
    unknown = set(args.section) - set(SECTIONS)
    if unknown:
        parser.error(f"expected sections out of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    harness.SOURCE = str(pathlib.Path(args.source).resolve()) if args.source else ""
    options = tables.Options(args.quick, args.rounds, args.seconds, args.only)
    chosen = list(SECTIONS) if args.all or not args.section else args.section
    publish = args.publish or not (args.quick or args.section or args.only or args.source)
    begin = time.monotonic()
    for name in chosen:
        started = time.monotonic()
        found, versions = SECTIONS[name](options)
        tables.save(tables.Result(name, found, versions, quick=args.quick), publish)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"{len(chosen)} sections in {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()

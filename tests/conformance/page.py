"""Writes the report page `docs/conformance/README.md` from the JSON reports that `run.py` left."""

from __future__ import annotations

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance" / "README.md"

HEAD = """# Conformance

The Autobahn TestSuite (517 cases of RFC 6455 and RFC 7692), run by `make conformance` with `kosoku`. A case is judged
twice: for its behaviour and for how the connection was closed. The suite has three cases without an OK: 7.1.6, 7.13.1
and 7.13.2 end as INFORMATIONAL for every implementation. NON-STRICT, UNIMPLEMENTED and FAILED would be listed below.
Keep-alive pings are off in the tested programs: a case with a thousand large messages may last longer than their
interval on a slow machine, and `kosoku` takes a ping there for a failure.

| end | frame unit, loop | cases | behaviour | closing |
|---|---|---|---|---|
"""


def counts(table: dict[str, int]) -> str:
    """`514 OK, 3 INFORMATIONAL`."""
    return ", ".join(f"{number} {name}" for name, number in sorted(table.items(), key=lambda item: -item[1]))


def page(reports: list[dict]) -> str:
    """The page for some reports of `run.py`."""
    rows, notes = [], []
    for report in sorted(reports, key=lambda r: (r["role"], r["flavour"])):
        cases = f"{report['run']} of {report['expected']}"
        verdicts = f"{counts(report['behavior'])} | {counts(report['behaviorClose'])}"
        unit, _, loop = report["flavour"].partition("-")
        tested = f"{unit}, {loop or 'asyncio'}"
        rows.append(f"| {report['role']} | {tested} | {cases} | {verdicts} |")
        notes += [f"- {report['role']}, {tested}: {bad}" for bad in report["bad"]]
    return HEAD + "\n".join(rows) + "\n" + ("\nNot OK:\n\n" + "\n".join(notes) + "\n" if notes else "")


def main(folder: str) -> None:
    """Read every JSON report in `folder` and write the page."""
    reports = [json.loads(path.read_text()) for path in sorted(pathlib.Path(folder).glob("*.json"))]
    if not reports:
        raise SystemExit(f"expected reports of run.py in {folder}, got none")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(reports))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

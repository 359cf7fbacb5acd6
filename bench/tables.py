"""From samples to tables: interleaved rounds, medians, Markdown, the JSON behind it."""

from __future__ import annotations

import datetime
import math
import pathlib
import statistics
from collections.abc import Callable

import harness
import msgspec

RESULTS = harness.HERE / "results"
PAGE = harness.ROOT / "docs" / "benchmarks" / "README.md"


class Options(msgspec.Struct):
    """How much to measure."""

    quick: bool = False
    rounds: int = 0  # 0: what the section finds right
    seconds: float = 0.0
    only: list[str] = []

    def sized(self, rounds: int, seconds: float) -> tuple[int, float]:
        """Rounds and seconds of a slice, where these are right for a full run."""
        quick = (max(2, rounds // 3), seconds / 2)
        default = quick if self.quick else (rounds, seconds)
        return self.rounds or default[0], self.seconds or default[1]

    def wanted(self, names: list[str], base: str = "") -> list[str]:
        """Those of `names` that are to run; the base always is."""
        return [name for name in names if not self.only or name == base or name in self.only]


class Cell(msgspec.Struct):
    """What came out for one competitor in one row."""

    value: float  # median, in the unit of the row
    ratio: float | None = None  # median of the ratios to the base in the same round
    least: float | None = None  # the smallest sample: what noise did not touch
    rate: float | None = None  # messages per second, median
    load_busy: float | None = None  # how much of its core the load generator needed
    rounds: int = 1


class Row(msgspec.Struct):
    """One line of a table."""

    label: str
    goal: str
    cells: dict[str, Cell]


class Table(msgspec.Struct):
    """One table of a section; `base` is what ratios refer to."""

    title: str
    names: list[str]
    rows: list[Row]
    base: str = ""
    note: str = ""


class Result(msgspec.Struct):
    """What a section leaves."""

    section: str
    tables: list[Table]
    versions: dict[str, str]
    machine: str = ""
    date: str = ""
    quick: bool = False


def interleave(
    names: list[str], rounds: int, measure: Callable[[str], harness.Sample | None]
) -> dict[str, list[harness.Sample | None]]:
    """Samples of each, taken A B C … C B A so that a slow phase of the machine meets all alike."""
    samples: dict[str, list[harness.Sample | None]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(measure(name))
    return samples


def summarize(samples: dict[str, list[harness.Sample | None]], base: str) -> dict[str, Cell]:
    """Medians; the ratio is cost of this to cost of the base, round by round."""
    cells = {}
    for name, taken in samples.items():
        good = [s for s in taken if s and s.server_cpu > 0]
        pairs = [s.cost / b.cost for s, b in zip(taken, samples.get(base, []), strict=False) if s and b and b.cost]
        if good:
            cells[name] = Cell(
                value=statistics.median(s.cost for s in good),
                ratio=statistics.median(pairs) if pairs and name != base else None,
                least=min(s.cost for s in good),
                rate=statistics.median(s.rate for s in good),
                load_busy=statistics.median(s.load_cpu / s.elapsed for s in good),
                rounds=len(good),
            )
    return cells


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 or math.isclose(value, 0) else f"{value:.2f}"


def markdown(table: Table) -> str:
    """The table, one row a line, the goal beside it."""
    names = [name for name in table.names if any(name in row.cells for row in table.rows)]
    lines = [f"### {table.title}", "", f"| | {' | '.join(names)} | goal |", f"|---|{'---|' * (len(names) + 1)}"]
    for row in table.rows:
        shown = []
        for name in names:
            cell = row.cells.get(name)
            if cell is None:
                shown.append("–")
            elif cell.ratio is None:
                shown.append(number(cell.value))
            else:
                shown.append(f"{number(cell.value)} ({cell.ratio:.2f}×)")
        lines.append(f"| {row.label} | {' | '.join(shown)} | {row.goal or '–'} |")
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def page(result: Result) -> str:
    """All tables of a section, and what they were made with."""
    found = ", ".join(f"{name} {version}" for name, version in result.versions.items() if version)
    made = f"{result.date}{', quick' if result.quick else ''}: {result.machine}; {found}"
    return "\n\n".join([*(markdown(table) for table in result.tables), f"<sub>{made}</sub>"])


def save(result: Result, publish: bool) -> None:
    """The numbers are in `bench/results/`; published ones in `docs/benchmarks/`, the tables between their markers."""
    result.machine = harness.machine()
    result.date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    data = msgspec.json.format(msgspec.json.encode(result), indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result.section}.json").write_bytes(data + b"\n")
    (RESULTS / f"{result.section}.md").write_text(page(result) + "\n")
    print(f"\n{page(result)}\n", flush=True)
    if publish:
        folder = PAGE.parent / "results"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{result.section}.json").write_bytes(data + b"\n")
        put(PAGE, result.section, page(result))


def put(path: pathlib.Path, section: str, text: str) -> None:
    """`text` stands between the markers of `section` in the page; SystemExit when it has none."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    head, found, rest = path.read_text().partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"expected the lines {begin} and {end} in {path}")
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def require(wanted: list[str], ready: list[str]) -> None:
    """Ends the program with a message when our own side did not run; a missing peer was already told."""
    missing = [name for name in wanted if name.startswith("ours") and name not in ready]
    if missing:
        raise SystemExit(f"did not run: {', '.join(missing)}")

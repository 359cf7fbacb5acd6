"""What the types of `autobahn.router.settings` do not say by themselves: ranges, URIs, files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from autobahn.wamp.uri import is_valid

INLINE = "inline"  # metadata of a field whose record has its keys in the table around it
KEY = "key"  # metadata of a field whose key has another name


@dataclass(frozen=True, slots=True)
class Range:
    """A number from ``least`` on."""

    least: float

    @property
    def text(self) -> str:
        return f"from {self.least:g}"

    def take(self, value: Any, base: Path) -> Any:
        """The value; ValueError says what was expected."""
        if not self.least <= value < float("inf"):
            raise ValueError(f"a number {self.text}")
        return value


@dataclass(frozen=True, slots=True)
class Uri:
    """A WAMP URI, or one of ``others``."""

    others: str = ""
    text = ""

    def take(self, value: Any, base: Path) -> Any:
        if not (value and value in self.others) and not is_valid(value):
            raise ValueError("a URI")
        return value


@dataclass(frozen=True, slots=True)
class ReadableFile:
    """The path of a file, relative to the configuration; it is made absolute."""

    text = "a file"

    def take(self, value: Any, base: Path) -> Any:
        path = base / Path(value).expanduser()
        try:
            with path.open("rb"):
                return str(path)
        except OSError as exc:
            raise ValueError(f"a file that can be read ({exc.strerror or exc} at {path})") from exc


@dataclass(frozen=True, slots=True)
class FileToMake:
    """The path of a file in a folder that exists, relative to the configuration; it is made absolute."""

    text = "a file"

    def take(self, value: Any, base: Path) -> Any:
        path = base / Path(value).expanduser()
        if not path.parent.is_dir():
            raise ValueError(f"a file in a folder that exists ({path.parent} does not)")
        return str(path)


@dataclass(frozen=True, slots=True)
class FileMode:
    """Permissions of a file in octal digits."""

    text = "like 660"

    def take(self, value: Any, base: Path) -> Any:
        if not re.fullmatch(r"0?[0-7]{3}", value):
            raise ValueError('permissions in octal digits like "660"')
        return value


@dataclass(frozen=True, slots=True)
class AsWritten:
    """The table is checked, and what is written there is taken, without defaults."""


Seconds = Annotated[float, Range(0)]
Some = Annotated[float, Range(0.001)]
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]
Octets = Annotated[int, Range(0)]

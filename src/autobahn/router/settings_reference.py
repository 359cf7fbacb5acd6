"""The reference of all keys of the configuration file, made of the records that declare them."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from autobahn.router.settings import RouterSettings
from autobahn.router.settings_reader import Key, alternatives, described, keys_of

__all__ = ("explanations", "reference")


def explanations(cls: type) -> dict[str, str]:
    """What the docstrings of ``cls``, and of the records it extends, say of each field."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        _, _, arguments = inspect.cleandoc(each.__dict__.get("__doc__") or "").partition("\nArgs:\n")
        entries = re.split(r"^ {4}(?=\w+: )", arguments, flags=re.M)
        for entry in entries[1:]:
            name, _, text = entry.partition(": ")
            found[name] = " ".join(text.split()).replace("``", "`")
    return found


def reference() -> str:
    """Markdown: a section for each table, a row for each key."""
    return "\n".join(_table("", RouterSettings))


def _table(path: str, cls: type) -> Iterator[str]:
    summary = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("``", "`")
    yield f"### {f'`{path}`' if path else 'The file'}\n"
    yield f"{' '.join(summary.split())}\n"
    if not keys_of(cls):
        return
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    inner: list[tuple[str, type]] = []
    for name, key in keys_of(cls).items():
        yield f"| `{name}` | {_kind(key.type)} | {_default(key)} | {explanations(key.owner)[key.field]} |"
        inner += _inner(f"{path}.{name}" if path else name, key.type)
    yield ""
    for where, record in inner:
        yield from _table(where, record)


def _inner(path: str, kind: Any) -> Iterator[tuple[str, type]]:
    """The tables within a key."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    arms = alternatives(kind)
    if len(arms) > 1:
        for arm in arms:
            yield from _inner(path, arm)
    elif dataclasses.is_dataclass(arms[0]):
        yield path, arms[0]  # type: ignore[misc]
    elif get_origin(arms[0]) is Mapping:
        yield from _inner(f"{path}.NAME", get_args(arms[0])[1])
    elif get_origin(arms[0]) is tuple:
        yield from _inner(f"{path}[]", get_args(arms[0])[0])


def _kind(kind: Any) -> str:
    notes = [getattr(note, "text", "") for note in getattr(kind, "__metadata__", ())]
    for arm in alternatives(kind):
        notes += [getattr(note, "text", "") for note in getattr(arm, "__metadata__", ())]
    return " ".join(filter(None, dict.fromkeys([described(kind), *notes]))).replace("|", "\\|")


def _default(key: Key) -> str:
    if key.is_required:
        return "*required*"
    value = key.default
    if value is None or value == () or dataclasses.is_dataclass(value):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"

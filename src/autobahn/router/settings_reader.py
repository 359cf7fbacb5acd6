"""Reads the TOML file of a router; everything that is wrong in it is told at once, each with its line."""

from __future__ import annotations

import dataclasses
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from autobahn.log import printable
from autobahn.router.auth import Authentication
from autobahn.router.permissions import Permissions
from autobahn.router.settings import ANY_REALM, RouterSettings
from autobahn.router.settings_kinds import INLINE, KEY, AsWritten, Range
from autobahn.router.toml_lines import Path as KeyPath
from autobahn.router.toml_lines import key_lines
from autobahn.wamp.runtime import Runtime

__all__ = ("Document", "Problem", "SettingsError", "read")

_SECRETS = frozenset({"ticket", "ticket_hash", "secret", "password", "stored_key", "server_key", "key", "key_password",
                      "mock_secret"})  # fmt: skip
_NAMES: dict[Any, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the file that is not as expected."""

    file: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}")


class SettingsError(ValueError):
    """The file is not as expected; ``problems`` are all that was found, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__("\n".join(map(str, self.problems)))


class Document:
    """One file as it was read: its settings, and where each of them stands."""

    def __init__(self, name: str, lines: Mapping[KeyPath, int], problems: list[Problem]) -> None:
        self._name = name
        self._lines = lines
        self.problems = problems
        self._paths: list[KeyPath] = []
        self.settings: RouterSettings

    def complain(self, path: KeyPath, text: str) -> None:
        """There is a problem with the key at ``path``."""
        near = path
        while near and near not in self._lines:
            near = near[:-1]
        self._paths.append(path)
        self.problems.append(Problem(self._name, self._lines.get(near), key_text(path), text))

    def is_sound(self, *path: str | int) -> bool:
        """Whether nothing is wrong in the table at ``path`` so far, nor that table itself."""
        return not any(bad[: len(path)] == path[: len(bad)] for bad in self._paths)

    def check(self) -> RouterSettings:
        """The settings; `SettingsError` when there are problems."""
        if self.problems:
            raise SettingsError(self.problems)
        return self.settings


def key_text(path: KeyPath) -> str:
    """``path`` as one would write it: ``realms."com.example".roles.backend``, ``listeners[0].url``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if bare else '"' + part.replace('"', '\\"') + '"')
    return text


def read(path: str | Path) -> Document:
    """The file at ``path``. Problems are in the document, and `Document.check` raises them."""
    name, problems = str(path), list[Problem]()
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as exc:
        raise SettingsError(
            [Problem(name, None, "", f"expected a file that can be read: {exc.strerror or exc}")]
        ) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError([Problem(name, None, "", f"expected UTF-8, got {exc.reason}")]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError([_syntax(name, str(exc), text.count("\n") + 1)]) from exc
    document = Document(name, key_lines(text.replace("\r\n", "\n")), problems)
    document.settings = _Reader(document, Path(path).absolute().parent).record(RouterSettings, data, ())
    _judge(document)
    return document


def _syntax(name: str, text: str, last: int) -> Problem:
    """What `tomllib` says: "Expected '=' after a key (at line 3, column 5)"."""
    text, _, place = text.rpartition(" (at ")
    number = place.removeprefix("line ").partition(",")[0]
    return Problem(name, int(number) if number.isdigit() else last, "", f"expected TOML, got an error: {text}")


class _Reader:
    """Turns data into what its types say: records, or, where data is wanted as written, plain dicts and lists."""

    def __init__(self, document: Document, base: Path) -> None:
        self._complain = document.complain
        self._base = base

    def record(self, cls: Any, data: Mapping[str, Any], path: KeyPath) -> Any:
        """The record; what is wrong is None in it."""
        values = self._table(cls, data, path, False)
        fields = {key.field: values[name] for name, key in keys_of(cls).items() if name in values}
        for field in dataclasses.fields(cls):
            inner = _hints(cls)[field.name]
            if field.metadata.get(INLINE):
                names = {f.name for f in dataclasses.fields(inner)}
                taken = {name: fields.pop(name) for name in names & fields.keys()}
                fields[field.name] = self._inlined(inner, taken, path)
        try:
            return cls(**fields)
        except TypeError:  # something required is missing, which has been told
            return None

    def _inlined(self, cls: Any, values: Mapping[str, Any], path: KeyPath) -> Any:
        """The record with what is right of ``values``; one that does not go together with the others is told."""
        sound = {name: value for name, value in values.items() if value is not None}
        sound = {name: value for name, value in sound.items() if not (isinstance(value, tuple) and None in value)}
        try:
            return cls(**sound)
        except ValueError as exc:
            self._complain(path, str(exc))
            return cls()

    def _table(self, cls: Any, data: Mapping[str, Any], path: KeyPath, as_written: bool) -> dict[str, Any]:
        """The values of the keys that are there."""
        keys = keys_of(cls)
        for name in data:
            if name not in keys:
                text = f"expected a key out of {', '.join(keys)}, got {name!r:.60}"
                self._complain((*path, name), text + _hint(name, keys))
        values: dict[str, Any] = {}
        for name, key in keys.items():
            if name in data:
                values[name] = self._value(key.type, data[name], (*path, name), as_written)
            elif key.is_required:
                self._complain(path, f"expected the key {name!r}, got none")
        return values

    def _value(self, kind: Any, data: Any, path: KeyPath, as_written: bool = False) -> Any:
        """``data`` as ``kind`` wants it; None when it is something else."""
        arm, notes = _chosen(kind, data)
        if arm is None:
            text = " ".join([described(kind), *(note.text for note in notes if getattr(note, "text", ""))])
            self._complain(path, f"expected {text}, got {shown(data, path)}")
            return None
        if any(isinstance(note, AsWritten) for note in notes):
            as_written = True
        elif arm is int and not notes:
            notes = [Range(0)]
        value = self._converted(arm, data, path, as_written)
        for note in notes:
            if not isinstance(note, AsWritten):
                try:
                    value = note.take(value, self._base)
                except ValueError as exc:
                    self._complain(path, f"expected {exc}, got {shown(data, path)}")
                    return None
        return value

    def _converted(self, kind: Any, data: Any, path: KeyPath, as_written: bool) -> Any:
        if dataclasses.is_dataclass(kind):
            return self._table(kind, data, path, True) if as_written else self.record(kind, data, path)
        origin, args = get_origin(kind), get_args(kind)
        if origin in {tuple, frozenset}:
            items = [self._value(args[0], item, (*path, number), as_written) for number, item in enumerate(data)]
            return items if as_written else origin(items)
        if origin is Mapping:
            for name in data:
                self._value(args[0], name, (*path, name))
            return {name: self._value(args[1], item, (*path, name), as_written) for name, item in data.items()}
        if origin is Literal and data not in args:
            hint = _hint(str(data), map(str, args))
            self._complain(path, f"expected {described(kind)}, got {shown(data, path)}{hint}")
            return None
        return float(data) if kind is float else data


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


# ---- types -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    field: str
    type: Any
    default: Any
    owner: type

    @property
    def is_required(self) -> bool:
        return self.default is dataclasses.MISSING


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@cache
def keys_of(cls: type) -> dict[str, Key]:
    """The keys of the table that ``cls`` declares, by their names in the file."""
    keys: dict[str, Key] = {}
    for field in dataclasses.fields(cls):
        kind = _hints(cls)[field.name]
        if field.metadata.get(INLINE):
            keys |= keys_of(kind)
            continue
        factory: Callable[[], Any] | Any = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        keys[field.metadata.get(KEY, field.name)] = Key(field.name, kind, default, cls)
    return keys


def alternatives(kind: Any) -> list[Any]:
    """The alternatives that ``kind`` allows; there is no null in TOML."""
    if get_origin(kind) in {Union, types.UnionType}:
        return [arm for each in get_args(kind) if each is not type(None) for arm in alternatives(each)]
    return [kind]


def _chosen(kind: Any, data: Any) -> tuple[Any, list[Any]]:
    """The alternative of ``kind`` that ``data`` has the shape of, or None; and what is said about it."""
    notes: list[Any] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            notes += more
            continue
        arms = alternatives(kind)
        if len(arms) == 1 and arms[0] is kind:
            return (kind if _fits(kind, data) else None), notes
        kind = next((arm for arm in arms if _fits(arm, data)), None)
        if kind is None:
            return None, notes


def _fits(kind: Any, data: Any) -> bool:
    """Whether ``data`` has the shape of ``kind``."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    arms = alternatives(kind)
    if len(arms) > 1:
        return any(_fits(arm, data) for arm in arms)
    (kind,) = arms
    if kind is Any:
        return True
    if dataclasses.is_dataclass(kind) or get_origin(kind) is Mapping:
        return isinstance(data, Mapping)
    if get_origin(kind) in {tuple, frozenset}:
        return isinstance(data, list)
    if get_origin(kind) is Literal:
        return any(type(arg) is type(data) for arg in get_args(kind))
    if kind is float:
        return isinstance(data, int | float) and not isinstance(data, bool)
    return type(data) is kind


def described(kind: Any) -> str:
    """``kind`` in words."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    arms = alternatives(kind)
    if len(arms) > 1:
        return " or ".join(dict.fromkeys(described(arm) for arm in arms))
    (kind,) = arms
    if get_origin(kind) is Literal:
        values = [str(arg).lower() if isinstance(arg, bool) else f'"{arg}"' for arg in get_args(kind)]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    if dataclasses.is_dataclass(kind) or get_origin(kind) is Mapping:
        return "a table"
    if get_origin(kind) in {tuple, frozenset}:
        return "a list"
    return _NAMES.get(kind, "a value")


def shown(data: Any, path: KeyPath = ()) -> str:
    """``data`` as an error tells it; secrets are only described."""
    if isinstance(data, bool):
        return str(data).lower()
    if isinstance(data, Mapping):
        return "a table"
    if isinstance(data, list):
        return "a list"
    if next((part for part in reversed(path) if isinstance(part, str)), "") in _SECRETS:
        return "a text" if isinstance(data, str) else "a number"
    return f"{data!r:.100}" if isinstance(data, str | int | float) else type(data).__name__


# ---- what the types cannot say -----------------------------------------------------------------------------


class _NoRouter:
    """Stands for the router while settings are judged."""

    runtime: Runtime | None = None
    service: Any = None


def _judge(document: Document) -> None:
    """Problems that show only when realms, credentials and permissions are made of the settings."""
    settings = document.settings
    if document.is_sound("realms") and not settings.realms:
        document.complain(("realms",), "expected at least one realm, got none")
    if document.is_sound("listeners") and not settings.listeners:
        document.complain(("listeners",), "expected at least one listener, got none")
    for name, realm in settings.realms.items() if settings is not None and settings.realms else ():
        if realm is not None:
            _judge_roles(document, name, realm.roles or {})
            _judge_auth(document, name, realm.auth or {})


def _judge_roles(document: Document, realm: str, roles: Mapping[str, Any]) -> None:
    path: KeyPath = ("realms", realm, "roles")
    if not roles and document.is_sound(*path):
        document.complain(path, "expected at least one role, got none: nobody could join")
    for role, rules in roles.items():
        if document.is_sound(*path, role):
            try:
                Permissions({realm: {role: rules}}, _NoRouter())
            except ValueError as exc:
                document.complain((*path, role), str(exc.__cause__ or exc))


def _judge_auth(document: Document, realm: str, auth: Any) -> None:
    path: KeyPath = ("realms", realm, "auth")
    for method, values in auth.items():
        if document.is_sound(*path, method):
            try:
                Authentication({realm: {method: values}}, _NoRouter())
            except (ValueError, ImportError, RuntimeError) as exc:
                document.complain((*path, method), str(exc))
            _check_roles(document, realm, method, values)


def _check_roles(document: Document, realm: str, method: str, values: Mapping[str, Any]) -> None:
    """The roles of all principals exist in the realms they join."""
    settings = document.settings
    path: KeyPath = ("realms", realm, "auth", method)

    def check(role: Any, home: str, path: KeyPath) -> None:
        model = settings.realms.get(home) or settings.realms.get(ANY_REALM)
        if isinstance(role, str) and model is not None and role not in (model.roles or {}):
            known = ", ".join(model.roles or {})
            document.complain(path, f"expected a role of the realm {home!r} ({known}), got {role!r:.60}")

    check(values.get("role", "anonymous" if method == "anonymous" else None), realm, (*path, "role"))
    for authid, principal in (values.get("principals") or {}).items():
        home = principal.get("realm", realm)
        check(principal.get("role"), home, (*path, "principals", authid, "role"))
        for number, role in enumerate(principal.get("roles") or ()):
            check(role, home, (*path, "principals", authid, "roles", number))

"""Where principals come from: the configuration, a file, an SQLite table, a Python function, or a procedure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autobahn.router.auth_principals import Dynamic, Source, Static
from autobahn.wamp.uri import is_valid


def source_of(settings: Mapping[str, Any], method: str, service: Any) -> Source:
    """The source that ``settings`` of a method name: ``principals``, ``file``, ``sqlite`` or ``authenticator``."""
    named = [key for key in ("principals", "file", "sqlite", "authenticator") if settings.get(key) is not None]
    if not named and method == "cryptosign" and settings.get("trustroots") is not None:
        return Static({}, None)  # certificates say who comes
    if len(named) != 1:
        got = ", ".join(named) or "none"
        expected = "one of principals, file, sqlite, authenticator"
        raise ValueError(f'expected {expected} for the method "{method}", got {got}')
    role = settings.get("role")
    if named == ["authenticator"]:
        return Dynamic(_callable(settings, service), method, role)
    if named == ["sqlite"]:
        from autobahn.router.auth_table import Table  # few routers need SQLite

        return Table(str(settings["sqlite"]), method, role)
    if named == ["principals"]:
        return Static(_mapping(settings["principals"], f'principals of "{method}"'), role)
    return Static(read(Path(settings["file"])), role, provider="file")


def _callable(settings: Mapping[str, Any], service: Any) -> Callable[..., Any]:
    """The function that asks an authenticator or authorizer; a text is the URI of a procedure on ``realm``."""
    target = settings["authenticator"]
    if callable(target):
        return target  # type: ignore[no-any-return]
    if not isinstance(target, str) or not is_valid(target):
        raise ValueError(f"expected a function or the URI of a procedure as authenticator, got {target!r:.100}")
    home = settings.get("realm")

    def ask(realm: str, authid: str | None, details: dict[str, Any]) -> Any:
        return service.call(home or realm, target, realm, authid, details)

    return ask


def read(path: Path) -> Mapping[str, Any]:
    """The principals in a JSON or TOML file; ValueError names the file."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as exc:
        raise ValueError(f"expected principals in {path}, got an error: {exc}") from exc
    return _mapping(data, str(path))


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a dict as {name}, got {type(value).__name__}")
    return value

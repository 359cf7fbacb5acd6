"""Programs that use every public name pass ``mypy --strict``: what is annotated is true for those who rely on it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api import inventory_check, test_wamp_inventory
from websocket import test_documented_api

HERE = Path(__file__).parent
PROGRAMS = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))
MODULES = """
    autobahn autobahn.exception autobahn.util autobahn.asyncio autobahn.asyncio.component autobahn.asyncio.connect
    autobahn.asyncio.rawsocket autobahn.asyncio.router autobahn.asyncio.serve autobahn.asyncio.stream
    autobahn.asyncio.util autobahn.asyncio.wamp autobahn.asyncio.websocket autobahn.rawsocket.util autobahn.router
    autobahn.wamp autobahn.wamp.auth autobahn.wamp.component autobahn.wamp.cryptobox autobahn.wamp.cryptosign
    autobahn.wamp.eventstream autobahn.wamp.exception autobahn.wamp.interfaces autobahn.wamp.message
    autobahn.wamp.payload autobahn.wamp.protocol autobahn.wamp.request autobahn.wamp.role autobahn.wamp.serializer
    autobahn.wamp.types autobahn.wamp.uri autobahn.wamp.websocket autobahn.websocket autobahn.websocket.compress
    autobahn.websocket.compress_base autobahn.websocket.compress_deflate autobahn.websocket.interfaces
    autobahn.websocket.plain autobahn.websocket.protocol autobahn.websocket.types autobahn.websocket.utf8validator
    autobahn.websocket.util autobahn.websocket.xormasker
""".split()  # noqa: SIM905
OURS = {"is_carried_by", "passthru_of", "PayloadLayer"}  # public between the parts of the package


def public_names(module):
    """All but constants: what a name in capitals is, nobody gets wrong."""
    names = getattr(module, "__all__", None)
    if names is None:
        return [cls.__name__ for cls in module.MESSAGES]
    return [name for name in names if name not in OURS and not name.isupper()]


@pytest.mark.parametrize("name", MODULES)
def test_the_programs_use_every_public_name(name):
    words = set(re.findall(r"\w+", " ".join(path.read_text() for path in PROGRAMS)))
    assert [n for n in public_names(importlib.import_module(name)) if n not in words] == []


def program_of(table, omitted):
    """A program that looks at everything in a table of documented names: classes, functions, members."""
    lines = [f"import {module}" for module in table]
    for module, name in inventory_check.names_of(table, omitted):
        entry, thing = table[module][name], f"{module}.{name}"
        lines.append(f"print({thing})")
        if entry["kind"] not in {"class", "exception"}:
            continue
        members = [*entry.get("methods", {}), *entry.get("attributes", ()), *entry.get("values", {})]
        found = [m for m in dict.fromkeys(members) if not inventory_check.is_omitted(omitted, module, name, m)]
        looks = ", ".join(f"it.{member}" for member in found)
        lines.append(f"def look{len(lines)}(it: {thing}) -> None:\n    print({looks})")
    return "\n".join(lines)


def test_all_that_is_documented_passes_a_strict_type_check(tmp_path):
    """The programs that are written by hand, and one that names every documented class, function and member."""
    tables = {
        "wamp": (test_wamp_inventory.API, test_wamp_inventory.OMITTED),
        "websocket": (test_documented_api.API, test_documented_api.OMITTED),
    }
    written = [tmp_path / f"every_{name}_name.py" for name in tables]
    for path, (table, omitted) in zip(written, tables.values(), strict=True):
        path.write_text(program_of(table, omitted))
        assert path.read_text().count("it.") > 500
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS), *map(str, written)],
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr

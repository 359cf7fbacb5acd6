"""Who may import whom (docs/design.md, section 2), read off the source."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "autobahn"
BASE = {"_compiled", "_lazy", "_names", "exception", "log", "util"}  # top-level modules that know nobody
ALLOWED = {
    "websocket": {"websocket"} | BASE,
    "rawsocket": {"rawsocket"} | BASE,
    "wamp": {"wamp"} | BASE,
    "router": {"router", "wamp"} | BASE,
    "asyncio": {"asyncio", "router", "wamp", "websocket", "rawsocket"} | BASE,
    "cli": {"cli", "asyncio", "router", "wamp"} | BASE,
    "sync": {"asyncio", "wamp"} | BASE,  # the shell for programs without a loop
    **{name: BASE for name in BASE},
}
IO_MODULES = {"asyncio", "socket", "ssl", "selectors", "threading"}
IO_LAYERS = {"asyncio", "cli", "sync"}
# Documented names of the asyncio layer at their old place: part of that layer, and for programs only.
FACADES = {"wamp/protocol.py", "wamp/component.py", "wamp/websocket.py"}
FILES = sorted(SRC.rglob("*.py"))


def imports(path):
    """The modules a file imports, anywhere in it, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def layer_of(path):
    relative = path.relative_to(SRC)
    return "asyncio" if relative.as_posix() in FACADES else relative.with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_respect_the_layers(path):
    layer = layer_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "autobahn" and len(parts) > 1 and layer not in ("__init__", "__main__"):
            if parts[1] not in ("__version__", "version"):
                assert parts[1] in ALLOWED[layer], f"{path.relative_to(SRC)} imports {name}"
        elif parts[0] in IO_MODULES:
            assert layer in IO_LAYERS, f"{path.relative_to(SRC)} imports {name}"


def test_nobody_inside_imports_the_facades():
    names = {f"autobahn.{name.removesuffix('.py').replace('/', '.')}" for name in FACADES}
    assert [str(path) for path in FILES if names & set(imports(path))] == []


def test_there_are_no_import_cycles():
    modules = {
        ".".join(("autobahn", *p.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__"): p for p in FILES
    }
    graph = {name: {n for n in imports(path) if n in modules and n != name} for name, path in modules.items()}
    done, active = set(), []

    def visit(name):
        if name in active:
            raise AssertionError("import cycle: " + " -> ".join([*active[active.index(name) :], name]))
        if name in done:
            return
        active.append(name)
        for target in graph[name]:
            if not name.startswith(target + "."):  # a package's own __init__ runs first in any case
                visit(target)
        active.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_no_file_outgrows_its_room():
    root = SRC.parent.parent
    folders = ("src", "tests", "bench", "examples", "docs")
    endings = {".py", ".pyx", ".pxi", ".pyi", ".c", ".h", ".sh", ".md"}
    generated = {path.with_suffix(".c") for path in SRC.rglob("*.pyx")}
    files = [p for folder in folders for p in (root / folder).rglob("*") if p.suffix in endings and p not in generated]
    assert len(files) > 200
    assert [str(p.relative_to(root)) for p in files if len(p.read_text().splitlines()) > 700] == []

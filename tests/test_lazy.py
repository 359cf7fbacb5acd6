"""Names that are imported when they are first asked for (`autobahn._lazy`) are ordinary names to everybody."""

import ast
import importlib
import pkgutil
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
OFFERING = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SRC.rglob("*.py")
    if "_lazy.offer(__name__" in "".join(path.read_text().split()) and path.name != "_lazy.py"
}


def seen_by_type_checkers(path):
    """``{name: module}`` of the imports under ``if TYPE_CHECKING`` that has an ``else`` with an offer."""
    (block,) = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If) and "offer" in ast.dump(node)
    ]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


def in_a_new_process(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", sorted(OFFERING))
def test_type_checkers_and_programs_see_the_same_names(name):
    module = importlib.import_module(name)
    for attribute, source in seen_by_type_checkers(OFFERING[name]).items():
        assert getattr(module, attribute) is pkgutil.resolve_name(f"{source}.{attribute}")
        assert attribute in dir(module)
    assert set(getattr(module, "__all__", ())) <= set(dir(module))


@pytest.mark.parametrize("name", sorted(OFFERING))
def test_an_offered_name_is_imported_once_and_star_imports_have_it(name):
    attribute = sorted(seen_by_type_checkers(OFFERING[name]))[0]
    output = in_a_new_process(
        f"import {name} as m\n"
        f"before = {attribute!r} in vars(m)\n"
        f"from {name} import {attribute} as first\n"
        f"from {name} import *\n"
        f"print(before, vars(m)[{attribute!r}] is first, all(n in globals() for n in getattr(m, '__all__', ())))"
    )
    assert output == "False True True\n"


@pytest.mark.parametrize("name", sorted(OFFERING))
def test_help_shows_what_is_offered(name):
    text = pydoc.plain(pydoc.render_doc(importlib.import_module(name)))
    documented = set(getattr(importlib.import_module(name), "__all__", ()))
    for attribute in documented & set(seen_by_type_checkers(OFFERING[name])):
        assert attribute in text


@pytest.mark.parametrize("name", sorted(OFFERING))
def test_names_that_nobody_offers_are_refused_as_ever(name):
    module = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nonesuch'") as refusal:
        module.nonesuch
    assert (refusal.value.name, refusal.value.obj) == ("nonesuch", module)
    with pytest.raises(ImportError, match="cannot import name 'nonesuch'"):
        exec(f"from {name} import nonesuch")
    assert not hasattr(module, "nonesuch")


def test_submodules_are_there_after_the_import_of_their_package():
    assert (
        in_a_new_process(
            "import autobahn.asyncio, autobahn.wamp\n"
            "print(autobahn.asyncio.wamp.ApplicationSession.__name__, autobahn.wamp.types.CallOptions.__name__)"
        )
        == "ApplicationSession CallOptions\n"
    )

"""Programs that use every public name pass ``mypy --strict``: what is annotated is true for those who rely on it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_programs_pass_a_strict_type_check():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS)],
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr

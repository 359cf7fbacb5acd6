"""Programs that use txaio beside the package find its asyncio side chosen; without it all goes on as well."""

import subprocess
import sys

import pytest

TXAIO = """
using_asyncio = False
def use_asyncio():
    global using_asyncio
    {body}
    using_asyncio = True
"""
PROGRAM = "from autobahn.asyncio.component import run; import txaio; print(txaio.using_asyncio, run.__name__)"


@pytest.mark.parametrize(
    ("body", "printed"), [("pass", "True run"), ("raise RuntimeError('Twisted is chosen')", "False run")]
)
def test_importing_the_package_chooses_the_asyncio_side_of_txaio(body, printed, tmp_path):
    (tmp_path / "txaio.py").write_text(TXAIO.format(body=body))
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == (printed, "")


def test_txaio_is_not_needed(tmp_path):
    (tmp_path / "txaio.py").write_text("raise ImportError('broken')")
    program = "import autobahn.asyncio, sys; print('txaio' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("False", "")

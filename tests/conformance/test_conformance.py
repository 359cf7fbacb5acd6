"""The quick set of the Autobahn TestSuite passes in both roles, with whichever frame unit is installed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).with_name("run.py")


@pytest.fixture(scope="module")
def _runner():
    """kosoku is installed; without a package index that is a skip, except in CI."""
    setup = [sys.executable, str(RUN), "--setup"]
    done = subprocess.run(setup, capture_output=True, text=True, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"kosoku cannot be installed: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.conformance
@pytest.mark.usefixtures("_runner")
@pytest.mark.parametrize("role", ["server", "client"])
def test_quick_set(role, tmp_path):
    """All 361 cases give a result, and every result is OK or, where the suite has no OK, INFORMATIONAL."""
    run = [sys.executable, str(RUN), "--role", role, "--report", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=600)
    reports = list(tmp_path.glob(f"{role}-*.json"))
    assert reports, done.stdout + done.stderr
    verdict = json.loads(reports[0].read_text())
    assert verdict["bad"] == [], done.stdout
    assert verdict["missing"] == 0
    assert verdict["behavior"] == {"OK": 358, "INFORMATIONAL": 3}
    assert done.returncode == 0, done.stdout + done.stderr

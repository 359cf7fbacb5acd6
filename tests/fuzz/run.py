"""Runs every fuzz target under atheris for some seconds: `make fuzz`, `python tests/fuzz/run.py --seconds 600 frames`.

atheris gets an environment of its own, `.venv-fuzz`. Inputs that fail are kept under `reports/fuzz/TARGET/`, and the
corpus beside them, so that the next run goes on where this one ended. Exit status: 0 when nothing failed, 1 when a
target did, 2 when atheris cannot be installed for this Python.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / ".venv-fuzz"
KEPT = ROOT / "reports" / "fuzz"
NEEDED = ["atheris", "msgspec>=0.19", "cbor2>=6.0"]


def fuzz(name, seconds, found):
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["autobahn.websocket", "autobahn.rawsocket", "autobahn.asyncio", "fuzz"]):
        from fuzz.targets import TARGETS, seeds
    corpus = found / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in seeds(name):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], f"-artifact_prefix={found}/", *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


def install():
    """The Python of an environment with atheris, `None` when there cannot be one."""
    python = VENV / "bin" / "python"
    done = VENV / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        if subprocess.run([*command, *NEEDED], check=False).returncode:
            return None
        done.touch()
    return python


def main():
    parser = argparse.ArgumentParser(description="Run the fuzz targets under atheris.")
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default: %(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        fuzz(arguments.targets[0], arguments.seconds, KEPT / arguments.targets[0])
    python = install()
    if python is None:
        version = ".".join(map(str, sys.version_info[:3]))
        print(
            f"fuzz: atheris cannot be installed for Python {version} (no wheel, or no package index): nothing was run"
        )
        return 2
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests")))}
    names = "import fuzz.targets as t; print(*t.TARGETS)"
    output = subprocess.run([str(python), "-c", names], env=environment, capture_output=True, text=True, check=True)
    failed = []
    for name in arguments.targets or output.stdout.split():
        command = [str(python), __file__, "--inside", f"--seconds={arguments.seconds}", name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        lines = done.stderr.splitlines()
        runs = next((line.split()[1] for line in reversed(lines) if line.startswith("Done ")), "?")
        covered = next((line.split("cov: ")[1].split()[0] for line in reversed(lines) if "cov: " in line), "?")
        verdict = "ok" if done.returncode == 0 else f"FAILED, see {KEPT / name}"
        memory = next((line.split("rss: ")[1].split("Mb")[0] for line in reversed(lines) if "rss: " in line), "?")
        print(f"{name:14} {runs:>9} runs, {covered:>5} branches, {memory:>4} MiB in the end: {verdict}", flush=True)
        if done.returncode:
            failed.append(name)
            print("\n".join((done.stdout.splitlines() + lines)[-40:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

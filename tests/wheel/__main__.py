"""Installs the wheel into empty environments outside of the checkout, and lets a person use it.

``python -m tests.wheel 3.11 3.12 3.13`` tries these versions of Python, as far as they are here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stepml.local.ports import port_of, reserve_port

ROOT = Path(__file__).parents[2]
PERSON = Path(__file__).with_name("person.py")
EXTRAS = "local,data,estimators,notebook,sdk,tensorboard,mlflow,console"
FIRST_PORT = 4800


def main(versions: Sequence[str]) -> int:
    """Try each version; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="stepml-wheel-") as directory:
        workplace = Path(directory)
        wheel = _built(workplace)
        return max(_tried(version, wheel, workplace / version) for version in versions)


def _built(workplace: Path) -> Path:
    _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", workplace, ROOT])
    [wheel] = workplace.glob("*.whl")
    return wheel


def _tried(version: str, wheel: Path, workplace: Path) -> int:
    interpreter = _interpreter(version)
    if interpreter is None:
        print(f"Python {version}: not on this machine")
        return 0
    began = time.monotonic()
    workplace.mkdir()
    python = _installed(interpreter, wheel, workplace / "venv")
    installed = time.monotonic()
    code = _used(python, workplace)
    print(
        f"Python {version}: {'works' if code == 0 else 'fails'}; installed in "
        f"{installed - began:.0f} s, used in {time.monotonic() - installed:.0f} s",
        flush=True,
    )
    return code


def _interpreter(version: str) -> str | None:
    """Return a program of this version: that of the environment, or one of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*sorted(versions.glob(f"{version}.*/bin/python")), f"python{version}"]
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    return next((found for each in candidates if (found := shutil.which(each))), None)


def _installed(interpreter: str, wheel: Path, environment: Path) -> Path:
    _run([interpreter, "-m", "venv", environment])
    python = environment / "bin" / "python"
    _run([python, "-m", "pip", "install", "-q", "--upgrade", "pip>=25.1"])
    constraints = ROOT / "constraints.txt"
    _run([python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[{EXTRAS}]"])
    return python


def _used(python: Path, workplace: Path) -> int:
    shutil.copytree(ROOT / "examples", workplace / "examples")
    shutil.copy(PERSON, workplace)
    with reserve_port(FIRST_PORT) as reserved:
        port = str(port_of(reserved))
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    environment = {
        **kept,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(workplace / "home"),
        "STEPML_STATE_DIR": str(workplace / "state"),
        "MLFLOW_ALLOW_FILE_STORE": "true",  # a store without a server
    }
    (workplace / "home").mkdir()
    person = [python, "-I", workplace / PERSON.name, port]
    return subprocess.run(person, cwd=workplace, env=environment, check=False).returncode


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, cwd="/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["3.11", "3.12", "3.13"]))

"""Compiles the native kernels: ``python -m stepml.packaging.kernels`` for this machine.

A kernel is optional. If there is no compiler for a platform, NumPy computes the same there.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from stepml.ml.kernels.native import SOURCE, library_path

_FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC")
_HINT = "It needs a C compiler (cc), or ziglang from PyPI."
_PROCESSORS = {"x86_64": ("-mavx2", "-mfma")}  # as all functions on x86_64 have


def main() -> None:
    """Compile the kernels for this machine, and say whether that was possible."""
    print(built(sys.platform, platform.machine()))


def built(system: str, machine: str, folder: Path = SOURCE.parent) -> str:
    """Compile the kernels for a platform unless they exist; return a line about them.

    Parameters
    ----------
    system : str
        Like `sys.platform`: ``linux``.
    machine : str
        Like `platform.machine`: ``x86_64``.
    folder : Path
        Kernels of other versions are removed from it.
    """
    path, target = library_path(system, machine, folder), f"{system} on {machine}"
    if path.exists():
        return f"Native k-means for {target}: {path.name}"
    for compiler in _compilers(system, machine):
        if compile_kernel(compiler, _PROCESSORS.get(machine, ()), path):
            return f"Native k-means for {target}: {path.name}, by {_name_of(compiler)}"
    return f"Native k-means for {target}: none, so NumPy computes the same, slower. {_HINT}"


def _compilers(system: str, machine: str) -> Iterator[tuple[str, ...]]:
    if (system, machine) == (sys.platform, platform.machine()):
        yield from ((name,) for name in ("cc", "gcc", "clang") if shutil.which(name))
    if system == "linux":
        if shutil.which(f"{machine}-linux-gnu-gcc"):
            yield (f"{machine}-linux-gnu-gcc",)
        if find_spec("ziglang"):
            yield (sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu")


def _name_of(compiler: tuple[str, ...]) -> str:
    return "ziglang" if "ziglang" in compiler else compiler[0]


def compile_kernel(compiler: tuple[str, ...], processor: tuple[str, ...], path: Path) -> bool:
    """Compile the kernels; return whether that succeeded."""
    with tempfile.TemporaryDirectory(dir=path.parent) as draft_folder:
        draft = Path(draft_folder) / path.name
        command = [*compiler, *_FLAGS, *processor, "-o", str(draft), str(SOURCE)]
        if subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603
            return False
        for older in path.parent.glob(path.name.replace(path.stem.rpartition("-")[2], "*")):
            older.unlink(missing_ok=True)
        draft.replace(path)
    return True


if __name__ == "__main__":
    main()

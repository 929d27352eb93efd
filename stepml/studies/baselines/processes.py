"""Runs a baseline in a process of its own, and reads its outcome."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading

import msgspec
from msgspec import Struct, field

from stepml.job.conversion import decoded
from stepml.job.spec import JobSpec
from stepml.studies.baselines.kinds import VM, Baseline
from stepml.studies.baselines.training import TrainedEpoch

_POLL_S = 0.05
_LAST_LINES = 3
# One thread a process, as in functions.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# The CPU kernels of functions, so that their bits can be compared.
KERNELS = {
    "x86_64": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    },
    "aarch64": {
        "OPENBLAS_CORETYPE": "NEOVERSEN1",
        "NPY_DISABLE_CPU_FEATURES": "ASIMDFHM SVE",
    },
}


class Task(Struct, frozen=True):
    """A baseline to run."""

    kind: Baseline
    spec: JobSpec
    bucket: str  # of the stack, in which places without a bucket are
    endpoint_url: str | None
    region: str
    profile: str


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of a baseline."""

    load_s: float = 0.0  # data and preparation
    epochs: list[TrainedEpoch] = field(default_factory=list)
    error: str = ""


class InterruptedStudy(Exception):  # noqa: N818 - no error of the study
    """A person has interrupted the study."""


def variables_of(kind: Baseline) -> dict[str, str]:
    """Return the environment variables of a baseline's process."""
    kernels = KERNELS.get(platform.machine(), {}) if kind == VM else {}
    return {**_ONE_THREAD, **kernels}


def run_task(task: Task, interrupted: threading.Event) -> Outcome:
    """Run a baseline to its end, and return its outcome.

    Raises
    ------
    InterruptedStudy
        ``interrupted`` is set; the process has been ended.
    """
    command = [sys.executable, "-P", "-m", "stepml.studies.baselines"]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - every word of the command is written above
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env={**os.environ, **variables_of(task.kind)},
        )
        try:
            assert process.stdin is not None
            with process.stdin as stdin:
                stdin.write(msgspec.json.encode(task))
            while process.poll() is None:
                if interrupted.wait(_POLL_S):
                    raise InterruptedStudy
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            lines = errors.read().decode(errors="replace").strip().splitlines()
            said = " / ".join(lines[-_LAST_LINES:])
            return Outcome(error=f"its process ended with code {process.returncode}: {said}")
        try:
            return decoded(output.read(), Outcome)
        except msgspec.DecodeError:  # a library has written to stdout, too
            return Outcome(error="its process ended without a result")

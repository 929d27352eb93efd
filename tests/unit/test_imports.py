"""The modules that `import stepml` and its first names load, counted instead of timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import stepml

# Not of the standard library; ours alone would load all that a job or a notebook may need.
HEAVY = {"pandas", "polars", "matplotlib", "sklearn", "scipy", "torch", "IPython", "pyarrow"}
TRACKERS = {"tensorboard", "mlflow", "stepfunctions"}


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement loads into a fresh interpreter."""
    code = (
        "import json, sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


def packages(modules: set[str]) -> set[str]:
    return {each.partition(".")[0] for each in modules}


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by("import stepml") <= {"stepml", "__future__"}


def test_the_client_and_its_jobs_need_no_library_for_arrays_tables_or_plots() -> None:
    loaded = packages(loaded_by("import stepml; stepml.Client, stepml.Run, stepml.Job"))
    assert loaded & (HEAVY | TRACKERS | {"numpy"}) == set()


@pytest.mark.parametrize("module", ["stepml.tracking", "stepml.workflow"])
def test_extras_load_their_libraries_at_their_first_use(module: str) -> None:
    assert packages(loaded_by(f"import {module}")) & (HEAVY | TRACKERS) == set()


def test_every_public_name_is_there_and_is_shown_by_dir() -> None:
    assert set(stepml.__all__) <= set(dir(stepml))
    assert [each for each in stepml.__all__ if getattr(stepml, each, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        _ = stepml.Clinet  # type: ignore[attr-defined]

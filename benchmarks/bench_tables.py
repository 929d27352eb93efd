"""Compare jobs on real tables, as pandas exports them, with pipelines of scikit-learn.

Each table is learnt in this process with nothing chosen but the place of the data, the label and
the model. A fifth of the rows, which nobody learns, tells how good both are: the share of right
classes, or the root of the mean squared error. The pipeline has the same encoders and the same
penalty. Tables that cannot be fetched are left out.

    python -m benchmarks.bench_tables [--only NAME] [--rows 60000] [--json PATH]
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.json_file import write_json
from tests.support.pipelines import prepared
from tests.support.real_tables import (
    EXPORTS,
    TABLES,
    RealTable,
    TableUnavailableError,
    with_times,
)
from tests.support.table_trials import Trial, try_table


@dataclass(frozen=True)
class Result:
    """One table in one format."""

    name: str
    format: str
    rows: int
    columns: int
    features: int
    ours: float
    theirs: float
    is_as_good: bool
    difference: float  # the largest of the predictions, of numbers relative to their deviation
    seconds: float  # of the job
    error: str = ""


def compared(table: RealTable, frame: pd.DataFrame, data_format: str) -> Result:
    """Return how good the job is on one table."""
    if data_format == "parquet":
        frame = with_times(table, frame)  # text is text there
    start = time.perf_counter()
    shape = (table.name, data_format, *frame.shape)
    try:
        trial = try_table(table, frame, EXPORTS[data_format], f"rows.{data_format}")
    except Exception as error:  # one table must not hide the others
        return Result(
            *shape, 0, np.nan, np.nan, False, np.nan, 0.0, f"{type(error).__name__}: {error}"
        )
    seconds = time.perf_counter() - start
    n_features = int(trial.model.n_features_out_)
    difference = _difference(trial)
    return Result(
        *shape, n_features, trial.ours, trial.theirs, trial.is_as_good, difference, seconds
    )


def _difference(trial: Trial) -> float:
    rows = prepared(trial.features, trial.table.times)
    if trial.table.is_regression:
        ours, theirs = trial.model.predict(trial.features), trial.reference.predict(rows)
        return float(np.abs(ours - theirs).max() / np.std(theirs))
    ours, theirs = trial.model.predict_proba(trial.features), trial.reference.predict_proba(rows)
    return float(np.abs(ours - theirs).max())


def show(results: list[Result]) -> None:
    """Print a table."""
    print(
        f"{'':<13}{'':<8}{'rows':>7}{'columns':>8}{'features':>9}{'ours':>11}{'sklearn':>11}",
        end="",
    )
    print(f"{'apart':>9}{'s':>6}")
    for each in results:
        line = f"{each.name:<13}{each.format:<8}{each.rows:>7}{each.columns:>8}"
        if each.error:
            print(line, each.error[:300])
            continue
        mark = "" if each.is_as_good else "  worse"
        print(
            f"{line}{each.features:>9}{each.ours:>11.5g}{each.theirs:>11.5g}"
            f"{each.difference:>9.1g}{each.seconds:>6.1f}{mark}"
        )


def main() -> None:
    """Compare, print and, on request, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", help="tables whose name contains this")
    parser.add_argument("--rows", type=int, default=60_000, help="of a table at most")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    results = []
    for table in TABLES.values():
        if (options.only or "") not in table.name:
            continue
        try:
            frame = table.frame()
        except TableUnavailableError as error:
            print(f"{table.name} is left out: {error}")
            continue
        if len(frame) > options.rows:
            frame = frame.sample(options.rows, random_state=0)
        results += [compared(table, frame, each) for each in EXPORTS]
    show(results)
    write_json(options.json, [asdict(each) for each in results])


if __name__ == "__main__":
    main()

"""Measure fits of the estimators of scikit-learn on a warm local AWS of its own.

For each fit, from arrays to predictions: the whole time, the job's share of it (from the start to
the end of its execution), and the rest, which the estimator adds: storing the rows, noticing the
end, fetching the model, deleting all of it. No fit shares rows with another.

Figures are medians (minimum – maximum) of one run. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

from benchmarks.bench_workflow import local_aws
from benchmarks.json_file import write_json
from stepml import StepMLClassifier, StepMLKMeans, StepMLRegressor
from stepml.packaging.sources import resource_root
from tests.support.deployment import deploy

FITS, WARM_UP = 7, 2
MOST_S, MOST_BESIDE_S = 3.0, 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    """The times of some fits, in seconds."""

    what: str
    whole_s: list[float]
    job_s: list[float]
    beside_s: list[float]

    def row(self) -> str:
        """Return the figure as a line of the table."""
        columns = (self.whole_s, self.job_s, self.beside_s)
        return f"{self.what:44}" + "".join(f"{_shown(each):>22}" for each in columns)


def _shown(seconds: list[float]) -> str:
    middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
    return f"{middle:.2f} ({low:.2f} – {high:.2f})"


def measured(what: str, estimator: Callable[[int], Any], X: Any, y: Any) -> Figure:
    """Measure fits of ``estimator``, given the number of the fit, and predictions of its rows."""
    whole_s, job_s = [], []
    for number in range(WARM_UP + FITS):
        rows = X + number  # other rows, which are partitioned again
        began = time.perf_counter()
        model = estimator(number).fit(rows, y)
        model.predict(rows)
        whole_s.append(time.perf_counter() - began)
        state = model.run_.state
        job_s.append((state.ended_at - state.started_at).total_seconds())
    whole_s, job_s = whole_s[WARM_UP:], job_s[WARM_UP:]
    return Figure(what, whole_s, job_s, np.subtract(whole_s, job_s).round(4).tolist())


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    digits, diabetes = load_digits(return_X_y=True), load_diabetes(return_X_y=True)
    with local_aws() as aws:
        deploy(aws.endpoint_url, resource_root() / "templates" / "template.yaml")
        os.environ["AWS_ENDPOINT_URL"] = aws.endpoint_url
        figures = [
            measured("digits, 1,797 × 64, classifier", lambda _: StepMLClassifier(), *digits),
            measured("digits, 4 workers", lambda _: StepMLClassifier(workers=4), *digits),
            measured("diabetes, 442 × 10, regressor", lambda _: StepMLRegressor(), *diabetes),
            measured("digits, k-means, 10 clusters", lambda _: StepMLKMeans(10), *digits),
        ]
    titles = ("from arrays to predictions", "job", "beside the job")
    print(f"{'seconds':44}" + "".join(f"{each:>22}" for each in titles))
    for figure in figures:
        print(figure.row())
    print(f"targets for digits with one worker: ≤ {MOST_S:g} in all, ≤ {MOST_BESIDE_S:g} beside")
    write_json(options.json, [asdict(figure) for figure in figures])


if __name__ == "__main__":
    main()

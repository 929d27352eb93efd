"""Real tables as a person would export them, learnt by a job and by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from stepml.trained_model import TrainedModel
from tests.support.jobs import Job
from tests.support.pipelines import fitted, has_booleans, prepared, quality
from tests.support.real_tables import RealTable
from tests.support.trainings import job_on, model_of, run

TEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Trial:
    """The same rows, learnt twice."""

    table: RealTable
    job: Job
    model: TrainedModel
    reference: Pipeline
    test: pd.DataFrame  # rows that nobody has learnt, with their labels

    @property
    def features(self) -> pd.DataFrame:
        """The test rows without their labels."""
        return self.test.drop(columns=[self.table.label])

    @property
    def labels(self) -> Any:
        """The labels of the test rows; blanks around text are no part of a label."""
        return without_blanks(self.test[self.table.label]).to_numpy()

    @property
    def ours(self) -> float:
        """The quality of the job's model: accuracy, or the root of the mean squared error."""
        return self._quality(self.model.predict(self.features))

    @property
    def theirs(self) -> float:
        """The quality of scikit-learn's model."""
        rows = prepared(self.features, self.table.times)
        return self._quality(self.reference.predict(rows))

    @property
    def is_as_good(self) -> bool:
        """Whether the job comes within 0.5 points of accuracy, or 1 % of the error."""
        if self.table.is_regression:
            return self.ours <= 1.01 * self.theirs
        return self.ours >= self.theirs - 0.005

    def _quality(self, predicted: Any) -> float:
        return quality(predicted, self.labels, is_regression=self.table.is_regression)


def without_blanks(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column whose text has no blanks around it."""
    is_text = not pd.api.types.is_numeric_dtype(column)
    return column.map(str).str.strip() if is_text else column


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to learn, and the others."""
    order = np.random.default_rng(0).permutation(len(frame))
    n_test = int(TEST_SHARE * len(frame))
    return frame.iloc[order[n_test:]], frame.iloc[order[:n_test]]


def try_table(
    table: RealTable,
    frame: pd.DataFrame,
    export: Callable[[pd.DataFrame], bytes],
    key: str = "rows.csv",
    **spec: Any,
) -> Trial:
    """Learn a table twice, the job with nothing but the place of the data and the label."""
    train, test = split(frame)
    job = job_on(
        export(train), key, **{"data": {"label": table.label}, "model": table.model} | spec
    )
    run(job)
    model = model_of(job)
    X, y = train.drop(columns=[table.label]), without_blanks(train[table.label]).to_numpy()
    reference = fitted(
        prepared(X, table.times),
        y,
        job.training_plan().spec.model.l2,
        is_regression=table.is_regression,
        booleans=[name for name in X if has_booleans(X[name])],
    )
    return Trial(table, job, model, reference, test)

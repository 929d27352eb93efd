"""Jobs with missing values in their rows: they train on means, in any format."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.sparse

from stepml.job import keys
from stepml.ml.data import arrays
from tests.support.jobs import Job

N_SAMPLES, N_FEATURES = 300, 40


def sparse_rows() -> tuple[bytes, np.ndarray]:
    """Return a CSR matrix with missing values as npz, and the same matrix dense."""
    rng = np.random.default_rng(2)
    matrix = scipy.sparse.random(N_SAMPLES, N_FEATURES, 0.09, "csr", np.float32, rng)
    matrix.data += 1
    sums = matrix.sum(axis=1).A1
    y = (sums > np.median(sums)).astype(np.int64)
    matrix.data[rng.random(matrix.nnz) < 0.2] = np.nan
    file = io.BytesIO()
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(file, **parts, y=y, shape=np.array(matrix.shape), format=np.array(b"csr"))
    return file.getvalue(), matrix.toarray()


@pytest.mark.parametrize("matrix", ["sparse", "dense"])
@pytest.mark.parametrize("standardise", [True, False])
def test_missing_values_of_csr_rows_become_the_mean(standardise: bool, matrix: str) -> None:
    uri = {"uri": "s3://data/rows.npz", "format": "npz", "missing": "mean"}
    job = Job(data={**uri, "standardise": standardise, "matrix": matrix})
    content, rows = sparse_rows()
    job.data.save("rows.npz", content)
    job.initialised()
    for number in (1, 2):
        report = job.epoch(number)
        assert np.isfinite([report.loss, report.training_loss]).all()
    assert report.loss < np.log(2)
    assert np.isfinite(np.frombuffer(job.state_bits(2), np.float32)).all()
    assert job.finalise(2).dataset.matrix == matrix
    model, _ = arrays.unpack(job.storage.load(keys.model("job")))
    # Of training rows; unstored zeros are values.
    np.testing.assert_allclose(model["feature_fill"], np.nanmean(rows, axis=0), atol=0.1)

"""The scale of a job's rows, learnt from its training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stepml.job.spec import JobSpec
from stepml.ml.data import Manifest, Moments, Scale, Shard, scale_of
from stepml.ml.data.treatments import treatments_of
from stepml.ml.data.uninformative import say_nothing
from stepml.ml.matrices import Floats


def scale_for(
    spec: JobSpec,
    manifest: Manifest,
    moments: Moments,
    sample: Callable[[], Shard],
    *,
    sparse: bool,
) -> Scale:
    """Return the scale of the training rows.

    Parameters
    ----------
    spec : JobSpec
        Whose ``data.standardise`` is chosen.
    manifest : Manifest
    moments : Moments
        Of all training rows.
    sample : callable
        Returns training rows as in the data. Called only if needed.
    sparse : bool
        Whether the shards are.
    """
    treatments = treatments_of(spec.data, manifest.layout, manifest.encoder)
    left_out = None
    if spec.data.drops_uninformative:
        numbers = manifest.named_features.are_scaled()
        left_out = say_nothing(moments, manifest.n_rows, numbers, lambda: sample().X)
    treatments = replace(treatments, left_out=left_out)
    return scale_of(moments, treatments, sparse=sparse, sample=sample)


def mean_row(moments: Moments, scale: Scale | None, n_rows: int) -> Floats:
    """Return the mean of the training rows, prepared as these are."""
    return moments.mean.astype(np.float32) if scale is None else scale.mean_of(moments, n_rows)

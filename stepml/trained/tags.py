"""scikit-learn's tags of a model; the only module that imports scikit-learn."""

from __future__ import annotations

from typing import Literal

from sklearn.utils import (
    ClassifierTags,
    InputTags,
    RegressorTags,
    Tags,
    TargetTags,
    TransformerTags,
)


def tags_of(
    kind: Literal["classifier", "regressor", "clusterer"], *, multi_class: bool, allow_nan: bool
) -> Tags:
    """Return the tags by which scikit-learn chooses scores, plots and wrappers."""
    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=kind != "clusterer"),
        transformer_tags=TransformerTags() if kind == "clusterer" else None,
        classifier_tags=ClassifierTags(multi_class=multi_class) if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(sparse=True, allow_nan=allow_nan),
    )

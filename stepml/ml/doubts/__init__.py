"""Warnings about the data and the model of a job; each says what may help.

===========================  ===================================================================
``labels_look_continuous``    A classifier learns labels that are rather numbers.
``labels_not_trained``        Labels of the validation rows that no training row has.
``labels_constant``           All labels of a regression are the same.
``labels_rounded``            float32, of labels, loses much of their differences.
``features_rounded``          float32, as of features, tells few of their values apart.
``features_constant``         No feature changes.
``features_differ_in_scale``  Features of very different scales are not standardised.
``one_class_validates``       All validation rows are of one class.
``worse_than_constant``       The model is worse than one that ignores the features.
``loss_rose``                 The loss is above that before training.
``loss_oscillates``           The loss has risen in many epochs.
``rose_after_best``           An earlier epoch had a much better model.
``not_converged``             The loss can still fall.
``no_better_than_constant``   The model is about as good as one that ignores the features.
``rarely_predicted``          The model hardly ever predicts some classes.
``empty_clusters``            Clusters have no rows.
===========================  ============================================================"""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.errors import DoubtfulResultError
from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.ml.doubts.classes import doubts_about_classes
from stepml.ml.doubts.data import doubts_about_data, doubts_about_moments, without_consequences
from stepml.ml.doubts.decisions import Decisions
from stepml.ml.doubts.features import notes_on_features, notes_on_left_out
from stepml.ml.doubts.model import Training, doubts_about_model

__all__ = [
    "Decisions",
    "Training",
    "doubts_about_classes",
    "doubts_about_data",
    "doubts_about_model",
    "doubts_about_moments",
    "notes_on_features",
    "notes_on_left_out",
    "require_no_doubts",
    "without_consequences",
]


def require_no_doubts(spec: JobSpec, warnings: Sequence[JobWarning], remark: str = "") -> None:
    """Raise `DoubtfulResultError` if a strict job has ``warnings``; ``remark`` ends the message."""
    if spec.strict and warnings:
        texts = "; ".join(warning.text for warning in warnings)
        many = "a warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
        raise DoubtfulResultError(f"the job is strict and has {many}: {texts}{remark}")

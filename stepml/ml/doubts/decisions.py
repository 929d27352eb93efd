"""Doubts about the predicted classes: those that are missing, and rows that cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from stepml.job.measures import is_of_scores
from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.job.spec_base import label_text
from stepml.ml.models.base import WithClasses
from stepml.ml.models.classifiers import BinaryClassifier
from stepml.ml.models.confusion import Counts, Totals

_MOST_NAMED = 5
_RARELY = 0.1  # rows with a prediction, relative to the rows of the class
_LEAST_ROWS = 5  # of a class, for validation, of which one should be predicted
_OF_SCORES = ("average_precision", "log_loss")  # the measures that are suggested, the best first
# Codes of warnings about the loss: those that say what to change first, and others.
_OF_TRAINING = ("loss_rose", "loss_oscillates", "not_converged")
_OF_FEATURES = ("worse_than_constant", "no_better_than_constant")
_LITTLE = "the features may say little about"


@dataclass(frozen=True, slots=True)
class Decisions:
    """The predictions of a classifier for rows of each class."""

    titles: Sequence[str]  # of the classes
    validation: Totals  # of the validation rows
    training: Totals  # of a sample of the training rows

    @classmethod
    def of(cls, model: WithClasses, validation: Totals, training: Totals) -> Self:
        """Return the decisions of ``model`` for both kinds of rows."""
        return cls(titles_of(model), validation, training)

    @property
    def validating(self) -> Counts:
        """The validation rows of each class, (n_classes,)."""
        return self.validation.rows

    @property
    def rows(self) -> Counts:
        """The rows of each class, (n_classes,)."""
        return self.validation.rows + self.training.rows

    @property
    def predicted(self) -> Counts:
        """The rows with each prediction, (n_classes,)."""
        return self.validation.predicted + self.training.predicted

    @property
    def missed(self) -> list[int]:
        """The classes that training rows have, but hardly any prediction."""
        is_trained = self.training.rows > 0
        is_rare = self.predicted < _RARELY * self.rows
        # Rows that were learnt are predicted better than others.
        is_absent = (self.validating >= _LEAST_ROWS) & (self.validation.predicted == 0)
        return np.flatnonzero(is_trained & (is_rare | is_absent)).tolist()

    def are_few(self, classes: Sequence[int]) -> bool:
        """Return whether some classes have less than half of the rows of an average class."""
        mean = self.rows.sum() / np.count_nonzero(self.rows)
        return bool(self.rows[list(classes)].mean() < mean / 2)


def titles_of(model: WithClasses) -> list[str]:
    """Return the names of a model's classes for messages."""
    if isinstance(model, BinaryClassifier) and model.negative is None:
        return ["the other labels", f"label {model.names.text(model.positive)}"]
    return [f"class {label_text(label)}" for label in model.class_labels]


def if_one_validates(spec: JobSpec, decisions: Decisions | None) -> JobWarning | None:
    """Return a warning if the validation rows cannot tell whether a model separates classes."""
    if decisions is None or np.count_nonzero(decisions.validating) != 1:
        return None
    title = decisions.titles[int(np.argmax(decisions.validating))]
    if spec.data.validation is not None:
        advice = "choose others in data.validation"
    elif spec.data.stratify:
        advice = "raise data.validation_fraction"
    else:
        advice = "set data.stratify or raise data.validation_fraction"
    text = f"all validation rows are of {title}, so loss and metrics say little: {advice}"
    return JobWarning(code="one_class_validates", text=text)


def if_rarely_predicted(
    spec: JobSpec, decisions: Decisions | None, about_loss: JobWarning | None
) -> list[JobWarning]:
    """Return a warning about classes that are predicted never, or hardly ever.

    There is none if the job is judged by probabilities or the order of rows, not by decisions.

    Parameters
    ----------
    spec : JobSpec
    decisions : Decisions or None
    about_loss : JobWarning or None
        That of the same job; if training went wrong, there is no other advice.
    """
    if decisions is None or not decisions.missed or is_of_scores(spec.stop.metric):
        return []
    missed = decisions.missed
    verb, pronoun = ("is", "it") if len(missed) == 1 else ("are", "them")
    text = (
        f"{_listed([decisions.titles[each] for each in missed])}, "
        f"{_share_of(decisions.rows, missed)} of the rows, {verb} "
        f"{_how_rarely(decisions, missed)} predicted{_on_accuracy(decisions)}"
    )
    if about_loss is None or about_loss.code not in _OF_TRAINING:
        is_sure = about_loss is None or about_loss.code not in _OF_FEATURES
        text += f": {_advice(spec, decisions, f'{_LITTLE} {pronoun}', is_sure=is_sure)}"
    return [JobWarning(code="rarely_predicted", text=text)]


def _how_rarely(decisions: Decisions, missed: Sequence[int]) -> str:
    return "hardly ever" if decisions.predicted[missed].any() else "never"


def _on_accuracy(decisions: Decisions) -> str:
    """Return a remark if the validation rows have one prediction."""
    predicted = np.flatnonzero(decisions.validation.predicted)
    if len(predicted) != 1:
        return ""
    (only,) = predicted.tolist()
    share = decisions.validating[only] / decisions.validating.sum()
    return f", so the accuracy, {share:.4g}, is only the share of {decisions.titles[only]}"


def _advice(spec: JobSpec, decisions: Decisions, little: str, *, is_sure: bool) -> str:
    """Return changes to the job; ``is_sure``: the features say something about the labels."""
    weight = getattr(spec.model, "class_weight", None)
    if weight is not None and weight != "balanced":
        return "raise the weight in model.class_weight"
    # Weights that balance the classes help if these have few rows.
    if weight == "balanced" or not decisions.are_few(decisions.missed):
        return little
    if not is_sure:
        return f"{little}, or set model.class_weight to 'balanced'"
    known = [each for each in _OF_SCORES if each in spec.model.metrics]
    suited = [each for each in known if len(decisions.titles) == 2 or each == "log_loss"]
    other = f"; if only scores matter, set stop.metric to {suited[0]!r}" if suited else ""
    return f"set model.class_weight to 'balanced'{other}"


def _share_of(rows: Counts, classes: Sequence[int]) -> str:
    share = float(rows[list(classes)].sum() / rows.sum())
    return f"{100 * share:.2g}%" if share < 0.1 else f"{share:.0%}"


def _listed(titles: Sequence[str]) -> str:
    if len(titles) > _MOST_NAMED:
        return f"{', '.join(titles[:_MOST_NAMED])} and {len(titles) - _MOST_NAMED} more"
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))

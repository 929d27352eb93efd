"""Checks whether a model learns labels of a kind; Prepare loads it, so it knows no model's code."""

from __future__ import annotations

from stepml.job.errors import BadLabelError
from stepml.job.formats import FORMATS
from stepml.job.models import MODELS
from stepml.job.spec import JobSpec
from stepml.job.spec_base import listed, tag
from stepml.ml.data import Layout


def require_labels_suit(spec: JobSpec, layout: Layout) -> None:
    """Raise `BadLabelError` if labels are text, and the model learns numbers."""
    is_text = layout.has_label and layout.label_kind == "text"
    if is_text and spec.model.needs_labels and not spec.model.has_classes:
        classifiers = listed(tuple(name for name, each in MODELS.items() if each.learns_classes))
        loss = " with this loss" if spec.model.learns_classes else ""
        title = label_title(layout)
        raise BadLabelError(
            f"{title}model {tag(spec.model)!r}{loss} learns numbers, but the labels are text; "
            f"classes are learnt by {classifiers}, another column is named by data.label"
        )


def label_title(layout: Layout) -> str:
    """Return the label's column as the start of a message, if the format has columns."""
    if FORMATS[layout.format].label != "column":
        return ""
    return f"the label, {layout.column_title(layout.label_column)}: "

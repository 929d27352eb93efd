"""The base of the models of a job spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta

from stepml.job.spec_base import SpecGroup

Trait = Literal["gradient", "convex", "clusters", "squares"]
Penalty = Annotated[float, Meta(ge=0, le=1e6, description="factor of the penalty; 0: none")]


class ModelSpec(SpecGroup, frozen=True, kw_only=True):
    """Base of the models.

    Attributes
    ----------
    traits : tuple of str
        Properties that algorithms need: "gradient": of a loss; "convex": the loss is; "clusters";
        "squares": the loss is a mean of squares.
    needs_labels : bool
        Labels are learnt; otherwise ``data.has_label`` may be false.
    learns_classes : bool
        The labels may be classes.
    metrics : tuple of str
        Measures of the model on rows, in addition to its loss. Some rows lack some of them.
    remedies : tuple of str
        Advice for a job that diverges, in addition to its algorithm's.
    learns_several : bool
        There may be more than two of them.
    function_kind : str
        Suffix of the functions whose package has the model's libraries: "torch" selects
        executor-torch and so on; empty if NumPy is enough.
    free_fields : tuple of str
        Paths of fields of ``model`` and ``algorithm`` that may change when a job is resumed.
    is_evaluated_apart : bool
        Functions of the model's kind evaluate it, each a slice of the validation rows.
    """

    traits: ClassVar[tuple[Trait, ...]] = ("gradient", "convex")
    needs_labels: ClassVar[bool] = True
    learns_classes: ClassVar[bool] = False
    learns_several: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ()
    remedies: ClassVar[tuple[str, ...]] = ()
    function_kind: ClassVar[str] = ""
    free_fields: ClassVar[tuple[str, ...]] = ()
    is_evaluated_apart: ClassVar[bool] = False

    @property
    def is_convex(self) -> bool:
        """Whether the loss is convex."""
        return "convex" in self.traits

    def has_trait(self, trait: Trait) -> bool:
        """Return whether the model has a property that algorithms need."""
        return self.is_convex if trait == "convex" else trait in self.traits

    @property
    def is_smooth(self) -> bool:
        """Whether the loss has a gradient everywhere."""
        return True

    @property
    def l1_factor(self) -> float:
        """The factor of the l1 penalty, which has no gradient."""
        return float(getattr(self, "l1", 0.0))

    @property
    def l2_factor(self) -> float:
        """The factor of the l2 penalty; 0 if it is not chosen yet."""
        return float(getattr(self, "l2", None) or 0.0)

    @property
    def has_classes(self) -> bool:
        """Whether the labels are classes."""
        return self.learns_classes

    @property
    def trains_on_scaled_labels(self) -> bool:
        """Whether labels are scaled in training."""
        return False

    @property
    def needs_code(self) -> bool:
        """Whether the model is made by a function in the job's code."""
        return False

    @property
    def weights_uri(self) -> str | None:
        """The user's file with the first parameters; None: StepML makes them."""
        return None

    def in_bucket(self, own_bucket: str) -> Self:
        """Return the model with its file in ``own_bucket``, if the file's place names no bucket."""
        return self

    @property
    def takes_images(self) -> bool:
        """Whether rows are images, which the model itself normalises."""
        return False

    @property
    def n_channels(self) -> int:
        """The channels of an image."""
        return 1

    @property
    def min_rows(self) -> int:
        """The minimum number of training rows."""
        return 1

    def check(self) -> None:
        """Raise `InvalidJobError` if fields contradict each other."""

    def for_rows(self, n_features: int | None, row_shape: Sequence[int]) -> Self:
        """Return the model with the shape of the data's rows.

        Parameters
        ----------
        n_features : int, or None
            None: not known yet.
        row_shape : sequence of int
            Of images; empty for other rows.

        Raises
        ------
        InvalidJobError
            The model does not take such rows.
        """
        return self

    def check_rows(self, training_rows: int) -> None:
        """Raise `NotEnoughDataError` if there are fewer training rows than `min_rows`."""

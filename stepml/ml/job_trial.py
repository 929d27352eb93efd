"""A job on its data, tried before it starts: every mistake, and what it would take the data for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from stepml.job.choices import (
    choices_between,
    with_algorithm,
    with_format,
    with_index_base,
    with_rows,
)
from stepml.job.combinations import contradictions
from stepml.job.data import Data
from stepml.job.errors import (
    BadLabelError,
    EmptyDataError,
    InvalidDataError,
    InvalidJobError,
    NotAvailableError,
)
from stepml.job.places import bucket_and_key
from stepml.job.reports import DatasetFacts, JobWarning
from stepml.job.spec import JobSpec
from stepml.ml.choices import with_scaling
from stepml.ml.data import (
    DataPlan,
    Manifest,
    Shard,
    assemble,
    feature_moments,
    guess_format,
    note_on_format,
    plan_data,
)
from stepml.ml.data.objects import ObjectCatalogue
from stepml.ml.data.trial import Trial, try_partition
from stepml.ml.dataset_facts import dataset_facts
from stepml.ml.doubts import (
    doubts_about_classes,
    doubts_about_moments,
    notes_on_features,
    notes_on_left_out,
)
from stepml.ml.job_scale import scale_for
from stepml.ml.job_shards import split_of
from stepml.ml.label_checks import require_labels_suit
from stepml.ml.suitability import check_suits, model_on

_MOST_TRIES = 20  # as many mistakes in the description of the data
_MOST_MATRIX_BYTES = 2**28
_FIELD = re.compile(r"\bdata\.([a-z_]+)(?:\.([a-z_]+))?")


@dataclass(slots=True)
class JobTrial:
    """The findings about a job."""

    spec: JobSpec  # with everything that has been chosen for it
    mistakes: list[str] = field(default_factory=list)  # each would end the job
    facts: DatasetFacts | None = None  # about the rows that were read; None: none could be
    share: float = 0.0  # of the data's bytes that were read

    @property
    def warnings(self) -> list[JobWarning]:
        """The doubts about the data."""
        return [] if self.facts is None else self.facts.warnings


def try_job(
    asked: JobSpec, source: ObjectCatalogue, own_bucket: str = "", concurrency: int | None = None
) -> JobTrial:
    """Try a job on its data, of which at most 16 MB are read; nothing is written.

    Objects that are not cut, such as compressed ones, are read whole if they are not too large.

    Parameters
    ----------
    asked : JobSpec
        Whose places name their buckets.
    source : ObjectCatalogue
        The bucket of ``data.uri``.
    own_bucket : str
        The stack's bucket, for messages.
    concurrency : int, optional
        Functions that the account runs at once, if it is known.
    """
    found = JobTrial(asked)
    path = bucket_and_key(asked.data.uri)[1]
    try:
        name = asked.data.format or guess_format(source, path, asked.data, own_bucket)
    except InvalidDataError as error:
        found.mistakes.append(str(error))
        return found
    found.spec = with_format(asked, name)
    found.mistakes += contradictions(found.spec)
    plan, is_as_asked = _planned(found, source, path, own_bucket)
    if plan is None:
        return found
    plan.notes[:0] = note_on_format(asked.data, name)
    _choose(found, plan, concurrency)
    if trial := _tried(found, source, plan):
        found.share = trial.share
        _judge(found, asked, trial, is_as_asked=is_as_asked)
    return found


def _planned(
    found: JobTrial, source: ObjectCatalogue, path: str, own_bucket: str
) -> tuple[DataPlan | None, bool]:
    """Return the plan, and whether it is that of the job: fields at fault are left out."""
    data = found.spec.data
    for _ in range(_MOST_TRIES):
        try:
            plan = plan_data(
                source, path, data, own_bucket, has_classes=found.spec.model.has_classes
            )
        except (InvalidDataError, InvalidJobError) as error:
            found.mistakes.append(str(error))
            others = _without_fault(data, str(error))
        else:
            return plan, data == found.spec.data
        if others is None:
            break
        data = others
    return None, False


def _without_fault(data: Data, message: str) -> Data | None:
    """Return the data without the first field that a message names; None: there is none."""
    usual = Data(uri=data.uri, format=data.format, has_label=data.has_label)
    for name, inner in _FIELD.findall(message):
        value = getattr(data, name, None)
        if name in ("uri", "format") or value == getattr(usual, name, None):
            continue
        part = value if isinstance(value, msgspec.Struct) and hasattr(value, inner) else None
        if part is not None:
            default = getattr(type(part)(), inner)
            return msgspec.structs.replace(
                data, **{name: msgspec.structs.replace(part, **{inner: default})}
            )
        return msgspec.structs.replace(data, **{name: getattr(usual, name)})
    return None


def _choose(found: JobTrial, plan: DataPlan, concurrency: int | None) -> None:
    layout = plan.layout
    spec = with_index_base(found.spec, layout.zero_based)
    try:
        spec = with_rows(spec, layout.n_features, layout.row_shape)
    except InvalidJobError as error:
        found.mistakes.append(str(error))
    found.spec = with_algorithm(spec, layout.n_features, concurrency)


def _tried(found: JobTrial, source: ObjectCatalogue, plan: DataPlan) -> Trial | None:
    data = found.spec.data
    try:
        try:
            trial = try_partition(source, plan, data.seed)
        except EmptyDataError:  # all rows are bad: the first one is what ends the job
            trial = try_partition(source, plan, data.seed, on_bad_row=data.on_bad_row)
    except NotAvailableError as error:
        plan.notes.append(f"the rows were not read here: {error}")
    except InvalidDataError as error:
        found.mistakes.append(str(error))
    else:
        if trial is None:
            plan.notes.append("the rows were not read here: an object is too large to be tried")
        return trial
    return None


def _judge(found: JobTrial, asked: JobSpec, trial: Trial, *, is_as_asked: bool) -> None:
    """Add what the rows show; what depends on fields at fault is left out."""
    manifest = trial.manifest
    if manifest.skipped_rows:
        _add_bad_rows(found, trial)
    if is_as_asked:
        found.mistakes += _unsuitable(found.spec, trial)
    notes: list[str] = list(trial.plan.notes)
    warnings: list[JobWarning] = []
    if is_as_asked and not found.mistakes:
        notes, warnings = _examined(found, trial, notes)
    facts = dataset_facts(found.spec, manifest, len(trial.plan.objects), notes)
    found.facts = msgspec.structs.replace(
        facts,
        warnings=[*facts.warnings, *warnings],
        choices=choices_between(asked, found.spec),
    )


def _add_bad_rows(found: JobTrial, trial: Trial) -> None:
    manifest = trial.manifest
    more = manifest.skipped_rows - len(manifest.skipped_samples)
    if found.spec.data.on_bad_row == "skip":
        first = manifest.skipped_samples[0]
        trial.plan.notes.append(f"{manifest.skipped_rows:,} bad rows are skipped; {first}")
        return
    found.mistakes += manifest.skipped_samples
    if more > 0:
        found.mistakes.append(f"{more:,} more rows are bad; data.on_bad_row 'skip' leaves them out")


def _unsuitable(spec: JobSpec, trial: Trial) -> list[str]:
    """Return the mistakes that the rows show."""
    manifest = trial.manifest
    checks: list[Callable[[], object]] = [lambda: require_labels_suit(spec, manifest.layout)]
    if trial.is_all or not _may_have_more_labels(manifest):
        checks.append(lambda: model_on(spec, manifest))
    if trial.is_all:
        checks.append(lambda: check_suits(spec, manifest))
    mistakes: dict[str, None] = {}
    for check in checks:
        try:
            check()
        except (InvalidJobError, InvalidDataError) as error:
            mistakes[str(error)] = None
    return list(mistakes)


def _may_have_more_labels(manifest: Manifest) -> bool:
    return manifest.labels is not None and len(manifest.labels) < 2


def _examined(
    found: JobTrial, trial: Trial, notes: list[str]
) -> tuple[list[str], list[JobWarning]]:
    """Return notes and warnings on features and classes, and choose what depends on them."""
    manifest = trial.manifest
    if 4 * manifest.n_rows * manifest.n_features > _MOST_MATRIX_BYTES:
        return notes, []
    # One rank has all training rows of the trial.
    one = msgspec.structs.replace(found.spec, workers=1)
    kind, split = split_of(one, manifest)
    train, held_out = (
        assemble(trial.pieces, manifest, interval, kind)
        for interval in (split.shards[0], split.validation)
    )
    largest = max(abs(manifest.min_label), abs(manifest.max_label))
    found.spec = with_scaling(
        found.spec, lambda: train.X, largest, scales_table=manifest.scales_table
    )
    moments = feature_moments(train.X, train.remainders, train.weights).in_rows(len(train.y))
    warnings = doubts_about_moments(found.spec, manifest.named_features, moments)
    if not found.spec.model.takes_images:
        notes = [*notes, *notes_on_features(manifest.named_features, moments, lambda: train.X)]
    if found.spec.data.drops_uninformative:
        sparse = kind == "sparse"
        scale = scale_for(found.spec, manifest, moments, lambda: train, sparse=sparse)
        notes += notes_on_left_out(manifest.named_features, scale)
    return notes, [*warnings, *_about_classes(found, trial, held_out)]


def _about_classes(found: JobTrial, trial: Trial, held_out: Shard) -> list[JobWarning]:
    spec, manifest = found.spec, trial.manifest
    if not trial.is_all or not spec.model.has_classes or not spec.data.validation_fraction:
        return []
    if spec.model.function_kind:
        return []
    model = model_on(spec, manifest)
    try:
        return doubts_about_classes(spec, model, manifest, held_out.y)
    except BadLabelError as error:
        found.mistakes.append(str(error))
        return []

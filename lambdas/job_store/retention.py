"""The objects that stay in the durable store after a job, and their use."""

from __future__ import annotations

from stepml.job import keys

_PLANS = {
    keys.claim: "the owner of the run name",
    keys.spec: "the job as it was given",
    keys.partition_plan: "the byte ranges of the data",
    keys.training_plan: "shards, classes and shape of the model",
    keys.scale: "mean and scale of each feature, if the job asked for them",
    keys.pipeline: "what became of the columns of a table",
}
_TRAINED = {
    keys.model: "the model",
    keys.model_card: "the model's card",
    keys.report: "the final report",
    keys.history: "the report of every epoch",
}
_ON_THE_WAY = {
    keys.epochs_prefix: "state and report of each epoch: stepml retry --epoch and resume_from "
    "begin there",
    keys.failures_prefix: "the errors of failed attempts at epochs",
}
_TO_GO_ON = {
    keys.rank_states_prefix: "the ranks' states for the next epoch",
    keys.progress_prefix: "the progress of paused ranks",
    keys.snapshot_prefix: "the progress of the failed epoch in flight",
    keys.shared_model_marks_prefix: "attempts whose shared model has been made",
    keys.fence: "the time up to which begun attempts are over",
    keys.attempt_fences_prefix: "attempts at epochs that are over",
    keys.resumed: "the time at which the job was last continued",
    keys.ended: "the end of the execution",
}


def retained_after_success(job_id: str, bucket: str, last_epoch: int) -> dict[str, str]:
    """Return the objects and prefixes that a finished job leaves, with their use."""
    rank_states = {
        keys.rank_states_of_epoch(job_id, last_epoch): _TO_GO_ON[keys.rank_states_prefix]
    }
    fences = {
        name: _TO_GO_ON[name] for name in (keys.fence, keys.attempt_fences_prefix, keys.resumed)
    }
    uses = _PLANS | _TRAINED | _ON_THE_WAY | fences
    named = {name(job_id): use for name, use in uses.items()}
    return _in_bucket(bucket, named | rank_states)


def retained_for_redrive(job_id: str, bucket: str) -> dict[str, str]:
    """Return the objects and prefixes that an unfinished job leaves, with their use."""
    named = {name(job_id): use for name, use in (_PLANS | _ON_THE_WAY | _TO_GO_ON).items()}
    return _in_bucket(bucket, named)


def _in_bucket(bucket: str, named: dict[str, str]) -> dict[str, str]:
    return {f"s3://{bucket}/{key}": use for key, use in named.items()}

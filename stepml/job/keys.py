"""Every key of the durable store and the channels: built here, parsed nowhere.

::

    jobs/<job_id>/…        one job's own objects, deleted with it
    jobs.turn.json         the job that gets functions first, while they are scarce
    datasets/<digest>/…    partitioned data, addressed by content and shared by jobs
    code/<digest>.zip      users' own code, likewise
    fits/<process>/…       rows that estimators have stored, until they delete them
"""

from __future__ import annotations

import xxhash

from stepml.job.step import Step

VALIDATION = -1  # the "rank" of the validation shard
CODE = "code/"  # all code of users' own


def code(digest: str) -> str:
    """A zip file with a user's own code; ``digest`` is its SHA-256."""
    return f"{CODE}{digest}.zip"


def fits_prefix() -> str:
    """The rows of all fits of estimators."""
    return "fits/"


def fit_rows(process: str, digest: str) -> str:
    """Rows that the estimators of one process have stored."""
    return f"{fits_prefix()}{process}/{digest}/"


def owner_of_fit(key: str) -> str:
    """Return the process whose fits have stored this object; empty for other objects."""
    return key.removeprefix(fits_prefix()).split("/")[0] if key.startswith(fits_prefix()) else ""


def job_prefix(job_id: str) -> str:
    """All objects of one job."""
    return f"jobs/{job_id}/"


def claim(job_id: str) -> str:
    """The owner of the job id; written once, before anything else."""
    return f"jobs/{job_id}/claim.json"


def spec(job_id: str) -> str:
    """The original job spec."""
    return f"jobs/{job_id}/spec.json"


def partition_plan(job_id: str) -> str:
    """Objects, layout and byte ranges of the data."""
    return f"jobs/{job_id}/partition_plan.json"


def training_plan(job_id: str) -> str:
    """Shards, classes and shape of the model, for executors and reducer."""
    return f"jobs/{job_id}/training_plan.json"


def scale(job_id: str) -> str:
    """Mean and standard deviation of each feature."""
    return f"jobs/{job_id}/scale.safetensors"


def pipeline(job_id: str) -> str:
    """The fitted pipeline of a table."""
    return f"jobs/{job_id}/pipeline.json"


def epochs_prefix(job_id: str) -> str:
    """States and reports of a job's epochs."""
    return f"jobs/{job_id}/epochs/"


def state(job_id: str, epoch: int) -> str:
    """The model's state after an epoch; epoch 0 is the start."""
    return f"{epochs_prefix(job_id)}{epoch:06d}/state.safetensors"


def epoch_report(job_id: str, epoch: int) -> str:
    """The reducer's report after an epoch."""
    return f"{epochs_prefix(job_id)}{epoch:06d}/report.json"


def ranks(job_id: str, epoch: int) -> str:
    """The times and traffic of each function in an epoch, one JSON object a line."""
    return f"{epochs_prefix(job_id)}{epoch:06d}/ranks.jsonl"


def merged_epoch(job_id: str, epoch: int) -> str:
    """The end of an epoch whose model is evaluated apart."""
    return f"{epochs_prefix(job_id)}{epoch:06d}/merged.json"


def tally(job_id: str, epoch: int, part: int) -> str:
    """The sums over one slice of the validation rows, of a model that is evaluated apart."""
    return f"{epochs_prefix(job_id)}{epoch:06d}/tallies/{part:06d}.safetensors"


def rank_state(job_id: str, epoch: int, rank: int) -> str:
    """The state of one rank after an epoch, which it needs in the next one."""
    return f"{rank_states_of_epoch(job_id, epoch)}{rank:06d}.safetensors"


def rank_states_of_epoch(job_id: str, epoch: int) -> str:
    """The states of single ranks after an epoch."""
    return f"{rank_states_prefix(job_id)}{epoch:06d}/"


def rank_states_prefix(job_id: str) -> str:
    """The states of single ranks, of all epochs."""
    return f"jobs/{job_id}/ranks/"


def progress(job_id: str, epoch: int, rank: int) -> str:
    """A rank's progress when its function ran out of time."""
    return f"{progress_prefix(job_id)}{epoch:06d}/{rank:06d}.safetensors"


def paused_times(job_id: str, epoch: int, rank: int) -> str:
    """The times of a rank's calls that have returned before the epoch's end."""
    return f"{progress_prefix(job_id)}{epoch:06d}/{rank:06d}-times.json"


def slice_progress(job_id: str, epoch: int, part: int) -> str:
    """The outputs for the first rows of a slice, when its function ran out of time."""
    return f"{progress_prefix(job_id)}{epoch:06d}/slice-{part:06d}.safetensors"


def progress_prefix(job_id: str) -> str:
    """The progress of all ranks and slices that ran out of time."""
    return f"jobs/{job_id}/progress/"


def shared_model_mark(job_id: str, attempt: str) -> str:
    """Says that an attempt's shared model has been made: it must not be made a second time."""
    return f"{shared_model_marks_prefix(job_id)}{attempt}"


def shared_model_marks_prefix(job_id: str) -> str:
    """The marks of all attempts of a job."""
    return f"jobs/{job_id}/shared/"


def functions_turn() -> str:
    """The job whose ranks get the account's functions first, while they do not suffice for all."""
    return "jobs.turn.json"


def exchange_prefix(job_id: str, run: str) -> str:
    """The values that the ranks of one run exchange; the channel may lose them at any time.

    These values are write-once. So a job id that is used again (on another stack with the same
    Redis, or after its objects were deleted by hand) must not find the values of its last run.
    """
    return f"jobs/{job_id}/exchange/{run}/"


# From here to the snapshots, `prefix` is an exchange_prefix. The names are short, because a key of
# Memcached has at most 250 bytes.


def attempt_prefix(prefix: str, attempt: str) -> str:
    """Values of one attempt at an epoch, which late copies of another must not touch."""
    return f"{prefix}{xxhash.xxh32_hexdigest(attempt.encode())}/"


def epoch_prefix(prefix: str, epoch: int) -> str:
    """The exchanged values of one epoch."""
    return f"{prefix}{epoch:06d}/"


def step_prefix(prefix: str, step: Step) -> str:
    """The exchanged values of one step."""
    return f"{epoch_prefix(prefix, step.epoch)}{step.batch:09d}/"


def contribution(prefix: str, step: Step, chunk: int, rank: int) -> str:
    """A rank's contribution to one chunk of a step."""
    return f"{step_prefix(prefix, step)}c/{chunk:06d}/{rank:06d}"


def contributions_prefix(prefix: str, epoch: int) -> str:
    """The contributions to the one exchange of an orchestrated epoch."""
    return f"{step_prefix(prefix, Step(epoch))}c/"


def aggregate(prefix: str, step: Step, chunk: int) -> str:
    """The sum of all ranks' contributions to one chunk of a step."""
    return f"{step_prefix(prefix, step)}a/{chunk:06d}"


def shared_model(prefix: str, epoch: int) -> str:
    """The model that ranks change in turn with the pattern async."""
    return f"{epoch_prefix(prefix, epoch)}model"


def lease(prefix: str, epoch: int) -> str:
    """The lease on the shared model."""
    return f"{epoch_prefix(prefix, epoch)}lease"


def turn(prefix: str, epoch: int, ticket: int) -> str:
    """The value that wakes the holder of a ticket to the shared model."""
    return f"{epoch_prefix(prefix, epoch)}turn/{ticket:012d}"


def frontier(prefix: str, attempt: str, epoch: int) -> str:
    """The furthest batch at which a rank of this attempt waits."""
    return f"{epoch_prefix(attempt_prefix(prefix, attempt), epoch)}frontier"


def probe(prefix: str) -> str:
    """A small value by which a channel is tried before the job begins."""
    return f"{probe_prefix(prefix)}probe.bin"


def probe_prefix(prefix: str) -> str:
    """The trial of a channel by one run; it does not lie among the exchanged values."""
    job, _, run = prefix.partition("/exchange/")
    return f"{job}/probe/{run}"


def snapshot(job_id: str, epoch: int) -> str:
    """The replicas' state within an epoch that is exchanged in flight."""
    return f"{snapshot_prefix(job_id)}{epoch:06d}.safetensors"


def last_snapshot(job_id: str, epoch: int) -> str:
    """The replicas' state at the end of an epoch that is exchanged in flight; written once."""
    return f"{snapshot_prefix(job_id)}{epoch:06d}-last.safetensors"


def snapshot_prefix(job_id: str) -> str:
    """The snapshots of a job's epochs."""
    return f"jobs/{job_id}/snapshots/"


def failure(job_id: str, attempt: str) -> str:
    """The first error of a failed attempt at an epoch."""
    return f"{failures_prefix(job_id)}{attempt}.json"


def failures_prefix(job_id: str) -> str:
    """The errors of all failed attempts at a job's epochs."""
    return f"jobs/{job_id}/failures/"


def fence(job_id: str) -> str:
    """The time at which an execution ended: attempts that began by then are over."""
    return f"jobs/{job_id}/fence.json"


def attempt_fence(job_id: str, attempt: str) -> str:
    """The fence of one attempt at an epoch whose own execution has ended."""
    return f"{attempt_fences_prefix(job_id)}{attempt}.json"


def attempt_fences_prefix(job_id: str) -> str:
    """The fences of a job's attempts."""
    return f"jobs/{job_id}/fences/"


def resumed(job_id: str) -> str:
    """The time at which the last attempt that was not an epoch's first one began."""
    return f"jobs/{job_id}/resumed.json"


def ended(job_id: str) -> str:
    """The end of a job without a model, and the objects that remain for a redrive."""
    return f"jobs/{job_id}/ended.json"


def report(job_id: str) -> str:
    """The job's final report."""
    return f"jobs/{job_id}/report.json"


def history(job_id: str) -> str:
    """The report of every epoch, one line of JSON each."""
    return f"jobs/{job_id}/history.jsonl"


def model(job_id: str) -> str:
    """The trained model's arrays."""
    return f"jobs/{job_id}/model/model.safetensors"


def model_card(job_id: str) -> str:
    """The model's card: kind, classes, scaling, metrics, versions."""
    return f"jobs/{job_id}/model/model.json"

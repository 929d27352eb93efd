"""The steps of a job, in order in this process: their output, and the effect of repeats."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import numpy as np
import pytest

from lambdas.assemble import assemble
from lambdas.channels import Channels
from lambdas.entry import handles
from lambdas.epochs.loop import Limits
from lambdas.job_store.shards import ShardCache
from lambdas.partition import partition
from lambdas.plan_shards import plan_shards
from stepml.job import data_keys, keys
from stepml.job.errors import (
    BadLabelError,
    BadRowError,
    DataNotFoundError,
    EmptyDataError,
    ExecutorPausedError,
    InvalidDataError,
    InvalidJobError,
    InvalidTaskError,
    JobIdTakenError,
    MissingContributionError,
    NotAvailableError,
    NotEnoughDataError,
    StepMLError,
    StorageUnavailableError,
    TrainingDivergedError,
    ValueChangedError,
)
from stepml.job.step import Step
from stepml.job.tasks import (
    AssembleTask,
    ExecutorTask,
)
from stepml.ml.data import Shard, arrays, unpack_shard
from storage import Storage
from storage.testing.faulty import FaultyStorage
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Context, Job, contents, csv_rows


def test_a_job_learns() -> None:
    job = Job(stop={"max_epochs": 3})
    job.initialised()
    reports = [job.epoch(number) for number in (1, 2, 3)]
    assert [report.decision for report in reports] == ["continue", "continue", "finished"]
    assert reports[2].loss < reports[1].loss < reports[0].loss < np.log(2)
    report = job.finalise(3)
    assert report.reason == "max_epochs 3 reached"
    assert report.loss == reports[2].loss
    assert [each.epoch for each in report.history] == [1, 2, 3]
    assert report.dataset.training_rows + report.dataset.validation_rows == 200
    assert report.history[0].executor_seconds == [0.5, 0.5, 0.5]
    assert report.model_uri == "s3://bucket/jobs/job/model/model.safetensors"


def test_the_model_predicts_what_the_report_says() -> None:
    job = Job()
    job.initialised()
    for number in (1, 2):
        job.epoch(number)
    report = job.finalise(2)
    model, _ = arrays.unpack(job.storage.load(keys.model("job")))
    card = json.loads(job.storage.load(keys.model_card("job")))
    shard = unpack_shard(
        job.storage.load(data_keys.shard(report.dataset.digest, 3, 0.1, "dense", keys.VALIDATION))
    )
    X = (shard.X - model["feature_mean"]) / model["feature_scale"]
    positive = X @ model["coefficients"] + model["intercept"] > 0
    assert np.mean(positive == (shard.y == card["positive_class"])) == report.metrics["accuracy"]
    assert card["classes"] == [0, 1]
    assert card["features"] == []  # no header


def test_the_model_card_names_the_features() -> None:
    job = with_rows(b"a,label,c\n" + b"1,0,2\n2,1,3\n" * 20, workers=1)
    job.spec["data"] |= {"label": "label"}
    job.initialised()
    job.epoch(1)
    job.finalise(1)
    card = json.loads(job.storage.load(keys.model_card("job")))
    assert (card["label"], card["features"]) == ("label", ["a", "c"])


def test_a_job_done_twice_has_the_same_bits() -> None:
    bits = []
    for name in ("one", "two"):
        job = Job(name)
        job.initialised()
        job.epoch(1)
        job.epoch(2)
        bits.append(job.state_bits(2))
    assert bits[0] == bits[1]


def test_repeating_every_step_changes_nothing() -> None:
    job = Job()
    job.initialised()
    before = contents(job.storage)
    job.partitioned()
    job.initialised()
    assert contents(job.storage) == before
    first = job.epoch(1)
    job.execute(1, 0)  # a late copy, after the epoch has been reduced
    assert job.reduce(1) == first
    job.epoch(2)
    report = job.finalise(2)
    before = contents(job.storage)
    assert job.finalise(2) == report
    assert contents(job.storage) == before


def test_a_finished_rank_is_not_trained_again() -> None:
    job = Job()
    job.initialised()
    job.execute(1, 0)
    contribution = keys.contribution(job.exchanged(), Step(1), 0, 0)
    before = job.storage.load(contribution)
    shard = data_keys.shard(job.partition_plan().digest, 3, 0.1, "dense", 0)
    job.storage.delete(shard)  # training would need it, or the cache's copy
    job.execute(1, 0)
    assert job.storage.load(contribution) == before


def test_a_lost_contribution_fails_the_reduce_by_name_and_heals_with_the_epoch() -> None:
    job, undisturbed = Job("lost"), Job("whole")
    for each in (job, undisturbed):
        each.initialised()
    undisturbed.epoch(1)
    for rank in range(3):
        job.execute(1, rank)
    job.storage.delete(keys.contribution(job.exchanged(), Step(1), 0, 1))
    with pytest.raises(MissingContributionError, match="rank 1"):
        job.reduce(1)
    job.epoch(1)
    assert job.state_bits(1) == undisturbed.state_bits(1)


def scattered(job_id: str = "scattered") -> Job:
    job = Job(job_id, exchange={"pattern": "reduce_scatter"})
    job.initialised()
    return job


@pytest.mark.parametrize("lost", ["aggregate", "all aggregates", "damaged"])
def test_a_lost_chunk_is_merged_again(lost: str) -> None:
    job, whole = scattered(), Job("whole")
    whole.initialised()
    whole.epoch(1)
    results = job.execute_all(1)
    job.merge(1, range(3))
    chunks = [keys.aggregate(job.exchanged(), Step(1), chunk) for chunk in range(3)]
    if lost == "damaged":
        job.storage.save(chunks[1], b"no message")
    else:
        job.storage.delete_many(chunks if lost == "all aggregates" else chunks[1:2])
    job.reduce(1, results)
    assert job.state_bits(1) == whole.state_bits(1)
    assert [*job.storage.list("jobs/scattered/exchange/")] == []


def test_a_chunk_that_a_rank_lacks_fails_by_name_and_heals_with_the_epoch() -> None:
    job, whole = scattered(), Job("whole")
    whole.initialised()
    whole.epoch(1)
    job.execute_all(1)
    job.storage.delete(keys.contribution(job.exchanged(), Step(1), 2, 1))
    job.merge(1, [0, 1])
    with pytest.raises(MissingContributionError, match="rank 1"):
        job.merge(1, [2])
    job.epoch(1)
    assert job.state_bits(1) == whole.state_bits(1)


def test_a_late_copy_of_a_merger_leaves_nothing() -> None:
    job = scattered()
    job.epoch(1)
    before = contents(job.storage)
    job.merge(1, range(3))
    assert contents(job.storage) == before


def test_a_rank_out_of_time_goes_on_where_it_paused() -> None:
    job, undisturbed = Job("paused"), Job("whole")
    for each in (job, undisturbed):
        each.initialised()
    undisturbed.epoch(1)
    out_of_time = iter([100.0] + [1.0] * 100)  # the deadline comes right after the call's start
    with pytest.raises(ExecutorPausedError, match="rank 0 saved its progress after 1 batches"):
        job.execute(1, 0, lambda: next(out_of_time))
    out_of_time = iter([100.0] + [1.0] * 100)
    with pytest.raises(ExecutorPausedError, match="after 2 batches"):
        job.execute(1, 0, lambda: next(out_of_time))
    job.epoch(1)
    assert job.state_bits(1) == undisturbed.state_bits(1)
    job.epoch(2)
    job.finalise(2)
    assert list(job.storage.list(keys.progress_prefix("paused"))) == []
    assert list(job.storage.list("jobs/paused/exchange/")) == []


def test_what_a_pause_saved_and_was_damaged_only_costs_time() -> None:
    job, undisturbed = Job("paused"), Job("whole")
    for each in (job, undisturbed):
        each.initialised()
    undisturbed.epoch(1)
    job.storage.save(keys.progress("paused", 1, 0), b"no container of arrays")
    job.epoch(1)
    assert job.state_bits(1) == undisturbed.state_bits(1)


def test_a_late_copy_of_a_rank_leaves_nothing() -> None:
    job = Job()
    job.initialised()
    job.epoch(1)
    before = contents(job.storage)
    job.execute(1, 0)
    assert contents(job.storage) == before


def test_data_partitioned_before_are_not_partitioned_again() -> None:
    first = Job("first")
    assert first.initialised().data.ranges == [0]
    second = Job("second", first.storage)
    assert second.initialised().data.ranges == []
    wider = Job("wider", first.storage, workers=5)
    assert wider.initialised().data.ranges == []
    other_seed = Job("other", first.storage, data=first.spec["data"] | {"seed": 1})
    assert other_seed.prepare().data.ranges == [0]


def test_of_two_jobs_that_partition_at_once_one_manifest_counts() -> None:
    one = Job("one")
    two = Job("two", one.storage, data=one.spec["data"] | {"ranges": 7})
    one.prepare(), two.prepare()
    for job in (one, two):
        plan = job.partition_plan()
        for number in range(len(plan.tasks)):
            partition(number, job.job_id, plan, job.data, job.storage)
    first = plan_shards("one", one.storage)
    assert plan_shards("two", one.storage) == first
    assert list(one.storage.list(data_keys.piece_prefix(first.digest, "two"))) == []
    assert plan_shards("one", one.storage) == first
    for job in (one, two):
        for rank in (-1, 0, 1, 2):
            assemble(AssembleTask(job_id=job.job_id, rank=rank), job.storage)
        job.initialise()
        job.epoch(1)
    assert one.state_bits(1) == two.state_bits(1)


@pytest.mark.parametrize("ranges", [1, 2, 7, 40])
def test_the_number_of_ranges_changes_no_bit_of_the_model(ranges: int) -> None:
    reference = Job()
    reference.initialised()
    reference.epoch(1)
    job = Job(data=reference.spec["data"] | {"ranges": ranges})
    job.initialised()
    job.epoch(1)
    assert job.state_bits(1) == reference.state_bits(1)


def test_a_job_id_belongs_to_one_execution() -> None:
    job = Job()
    job.prepare(arn="arn:first")
    assert job.prepare(arn="arn:first").job_id == "job"
    with pytest.raises(JobIdTakenError, match="run name 'job' is taken by arn:first"):
        job.prepare(arn="arn:second")


def test_a_job_id_that_returns_does_not_find_what_its_last_run_left_in_the_channel() -> None:
    prefixes = set()
    for arn in ("arn:first", "arn:second"):
        job = Job()
        job.prepare(arn)
        plan = job.partition_plan()
        assert re.fullmatch("[0-9a-f]{16}", plan.run)
        prefixes.add(keys.exchange_prefix("job", plan.run))
    assert len(prefixes) == 2


def refuse(name: str) -> Storage:
    raise AssertionError(f"{name} must not be opened")


@pytest.mark.parametrize(
    ("channel", "lacks"),
    [
        ("redis", "Redis (its stack's parameter RedisUrl is empty)"),
        ("memcached", "Memcached (its stack's parameter MemcachedUrl is empty)"),
    ],
)
def test_a_channel_that_this_deployment_lacks_is_refused_before_anything_is_written(
    channel: str, lacks: str
) -> None:
    job = Job(exchange={"channel": channel})
    job.channels = Channels(("s3", "dynamodb"), refuse)
    with pytest.raises(NotAvailableError) as caught:
        job.prepare()
    assert str(caught.value) == (
        f"exchange.channel '{channel}': this deployment has no {lacks}; "
        "available here: s3, dynamodb"
    )
    assert contents(job.storage) == {}


def test_functions_that_this_deployment_lacks_are_named_before_anything_is_written() -> None:
    job = Job(model={"name": "neural", "network": "mlp"}, algorithm={"name": "gradient_averaging"})
    job.limits = Limits(concurrency=1000, function_kinds=())
    with pytest.raises(NotAvailableError, match="model 'neural' needs functions with torch"):
        job.prepare()
    assert contents(job.storage) == {}


@pytest.mark.parametrize("operation", ["save", "load_many", "delete_many", "find_many"])
def test_a_channel_that_does_not_answer_is_found_before_anything_is_written(operation: str) -> None:
    job = Job(exchange={"channel": "redis"})
    silent = FaultyStorage(MemoryStorage(), fail={operation: [0]})
    job.channels = Channels(("s3", "redis"), lambda name: silent)
    with pytest.raises(StorageUnavailableError):
        job.prepare()
    assert contents(job.storage) == {}


class ForgetfulStorage(MemoryStorage):
    """The channel cannot be reached for its clearing."""

    def clear(self, prefix: str) -> None:
        if "/exchange/" in prefix:
            raise StorageUnavailableError("no answer")
        super().clear(prefix)


def test_a_channel_that_is_gone_at_the_end_does_not_fail_the_job() -> None:
    job = Job(storage=ForgetfulStorage())
    job.initialised()
    for number in (1, 2):
        job.epoch(number)
    assert job.finalise(2).epochs == 2


def test_several_objects_below_a_prefix_are_one_data_set() -> None:
    job = Job(data={"uri": "s3://data/parts", "format": "csv"})
    job.data = MemoryStorage()
    for part in range(3):
        job.data.save(f"parts/{part}.csv", csv_rows(50, seed=part))
    job.data.save("parts/_SUCCESS", b"")
    job.data.save("partsother.csv", b"not,a,row\n")
    job.partitioned()
    plan = job.partition_plan()
    assert [each.name for each in plan.objects] == ["0.csv", "1.csv", "2.csv"]


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"a,y", "it lacks b$"),
        (b"a,b,y,z", "only it has z$"),
        (b"1,2,0", "it lacks a, b, y and only it has 1, 2, 0$"),
        (b"a,b,b", "two columns are named 'b'$"),
    ],
)
def test_objects_of_other_columns_are_not_mixed(header: bytes, shown: str) -> None:
    job = Job(data={"uri": "s3://data/parts/", "format": "csv"})
    for name, first in (("1.csv", b"a,b,y"), ("2.csv", header)):
        job.data.save(f"parts/{name}", first + b"\n" + b"1,2,0\n3,4,1\n" * 10)
    with pytest.raises(InvalidDataError, match=f"parts/2.csv: .*{shown}"):
        job.partitioned()


def refused_before_training(job: Job) -> StepMLError:
    """Run ``job`` up to its first epoch, return its error; nothing may be half written."""
    with pytest.raises(StepMLError) as caught:
        job.initialised()
    assert list(job.storage.list("jobs/job/epochs/")) == []
    return caught.value


def with_rows(text: bytes, **spec: Any) -> Job:
    job = Job(**spec)
    job.data.save("rows.csv", text)
    return job


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (with_rows(b""), EmptyDataError, "0 bytes"),
        (with_rows(b"a,b,c\n"), EmptyDataError, "rows.csv has no data rows"),
        (
            with_rows(csv_rows() + b"1,2,3\n"),
            BadRowError,
            "rows.csv, line 201: 3 columns where 5 are expected: '1,2,3'",
        ),
        (
            with_rows(csv_rows() + b"1,2,abc,3,1\n"),
            BadRowError,
            "rows.csv, line 201: column 3 is 'abc', not a number: '1,2,abc,3,1'",
        ),
        (
            with_rows(csv_rows(3)),
            NotEnoughDataError,
            "workers: expected at most the number of training rows, 2 (3 rows, of which 1 "
            "validate), got 3",
        ),
        (with_rows(b"1,2\n" * 50), BadLabelError, "needs two labels; the data have only: 2"),
        (
            Job(data={"uri": "s3://data/absent.csv", "format": "csv"}),
            DataNotFoundError,
            "data.uri: nothing lies at s3://data/absent.csv",
        ),
        (
            Job(data={"uri": "s3://data/rows.csv", "format": "csv", "label": 9}),
            InvalidDataError,
            "data.label is 9",
        ),
        (Job(worker=3), InvalidJobError, "unknown field 'worker'"),
        (Job("x" * 70), InvalidJobError, "run name: expected at most 67 characters"),
    ],
)
def test_bad_input_ends_before_training_with_a_named_error(
    job: Job, error: type[StepMLError], message: str
) -> None:
    found = refused_before_training(job)
    assert type(found) is error
    assert message in str(found)


@pytest.mark.parametrize("job", [Job(worker=3), with_rows(b""), with_rows(b"\x1f\x8b zip")])
def test_what_prepare_refuses_leaves_nothing(job: Job) -> None:
    with pytest.raises(StepMLError):
        job.prepare()
    assert list(job.storage.list("")) == []


def test_diverging_training_fails_by_name() -> None:
    job = Job(
        model={"name": "linear_regression"},
        algorithm={"name": "model_averaging", "learning_rate": 1e6, "local_epochs": 1000},
    )
    job.initialised()
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingDivergedError, match=r"lower algorithm\.learning_rate"),
    ):
        job.epoch(1)


def test_a_training_loss_that_is_no_number_is_not_reported() -> None:
    rows = [f"{i % 5},{i % 7},{i % 2}" for i in range(400)]
    text = "\n".join([*rows[:100], "3e38,1,1", *rows[100:]]).encode()
    job = with_rows(text, workers=2, algorithm={"name": "model_averaging", "batch_size": 10})
    job.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv"}
    job.spec["model"] = {"name": "linear_regression"}
    job.initialised()
    with np.errstate(all="ignore"), pytest.raises(TrainingDivergedError) as caught:
        for number in range(1, 20):
            job.epoch(number)
    failed_epoch = int(re.findall(r"after epoch (\d+)", str(caught.value))[0])
    assert job.storage.describe(keys.epoch_report("job", failed_epoch)) is None


def test_data_replaced_after_they_were_planned_are_refused() -> None:
    job = Job()
    job.prepare()
    plan = job.partition_plan()
    other = csv_rows(seed=1)
    job.data.save("rows.csv", other[: plan.objects[0].value_bytes])
    with pytest.raises(ValueChangedError, match=r"rows.csv was changed since it was described"):
        partition(0, "job", plan, job.data, job.storage)
    assert list(job.storage.list("datasets/")) == []


def test_a_handler_logs_its_failure_with_what_it_was_about() -> None:
    def work(task: ExecutorTask, context: Any) -> None:
        raise BadRowError("line 17 is wrong")

    handler = handles(ExecutorTask)(work)
    stream = io.StringIO()
    to_stdout = logging.getLogger("stepml").handlers[0]  # pytest adds its own
    assert isinstance(to_stdout, logging.StreamHandler)
    before = to_stdout.setStream(stream)
    try:
        with pytest.raises(BadRowError):
            event = {"job_id": "j", "epoch": 2, "rank": 3, "attempt": "e.0", "started_at": "now"}
            handler(event, Context())
    finally:
        to_stdout.setStream(before)
    begun, failed = map(json.loads, stream.getvalue().splitlines())
    assert begun["task"] == {
        "job_id": "j",
        "epoch": 2,
        "rank": 3,
        "retries": 0,
        "entered_at": "",
    }
    assert failed == {
        "level": "ERROR",
        "message": "failed",
        "request_id": "request",
        "error": "BadRowError",
        "reason": "line 17 is wrong",
        "job_id": "j",
        "epoch": 2,
        "rank": 3,
    }


@pytest.mark.parametrize("event", [None, [], {}, {"job_id": 3}, {"job_id": "j", "rank": 0}])
def test_another_payload_is_refused(event: Any) -> None:
    with pytest.raises(InvalidTaskError, match="ExecutorTask: "):
        ExecutorTask.from_event(event)


def test_a_function_keeps_no_more_shards_than_fit() -> None:
    cache = ShardCache(max_bytes=2500)
    shards = [Shard(np.zeros((100, 2), np.float32), np.zeros(100, np.float32)) for _ in range(3)]
    for number, shard in enumerate(shards):  # 1,200 bytes each
        cache.put(str(number), shard)
    assert cache.get("0") is None
    assert cache.get("2") is shards[2]
    assert cache.value_bytes <= 2500
    huge = Shard(np.zeros((10_000, 2), np.float32), np.zeros(10_000, np.float32))
    cache.put("huge", huge)
    assert cache.get("huge") is huge
    assert cache.get("2") is None

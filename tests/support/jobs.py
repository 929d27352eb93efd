"""A job whose steps run one after another in this process, in the order of the state machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from lambdas.assemble import assemble
from lambdas.attempts.timing import Timing
from lambdas.channels import Channels
from lambdas.channels.storage import open_storage_channel
from lambdas.environment import Deadline
from lambdas.epochs import Epochs, epochs_of
from lambdas.epochs.loop import Limits
from lambdas.executor import evaluate_epoch, execute
from lambdas.finalise import finalise
from lambdas.initialise import check_model, initialise
from lambdas.job_store import JobStore, PartitionPlan, TrainingPlan
from lambdas.merger import merge_chunk
from lambdas.partition import partition
from lambdas.plan_shards import plan_shards
from lambdas.prepare import prepare
from lambdas.reducer import merge_epoch, reduce_epoch
from stepml.job import keys
from stepml.job.channels import configured_channels
from stepml.job.parse import parse_job
from stepml.job.reports import EpochReport, JobReport
from stepml.job.tasks import (
    AssembleTask,
    CostOfChunk,
    EvaluationTask,
    ExecutorResult,
    ExecutorTask,
    FinaliseTask,
    JobState,
    MergerTask,
    PrepareTask,
    ReducerTask,
)
from storage.testing.memory import MemoryStorage
from storage.wrapper import Wrapper
from tests.support.plain_choices import plain_job

STARTED_AT = "2026-01-02T03:04:05.678Z"
OWN_BUCKET = "stack-bucket"
# All ranks are threads of this process, and a busy machine may let one of them wait long.
PATIENT = Timing(first_wait_s=240.0, wait_s=240.0)


class Context:
    """A Lambda context with 15 minutes left."""

    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class Job:
    """One job on a memory store, driven in the order of the state machines."""

    def __init__(
        self,
        job_id: str = "job",
        storage: MemoryStorage | None = None,
        *,
        chooses: bool = False,
        **spec: Any,
    ) -> None:
        self.job_id = job_id
        self.state: JobState | None = None  # once it is initialised
        self.retries = 0  # of each epoch, by RunEpoch
        self.job_redrives = 0
        self.started_at = STARTED_AT  # of its attempts
        self.redrives = 0  # of each epoch's execution by itself
        self.storage = storage or MemoryStorage()
        self.data = MemoryStorage()
        self.timing = PATIENT
        self.limits = Limits(concurrency=1000)
        configured = ("s3", *configured_channels())
        self.channels = Channels(configured, lambda name: open_storage_channel(name, self.storage))
        self.chooses = chooses  # StepML, what the job leaves open
        self.spec: dict[str, Any] = {
            "data": {"uri": "s3://data/rows.csv", "format": "csv", "standardise": True},
            "workers": 3,
            "model": {"name": "logistic_regression"},
            "algorithm": {"name": "model_averaging", "batch_size": 20},
            "stop": {"max_epochs": 2},
        } | spec
        self.data.save("rows.csv", csv_rows())

    def prepare(self, arn: str = "arn:1", execution_input: Any = None) -> JobState:
        task = PrepareTask(
            job=execution_input or (self.spec if self.chooses else plain_job(self.spec)),
            job_id=self.job_id,
            execution_arn=arn,
            started_at=STARTED_AT,
        )
        return prepare(
            task, self.storage, lambda name: self.data, self.channels, self.limits, OWN_BUCKET
        )

    def partitioned(self) -> JobState:
        state = self.prepare()
        if state.checks_model:
            check_model(self.job_id, self.storage, lambda name: self.data)
        for number in state.data.ranges:
            partition(number, self.job_id, self.partition_plan(), self.data, self.storage)
        self.plan()
        return state

    def plan(self) -> None:
        plan_shards(self.job_id, self.storage)

    def assemble(self) -> None:
        for rank in (keys.VALIDATION, *range(self.spec["workers"])):
            assemble(AssembleTask(job_id=self.job_id, rank=rank), self.storage)

    def initialise(self, remaining: Callable[[], float] = lambda: 900.0) -> None:
        initialise(self.job_id, self.storage, Deadline(remaining), lambda name: self.data)

    def initialised(self) -> JobState:
        self.state = self.partitioned()
        self.assemble()
        self.initialise()
        return self.state

    def attempt(self, epoch: int) -> dict[str, Any]:
        """Return the common fields of all tasks of an epoch."""
        name = f"{self.job_id}-e{epoch}-r{self.job_redrives}-t{self.retries}.{self.redrives}"
        fields = {"job_id": self.job_id, "epoch": epoch, "attempt": name}
        return fields | {"started_at": self.started_at}

    def execute(
        self,
        epoch: int,
        rank: int,
        remaining: Callable[[], float] = lambda: 900.0,
        storage: Any = None,
    ) -> ExecutorResult:
        task = ExecutorTask(rank=rank, **self.attempt(epoch))
        return execute(task, storage or self.storage, Deadline(remaining), self.timing)

    def execute_all(
        self, epoch: int, remaining: Callable[[], float] = lambda: 900.0
    ) -> list[ExecutorResult]:
        """Train all ranks, concurrently if they exchange in flight."""
        ranks = range(self.spec["workers"])
        if self._epochs().keeps_contributions:  # they train alone
            return [self.execute(epoch, rank, remaining) for rank in ranks]
        with ThreadPoolExecutor(len(ranks)) as threads:
            return list(threads.map(lambda rank: self.execute(epoch, rank, remaining), ranks))

    def reduce(
        self,
        epoch: int,
        results: list[ExecutorResult] | None = None,
        merged: Iterable[CostOfChunk] = (),
    ) -> EpochReport:
        results = results or [ExecutorResult(rank=rank, seconds=0.5) for rank in (2, 0, 1)]
        task = ReducerTask(executors=results, merged=list(merged), **self.attempt(epoch))
        return reduce_epoch(task, self.storage)

    def merge(self, epoch: int, chunks: Iterable[int]) -> list[CostOfChunk]:
        tasks = (MergerTask(chunk=chunk, **self.attempt(epoch)) for chunk in chunks)
        return [merge_chunk(task, self.storage).merged for task in tasks]

    def epoch(self, number: int) -> EpochReport:
        results = self.execute_all(number)
        merged = self.merge(number, self._epochs().chunks)
        executors = [msgspec.structs.replace(result, seconds=0.5) for result in results][::-1]
        if self.state is not None and self.state.slices:
            self.evaluate(number, executors, self.state.slices)
        return self.reduce(number, executors, merged)

    def evaluate(self, epoch: int, results: list[ExecutorResult], slices: list[int]) -> None:
        """Merge an epoch and evaluate it in slices."""
        of_all: dict[str, Any] = {"n_slices": len(slices), **self.attempt(epoch)}
        merge_epoch(ReducerTask(executors=results, **of_all), self.storage)
        for each in slices:
            task = EvaluationTask(slice=each, **of_all)
            evaluate_epoch(task, self.storage, Deadline(lambda: 900.0))

    def finalise(self, epoch: int) -> JobReport:
        task = FinaliseTask(job_id=self.job_id, epoch=epoch)
        return finalise(task, self.storage, "bucket")

    def state_bits(self, epoch: int) -> bytes:
        return self.store.state(epoch).load().parameters.tobytes()

    def exchanged(self) -> str:
        """Return the prefix of its ranks' exchange."""
        return keys.exchange_prefix(self.job_id, self.training_plan().run)

    def partition_plan(self) -> PartitionPlan:
        return self.store.partition_plan.load()

    def training_plan(self) -> TrainingPlan:
        return self.store.training_plan.load()

    @property
    def store(self) -> JobStore:
        return JobStore(self.storage, self.job_id)

    def _epochs(self) -> Epochs[Any]:
        spec = parse_job(self.spec)  # reads nothing, so that tests can count requests
        return epochs_of(self.partition_plan().spec if spec.algorithm is None else spec)


class DurableWrapper(Wrapper):
    """A wrapper that also has the methods of a durable store, such as reading a shard."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def contents(storage: MemoryStorage) -> dict[str, bytes]:
    return storage.load_many(list(storage.list("")))


def csv_rows(n_samples: int = 200, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 2, size=(n_samples, 4))
    y = (X @ [1, -1, 0.5, 0] > 1.5).astype(int)
    return b"".join(
        ",".join([*(f"{value:.4f}" for value in row), str(label)]).encode() + b"\n"
        for row, label in zip(X, y, strict=True)
    )

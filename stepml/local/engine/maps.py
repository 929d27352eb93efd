"""Inline Map states: at most 40 iterations at once, and every wait for an iteration ends."""

from __future__ import annotations

from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (  # noqa: E501
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import (  # noqa: E501
    IterationWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import (
    JobClosed,
    JobPool,
)
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext

from stepml.local.engine.checkpoints import Checkpoint, keep_result, write
from stepml.local.engine.history import silence
from stepml.local.seams import Seams

seams = Seams()

# Step Functions: "Inline mode … supports up to 40 concurrent iterations".
INLINE_CONCURRENCY = 40


class Iterations(JobPool):
    """The iterations of one attempt of a Map, whose results are recorded for a redrive.

    Parameters
    ----------
    program : Program
        The program of an iteration.
    items : list
    manager : EventManager
        The history of the execution.
    checkpoint : Checkpoint or None
        The execution's checkpoint if it is at this Map; its results are reused.
    """

    def __init__(
        self, program: Any, items: list[Any], manager: Any, checkpoint: Checkpoint | None
    ) -> None:
        super().__init__(job_program=program, job_inputs=items)
        self._manager, self._checkpoint = manager, checkpoint
        self._running: set[int] = set()
        reused = {} if checkpoint is None else checkpoint.begin_attempt()
        if checkpoint is not None:
            write(manager, checkpoint, reused)
        self._open_jobs[:] = [job for job in self._open_jobs if job.job_index not in reused]
        self._closed_jobs.update(JobClosed(index, result) for index, result in reused.items())
        self.n_open = len(self._open_jobs)

    def next_job(self) -> Any:
        job = super().next_job()
        if job is not None:
            self._running.add(job.job_index)
        return job

    def close_job(self, job: Any) -> None:
        with self._mutex:
            self._running.discard(job.job_index)
            if self._is_terminated():
                return  # the Map has failed meanwhile
            if isinstance(job.job_output, Exception):
                self._worker_exception = job.job_output
            else:
                self._closed_jobs.add(JobClosed(job.job_index, job.job_output))
                if self._checkpoint is not None:
                    keep_result(self._manager, self._checkpoint, job.job_index, job.job_output)
            self._notify_on_termination()

    def running(self) -> list[int]:
        """Return the indices of the running iterations."""
        with self._mutex:
            return sorted(self._running)


@seams.replaces(
    InlineIterationComponent,
    "_eval_body",
    why="runs any number of iterations at once, repeats all after a redrive, and does not end "
    "those of a failed Map",
)
def evaluate_inline_map(self: Any, env: Any) -> None:
    eval_input = env.stack.pop()
    checkpoint = env.event_manager.checkpoint
    if checkpoint is not None and checkpoint.state != eval_input.state_name:
        checkpoint = None  # inside another Map, whose iterations are recorded instead
    program = self._get_iteration_program()
    pool = Iterations(program, eval_input.input_items, env.event_manager, checkpoint)
    for _ in range(map_workers(pool.n_open, eval_input.max_concurrency)):
        self._launch_worker(env=env, eval_input=eval_input, job_pool=pool)
    pool.await_jobs()
    failure = pool.get_worker_exception()
    if failure is not None:
        _abort_iterations(env, eval_input.state_name, pool)
        raise failure
    env.stack.append([job.job_output for job in pool.get_closed_jobs()])


def _abort_iterations(env: Any, name: str, pool: Iterations) -> None:
    """End the other iterations: their child executions are stopped, their functions run on."""
    silence(env)
    for index in pool.running():
        env.event_manager.add_event(
            context=EventHistoryContext(env.event_history_context.source_event_id),
            event_type=HistoryEventType.MapIterationAborted,
            event_details={"mapIterationAbortedEventDetails": {"name": name, "index": index}},
        )


def map_workers(n_items: int, max_concurrency: int) -> int:
    """Return the number of iterations at once; ``max_concurrency`` 0 means no limit of its own."""
    return min(n_items, max_concurrency or INLINE_CONCURRENCY, INLINE_CONCURRENCY)


@seams.replaces(
    IterationWorker,
    "_eval_pool",
    why="is recursive, so a worker with many items raises RecursionError, and the Map waits for "
    "ever",
)
def evaluate_jobs(self: Any, job: Any, worker_frame: Any) -> None:
    while job is not None:
        following = _evaluate_job(self, job, worker_frame)
        if following is None:
            # The frame closes before the job: the Map ends as soon as its last job is closed.
            self._env.close_frame(worker_frame)
        self._job_pool.close_job(job)
        if following is None:
            return
        job = following
    self._env.close_frame(worker_frame)


def _evaluate_job(worker: Any, job: Any, worker_frame: Any) -> Any:
    frame = worker_frame.open_inner_frame()
    try:
        worker._eval_job(env=frame, job=job)
    except Exception as error:  # a job without a result would never count as closed
        job.job_output = error
    worker_frame.close_frame(frame)
    if isinstance(job.job_output, Exception) or worker.stopped():
        return None
    following = worker._job_pool.next_job()
    if following is None:
        worker_frame.event_history_context.source_event_id = (
            frame.event_history_context.last_published_event_id
        )
    return following

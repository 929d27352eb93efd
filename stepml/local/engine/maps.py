"""Inline Map states: at most 40 iterations at once, and no iteration that is waited for in vain."""

from __future__ import annotations

from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (  # noqa: E501
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import (  # noqa: E501
    IterationWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool

from stepml.local.seams import Seams

seams = Seams()

# Step Functions: "Inline mode … supports up to 40 concurrent iterations".
INLINE_CONCURRENCY = 40


@seams.replaces(InlineIterationComponent, "_eval_body", why="runs any number of iterations at once")
def evaluate_inline_map(self: Any, env: Any) -> None:
    eval_input = env.stack.pop()
    items = eval_input.input_items
    pool = JobPool(job_program=self._get_iteration_program(), job_inputs=items)
    for _ in range(map_workers(len(items), eval_input.max_concurrency)):
        self._launch_worker(env=env, eval_input=eval_input, job_pool=pool)
    pool.await_jobs()
    failure = pool.get_worker_exception()
    if failure is not None:
        raise failure
    env.stack.append([job.job_output for job in pool.get_closed_jobs()])


def map_workers(n_items: int, max_concurrency: int) -> int:
    """Return how many iterations run at once; ``max_concurrency`` 0 means as many as can."""
    return min(n_items, max_concurrency or INLINE_CONCURRENCY, INLINE_CONCURRENCY)


@seams.replaces(
    IterationWorker,
    "_eval_pool",
    why="calls itself for each item, so a worker with many items ends in RecursionError, and the "
    "Map waits for ever",
)
def evaluate_jobs(self: Any, job: Any, worker_frame: Any) -> None:
    while job is not None:
        following = _evaluate_job(self, job, worker_frame)
        if following is None:
            # The frame closes before the job: the Map goes on as soon as its last job is closed.
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
    except Exception as error:  # a job without a result would never be counted as closed
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

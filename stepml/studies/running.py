"""Runs the cells of a study, one after another or some at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from stepml.job.errors import StepMLError
from stepml.records.errors import AccessError
from stepml.studies.baseline_cells import run_baseline
from stepml.studies.baselines.processes import InterruptedStudy
from stepml.studies.cells import FUNCTIONS, Cell
from stepml.studies.definition import InvalidStudyError
from stepml.studies.jobs import place_of, run_job, run_name
from stepml.studies.results import CellResult, Results
from stepml.studies.table import Row

if TYPE_CHECKING:
    from stepml.client import Client


class Runner:
    """Runs cells, and stores their results.

    Parameters
    ----------
    client : Client
    study : str
        The name of the study.
    results : Results
    """

    def __init__(self, client: Client, study: str, results: Results) -> None:
        self._client = client
        self._study = study
        self._results = results
        self._place = place_of(client)
        self._interrupted = threading.Event()

    def run(self, cells: Sequence[Cell], at_once: int) -> Iterator[Row]:
        """Run cells, and yield each when it has ended, also when it has failed.

        Raises
        ------
        AccessError
            The services cannot be reached.
        KeyboardInterrupt
            A person has interrupted the study. Jobs that run go on: the next `run` finds them.
        """
        waiting = iter(cells)
        with ThreadPoolExecutor(at_once) as pool:
            running: dict[Future[CellResult], Cell] = {}
            try:
                while True:
                    for cell in waiting:
                        running[pool.submit(self._run, cell)] = cell
                        if len(running) == at_once:
                            break
                    if not running:
                        return
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for each in ended:
                        yield Row(running.pop(each), each.result())
            finally:
                self._interrupted.set()

    def _run(self, cell: Cell) -> CellResult:
        before = self._results.find(cell.key)
        try:
            result = self._result(cell, before)
        except AccessError:
            raise
        except StepMLError as error:
            text = f"{type(error).__name__}: {error}"
            result = CellResult(key=cell.key, status="failed", place=self._place, error=text)
        self._results.save(result)
        return result

    def _result(self, cell: Cell, before: CellResult | None) -> CellResult:
        if cell.kind == FUNCTIONS:
            name, save = run_name(self._study, cell), self._results.save
            return run_job(self._client, cell, name, self._place, before, save, self._sleep)
        return run_baseline(self._client, cell, self._interrupted)

    def _sleep(self, seconds: float) -> None:
        if self._interrupted.wait(seconds):
            raise InterruptedStudy

    def require_same_place(self, cells: Sequence[Cell]) -> None:
        """Raise `InvalidStudyError` if there are results of another AWS."""
        for cell in cells:
            found = self._results.find(cell.key) if cell.kind == FUNCTIONS else None
            if found is not None and found.place != self._place:
                raise InvalidStudyError(
                    f"{self._results.directory}: has results of {found.place}, not of "
                    f"{self._place}; choose another directory with --out"
                )

"""A study from its file to its table: what commands and programs call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stepml.client.checking import lacking
from stepml.os_errors import located
from stepml.studies.baselines.kinds import SCIKIT_LEARN
from stepml.studies.cells import Cell, cells_of
from stepml.studies.definition import Study, read_study
from stepml.studies.page import page_of
from stepml.studies.results import CellResult, Results
from stepml.studies.table import Row, Table, csv_text, table_of
from stepml.whole_files import write_whole

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.client.stack import Stack

CSV_FILE, PAGE_FILE = "study.csv", "study.html"


@dataclass(frozen=True, slots=True)
class Studying:
    """A study, its cells, and the results that there are.

    ::

        studying = Studying.of(Path("study.toml"), Path("runs/study")).on(client.stack)
        for row in studying.run(client):
            print(row.cell.words, row.result.seconds)
        studying.write()
    """

    study: Study
    cells: Sequence[Cell]
    results: Results

    @classmethod
    def of(cls, file: Path, directory: Path) -> Studying:
        """Return the study of a TOML file, with its results in ``directory``.

        Raises
        ------
        InvalidStudyError
            The study is wrong.
        """
        study = read_study(file)
        return cls(study, cells_of(study), Results(directory))

    def on(self, stack: Stack) -> Studying:
        """Return the study in which cells are impossible for which a deployment lacks something."""
        return replace(self, cells=[_on(cell, stack) for cell in self.cells])

    def found(self) -> list[tuple[Cell, CellResult | None]]:
        """Return all cells, each with its result if there is one."""
        return [(cell, self.results.find(cell.key)) for cell in self.cells]

    def left(self) -> list[Cell]:
        """Return the cells to run: possible ones without a result, each once."""
        left = {
            cell.key: cell
            for cell, result in self.found()
            if cell.refusal is None and not (result and result.is_done)
        }
        return list(left.values())

    def run(
        self, client: Client, at_once: int | None = None, limit: int | None = None
    ) -> Iterator[Row]:
        """Run the cells that are left, and yield each when it has ended.

        Parameters
        ----------
        client : Client
        at_once : int, optional
            Cells that run at the same time; default: as the study says.
        limit : int, optional
            The most cells to run.

        Raises
        ------
        InvalidStudyError
            There are results of another AWS.
        AccessError
            The services cannot be reached.
        """
        from stepml.studies.running import Runner

        runner = Runner(client, self.study.name, self.results)
        runner.require_same_place(self.cells)
        yield from runner.run(list(islice(self.left(), limit)), at_once or self.study.at_once)

    def table(self) -> Table:
        """Return the table of all results that there are."""
        return table_of(self.found())

    def write(self) -> tuple[Path, Path]:
        """Write the table and the page, and return their paths."""
        table, directory = self.table(), self.results.directory
        made: list[tuple[str, Callable[[], str]]] = [
            (CSV_FILE, lambda: csv_text(table)),
            (PAGE_FILE, lambda: page_of(self.study, table)),
        ]
        with located(directory):
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in made:
                write_whole(directory / name, text().encode())
        return directory / CSV_FILE, directory / PAGE_FILE


def _on(cell: Cell, stack: Stack) -> Cell:
    if cell.refusal is not None or cell.kind == SCIKIT_LEARN:
        return cell
    return replace(cell, refusal="; ".join(lacking(cell.spec, stack)) or None)

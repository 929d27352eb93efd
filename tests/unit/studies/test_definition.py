"""The file of a study: what is wrong is refused by name, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.studies.cells import FUNCTIONS, Cell, cells_of
from stepml.studies.definition import InvalidStudyError, Study, parse_study, read_study
from stepml.studies.values import labels_of, merged
from tests.support.paths import ROOT

JOB = """
[job]
data = { uri = "data/rows.csv" }
model = { name = "logistic_regression" }
"""
GRID = """
[grid]
workers = [1, 2]
"""


def study_of(text: str) -> Study:
    return parse_study(text.encode(), "trial", "trial.toml")


def jobs_of(text: str) -> list[Cell]:
    return [cell for cell in cells_of(study_of(text)) if cell.kind == FUNCTIONS]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid = [", "trial.toml is not TOML: "),
        ("\xff", "is not TOML"),
        (JOB, 'grid: expected at least one field with its values, such as "workers" = [1, 2, 4]'),
        (f"{JOB}[gird]\nworkers = [1]", "unknown field 'gird'; expected some of title, job, grid,"),
        (f"{JOB}[gird]\nworkers = [1]", "did you mean 'grid'?"),
        (
            f"{JOB}[grid]\nworkers = 1",
            "grid: 'workers': expected a list of values: expected array, got int",
        ),
        (
            f"{JOB}[grid]\nworkers = []",
            "grid: 'workers': expected a list of values: expected array of",
        ),
        (f"{JOB}[parts.x]\n[parts.x.grid]\nworkers = 2", "parts.x.grid: 'workers': expected a"),
        (f"repeat = 0\n{JOB}{GRID}", "repeat: expected int >= 1"),
        (f'baselines = ["spark"]\n{JOB}{GRID}', "baselines[0]: expected some of 'scikit-learn'"),
        (
            f'{JOB}[grid]\nexchange = [{{}}]\n"exchange.channel" = ["s3"]',
            "grid: 'exchange' and its own field 'exchange.channel' exclude each other",
        ),
        (
            f'{JOB}{GRID}[[leave_out]]\nchannel = "s3"',
            "leave_out: expected fields of the grid (workers), got 'channel'",
        ),
        (f"{JOB}[parts.'a b']\n{GRID}", "parts: expected names of letters, digits"),
        (
            f'{JOB}[grid]\n"exchange.channel" = ["rediss"]',
            "the job with exchange.channel rediss: exchange.channel: expected one of",
        ),
        (f'{JOB}[grid]\n"exchange.chanel" = ["s3"]', "exchange: unknown field 'chanel'"),
        (
            f'{JOB}[grid]\n"algorithm.name" = ["admm"]\n"model.name" = ["kmeans"]',
            "model.n_clusters",
        ),
        (
            f'{JOB}[grid]\n"exchange.channel" = ["parameter_server"]\n'
            '"exchange.pattern" = ["reduce_scatter"]',
            "no job of the grid is possible: exchange.pattern: with channel 'parameter_server'",
        ),
        (f"{JOB}{GRID}[[leave_out]]\nworkers = [1, 2]", "leave_out names all of them"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidStudyError) as caught:
        cells_of(study_of(text))
    assert message in str(caught.value)


def test_a_file_that_is_absent_is_named() -> None:
    with pytest.raises(InvalidStudyError, match=r"no\.toml' cannot be read: No such file"):
        read_study(ROOT / "no.toml")


def test_a_part_has_what_the_study_has_and_its_own() -> None:
    study = study_of(
        f'repeat = 2\nbaselines = ["vm"]\n{JOB}{GRID}'
        '[[leave_out]]\n"exchange.channel" = "s3"\n'
        "[parts.one]\n[parts.two]\nrepeat = 1\nbaselines = []\n"
        'job = { data = { seed = 3 }, model = { name = "svm" } }\n'
        '[parts.two.grid]\n"exchange.channel" = ["s3", "redis"]\n'
    )
    one, two = study.parts
    assert (one.repeat, one.baselines, one.leave_out) == (2, ("vm",), ())
    assert (two.repeat, two.baselines) == (1, ())
    assert two.leave_out == ({"exchange.channel": "s3"},)
    assert two.job["data"] == {"uri": "data/rows.csv", "seed": 3}
    assert two.job["model"] == {"name": "svm"}  # another model replaces the one before
    assert two.grid == {"workers": [1, 2], "exchange.channel": ["s3", "redis"]}


def test_cells_are_all_combinations() -> None:
    cells = jobs_of(f'{JOB}{GRID}"exchange.channel" = ["s3", "redis", "dynamodb"]')
    found = [(cell.spec.workers, cell.spec.exchange.channel) for cell in cells]
    assert found == [(w, c) for w in (1, 2) for c in ("s3", "redis", "dynamodb")]


def test_impossible_cells_say_why() -> None:
    cells = jobs_of(
        f'{JOB}[grid]\n"exchange.channel" = ["s3", "parameter_server"]\n'
        '"exchange.pattern" = ["reduce", "reduce_scatter"]\n'
        'algorithm = [{ name = "admm" }, { name = "model_averaging" }]'
    )
    refused = [cell for cell in cells if cell.refusal is not None]
    assert [cell.spec.exchange.channel for cell in refused] == 2 * ["parameter_server"]
    assert "expected reduce or async, got 'reduce_scatter'" in str(refused[0].refusal)


def test_cells_may_be_left_out() -> None:
    cells = jobs_of(
        f'{JOB}{GRID}"exchange.channel" = ["s3", "redis"]\n'
        'algorithm = [{ name = "admm" }, { name = "model_averaging", local_epochs = 2 }]\n'
        '[[leave_out]]\nworkers = 1\nalgorithm = "model_averaging"\n'
        '[[leave_out]]\n"exchange.channel" = ["redis"]\nalgorithm = "admm"'
    )
    found = {(each.algorithm, each.spec.exchange.channel, each.spec.workers) for each in cells}
    assert found == {
        *(("admm", "s3", workers) for workers in (1, 2)),
        *(("model_averaging", channel, 2) for channel in ("s3", "redis")),
    }


def test_a_result_belongs_to_its_job_whatever_else_the_study_has() -> None:
    alone = jobs_of(f"{JOB}[grid]\nworkers = [2]")
    among = jobs_of(f'title = "other"\n{JOB}[parts.x]\n[parts.x.grid]\nworkers = [4, 2]')
    assert alone[0].key == among[1].key != among[0].key
    other = jobs_of(f"{JOB}[grid]\nworkers = [2]".replace("rows", "lines"))
    assert other[0].key != alone[0].key


def test_each_run_of_a_cell_has_a_seed_of_its_own() -> None:
    cells = jobs_of(f"repeat = 3\n{JOB}[grid]\nworkers = [2]")
    assert [cell.spec.data.seed for cell in cells] == [0, 1, 2]
    assert [cell.run for cell in cells] == [1, 2, 3]
    assert len({cell.key for cell in cells}) == 3
    assert len({cell.name for cell in cells}) == 1


def test_a_baseline_runs_once_however_ranks_exchange() -> None:
    cells = cells_of(
        study_of(
            f'baselines = ["scikit-learn", "vm"]\n{JOB}{GRID}'
            '"exchange.channel" = ["s3", "redis"]\n"exchange.pattern" = ["reduce", "async"]\n'
            'algorithm = [{ name = "gradient_averaging" }, { name = "model_averaging" }]'
        )
    )
    found = [(cell.kind, cell.algorithm, cell.workers) for cell in cells if cell.kind != FUNCTIONS]
    algorithms = ("gradient_averaging", "model_averaging")
    assert found[0] == ("scikit-learn", "scikit-learn", 1)
    assert sorted(found[1:]) == [("vm", name, w) for name in algorithms for w in (1, 2)]


def test_baselines_of_other_values_have_names_of_their_own() -> None:
    cells = cells_of(
        study_of(f'baselines = ["scikit-learn", "vm"]\n{JOB}[grid]\n"data.seed" = [1, 2]\n')
    )
    assert len({cell.name for cell in cells}) == len(cells) == 6


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 0.5, True, "s3"], ["1", "0.5", "true", "s3"]),
        ([0.1234567, 0.1234568, 1e-9], ["0.1234567", "0.1234568", "1e-09"]),
        ([{"name": "admm"}, {"name": "svm"}], ["admm", "svm"]),
        (
            [{"name": "a", "rate": 1, "b": 2}, {"name": "a", "rate": 2, "b": 2}, {"name": "c"}],
            ["a rate=1", "a rate=2", "c"],
        ),
        ([{"name": "n", "network": {"name": "x"}}, {"name": "n"}], ["n name=x", "n"]),
        ([{"channel": "s3"}], ["s3"]),
    ],
)
def test_labels_distinguish_values(values: list[Any], labels: list[str]) -> None:
    assert labels_of(values) == labels


def test_objects_are_merged() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(before, {"a": {"c": 4}}) == {"a": {"b": 1, "c": 4}, "d": 3}
    assert before == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_every_study_of_the_project_is_valid(path: Any) -> None:
    cells = cells_of(read_study(path))
    assert {cell.part for cell in cells} == {part.name for part in read_study(path).parts}

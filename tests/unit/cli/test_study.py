"""`stepml study --dry-run`: the counts of its cells; where the results go."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from stepml.cli.app import app

STUDY = """
[job]
data = { uri = "data/rows.csv" }
model = { name = "softmax_regression" }

[parts.few.grid]
workers = [1, 2]

[parts.many.grid]
workers = [2, 4]

[parts.servers.grid]
"exchange.channel" = ["parameter_server"]
"exchange.pattern" = ["reduce", "reduce_scatter"]
"""


def test_a_cell_of_several_parts_is_counted_as_repeated(tmp_path: Path) -> None:
    file = tmp_path / "twice.toml"
    file.write_text(STUDY)

    result = CliRunner().invoke(app, ["study", str(file), "--dry-run", "--out", str(tmp_path)])

    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert last == "6 cells: 1 impossible, 1 repeated, 0 with a result, 4 to run"


def test_results_need_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "twice.toml"
    file.write_text(STUDY)

    result = CliRunner().invoke(app, ["study", str(file), "--dry-run", "--out", str(file)])

    assert result.exit_code == 2
    assert "--out: expected a directory to write to" in " ".join(result.output.split())

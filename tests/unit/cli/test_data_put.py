"""``stepml data put``: what is sent, where it comes to lie, and what is refused."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from tests.support.moto_stack import BUCKET, MotoStack

ROWS = "a,b,y\n1,2,0\n3,4,1\n"


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def folder() -> str:
    """A name that no other test uses."""
    return f"set-{uuid.uuid4().hex[:8]}"


def put(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["data", "put", *arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result


def put_json(*arguments: str) -> Any:
    return json.loads(put(*arguments, "--json").stdout)


def write(path: str, content: str = ROWS) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return path


def content(stack: MotoStack, key: str) -> str:
    answer = stack.service("s3").get_object(Bucket=BUCKET, Key=key)
    return str(answer["Body"].read().decode())


def test_the_last_line_is_the_uri_of_the_file(stack: MotoStack, folder: str) -> None:
    lines = put(write(f"{folder}.csv")).stdout.splitlines()
    assert lines == ["sent 1 file, 18 B", f"s3://{BUCKET}/data/{folder}.csv"]
    assert content(stack, f"data/{folder}.csv") == ROWS


def test_a_folder_keeps_its_structure_without_hidden_files(folder: str) -> None:
    for name in ("a.csv", "year=2020/b.csv", ".DS_Store", "_SUCCESS", ".git/config"):
        write(f"{folder}/{name}")
    found = put_json(folder)
    assert found["uri"] == f"s3://{BUCKET}/data/{folder}/"
    assert found["sent"] == [f"data/{folder}/{name}" for name in ("a.csv", "year=2020/b.csv")]
    assert sorted(found["left_out"]) == [".DS_Store", ".git/config", "_SUCCESS"]
    assert "3 (.DS_Store, _SUCCESS, .git/config)" in " ".join(put(folder).stdout.split())


@pytest.mark.parametrize("arguments", [["*.csv"], ["a.csv", "b.csv", "a.csv"]])
def test_several_files_get_the_folder_of_all(
    folder: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(folder).mkdir()
    monkeypatch.chdir(folder)
    for name in ("a.csv", "b.csv", "c.txt"):
        write(name)
    found = put_json(*arguments)
    assert found["uri"] == f"s3://{BUCKET}/data/{folder}/"
    assert found["sent"] == [f"data/{folder}/a.csv", f"data/{folder}/b.csv"]


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ("data/{0}/x.csv", "data/{0}/x.csv"),
        ("data/{0}/", "data/{0}/rows.csv"),
        ("s3://" + BUCKET + "/data/{0}/y.csv", "data/{0}/y.csv"),
    ],
)
def test_a_place_of_ones_own(folder: str, to: str, key: str) -> None:
    found = put_json(write("rows.csv"), "--to", to.format(folder))
    assert found["sent"] == [key.format(folder)]


def test_a_stream_is_sent_under_the_key_given(stack: MotoStack, folder: str) -> None:
    put("-", "--to", f"data/{folder}.csv", stdin=ROWS)
    assert content(stack, f"data/{folder}.csv") == ROWS


@pytest.mark.parametrize("more", [[], ["--to", "data/folder/"], ["other.csv", "--to", "data/x"]])
def test_a_stream_needs_a_key(more: list[str]) -> None:
    assert "with --to KEY" in put("-", *more, code=2, stdin=ROWS).stderr


def test_what_is_there_is_not_sent_again_whoever_wrote_it(stack: MotoStack, folder: str) -> None:
    write("rows.csv")
    stack.put(f"data/{folder}/rows.csv", ROWS.encode())
    found = put_json("rows.csv", "--to", f"data/{folder}/")
    assert (found["sent"], found["unchanged"]) == ([], [f"data/{folder}/rows.csv"])
    assert put("rows.csv", "--to", f"data/{folder}/").stdout.startswith("1 file was there already")


def test_another_content_is_replaced_by_force_alone(stack: MotoStack, folder: str) -> None:
    write(f"{folder}/a.csv"), write(f"{folder}/b.csv")
    put(folder)
    write(f"{folder}/b.csv", ROWS + "5,6,1\n"), write(f"{folder}/c.csv")

    refused = put(folder, code=2).stderr
    assert f"nothing was sent: s3://{BUCKET}/ has data/{folder}/b.csv with another" in refused
    assert (
        not stack.service("s3")
        .list_objects_v2(Bucket=BUCKET, Prefix=f"data/{folder}/c")
        .get("Contents")
    )
    found = put_json(folder, "--force")
    assert found["sent"] == [f"data/{folder}/b.csv", f"data/{folder}/c.csv"]
    assert found["unchanged"] == [f"data/{folder}/a.csv"]
    assert content(stack, f"data/{folder}/b.csv").endswith("5,6,1\n")


def test_other_objects_that_a_job_would_read_are_named(stack: MotoStack, folder: str) -> None:
    stack.put(f"data/{folder}/old.csv", ROWS.encode())
    write(f"{folder}/a.csv")
    assert f"what was there before: data/{folder}/old.csv" in " ".join(put(folder).stdout.split())


def test_images_take_their_labels_along(folder: str) -> None:
    for what in ("images-idx3", "labels-idx1"):
        write(f"train-{what}-ubyte")
    found = put_json("train-images-idx3-ubyte", "--to", f"data/{folder}/")
    assert [key.rpartition("/")[2] for key in found["sent"]] == [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "PATH: 'none.csv' cannot be read: No such file"),
        (["none-*.csv"], "PATH: 'none-*.csv' cannot be read: No such file"),
        (["empty"], "PATH: no file is below 'empty'; left out, as their names are"),
        (["rows.csv", "--to", "rows.csv"], "--to: expected a place below data/, such as data/rows"),
        (["rows.csv", "--to", "s3://elsewhere/data/x"], "expected a place in the bucket of the st"),
        (["rows.csv", "--to", "jobs/x/rows.csv"], "--to: expected a place below data/"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(arguments: list[str], message: str) -> None:
    write("rows.csv"), write("empty/.keep")
    assert message in put(*arguments, code=2).stderr

"""``stepml check``: all mistakes of a job at once, without starting or writing anything."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from tests.support.moto_stack import BUCKET, MotoStack
from tests.support.recorded_calls import denied, policy, recorded_calls

HEADER = "a,b,y\n"
ROWS = "".join(f"{n % 7}.5,{n % 5},{n % 2}\n" for n in range(200))
MODEL = {"name": "logistic_regression"}


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def key(stack: MotoStack) -> str:
    """The key of good rows."""
    key = f"data/set-{uuid.uuid4().hex[:8]}.csv"
    stack.put(key, (HEADER + ROWS).encode())
    return key


def check(job: Any, *arguments: str, code: int = 0) -> Result:
    text = job if isinstance(job, str) else json.dumps(job)
    result = CliRunner().invoke(app, ["check", "-", *arguments], input=text)
    assert result.exit_code == code, result.output
    return result


def mistakes(job: Any, *arguments: str) -> list[str]:
    return list(json.loads(check(job, "--json", *arguments, code=2).stdout)["mistakes"])


def job_of(uri: str, **data: Any) -> dict[str, Any]:
    return {"data": {"uri": uri, **data}, "model": MODEL}


def test_a_right_job_shows_what_it_takes_its_data_for(key: str) -> None:
    lines = check(job_of(key)).stdout.splitlines()
    assert lines[0].startswith("data: 200 rows, 3 columns (csv, header); label 'y', classes 0, 1")
    assert any(line.startswith("note: format csv") for line in lines)
    assert lines[-1] == "the job: no mistake found"


def test_all_mistakes_are_named_at_once(key: str) -> None:
    job = job_of(key, label="yy", labell=1, validation={"column": "v"}, n_features=9)
    found = mistakes(job | {"workers": 0, "exchange": {"channel": "redis"}})
    expected = [
        "data: unknown field 'labell'",
        "workers: expected an integer",
        "exchange.channel 'redis': this deployment has no Redis",
        "data.validation.column is 'v', which is none",
        "data.label is 'yy', which is none of the columns",
        "data.n_features is 9",
    ]
    assert len(found) == len(expected)
    assert all(any(each in text for text in found) for each in expected)


def test_mistakes_of_rows_and_labels_are_found(stack: MotoStack, key: str) -> None:
    stack.put(key, f"{HEADER}1,2,0\n1,x,1\n2,3,0\ny,4,1\n5,6,0\n7,8,0,9\n".encode() + ROWS.encode())
    found = mistakes(job_of(key))
    assert [text.partition(":")[0].rpartition(" ")[2] for text in found] == ["3", "5", "7"]

    stack.put(key, f"{HEADER}1.5,2,2\n".encode() + ROWS.encode())
    assert "needs two labels, the data have 3" in mistakes(job_of(key))[0]
    clusters = {"workers": 500, "model": {"name": "kmeans", "n_clusters": 2}}
    assert "at most the number of training rows, 181" in mistakes(job_of(key) | clusters)[0]


def test_a_job_is_checked_on_local_files_without_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "rows.csv").write_text(HEADER + ROWS)
    result = check(job_of("data/elsewhere.csv"), "--data", "rows.csv")
    assert "not checked: the stack, as --data needs none" in result.stdout
    assert "which is none of the columns of file rows.csv" in " ".join(
        mistakes(job_of("data/elsewhere.csv", label="z"), "--data", "rows.csv")
    )
    assert (
        "--data: 'no.csv' cannot be read" in check(job_of("x"), "--data", "no.csv", code=2).stderr
    )


@pytest.mark.parametrize("uri", ["./rows.csv", "rows.csv"])
def test_a_file_that_is_not_uploaded_has_the_command(uri: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + ROWS)
    found = mistakes(job_of(uri, label="z"))
    assert "stepml data put" in found[0]
    assert len(found) == (2 if uri.startswith(".") else 1)  # the label of the file that is there


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": "s3://{bucket}/code/no.zip"}, "code: nothing lies at"),
        ({"resume_from": {"job": "no-such-job"}}, "resume_from.job: expected a job of this stack"),
    ],
)
def test_objects_that_a_job_names_are_looked_for(key: str, change: Any, message: str) -> None:
    change = json.loads(json.dumps(change).replace("{bucket}", BUCKET))
    model = {"name": "neural", "entry_point": "net:make"} if "code" in change else MODEL
    assert any(
        text.startswith(message) for text in mistakes(job_of(key) | change | {"model": model})
    )


def test_another_bucket_needs_the_stacks_parameter(stack: MotoStack) -> None:
    stack.service("s3").create_bucket(Bucket="other-bucket")
    stack.service("s3").put_object(
        Bucket="other-bucket", Key="x.csv", Body=(HEADER + ROWS).encode()
    )
    found = mistakes(job_of("s3://other-bucket/x.csv"))
    assert len(found) == 1
    assert "the parameter DataBucketName" in found[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("{", "not JSON"), ('{"data": 1}', "data: expected an object")],
)
def test_what_is_no_job_is_refused(text: str, message: str) -> None:
    assert any(message in each for each in mistakes(text))


def test_a_strict_job_with_warnings_has_a_code_of_its_own(stack: MotoStack, key: str) -> None:
    rows = "".join(f"{n * 1000},{n % 5},{n}.25\n" for n in range(200))
    stack.put(key, (HEADER + rows).encode())
    model = {"model": {"name": "linear_regression"}, "algorithm": {"name": "gradient_averaging"}}
    job = job_of(key, standardise=False) | model
    assert "warning: the features differ in scale" in " ".join(check(job).stdout.split())
    check(job | {"strict": True}, code=4)
    check(job, "--strict", code=4)


def test_nothing_is_written_or_started(key: str) -> None:
    with recorded_calls() as calls:
        check(job_of(key))
    operations = {action for action, _ in calls}
    assert operations <= {"cloudformation:DescribeStacks", "s3:GetObject", "s3:ListBucket"}
    assert denied(policy("viewer"), calls) == []

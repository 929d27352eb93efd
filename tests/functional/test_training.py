"""Jobs from start-execution to the model, through real state machines and function processes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stepml.job import data_keys, keys
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.ml.data import arrays, unpack_shard
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support.deployment import deploy
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.plain_choices import plain_job
from tests.support.running_aws import eventually


def test_a_job_trains_from_execution_input_to_model(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    name = f"whole-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(job, name)
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert (report["decision"], report["reason"]) == ("finished", "max_epochs 3 reached")
    assert report["metrics"]["accuracy"] > 0.9
    assert report["history"][0]["loss"] > report["loss"]
    stored = json.loads(local_stack.read(keys.report(name)))
    assert stored.pop("checksum")
    tables = {"per_class", "confusion_matrix"}  # too large for an output
    assert all(stored[name] for name in tables)
    assert report == stored | {name: [] for name in tables}
    model, metadata = arrays.unpack(local_stack.read(keys.model(name)))
    assert metadata == {"format": "stepml", "model": "logistic_regression"}
    assert model["coefficients"].shape == (6,)
    assert local_stack.keys(f"jobs/{name}/exchange/") == []


def test_each_epoch_is_a_child_execution(local_stack: LocalStack, job: dict[str, Any]) -> None:
    name = f"child-{uuid.uuid4().hex[:8]}"
    local_stack.run(job, name)
    children = local_stack.epochs(name)
    assert [child["name"] for child in children] == [f"{name}-e{e}-r0-t0" for e in (1, 2, 3)]
    events = local_stack.aws.events(children[0]["executionArn"])
    tasks = [event for event in events if event["type"] == "TaskSucceeded"]
    assert len(tasks) == 4 + 1  # one Task a rank, and the reducer's
    child_input = json.loads(events[0]["executionStartedEventDetails"]["input"])
    assert child_input["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"].endswith(f":{name}")


def test_the_parent_keeps_a_few_events_an_epoch(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    counts = []
    for epochs in (1, 5):
        ended = local_stack.run(job | {"stop": {"max_epochs": epochs}})
        counts.append(len(local_stack.aws.events(ended["executionArn"])))
    assert (counts[1] - counts[0]) / 4 <= 8  # the history of an execution ends at 25,000


def test_two_runs_give_the_same_bits(local_stack: LocalStack, job: dict[str, Any]) -> None:
    bits = []
    for run in ("same", "again"):
        name = f"{run}-{uuid.uuid4().hex[:8]}"
        assert local_stack.run(job, name)["status"] == "SUCCEEDED"
        bits.append(local_stack.read(keys.model(name)))
    assert bits[0] == bits[1]


def test_the_number_of_ranges_changes_no_bit(local_stack: LocalStack, job: dict[str, Any]) -> None:
    digests, shards, models = set(), set(), set()
    for ranges in (1, 7):
        name = f"ranges-{ranges}-{uuid.uuid4().hex[:8]}"
        # After a multipart upload, an object has another ETag, so its rows are partitioned again.
        uri = local_stack.upload(f"{name}/rows.csv", csv_rows(), in_parts=ranges == 7)
        data = job["data"] | {"uri": uri, "ranges": ranges}
        report = local_stack.run(job | {"data": data}, name)["report"]
        digest = report["dataset"]["digest"]
        digests.add(digest)
        shards.add(local_stack.read(data_keys.shard(digest, 4, 0.1, "dense", 0)))
        models.add(local_stack.read(keys.model(name)))
    assert (len(digests), len(shards), len(models)) == (2, 1, 1)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_model_comes_near_to_scikit_learn(
    local_stack: LocalStack, job: dict[str, Any], workers: int
) -> None:
    uri = local_stack.upload("data/noisy.csv", csv_rows(noise=5))
    noisy = job | {"data": job["data"] | {"uri": uri}, "workers": workers}
    report = local_stack.run(noisy | {"stop": {"max_epochs": 8}})["report"]
    digest = report["dataset"]["digest"]
    validation, *shards = (
        unpack_shard(local_stack.read(data_keys.shard(digest, workers, 0.1, "dense", rank)))
        for rank in (keys.VALIDATION, *range(workers))
    )
    X, y = np.concatenate([s.X for s in shards]), np.concatenate([s.y for s in shards])
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    reference = LogisticRegression(C=np.inf, max_iter=1000).fit((X - mean) / deviation, y)
    probabilities = reference.predict_proba((validation.X - mean) / deviation)
    loss = -np.log(probabilities[np.arange(len(validation.y)), validation.y.astype(int)]).mean()
    assert report["loss"] == pytest.approx(loss, rel=0.02)


def test_tsv_and_libsvm_train_too(local_stack: LocalStack, job: dict[str, Any]) -> None:
    rows = [line.split(",") for line in csv_rows(400).decode().splitlines()[1:]]
    tsv = "".join("\t".join([row[-1], *row[:-1]]) + "\n" for row in rows).encode()
    libsvm = "".join(
        f"{row[-1]} " + " ".join(f"{i}:{v}" for i, v in enumerate(row[:-1], 1)) + "\n"
        for row in rows
    ).encode()
    losses = []
    for format, text, options in (("tsv", tsv, {"label": 0}), ("libsvm", libsvm, {})):  # noqa: A001
        uri = local_stack.upload(f"data/rows.{format}", text)
        data = {"uri": uri, "format": format, "standardise": True, **options}
        ended = local_stack.run(job | {"data": data})
        assert ended["status"] == "SUCCEEDED", ended
        assert ended["report"]["dataset"]["n_features"] == 6
        losses.append(ended["report"]["loss"])
    assert max(losses) < 0.5


def test_data_are_partitioned_once(local_stack: LocalStack, job: dict[str, Any]) -> None:
    uri = local_stack.upload("data/once.csv", csv_rows(seed=7))
    again = job | {"data": job["data"] | {"uri": uri}}
    ranges = []
    for _ in range(2):
        ended = local_stack.run(again)
        events = local_stack.aws.events(ended["executionArn"])
        ranges.append(
            sum(
                event["type"] == "TaskStateEntered"
                and event["stateEnteredEventDetails"]["name"] == "PartitionRange"
                for event in events
            )
        )
    assert ranges == [1, 0]


def test_many_workers_train(local_stack: LocalStack, job: dict[str, Any]) -> None:
    ended = local_stack.run(job | {"workers": 12, "stop": {"max_epochs": 1}})
    assert ended["status"] == "SUCCEEDED", ended
    assert len(ended["report"]["history"][0]["executor_seconds"]) == 12


def test_a_file_in_the_inbox_becomes_a_model(local_stack: LocalStack, job: dict[str, Any]) -> None:
    name = f"small {uuid.uuid4().hex[:8]}"
    small = json.dumps(plain_job(job | {"workers": 1, "stop": {"max_epochs": 1}})).encode()
    for folder in ("elsewhere", "inbox"):
        local_stack.upload(f"{folder}/{name}.json", small)
    eventually(lambda: local_stack.keys(f"inbox/{name}.json.started.txt"), bool)
    answer = local_stack.read(f"inbox/{name}.json.started.txt").decode()
    execution = dict(line.split(": ", 1) for line in answer.splitlines())["execution"]
    assert local_stack.aws.ended(execution)["status"] == "SUCCEEDED"
    assert len(local_stack.keys(f"elsewhere/{name}")) == 1

    local_stack.upload(f"inbox/{name}.json", b"{}")
    eventually(lambda: local_stack.keys(f"inbox/{name}.json.error.txt"), bool)
    with pytest.raises(InvalidJobError) as same:
        parse_job({})
    answer = local_stack.read(f"inbox/{name}.json.error.txt").decode()
    assert len(same.value.mistakes) == 2
    assert all(f" {mistake}\n" in answer for mistake in same.value.mistakes)


def test_a_running_job_keeps_its_code_when_the_stack_is_deployed_again(
    local_stack: FaultyStack, job: dict[str, Any], tmp_path: Path
) -> None:
    stack = deploy_faulty(local_stack.aws, tmp_path, name="renewed", keeps_code=True)
    job = job | {"workers": 1, "stop": {"max_epochs": 2}}
    job["data"] = job["data"] | {"uri": stack.upload("data/small.csv", csv_rows(60))}
    with stack.holding("old", Point("executor", 1, 0)) as hold:
        running = stack.start(job, "old")
        hold.reached()
        entry = tmp_path / "renewed" / "code" / "lambdas" / "entry.py"
        works = "            task = kind.from_event(event)\n"
        assert works in entry.read_text()
        entry.write_text(entry.read_text().replace(works, "            raise NEW_CODE\n"))
        with entry.open("a") as file:
            file.write("\n\nfrom stepml.job.errors import InvalidJobError\n")
            file.write("NEW_CODE = InvalidJobError('the new code')\n")
        deploy(stack.endpoint_url, tmp_path / "renewed" / "template.json", stack_name="renewed")
    assert stack.ended(running)["status"] == "SUCCEEDED"
    failed = stack.run(job, "new")
    assert (failed["status"], failed["error"]) == ("FAILED", "InvalidJobError")
    assert "the new code" in failed["cause"]

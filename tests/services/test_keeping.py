"""A local AWS that lasts: killed and started again, it has what it had, and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stepml.local.keeping.kept_executions import ERROR
from stepml.local.keeping.snapshot import FILE
from stepml.local.keeping.store import INLINE_BYTES, VALUES
from tests.support.running_aws import (
    ROLE,
    WAIT_S,
    RunningAws,
    eventually,
    inline_map,
    only,
    running_aws,
)

BUCKET, TABLE, GROUP, STREAM = "kept-bucket", "kept-table", "/kept/group", "stream"
LARGE = bytes(range(256)) * (INLINE_BYTES // 128)
TEMPLATE = {
    "Resources": {
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": "word", "GenerateSecretString": {}},
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "queue"}},
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": GROUP}},
    },
    "Outputs": {"Secret": {"Value": {"Ref": "Secret"}}},
}
Start = Callable[[], RunningAws]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Kills the local AWS, and starts one with the same directory."""
    state = tmp_path_factory.mktemp("state")
    with ExitStack() as running:

        def start() -> RunningAws:
            kill(running)
            keep = f"--keep={state / 'kept'}"
            aws = running.enter_context(running_aws(state, more=[keep]))
            running.callback(aws.process.kill)  # before its orderly end
            return aws

        yield start


def kill(running: ExitStack) -> None:
    running.close()


def fill(aws: RunningAws) -> None:
    """Put something into every service that lasts."""
    s3, table, logs = (aws.client(name) for name in ("s3", "dynamodb", "logs"))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="small", Body=b"1", Metadata={"of": "me"}, Tagging="a=b")
    s3.put_object(Bucket=BUCKET, Key="deep/größe", Body=LARGE, ContentType="text/csv")
    s3.put_object(Bucket=BUCKET, Key="gone", Body=LARGE)
    s3.delete_object(Bucket=BUCKET, Key="gone")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/small")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="versions", Body=b"first")
    s3.delete_object(Bucket=BUCKET, Key="versions")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    whole = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    part = s3.upload_part(**whole, PartNumber=1, Body=LARGE)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**whole, MultipartUpload=parts)

    key = [{"AttributeName": "key", "KeyType": "HASH"}]
    types = [{"AttributeName": "key", "AttributeType": "S"}]
    table.create_table(
        TableName=TABLE,
        KeySchema=key,
        AttributeDefinitions=types,
        BillingMode="PAY_PER_REQUEST",
    )
    for name in "abc":
        item = {"key": {"S": name}, "value": {"B": b"\0\xff"}, "in": {"M": {"n": {"N": "1"}}}}
        table.put_item(TableName=TABLE, Item=item)
    table.delete_item(TableName=TABLE, Key={"key": {"S": "b"}})
    table.update_item(
        TableName=TABLE,
        Key={"key": {"S": "c"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
    )

    aws.client("cloudformation").create_stack(StackName="kept", TemplateBody=json.dumps(TEMPLATE))
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    events = [{"timestamp": 1_800_000_000_000 + i, "message": f"line {i}"} for i in range(3)]
    logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events)


def world(aws: RunningAws) -> dict[str, Any]:
    """Return the answers of the services."""
    s3, table = aws.client("s3"), aws.client("dynamodb")
    versions = s3.list_object_versions(Bucket=BUCKET)
    objects = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    stacks = aws.client("cloudformation")
    return {
        "versions": [versions[kind] for kind in ("Versions", "DeleteMarkers")],
        "objects": objects,
        "heads": [_head(s3, each["Key"]) for each in objects],
        "tags": s3.get_object_tagging(Bucket=BUCKET, Key="small")["TagSet"],
        "items": sorted(table.scan(TableName=TABLE)["Items"], key=str),
        "table": table.describe_table(TableName=TABLE)["Table"],
        "stack": stacks.describe_stacks()["Stacks"],
        "resources": stacks.list_stack_resources(StackName="kept")["StackResourceSummaries"],
        "secret": aws.client("secretsmanager").get_secret_value(SecretId="word")["SecretString"],
        "queues": [url.rpartition("/")[2] for url in _queues(aws)],
        "logs": _messages(aws),
    }


def _head(s3: Any, key: str) -> list[Any]:
    answer = s3.get_object(Bucket=BUCKET, Key=key)
    body = answer.pop("Body").read()
    return [body, *(answer[name] for name in ("ETag", "Metadata", "ContentType", "LastModified"))]


def _queues(aws: RunningAws) -> list[str]:
    return list(aws.client("sqs").list_queues().get("QueueUrls", ()))


def _messages(aws: RunningAws) -> list[tuple[int, str]]:
    events = aws.client("logs").filter_log_events(logGroupName=GROUP)["events"]
    return [(event["timestamp"], event["message"]) for event in events]


def waits() -> dict[str, Any]:
    """Return a Map, whose items wait as long as they say, between two other states."""
    pause = {"Type": "Wait", "SecondsPath": "$", "End": True}
    waiting = {**inline_map(pause), "ResultPath": "$.waited", "Next": "Last"}
    del waiting["End"]
    states = {
        "First": {"Type": "Pass", "Result": 7, "ResultPath": "$.first", "Next": "Waiting"},
        "Waiting": waiting,
        "Last": {"Type": "Pass", "End": True},
    }
    return {"StartAt": "First", "States": states}


def test_a_kill_loses_nothing_and_running_executions_go_on(begin: Start) -> None:
    aws = begin()
    fill(aws)
    done = aws.machine(only({"Type": "Pass", "End": True}))
    ended = aws.run(done, {"some": "input"}, name="ended")
    machine = aws.machine(waits())
    running = aws.start(machine, {"items": [0, 2]}, name="running")
    eventually(
        lambda: [event["type"] for event in aws.events(running)],
        lambda types: "MapIterationSucceeded" in types,
    )
    before, history = world(aws), aws.events(ended["executionArn"])
    states = aws.client("stepfunctions")
    described = states.describe_execution(executionArn=ended["executionArn"])

    aws = begin()
    states = aws.client("stepfunctions")
    assert world(aws) == before
    again = states.describe_execution(executionArn=ended["executionArn"])
    assert {**again, "ResponseMetadata": 0} == {**described, "ResponseMetadata": 0}
    assert aws.events(ended["executionArn"]) == history
    interrupted = states.describe_execution(executionArn=running)
    assert (interrupted["status"], interrupted["error"]) == ("FAILED", ERROR)
    assert "ended while this execution was running" in interrupted["cause"]
    assert interrupted["redriveStatus"] == "REDRIVABLE"

    states.redrive_execution(executionArn=running)
    redriven = aws.ended(running)
    assert redriven["status"] == "SUCCEEDED", redriven
    assert json.loads(redriven["output"]) == {"items": [0, 2], "first": 7, "waited": [0, 2]}
    events = aws.events(running)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types.count("PassStateEntered") == 2  # the first state is not repeated
    started = [
        event["mapIterationStartedEventDetails"]["index"]
        for event in events
        if event["type"] == "MapIterationStarted"
    ]
    assert started.count(0) == 1  # nor is an item that had succeeded
    assert aws.status()["keep"]["size_bytes"] > len(LARGE)


def test_data_return_to_new_resources_of_the_same_name(begin: Start) -> None:
    """Stacks that another version has written cannot be read: they are deployed anew."""
    aws = begin()
    before = world(aws)
    [machine] = [
        each["stateMachineArn"]
        for each in aws.client("stepfunctions").list_state_machines()["stateMachines"]
        if aws.executions(each["stateMachineArn"])[0]["name"] == "running"
    ]
    execution = aws.executions(machine)[0]
    keep = Path(aws.status()["keep"]["directory"])
    aws.process.kill()
    aws.process.wait(WAIT_S)
    content = (keep / FILE).read_bytes().partition(b"\n")[2]
    (keep / FILE).write_bytes(b'{"stepml": "0.0.0"}\n' + content)
    [cut, *_] = (keep / VALUES).glob("*/*")  # as after a loss of power
    cut.write_bytes(cut.read_bytes()[:-1])

    aws = begin()
    s3, states = aws.client("s3"), aws.client("stepfunctions")
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket=BUCKET)
    objects = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(objects) == len(before["objects"]) - 1
    assert all(each in before["objects"] for each in objects)
    aws.client("logs").create_log_group(logGroupName=GROUP)
    assert _messages(aws) == before["logs"]
    states.create_state_machine(
        name=machine.rpartition(":")[2], definition=json.dumps(waits()), roleArn=ROLE
    )
    assert aws.executions(machine) == [execution]

    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for each in (version for kind in before["versions"] for version in kind):
        s3.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=BUCKET)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0  # what was deleted stays deleted

"""The life of a deployment by the command line: from nothing to nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.local_identity import ACCOUNT_ID, REGION
from tests.support.recorded_calls import denied, policy, recorded_calls
from tests.support.running_aws import RunningAws, running_aws

SERVERS = ("redis", "memcached", "parameter_server")
SERVER = "STEPML_PARAMETER_SERVER"
STACK = "stepml"  # as in the policies of templates/policies


@pytest.fixture(scope="module")
def own_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    """A local AWS in which nothing is."""
    with running_aws(tmp_path_factory.mktemp("state")) as aws:
        yield aws


def stepml(aws: RunningAws, *arguments: str, code: int = 0) -> Any:
    """Run a command as somebody with the deployer's policy may; return its document."""
    with recorded_calls() as calls:
        ended = CliRunner().invoke(
            app,
            [*arguments, "--stack", STACK, "--json"],
            env={"AWS_ENDPOINT_URL": aws.endpoint_url},
        )
    assert ended.exit_code == code, ended.output
    assert calls
    assert denied(policy("deployer"), calls) == []
    return json.loads(ended.stdout)


def everything(aws: RunningAws) -> dict[str, list[str]]:
    """Return the names of all that an account has, by kind."""
    client = aws.client
    listed = {
        "stacks": [
            each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]
        ],
        "buckets": [each["Name"] for each in client("s3").list_buckets()["Buckets"]],
        "functions": [
            each["FunctionName"] for each in client("lambda").list_functions()["Functions"]
        ],
        "machines": [
            each["name"] for each in client("stepfunctions").list_state_machines()["stateMachines"]
        ],
        "tables": client("dynamodb").list_tables()["TableNames"],
        "groups": [
            each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]
        ],
        "roles": [each["RoleName"] for each in client("iam").list_roles()["Roles"]],
        "policies": [
            each["PolicyName"] for each in client("iam").list_policies(Scope="Local")["Policies"]
        ],
        "rules": [each["Name"] for each in client("events").list_rules()["Rules"]],
        "secrets": [each["Name"] for each in client("secretsmanager").list_secrets()["SecretList"]],
        "interfaces": [
            each["NetworkInterfaceId"]
            for each in client("ec2").describe_network_interfaces()["NetworkInterfaces"]
        ],
        "servers": [each["name"] for each in aws.status()["servers"]],
    }
    return {kind: sorted(names) for kind, names in listed.items() if names}


def secrets(aws: RunningAws) -> dict[str, str]:
    """Return the secrets of a function that uses channels, by the names of their variables."""
    configured = aws.client("lambda").get_function_configuration(FunctionName=f"{STACK}-executor")
    found = configured["Environment"]["Variables"]
    names = ("STEPML_REDIS_PASSWORD", f"{SERVER}_TOKEN")
    return {name: found[name] for name in names if found[name]}


def test_a_deployment_trains_and_leaves_nothing(own_aws: RunningAws) -> None:
    assert everything(own_aws) == {}
    refused = stepml(own_aws, "deploy", code=2)
    assert "--yes" in refused["message"]
    first = stepml(own_aws, "deploy", "--yes", "--no-smoke", "--with", ",".join(SERVERS))
    again = stepml(own_aws, "deploy", "--yes")
    assert (first["changed"], again["changed"], again["smoke"]) == (True, False, [])
    assert again["outputs"] == first["outputs"]
    findings = stepml(own_aws, "doctor", "--no-smoke")["findings"]
    assert {each["verdict"] for each in findings} <= {"ok", "note"}

    before = secrets(own_aws)
    rotated = stepml(own_aws, "deploy", "--yes", "--rotate-secrets")
    assert {each["channel"] for each in rotated["smoke"]} == {"s3", "dynamodb", *SERVERS}
    after = secrets(own_aws)
    assert after.keys() == before.keys() == {"STEPML_REDIS_PASSWORD", f"{SERVER}_TOKEN"}
    assert not {*after.values()} & {*before.values()}
    hourly = own_aws.client("lambda").get_function_configuration(FunctionName=f"{STACK}-finalise")
    assert float(hourly["Environment"]["Variables"]["STEPML_SERVERS_USD"]) > 0.1

    bucket, objects = first["outputs"]["Bucket"], own_aws.client("s3")
    # All that remains of the smoke jobs are data sets, which other jobs might share.
    kept = objects.list_objects_v2(Bucket=bucket)["Contents"]
    assert {each["Key"].partition("/")[0] for each in kept} == {"datasets"}
    objects.put_object(Bucket=bucket, Key="data/rows.csv", Body=b"a,y\n")
    objects.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        objects.put_object(Bucket=bucket, Key="data/more.csv", Body=body)
    objects.delete_object(Bucket=bucket, Key="data/more.csv")
    objects.create_multipart_upload(Bucket=bucket, Key="data/large.csv")
    assert "--yes" in stepml(own_aws, "destroy", code=2)["message"]

    left = stepml(own_aws, "destroy", "--yes")["left"]
    deployments = f"stepml-deployments-{ACCOUNT_ID}-{REGION}"
    kept_secrets = ["stepml-redis,", "stepml-parameter-server,"]
    assert [line.split()[1] for line in left] == [bucket, deployments, *kept_secrets]
    assert everything(own_aws) == {"buckets": [bucket, deployments]}  # and secrets, for a week
    assert objects.get_object(Bucket=bucket, Key="data/rows.csv")["Body"].read() == b"a,y\n"
    notifications = objects.get_bucket_notification_configuration(Bucket=bucket)
    assert "LambdaFunctionConfigurations" not in notifications  # the inbox starts nothing

    again = stepml(own_aws, "deploy", "--yes", "--no-smoke", "--with", "redis")
    assert again["outputs"]["Bucket"] == bucket
    assert secrets(own_aws)["STEPML_REDIS_PASSWORD"] == after["STEPML_REDIS_PASSWORD"]
    for function in ("other", "executor"):  # the second one is of an earlier version
        own_aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/{STACK}-{function}")
    stepml(own_aws, "destroy", "--yes", "--everything")
    assert everything(own_aws) == {"groups": [f"/aws/lambda/{STACK}-other"]}
    assert stepml(own_aws, "destroy", "--yes", code=3)["error"] == "StackNotFoundError"


def test_running_jobs_are_stopped_first(own_aws: RunningAws, tmp_path: Path) -> None:
    stepml(own_aws, "deploy", "--yes", "--no-smoke")
    machines = own_aws.client("stepfunctions")
    arn = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{STACK}-train"
    waiting = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
    machines.update_state_machine(stateMachineArn=arn, definition=json.dumps(waiting))
    own_aws.start(arn, name="held")
    assert stepml(own_aws, "destroy", "--yes", "--everything")["stopped"] == ["held"]

"""A SAM template becomes functions, state machines and logs, and nothing else."""

from __future__ import annotations

import base64
import io
import json
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepml.deployment.errors import DeploymentError, TemplateError
from stepml.deployment.records import ChangeSet
from stepml.deployment.templates import OwnFiles, code_files, packed, read_template
from stepml.local.cloudformation.expansion import expanded, without_images
from stepml.packaging.archives import zip_archive
from stepml.packaging.sources import files_below, template_path
from tests.support.deployment import delete, deploy, deployer
from tests.support.paths import APPLICATION
from tests.support.running_aws import RunningAws, eventually


@dataclass(frozen=True)
class Stack:
    """The application under its own name, from files that a test may change."""

    aws: RunningAws
    name: str
    directory: Path

    @property
    def template(self) -> Path:
        return self.directory / "template.yaml"

    def deploy(self, **parameters: str) -> dict[str, str]:
        return deploy(
            self.aws.endpoint_url, self.template, stack_name=self.name, parameters=parameters
        )

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.directory / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def probe(self, event: Any = None, **settings: Any) -> dict[str, Any]:
        answer = self.aws.client("lambda").invoke(
            FunctionName=f"{self.name}-probe", Payload=json.dumps(event or {}), **settings
        )
        return {**answer, "Payload": json.loads(answer["Payload"].read() or b"null")}

    def expiry(self) -> dict[str, Any]:
        tables = self.aws.client("dynamodb")
        described = tables.describe_time_to_live(TableName=f"{self.name}-items")
        return dict(described["TimeToLiveDescription"])

    def events(self) -> list[dict[str, Any]]:
        stacks = self.aws.client("cloudformation")
        return list(stacks.describe_stack_events(StackName=self.name)["StackEvents"])


@pytest.fixture
def stack(aws: RunningAws, tmp_path: Path) -> Iterator[Stack]:
    directory = tmp_path / "application"
    shutil.copytree(APPLICATION, directory, ignore=shutil.ignore_patterns("__pycache__"))
    made = Stack(aws, f"s{uuid.uuid4().hex[:8]}", directory)
    yield made
    delete(aws.endpoint_url, stack_name=made.name)


def job() -> dict[str, Any]:
    return {"epoch": 0, "max_epochs": 1, "ranks": [0], "plan": {}}


class TestStacks:
    def test_a_template_becomes_what_it_describes(self, stack: Stack) -> None:
        outputs = stack.deploy()
        assert outputs["Bucket"] == f"{stack.name}-123456789012-us-east-1"
        assert outputs["TrainStateMachineArn"].endswith(f":stateMachine:{stack.name}-train")
        assert outputs["EpochStateMachineArn"].endswith(f":stateMachine:{stack.name}-epoch")
        configured = stack.aws.client("lambda").get_function_configuration(
            FunctionName=f"{stack.name}-probe"
        )
        assert (configured["Timeout"], configured["MemorySize"]) == (120, 256)
        assert stack.aws.run(outputs["TrainStateMachineArn"], job())["status"] == "SUCCEEDED"

    def test_the_same_template_again_changes_nothing(self, stack: Stack) -> None:
        first = stack.deploy()
        events = stack.events()
        assert stack.deploy() == first
        assert stack.events() == events

    def test_changed_code_runs_from_the_next_invocation_on(self, stack: Stack) -> None:
        stack.deploy()
        assert "version" not in stack.probe()["Payload"]
        stack.edit("src/handlers.py", 'return {"event"', 'return {"version": 2, "event"')
        stack.deploy()
        assert stack.probe()["Payload"]["version"] == 2

    def test_changed_settings_hold_from_the_next_invocation_on(self, stack: Stack) -> None:
        stack.deploy()
        stack.edit("template.yaml", "Timeout: 120", "Timeout: 1")
        stack.deploy()
        assert stack.probe({"sleep_s": 30})["Payload"]["errorType"] == "Sandbox.Timedout"

    def test_a_dropped_setting_returns_to_its_default(self, stack: Stack) -> None:
        stack.deploy()
        stack.edit("template.yaml", "    MemorySize: 256\n", "")
        stack.deploy()
        configured = stack.aws.client("lambda").get_function_configuration(
            FunctionName=f"{stack.name}-probe"
        )
        assert configured["MemorySize"] == 128

    def test_a_changed_parameter_reaches_what_uses_it(self, stack: Stack) -> None:
        stack.deploy()
        assert stack.probe()["Payload"]["greeting"] == f"hello from {stack.name}"
        stack.deploy(Greeting="good morning")
        assert stack.probe()["Payload"]["greeting"] == f"good morning from {stack.name}"

    def test_what_a_condition_decides_changes_with_its_parameter(self, stack: Stack) -> None:
        stack.edit(
            "template.yaml", '!Sub "${Greeting} from ${AWS::StackName}"', '!If [Is, "yes", "no"]'
        )
        stack.edit(
            "template.yaml",
            "Resources:\n",
            "Conditions:\n  Is: !Equals [!Ref Greeting, more]\n\n"
            "Resources:\n  More:\n    Type: AWS::Logs::LogGroup\n    Condition: Is\n"
            '    Properties: {LogGroupName: !Sub "more-${AWS::StackName}"}\n\n',
        )
        groups, name = stack.aws.client("logs"), f"more-{stack.name}"
        for greeting, value in (("a", False), ("more", True), ("b", False), ("more", True)):
            stack.deploy(Greeting=greeting)
            found = groups.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            assert len(found) == value, greeting
            assert stack.probe()["Payload"]["greeting"] == ("yes" if value else "no"), greeting

    def test_a_changed_state_machine_is_what_runs(self, stack: Stack) -> None:
        machine = stack.deploy()["TrainStateMachineArn"]
        before = json.loads(stack.aws.run(machine, job())["output"])
        stack.edit(
            "machines/train.asl.json",
            '"InputPath": "$.outcome.report"',
            '"Result": {"changed": true}',
        )
        assert stack.deploy()["TrainStateMachineArn"] == machine
        after = json.loads(stack.aws.run(machine, job())["output"])
        assert (before["done"], after) == (True, {"changed": True})

    def test_a_removed_resource_is_deleted(self, stack: Stack) -> None:
        stack.deploy()
        template = stack.template.read_text()
        start, end = template.index("  EndRule:"), template.index("  EpochMachine:")
        stack.template.write_text(template[:start] + template[end:])
        stack.deploy()
        rules = stack.aws.client("events").list_rules()["Rules"]
        prefix = f"{stack.name}-EndRule"
        assert [rule["Name"] for rule in rules if rule["Name"].startswith(prefix)] == []

    def test_the_event_of_a_function_is_deployed_changed_and_deleted(self, stack: Stack) -> None:
        def patterns() -> list[dict[str, Any]]:
            rules = stack.aws.client("events").list_rules(NamePrefix=f"{stack.name}-Noter")["Rules"]
            return [json.loads(rule["EventPattern"])["detail"] for rule in rules]

        machines = stack.deploy()
        arns = [machines["TrainStateMachineArn"], machines["EpochStateMachineArn"]]
        ends = ["FAILED", "TIMED_OUT", "ABORTED"]
        assert patterns() == [{"status": ends, "stateMachineArn": arns}]
        stack.edit("template.yaml", "[FAILED, TIMED_OUT, ABORTED]", "[FAILED]")
        stack.deploy()
        assert patterns() == [{"status": ["FAILED"], "stateMachineArn": arns}]
        (rule,) = stack.aws.client("events").list_rules(NamePrefix=f"{stack.name}-Noter")["Rules"]
        targets = stack.aws.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert [target["Arn"].rpartition(":")[2] for target in targets] == [f"{stack.name}-noter"]
        delete(stack.aws.endpoint_url, stack_name=stack.name)
        assert patterns() == []

    def test_a_function_writes_to_the_log_group_that_the_template_names(self, stack: Stack) -> None:
        stack.deploy()
        old, new = f"/aws/lambda/{stack.name}-executor", f"/own/{stack.name}/executor"
        stack.edit("template.yaml", "/aws/lambda/${AWS::StackName}-", "/own/${AWS::StackName}/")
        stack.edit(
            "template.yaml",
            "      Handler: handlers.executor\n",
            "      Handler: handlers.executor\n"
            "      LoggingConfig: {LogGroup: !Ref ExecutorLogs}\n",
        )
        stack.deploy()  # a stack of an earlier version is changed: the group has another name
        stack.aws.client("lambda").invoke(FunctionName=f"{stack.name}-executor", Payload=b"{}")
        logs = stack.aws.client("logs")
        existing = [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]
        assert (old in existing, new in existing) == (False, True)
        streams = eventually(
            lambda: logs.describe_log_streams(logGroupName=new)["logStreams"], bool
        )
        assert streams

    def test_changed_policies_and_retention_are_seen(self, stack: Stack) -> None:
        stack.deploy()
        stack.edit("template.yaml", "RetentionInDays: 3", "RetentionInDays: 7")
        stack.edit(
            "template.yaml",
            "        - LambdaInvokePolicy:\n            FunctionName: !Ref Reducer\n",
            "",
        )
        stack.deploy()
        groups = stack.aws.client("logs").describe_log_groups(
            logGroupNamePrefix=f"/aws/lambda/{stack.name}-executor"
        )
        assert [group["retentionInDays"] for group in groups["logGroups"]] == [7]
        roles = stack.aws.client("iam")
        (name,) = (
            role["RoleName"]
            for role in roles.list_roles()["Roles"]
            if role["RoleName"].startswith(f"{stack.name}-EpochMachine")
        )
        assert len(roles.list_role_policies(RoleName=name)["PolicyNames"]) == 1

    def test_a_table_is_made_with_its_key_and_its_time_of_expiry(self, stack: Stack) -> None:
        stack.deploy()
        tables, name = stack.aws.client("dynamodb"), f"{stack.name}-items"
        table = tables.describe_table(TableName=name)["Table"]
        assert table["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert stack.expiry() == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}
        tables.put_item(TableName=name, Item={"key": {"S": "a"}, "data": {"B": b"x"}})
        found = tables.get_item(TableName=name, Key={"key": {"S": "a"}})["Item"]
        assert found["data"]["B"] == b"x"

    def test_a_changed_time_of_expiry_keeps_the_items(self, stack: Stack) -> None:
        stack.deploy()
        tables, name = stack.aws.client("dynamodb"), f"{stack.name}-items"
        tables.put_item(TableName=name, Item={"key": {"S": "a"}})
        stack.edit("template.yaml", "AttributeName: expires_at", "AttributeName: until")
        stack.deploy()
        assert stack.expiry()["AttributeName"] == "until"
        assert tables.scan(TableName=name)["Count"] == 1
        stack.edit(
            "template.yaml",
            "      TimeToLiveSpecification:\n        AttributeName: until\n        Enabled: true\n",
            "",
        )
        stack.deploy()
        assert stack.expiry()["TimeToLiveStatus"] == "DISABLED"

    def test_a_table_of_another_name_takes_the_place_of_the_old_one(self, stack: Stack) -> None:
        stack.deploy()
        stack.edit("template.yaml", "${AWS::StackName}-items", "${AWS::StackName}-other")
        stack.deploy()
        names = stack.aws.client("dynamodb").list_tables()["TableNames"]
        assert [each for each in names if each.startswith(stack.name)] == [f"{stack.name}-other"]

    def test_a_new_key_for_a_table_of_the_same_name_is_refused(self, stack: Stack) -> None:
        stack.deploy()
        stack.edit("template.yaml", "AttributeName: key\n", "AttributeName: id\n")
        with pytest.raises(DeploymentError, match=f"{stack.name}-items: a new key needs a new"):
            stack.deploy()

    def test_deleting_the_stack_deletes_what_it_made(self, stack: Stack) -> None:
        outputs = stack.deploy()
        delete(stack.aws.endpoint_url, stack_name=stack.name)
        client = stack.aws.client
        functions = client("lambda").list_functions()["Functions"]
        machines = client("stepfunctions").list_state_machines()["stateMachines"]
        buckets = client("s3").list_buckets()["Buckets"]
        groups = client("logs").describe_log_groups()["logGroups"]
        roles = client("iam").list_roles()["Roles"]
        names = [
            *client("dynamodb").list_tables()["TableNames"],
            *(function["FunctionName"] for function in functions),
            *(machine["name"] for machine in machines),
            *(bucket["Name"] for bucket in buckets),
            *(group["logGroupName"].removeprefix("/aws/lambda/") for group in groups),
            *(role["RoleName"] for role in roles),
        ]
        assert [name for name in names if name.startswith(stack.name)] == []
        with pytest.raises(ClientError):
            stack.aws.start(outputs["TrainStateMachineArn"])

    def test_deleting_what_is_not_there_does_nothing(self, aws: RunningAws) -> None:
        delete(aws.endpoint_url, stack_name="nobody")

    def test_a_bucket_with_objects_keeps_its_stack_from_deletion(self, stack: Stack) -> None:
        bucket = stack.deploy()["Bucket"]
        objects = stack.aws.client("s3")
        objects.put_object(Bucket=bucket, Key="model", Body=b"weights")
        with pytest.raises(DeploymentError, match=r"DELETE_FAILED.*not empty"):
            delete(stack.aws.endpoint_url, stack_name=stack.name)
        assert objects.get_object(Bucket=bucket, Key="model")["Body"].read() == b"weights"
        objects.delete_object(Bucket=bucket, Key="model")

    def test_a_retained_bucket_outlives_its_stack(self, stack: Stack) -> None:
        stack.edit(
            "template.yaml",
            "    Type: AWS::S3::Bucket\n",
            "    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n",
        )
        bucket = stack.deploy()["Bucket"]
        objects = stack.aws.client("s3")
        objects.put_object(Bucket=bucket, Key="model", Body=b"weights")
        delete(stack.aws.endpoint_url, stack_name=stack.name)
        assert objects.get_object(Bucket=bucket, Key="model")["Body"].read() == b"weights"

    def test_a_retained_bucket_is_not_in_the_way_of_a_creation_that_failed_before(
        self, stack: Stack
    ) -> None:
        stack.edit(
            "template.yaml",
            "    Type: AWS::S3::Bucket\n",
            "    Type: AWS::S3::Bucket\n    DeletionPolicy: RetainExceptOnCreate\n",
        )
        definition = stack.directory / "machines/train.asl.json"
        whole = definition.read_text()
        definition.write_text('{"StartAt": 7}')
        with pytest.raises(DeploymentError, match="ROLLBACK_COMPLETE"):
            stack.deploy()
        objects = stack.aws.client("s3")
        buckets = [each["Name"] for each in objects.list_buckets()["Buckets"]]
        assert not [name for name in buckets if name.startswith(stack.name)]
        definition.write_text(whole)
        bucket = stack.deploy()["Bucket"]
        delete(stack.aws.endpoint_url, stack_name=stack.name)
        objects.head_bucket(Bucket=bucket)  # only what the failed creation had made is deleted
        with pytest.raises(DeploymentError, match="BucketAlreadyExists"):
            stack.deploy()
        objects.delete_bucket(Bucket=bucket)

    def test_a_retained_resource_that_leaves_its_template_stays(self, stack: Stack) -> None:
        added = (
            "Resources:\n  More:\n    Type: AWS::Logs::LogGroup\n    DeletionPolicy: Retain\n"
            '    Properties: {LogGroupName: !Sub "more-${AWS::StackName}"}\n\n'
        )
        stack.edit("template.yaml", "Resources:\n", added)
        stack.deploy()
        stack.edit("template.yaml", added, "Resources:\n")
        stack.deploy()
        name, groups = f"more-{stack.name}", stack.aws.client("logs")
        (found,) = groups.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        assert found["logGroupName"] == name
        groups.delete_log_group(logGroupName=name)


class TestRefusals:
    @pytest.mark.parametrize(
        ("slot", "value", "message"),
        [
            ("AllowedValues: [hello, hi]", "good day", "one of AllowedValues hello, hi"),
            ("AllowedPattern: ^[a-z]*$", "Hello", r"match pattern \^\[a-z\]\*\$"),
            (
                "ConstraintDescription: a word\n    AllowedPattern: ^[a-z]*$",
                "Hi",
                "constraint: a word",
            ),
            ("MinValue: 3", "2", "not less than 3"),
            ("MaxValue: 3", "4", "not greater than 3"),
            ("MaxValue: 3", "many", "be a number"),
        ],
    )
    def test_a_value_that_a_parameter_does_not_allow_changes_nothing(
        self, stack: Stack, slot: str, value: str, message: str
    ) -> None:
        kind = "Number" if "Value: " in slot else "String"
        default = "3" if kind == "Number" else "hello"
        stack.edit(
            "template.yaml",
            "Parameters:\n",
            f"Parameters:\n  Limited:\n    Type: {kind}\n    Default: {default}\n    {slot}\n",
        )
        with pytest.raises(DeploymentError, match=f"Limited.*{message}"):
            stack.deploy(Limited=value)
        with pytest.raises(ClientError, match="does not exist"):
            stack.events()

    def test_a_type_that_would_not_be_made_is_refused_by_name(self, stack: Stack) -> None:
        stack.edit(
            "template.yaml",
            "Resources:\n",
            "Resources:\n  Cache:\n    Type: AWS::ElastiCache::ServerlessCache\n"
            "    Properties: {Engine: redis}\n\n",
        )
        with pytest.raises(TemplateError, match=r"Cache \(AWS::ElastiCache::ServerlessCache\)"):
            stack.deploy()

    def test_a_broken_state_machine_is_refused_with_the_reason(self, stack: Stack) -> None:
        (stack.directory / "machines/train.asl.json").write_text('{"StartAt": 7}')
        with pytest.raises(DeploymentError, match=r"ROLLBACK_COMPLETE.*InvalidDefinition"):
            stack.deploy()

    def test_a_failed_stack_can_be_deployed_once_it_is_mended(self, stack: Stack) -> None:
        definition = stack.directory / "machines/train.asl.json"
        whole = definition.read_text()
        definition.write_text('{"StartAt": 7}')
        with pytest.raises(DeploymentError):
            stack.deploy()
        definition.write_text(whole)
        machine = stack.deploy()["TrainStateMachineArn"]
        assert stack.aws.run(machine, job())["status"] == "SUCCEEDED"

    def test_a_failed_update_leaves_the_stack_as_it_was(self, stack: Stack) -> None:
        machine = stack.deploy()["TrainStateMachineArn"]
        (stack.directory / "machines/train.asl.json").write_text('{"StartAt": 7}')
        with pytest.raises(DeploymentError, match="UPDATE_ROLLBACK_COMPLETE"):
            stack.deploy()
        assert stack.aws.run(machine, job())["status"] == "SUCCEEDED"

    def test_missing_files_are_named(self, stack: Stack, tmp_path: Path) -> None:
        stack.edit("template.yaml", "CodeUri: src/", "CodeUri: nowhere/")
        with pytest.raises(TemplateError, match="nowhere"):
            stack.deploy()
        with pytest.raises(TemplateError, match=r"none\.yaml"):
            deploy(stack.aws.endpoint_url, tmp_path / "none.yaml")

    def test_a_sam_error_is_shown(self, stack: Stack) -> None:
        stack.edit("template.yaml", "      Handler: handlers.probe\n", "")
        with pytest.raises(TemplateError, match="Handler"):
            stack.deploy()


class TestChangeSets:
    """The changes that CloudFormation computes before it makes any."""

    def proposed(self, stack: Stack, **parameters: str) -> ChangeSet | None:
        made: list[ChangeSet] = []

        def refuse(change_set: ChangeSet) -> None:
            made.append(change_set)
            raise InterruptedError

        refusing = replace(deployer(stack.aws.endpoint_url), consent=refuse)
        with suppress(InterruptedError):
            refusing.deploy(stack.template, stack.name, parameters)
        return made[0] if made else None

    def kinds(self, change_set: ChangeSet | None) -> set[tuple[str, str, str]]:
        assert change_set is not None
        return {(each.action, each.name, each.replacement) for each in change_set.changes}

    def test_a_refused_creation_leaves_nothing(self, stack: Stack) -> None:
        change_set = self.proposed(stack)
        assert ("Add", "Bucket", "False") in self.kinds(change_set)
        assert {action for action, _, _ in self.kinds(change_set)} == {"Add"}
        with pytest.raises(ClientError, match="does not exist"):
            stack.events()

    def test_a_refused_creation_spares_what_somebody_else_has_created(self, stack: Stack) -> None:
        def refuse(change_set: ChangeSet) -> None:
            stack.deploy(Greeting="hi")
            raise InterruptedError

        with pytest.raises(InterruptedError):
            replace(deployer(stack.aws.endpoint_url), consent=refuse).deploy(
                stack.template, stack.name, {}
            )
        assert stack.probe()["Payload"]["greeting"] == f"hi from {stack.name}"

    def test_a_stack_of_somebody_else_is_left_alone(self, stack: Stack) -> None:
        group = f"/of/somebody/{stack.name}"
        resource = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": group}}
        stack.aws.client("cloudformation").create_stack(
            StackName=stack.name, TemplateBody=json.dumps({"Resources": {"Group": resource}})
        )
        with pytest.raises(DeploymentError, match="that StepML has not made"):
            stack.deploy()
        logs = stack.aws.client("logs").describe_log_groups(logGroupNamePrefix=group)
        assert [each["logGroupName"] for each in logs["logGroups"]] == [group]

    def test_only_what_changes_is_named(self, stack: Stack) -> None:
        stack.deploy()
        assert self.proposed(stack) is None
        assert ("Modify", "Probe", "False") in self.kinds(self.proposed(stack, Greeting="hi"))
        stack.edit("template.yaml", "${AWS::StackName}-items", "${AWS::StackName}-other")
        assert ("Modify", "Table", "True") in self.kinds(self.proposed(stack))
        left = stack.aws.client("cloudformation").list_change_sets(StackName=stack.name)
        # moto lists those of all stacks.
        assert [each for each in left["Summaries"] if each["StackName"] == stack.name] == []

    def test_a_refused_change_changes_nothing(self, stack: Stack) -> None:
        stack.deploy(Greeting="hi")
        events = stack.events()
        assert self.proposed(stack, Greeting="ho") is not None
        assert stack.events() == events
        assert stack.probe()["Payload"]["greeting"] == f"hi from {stack.name}"

    def test_a_parameter_that_is_not_given_keeps_its_value(self, stack: Stack) -> None:
        stack.deploy(Greeting="hi")
        stack.edit("template.yaml", "Timeout: 120", "Timeout: 60")
        stack.deploy()
        assert stack.probe()["Payload"]["greeting"] == f"hi from {stack.name}"

    def test_unchanged_files_are_not_uploaded_again(self, stack: Stack) -> None:
        stack.deploy()
        made: Any = deployer(stack.aws.endpoint_url)
        artefacts, template = made.artefacts, read_template(stack.template)
        packed(template, stack.directory, OwnFiles(), artefacts.upload)
        assert artefacts.uploaded == []
        other = f'return {{"version": "{uuid.uuid4()}", "event"'  # no other test uploads it
        stack.edit("src/handlers.py", 'return {"event"', other)
        packed(template, stack.directory, OwnFiles(), artefacts.upload)
        assert [key.partition("/")[0] for key in artefacts.uploaded] == ["code"]

    def test_a_transform_needs_a_capability(self, aws: RunningAws) -> None:
        stacks = aws.client("cloudformation")
        body = (APPLICATION / "template.yaml").read_text()
        for create in (stacks.create_stack, stacks.create_change_set):
            more = {} if create == stacks.create_stack else {"ChangeSetName": "a"}
            with pytest.raises(ClientError, match=r"InsufficientCapabilities.*AUTO_EXPAND"):
                create(StackName="incapable", TemplateBody=body, **more)
        with pytest.raises(ClientError, match="does not exist"):
            stacks.describe_stacks(StackName="incapable")

    def test_a_stack_is_created_once_by_a_change_set(self, stack: Stack) -> None:
        stack.deploy()
        with pytest.raises(ClientError, match="already exists and cannot be created again"):
            stack.aws.client("cloudformation").create_change_set(
                StackName=stack.name,
                ChangeSetName="again",
                ChangeSetType="CREATE",
                TemplateBody='{"Resources": {"Group": {"Type": "AWS::Logs::LogGroup"}}}',
            )


class TestPacking:
    def test_equal_files_give_equal_archives(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "module.py").write_text("x = 1\n")
        first, second = (files_below(tmp_path / name) for name in ("first", "second"))
        assert zip_archive(first) == zip_archive(second)

    def test_only_the_task_root_goes_into_a_function_of_ours(self) -> None:
        names = {Path(name).parts[:2] for name in code_files(template_path().parents[1] / "code")}
        assert ("stepml", "__init__.py") in names
        assert ("stepml", "job") in names
        assert {top for top, *_ in names} <= {"lambdas", "comm", "storage", "ps_server", "stepml"}
        assert not {("stepml", "local"), ("stepml", "cli"), ("stepml", "client")} & names

    def test_uris_are_made_from_contents(self) -> None:
        uploads: dict[str, bytes] = {}

        def upload(key: str, content: bytes) -> str:
            uploads[key] = content
            return f"s3://bucket/{key}"

        template = read_template(APPLICATION / "template.yaml")
        ready = packed(template, APPLICATION, OwnFiles(), upload)
        assert ready["Globals"]["Function"]["CodeUri"].startswith("s3://bucket/code/")
        assert packed(template, APPLICATION, OwnFiles(), upload) == ready
        assert len(uploads) == 3
        archive = next(content for key, content in uploads.items() if key.endswith(".zip"))
        assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["handlers.py"]
        assert template["Globals"]["Function"]["CodeUri"] == "src/"

    def test_an_image_becomes_a_zip_file_of_its_context(self) -> None:
        template = image_template(command=["lambdas.executor.handler"])
        base = template_path().parent
        ready = packed(template, base, OwnFiles(), lambda key, _: f"s3://bucket/{key}")
        assert ready["Resources"]["Trainer"]["Metadata"]["DockerContext"].startswith("s3://bucket/")
        (function,) = (
            each["Properties"]
            for each in expanded(without_images(ready))["Resources"].values()
            if each["Type"] == "AWS::Lambda::Function"
        )
        assert function["Code"]["S3Bucket"] == "bucket"
        assert function["Handler"] == "lambdas.executor.handler"
        assert (function["Runtime"], function["Timeout"]) == ("python3.12", 3)
        assert template == image_template(command=["lambdas.executor.handler"])

    @pytest.mark.parametrize("context", ["../code-x", "/code-torch"])
    def test_an_image_of_another_program_is_refused_by_name(
        self, tmp_path: Path, context: str
    ) -> None:
        template = image_template(command=["main.handler"], context=context)
        with pytest.raises(TemplateError, match=f"no file or directory at .*{Path(context).name}"):
            packed(template, tmp_path, OwnFiles(), lambda key, _: key)

    def test_an_image_without_a_context_is_refused_by_name(self, stack: Stack) -> None:
        template = image_template(command=["main.handler"], context=None)
        stack.template.write_text(json.dumps(template))
        with pytest.raises(TemplateError, match="Trainer"):
            stack.deploy(Image="image")


def image_template(command: list[str], context: str | None = "../code-torch") -> dict[str, Any]:
    """Return a template with one function that is a container image."""
    function = {
        "Type": "AWS::Serverless::Function",
        "IgnoreGlobals": ["Runtime"],
        "Properties": {
            "PackageType": "Image",
            "ImageUri": {"Ref": "Image"},
            "ImageConfig": {"Command": command},
            "Timeout": 3,
        },
    }
    if context is not None:
        function["Metadata"] = {"DockerContext": context}
    return {
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {"Image": {"Type": "String"}},
        "Globals": {"Function": {"Runtime": "python3.12"}},
        "Resources": {"Trainer": function},
    }


class TestInvoke:
    @pytest.fixture(autouse=True)
    def _deployed(self, outputs: dict[str, str]) -> None:
        """These use the shared application."""

    @pytest.fixture
    def app(self, aws: RunningAws) -> Stack:
        return Stack(aws, "app", APPLICATION)

    def test_a_result_comes_back_as_json(self, app: Stack) -> None:
        answer = app.probe({"a": [1, 2]})
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        assert answer["Payload"]["event"] == {"a": [1, 2]}
        assert "FunctionError" not in answer

    def test_an_arn_names_a_function_too(self, app: Stack, outputs: dict[str, str]) -> None:
        answer = app.aws.client("lambda").invoke(FunctionName=outputs["Probe"], Payload=b"{}")
        assert json.loads(answer["Payload"].read())["event"] == {}

    def test_an_error_is_a_result_with_a_header(self, app: Stack) -> None:
        answer = app.probe({"broken": 0})
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert answer["Payload"]["errorType"] == "BrokenError"

    def test_the_tail_of_the_log_comes_with_the_result(self, app: Stack) -> None:
        tail = base64.b64decode(app.probe({"print": "hello log"}, LogType="Tail")["LogResult"])
        assert b"hello log" in tail
        assert b"REPORT RequestId" in tail

    def test_an_event_is_accepted_and_runs(self, app: Stack, tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        answer = app.probe({"marker": str(marker)}, InvocationType="Event")
        assert (answer["StatusCode"], answer["Payload"]) == (202, None)
        eventually(marker.exists, bool)

    def test_a_dry_run_runs_nothing(self, app: Stack, tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        answer = app.probe({"marker": str(marker)}, InvocationType="DryRun")
        assert answer["StatusCode"] == 204
        app.probe()
        assert not marker.exists()

    @pytest.mark.parametrize(
        ("function", "payload", "code", "status"),
        [
            ("app-nobody", b"{}", "ResourceNotFoundException", 404),
            ("app-probe", b"{not json", "InvalidRequestContentException", 400),
            ("app-probe", b'"' + b"x" * 6_300_000 + b'"', "RequestTooLargeException", 413),
        ],
    )
    def test_what_lambda_refuses_is_refused_by_name(
        self, app: Stack, function: str, payload: bytes, code: str, status: int
    ) -> None:
        with pytest.raises(ClientError) as refused:
            app.aws.client("lambda").invoke(FunctionName=function, Payload=payload)
        response = refused.value.response
        assert response["Error"]["Code"] == code
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status

    def test_code_can_be_changed_through_the_api(self, stack: Stack) -> None:
        stack.deploy()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as package:
            package.writestr("handlers.py", "def probe(event, context):\n    return 'new'\n")
        stack.aws.client("lambda").update_function_code(
            FunctionName=f"{stack.name}-probe", ZipFile=archive.getvalue()
        )
        assert stack.probe()["Payload"] == "new"


class TestLogs:
    def test_what_functions_print_is_in_their_log_group(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        word = uuid.uuid4().hex
        app = Stack(aws, "app", APPLICATION)
        app.probe({"print": word})
        logs = aws.client("logs")
        group = "/aws/lambda/app-probe"
        found = logs.filter_log_events(logGroupName=group, filterPattern=word)["events"]
        assert word in [event["message"].strip() for event in found]
        stream = found[0]["logStreamName"]
        events = logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        messages = [event["message"] for event in events]
        for start in ("START RequestId", "END RequestId", "REPORT RequestId"):
            assert any(message.startswith(start) for message in messages)

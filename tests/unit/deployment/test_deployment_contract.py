"""State machines, template and code use the same names, which otherwise only AWS would compare."""

from __future__ import annotations

import copy
import importlib
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from lambdas.entry import MODULES_VARIABLE
from lambdas.prepare import KINDS_VARIABLE
from stepml.certificates import self_signed_certificate
from stepml.deployment.inbox import FUNCTION_OUTPUT
from stepml.deployment.templates import ALIAS_OUTPUT, with_alias
from stepml.job import errors, keys
from stepml.job.formats import FORMATS
from stepml.job.function_kinds import FUNCTION_KINDS
from stepml.job.models import MODELS
from stepml.job.tasks import DataTasks, JobFunctions, JobState, TriggerTask, function_name
from stepml.packaging.building import for_functions
from stepml.packaging.functions import log_group
from stepml.packaging.packages import (
    FUNCTION_PACKAGES,
    FUNCTIONS_PROCESSOR,
    PROCESSORS,
    PYTHON_VERSION,
    PYTHON_VERSIONS,
    SERVER_PACKAGE,
    Package,
)
from tests.support.paths import ROOT

MACHINES = ("train", "epoch", "ranks")
DEPLOYMENT = {"FindInMap": ["Deployment", "Current", "Alias"]}  # empty in the source
NO_VALUE = {"Ref": "AWS::NoValue"}

# Errors of Step Functions and Lambda; further below those with which Lambda refuses a call.
AWS_ERRORS = {
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
    "States.Timeout",
    "States.TaskFailed",
    "StepFunctions.ExecutionAlreadyExists",
    "StepFunctions.ExecutionAlreadyExistsException",
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.ThrottlingException",
    "StepFunctions.SdkClientException",
    "StepFunctions.AWSStepFunctionsException",
}
# A function in a VPC that nothing has called for two weeks loses its network interface, and the
# next call fails while Lambda makes another one; with many functions at once, EC2 throttles Lambda.
WAKING_ERRORS = {
    "Lambda.ResourceNotReadyException",
    "Lambda.CodeArtifactUserPendingException",
    "Lambda.ResourceConflictException",
    "Lambda.ENINotReadyException",
    "Lambda.ENILimitReachedException",
    "Lambda.SubnetIPAddressLimitReachedException",
    "Lambda.EC2ThrottledException",
    "Lambda.EC2UnexpectedException",
}
# The beginnings of the other errors of Invoke: a wrong call, a wrong function, or a feature of
# Lambda that the templates do not use.
PERMANENT_ERRORS = (
    *("Invalid", "KMS", "RequestTooLarge", "SerializedRequestEntityTooLarge", "Unsupported"),
    *("EC2AccessDenied", "ResourceNotFound", "NoPublishedVersion", "RecursiveInvocation"),
    *("CodeArtifactUserDeleted", "CodeArtifactUserFailed", "ServiceQuotaExceeded"),
    *("EFS", "S3Files", "SnapStart", "Runtime", "ModeNotSupported", "DurableExecution"),
)
NEVER_RETRIED = (
    errors.InvalidJobError,
    errors.InvalidTaskError,
    errors.InvalidDataError,
    errors.JobIdTakenError,
    errors.TrainingDivergedError,
    errors.PeerFailedError,
    errors.CompressionError,
    errors.ReplicasDivergedError,
    errors.AttemptStoppedError,
    errors.ReplayLostError,
)
# Functions that use the channel: they need its permissions and its network.
EXCHANGING = {
    "PrepareFunction",
    "ExecutorFunction",
    "ExecutorTorchFunction",
    "MergerFunction",
    "ReducerFunction",
    "FinaliseFunction",
    "FinaliseTorchFunction",
    "CleanupFunction",
}


FORMAT_KINDS = {each.function_kind for each in FORMATS.values()}
MODEL_KINDS = {each.function_kind for each in MODELS.values()}
# The reducer needs no libraries: executors evaluate a model that does.
KINDS = {"partition": FORMAT_KINDS, "reducer": {""}}
# The functions among which Prepare chooses, by their part in a job.
CHOICES = {
    part: {function_name(part, kind) for kind in KINDS.get(part, MODEL_KINDS)}
    for part in JobFunctions().to_event()
}


class _Tagged(yaml.SafeLoader):
    """Reads !Ref and other short forms as ``{"Ref": …}``."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Tagged.add_multi_constructor("!", _tagged)


@cache
def _parsed() -> dict[str, Any]:
    loaded = yaml.load((ROOT / "templates" / "template.yaml").read_text(), _Tagged)
    assert isinstance(loaded, dict)
    return loaded


def template() -> dict[str, Any]:
    return copy.deepcopy(_parsed())


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def handler_of(function: dict[str, Any]) -> str:
    """Return the handler of a function with these properties, which may be a container image."""
    (handler,) = function.get("ImageConfig", {}).get("Command", [function.get("Handler")])
    assert isinstance(handler, str)
    return handler


def package_of(logical: str) -> str:
    """Return the package of a function of the template."""
    resource = template()["Resources"][logical]
    packed = [
        resource["Properties"].get("CodeUri"),
        resource.get("Metadata", {}).get("DockerContext"),
    ]
    (package,) = (each for each in packed if each)
    return str(package).removeprefix("../")


def machine(name: str) -> dict[str, Any]:
    loaded = json.loads((ROOT / "state_machines" / f"{name}.asl.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def all_tasks() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, state)
        for each in MACHINES
        for name, state in states(machine(each))
        if state["Type"] == "Task"
    ]


def invoked_functions(name: str, state: dict[str, Any]) -> set[str]:
    """Return the template's names of the functions that the Task ``name`` may invoke."""
    if "FunctionName.$" in state["Parameters"]:
        return chosen_functions(name)
    function = state["Parameters"].get("FunctionName")
    return {function.removeprefix("${").removesuffix("}")} if function else set()


def chosen_functions(task: str) -> set[str]:
    """Return the functions among which Prepare chooses for ``task``."""
    names = {"${AWS::StackName}-" + name for name in CHOICES[part_of(task)]}
    functions = resources("AWS::Serverless::Function").items()
    found = {logical for logical, each in functions if each["FunctionName"]["Sub"] in names}
    assert len(found) == len(names), f"{names} are not all in the template"
    return found


def part_of(task: str) -> str:
    """Return the field of `JobFunctions` that names the function of ``task``.

    A Task inside a Map gets the name from the Map's items, one in a group from the epoch.
    """
    every = [each for name in MACHINES for each in states(machine(name))]
    (path,) = {
        re.fullmatch(r"States.Format\('\$\{StackName\}-\{\}\$\{Alias\}', (.+)\)", name)[1]  # type: ignore[index]
        for each, state in every
        if each == task and (name := state["Parameters"]["FunctionName.$"])
    }
    if path == "$.function":
        (path,) = {
            state["ItemSelector"]["function.$"]
            for _, state in every
            if task in state.get("ItemProcessor", {}).get("States", {})
        } - {path}
    part = path.removeprefix("$.functions.")
    assert part in CHOICES, path
    return str(part)


def error_classes() -> dict[str, type]:
    return {name: each for name, each in vars(errors).items() if isinstance(each, type)}


@pytest.mark.parametrize("name", sorted({name for name, _ in all_tasks()}))
def test_every_error_that_is_retried_exists(name: str) -> None:
    state = dict(all_tasks())[name]  # all of one name are equal
    named = [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
    assert len(named) == len(set(named))
    assert set(named) <= AWS_ERRORS | WAKING_ERRORS | set(error_classes())
    never = {c for c, each in error_classes().items() if issubclass(each, NEVER_RETRIED)}
    assert not never & set(named), f"{name} repeats what fails the same way again"


def test_every_function_is_retried_by_the_same_rules() -> None:
    rules = [state["Retry"][-4:] for name, state in all_tasks() if invoked_functions(name, state)]
    assert all(each == rules[0] for each in rules)
    _, waking, throttled, crashed = rules[0]
    assert throttled["MaxAttempts"] > crashed["MaxAttempts"]  # throttling passes
    # Lambda needs up to 90 s for a network interface. The pauses have no jitter, so that they
    # are long enough together.
    assert set(waking["ErrorEquals"]) == WAKING_ERRORS
    assert waking["BackoffRate"] == 1
    assert "JitterStrategy" not in waking
    assert waking["IntervalSeconds"] * waking["MaxAttempts"] >= 300


def test_every_error_with_which_lambda_refuses_a_call_is_retried_if_it_passes() -> None:
    invoke = botocore.session.get_session().get_service_model("lambda").operation_model("Invoke")
    refusals = {f"Lambda.{each.name}" for each in invoke.error_shapes}
    permanent = tuple(f"Lambda.{name}" for name in PERMANENT_ERRORS)
    passing = {name for name in refusals if not name.startswith(permanent)}
    for name, state in all_tasks():
        if invoked_functions(name, state):
            retried = {error for each in state["Retry"] for error in each["ErrorEquals"]}
            assert retried & refusals == passing, name


def test_every_error_with_which_a_child_cannot_start_is_retried_by_both_its_names() -> None:
    # AWS's pages have the names with and without the suffix.
    starts = [state for _, state in all_tasks() if "startExecution" in state["Resource"]]
    assert len(starts) == 3
    for state in starts:
        retried = {error for each in state["Retry"] for error in each["ErrorEquals"]}
        needed = {"ExecutionLimitExceeded"} | (
            {"ExecutionAlreadyExists"} if "Name.$" in state["Parameters"] else set()
        )
        for name in needed:
            both = {f"StepFunctions.{name}", f"StepFunctions.{name}Exception"}
            assert both <= retried
        assert "StepFunctions.ThrottlingException" in retried


@pytest.mark.parametrize("name", MACHINES)
def test_nothing_recoverable_is_caught_into_a_failed_end(name: str) -> None:
    # An execution that catches an error and ends in Fail only fails again after a redrive.
    caught = [each for _, state in states(machine(name)) for each in state.get("Catch", [])]
    assert {each["Next"] for each in caught} <= {"RestoreData", "IsWide?"}
    assert not [each for each, state in states(machine(name)) if state["Type"] == "Fail"]


@pytest.mark.parametrize("name", MACHINES)
def test_state_names_are_unique(name: str) -> None:
    names = [state for state, _ in states(machine(name))]
    assert len(names) == len(set(names))


def test_ranks_are_trained_alike_in_an_epoch_and_in_a_group() -> None:
    alone, grouped = (dict(states(machine(name)))["TrainRank"] for name in ("epoch", "ranks"))
    mine, theirs = (each["Parameters"]["Payload"] for each in (alone, grouped))
    # The epoch's name identifies an attempt, and a group receives it.
    assert theirs == mine | {"attempt.$": "$.attempt", "started_at.$": "$.started_at"}
    assert alone | {"Parameters": grouped["Parameters"]} == grouped
    group = dict(states(machine("epoch")))["RunGroup"]["Parameters"]["Input"]
    needed = machine("ranks")["States"]["RunExecutors"]["ItemSelector"]
    assert {name.removesuffix(".$") for name in needed} - {"rank"} <= {
        name.removesuffix(".$") for name in group
    }


def test_an_epoch_knows_its_attempt_in_one_way() -> None:
    # In each Task, not in a Map: redriven iterations would reuse the Map's earlier values.
    made = {
        name: parameters.get("attempt.$")
        for name, state in states(machine("epoch"))
        if state["Type"] == "Task"
        for parameters in (state["Parameters"].get("Payload", state["Parameters"].get("Input")),)
    }
    for of_the_data in ("CheckData", "RestoreRange", "PublishData"):
        assert made.pop(of_the_data) is None  # the data belong to no attempt
    assert made.keys() == {
        *("TrainRank", "RunGroup", "MergeChunk", "Merge", "EvaluateSlice", "Reduce"),
    }
    assert set(made.values()) == {
        "States.Format('{}.{}', $$.Execution.Name, $$.Execution.RedriveCount)"
    }
    assert "States.Format" not in json.dumps(
        [state.get("ItemSelector") for _, state in states(machine("epoch"))]
    )


def test_the_state_of_a_job_is_all_that_prepare_tells() -> None:
    selected = machine("train")["States"]["Prepare"]["ResultSelector"]
    assert selected == {f"{name}.$": f"$.Payload.{name}" for name in JobState.__struct_fields__}


def test_every_function_that_prepare_chooses_is_invoked() -> None:
    tasks = {name for name, state in all_tasks() if "FunctionName.$" in state["Parameters"]}
    assert set(map(part_of, tasks)) == set(CHOICES)


def test_damaged_data_are_made_again_before_the_state_that_needs_them() -> None:
    made = machine("train")["States"]
    caught = {name: state["Catch"] for name, state in made.items() if "Catch" in state}
    assert caught.keys() == {"PlanShards", "AssembleShards", "InitialiseModel"}
    for (only,) in caught.values():
        assert only["ErrorEquals"] == ["DataSetDamagedError"]
        assert only["ResultPath"] != "$"  # RestoreData needs the job's state
    # The handler counts, and ends a job whose data are damaged time and again.
    restores = made["RestoreData"]
    assert restores["Parameters"]["Payload"]["times.$"] == f"{restores['ResultPath']}.times"
    # It only finds the ranges: each has a function of its own, with its own time.
    assert restores["Next"] == "PartitionData"
    assert made["PartitionData"]["ItemsPath"] == f"{restores['ResultPath']}.ranges"
    assert made["AssembleShards"]["ItemsPath"] == f"{restores['ResultPath']}.shards"
    expected = {f"{name}.$": f"$.Payload.{name}" for name in DataTasks.__struct_fields__}
    assert restores["ResultSelector"] == expected


def test_a_look_at_the_data_never_fails_an_epoch() -> None:
    made = machine("epoch")["States"]
    goes_on = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.restored", "Next": "IsWide?"}
    for name in ("CheckData", "RestoreRanges", "PublishData"):
        assert made[name]["Catch"] == [goes_on]
    # Whatever stands there, the data are not looked at again.
    (looks, _) = made["IsWide?"]["Choices"]
    assert {"Not": {"Variable": "$.restored", "IsPresent": True}} in looks["And"]
    ranges = machine("train")["States"]["PartitionData"]
    again = made["RestoreRanges"]["ItemProcessor"]["States"]["RestoreRange"]
    assert again == ranges["ItemProcessor"]["States"]["PartitionRange"]
    assert made["RestoreRanges"]["ItemSelector"] == ranges["ItemSelector"]


@pytest.mark.parametrize("part", CHOICES)
def test_functions_of_one_part_differ_in_their_package_alone(part: str) -> None:
    functions = resources("AWS::Serverless::Function")
    names = {"${AWS::StackName}-" + name for name in CHOICES[part]}
    own = ("FunctionName", "Description", "CodeUri", "Handler", "MemorySize", "Environment")
    own += ("PackageType", "ImageUri", "ImageConfig", "LoggingConfig")
    found = [each for each in functions.values() if each["FunctionName"]["Sub"] in names]
    alike = [{name: value for name, value in each.items() if name not in own} for each in found]
    assert len(alike) == len(names)
    assert len({handler_of(each) for each in found}) == 1
    assert all(each == alike[0] for each in alike)


@pytest.mark.parametrize("kind", FUNCTION_KINDS)
def test_the_functions_of_a_kind_have_the_same_memory(kind: str) -> None:
    """InitialiseModel refuses what does not fit into an executor by its own memory."""
    sizes = [
        each["MemorySize"]
        for each in resources("AWS::Serverless::Function").values()
        if each["FunctionName"]["Sub"].endswith(f"-{kind}")
    ]
    assert all(size == sizes[0] for size in sizes)


def test_what_fits_into_the_function_that_refuses_models_fits_into_those_that_hold_them() -> None:
    functions = resources("AWS::Serverless::Function")
    for name in ("Initialise", "Executor", "Merger", "Reducer", "InitialiseTorch", "ExecutorTorch"):
        assert functions[f"{name}Function"]["MemorySize"] == {"Ref": "ExecutorMemory"}, name


def test_every_task_keeps_little_of_what_it_gets() -> None:
    for name, state in all_tasks():
        assert state.get("ResultPath", "") is None or "ResultSelector" in state, name


def test_a_task_waits_a_minute_longer_than_its_function_may_run() -> None:
    functions = resources("AWS::Serverless::Function")
    for name, state in all_tasks():
        invoked = invoked_functions(name, state)
        for function in invoked:
            assert state["TimeoutSeconds"] == functions[function]["Timeout"] + 60, name
        if not invoked:
            assert {"TimeoutSeconds", "TimeoutSecondsPath"} & state.keys(), name


@pytest.mark.parametrize("name", MACHINES)
def test_every_placeholder_is_substituted_and_every_substitution_used(name: str) -> None:
    text = (ROOT / "state_machines" / f"{name}.asl.json").read_text()
    machines = resources("AWS::Serverless::StateMachine")
    (properties,) = (
        m for m in machines.values() if m["DefinitionUri"].endswith(f"/{name}.asl.json")
    )
    substituted = properties["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(substituted)
    known = set(template()["Resources"])
    for placeholder, value in substituted.items():
        if placeholder in ("StackName", "Partition"):
            assert value == {"Ref": f"AWS::{placeholder}"}
            continue
        condition, versioned, newest = value["If"]
        assert condition == "HasVersions"
        if placeholder == "Alias":
            assert newest == ""
            continue
        assert placeholder in known
        kind = "Alias" if placeholder.endswith("Function") else "Version"
        named = placeholder.removesuffix("Function").removesuffix("StateMachine")
        assert versioned == {"Ref": f"{named}{kind}"}
        assert next(iter(newest.values())).split(".")[0] == placeholder


@pytest.mark.parametrize("name", MACHINES)
def test_every_function_that_a_machine_chooses_has_its_alias_before(name: str) -> None:
    machines = resources("AWS::Serverless::StateMachine").values()
    (found,) = (m for m in machines if m["DefinitionUri"].endswith(f"/{name}.asl.json"))
    _, joined, _ = found["DefinitionSubstitutions"]["Alias"]["If"]
    empty, (colon, selected) = joined["Join"]
    first, (alias, *others) = selected["Select"]
    assert (empty, colon, first) == ("", ":", 0)
    assert alias == DEPLOYMENT
    always = {each["Ref"] for each in others if "Ref" in each}
    with_torch = {
        each["If"][1]["Ref"] for each in others if each.get("If", [])[0:1] == ["HasTorchVersions"]
    }
    named = {
        function.replace("Function", "Alias")
        for task, state in states(machine(name))
        if state["Type"] == "Task" and "FunctionName.$" in state["Parameters"]
        for function in chosen_functions(task)
    }
    assert always | with_torch == named
    assert with_torch == {each for each in named if "Torch" in each}


def test_each_function_that_jobs_call_has_a_version_and_an_alias_of_every_deployment() -> None:
    given = template()["Resources"]
    called = {each for task, state in all_tasks() for each in invoked_functions(task, state)}
    for logical in called:
        name, kind = logical.removesuffix("Function"), given[logical].get("Condition", "Has")
        version, alias = given[f"{name}Version"], given[f"{name}Alias"]
        for each in (version, alias):
            assert each["Condition"] == f"{kind}Versions"
            assert each["UpdateReplacePolicy"] == "Retain"  # for jobs that run
            assert each["DeletionPolicy"] == "RetainExceptOnCreate"
            assert each["Properties"]["FunctionName"] == {"Ref": logical}
        # Another description makes another version, and another name another alias.
        assert version["Properties"]["Description"] == DEPLOYMENT
        assert alias["Properties"]["Name"] == DEPLOYMENT
        assert alias["Properties"]["FunctionVersion"] == {"GetAtt": f"{name}Version.Version"}
    assert len(resources("AWS::Lambda::Alias")) == len(called)
    # Lambda makes no version of a function that has not changed.
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["STEPML_DEPLOYMENT"] == {"If": ["HasVersions", DEPLOYMENT, ""]}


def test_machines_that_others_start_have_a_version_of_every_deployment() -> None:
    versions = resources("AWS::StepFunctions::StateMachineVersion")
    assert versions == {
        f"{name}Version": {
            "StateMachineArn": {"Ref": f"{name}StateMachine"},
            "StateMachineRevisionId": {"GetAtt": f"{name}StateMachine.StateMachineRevisionId"},
            "Description": DEPLOYMENT,
        }
        for name in ("Epoch", "Ranks")
    }
    for parent, child in (("Train", "Epoch"), ("Epoch", "Ranks")):
        policies = resources("AWS::Serverless::StateMachine")[f"{parent}StateMachine"]["Policies"]
        assert {
            "StepFunctionsExecutionPolicy": {
                "StateMachineName": {"Sub": f"${{{child}StateMachine.Name}}:*"}
            }
        } in policies


def test_each_change_is_another_deployment_and_no_other_is() -> None:
    source = template() | {"Mappings": {"Deployment": {"Current": {"Alias": ""}}}}
    at = [datetime(2026, 1, 2, 3, minute, tzinfo=UTC) for minute in range(3)]

    def alias(
        given: dict[str, str], kept: dict[str, str], current: str = "", now: int = 0, **changes: Any
    ) -> str:
        made = with_alias(source | changes, given, kept, current, at[now])
        return str(made["Mappings"]["Deployment"]["Current"]["Alias"])

    defaults = {name: str(slot["Default"]) for name, slot in template()["Parameters"].items()}
    defaults["ParameterServerToken"] = "****"  # as CloudFormation tells it
    first = alias({}, {})
    assert re.fullmatch(r"d[0-9a-f]{12}-20260102030000", first)
    week = {"LogRetentionDays": "7"}
    assert alias({}, defaults, first, 1) == first
    assert alias({"LogRetentionDays": "30"}, defaults, first, 1) == first
    second = alias(week, defaults, first, 1)
    assert alias({}, defaults | week, second, 2) == second
    changed = [
        alias({"ParameterServerToken": "secret"}, defaults, first),
        alias({}, defaults, first, Description="other code"),
        alias({}, defaults, second, 2),  # as at first, but the first alias still exists
    ]
    assert len({first, second, *changed}) == 5
    assert alias({"FunctionVersions": "off"}, {}) == ""
    assert template()["Outputs"][ALIAS_OUTPUT]["Value"] == DEPLOYMENT
    assert with_alias({"Resources": {}}, {}, {}, "") == {"Resources": {}}  # another stack's


@pytest.mark.parametrize("path", sorted(ROOT.glob("state_machines/*.asl.json")), ids=str)
def test_no_machine_names_a_partition(path: Path) -> None:
    assert "arn:aws" not in path.read_text()  # China and GovCloud have others


@pytest.mark.parametrize("path", sorted(ROOT.glob("templates/*.yaml")), ids=str)
def test_no_template_names_a_partition(path: Path) -> None:
    text = re.sub(r"AllowedPattern: .*", "", path.read_text())
    assert not re.findall(r"arn:aws[^:]*:", text)


def test_every_function_has_its_handler_its_log_group_and_its_name() -> None:
    groups = {
        name: each["LogGroupName"]["Sub"] for name, each in resources("AWS::Logs::LogGroup").items()
    }
    for logical, properties in resources("AWS::Serverless::Function").items():
        module, function = handler_of(properties).rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), function)), logical
        name = properties["FunctionName"]["Sub"]
        handler = "${AWS::StackName}-" + module.rsplit(".", 1)[1].replace("_", "-")
        assert name == handler or name.startswith(handler + "-")  # such as partition-parquet
        function = name.removeprefix("${AWS::StackName}-")
        group = properties["LoggingConfig"]["LogGroup"]["Ref"]
        assert groups[group] == log_group("${AWS::StackName}", function)


def test_every_function_names_its_package_where_the_aws_cli_packs_it() -> None:
    named = {package_of(logical) for logical in resources("AWS::Serverless::Function")}
    assert named == FUNCTION_PACKAGES.keys()


def test_functions_are_images_if_their_package_is_and_exist_if_there_is_one() -> None:
    given = template()
    for logical, properties in resources("AWS::Serverless::Function").items():
        resource, kind = (
            given["Resources"][logical],
            FUNCTION_PACKAGES[package_of(logical)].image_of,
        )
        assert (properties.get("PackageType") == "Image") == (kind is not None), logical
        assert ("Condition" in resource) == (kind is not None), logical
        if kind is not None:
            uri, condition = {"Ref": kind.parameter}, resource["Condition"]
            group = properties["LoggingConfig"]["LogGroup"]["Ref"]
            assert properties["ImageUri"] == uri
            assert given["Conditions"][condition] == {"Not": [{"Equals": [uri, ""]}]}
            assert given["Resources"][group]["Condition"] == condition
            assert given["Parameters"][kind.parameter]["Default"] == ""
            variables = properties["Environment"]["Variables"]
            assert variables[MODULES_VARIABLE] == ",".join(kind.modules)


def test_an_image_has_its_recipe_beside_the_template() -> None:
    for logical in resources("AWS::Serverless::Function"):
        recipe = template()["Resources"][logical].get("Metadata", {}).get("Dockerfile")
        if recipe is not None:  # relative to the context, a folder beside the template's
            folder, name = recipe.removeprefix("../").split("/")
            assert (ROOT / folder / name).is_file()
            assert folder == "templates"


def test_prepare_knows_the_kinds_of_functions_that_exist() -> None:
    variables = resources("AWS::Serverless::Function")["PrepareFunction"]["Environment"][
        "Variables"
    ]
    (kind,) = FUNCTION_KINDS.values()
    condition, present, absent = variables[KINDS_VARIABLE]["If"]
    assert (present, absent) == (kind.name, "")
    assert template()["Conditions"][condition] == {
        "Not": [{"Equals": [{"Ref": kind.parameter}, ""]}]
    }


def test_packages_are_built_for_the_functions_python_and_processor() -> None:
    settings, parameters = template()["Globals"]["Function"], template()["Parameters"]
    assert settings["Runtime"] == {"Ref": "Runtime"}
    assert settings["Architectures"] == [{"Ref": "Architecture"}]
    assert parameters["Runtime"]["Default"] == f"python{PYTHON_VERSION}"
    assert parameters["Runtime"]["AllowedValues"] == [f"python{each}" for each in PYTHON_VERSIONS]
    assert parameters["Architecture"]["Default"] == FUNCTIONS_PROCESSOR
    assert parameters["Architecture"]["AllowedValues"] == [*PROCESSORS]
    for architecture, processor in PROCESSORS.items():
        options = for_functions(architecture, "3.13")
        assert f"--platform=manylinux_2_28_{processor}" in options
        assert "--python-version=3.13" in options


def test_calculations_have_fixed_kernels_on_each_architecture() -> None:
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["OPENBLAS_CORETYPE"] == {"If": ["IsArm", "NEOVERSEN1", "Haswell"]}
    condition, arm, x86 = variables["NPY_DISABLE_CPU_FEATURES"]["If"]
    assert condition == "IsArm"
    assert set(arm.split()) == {"ASIMDFHM", "SVE"}  # Graviton2 has neither
    assert set(x86.split()) == {"X86_V4", "AVX512_ICL", "AVX512_SPR"}


def test_no_more_ranks_train_at_once_than_functions_are_reserved() -> None:
    functions = resources("AWS::Serverless::Function")
    reserved = {"If": ["HasReservedConcurrency", {"Ref": "ReservedConcurrency"}, NO_VALUE]}
    limited = {name for name, each in functions.items() if each.get("ReservedConcurrentExecutions")}
    assert limited == {"ExecutorFunction", "ExecutorTorchFunction"}
    assert all(functions[name]["ReservedConcurrentExecutions"] == reserved for name in limited)
    # Prepare refuses jobs that need more in flight.
    known = functions["PrepareFunction"]["Environment"]["Variables"]["STEPML_CONCURRENCY"]["If"]
    assert known[:2] == ["HasReservedConcurrency", {"Sub": "${ReservedConcurrency}"}]


def test_every_role_of_the_main_stack_has_the_boundary() -> None:
    boundary = {"If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, NO_VALUE]}
    assert template()["Globals"]["Function"]["PermissionsBoundary"] == boundary
    machines = resources("AWS::Serverless::StateMachine").values()
    assert all(each["PermissionsBoundary"] == boundary for each in machines)
    assert not resources("AWS::IAM::Role")  # SAM makes all


def test_an_event_that_cleanup_fails_on_is_kept() -> None:
    queue = resources("AWS::Serverless::Function")["CleanupFunction"]["DeadLetterQueue"]
    assert queue == {"Type": "SQS", "TargetArn": {"GetAtt": "CleanupFailures.Arn"}}
    assert resources("AWS::SQS::Queue")["CleanupFailures"]["SqsManagedSseEnabled"] is True


def test_whoever_starts_jobs_may_invoke_the_trigger_and_nobody_else() -> None:
    permissions = {
        name: (template()["Resources"][name]["Condition"], each)
        for name, each in resources("AWS::Lambda::Permission").items()
    }
    assert {each["FunctionName"]["Ref"] for _, each in permissions.values()} == {"TriggerFunction"}
    assert {
        name: (condition, each["Principal"]) for name, (condition, each) in permissions.items()
    } == {
        "InboxPermission": ("HasInbox", "s3.amazonaws.com"),
        "SchedulePermission": ("HasSchedule", "events.amazonaws.com"),
    }
    # A bucket of this name could be somebody else's by then.
    assert permissions["InboxPermission"][1]["SourceAccount"] == {"Ref": "AWS::AccountId"}
    output = template()["Outputs"][FUNCTION_OUTPUT]
    assert output["Condition"] == "HasInbox"
    assert output["Value"] == {"GetAtt": "TriggerFunction.Arn"}


def test_a_schedule_gives_each_of_its_events_another_time() -> None:
    rule = resources("AWS::Events::Rule")["Schedule"]
    (target,) = rule["Targets"]
    made = target["InputTransformer"]["InputTemplate"]["Sub"]
    event = made.replace("${ScheduledJob}", "schedule/nightly.json")
    assert set(target["InputTransformer"]["InputPathsMap"]) == {"time"}
    task = TriggerTask.from_event(json.loads(event.replace("<time>", '"2026-01-02T03:00:00Z"')))
    assert (task.job, task.time) == ("schedule/nightly.json", "2026-01-02T03:00:00Z")
    pattern = template()["Parameters"]["ScheduledJob"]["AllowedPattern"]
    assert re.fullmatch(pattern, "schedule/nightly.json")
    assert not re.fullmatch(pattern, 'a", "name": "b.json')  # it stands in a JSON text


def test_nothing_of_a_users_own_expires_unless_it_is_asked_for() -> None:
    rules = resources("AWS::S3::Bucket")["Bucket"]["LifecycleConfiguration"]["Rules"]
    always = [each for each in rules if each["Status"] == "Enabled"]
    assert [{*each} for each in always] == [
        {"Id", "Status", "AbortIncompleteMultipartUpload"},
        {"Id", "Status", "Prefix", "ExpirationInDays"},
    ]
    assert always[1]["Prefix"] == keys.fits_prefix()  # copies, which the estimators delete at once
    chosen = {each["Prefix"]: each["Status"]["If"] for each in rules if each not in always}
    assert chosen == {
        "jobs/": ["JobsExpire", "Enabled", "Disabled"],
        "code/": ["JobsExpire", "Enabled", "Disabled"],
        "datasets/": ["DataSetsExpire", "Enabled", "Disabled"],
    }
    assert [
        template()["Parameters"][name]["Default"]
        for name in ("JobExpirationDays", "DataSetExpirationDays")
    ] == [0, 0]


@pytest.mark.parametrize("package", [*FUNCTION_PACKAGES.values(), SERVER_PACKAGE])
def test_the_wheel_has_every_source_and_requirement_of_a_package(package: Package) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = set(pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    named = (*package.sources, *package.requirements)
    assert {name.split("/")[0] for name in named} <= packaged
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert package.files()


def test_every_variable_that_the_code_reads_is_set() -> None:
    given = template()["Globals"]["Function"]["Environment"]["Variables"].keys()
    text = (ROOT / "templates" / "template.yaml").read_text()
    optional = set(re.findall(r"# (STEPML_\w+), optional:", text))
    assert optional == {
        "STEPML_CA_FILE",
        "STEPML_EPOCHS_AN_EXECUTION",
        "STEPML_MODULES",
        "STEPML_PARAMETER_SERVER_CERTIFICATE_FILE",
        "STEPML_PARAMETER_SERVER_KEY_FILE",
    }
    assert _variables("storage/factory.py") <= given | optional
    assert _variables("ps_server/protocol/addresses.py") <= given | optional
    for path in sorted((ROOT / "lambdas").glob("*/*.py")):
        assert _variables(str(path.relative_to(ROOT))) <= given | optional, path
    for path in sorted((ROOT / "lambdas").glob("*.py")):
        own = {
            name
            for properties in resources("AWS::Serverless::Function").values()
            if handler_of(properties) == f"lambdas.{path.stem}.handler"
            for name in properties.get("Environment", {}).get("Variables", {})
        }
        assert _variables(f"lambdas/{path.name}") <= given | optional | own, path.name


def _variables(path: str) -> set[str]:
    return set(re.findall(r"\bSTEPML_[A-Z_]+\b", (ROOT / path).read_text()))


def test_a_certificate_of_stepml_fits_into_the_environment_of_a_function() -> None:
    """Lambda allows 4 KB for all variables; other variables get half of that here."""
    certificate, _ = self_signed_certificate(
        ["ps." + "x" * 60 + ".example.com", "10.74.0.10"], days=3650
    )
    assert len(certificate) < 1024
    names = template()["Globals"]["Function"]["Environment"]["Variables"]
    assert sum(map(len, names)) + len(certificate) + 2048 < 4096


def test_functions_without_a_channel_have_an_empty_value_for_each_secret() -> None:
    given = template()["Globals"]["Function"]["Environment"]["Variables"]
    hidden = {name for name, each in template()["Parameters"].items() if each.get("NoEcho")}
    secret = {
        name
        for name, value in given.items()
        if "resolve:secretsmanager" in json.dumps(value)
        or any(f'"Ref": "{each}"' in json.dumps(value) for each in hidden)
    }
    assert len(secret) == 3
    for logical, properties in resources("AWS::Serverless::Function").items():
        own = properties.get("Environment", {}).get("Variables", {})
        emptied = {name for name in secret if own.get(name) == ""}
        assert emptied == (set() if "VpcConfig" in properties else secret), logical


def test_logs_are_kept_for_a_time_that_the_service_accepts() -> None:
    days = template()["Parameters"]["LogRetentionDays"]
    logs = botocore.session.get_session().get_service_model("logs")
    text = logs.shape_for("Days").documentation.partition("Possible values are:")[2]
    accepted = [int(each) for each in re.findall(r"[0-9]+", text.partition(".")[0])]
    assert days["AllowedValues"] == accepted
    assert days["Default"] in accepted


def test_a_bucket_outlives_its_stack_unless_the_stack_was_never_there() -> None:
    bucket = template()["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"


def test_the_source_template_cannot_be_deployed_without_its_libraries() -> None:
    # `sam build` copies a CodeUri that exists, and would succeed with a folder of the checkout.
    for logical in resources("AWS::Serverless::Function"):
        assert not (ROOT / package_of(logical)).exists()


def test_functions_that_exchange_and_no_others_reach_the_channels() -> None:
    functions = resources("AWS::Serverless::Function")
    in_network = {name for name, each in functions.items() if "VpcConfig" in each}
    allowed = {
        name
        for name, each in functions.items()
        if {"Ref": "ExchangePolicy"} in each.get("Policies", [])
    }
    assert allowed == EXCHANGING
    # It asks the parameter server for room, and exchanges nothing.
    assert in_network == EXCHANGING | {"InitialiseFunction", "InitialiseTorchFunction"}
    condition, inside, outside = functions["ExecutorFunction"]["VpcConfig"]["If"]
    assert (condition, outside) == ("HasVpc", {"Ref": "AWS::NoValue"})
    assert inside.keys() == {"SubnetIds", "SecurityGroupIds"}
    assert all(functions[name]["VpcConfig"]["If"][1] == inside for name in in_network)


def test_functions_may_call_just_the_actions_of_dynamodb_that_the_channel_does() -> None:
    source = (ROOT / "storage" / "dynamodb.py").read_text()
    called = re.findall(r"_client\.(?!get_paginator|close)(\w+)\(", source)
    called += re.findall(r"get_paginator\(\"(\w+)\"\)", source)
    actions = {"dynamodb:" + name.title().replace("_", "") for name in called}
    policy = resources("AWS::IAM::ManagedPolicy")["ExchangePolicy"]["PolicyDocument"]
    (statement,) = policy["Statement"]
    assert set(statement["Action"]) == actions
    assert statement["Resource"] == {"GetAtt": "ExchangeTable.Arn"}


def test_every_handler_has_a_function() -> None:
    handlers = {
        f"lambdas.{path.stem}.handler"
        for path in (ROOT / "lambdas").glob("*.py")
        if "\ndef handler(" in path.read_text()
    }
    functions = resources("AWS::Serverless::Function").values()
    assert {handler_of(properties) for properties in functions} == handlers


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_parent_may_start_see_and_stop_its_epochs() -> None:
    policies = resources("AWS::Serverless::StateMachine")["TrainStateMachine"]["Policies"]
    actions = {
        action
        for policy in policies
        for statement in policy.get("Statement", [])
        for action in as_list(statement["Action"])
    }
    assert actions == {
        "states:StartExecution",
        "states:DescribeExecution",
        "states:StopExecution",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
    }
    templates = {next(iter(policy)) for policy in policies}
    assert {"LambdaInvokePolicy", "StepFunctionsExecutionPolicy"} <= templates


def logical_name(function: dict[str, str]) -> str:
    """Return the template's name of a function that is given by a reference or by its own name."""
    if "Ref" in function:
        return function["Ref"]
    named = resources("AWS::Serverless::Function").items()
    (found,) = (logical for logical, each in named if each["FunctionName"] == function)
    return found


def test_each_machine_may_invoke_just_the_functions_that_it_names() -> None:
    machines = resources("AWS::Serverless::StateMachine")
    for name in MACHINES:
        logical = f"{name.title()}StateMachine"
        allowed = {
            logical_name(policy["LambdaInvokePolicy"]["FunctionName"])
            for policy in machines[logical]["Policies"]
            if "LambdaInvokePolicy" in policy
        }
        tasks = [each for each in states(machine(name)) if each[1]["Type"] == "Task"]
        assert allowed == set().union(*(invoked_functions(*each) for each in tasks))


def test_the_error_tree_in_the_module_is_complete() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"\w+Error", errors.__doc__))
    assert drawn == {name for name in error_classes() if name.endswith("Error")}


def test_no_generated_or_foreign_file_is_checked_in() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile(
        r"(^|/)(build|dist|runs|\.venv|__pycache__|node_modules)/|\.(pyc|csv|whl)$"
    )
    assert not [name for name in listed.stdout.splitlines() if forbidden.search(name)]

"""The gaps of unmodified moto: if a check fails here, its seam can go."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest


def _source(thing: Any) -> str:
    return inspect.getsource(thing)


def _lacks(thing: Any, text: str) -> bool:
    return text not in _source(thing)


def _last_line(thing: Any) -> str:
    return _source(thing).splitlines()[-1]


def _refuses_states_errors() -> bool:
    from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
        CustomErrorName,
    )

    with pytest.raises(ValueError, match="MUST NOT begin"):
        CustomErrorName("States.Timeout")
    return True


def _writes_after_the_end() -> bool:
    from moto.stepfunctions.parser.api import HistoryEventType
    from moto.stepfunctions.parser.asl.eval.event.event_manager import (
        EventHistoryContext,
        EventManager,
    )

    manager: Any = EventManager()
    for event_type in (HistoryEventType.ExecutionAborted, HistoryEventType.TaskSucceeded):
        manager.add_event(EventHistoryContext.of_program_start(), event_type)
    return len(manager.get_event_history()) == 2


def _misreads_paths(extract: Any) -> bool:
    from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

    data = {"none": [], "one": [{"a": {"b": 1}}]}
    with pytest.raises(NoSuchJsonPathError):
        extract("$.none[*].a[*]", data)
    return (extract("$.one[*].a.b", data), extract("$.one[0].a", data)) == (1, [{"b": 1}])


def _changes_without_a_revision() -> bool:
    from moto.stepfunctions.models import StateMachine

    machine = StateMachine("arn", "name", "{}", "role", backend=None)  # type: ignore[arg-type]
    machine.update(definition='{"new": 1}')
    return not hasattr(machine, "revision_id")


def _fails_when_a_key_goes() -> bool:
    from moto.s3.utils import _VersionedKeyStore

    store: Any = _VersionedKeyStore({"a": [1], "b": [2]})
    items = store._iteritems()
    next(items)
    del store["b"]
    with pytest.raises(KeyError):
        next(items)
    return True


def _counts_blanks() -> bool:
    from moto.stepfunctions.parser.quotas import is_within_size_quota

    compact = [0] * ((262_144 - 1) // 2)
    return not is_within_size_quota(compact)


def _leaves_refusals_unnamed() -> bool:
    from moto.stepfunctions.parser.api import InvalidDefinition
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    with pytest.raises(InvalidDefinition) as refused:
        StepFunctionsParserBackend._validate_definition("{}")
    return not refused.value.error_type


def _keeps_non_empty_buckets_silently() -> bool:
    from moto.s3.models import S3Backend, s3_backends

    backend = S3Backend("aws", "123456789012")
    backend.create_bucket("full-bucket", "us-east-1")
    backend.put_object("full-bucket", "key", b"value")
    is_kept = backend.delete_bucket("full-bucket") is None
    backend.reset()
    s3_backends.bucket_accounts.pop("full-bucket", None)
    return is_kept


def still_needed() -> dict[str, Any]:
    """Return, for each seam, whether the installed moto still needs it."""
    from moto.autoscaling.models import FakeAutoScalingGroup
    from moto.awslambda.models import (
        LambdaFunction,
        LambdaStorage,
        LambdaVersion,
        Permission,
    )
    from moto.awslambda_simple.models import LambdaSimpleBackend
    from moto.cloudformation import parsing
    from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.cloudformation.utils import get_stack_from_s3_url
    from moto.core import errors
    from moto.core.common_models import BaseModel
    from moto.core.responses import BaseResponse
    from moto.dynamodb.models.table import Table
    from moto.dynamodb.responses import DynamoHandler
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.route_tables import RouteTable
    from moto.ec2.models.vpcs import VPCEndPoint
    from moto.iam.models import ManagedPolicy, Role
    from moto.logs.models import LogGroup
    from moto.s3 import notifications
    from moto.s3.models import FakeBucket, FakeKey, S3Backend
    from moto.s3.responses import S3Response
    from moto.s3.utils import _VersionedKeyStore
    from moto.stepfunctions.models import StateMachine, StepFunctionBackend
    from moto.stepfunctions.parser.asl.component import eval_component
    from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
        ErrorEqualsDecl,
    )
    from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
        FailureEvent,
        FailureEventException,
    )
    from moto.stepfunctions.parser.asl.component.common.path.result_path import ResultPath
    from moto.stepfunctions.parser.asl.component.common.string import string_expression
    from moto.stepfunctions.parser.asl.component.intrinsic.argument import argument
    from moto.stepfunctions.parser.asl.component.program.program import Program
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
        inline_iteration_component as inline,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
        iteration_worker,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_callback as callback,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_sfn as nested,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (  # noqa: E501
        StateTaskService,
    )
    from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
    from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
    from moto.stepfunctions.parser.asl.utils import boto_client, json_path
    from moto.stepfunctions.parser.backend.execution import (
        BaseExecutionWorkerCommunication,
        Execution,
    )
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    create_machine = StateMachine.create_from_cloudformation_json
    update_machine = StateMachine.update_from_cloudformation_json
    update_function = LambdaFunction.update_from_cloudformation_json
    heap_key: Any = eval_component.EvalComponent.heap_key
    value: Any = FakeKey.value
    stored_etag: Any = FakeKey.etag
    return {
        "ExecutionWorker._get_evaluation_entrypoint": "Parser.parse("
        in _source(ExecutionWorker._get_evaluation_entrypoint),
        "EvalComponent.heap_key": "long_uid()" in _source(heap_key.fget),
        "CustomErrorName.__init__": _refuses_states_errors(),
        "Program.eval": "worker_thread.join" in _source(Program.eval),
        "moto.stepfunctions.parser.asl.component.common.string.string_expression.extract_json": (
            _misreads_paths(vars(string_expression)["extract_json"])
        ),
        "moto.stepfunctions.parser.asl.component.intrinsic.argument.argument.extract_json": (
            _misreads_paths(vars(argument)["extract_json"])
        ),
        "moto.stepfunctions.parser.asl.component.common.path.result_path.parse": (
            "= parse(" in _source(ResultPath._eval_body)
        ),
        "moto.stepfunctions.parser.asl.utils.json_path.parse": (
            "= parse(" in _source(json_path.extract_json)
        ),
        "EventManager.__init__": _lacks(EventManager, "Terminal"),
        "EventManager._publish_history_event": _writes_after_the_end(),
        "EventManager.add_event": _lacks(EventManager, "25"),
        "CommonStateField._eval_body": _lacks(CommonStateField, "checkpoint"),
        "Execution.__init__": _lacks(Execution, "Event()"),
        "ExecutionWorker._get_evaluation_environment": _lacks(ExecutionWorker, "RedriveCount"),
        "Execution.announce": not hasattr(Execution, "announce"),
        "ExecutionWorker.start": _lacks(ExecutionWorker, "except"),
        "BaseExecutionWorkerCommunication.terminated": _lacks(
            BaseExecutionWorkerCommunication, "RUNNING"
        ),
        "Execution.stop": _lacks(Execution.stop, "ABORTED"),
        "InlineIterationComponent._eval_body": _lacks(inline, "40"),
        "IterationWorker._eval_pool": "self._eval_pool("
        in _source(iteration_worker.IterationWorker._eval_pool),
        "StateTaskServiceSfn._eval_service_task": "boto_client_for"
        in _source(nested.StateTaskServiceSfn._eval_service_task)
        and "cache" not in _source(boto_client),
        "StateTaskServiceSfn._eval_integration_pattern": "time.sleep" in _source(callback),
        **{
            f"moto.stepfunctions.parser.asl.component.state.{module}.is_within_size_quota": (
                _counts_blanks()
            )
            for module in (
                "state",
                "exec.state_task.state_task_lambda",
                "exec.state_task.service.state_task_service",
            )
        },
        "StateTaskService._before_eval_execution": _lacks(
            StateTaskService._before_eval_execution, "quota"
        ),
        "ErrorEqualsDecl._eval_body": _lacks(ErrorEqualsDecl._eval_body, "Runtime"),
        "FailureEvent.__init__": _lacks(FailureEvent.__init__, "32"),
        "FailureEventException.get_execution_failed_event_details": _lacks(
            FailureEventException.get_execution_failed_event_details, "32"
        ),
        "BaseResponse.call_action": _lacks(BaseResponse.call_action, "ValidationException"),
        "StepFunctionsParserBackend._validate_definition": _leaves_refusals_unnamed(),
        "StepFunctionsParserBackend.start_execution": _lacks(
            StepFunctionsParserBackend.start_execution, "_validate_name"
        ),
        "StepFunctionResponse.stop_execution": _lacks(
            StepFunctionResponse.stop_execution, '"cause"'
        ),
        "StepFunctionResponse.redrive_execution": not hasattr(
            StepFunctionResponse, "redrive_execution"
        ),
        "StepFunctionResponse.describe_execution": _lacks(
            StepFunctionResponse.describe_execution, "redrive"
        ),
        "StepFunctionResponse.list_executions": _lacks(
            StepFunctionResponse.list_executions, "redrive"
        ),
        **{
            f"StepFunctionResponse.{operation}": not hasattr(StepFunctionResponse, operation)
            for operation in (
                "publish_state_machine_version",
                "list_state_machine_versions",
                "delete_state_machine_version",
                "test_state",
                "validate_state_machine_definition",
            )
        },
        "StepFunctionsParserBackend.describe_map_run": _lacks(
            StepFunctionsParserBackend.describe_map_run, "None else"
        ),
        "StepFunctionsParserBackend.update_map_run": _lacks(
            StepFunctionsParserBackend.update_map_run, "None else"
        ),
        "StepFunctionBackend.describe_state_machine_alias": "rsplit"
        in _source(StepFunctionBackend.describe_state_machine_alias),
        "StepFunctionBackend.delete_state_machine_alias": "rsplit"
        in _source(StepFunctionBackend.delete_state_machine_alias),
        "S3Backend.create_bucket": _lacks(S3Backend.create_bucket, "match"),
        "S3Backend.list_objects": _lacks(S3Backend.list_objects, "1000"),
        "S3Backend.list_objects_v2": _lacks(S3Backend.list_objects_v2, "1000"),
        "S3Response._key_response": _lacks(S3Response._key_response, "1024"),
        "S3Response._bucket_response_delete_keys": _lacks(
            S3Response._bucket_response_delete_keys, "1000"
        ),
        "DynamoHandler.batch_write_item": _lacks(DynamoHandler.batch_write_item, "25"),
        "S3Response._authenticate_and_authorize_s3_action": "check_signature"
        in _source(S3Response._authenticate_and_authorize_action),
        "FakeBucket.get_permission": _lacks(FakeBucket.get_permission, "condition"),
        "FakeBucket.create_from_cloudformation_json": _lacks(
            FakeBucket.create_from_cloudformation_json, "ifecycle"
        ),
        "FakeBucket.update_from_cloudformation_json": _lacks(
            FakeBucket.update_from_cloudformation_json, "ifecycle"
        ),
        "Role.create_from_cloudformation_json": _lacks(
            Role.create_from_cloudformation_json, "ManagedPolicyArns"
        ),
        "Role.delete_from_cloudformation_json": _lacks(
            Role.delete_from_cloudformation_json, "managed_policies"
        ),
        **{
            f"ManagedPolicy.{change}_from_cloudformation_json": hasattr(
                getattr(ManagedPolicy, f"{change}_from_cloudformation_json"), "__isabstractmethod__"
            )
            for change in ("update", "delete")
        },
        "StateMachine.publish": _lacks(StateMachine.publish, "revision"),
        "StepFunctionBackend.create_state_machine_alias": _lacks(
            StepFunctionBackend.create_state_machine_alias, "Conflict"
        ),
        "StepFunctionBackend.update_state_machine_alias": _lacks(
            StepFunctionBackend.update_state_machine_alias, "versions"
        ),
        "StepFunctionsParserBackend.create_state_machine": _lacks(
            StepFunctionBackend.create_state_machine, "AlreadyExists"
        ),
        "StepFunctionResponse.update_state_machine": _lacks(
            StepFunctionResponse.update_state_machine, "revision"
        ),
        "StateMachine.update": _changes_without_a_revision(),
        "StepFunctionResponse._describe_state_machine": _lacks(
            StepFunctionResponse._describe_state_machine, "revisionId"
        ),
        "StepFunctionResponse.describe_state_machine_for_execution": _lacks(
            StepFunctionResponse.describe_state_machine_for_execution, "definition"
        ),
        "StepFunctionResponse.get_execution_history": _lacks(
            StepFunctionResponse.get_execution_history, "reverseOrder"
        ),
        "StateTaskServiceLambda._eval_service_task": "boto_client_for"
        in _source(lambda_eval_utils),
        "LambdaResponse.invoke": "happy path" in _source(LambdaSimpleBackend.invoke),
        "ErrorLookupFactory._create_error_lut": "ErrorLookupFactory()."
        in _source(errors.get_error_model),
        "BaseModel.__new__": "instances_tracked.append" in _source(BaseModel),
        "S3Backend.complete_multipart_upload": _lacks(
            S3Backend.complete_multipart_upload, "dispose"
        ),
        "moto.s3.notifications._get_s3_event": _lacks(notifications._get_s3_event, "sequencer"),
        "moto.s3.notifications._invoke_awslambda": "func.invoke("
        in _source(notifications._invoke_awslambda),
        "FakeKey.value": "_value_buffer" in _source(value.fget),
        "FakeKey.etag": _lacks(stored_etag.fget, "self.lock"),
        "Table.put_item": _lacks(Table.put_item, "with "),
        "S3Response.put_object": _lacks(S3Response.put_object, "with "),
        "_VersionedKeyStore.items": _fails_when_a_key_goes(),
        "_VersionedKeyStore.item_size": not _lacks(_VersionedKeyStore.item_size, "getsizeof"),
        **{
            f"CloudFormationBackend.{operation}": _lacks(
                getattr(CloudFormationBackend, operation), "Transform"
            )
            for operation in ("create_stack", "update_stack", "create_change_set")
        },
        **{
            f"CloudFormationResponse.{operation}": _lacks(
                getattr(CloudFormationResponse, operation), "apabilities"
            )
            for operation in ("create_stack", "update_stack", "create_change_set")
        },
        "CloudFormationResponse._get_stack_from_s3_url": _lacks(get_stack_from_s3_url, "127"),
        "CloudFormationBackend.execute_change_set": "implement rollback"
        in _source(CloudFormationBackend.execute_change_set),
        "CloudFormationBackend.delete_change_set": _lacks(
            CloudFormationBackend.delete_change_set, "raise"
        ),
        "CloudFormationBackend.describe_change_set": _lacks(
            CloudFormationBackend.describe_change_set, "ChangeSetNotFound"
        ),
        "moto.cloudformation.parsing.parse_and_create_resource": _lacks(
            parsing.parse_and_create_resource, "Event"
        ),
        "moto.cloudformation.parsing.parse_resource": _lacks(parsing.parse_resource, "resolve:"),
        **{
            f"FakeAutoScalingGroup.{name}": _lacks(getattr(FakeAutoScalingGroup, name), "program")
            for name in (
                "create_from_cloudformation_json",
                "update_from_cloudformation_json",
                "delete",
            )
        },
        "NetworkInterface.delete": "(self)" in _source(NetworkInterface.delete),
        **{
            f"{each.__name__}.delete_from_cloudformation_json": hasattr(
                each.delete_from_cloudformation_json, "__isabstractmethod__"
            )
            for each in (RouteTable, VPCEndPoint)
        },
        "ResourceMap._delete_resource": _lacks(parsing.ResourceMap._delete_resource, "Event"),
        "ChangeSet.diff": _lacks(ChangeSet.diff, "parameters"),
        "ChangeSet._parse_template": "json" in _last_line(ChangeSet._parse_template),
        "Stack.parse_template": "json" in _last_line(Stack.parse_template),
        "Stack.create_resources": _lacks(Stack.create_resources, "except"),
        "Stack.update": _lacks(Stack.update, "except"),
        "ResourceMap.build_resource_diff": _lacks(
            parsing.ResourceMap.build_resource_diff, "ondition"
        ),
        "ResourceMap.delete": _lacks(parsing.ResourceMap.delete, "RetainExceptOnCreate"),
        "ResourceMap.load_parameters": _lacks(parsing.ResourceMap.load_parameters, "Allowed"),
        "ResourceMap.update": _lacks(parsing.ResourceMap.update, "pop("),
        "CloudFormationBackend.delete_stack": _lacks(
            CloudFormationBackend.delete_stack, "DELETE_FAILED"
        ),
        "moto.cloudformation.parsing.get_references_from_template": "Parameter"
        not in parsing.get_references_from_template({"Fn::Sub": "${Parameter}"}),
        "moto.cloudformation.parsing.parse_and_update_resource": "return None"
        in _source(parsing.parse_and_update_resource),
        "StateMachine.create_from_cloudformation_json": _lacks(
            create_machine, "DefinitionS3Location"
        ),
        "StateMachine.update_from_cloudformation_json": _lacks(
            update_machine, "DefinitionS3Location"
        ),
        "StateMachine.delete_from_cloudformation_json": _lacks(
            StateMachine.delete_from_cloudformation_json, "parser"
        ),
        "StateMachine.has_cfn_attr": not StateMachine.has_cfn_attr("Arn"),
        "StateMachine.get_cfn_attribute": _lacks(StateMachine.get_cfn_attribute, '"Arn"'),
        "LambdaStorage.publish_version": "len(all_versions) + 1"
        in _source(LambdaStorage.publish_version),
        "LambdaVersion.create_from_cloudformation_json": _lacks(
            LambdaVersion.create_from_cloudformation_json, "Description"
        ),
        **{
            f"LambdaVersion.{name}": name not in vars(LambdaVersion)
            for name in (
                "update_from_cloudformation_json",
                "physical_resource_id",
                "has_cfn_attr",
                "get_cfn_attribute",
            )
        },
        "LambdaFunction.create_from_cloudformation_json": _lacks(
            LambdaFunction.create_from_cloudformation_json, "LoggingConfig"
        ),
        "LambdaFunction.update_from_cloudformation_json": _lacks(update_function, "FunctionName"),
        "Role.update_from_cloudformation_json": _lacks(
            Role.update_from_cloudformation_json, "Policies"
        ),
        "LogGroup.update_from_cloudformation_json": hasattr(
            LogGroup.update_from_cloudformation_json, "__isabstractmethod__"
        ),
        "FakeBucket.delete_from_cloudformation_json": _keeps_non_empty_buckets_silently(),
        "Table.create_from_cloudformation_json": _lacks(
            Table.create_from_cloudformation_json, "TimeToLive"
        ),
        "Table.update_from_cloudformation_json": hasattr(
            Table.update_from_cloudformation_json, "__isabstractmethod__"
        ),
        "Permission.update_from_cloudformation_json": hasattr(
            Permission.update_from_cloudformation_json, "__isabstractmethod__"
        ),
    }


def test_every_seam_is_still_needed_by_moto() -> None:
    needed = still_needed()
    assert [label for label, is_needed in needed.items() if not is_needed] == []


def test_every_seam_has_a_reason_and_a_check(tmp_path: Path) -> None:
    from stepml.local import error_tables, items, objects, permissions, requests, service_limits
    from stepml.local.caches import Caches
    from stepml.local.cloudformation import cloudformation_seams
    from stepml.local.code_store import CodeStore
    from stepml.local.engine import engine_seams
    from stepml.local.functions import FunctionPool
    from stepml.local.lambda_api import LambdaApi
    from stepml.local.notifications import notification_seams
    from stepml.local.stack_servers.servers import StackServers

    pool = FunctionPool(
        endpoint_url="http://127.0.0.1:1",
        region="us-east-1",
        account_id="123456789012",
        write_logs=lambda group, stream, events: None,
    )
    functions = LambdaApi(pool, CodeStore(Path("unused")))
    caches = Caches(4566, tmp_path)
    groups = [
        functions.seams(),
        notification_seams(functions),
        objects.seams,
        items.seams,
        requests.seams,
        service_limits.seams,
        permissions.seams,
        error_tables.seams,
        *cloudformation_seams(StackServers(4576, tmp_path), "http://127.0.0.1:1", 4576),
        *engine_seams(functions, caches),
    ]
    seams = [seam for group in groups for seam in group]
    pool.close()
    caches.close()
    assert {seam.label for seam in seams} == set(still_needed())
    assert all(seam.why for seam in seams)

"""AWS::StepFunctions::StateMachine: definitions in S3, substitutions, change and deletion."""

from __future__ import annotations

import json
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.s3.models import s3_backends
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.utilities.utils import get_partition

from stepml.local.engine.revisions import INITIAL, revision_id
from stepml.local.seams import Seams

seams = Seams()

_has_attr = vars(StateMachine)["has_cfn_attr"].__func__
_get_attr = StateMachine.get_cfn_attribute


@seams.replaces(
    StateMachine,
    "create_from_cloudformation_json",
    why="supports only DefinitionString, and uses a backend that cannot run the machine",
    kind=classmethod,
)
def create_state_machine(
    cls: Any,
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **kwargs: Any,
) -> Any:
    properties = cloudformation_json["Properties"]
    return stepfunctions_parser_backends[account_id][region_name].create_state_machine(
        name=properties.get("StateMachineName", resource_name),
        definition=definition(properties, account_id, region_name),
        roleArn=properties["RoleArn"],
        tags=_tags(properties),
        loggingConfiguration=_logging(properties),
        sm_type=properties.get("StateMachineType"),
    )


@seams.replaces(
    StateMachine,
    "update_from_cloudformation_json",
    why="ignores a new definition in S3",
    kind=classmethod,
)
def update_state_machine(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    if properties.get("StateMachineName", original_resource.name) != original_resource.name:
        replacement = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )
        cls.delete_from_cloudformation_json(
            original_resource.arn, cloudformation_json, account_id, region_name
        )
        return replacement
    return stepfunctions_parser_backends[account_id][region_name].update_state_machine(
        original_resource.arn,
        definition=definition(properties, account_id, region_name),
        role_arn=properties["RoleArn"],
        logging_configuration=_logging(properties),
    )


@seams.replaces(
    StateMachine,
    "delete_from_cloudformation_json",
    why="deletes in a backend that does not have the machine",
    kind=classmethod,
)
def delete_state_machine(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    stepfunctions_parser_backends[account_id][region_name].delete_state_machine(resource_name)


@seams.replaces(
    StateMachine,
    "has_cfn_attr",
    why="has neither ARN nor revision",
    kind=classmethod,
)
def has_state_machine_attr(cls: Any, attr: str) -> bool:
    return attr in ("Arn", "StateMachineRevisionId") or _has_attr(cls, attr)


@seams.replaces(StateMachine, "get_cfn_attribute", why="has neither ARN nor revision")
def get_state_machine_attr(self: Any, attribute_name: str) -> Any:
    if attribute_name == "Arn":
        return self.arn
    if attribute_name == "StateMachineRevisionId":
        return revision_id(self) or INITIAL
    return _get_attr(self, attribute_name)


def definition(properties: dict[str, Any], account_id: str, region_name: str) -> str:
    """Return the ASL text of a state machine's ``properties``, with substitutions."""
    if "DefinitionS3Location" in properties:
        location = properties["DefinitionS3Location"]
        stored = s3_backends[account_id][get_partition(region_name)].get_object(
            location["Bucket"], location["Key"]
        )
        if stored is None:
            raise JsonRESTError(
                "NoSuchKey", f"no state machine at s3://{location['Bucket']}/{location['Key']}"
            )
        text = stored.value.decode()
    elif "DefinitionString" in properties:
        text = properties["DefinitionString"]
    else:
        text = json.dumps(properties["Definition"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", str(value))
    return text


def _tags(properties: dict[str, Any]) -> list[dict[str, str]]:
    return [{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])]


def _logging(properties: dict[str, Any]) -> Any:
    """Return LoggingConfiguration in the API's spelling."""
    given = properties.get("LoggingConfiguration")
    if given is None:
        return None
    configuration = {
        "level": given.get("Level", "OFF"),
        "includeExecutionData": given.get("IncludeExecutionData", False),
    }
    groups = [
        {"cloudWatchLogsLogGroup": {"logGroupArn": item["CloudWatchLogsLogGroup"]["LogGroupArn"]}}
        for item in given.get("Destinations", [])
    ]
    return {**configuration, "destinations": groups} if groups else configuration

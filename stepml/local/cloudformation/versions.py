"""Versions and aliases of functions, and versions of state machines.

Another property makes another version or alias; the one before remains, as ``UpdateReplacePolicy:
Retain`` says.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.awslambda.exceptions import ConflictException
from moto.awslambda.models import LambdaStorage, LambdaVersion
from moto.awslambda_simple.models import lambda_simple_backends
from moto.core.common_models import CloudFormationModel
from moto.core.utils import iso_8601_datetime_with_nanoseconds
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from stepml.local.seams import Seams

seams = Seams()

VERSION, ALIAS = "AWS::Lambda::Version", "AWS::Lambda::Alias"
MACHINE_VERSION = "AWS::StepFunctions::StateMachineVersion"


@seams.replaces(
    LambdaStorage, "publish_version", why="gives a number again when a version has been deleted"
)
def publish_version(self: Any, name_or_arn: str, description: str = "") -> Any:
    function = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    versions = self._functions[function.function_name]["versions"]
    if versions and not function.code_or_config_updated:
        return versions[-1]
    function.code_or_config_updated = False
    function.last_number = getattr(function, "last_number", 0) + 1
    version = copy.copy(function)
    version.set_version(function.last_number)
    version.description = description or function.description
    version.last_modified = iso_8601_datetime_with_nanoseconds()
    versions.append(version)
    self._arns[version.function_arn] = version
    return version


@seams.replaces(
    LambdaVersion,
    "create_from_cloudformation_json",
    why="knows neither the ARN nor the description",
    kind=classmethod,
)
def create_version(
    cls: Any,
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **kwargs: Any,
) -> Any:
    given = cloudformation_json["Properties"]
    backend: Any = lambda_simple_backends[account_id][region_name]
    function = backend.publish_version(given["FunctionName"], given.get("Description", ""))
    made = cls({"Version": str(function.version)})
    made.arn, made.given = function.function_arn, given
    return made


@seams.replaces(
    LambdaVersion, "update_from_cloudformation_json", why="has no update", kind=classmethod
)
def same_or_another(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    if cloudformation_json["Properties"] == original_resource.given:
        return original_resource
    return cls.create_from_cloudformation_json(
        new_resource_name, cloudformation_json, account_id, region_name
    )


@seams.replaces(
    LambdaVersion, "physical_resource_id", why="has an ARN that nobody sets", kind=property
)
def version_arn(self: Any) -> str:
    return str(self.arn)


@seams.replaces(LambdaVersion, "has_cfn_attr", why="has no number", kind=classmethod)
def has_version_attr(cls: Any, attr: str) -> bool:
    return attr == "Version"


@seams.replaces(LambdaVersion, "get_cfn_attribute", why="has no number")
def version_attr(self: Any, attribute_name: str) -> str:
    return str(self.version)


class _Replaced:
    """A resource of which every change makes another one."""

    def __init__(self, arn: str, given: Any) -> None:
        self.arn = arn
        self.given = given

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @property
    def physical_resource_id(self) -> str:
        return self.arn

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        given = cloudformation_json["Properties"]
        return cls(cls.make(given, account_id, region_name), given)

    update_from_cloudformation_json = classmethod(same_or_another)

    @classmethod
    def make(cls, given: Any, account_id: str, region_name: str) -> str:
        """Make what the properties describe, and return its ARN."""
        raise NotImplementedError


class AliasOfStack(_Replaced, CloudFormationModel):
    """AWS::Lambda::Alias, which moto's CloudFormation does not have."""

    @staticmethod
    def cloudformation_type() -> str:
        return ALIAS

    @classmethod
    def make(cls, given: Any, account_id: str, region_name: str) -> str:
        backend: Any = lambda_simple_backends[account_id][region_name]
        settings = {
            "name": given["Name"],
            "function_name": given["FunctionName"],
            "function_version": str(given["FunctionVersion"]),
            "description": given.get("Description", ""),
            "routing_config": None,
        }
        try:
            alias = backend.create_alias(**settings)
        except ConflictException:  # a roll-back comes back to an earlier one
            alias = backend.update_alias(**settings)
        return str(alias.arn)


class MachineVersionOfStack(_Replaced, CloudFormationModel):
    """AWS::StepFunctions::StateMachineVersion, which moto's CloudFormation does not have."""

    @staticmethod
    def cloudformation_type() -> str:
        return MACHINE_VERSION

    @classmethod
    def make(cls, given: Any, account_id: str, region_name: str) -> str:
        backend: Any = stepfunctions_parser_backends[account_id][region_name]
        machine = backend.describe_state_machine(given["StateMachineArn"])
        machine.publish(given.get("Description"))
        return str(machine.latest_version.arn)

"""Expands SAM's transform, as CloudFormation does when it gets a template."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.s3.models import s3_backends

from stepml.local.cloudformation.attributes import with_nested_attributes
from stepml.local.seams import Seams
from stepml.local_identity import is_loopback, isolated_session
from stepml.packaging.packages import PYTHON_VERSION
from stepml.packaging.templates import parse_template

seams = Seams()

TRANSFORM = "AWS::Serverless-2016-10-31"
FUNCTION = "AWS::Serverless::Function"
CAPABILITY = "CAPABILITY_AUTO_EXPAND"
# Tests cover how the local AWS creates, changes and deletes these. moto reports unknown types as
# created, so only this list reveals them.
SUPPORTED_TYPES = frozenset(
    {
        "AWS::AutoScaling::AutoScalingGroup",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::DynamoDB::Table",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::NetworkInterface",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCEndpoint",
        "AWS::ElastiCache::CacheCluster",
        "AWS::ElastiCache::ParameterGroup",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::ElastiCache::SubnetGroup",
        "AWS::ElastiCache::User",
        "AWS::ElastiCache::UserGroup",
        "AWS::Events::ApiDestination",
        "AWS::Events::Connection",
        "AWS::Events::Rule",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
        "AWS::StepFunctions::StateMachine",
        "AWS::StepFunctions::StateMachineVersion",
    }
)

_create_stack = CloudFormationBackend.create_stack
_update_stack = CloudFormationBackend.update_stack
_stack_from_s3_url = CloudFormationResponse._get_stack_from_s3_url
_responses: dict[str, Any] = {
    name: vars(CloudFormationResponse)[name]
    for name in ("create_stack", "update_stack", "create_change_set")
}


class InsufficientCapabilitiesError(CloudFormationError):
    """The request does not allow what the template needs."""

    code = "InsufficientCapabilitiesException"


def processed(text: str) -> str:
    """Return the template ``text`` as CloudFormation processes it: expanded, in JSON.

    Raises
    ------
    ValidationError
        SAM refuses the template, or the local AWS lacks one of its types of resources.
    """
    template = parsed(text)
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise ValidationError(
            message="Template format error: At least one Resources member must be defined."
        )
    if template.get("Transform") == TRANSFORM:
        template = expanded(without_images(template))
    template = with_map_values(template, template.get("Mappings", {}))
    require_supported_types(template)
    return json.dumps(with_nested_attributes(template), default=str)


def parsed(text: str) -> Any:
    """Return the content of a template in JSON or YAML."""
    try:
        return parse_template(text)
    except ValueError as error:
        raise ValidationError(message=f"Template format error: {error}") from error


def with_map_values(part: Any, mappings: Mapping[str, Any]) -> Any:
    """Return a part of a template with the values of mappings that it names by constants.

    So resources differ if the mapping does, and are updated.
    """
    if isinstance(part, dict):
        found = part.get("Fn::FindInMap")
        if found and all(isinstance(each, str) for each in found):
            name, first, second = found
            return mappings[name][first][second]
        return {name: with_map_values(each, mappings) for name, each in part.items()}
    if isinstance(part, list):
        return [with_map_values(each, mappings) for each in part]
    return part


def without_images(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``template`` with zip files in the place of functions that are container images.

    The local AWS runs no images. The libraries of an image are those of the Python that runs
    StepML, so it needs the image's context alone, in S3.
    """
    result = copy.deepcopy(dict(template))
    for resource in result["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == FUNCTION and properties.get("PackageType") == "Image":
            for field in ("PackageType", "ImageUri"):
                del properties[field]
            (handler,) = properties.pop("ImageConfig")["Command"]
            context = resource.get("Metadata", {}).get("DockerContext", "")
            runtime = f"python{PYTHON_VERSION}"
            properties |= {"CodeUri": context, "Handler": handler, "Runtime": runtime}
    return result


def expanded(template: Mapping[str, Any]) -> dict[str, Any]:
    """Translate SAM's resources in ``template`` to those of CloudFormation.

    Raises
    ------
    ValidationError
        SAM refuses the template.
    """
    from samtranslator.metrics.metrics import DummyMetricsPublisher, Metrics
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    # Only its region is read; it sends no request.
    session = isolated_session()
    metrics = Metrics("StepML", DummyMetricsPublisher())
    translator = Translator({}, Parser(), None, session, metrics)
    try:
        result: dict[str, Any] = translator.translate(copy.deepcopy(dict(template)), {})
    except InvalidDocumentException as error:
        causes = " ".join(cause.message for cause in error.causes)
        raise ValidationError(
            message=f"Transform {TRANSFORM} failed with: Invalid Serverless Application "
            f"Specification document. Number of errors found: {len(error.causes)}. {causes}"
        ) from error
    finally:
        metrics.publish()  # sends nothing, but without it a warning is logged at exit
    return result


def require_supported_types(template: Mapping[str, Any]) -> None:
    """Raise ValidationError if the local AWS lacks a resource type of ``template``."""
    unsupported = sorted(
        f"{name} ({resource['Type']})"
        for name, resource in template["Resources"].items()
        if resource["Type"] not in SUPPORTED_TYPES
    )
    if unsupported:
        raise ValidationError(
            message=f"the local AWS cannot make {', '.join(unsupported)}; it has "
            f"{', '.join(sorted(SUPPORTED_TYPES))}"
        )


@seams.replaces(CloudFormationBackend, "create_stack", why="expands no transform")
def create_stack(self: Any, name: str, template: str, **settings: Any) -> Any:
    return _create_stack(self, name=name, template=processed(template), **settings)


@seams.replaces(CloudFormationBackend, "update_stack", why="expands no transform")
def update_stack(self: Any, name: str, template: str, **settings: Any) -> Any:
    return _update_stack(self, name=name, template=processed(template), **settings)


@seams.replaces(Stack, "parse_template", why="reads JSON as YAML, which is slow", kind=staticmethod)
def template_content(template: str) -> Any:
    return parsed(template)


@seams.replaces(
    CloudFormationResponse, "_get_stack_from_s3_url", why="misreads addresses of this machine"
)
def stack_from_s3_url(self: Any, template_url: str) -> str:
    if not is_loopback(template_url):
        return str(_stack_from_s3_url(self, template_url))
    bucket, _, key = template_url.partition("://")[2].partition("/")[2].partition("/")
    stored = s3_backends[self.current_account][self.partition].get_object(bucket, key)
    if stored is None:
        raise ValidationError(message=f"S3 error: no template at {template_url}")
    return str(stored.value.decode())


def _capable(name: str) -> Any:
    """Return an operation that refuses a transform unless the request allows it."""

    def operation(self: Any) -> Any:
        text = self._get_param("TemplateBody")
        if not text and (url := self._get_param("TemplateURL")):
            text = self._get_stack_from_s3_url(url)
        if TRANSFORM in (text or "") and CAPABILITY not in self._get_param("Capabilities", []):
            raise InsufficientCapabilitiesError(f"Requires capabilities : [{CAPABILITY}]")
        return _responses[name](self)

    return operation


for _name in _responses:
    seams.replaces(CloudFormationResponse, _name, why="asks for no capabilities")(_capable(_name))

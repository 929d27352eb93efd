"""Targets of rules that stacks make, of types that moto's CloudFormation does not have."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from moto.core.common_models import CloudFormationModel
from moto.events.models import events_backends
from moto.sns.models import sns_backends


class TopicPolicyOfStack(CloudFormationModel):
    """AWS::SNS::TopicPolicy: stored with its topics, and not applied."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Id"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::TopicPolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Self:
        given = cloudformation_json["Properties"]
        for arn in given["Topics"]:
            topic = sns_backends[account_id][region_name].get_topic(arn)
            topic.policy = json.dumps(given["PolicyDocument"])
        return cls(resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Self:
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    def delete(self, account_id: str, region_name: str) -> None:
        """Leave the topics as they are: the stack deletes them, too."""


class _OfEvents:
    """A resource of EventBridge with a name and an ARN.

    moto looks for types among the direct subclasses of its own class.
    """

    create_from_cloudformation_json: ClassVar[Any]
    delete: Any

    def __init__(self, name: str, arn: str) -> None:
        self.physical_resource_id = name
        self.arn = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self.arn

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )


class ConnectionOfStack(_OfEvents, CloudFormationModel):
    """AWS::Events::Connection: the header of requests to an address of the web."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Events::Connection"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Self:
        given = cloudformation_json["Properties"]
        made = events_backends[account_id][region_name].create_connection(
            name=resource_name,
            description=given.get("Description", ""),
            authorization_type=given["AuthorizationType"],
            auth_parameters=given["AuthParameters"],
        )
        return cls(resource_name, made.arn)

    def delete(self, account_id: str, region_name: str) -> None:
        events_backends[account_id][region_name].delete_connection(self.physical_resource_id)


class DestinationOfStack(_OfEvents, CloudFormationModel):
    """AWS::Events::ApiDestination: an address of the web."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Events::ApiDestination"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Self:
        given = cloudformation_json["Properties"]
        made = events_backends[account_id][region_name].create_api_destination(
            name=resource_name,
            description=given.get("Description", ""),
            connection_arn=given["ConnectionArn"],
            invocation_endpoint=given["InvocationEndpoint"],
            invocation_rate_limit_per_second=str(given.get("InvocationRateLimitPerSecond", 300)),
            http_method=given["HttpMethod"],
        )
        return cls(resource_name, made["ApiDestinationArn"])

    def delete(self, account_id: str, region_name: str) -> None:
        events_backends[account_id][region_name].delete_api_destination(self.physical_resource_id)

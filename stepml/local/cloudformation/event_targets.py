"""Targets of rules that stacks make, of types that moto's CloudFormation does not have."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from moto.core.common_models import CloudFormationModel
from moto.events.models import events_backends
from moto.sns.models import sns_backends

from stepml.local.cloudformation.with_arns import WithArn


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


class _OfEvents(WithArn):
    """A resource of EventBridge; a change makes another one."""

    # (backend, name, properties) → ARN, and (backend) → None. moto's class has a metaclass of its
    # own, so these are no abstract methods.
    _made: ClassVar[Any]
    _delete: ClassVar[Any]

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Self:
        backend = events_backends[account_id][region_name]
        arn = cls._made(backend, resource_name, cloudformation_json["Properties"])
        return cls(resource_name, arn)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Self:
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    def delete(self, account_id: str, region_name: str) -> None:
        self._delete(events_backends[account_id][region_name])


class ConnectionOfStack(_OfEvents, CloudFormationModel):
    """AWS::Events::Connection: the header of requests to an address of the web."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Events::Connection"

    @staticmethod
    def _made(backend: Any, name: str, given: Any) -> str:
        made = backend.create_connection(
            name=name,
            description=given.get("Description", ""),
            authorization_type=given["AuthorizationType"],
            auth_parameters=given["AuthParameters"],
        )
        return str(made.arn)

    def _delete(self, backend: Any) -> None:
        backend.delete_connection(self.name)


class DestinationOfStack(_OfEvents, CloudFormationModel):
    """AWS::Events::ApiDestination: an address of the web."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Events::ApiDestination"

    @staticmethod
    def _made(backend: Any, name: str, given: Any) -> str:
        made = backend.create_api_destination(
            name=name,
            description=given.get("Description", ""),
            connection_arn=given["ConnectionArn"],
            invocation_endpoint=given["InvocationEndpoint"],
            invocation_rate_limit_per_second=str(given.get("InvocationRateLimitPerSecond", 300)),
            http_method=given["HttpMethod"],
        )
        return str(made["ApiDestinationArn"])

    def _delete(self, backend: Any) -> None:
        backend.delete_api_destination(self.name)

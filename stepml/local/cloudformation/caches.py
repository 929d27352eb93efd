"""AWS::ElastiCache: resources of stacks that are real servers on this machine.

moto's CloudFormation has none of these types. It finds them among the direct subclasses of
`CloudFormationModel`, so the part that they share is not one.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from moto.core.common_models import CloudFormationModel
from moto.core.exceptions import JsonRESTError

from stepml.local.channel_programs import CacheError
from stepml.local.stack_servers.caches import RedisUser
from stepml.local.stack_servers.elasticache import ElastiCache
from stepml.local_identity import HOST


class _Resource:
    """A resource that has a name, and properties that CloudFormation has resolved."""

    elasticache: ClassVar[ElastiCache]
    kind: ClassVar[str]
    name_property: ClassVar[str] = ""
    given: Any  # the properties

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name_property

    @classmethod
    def cloudformation_type(cls) -> str:
        return f"AWS::ElastiCache::{cls.kind}"

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, *where: Any, **more: Any
    ) -> Self:
        made = cls(resource_name)
        made.given = cloudformation_json["Properties"]
        made.apply(made.given)
        return made

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, **more: Any
    ) -> Any:
        original_resource.given = cloudformation_json["Properties"]
        original_resource.apply(original_resource.given)
        return original_resource

    def apply(self, properties: Any) -> None:
        """Make or change what the properties describe."""

    def resume(self) -> None:
        """Bring back what a local AWS that has ended had made of it."""
        self.apply(self.given)

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete it."""


class SubnetGroup(_Resource, CloudFormationModel):  # type: ignore[misc]
    """A group of subnets; servers are on this machine anyway."""

    kind, name_property = "SubnetGroup", "CacheSubnetGroupName"


class ParameterGroup(_Resource, CloudFormationModel):  # type: ignore[misc]
    """Settings of a server, which are those of the local programs."""

    kind = "ParameterGroup"


class User(_Resource, CloudFormationModel):  # type: ignore[misc]
    """A user of Redis."""

    kind, name_property = "User", "UserId"

    def apply(self, properties: Any) -> None:
        passwords = properties.get("AuthenticationMode", {}).get("Passwords", [])
        user = RedisUser(
            properties["UserName"], properties["AccessString"], tuple(filter(None, passwords))
        )
        self.elasticache.put_user(self.name, user)

    def delete(self, account_id: str, region_name: str) -> None:
        self.elasticache.delete_user(self.name)


class UserGroup(_Resource, CloudFormationModel):  # type: ignore[misc]
    """Users of a Redis server."""

    kind, name_property = "UserGroup", "UserGroupId"

    def apply(self, properties: Any) -> None:
        self.elasticache.put_group(self.name, properties["UserIds"])

    def delete(self, account_id: str, region_name: str) -> None:
        self.elasticache.delete_group(self.name)


class _Server(_Resource):
    """A server, which starts when it is made."""

    attribute: ClassVar[str]  # with its address and port
    port: int | None = None

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr in (f"{cls.attribute}.Address", f"{cls.attribute}.Port")

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return HOST if attribute_name.endswith(".Address") else str(self.port)

    def apply(self, properties: Any) -> None:
        if self.port is None:
            try:
                self.port = self.start(properties, None)
            except CacheError as error:
                raise JsonRESTError("CacheError", str(error)) from error

    def resume(self) -> None:
        self.port = self.start(self.given, self.port)

    def start(self, properties: Any, before: int | None) -> int:
        """Start the server, on the port of before if there was one, and return its port."""
        raise NotImplementedError

    def delete(self, account_id: str, region_name: str) -> None:
        self.elasticache.stop(self.name)


class ReplicationGroup(_Server, CloudFormationModel):  # type: ignore[misc]
    """A Redis server."""

    kind, name_property, attribute = "ReplicationGroup", "ReplicationGroupId", "PrimaryEndPoint"

    def start(self, properties: Any, before: int | None) -> int:
        groups = properties.get("UserGroupIds", [])
        return self.elasticache.start_redis(self.name, groups, before)


class CacheCluster(_Server, CloudFormationModel):  # type: ignore[misc]
    """A Memcached server."""

    kind, name_property, attribute = "CacheCluster", "ClusterName", "ConfigurationEndpoint"

    def start(self, properties: Any, before: int | None) -> int:
        return self.elasticache.start_memcached(self.name, before)


def is_of_cache(resource: object) -> bool:
    """Return whether a resource of a stack is one of these."""
    return isinstance(resource, _Resource)


def use(elasticache: ElastiCache) -> None:
    """Make these types use the servers of a local AWS."""
    _Resource.elasticache = elasticache

"""Deploys the stacks of servers, each with the outputs of those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from stepml.client.connection import Connection
from stepml.client.stored import delete_stored
from stepml.deployment.artefacts import Place, bucket_exists
from stepml.deployment.components import (
    CACHE,
    MAIN,
    MEMCACHED,
    NETWORK,
    NODE_TYPES,
    REDIS,
    SERVER,
    Plan,
    stack_name,
    template_of,
)
from stepml.deployment.deploying import Deployer
from stepml.deployment.idle import hourly_usd
from stepml.deployment.parameters import OF_CHANNEL, OF_NETWORK, of_component
from stepml.deployment.records import StackState
from stepml.deployment.secrets import Content, Secret, Secrets, new_password
from stepml.deployment.server_preflight import SECOND, ZONES, Site
from stepml.deployment.templates import Archives, digest
from stepml.deployment.zones import DEFAULT_CIDR_PREFIX, architecture_of, server_address
from stepml.job.channels import PARAMETER_SERVER
from stepml.packaging.packages import PYTHON_VERSION, SERVER_PACKAGE

CERTIFICATE_DAYS = 3650


@dataclass(slots=True)
class Servers:
    """The stacks of servers of one deployment.

    Parameters
    ----------
    deployer : Deployer
    name : str
        Of the main stack.
    stacks : mapping
        Those that exist, by component.
    plan : Plan
    given : mapping
        Parameters that somebody has given.
    types : mapping
        Types of the servers, by parameter.
    site : Site
    archives : callable
        Gets Architecture and Runtime; it returns the maker of zip files.
    rotates : bool
        Whether secrets get new values.
    """

    deployer: Deployer
    name: str
    stacks: Mapping[str, StackState]
    plan: Plan
    given: Mapping[str, str]
    types: Mapping[str, str]
    site: Site
    archives: Callable[[Mapping[str, str]], Archives]
    rotates: bool = False
    _secrets: dict[str, Secret] = field(default_factory=dict)

    def deploy(self) -> dict[str, str]:
        """Create and update stacks; return the main stack's parameters for all channels.

        Servers that shall go stay as long as functions use them: `remove` ends them.
        """
        if not self.plan.wanted | self.plan.present:
            return {}
        found = {name: "" for each in self.plan.removed for name in OF_CHANNEL[each]}
        found["ServersHourlyUsd"] = str(round(hourly_usd(self.plan.ordered, self.types), 6))
        if not self.plan.wanted:
            return found | dict.fromkeys(OF_NETWORK, "")
        network = self._network()
        found |= {name: network[name] for name in OF_NETWORK}
        if self.plan.caches:
            found |= self._caches(network, self._all_caches)
        if PARAMETER_SERVER in self.plan.wanted:
            found |= self._server(network)
        return found

    def remove(self) -> None:
        """Remove the servers that the plan has no longer; nothing uses them now.

        Nobody is asked again. The network stays: it costs nothing, and Lambda needs long to
        release it.
        """
        removed = self.plan.removed
        self.deployer = replace(self.deployer, consent=lambda change_set: None)
        if PARAMETER_SERVER in removed:
            self._delete(SERVER)
            delete_snapshots(self.deployer.connection, self.deployer.place, self.name)
        if any(each in NODE_TYPES for each in removed):
            if self.plan.caches:
                outputs = self.deployer.stacks.find(stack_name(self.name, NETWORK))
                assert outputs is not None
                self._caches(outputs.outputs, self.plan.caches)
            else:
                self._delete(CACHE)
        secrets = Secrets(self.deployer.connection, self.name)
        for channel in removed:
            secret = secrets.find(channel)
            if secret is not None and not secret.is_deleted:
                secrets.delete(secret, recoverable=True)

    @property
    def _all_caches(self) -> list[str]:
        return [each for each in NODE_TYPES if each in self.plan.wanted | self.plan.present]

    def _network(self) -> Mapping[str, str]:
        given = of_component(NETWORK, self.given)
        given |= dict(zip(ZONES, self.site.zones, strict=False))
        return self._deployed(NETWORK, given).outputs

    def _caches(self, network: Mapping[str, str], caches: Sequence[str]) -> dict[str, str]:
        parameters = {name: network[name] for name in ("SubnetIds", "CacheSecurityGroupIds")}
        for channel, name in NODE_TYPES.items():
            parameters[name] = self.types[name] if channel in caches else ""
        secret = self._secret(REDIS, new_password) if REDIS in caches else None
        parameters |= {
            "RedisSecretArn": secret.arn if secret else "",
            "RedisSecretVersion": secret.version if secret else "",
            "RedisPreviousVersion": former_version(self.stacks.get(MAIN), secret) if secret else "",
        }
        outputs = self._deployed(CACHE, parameters).outputs
        found: dict[str, str] = {}
        if REDIS in self.plan.wanted and secret is not None:
            found |= {"RedisUrl": outputs["RedisUrl"], "RedisSecretArn": secret.arn}
            found["RedisSecretVersion"] = secret.version
        if MEMCACHED in self.plan.wanted:
            found["MemcachedUrl"] = outputs["MemcachedUrl"]
        return found

    def _server(self, network: Mapping[str, str]) -> dict[str, str]:
        stack = self.stacks.get(NETWORK)
        kept = stack.parameters.get("CidrPrefix") if stack is not None else None
        prefix, subnet = self.given.get("CidrPrefix") or kept, self.site.server_subnet
        address = server_address(prefix or DEFAULT_CIDR_PREFIX, subnet == SECOND)
        secret = self._secret(PARAMETER_SERVER, partial(_new_server_secret, address))
        architecture = architecture_of(self.types["InstanceType"])
        parameters = {
            "VpcId": network["VpcId"],
            "SubnetId": network[f"{subnet}SubnetId"],
            "AvailabilityZone": network[f"{subnet}SubnetZone"],
            "FunctionSecurityGroupId": network["SecurityGroupIds"],
            "PrivateIp": address,
            "SecretArn": secret.arn,
            "SecretVersion": secret.version,
            "CodeBucket": self.deployer.place.bucket,
            "CodeKey": self._server_code(architecture),
            "Architecture": architecture,
            **of_component(SERVER, self.given),
        }
        outputs = self._deployed(SERVER, parameters).outputs
        return {
            "ParameterServerUrl": outputs["ParameterServerUrl"],
            "ParameterServerSecretArn": secret.arn,
            "ParameterServerSecretVersion": secret.version,
            "ParameterServerToken": "",
        }

    def _server_code(self, architecture: str) -> str:
        """Upload the server's code; return its key in the bucket of artefacts."""
        archives = self.archives(
            {"Architecture": architecture, "Runtime": f"python{PYTHON_VERSION}"}
        )
        content = archives.package(SERVER_PACKAGE, "parameter-server")
        key = f"code/{digest(content)}.zip"
        artefacts = self.deployer.artefacts
        artefacts.require_bucket()
        artefacts.upload(key, content)
        return key

    def _secret(self, channel: str, content: Content) -> Secret:
        """Return the channel's secret, replaced once if secrets rotate."""
        if channel not in self._secrets:
            secrets = Secrets(self.deployer.connection, self.name)
            make = secrets.rotate if self._is_rotated(channel) else secrets.require
            if channel == PARAMETER_SERVER and channel in self.plan.added:
                make = secrets.fresh
            self._secrets[channel] = make(channel, content, self.deployer.tags)
        return self._secrets[channel]

    def _is_rotated(self, channel: str) -> bool:
        return self.rotates and channel in self.plan.present & self.plan.wanted

    def _deployed(self, component: str, parameters: Mapping[str, str]) -> StackState:
        name = stack_name(self.name, component)
        return self.deployer.deploy(template_of(component), name, parameters)

    def _delete(self, component: str) -> None:
        stack = self.deployer.stacks.find(stack_name(self.name, component))
        if stack is not None:
            self.deployer.stacks.delete(stack)


def former_version(main: StackState | None, secret: Secret) -> str:
    """Return the version of Redis' secret that functions have; empty if that is the present one.

    Its password must remain valid until they have the present one, also if a deployment that
    rotated it was interrupted.
    """
    if main is None or main.parameters.get("RedisSecretArn") != secret.arn:
        return ""
    version = main.parameters.get("RedisSecretVersion", "")
    return "" if version == secret.version else version


def _new_server_secret(address: str) -> Mapping[str, str]:
    from stepml.certificates import server_secret  # needs the extra `server`

    return server_secret([address], CERTIFICATE_DAYS)


def delete_snapshots(connection: Connection, place: Place, name: str) -> None:
    """Delete the snapshots of a parameter server that is gone; ``name`` is the main stack's."""
    if bucket_exists(connection, place.bucket, place.account):
        delete_stored(connection, place.bucket, f"{stack_name(name, SERVER)}/snapshots/")

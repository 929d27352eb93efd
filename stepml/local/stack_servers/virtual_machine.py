"""The parameter server of a stack's VM: the same program, with the stack's secret and snapshots."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepml.job.channels import PARAMETER_SERVER
from stepml.local.channel_programs import CacheError
from stepml.local.parameter_server import health_pid, server_path
from stepml.local.ports import port_of, reserve_port
from stepml.local_identity import (
    ACCESS_KEY_ID,
    HOST,
    NO_CONFIGURATION,
    REGION,
    SECRET_ACCESS_KEY,
)

ReadSecret = Callable[[str, str], str]  # (ARN, version or nothing) → value; raises if it is absent
FILES = {"token": "token", "certificate": "certificate.pem", "key": "key.pem"}


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM, as the template's Metadata describe it to the local AWS."""

    address: str  # host:port in its network
    secret_arn: str  # with token, certificate and key
    secret_version: str  # empty: the present one
    snapshots: str  # s3://bucket/prefix
    snapshot_s: str
    memory_mb: str  # empty: half of the VM's

    @classmethod
    def of_metadata(cls, metadata: Any) -> Machine | None:
        """Return the VM that a resource's Metadata describe, or None."""
        given = metadata.get("ParameterServer")
        if given is None:
            return None
        names = (
            *("Address", "SecretArn", "SecretVersion"),
            *("Snapshots", "SnapshotSeconds", "MemoryMb"),
        )
        return cls(*(str(given.get(name, "")) for name in names))


class VirtualMachine:
    """The program of a VM; a `LocalProgram`.

    It reads the secret at each start, like the VM.

    Parameters
    ----------
    machine : Machine
    directory : Path
        For the files of the secret.
    endpoint_url : str
        Of the local AWS.
    first_port : int
        The first port for its health.
    read_secret : callable
    """

    channel = PARAMETER_SERVER
    program = "python -m ps_server"

    def __init__(
        self,
        machine: Machine,
        directory: Path,
        endpoint_url: str,
        first_port: int,
        read_secret: ReadSecret,
    ) -> None:
        self._machine = machine
        self._directory = directory
        self._endpoint_url = endpoint_url
        self._read_secret = read_secret
        self._health = reserve_port(first_port)

    def url(self, port: int) -> str:
        """Return the address for functions, in the VM's network."""
        return f"thrifts://{self._machine.address}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return no parameters: the stack has outputs."""
        return {}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return the executable and its arguments.

        Raises
        ------
        CacheError
            The secret does not exist.
        """
        files = self._secret_files()
        memory = self._machine.memory_mb
        return [
            *(sys.executable, "-m", "ps_server", "--token-file", str(files["token"])),
            *("--certificate", str(files["certificate"]), "--key", str(files["key"])),
            *("--listen", f"{HOST}:{port}", "--health-listen", f"{HOST}:{port_of(self._health)}"),
            *("--snapshots", self._machine.snapshots),
            *("--snapshot-seconds", self._machine.snapshot_s),
            *(("--memory-mb", memory) if memory else ()),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        return {
            **os.environ,
            **NO_CONFIGURATION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "PYTHONPATH": server_path(),
        }

    def answering_pid(self, port: int) -> int | None:
        """Return the process id of the running server, or None if none answers."""
        return health_pid(port_of(self._health))

    def close(self) -> None:
        """Release the health port, and delete the files of the secret."""
        self._health.close()
        for name in FILES.values():
            (self._directory / name).unlink(missing_ok=True)

    def _secret_files(self) -> dict[str, Path]:
        arn = self._machine.secret_arn
        try:
            secret = json.loads(self._read_secret(arn, self._machine.secret_version))
        except Exception as error:
            raise CacheError(f"the secret {arn} cannot be read: {error}") from error
        files = {field: self._directory / name for field, name in FILES.items()}
        for field, path in files.items():
            path.touch(mode=0o600)
            path.write_text(secret[field])
        return files

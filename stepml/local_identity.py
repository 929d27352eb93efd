"""The local AWS as its clients see it: address, region and credentials, and proof of its identity.

A client asks the server at an address for its status. The status has the id that the server was
started with, so no client takes another program for it. Its sessions read nothing of the person's
AWS configuration.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from collections.abc import MutableMapping
from functools import cache
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from stepml.state_directory import RECORD, state_directory

if TYPE_CHECKING:
    import boto3
    from botocore.loaders import Loader

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
HOST = "127.0.0.1"  # the only address that servers bind
DEFAULT_PORT = 4566  # as LocalStack, for its tools
DEFAULT_CONCURRENCY = 1000  # as an AWS account's default
# The local AWS checks no signatures, but botocore demands credentials.
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105
STATUS_PATH = "/_stepml/status"
# Variables without which AWS clients would look for files or a cloud machine's metadata.
NO_CONFIGURATION = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Of moto's variables whose names do not say so, such as S3_IGNORE_SUBDOMAIN_BUCKETNAME.
MOTO_PREFIXES = ("S3_", "SF_", "TEST_", "VALIDATE_LAMBDA_")
LOOPBACK = frozenset({HOST, "localhost", "::1"})


class NoAnswerError(Exception):
    """A program listens on the port, but does not answer in time, or not to the end."""


class AnotherProgramError(Exception):
    """The program that answers on the port is no local AWS."""


def endpoint_url(port: int) -> str:
    """Return the endpoint of a local AWS that listens on ``port``."""
    return f"http://{HOST}:{port}"


def last_endpoint() -> str:
    """Return the endpoint of the local AWS that was started last, or the default one."""
    try:
        record = json.loads((state_directory() / RECORD).read_text(encoding="utf-8"))
        return endpoint_url(int(record["port"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return endpoint_url(DEFAULT_PORT)


def is_loopback(url: str | None) -> bool:
    """Return whether an endpoint is on this machine."""
    return url is not None and urlsplit(url).hostname in LOOPBACK


def ask(url: str, timeout_s: float) -> dict[str, Any] | None:
    """Return the status of the local AWS at the endpoint ``url``, or None if nothing listens there.

    Raises
    ------
    AnotherProgramError
        Another program answers.
    NoAnswerError
        The program does not answer, so it may or may not be a local AWS.
    """
    # Without the proxies of the environment, which need not know this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}{STATUS_PATH}", timeout=timeout_s) as response:
            answer = json.load(response)
    except (HTTPError, ValueError, RecursionError) as error:
        raise AnotherProgramError(str(error)) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)  # URLError wraps the original error
        if isinstance(reason, ConnectionRefusedError):
            return None
        raise _unanswered(reason) from error
    if not isinstance(answer, dict) or not {"id", "pid", "port"} <= answer.keys():
        raise AnotherProgramError("its status is not that of a local AWS")
    return answer


def _unanswered(reason: Exception) -> AnotherProgramError | NoAnswerError:
    # RemoteDisconnected, a BadStatusLine as well, may be a server that is ending.
    if isinstance(reason, BadStatusLine) and not isinstance(reason, RemoteDisconnected):
        return AnotherProgramError("it does not speak HTTP")
    if isinstance(reason, ssl.SSLError):
        return AnotherProgramError(f"a local AWS does not encrypt: {reason}")
    return NoAnswerError(str(reason))


def use_no_configuration(environment: MutableMapping[str, str]) -> None:
    """Remove the person's AWS configuration, proxies and moto's settings from ``environment``."""
    for name in [name for name in environment if _configures(name.upper())]:
        del environment[name]
    environment.update(NO_CONFIGURATION)


def _configures(name: str) -> bool:
    return name.startswith(("AWS_", "BOTO", "MOTO_", *MOTO_PREFIXES)) or name.endswith("_PROXY")


@cache
def service_descriptions() -> Loader:
    """Return botocore's descriptions of services, read once for all sessions of this process."""
    from botocore.loaders import create_loader

    return create_loader()


def isolated_session(region: str = REGION) -> boto3.Session:
    """Return a session for the local AWS that ignores the person's AWS configuration.

    Neither variables of the environment nor files can change its region, credentials, endpoints or
    behaviour.
    """
    import boto3
    from botocore.configprovider import ConstantProvider
    from botocore.session import Session

    defaults = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in Session.SESSION_VARIABLES.items()
    }
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    core = Session(session_vars={**defaults, **files})
    core.register_component("data_loader", service_descriptions())
    sections = core.get_component("config_store")
    for section in ("s3", "proxies_config"):
        sections.set_config_provider(section, ConstantProvider(None))
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=region,
        botocore_session=core,
    )

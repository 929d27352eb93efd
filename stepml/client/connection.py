"""Connects to the AWS services."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from stepml.client.cut_answers import refuse_cut_answers
from stepml.client.pacing import Pacing
from stepml.client.service_errors import is_throttled as is_throttled
from stepml.client.service_errors import translated as translated
from stepml.local_identity import (
    ACCESS_KEY_ID,
    REGION,
    SECRET_ACCESS_KEY,
    AnotherProgramError,
    NoAnswerError,
    ask,
    is_loopback,
    isolated_session,
    service_descriptions,
)
from stepml.records.errors import (
    EndpointUnreachableError,
)

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

CONNECT_TIMEOUT_S = 5
ASK_TIMEOUT_S = 5.0  # for the first answer of a server on this machine
READ_TIMEOUT_S = 60
ENDING_S = 5.0  # of a local AWS, at most
# AWS throttles DescribeExecution at 10–15 a second and account; botocore backs off up to 20 s.
AWS_ATTEMPTS = 8
LOCAL_ATTEMPTS = 2
POLL_S, LOCAL_POLL_S = 2.0, 0.25
# Requests to one service: connections beyond are not kept, of which urllib3 warns. The console
# reads in 16 threads, each of which may have 8 of its own.
MOST_AT_ONCE = 128


@dataclass(slots=True)
class Connection:
    """The services of one account and region, on AWS or at another endpoint."""

    session: boto3.Session
    endpoint_url: str | None  # None: AWS
    local_id: str = ""  # of a local AWS, if it runs; all that it stores ends with it
    _clients: dict[str, Any] = field(default_factory=dict)
    _creating: Lock = field(default_factory=Lock)  # boto3's sessions are for one thread at a time
    _pacing: Pacing | None = None

    def __deepcopy__(self, memo: object) -> Connection:
        return self  # all threads may use it, and nothing changes it

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process connects by itself: its credentials are its own.
        profile = self.session.profile_name
        own = None if profile == "default" else profile
        return _again, (self.endpoint_url, self.session.region_name, own, self.local_id)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(self.endpoint_url)

    def has_ended(self) -> bool:
        """Return whether the local AWS of this connection has ended, and perhaps another runs."""
        if not self.local_id or self.endpoint_url is None:
            return False
        deadline = time.monotonic() + ENDING_S
        while time.monotonic() < deadline:
            try:
                answer = ask(self.endpoint_url, ASK_TIMEOUT_S)
            except AnotherProgramError:
                return True
            except NoAnswerError:  # it may be ending
                time.sleep(LOCAL_POLL_S)
            else:
                return answer is None or answer["id"] != self.local_id
        return False

    @property
    def poll_s(self) -> float:
        """Seconds between two requests for the state of a job."""
        return LOCAL_POLL_S if self.is_local else POLL_S

    @property
    def place(self) -> str:
        """The endpoint or the region, for messages."""
        return self.endpoint_url or str(self.session.region_name)

    def pace(self, pacing: Pacing) -> None:
        """Let all requests from now on wait for their turn."""
        with self._creating:
            self._pacing = pacing
            for client in self._clients.values():
                pacing.attach(client)

    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["stepfunctions"]) -> SFNClient: ...
    @overload
    def client(self, service: Literal["cloudformation"]) -> CloudFormationClient: ...
    @overload
    def client(self, service: Literal["logs"]) -> CloudWatchLogsClient: ...
    @overload
    def client(self, service: Literal["lambda"]) -> LambdaClient: ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: Any) -> Any:
        """Return the client of a service, the same one at every call."""
        with self._creating:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _new_client(self, service: Any) -> Any:
        from botocore.config import Config

        retries: Any = {
            "mode": "standard",
            "total_max_attempts": LOCAL_ATTEMPTS if self.is_local else AWS_ATTEMPTS,
        }
        config = Config(
            retries=retries,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=MOST_AT_ONCE,
            # Proxies of the environment need not know this machine's loopback.
            proxies={} if self.is_local else None,
            # A loopback endpoint has no host names for buckets.
            s3={"addressing_style": "path"} if self.is_local else None,
        )
        with translated(self.endpoint_url):
            client = self.session.client(service, endpoint_url=self.endpoint_url, config=config)
        refuse_cut_answers(client)
        if self._pacing is not None:
            self._pacing.attach(client)
        return client


def connect(
    endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Connection:
    """Return a connection to AWS, or to the services at ``endpoint_url``.

    Without an endpoint, ``AWS_ENDPOINT_URL`` gives it, as to every client of AWS.
    ``region`` and ``profile`` take precedence over the person's AWS configuration.

    A server at a loopback address is asked whether it is a local AWS. A connection to a local AWS
    ignores the person's AWS configuration. For another server there, such as moto's, only missing
    credentials are replaced by dummies. No other request is sent.

    Raises
    ------
    CredentialsError
        The chosen profile does not exist.
    EndpointUnreachableError
        A program at the loopback address accepts connections but does not answer.
    """
    import boto3

    endpoint_url = endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or None
    if endpoint_url is None or not is_loopback(endpoint_url):
        with translated(endpoint_url):
            return Connection(boto3.Session(region_name=region, profile_name=profile), endpoint_url)
    if urlsplit(endpoint_url).scheme == "https":  # which the local AWS does not speak
        return _other_on_this_machine(endpoint_url, region, profile)
    try:
        status = ask(endpoint_url, ASK_TIMEOUT_S)
    except AnotherProgramError:
        return _other_on_this_machine(endpoint_url, region, profile)
    except NoAnswerError as error:
        raise EndpointUnreachableError(
            f"a program at {endpoint_url} accepts connections but does not answer ({error}); "
            "if it is no AWS service, give another endpoint; "
            "if it is the local AWS, see: stepml local status"
        ) from error
    identity = "" if status is None else str(status["id"])  # also if nothing listens there now
    return connect_local(endpoint_url, region, identity)


def connect_local(endpoint_url: str, region: str | None = None, identity: str = "") -> Connection:
    """Return a connection to the local AWS at ``endpoint_url``, without sending a request.

    ``identity`` is its id, if that is known.
    """
    return Connection(isolated_session(region or REGION), endpoint_url, identity)


def _again(
    endpoint_url: str | None, region: str | None, profile: str | None, local_id: str
) -> Connection:
    """Return a connection that another process, or a file, has given."""
    if local_id and endpoint_url is not None:
        return connect_local(endpoint_url, region, local_id)
    return connect(endpoint_url, region, profile)


def _other_on_this_machine(
    endpoint_url: str, region: str | None, profile: str | None
) -> Connection:
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile)
    core.register_component("data_loader", service_descriptions())
    with translated(endpoint_url):
        # Looking for a cloud machine's metadata service takes seconds on other machines.
        resolver = core.get_component("credential_provider")
        resolver.remove("iam-role")
        resolver.remove("container-role")
        has_own = core.get_credentials() is not None
        region = region or core.get_config_variable("region") or REGION
        keys = (
            {}
            if has_own
            else {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET_ACCESS_KEY}
        )
        session = boto3.Session(region_name=region, botocore_session=core, **keys)
        return Connection(session, endpoint_url)

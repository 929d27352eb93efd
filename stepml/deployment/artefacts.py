"""The bucket of code, definitions and templates, one for each account and region."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stepml.client.connection import Connection, translated
from stepml.deployment.errors import DeploymentError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TEMPLATE_DAYS = 30  # CloudFormation reads a template once; code is read again at a roll-back
UPLOAD_DAYS = 1  # of parts without an end
_DEFAULT_REGION = "us-east-1"  # which S3 refuses as a constraint


@dataclass(frozen=True, slots=True)
class Place:
    """An account, and a region of AWS."""

    account: str  # 12 digits
    region: str
    partition: str = "aws"  # or aws-cn, aws-us-gov

    @property
    def bucket(self) -> str:
        """The name of the bucket of artefacts."""
        return f"stepml-deployments-{self.account}-{self.region}"


@dataclass(slots=True)
class Artefacts:
    """The contents of the bucket; each has its digest as its key, so nothing is stored twice."""

    connection: Connection
    place: Place
    uploaded: list[str] = field(default_factory=list)  # keys that were not there before
    _known: set[str] = field(default_factory=set)

    @property
    def _s3(self) -> S3Client:
        return self.connection.client("s3")

    def require_bucket(self) -> None:
        """Create the bucket unless it exists: private, and reached by TLS alone.

        Raises
        ------
        DeploymentError
            A bucket of this name belongs to another account.
        """
        if not bucket_exists(self.connection, self.place.bucket, self.place.account):
            with translated(self.connection.endpoint_url):
                self._create()

    def upload(self, key: str, content: bytes) -> str:
        """Store ``content``, unless it is there, and return its URI."""
        if key not in self._known:
            self._known.add(key)
            with translated(self.connection.endpoint_url):
                if not self._has(key):
                    self._s3.put_object(Bucket=self.place.bucket, Key=key, Body=content, **self._of)
                    self.uploaded.append(key)
        return f"s3://{self.place.bucket}/{key}"

    def url(self, key: str) -> str:
        """Return the address under which CloudFormation reads an object."""
        return f"{self._s3.meta.endpoint_url}/{self.place.bucket}/{key}"

    @property
    def _of(self) -> Any:
        # Names of buckets can be guessed: somebody else's must get none of our code.
        return {"ExpectedBucketOwner": self.place.account}

    def _has(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.head_object(Bucket=self.place.bucket, Key=key, **self._of)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def _create(self) -> None:
        bucket, s3 = self.place.bucket, self._s3
        where: Any = {"CreateBucketConfiguration": {"LocationConstraint": self.place.region}}
        s3.create_bucket(Bucket=bucket, **({} if self.place.region == _DEFAULT_REGION else where))
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(_tls_only(self.place)))
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": _lifecycle()}
        )


def bucket_exists(connection: Connection, bucket: str, account: str) -> bool:
    """Return whether an account has a bucket.

    Raises
    ------
    DeploymentError
        The bucket belongs to another account, or the caller may not look.
    """
    from botocore.exceptions import ClientError

    with translated(connection.endpoint_url):
        try:
            connection.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 403:
                raise DeploymentError(
                    f"the bucket {bucket} belongs to another account, or you may not use it "
                    "(s3:ListBucket); StepML needs a bucket of this name"
                ) from error
            if status == 404:
                return False
            raise
    return True


def _tls_only(place: Place) -> dict[str, Any]:
    arn = f"arn:{place.partition}:s3:::{place.bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _lifecycle() -> Any:
    return [
        {
            "ID": "templates",
            "Status": "Enabled",
            "Filter": {"Prefix": "templates/"},
            "Expiration": {"Days": TEMPLATE_DAYS},
        },
        {
            "ID": "unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
        },
    ]

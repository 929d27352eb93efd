"""The notification of the inbox: beside those of others, set once, and taken away again."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.exceptions import ClientError
from urllib3.response import HTTPResponse

from stepml.deployment.errors import DeploymentError
from stepml.deployment.inbox import Inbox, connect
from stepml.deployment.records import StackState
from tests.support.moto_stack import BUCKET, MotoStack

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:stepml-trigger"
OTHER = {
    "QueueConfigurations": [
        {
            "Id": "of-somebody-else",
            "QueueArn": "arn:aws:sqs:us-east-1:123456789012:queue",
            "Events": ["s3:ObjectRemoved:*"],
        }
    ],
    "LambdaFunctionConfigurations": [
        {
            "Id": "other-inbox",
            "LambdaFunctionArn": FUNCTION.replace("stepml", "other"),
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "other/"}]}},
        }
    ],
}


REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidArgument</Code><Message>Unable to validate the following destination
configurations</Message></Error>""".replace(b"destination\n", b"destination ")


def state(**outputs: str) -> StackState:
    return StackState("arn", "stepml", "CREATE_COMPLETE", outputs, {}, {})


def ids(stack: MotoStack) -> list[str]:
    """Return the names of the bucket's notifications."""
    found = stack.service("s3").get_bucket_notification_configuration(Bucket=BUCKET)
    found.pop("ResponseMetadata")
    return sorted(each["Id"] for kind in found.values() for each in kind)


def test_notifications_of_others_remain(stack: MotoStack) -> None:
    connection, s3 = stack.client().connection, stack.service("s3")
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHER)
    others = ids(stack)
    changes: list[Any] = []
    connection.client("s3").meta.events.register(
        "before-call.s3.PutBucketNotificationConfiguration", lambda **call: changes.append(call)
    )
    connected = state(Bucket=BUCKET, InboxFunctionArn=FUNCTION)
    for _ in range(2):
        connect(connection, connected)
        assert ids(stack) == [*others, "stepml-inbox"]
    assert len(changes) == 1
    connect(connection, state(Bucket=BUCKET, InboxFunctionArn=f"{FUNCTION}-new"))
    assert (ids(stack), len(changes)) == ([*others, "stepml-inbox"], 2)
    connect(connection, state())  # another stack of the deployment
    assert len(changes) == 2
    connect(connection, state(Bucket=BUCKET))  # Inbox=off
    assert ids(stack) == others
    Inbox(connection, "stepml", BUCKET).disconnect()
    assert len(changes) == 3


@pytest.mark.parametrize(("refusals", "wait_s", "is_connected"), [(1, 60, True), (9, 0, False)])
def test_a_permission_that_s3_does_not_know_yet_is_waited_for(
    stack: MotoStack, refusals: int, wait_s: float, is_connected: bool
) -> None:
    connection = stack.client().connection
    left = [*range(refusals)]

    def answer(request: AWSPreparedRequest, **call: Any) -> Any:
        """Refuse as S3 does, which moto never does."""
        if not left:
            return None
        left.pop()
        headers: Any = HeadersDict()
        raw: Any = HTTPResponse(BytesIO(REFUSAL), status=400, preload_content=False)
        return AWSResponse(request.url, 400, headers, raw)

    call = "before-send.s3.PutBucketNotificationConfiguration"
    events = connection.client("s3").meta.events
    events.register(call, answer)
    inbox = Inbox(connection, f"patient-{refusals}", BUCKET, wait_s)
    if is_connected:
        inbox.connect(FUNCTION)
    else:
        with pytest.raises(DeploymentError, match="Unable to validate the following destination"):
            inbox.connect(FUNCTION)
    events.unregister(call, answer)
    assert (f"patient-{refusals}-inbox" in ids(stack)) == is_connected
    inbox.disconnect()
    assert len(left) == (0 if is_connected else refusals - 1)


def test_a_notification_that_s3_refuses_says_what_to_do(stack: MotoStack) -> None:
    missing = state(Bucket="stepml-missing", InboxFunctionArn=FUNCTION)
    with pytest.raises(DeploymentError, match=r"NoSuchBucket.*--parameter Inbox=off") as refused:
        connect(stack.client().connection, missing)
    assert "is deployed, but inbox/ of the bucket stepml-missing starts no jobs" in str(
        refused.value
    )
    with pytest.raises(ClientError):
        stack.service("s3").head_bucket(Bucket="stepml-missing")

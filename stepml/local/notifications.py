"""S3's notifications: a bucket invokes functions when objects are put."""

from __future__ import annotations

import itertools
import json
import logging
import time
from typing import Any

from moto.s3 import notifications

from stepml.local.lambda_api import InvokeError, LambdaApi
from stepml.local.seams import Seams

logger = logging.getLogger(__name__)

_event = notifications._get_s3_event
_puts = itertools.count(time.time_ns())  # a later put of an object has a greater sequencer


def notification_seams(functions: LambdaApi) -> Seams:
    """Return the seams of notifications whose functions run in ``functions``."""
    seams = Seams()

    @seams.replaces(
        notifications, "_get_s3_event", why="leaves out the sequencer and the version of the object"
    )
    def event(event_name: Any, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
        made: dict[str, Any] = _event(event_name, bucket, key, notification_id)
        (record,) = made["Records"]
        record["s3"]["object"] |= {"sequencer": f"{next(_puts):018X}"} | (
            {"versionId": key.version_id} if bucket.is_versioned else {}
        )
        return made

    @seams.replaces(
        notifications, "_invoke_awslambda", why="waits for the function, which it runs in Docker"
    )
    def invoke(account_id: str, event_body: Any, fn_arn: str, region_name: str) -> None:
        payload = json.dumps(event_body).encode()
        try:
            functions.invoke_async(account_id, region_name, fn_arn, None, payload)
        except InvokeError as error:
            logger.warning("a bucket does not invoke %s: %s", fn_arn, error.message)

    return seams

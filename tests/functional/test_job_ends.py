"""A webhook hears of the end of each job."""

from __future__ import annotations

import json
import uuid
from typing import Any

from stepml.packaging.sources import template_path
from tests.support.deployment import delete, deploy
from tests.support.listener import listener
from tests.support.local_stack import LocalStack
from tests.support.running_aws import eventually


def test_a_webhook_hears_of_jobs_that_succeed_and_of_jobs_that_fail(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    aws, stack = local_stack.aws, local_stack.outputs["TrainStateMachineArn"].split(":")[-1]
    webhook, name = template_path().with_name("webhook.yaml"), f"hook-{uuid.uuid4().hex[:8]}"
    secret = aws.client("secretsmanager").create_secret(
        Name=name, SecretString=json.dumps({"authorization": "Bearer of a test"})
    )
    with listener() as web:
        parameters = {
            "Stack": stack.removesuffix("-train"),
            "Url": f"{web.url}/hook",
            "SecretArn": secret["ARN"],
        }
        deploy(aws.endpoint_url, webhook, stack_name=name, parameters=parameters)
        try:
            good = local_stack.run({**job, "stop": {"max_epochs": 1}})
            bad = local_stack.run({**job, "workers": 0})
            wanted = {each["executionArn"] for each in (good, bad)}
            posts = eventually(
                lambda: {
                    told["execution_arn"]: (each, told)
                    for each in web.posts
                    if (told := json.loads(each.text))["execution_arn"] in wanted
                },
                lambda seen: seen.keys() == wanted,
            )
        finally:
            delete(aws.endpoint_url, stack_name=name)
    for ended, status in ((good, "SUCCEEDED"), (bad, "FAILED")):
        post, told = posts[ended["executionArn"]]
        assert post.headers["Authorization"] == "Bearer of a test"
        assert (told["job_id"], told["status"]) == (ended["name"], status)
        assert told["text"] == f"StepML job {ended['name']} of {told['stack']}: {status}"
        assert told["region"] == "us-east-1"

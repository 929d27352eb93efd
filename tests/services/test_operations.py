"""The page docs/local_aws.md lists the operations that the local AWS has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.operations import called
from tests.support.running_aws import RunningAws

PAGE = Path("docs/local_aws.md").read_text()
SECTIONS = {
    "stepfunctions": "Step Functions",
    "lambda": "Lambda",
    "s3": "S3",
    "dynamodb": "DynamoDB",
    "logs": "CloudWatch Logs",
    "cloudformation": "CloudFormation",
}


def listed(title: str) -> list[str]:
    """Return the operations in the section ``title`` of the page."""
    section = re.search(rf"^## {title}\n\n```text\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None
    return section[1].split()


@pytest.mark.parametrize(("service", "title"), SECTIONS.items())
def test_the_page_lists_what_is_there(aws: RunningAws, service: str, title: str) -> None:
    there, lacking = called(aws.endpoint_url, service)
    assert listed(title) == there
    assert lacking

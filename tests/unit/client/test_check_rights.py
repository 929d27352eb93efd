"""A check of a job by a person who may not read its data."""

from __future__ import annotations

from typing import Any

from botocore.awsrequest import AWSResponse

from tests.support.moto_stack import JOB, MotoStack

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class _Raw:
    def stream(self, *_: Any, **__: Any) -> Any:
        yield DENIED


def test_data_that_only_this_person_may_not_read_are_no_mistake(stack: MotoStack) -> None:
    client = stack.client()
    refuse = lambda request, **_: AWSResponse(request.url, 403, {}, _Raw())  # noqa: E731
    client.connection.client("s3").meta.events.register("before-send.s3", refuse)

    found = client.check(JOB)

    assert found.mistakes == []
    assert any("your credentials do not allow" in each for each in found.unchecked)

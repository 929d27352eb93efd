"""Whether services answer, and whether they are still the same, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stepml.client.connection import connect, connect_local
from stepml.console.backends import Backend, pause_of, present_id, words_of
from stepml.console.feeds import Reading
from stepml.local.ports import port_of, reserve_port
from stepml.local_identity import endpoint_url
from stepml.records.errors import EndpointUnreachableError

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def test_aws_itself_is_not_asked() -> None:
    backend = Backend(present_id(connect(None, "us-east-1")))
    assert pause_of(backend) is None
    assert words_of(Reading(backend, read_at=NOON)) == ""


def test_a_local_aws_that_does_not_run_is_named() -> None:
    with reserve_port(0) as reserved:
        url = endpoint_url(port_of(reserved))
        with pytest.raises(EndpointUnreachableError, match=f"{url} does not run"):
            present_id(connect_local(url, identity="a"))


def test_the_head_says_only_what_is_not_as_it_should_be() -> None:
    gone = EndpointUnreachableError("gone")
    same = Backend("a")
    assert words_of(Reading(same, read_at=NOON)) == ""
    assert words_of(Reading(same, gone, NOON)) == "no answer since 12:00:00 UTC"
    assert words_of(Reading(None, gone)) == "no answer"

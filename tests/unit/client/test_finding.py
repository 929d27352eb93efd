"""A run that is not found: the error is of the kind of its cause, and names the place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stepml.client import Run
from stepml.client.run_records import find_run
from stepml.job.errors import StepMLError
from stepml.records.errors import (
    AccessError,
    CredentialsError,
    EndpointUnreachableError,
    ExecutionNotFoundError,
    ServiceRefusedError,
    StackNotFoundError,
)


@pytest.mark.parametrize(
    "kind",
    [
        AccessError,
        CredentialsError,
        EndpointUnreachableError,
        partial(ServiceRefusedError, "AccessDeniedException"),
        StackNotFoundError,
        ExecutionNotFoundError,
    ],
)
@pytest.mark.parametrize("place", ["run", "a" * 300, "../run", "a\0b"])
def test_an_error_stays_of_its_kind(
    kind: Callable[[str], StepMLError], place: str, tmp_path: Path
) -> None:
    error = kind("no")

    def refused(_name: str) -> Run:
        raise error

    with pytest.raises(type(error)) as raised:
        find_run(place, refused, tmp_path)
    assert raised.value is error
    assert str(error) == f"there is no directory {place!r}, and no"

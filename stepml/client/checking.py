"""Checks a job before it starts: against the stack, its objects and its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.channels import channels_of_stack, refuse_unconfigured
from stepml.job.choices import with_algorithm
from stepml.job.concurrency import refuse_too_wide
from stepml.job.errors import InvalidJobError, KeyNotFoundError, StorageDeniedError
from stepml.job.function_kinds import (
    FUNCTION_KINDS,
    OWN_CODE_PARAMETER,
    refuse_missing_functions,
    refuse_own_code,
)
from stepml.job.places import bucket_and_key
from stepml.job.spec import JobSpec
from stepml.job.suggestions import did_you_mean
from stepml.ml.algorithms import build_algorithm
from stepml.ml.data.meant_keys import Catalogue, hint_at_key
from stepml.ml.data.objects import ObjectInfo

_CONCURRENCY = ("ReservedConcurrency", "AccountConcurrency")  # the first that is set


class Bucket(Catalogue, Protocol):
    """Lists and describes the objects of a bucket."""

    def describe(self, key: str) -> ObjectInfo | None:
        """Return the description of one object, or None if it is absent."""
        ...


def concurrency_of(stack: Stack) -> int | None:
    """Return the functions that run at once; None: the stack does not say."""
    given = [stack.parameters.get(name, "") for name in _CONCURRENCY]
    return next((int(each) for each in given if each.isdecimal() and int(each)), None)


def lacking(spec: JobSpec, stack: Stack) -> Iterator[str]:
    """Yield what a job needs and this deployment lacks, in words."""
    present = [
        kind.name for kind in FUNCTION_KINDS.values() if stack.parameters.get(kind.parameter)
    ]
    configured = channels_of_stack(stack.parameters)
    yield from _refusal(lambda: refuse_missing_functions(spec.model, present))
    allowed = stack.parameters.get(OWN_CODE_PARAMETER) != "off"
    yield from _refusal(lambda: refuse_own_code(spec, is_allowed=allowed))
    yield from _refusal(lambda: refuse_unconfigured(spec.exchange.channel, configured))
    concurrency = concurrency_of(stack)
    if concurrency is not None and _waits_for_all(spec):
        yield from _refusal(lambda: refuse_too_wide(with_algorithm(spec), concurrency))


def unreadable(spec: JobSpec, stack: Stack, open_bucket: Callable[[str], Bucket]) -> Iterator[str]:
    """Yield the objects of a job, beside its data, that the functions cannot read, in words.

    ``spec`` names the bucket of each place.
    """
    yield from _forbidden("data.uri", spec.data.uri, stack)
    for field, uri in (("code", spec.code), ("model.weights", spec.model.weights_uri)):
        if uri is not None:
            yield from _forbidden(field, uri, stack) or _absent(field, uri, open_bucket)
    if spec.resumed is not None:
        plan = f"s3://{stack.bucket}/{keys.partition_plan(spec.resumed.job)}"
        if list(_absent("resume_from.job", plan, open_bucket)):
            yield (
                "resume_from.job: expected a job of this stack that has begun, got "
                f"{spec.resumed.job!r}"
            )


def _waits_for_all(spec: JobSpec) -> bool:
    waits_within_epochs = build_algorithm(with_algorithm(spec)).waits_within_epochs
    return waits_within_epochs or spec.exchange.max_staleness is not None


def _forbidden(field: str, uri: str, stack: Stack) -> list[str]:
    bucket = bucket_and_key(uri)[0]
    if bucket in (stack.bucket, stack.parameters.get("DataBucketName")):
        return []
    hint = did_you_mean(bucket, [stack.bucket])
    return [
        f"{field}: the functions may not read {uri}{hint}; a bucket other than the stack's own, "
        f"{stack.bucket}, is named by the parameter DataBucketName of the stack"
    ]


def _absent(field: str, uri: str, open_bucket: Callable[[str], Bucket]) -> list[str]:
    bucket, key = bucket_and_key(uri)
    try:
        source = open_bucket(bucket)
        if source.describe(key) is not None:
            return []
        return [f"{field}: nothing lies at {uri}{hint_at_key(source, key)}"]
    except KeyNotFoundError:  # there is no such bucket
        pass
    except StorageDeniedError:  # to this person; the functions may read it
        return []
    return [f"{field}: nothing lies at {uri}"]


def _refusal(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except InvalidJobError as error:
        return [str(error)]
    return []

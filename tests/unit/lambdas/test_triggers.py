"""Files of jobs and other events start jobs: each event one, and a wrong job none."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError

from lambdas.job_files import FAILED, STARTED, put_files, start_quietly
from lambdas.trigger import Starter, invoked
from stepml.job.errors import InvalidJobError, InvalidTaskError, JobIdTakenError
from stepml.job.json_text import MOST_JOB_BYTES
from stepml.job.tasks import TriggerTask
from storage.testing.memory import MemoryStorage
from tests.support.moto_stack import BUCKET, JOB, JOB_TEXT, MotoStack

TIME = "2026-01-02T05:04:05+02:00"
REQUEST = "0a1b2c3d-4e5f-0000-0000-000000000000"


class Inbox:
    """The objects of a bucket, and a stack whose jobs end at once."""

    def __init__(self, stack: MotoStack, machine: str | None = None) -> None:
        client = stack.client()
        self.executions = stack.service("stepfunctions")
        self.machine = client.stack.train_arn
        self.storage = MemoryStorage()
        self.starter = Starter(self.executions, machine or self.machine)
        self.puts = 0

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        """Store a file; return the event of S3."""
        self.puts += 1
        stored = self.storage.put(key, content)
        return event(stored.key, stored.etag, f"{self.puts:018X}")

    def answer(self, given: dict[str, Any]) -> None:
        for file in put_files(given, BUCKET):
            start_quietly(file, self.storage, self.starter.start_once)

    def invoke(self, request_id: str = REQUEST, **task: Any) -> Any:
        given = TriggerTask.from_event(task)
        return invoked(given, request_id, BUCKET, self.storage, self.starter)

    def text(self, key: str) -> str | None:
        found = self.storage.load_many([key]).get(key)
        return None if found is None else bytes(found).decode()

    def jobs(self, begin: str) -> list[str]:
        """Return the names of the jobs that begin so."""
        listed = self.executions.list_executions(stateMachineArn=self.machine)["executions"]
        return sorted(each["name"] for each in listed if each["name"].startswith(begin))


def event(key: str, etag: str, sequencer: str, bucket: str = BUCKET) -> dict[str, Any]:
    stored = {"key": quote_plus(key), "size": 1, "eTag": etag, "sequencer": sequencer}
    return {
        "Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": bucket}, "object": stored}}]
    }


@pytest.fixture
def inbox(stack: MotoStack) -> Inbox:
    return Inbox(stack)


@pytest.fixture
def stem() -> str:
    return f"job-{uuid.uuid4().hex[:8]}"


def test_each_put_starts_one_job_however_often_its_event_comes(inbox: Inbox, stem: str) -> None:
    key = f"inbox/of a/{stem}.json"
    first = inbox.put(key, JOB_TEXT.encode())
    inbox.answer(first)
    inbox.answer(first)  # its job has ended
    (name,) = inbox.jobs(stem)
    answer = inbox.text(key + STARTED)
    assert answer is not None
    assert f"stepml watch {name} --stack stepml" in answer
    assert f":execution:stepml-train:{name}\n" in answer
    inbox.answer(inbox.put(key, JOB_TEXT.encode()))  # the same content is a job of its own
    inbox.answer(inbox.put(key.replace("/of a/", "/"), JOB_TEXT.encode()))
    assert len(inbox.jobs(stem)) == 3


def test_a_text_in_another_encoding_is_the_same_job(inbox: Inbox, stem: str) -> None:
    inbox.answer(inbox.put(f"inbox/{stem}.json", JOB_TEXT.encode("utf-16")))
    (name,) = inbox.jobs(stem)
    arn = inbox.machine.replace(":stateMachine:", ":execution:")
    described = inbox.executions.describe_execution(executionArn=f"{arn}:{name}")
    assert json.loads(described["input"]) == JOB


WRONG = {
    json.dumps(
        {**JOB, "workers": 0}
    ).encode(): "workers: expected an integer from 1 to 1600, got 0",
    b"data:\n  uri: x\n": "it looks like YAML; stepml run FILE.yaml reads it",
    json.dumps({**JOB, "workers": 0, "patern": 1}).encode(): "2 mistakes\n  1. the job: unknown",
    b'{"workers": 4,\n}': '"workers": 4,\n             ^\n',
    b"": "it is empty",
    b"PAR1....": "it is a Parquet file",
    b" " * (MOST_JOB_BYTES + 1): "expected a job, in at most 1,048,576 bytes",
    json.dumps({**JOB, "$schema": "x" * 300_000}).encode(): "at most 262,144 bytes, the limit of",
}


@pytest.mark.parametrize("content", WRONG, ids=[*WRONG.values()])
def test_a_wrong_job_is_said_beside_its_file_until_a_right_one_comes(
    inbox: Inbox, stem: str, content: bytes
) -> None:
    key = f"inbox/{stem}.json"
    inbox.answer(inbox.put(key, content))  # no error: Lambda would repeat the event
    assert inbox.jobs(stem) == []
    answer = inbox.text(key + FAILED)
    assert answer is not None
    assert WRONG[content] in answer
    inbox.answer(inbox.put(key, JOB_TEXT.encode()))
    assert len(inbox.jobs(stem)) == 1
    assert inbox.text(key + FAILED) is None
    inbox.answer(inbox.put(key, content))
    assert inbox.text(key + STARTED) is None


def test_an_event_about_a_content_that_is_gone_is_over(inbox: Inbox, stem: str) -> None:
    key = f"inbox/{stem}.json"
    late = inbox.put(key, b"{}")
    inbox.answer(inbox.put(key, JOB_TEXT.encode()))
    inbox.answer(late)
    assert len(inbox.jobs(stem)) == 1
    assert inbox.text(key + FAILED) is None
    late = inbox.put(key, b"{}")
    inbox.storage.delete_many([key])
    inbox.answer(late)
    assert inbox.text(key + FAILED) is None


def test_another_buckets_files_are_left_alone(inbox: Inbox, stem: str) -> None:
    key = f"inbox/{stem}.json"
    etag = inbox.storage.put(key, JOB_TEXT.encode()).etag
    inbox.answer(event(key, etag, "01", bucket="another"))
    assert inbox.jobs(stem) == []


def test_a_service_that_refuses_lets_lambda_repeat_the_event(stack: MotoStack, stem: str) -> None:
    inbox = Inbox(stack, machine="arn:aws:states:us-east-1:123456789012:stateMachine:none")
    given = inbox.put(f"inbox/{stem}.json", JOB_TEXT.encode())
    with pytest.raises(ClientError):
        inbox.answer(given)
    assert "StateMachineDoesNotExist" in str(inbox.text(f"inbox/{stem}.json{FAILED}"))


def test_a_schedule_starts_one_job_at_each_of_its_times(inbox: Inbox, stem: str) -> None:
    key = f"schedule/{stem}.json"
    inbox.storage.save(key, JOB_TEXT.encode())
    for request_id in (REQUEST, str(uuid.uuid4())):  # EventBridge may deliver twice
        result = inbox.invoke(request_id, job=key, time=TIME)
        assert result.job_id == f"{stem}-20260102-030405"
    inbox.invoke(job=f"s3://{BUCKET}/{key}", time=TIME.replace("05+", "06+"))
    assert inbox.jobs(stem) == [f"{stem}-20260102-03040{second}" for second in (5, 6)]


def test_a_wrong_job_of_a_schedule_is_said_beside_its_place(inbox: Inbox, stem: str) -> None:
    key = f"schedule/{stem}.json"
    assert inbox.invoke(job=key, time=TIME) is None
    assert inbox.text(key + FAILED) == f"job file {key!r}: there is no such object\n"
    with pytest.raises(InvalidJobError, match="there is no such object"):
        inbox.invoke(job=key)  # who invokes it gets the error


def test_an_invocation_that_is_repeated_starts_nothing_more(inbox: Inbox) -> None:
    request = str(uuid.uuid4())
    first, second = (inbox.invoke(request, job=JOB) for _ in range(2))
    assert first == second
    assert inbox.jobs(first.job_id) == [first.job_id]


def test_a_name_that_is_given_starts_one_job(inbox: Inbox, stem: str) -> None:
    assert inbox.invoke(job=JOB, name=stem).job_id == stem
    with pytest.raises(JobIdTakenError):
        inbox.invoke(job={**JOB, "workers": 2}, name=stem)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"job": "s3://another/x.json"}, f"a file in the bucket {BUCKET}, got 's3://another/x"),
        ({"job": ""}, "the place of a file in the bucket"),
        ({"job": "schedule/x.json", "time": "noon"}, "time: expected a time such as"),
        ({"job": JOB, "at": "noon"}, "at"),
    ],
)
def test_an_event_without_sense_is_refused(
    inbox: Inbox, task: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTaskError, match=message):
        inbox.invoke(**task)

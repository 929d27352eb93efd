"""Messages are complete or refused; refusals and settings survive a round trip."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.over_grpc.messages import (
    fields_of,
    message_of,
    parse,
    status_of,
)
from ps_server.protocol import refusals
from ps_server.protocol.calls import JobSettings
from ps_server.protocol.refusals import InvalidRequest, Refusal
from stepml.job.step import Step
from tests.support.grpc_client import refusal_of

HEAD = pb.PushHead(
    job="jobs/a/", step=message_of(pb.Step, Step(1, 2)), rank=-1, attempt="", based_on=0, size=300
)
REFUSALS = [
    refusals.InvalidRequest("rank: expected 0 to 3, got 4"),
    refusals.UnknownJob("job 'ä' is not registered"),
    refusals.JobConflict("100 % other\nsettings"),
    refusals.MemoryExceeded("no room", 2**40, 0, 2**33),
    refusals.ContributionsMissing("has to wait", range(1600), 7),
    refusals.StepForgotten("gone"),
    refusals.DamagedVector("the checksum is wrong"),
    refusals.Draining("about to stop"),
]


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in (pb.PushFrame, pb.PullRequest, pb.RegisterRequest, pb.Nothing):
        with suppress(InvalidRequest):
            parse(kind.FromString, data)


@given(st.data())
def test_a_frame_with_a_wrong_byte_is_read_or_refused(data: st.DataObject) -> None:
    frame = bytearray(pb.PushFrame(head=HEAD, piece=bytes(300)).SerializeToString())
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse(pb.PushFrame.FromString, bytes(frame))
    except InvalidRequest:
        return
    assert len(read.piece) <= 300


STEP = message_of(pb.Step, Step(1, 2))
UNKNOWN = b"\xa8\x06\x01"  # field 101


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pb.ExistsRequest(job="a").SerializeToString(), r"ExistsRequest\.step: is missing"),
        (pb.ExistsRequest(step=STEP).SerializeToString(), r"ExistsRequest\.job: is missing"),
        (pb.ExistsRequest(job="a", step=pb.Step(epoch=1)).SerializeToString(), r"Step\.batch"),
        (pb.ExistsRequest(job="a", step=STEP).SerializeToString() + UNKNOWN, "not known"),
        (pb.ExistsRequest(job="a", step=STEP).SerializeToString() * 2, "twice"),
        (b"\x0a\x01a\x12\x07\x08\x01\x10\x02" + UNKNOWN, "not known"),  # within the step
        (b"\x0a\x01\xff", "cannot be read"),  # not UTF-8
        (b"\x0a\xff\xff\xff\xff\x07", "cannot be read"),  # 2^31 - 1 bytes
        (b"\x12\x80" * 5000, "cannot be read"),
    ],
)
def test_what_is_missing_or_too_much_is_named(data: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        parse(pb.ExistsRequest.FromString, data)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x7a\x05abcd",  # shorter than its announced length
        b"\x7a\x03abcd",  # further bytes after it
        b"\x7a\xff\xff\xff\xff\x07abcd",
        b"\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abcd",  # negative
        b"\x7a",
        b"\x0b\x0b\x0b",  # groups in groups
        b"\x0d\x00\x00\x00\x00",
    ],
)
def test_a_piece_of_another_length_is_refused(frame: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(pb.PushFrame.FromString, frame)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
def test_refusals_come_back_as_they_were(refusal: Refusal) -> None:
    code, details, metadata = status_of(refusal)
    came = refusal_of(code, details, metadata)
    assert type(came) is type(refusal)
    assert str(came) == str(refusal)
    assert vars(came) == vars(refusal)
    assert sum(len(key) + len(value) for key, value in metadata) < 6000  # gRPC takes 8 KB


def test_all_refusals_are_told() -> None:
    denied = refusals.AccessDenied("why")
    assert {type(each) for each in [*REFUSALS, denied]} == set(Refusal.__subclasses__())
    code, details, metadata = status_of(denied)
    assert (details, list(metadata)) == ("", [])
    assert type(refusal_of(code, details, metadata)) is refusals.AccessDenied


def test_long_refusals_are_cut() -> None:
    _, details, _ = status_of(InvalidRequest("x" * 10**6))
    assert len(details) <= 1000


@pytest.mark.parametrize("rule", ["bulk_synchronous", "asynchronous", "stale_synchronous"])
@pytest.mark.parametrize("compression", ["none", "float16"])
def test_settings_come_back_as_they_were(rule: str, compression: str) -> None:
    settings = JobSettings(1600, 2**40, rule, 3, compression)  # type: ignore[arg-type]
    assert JobSettings(**fields_of(message_of(pb.JobSettings, settings))) == settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rule", 0),
        ("rule", 77),
        ("compression", 9),
        ("world_size", -1),
        ("message_bytes", -(2**60)),
    ],
)
def test_wrong_settings_are_refused(field: str, value: int) -> None:
    message = message_of(pb.JobSettings, JobSettings(2, 1000))
    setattr(message, field, value)
    with pytest.raises(InvalidRequest, match=field):
        JobSettings(**fields_of(parse(pb.JobSettings.FromString, message.SerializeToString())))

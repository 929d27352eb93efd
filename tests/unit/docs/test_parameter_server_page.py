"""docs/parameter_server.md matches the program."""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest

from ps_server.process.health import Sources, registry_of
from ps_server.process.settings import command
from ps_server.protocol.calls import JobSettings
from ps_server.state.jobs import reserved_bytes
from ps_server.state.parameters import Parameters
from ps_server.state.snapshot_files import SnapshotStatus
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "parameter_server.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"{title}\n")[2].partition("\n#")[0]


def test_every_flag_is_listed() -> None:
    listed = set(re.findall(r"`(--[a-z-]+)`", section("### Settings").partition("**Stopping")[0]))
    assert listed == {flag for parameter in command().params for flag in parameter.opts}


def test_every_metric_is_listed() -> None:
    parameters = Parameters(limit_bytes=2**20)
    parameters.register("a", JobSettings(1, 100))
    sources = Sources(
        lambda: (True, {}),
        parameters.statistics,
        lambda: {"Draining": 1},
        lambda: SnapshotStatus(1, 1, 0, False),
    )
    text = generate_latest(registry_of(sources)).decode()
    names = set(re.findall(r"^stepml_ps_(\w+)", text, flags=re.MULTILINE))
    table = section("### Settings").partition("**Metrics**")[2].partition("Worth an alarm")[0]
    listed = set(re.findall(r"`([a-z_]+)`", table)) - {"stepml_ps_", "job", "kind"}
    assert listed == names


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (JobSettings(10, 2**20), "(W + 3) × n"),
        (JobSettings(10, 2**20, compression="float16"), "(W + 6) × n"),
        (JobSettings(10, 2**20, rule="asynchronous"), "(W + 3) × n"),
    ],
)
def test_the_page_gives_the_memory_of_a_job(settings: JobSettings, messages: str) -> None:
    assert messages in section("## Size of the VM")
    spare = int(messages[5])
    assert reserved_bytes(settings) == (10 + spare) * 2**20
    assert reserved_bytes(JobSettings(1, 32)) == 2**16


def test_the_page_lists_the_rules() -> None:
    rules = section("## Rules")
    for rule in ("bulk-synchronous", "asynchronous", "stale-synchronous"):
        assert f"| {rule} |" in rules

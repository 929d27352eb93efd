"""Files with the network of a cloud."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from stepml.job.channels import CHANNELS
from stepml.local.network import AWS, AWS_FILE, NetworkError, network_path, read_network


def test_the_network_of_aws_names_the_source_and_the_date_of_its_figures() -> None:
    network = read_network(network_path(AWS))
    assert network.services.keys() == CHANNELS.keys()
    assert network.cold_start_s > 0
    for table in tomllib.loads(AWS_FILE.read_text()).values():
        assert isinstance(table["date"], date)
        assert table["source"]


def test_what_is_left_out_is_as_fast_as_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("[s3]\nlatency_ms = 5\n")
    network = read_network(network_path(str(path)))
    assert (network.cold_start_s, network.bytes_per_s) == (0, None)
    assert {n: (s.latency_s, s.bytes_per_s) for n, s in network.services.items()} == {
        "s3": (0.005, None)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lan]\n", r"'lan' is unknown; there are: cold_start, function, s3, "),
        ("s3 = 5\n", r"s3 is a table \[s3\], got 5"),
        ("[s3]\nlatency = 5\n", r"\[s3\] 'latency' is unknown \(did you mean 'latency_ms'\?\)"),
        ("[s3]\nlatency_ms = -1\n", "s3.latency_ms is a number from 0 to 10000, got -1"),
        ('[s3]\nlatency_ms = "5"\n', "got '5'"),
        ("[s3]\nlatency_ms = true\n", "got True"),
        ("[s3]\nlatency_ms = nan\n", "got nan"),
        ("[function]\nbandwidth_mb_s = 0\n", "a number at least 0.01, got 0"),
        ("[function]\nbandwidth_mb_s = inf\n", "got inf"),
        ("[cold_start]\nseconds = 61\n", "cold_start.seconds is a number from 0 to 60, got 61"),
        ("[s3]\nsource = 3\n", "s3.source is a text or a date, got 3"),
        ("[s3\n", "is not TOML: "),
        ("a = " + "[" * 5000, "is not TOML: "),
        (f"[s3]\nlatency_ms = {'1' * 5000}\n", "is not TOML: "),
        (f"[s3]\nbandwidth_mb_s = {10**400}\n", "is a number at least 0.01, got 1000"),
        (f"[s3]\nlatency_ms = 0x{'f' * 5000}\n", "Exceeds the limit"),
    ],
)
def test_a_mistake_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text(text)
    with pytest.raises(NetworkError, match=f"network.toml.*{message}"):
        read_network(path)


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.toml: No such file"):
        read_network(tmp_path / "absent.toml")
